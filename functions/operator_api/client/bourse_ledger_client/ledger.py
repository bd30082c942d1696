"""The ledger as a program sees it: `ledger.accounts`, `.flavors`, `.transactions`, `.tokens`, `.actions`, `.feeds`, `.sums`, `.keys`, `.templates`, holds,
statements, the trial balance."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Generic, Self

from .connection import ROOT, Connection, step
from .errors import LedgerError, error_of
from .feeds import PAGE, Feeds, Sums
from .keys import Keys
from .nouns import (
    Account,
    Action,
    Explanation,
    Flavor,
    Hold,
    Noun,
    Page,
    Posted,
    Statement,
    StatementEntry,
    StatementTotal,
    Sum,
    Token,
    Transaction,
    TrialBalanceRow,
    explanation,
    read,
    rfc3339,
)
from .signing import Signer, sign_all, sign_each
from .templates import Templates
from .transaction import Builder

Bound = tuple[str, str, int]
"""What a group's amount, count, min or max must be: ("amount", ">=", 100)."""
Time = str | datetime


class Ledger:
    """One tenant's ledger, which the token names.

        ledger = Ledger("https://operator.example.com", token)
        ledger.transaction("deposit-22222", at="2017-12-02T09:30:00Z").issue("usd", 100_000, destination="investor1").transact()

    Lists are iterators that fetch page after page. Failed tries are repeated with the same id. Not for two threads at once.
    """

    def __init__(self, url: str, token: str, **options: Any) -> None:
        """`options` are those of `Connection`: timeout_seconds, tries_max, wait."""
        self._connection: Final = Connection(url, token, **options)
        self.flavors: Final = Flavors(self._connection)
        self.accounts: Final = Accounts(self._connection)
        self.transactions: Final = Transactions(self._connection)
        self.tokens: Final = Tokens(self._connection)
        self.actions: Final = Actions(self._connection)
        self.feeds: Final = Feeds(self._connection)
        self.sums: Final = Sums(self._connection)
        self.keys: Final = Keys(self._connection)
        self.templates: Final = Templates(self._connection)

    def close(self) -> None:
        """Give the connection back."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def transaction(self, txn_id: str, at: Time, *, kind: str | None = None, tags: Mapping[str, Any] | None = None) -> Builder:
        """A transaction to add actions to and then `transact()`. `at` is when it happened."""
        return Builder(txn_id, at, kind=kind, tags=tags, send=self.transactions.post)

    def hold(self, hold_id: str) -> Hold:
        """Raises NotFound."""
        return read(Hold, self._connection.ask("GET", f"{ROOT}/holds/{step(hold_id)}"))

    def statement(
        self, account_id: str, since: Time, until: Time, *, flavor_id: str | None = None, known_at: Time | None = None, page: int = PAGE
    ) -> Statement:
        """Effective times from `since` on and before `until`; of one flavor or all."""
        query: dict[str, Any] = {"from": rfc3339(since), "to": rfc3339(until), "flavor_id": flavor_id, "limit": page}
        query["known_at"] = None if known_at is None else rfc3339(known_at)
        path = f"{ROOT}/statements/{step(account_id)}"
        first = self._connection.ask("GET", path, query=query)
        entries = self._connection.pages("GET", path, query, "entries", first)
        return Statement(account_id, [read(StatementTotal, one) for one in first["totals"]], (read(StatementEntry, one) for one in entries))

    def trial_balance(self, *, effective_at: Time | None = None, known_at: Time | None = None) -> list[TrialBalanceRow]:
        """Every flavor; its debits and credits are the same."""
        return [read(TrialBalanceRow, one) for one in self._connection.ask("GET", f"{ROOT}/trial-balance", query=_times(effective_at, known_at))]


class _Listed(Generic[Noun]):
    """A noun that is found by filter."""

    _path: str
    _noun: type[Noun]

    def __init__(self, connection: Connection) -> None:
        self._connection: Final = connection

    def list(self, where: str = "", params: Sequence[Any] = (), *, page: int = PAGE, **asked: Any) -> Iterator[Noun]:
        """Those that match the filter, fetched page by page as they are read."""
        body = {"filter": where, "params": list(params), "limit": page, **asked}
        for one in self._connection.pages("POST", f"{ROOT}/{self._path}/list", body):
            yield read(self._noun, one)

    def page(self, where: str = "", params: Sequence[Any] = (), *, cursor: str | None = None, limit: int = PAGE, **asked: Any) -> Page[Noun]:
        """One page, and the cursors of the next and of the one before: for who walks both ways. A cursor is asked with the same question; all pages of a
        walk show what the first one's moment showed, in the same order whichever way they are walked."""
        body = {"filter": where, "params": list(params), "limit": limit, "cursor": cursor, **asked}
        found = self._connection.ask("POST", f"{ROOT}/{self._path}/list", body=body)
        return Page([read(self._noun, one) for one in found["items"]], found["cursor"], found["previous"])

    def _sum(self, where: str, params: Sequence[Any], group_by: Sequence[str], having: Sequence[Bound], asked: Mapping[str, Any]) -> Sequence[Sum]:
        bounds = [{"of": of, "op": op, "value": value} for of, op, value in having]
        body = {"filter": where, "params": [*params], "group_by": [*group_by], "having": bounds, **asked}
        return [read(Sum, one) for one in self._connection.ask("POST", f"{ROOT}/{self._path}/sum", body=body)]


class Flavors(_Listed[Flavor]):
    """Kinds of tokens: currencies, and the claims on each loan."""

    _path = "flavors"
    _noun = Flavor

    def open(self, flavor_id: str, tags: Mapping[str, Any] | None = None, *, key_ids: Sequence[str] = (), quorum: int | None = None) -> Flavor:
        """`quorum` of these keys sign what makes tokens of it, all of them if it is not given. The same again changes nothing. Raises Conflict."""
        body = {"flavor_id": flavor_id, "tags": tags or {}, "key_ids": [*key_ids], "quorum": quorum}
        return read(Flavor, self._connection.ask("POST", f"{ROOT}/flavors", body=body))

    def get(self, flavor_id: str) -> Flavor:
        """Raises NotFound."""
        return read(Flavor, self._connection.ask("GET", f"{ROOT}/flavors/{step(flavor_id)}"))

    def tag(self, flavor_id: str, tags: Mapping[str, Any]) -> Flavor:
        """New tags in place of all it has."""
        return read(Flavor, self._connection.ask("PATCH", f"{ROOT}/flavors/{step(flavor_id)}", body={"tags": tags}))


class Accounts(_Listed[Account]):
    """Holders of tokens."""

    _path = "accounts"
    _noun = Account

    def open(
        self,
        account_id: str,
        tags: Mapping[str, Any] | None = None,
        *,
        floor: int | None = 0,
        hot: bool = False,
        key_ids: Sequence[str] = (),
        quorum: int | None = None,
    ) -> Account:
        """`quorum` of these keys sign what leaves it, all of them if it is not given. The same again changes nothing. Raises Conflict."""
        body = {"account_id": account_id, "tags": tags or {}, "floor": floor, "hot": hot, "key_ids": [*key_ids], "quorum": quorum}
        return read(Account, self._connection.ask("POST", f"{ROOT}/accounts", body=body))

    def get(self, account_id: str) -> Account:
        """Raises NotFound."""
        return read(Account, self._connection.ask("GET", f"{ROOT}/accounts/{step(account_id)}"))

    def tag(self, account_id: str, tags: Mapping[str, Any]) -> Account:
        """New tags in place of all it has."""
        return read(Account, self._connection.ask("PATCH", f"{ROOT}/accounts/{step(account_id)}", body={"tags": tags}))

    def close(self, account_id: str) -> Account:
        """Nothing moves into or out of it any more. Raises Refused while it holds anything."""
        return read(Account, self._connection.ask("PATCH", f"{ROOT}/accounts/{step(account_id)}", body={"closed": True}))


class Transactions(_Listed[Transaction]):
    """What was posted, and posting many at once."""

    _path = "transactions"
    _noun = Transaction

    def post(self, document: Mapping[str, Any], dry_run: bool = False, signers: Sequence[Signer] = ()) -> Posted:
        """Post a transaction's document, signed by each of the signers."""
        body = {**document, "signatures": sign_each(self._connection, [document], signers)} if signers else document
        return read(Posted, self._connection.ask("POST", f"{ROOT}/transactions", query={"dry_run": "true"} if dry_run else None, body=body))

    def post_all(self, transactions: Iterable[Builder], *, dry_run: bool = False, signers: Sequence[Signer] = ()) -> Sequence[Posted]:
        """All of them or none; a signer signs them all at once. Raises LedgerError, whose field begins with the place of the transaction at fault."""
        return [read(Posted, one["posted"]) for one in self._bulk("atomic", transactions, signers, dry_run=dry_run)]

    def post_each(self, transactions: Iterable[Builder], *, dry_run: bool = False, signers: Sequence[Signer] = ()) -> Sequence[Posted | LedgerError]:
        """Each as if it came alone: posted, or the error that `transact` would have raised. A signer signs each."""
        done = self._bulk("continue", transactions, signers, dry_run=dry_run)
        return [read(Posted, one["posted"]) if one["posted"] else error_of(one["status"], one["problem"]) for one in done]

    def _bulk(self, mode: str, transactions: Iterable[Builder], signers: Sequence[Signer], *, dry_run: bool) -> Any:
        documents = [one.document() for one in transactions]
        body: dict[str, Any] = {"mode": mode, "transactions": documents, "dry_run": dry_run}
        if signers:
            body["signatures"] = (sign_all if mode == "atomic" else sign_each)(self._connection, documents, signers)
        return self._connection.ask("POST", f"{ROOT}/transactions/bulk", body=body)["results"]

    def get(self, txn_id: str) -> Transaction:
        """With all of its actions. Raises NotFound."""
        path = f"{ROOT}/transactions/{step(txn_id)}"
        first = self._connection.ask("GET", path)
        actions = [read(Action, one) for one in self._connection.pages("GET", path, {}, "actions", first)]
        return read(Transaction, {**first, "actions": actions})


class Tokens(_Listed[Token]):
    """Who holds what. `list`, `page` and `sum` take `effective_at` and `known_at`."""

    _path = "tokens"
    _noun = Token

    def sum(
        self,
        where: str = "",
        params: Sequence[Any] = (),
        group_by: Sequence[str] = (),
        having: Sequence[Bound] = (),
        *,
        effective_at: Time | None = None,
        known_at: Time | None = None,
    ) -> Sequence[Sum]:
        """Without group_by one sum, also of nothing; with group_by one for each group there is."""
        return self._sum(where, params, group_by, having, _times(effective_at, known_at))

    def explain(self, where: str = "", params: Sequence[Any] = (), **limits: int) -> Explanation:
        """Where tokens came from, action by action back to where they were issued, first in first out. `limits`: depth, steps, lots."""
        return self._explained({"filter": where, "params": [*params], **limits})

    def explain_lot(self, account_id: str, flavor_id: str, tags: Mapping[str, Any] | None = None, **limits: int) -> Explanation:
        """The same of one lot: the account's tokens of a flavor with exactly these tags; nothing where it is empty."""
        return self._explained({"lot": {"account_id": account_id, "flavor_id": flavor_id, "tags": tags or {}}, **limits})

    def _explained(self, body: Mapping[str, Any]) -> Explanation:
        return explanation(self._connection.ask("POST", f"{ROOT}/tokens/explain", body=body))


class Actions(_Listed[Action]):
    """What happened, newest first."""

    _path = "actions"
    _noun = Action

    def sum(self, where: str = "", params: Sequence[Any] = (), group_by: Sequence[str] = (), having: Sequence[Bound] = ()) -> Sequence[Sum]:
        """Without group_by one sum, also of nothing; with group_by one for each group there is."""
        return self._sum(where, params, group_by, having, {})


def _times(effective_at: Time | None, known_at: Time | None) -> dict[str, str]:
    times = {"effective_at": effective_at, "known_at": known_at}
    return {name: rfc3339(time) for name, time in times.items() if time is not None}
