"""Since when nothing could stand in for a service. Pure: from what was known before, what is seen now, and
what stands in the store of the move that made the present primary.

Instants are Unix time, because they are for people and outlive every clock of a machine; nothing is decided
by them. A controller that starts takes up what it had on file, so a restart begins nothing anew.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from orchestrator.core.diagnosis import Diagnosis
from orchestrator.core.records import RunRecord, ServiceRecord

FAILOVER, REJOIN = "failover", "rejoin"
RECEIVES = frozenset({Diagnosis.HEALTHY, Diagnosis.LAGGING})
STEADY_SECONDS = 10.0
NEVER = -1
"""The epoch of a service of which no owner has been known yet."""


@dataclass(frozen=True, slots=True)
class Protection:
    """What is known of a service at `epoch`: None, while a standby could take it over, or since when not.
    `in_sync_since_unix_seconds`: one is in sync again since then, and has yet to stay so."""

    epoch: int = NEVER
    since_unix_seconds: float | None = None
    in_sync_since_unix_seconds: float | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One look at a service. `epoch` is None while its owner is not known; `failed_over_unix_seconds`: when
    the unplanned move began that made the present primary, None where it came by none; `was_back`: a standby
    has come back since that move, as far as the store's records tell; `other_site_silent`: the other site's
    controller gives no sign of life."""

    diagnosis: Diagnosis
    epoch: int | None
    now_unix_seconds: float
    failed_over_unix_seconds: float | None = None
    was_back: bool = False
    other_site_silent: bool = False


def protection(before: Protection | None, look: Look) -> Protection:
    """What is known after this look. `before` is None where nothing was on file.

    It ends only when a standby is in sync at a site whose controller lives, and stays so for as long as it
    was not, at most `STEADY_SECONDS`: a site that comes back is in sync for a moment, and then its rejoin
    begins. One that is behind keeps things
    as they are: it ends nothing, because what it lacks would be lost, and it begins nothing, which is the
    lag's own alarm. So does one whose controller is silent: databases boot first, receive for a moment and
    are shut by their guard until their controller brings them back; and one that restarts is no loss.
    """
    epoch = look.epoch if look.epoch is not None else (before.epoch if before is not None else NEVER)
    if look.diagnosis is Diagnosis.HEALTHY and not look.other_site_silent:
        return _in_sync(before, epoch, look.now_unix_seconds)
    failed_over = _new_failover(before, look)
    since = before.since_unix_seconds if before is not None else None
    if look.diagnosis in RECEIVES and since is None and failed_over is None:
        return Protection(epoch)
    # At the latest from the failover; earlier where the pair was broken before it.
    known = [one for one in (since, failed_over) if one is not None]
    return Protection(epoch, min([*known, look.now_unix_seconds]))


def _in_sync(before: Protection | None, epoch: int, now: float) -> Protection:
    if before is None or before.since_unix_seconds is None:
        return Protection(epoch)
    since, again = before.since_unix_seconds, before.in_sync_since_unix_seconds
    again = now if again is None else again
    if now - again >= min(STEADY_SECONDS, again - since):
        return Protection(epoch)
    return Protection(epoch, since, again)


def _new_failover(before: Protection | None, look: Look) -> float | None:
    """When the unplanned move began that nobody here has reckoned with yet."""
    if look.epoch is None:
        return None
    if unheard_of(before):
        return None if look.was_back else look.failed_over_unix_seconds
    return look.failed_over_unix_seconds if before is not None and look.epoch > before.epoch else None


def unheard_of(before: Protection | None) -> bool:
    """Nothing was on file of the service: the store's records are all there is."""
    return before is None or before.epoch == NEVER


def failed_over_unix_seconds(record: ServiceRecord, runs: Mapping[str, RunRecord]) -> float | None:
    """When the unplanned move began that made the present primary; None: it came by none that is known.
    `runs`: the records that are known, by run."""
    if record.last_move is not None and record.last_move.run == record.run:
        return record.last_move.at_unix_seconds
    run = runs.get(record.run)
    if run is None or run.kind != FAILOVER or run.to_site != record.primary:
        return None
    return run.started_unix_seconds or None


def rejoins_of(service: str, record: ServiceRecord, runs: Mapping[str, RunRecord]) -> list[RunRecord]:
    """The rejoins to the present primary at the present epoch, oldest first."""
    found = [
        run
        for run in runs.values()
        if (run.kind, run.service, run.to_site) == (REJOIN, service, record.primary)
        and run.plan.get("epoch") == record.epoch
    ]
    return sorted(found, key=lambda run: run.started_unix_seconds)


def was_back(service: str, record: ServiceRecord, runs: Mapping[str, RunRecord]) -> bool:
    """A standby has come back since the present primary became that."""
    return any(run.state == "done" for run in rejoins_of(service, record, runs))
