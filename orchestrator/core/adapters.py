"""One reader and writer of JSON for each kind of value, made when it is first needed: making them takes long,
and a keeper that starts needs few of them. Pure."""

from collections.abc import Iterable
from dataclasses import is_dataclass
from types import ModuleType
from typing import Any

from pydantic import TypeAdapter

_made: dict[type, TypeAdapter[Any]] = {}


def adapter(kind: type) -> TypeAdapter[Any]:
    """The adapter of a dataclass."""
    found = _made.get(kind)
    if found is None:
        found = _made[kind] = TypeAdapter(kind)
    return found


def make_all(modules: Iterable[ModuleType]) -> None:
    """The adapters of every dataclass that these modules define, for whoever has time for it now."""
    for module in modules:
        for kind in vars(module).values():
            if isinstance(kind, type) and is_dataclass(kind) and kind.__module__ == module.__name__:
                adapter(kind)
