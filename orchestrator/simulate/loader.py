"""Load the product's modules with one rule changed: the simulation must then find a violation.

Only in a process of its own, before anything of the product is imported. Knows nothing of the product.
"""

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType
from typing import NamedTuple


class Edit(NamedTuple):
    """In `module`, `find` stands exactly once, and becomes `put`."""

    module: str
    find: str
    put: str


class EditFailed(Exception):
    """A snippet does not stand exactly once, or the module was imported before."""


def edited(source: str, edits: Sequence[Edit]) -> str:
    """The source with the edits made. Raises EditFailed with the place and the snippet."""
    for edit in edits:
        count = source.count(edit.find)
        if count != 1:
            raise EditFailed(f"{edit.module}: stands {count} times, not once: {edit.find!r}")
        source = source.replace(edit.find, edit.put)
    return source


class _EditingLoader(SourceFileLoader):
    edits: tuple[Edit, ...] = ()

    def get_code(self, fullname: str) -> CodeType:
        source = self.get_source(fullname)
        assert source is not None
        return compile(edited(source, self.edits), self.path, "exec", dont_inherit=True)


class _Finder(MetaPathFinder):
    def __init__(self, edits: Sequence[Edit]) -> None:
        self._edits = edits

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        wanted = tuple(edit for edit in self._edits if edit.module == fullname)
        if not wanted:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.origin is None:
            raise EditFailed(f"{fullname}: there is no such module")
        loader = _EditingLoader(fullname, spec.origin)
        loader.edits = wanted
        spec.loader = loader
        return spec


def install(edits: Sequence[Edit]) -> None:
    """From now on these modules are loaded as edited."""
    early = sorted({edit.module for edit in edits} & set(sys.modules))
    if early:
        raise EditFailed(f"imported already: {', '.join(early)}")
    sys.meta_path.insert(0, _Finder(edits))
