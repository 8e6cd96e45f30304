"""Many parts seen as one instance: its role, its place, and how far behind it is. Pure.

Where the parts agree, that is the whole's word. Where they do not, the worst of them counts, or it is
unknown, and the reason says which part is what; one part that accepts writes makes the whole accept writes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sites.replication.positions import (
    NANOSECONDS,
    PositionHistory,
    received,
    replayed,
    safe_until_ns,
    written,
)
from sites.replication.words import Position, Role, Sample


@dataclass(slots=True)
class Histories:
    """Where each part's primary was, as seen from here: from that a standby's age follows where the part's
    driver has positions to go by."""

    by_part: dict[tuple[str, str], PositionHistory] = field(default_factory=dict)

    def note(self, part: str, sample: Sample) -> None:
        """Take a sample of one part in."""
        if (seen := written(sample)) is not None:
            key = (part, sample.site)
            self.by_part[key] = self.by_part.get(key, PositionHistory()).add(seen)

    def safe_until_ns(self, part: str, sample: Sample) -> int | None:
        """The instant up to which everything of that part is replayed at the standby; None: not known."""
        if sample.behind_seconds is not None:
            return sample.taken_at_ns - round(sample.behind_seconds * NANOSECONDS)
        seen = replayed(sample) or received(sample)
        known = [
            safe
            for (name, site), history in self.by_part.items()
            if name == part and site != sample.site and (safe := safe_until_ns(history, seen)) is not None
        ]
        return max(known, default=None)


def whole_sample(service: str, site: str, parts: Mapping[str, Sample], histories: Histories) -> Sample:
    """The sample of the whole, of one look at each part."""
    role = whole_role({name: sample.role for name, sample in parts.items()})
    taken_at_ns = min(sample.taken_at_ns for sample in parts.values())
    writable = _any_part([sample.writable for sample in parts.values()])
    reason = "" if _agree(parts) else described(parts)
    if role in (Role.DOWN, Role.UNKNOWN):
        return Sample(service, site, role, taken_at_ns, writable=writable, reason=reason or described(parts))
    identities = [sample.system_id for sample in parts.values()]
    standby = role is Role.STANDBY
    return Sample(
        service=service,
        site=site,
        role=role,
        taken_at_ns=taken_at_ns,
        writable=writable,
        position=together({name: sample.position for name, sample in parts.items()}),
        replayed=together({name: sample.replayed or sample.position for name, sample in parts.items()})
        if standby
        else None,
        streaming=_every_part([sample.streaming for sample in parts.values()]) if standby else None,
        synchronous=None if standby else _every_part([sample.synchronous for sample in parts.values()]),
        system_id="+".join(identities) if all(identities) else "",
        behind_seconds=_behind_seconds(parts, histories, taken_at_ns) if standby else None,
        reason=reason,
        copying=next((sample.copying for sample in parts.values() if sample.copying is not None), None),
    )


def whole_role(roles: Mapping[str, Role]) -> Role:
    """One role where the parts agree. A part that does not answer leaves the whole unknown; one that is down
    takes the whole down; a primary beside a standby is neither."""
    found = set(roles.values())
    if Role.UNKNOWN in found:
        return Role.UNKNOWN
    if Role.DOWN in found:
        return Role.DOWN
    return found.pop() if len(found) == 1 else Role.UNKNOWN


def together(positions: Mapping[str, Position | None]) -> Position | None:
    """Every part's position as one; None as long as one of them is not known."""
    known = {name: position for name, position in positions.items() if position is not None}
    if len(known) != len(positions):
        return None
    return Position(
        text="; ".join(f"{name} {position.text}" for name, position in known.items()),
        history="; ".join(f"{name} {position.history}" for name, position in known.items()),
        offset_bytes=None,
        parts=tuple(known.values()),
    )


def described(parts: Mapping[str, Sample]) -> str:
    """What each part is."""
    return "; ".join(f"{name} is {_words(sample)}" for name, sample in parts.items())


def _words(sample: Sample) -> str:
    writes = ", accepts writes" if sample.writable else ""
    why = f" ({sample.reason})" if sample.reason else ""
    return f"{sample.role}{writes}{why}"


def _agree(parts: Mapping[str, Sample]) -> bool:
    return len({(sample.role, sample.writable) for sample in parts.values()}) == 1


def _any_part(words: list[bool | None]) -> bool | None:
    """True as soon as one is: a part that accepts writes is written to, whatever the others do."""
    if True in words:
        return True
    return None if None in words else False


def _every_part(words: list[bool | None]) -> bool | None:
    if False in words:
        return False
    return None if None in words else True


def _behind_seconds(parts: Mapping[str, Sample], histories: Histories, taken_at_ns: int) -> float | None:
    """The worst part's age, None as long as one of them is not known."""
    safe = [histories.safe_until_ns(name, sample) for name, sample in parts.items()]
    known = [instant for instant in safe if instant is not None]
    if len(known) != len(safe):
        return None
    return max(0, taken_at_ns - min(known)) / NANOSECONDS
