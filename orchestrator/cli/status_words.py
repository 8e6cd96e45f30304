"""What each part of a status is called in words: the one place, for plain lines and for tables.

Pure: from the API's shapes to text. Unknown is said to be unknown.
"""

from orchestrator.api.shapes import (
    Explanation,
    InstanceStatus,
    LagStatus,
    PauseStatus,
    ProjectionStatus,
    ReachStatus,
    RehearsalStatus,
    ServiceStatus,
    SiteStatus,
    Status,
)
from orchestrator.cli.output import UNKNOWN, age, duration, local_time, size, words

RESUME = "twinsite resume"
_FINE = ("healthy", "watch-only")
OVERALL = {
    "ok": "OK: every service is well",
    "degraded": "DEGRADED: see below",
    "down": "DOWN: at least one service is down; see below",
    "unknown": "UNKNOWN: this controller cannot tell",
}


def answers(site: SiteStatus) -> str:
    """Who answers, from the asked controller's point of view."""
    if site.here:
        return "yes, it is the one asked"
    if site.seen is None:
        return UNKNOWN
    if site.seen:
        return f"yes, {age(site.seen_age_seconds)}"
    return (
        f"NO, last seen {age(site.seen_age_seconds)}"
        if site.seen_age_seconds is not None
        else "NO, never seen"
    )


def lease(site: SiteStatus) -> str:
    """The site's right to act as primary."""
    if site.witness:
        return "none (witness)"
    left = site.lease_remaining_seconds
    parts = [UNKNOWN if left is None else f"{duration(left)} left" if left > 0 else "RUN OUT"]
    if site.revoked:
        parts.append("REVOKED")
    if site.hold:
        parts.append("holds")
    return ", ".join(parts)


def ownership(service: ServiceStatus) -> str:
    """Who is primary by the store."""
    if service.watch_only:
        return "watched only"
    if service.diagnosis == "unclaimed":
        return "NOBODY yet"
    if service.under_glass:
        return "BROKEN GLASS, by certificate"
    if service.last_known is not None:
        return f"{UNKNOWN}, last known: {service.last_known.primary or 'nobody'}"
    if service.epoch is None and service.primary is None:
        return UNKNOWN
    return service.primary or "NOBODY"


def ownership_detail(service: ServiceStatus) -> str:
    """The epoch, and whether it is moving or not automatic."""
    none_to_tell = service.watch_only or service.diagnosis == "unclaimed"
    parts = [] if none_to_tell else [f"epoch {UNKNOWN if service.epoch is None else service.epoch}"]
    if service.movement == "moving":
        parts.append("MOVING")
    if service.mode and service.mode != "automatic":
        parts.append(service.mode)
    return ", ".join(parts)


def instance_at(service: ServiceStatus, site: str) -> InstanceStatus | None:
    """The service's instance at that site, if it is reported at all."""
    return next((one for one in service.instances if one.site == site), None)


def role(instance: InstanceStatus | None, *, reason: bool = True) -> str:
    """What the instance says that it is, and with `reason` why that is no more."""
    if instance is None:
        return UNKNOWN
    if instance.role == "primary":
        return {
            True: "primary, writable",
            False: "primary, NOT writable",
            None: "primary, writable: unknown",
        }[instance.writable]
    if instance.role == "standby":
        return "standby, WRITABLE" if instance.writable else "standby"
    told = instance.role.upper() if instance.role == "down" else instance.role or UNKNOWN
    return f"{told} ({instance.reason})" if instance.reason and reason else told


def lag(of: LagStatus | None) -> str:
    """How far the other side is behind."""
    if of is None:
        return UNKNOWN
    if of.seconds is None and of.bytes is None:
        return UNKNOWN
    amount = f", {size(of.bytes)}" if of.bytes is not None else ""
    return f"{duration(of.seconds)}{amount}"


def lag_age(of: LagStatus | None) -> str:
    """How old the sample is."""
    if of is None:
        return "never sampled"
    return f"sampled {age(of.sample_age_seconds)}" if of.sample_age_seconds is not None else "no sample"


def protection(service: ServiceStatus) -> str:
    """Whether the other site could take it over."""
    if service.watch_only:
        return "not ours to move"
    if service.unprotected_seconds is not None:
        return f"UNPROTECTED for {duration(service.unprotected_seconds)}"
    if service.primary is None or service.lag is None or service.lag.seconds is None:
        return "protection unknown"
    return "protected"


def pause(of: PauseStatus) -> str:
    """How long a pause still lasts, who made it and why."""
    left = duration(of.remaining_seconds)
    return f"PAUSED for another {left}, until {local_time(of.ends)}, by {of.who}: {of.reason}"


def paused(of: PauseStatus) -> str:
    """The same in a cell of a table."""
    return f"PAUSED for another {duration(of.remaining_seconds)}"


def reached(of: ReachStatus) -> str:
    """Whether an observer reaches a target, and how old that is."""
    told = {True: "yes", False: "NO", None: UNKNOWN}[of.reached]
    return told if of.age_seconds is None else f"{told} ({age(of.age_seconds)})"


def reached_shortly(of: ReachStatus) -> str:
    """Whether an observer reaches a target, in a cell of a table."""
    told = {True: "yes", False: "NO", None: UNKNOWN}[of.reached]
    return told if of.age_seconds is None else f"{told}, {duration(of.age_seconds)}"


def reaches(row: list[ReachStatus]) -> str:
    """One observer's row in a line: the sites, the store's members, and how old the oldest word is."""

    def said(kind: str) -> str:
        told = {True: "yes", False: "NO", None: UNKNOWN}
        return ", ".join(f"{one.target} {told[one.reached]}" for one in row if one.kind == kind)

    sites, members = said("site"), said("store member")
    text = "; ".join(part for part in (sites, f"store: {members}" if members else "") if part)
    ages = [one.age_seconds for one in row if one.age_seconds is not None and one.reached is not None]
    return f"{text} (up to {age(max(ages))})" if ages else text


def targets(status: Status | Explanation) -> list[tuple[str, str]]:
    """What is reached or not: (kind, name), sites first, in the order of the observers."""
    found = dict.fromkeys((one.kind, one.target) for one in status.reach)
    places = [*dict.fromkeys(one.observer for one in status.reach), *(name for _, name in found)]
    return sorted(found, key=lambda target: (target[0] != "site", places.index(target[1])))


def matrix(status: Status | Explanation) -> list[tuple[str, list[ReachStatus | None]]]:
    """Who reaches whom: an observer and its word on each of `targets`; None: on itself, or no word."""
    said = {(one.observer, (str(one.kind), one.target)): one for one in status.reach}
    observers = dict.fromkeys(one.observer for one in status.reach)
    return [
        (observer, [said.get((observer, target)) for target in targets(status)]) for observer in observers
    ]


def target(kind: str, name: str) -> str:
    """A target's name in a heading."""
    return name if kind == "site" else f"store {name}"


def store(status: Status) -> str:
    """The store, as the asked controller finds it."""
    told = status.store or UNKNOWN
    return told if status.store_age_seconds is None else f"{told} ({age(status.store_age_seconds)})"


def loss(service: ServiceStatus) -> str:
    """What moving it at this moment would lose."""
    return service.loss_if_moved_now or UNKNOWN


def degraded(status: Status) -> list[tuple[str, str]]:
    """What is not as it should be: of which service, and the sentence."""
    found = []
    for service in status.services:
        if service.diagnosis not in _FINE:
            found.append((service.service, f"{words(service.diagnosis)}: {service.why}".rstrip(": ")))
        if service.pause is not None:
            found.append((service.service, pause(service.pause)))
        elif service.paused:
            found.append((service.service, f"paused: {service.paused}"))
    return found + [("between the sites", f"{one.finding}: {one.words}") for one in status.findings]


def next_steps(status: Status) -> list[tuple[str, str]]:
    """What to do next, service by service; where nothing better is known, where to read why."""
    found = []
    for service in status.services:
        if service.next_step:
            found.append((service.service, service.next_step.replace("SERVICE", service.service)))
        elif service.diagnosis not in _FINE:
            found.append((service.service, f"see why: twinsite explain {service.service}"))
        if service.pause is not None:
            reminder = "it is paused, so nothing moves it; when that is not needed any more:"
            found.append((service.service, f"{reminder} `{RESUME} {service.service}`"))
    return found


def rehearsed(of: RehearsalStatus) -> str:
    """Whether what would be done was done before."""
    return f"its plan: {of.words}"


def under_way(service: ServiceStatus) -> str:
    """How its run gets on."""
    of = service.projected
    return f"run {service.run or UNKNOWN}: {projection(of) if of is not None else UNKNOWN}"


def projection(of: ProjectionStatus) -> str:
    """When it should end, on one line."""
    if of.likely_finish is None:
        named = ", ".join(of.unknown_steps[:3]) + (" and others" if len(of.unknown_steps) > 3 else "")
        text = (
            f"should end: {UNKNOWN}; in {duration(of.likely_seconds)} at the soonest, and {named} never timed"
        )
    else:
        text = f"should end in {duration(of.likely_seconds)}, at {local_time(of.likely_finish)}; three times "
        text += f"out of four within {duration(of.cautious_seconds)}"
    return text + {True: "; within the RTO", False: "; LATER THAN THE RTO", None: ""}[of.within_rto]
