"""The filter language of the ledger: which tokens, actions, transactions, accounts or flavors. See README.md beside this.

`parse` reads a text, `check` says what its parameters must be, `bind` gives it parameters and checks its types for a kind of object, `matches`
asks an object in memory, and `condition` is the same of SQL, made of fixed fragments and parameters. The last two agree on every object; a test
compares them.
"""

from bourse.ledger.filters.bind import Bound, bind
from bourse.ledger.filters.evaluate import matches, value_at
from bourse.ledger.filters.fields import KINDS, path_of
from bourse.ledger.filters.groups import Grouping, Having, group_of, groupings_of
from bourse.ledger.filters.parse import Filter, parse
from bourse.ledger.filters.sql import Sql, condition, group_value
from bourse.ledger.filters.types import check

__all__ = [
    "KINDS",
    "Bound",
    "Filter",
    "Grouping",
    "Having",
    "Sql",
    "bind",
    "check",
    "condition",
    "group_of",
    "group_value",
    "groupings_of",
    "matches",
    "parse",
    "path_of",
    "value_at",
]
