"""Statements of an account, as JSON or CSV, and the trial balance."""

import csv
import io
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

import orjson
from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Path, Query

from bourse.aws.api import Api
from bourse.aws.door import parameter
from bourse.aws.routes.ledger.asking import Answer, NextCursor, QueryCursor, QueryLimit, answers, as_of
from bourse.aws.routes.ledger.ports import LedgerPorts
from bourse.ledger import codes
from bourse.ledger.documents import instant
from bourse.ledger.records import Interval, Statement, StatementEntry, StatementTotal
from bourse.ledger.trial_balance import totals

_CURSOR_HEADER: Final = "x-next-cursor"
_ENTRY: Final = {
    "flavor_id": "usd",
    "effective_at": "2018-01-01T12:00:00Z",
    "recorded_at": "2018-01-01T12:00:01.000391Z",
    "txn_id": "payment-1",
    "sequence_number": 21,
    "action_no": 2,
    "kind": "transaction",
    "type": "transfer",
    "amount": 3_629,
    "balance": 93_529,
    "other_account_id": "processing",
    "tags": {"type": "loan_repayment"},
}
_STATEMENT: Final = {"account_id": "investor1", "totals": [{"flavor_id": "usd", "opening": 89_900, "closing": 93_529}], "entries": [_ENTRY], "cursor": None}
_COLUMNS: Final = tuple(name for name in _ENTRY if name != "tags")


class StatementAnswer(Answer):
    """A page of a statement. Its totals are of all of it; entries are by flavor, then effective time, then as they were posted."""

    account_id: str
    totals: list[StatementTotal]
    entries: list[StatementEntry]
    cursor: NextCursor


class TrialBalanceRow(Answer):
    """A flavor over all accounts: what left them and what came to them. The books balance when both are the same."""

    flavor_id: str
    accounts: int
    debits: int
    credits: int


_REFUSED: Final = ("TIME_INVALID", "INTERVAL_INVALID", "FLAVOR_UNKNOWN", *codes.PAGING)
_CSV: Final = {"text/csv": {"schema": {"type": "string"}, "examples": {"example": {"value": ",".join(_COLUMNS) + "\r\n"}}}}
_DESCRIPTION: Final = (
    "Effective times from `from` on and before `to`: one statement closes where the next one opens. `known_at` leaves out what was recorded later, so "
    "a statement as of a past `known_at` never changes. As CSV, a row `opening` and a row `closing` of each flavor stand around its entries, and the "
    f"next page's cursor is in `{_CURSOR_HEADER}`."
)


def add_statement_routes(api: Api, ports: LedgerPorts) -> None:
    """Routes of statements and of the trial balance."""
    _statements(api, ports)
    _trial_balance(api, ports)


def _statements(api: Api, ports: LedgerPorts) -> None:
    @api.app.get(
        "/v1/ledger/statements/<account_id>",
        summary="A statement of an account: opening balance, entries with the balance after each, closing balance",
        description=_DESCRIPTION,
        tags=["ledger statements"],
        responses=answers(StatementAnswer, _STATEMENT, missing=("ACCOUNT_UNKNOWN",), refused=_REFUSED, media=_CSV),
    )
    def statement(
        account_id: Annotated[str, Path(examples=["investor1"])],
        since: Annotated[str, Query(alias="from", examples=["2018-01-01T00:00:00Z"])],
        until: Annotated[str, Query(alias="to", examples=["2018-02-01T00:00:00Z"])],
        flavor_id: Annotated[str | None, Query(description="Of all flavors, if it is not given", examples=["usd"])] = None,
        known_at: Annotated[str | None, Query()] = None,
        cursor: QueryCursor = None,
        limit: QueryLimit = 100,
        media: Annotated[Literal["json", "csv"], Query(alias="format")] = "json",
    ) -> Response[Any]:
        interval = Interval(instant(since, "from"), instant(until, "to"))
        known = None if known_at is None else instant(known_at, "known_at")
        tenant_id, named = api.caller().tenant_id, parameter(account_id)
        found = ports.records().statement(tenant_id, named, interval, flavor_id=flavor_id, known_at=known, cursor=cursor, limit=limit)
        if media == "csv":
            headers: dict[str, str | list[str]] = {_CURSOR_HEADER: found.cursor} if found.cursor else {}
            return Response(200, "text/csv", _csv(found, first=cursor is None), headers=headers)
        return Response(200, "application/json", StatementAnswer.model_validate(found).model_dump(mode="json"))


def _trial_balance(api: Api, ports: LedgerPorts) -> None:
    @api.app.get(
        "/v1/ledger/trial-balance",
        summary="Debits and credits of every flavor over all accounts: the same, at any two times",
        tags=["ledger statements"],
        responses=answers(list[TrialBalanceRow], [{"flavor_id": "usd", "accounts": 6, "debits": 291_300, "credits": 291_300}], refused=("TIME_INVALID",)),
    )
    def trial_balance(effective_at: Annotated[str | None, Query()] = None, known_at: Annotated[str | None, Query()] = None) -> list[TrialBalanceRow]:
        balances = ports.balances().trial_balance(api.caller().tenant_id, as_of(effective_at, known_at))
        return [TrialBalanceRow.model_validate(one) for one in totals(balances)]


def _csv(statement: Statement, *, first: bool) -> str:
    """A page as CSV: the opening balances are on the first page, the closing ones on the last."""
    written = io.StringIO()
    rows = csv.writer(written)
    rows.writerow([*_COLUMNS, "tags"])
    edge = ("flavor_id", "type", "balance")
    if first:
        rows.writerows(_row({"flavor_id": one.flavor_id, "type": "opening", "balance": one.opening}, edge) for one in statement.totals)
    for entry in statement.entries:
        shown = {name: getattr(entry, name) for name in _COLUMNS}
        rows.writerow([*_row(shown, _COLUMNS), orjson.dumps(dict(entry.tags), option=orjson.OPT_SORT_KEYS).decode()])
    if statement.cursor is None:
        rows.writerows(_row({"flavor_id": one.flavor_id, "type": "closing", "balance": one.closing}, edge) for one in statement.totals)
    return written.getvalue()


def _row(shown: dict[str, Any], names: tuple[str, ...]) -> list[str]:
    return [_text(shown[name]) if name in names else "" for name in _COLUMNS]


def _text(value: Any) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return str(value)
