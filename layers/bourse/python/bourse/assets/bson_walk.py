"""Strict BSON: what a record is made of, name by name and type by type, or why it is refused. Stricter than any driver.

A driver takes the last of two equal names, makes None of undefined and classes of references, and reads any depth. Here a
document has one meaning or none. Values stay raw octets: `fields.py` knows what each should be.
"""

import re
from dataclasses import dataclass
from typing import Final

from bourse.errors import Refused

DEPTH_MAX: Final = 8
FIELDS_MAX: Final = 200
ELEMENTS_MAX: Final = 1_000

DOUBLE, TEXT, DOCUMENT, ARRAY, BINARY, OBJECT_ID, BOOLEAN = 0x01, 0x02, 0x03, 0x04, 0x05, 0x07, 0x08
DATE, NULL, INT32, INT64, DECIMAL = 0x09, 0x0A, 0x10, 0x12, 0x13
WIDTHS: Final = {DOUBLE: 8, OBJECT_ID: 12, BOOLEAN: 1, DATE: 8, NULL: 0, INT32: 4, INT64: 8, DECIMAL: 16}
"""BSON type -> octets of its values, where all have the same."""
TYPE_NAMES: Final = {
    DOUBLE: "double",
    TEXT: "string",
    DOCUMENT: "document",
    ARRAY: "array",
    BINARY: "binary",
    OBJECT_ID: "ObjectId",
    BOOLEAN: "boolean",
    DATE: "date",
    NULL: "null",
    INT32: "int32",
    INT64: "int64",
    DECIMAL: "Decimal128",
}
_NAME: Final = re.compile(rb"(?:[A-Za-z]|_(?!_))[A-Za-z0-9_-]{0,63}")
_OLD_BINARY, _UUID, _UUID_OCTETS = 2, 4, 16


@dataclass(frozen=True, slots=True)
class Element:
    """One name and value. `raw` is the value as it stands, a text with its length and closing NUL; of a binary it is the subtype and
    the octets. `inside` are the elements of a document or an array."""

    kind: int
    name: str
    raw: bytes
    inside: "tuple[Element, ...]" = ()


def elements(data: bytes, depth: int = 1, *, array: bool = False) -> tuple[Element, ...]:
    """The elements of a whole document (or array), in order. Raises Refused with one of the codes of `codes.py` and the field."""
    if depth > DEPTH_MAX:
        raise Refused("TOO_DEEP", f"documents may be nested {DEPTH_MAX} deep")
    end = len(data) - 1
    if end < 4 or int.from_bytes(data[:4], "little") != len(data) or data[end]:
        raise Refused("BAD_BSON", "a document's length does not fit, or its end is missing")
    found: dict[bytes, Element] = {}
    most = ELEMENTS_MAX if array else FIELDS_MAX
    at = 4
    while at < end:
        if len(found) == most:
            raise Refused("TOO_MANY_FIELDS", f"a document may have {FIELDS_MAX} fields, an array {ELEMENTS_MAX} elements")
        stop = data.find(0, at + 1, end)
        if stop < 0:
            raise Refused("BAD_BSON", "a field name does not end")
        name = data[at + 1 : stop]
        if array and name != b"%d" % len(found):
            raise Refused("BAD_ARRAY", "the elements of an array are numbered 0, 1, 2, ...")
        if name in found:
            raise Refused("DUPLICATE_KEY", "the field stands twice in one document", name.decode())
        text = name.decode() if array else _name(name)
        try:
            found[name], at = _element(data, data[at], text, stop + 1, end, depth)
        except Refused as refused:
            raise Refused(refused.code, refused.detail, _path(text, refused.field)) from None
    return tuple(found.values())


def _path(name: str, inner: str | None) -> str:
    return f"{name}.{inner}"[:200] if inner else name


def _name(name: bytes) -> str:
    if _NAME.fullmatch(name):
        return name.decode()
    try:
        shown = name.decode()[:64]
    except UnicodeDecodeError:
        raise Refused("BAD_TEXT", "a field name is not valid UTF-8") from None
    code = "TYPE_FORBIDDEN" if shown in {"$ref", "$id", "$db"} else "BAD_NAME"
    raise Refused(code, "a field name is 1 to 64 ASCII letters, digits, _ or -, starting with a letter or a single _", shown)


def _element(data: bytes, kind: int, name: str, at: int, end: int, depth: int) -> tuple[Element, int]:
    """The element whose value begins at `at`, and where the next one begins."""
    if (width := WIDTHS.get(kind)) is not None:
        raw = data[at : at + width]
        if at + width > end or (kind == BOOLEAN and raw[0] > 1):
            raise Refused("BAD_BSON", f"the {TYPE_NAMES[kind]} is cut off, or no such value")
        return Element(kind, name, raw), at + width
    if kind not in TYPE_NAMES:
        raise Refused("TYPE_FORBIDDEN", f"BSON type 0x{kind:02x} is not taken")
    length = int.from_bytes(data[at : at + 4], "little", signed=True)
    stop = at + length + (0 if kind in {DOCUMENT, ARRAY} else 4) + (kind == BINARY)
    if at + 4 > end or length < 0 or stop > end:
        raise Refused("BAD_BSON", f"the {TYPE_NAMES[kind]} is longer than its document")
    raw = data[at:stop]
    if kind == TEXT:
        _check_text(raw[4:])
        return Element(kind, name, raw), stop
    if kind == BINARY:
        _check_binary(raw[4], raw[5:])
        return Element(kind, name, raw[4:]), stop
    return Element(kind, name, raw, elements(raw, depth + 1, array=kind == ARRAY)), stop


def _check_text(text: bytes) -> None:
    if not text or text[-1]:
        raise Refused("BAD_BSON", "a text's length does not fit")
    if text.find(0) != len(text) - 1:
        raise Refused("NUL_IN_TEXT", "a text may not contain the character NUL")
    try:
        text.decode()
    except UnicodeDecodeError:
        raise Refused("BAD_TEXT", "a text is not valid UTF-8") from None


def _check_binary(subtype: int, octets: bytes) -> None:
    """An old binary repeats its length inside; a UUID has 16 octets."""
    old = subtype == _OLD_BINARY and int.from_bytes(octets[:4], "little") != len(octets) - 4
    if old or (subtype == _UUID and len(octets) != _UUID_OCTETS):
        raise Refused("BAD_BSON", "a binary value is malformed")
