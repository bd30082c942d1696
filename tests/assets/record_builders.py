"""Reads a record as intake does: what it becomes, or the code that it is refused with."""

from datetime import timedelta
from typing import Any

import bson
import orjson
import pytest
from bourse.assets.codes import RECORD_CODES
from bourse.assets.model import LoanRecord
from bourse.assets.record import Loan, RecordReader
from bourse.errors import Refused

from tests.assets.intake_builders import FULL, LOAN, NOON, ORIGINATOR


def read(record: dict[str, Any] | bytes) -> Loan:
    """Read it three times: the third is by pattern, where there is one, and must come to the same."""
    reader = RecordReader(ORIGINATOR, NOON + timedelta(days=2))
    octets = record if isinstance(record, bytes) else bson.encode(record)
    first, *others = [reader.read(octets) for _ in range(3)]
    assert others == [first, first]
    return first


def facts(record: dict[str, Any] | bytes) -> dict[str, Any]:
    """The canonical record, which must be a LoanRecord."""
    document = read(record).document
    LoanRecord.model_validate_json(document)
    canonical: dict[str, Any] = orjson.loads(document)
    return canonical


def refusal(record: dict[str, Any] | bytes) -> tuple[str, str | None]:
    """Code and field. The pattern of a good record of the same layout must not take what the walk refuses."""
    reader = RecordReader(ORIGINATOR, NOON + timedelta(days=2))
    for _ in range(3):
        reader.read(bson.encode(LOAN))
        reader.read(bson.encode(FULL))
    octets = record if isinstance(record, bytes) else bson.encode(record)
    with pytest.raises(Refused) as refused:
        reader.read(octets)
    assert refused.value.code in RECORD_CODES
    return refused.value.code, refused.value.field
