"""Whatever the octets are: a record is read or refused with a documented code, by pattern exactly as by the walk, and nothing else happens."""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import bson
import orjson
import pytest
from bourse.assets import fields
from bourse.assets.bson_layout import Layout, layout_of, outline
from bourse.assets.bson_walk import elements
from bourse.assets.codes import FILE_CODES, RECORD_CODES
from bourse.assets.frames import Broken, frames
from bourse.assets.model import LoanRecord
from bourse.assets.record import RecordReader
from bourse.errors import Refused
from bourse.money import EXPONENTS, to_minor
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.assets.intake_builders import FULL, LOAN, NOON, ORIGINATOR, book

LATEST = NOON + timedelta(days=2)
GOOD = bson.encode(FULL)
PLAIN = bson.encode(LOAN)


def attempt(does: Callable[..., Any], *arguments: Any) -> Any:
    """What comes of it, or the refusal it ends in. Anything else that is raised fails the test."""
    try:
        return does(*arguments)
    except Refused as refused:
        return refused


def outcome(reader: RecordReader, octets: bytes) -> Any:
    came = attempt(reader.read, octets)
    if not isinstance(came, Refused):
        return came
    assert came.code in RECORD_CODES
    return came.code, came.field


TRAINED = RecordReader(ORIGINATOR, LATEST)
"""A reader that knows the patterns of both records."""
for _ in range(2):
    TRAINED.read(GOOD)
    TRAINED.read(PLAIN)


@st.composite
def mutations(draw: st.DrawFn) -> bytes:
    """A good record with some octets changed, inserted, removed or repeated; its length is mended half of the time."""
    octets = bytearray(draw(st.sampled_from([GOOD, PLAIN])))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(octets) - 1))
        match draw(st.sampled_from(["set", "insert", "remove", "repeat"])):
            case "set":
                octets[at] = draw(st.integers(0, 255))
            case "insert":
                octets[at:at] = draw(st.binary(max_size=8))
            case "remove":
                del octets[at : at + draw(st.integers(1, 8))]
            case _:
                octets[at:at] = octets[at : at + draw(st.integers(1, 40))]
        octets = octets or bytearray(b"\0")
    if draw(st.booleans()):
        octets[:4] = len(octets).to_bytes(4, "little")
    return bytes(octets)


@settings(max_examples=600, deadline=None)
@given(mutations())
def test_a_mutated_record_is_read_or_refused_alike_by_pattern_and_by_walk(octets: bytes) -> None:
    assert outcome(TRAINED, octets) == outcome(RecordReader(ORIGINATOR, LATEST), octets)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.booleans())
def test_random_octets_are_refused_with_a_documented_code(octets: bytes, mended: bool) -> None:
    if mended:
        octets = (len(octets) + 5).to_bytes(4, "little") + octets + b"\0"
    assert isinstance(outcome(TRAINED, octets), tuple)


LAYOUTS = [layout for octets in (GOOD, PLAIN) if (layout := layout_of(outline(elements(octets))[0]))]


@settings(max_examples=600, deadline=None)
@given(mutations(), st.sampled_from(LAYOUTS))
def test_a_pattern_finds_the_values_that_the_walk_finds_or_nothing(octets: bytes, layout: Layout) -> None:
    if (found := layout.match(octets)) is None:
        return
    walked = attempt(elements, octets)
    if isinstance(walked, Refused):
        assert walked.code in {"BAD_TEXT", "BAD_BSON", "NUL_IN_TEXT"}  # the pattern leaves the lengths and letters of texts to their readers
    else:
        assert found == outline(walked)[1]


names = st.from_regex(r"\A[a-z][a-z0-9_]{0,12}\Z")
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=40)
decimals = st.decimals(min_value=0, max_value=10**9, places=2).map(Decimal128)
money = st.one_of(decimals, decimals.map(str), st.integers(0, 10**7).map(lambda cents: cents / 100))
days = st.dates(date(1900, 1, 1), date(2200, 12, 31)).map(str)
times = st.datetimes(datetime(1900, 1, 1), datetime(2026, 1, 31), timezones=st.just(UTC))
scalars = st.one_of(
    st.none(), st.booleans(), texts, st.integers(-(2**31), 2**31 - 1), st.integers(-(2**63), 2**63 - 1).map(Int64), decimals, times,
    st.floats(-1e15, 1e15).map(lambda value: float(f"{value:.6g}")).filter(lambda value: abs(value) > 1e-15 or value == 0),
)  # fmt: skip
trees = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4), max_leaves=8)
required = st.fixed_dictionaries(
    {
        "loan_id": st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._:/-]{0,63}\Z"),
        "status": st.sampled_from(["active", "repaid", "withdrawn", "defaulted"]),
        "currency": st.sampled_from(sorted(code for code, scale in EXPONENTS.items() if scale >= 2)),
        "principal": money.filter(lambda value: Decimal(str(value)) > 0),
        "outstanding_principal": money,
        "interest_rate": st.one_of(st.integers(0, 1000), st.decimals(0, 1000, places=3).map(Decimal128)),
        "term_months": st.integers(1, 1200),
    }
)
optional = st.fixed_dictionaries(
    {},
    optional={
        "updated_at": times,
        "issued_on": days,
        "grade": texts,
        "country": st.from_regex(r"\A[A-Z]{2}\Z"),
        "borrower": st.dictionaries(names, scalars, max_size=3).map(lambda unknown: {f"x_{name}": value for name, value in unknown.items()} | {"id": "B"}),
        "schedule": st.lists(st.fixed_dictionaries({"due_on": days, "principal": money, "interest": money}), max_size=5),
        "days_past_due": st.integers(0, 36_500),
        "partial_sale": st.booleans(),
        "sellable_share": st.integers(0, 100),
    },
)
unknown = st.dictionaries(names.map(lambda name: f"x_{name}"), trees, max_size=5)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(required, optional, unknown).map(lambda parts: {**parts[2], **parts[0], **parts[1]}), min_size=1, max_size=4))
def test_every_good_record_is_taken_and_its_canonical_json_is_a_loan_record(records: list[dict[str, Any]]) -> None:
    reader = RecordReader(ORIGINATOR, LATEST)
    for record in (*records, *records, *records):
        loan = reader.read(bson.encode(record))
        canonical = LoanRecord.model_validate_json(loan.document)
        exact = Decimal(str(record["principal"]))
        assert canonical.principal_minor == to_minor(exact, record["currency"])
        assert canonical.interest_rate == Decimal(str(record["interest_rate"]))
        assert [row.interest_minor for row in canonical.schedule or ()] == [
            to_minor(Decimal(str(row["interest"])), record["currency"]) for row in record.get("schedule") or ()
        ]
        assert set(canonical.extras or {}) - {"borrower"} == {name for name in record if name.startswith("x_") and record[name] is not None}
        assert orjson.dumps(orjson.loads(loan.document), option=orjson.OPT_SORT_KEYS) == loan.document or b"." in loan.document


@settings(max_examples=300, deadline=None)
@given(st.binary(min_size=16, max_size=16))
def test_every_bit_pattern_of_a_decimal128_is_its_exact_value_or_refused(raw: bytes) -> None:
    value = Decimal128.from_bid(raw).to_decimal()
    number = attempt(fields.of_decimal128, raw)
    if isinstance(number, Refused):
        bits = int.from_bytes(raw, "little")
        assert number.code == "NOT_FINITE"
        assert not value.is_finite() or bits >> 125 & 3 == 3 or bits & ((1 << 113) - 1) >= 10**34
    else:
        negative, coefficient, exponent = number
        assert Decimal((int(negative), tuple(map(int, str(coefficient))), exponent)) == value


@settings(max_examples=300, deadline=None)
@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**20), max_value=10**20), st.sampled_from([0, 2, 3]))
def test_money_of_a_decimal128_is_exact_or_refused(value: Decimal, scale: int) -> None:
    raw = Decimal128(f"{value:.30e}").bid
    exact = Decimal128(f"{value:.30e}").to_decimal().scaleb(scale)
    minor = attempt(fields.money_readers(scale)[0], raw)
    if isinstance(minor, Refused):
        assert minor.code in {"MONEY_NEGATIVE", "MONEY_RANGE", "MONEY_PRECISION"}
        assert not (exact == exact.to_integral_value() and 0 <= exact <= fields.AMOUNT_MAX)
    else:
        assert minor == exact


# Frames


def pieces(octets: bytes, cuts: list[int]) -> Iterator[bytes]:
    """The octets as a network brings them."""
    at = 0
    for cut in cuts:
        if at < len(octets):
            yield octets[at : at + cut]
            at += cut
    if at < len(octets):
        yield octets[at:]


def framed(octets: bytes, cuts: list[int]) -> tuple[list[Any], Any]:
    found: list[Any] = []
    broken = attempt(found.extend, frames(pieces(octets, cuts)))
    if broken is None:
        return found, None
    assert isinstance(broken, Broken)
    assert broken.code in FILE_CODES
    return found, (broken.code, broken.byte_offset)


BOOK = book(3) + (70_000).to_bytes(4, "little") + b"x" * 69_996 + book(2, first=3)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.integers(1, 40_000), max_size=12), st.integers(0, len(BOOK)))
def test_a_file_is_framed_alike_however_it_arrives_and_wherever_it_ends(cuts: list[int], end: int) -> None:
    assert framed(BOOK[:end], cuts) == framed(BOOK[:end], [])


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300), st.lists(st.integers(1, 50), max_size=5))
def test_random_files_break_with_a_documented_code_or_not_at_all(octets: bytes, cuts: list[int]) -> None:
    found, broken = framed(octets, cuts)
    assert sum(frame.length for frame in found) == (broken[1] if broken else len(octets))


@pytest.mark.parametrize("end", [1, 3, 4, 20, -1, -3])
def test_what_is_cut_off_is_named_by_its_offset(end: int) -> None:
    octets = book(2)
    whole = len(book(1))
    cut = octets[: whole + end] if end > 0 else octets[:end]
    found, broken = framed(cut, [])
    assert len(found) == 1
    assert broken == ("TRUNCATED", whole)
