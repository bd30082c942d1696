"""BidsPublished, LoansClosed -> [ledger] -> BalancesChanged, BidsReturned"""

from bourse.assets.events import LoansClosed
from bourse.aws.settings import collect_seconds
from bourse.aws.worker import queue_worker
from bourse.ledger.aurora import AuroraLedger
from bourse.ledger.settle_investments import close_loans, settle_investments
from bourse.matching.events import BidsPublished

handler = queue_worker({BidsPublished: settle_investments, LoansClosed: close_loans}, ledger=AuroraLedger.from_env, window_seconds=collect_seconds)
