"""Shows how far the demo is: a progress bar per stage on a terminal, plain lines otherwise; and remembers the seconds of each."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

_LINE_EVERY_SECONDS: Final = 5


class Stage:
    """One stage under way. `reached` says how far it is; its total may grow."""

    def __init__(self, title: str, total: int | None, bars: "Progress | None") -> None:
        self.title: Final = title
        self._bars: Final = bars
        self._task: Final[TaskID | None] = bars.add_task(title, total=total) if bars else None
        self._total = total
        self._done = 0
        self._told_at = time.monotonic()

    def reached(self, done: int, total: int | None = None) -> None:
        """So many of so many are done."""
        self._done, self._total = done, total if total is not None else self._total
        if self._bars and self._task is not None:
            self._bars.update(self._task, completed=done, total=self._total)
        elif time.monotonic() - self._told_at >= _LINE_EVERY_SECONDS:
            self._told_at = time.monotonic()
            print(f"{self.title}: {_of(done, self._total)}", flush=True)

    def finish(self, seconds: float) -> None:
        """The stage is over: its bar is full, or its line says how long it took."""
        if self._bars and self._task is not None:
            self._bars.update(self._task, completed=self._total or max(1, self._done), total=self._total or max(1, self._done))
        else:
            print(f"{self.title}: {_of(self._done, self._total)} in {seconds:.1f} s", flush=True)


class Stages:
    """The stages of one run, with the seconds each took, in their order."""

    def __init__(self, console: Console) -> None:
        self.seconds: Final[dict[str, float]] = {}
        columns = (SpinnerColumn(), TextColumn("{task.description:<44}"), BarColumn(30), MofNCompleteColumn(), TimeElapsedColumn())
        self._bars: Final = Progress(*columns, console=console) if console.is_terminal else None

    @contextmanager
    def shown(self) -> Iterator["Stages"]:
        """Bars live inside this block."""
        if self._bars is None:
            yield self
            return
        with self._bars:
            yield self

    @contextmanager
    def stage(self, title: str, total: int | None = None) -> Iterator[Stage]:
        """Time a stage. One that fails keeps its bar where it stopped."""
        began = time.monotonic()
        stage = Stage(title, total, self._bars)
        yield stage
        self.seconds[title] = time.monotonic() - began
        stage.finish(self.seconds[title])

    def tell(self, line: str) -> None:
        """A line above the bars."""
        if self._bars:
            self._bars.console.print(line, highlight=False)
        else:
            print(line, flush=True)


def console() -> Console:
    """Standard output: a terminal is drawn on, anything else gets lines."""
    return Console(file=sys.stdout, width=None if sys.stdout.isatty() else 110)


def _of(done: int, total: int | None) -> str:
    return f"{done:,}" if total is None else f"{done:,} of {total:,}"
