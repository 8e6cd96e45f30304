"""What is known of the devices that switch off one service's hosts at the other site. Values only."""

from dataclasses import dataclass
from enum import StrEnum


class Device(StrEnum):
    """How far they are."""

    IDLE = "idle"
    AT_WORK = "at-work"
    FAILED = "failed"  # lately; they are tried again later
    CUT = "cut"  # a verified cut: every host is known to be off


@dataclass(frozen=True, slots=True, kw_only=True)
class Power:
    """`hosts`: all of the service at the other site. `equipped`: this site has a device for each of them.
    `takes_along`: other services that may be serving on one of these hosts by a right of their own, and would
    go off with it. `words`: what the devices said. `cut_at_ns`: when every host was known to be off."""

    hosts: tuple[str, ...] = ()
    equipped: bool = False
    takes_along: tuple[str, ...] = ()
    device: Device = Device.IDLE
    words: str = ""
    cut_at_ns: int = 0

    @property
    def verified(self) -> bool:
        """Every host of the service at the other site is known to be off."""
        return self.device is Device.CUT
