"""From the octets of one BSON record to the loan it describes, in canonical form: validated, normalised, and one way only to write it.

Canonical JSON has sorted names, no absent fields, money in minor units, rates as plain decimals, days as ISO dates, and unknown
fields in `extras`. `updated_at` is not content, so it is not in it. It is what is hashed, sent, and stored (`model.LoanRecord`).
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from operator import call, itemgetter
from typing import Any, Final, NamedTuple

import bson
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.errors import BSONError

from bourse.assets.bson_layout import INLINE, INLINE_AFTER, INLINE_BEFORE, ROW_BEFORE, ROWS, Named, Shape, Values, layout_of, outline
from bourse.assets.bson_walk import DOUBLE, INT32, INT64, NULL, TYPE_NAMES, elements
from bourse.assets.diff import DOCUMENT_BYTES_MAX
from bourse.assets.record_fields import BORROWER, ENVELOPE, REQUIRED, ROW, ROW_REQUIRED, ROWS_MAX, TOP, UNKNOWN, Known, bson_text
from bourse.errors import Refused
from bourse.money import EXPONENTS

_SCALES: Final = {bson_text(code): scale for code, scale in EXPONENTS.items()}
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
        self._originator_id: Final = bson_text(originator_id)
        self._updated_by: Final = updated_by
        self._layouts: Final[list[tuple[Callable[[bytes], Values | None], Plan]]] = []
        self._shapes: Final[dict[Shape, bool]] = {}

    def read(self, data: bytes) -> Loan:
        """The loan that the record describes. Raises Refused with a code of `codes.py`, and the field where one is at fault."""
        for place, (match, plan) in enumerate(self._layouts):
            if (values := match(data)) is not None:
                if place:
                    self._layouts.sort(key=lambda one: one[1] is not plan)  # the next record most likely looks like this one
                try:
                    return self._check(*plan.read(values))
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
            return self._check(*plan.read(values))
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
                self._layouts.append((layout.match, plan))

    def _check(self, loan: Loan, originator_id: bytes | None) -> Loan:
        if originator_id is not None and originator_id != self._originator_id:
            raise Refused("FOREIGN_RECORD", "the record names another originator", "originator_id")
        if loan.updated_at and loan.updated_at > self._updated_by:
            raise Refused("DATE_RANGE", "the record claims to be days newer than its file", "updated_at")
        if len(loan.document) > DOCUMENT_BYTES_MAX:
            raise Refused("RECORD_TOO_LARGE", f"a record may have {DOCUMENT_BYTES_MAX} bytes in canonical form")
        return loan


def loan_id_in(data: bytes) -> str | None:
    """The loan a refused record was about, where that can be read."""
    found = _LOAN_ID.search(data)
    return found[1].decode() if found else None


class Step(NamedTuple):
    """Where a value of the canonical JSON comes from: its reader, its place among the values, the field's own name, and how it is written."""

    read: Callable[[Any], Any]
    at: int
    path: str
    written: bytes = b"%b"


Tree = dict[str, "Step | Tree"]


def _picker(places: list[int]) -> Callable[[Sequence[Any]], Sequence[Any]]:
    """A function that takes these places of a sequence, in this order."""
    return itemgetter(*places) if len(places) > 1 else lambda values: [values[place] for place in places]


class Template:
    """The canonical JSON of one shape, with holes for the values."""

    def __init__(self, tree: Tree) -> None:
        self._steps: Final[list[Step]] = []
        self._octets: Final = self._write(tree)
        self._readers: Final = [step.read for step in self._steps]
        self._values: Final = _picker([step.at for step in self._steps])

    def _write(self, tree: Tree) -> bytes:
        """The template of a document: names sorted, nothing between."""
        parts = []
        for name, branch in sorted(tree.items()):
            if isinstance(branch, Step):
                self._steps.append(branch)
            parts.append(b'"%b":%b' % (name.encode(), branch.written if isinstance(branch, Step) else self._write(branch)))
        return b"{%b}" % b",".join(parts)

    def fill(self, values: Sequence[Any]) -> bytes:
        """The canonical JSON. Raises Refused, mostly without naming the field."""
        return self._octets % tuple(map(call, self._readers, self._values(values)))

    def find_fault(self, values: Sequence[Any]) -> None:
        """Read value by value. Raises the Refused of the first that cannot be read, with its name."""
        for step in self._steps:
            try:
                step.read(values[step.at])
            except Refused as refused:
                inner = f".{refused.field}" if refused.field else ""
                raise Refused(refused.code, refused.detail, f"{step.path}{inner}") from None


def branches(placed: Iterable[tuple[int, Named]], table: Mapping[str, Known], scale: int, prefix: str = "") -> tuple[Tree, Tree]:
    """The known fields of a document by canonical name, and the unknown ones by their own. Raises Refused FIELD_TWICE or for a wrong type."""
    known: Tree = {}
    unknown: Tree = {}
    for at, one in placed:
        path = prefix + one.name
        if one.kind == NULL:
            continue
        if (field := table.get(one.name)) is None:
            unknown[one.name] = Step(UNKNOWN[one.kind], at, path)
        elif (read := field.readers(scale).get(one.kind)) is None:
            raise _mistyped(field, one, path)
        elif field.name in known:
            raise Refused("FIELD_TWICE", "give the amount as a decimal or in minor units, not both", path)
        else:
            known[field.name] = Step(read, at, path, b"%d" if field.money else b"%b")
    return known, unknown


def _require(names: Iterable[str], known: Tree, prefix: str = "") -> None:
    for name in names:
        if name not in known:
            raise Refused("FIELD_MISSING", "a required field is missing or null", prefix + name.removesuffix("_minor"))


class Rows:
    """Reads a schedule: each row by the template of its shape."""

    def __init__(self, templates: list[Template]) -> None:
        self._templates: Final = templates

    def __call__(self, rows: list[tuple[bytes, ...]]) -> bytes:
        if len(rows) > ROWS_MAX:
            raise Refused("SCHEDULE_TOO_LONG", f"a schedule may have {ROWS_MAX} rows")
        try:
            return b"[%b]" % b",".join([template.fill(row) for row, template in self._each(rows)])
        except Refused:
            for row, template in self._each(rows):
                template.find_fault(row)
            raise

    def _each(self, rows: list[tuple[bytes, ...]]) -> Iterable[tuple[tuple[bytes, ...], Template]]:
        return zip(rows, self._templates * len(rows) if len(self._templates) == 1 else self._templates, strict=True)


def _mistyped(field: Known, one: Named, path: str) -> Refused:
    if field.money and one.kind in {INT32, INT64}:
        return Refused("MONEY_INTEGER", "whole or minor units? send a Decimal128, a decimal text, or minor units in a field ending in _minor", path)
    if field.money and one.kind == DOUBLE:
        return Refused("MONEY_DOUBLE", "minor units are whole: send an int32 or int64", path)
    takes = sorted(TYPE_NAMES[kind] for kind in field.readers(2))
    return Refused("WRONG_TYPE", f"the field takes {', '.join(takes)}, not {TYPE_NAMES[one.kind]}", path)


class Plan:
    """How the values of one shape become a loan: worked out once. Raises Refused when no record of the shape can be taken."""

    def __init__(self, shape: Shape) -> None:
        self._shape: Final = shape
        tree = _tree(shape, 2)
        self._loan_id_at: Final = _step(tree, "loan_id").at
        self._currency_at: Final = _step(tree, "currency").at
        self._updated_at: Final = _step(tree, "updated_at") if "updated_at" in tree else None
        self._originator_at: Final = _step(tree, "originator_id").at if "originator_id" in tree else None
        self._templates: Final[dict[bytes, Template]] = {}

    def read(self, values: Values) -> tuple[Loan, bytes | None]:
        """The loan, and whose it says it is. Raises Refused, mostly without naming the field."""
        template = self._templates.get(values[self._currency_at]) or self._template(values)
        updated_at = self._updated_at.read(values[self._updated_at.at]) if self._updated_at else None
        originator_id = None if self._originator_at is None else values[self._originator_at]
        document = template.fill(values)
        return Loan(str(values[self._loan_id_at][4:-1], "ascii"), updated_at, document), originator_id

    def find_fault(self, values: Values) -> None:
        """Raises the Refused of the first field that cannot be read, with its name."""
        self._template(values).find_fault(values)
        if self._updated_at:
            Template({"updated_at": self._updated_at}).find_fault(values)

    def _template(self, values: Values) -> Template:
        """The template for this currency, made when it is first met."""
        currency = values[self._currency_at]
        if (scale := _SCALES.get(currency)) is None:
            raise Refused("CURRENCY_UNKNOWN", "the currency is an ISO 4217 code in capitals", "currency")
        tree = _tree(self._shape, scale)
        self._templates[currency] = Template({name: branch for name, branch in tree.items() if name not in ENVELOPE})
        return self._templates[currency]


def _step(tree: Tree, name: str) -> Step:
    step = tree[name]
    assert isinstance(step, Step), f"{name} is a single value"
    return step


def _tree(shape: Shape, scale: int) -> Tree:
    """Everything a record of this shape says, where it stands in canonical JSON, and how it is read with this many decimals."""
    top: list[tuple[int, Named]] = []
    nested: Tree = {}
    extras: Tree = {}
    place = 0
    for one in shape:
        if one.inside is not None:
            nested[INLINE], extras[INLINE] = branches(enumerate(one.inside, place + INLINE_BEFORE), BORROWER, scale, f"{INLINE}.")
            place += INLINE_BEFORE + len(one.inside) + INLINE_AFTER
            continue
        if one.rows is not None:
            nested[ROWS], extras[ROWS] = _rows(one.rows, place, scale)
        elif one.name in {INLINE, ROWS} and one.kind != NULL:
            what = "a document" if one.name == INLINE else "an array of documents of single values"
            raise Refused("WRONG_TYPE", f"the field takes {what}", one.name)
        else:
            top.append((place, one))
        place += 1
    known, unknown = branches(top, TOP, scale)
    _require(REQUIRED, known)
    extras = {name: branch for name, branch in {**extras, **unknown}.items() if branch}
    return {**known, **{name: branch for name, branch in nested.items() if branch}, **({"extras": extras} if extras else {})}


def _rows(shapes: tuple[Shape, ...], place: int, scale: int) -> tuple[Step, "Step | Tree"]:
    """How a schedule's known and unknown fields are read; no unknown ones: an empty branch."""
    both = [branches(enumerate(row, ROW_BEFORE), ROW, scale, f"{ROWS}.") for row in shapes]
    for known, _ in both:
        _require(ROW_REQUIRED, known, f"{ROWS}.")
    step = Step(Rows([Template(known) for known, _ in both]), place, ROWS)
    if not any(unknown for _, unknown in both):
        return step, {}
    return step, Step(Rows([Template(unknown) for _, unknown in both]), place, ROWS)


@lru_cache(_SHAPES_MAX)
def plan_of(shape: Shape) -> Plan:
    """The plan of a shape. Raises Refused as Plan does."""
    return Plan(shape)
