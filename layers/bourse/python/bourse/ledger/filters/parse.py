"""From the text of a filter to its tree. Grammar, loosest first:

or      := and { OR and }
and     := not { AND not }
not     := NOT not | test
test    := operand [ op operand | [NOT] IN ( operand { , operand } ) ]      op: = != < <= > >=
operand := ( or ) | 'text' | number | TRUE | FALSE | $n | path [ :time ] | EXISTS ( path ) | name ( or )
path    := name { . name }                                                 a name after a dot may have hyphens

Keywords are written in capitals, so a tag may be called `not`. A text has no escapes but the doubled quote.
"""

import re
from dataclasses import dataclass
from typing import Final, Literal

from bourse.errors import Refused

LENGTH_MAX: Final = 10_000
TERMS_MAX: Final = 500
DEPTH_MAX: Final = 50
PLACEHOLDER_MAX: Final = 1_000
_TOKEN: Final = re.compile(
    r"[ \t]*(?:(?P<text>'(?:[^']|'')*')|(?P<number>-?(?:0x[0-9a-fA-F]+|[0-9]+))|\$(?P<placeholder>[0-9]+)"
    r"|(?P<name>[^\W\d][\w]*(?:-[\w]+)*)|(?P<sign>!=|<=|>=|[=<>(),.:]))"
)
_KEYWORDS: Final = {"AND", "OR", "NOT", "IN", "TRUE", "FALSE", "EXISTS"}
Op = Literal["=", "!=", "<", "<=", ">", ">="]
_OPS: Final = ("=", "!=", "<=", ">=", "<", ">")


@dataclass(frozen=True, slots=True)
class Path:
    """A field of the object or a tag in it; `time` says that its text is a time."""

    names: tuple[str, ...]
    time: bool = False


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


@dataclass(frozen=True, slots=True)
class Among:
    """True when one of the items is equal."""

    operand: Operand
    items: tuple[Operand, ...]


@dataclass(frozen=True, slots=True)
class Exists:
    path: Path


@dataclass(frozen=True, slots=True)
class Scope:
    """True when one of the object's parts of this name matches all of `inner`."""

    name: str
    inner: "Node"


@dataclass(frozen=True, slots=True)
class Not:
    inner: "Node"


@dataclass(frozen=True, slots=True)
class Both:
    """All of the parts (AND), or any (OR)."""

    all: bool
    parts: tuple["Node", ...]


Node = Compare | Among | Exists | Scope | Not | Both


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter that was read; `node` is None when it matches everything. `placeholders` is the highest $n."""

    text: str
    node: Node | None
    placeholders: int


def parse(text: str) -> Filter:
    """Read a filter. Raises Refused FILTER_INVALID with the place, for whatever is none; takes time and memory within the limits above."""
    if not isinstance(text, str) or len(text) > LENGTH_MAX:
        raise Refused("FILTER_INVALID", f"a filter is a text of at most {LENGTH_MAX} characters", "filter")
    if "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise Refused("FILTER_INVALID", "a filter is text without NUL and half characters", "filter")
    if not text.strip(" \t"):
        return Filter(text, None, 0)
    return _Parser(text).whole()


class _Parser:
    def __init__(self, text: str) -> None:
        self._text: Final = text
        self._tokens: Final = list(_tokens(text))
        self._at = 0
        self._terms = 0
        self._highest = 0

    def whole(self) -> Filter:
        node = self._or(0)
        if self._at < len(self._tokens):
            self._fail("an end was expected")
        return Filter(self._text, node, self._highest)

    def _or(self, depth: int) -> Node:
        return self._many("OR", self._and, depth)

    def _and(self, depth: int) -> Node:
        return self._many("AND", self._not, depth)

    def _many(self, word: str, part: object, depth: int) -> Node:
        if depth > DEPTH_MAX:
            self._fail(f"it is nested more than {DEPTH_MAX} deep")
        parts = [part(depth)]  # type: ignore[operator]
        while self._takes("name", word):
            parts.append(part(depth))  # type: ignore[operator]
        return parts[0] if len(parts) == 1 else Both(word == "AND", tuple(parts))

    def _not(self, depth: int) -> Node:
        if self._takes("name", "NOT"):
            if depth > DEPTH_MAX:
                self._fail(f"it is nested more than {DEPTH_MAX} deep")
            return Not(self._not(depth + 1))
        return self._test(depth)

    def _test(self, depth: int) -> Node:
        self._terms += 1
        if self._terms > TERMS_MAX:
            self._fail(f"it has more than {TERMS_MAX} conditions")
        if self._takes("sign", "("):
            node = self._or(depth + 1)
            self._expect(")")
            return node
        if self._peek() == ("name", "EXISTS"):
            self._at += 1
            self._expect("(")
            path = self._path()
            self._expect(")")
            return Exists(path)
        if self._scope_follows():
            return self._scope(depth)
        return self._comparison()

    def _scope_follows(self) -> bool:
        kind, word = self._peek()
        return kind == "name" and word not in _KEYWORDS and self._peek(1) == ("sign", "(")

    def _scope(self, depth: int) -> Node:
        name = self._peek()[1]
        self._at += 2
        inner = self._or(depth + 1)
        self._expect(")")
        return Scope(name, inner)

    def _comparison(self) -> Node:
        left = self._operand()
        for op in _OPS:
            if self._takes("sign", op):
                return Compare(op, left, self._operand())
        negated = self._takes("name", "NOT")
        if self._takes("name", "IN"):
            self._expect("(")
            items = [self._operand()]
            while self._takes("sign", ","):
                items.append(self._operand())
            self._terms += len(items) // 10
            self._expect(")")
            found = Among(left, tuple(items))
            return Not(found) if negated else found
        self._fail("a comparison was expected")
        raise AssertionError

    def _operand(self) -> Operand:
        kind, word = self._peek()
        if kind == "name" and word not in _KEYWORDS:
            return self._path()
        self._at += 1
        match kind:
            case "text":
                return Constant(word[1:-1].replace("''", "'"))
            case "number":
                return Constant(self._number(word))
            case "placeholder":
                return self._placeholder(word)
            case "name" if word in {"TRUE", "FALSE"}:
                return Constant(word == "TRUE")
        self._at -= 1
        self._fail("a value was expected")
        raise AssertionError

    def _number(self, word: str) -> int:
        digits = word.lstrip("-")
        value = int(digits, 16 if digits[:2] == "0x" else 10) if len(digits) <= 20 else 2**64
        value = -value if word[0] == "-" else value
        if not -(2**63) <= value < 2**63 or (digits[0] == "0" and digits[:2] != "0x" and len(digits) > 1):
            self._fail("a number is whole, without leading zeros, and fits 64 bits")
        return value

    def _placeholder(self, word: str) -> Placeholder:
        number = int(word) if len(word) < 6 else 0
        if not 1 <= number <= PLACEHOLDER_MAX:
            self._fail(f"a placeholder is $1 to ${PLACEHOLDER_MAX}")
        self._highest = max(self._highest, number)
        return Placeholder(number)

    def _path(self) -> Path:
        names = [self._name()]
        while self._takes("sign", "."):
            names.append(self._name(keyword=True))
        time = False
        if self._takes("sign", ":"):
            if self._name() != "time":
                self._fail("after a colon only `time` is known")
            time = True
        if "-" in names[0]:
            self._fail("the first name of a path has no hyphen")
        return Path(tuple(names), time)

    def _name(self, *, keyword: bool = False) -> str:
        kind, word = self._peek()
        if kind != "name" or (word in _KEYWORDS and not keyword):
            self._fail("a name was expected")
        self._at += 1
        return word

    def _peek(self, ahead: int = 0) -> tuple[str, str]:
        place = self._at + ahead
        return self._tokens[place][:2] if place < len(self._tokens) else ("end", "")

    def _takes(self, kind: str, word: str) -> bool:
        if self._peek() == (kind, word):
            self._at += 1
            return True
        return False

    def _expect(self, sign: str) -> None:
        if not self._takes("sign", sign):
            self._fail(f"`{sign}` was expected")

    def _fail(self, why: str) -> None:
        place = self._tokens[self._at][2] if self._at < len(self._tokens) else len(self._text)
        raise Refused("FILTER_INVALID", f"at character {place + 1}: {why}", "filter")


def _tokens(text: str) -> "list[tuple[str, str, int]]":
    found, at, end = [], 0, len(text.rstrip(" \t"))
    while at < end:
        token = _TOKEN.match(text, at)
        if token is None or token.lastgroup is None:
            raise Refused("FILTER_INVALID", f"at character {at + 1}: nothing of the language begins here", "filter")
        found.append((token.lastgroup, token[token.lastgroup], token.start(token.lastgroup)))
        at = token.end()
    return found
