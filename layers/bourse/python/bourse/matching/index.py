"""Who could trade with whom, found fast: derived from a book's offers, never stored, rebuilt when a book is loaded.

- `sells`: open sell offers in the order a buy offer takes them; `buys`: active buy offers in the order a sell offer serves them.
- Buy offers that ask for the same are one group, and a group is one bit. Each sell offer keeps the bits it was `asked` and
  those it `accepted`, so going down the line costs one AND per offer, whatever the criteria. With n distinct conditions a new
  sell offer is asked n times, not once per buy offer: a condition that fails rules out all groups that need it. A group that is
  new is put to an old sell offer when that is first met, so criteria nobody uses cost nothing.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from typing import Final, Generic, TypeVar

from bourse.matching.criteria import Question, all_of, asking_for, question
from bourse.matching.model import Buy, Condition, Group, Sell

T = TypeVar("T")
_BLOCK: Final = 512
_RATIO_BITS: Final = 128
"""Two different fractions of int64 differ by more than 2^-126, so the floor of fraction x 2^128 orders them exactly."""
_SEQ_BITS: Final = 64
_GROUPS_SPARE: Final = 64


class Ranking(Generic[T]):
    """Values in the order of distinct integer keys: blocks of a sorted list. Not to be changed while it is walked."""

    def __init__(self) -> None:
        self._keys: list[list[int]] = []
        self._values: list[list[T]] = []
        self._last: list[int] = []
        self._len = 0

    def __len__(self) -> int:
        return self._len

    def __iter__(self) -> Iterator[T]:
        for block in self._values:
            yield from block

    def add(self, key: int, value: T) -> None:
        """Put the value at its key, which must be free."""
        self._len += 1
        if not self._last:
            self._keys.append([key])
            self._values.append([value])
            self._last.append(key)
            return
        block = min(bisect_left(self._last, key), len(self._last) - 1)
        keys = self._keys[block]
        place = bisect_left(keys, key)
        keys.insert(place, key)
        self._values[block].insert(place, value)
        self._last[block] = keys[-1]
        if len(keys) > 2 * _BLOCK:
            self._split(block)

    def remove(self, key: int) -> None:
        """Take away what stands at the key; something must."""
        self._len -= 1
        block = bisect_left(self._last, key)
        keys = self._keys[block]
        place = bisect_left(keys, key)
        assert keys[place] == key, "nothing is ranked there"
        del keys[place], self._values[block][place]
        if keys:
            self._last[block] = keys[-1]
        else:
            del self._keys[block], self._values[block], self._last[block]

    def _split(self, block: int) -> None:
        keys, values = self._keys[block], self._values[block]
        self._keys[block : block + 1] = [keys[:_BLOCK], keys[_BLOCK:]]
        self._values[block : block + 1] = [values[:_BLOCK], values[_BLOCK:]]
        self._last.insert(block, keys[_BLOCK - 1])


def rank_of(sell: Sell) -> int:
    """All-or-nothing offers that have begun first, the fullest before the others; then the rest, the fullest first; then the earlier."""
    filled = sell.published + sell.reserved
    begun = 0 if filled and not sell.partial else 1
    empty = (1 << _RATIO_BITS) - (filled << _RATIO_BITS) // sell.volume
    return ((begun << (_RATIO_BITS + 1) | empty) << _SEQ_BITS) | sell.seq


class Index:
    """The open and active offers of one book, and the groups of criteria asked."""

    def __init__(self) -> None:
        self.sells: Final[Ranking[Sell]] = Ranking()
        self.buys: Final[Ranking[Buy]] = Ranking()
        self.smallest = 1 << 63
        """No bid on any open sell offer is smaller: a buy offer with less than that left need not look."""
        self._groups: dict[tuple[Condition, ...], Group] = {}
        self._members: dict[int, int] = {}
        self._conditions: dict[Condition, tuple[Question, int]] = {}
        self._all = 0

    def refresh_sell(self, sell: Sell) -> None:
        """Bring the sell offer to its place, or out of the way when nothing of it is open."""
        rank = rank_of(sell) if sell.open > 0 else -1
        if rank == sell.rank:
            return
        if sell.rank >= 0:
            self.sells.remove(sell.rank)
        sell.rank = rank
        if rank >= 0:
            self.sells.add(rank, sell)
            self.smallest = min(self.smallest, sell.lot, sell.open)

    def refresh_buy(self, buy: Buy) -> None:
        """Bring the buy offer to its place, or out of the way when it has nothing left to bid."""
        active = buy.group is not None and buy.open > 0
        if active == buy.ranked:
            return
        buy.ranked = active
        if active:
            self.buys.add(buy.seq, buy)
        else:
            self.buys.remove(buy.seq)

    def leave(self, buy: Buy) -> None:
        """Before the terms of a buy offer change: it leaves its place and its group."""
        if buy.ranked:
            self.buys.remove(buy.seq)
            buy.ranked = False
        if buy.group:
            self._members[buy.group.bit] -= 1
            buy.group = None

    def enter(self, buy: Buy) -> None:
        """After it: it joins the group of those that ask for the same, and takes its place."""
        if buy.volume > 0 and not buy.hold:
            buy.group = self._group(asking_for(buy.product_id, buy.criteria))
            self._members[buy.group.bit] += 1
        self.refresh_buy(buy)

    def ask_all(self, sell: Sell) -> None:
        """Hold the sell offer against every distinct condition once."""
        accepted = self._all
        for asks, needed_by in self._conditions.values():
            if not asks(sell):
                accepted &= ~needed_by
                if not accepted:
                    break
        sell.asked, sell.accepted = self._all, accepted

    @staticmethod
    def ask(sell: Sell, group: Group) -> bool:
        """Hold it against one group that came after it."""
        sell.asked |= group.bit
        if group.accepts(sell):
            sell.accepted |= group.bit
            return True
        return False

    def _group(self, key: tuple[Condition, ...]) -> Group:
        if group := self._groups.get(key):
            return group
        bit = 1 << len(self._groups)
        for condition in key:
            asks, needed_by = self._conditions.get(condition) or (question(condition), 0)
            self._conditions[condition] = (asks, needed_by | bit)
        group = Group(key, bit, all_of(self._conditions[condition][0] for condition in key))
        self._groups[key] = group
        self._members[bit] = 0
        self._all |= bit
        return group

    def is_cluttered(self) -> bool:
        """True when more groups are without a buy offer than with one, beyond a spare."""
        empty = sum(1 for members in self._members.values() if not members)
        return empty > _GROUPS_SPARE + len(self._groups) - empty

    def forget_groups(self, sells: Iterable[Sell], buys: Iterable[Buy]) -> None:
        """Begin again with the groups in use: every sell offer will be asked again when it is next met."""
        self._groups.clear()
        self._members.clear()
        self._conditions.clear()
        self._all = 0
        for sell in sells:
            sell.asked = sell.accepted = 0
        for buy in buys:
            if buy.group:
                buy.group = self._group(asking_for(buy.product_id, buy.criteria))
                self._members[buy.group.bit] += 1
