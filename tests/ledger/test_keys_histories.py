"""Random histories with keys: memory and PostgreSQL refuse alike, and whatever moved had the signatures it needed."""

from dataclasses import replace
from itertools import count
from typing import Any

from bourse.aws.postgres import Database
from bourse.errors import Refused
from bourse.ledger.actions import Account, Action, Distribute, Flavor, Transaction
from bourse.ledger.aurora_books import AuroraBooks
from bourse.ledger.aurora_checker import AuroraChecker
from bourse.ledger.books import Books, Question
from bourse.ledger.keys import quorum_of, sign_batch, sign_transaction
from bourse.ledger.memory_books import MemoryBooks
from bourse.ledger.signing import recheck
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.ledger.books_builders import CLOCK, DAY, T, issue, transfer, txn
from tests.ledger.keys_builders import registered, signer
from tests.ledger.test_books_histories import actions

KEYS = ("k1", "k2", "k3")
SIGNERS = {key_id: signer(key_id) for key_id in KEYS}
ACCOUNTS = (Account("ann", key_ids=("k1",)), Account("ben"), Account("line", floor=-40, key_ids=KEYS, quorum=2))
FLAVORS = (Flavor("usd"), Flavor("loan", key_ids=("k3",)))
_tenants = count(1)

Step = tuple[list[list[Action]], list[str], list[list[str]], bool]
"""Transactions; the keys that sign their batch; those that sign one each; whether k1 is revoked before."""
signing = st.lists(st.sampled_from(KEYS), max_size=3)
steps: st.SearchStrategy[Step] = st.tuples(
    st.lists(st.lists(actions(), min_size=1, max_size=2), min_size=1, max_size=2),
    signing,
    st.lists(signing, min_size=2, max_size=2),
    st.integers(0, 30).map(lambda n: n == 0),
)


def opened(books: Books, tenant: str) -> Books:
    registered(books, *KEYS, tenant_id=tenant)
    for flavor in FLAVORS:
        books.open_flavor(tenant, flavor)
    for account in ACCOUNTS:
        books.open_account(tenant, account)
    return books


def play(books: Books, tenant: str, history: list[Step]) -> tuple[list[Any], dict[str, set[str]], dict[str, Transaction]]:
    """What was answered, who signed what was posted, and what it was."""
    answers: list[Any] = []
    signers: dict[str, set[str]] = {}
    done: dict[str, Transaction] = {}
    for place, (made, batch, single, revokes) in enumerate(history):
        if revokes:
            books.keys.revoke_key(tenant, "k1", DAY)
        asked = [txn(*one, id=f"{place}.{number}") for number, one in enumerate(made)]
        signatures = [sign_batch(SIGNERS[key_id], tenant, asked) for key_id in batch]
        each = list(zip(asked, single, strict=False))
        signatures += [sign_transaction(SIGNERS[name], tenant, transaction) for transaction, names in each for name in names]
        try:
            answers.append([one.before for one in books.post(tenant, asked, DAY, signatures=signatures)])
        except Refused as refused:
            answers.append((refused.code, refused.field, refused.detail))
            continue
        signers |= {transaction.txn_id: {*batch, *names} for transaction, names in each}
        done |= {transaction.txn_id: transaction for transaction in asked}
    return answers, signers, done


@given(history=st.lists(steps, max_size=12))
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_memory_and_postgresql_refuse_and_keep_alike(database: Database, history: list[Step]) -> None:
    tenant = f"t{next(_tenants)}"
    one, other = opened(MemoryBooks(CLOCK), tenant), opened(AuroraBooks(database), tenant)
    first = play(one, tenant, history)
    assert play(other, tenant, history) == first
    assert list(AuroraChecker(database).differences(tenant)) == []
    kept, told = (books.keys.kept(tenant, limit=1_000) for books in (other, one))
    assert [replace(it, posting_no=0) for it in kept] == [replace(it, posting_no=0) for it in told]
    for it in kept:
        # Here all happens at one instant, so a revocation is at the time of what the key signed before.
        assert recheck(tenant, it, replace(other.keys.versions(tenant, it.key_id)[0], revoked_at=None)) is None


@given(history=st.lists(steps, max_size=25))
@settings(max_examples=300, deadline=None)
def test_nothing_moved_out_of_an_account_or_was_made_without_the_quorum_it_names(history: list[Step]) -> None:
    """Looked at from the journal alone, whatever the actions were called."""
    books = opened(MemoryBooks(CLOCK), T)
    _, signers, done = play(books, T, history)
    accounts, flavors = {one.account_id: one for one in ACCOUNTS}, {one.flavor_id: one for one in FLAVORS}
    for move in books.actions(T, Question(), limit=1_000).items:
        signed = signers[move.txn_id]
        source, flavor = accounts.get(move.source, Account(move.source, floor=None)), flavors[move.flavor_id]
        asked = [quorum_of(source), *([quorum_of(flavor)] if source.floor != 0 else [])]
        met = all(len(one.key_ids & signed) >= one.needed for one in asked)
        redeems = isinstance(done[move.txn_id].actions[move.action_no], Distribute) and move.type == "retire"
        redeemed = redeems and flavor.key_ids and set(flavor.key_ids) <= signed
        assert met or redeemed, move


def test_a_history_that_signs_enough_is_posted() -> None:
    """So that the histories above are not all refusals."""
    books = opened(MemoryBooks(CLOCK), T)
    answers, _, _ = play(books, T, [([[one]], ["k1", "k2", "k3"], [[], []], False) for one in _plain_actions()])
    assert answers == [[False]] * 3


def _plain_actions() -> list[Action]:
    return [issue(10, "ann", "loan"), transfer(4, "ann", "line", "loan"), transfer(2, "line", "ben", "loan")]
