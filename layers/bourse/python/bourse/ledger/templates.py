"""Saved templates of transactions: a document with typed parameters, under an id and a version. Pure, and the port of the store.

    {"template_id": "sale", "version": 1, "parameters": {"buyer": "account", "price": "amount"},
     "document": {"actions": [{"type": "transfer", "flavor_id": "usd", "amount": {"$": "price"}, "source": {"$": "buyer"}, "destination": "lending"}]}}

`{"$": "price"}` stands for a parameter and is replaced by its value as a whole: no text is put together, and what a value holds is not looked through again.
A parameter stands only where its type fits: an amount as an amount, an account or flavor as one, a time as one, tags as tags, a text as a hold's
or reversed transaction's id; and any of them within tags, any but tags among a filter's parameters. The rest, filters and types of actions first of
all, is the template's own. `txn_id` and `effective_at` come with each run. What is run becomes a document like any other and is posted as one; its
tags say `template_id` and `template_version`.

Codes refused with: NAME_INVALID, VERSION_INVALID, TEMPLATE_INVALID, PARAMETER_UNKNOWN, PARAMETER_MISSING, PARAMETER_INVALID, and those of a document,
with their place in it. Conflict TEMPLATE_DIFFERS; NotFound TEMPLATE_UNKNOWN.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

from bourse.errors import NotFound, Refused
from bourse.ledger.actions import canonical
from bourse.ledger.check import check_amount, check_name, check_transaction
from bourse.ledger.documents import instant, shown, tags_of, transaction_of
from bourse.ledger.filters import bind, parse
from bourse.ledger.filters.bind import PARAM_LENGTH_MAX
from bourse.ledger.filters.fields import half_characters

Kind = Literal["amount", "account", "flavor", "time", "text", "tags"]
PARAMETERS_MAX: Final = 100
DOCUMENT_BYTES_MAX: Final = 65_536
VERSION_MAX: Final = 1_000_000
MARK: Final = "$"
ID_TAG: Final = "template_id"
VERSION_TAG: Final = "template_version"
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
_FIELDS: Final = frozenset({"actions", "kind", "tags", "expect"})


@dataclass(frozen=True, slots=True)
class Template:
    """A version of a template: its parameters' types by their names, and the document without `txn_id` and `effective_at`."""

    template_id: str
    version: int
    parameters: Mapping[str, Kind]
    document: Mapping[str, Any]

    def terms(self) -> bytes:
        """What the same version always says."""
        return canonical({"parameters": dict(self.parameters), "document": dict(self.document)})


class Templates(Protocol):
    """Keeps the templates of each tenant. A version that was saved is never changed or taken out."""

    def save(self, tenant_id: str, template: Template) -> None:
        """Save a version: the first, or the one after the newest. The same again changes nothing. Raises as `check_template`, and Conflict
        TEMPLATE_DIFFERS where this version says something else, Refused VERSION_INVALID where it is not the next one."""
        ...

    def template(self, tenant_id: str, template_id: str, version: int | None = None) -> Template:
        """A version, the newest if it is not given; versions are 1, 2, 3 … Raises NotFound TEMPLATE_UNKNOWN."""
        ...

    def templates(self, tenant_id: str, *, cursor: str | None = None, limit: int = 100) -> tuple[Sequence[Template], str | None]:
        """The newest version of each, by their ids, and where the next page begins. Raises Refused CURSOR_INVALID, LIMIT_INVALID."""
        ...


def check_template(template: Template) -> None:
    """Raises Refused for what could never be posted: the document is read with a sample of each parameter."""
    check_name(template.template_id, "template_id")
    if type(template.version) is not int or not 0 < template.version <= VERSION_MAX:
        raise Refused("VERSION_INVALID", f"a version is a whole number from 1 to {VERSION_MAX}", "version")
    _check_parameters(template.parameters)
    _check_size(template)
    used: set[str] = set()

    def sample(name: str, where: str, fits: frozenset[str]) -> Any:
        if name not in template.parameters:
            raise Refused("PARAMETER_UNKNOWN", f"there is no parameter {shown(name)}", where)
        if (kind := template.parameters[name]) not in fits:
            raise Refused("TEMPLATE_INVALID", f"the parameter {name} is of type {kind}, which does not stand here", where)
        used.add(name)
        return _KINDS[kind].sample

    document = _filled(template.document, "document", sample)
    if unused := sorted(template.parameters.keys() - used):
        raise Refused("TEMPLATE_INVALID", f"the document has no place for {unused[0]}", f"parameters.{unused[0]}")
    _check_document({**document, "txn_id": "sample", "effective_at": _KINDS["time"].sample})


def rendered(template: Template, txn_id: Any, effective_at: Any, values: Any) -> dict[str, Any]:
    """The transaction's document, to be read as any other. Raises Refused PARAMETER_UNKNOWN, PARAMETER_MISSING, PARAMETER_INVALID with the place such as
    `values.price`; TAGS_INVALID where tags that were given say of themselves what template they are of."""
    given = _checked(template, values)
    document = _filled(template.document, "document", lambda name, _where, _fits: given[name])
    tags = document.get("tags", {})
    for name in (ID_TAG, VERSION_TAG):
        if name in tags:
            raise Refused("TAGS_INVALID", f"{name} is told by the ledger", f"tags.{name}")
    document["tags"] = {**tags, ID_TAG: template.template_id, VERSION_TAG: template.version}
    return {"txn_id": txn_id, "effective_at": effective_at, **document}


def unknown_template(template_id: str) -> NotFound:
    return NotFound("TEMPLATE_UNKNOWN", f"there is no template {template_id}, or no such version of it", "template_id")


def not_next(template: Template) -> Refused:
    return Refused("VERSION_INVALID", f"the template {template.template_id} has no version {template.version - 1} yet", "version")


def _check_parameters(parameters: Any) -> None:
    if not isinstance(parameters, Mapping) or len(parameters) > PARAMETERS_MAX:
        raise Refused("TEMPLATE_INVALID", f"parameters are at most {PARAMETERS_MAX} names with their types", "parameters")
    for name, kind in parameters.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise Refused("TEMPLATE_INVALID", "a parameter's name has 1 to 64 of a-z, 0-9 and _ and begins with a letter", f"parameters.{shown(str(name))}")
        if not isinstance(kind, str) or kind not in _KINDS:
            raise Refused("TEMPLATE_INVALID", f"a parameter's type is one of {', '.join(_KINDS)}", f"parameters.{name}")


def _check_size(template: Template) -> None:
    document: Any = template.document
    if not isinstance(document, Mapping):
        raise Refused("TEMPLATE_INVALID", "a template's document is a JSON object", "document")
    for name in document:
        if name not in _FIELDS:
            raise Refused("FIELD_UNKNOWN", f"a template has {', '.join(sorted(_FIELDS))}", f"document.{shown(str(name))}")
    try:
        size = len(canonical(dict(document)))
    except Refused:
        raise Refused("TEMPLATE_INVALID", "a document is JSON of texts, whole numbers of 64 bits and truths, and not deep", "document") from None
    if size > DOCUMENT_BYTES_MAX:
        raise Refused("TEMPLATE_INVALID", f"a document has at most {DOCUMENT_BYTES_MAX} bytes", "document")
    tags = document.get("tags")
    for name in (ID_TAG, VERSION_TAG):
        if isinstance(tags, Mapping) and name in tags:
            raise Refused("TAGS_INVALID", f"{name} is told by the ledger", f"document.tags.{name}")


def _check_document(document: Any) -> None:
    """As a posting would, as far as it needs no books. Raises Refused with the place in the document."""
    try:
        read = transaction_of(document)
        check_transaction(read)
        for number, action in enumerate(read.actions):
            for spending, prefix in ((getattr(action, "spending", None), ""), (getattr(action, "over", None), "over_")):
                if spending is not None:
                    _check_filter(spending.filter, spending.params, f"actions.{number}.{prefix}")
        for number, guard in enumerate(read.expect):
            _check_filter(guard.filter, guard.params, f"expect.{number}.")
    except Refused as refused:
        raise Refused(refused.code, refused.detail, f"document.{refused.field}" if refused.field else "document") from None


def _check_filter(text: str, params: Sequence[Any], where: str) -> None:
    try:
        bind(parse(text), "tokens", params)
    except Refused as refused:
        raise Refused(refused.code, refused.detail, where + (refused.field or "filter")) from None


def _checked(template: Template, values: Any) -> dict[str, Any]:
    if not isinstance(values, dict):
        raise Refused("PARAMETER_INVALID", "values are a JSON object: names of parameters with their values", "values")
    for name in values:
        if name not in template.parameters:
            raise Refused("PARAMETER_UNKNOWN", f"the template has {', '.join(sorted(template.parameters)) or 'no parameters'}", f"values.{shown(name)}")
    for name, kind in sorted(template.parameters.items()):
        where = f"values.{name}"
        if name not in values:
            raise Refused("PARAMETER_MISSING", f"the template needs {name}, {_KINDS[kind].said}", where)
        try:
            _KINDS[kind].check(values[name], where)
        except Refused as refused:
            raise Refused("PARAMETER_INVALID", f"{name} is {_KINDS[kind].said}", refused.field or where) from None
    return dict(values)


# Where a parameter may stand

Fill = Callable[[str, str, frozenset[str]], Any]
_ANY: Final = frozenset({"amount", "account", "flavor", "time", "text", "tags"})
_NONE: Final[frozenset[str]] = frozenset()
_FITS: Final = {
    **dict.fromkeys(("flavor_id", "over_flavor_id"), frozenset({"flavor"})),
    **dict.fromkeys(("source", "destination", "fee_destination"), frozenset({"account"})),
    **dict.fromkeys(("hold_id", "txn_id"), frozenset({"text"})),
    **dict.fromkeys(("tags", "token_tags", "action_tags"), frozenset({"tags"})),
    "amount": frozenset({"amount"}),
    "expires_at": frozenset({"time"}),
}
_BELOW: Final = {**dict.fromkeys(("tags", "token_tags", "action_tags"), _ANY), **dict.fromkeys(("params", "over_params"), _ANY - {"tags"})}


def _filled(value: Any, where: str, fill: Fill, fits: frozenset[str] = _NONE, below: frozenset[str] | None = None) -> Any:
    """The value with each parameter replaced by what `fill` says of its name, its place and the types that fit there. `below` are those that fit anywhere
    within; None where each field has its own."""
    if isinstance(value, Mapping):
        if len(value) == 1 and isinstance(name := value.get(MARK), str):
            if not fits:
                raise Refused("TEMPLATE_INVALID", "no parameter stands here", where)
            return fill(name, where, fits)
        if below is not None:
            return {name: _filled(one, f"{where}.{name}", fill, below, below) for name, one in value.items()}
        return {name: _filled(one, f"{where}.{name}", fill, _FITS.get(name, _NONE), _BELOW.get(name)) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_filled(one, f"{where}.{number}", fill, below or _NONE, below) for number, one in enumerate(value)]
    return value


# What a parameter may be


@dataclass(frozen=True, slots=True)
class _Type:
    said: str
    check: Callable[[Any, str], object]
    sample: Any


def _check_text(value: Any, where: str) -> None:
    if not isinstance(value, str) or len(value) > PARAM_LENGTH_MAX or "\0" in value or half_characters(value):
        raise Refused("PARAMETER_INVALID", "a text", where)


_KINDS: Final[Mapping[str, _Type]] = {
    "amount": _Type("an amount: a JSON integer above 0 and below 2^63", check_amount, 1),
    "account": _Type("the name of an account", check_name, "sample"),
    "flavor": _Type("the name of a flavor", check_name, "sample"),
    "time": _Type("a time: RFC 3339 with its offset", instant, "2000-01-01T00:00:00Z"),
    "text": _Type(f"a text of at most {PARAM_LENGTH_MAX} characters", _check_text, "sample"),
    "tags": _Type("tags: a JSON object of texts, whole numbers, truths, objects and lists of them", tags_of, {}),
}
