"""From the text of a filter to its tree. Grammar, loosest first:

or      := and { OR and }
and     := not { AND not }
not     := NOT not | test
test    := operand [ op operand | [NOT] IN ( operand { , operand } ) ]        op: = != < <= > >=
operand := 'text' | number | TRUE | FALSE | $n | path [ :time ] | EXISTS ( path ) | name ( or ) | ( or ) { . name } [ :time ]
path    := name { . name }                                                   a name after a dot may have hyphens

A path alone stands for `path = TRUE`. Keywords are written in capitals (TRUE, FALSE and EXISTS also in small letters), and after a dot they are
names like any other. A text has no escapes but the doubled quote, a backslash is a character. White space is space and tab.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final, Literal, NoReturn

from bourse.errors import Refused
from bourse.ledger.filters.fields import half_characters

LENGTH_MAX: Final = 10_000
TERMS_MAX: Final = 500
"""Conditions of a filter; ten items of an IN count as one."""
DEPTH_MAX: Final = 50
PLACEHOLDER_MAX: Final = 1_000
_TOKEN: Final = re.compile(
    r"[ \t]*(?:(?P<text>'(?:[^']|'')*')|(?P<number>-?(?:0[xX][0-9a-fA-F]+|[0-9]+))|\$(?P<placeholder>[0-9]+)"
    r"|(?P<name>[^\W\d][\w]*(?:-[\w]+)*)|(?P<sign>!=|<=|>=|[=<>(),.:]))"
)
_KEYWORDS: Final = {"AND", "OR", "NOT", "IN", "TRUE", "FALSE", "EXISTS"}
_TRUTHS: Final = {"TRUE": True, "true": True, "FALSE": False, "false": False}
Op = Literal["=", "!=", "<", "<=", ">", ">="]
_OPS: Final[tuple[Op, ...]] = ("=", "!=", "<=", ">=", "<", ">")


@dataclass(frozen=True, slots=True)
class Path:
    """A field of the object or a tag in it; `time` says that its text is a time. `place` is where it stands, from 0, here and below."""

    names: tuple[str, ...]
    time: bool = False
    place: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Constant:
    """A text, a whole number or a truth."""

    value: str | int | bool


@dataclass(frozen=True, slots=True)
class Placeholder:
    """$n: the n-th parameter, from 1."""

    number: int


Operand = Path | Constant | Placeholder


@dataclass(frozen=True, slots=True)
class Compare:
    op: Op
    left: Operand
    right: Operand
    place: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Among:
    """True when one of the items is equal."""

    operand: Operand
    items: tuple[Operand, ...]
    place: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Exists:
    path: Path


@dataclass(frozen=True, slots=True)
class Scope:
    """True when one of the object's parts of this name matches all of `inner`."""

    name: str
    inner: "Node"
    place: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Not:
    inner: "Node"


@dataclass(frozen=True, slots=True)
class Both:
    """All of the parts (AND), or any (OR)."""

    all: bool
    parts: tuple["Node", ...]


Node = Compare | Among | Exists | Scope | Not | Both
_Part = Node | Operand


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter that was read; `node` is None when it matches everything. `placeholders` is the highest $n. Two are the same when their texts are."""

    text: str
    node: Node | None = field(compare=False)
    placeholders: int = field(compare=False)


def invalid(why: str, place: int) -> Refused:
    return Refused("FILTER_INVALID", f"at character {place + 1}: {why}", "filter")


def parse(text: str) -> Filter:
    """Read a filter. Raises Refused FILTER_INVALID with the place, for whatever is none; takes time and memory within the limits above."""
    if not isinstance(text, str) or len(text) > LENGTH_MAX:
        raise Refused("FILTER_INVALID", f"a filter is a text of at most {LENGTH_MAX} characters", "filter")
    if "\0" in text or half_characters(text):
        raise Refused("FILTER_INVALID", "a filter is text without NUL and half characters", "filter")
    if not text.strip(" \t"):
        return Filter(text, None, 0)
    return _Parser(text).whole()


class _Parser:
    """Reads parts, which are conditions or operands, and insists on one of the two only where the grammar does: so `(tags.a).b = (1)` needs no looking back."""

    def __init__(self, text: str) -> None:
        self._text: Final = text
        self._tokens: Final = _tokens(text)
        self._at = 0
        self._terms = 0
        self._highest = 0

    def whole(self) -> Filter:
        node = self._condition(self._or(0))
        if self._at < len(self._tokens):
            self._fail("an end was expected")
        return Filter(self._text, node, self._highest)

    def _or(self, depth: int) -> _Part:
        return self._many("OR", self._and, depth)

    def _and(self, depth: int) -> _Part:
        return self._many("AND", self._not, depth)

    def _many(self, word: str, part: Callable[[int], _Part], depth: int) -> _Part:
        self._deep(depth)
        first = part(depth)
        if self._peek() != ("name", word):
            return first
        parts = [self._condition(first)]
        while self._takes("name", word):
            parts.append(self._condition(part(depth)))
        return Both(word == "AND", tuple(parts))

    def _not(self, depth: int) -> _Part:
        self._deep(depth)
        if self._takes("name", "NOT"):
            return Not(self._condition(self._not(depth + 1)))
        return self._test(depth)

    def _test(self, depth: int) -> _Part:
        self._terms += 1
        if self._terms > TERMS_MAX:
            self._fail(f"it has more than {TERMS_MAX} conditions")
        place, left = self._place(), self._part(depth)
        for op in _OPS:
            if self._takes("sign", op):
                return Compare(op, self._operand(left), self._operand(self._part(depth)), place)
        negated = self._takes("name", "NOT")
        if self._takes("name", "IN"):
            found = Among(self._operand(left), self._items(depth), place)
            return Not(found) if negated else found
        if negated:
            self._fail("IN was expected")
        return left

    def _items(self, depth: int) -> tuple[Operand, ...]:
        self._expect("(")
        items = [self._operand(self._part(depth))]
        while self._takes("sign", ","):
            items.append(self._operand(self._part(depth)))
        self._terms += len(items) // 10
        self._expect(")")
        return tuple(items)

    def _part(self, depth: int) -> _Part:
        (kind, word), place = self._peek(), self._place()
        opens = self._peek(1) == ("sign", "(")
        match kind:
            case "text":
                self._at += 1
                return Constant(word[1:-1].replace("''", "'"))
            case "number":
                value = self._number(word)
                self._at += 1
                return Constant(value)
            case "placeholder":
                found = self._placeholder(word)
                self._at += 1
                return found
            case "sign" if word == "(":
                return self._parentheses(depth)
            case "name" if word in {"EXISTS", "exists"} and opens:
                return self._exists()
            case "name" if word in _TRUTHS:
                self._at += 1
                return Constant(_TRUTHS[word])
            case "name" if word not in _KEYWORDS and opens:
                self._at += 2
                inner = self._condition(self._or(depth + 1))
                self._expect(")")
                return Scope(word, inner, place)
            case "name" if word not in _KEYWORDS:
                return self._path()
        raise invalid("a value was expected", place)

    def _parentheses(self, depth: int) -> _Part:
        self._expect("(")
        inner = self._or(depth + 1)
        self._expect(")")
        return self._below(inner) if isinstance(inner, Path) else inner

    def _exists(self) -> Exists:
        self._at += 1
        self._expect("(")
        path = self._path()
        self._expect(")")
        return Exists(path)

    def _number(self, word: str) -> int:
        digits = word.lstrip("-")
        hexadecimal = digits[:2] in {"0x", "0X"}
        value = int(digits, 16 if hexadecimal else 10) if len(digits) <= 20 else 2**64
        value = -value if word[0] == "-" else value
        if not -(2**63) <= value < 2**63 or (digits[0] == "0" and not hexadecimal and len(digits) > 1):
            self._fail("a number is whole, without leading zeros, and fits 64 bits")
        return value

    def _placeholder(self, word: str) -> Placeholder:
        number = int(word) if len(word) < 6 else 0
        if not 1 <= number <= PLACEHOLDER_MAX:
            self._fail(f"a placeholder is $1 to ${PLACEHOLDER_MAX}")
        self._highest = max(self._highest, number)
        return Placeholder(number)

    def _path(self) -> Path:
        place = self._place()
        kind, word = self._peek()
        if kind != "name" or word in _KEYWORDS:
            self._fail("a field was expected")
        if "-" in word:
            self._fail("the first name of a path has no hyphen")
        self._at += 1
        return self._below(Path((word,), place=place))

    def _below(self, path: Path) -> Path:
        while not path.time and self._takes("sign", "."):
            if self._peek()[0] != "name":
                self._fail("a name was expected")
            path = replace(path, names=(*path.names, self._peek()[1]))
            self._at += 1
        if not path.time and self._takes("sign", ":"):
            if not self._takes("name", "time"):
                self._fail("after a colon only `time` is known")
            path = replace(path, time=True)
        return path

    def _condition(self, part: _Part) -> Node:
        if isinstance(part, Path):
            return Compare("=", part, Constant(True), part.place)
        if isinstance(part, Constant | Placeholder):
            self._fail("a comparison was expected")
        return part

    def _operand(self, part: _Part) -> Operand:
        if not isinstance(part, Path | Constant | Placeholder):
            self._fail("conditions are not compared, values are")
        return part

    def _deep(self, depth: int) -> None:
        if depth > DEPTH_MAX:
            self._fail(f"it is nested more than {DEPTH_MAX} deep")

    def _peek(self, ahead: int = 0) -> tuple[str, str]:
        place = self._at + ahead
        return self._tokens[place][:2] if place < len(self._tokens) else ("end", "")

    def _place(self) -> int:
        return self._tokens[self._at][2] if self._at < len(self._tokens) else len(self._text)

    def _takes(self, kind: str, word: str) -> bool:
        if self._peek() == (kind, word):
            self._at += 1
            return True
        return False

    def _expect(self, sign: str) -> None:
        if not self._takes("sign", sign):
            self._fail(f"`{sign}` was expected")

    def _fail(self, why: str) -> NoReturn:
        raise invalid(why, self._place())


def _tokens(text: str) -> list[tuple[str, str, int]]:
    found, at, end = [], 0, len(text.rstrip(" \t"))
    while at < end:
        token = _TOKEN.match(text, at)
        if token is None or token.lastgroup is None:
            raise invalid("nothing of the language begins here", at)
        found.append((token.lastgroup, token[token.lastgroup], token.start()))
        at = token.end()
    return found
