"""Names of accounts that follow from another account. Pure.

    cash/{account_tags.investor_id}      the cash account of the investor whom the tags of a claims account name
    receivable/{account_id}              what is owed by whom this account is of

In braces stands `account_id`, or `account_tags.` and the name of a tag that is a text.
"""

import re
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Final

from bourse.errors import Refused
from bourse.ledger.actions import NAME_MAX, Account

_TAG: Final = "account_tags."
_PLACE: Final = re.compile(r"\{(account_id|account_tags\.[^{}\x00]+)\}")
_REST: Final = re.compile(r"[A-Za-z0-9._:/@+=-]*")


def check_pattern(pattern: Any, where: str) -> None:
    """Raises Refused PATTERN_INVALID for what names no account."""
    whole = isinstance(pattern, str) and len(pattern) <= NAME_MAX and pattern.isprintable() and _PLACE.search(pattern)
    if not whole or not _REST.fullmatch(_PLACE.sub("", pattern)):
        raise Refused("PATTERN_INVALID", "an account that follows from another is written as cash/{account_tags.investor_id} or owed/{account_id}", where)


def name_from(pattern: str, account: Account, where: str) -> str:
    """The name that follows from the account. Raises Refused TAG_MISSING with the account whose tags do not say it."""

    def said(place: re.Match[str]) -> str:
        if place[1] == "account_id":
            return account.account_id
        tag = account.tags.get(place[1].removeprefix(_TAG))
        if not isinstance(tag, str) or not tag:
            raise Refused("TAG_MISSING", f"{account.account_id} has no text in {place[1]}, by which {pattern} is found", where)
        return tag

    return _PLACE.sub(said, pattern)


def names_from(patterns: Iterable[str], accounts: Iterable[Account]) -> set[str]:
    """Every name that follows from one of the accounts; of those that say nothing, none."""
    found = set()
    for pattern in patterns:
        for account in accounts:
            with suppress(Refused):
                found.add(name_from(pattern, account, ""))
    return found
