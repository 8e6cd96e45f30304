"""What a keeper keeps on disk for the next one of its site. It gives no right of its own.

`peer_*`: "last saw the peer's key live, no takeover sent since" (P16). `hold_*`: "relies on hold; this
incarnation, these services at these epochs" (P30). `glass`: what an operator's certificate has opened here
while there was no quorum (P31); it outlives restarts and boots.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Glass:
    """One service served under a certificate. `reconciling`: its reconciliation may have been sent, so that
    to whoever starts with this note only the store can tell whether it still counts."""

    service: str
    epoch: int
    certificate: str
    reconciling: bool = False

    def same(self, other: "Glass") -> bool:
        """It is of the same certificate."""
        return (self.service, self.epoch, self.certificate) == (
            other.service,
            other.epoch,
            other.certificate,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """The note. Incarnation 0: nothing of that kind is noted."""

    peer_keeper: str = ""
    peer_incarnation: int = 0
    hold_incarnation: int = 0
    hold_services: tuple[tuple[str, int], ...] = ()
    glass: tuple[Glass, ...] = ()

    def holds(self, service: str) -> int | None:
        """The epoch at which `service` is held open by the note; None: it is not."""
        return next((epoch for name, epoch in self.hold_services if name == service), None)


EMPTY = Note()
