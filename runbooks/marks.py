"""What a key of a step is besides its type: a file that is shipped along, another runbook, a secret's place.

Notes on the fields of models, read by whoever checks, binds or prints them. Values only.
"""

from dataclasses import dataclass

from pydantic import BaseModel

from sites.shape import file_keys


@dataclass(frozen=True, slots=True)
class NamesFile:
    """Marks an argument whose value is a file that is shipped along, its path relative to the runbook."""


@dataclass(frozen=True, slots=True)
class NamesRunbook:
    """Marks an argument whose value is another runbook, whose steps stand in the place of this one."""


@dataclass(frozen=True, slots=True)
class TakesSecrets:
    """Marks an argument whose values may be `!env NAME` or `!file PATH`: fetched when the step is carried
    out, by whoever does it, and never in a plan or a journal."""


def key_of(model: type[BaseModel], mark: type) -> str | None:
    """The key of the first field with such a mark, or None."""
    for key, info in file_keys(model).items():
        if any(isinstance(note, mark) for note in info.metadata):
            return key
    return None
