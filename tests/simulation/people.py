"""What people do in a simulated world, drawn from the seed alone: whatever strikes the world, they want the same."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

import bson
from bourse.trading.events import Criterion
from bourse.trading.model import Bucket, PortfolioTerms
from bson.decimal128 import Decimal128

MORNING = datetime(2026, 1, 31, 9, tzinfo=UTC)
CURRENCY = "USD"
_RATE = Decimal128("12.99")
SMALL = 0.75
PERSONAL = "Ottilie"
"""A name that is in all that is personal: nothing a function writes to its log has it."""


@dataclass(frozen=True, slots=True)
class File:
    """A file of an originator: its octets, how many records they hold, and how many octets there are up to the record that breaks off, if one does."""

    tenant_id: str
    originator_id: str
    number: int
    octets: bytes
    records: int
    broken: bool
    facts: tuple[tuple[str, int, str], ...] = ()
    """Of each good record: the loan, what is outstanding in minor units, and its status."""


@dataclass(frozen=True, slots=True)
class Investor:
    """Somebody with cash and a portfolio. `takes_back` is asked for in the end, whether he has it or not."""

    tenant_id: str
    investor_id: str
    portfolio_id: str
    deposits: tuple[int, ...]
    terms: PortfolioTerms
    later: PortfolioTerms | None
    takes_back: int


@dataclass(slots=True)
class People:
    """Everybody who wants something of the marketplace."""

    files: list[File] = field(default_factory=list)
    investors: list[Investor] = field(default_factory=list)

    @property
    def tenants(self) -> list[str]:
        return sorted({one.tenant_id for one in self.files})


def drawn(seed: int) -> People:
    """One or two tenants, each with one or two originators of up to three files, and up to two investors.

    Three worlds of four are small: most faults need two of a thing at most, and small worlds find them sooner.
    """
    random, people = Random(f"people {seed}"), People()
    small = random.random() < SMALL
    for tenant in range(1 if small else random.choice((1, 1, 2))):
        tenant_id = f"t{tenant}"
        for originator in range(1 if small else random.choice((1, 1, 2))):
            loans = random.randrange(1, 4 if small else 7)
            for number in range(random.choice((1, 2) if small else (1, 2, 3))):
                people.files.append(_file(random, tenant_id, f"o{tenant}{originator}", number, loans))
        for investor in range(random.choice((0, 1, 1, 2))):
            people.investors.append(_investor(random, tenant_id, f"i{tenant}{investor}"))
    return people


def _file(random: Random, tenant_id: str, originator_id: str, number: int, loans: int) -> File:
    records = [_record(random, originator_id, loan, number) for loan in range(loans) if number == 0 or random.random() < 0.8]
    if random.random() < 0.2:
        records.append(random.choice(records) if records else _record(random, originator_id, 0, number))
    random.shuffle(records)
    octets, broken = b"".join(bson.encode(one) for one in records), bool(records) and random.random() < 0.1
    good = [one for one in (records[:-1] if broken else records) if one["interest_rate"] == _RATE]
    facts = tuple((one["loan_id"], int(one["outstanding_principal"].to_decimal() * 100), one["status"]) for one in good)
    return File(tenant_id, originator_id, number, octets[:-3] if broken else octets, len(records), broken, facts)


def _record(random: Random, originator_id: str, loan: int, number: int) -> dict[str, Any]:
    steady = Random(f"{originator_id} {loan}")
    principal = steady.randrange(500, 20_000)
    outstanding = principal if number == 0 or random.random() < 0.5 else random.randrange(100, principal)
    record: dict[str, Any] = {
        "loan_id": f"L-{loan}",
        "updated_at": MORNING - timedelta(hours=24) + timedelta(hours=number),
        "status": "repaid" if number and random.random() < 0.1 else "active",
        "currency": CURRENCY,
        "principal": Decimal128(str(principal)),
        "outstanding_principal": Decimal128(str(outstanding)),
        "interest_rate": _RATE,
        "term_months": 6,
        "borrower": {"id": f"{PERSONAL} {loan}", "employment": PERSONAL.lower()},
        "grade": steady.choice("AB"),
        "partial_sale": steady.random() < 0.8,
    }
    if random.random() < 0.08:
        record["interest_rate"] = random.choice((PERSONAL, Decimal128("NaN")))
    return record


def _investor(random: Random, tenant_id: str, investor_id: str) -> Investor:
    deposits = tuple(random.randrange(1_000, 2_000_000) for _ in range(random.choice((1, 1, 2))))
    later = _terms(random) if random.random() < 0.2 else None
    return Investor(tenant_id, investor_id, f"p{investor_id}", deposits, _terms(random), later, random.choice((0, 0, random.randrange(1, 1_500_000))))


def _terms(random: Random) -> PortfolioTerms:
    shares = random.choice((("100",), ("50", "50"), ("75", "25")))
    volume = random.randrange(10_000, 2_000_000)
    buckets = tuple(
        Bucket(bucket_id=f"b{place}", target_share=Decimal(share), criteria=(Criterion(field="grade", op="in", labels=("AB"[place],)),))
        for place, share in enumerate(shares)
    )
    return PortfolioTerms(name=f"For {PERSONAL}", product_id="consumer", currency=CURRENCY, target_volume=volume, per_loan_max=volume, buckets=buckets)
