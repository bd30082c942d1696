"""Plain postings: any tokens of the source, the oldest first, no tags carried. What `books.post` needs of them is made here in one pass,
which also checks all that `check.py` would of such a posting: it is the way most money goes, and a second pass would cost as much again.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from bourse.ledger.actions import ACTIONS_MAX, AMOUNT_MAX, ANY, Issue, Retire, Tags, Transaction, Transfer, canonical
from bourse.ledger.aurora_names import Known
from bourse.ledger.aurora_rows import AUTO, heads, numbers, same, tags_text, times, whole
from bourse.ledger.check import NAME, is_flat

_LETTERS: Final[dict[type, str]] = {Issue: "i", Transfer: "t", Retire: "r"}
LotKey = tuple[int, int, int, int]
"""Account, flavor, tag set (AUTO: the oldest lot that is not empty), slot."""


class CloserLook(Exception):
    """It is not plain, not right, or not known yet: that cannot be said in one pass."""


def arguments_of(transactions: Sequence[Transaction], tenant_id: str, known: Known, slot: int, *, one: bool, checked: bool) -> list[str | None]:
    """The arguments of `books.post`, or of `books.post_one`. Raises CloserLook.

    `checked`: check.py had a look already, so that also what is right and unusual passes here."""
    names: set[str] = {""}
    for transaction in transactions:
        _check_head(transaction, names, checked=checked)
    plain = Plain(known, slot, one_time=len({one.effective_at for one in transactions}) == 1, checked=checked)
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


def _check_head(one: Transaction, names: set[str], *, checked: bool) -> None:
    """`names` are texts that were found to be names: of kinds and correlation ids a batch has few."""
    if one.expect or not one.actions or type(one.effective_at) is not datetime or one.effective_at.tzinfo is None:
        raise CloserLook
    if checked:
        return
    if type(one.txn_id) is not str or not NAME.fullmatch(one.txn_id) or (one.tags and not is_flat(one.tags)):
        raise CloserLook
    for text in (one.kind, one.correlation_id):
        if type(text) is not str:
            raise CloserLook
        if text not in names:
            if not NAME.fullmatch(text):
                raise CloserLook
            names.add(text)


class Plain:
    """Columns of moves and lots in the making. Raises KeyError for a name or tag set that is not known, CloserLook as above."""

    def __init__(self, known: Known, slot: int, *, one_time: bool, checked: bool) -> None:
        """`one_time`: all transactions have the same effective time, so the times of lots need not be told apart."""
        self._known: Final = known
        self._checked: Final = checked
        self._slot: Final = slot
        self._one_time: Final = one_time
        self._places: Final[dict[LotKey, int]] = {}
        self._floors: Final[list[int | None]] = []
        self._limits: Final[dict[int, int]] = {}
        self._nets: Final[list[int]] = []
        self._lows: Final[list[int]] = []
        self._since: Final[dict[int, datetime]] = {}
        self._latest: Final[dict[int, datetime]] = {}
        self._ranks: Final[list[int | None]] = []
        self._sets: Final[dict[int, int]] = {}
        """Of tags by what `id` says of the object, which the transactions keep alive: a batch has few."""
        self._columns: Final[tuple[list[Any], ...]] = tuple([] for _ in range(7))
        self.amounts: Final = self._columns[5]

    def add(self, number: int, transaction: Transaction) -> None:
        txns, places, letters, sources, destinations, amounts, sets = self._columns
        lots, nets, lows, ranks = self._places, self._nets, self._lows, self._ranks
        for place, action in enumerate(transaction.actions):
            src_key, dst_key, amount, floor = self._keys(action)
            src, dst = lots.get(src_key), lots.get(dst_key)
            if src is None:
                src = self._touch(src_key, None)
            if dst is None:
                dst = self._touch(dst_key, floor)
            nets[src] -= amount
            lows[src] -= amount
            nets[dst] += amount
            if ranks[dst] is None:
                ranks[dst] = len(amounts)
            elif floor:
                raise CloserLook  # by which of them an overdrawn lot rises above zero is not known here
            if not self._one_time:
                self._when(src, dst, transaction.effective_at)
            if type(action) is Issue and action.source_floor is not None:
                self._limit(src, action, action.source_floor)
            txns.append(number)
            places.append(place)
            letters.append(_LETTERS[type(action)])
            sources.append(src + 1)
            destinations.append(dst + 1)
            amounts.append(amount)
            sets.append(self._set(action.action_tags) if action.action_tags else 0)

    def _when(self, src: int, dst: int, at: datetime) -> None:
        """The first time a lot is spent, and the last time of all that happens to it."""
        since, latest = self._since, self._latest
        if src not in since or at < since[src]:
            since[src] = at
        for lot in (src, dst):
            if lot not in latest or at > latest[lot]:
                latest[lot] = at

    def _limit(self, src: int, action: Issue, floor: int) -> None:
        if not self._checked or self._known.accounts[action.source].what.hot:
            raise CloserLook
        self._limits[src] = floor

    def many(self, tenant_id: str, transactions: Sequence[Transaction]) -> list[str | None]:
        """The 31 arguments of `books.post`."""
        txns, places, letters, sources, destinations, amounts, sets = self._columns
        accounts, flavors, tagsets, slots = zip(*self._places, strict=True)
        lots = range(len(accounts))
        return [
            tenant_id,
            *heads(transactions),
            "{}",
            whole(accounts),
            whole(same(flavors)),
            whole(tagsets),
            whole(slots) if any(slots) else "{}",
            numbers(self._floors),
            numbers([self._limits.get(lot) for lot in lots]) if self._limits else "{}",
            whole(self._nets),
            "{}",
            whole(self._lows),
            "{}" if self._one_time else times([self._since.get(lot) for lot in lots]),
            times([transactions[0].effective_at] if self._one_time else [self._latest[lot] for lot in lots]),
            numbers(self._ranks),
            "{}",
            whole(txns) if len(txns) > len(transactions) else "{}",
            "{}",
            whole(places) if any(places) else "{}",
            "{" + ",".join(same(letters)) + "}",
            whole(sources),
            whole(destinations),
            whole(amounts),
            whole(sets) if any(sets) else "{}",
            "{}",
            "{}",
        ]

    def one(self, tenant_id: str, transaction: Transaction) -> list[str | None]:
        """The 18 arguments of `books.post_one`."""
        action = transaction.actions[0]
        (source, flavor, tagset, slot), (destination, _, into, into_slot), amount, floor = self._keys(action)
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
            str(amount),
            str(self._set(action.action_tags)),
            str(source),
            "f" if tagset == AUTO else "t",
            str(slot),
            str(destination),
            str(into),
            str(into_slot),
            None if floor is None else str(floor),
        ]

    def _keys(self, action: Any) -> tuple[LotKey, LotKey, int, int | None]:
        """The lot an action spends, the one it fills, how much, and the floor of the lot it fills where that is new."""
        kind, amount = type(action), action.amount
        if type(amount) is not int or not 0 < amount <= AMOUNT_MAX:
            raise CloserLook
        known = self._known
        source, destination, flavor = known.accounts[action.source], known.accounts[action.destination], known.flavors[action.flavor_id].no
        giver, taker = source.what, destination.what
        if source is destination or giver.closed or taker.closed or giver.floor:
            raise CloserLook  # a credit line is what is spent last, so all lots have to be looked at
        free = giver.floor is None
        if kind is Issue:
            if not free:
                raise CloserLook
        elif (action.spending is not ANY and action.spending != ANY) or (kind is Transfer and action.carry_tags):
            raise CloserLook
        tagset = 0
        if kind is not Retire:
            tagset = self._set(action.token_tags)
        elif taker.floor is not None:
            raise CloserLook
        spent = (source.no, flavor, 0, self._slot if giver.hot else 0) if free else (source.no, flavor, AUTO, 0)
        return spent, (destination.no, flavor, tagset, self._slot if taker.hot else 0), amount, 0 if tagset else taker.floor

    def _touch(self, key: LotKey, floor: int | None) -> int:
        """The place of a lot that has none yet."""
        place = self._places[key] = len(self._nets)
        self._floors.append(floor)
        self._nets.append(0)
        self._lows.append(0)
        self._ranks.append(None)
        return place

    def _set(self, tags: Tags) -> int:
        if not tags:
            return 0
        found = self._sets.get(id(tags))
        if found is None:
            if not self._checked and not is_flat(tags):
                raise CloserLook
            found = self._sets[id(tags)] = self._known.tagsets[canonical(dict(tags))]
        return found
