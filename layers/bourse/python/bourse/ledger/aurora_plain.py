"""Plain postings: any tokens of the source, the oldest first, no tags carried. What `books.post` needs of them is made here in one pass,
which also checks all that `check.py` would of such a posting: it is the way most money goes, and a second pass would cost as much again.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from bourse.ledger.actions import ACTIONS_MAX, AMOUNT_MAX, ANY, Issue, Retire, Tags, Transaction, Transfer, canonical
from bourse.ledger.aurora_names import Known, Numbered
from bourse.ledger.aurora_rows import AUTO, heads, numbers, tags_text, times, whole
from bourse.ledger.check import NAME, is_flat

_LETTERS: Final[dict[type, str]] = {Issue: "i", Transfer: "t", Retire: "r"}
LotKey = tuple[int, int, int, int]
"""Account, flavor, tag set (AUTO: the oldest lot that is not empty), slot."""


class CloserLook(Exception):
    """It is not plain, not right, or not known yet: that cannot be said in one pass."""


def arguments_of(transactions: Sequence[Transaction], tenant_id: str, known: Known, slot: int, *, one: bool, checked: bool) -> list[str | None]:
    """The arguments of `books.post`, or of `books.post_one`. Raises CloserLook.

    `checked`: check.py had a look already, so that also what is right and unusual passes here."""
    for transaction in transactions:
        _check_head(transaction, checked=checked)
    plain = Plain(known, slot, checked=checked)
    try:
        if one:
            return plain.one(tenant_id, transactions[0])
        for number, transaction in enumerate(transactions, 1):
            plain.add(number, transaction)
        if len(plain.amounts) > ACTIONS_MAX or len({transaction.txn_id for transaction in transactions}) < len(transactions):
            raise CloserLook
        return plain.many(tenant_id, transactions)
    except (TypeError, KeyError, AttributeError):
        raise CloserLook from None


def is_one(transactions: Sequence[Transaction]) -> bool:
    """Whether it is a case for `books.post_one`: one action is all there is, and it sets no floor."""
    if len(transactions) != 1 or len(transactions[0].actions) != 1:
        return False
    action = transactions[0].actions[0]
    return not isinstance(action, Issue) or action.source_floor is None


def _check_head(one: Transaction, *, checked: bool) -> None:
    if one.expect or not one.actions or type(one.effective_at) is not datetime or one.effective_at.tzinfo is None:
        raise CloserLook
    if checked:
        return
    for text in (one.txn_id, one.kind, one.correlation_id):
        if type(text) is not str or (text and not NAME.fullmatch(text)):
            raise CloserLook
    if not one.txn_id or (one.tags and not is_flat(one.tags)):
        raise CloserLook


class Plain:
    """Columns of moves and lots in the making. Raises KeyError for a name or tag set that is not known, CloserLook as above."""

    def __init__(self, known: Known, slot: int, *, checked: bool) -> None:
        self._known: Final = known
        self._checked: Final = checked
        self._slot: Final = slot
        self._places: Final[dict[LotKey, int]] = {}
        self._floors: Final[list[int | None]] = []
        self._limits: Final[list[int | None]] = []
        self._nets: Final[list[int]] = []
        self._lows: Final[list[int]] = []
        self._since: Final[list[datetime | None]] = []
        self._latest: Final[list[datetime]] = []
        self._ranks: Final[list[int | None]] = []
        self._columns: Final[tuple[list[Any], ...]] = tuple([] for _ in range(7))
        self.amounts: Final = self._columns[5]

    def add(self, number: int, transaction: Transaction) -> None:
        at = transaction.effective_at
        txns, places, letters, sources, destinations, amounts, sets = self._columns
        for place, action in enumerate(transaction.actions):
            src_key, dst_key, floor = self._keys(action)
            amount: int = action.amount  # type: ignore[union-attr,assignment]
            src, dst = self._lot(src_key, None, at), self._lot(dst_key, floor, at)
            self._nets[src] -= amount
            self._lows[src] -= amount
            self._nets[dst] += amount
            since = self._since[src]
            if since is None or at < since:
                self._since[src] = at
            if self._ranks[dst] is None:
                self._ranks[dst] = len(amounts)
            elif floor:
                raise CloserLook  # by which of them an overdrawn lot rises above zero is not known here
            if type(action) is Issue and action.source_floor is not None:
                if not self._checked or self._known.accounts[action.source].what.hot:
                    raise CloserLook
                self._limits[src] = action.source_floor
            txns.append(number)
            places.append(place)
            letters.append(_LETTERS[type(action)])
            sources.append(src + 1)
            destinations.append(dst + 1)
            amounts.append(amount)
            sets.append(self._set(action.action_tags))

    def many(self, tenant_id: str, transactions: Sequence[Transaction]) -> list[str | None]:
        """The 31 arguments of `books.post`."""
        txns, places, letters, sources, destinations, amounts, sets = self._columns
        count = len(self._nets)
        accounts, flavors, tagsets, slots = zip(*self._places, strict=True)
        return [
            tenant_id,
            *heads(transactions),
            "{" + ",".join(["NULL"] * count) + "}",
            whole(accounts),
            whole(flavors),
            whole(tagsets),
            whole(slots),
            numbers(self._floors),
            numbers(self._limits),
            whole(self._nets),
            whole([0] * count),
            whole(self._lows),
            times(self._since),
            times(self._latest),
            numbers(self._ranks),
            "{" + ",".join(["f"] * count) + "}",
            whole(txns),
            whole([place + 1 for place in places]),
            whole(places),
            "{" + ",".join(letters) + "}",
            whole(sources),
            whole(destinations),
            whole(amounts),
            whole(sets),
            "{}",
            "{}",
        ]

    def one(self, tenant_id: str, transaction: Transaction) -> list[str | None]:
        """The 18 arguments of `books.post_one`."""
        action = transaction.actions[0]
        (source, flavor, tagset, slot), (destination, _, into, into_slot), floor = self._keys(action)
        return [
            tenant_id,
            transaction.txn_id,
            transaction.kind,
            "\\x" + transaction.digest().hex(),
            transaction.effective_at.isoformat(),
            transaction.correlation_id,
            tags_text(transaction.tags),
            _LETTERS[type(action)],
            str(flavor),
            str(action.amount),  # type: ignore[union-attr]
            str(self._set(action.action_tags)),
            str(source),
            "f" if tagset == AUTO else "t",
            str(slot),
            str(destination),
            str(into),
            str(into_slot),
            None if floor is None else str(floor),
        ]

    def _keys(self, action: Any) -> tuple[LotKey, LotKey, int | None]:
        """The lot an action spends, the one it fills, and the floor of that one where it is new."""
        kind, amount = type(action), action.amount
        if type(amount) is not int or not 0 < amount <= AMOUNT_MAX:
            raise CloserLook
        known = self._known
        source, destination, flavor = known.accounts[action.source], known.accounts[action.destination], known.flavors[action.flavor_id].no
        if source is destination or source.what.closed or destination.what.closed or source.what.floor:
            raise CloserLook  # a credit line is what is spent last, so all lots have to be looked at
        free = source.what.floor is None
        if kind is Issue:
            if not free:
                raise CloserLook
        elif (action.spending is not ANY and action.spending != ANY) or (kind is Transfer and action.carry_tags):
            raise CloserLook
        tagset = 0
        if kind is not Retire:
            tagset = self._set(action.token_tags)
        elif destination.what.floor is not None:
            raise CloserLook
        spent = (source.no, flavor, 0, self._slot_of(source)) if free else (source.no, flavor, AUTO, 0)
        return spent, (destination.no, flavor, tagset, self._slot_of(destination)), 0 if tagset else destination.what.floor

    def _slot_of(self, account: Numbered[Any]) -> int:
        return self._slot if account.what.hot else 0

    def _lot(self, key: LotKey, floor: int | None, at: datetime) -> int:
        place = self._places.get(key)
        if place is None:
            place = self._places[key] = len(self._nets)
            self._floors.append(floor)
            self._limits.append(None)
            self._nets.append(0)
            self._lows.append(0)
            self._since.append(None)
            self._latest.append(at)
            self._ranks.append(None)
        elif at > self._latest[place]:
            self._latest[place] = at
        return place

    def _set(self, tags: Tags) -> int:
        if not tags:
            return 0
        if not self._checked and not is_flat(tags):
            raise CloserLook
        return self._known.tagsets[canonical(dict(tags))]
