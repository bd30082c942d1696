"""The stores of a simulated world: the in-memory adapters, knowing each other as the databases do."""

from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from functools import cache
from typing import Any

from bourse.assessment.local import KeptTables, TableClassifier, TableForecaster
from bourse.assessment.memory import MemoryAssessments, MemoryTables, MemoryTerms
from bourse.assessment.model import OriginatorTerms
from bourse.assets.memory_uploads import MemoryObjects, MemoryUploads
from bourse.assets.memory_versions import MemoryChunks, MemoryVersions
from bourse.clock import Clock
from bourse.ledger.memory import MemoryLedger
from bourse.ledger.memory_journal import MemoryJournal
from bourse.ledger.memory_lots import MemoryLots
from bourse.ledger.model import cash_of, claims_of
from bourse.matching.memory import MemoryBooks, MemoryOffers
from bourse.matching.store import OfferStore
from bourse.parties.memory import MemoryParties
from bourse.parties.model import Investor, Originator, Product, ProductTerms
from bourse.trading.memory import MemoryTrading, Surroundings
from bourse.trading.model import BucketFacts, PortfolioStatus

from tests.assessment.builders import shipped_tables
from tests.simulation.outbox import Outbox
from tests.simulation.people import CURRENCY, PERSONAL, People
from tests.simulation.tables import KeptAssessments, KeptBooks, KeptChunks, KeptUploads, KeptVersions, Tables

PRODUCT = ProductTerms(currencies=(CURRENCY,), sell_ratio=Decimal("0.995"), buy_ratio=Decimal("1.005"), lot_min=2_500)
UNPAID = ("insufficient_cash", "investor_blocked")


class Stores:
    """Every store there is, by the name of its port in `ports`."""

    def __init__(self, clock: Clock, people: People, tables: Tables | None = None) -> None:
        self.outbox = Outbox(clock)
        self.objects = MemoryObjects(clock)
        self.chunks: MemoryChunks | KeptChunks
        self.versions: MemoryVersions | KeptVersions
        self.uploads: MemoryUploads | KeptUploads
        self.assessments: MemoryAssessments | KeptAssessments
        self.books: MemoryBooks | KeptBooks
        self.offers: OfferStore
        if tables:
            self.chunks, self.versions, self.uploads = tables.chunks, tables.versions, tables.uploads
            self.books, self.offers, self.assessments = tables.books, tables.offers, tables.assessments
        else:
            chunks = MemoryChunks()
            self.chunks, self.versions, self.uploads = chunks, MemoryVersions(), MemoryUploads(chunks)
            self.books, self.offers, self.assessments = MemoryBooks(), MemoryOffers(), MemoryAssessments()
        self.ledger = MemoryLedger(portfolios=self._active, outbox=self.outbox, books=MemoryLots(clock))
        self.tenant_of = {one.investor_id: one.tenant_id for one in people.investors}
        self.investor_of = {one.portfolio_id: one.investor_id for one in people.investors}
        self.tenant_ids = frozenset(one.tenant_id for one in people.files)
        self.trading = MemoryTrading(Surroundings(product=lambda _: PRODUCT, cash=self.cash, bucket=self.bucket), self.outbox)
        terms = OriginatorTerms("consumer", active=True, sell_ratio=PRODUCT.sell_ratio, lot_min=PRODUCT.lot_min, offer_days=30)
        everybodys = MemoryTables(_shipped())
        risk_tables = KeptTables(everybodys, clock)
        self.parties = MemoryParties()
        for tenant_id in self.tenant_ids:
            self.parties._products[tenant_id, "consumer"] = [Product(product_id="consumer", version=1, terms=PRODUCT)]
        for originator_id, tenant_id in {one.originator_id: one.tenant_id for one in people.files}.items():
            originator = Originator(originator_id=originator_id, name=f"Lender {originator_id}", product_id="consumer")
            self.parties.add_originator(tenant_id, originator, "ops", clock.now())
        for one in people.investors:
            self.parties.add_investor(one.tenant_id, Investor(investor_id=one.investor_id, name=f"{PERSONAL} {one.investor_id}"), "ops", clock.now())
        self.ports: dict[str, Any] = {
            "uploads": self.uploads,
            "objects": self.objects,
            "versions": self.versions,
            "chunks": self.chunks,
            "assessments": self.assessments,
            "terms": MemoryTerms({(one.tenant_id, one.originator_id): terms for one in people.files}),
            "forecaster": TableForecaster(risk_tables),
            "classifier": TableClassifier(risk_tables),
            "books": self.books,
            "offers": self.offers,
            "ledger": self.ledger,
            "seals": MemoryJournal(self.ledger.books),
            "plans": self.trading,
            "portfolios": self.trading,
            "parties": self.parties,
            "tables": everybodys,
        }

    def cash(self, investor_id: str, currency: str) -> int:
        return sum(lot.amount for lot in self.ledger.books.lots_of(self.tenant_of[investor_id], cash_of(investor_id), currency))

    def bucket(self, portfolio_id: str, bucket_id: str) -> BucketFacts:
        """What the ledger's views say of a bucket."""
        tenant_id = self.tenant_of[self.investor_of[portfolio_id]]
        bids = [one for one in self.bids(tenant_id) if (one.bid.portfolio_id, one.bid.bucket_id) == (portfolio_id, bucket_id)]
        books = self.ledger.books._of(tenant_id)
        held = sum(lot.amount for lot in books.lots_of(claims_of(portfolio_id, bucket_id), None))
        settled = sum(one.bid.principal for one in bids if one.reason is None)
        return BucketFacts(principal=held, settled_total=settled, returned=sum(one.reason in UNPAID for one in bids))

    def bids(self, tenant_id: str) -> list[Any]:
        """What was decided of each bid that was published."""
        return [kept.one for (of, _), kept in self.ledger._bids.items() if of == tenant_id]

    def reasons(self) -> Counter[str]:
        return Counter(kept.one.reason or "settled" for kept in self.ledger._bids.values())

    def _active(self, investor_id: str) -> Sequence[str]:
        mine = self.trading.portfolios(self.tenant_of[investor_id], investor_id)
        return [one.portfolio_id for one in mine if one.status is PortfolioStatus.ACTIVE]


@cache
def _shipped() -> dict[Any, list[Any]]:
    return shipped_tables()
