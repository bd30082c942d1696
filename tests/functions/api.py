"""Calls an API's handler with the events HTTP API sends; what is behind it is kept in memory, or in the stores of AWS."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode

from bourse.assessment.memory import MemoryTables
from bourse.assets.memory_uploads import MemoryObjects, MemoryUploads
from bourse.assets.memory_versions import MemoryVersions
from bourse.aws.api import Api
from bourse.aws.postgres import Database
from bourse.aws.routes.investor import InvestorPorts, add_investor_routes
from bourse.aws.routes.ledger import WHOLES as LEDGER_WHOLES
from bourse.aws.routes.ledger import LedgerPorts, add_ledger_routes
from bourse.aws.routes.operator import OperatorPorts, add_operator_routes
from bourse.aws.routes.originator import WHOLES, OriginatorPorts, add_originator_routes
from bourse.clock import FixedClock
from bourse.ledger.aurora_books import AuroraBooks
from bourse.ledger.aurora_explain import AuroraExplains
from bourse.ledger.aurora_journal import AuroraJournal
from bourse.ledger.aurora_records import AuroraRecords
from bourse.ledger.aurora_templates import AuroraTemplates
from bourse.ledger.memory import MemoryLedger
from bourse.ledger.memory_books import MemoryBooks
from bourse.ledger.memory_explain import MemoryExplains
from bourse.ledger.memory_journal import MemoryJournal
from bourse.ledger.memory_records import MemoryRecords
from bourse.ledger.memory_templates import MemoryTemplates
from bourse.matching.memory import MemoryOffers
from bourse.parties.memory import MemoryParties
from bourse.trading.memory import MemoryTrading, Surroundings

CLOCK = FixedClock(datetime(2026, 1, 5, 9, tzinfo=UTC))
KEY = "a key of at least thirty-two bytes, for tests"
CONTEXT = SimpleNamespace(function_name="api", aws_request_id="r-1")


@dataclass
class Answer:
    """What a caller sees."""

    status: int
    body: Any
    headers: dict[str, str]


def event(
    method: str,
    path: str,
    body: object = None,
    *,
    caller: dict[str, str],
    query: dict[str, str] | None = None,
    raw: str | None = None,
    headers: dict[str, str] | None = None,
) -> dict[str, Any]:
    return {
        "version": "2.0",
        "routeKey": "ANY /v1/{proxy+}",
        "rawPath": path,
        "rawQueryString": urlencode(query or {}),
        "headers": {"content-type": "application/json", **(headers or {})},
        "queryStringParameters": query or {},
        "requestContext": {"http": {"method": method, "path": path}, "stage": "$default", "authorizer": {"lambda": caller}},
        "body": raw if raw is not None else None if body is None else json.dumps(body),
        "isBase64Encoded": False,
    }


@dataclass
class Apis:
    """The three APIs over one world: in memory, where nothing else is given."""

    parties: Any = field(default_factory=MemoryParties)
    ledger: Any = field(default_factory=MemoryLedger)
    uploads: Any = field(default_factory=MemoryUploads)
    objects: Any = field(default_factory=lambda: MemoryObjects(CLOCK))
    versions: Any = field(default_factory=MemoryVersions)
    offers: Any = field(default_factory=MemoryOffers)
    tables: Any = field(default_factory=lambda: MemoryTables({}))
    trading: Any = None
    books: Any = field(default_factory=lambda: MemoryBooks(CLOCK))
    records: Any = None
    balances: Any = None
    templates: Any = None
    explains: Any = None
    flushed: list[str] = field(default_factory=list)

    @classmethod
    def on(cls, database: Database | None, **more: Any) -> "Apis":
        """With the general ledger in this database, or in memory; and with more stores, by their names here."""
        if database is None:
            return cls(**more)
        stores = {"records": AuroraRecords(database), "balances": AuroraJournal(database), "templates": AuroraTemplates(database)}
        return cls(books=AuroraBooks(database), explains=AuroraExplains(database), **stores, **more)

    def __post_init__(self) -> None:
        def product(product_id: str) -> Any:
            found = self.parties.product("t1", product_id)
            return found.terms if found else None

        self.trading = self.trading or MemoryTrading(Surroundings(product=product))
        shared = {"clock": lambda: CLOCK, "window_seconds": lambda: 30, "flush": self.flushed.append}
        parties, ledger = lambda: self.parties, lambda: self.ledger
        investor = InvestorPorts(portfolios=lambda: self.trading, parties=parties, ledger=ledger, **shared)
        operator = OperatorPorts(
            parties=parties,
            ledger=ledger,
            tables=lambda: self.tables,
            uploads=lambda: self.uploads,
            token_keys=lambda: KEY,
            **shared,
        )
        originator = OriginatorPorts(
            uploads=lambda: self.uploads,
            objects=lambda: self.objects,
            versions=lambda: self.versions,
            offers=lambda: self.offers,
            ledger=ledger,
            clock=lambda: CLOCK,
        )
        self.records, self.balances = self.records or MemoryRecords(self.books), self.balances or MemoryJournal(self.books)
        self.explains = self.explains or MemoryExplains(self.books)
        self.templates = self.templates or MemoryTemplates(self.books)
        books = LedgerPorts(lambda: self.books, lambda: self.records, lambda: self.balances, lambda: self.templates, lambda: self.explains, lambda: CLOCK)
        self.apis = {
            "investor": add_investor_routes(Api("investor"), investor),
            "operator": add_ledger_routes(add_operator_routes(Api("operator", LEDGER_WHOLES), operator), books),
            "originator": add_originator_routes(Api("originator", WHOLES), originator),
        }

    def call(self, audience: str, method: str, path: str, body: object = None, *, tenant: str = "t1", party: str = "ada", **more: Any) -> Answer:
        caller = {"tenant": tenant, "party": party, "audience": more.pop("believed", audience)}
        return self.send(audience, event(method, path, body, caller=caller, **more))

    def send(self, audience: str, request: dict[str, Any]) -> Answer:
        """The answer to an event that a test made itself."""
        answer = self.apis[audience](request, CONTEXT)
        headers = {key.lower(): value for key, value in (answer.get("headers") or {}).items()}
        headers |= {key.lower(): value[0] for key, value in (answer.get("multiValueHeaders") or {}).items()}
        text = answer["body"]
        return Answer(answer["statusCode"], json.loads(text) if text and text.lstrip()[:1] in "{[" else text, headers)
