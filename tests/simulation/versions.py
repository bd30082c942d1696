"""Another version of the marketplace beside ours: a second copy of its modules, loaded from a tree of sources, with the world's ports behind it.

A copy is made once in a process and shared by worlds; each environment runs its handler anew, as ours do. Messages cross from one
version to the other as what they are, text in a queue; what crosses at a port is carried from class to class (crossing.py).
"""

import atexit
import builtins
import importlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from tests.simulation.crossing import Across, carried_error
from tests.simulation.environments import Code, PortOf

ROOT = Path(__file__).resolve().parents[2]
LAYER = "layers/bourse/python"


@dataclass(frozen=True, slots=True)
class Change:
    """What is changed in a file, named from the root: what stands there, once, and what stands there instead."""

    path: str
    was: str
    becomes: str


class Release(Code, MetaPathFinder):
    """The code in a tree of sources, with changes; `tops` are the packages that are loaded again."""

    def __init__(self, root: Path, changes: Sequence[Change] = (), tops: Mapping[str, str] = {"bourse": LAYER}) -> None:
        self._root, self.texts = root, _changed(root, changes)
        self._tops = {top: str((root / base).resolve()) for top, base in tops.items()}
        self._modules: dict[str, ModuleType] = {}
        self._inside = False
        self.builtins: dict[str, Any] = vars(builtins) | {"__import__": self._import}
        self._compiled: dict[str, CodeType | None] = {}

    def module(self, name: str) -> Any:
        found = self._modules.get(name)
        if found is None:
            with self._in_place():
                found = importlib.import_module(name)
        return found

    def handler(self, function: str) -> CodeType | None:
        if function not in self._compiled:
            path = self._root / "functions" / function / "handler.py"
            self._compiled[function] = compile(self._text(path), str(path), "exec") if path.exists() else None
        return self._compiled[function]

    def find_spec(self, name: str, path: Sequence[str] | None, _target: ModuleType | None = None) -> ModuleSpec | None:
        """As a finder of imports: everything of ours comes from this tree."""
        top = name.partition(".")[0]
        if top not in self._tops:
            return None
        spec = PathFinder.find_spec(name, [self._tops[top]] if path is None else path)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(name, spec.loader.path, self.texts.get(Path(spec.loader.path)), self.builtins)
        return spec

    def _text(self, path: Path) -> str:
        return self.texts.get(path) or path.read_text()

    def _import(self, name: str, names: Any = None, locals_: Any = None, wanted: Any = (), level: int = 0) -> Any:
        """The import statement in code of this release: what is ours is this release's, also in a function that imports late."""
        if self._inside or (level == 0 and name.partition(".")[0] not in self._tops):
            return builtins.__import__(name, names, locals_, wanted, level)
        if (known := self._modules.get(name)) and all(hasattr(known, one) for one in wanted or () if one != "*"):
            return known if wanted else self._modules[name.partition(".")[0]]
        with self._in_place():
            return builtins.__import__(name, names, locals_, wanted, level)

    @contextmanager
    def _in_place(self) -> Iterator[None]:
        """For a moment, this release's modules are those that can be imported."""
        others = self._take()
        sys.modules.update(self._modules)
        sys.meta_path.insert(0, self)
        self._inside = True
        try:
            yield
        finally:
            self._inside = False
            sys.meta_path.remove(self)
            self._modules = self._take()
            sys.modules.update(others)

    def _take(self) -> dict[str, ModuleType]:
        return {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] in self._tops}


class _Loader(SourceFileLoader):
    """Runs a module with its release's own import; from the changed text, if it was changed."""

    def __init__(self, name: str, path: str, text: str | None, names: dict[str, Any]) -> None:
        super().__init__(name, path)
        self._changed, self._names = text, names

    def get_code(self, fullname: str) -> CodeType | None:
        return super().get_code(fullname) if self._changed is None else compile(self._changed, self.path, "exec", dont_inherit=True)

    def exec_module(self, module: ModuleType) -> None:
        module.__dict__["__builtins__"] = self._names
        super().exec_module(module)


def _changed(root: Path, changes: Sequence[Change]) -> dict[Path, str]:
    texts: dict[Path, str] = {}
    for one in changes:
        path = root / one.path
        text = texts.get(path) or path.read_text()
        assert text.count(one.was) == 1, f"{one.was!r} stands {text.count(one.was)} times in {one.path}"
        texts[path] = text.replace(one.was, one.becomes)
    return texts


def at(ref: str) -> Release:
    """The code of a commit. Raises CalledProcessError where there is no such commit here."""
    place = Path(tempfile.mkdtemp(prefix="release-"))
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    packed = subprocess.run(["git", "archive", ref, LAYER, "functions"], cwd=ROOT, capture_output=True, check=True).stdout
    subprocess.run(["tar", "-x", "-C", str(place)], input=packed, check=True)
    return Release(place)


class UnnumberedBooks:
    """A `BookStore` for code of the time when all snapshots of a book were one."""

    def __init__(self, books: Any) -> None:
        self._books = books

    def __getattr__(self, name: str) -> Any:
        return getattr(self._books, name)

    def load(self, book_id: str, *, use_snapshot: bool = True) -> Any:
        return self._books.load(book_id, (2,) if use_snapshot else ())

    def save_snapshot(self, book_id: str, version: int, snapshot: bytes) -> None:
        self._books.save_snapshot(book_id, version, 2, snapshot)


def as_it_was(name: str, port: Any, code: Code) -> Any:
    """The port with the promise that this code knows, where its methods have others by now."""
    if name == "books" and "formats" not in code.module("bourse.matching.store").BookStore.load.__code__.co_varnames:
        return UnnumberedBooks(port)
    return port


def across(port_of: PortOf, ours: Code, theirs: Code) -> PortOf:
    """The world's ports for environments of another version."""
    return lambda name: Across(port_of(name), ours.module, theirs.module)


def heard_across(handler: Callable[[Any, Any], Any], ours: Code, theirs: Code) -> Callable[[Any, Any], Any]:
    """A handler of another version: what it raises is an error of ours."""

    def handle(event: Any, context: Any) -> Any:
        try:
            return handler(event, context)
        except Exception as error:
            if (meant := carried_error(error, ours.module, theirs.module)) is error:
                raise
            raise meant from None

    return handle
