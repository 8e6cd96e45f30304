"""The codes of refusals and decisions: what each means, and what to do about it. Pure: a table.

A code is stable: it is printed, logged, counted in metrics and written down in the journal, and people
search for it at night. None is ever renamed or given another meaning. Every code that any part of
`orchestrator` gives out stands here (a test looks), and the reference page is made from this table.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Reason:
    """One code. `meaning` and `remedy` are one sentence each, for somebody who was just woken."""

    code: str
    meaning: str
    remedy: str


@dataclass(frozen=True, slots=True)
class ReasonGroup:
    """Codes that belong together, under a heading of the reference page."""

    title: str
    reasons: tuple[Reason, ...]


_RIGHT = ReasonGroup(
    "The right to the service",
    (
        Reason(
            "lease-still-held",
            "The other site's lease may not have run out yet, so it may still be serving.",
            "Wait for the time named and ask again; if the site is known to be off, certify it down.",
        ),
        Reason(
            "no-quorum",
            "The store cannot be reached by a majority of its members, so nobody's right can change.",
            "See which members answer (`twinsite status`) and bring one back; what runs goes on running.",
        ),
        Reason(
            "peer-never-seen",
            "The other site's lease has not been read since this controller started, so its end is unknown.",
            "Wait until the store has been read, or certify the site down if it is known to be off.",
        ),
        Reason(
            "peer-holds",
            "The other site holds: it may be serving its users without any contact to us.",
            "Make sure that it is off or cut off from its users, then certify it down.",
        ),
        Reason(
            "peer-back",
            "The other site renewed its lease while we were about to take over.",
            "Nothing needs to be taken over; for a planned move use `twinsite switchover SERVICE`.",
        ),
        Reason(
            "not-the-peers",
            "The service does not belong to the other site any more, so there is nothing to take.",
            "Look at `twinsite status` to see who is primary now.",
        ),
        Reason(
            "owned",
            "A site is primary for the service already.",
            "Move it with `switchover`, or with `failover` if that site is lost.",
        ),
        Reason(
            "unclaimed",
            "No site has ever been primary for the service.",
            "Start the controller of its home site: that one alone makes the first claim.",
        ),
        Reason(
            "not-home",
            "Only the service's home site makes the very first claim.",
            "Start the controller of its home site.",
        ),
        Reason(
            "not-the-holder",
            "Only the site that is primary may do this.",
            "Ask the controller of the site that `twinsite status` names as primary.",
        ),
        Reason(
            "superseded",
            "Another controller of this site has taken over its place.",
            "Look for a second controller of the same site, and stop the one that is not wanted.",
        ),
        Reason(
            "manual",
            "The service is manual: it moves only when given up, or when its site is certified down.",
            "Make sure that the site is off, then use `failover … --certify-down SITE --reason …`.",
        ),
        Reason(
            "guard-missing",
            "No guard is there to cut a stalled site off, so a move without people would not be safe.",
            "Make sure that the old site cannot write, then order the failover yourself.",
        ),
    ),
)

_GATES = ReasonGroup(
    "The gates before a promotion",
    (
        Reason(
            "old-primary-writable",
            "The old primary still answers as writable, so promoting now would make two.",
            "Use `switchover`, which closes it in order; if it should not be up, cut it off first.",
        ),
        Reason(
            "lag-above-limit",
            "Moving now could lose more than the service's `max_data_loss` allows.",
            "Wait for the standby to catch up, or accept the loss by name: `--accept-loss … --reason …`.",
        ),
        Reason(
            "lag-unknown",
            "How much would be lost is not known: no sample of standby or primary is fresh enough.",
            "Find out why the sample is missing (`twinsite lag`), or accept a loss by name with a reason.",
        ),
        Reason(
            "loss-not-accepted",
            "The loss that was accepted is smaller than what may be lost.",
            "Read the plan's statement and accept at least that much, or wait for the standby to catch up.",
        ),
        Reason(
            "below-final-position",
            "The standby has not received everything that the old primary had acknowledged.",
            "Let it catch up; only if the rest is gone for good, accept the loss by name with a reason.",
        ),
        Reason(
            "history-unknown",
            "The two sides' histories cannot be compared, so nobody can say what would be lost.",
            "Compare the two databases by hand before anything is promoted.",
        ),
        Reason(
            "history-diverged",
            "The standby belongs to another history than the primary: another cluster, or a split one.",
            "Rebuild it from the primary, or find out which side is right, before anything is promoted.",
        ),
        Reason(
            "capacity-short",
            "The site that would take the service has no room for it.",
            "Move or stop services of a lower rank there first.",
        ),
        Reason(
            "flap-damped",
            "The service moved by itself a short while ago, and nobody has looked at that move yet.",
            "Find out why (`twinsite explain SERVICE`), then `twinsite acknowledge SERVICE --reason …`.",
        ),
        Reason(
            "paused",
            "Automatic moves of the service are paused.",
            "Look who paused it and why (`twinsite status`), then `twinsite resume SERVICE`.",
        ),
        Reason(
            "fence-not-confirmed",
            "The service asks for proof that the old primary is cut off, and there is none.",
            "Cut it off (power, network, storage) and certify the site down.",
        ),
        Reason(
            "not-drilled-since-change",
            "The plan has changed since it was last rehearsed.",
            "Rehearse it, or go on with a named reason if this is a real emergency.",
        ),
    ),
)

_REQUESTS = ReasonGroup(
    "Requests and runs",
    (
        Reason(
            "driver-missing",
            "twinsite does not know how to move this kind of service: it only watches it.",
            "Move it by its own tools; `twinsite config check` says which driver is missing.",
        ),
        Reason(
            "moving",
            "Another run is moving the service at this moment.",
            "Follow that run (`twinsite runs show ID`); ask again when it has ended.",
        ),
        Reason(
            "changed-since-plan",
            "The service's ownership has changed since the plan was made.",
            "Ask for the plan again and read it again.",
        ),
        Reason(
            "plan-unknown",
            "The controller does not know this plan: it was too old, used already, or made by another one.",
            "Ask for the plan again.",
        ),
        Reason(
            "plan-invalid",
            "The runbook cannot be carried out for this service, these hosts or this driver.",
            "Mend what the message names; `twinsite config check` finds the same before it is needed.",
        ),
        Reason(
            "run-over",
            "The run has ended and holds the service no longer.",
            "Look at how it ended: `twinsite runs show ID`.",
        ),
        Reason(
            "nothing-to-acknowledge",
            "The service has made no unplanned move that waits for somebody to look at it.",
            "Nothing to do.",
        ),
        Reason(
            "not-confirmed",
            "The name that was typed is not the name of the site asked for, so nothing was done.",
            "Read the plan again and type the site's name exactly.",
        ),
        Reason(
            "unknown-service",
            "There is no service of that name in the estate file.",
            "`twinsite status` lists them all.",
        ),
        Reason(
            "unknown-site",
            "There is no site of that name in the estate file, or it does not run this service.",
            "`twinsite status` lists them all.",
        ),
        Reason(
            "unknown-run",
            "The controller knows no run of that name.",
            "`twinsite runs` lists them; the other site's controller may know it.",
        ),
        Reason(
            "unknown-ask",
            "The keeper was asked something that its version does not know.",
            "Restart the controller and its keeper so that both are of the same version.",
        ),
        Reason(
            "wrong-request",
            "The request does not make sense as it was sent.",
            "The message says what is wrong with it; `--help` shows an example.",
        ),
    ),
)

GROUPS = (_RIGHT, _GATES, _REQUESTS)

REASONS: Mapping[str, Reason] = MappingProxyType(
    {reason.code: reason for group in GROUPS for reason in group.reasons}
)


def reason_of(code: str) -> Reason | None:
    """What a code means; None for one from a newer or older version."""
    return REASONS.get(code)
