"""What the rows of the decision table ask of a picture, each question with the words that say so.

A condition is true or false of what is known; what is not known never counts as a yes. Pure.
"""

from collections.abc import Callable
from dataclasses import dataclass

from orchestrator.core.devices import Device
from orchestrator.core.records import Mode
from orchestrator.core.view import ServiceView, View
from sites.model import FailoverPolicy
from sites.replication.positions import reached
from sites.replication.words import Role

CLAIM_BACK_AFTER_SECONDS = 15.0
OPEN_TRIES = 3
CUT_OFF_AT_LEAST_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class When:
    """A condition. `words` go on after "when", for the page of decisions."""

    words: str
    holds: Callable[[View, ServiceView], bool]


def _ours(view: View, service: ServiceView) -> bool:
    return service.record is not None and service.record.primary == view.site


def _target_is(site: str, service: ServiceView) -> bool:
    return service.record is not None and service.record.target == site


def _given_up_here(view: View, service: ServiceView) -> bool:
    return service.record is not None and service.record.previous == view.site


def _run_failed(service: ServiceView) -> bool:
    """The run that holds the service has failed; one that ended before the service was given up says nothing
    about whoever is to take it now."""
    return service.moving and service.run_failed


def _take_back(view: View, service: ServiceView) -> bool:
    if not _given_up_here(view, service):
        return False
    if _run_failed(service) or view.peer_lease_over:  # a lost site does not come for it
        return True
    return service.nobody_for_seconds > CLAIM_BACK_AFTER_SECONDS


def _opened_without_right(view: View, service: ServiceView) -> bool:
    """P6, P7: it accepts writes, and is another's, or ours only while our lease lasts. What we cannot read
    now was no more ours when it could be read: a site without a lease acquires nothing."""
    record = service.record
    if record is None or service.run_here or service.writable_at(view.site) is not True:
        return False
    return record.primary != view.site or record.mode is Mode.AUTOMATIC


def _writable_only_here(view: View, service: ServiceView) -> bool:
    return service.writable_at(view.site) is True and service.writable_at(view.peer) is False


def _most_complete_here(view: View, service: ServiceView) -> bool:
    here, there = service.samples.get(view.site), service.samples.get(view.peer)
    if here is None or there is None or here.role is not Role.STANDBY or there.role is not Role.STANDBY:
        return False
    return there.position is not None and reached(here.position, there.position) is True


def _only_the_other_is_writable(view: View, service: ServiceView) -> bool:
    return service.writable_at(view.peer) is True and service.writable_at(view.site) is not True


def _within_hold_down(view: View, service: ServiceView) -> bool:
    silent = view.peer_silent_seconds
    return silent is None or silent <= service.service.hold_down_seconds


def _standby_missing(view: View, service: ServiceView) -> bool:
    standby = service.samples.get(view.peer)
    return standby is None or standby.role is not Role.STANDBY


def _devices_help(view: View, service: ServiceView) -> bool:
    """Its own host was asked first, over SSH. Hold is no lease: what is known then may be of any age."""
    power = service.power
    usable = power.equipped and not power.takes_along and power.device in (Device.IDLE, Device.AT_WORK)
    return usable and service.fence_confirmed is False and view.lease_left_ns > 0


ALWAYS = When("", lambda v, s: True)

# --- what is allowed -----------------------------------------------------------------------------------

FOLLOWED = When(
    "something else moves the service (`failover: followed`), whatever is the matter with it",
    lambda v, s: s.service.failover is FailoverPolicy.FOLLOWED and s.record is not None,
)
MANUAL = When("the service is manual", lambda v, s: s.record is not None and s.record.mode is Mode.MANUAL)
PAUSED = When("automatic moves of it are paused", lambda v, s: s.pause_left_seconds is not None)
# An automatic move outside the lab needs the guard: a stalled controller is not fenced without it.
UNGUARDED = When("no guard is there, and this is no lab", lambda v, s: not s.guarded and not v.lab)
CLOCKS_APART = When(
    "two clocks run further apart than `clock_drift`, by anybody's word (sites, guards, the witness)",
    lambda v, s: bool(v.clocks_beyond),
)
FLAPPING = When(
    "it moved by itself a short while ago, unseen by anybody", lambda v, s: bool(s.flap_left_seconds)
)

# --- runs ----------------------------------------------------------------------------------------------

RUNNING_HERE = When("a run is under way here", lambda v, s: bool(s.run_here))
OUR_RUN_WAITS = When(
    "a run here is to bring it here, and waits for a person",
    lambda v, s: s.run_waits and _target_is(v.site, s),
)
RUN_WAITS_AND_ITS_SITE_IS_THERE = When(
    "its run waits for a person, and the site that carries it out is not lost",
    lambda v, s: s.run_waits and (_target_is(v.site, s) or not v.peer_lease_over),
)
IN_DOUBT = When("its run stands still because the end of a step is not known", lambda v, s: s.run_in_doubt)
BROUGHT_HERE = When(
    "its run is to bring it here, and has not failed",
    lambda v, s: _target_is(v.site, s) and not _run_failed(s),
)
FAILED_AND_PEER_THERE = When(
    "its run was to bring it here and has failed, and the other site's lease is not over",
    lambda v, s: _target_is(v.site, s) and _run_failed(s) and not v.peer_lease_over,
)
RUN_IS_FOR_US = When("its run is for this site to carry out", lambda v, s: _target_is(v.site, s))
EXECUTOR_LOST = When(
    "it is ours, and the site that was to carry the run out is lost: its lease is over",
    lambda v, s: _ours(v, s) and _target_is(v.peer, s) and v.peer_lease_over,
)
BEING_GIVEN_UP = When(
    "it is being closed or given up here", lambda v, s: s.held is not None and s.held.giving_up
)

OPENING_FAILS = When(
    "it could not be opened here three times within five minutes, and no run is under way",
    lambda v, s: s.open_failures >= OPEN_TRIES and not s.run_here and _ours(v, s),
)

OPENING_FAILS_UNDER_GLASS = When(
    "it could not be opened here three times within five minutes", lambda v, s: s.open_failures >= OPEN_TRIES
)
NOT_WRITABLE_HERE = When(
    "its instance here does not accept writes", lambda v, s: s.writable_at(v.site) is not True
)

# --- whose it is ---------------------------------------------------------------------------------------

NOT_HOME = When("its home is the other site", lambda v, s: s.service.home != v.site)
WRITABLE_ONLY_HERE = When(
    "its instance here accepts writes, and the other answers and does not", _writable_only_here
)
MOST_COMPLETE_HERE = When(
    "both instances are closed standbys of one history, and the one here has all that the other has",
    _most_complete_here,
)
OPENED_WITHOUT_RIGHT = When(
    "its instance here accepts writes, and it is another's, or is automatic", _opened_without_right
)
GIVEN_UP_HERE = When("this site gave it up", _given_up_here)
TAKE_BACK = When(
    "this site gave it up, and its run has failed, the other site is lost (its lease is over), or nobody "
    f"came for {CLAIM_BACK_AFTER_SECONDS:.0f} s",
    _take_back,
)
TAKE_BACK_BESIDE_WRITABLE = When(
    "this site would take it back, and the instance at the other site accepts writes",
    lambda v, s: _take_back(v, s) and s.writable_at(v.peer) is True,
)
NOT_THE_HOLDER = When(
    "the other site owns it", lambda v, s: s.record is not None and s.record.primary != v.site
)
DEVICES_HELP = When(
    "every host of it there has a device that this site uses, no other service that may rightly be served "
    "there goes off with them, the devices have not failed lately, its own host could not be made to cut it "
    "off over SSH, and this site has its own lease",
    _devices_help,
)
HOLD_DOWN = When("the site has been silent for no longer than the service's `hold_down`", _within_hold_down)

# --- the instances -------------------------------------------------------------------------------------

OTHER_IS_WRITABLE = When(
    "the instance at the other site accepts writes, and the one here does not", _only_the_other_is_writable
)
RESTARTS_LEFT = When(
    "a restart in place is left (`local_restarts`, counted over an hour)", lambda v, s: s.restarts_left > 0
)
STANDBY_MISSING = When("the instance at the other site does not answer as a standby", _standby_missing)
NOBODY_ELSE = When(
    "the instance at the other site does not answer as a standby, and opening it here has not failed three "
    "times within five minutes",
    lambda v, s: _standby_missing(v, s) and s.open_failures < OPEN_TRIES,
)
# Busy machines may let a few tries run out of time at two places at once.
CUT_OFF_LATELY = When(
    "its clients have been cut off for no longer than the service's `hold_down`, or than "
    f"{CUT_OFF_AT_LEAST_SECONDS:.0f} s",
    lambda v, s: s.cut_off_for_seconds <= max(s.service.hold_down_seconds, CUT_OFF_AT_LEAST_SECONDS),
)
HANDED_OVER_LATELY = When(
    "this site has tried to hand it over within the last ten minutes, and still has it",
    lambda v, s: s.handed_over_lately,
)
PRIMARY_SILENT = When(
    "the primary does not answer as one", lambda v, s: s.role_at(v.peer) is not Role.PRIMARY
)
REJOIN_LATER = When("the last try has failed and the next is not due", lambda v, s: s.rejoin_wait_seconds > 0)
