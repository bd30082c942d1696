"""Builders for the tests of keys: signers whose keys are registered, and postings they sign."""

from typing import Any

from bourse.ledger.actions import Account, Action, Flavor, Posted, Transaction
from bourse.ledger.books import Books
from bourse.ledger.keys import Key, Signature, Signer, sign_batch, sign_transaction
from bourse.ledger.signing import Ed25519Signer

from tests.ledger.books_builders import DAY, T, day, issue, opened, post, txn

BEFORE = day(-1)


def signer(key_id: str, material: str | None = None) -> Ed25519Signer:
    """The holder of a key; other material is another private key."""
    return Ed25519Signer.from_secret(key_id, (material or key_id).ljust(40, "."))


ANN, K1, K2, K3, MINT = (signer(key_id) for key_id in ("ann-key", "k1", "k2", "k3", "mint"))


def key_of(one: Signer, **more: Any) -> Key:
    return Key(one.key_id, one.algorithm, one.public_key(), **{"valid_from": BEFORE, **more})


def registered(books: Books, *key_ids: str, tenant_id: str = T) -> tuple[Ed25519Signer, ...]:
    """Signers whose keys the books know."""
    signers = tuple(signer(key_id) for key_id in key_ids)
    for one in signers:
        books.keys.open_key(tenant_id, key_of(one))
    return signers


def signed(books: Books, actions: Action | Transaction, *signers: Signer, now: Any = DAY, tenant_id: str = T, dry_run: bool = False) -> Posted:
    """Post one transaction, each signer signing it as a batch of one."""
    transaction = actions if isinstance(actions, Transaction) else txn(actions)
    signatures = [sign_batch(one, tenant_id, [transaction]) for one in signers]
    [posted] = books.post(tenant_id, [transaction], now, signatures=signatures, dry_run=dry_run)
    return posted


def with_keys(books: Books) -> Books:
    """Dollars and ben name no keys, ann names hers, the vault two of three, and coins are made by the mint."""
    registered(books, "ann-key", "k1", "k2", "k3", "mint")
    opened(books, Account("ann", key_ids=("ann-key",)), Account("vault", key_ids=("k1", "k2", "k3"), quorum=2), "ben")
    opened(books, flavors=("usd", Flavor("coin", key_ids=("mint",))))
    post(books, issue(1_000, "ann"), issue(1_000, "vault"), issue(1_000, "ben"))
    return books


def over(transaction: Transaction, *signers: Signer) -> list[Signature]:
    """Signatures over this transaction alone."""
    return [sign_transaction(one, T, transaction) for one in signers]
