"""The way that clients take to a service, as those see it who stand outside its site: the other site and the
witness. An instance that finds itself well may be cut off from everybody it is there for. Pure.

A probe counts from where it stands only if it has been up from there since the site became primary: one that
never worked from there (a name it cannot resolve, a certificate it does not know), or that waits for an
application to start after a move, says nothing about the clients.
"""

from collections.abc import Iterable
from dataclasses import dataclass

CLIENT_KINDS = frozenset({"http", "sql", "tcp"})
FRESH_PROBE_SECONDS = 15.0
ENOUGH_OBSERVERS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class OutsideProbe:
    """One probe's verdict by another observer. `age_seconds`: since its last try, as far as is known here;
    `was_up`: it was seen up from there since the present primary became primary."""

    observer: str
    site: str
    probe: str
    kind: str
    verdict: str
    reason: str
    age_seconds: float
    was_up: bool = False

    @property
    def counts(self) -> bool:
        """It tries what clients try, it is known to work from there, and it is fresh."""
        return self.kind in CLIENT_KINDS and self.was_up and self.age_seconds <= FRESH_PROBE_SECONDS


def cut_off_by(probes: Iterable[OutsideProbe], site: str) -> tuple[str, ...]:
    """The observers from whom no client's way leads to the service at `site`: every probe that counts is down
    there, and there is one at least. `site` itself does not count as one of them."""
    verdicts: dict[str, set[str]] = {}
    for seen in probes:
        if seen.site == site and seen.observer != site and seen.counts:
            verdicts.setdefault(seen.observer, set()).add(seen.verdict)
    return tuple(sorted(observer for observer, said in verdicts.items() if said == {"down"}))
