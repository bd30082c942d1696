"""Reads a transaction from its JSON document, the one `Transaction.document` writes: strict, and every refusal names its place.

    {"txn_id": "dep-22222", "effective_at": "2017-12-02T00:00:00Z",
     "actions": [{"type": "issue", "flavor_id": "usd", "amount": 100000, "destination": "investor1"}]}

Nothing is coerced: an amount is a JSON integer (no fraction, no exponent, no text, no truth), a time RFC 3339 with its offset, and a
field nobody knows is refused. Null stands for a field that is not given, where a field may be left out for "none". Raises Refused
with FIELD_UNKNOWN, FIELD_MISSING, FIELD_INVALID or ACTION_TYPE_UNKNOWN for the shape, and with the codes of `books.py` for values; its
`field` is the place, such as `actions.3.token_tags.due_date`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields
from datetime import datetime
from typing import Any, Final, NamedTuple, get_args

from bourse.errors import Refused
from bourse.ledger.account_names import check_pattern
from bourse.ledger.actions import ACTIONS_MAX, AMOUNT_MAX, NAME_MAX, TYPE_OF, Action, Distribute, Expect, PostHold, Reserve, Spending, Transaction
from bourse.ledger.check import NAME_PATTERN, TAGS_DEPTH_MAX, check_amount, check_name, check_tags, check_text
from bourse.ledger.filters.bind import PARAM_LENGTH_MAX
from bourse.ledger.filters.fields import half_characters
from bourse.ledger.filters.parse import LENGTH_MAX
from bourse.ledger.filters.times import time_of
from bourse.ledger.lots import order_path

PARAMS_MAX: Final = 1_000
EXPECT_MAX: Final = 100
_SHOWN: Final = 60


class Kind(NamedTuple):
    """How a field is read from JSON, given its place; and what it is in JSON Schema."""

    read: Callable[[Any, str], Any]
    schema: Mapping[str, Any]


def transaction_of(document: Any, correlation_id: str = "") -> Transaction:
    """The transaction a document asks for; it may still be refused by the books. Raises Refused as the module says."""
    found = _given(document, "", _TRANSACTION, Transaction, "a transaction")
    return Transaction(**found, correlation_id=correlation_id)


def instant(value: Any, where: str) -> datetime:
    """A time with its offset, in UTC. Raises Refused TIME_INVALID."""
    if (time := time_of(value)) is None:
        raise Refused("TIME_INVALID", "a time is written 2018-01-01T00:00:00Z, or with its offset, to the microsecond", where)
    return time


def tags_of(value: Any, where: str) -> dict[str, Any]:
    """Tags as they may be kept. Raises Refused TAGS_INVALID with the place of the first value that may not."""
    if isinstance(value, dict) and (wrong := _no_tag(value, where)):
        check_tags(None, wrong)
    check_tags(value, where)
    assert isinstance(value, dict), "checked above"
    return value


def filter_of(value: Any, where: str) -> str:
    """The text of a filter, which is not read yet. Raises Refused FILTER_INVALID."""
    if not isinstance(value, str) or len(value) > LENGTH_MAX or "\0" in value or half_characters(value):
        raise Refused("FILTER_INVALID", f"a filter is a text of at most {LENGTH_MAX} characters, without NUL and half characters", where)
    return value


def params_of(value: Any, where: str) -> tuple[Any, ...]:
    """A filter's parameters: texts, whole numbers of 64 bits, truths. Raises Refused FILTER_PARAMS with the place of the first that is none."""
    if not isinstance(value, list) or len(value) > PARAMS_MAX:
        raise Refused("FILTER_PARAMS", f"parameters are a list of at most {PARAMS_MAX}", where)
    for number, one in enumerate(value):
        text = isinstance(one, str) and len(one) <= PARAM_LENGTH_MAX and "\0" not in one and not half_characters(one)
        if not text and not isinstance(one, bool) and not (type(one) is int and -(2**63) <= one < 2**63):
            a_param = f"a parameter is a text of at most {PARAM_LENGTH_MAX} characters, a whole number of 64 bits or a truth"
            raise Refused("FILTER_PARAMS", a_param, f"{where}.{number}")
    return tuple(value)


def _no_tag(value: Any, where: str, depth: int = TAGS_DEPTH_MAX) -> str | None:
    """The place of the first fraction, number of more than 64 bits or text no store takes; None where there is none."""
    if isinstance(value, dict | list):
        if not depth:
            return where
        for name, one in value.items() if isinstance(value, dict) else enumerate(value):
            if name == "" or (isinstance(name, str) and half_characters(name)):
                return where
            if wrong := _no_tag(one, f"{where}.{shown(str(name))}", depth - 1):
                return wrong
        return None
    try:
        check_tags({"tag": value}, where)
    except Refused:
        return where
    return None


def shown(name: str) -> str:
    """A name somebody made up, as it may stand in an answer."""
    return name[:_SHOWN].encode(errors="replace").decode()


def _given(document: Any, where: str, kinds: Mapping[str, Kind], noun: type, what: str) -> dict[str, Any]:
    """The fields of a noun that the document has, read."""
    if not isinstance(document, dict):
        raise Refused("FIELD_INVALID", f"{what} is a JSON object", where or None)
    before = f"{where}." if where else ""
    for name in document:
        if name not in kinds:
            raise Refused("FIELD_UNKNOWN", f"{what} has no such field: it has {', '.join(kinds)}", before + shown(name))
    found: dict[str, Any] = {}
    for name, (read, _) in kinds.items():
        if name in document and not (document[name] is None and _DEFAULTS[noun].get(name, MISSING) is None):
            found[name] = read(document[name], before + name)
        elif name in _REQUIRED[noun]:
            raise Refused("FIELD_MISSING", f"{what} needs {name}", before + name)
    return found


def _name(value: Any, where: str) -> str:
    check_name(value, where)
    return str(value)


def _text(value: Any, where: str) -> str:
    check_text(value, where)
    return str(value)


def _amount(value: Any, where: str) -> int:
    check_amount(value, where)
    return int(value)


def _expected(value: Any, where: str) -> int:
    if type(value) is not int or not 0 <= value <= AMOUNT_MAX:
        raise Refused("AMOUNT_INVALID", "what is expected is a whole number from 0 and below 2^63", where)
    return value


def _floor(value: Any, where: str) -> int:
    if type(value) is not int or not -AMOUNT_MAX <= value <= 0:
        raise Refused("FLOOR_INVALID", "a floor is a whole number not above 0, or none", where)
    return value


def _truth(value: Any, where: str) -> bool:
    if not isinstance(value, bool):
        raise Refused("FIELD_INVALID", "it is true or false", where)
    return value


def _order(value: Any, where: str) -> str:
    try:
        if not isinstance(value, str) or len(value) > NAME_MAX or "\0" in value or half_characters(value):
            order_path("")
        if value not in {"fifo", "lifo", "pro_rata"}:
            order_path(value)
    except Refused as refused:
        raise Refused(refused.code, refused.detail, where) from None
    return str(value)


def _carry(value: Any, where: str) -> bool | tuple[str, ...]:
    if isinstance(value, bool):
        return value
    if not isinstance(value, list):
        raise Refused("FIELD_INVALID", "carry_tags is true, false, or a list of names of tags", where)
    for number, name in enumerate(value):
        if not isinstance(name, str) or not name or "\0" in name or half_characters(name):
            raise Refused("FIELD_INVALID", "a tag's name is a text", f"{where}.{number}")
    return tuple(value)


def _fee(value: Any, where: str) -> tuple[int, int]:
    if not isinstance(value, list) or len(value) != 2 or any(type(part) is not int or not 0 <= part <= AMOUNT_MAX for part in value):
        raise Refused("FEE_INVALID", "the fee is two whole numbers, [1, 100] for one percent", where)
    return value[0], value[1]


def _rule(value: Any, where: str) -> str:
    if not isinstance(value, str) or value not in _RULES:
        raise Refused("RULE_INVALID", f"the rule is {' or '.join(_RULES)}", where)
    return str(value)


def _pattern(value: Any, where: str) -> str:
    if value != "":
        check_pattern(value, where)
    return str(value)


def _part(value: Any, where: str) -> tuple[int, int]:
    if not isinstance(value, list) or len(value) != 2 or any(type(one) is not int or not 0 < one <= AMOUNT_MAX for one in value):
        raise Refused("REVERSAL_INVALID", "a part is two whole numbers, [1, 2] for a half", where)
    return value[0], value[1]


def _amounts(value: Any, where: str) -> tuple[tuple[int, int | None], ...]:
    if not isinstance(value, list) or len(value) > ACTIONS_MAX:
        raise Refused("REVERSAL_INVALID", "amounts are a list of pairs: an action's place, and how much of it or null for all that is left", where)
    for number, one in enumerate(value):
        if not isinstance(one, list) or len(one) != 2 or type(one[0]) is not int or not 0 <= one[0] < ACTIONS_MAX:
            raise Refused("REVERSAL_INVALID", "a pair is an action's place, and how much of it or null for all that is left", f"{where}.{number}")
        if one[1] is not None:
            check_amount(one[1], f"{where}.{number}.1")
    return tuple([(one[0], one[1]) for one in value])


def _actions(value: Any, where: str) -> tuple[Action, ...]:
    if not isinstance(value, list):
        raise Refused("FIELD_INVALID", "actions are a list", where)
    if len(value) > ACTIONS_MAX:
        raise Refused("TOO_MANY_ACTIONS", f"a transaction may have {ACTIONS_MAX} actions", where)
    return tuple([_action(one, f"{where}.{number}") for number, one in enumerate(value)])


def _action(document: Any, where: str) -> Action:
    if not isinstance(document, dict):
        raise Refused("FIELD_INVALID", "an action is a JSON object", where)
    if "type" not in document:
        raise Refused("FIELD_MISSING", "an action needs its type", f"{where}.type")
    type_ = document["type"]
    noun = _NOUNS.get(type_) if isinstance(type_, str) else None
    if noun is None:
        raise Refused("ACTION_TYPE_UNKNOWN", f"its type is one of {', '.join(_NOUNS)}", f"{where}.type")
    found = _given({name: one for name, one in document.items() if name != "type"}, where, _ACTIONS[noun], noun, f"the action {type_}")
    for field, prefix in _SPENDINGS[noun]:
        given = {inner: found.pop(prefix + inner) for inner in _SPENDING if prefix + inner in found}
        if given:
            found[field] = Spending(**given)
    made: Action = noun(**found)
    return made


def _expect(value: Any, where: str) -> tuple[Expect, ...]:
    if not isinstance(value, list) or len(value) > EXPECT_MAX:
        raise Refused("FIELD_INVALID", f"guards are a list of at most {EXPECT_MAX}", where)
    return tuple([Expect(**_given(one, f"{where}.{number}", _EXPECT, Expect, "a guard")) for number, one in enumerate(value)])


def _kinds_of(noun: type) -> dict[str, Kind]:
    """The fields of a noun by their names in JSON: a spending's are flattened, with the prefix of its field."""
    found: dict[str, Kind] = {}
    for one in fields(noun):
        prefix = dict(_spendings_of(noun)).get(one.name)
        if prefix is None:
            found[one.name] = _KINDS_OF.get((noun, one.name)) or _KINDS[one.name]
        else:
            found |= {prefix + inner: kind for inner, kind in _SPENDING.items()}
    return found


def _spendings_of(noun: type) -> Sequence[tuple[str, str]]:
    """A noun's fields that are spendings, and their prefix in JSON."""
    return [(one.name, "" if one.name == "spending" else f"{one.name}_") for one in fields(noun) if one.type is Spending]


_RULES: Final[tuple[str, ...]] = get_args(next(one.type for one in fields(Distribute) if one.name == "rule"))
_NAME: Final = Kind(_name, {"type": "string", "pattern": f"^{NAME_PATTERN}$"})
_AMOUNT: Final = Kind(_amount, {"type": "integer", "minimum": 1, "maximum": AMOUNT_MAX, "description": "Whole units of the flavor, above 0 and below 2^63"})
_NONE: Final = {"type": "null"}
_EXPECTED: Final = Kind(_expected, {"anyOf": [{"type": "integer", "minimum": 0, "maximum": AMOUNT_MAX}, _NONE]})
_FLOOR: Final = Kind(_floor, {"anyOf": [{"type": "integer", "minimum": -AMOUNT_MAX, "maximum": 0}, _NONE]})
_TAGS: Final = Kind(tags_of, {"type": "object", "description": "Texts, whole numbers, truths, objects and lists of them"})
_TIME: Final = Kind(instant, {"type": "string", "format": "date-time"})
_TRUTH: Final = Kind(_truth, {"type": "boolean"})
_FILTER: Final = Kind(filter_of, {"type": "string", "maxLength": LENGTH_MAX, "description": "Which tokens, such as `tags.installment = $1`"})
_PARAMS: Final = Kind(params_of, {"type": "array", "maxItems": PARAMS_MAX, "items": {"anyOf": [{"type": "string"}, {"type": "integer"}, {"type": "boolean"}]}})
_ORDER: Final = Kind(_order, {"type": "string", "description": "fifo, lifo, pro_rata, or a tag such as `tags.due_date asc`"})
_CARRY: Final = Kind(_carry, {"anyOf": [{"type": "boolean"}, {"type": "array", "items": {"type": "string"}}], "description": "Tags the tokens keep"})
_FOLLOWS: Final = "An account that follows from another: cash/{account_tags.investor_id}, owed/{account_id}"
_PATTERN: Final = Kind(_pattern, {"type": "string", "maxLength": NAME_MAX, "description": _FOLLOWS})
_PAIR: Final = {"type": "array", "minItems": 2, "maxItems": 2, "items": {"anyOf": [{"type": "integer"}, _NONE]}}
_KINDS: Final = {
    **dict.fromkeys(("flavor_id", "over_flavor_id", "source", "destination", "fee_destination", "retire_to", "hold_id", "txn_id"), _NAME),
    **dict.fromkeys(("pay_to", "advance_from"), _PATTERN),
    "fee_tags": Kind(tags_of, {"anyOf": [_TAGS.schema, _NONE]}),
    "out_of": Kind(_amount, {"anyOf": [_AMOUNT.schema, _NONE]}),
    "rest_to": Kind(_name, {"anyOf": [_NAME.schema, _NONE]}),
    **dict.fromkeys(("token_tags", "action_tags"), _TAGS),
    **dict.fromkeys(("keep_rest", "retire"), _TRUTH),
    "amount": _AMOUNT,
    "source_floor": _FLOOR,
    "carry_tags": _CARRY,
    "expires_at": _TIME,
    "fee": Kind(_fee, {"type": "array", "minItems": 2, "maxItems": 2, "items": {"type": "integer"}, "description": "[1, 100] is one percent"}),
    "part": Kind(_part, {"anyOf": [{"type": "array", "minItems": 2, "maxItems": 2, "items": {"type": "integer", "minimum": 1}}, _NONE]}),
    "amounts": Kind(_amounts, {"type": "array", "maxItems": ACTIONS_MAX, "items": _PAIR, "description": "[[2, 500], [3, null]]: of an action how much"}),
    "rule": Kind(_rule, {"type": "string", "enum": list(_RULES)}),
}
_SPENDING: Final = {"filter": _FILTER, "params": _PARAMS, "order": _ORDER}
_KINDS_OF: Final[dict[tuple[type, str], Kind]] = {
    (PostHold, "amount"): Kind(_amount, {"anyOf": [_AMOUNT.schema, _NONE]}),
    (Reserve, "expires_at"): Kind(instant, {"anyOf": [_TIME.schema, _NONE]}),
}
_NOUNS: Final[dict[str, Any]] = {name: noun for noun, name in TYPE_OF.items()}
_SPENDINGS: Final = {noun: _spendings_of(noun) for noun in TYPE_OF}
_ACTIONS: Final = {noun: _kinds_of(noun) for noun in TYPE_OF}
_EXPECT: Final = {"filter": _FILTER, "params": _PARAMS, "amount": _EXPECTED, "count": _EXPECTED}


def _object(kinds: Mapping[str, Kind], noun: type, first: Mapping[str, Any], title: str) -> dict[str, Any]:
    """The JSON Schema of a noun."""
    required = [*first, *(name for name in kinds if name in _REQUIRED[noun])]
    known = {**first, **{name: dict(kind.schema) for name, kind in kinds.items()}}
    return {"type": "object", "title": title, "additionalProperties": False, "properties": known, "required": required}


def _required(noun: type) -> frozenset[str]:
    return frozenset(one.name for one in fields(noun) if one.init and one.default is MISSING and one.default_factory is MISSING)


_DEFAULTS: Final[dict[type, dict[str, Any]]] = {noun: {one.name: one.default for one in fields(noun)} for noun in (*TYPE_OF, Expect, Transaction)}
_REQUIRED: Final = {noun: _required(noun) for noun in (*TYPE_OF, Expect, Transaction)}
_ACTION_SCHEMAS: Final = [_object(_ACTIONS[noun], noun, {"type": {"type": "string", "const": name}}, name) for name, noun in _NOUNS.items()]
_TRANSACTION: Final = {
    "txn_id": _NAME,
    "effective_at": _TIME,
    "actions": Kind(_actions, {"type": "array", "minItems": 1, "maxItems": ACTIONS_MAX, "items": {"oneOf": _ACTION_SCHEMAS}}),
    "kind": Kind(_text, {"type": "string", "maxLength": NAME_MAX}),
    "tags": _TAGS,
    "expect": Kind(_expect, {"type": "array", "maxItems": EXPECT_MAX, "items": _object(_EXPECT, Expect, {}, "guard")}),
}
TRANSACTION_SCHEMA: Final = _object(_TRANSACTION, Transaction, {}, "Transaction")
"""The JSON Schema of a transaction's document."""
