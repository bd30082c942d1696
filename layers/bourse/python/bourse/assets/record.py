"""From the octets of one BSON record to the loan it describes, in canonical form: validated, normalised, and one way only to write it.

Canonical JSON has sorted names, no absent fields, money in minor units, rates as plain decimals, days as ISO dates, and unknown
fields in `extras`. `updated_at` is not content, so it is not in it. It is what is hashed, sent, and stored (`model.LoanRecord`).
"""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, NamedTuple

import bson
import orjson
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.errors import BSONError

from bourse.assets.bson_layout import INLINE, ROWS, Layout, Named, Shape, Values, layout_of, outline
from bourse.assets.bson_walk import DOUBLE, INT32, INT64, NULL, TYPE_NAMES, elements
from bourse.assets.diff import DOCUMENT_BYTES_MAX
from bourse.assets.record_fields import BORROWER, REQUIRED, ROW, ROW_REQUIRED, ROWS_MAX, TOP, UNKNOWN, Known
from bourse.errors import Refused
from bourse.money import EXPONENTS

_SCALES: Final = {code.encode() + b"\0": scale for code, scale in EXPONENTS.items()}
_LAYOUTS_MAX: Final = 16
_SHAPES_MAX: Final = 512
_ANY_DATE: Final[CodecOptions[Any]] = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_MS)
_LOAN_ID: Final = re.compile(rb"\x02loan_id\0....([A-Za-z0-9][A-Za-z0-9._:/-]{0,63})\0", re.DOTALL)


class Loan(NamedTuple):
    """One accepted record. `document` is its canonical JSON."""

    loan_id: str
    updated_at: datetime | None
    document: bytes


class RecordReader:
    """Reads the records of one file.

    Records of a layout it has met twice are read by pattern, others by the walk; which of the two read a record shows in nothing
    but the time it takes. `updated_by`: no record of the file can have changed later.
    """

    def __init__(self, originator_id: str, updated_by: datetime) -> None:
        self._originator_id: Final = originator_id
        self._updated_by: Final = updated_by
        self._layouts: Final[list[tuple[Layout, Plan]]] = []
        self._shapes: Final[dict[Shape, bool]] = {}

    def read(self, data: bytes) -> Loan:
        """The loan that the record describes. Raises Refused with a code of `codes.py`, and the field where one is at fault."""
        for number, (layout, plan) in enumerate(self._layouts):
            if (values := layout.match(data)) is not None:
                if number:
                    self._layouts.insert(0, self._layouts.pop(number))
                try:
                    return self._loan(*plan.read(values))
                except (Refused, UnicodeDecodeError):
                    break  # the walk says exactly what is wrong
        return self._walk(data)

    def _walk(self, data: bytes) -> Loan:
        found = elements(data)
        try:
            bson.decode(data, _ANY_DATE)
        except (BSONError, ValueError, RecursionError) as error:
            raise Refused("BAD_BSON", "the record is not BSON that pymongo reads") from error
        shape, values = outline(found)
        plan = plan_of(shape)
        self._learn(shape, plan)
        try:
            return self._loan(*plan.read(values))
        except Refused as refused:
            if refused.field is None:
                plan.find_fault(values)
            raise

    def _learn(self, shape: Shape, plan: "Plan") -> None:
        """A shape that comes a second time gets a pattern, until there are enough: making one costs as much as walking a hundred records."""
        again = self._shapes.get(shape)
        if again is None and len(self._shapes) < _SHAPES_MAX:
            self._shapes[shape] = False
        elif again is False and len(self._layouts) < _LAYOUTS_MAX:
            self._shapes[shape] = True
            if layout := layout_of(shape):
                self._layouts.append((layout, plan))

    def _loan(self, loan: dict[str, Any], updated_at: datetime | None, originator_id: str | None) -> Loan:
        if originator_id is not None and originator_id != self._originator_id:
            raise Refused("FOREIGN_RECORD", "the record names another originator", "originator_id")
        if updated_at and updated_at > self._updated_by:
            raise Refused("DATE_RANGE", "the record claims to be days newer than its file", "updated_at")
        if not loan["principal_minor"]:
            raise Refused("MONEY_RANGE", "the principal is zero", "principal")
        document = orjson.dumps(loan, option=orjson.OPT_SORT_KEYS)
        if len(document) > DOCUMENT_BYTES_MAX:
            raise Refused("RECORD_TOO_LARGE", f"a record may have {DOCUMENT_BYTES_MAX} bytes in canonical form")
        return Loan(loan["loan_id"], updated_at, document)


def loan_id_in(data: bytes) -> str | None:
    """The loan a refused record was about, where that can be read."""
    found = _LOAN_ID.search(data)
    return found[1].decode() if found else None


class Step(NamedTuple):
    """Where a canonical fact comes from: the place among the values, its reader, and the field's own name."""

    name: str
    at: int
    read: Any
    path: str


class Part:
    """The fields of one document: the record itself, its borrower, or a row of its schedule."""

    def __init__(self, placed: Iterable[tuple[int, Named]], table: Mapping[str, Known], required: Iterable[str] = (), prefix: str = "") -> None:
        known: dict[str, Step] = {}
        money: dict[str, Step] = {}
        self.unknown: Final[list[Step]] = []
        for at, one in placed:
            path = prefix + one.name
            if one.kind == NULL:
                continue
            if (field := table.get(one.name)) is None:
                self.unknown.append(Step(one.name, at, UNKNOWN[one.kind], path))
            elif (read := field.readers.get(one.kind)) is None:
                raise _mistyped(field, one, path)
            elif field.name in known or field.name in money:
                raise Refused("FIELD_TWICE", "give the amount as a decimal or in minor units, not both", path)
            else:
                (money if field.money else known)[field.name] = Step(field.name, at, read, path)
        for name in required:
            if name not in known and name not in money:
                raise Refused("FIELD_MISSING", "a required field is missing or null", prefix + name.removesuffix("_minor"))
        self.known: Final = list(known.values())
        self.money: Final = list(money.values())
        self._known: Final = [step[:3] for step in self.known]
        self._money: Final = [step[:3] for step in self.money]
        self._unknown: Final = [step[:3] for step in self.unknown]

    def read(self, values: Any, scale: int) -> dict[str, Any]:
        """The facts we know, by canonical name. `scale` is the number of the currency's decimals."""
        facts = {name: read(values[at]) for name, at, read in self._known}
        for name, at, read in self._money:
            facts[name] = read(values[at], scale)
        return facts

    def extras(self, values: Any) -> dict[str, Any]:
        """The facts we do not know, by their own name."""
        return {name: read(values[at]) for name, at, read in self._unknown}

    def find_fault(self, values: Any, scale: int) -> None:
        """Read field by field. Raises the Refused of the first that cannot be read, with its name."""
        for step in (*self.known, *self.money, *self.unknown):
            try:
                step.read(values[step.at], scale) if step in self.money else step.read(values[step.at])
            except Refused as refused:
                inner = f".{refused.field}" if refused.field else ""
                raise Refused(refused.code, refused.detail, f"{step.path}{inner}") from None


def _mistyped(field: Known, one: Named, path: str) -> Refused:
    if field.money and one.kind in {INT32, INT64}:
        return Refused("MONEY_INTEGER", "whole or minor units? send a Decimal128, a decimal text, or minor units in a field ending in _minor", path)
    if field.money and one.kind == DOUBLE:
        return Refused("MONEY_DOUBLE", "minor units are whole: send an int32 or int64", path)
    takes = sorted(TYPE_NAMES[kind] for kind in field.readers)
    return Refused("WRONG_TYPE", f"the field takes {', '.join(takes)}, not {TYPE_NAMES[one.kind]}", path)


class Plan:
    """How the values of one shape become a loan: worked out once. Raises Refused when no record of the shape can be taken."""

    def __init__(self, shape: Shape) -> None:
        top: list[tuple[int, Named]] = []
        self._borrower = Part((), BORROWER)
        self._rows: list[Part] = []
        self._rows_at: int | None = None
        place = 0
        for one in shape:
            if one.inside is not None:
                self._borrower = Part(enumerate(one.inside, place), BORROWER, prefix=f"{INLINE}.")
                place += len(one.inside)
                continue
            if one.rows is not None:
                self._rows_at = place
                self._rows = [Part(enumerate(row), ROW, ROW_REQUIRED, f"{ROWS}.") for row in one.rows]
            elif one.name in {INLINE, ROWS} and one.kind != NULL:
                what = "a document" if one.name == INLINE else "an array of documents of single values"
                raise Refused("WRONG_TYPE", f"the field takes {what}", one.name)
            else:
                top.append((place, one))
            place += 1
        self._top: Final = Part(top, TOP, REQUIRED)
        self._currency_at: Final = next(step.at for step in self._top.known if step.name == "currency")

    def read(self, values: Values) -> tuple[dict[str, Any], datetime | None, str | None]:
        """The loan's facts, when the record changed, and whose it says it is. Raises Refused, mostly without naming the field."""
        scale = self._scale(values)
        loan = self._top.read(values, scale)
        updated_at, originator_id = loan.pop("updated_at", None), loan.pop("originator_id", None)
        extras = self._top.extras(values)
        if borrower := self._borrower.read(values, scale):
            loan[INLINE] = borrower
        if unknown := self._borrower.extras(values):
            extras[INLINE] = unknown
        if self._rows_at is not None:
            self._read_rows(values[self._rows_at], scale, loan, extras)
        if extras:
            loan["extras"] = extras
        return loan, updated_at, originator_id

    def find_fault(self, values: Values) -> None:
        """Raises the Refused of the first field that cannot be read, with its name."""
        scale = self._scale(values)
        self._top.find_fault(values, scale)
        self._borrower.find_fault(values, scale)
        if self._rows_at is not None:
            for row, part in self._each_row(values[self._rows_at]):
                part.find_fault(row, scale)

    def _scale(self, values: Values) -> int:
        if (scale := _SCALES.get(values[self._currency_at])) is None:
            raise Refused("CURRENCY_UNKNOWN", "the currency is an ISO 4217 code in capitals", "currency")
        return scale

    def _read_rows(self, rows: list[tuple[bytes, ...]], scale: int, loan: dict[str, Any], extras: dict[str, Any]) -> None:
        if len(rows) > ROWS_MAX:
            raise Refused("SCHEDULE_TOO_LONG", f"a schedule may have {ROWS_MAX} rows", ROWS)
        loan[ROWS] = [part.read(row, scale) for row, part in self._each_row(rows)]
        if any(part.unknown for part in self._rows):
            extras[ROWS] = [part.extras(row) for row, part in self._each_row(rows)]

    def _each_row(self, rows: list[tuple[bytes, ...]]) -> Iterable[tuple[tuple[bytes, ...], Part]]:
        parts = self._rows * len(rows) if len(self._rows) == 1 else self._rows
        return zip(rows, parts, strict=True)


@lru_cache(_SHAPES_MAX)
def plan_of(shape: Shape) -> Plan:
    """The plan of a shape. Raises Refused as Plan does."""
    return Plan(shape)
