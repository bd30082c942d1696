"""Who has to sign what: the quorums a posting needs, held against the signatures that came with it. Pure.

| what happens | whose keys sign |
|---|---|
| tokens leave an account: transfer, retire, reserve, post or release a hold, distribute, give back in a reversal | the account's |
| tokens are made: an issue, a reversed retirement, whatever leaves an account that may stand below zero | the flavor's too |
| a distribution retires the holders' tokens | those of the flavor that is redeemed; if it names none, each holder's that names some |
| tokens are received; a hold expires | nobody's |

An account or flavor that names no keys takes the tenant's default, and without one it is open to whoever may call. What leaves an
account without a floor is made there, so without keys of its own such an account, `world` first of all, leaves it to the flavor's.
Opening, tagging and closing are not signed, as they were not in Sequence: they move no tokens.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, Protocol

from bourse.errors import Refused
from bourse.ledger.actions import Account, Action, Distribute, Flavor, Issue, Posted, Reserve, Retire, Transaction, Transfer
from bourse.ledger.execute import Executed
from bourse.ledger.keys import OPEN, SIGNATURES_MAX, KeyVersion, Quorum, Signature, batch_digest, message, quorum_of
from bourse.ledger.signing import verify

_VERSIONS_TRIED: Final = 4

AccountOf = Callable[[str], Account | None]
FlavorOf = Callable[[str], Flavor | None]


class NotSigned(Refused):
    """A posting is refused for its signatures: SIGNATURE_MISSING, SIGNATURE_INVALID, KEY_UNKNOWN, KEY_REVOKED, QUORUM_NOT_MET, TOO_MANY_SIGNATURES."""


@dataclass(frozen=True, slots=True)
class Verified:
    """A signature that is good, by this version of its key."""

    key_id: str
    version: int
    scope: Literal["transaction", "batch"]
    digest: bytes
    signature: bytes
    txn_ids: tuple[str, ...]
    """What it covers, in the order it was signed."""


class Trusting(Protocol):
    """Who knows which keys a tenant trusts: its register, or a `Trust` that was read from it."""

    def trusted(self, tenant_id: str, key_ids: Sequence[str]) -> tuple[Quorum, Mapping[str, Sequence[KeyVersion]]]: ...


@dataclass(frozen=True, slots=True)
class Trust:
    """What was read of a tenant's keys, for use where reading more must not be: inside a transaction of the database."""

    default: Quorum
    known: Mapping[str, Sequence[KeyVersion]]

    def trusted(self, _tenant_id: str, _key_ids: Sequence[str]) -> tuple[Quorum, Mapping[str, Sequence[KeyVersion]]]:
        return self.default, self.known


def verified(keys: Trusting, tenant_id: str, transactions: Sequence[Transaction], signatures: Sequence[Signature], at: datetime) -> "Warrant":
    """The warrant these signatures give. Every one is verified, also one that nobody asks for: a wrong one is an error or an attack.

    Raises Refused SIGNATURE_INVALID, KEY_UNKNOWN, KEY_REVOKED, TOO_MANY_SIGNATURES with the place: `signatures.2.key_id`.
    """
    if len(signatures) > SIGNATURES_MAX:
        raise NotSigned("TOO_MANY_SIGNATURES", f"a posting may have {SIGNATURES_MAX} signatures", "signatures")
    default, known = keys.trusted(tenant_id, sorted({one.key_id for one in signatures}))
    if not signatures:
        return Warrant((), default, at)
    digests = {one.txn_id: one.digest() for one in transactions}
    batch = batch_digest([digests[one.txn_id] for one in transactions])
    every = tuple(one.txn_id for one in transactions)
    good = []
    for number, one in enumerate(signatures):
        where = f"signatures.{number}"
        if one.txn_id is not None and one.txn_id not in digests:
            raise NotSigned("SIGNATURE_INVALID", f"no transaction {one.txn_id} is posted here", f"{where}.txn_id")
        scope: Literal["transaction", "batch"] = "batch" if one.txn_id is None else "transaction"
        digest = batch if one.txn_id is None else digests[one.txn_id]
        version = _version(known.get(one.key_id, ()), one, message(tenant_id, scope, digest), at, where)
        good.append(Verified(one.key_id, version.version, scope, digest, one.signature, every if one.txn_id is None else (one.txn_id,)))
    return Warrant(good, default, at)


def _version(versions: Sequence[KeyVersion], one: Signature, signed: bytes, at: datetime, where: str) -> KeyVersion:
    """The version of the key that signed. Raises Refused."""
    begun = [version for version in versions if version.valid_from <= at]
    if not begun:
        raise NotSigned("KEY_UNKNOWN", f"there is no key {one.key_id}" if not versions else f"the key {one.key_id} is not valid yet", f"{where}.key_id")
    newest = sorted(begun, key=lambda version: (version.is_over(at), -version.version))[:_VERSIONS_TRIED]
    if newest[0].is_over(at):
        raise NotSigned("KEY_REVOKED", f"the key {one.key_id} signs nothing any more", f"{where}.key_id")
    for version in newest:
        if verify(version.algorithm, version.public_key, signed, one.signature):
            if version.is_over(at):
                raise NotSigned("KEY_REVOKED", f"version {version.version} of the key {one.key_id} signs nothing any more", f"{where}.key_id")
            return version
    raise NotSigned("SIGNATURE_INVALID", f"this is no signature of the key {one.key_id} over this posting", where)


class Warrant:
    """What a posting may do by the signatures that came with it."""

    def __init__(self, signatures: Sequence[Verified], default: Quorum, at: datetime) -> None:
        self.signatures: Final = signatures
        self.at: Final = at
        self._default: Final = default
        self._batch: Final = frozenset(one.key_id for one in signatures if one.scope == "batch")
        self._single: Final[dict[str, frozenset[str]]] = {}
        for one in signatures:
            if one.scope == "transaction":
                self._single[one.txn_ids[0]] = self._single.get(one.txn_ids[0], frozenset()) | {one.key_id}

    @property
    def asks_for_keys(self) -> bool:
        """Whether accounts and flavors that name no keys ask for some."""
        return self._default is not OPEN and bool(self._default.needed)

    def require(self, transactions: Sequence[Transaction], account_of: AccountOf, flavor_of: FlavorOf) -> None:
        """Raises Refused SIGNATURE_MISSING, QUORUM_NOT_MET for what can be said before anything is executed; unknown names are left to that."""
        asked = _Asked(self._default, account_of, flavor_of)
        met: set[tuple[Quorum, frozenset[str]]] = set()
        for transaction in transactions:
            signers = self._signers(transaction)
            for number, action in enumerate(transaction.actions):
                for quorum, field in asked.by(action):
                    if (quorum, signers) not in met:
                        _check(quorum, signers, f"actions.{number}.{field}")
                        met.add((quorum, signers))

    def require_done(self, done: Sequence[Executed], account_of: AccountOf, flavor_of: FlavorOf) -> None:
        """Raises Refused SIGNATURE_MISSING, QUORUM_NOT_MET for what only the execution could tell: whose holds and whose tokens they were."""
        asked = _Asked(self._default, account_of, flavor_of)
        for executed in done:
            signers = self._signers(executed.transaction)
            for number, quorum in asked.by_executed(executed):
                _check(quorum, signers, f"actions.{number}")

    def _signers(self, transaction: Transaction) -> frozenset[str]:
        return self._batch | self._single[transaction.txn_id] if transaction.txn_id in self._single else self._batch

    def document(self, known: Mapping[str, Posted], new: Sequence[Transaction]) -> dict[str, Any]:
        """What `books.keep_signatures` takes. Of a transaction posted before it says the number, of a new one its place, as -1, -2, ..."""
        places = {one.txn_id: -place for place, one in enumerate(new, 1)}
        covers = {txn_id: posted.sequence_number for txn_id, posted in known.items()} | places
        all_new = tuple(places)
        signatures = [
            {
                "key_id": one.key_id,
                "version": one.version,
                "scope": one.scope,
                "digest": one.digest.hex(),
                "signature": one.signature.hex(),
                "covers": None if one.txn_ids == all_new else [covers[txn_id] for txn_id in one.txn_ids],
            }
            for one in self.signatures
        ]
        return {"at": self.at.isoformat(), "signatures": signatures}


def _check(quorum: Quorum, signers: frozenset[str], field: str) -> None:
    if len(quorum.key_ids & signers) < quorum.needed:
        names = ", ".join(sorted(quorum.key_ids))
        if not quorum.key_ids & signers:
            raise NotSigned("SIGNATURE_MISSING", f"{quorum.needed} of these keys must sign: {names}", field)
        raise NotSigned("QUORUM_NOT_MET", f"{len(quorum.key_ids & signers)} of {names} signed, and {quorum.needed} must", field)


class _Asked:
    """Which quorums actions ask for, each name looked up once."""

    def __init__(self, default: Quorum, account_of: AccountOf, flavor_of: FlavorOf) -> None:
        self._default: Final = default
        self._account_of: Final = account_of
        self._flavor_of: Final = flavor_of
        self._accounts: Final[dict[str, tuple[Quorum, bool]]] = {}
        self._flavors: Final[dict[str, Quorum]] = {}

    def by(self, action: Action) -> Iterator[tuple[Quorum, str]]:
        if not isinstance(action, Issue | Transfer | Retire | Reserve | Distribute):
            return
        quorum, makes = self._source(action.source)
        if quorum.needed:
            yield quorum, "source"
        if (makes or isinstance(action, Issue)) and (of_flavor := self._flavor(action.flavor_id)).needed:
            yield of_flavor, "flavor_id"
        if isinstance(action, Distribute) and action.retire and (redeemed := self._flavor(action.over_flavor_id)).needed:
            yield redeemed, "over_flavor_id"

    def by_executed(self, executed: Executed) -> Iterator[tuple[int, Quorum]]:
        """An action that says itself whose tokens it takes was asked for before; of any other, every token that left is asked for."""
        actions = executed.transaction.actions
        for number, account_id, flavor_id in self._left(executed):
            action = actions[number]
            if isinstance(action, Issue | Transfer | Retire | Reserve):
                continue
            if isinstance(action, Distribute):
                if flavor_id != action.over_flavor_id or account_id == action.source or self._names_keys(flavor_id):
                    continue
                yield number, quorum_of(self._executed(account_id))
                continue
            self._executed(account_id)
            quorum, makes = self._source(account_id)
            yield number, quorum
            if makes:
                yield number, self._flavor(flavor_id)

    def _executed(self, account_id: str) -> Account:
        account = self._account_of(account_id)
        assert account is not None, "an executed account is known: of one that is not, nobody could say whose keys it asks for"
        return account

    @staticmethod
    def _left(executed: Executed) -> Iterator[tuple[int, str, str]]:
        """(action, account, flavor) of tokens that moved, or ceased to be held but by the clock."""
        for move in executed.moves:
            yield move.action_no, move.src.account_id, move.src.flavor_id
        for held in executed.hold_moves:
            if held.type != "expire":
                yield held.action_no, held.hold.account_id, held.hold.flavor_id

    def _names_keys(self, flavor_id: str) -> bool:
        flavor = self._flavor_of(flavor_id)
        return flavor is not None and bool(flavor.key_ids)

    def _source(self, account_id: str) -> tuple[Quorum, bool]:
        """Who signs for the account, and whether its tokens are made as they leave."""
        if account_id not in self._accounts:
            account = self._account_of(account_id)
            if account is None:
                return OPEN, False
            own = quorum_of(account)
            self._accounts[account_id] = own if own.needed or account.floor is None else self._default, account.floor != 0
        return self._accounts[account_id]

    def _flavor(self, flavor_id: str) -> Quorum:
        if flavor_id not in self._flavors:
            flavor = self._flavor_of(flavor_id)
            if flavor is None:
                return OPEN
            own = quorum_of(flavor)
            self._flavors[flavor_id] = own if own.needed else self._default
        return self._flavors[flavor_id]
