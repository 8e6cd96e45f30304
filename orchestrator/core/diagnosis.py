"""Name what is the matter with a service. An ordered table: the first row that fits gives the name.

Naming is apart from acting: people see the name even where policy forbids acting.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from orchestrator.core.clients import ENOUGH_OBSERVERS, cut_off_by
from orchestrator.core.view import ServiceView, View
from sites.replication.words import Role, Sample

STANDBY_PATIENCE_SECONDS = 3.0


class Diagnosis(StrEnum):
    """The names."""

    WATCH_ONLY = "watch-only"
    UNKNOWN = "unknown"
    ISOLATED = "isolated"
    BREAK_GLASS = "break-glass"
    WORD_MISSING = "peer-word-missing"
    UNCLAIMED = "unclaimed"
    WRITABLE_WITHOUT_RIGHT = "writable-without-right"
    HANDED_OVER = "handed-over"
    SITE_DARK = "site-dark"
    MOVING = "moving"
    CUT_OFF_BY_US = "cut-off-by-us"
    PRIMARY_DEAD = "primary-dead"
    PRIMARY_CLOSED = "primary-closed"
    PRIMARY_UNKNOWN = "primary-unknown"
    PEER_SILENT = "peer-silent"
    NOT_A_STANDBY = "not-a-standby"
    LINK_DOWN = "link-down"
    CUT_OFF_FROM_CLIENTS = "cut-off-from-clients"
    UNPROTECTED = "unprotected"
    LAGGING = "lagging"
    HEALTHY = "healthy"


@dataclass(frozen=True, slots=True)
class Row:
    """One row: the first whose `fits` is true names it. `why` is what log, console and docs show."""

    diagnosis: Diagnosis
    fits: Callable[[View, ServiceView], bool]
    why: str


def _ours(view: View, service: ServiceView) -> bool:
    return service.record is not None and service.record.primary == view.site


def _peers(view: View, service: ServiceView) -> bool:
    return service.record is not None and service.record.primary == view.peer


def _standby_site(view: View, service: ServiceView) -> str:
    return view.peer if _ours(view, service) else view.site


def _primary_site(view: View, service: ServiceView) -> str:
    return view.site if _ours(view, service) else view.peer


def _standby_streams(view: View, service: ServiceView) -> bool:
    sample = service.samples.get(_standby_site(view, service))
    return sample is not None and follows(sample, service.final_primary_history)


def follows(sample: Sample, history: str) -> bool:
    """The instance is a standby that receives what the primary of this history writes. One that has gone past
    the point where that history began connects too, again and again, and never gets on."""
    same = sample.position is None or not history or sample.position.history == history
    return sample.role is Role.STANDBY and bool(sample.streaming) and same


def _not_a_standby(view: View, service: ServiceView) -> bool:
    sample = service.samples.get(view.site)
    if sample is None or sample.role is Role.UNKNOWN:
        return False
    if follows(sample, service.final_primary_history):
        return False
    return service.not_a_standby_for_seconds >= STANDBY_PATIENCE_SECONDS


def _without_right(view: View, service: ServiceView) -> bool:
    """After a give-up only what was seen since counts: until then it was rightly writable here."""
    if service.writable_at(view.site) is not True or _ours(view, service) or service.run_here:
        return False
    if service.record is not None and service.record.primary is None:
        seen_seconds = (view.now_ns - service.samples[view.site].taken_at_ns) / 1e9
        return seen_seconds <= service.nobody_for_seconds
    return True


def _link_down(view: View, service: ServiceView) -> bool:
    """The other site gives signs of life, and neither it nor its instance answers us."""
    unseen = service.role_at(view.peer) is Role.UNKNOWN
    return unseen and view.peer_reached is False and not view.peer_is_silent


def _cut_off_from_clients(view: View, service: ServiceView) -> bool:
    """Its instance finds itself well, and enough observers outside its site find no way to it."""
    site = _primary_site(view, service)
    owned = _ours(view, service) or _peers(view, service)
    well = service.writable_at(site) is True
    return owned and well and len(cut_off_by(service.client_probes, site)) >= ENOUGH_OBSERVERS


def _lagging(view: View, service: ServiceView) -> bool:
    return service.lag_seconds is None or service.lag_seconds > service.service.objectives.rpo_seconds


def _held_by_run(view: View, service: ServiceView) -> bool:
    """A planned move away from here that waits for a person leaves the service open here for as long as that
    takes, and it is looked after like any other meanwhile. One that opens here may wait before it opens."""
    record = service.record
    waits = service.run_waits and not view.peer_lease_over and _ours(view, service)
    return service.moving and not (waits and record is not None and record.target != view.site)


TABLE: tuple[Row, ...] = (
    Row(
        Diagnosis.WATCH_ONLY,
        lambda v, s: s.service.watch_only,
        "there is no driver for it: it is only watched",
    ),
    Row(
        Diagnosis.BREAK_GLASS,
        lambda v, s: s.held is not None and bool(s.held.under_glass),
        "it is served here under an operator's certificate, outside the store",
    ),
    Row(
        Diagnosis.WORD_MISSING,
        # Somebody may have opened it since: then it is named by that.
        lambda v, s: v.word_needed and s.writable_at(v.site) is not True,
        "this site's lease was broken, and the other site has not said that no glass was broken there",
    ),
    Row(
        Diagnosis.UNKNOWN,
        lambda v, s: v.keeper is None or s.held is None or not s.held.known,
        "who owns it is not known here: the keeper has not registered with the store yet",
    ),
    Row(
        Diagnosis.ISOLATED,
        lambda v, s: not v.right_lasts or v.word_needed,
        "this site cannot renew its lease: the store and the other site are out of reach",
    ),
    Row(Diagnosis.UNCLAIMED, lambda v, s: s.record is None, "no site has ever been primary for it"),
    Row(
        Diagnosis.WRITABLE_WITHOUT_RIGHT,
        _without_right,
        "the instance here accepts writes although another site, or nobody, owns it",
    ),
    Row(
        Diagnosis.HANDED_OVER,
        lambda v, s: s.record is not None and s.record.primary is None,
        "it was given up and nobody has claimed it yet",
    ),
    Row(
        Diagnosis.SITE_DARK,
        lambda v, s: _peers(v, s) and v.peer_lease_over,
        "site down: it is silent, and its lease is over",
    ),
    Row(Diagnosis.MOVING, _held_by_run, "a run is moving it"),
    Row(
        Diagnosis.CUT_OFF_BY_US,
        # Even if somebody has opened it since: the keeper must be told, or would not cut it off again (P7).
        lambda v, s: _ours(v, s) and s.held is not None and s.held.shut,
        "it was cut off here when the lease was about to end, and the right to it is back",
    ),
    Row(
        Diagnosis.PRIMARY_DEAD,
        lambda v, s: _ours(v, s) and (bool(s.dead_here) or s.role_at(v.site) is Role.DOWN),
        "its database here is positively not running",
    ),
    Row(
        Diagnosis.PRIMARY_CLOSED,
        lambda v, s: _ours(v, s) and s.role_at(v.site) is Role.STANDBY,
        "its database here came up as a standby although this site owns it",
    ),
    Row(
        Diagnosis.PRIMARY_UNKNOWN,
        lambda v, s: _ours(v, s) and s.role_at(v.site) is Role.UNKNOWN,
        "its database here does not answer, which proves nothing",
    ),
    Row(
        Diagnosis.PEER_SILENT,
        lambda v, s: _peers(v, s) and v.peer_is_silent,
        "its site has been silent, and its lease is not over yet",
    ),
    Row(
        Diagnosis.PRIMARY_DEAD,
        lambda v, s: _peers(v, s) and s.role_at(v.peer) is Role.DOWN,
        "its database at the other site is not running; the controller there decides",
    ),
    Row(
        Diagnosis.PRIMARY_CLOSED,
        lambda v, s: _peers(v, s) and s.role_at(v.peer) is Role.STANDBY,
        "its database at the other site came up as a standby although that site owns it",
    ),
    Row(
        Diagnosis.LINK_DOWN,
        _link_down,
        "the other site renews its lease, but cannot be reached from here: the link is down, the site is not",
    ),
    Row(
        Diagnosis.NOT_A_STANDBY,
        lambda v, s: _peers(v, s) and _not_a_standby(v, s),
        "the instance here should be a standby of the other site, and is not",
    ),
    Row(
        Diagnosis.CUT_OFF_FROM_CLIENTS,
        _cut_off_from_clients,
        "its database finds itself well, but no client's way leads to it: the other site and the witness say "
        "so",
    ),
    Row(
        Diagnosis.UNPROTECTED,
        lambda v, s: not _standby_streams(v, s),
        "it has no standby that receives what is written",
    ),
    Row(
        Diagnosis.LAGGING,
        _lagging,
        "its standby is further behind than the recovery point objective, or unknown",
    ),
    Row(Diagnosis.HEALTHY, lambda v, s: True, "primary and standby are as they should be"),
)


def diagnose(view: View, service: ServiceView) -> Row:
    """The first row that fits."""
    return next(row for row in TABLE if row.fits(view, service))
