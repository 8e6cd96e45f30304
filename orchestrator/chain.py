"""Chains of hashes over the journal: a record that is changed, left out or cut off breaks what follows.

Pure. Every record of a run is a link, made from the link before and from the record as it stands on the disk.
When a run ends, its last link is put on file as a seal, made from the seal before: so that a whole run, too,
cannot be taken out without a trace.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

SEALED = "run-sealed"


def links(run: str, records: Iterable[str]) -> tuple[str, ...]:
    """The links of a run, in order."""
    found, before = [], _hash(run)
    for record in records:
        before = _hash(f"{before}\n{record}")
        found.append(before)
    return tuple(found)


def seal_of(run: str, found: Sequence[str], before: Mapping[str, Any] | None) -> dict[str, Any]:
    """What is put on file when a run ends. `before`: the seal before, None for the first."""
    previous = str(before.get("seal", "")) if before is not None else ""
    number = int(before.get("number", 0)) + 1 if before is not None else 1
    seal = {
        "number": number,
        "run": run,
        "records": len(found),
        "head": found[-1] if found else "",
        "previous": previous,
    }
    return {**seal, "seal": _seal(seal)}


def _seal(seal: Mapping[str, Any]) -> str:
    told = (seal.get(key) for key in ("previous", "number", "run", "records", "head"))
    return _hash("\n".join(str(each) for each in told))


def seals_broken(seals: Sequence[Mapping[str, Any]]) -> str:
    """What is wrong with a stretch of seals, oldest first; "" when they are whole."""
    for seal in seals:
        if _seal(seal) != seal.get("seal"):
            return f"seal {seal.get('number')} was changed"
    for before, after in pairwise(seals):
        if (after.get("previous"), after.get("number")) != (before["seal"], int(before["number"]) + 1):
            return (
                f"what was sealed between seal {before['number']} and seal {after.get('number')} is missing"
            )
    return ""


def difference(reported: Sequence[str], found: Sequence[str], where: str) -> str:
    """What the journal lacks or has otherwise than a report says; "" when it is the same. Links may be given
    shortened."""
    for number, (was, now) in enumerate(zip(reported, found, strict=False), 1):
        if now[: len(was)] != was:
            return f"record {number} in the journal at {where} is another than the report was made from"
    if len(found) < len(reported):
        missing = f"{len(found) + 1} to {len(reported)}" if found else f"all {len(reported)}"
        return f"the journal at {where} was cut: records {missing} of {len(reported)} are missing"
    if len(found) > len(reported):
        more = len(found) - len(reported)
        return f"the journal at {where} has {more} more record{'s' if more > 1 else ''} than the report"
    return ""


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
