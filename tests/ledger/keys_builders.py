"""Builders for the tests of keys: signers whose keys are registered, and postings they sign."""

from typing import Any

from bourse.ledger.actions import Action, Posted, Transaction
from bourse.ledger.books import Books
from bourse.ledger.keys import Key, Signature, Signer, sign_batch, sign_transaction
from bourse.ledger.signing import Ed25519Signer

from tests.ledger.books_builders import DAY, T, day, txn

BEFORE = day(-1)


def signer(key_id: str, material: str | None = None) -> Ed25519Signer:
    """The holder of a key; other material is another private key."""
    return Ed25519Signer.from_secret(key_id, (material or key_id).ljust(40, "."))


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


def over(transaction: Transaction, *signers: Signer) -> list[Signature]:
    """Signatures over this transaction alone."""
    return [sign_transaction(one, T, transaction) for one in signers]
