"""What a thing can be, and what it can become: declared beside its states, asserted where it changes, printed for people to read."""

from collections.abc import Iterator
from dataclasses import dataclass

Step = tuple[str, str, str]
"""What it was, what it becomes, and what makes it so."""


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """The states of one kind of thing: how it can begin, and every step there is. What has no step that leaves it stays."""

    name: str
    begins: tuple[str, ...]
    steps: tuple[Step, ...]

    def may(self, before: str, after: str) -> bool:
        """True when there is a step from one state to the other, or they are the same."""
        return before == after or any((one, other) == (before, after) for one, other, _ in self.steps)

    def after(self, before: str, after: str) -> str:
        """The state after this step. Raises AssertionError for a step that is not declared: the code is wrong then, or the page."""
        assert self.may(before, after), f"{self.name}: there is no step from {before} to {after}"
        return after

    def states(self) -> tuple[str, ...]:
        """Every state, in the order in which they are named."""
        return tuple(dict.fromkeys([*map(str, self.begins), *(str(state) for step in self.steps for state in step[:2])]))

    def diagram(self) -> str:
        """The same as a Mermaid state diagram."""
        return "\n".join(["```mermaid", "stateDiagram-v2", *self._lines(), "```"])

    def _lines(self) -> Iterator[str]:
        for state in self.begins:
            yield f"    [*] --> {state}"
        for before, after, why in self.steps:
            yield f"    {before} --> {after}: {why}"
        for state in self.states():
            if not any(before == state for before, _, _ in self.steps):
                yield f"    {state} --> [*]"
