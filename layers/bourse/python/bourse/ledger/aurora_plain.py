"""Plain postings: any tokens of the source, the oldest first, no tags carried. What `books.post` needs of them is made here in one pass."""

from collections.abc import Callable, Mapping, Sequence

from bourse.ledger.actions import ANY, Issue, Retire, Tags, Transaction, Transfer, canonical
from bourse.ledger.aurora_names import Numbered
from bourse.ledger.aurora_rows import AUTO, Columns, LotRow, tags_text
from bourse.ledger.lots import UNTAGGED

PlainAction = Issue | Transfer | Retire
_TYPES = {Issue: "issue", Transfer: "transfer", Retire: "retire"}


def is_plain(transactions: Sequence[Transaction]) -> bool:
    """True when nothing of these has to be read before it can be posted."""
    return all(not one.expect and all(map(_is_plain, one.actions)) for one in transactions)


def _is_plain(action: object) -> bool:
    if isinstance(action, Issue):
        return action.source != action.destination
    if isinstance(action, Transfer):
        return action.spending == ANY and not action.carry_tags and action.source != action.destination
    return isinstance(action, Retire) and action.spending == ANY and action.source != action.destination


Find = Callable[[str], Numbered | None]


class Plain:
    """Makes the columns of plain transactions. Raises KeyError for a name that is unknown or closed, or a floor that does not fit."""

    def __init__(self, account: Find, flavor: Find, tagsets: Mapping[bytes, int], slot: int) -> None:
        self._account = account
        self._flavor = flavor
        self._tagsets = tagsets
        self._slot = slot

    def columns(self, transactions: Sequence[Transaction]) -> Columns:
        """The arguments of `books.post`."""
        made = Columns(transactions)
        places: dict[tuple[int, int, int, int], int] = {}

        def place(key: tuple[int, int, int, int], floor: int | None) -> LotRow:
            if key not in places:
                places[key] = len(made.lots)
                made.lots.append(LotRow(key, None, floor))
            return made.lots[places[key]]

        for number, transaction in enumerate(transactions, 1):
            at = transaction.effective_at
            for action_no, action in enumerate(transaction.actions):
                assert isinstance(action, PlainAction), "only plain transactions come here"
                flavor = self._known(self._flavor, action.flavor_id).no
                _, src_key, src_floor = self._source(action, flavor)
                dst_key, dst_floor = self._destination(action, flavor)
                src, dst = place(src_key, src_floor), place(dst_key, dst_floor)
                src.net -= action.amount
                src.low -= action.amount
                src.since = at if src.since is None else min(src.since, at)
                src.at = at if src.at is None else max(src.at, at)
                dst.net += action.amount
                dst.at = at if dst.at is None else max(dst.at, at)
                dst.rank = len(made.moves)
                if isinstance(action, Issue) and action.source_floor is not None:
                    src.set_floor = action.source_floor
                made.moves.append(
                    (
                        number,
                        action_no + 1,
                        action_no,
                        _TYPES[type(action)],
                        places[src_key] + 1,
                        places[dst_key] + 1,
                        action.amount,
                        self._set(action.action_tags),
                    )
                )
        return made

    def one(self, tenant_id: str, transaction: Transaction) -> list[str]:
        """The arguments of `books.post_one` for a transaction with one action."""
        action = transaction.actions[0]
        assert isinstance(action, PlainAction), "only plain transactions come here"
        flavor = self._known(self._flavor, action.flavor_id).no
        free, src, _ = self._source(action, flavor)
        dst, floor = self._destination(action, flavor)
        return [
            tenant_id,
            transaction.txn_id,
            transaction.kind,
            "\\x" + transaction.digest().hex(),
            transaction.effective_at.isoformat(),
            transaction.correlation_id,
            tags_text(transaction.tags),
            _TYPES[type(action)][0],
            str(flavor),
            str(action.amount),
            str(self._set(action.action_tags)),
            str(src[0]),
            "t" if free else "f",
            str(src[3]),
            str(dst[0]),
            str(dst[2]),
            str(dst[3]),
            None if floor is None else str(floor),  # type: ignore[list-item]
        ]

    def _source(self, action: PlainAction, flavor: int) -> tuple[bool, tuple[int, int, int, int], int | None]:
        """Whether the source has no floor, and the lot it spends."""
        found = self._known(self._account, action.source)
        if found.what.floor is None:
            return True, (found.no, flavor, 0, self._slot if found.what.hot else 0), None
        if isinstance(action, Issue):
            raise KeyError(action.source)
        return False, (found.no, flavor, AUTO, 0), None

    def _destination(self, action: PlainAction, flavor: int) -> tuple[tuple[int, int, int, int], int | None]:
        found = self._known(self._account, action.destination)
        if isinstance(action, Retire) and found.what.floor is not None:
            raise KeyError(action.destination)
        tagset = 0 if isinstance(action, Retire) else self._set(action.token_tags)
        return (found.no, flavor, tagset, self._slot if found.what.hot else 0), 0 if tagset else found.what.floor

    def _set(self, tags: Tags) -> int:
        return self._tagsets[canonical(dict(tags)) if tags else UNTAGGED]

    @staticmethod
    def _known(find: Find, name: str) -> Numbered:
        found = find(name)
        if found is None or getattr(found.what, "closed", False):
            raise KeyError(name)
        return found
