"""What passes between two copies of the marketplace's code at a port: each side gets objects of its own classes, by their names and fields."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import Enum
from types import FunctionType, MethodType
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

Module = Callable[[str], Any]
"""The module of this name in one of the copies."""
_REQUIRED = object()


class NoCounterpart(AssertionError):
    """The other copy has no such class, member or field: what one release keeps, the other cannot read."""


class Across:
    """What stands on the far side, for whoever stands on the near one: arguments are carried there, answers and errors back."""

    def __init__(self, target: Any, there: Module, back: Module) -> None:
        self._target, self._there, self._back = target, there, back

    def __getattr__(self, name: str) -> Any:
        return carried(getattr(self._target, name), self._back, self._there)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        given = [carried(one, self._there, self._back) for one in args]
        named = {name: carried(one, self._there, self._back) for name, one in kwargs.items()}
        return carried(self._answer(lambda: self._target(*given, **named)), self._back, self._there)

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        return carried(self._answer(lambda: next(self._target)), self._back, self._there)

    def __enter__(self) -> Any:
        return carried(self._answer(self._target.__enter__), self._back, self._there)

    def __exit__(self, *how: object) -> Any:
        return self._answer(lambda: self._target.__exit__(*how))

    def _answer(self, ask: Callable[[], Any]) -> Any:
        try:
            return ask()
        except Exception as error:
            if (meant := carried_error(error, self._back, self._there)) is error:
                raise
            raise meant from None


def carried_error(error: Exception, to: Module, back: Module) -> Exception:
    """The same error in the other copy; one that is not the marketplace's is itself."""
    if not _is_ours(type(error)):
        return error
    cls = counterpart(type(error), to)
    made: Exception = cls.__new__(cls, *error.args)
    made.args = error.args
    made.__dict__.update({name: carried(value, to, back) for name, value in vars(error).items()})
    return made


def carried(value: Any, to: Module, back: Module) -> Any:
    """The same value in the classes of the copy `to`. What acts has no fields (a function, a port, a clock, an iterator): it stays, and is reached `Across`."""
    cls = type(value)
    if cls in _PLAIN:
        return value
    if cls in _CONTAINERS:
        return cls(carried(one, to, back) for one in value)
    if isinstance(value, Mapping):
        made = ((carried(name, to, back), carried(one, to, back)) for name, one in value.items())
        return dict(made) if cls is dict else cls(dict(made))
    if _is_ours(cls):
        return _object(value, counterpart(cls, to), to, back)
    if isinstance(value, type) and _is_ours(value):
        return counterpart(value, to)
    acts = cls in {FunctionType, MethodType} or isinstance(value, Iterator) or hasattr(cls, "__enter__") or cls.__module__.startswith("tests.")
    return Across(value, back, to) if acts else value


_PLAIN = frozenset({str, int, bool, bytes, type(None)})
_CONTAINERS = frozenset({tuple, list, set, frozenset})


def counterpart(cls: type, to: Module) -> Any:
    """The class of this name in the other copy. Raises NoCounterpart."""
    try:
        found = to(cls.__module__)
        for name in cls.__qualname__.split("."):
            found = getattr(found, name)
    except (ImportError, AttributeError) as error:
        raise NoCounterpart(f"{cls.__module__}.{cls.__qualname__} is not in the other release") from error
    return found


def _is_ours(cls: type) -> bool:
    return cls.__module__.partition(".")[0] == "bourse"


def _object(value: Any, cls: Any, to: Module, back: Module) -> Any:
    if type(value) is cls:
        return value
    if isinstance(value, Enum):
        if value.name not in cls.__members__:
            raise NoCounterpart(f"{value!r} is not in the other release")
        return cls[value.name]
    if isinstance(value, BaseModel):
        kept = {name: getattr(value, name) for name in type(value).model_fields}
        known = {name: _REQUIRED if one.is_required() else one.get_default(call_default_factory=True) for name, one in cls.model_fields.items()}
        return cls.model_construct(_fields_set=set(value.model_fields_set), **_fitted(cls, kept, known, _defaults(value), to, back))
    if is_dataclass(value):
        kept = {one.name: getattr(value, one.name) for one in fields(value) if one.init}
        known = {one.name: _default(one) for one in fields(cls) if one.init}
        return cls(**_fitted(cls, kept, known, {one.name: _default(one) for one in fields(value)}, to, back))
    return Across(value, back, to)


def _fitted(cls: Any, kept: dict[str, Any], known: dict[str, Any], defaults: dict[str, Any], to: Module, back: Module) -> dict[str, Any]:
    """The fields that the class knows: what is lacking is its default; what it does not know must say nothing."""
    for name in kept.keys() - known.keys():
        if kept[name] != defaults[name]:
            raise NoCounterpart(f"{cls.__qualname__} of the other release has no {name}, which says {kept[name]!r}")
    for name in known.keys() - kept.keys():
        if known[name] is _REQUIRED:
            raise NoCounterpart(f"{cls.__qualname__} of the other release needs {name}")
    return {name: carried(kept[name], to, back) if name in kept else known[name] for name in known}


def _defaults(value: BaseModel) -> dict[str, Any]:
    return {
        name: _REQUIRED if (one := field.get_default(call_default_factory=True)) is PydanticUndefined else one
        for name, field in type(value).model_fields.items()
    }


def _default(field: "Field[Any]") -> Any:
    if field.default is not MISSING:
        return field.default
    return field.default_factory() if field.default_factory is not MISSING else _REQUIRED
