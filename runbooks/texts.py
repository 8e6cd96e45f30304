"""Which texts of a runbook are templates, of what manner, and how a whole mapping of them is filled in.

A model's field says its manner by an annotation (`ShellText`, `HostText`, …); every other text is plain.
Pure.
"""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from pydantic import BaseModel

from runbooks.scope import Scope
from runbooks.templates import Manner, TemplateFault, render
from sites.shape import file_keys, model_at

Trail = tuple[str | int, ...]


@lru_cache(maxsize=4096)
def manner_of(model: type[BaseModel], key: str) -> Manner:
    """How values are written into the text under `key` of this model."""
    info = file_keys(model).get(key)
    found = [note for note in info.metadata if isinstance(note, Manner)] if info else []
    return found[0] if found else Manner.TEXT


@lru_cache(maxsize=4096)
def _inner(model: type[BaseModel], trail: Trail) -> type[BaseModel] | None:
    """The model of what stands at `trail`; None where it has none of its own."""
    return model_at(model, trail)


def texts(model: type[BaseModel], data: Mapping[str, Any]) -> Iterator[tuple[Trail, str, Manner]]:
    """Every text beneath `data`, whose keys are those of `model`, with the way to it."""
    for key, value in data.items():
        yield from _leaves(model, value, (key,), manner_of(model, key))


def _leaves(
    model: type[BaseModel], value: Any, trail: Trail, manner: Manner
) -> Iterator[tuple[Trail, str, Manner]]:
    if isinstance(value, str):
        yield trail, value, _short(model, trail, manner)
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(model, inner, (*trail, key), _below(model, trail, key, manner))
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from _leaves(model, inner, (*trail, index), manner)


def _short(model: type[BaseModel], trail: Trail, manner: Manner) -> Manner:
    """The manner of a text that stands for a whole mapping: a question written as its command."""
    inner = _inner(model, trail)
    return manner if inner is None else getattr(inner, "written_short", manner)


def _below(model: type[BaseModel], trail: Trail, key: str, manner: Manner) -> Manner:
    inner = _inner(model, trail)
    return manner if inner is None else manner_of(inner, key)


def filled(
    model: type[BaseModel], data: Mapping[str, Any], scope: Scope
) -> tuple[dict[str, Any], list[tuple[Trail, TemplateFault]]]:
    """`data` with every template filled in, and what could not be."""
    faults: list[tuple[Trail, TemplateFault]] = []

    def fill(value: Any, manner: Manner, trail: Trail) -> Any:
        if isinstance(value, str):
            try:
                return render(value, scope, _short(model, trail, manner))
            except TemplateFault as fault:
                faults.append((trail, fault))
                return value
        if isinstance(value, Mapping):
            return {
                key: fill(inner, _below(model, trail, key, manner), (*trail, key))
                for key, inner in value.items()
            }
        if isinstance(value, list | tuple):
            return [fill(inner, manner, (*trail, index)) for index, inner in enumerate(value)]
        return value

    done = {key: fill(value, manner_of(model, key), (key,)) for key, value in data.items()}
    return done, faults
