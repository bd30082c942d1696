"""Slots in any state, without the way that leads there."""

from typing import Any

from bourse.assets.uploads import Slot


def placed(slot: Slot, **changes: Any) -> Slot:
    """The slot's next revision, whatever its lifecycle says of the step."""
    return slot.model_copy(update={**changes, "revision": slot.revision + 1})
