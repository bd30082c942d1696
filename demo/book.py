"""The originators' books of the demo: real loans of 2015 as BSON records, on day 0 and four weeks later. All of it is deterministic."""

import csv
import gzip
from calendar import monthrange
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal

import bson
from bson.decimal128 import Decimal128

from demo.amortise import outstanding_after

EXTRACT: Final = Path(__file__).with_name("lendingclub_2015.csv.gz")
DAY_0: Final = date(2015, 8, 31)
FOUR_WEEKS_LATER: Final = DAY_0 + timedelta(days=28)
TERM_MONTHS: Final = 36
DEFAULT_AFTER_DAYS: Final = 90
_PER_MILLE: Final = 1_000
_WITHDRAWN: Final = 10
"""Of 1,000 loans, how many the originator takes back between the two files."""
_ARRIVING: Final = 20
"""Of 1,000 loans, how many more he lends between the two files."""
_FLAWED: Final = 10
"""Of 1,000 records, how many carry one of the flaws that real files carry."""


@dataclass(frozen=True, slots=True)
class Originator:
    """A lender of the demo. `sellable_share` is the percentage of each loan he offers."""

    originator_id: str
    name: str
    sellable_share: Decimal
    suffix: Literal[".bson", ".bson.gz"]


ORIGINATORS: Final = (
    Originator("harbor", "Harbor Lending", Decimal(90), ".bson"),
    Originator("prairie", "Prairie Credit", Decimal(95), ".bson.gz"),
)


@dataclass(frozen=True, slots=True)
class Loan:
    """One loan of the extract, with what became of it."""

    loan_id: str
    principal_minor: int
    sub_grade: str
    rate: Decimal
    issued_on: date
    outcome: Literal["repaid", "defaulted"]
    installments: int
    """How many the borrower paid before the loan ended."""
    arrives_later: bool = False

    def draw(self, purpose: str, below: int) -> int:
        """A number in [0, below) that depends on the loan and the purpose only."""
        return int.from_bytes(blake2b(f"{purpose}:{self.loan_id}".encode(), digest_size=8).digest(), "big") % below

    @property
    def originator(self) -> Originator:
        return ORIGINATORS[self.draw("originator", len(ORIGINATORS))]

    def due_on(self, installment: int) -> date:
        """When the n-th installment (1, 2, ...) is due: each month on the day of issue, or the month's last day."""
        year, month = divmod(self.issued_on.year * 12 + self.issued_on.month - 1 + installment, 12)
        return date(year, month + 1, min(self.issued_on.day, monthrange(year, month + 1)[1]))

    def due_until(self, day: date) -> int:
        """How many installments fell due by this day."""
        months = (day.year - self.issued_on.year) * 12 + day.month - self.issued_on.month
        return max(0, months if self.due_on(months) <= day else months - 1)


@dataclass(frozen=True, slots=True)
class State:
    """What a loan is on one day."""

    status: Literal["active", "repaid", "withdrawn", "defaulted"]
    outstanding_minor: int
    next_due_on: date
    days_past_due: int


def state_on(loan: Loan, day: date) -> State:
    """The loan's state at the end of `day`, from its schedule and its real outcome."""
    due = loan.due_until(day)
    paid = min(due, loan.installments)
    outstanding = outstanding_after(loan.principal_minor, loan.rate, TERM_MONTHS)[paid]
    next_due_on = loan.due_on(paid + 1)
    if loan.outcome == "repaid" and due >= loan.installments:
        return State("repaid", 0, next_due_on, 0)
    late = max(0, (day - next_due_on).days)
    if late >= DEFAULT_AFTER_DAYS:
        return State("defaulted", outstanding, next_due_on, late)
    if day > DAY_0 and loan.draw("withdrawn", _PER_MILLE) < _WITHDRAWN:
        return State("withdrawn", outstanding, next_due_on, late)
    return State("active", outstanding, next_due_on, late)


def load(count: int) -> list[Loan]:
    """`count` loans that are active on day 0, and the 2 % more that are lent afterwards. Raises ValueError beyond the extract."""
    live = _live()
    arriving = count * _ARRIVING // _PER_MILLE
    if count + arriving > len(live):
        raise ValueError(f"the extract has {len(live)} loans active on {DAY_0}: at most {len(live) * _PER_MILLE // (_PER_MILLE + _ARRIVING)} can be asked for")
    return [*live[:count], *map(_arriving, live[count : count + arriving])]


@cache
def _live() -> tuple[Loan, ...]:
    """The loans of the extract that are active on day 0, in the order in which they are drawn. Read once: it takes seconds."""
    with gzip.open(EXTRACT, "rt", newline="") as file:
        live = [loan for loan in map(_loan, csv.DictReader(file)) if state_on(loan, DAY_0).status == "active"]
    return tuple(sorted(live, key=lambda loan: (loan.draw("sample", 2**62), loan.loan_id)))


def records(loans: Iterable[Loan], day: date) -> Iterator[dict[str, Any]]:
    """The documents an originator would write on this day, about 1 % of them flawed as real ones are."""
    for loan in loans:
        if day == DAY_0 and loan.arrives_later:
            continue
        record = record_of(loan, day)
        if loan.draw(f"flawed:{day}", _PER_MILLE) < _FLAWED:
            spoil(record, loan.draw(f"flaw:{day}", len(FLAWS)))
        yield record


def record_of(loan: Loan, day: date) -> dict[str, Any]:
    """One document in the originator's format (functions/originator_api/README.md). The set has no age, income or country."""
    state = state_on(loan, day)
    return {
        "loan_id": loan.loan_id,
        "updated_at": datetime(day.year, day.month, day.day, 22, tzinfo=UTC),
        "status": state.status,
        "currency": "USD",
        "principal": dollars(loan.principal_minor),
        "outstanding_principal": dollars(state.outstanding_minor),
        "interest_rate": Decimal128(loan.rate),
        "term_months": TERM_MONTHS,
        "issued_on": loan.issued_on.isoformat(),
        "grade": loan.sub_grade[0],
        "sub_grade": loan.sub_grade,
        "borrower": {"id": f"B-{loan.loan_id.removeprefix('LC-')}"},
        "next_due_on": state.next_due_on.isoformat(),
        "days_past_due": state.days_past_due,
        "partial_sale": True,
        "sellable_share": Decimal128(loan.originator.sellable_share),
    }


FLAWS: Final = ("a double with thirteen decimals", "no currency", "a negative balance", "scientific notation", "no loan id", "NaN")


def spoil(record: dict[str, Any], flaw: int) -> None:
    """Give the document one of FLAWS, the kinds found in lenders' exports."""
    outstanding: Decimal128 = record["outstanding_principal"]
    match FLAWS[flaw]:
        case "a double with thirteen decimals":
            record["outstanding_principal"] = float(outstanding.to_decimal()) + 0.0005117095
        case "no currency":
            del record["currency"]
        case "a negative balance":
            record["outstanding_principal"] = Decimal128(-outstanding.to_decimal())
        case "scientific notation":
            record["outstanding_principal"] = -5.1e-09
        case "no loan id":
            del record["loan_id"]
        case "NaN":
            record["interest_rate"] = Decimal128("NaN")


def write(documents: Iterable[dict[str, Any]], target: BinaryIO | gzip.GzipFile) -> int:
    """Write a BSON file, one document after the other with nothing between them; how many were written."""
    count = 0
    for document in documents:
        target.write(bson.encode(document))
        count += 1
    return count


def write_file(loans: Sequence[Loan], originator: Originator, day: date, folder: Path) -> tuple[Path, int]:
    """The file of one originator on one day, compressed if he sends `.bson.gz`, and its number of records."""
    path = folder / f"{originator.originator_id}-{day}{originator.suffix}"
    own = records((loan for loan in loans if loan.originator is originator), day)
    with path.open("wb") as file:
        if originator.suffix == ".bson":
            return path, write(own, file)
        with gzip.GzipFile(fileobj=file, mode="wb", compresslevel=1, mtime=0, filename="") as packed:
            return path, write(own, packed)


def dollars(minor: int) -> Decimal128:
    """Minor units of USD as the Decimal128 an originator writes, with both decimals."""
    return Decimal128(Decimal(minor).scaleb(-2))


def _loan(row: dict[str, str]) -> Loan:
    """The extract knows the month of issue; the day is drawn, from all 31, so that books fall due on every day."""
    month = date.fromisoformat(f"{row['issued']}-01")
    loan_id = f"LC-{row['id']}"
    day = blake2b(f"day:{loan_id}".encode(), digest_size=1).digest()[0] % monthrange(month.year, month.month)[1] + 1
    outcome: Literal["repaid", "defaulted"] = "repaid" if row["outcome"] == "repaid" else "defaulted"
    return Loan(loan_id, int(row["amount"]) * 100, row["sub_grade"], Decimal(row["rate"]), month.replace(day=day), outcome, int(row["installments"]))


def _arriving(loan: Loan) -> Loan:
    """The same loan, lent between the two files."""
    issued_on = DAY_0 + timedelta(days=1 + loan.draw("arrives", 27))
    return Loan(loan.loan_id, loan.principal_minor, loan.sub_grade, loan.rate, issued_on, loan.outcome, max(1, loan.installments), arrives_later=True)
