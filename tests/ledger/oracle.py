"""The general ledger as the plainest of models: a list of facts, added up anew whenever anything is asked. Slow, and obviously right.

It is written from the promise (books.py, actions.py, the ledger's README) and shares no rule with what it judges: not how lots are
chosen, holds counted, shares rounded or past instants checked, nor how filters are read. Filters come from a table of pairs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from bourse.ledger.actions import Transaction

from tests.ledger.oracle_actions import Doing
from tests.ledger.oracle_facts import Asks, Doubtful, Facts, No


class Oracle(Facts):
    """Books of one tenant. `meanings`: filter -> what it asks of a token."""

    def __init__(self, meanings: Mapping[str, Asks]) -> None:
        super().__init__(meanings)
        self.posted: dict[str, Transaction] = {}
        self.refused: dict[str, tuple[Transaction, str]] = {}

    # Accounts

    def close(self, account_id: str) -> str | None:
        """The code it is refused with."""
        if account_id == "world" or account_id not in self.accounts:
            return "ACCOUNT_UNKNOWN"
        if any(self.stands(lot) or self.held(lot, expired_too=True) for lot in self.lots() if lot[0] == account_id):
            return "ACCOUNT_NOT_EMPTY"
        self.accounts[account_id] = replace(self.accounts[account_id], closed=True)
        return None

    # Posting

    def post(self, transactions: Sequence[Transaction], at: datetime, *, dry_run: bool = False) -> list[bool] | str:
        """For each transaction whether it had been posted before, or the code all of them are refused with."""
        self.now = at
        unique: dict[str, Transaction] = {}
        for one in transactions:
            if differ(unique.setdefault(one.txn_id, one), one):
                return "TRANSACTION_DIFFERS"
        for one in unique.values():
            if code := self._told_before(one):
                return code
        before, new = list(self.facts), [one for one in unique.values() if one.txn_id not in self.posted]
        try:
            for number, one in enumerate(new, len(self.posted) + 1):
                self._post(one, number)
        except No as refused:
            self.facts = before
            if refused.code == "INSUFFICIENT_FUNDS" and len(new) == 1 and not dry_run:
                self.refused[new[0].txn_id] = (new[0], refused.code)
            return refused.code
        except Doubtful:
            self.facts = before
            raise
        answer = [one.txn_id in self.posted for one in transactions]
        if dry_run:
            self.facts = before
        else:
            self.posted |= {one.txn_id: one for one in new}
        return answer

    def _told_before(self, asked: Transaction) -> str | None:
        if asked.txn_id in self.posted:
            return "TRANSACTION_DIFFERS" if differ(self.posted[asked.txn_id], asked) else None
        if asked.txn_id in self.refused:
            told, code = self.refused[asked.txn_id]
            return "TRANSACTION_DIFFERS" if differ(told, asked) else code
        return None

    def _post(self, asked: Transaction, number: int) -> None:
        for guard in asked.expect:
            found = self.tokens(guard.filter)
            if guard.amount not in {None, sum(found.values())} or guard.count not in {None, len(found)}:
                raise No("GUARD_FAILED")
        for place, action in enumerate(asked.actions):
            Doing(self, asked, number, place).do(action)


def differ(one: Transaction, other: Transaction) -> bool:
    return replace(one, correlation_id="") != replace(other, correlation_id="")
