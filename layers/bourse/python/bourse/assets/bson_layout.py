"""Records of one file look alike: the layout of one, once walked, becomes a pattern that reads the others at once.

A shape is the names and types of a record, in order. `outline` takes a walked record apart into its shape and its values; a
`Layout` finds the same values in the octets of any other record of that shape, or says it is of another. It is as strict as
the walk (every type, name, length and terminator is matched) but for the text of values, which their readers decode.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from operator import itemgetter
from struct import Struct
from typing import Any, Final, NamedTuple, Optional

from bourse.assets.bson_walk import ARRAY, BOOLEAN, DOCUMENT, ELEMENTS_MAX, TEXT, WIDTHS, Element, elements
from bourse.errors import Refused

INLINE: Final = "borrower"
"""The document whose values stand among the record's own."""
ROWS: Final = "schedule"
"""The array of documents whose values are read row by row."""

Values = list[Any]
"""Raw octets, one for each field of the shape; of the rows of a schedule a list of tuples, one octets each."""
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
    values: Values = []
    for element in found:
        if element.kind == DOCUMENT and element.name == INLINE:
            shape.append(Named(element.name, DOCUMENT, inside=tuple(Named(one.name, one.kind) for one in element.inside)))
            values += [one.raw for one in element.inside]
        elif element.kind == ARRAY and element.name == ROWS and all(_is_row(one) for one in element.inside):
            shapes = tuple(tuple(Named(one.name, one.kind) for one in row.inside) for row in element.inside)
            shape.append(Named(element.name, ARRAY, rows=shapes[:1] if len(set(shapes)) == 1 else shapes))
            values.append([tuple(one.raw for one in row.inside) for row in element.inside])
        else:
            shape.append(Named(element.name, element.kind))
            values.append(element.raw)
    return tuple(shape), values


def _is_row(element: Element) -> bool:
    return element.kind == DOCUMENT and all(one.kind in WIDTHS or one.kind == TEXT for one in element.inside)


_LENGTH: Final = rb"(.{4})"
_NUMBERS: Final = tuple(b"%d" % number for number in range(ELEMENTS_MAX))


@dataclass(slots=True)
class _Pattern:
    """A pattern in the making: which of its groups are values, lengths of texts, and begin and end of the inline document."""

    octets: bytes = b""
    groups: int = 0
    values: list[int] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    texts: list[int] = field(default_factory=list)
    inline: tuple[int, int] | None = None

    def head(self, name: str, kind: int) -> None:
        self.octets += re.escape(bytes([kind]) + name.encode()) + rb"\0"

    def group(self, pattern: bytes) -> int:
        self.octets += pattern
        self.groups += 1
        return self.groups - 1

    def scalar(self, one: Named) -> None:
        self.head(one.name, one.kind)
        if one.kind == TEXT:
            self.lengths.append(self.group(_LENGTH))
            self.texts.append(self.group(rb"([^\0]*+\0)"))
            self.values.append(self.texts[-1])
        else:
            self.values.append(self.group(rb"([\0\1])" if one.kind == BOOLEAN else rb"(.{%d})" % WIDTHS[one.kind]))

    def document(self, one: Named) -> None:
        self.head(one.name, one.kind)
        begin = self.group(_LENGTH)
        for inner in one.inside or ():
            self.scalar(inner)
        self.octets += rb"\0"
        self.inline = (begin + 1, self.group(rb"()") + 1)


class _Stretch:
    """A part of a record that one pattern reads: up to a value that only its length delimits, or to the record's end."""

    def __init__(self, made: _Pattern) -> None:
        self.match: Final = re.compile(made.octets, re.DOTALL).match
        self._values: Final = _picker(made.values)
        self._lengths: Final = _picker(made.lengths)
        self._texts: Final = _picker(made.texts)
        self._unpack: Final = Struct(f"<{len(made.lengths)}i").unpack
        self._inline: Final = made.inline

    def values(self, found: re.Match[bytes]) -> Groups | None:
        """The values, or None when a length is not that of what stands there."""
        groups = found.groups()
        if self._unpack(b"".join(self._lengths(groups))) != tuple(map(len, self._texts(groups))):
            return None
        if self._inline:
            begin, end = self._inline
            if int.from_bytes(groups[begin - 1], "little") != found.end(end) - found.start(begin):
                return None
        return self._values(groups)


def _picker(places: list[int]) -> Callable[[Groups], Groups]:
    """A function that takes these places of a tuple, as a tuple."""
    if len(places) > 1:
        return itemgetter(*places)
    return (lambda groups: (groups[places[0]],)) if places else (lambda _groups: ())


class _Rows:
    """Reads an array of documents of one shape."""

    def __init__(self, row: Shape) -> None:
        made = _Pattern()
        made.octets = rb"\x03"
        made.group(rb"([0-9]{1,4})")
        made.octets += rb"\0"
        made.group(_LENGTH)
        for one in row:
            made.scalar(one)
        self._find: Final = re.compile(made.octets + rb"\0", re.DOTALL).finditer
        self._values: Final = _picker(made.values)
        self._lengths: Final = _picker(made.lengths)
        self._texts: Final = _picker(made.texts)

    def values(self, raw: bytes) -> list[Groups] | None:
        """The values of each row, or None when anything is not as it should be."""
        rows: list[Groups] = []
        lengths: list[bytes] = []
        texts: list[bytes] = []
        at, end = 4, len(raw) - 1
        for number, found in zip(_NUMBERS, self._find(raw, 4), strict=False):
            groups = found.groups()
            begin = at + len(number) + 2
            if found.start() != at or groups[0] != number or int.from_bytes(groups[1], "little") != found.end() - begin:
                return None
            lengths += self._lengths(groups)
            texts += self._texts(groups)
            rows.append(self._values(groups))
            at = found.end()
        if at != end or raw[end] or [int.from_bytes(one, "little") for one in lengths] != list(map(len, texts)):
            return None
        return rows


class Layout:
    """Reads records of one shape."""

    def __init__(self, shape: Shape) -> None:
        self._stretches: Final = tuple(_stretches(shape))

    def match(self, data: bytes) -> Values | None:
        """The record's values, or None when it has another shape or is not BSON."""
        if int.from_bytes(data[:4], "little") != len(data):
            return None
        values: Values = []
        at = 4
        for stretch, until in self._stretches:
            if (found := stretch.match(data, at)) is None or (picked := stretch.values(found)) is None:
                return None
            values += picked
            at = found.end()
            if until is not None:
                raw = data[at : at + max(0, int.from_bytes(data[at : at + 4], "little", signed=True))]
                if (value := until(raw)) is None:
                    return None
                values.append(value)
                at += len(raw)
        return values


def layout_of(shape: Shape) -> Layout | None:
    """The layout of a shape, or None for one that no pattern can read (binaries, or documents inside the inline one)."""
    inner = [one for named in shape for one in (named.inside or ())]
    readable = all(one.kind in WIDTHS or one.kind == TEXT for one in inner) and all(one.kind in {*WIDTHS, TEXT, DOCUMENT, ARRAY} for one in shape)
    alike = all(one.rows is None or len(one.rows) == 1 for one in shape)
    return Layout(shape) if readable and alike else None


Until = Callable[[bytes], Any]


def _stretches(shape: Shape) -> Iterator[tuple[_Stretch, Until | None]]:
    made = _Pattern()
    for one in shape:
        if one.inside is not None:
            made.document(one)
        elif one.kind in {DOCUMENT, ARRAY}:
            made.head(one.name, one.kind)
            yield _Stretch(made), _Rows(one.rows[0]).values if one.rows else _checked(array=one.kind == ARRAY)
            made = _Pattern()
        else:
            made.scalar(one)
    made.octets += rb"\0\Z"
    yield _Stretch(made), None


def _checked(*, array: bool) -> Until:
    """Lets a document or an array through as it is, when the walk does."""

    def check(raw: bytes) -> bytes | None:
        try:
            elements(raw, 2, array=array)
        except Refused:
            return None
        return raw

    return check
