"""Builds a transaction, action after action, as one would say it. Whole numbers only; the same transaction may be sent any number of times."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Literal

from .connection import exact
from .money import whole
from .nouns import Posted, rfc3339
from .signing import Signer

Tags = Mapping[str, Any]
Carry = bool | Sequence[str]
_WIRE: Final = {"where": "filter", "over_where": "over_filter"}


class Builder:
    """A transaction in the making. `txn_id` is its name for ever: sent again, it is answered with the first posting."""

    def __init__(
        self,
        txn_id: str,
        at: str | datetime,
        *,
        kind: str | None = None,
        tags: Tags | None = None,
        send: Callable[[dict[str, Any], bool, Sequence[Signer]], Posted] | None = None,
    ) -> None:
        """`at` is when it happened; when it was recorded, the ledger says. A transaction of `Ledger.transaction` can `transact()`."""
        self._head: Final = {"txn_id": txn_id, "effective_at": rfc3339(at), **_given(kind=kind, tags=tags)}
        self._actions: Final[list[dict[str, Any]]] = []
        self._guards: Final[list[dict[str, Any]]] = []
        self._send: Final = send

    def issue(
        self,
        flavor_id: str,
        amount: int,
        *,
        destination: str,
        token_tags: Tags | None = None,
        action_tags: Tags | None = None,
        source: str | None = None,
        source_floor: int | None = None,
    ) -> "Builder":
        """Make tokens."""
        return self._add("issue", flavor_id=flavor_id, amount=whole(amount), **_local(locals(), "destination token_tags action_tags source source_floor"))

    def transfer(
        self,
        flavor_id: str,
        amount: int,
        *,
        source: str,
        destination: str,
        where: str | None = None,
        params: Sequence[Any] | None = None,
        order: str | None = None,
        token_tags: Tags | None = None,
        carry_tags: Carry | None = None,
        action_tags: Tags | None = None,
    ) -> "Builder":
        """Move tokens: those that match the filter `where`, in the order. They lose their tags and get `token_tags`, unless `carry_tags` keeps them."""
        names = "source destination where params order token_tags carry_tags action_tags"
        return self._add("transfer", flavor_id=flavor_id, amount=whole(amount), **_local(locals(), names))

    def retire(
        self,
        flavor_id: str,
        amount: int,
        *,
        source: str,
        where: str | None = None,
        params: Sequence[Any] | None = None,
        order: str | None = None,
        action_tags: Tags | None = None,
        destination: str | None = None,
    ) -> "Builder":
        """Take tokens out of circulation."""
        return self._add("retire", flavor_id=flavor_id, amount=whole(amount), **_local(locals(), "source where params order action_tags destination"))

    def reserve(
        self,
        hold_id: str,
        flavor_id: str,
        amount: int,
        *,
        source: str,
        expires_at: str | datetime | None = None,
        where: str | None = None,
        params: Sequence[Any] | None = None,
        order: str | None = None,
        action_tags: Tags | None = None,
    ) -> "Builder":
        """Hold tokens back until the hold is posted, released, or expires."""
        until = None if expires_at is None else rfc3339(expires_at)
        more = _local(locals(), "source where params order action_tags")
        return self._add("reserve", hold_id=hold_id, flavor_id=flavor_id, amount=whole(amount), **_given(expires_at=until), **more)

    def post_hold(
        self,
        hold_id: str,
        *,
        destination: str,
        amount: int | None = None,
        keep_rest: bool = False,
        token_tags: Tags | None = None,
        carry_tags: Carry | None = None,
        action_tags: Tags | None = None,
    ) -> "Builder":
        """Transfer what a hold reserved, in whole or part; the rest is released unless `keep_rest`."""
        part = _given(amount=None if amount is None else whole(amount), keep_rest=keep_rest or None)
        return self._add("post_hold", hold_id=hold_id, **part, **_local(locals(), "destination token_tags carry_tags action_tags"))

    def release_hold(self, hold_id: str, *, action_tags: Tags | None = None) -> "Builder":
        """Give back what a hold still reserves."""
        return self._add("release_hold", hold_id=hold_id, **_given(action_tags=action_tags))

    def distribute(
        self,
        flavor_id: str,
        amount: int,
        *,
        source: str,
        over_flavor_id: str,
        over_where: str | None = None,
        over_params: Sequence[Any] | None = None,
        fee: tuple[int, int] | None = None,
        fee_destination: str | None = None,
        rule: Literal["deficit", "seed_floor", "par"] | None = None,
        retire: bool = True,
        action_tags: Tags | None = None,
        fee_tags: Tags | None = None,
        retire_to: str | None = None,
        pay_to: str | None = None,
        out_of: int | None = None,
        rest_to: str | None = None,
    ) -> "Builder":
        """Pay an amount to the holders of another flavor, in proportion, and retire what they hold by the gross amount: exact, and in one commit.

        `fee` is a part of the amount, (1, 100) for one percent. `pay_to` names the account that is paid by the holder's, such as
        `cash/{account_tags.investor_id}`. Of `out_of` tokens the part that nobody holds is paid to `rest_to`.
        """
        paid = _given(fee=None if fee is None else [whole(part, "fee") for part in fee], retire=None if retire else False)
        more = _local(locals(), "source over_flavor_id over_where over_params fee_destination rule action_tags fee_tags retire_to pay_to rest_to")
        more |= _given(out_of=None if out_of is None else whole(out_of, "out_of"))
        return self._add("distribute", flavor_id=flavor_id, amount=whole(amount), **paid, **more)

    def reverse(
        self,
        txn_id: str,
        *,
        part: tuple[int, int] | None = None,
        amounts: Sequence[tuple[int, int | None]] = (),
        action_tags: Tags | None = None,
        advance_from: str | None = None,
    ) -> "Builder":
        """Take a transaction back: all that is left of it, a part of it such as (1, 2), or amounts of its actions by their places.

        What was spent since comes from the account that `advance_from` names by the spender's, such as `receivable/{account_id}`.
        """
        more = _given(part=part, amounts=list(amounts) or None, action_tags=action_tags, advance_from=advance_from)
        return self._add("reverse", txn_id=txn_id, **more)

    def expect(self, where: str, params: Sequence[Any] = (), *, amount: int | None = None, count: int | None = None) -> "Builder":
        """A guard: at the commit the tokens that match must add up to `amount`, or be `count` lots, or nothing is posted."""
        self._guards.append({"filter": where, **_given(params=list(params) or None, amount=amount, count=count)})
        return self

    def document(self) -> dict[str, Any]:
        """The transaction as the API reads it. Raises TypeError where a fraction has come in."""
        found: dict[str, Any] = exact({**self._head, "actions": self._actions, **_given(expect=self._guards or None)}, "transaction")
        return found

    def transact(self, *, dry_run: bool = False, signers: Sequence[Signer] = ()) -> Posted:
        """Post it: all of it or nothing, signed by each of the signers. Raises LedgerError, DigestDiffers. A dry run answers as the posting would, and
        leaves nothing behind."""
        assert self._send is not None, "a transaction of Ledger.transaction can be sent; another is given to Ledger.transactions"
        return self._send(self.document(), dry_run, signers)

    def _add(self, type_: str, **fields: Any) -> "Builder":
        self._actions.append({"type": type_, **fields})
        return self


def _given(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _local(found: Mapping[str, Any], names: str) -> dict[str, Any]:
    """Those of a method's arguments that were given, by the names the ledger has for them."""
    return _given(**{_WIRE.get(name, name): found[name] for name in names.split()})
