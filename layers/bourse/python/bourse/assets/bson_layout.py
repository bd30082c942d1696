"""Records of one file look alike: the layout of one, once walked, becomes a pattern that reads the others at once.

A shape is the names and types of a record, in order. `outline` takes a walked record apart into its shape and its values; a
`Layout` finds the same values in the octets of any other record of that shape, or says it is of another. It is as strict as
the walk (every type, name and terminator is matched) but for texts, whose length and letters their readers check.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Optional

from bourse.assets.bson_walk import ARRAY, BOOLEAN, DOCUMENT, ELEMENTS_MAX, TEXT, WIDTHS, Element, elements
from bourse.errors import Refused

INLINE: Final = "borrower"
"""The document whose values stand among the record's own."""
ROWS: Final = "schedule"
"""The array of documents whose values are read row by row."""

Values = tuple[Any, ...]
"""Raw octets, one for each field of the shape. The inline document's values stand between its length and an empty one; a schedule's
value is a list of rows, each a tuple of values after the row's number and its length."""
INLINE_BEFORE, INLINE_AFTER, ROW_BEFORE = 1, 1, 2
"""How many values stand before and after the fields of the inline document, and before those of a row."""
Groups = tuple[bytes, ...]


class Named(NamedTuple):
    """One field of a shape. `inside`: of the inline document. `rows`: the shapes of a schedule's rows, one if all are alike."""

    name: str
    kind: int
    inside: Optional["Shape"] = None
    rows: tuple["Shape", ...] | None = None


Shape = tuple[Named, ...]


def outline(found: tuple[Element, ...]) -> tuple[Shape, Values]:
    """The shape of a walked record, and its values in the shape's order."""
    shape: list[Named] = []
    values: list[Any] = []
    for element in found:
        if element.kind == DOCUMENT and element.name == INLINE:
            shape.append(Named(element.name, DOCUMENT, inside=tuple(Named(one.name, one.kind) for one in element.inside)))
            values += [element.raw[:4], *(one.raw for one in element.inside), b""]
        elif element.kind == ARRAY and element.name == ROWS and all(_is_row(one) for one in element.inside):
            shapes = tuple(tuple(Named(one.name, one.kind) for one in row.inside) for row in element.inside)
            shape.append(Named(element.name, ARRAY, rows=shapes[:1] if len(set(shapes)) == 1 else shapes))
            values.append([(row.name.encode(), row.raw[:4], *(one.raw for one in row.inside)) for row in element.inside])
        else:
            shape.append(Named(element.name, element.kind))
            values.append(element.raw)
    return tuple(shape), tuple(values)


def _is_row(element: Element) -> bool:
    return element.kind == DOCUMENT and all(one.kind in WIDTHS or one.kind == TEXT for one in element.inside)


_NUMBERS: Final = tuple(b"%d" % number for number in range(ELEMENTS_MAX))


@dataclass(slots=True)
class _Pattern:
    """A pattern in the making; each of its groups is a value. `inline` are the groups at both ends of the inline document."""

    octets: bytes = b""
    groups: int = 0
    inline: tuple[int, int] | None = None

    def head(self, name: str, kind: int) -> None:
        self.octets += re.escape(bytes([kind]) + name.encode()) + rb"\0"

    def group(self, pattern: bytes) -> int:
        """Add a group; returns its number."""
        self.octets += b"(%b)" % pattern
        self.groups += 1
        return self.groups

    def scalar(self, one: Named) -> None:
        self.head(one.name, one.kind)
        if one.kind == TEXT:
            self.group(rb".{4}[^\0]*+\0")
        else:
            self.group(rb"[\0\1]" if one.kind == BOOLEAN else rb".{%d}" % WIDTHS[one.kind])

    def document(self, one: Named) -> None:
        self.head(one.name, one.kind)
        begin = self.group(rb".{4}")
        for inner in one.inside or ():
            self.scalar(inner)
        self.octets += rb"\0"
        self.inline = (begin, self.group(b""))


class _Stretch(NamedTuple):
    """A part of a record that one pattern reads: up to a value that only its length delimits (`until` reads that), or to the record's end."""

    match: Callable[[bytes, int], re.Match[bytes] | None]
    inline: tuple[int, int] | None
    until: "Until | None"


def _stretch(made: _Pattern, until: "Until | None" = None) -> _Stretch:
    return _Stretch(re.compile(made.octets, re.DOTALL).match, made.inline, until)


class _Rows:
    """Reads an array of documents of one shape."""

    def __init__(self, row: Shape) -> None:
        made = _Pattern(rb"\x03")
        made.group(rb"[0-9]{1,4}")
        made.octets += rb"\0"
        made.group(rb".{4}")
        for one in row:
            made.scalar(one)
        self._find: Final = re.compile(made.octets + rb"\0", re.DOTALL).finditer

    def values(self, raw: bytes) -> list[Groups] | None:
        """The values of each row, or None when anything is not as it should be."""
        rows: list[Groups] = []
        at, end = 4, len(raw) - 1
        for number, found in zip(_NUMBERS, self._find(raw, 4), strict=False):
            groups = found.groups()
            start, stop = found.span()
            if start != at or groups[0] != number or int.from_bytes(groups[1], "little") != stop - start - len(number) - 2:
                return None
            rows.append(groups)
            at = stop
        return None if at != end or raw[end] else rows


class Layout:
    """Reads records of one shape."""

    def __init__(self, shape: Shape) -> None:
        self._stretches: Final = tuple(_stretches(shape))

    def match(self, data: bytes) -> Values | None:
        """The record's values, or None when it has another shape or is not BSON."""
        if int.from_bytes(data[:4], "little") != len(data):
            return None
        values: list[Any] = []
        at = 4
        for match, inline, until in self._stretches:
            if (found := match(data, at)) is None:
                return None
            if inline:
                start, stop = found.start(inline[0]), found.end(inline[1])
                if int.from_bytes(data[start : start + 4], "little") != stop - start:
                    return None
            groups, at = found.groups(), found.end()
            if until is None:
                return (*values, *groups) if values else groups
            raw = data[at : at + max(0, int.from_bytes(data[at : at + 4], "little", signed=True))]
            if (value := until(raw)) is None:
                return None
            values += (*groups, value)
            at += len(raw)
        raise AssertionError("the last stretch ends the record")


def layout_of(shape: Shape) -> Layout | None:
    """The layout of a shape, or None for one that no pattern can read (binaries, or documents inside the inline one)."""
    inner = [one for named in shape for one in (named.inside or ())]
    readable = all(one.kind in WIDTHS or one.kind == TEXT for one in inner) and all(one.kind in {*WIDTHS, TEXT, DOCUMENT, ARRAY} for one in shape)
    alike = all(one.rows is None or len(one.rows) == 1 for one in shape)
    return Layout(shape) if readable and alike else None


Until = Callable[[bytes], Any]


def _stretches(shape: Shape) -> Iterator[_Stretch]:
    made = _Pattern()
    for one in shape:
        if one.inside is not None:
            made.document(one)
        elif one.kind in {DOCUMENT, ARRAY}:
            made.head(one.name, one.kind)
            yield _stretch(made, _Rows(one.rows[0]).values if one.rows else _checked(array=one.kind == ARRAY))
            made = _Pattern()
        else:
            made.scalar(one)
    made.octets += rb"\0\Z"
    yield _stretch(made)


def _checked(*, array: bool) -> Until:
    """Lets a document or an array through as it is, when the walk does."""

    def check(raw: bytes) -> bytes | None:
        try:
            elements(raw, 2, array=array)
        except Refused:
            return None
        return raw

    return check
