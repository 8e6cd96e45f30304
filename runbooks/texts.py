"""Which texts of a runbook are templates, of what manner, and how a whole mapping of them is filled in.

A model's field says its manner by an annotation (`ShellText`, `HostText`, …); every other text is plain.
Pure.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from runbooks.scope import Scope
from runbooks.templates import Manner, TemplateFault, render
from sites.shape import file_keys

Trail = tuple[str | int, ...]


def manner_of(model: type[BaseModel], key: str) -> Manner:
    """How values are written into the text under `key` of this model."""
    info = file_keys(model).get(key)
    found = [note for note in info.metadata if isinstance(note, Manner)] if info else []
    return found[0] if found else Manner.TEXT


def texts(model: type[BaseModel], data: Mapping[str, Any]) -> Iterator[tuple[Trail, str, Manner]]:
    """Every text beneath `data`, whose keys are those of `model`, with the way to it."""
    for key, value in data.items():
        manner = manner_of(model, key)
        for trail, text in _leaves(value, (key,)):
            yield trail, text, manner


def _leaves(value: Any, trail: Trail) -> Iterator[tuple[Trail, str]]:
    if isinstance(value, str):
        yield trail, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, (*trail, key))
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from _leaves(inner, (*trail, index))


def filled(
    model: type[BaseModel], data: Mapping[str, Any], scope: Scope
) -> tuple[dict[str, Any], list[tuple[Trail, TemplateFault]]]:
    """`data` with every template filled in, and what could not be."""
    faults: list[tuple[Trail, TemplateFault]] = []

    def fill(value: Any, manner: Manner, trail: Trail) -> Any:
        if isinstance(value, str):
            try:
                return render(value, scope, manner)
            except TemplateFault as fault:
                faults.append((trail, fault))
                return value
        if isinstance(value, Mapping):
            return {key: fill(inner, manner, (*trail, key)) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return [fill(inner, manner, (*trail, index)) for index, inner in enumerate(value)]
        return value

    done = {key: fill(value, manner_of(model, key), (key,)) for key, value in data.items()}
    return done, faults
