"""The filter language of the ledger: which tokens, actions, transactions, accounts or flavors. See README.md beside this.

`parse` reads a text, `bind` gives it parameters and checks its types for a kind of object, `matches` asks an object in memory, and
`sql` makes a condition of fixed fragments and parameters. The last two agree on every object; a test compares them.
"""

from bourse.ledger.filters.bind import KINDS, Bound, bind, path_of
from bourse.ledger.filters.evaluate import matches, value_at
from bourse.ledger.filters.parse import Filter, parse
from bourse.ledger.filters.sql import Sql, condition, group_value

__all__ = ["KINDS", "Bound", "Filter", "Sql", "bind", "condition", "group_value", "matches", "parse", "path_of", "value_at"]
