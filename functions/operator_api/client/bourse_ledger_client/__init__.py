"""A client for the general ledger of Bourse, in one folder that needs nothing but Python: `from bourse_ledger_client import Ledger`."""

from .errors import Conflict, GuardFailed, InsufficientFunds, LedgerError, NotAllowed, NotFound, Refused, Reserved, Unavailable
from .ledger import Ledger
from .money import major_units, minor_units
from .nouns import (
    Account,
    Action,
    DeclaredSum,
    DefaultQuorum,
    Feed,
    FeedPage,
    Flavor,
    Hold,
    KeyVersion,
    Posted,
    Statement,
    StatementEntry,
    StatementTotal,
    Sum,
    Template,
    Token,
    Transaction,
    TrialBalanceRow,
)
from .signing import DigestDiffers, Signer
from .templates import Parameter
from .transaction import Builder

__all__ = [
    "Account",
    "Action",
    "Builder",
    "Conflict",
    "DeclaredSum",
    "DefaultQuorum",
    "DigestDiffers",
    "Feed",
    "FeedPage",
    "Flavor",
    "GuardFailed",
    "Hold",
    "InsufficientFunds",
    "KeyVersion",
    "Ledger",
    "LedgerError",
    "NotAllowed",
    "NotFound",
    "Parameter",
    "Posted",
    "Refused",
    "Reserved",
    "Signer",
    "Statement",
    "StatementEntry",
    "StatementTotal",
    "Sum",
    "Template",
    "Token",
    "Transaction",
    "TrialBalanceRow",
    "Unavailable",
    "major_units",
    "minor_units",
]
