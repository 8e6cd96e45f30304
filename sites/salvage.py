"""An estate from data that is partly wrong, so that every check can still be made on the rest.

Pure. Whatever a model refuses is taken out (its default then stands) or, where there is none, replaced by
a stand-in; `broken` says where, so that nothing is concluded from a stand-in. The result serves to find
further faults and is never run.
"""

import copy
from typing import Any

from pydantic import ValidationError

from sites.marks import Trail
from sites.model import Estate
from sites.shape import model_at

# First a value is taken out, so that its default stands; then these are tried in turn (the first serves
# where nothing could be taken out, too).
_STAND_INS: tuple[Any, ...] = ("?", "?", ["?"], {}, 1)
_MOST_ROUNDS = 60


def validate(data: Any) -> Estate:
    """The estate of the data, by the keys of the file alone. Raises ValidationError."""
    return Estate.model_validate(data, by_alias=True, by_name=False)


def salvage(data: Any) -> tuple[Estate | None, ValidationError | None, frozenset[Trail]]:
    """The estate, what the models refused, and where they did. The estate is None when nothing helped."""
    estate, first = _try(data)
    mended = copy.deepcopy(data)
    refused = first
    tried: dict[Trail, int] = {}
    for _ in range(_MOST_ROUNDS):
        if refused is None:
            break
        details = refused.errors(include_url=False, include_input=False)
        for loc in dict.fromkeys(tuple(detail["loc"]) for detail in details):
            _mend(mended, loc, tried)
        estate, refused = _try(mended)
    return estate, first, frozenset(tried)


def _try(data: Any) -> tuple[Estate | None, ValidationError | None]:
    try:
        return validate(data), None
    except ValidationError as error:
        return None, error


def _mend(data: Any, loc: Trail, tried: dict[Trail, int]) -> None:
    """One more attempt at the place that was refused."""
    by_key = loc[-1:] == ("[key]",)
    loc = loc[:-1] if by_key else loc
    parent = value_at(data, loc[:-1])
    if not loc or not isinstance(parent, (dict, list)):
        return
    attempt = tried.get(loc, 0)
    tried[loc] = attempt + 1
    key: Any = loc[-1]
    if isinstance(parent, dict) and key in parent and (by_key or attempt == 0) and _may_go(loc, by_key):
        del parent[key]
        return
    # What is needed cannot be taken out; a list keeps its length, or the places of what follows would
    # shift; a site, host or service keeps its name, or it would seem not to exist.
    if attempt < len(_STAND_INS):
        parent[key] = copy.deepcopy(_STAND_INS[attempt])
    elif len(loc) > 1:
        _mend(data, loc[:-1], tried)  # nothing fits there, so what holds it goes


def _may_go(loc: Trail, by_key: bool) -> bool:
    return by_key or model_at(Estate, loc[:-1]) is not None


def value_at(data: Any, trail: Trail) -> Any:
    """The plain value there, or None."""
    for part in trail:
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            return None
    return data
