"""One reader and writer of JSON for each kind of value, made when it is first needed: making them takes long,
and a keeper that starts needs few of them. Pure."""

from typing import Any

from pydantic import TypeAdapter

_made: dict[type, TypeAdapter[Any]] = {}


def adapter(kind: type) -> TypeAdapter[Any]:
    """The adapter of a dataclass."""
    found = _made.get(kind)
    if found is None:
        found = _made[kind] = TypeAdapter(kind)
    return found
