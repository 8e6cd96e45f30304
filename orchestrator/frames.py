"""The built-in parts of a move: what the runbooks stand between. Each is one step with an `ownership` word.

A failover is: take over (or claim) -> the service's promote runbook -> settle; by a verified cut, the old
site's hosts are switched off first; without the store: break glass -> the promote runbook. A switchover is:
the demote runbook -> give up -> claim -> the promote runbook -> settle. Values only.
"""

from runbooks.model import InDoubt
from runbooks.planned import Part, PlannedStep


def _part(name: str, title: str, action: str, site: str, timeout_seconds: float) -> Part:
    step = PlannedStep(
        id=f"ownership/{name}",
        part="ownership",
        number=0,
        title=title,
        action=action,
        site=site,
        timeout_seconds=timeout_seconds,
        in_doubt=InDoubt.RERUN,  # each asks first whether it is so already
    )
    return Part(name=f"ownership-{name}", runbook="built in", title=title, steps=(step,))


def take_over(from_title: str, to_site: str, *, timeout_seconds: float) -> Part:
    """P9, P10: wait until the lost site's lease is over, then take the service in one transaction."""
    title = f"Take it over from {from_title} as soon as its lease is over"
    return _part("take-over", title, "ownership.take-over", to_site, timeout_seconds)


def power_off(hosts: str, to_site: str, *, timeout_seconds: float) -> Part:
    """P28: a verified cut, by the devices that this site uses; nothing is taken without it."""
    title = f"Switch {hosts} off, and be sure that each of them is"
    return _part("power-off", title, "ownership.power-off", to_site, timeout_seconds)


def still_off(hosts: str, to_site: str, *, timeout_seconds: float) -> Part:
    """P28: until the old site's key was revoked its keeper might open what somebody switched on again."""
    title = f"Be sure once more that {hosts} is off, before anything is opened"
    return _part("still-off", title, "ownership.power-off", to_site, timeout_seconds)


def break_glass(to_title: str, to_site: str, *, timeout_seconds: float) -> Part:
    """P31: the keeper notes the certificate on its disk, and this site serves by it."""
    title = f"{to_title} serves it by the certificate, without the store"
    return _part("break-glass", title, "ownership.break-glass", to_site, timeout_seconds)


def give_up(from_title: str, from_site: str, *, timeout_seconds: float) -> Part:
    """P23: the holder closes in order and gives the service up, with its final position."""
    title = f"{from_title} closes it and gives it up"
    return _part("give-up", title, "ownership.give-up", from_site, timeout_seconds)


def claim(to_title: str, to_site: str, *, timeout_seconds: float) -> Part:
    """P24: when everything up to the final position is here, claim the service."""
    title = f"{to_title} has everything that was written, and claims it"
    return _part("claim", title, "ownership.claim", to_site, timeout_seconds)


def settle(to_site: str) -> Part:
    """The run is over: nothing holds the service any more."""
    return _part("settle", "The move is over", "ownership.settle", to_site, 30.0)
