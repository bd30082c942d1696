"""Typed settings from the environment: a missing or wrong value is refused with the variable's name, before any work is done."""

import os

from bourse.errors import BourseError


class SettingError(BourseError):
    """The deployment is wrong, not the caller: the text names the variable and what it should be."""


def text(name: str, default: str | None = None) -> str:
    """The variable's text; without a default it must be set and not empty."""
    value = os.environ.get(name) or default
    if value is None:
        raise SettingError(f"{name} is not set: it must hold text")
    return value


def whole(name: str, default: int | None = None, *, least: int = 0, most: int = 2**31) -> int:
    """The variable as a whole number in [least, most]."""
    value = text(name, None if default is None else str(default))
    if not (value.isascii() and value.isdigit() and least <= int(value) <= most):
        raise SettingError(f"{name} is {value!r}: it must be a whole number from {least} to {most}")
    return int(value)


def collect_seconds() -> int:
    """COLLECT_SECONDS: for how long balance changes of a portfolio are collected before it is planned anew."""
    return whole("COLLECT_SECONDS", 30, least=1, most=900)
