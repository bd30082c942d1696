"""Writes a file of loans as Bourse takes it: BSON documents, one after the other. `pip install pymongo`, then `python write_loans.py book.bson`"""

import sys
from datetime import UTC, datetime

import bson  # from pymongo; the package called "bson" on PyPI has no Decimal128
from bson.decimal128 import Decimal128

LOANS = [
    {
        "loan_id": "L-1001",
        "updated_at": datetime(2026, 1, 31, 8, 15, tzinfo=UTC),
        "status": "active",
        "currency": "EUR",
        "principal": Decimal128("12000.00"),
        "outstanding_principal": Decimal128("11500.55"),
        "interest_rate": Decimal128("12.99"),
        "term_months": 36,
        "grade": "C",
        "country": "ES",
        "borrower": {"id": "B-77", "birth_year": 1991, "income_month": Decimal128("2450.00"), "employment": "employed"},
        "schedule": [
            {"due_on": "2026-02-28", "principal": Decimal128("300.10"), "interest": Decimal128("124.49")},
            {"due_on": "2026-03-31", "principal": Decimal128("303.35"), "interest": Decimal128("121.24")},
        ],
        "partial_sale": True,
        "sellable_share": Decimal128("90"),
        "purpose": "home improvement",  # a field of your own: investors can ask for it
    },
    {
        "loan_id": "L-1002",
        "status": "repaid",
        "currency": "EUR",
        "principal_minor": bson.Int64(50_000),  # 500.00 EUR in cents
        "outstanding_principal_minor": bson.Int64(0),
        "interest_rate": "9.5",
        "term_months": 12,
    },
]

with open(sys.argv[1], "wb") as file:
    file.writelines(bson.encode(loan) for loan in LOANS)
