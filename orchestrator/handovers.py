"""When the place at which a service accepts writes changed, as seen from here: by it a move's outage is told.

Pure values. Only samples of one's own are taken in, for their instants are of one clock; nothing is concluded
about a place that was not seen.
"""

from collections import deque
from dataclasses import dataclass

KEPT = 16


@dataclass(frozen=True, slots=True)
class Handover:
    """`from_site` was last seen writable `seconds` before `to_site` was first seen so, at `unix_seconds`."""

    from_site: str
    to_site: str
    seconds: float
    unix_seconds: float


class Handovers:
    """The latest few of every service."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[str, int]] = {}
        self._last_unix: dict[str, float] = {}
        self._seen: dict[str, deque[Handover]] = {}

    def writable(self, service: str, site: str, at_ns: int, unix_seconds: float) -> None:
        """The instance there was seen to accept writes."""
        before_site, before_ns = self._last.get(service, (site, at_ns))
        if at_ns < before_ns:
            return
        self._last[service] = (site, at_ns)
        self._last_unix[service] = unix_seconds
        if before_site != site:
            seen = self._seen.setdefault(service, deque(maxlen=KEPT))
            seen.append(Handover(before_site, site, (at_ns - before_ns) / 1e9, unix_seconds))

    def last_unix_seconds(self, service: str, site: str) -> float | None:
        """When the service was last seen to accept writes, if that was there."""
        there = service in self._last and self._last[service][0] == site
        return self._last_unix[service] if there else None

    def outage_seconds(
        self, service: str, from_site: str | None, to_site: str, began_unix: float, ended_unix: float
    ) -> float | None:
        """That of the move that went on then; None where its handover was not seen from here."""
        for one in self._seen.get(service, ()):
            if (one.from_site, one.to_site) == (from_site, to_site) and (
                began_unix <= one.unix_seconds <= ended_unix
            ):
                return one.seconds
        return None
