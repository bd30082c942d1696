"""Plain postings: any tokens of the source, the oldest first, no tags carried. What `books.post` needs of them is made here in one pass,
which also checks all that `check.py` would of such a posting: it is the way most money goes, and a second pass would cost as much again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from bourse.aws.packed import bigints, ints
from bourse.aws.postgres import Argument
from bourse.ledger.actions import ACTIONS_MAX, AMOUNT_MAX, ANY, Issue, Retire, Tags, Transaction, Transfer, canonical
from bourse.ledger.aurora_names import Known, LotKey
from bourse.ledger.aurora_rows import AUTO, heads, numbers, same, tags_text, times
from bourse.ledger.check import NAME, is_flat

_LETTERS: Final[dict[type, str]] = {Issue: "i", Transfer: "t", Retire: "r"}


@dataclass(frozen=True, slots=True)
class Call:
    """The arguments of a function that posts, and the keys of the lots its answer tells the numbers of."""

    arguments: list[Argument]
    asked: Sequence[LotKey] = ()


class CloserLook(Exception):
    """It is not plain, not right, or not known yet: that cannot be said in one pass."""


def arguments_of(transactions: Sequence[Transaction], tenant_id: str, known: Known, slot: int, *, one: bool, checked: bool) -> Call:
    """The call of `books.post`, or of `books.post_one`. Raises CloserLook.

    `checked`: check.py had a look already, so that also what is right and unusual passes here."""
    try:
        _check_heads(transactions, checked=checked)
        plain = Plain(known, slot, one_time=len({one.effective_at for one in transactions}) == 1, checked=checked)
        if one:
            return Call(plain.one(tenant_id, transactions[0]))
        for number, transaction in enumerate(transactions, 1):
            plain.add(number, transaction)
        if len(plain.moves) > ACTIONS_MAX or len({transaction.txn_id for transaction in transactions}) < len(transactions):
            raise CloserLook
        return plain.many(tenant_id, transactions)
    except (TypeError, KeyError, AttributeError, OverflowError):
        raise CloserLook from None


def is_one(transactions: Sequence[Transaction]) -> bool:
    """Whether it is a case for `books.post_one`: one action is all there is, and it sets no floor."""
    if len(transactions) != 1 or len(transactions[0].actions) != 1:
        return False
    action = transactions[0].actions[0]
    return not isinstance(action, Issue) or action.source_floor is None


def _check_heads(transactions: Sequence[Transaction], *, checked: bool) -> None:
    names: set[str] = {""}
    for one in transactions:
        at = one.effective_at
        if one.expect or not one.actions or type(at) is not datetime or at.tzinfo is None:
            raise CloserLook
        if checked:
            continue
        if type(one.txn_id) is not str or not _is_name(one.txn_id) or (one.tags and not is_flat(one.tags)):
            raise CloserLook
        if one.kind not in names or one.correlation_id not in names:  # a batch has few of them
            if not all(text in names or _is_name(text) for text in (one.kind, one.correlation_id)):
                raise CloserLook
            names |= {one.kind, one.correlation_id}


_is_name: Final = NAME.fullmatch


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
        self._ranks: Final[list[int]] = []
        """-1: it does not rise."""
        self._sets: Final[dict[int, int]] = {}
        """Of tags by what `id` says of the object, which the transactions keep alive: a batch has few."""
        self.moves: Final[list[tuple[int, int, str, int, int, int, int]]] = []
        """Transaction from 1, place of the action, type, source and destination from 1, amount, tag set of the action."""

    def add(self, number: int, transaction: Transaction) -> None:
        moves, lots, nets, lows, ranks = self.moves, self._places, self._nets, self._lows, self._ranks
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
            if ranks[dst] < 0:
                ranks[dst] = len(moves)
            elif floor:
                raise CloserLook  # by which of them an overdrawn lot rises above zero is not known here
            if not self._one_time:
                self._when(src, dst, transaction.effective_at)
            if type(action) is Issue and action.source_floor is not None:
                self._limit(src, action, action.source_floor)
            tagset = self._set(action.action_tags) if action.action_tags else 0
            moves.append((number, place, _LETTERS[type(action)], src + 1, dst + 1, amount, tagset))

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

    def many(self, tenant_id: str, transactions: Sequence[Transaction]) -> Call:
        """The 31 arguments of `books.post`. Lots that were met before are named by their number: nobody looks for them again."""
        txns, places, letters, sources, destinations, amounts, sets = zip(*self.moves, strict=True)
        accounts, flavors, tagsets, slots = zip(*self._places, strict=True)
        lots = range(len(accounts))
        met = self._known.lots
        nos = [0 if key[2] == AUTO else met.get(key, -1) for key in self._places]
        asked = [key for key, no in zip(self._places, nos, strict=True) if no < 0] if -1 in nos else []
        arguments: list[Argument] = [
            tenant_id,
            *heads(transactions),
            bigints(nos),
            bigints(accounts),
            bigints(same(flavors)),
            bigints(tagsets),
            numbers(slots) if any(slots) else "{}",
            numbers(self._floors) if asked else "{}",
            numbers([self._limits.get(lot) for lot in lots]) if self._limits else "{}",
            bigints(self._nets),
            "{}",
            bigints(self._lows),
            "{}" if self._one_time else times([self._since.get(lot) for lot in lots]),
            times([transactions[0].effective_at] if self._one_time else [self._latest[lot] for lot in lots]),
            ints(self._ranks),
            "{}",
            ints(txns) if len(txns) > len(transactions) else "{}",
            "{}",
            ints(places) if any(places) else "{}",
            "{" + ",".join(same(letters)) + "}",
            ints(sources),
            ints(destinations),
            bigints(amounts),
            bigints(sets) if any(sets) else "{}",
            "{}",
            "{}",
        ]
        return Call(arguments, asked)

    def one(self, tenant_id: str, transaction: Transaction) -> list[Argument]:
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
        self._ranks.append(-1)
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
