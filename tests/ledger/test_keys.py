"""Keys, quorums and signatures: the same promise in memory and in PostgreSQL."""

from dataclasses import replace
from itertools import combinations
from typing import Any

import pytest
from bourse.errors import Conflict
from bourse.ledger.actions import Account, Action, Distribute, Expect, Flavor, PostHold, ReleaseHold, Reserve, Reverse, Spending
from bourse.ledger.books import Books
from bourse.ledger.keys import SIGNATURES_MAX, Signature, sign_batch
from bourse.ledger.signing import recheck

from tests.ledger.books_builders import DAY, T, day, held, issue, opened, picture, post, refused, retire, transfer, txn
from tests.ledger.keys_builders import ANN, K1, K2, K3, MINT, key_of, over, registered, signed, signer, with_keys


@pytest.fixture
def books(empty_books: Books) -> Books:
    return with_keys(empty_books)


# Who signs what


def test_what_leaves_an_account_with_a_key_is_signed_by_it(books: Books) -> None:
    before = picture(books)
    for action in (transfer(5, "ann", "ben"), transfer(5, "ann", "ben", where="flavor_id = 'usd'"), retire(5, "ann"), Reserve("h", "usd", 5, "ann")):
        assert refused(lambda one=action: signed(books, one)) == ("SIGNATURE_MISSING", "actions.0.source")
        assert refused(lambda one=action: signed(books, one, MINT)) == ("SIGNATURE_MISSING", "actions.0.source")
    assert picture(books) == before
    signed(books, transfer(5, "ann", "ben"), ANN)
    signed(books, transfer(5, "ann", "ben", where="flavor_id = 'usd'"), ANN)
    signed(books, retire(5, "ann"), ANN)
    assert held(books, "ann") == 985


def test_whoever_may_call_gives_to_an_account_and_moves_what_names_no_keys(books: Books) -> None:
    post(books, transfer(7, "ben", "ann"), issue(3, "ann"))
    assert held(books, "ann") == 1_010


def test_tokens_of_a_flavor_with_a_key_are_made_by_it_whatever_the_action_is_called(books: Books) -> None:
    opened(books, Account("line", floor=-100), Account("source", floor=None), Account("own", floor=None, key_ids=("k1",)))
    makes: list[tuple[Action, str]] = [
        (issue(1, "ben", "coin"), "flavor_id"),
        (issue(1, "ben", "coin", source="source"), "flavor_id"),
        (transfer(1, "world", "ben", "coin"), "flavor_id"),
        (retire(1, "source", "coin", destination="world"), "flavor_id"),
        (transfer(1, "line", "ben", "coin"), "flavor_id"),
    ]
    for action, field in makes:
        assert refused(lambda one=action: signed(books, one)) == ("SIGNATURE_MISSING", f"actions.0.{field}")
        signed(books, action, MINT)
    assert refused(lambda: signed(books, issue(1, "ben", "coin", source="own"), MINT)) == ("SIGNATURE_MISSING", "actions.0.source")
    signed(books, issue(1, "ben", "coin", source="own"), MINT, K1)
    post(books, transfer(2, "ben", "vault", "coin"))


@pytest.mark.parametrize(("needed", "of"), [(2, 3), (3, 5), (1, 2), (None, 3)])
def test_every_subset_that_is_too_small_is_refused_and_every_other_is_enough(books: Books, needed: int | None, of: int) -> None:
    names = [f"q{number}" for number in range(of)]
    signers = registered(books, *names)
    opened(books, Account("safe", key_ids=tuple(names), quorum=needed))
    post(books, issue(1_000, "safe"))
    for size in range(of + 1):
        for some in combinations(signers, size):
            if size >= (needed or of):
                signed(books, transfer(1, "safe", "ben"), *some)
            else:
                code = "QUORUM_NOT_MET" if some else "SIGNATURE_MISSING"
                assert refused(lambda them=some: signed(books, transfer(1, "safe", "ben"), *them)) == (code, "actions.0.source")


def test_the_same_key_twice_counts_once(books: Books) -> None:
    move = txn(transfer(1, "vault", "ben"))
    both = [sign_batch(K1, T, [move]), *over(move, K1), *over(move, K1)]
    assert refused(lambda: books.post(T, [move], DAY, signatures=both)) == ("QUORUM_NOT_MET", "actions.0.source")
    books.post(T, [move], DAY, signatures=[sign_batch(K1, T, [move]), *over(move, K3)])


def test_a_hold_is_posted_and_released_by_the_keys_it_was_reserved_with(books: Books) -> None:
    signed(books, Reserve("h", "usd", 100, "ann"), ANN)
    assert refused(lambda: signed(books, PostHold("h", "ben"))) == ("SIGNATURE_MISSING", "actions.0")
    assert refused(lambda: signed(books, ReleaseHold("h"), MINT)) == ("SIGNATURE_MISSING", "actions.0")
    signed(books, PostHold("h", "ben", 30, keep_rest=True), ANN)
    signed(books, ReleaseHold("h"), ANN)
    signed(books, Reserve("soon", "usd", 970, "ann", expires_at=day(1)), ANN)
    post(books, transfer(1, "ben", "ann"), now=day(2))
    signed(books, transfer(971, "ann", "ben"), ANN, now=day(2))


def test_a_reversal_is_signed_by_whoever_gives_back_and_makes_tokens_only_with_the_flavors_keys(books: Books) -> None:
    signed(books, txn(transfer(5, "ben", "ann"), id="gift"))
    signed(books, txn(issue(9, "ben", "coin"), id="made"), MINT)
    signed(books, txn(retire(4, "ben", "coin"), id="gone"))
    assert refused(lambda: signed(books, Reverse("gift"))) == ("SIGNATURE_MISSING", "actions.0")
    assert refused(lambda: signed(books, Reverse("gone"), ANN)) == ("SIGNATURE_MISSING", "actions.0")
    signed(books, Reverse("gift"), ANN)
    signed(books, Reverse("gone"), MINT)
    signed(books, Reverse("made"))
    assert (held(books, "ann"), held(books, "ben", "coin")) == (1_000, 0)


def test_a_distribution_is_signed_by_the_payer_and_by_the_flavor_it_redeems(books: Books) -> None:
    opened(books, Account("payer", key_ids=("k1",)), flavors=(Flavor("loan", key_ids=("mint",)),))
    signed(books, txn(issue(60, "ann", "loan"), issue(40, "ben", "loan"), issue(100, "payer")), MINT)
    share = Distribute("usd", 50, "payer", "loan")
    assert refused(lambda: signed(books, share, MINT)) == ("SIGNATURE_MISSING", "actions.0.source")
    assert refused(lambda: signed(books, share, K1)) == ("SIGNATURE_MISSING", "actions.0.over_flavor_id")
    signed(books, share, K1, MINT)
    assert (held(books, "ann", "loan"), held(books, "ann")) == (30, 1_030)
    signed(books, replace(share, retire=False), K1)


def test_where_a_flavor_names_no_keys_nobody_retires_a_holders_tokens_without_the_holders(books: Books) -> None:
    """With a fee of all of it a distribution would take the tokens and pay nothing."""
    opened(books, flavors=("loan",))
    post(books, issue(60, "ann", "loan"), issue(40, "ben", "loan"))
    theft = Distribute("usd", 100, "ben", "loan", fee=(1, 1))
    before = picture(books)
    assert refused(lambda: signed(books, theft)) == ("SIGNATURE_MISSING", "actions.0")
    assert picture(books) == before
    signed(books, replace(theft, over=Spending("account_id = 'ben'"), amount=10))
    signed(books, replace(theft, amount=90), ANN)


def test_a_tenants_default_asks_for_every_account_and_flavor_that_names_no_keys(books: Books) -> None:
    """L10: one key `operations` for all objects."""
    [operations] = registered(books, "operations")
    books.keys.set_default(T, ("operations",), None, DAY)
    assert refused(lambda: post(books, transfer(1, "ben", "ann"))) == ("SIGNATURE_MISSING", "actions.0.source")
    assert refused(lambda: post(books, issue(1, "ben"))) == ("SIGNATURE_MISSING", "actions.0.flavor_id")
    assert refused(lambda: signed(books, transfer(1, "ann", "ben"), operations)) == ("SIGNATURE_MISSING", "actions.0.source")
    signed(books, txn(issue(10, "ben"), transfer(4, "ben", "ann"), retire(1, "ben")), operations)
    signed(books, issue(1, "ben", "coin"), MINT)
    books.keys.set_default(T, (), None, DAY)
    post(books, transfer(1, "ben", "ann"))


# What a signature covers


def test_one_signature_covers_a_whole_batch_and_no_other(books: Books) -> None:
    batch = [txn(transfer(1, "ann", "ben")) for _ in range(20)]
    one = sign_batch(ANN, T, batch)
    for other in (batch[1:], batch[::-1], [*batch, txn(issue(1, "ben"))], [replace(batch[0], kind="other"), *batch[1:]]):
        assert refused(lambda them=other: books.post(T, them, DAY, signatures=[one])) == ("SIGNATURE_INVALID", "signatures.0")
    books.post(T, batch, DAY, signatures=[one])
    assert held(books, "ann") == 980


def test_a_signature_over_one_transaction_covers_it_in_any_batch_and_nothing_else(books: Books) -> None:
    mine, yours, bens = txn(transfer(1, "ann", "ben")), txn(transfer(2, "vault", "ben")), txn(transfer(1, "ben", "ann"))
    signatures = [*over(mine, ANN), *over(yours, K1)]
    assert refused(lambda: books.post(T, [mine, yours, bens], DAY, signatures=signatures)) == ("QUORUM_NOT_MET", "actions.0.source")
    books.post(T, [bens, mine, yours], DAY, signatures=[*signatures, *over(yours, K2)])
    twice = [txn(transfer(1, "ann", "ben")), txn(transfer(1, "ann", "ben"))]
    assert refused(lambda: books.post(T, twice, DAY, signatures=over(twice[0], ANN))) == ("SIGNATURE_MISSING", "actions.0.source")
    swapped = replace(over(mine, ANN)[0], txn_id="fresh")
    fresh = txn(transfer(1, "ann", "ben"), id="fresh")
    assert refused(lambda: books.post(T, [fresh], DAY, signatures=[swapped])) == ("SIGNATURE_INVALID", "signatures.0")
    assert refused(lambda: books.post(T, [fresh], DAY, signatures=over(mine, ANN))) == ("SIGNATURE_INVALID", "signatures.0.txn_id")


def test_a_signature_is_for_one_tenants_books(books: Books) -> None:
    registered(books, "ann-key", tenant_id="t2")
    books.open_flavor("t2", Flavor("usd"))
    for account in (Account("ann", key_ids=("ann-key",)), Account("ben")):
        books.open_account("t2", account)
    books.post("t2", [txn(issue(5, "ann"))], DAY)
    move = txn(transfer(5, "ann", "ben"))
    mine = [sign_batch(ANN, T, [move])]
    assert refused(lambda: books.post("t2", [move], DAY, signatures=mine)) == ("SIGNATURE_INVALID", "signatures.0")
    books.post(T, [move], DAY, signatures=mine)


@pytest.mark.parametrize("signature", [b"", b"\0" * 64, b"\xff" * 64, b"x" * 10_000, "text", None, 5])
def test_what_is_no_signature_is_refused(books: Books, signature: Any) -> None:
    one = Signature("ann-key", signature)
    assert refused(lambda: books.post(T, [txn(transfer(1, "ann", "ben"))], DAY, signatures=[one])) == ("SIGNATURE_INVALID", "signatures.0")


def test_every_bit_of_a_signature_counts(books: Books) -> None:
    move = txn(transfer(1, "ann", "ben"))
    [good] = over(move, ANN)
    for place in range(0, 512, 37):
        bad = bytearray(good.signature)
        bad[place // 8] ^= 1 << place % 8
        assert refused(lambda one=bytes(bad): books.post(T, [move], DAY, signatures=[replace(good, signature=one)]))[0] == "SIGNATURE_INVALID"
    books.post(T, [move], DAY, signatures=[good])


def test_a_wrong_signature_is_refused_also_where_none_is_asked_for(books: Books) -> None:
    move = txn(transfer(1, "ben", "ann"))
    forged = Signature("ann-key", over(txn(issue(1, "ben")), ANN)[0].signature)
    assert refused(lambda: books.post(T, [move], DAY, signatures=[forged])) == ("SIGNATURE_INVALID", "signatures.0")
    assert refused(lambda: signed(books, move, signer("stranger"))) == ("KEY_UNKNOWN", "signatures.0.key_id")
    assert refused(lambda: signed(books, move, ANN, signer("k1", "not its material"))) == ("SIGNATURE_INVALID", "signatures.1")


def test_ten_thousand_signatures_are_refused_before_one_is_verified(books: Books) -> None:
    move = txn(transfer(1, "ann", "ben"))
    many = over(move, ANN) * 10_000
    assert refused(lambda: books.post(T, [move], DAY, signatures=many)) == ("TOO_MANY_SIGNATURES", "signatures")
    books.post(T, [move], DAY, signatures=many[:SIGNATURES_MAX])


# Doing it twice


def test_what_was_posted_is_answered_again_without_signatures_or_with_a_key_that_ended_since(books: Books) -> None:
    move = txn(transfer(1, "ann", "ben"))
    signatures = [sign_batch(ANN, T, [move])]
    [first] = books.post(T, [move], DAY, signatures=signatures)
    books.keys.revoke_key(T, "ann-key", DAY)
    for again in ((), signatures):
        [answer] = books.post(T, [move], DAY, signatures=again)
        assert (answer.before, answer.sequence_number) == (True, first.sequence_number)
    with pytest.raises(Conflict, match="TRANSACTION_DIFFERS"):
        books.post(T, [replace(move, kind="other")], DAY, signatures=signatures)
    assert held(books, "ann") == 999
    assert len(books.keys.kept(T)) == 1


def test_of_a_batch_that_was_posted_in_part_the_rest_stands_on_the_batchs_signature(books: Books) -> None:
    batch = [txn(transfer(1, "ann", "ben")) for _ in range(3)]
    books.post(T, batch[1:2], DAY, signatures=over(batch[1], ANN))
    assert refused(lambda: books.post(T, batch, DAY)) == ("SIGNATURE_MISSING", "actions.0.source")
    answers = books.post(T, batch, DAY, signatures=[sign_batch(ANN, T, batch)])
    assert [one.before for one in answers] == [False, True, False]
    _, kept = books.keys.kept(T)
    assert [txn_id for txn_id, _ in kept.signed] == [one.txn_id for one in batch]
    assert recheck(T, kept, books.keys.versions(T, "ann-key")[0]) is None


def test_a_refusal_for_want_of_a_signature_is_not_remembered_and_one_for_want_of_money_is(books: Books) -> None:
    move, rich = txn(transfer(1, "ann", "ben")), txn(transfer(5_000, "ann", "ben"))
    assert refused(lambda: books.post(T, [move], DAY))[0] == "SIGNATURE_MISSING"
    books.post(T, [move], DAY, signatures=over(move, ANN))
    assert refused(lambda: books.post(T, [rich], DAY))[0] == "SIGNATURE_MISSING", "a stranger uses up nobody's id"
    assert refused(lambda: books.post(T, [rich], DAY, signatures=over(rich, ANN)))[0] == "INSUFFICIENT_FUNDS"
    post(books, issue(10_000, "ann"))
    assert refused(lambda: books.post(T, [rich], DAY))[0] == "INSUFFICIENT_FUNDS"


def test_a_dry_run_asks_for_the_same_signatures_and_keeps_none(books: Books) -> None:
    for where in ("", "flavor_id = 'usd'"):
        move = txn(transfer(1, "ann", "ben", where=where))
        assert refused(lambda one=move: books.post(T, [one], DAY, dry_run=True))[0] == "SIGNATURE_MISSING"
        signed(books, move, ANN, dry_run=True)
    assert (books.keys.kept(T), held(books, "ann")) == ([], 1_000)


# What is kept


def test_what_a_posting_stood_on_can_be_verified_for_ever(books: Books) -> None:
    plain = [txn(transfer(1, "ann", "ben")), txn(issue(1, "ben"))]
    decided = [txn(transfer(1, "vault", "ben", where="flavor_id = 'usd'")), txn(retire(1, "ann"), expect=(Expect("account_id = 'ann'", count=1),))]
    for batch in (plain, decided):
        signatures = [sign_batch(one, T, batch) for one in (ANN, K2, K3)]
        posted = books.post(T, batch, DAY, signatures=[*signatures, *over(batch[1], MINT)])
        kept = books.keys.kept(T)[-4:]
        assert [(one.key_id, one.scope, one.posting_no) for one in kept][2:] == [
            ("k3", "batch", posted[0].sequence_number),
            ("mint", "transaction", posted[0].sequence_number),
        ]
        assert kept[0].signed == tuple((one.txn_id, one.digest()) for one in batch)
    books.keys.rotate_key(T, key_of(signer("ann-key", "new"), valid_from=day(1)), day(1))
    books.keys.revoke_key(T, "k2", day(1))
    for one in books.keys.kept(T):
        version = books.keys.versions(T, one.key_id)[one.version - 1]
        assert recheck(T, one, version) is None
        assert recheck("t2", one, version) == "SIGNATURE_INVALID"
        assert recheck(T, replace(one, signed=one.signed[::-1] if len(one.signed) > 1 else ()), version) == "SIGNATURE_COVERS_OTHERS"
        assert recheck(T, replace(one, accepted_at=day(-2)), version) == "KEY_NOT_VALID"


def test_kept_signatures_are_read_page_by_page(books: Books) -> None:
    for _ in range(3):
        signed(books, transfer(1, "vault", "ben"), K1, K2)
    seen: list[tuple[int, int]] = []
    while page := books.keys.kept(T, after=seen[-1] if seen else (0, 0), limit=4):
        seen += [(one.posting_no, one.place) for one in page]
    assert (len(seen), len(set(seen)), seen) == (6, 6, sorted(seen))
