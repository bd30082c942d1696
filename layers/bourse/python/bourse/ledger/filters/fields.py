"""What may be asked of which kind of object: its fields, and the paths into its tags."""

import re
from collections.abc import Sequence
from typing import Final, Literal

from bourse.errors import Refused

Type = Literal["text", "number", "truth", "time"]
Root = Literal["text", "number", "truth", "time", "tags"]
KINDS: Final[dict[str, dict[str, Root]]] = {
    "tokens": {"account_id": "text", "account_tags": "tags", "flavor_id": "text", "flavor_tags": "tags", "tags": "tags", "amount": "number"},
    "actions": {
        "id": "text",
        "transaction_id": "text",
        "timestamp": "time",
        "recorded_at": "time",
        "type": "text",
        "amount": "number",
        "flavor_id": "text",
        "source_account_id": "text",
        "destination_account_id": "text",
        "tags": "tags",
        "snapshot": "tags",
    },
    "transactions": {"id": "text", "timestamp": "time", "recorded_at": "time", "sequence_number": "number", "kind": "text", "tags": "tags"},
    "accounts": {"id": "text", "tags": "tags"},
    "flavors": {"id": "text", "tags": "tags"},
}
"""Kind of object -> its fields."""
SCOPES: Final = {("transactions", "actions"): "actions"}
"""Kind of object and name of its parts -> the parts' kind."""
SNAPSHOT: Final = ("action_tags", "flavor_tags", "source_account_tags", "destination_account_tags", "token_tags", "transaction_tags")
TIME_ROOTS: Final = {name for fields in KINDS.values() for name, type_ in fields.items() if type_ == "time"}
NAMES_MAX: Final = 20
PATH_LENGTH_MAX: Final = 1_000
_CAMEL: Final = re.compile(r"(?<=[a-z0-9])([A-Z])")


def snake(name: str) -> str:
    """account_id, accountId and AccountId are the same field."""
    return _CAMEL.sub(lambda found: f"_{found[1].lower()}", name[:1].lower() + name[1:])


def split(names: Sequence[str], kind: str, *, whole: bool = False) -> tuple[str, tuple[str, ...]]:
    """The root field and the names below it; `whole`: all tags of a field are a path too. Raises ValueError saying what the kind does not have."""
    root, below = snake(names[0]), tuple(names[1:])
    type_ = KINDS[kind].get(root)
    if type_ is None:
        raise ValueError(f"{kind} have no field {names[0][:60]}: they have {', '.join(KINDS[kind])}")
    if type_ != "tags" and below:
        raise ValueError(f"{names[0]} has nothing below it")
    if len(names) > NAMES_MAX:
        raise ValueError(f"a path has at most {NAMES_MAX} names")
    if root == "snapshot" and below:
        below = (snake(below[0]), *below[1:])
        if below[0] not in SNAPSHOT:
            raise ValueError(f"a snapshot has no {names[1][:60]}: it has {', '.join(SNAPSHOT)}")
    if type_ == "tags" and not whole and len(below) < (2 if root == "snapshot" else 1):
        raise ValueError(f"{'.'.join(names)} has tags: name one after a dot")
    return root, below


def path_of(text: str, kind: str) -> tuple[str, tuple[str, ...]]:
    """A path to group by, such as `flavor_id`, `tags.due_date` or a whole `tags`: its root field and the names below it. A tag's name is any text
    without a dot. Raises Refused GROUP_BY_INVALID."""
    if not isinstance(text, str) or len(text) > PATH_LENGTH_MAX or "\0" in text or half_characters(text):
        raise Refused("GROUP_BY_INVALID", f"a path is a text of at most {PATH_LENGTH_MAX} characters, without NUL and half characters", "group_by")
    names = text.split(".")
    if not all(names):
        raise Refused("GROUP_BY_INVALID", "a path has a name before and after each dot", "group_by")
    try:
        return split(names, kind, whole=True)
    except ValueError as wrong:
        raise Refused("GROUP_BY_INVALID", str(wrong), "group_by") from None


def half_characters(text: str) -> bool:
    """Whether surrogates stand alone in it: no UTF-8 can say that, so no database takes it."""
    return not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text)
