"""The shape of a file as its models give it: which keys stand where.

Pure reflection over pydantic models: no values, no files. Fields that the loader fills in (their alias
stands in angle brackets) are no keys of the file.
"""

from collections.abc import Mapping
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from sites.marks import Trail


def is_filled_in(alias: str) -> bool:
    """Whether a field of this alias is filled in by the loader and never written in the file."""
    return alias.startswith("<")


def file_keys(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """The keys that a mapping of this model may have in the file."""
    keys = ((info.alias or name, info) for name, info in model.model_fields.items())
    return {alias: info for alias, info in keys if not is_filled_in(alias)}


def model_at(model: type[BaseModel], loc: Trail) -> type[BaseModel] | None:
    """The model of the mapping at `loc` beneath `model`, or None where there is none (or a choice)."""
    return _at(model, loc)


def _at(annotation: Any, loc: Trail) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if not loc:
            return annotation
        info = file_keys(annotation).get(str(loc[0]))
        return _at(info.annotation, loc[1:]) if info else None
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _at(arguments[0], loc)
    if origin in (Union, UnionType):
        # pydantic names the arm it tried in the way to the value, by its tag or its type; that part is
        # none of the file's.
        tagged = [arm for arm in arguments if loc and _has_tag(arm, loc[0])]
        if tagged:
            return _at(tagged[0], loc[1:])
        arms = [_at(arm, loc) or (_at(arm, loc[1:]) if loc else None) for arm in arguments]
        return next((found for found in arms if found), None)
    if loc and isinstance(origin, type) and issubclass(origin, Mapping):
        return _at(arguments[1], loc[1:])
    if loc and isinstance(origin, type) and issubclass(origin, (list, tuple)):
        return _at(arguments[0], loc[1:])
    return None


def _has_tag(arm: Any, tag: str | int) -> bool:
    """Whether this arm of a union is the one that its discriminator calls `tag`."""
    if not (isinstance(arm, type) and issubclass(arm, BaseModel)):
        return False
    return any(tag in get_args(info.annotation) for info in arm.model_fields.values())
