"""A hold on claims never stops a repayment: it gives way as far as the claims it holds are repaid. Pure.

What is repaid of a holder is taken from his free claims first. Where they are not enough, his newest hold shrinks by what is missing, then the one
before: a claim that is repaid is there no more, so nothing of it can be held, and its money is the holder's of record. In the repayment's own
transaction and before it, as the books know no other way to make a hold smaller and leave it open:

    claims/portfolio/bucket --loan--> collections/originator    (post part of the hold)
    collections/originator --loan--> claims/portfolio/bucket    (transfer: with the same tags)
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from fractions import Fraction
from typing import Final

from bourse.ledger.actions import Action, Distribute, PostHold, Tags, Transaction, Transfer
from bourse.ledger.execute import Execution, Hold
from bourse.ledger.sharing import OwedKey, Sharing
from bourse.ledger.state import LoadedState

GAVE_WAY: Final[Tags] = {"type": "hold_gave_way"}


def make_way(asked: Transaction, state: LoadedState, owed: Mapping[OwedKey, Fraction], at: datetime) -> Transaction:
    """The transaction with the holds made smaller that are in its way, as it is decided on this state, which is used up. Raises Refused as it would."""
    over = {action.over_flavor_id: action.source for action in asked.actions if isinstance(action, Distribute) and action.retire}
    holds = [one for one in state.holds.values() if one.flavor_id in over and not one.over and (one.expires_at is None or one.expires_at > at)]
    free: Counter[tuple[str, str]] = Counter()
    for key, lots in state.lots.items():
        free[key] = sum(lot.amount for lot in lots.values()) - sum(sum(hold.left.values()) for hold in holds if (hold.account_id, hold.flavor_id) == key)
    ahead: list[Action] = []
    retired = _retired(asked, state, owed, at)
    for hold in reversed(holds):
        key = hold.account_id, hold.flavor_id
        if (part := min(retired[key] - free[key], sum(hold.left.values()))) > 0:
            free[key] += part
            ahead += _shrink(hold, part, over[hold.flavor_id])
    return replace(asked, actions=(*ahead, *asked.actions))


def _retired(asked: Transaction, state: LoadedState, owed: Mapping[OwedKey, Fraction], at: datetime) -> Counter[tuple[str, str]]:
    """How much of whose tokens it would retire if nothing were held."""
    for lots in state.lots.values():
        for lot in lots.values():
            lot.held = 0
    state.holds.clear()
    retired: Counter[tuple[str, str]] = Counter()
    for move in Execution(state, at, lambda _spending: lambda _lot: True, Sharing(owed)).run(asked).moves:
        if move.type == "retire":
            retired[move.src.account_id, move.src.flavor_id] += move.amount
    return retired


def _shrink(hold: Hold, part: int, through: str) -> Iterator[Action]:
    yield PostHold(hold.hold_id, through, part, keep_rest=True, action_tags=GAVE_WAY)
    for lot, left in hold.left.items():
        if back := min(left, part):
            part -= back
            yield Transfer(hold.flavor_id, back, through, hold.account_id, token_tags=lot.tags, action_tags=GAVE_WAY)
