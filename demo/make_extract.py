"""Makes demo/lendingclub_2015.csv.gz, the extract the demo loads, from the public set of real loans.

    python -m venv /tmp/arrow && /tmp/arrow/bin/pip install pyarrow
    /tmp/arrow/bin/python -m demo.make_extract ../shared/data

Needed only to make the extract again: pyarrow is not a dependency of the project. The source is GitHub
fiddler-labs/p2p-lending-data (`p2p_loans_470k/test/test_labels.csv.gz`, repository MIT, underlying set CC0) and the loan
amounts solved from its installments and rates. Of its 21 columns the demo needs seven:

    id, amount (whole dollars), sub_grade, rate (percent per year), issued (YYYY-MM), outcome (repaid | defaulted),
    installments (how many the borrower paid before the loan ended; solved from the interest or the principal received)
"""

import csv
import gzip
import io
import sys
from bisect import bisect_right
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from demo.amortise import interest_after, outstanding_after

EXTRACT: Final = Path(__file__).with_name("lendingclub_2015.csv.gz")
BYTES_MAX: Final = 2_000_000
_TERM_MONTHS: Final = 36
_MINOR_PER_DOLLAR: Final = 100


def main(source: Path) -> None:
    """Read the set under `source`, write the extract beside this file, say how large it is."""
    amounts = _amounts(source / "lendingclub_2015_derived_amount.parquet")
    with gzip.open(source / "lendingclub_2015_outcomes.csv.gz", "rt", newline="") as file:
        rows = sorted((_row(loan, amounts[int(loan["id"])]) for loan in csv.DictReader(file)), key=lambda row: int(row[0]))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("id", "amount", "sub_grade", "rate", "issued", "outcome", "installments"))
    writer.writerows(rows)
    packed = gzip.compress(text.getvalue().encode(), 9, mtime=0)
    assert len(packed) <= BYTES_MAX, f"the extract has {len(packed)} bytes, more than may be shipped"
    EXTRACT.write_bytes(packed)
    print(f"{len(rows)} loans in {len(packed)} bytes: {EXTRACT}")


def _amounts(path: Path) -> dict[int, int]:
    """Loan id -> whole dollars."""
    parquet: Any = import_module("pyarrow.parquet")
    table = parquet.read_table(path, columns=["id", "derived_loan_amnt"])
    return dict(zip(table["id"].to_pylist(), table["derived_loan_amnt"].to_pylist(), strict=True))


def _row(loan: dict[str, str], amount: int) -> tuple[str, int, str, str, str, str, int]:
    repaid = loan["loan_status"] == "Fully Paid"
    rate = Decimal(loan["int_rate"])
    principal = amount * _MINOR_PER_DOLLAR
    if repaid:
        received = int(Decimal(loan["total_rec_int"]) * _MINOR_PER_DOLLAR)
        installments = bisect_right(interest_after(principal, rate, _TERM_MONTHS), received + principal // 1000)
    else:
        owed = principal - int(Decimal(loan["total_rec_prncp"]) * _MINOR_PER_DOLLAR)
        left = [-balance for balance in outstanding_after(principal, rate, _TERM_MONTHS)]
        installments = bisect_right(left, -owed + principal // 1000) - 1
    outcome = "repaid" if repaid else "defaulted"
    return loan["id"], amount, loan["sub_grade"], f"{rate.normalize():f}", loan["issue_d"][:7], outcome, min(max(installments, 0), _TERM_MONTHS)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
