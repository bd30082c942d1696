"""The port of the general ledger: accounts and flavors; posting; and reading, now or as of any two times.

Codes refused with: NAME_INVALID, AMOUNT_INVALID, TIME_INVALID, TAGS_INVALID, FEE_INVALID, RULE_INVALID, NO_ACTIONS, TOO_MANY_ACTIONS, FLAVOR_UNKNOWN,
ACCOUNT_UNKNOWN, ACCOUNT_CLOSED, SAME_ACCOUNT, FLOOR_INVALID, FILTER_INVALID, FILTER_PARAMS, ORDER_INVALID, INSUFFICIENT_FUNDS (with
the amount that matched), RESERVED (enough is there, but held: try again when the holds are over), BACKDATED (a later instant would
have stood too low; names the first), HOLD_EXISTS, HOLD_UNKNOWN, HOLD_AMOUNT, HOLD_OVER, HOLD_EXPIRED, NOTHING_TO_DISTRIBUTE,
DISTRIBUTION_TOO_LARGE, OUT_OF_INVALID, PATTERN_INVALID, TAG_MISSING, GUARD_FAILED, GROUP_BY_INVALID, HAVING_INVALID, CURSOR_INVALID, and those of keys.py.
Their `field` is the place in the transaction: `actions.3.amount`. Conflicts: TRANSACTION_DIFFERS, ACCOUNT_DIFFERS, FLAVOR_DIFFERS.

Of reversals: TRANSACTION_UNKNOWN, REVERSAL_INVALID, REVERSED_BEFORE, REVERSAL_AMOUNT (more than what is left), NOTHING_TO_REVERSE,
REVERSAL_TOO_EARLY (before what it reverses), TOKENS_SPENT (names who got them). Of feeds: FEED_INVALID, FEED_UNKNOWN; conflicts FEED_DIFFERS,
FEED_MOVED_ON. Of materialised sums: SUM_INVALID, SUM_UNKNOWN; conflict SUM_DIFFERS.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar

from bourse.ledger.actions import Account, Flavor, Posted, PostedMove, PostedTransaction, Token, Transaction
from bourse.ledger.feeds import Feed, FeedPage
from bourse.ledger.filters import Having
from bourse.ledger.keys import Keys, Signature

T = TypeVar("T")
Sign = Callable[[Sequence[Transaction]], Sequence[Signature]]
"""Signs a batch: with signatures over it, or over its transactions."""


@dataclass(frozen=True, slots=True)
class AsOf:
    """Two times to look at the books from: what had happened by `effective_at`, as far as it was known by `known_at`; None is now."""

    effective_at: datetime | None = None
    known_at: datetime | None = None


NOW = AsOf()


@dataclass(frozen=True, slots=True)
class Question:
    """Which tokens, actions or transactions: a filter with its parameters, and for sums the paths to group by, or the day, week (ISO), month or year
    of a time in UTC, such as `month(timestamp)`; and the bounds of the groups that are told."""

    filter: str = ""
    params: tuple[Any, ...] = ()
    group_by: tuple[str, ...] = ()
    having: tuple[Having, ...] = ()


@dataclass(frozen=True, slots=True)
class Sum:
    """An amount, and the group it is the sum of: path -> value, None where the path is missing. How many tokens' lots or actions were added up, as
    lists tell them, and the least and the greatest of them, None of nothing. A materialised sum does not know these, and is equal without them."""

    group: Mapping[str, Any]
    amount: int
    count: int | None = field(default=None, compare=False)
    min: int | None = field(default=None, compare=False)
    max: int | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class DeclaredSum:
    """The sum of the tokens that match a filter, by group. The filter and the groups say nothing of the amount: which lots are in it must not change
    with what they hold."""

    name: str
    filter: str = ""
    params: tuple[Any, ...] = ()
    group_by: tuple[str, ...] = ()

    @property
    def question(self) -> Question:
        return Question(self.filter, self.params, self.group_by)


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A part of a list, and the cursors of the next one and of the previous one; None at the end and at the beginning. The pages of a walk, to and fro, show
    each row there was when the first was asked for exactly once, whatever is posted meanwhile; see paging.py."""

    items: Sequence[T]
    cursor: str | None
    previous: str | None = None


class Books(Protocol):
    """Keeps one ledger per tenant.

    Promise: a posting is whole or not at all. At any moment, and at any effective instant, every flavor sums to zero over all
    accounts, and no lot stands below its floor. What was posted is never changed. A transaction id is posted once for ever: the
    same request again is answered with the first posting, another request with the same id is Conflict TRANSACTION_DIFFERS that
    names the field; a request that was refused for INSUFFICIENT_FUNDS stays refused under its id.
    """

    @property
    def keys(self) -> Keys:
        """The register of the keys that accounts and flavors name."""
        ...

    def open_flavor(self, tenant_id: str, flavor: Flavor) -> None:
        """The same again changes nothing. Raises Conflict FLAVOR_DIFFERS; tags alone are changed by `tag_flavor`."""
        ...

    def open_account(self, tenant_id: str, account: Account) -> None:
        """The same again changes nothing. Raises Conflict ACCOUNT_DIFFERS. `world` is opened by itself, hot and without a floor."""
        ...

    def open_missing(self, tenant_id: str, accounts: Iterable[Account], flavors: Iterable[Flavor]) -> None:
        """Open those of these that are not there, in one write; what is there keeps its tags.

        Raises Conflict ACCOUNT_DIFFERS where an account that is there has another floor or is not as hot.
        """
        ...

    def tag_flavor(self, tenant_id: str, flavor_id: str, tags: Mapping[str, Any]) -> None:
        """Replace all tags from now on; snapshots keep what was."""
        ...

    def tag_account(self, tenant_id: str, account_id: str, tags: Mapping[str, Any]) -> None: ...

    def close_account(self, tenant_id: str, account_id: str) -> None:
        """Nothing moves into or out of it any more. Raises Refused ACCOUNT_NOT_EMPTY while it holds anything."""
        ...

    def post(
        self, tenant_id: str, transactions: Sequence[Transaction], at: datetime, *, signatures: Sequence[Signature] = (), dry_run: bool = False
    ) -> tuple[Posted, ...]:
        """Post transactions in their order, all of them or none; `at` is the books' clock, by which holds expire and keys are valid.

        `signatures` are by the keys that authority.py asks for, each over one transaction or over this very sequence of them. What was
        posted before needs none. A dry run answers and refuses as the posting would, and leaves nothing behind. Raises Refused, Conflict,
        Unavailable.
        """
        ...

    def post_batches(self, tenant_id: str, batches: Iterable[Sequence[Transaction]], at: datetime, *, sign: Sign | None = None) -> Iterator[tuple[Posted, ...]]:
        """Post batch after batch, each as `post` does, and give what was posted: for much, because the next is made ready while the books work on the last.

        Batches are taken as needed, so there may be more than memory holds; `sign` signs each. What `post` raises ends it: the batches before are
        posted, those after are not. Who asks for no more answers leaves at most one batch posted that he has had no answer for.
        """
        ...

    def tokens(self, tenant_id: str, question: Question, as_of: AsOf = NOW, *, cursor: str | None = None, limit: int = 100) -> Page[Token]:
        """Lots that are not empty, by account, flavor and tags (each by the octets of its text). All pages show what the first one's moment showed; filters ask
        for tags of accounts and flavors as they are when a page is read."""
        ...

    def sum_tokens(self, tenant_id: str, question: Question, as_of: AsOf = NOW) -> Sequence[Sum]:
        """Without group_by one sum, also of nothing; with group_by a sum for each group there is, in the order of its values. Those within `having`."""
        ...

    def actions(self, tenant_id: str, question: Question, *, cursor: str | None = None, limit: int = 100) -> Page[PostedMove]:
        """Newest first. A page is of what was recorded when the first one was asked for."""
        ...

    def sum_actions(self, tenant_id: str, question: Question) -> Sequence[Sum]: ...

    def transactions(self, tenant_id: str, question: Question, *, cursor: str | None = None, limit: int = 100) -> Page[PostedTransaction]:
        """Newest first, with their actions. A page is of what was recorded when the first one was asked for."""
        ...

    def accounts(self, tenant_id: str, question: Question, *, cursor: str | None = None, limit: int = 100) -> Page[Account]:
        """By their names, closed ones too. What is opened during a walk may be among them."""
        ...

    def flavors(self, tenant_id: str, question: Question, *, cursor: str | None = None, limit: int = 100) -> Page[Flavor]: ...

    def open_feed(self, tenant_id: str, feed: Feed) -> None:
        """The same again changes nothing. Raises Conflict FEED_DIFFERS."""
        ...

    def drop_feed(self, tenant_id: str, feed_id: str) -> None:
        """One that is not there stays so."""
        ...

    def feeds(self, tenant_id: str) -> Sequence[Feed]: ...

    def feed_page(self, tenant_id: str, feed_id: str, *, limit: int = 100) -> FeedPage[Any]:
        """What comes after the feed's position, oldest first, in an order that is the same for everybody and never changes; nothing that
        is committed later comes before what was handed out. `items` are PostedMove or PostedTransaction. Raises Refused FEED_UNKNOWN."""
        ...

    def ack_feed(self, tenant_id: str, feed_id: str, old_cursor: str, new_cursor: str) -> None:
        """Move the feed on from where the page was read to a cursor of that page. Raises Conflict FEED_MOVED_ON when it stands elsewhere
        by now, as after another consumer's acknowledgement; Refused FEED_UNKNOWN, CURSOR_INVALID."""
        ...

    def declare_sum(self, tenant_id: str, declared: DeclaredSum) -> None:
        """Keep this sum from now on, of what is there already too. The same again changes nothing. Raises Refused SUM_INVALID where it
        depends on the amount, FILTER_INVALID, FILTER_PARAMS, GROUP_BY_INVALID; Conflict SUM_DIFFERS."""
        ...

    def drop_sum(self, tenant_id: str, name: str) -> None:
        """One that is not there stays so."""
        ...

    def declared_sums(self, tenant_id: str) -> Sequence[DeclaredSum]: ...

    def read_sum(self, tenant_id: str, name: str) -> Sequence[Sum]:
        """What `sum_tokens` answers to the declared question now, looked up. Raises Refused SUM_UNKNOWN."""
        ...
