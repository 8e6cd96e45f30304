"""The one table of all metrics: name, type, labels, help, and where in the readings the values are.

The names are fixed: dashboards and alerts of others hold on to them. What is not known yields None, never
a zero, while the age that belongs to it goes on growing. The reference page is made from this table;
`orchestrator.metrics` renders it.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from orchestrator.readings import Durations, Readings
from probes.model import Verdict
from sites.replication.words import Role

_ROLE_NUMBERS = {Role.PRIMARY: 1, Role.STANDBY: 0, Role.DOWN: -1, Role.UNKNOWN: None}
_VERDICT_NUMBERS = {Verdict.UP: 1, Verdict.DOWN: 0, Verdict.UNKNOWN: None}


class Kind(StrEnum):
    """What Prometheus calls the type."""

    GAUGE = "gauge"
    COUNTER = "counter"
    SUMMARY = "summary"


Value = float | bool | Durations | None
Series = Iterable[tuple[tuple[str, ...], Value]]
Read = Callable[[Readings, int], Series]


@dataclass(frozen=True, slots=True)
class MetricRow:
    """One metric. `labels` come before `observer`, which every series carries; `read` yields the labels'
    values and the value (None: unknown, no series) at the instant of the scrape."""

    name: str
    kind: Kind
    text: str
    labels: tuple[str, ...]
    read: Read


@dataclass(frozen=True, slots=True)
class MetricGroup:
    """Metrics that belong together, under a heading of the reference page."""

    title: str
    rows: tuple[MetricRow, ...]


def _age_seconds(at_ns: int, now_ns: int) -> float:
    return max(0, now_ns - at_ns) / 1e9


def _left_seconds(until_ns: int | None, now_ns: int) -> float | None:
    return None if until_ns is None else max(0, until_ns - now_ns) / 1e9


def _gauge(name: str, labels: str, read: Read, text: str) -> MetricRow:
    return MetricRow(f"twinsite_{name}", Kind.GAUGE, text, tuple(labels.split()), read)


def _counter(name: str, labels: str, read: Read, text: str) -> MetricRow:
    return MetricRow(f"twinsite_{name}", Kind.COUNTER, text, tuple(labels.split()), read)


def _summary(name: str, labels: str, read: Read, text: str) -> MetricRow:
    return MetricRow(f"twinsite_{name}", Kind.SUMMARY, text, tuple(labels.split()), read)


_REPLICATION = MetricGroup(
    "Replication",
    (
        _gauge(
            "replication_lag_seconds",
            "service from_site to_site",
            lambda r, _: (((x.service, x.from_site, x.to_site), x.seconds) for x in r.lags),
            "Age of the oldest change that the receiving site has not replayed yet.",
        ),
        _gauge(
            "replication_lag_bytes",
            "service from_site to_site",
            lambda r, _: (((x.service, x.from_site, x.to_site), x.bytes) for x in r.lags),
            "Changes that the receiving site has not replayed yet, where the product counts in bytes.",
        ),
        _gauge(
            "replication_sample_age_seconds",
            "service from_site to_site",
            lambda r, now: (
                ((x.service, x.from_site, x.to_site), _age_seconds(x.sampled_at_ns, now)) for x in r.lags
            ),
            "Age of the last sample of the lag; goes on growing while the lag itself is not known.",
        ),
        _gauge(
            "objective_rpo_seconds",
            "service",
            lambda r, _: (((x.service,), x.rpo_seconds) for x in r.services),
            "Recovery point objective: how much may be lost.",
        ),
        _gauge(
            "objective_rto_seconds",
            "service",
            lambda r, _: (((x.service,), x.rto_seconds) for x in r.services),
            "Recovery time objective: how long the service may be down.",
        ),
        _gauge(
            "protected",
            "service",
            lambda r, _: (((x.service,), x.protected) for x in r.services),
            "1 if the other site could take the service over now, 0 if not.",
        ),
        _gauge(
            "run_waiting",
            "service",
            lambda r, _: (((x.service,), x.run_waits) for x in r.services),
            "1 while a run of the service waits for a person, 0 if not.",
        ),
        _gauge(
            "unprotected_since_timestamp_seconds",
            "service",
            lambda r, _: (((x.service,), x.unprotected_since_unix_seconds) for x in r.services),
            "Unix time since when no standby is in sync, at the latest the failover's; absent while one is.",
        ),
    ),
)

_OWNERSHIP = MetricGroup(
    "Who is primary",
    (
        _gauge(
            "service_info",
            "service home standby failover",
            lambda r, _: (((x.service, *x.sites, x.failover), 1) for x in r.services),
            "Always 1; the labels tell where the service belongs and who may move it when a site is lost.",
        ),
        _gauge(
            "site_info",
            "site kind",
            lambda r, _: (((x.site, "witness" if x.witness else "data"), 1) for x in r.sites),
            "Always 1; `kind` is `data` for a site that has a controller and services, or `witness`.",
        ),
        _gauge(
            "role",
            "service site",
            lambda r, _: (((x.service, x.site), _ROLE_NUMBERS[x.role]) for x in r.instances),
            "What the instance says that it is: 1 primary, 0 standby, -1 positively not running.",
        ),
        _gauge(
            "writable",
            "service site",
            lambda r, _: (((x.service, x.site), x.writable) for x in r.instances),
            "1 if the instance accepts client writes by its own word, 0 if not.",
        ),
        _gauge(
            "instance_sample_age_seconds",
            "service site",
            lambda r, now: (((x.service, x.site), _age_seconds(x.sampled_at_ns, now)) for x in r.instances),
            "Age of the instance's last answer; goes on growing while its role is not known.",
        ),
        _gauge(
            "owner",
            "service site",
            lambda r, _: (
                ((x.service, site), site == x.primary)
                for x in r.services
                if x.owner_known
                for site in x.sites
            ),
            "1 if the store names this site as primary for the service, 0 if it does not.",
        ),
        _gauge(
            "epoch",
            "service site",
            lambda r, _: (
                ((x.service, x.primary), x.epoch) for x in r.services if x.owner_known and x.primary
            ),
            "Fencing number of the service, at the site that is primary; grows by one at each change.",
        ),
        _gauge(
            "lease_remaining_seconds",
            "site",
            lambda r, now: (((x.site,), _left_seconds(x.lease_until_ns, now)) for x in r.sites),
            "How long the site's right to act still lasts as far as is known here; 0 when it has run out.",
        ),
        _gauge(
            "lease_remaining_lowest_seconds",
            "site",
            lambda r, _: (((x.site,), x.lease_lowest_seconds) for x in r.sites),
            "The least that was left of this site's own lease in the last minute; near the lease's length "
            "while renewals are in time.",
        ),
        _gauge(
            "lease_duration_seconds",
            "",
            lambda r, _: (((), r.lease_duration_seconds),),
            "How long one renewal entitles a site (`ownership.lease_duration`).",
        ),
        _gauge(
            "hold",
            "site",
            lambda r, _: (((x.site,), x.hold) for x in r.sites),
            "1 while the site holds: it may serve without any contact, and is not taken over by itself.",
        ),
        _gauge(
            "promise_remaining_seconds",
            "site",
            lambda r, now: (((x.site,), _left_seconds(x.promised_until_ns, now)) for x in r.sites),
            "How long the observer's site has still promised not to take over from this one; 0 without a "
            "promise.",
        ),
        _gauge(
            "peer_word_missing",
            "site",
            lambda r, _: (((x.site,), x.word_missing) for x in r.sites),
            "1 while the site opens nothing: its lease was broken, and the other one has not said since that "
            "no glass was broken there.",
        ),
        _gauge(
            "break_glass",
            "service site",
            lambda r, _: (((x.service, x.glass_site), x.under_glass) for x in r.services if x.glass_site),
            "1 while the service is served at the site by an operator's certificate, outside the store.",
        ),
        _gauge(
            "diagnosis",
            "service diagnosis",
            lambda r, _: (((x.service, x.diagnosis), 1) for x in r.services if x.diagnosis is not None),
            "1 for what the service's situation is called now; the other names are absent.",
        ),
        _gauge(
            "maintenance",
            "site",
            lambda r, _: (((x.site,), x.maintenance) for x in r.sites),
            "1 while automatic moves of every service that is primary at the site are paused, as "
            "`pause --site` does, 0 while they are not; absent where none is primary, or it is not known.",
        ),
        _gauge(
            "paused",
            "service",
            lambda r, _: (((x.service,), x.paused) for x in r.services),
            "1 while automatic moves of the service are paused, 0 while they are not.",
        ),
        _gauge(
            "pause_remaining_seconds",
            "service",
            lambda r, now: (
                ((x.service,), _left_seconds(x.pause_until_ns, now) if x.paused else 0.0)
                for x in r.services
                if x.paused is not None
            ),
            "How long automatic moves of the service are still paused; 0 while they are not.",
        ),
        _gauge(
            "pause_ends_timestamp_seconds",
            "service",
            lambda r, _: (((x.service,), x.pause_ends_unix_seconds) for x in r.services),
            "Unix time at which the service's pause ends by itself; absent while it is not paused.",
        ),
    ),
)

_SEEING = MetricGroup(
    "Probes and reachability",
    (
        _gauge(
            "probe_up",
            "service site probe kind",
            lambda r, _: (
                ((x.service, x.site, x.probe, x.kind), _VERDICT_NUMBERS[x.verdict]) for x in r.probes
            ),
            "The probe's verdict over its last results: 1 up, 0 down.",
        ),
        _gauge(
            "probe_duration_seconds",
            "service site probe kind",
            lambda r, _: (((x.service, x.site, x.probe, x.kind), x.duration_seconds) for x in r.probes),
            "How long the probe's last try took.",
        ),
        _gauge(
            "probe_age_seconds",
            "service site probe kind",
            lambda r, now: (
                ((x.service, x.site, x.probe, x.kind), _age_seconds(x.at_ns, now)) for x in r.probes
            ),
            "Age of the probe's last result; goes on growing while there is no new one.",
        ),
        _gauge(
            "reachable",
            "from_site to_site",
            lambda r, _: (((x.from_site, x.to_site), x.reached) for x in r.reaches if not x.member),
            "1 if `from_site` says that it reaches `to_site`, 0 if it says that it does not.",
        ),
        _gauge(
            "reachable_age_seconds",
            "from_site to_site",
            lambda r, now: (
                ((x.from_site, x.to_site), _age_seconds(x.at_ns, now))
                for x in r.reaches
                if not x.member and x.at_ns is not None
            ),
            "Age of what `from_site` last said about reaching `to_site`.",
        ),
        _gauge(
            "store_member_reachable",
            "from_site member",
            lambda r, _: (((x.from_site, x.to_site), x.reached) for x in r.reaches if x.member),
            "1 if `from_site` says that it reaches the store's member, 0 if it says that it does not. "
            "`member` is the site where it stands, as far as the estate says, or its address.",
        ),
        _gauge(
            "reach_finding",
            "finding about",
            lambda r, _: (((x.finding, x.about), 1) for x in r.findings),
            "1 for what the observers' words together mean (`link down`, `site down`, `one way only` and so "
            "on), and for which sites; absent when nothing is the matter between them.",
        ),
        _gauge(
            "observers_disagree",
            "service site",
            lambda r, _: (((x.service, x.site), x.disagree) for x in r.disagreements),
            "1 if observers who looked lately see different things, 0 if they agree: of the service's "
            "instance at the site or, with an empty `service`, of whether the site is reached.",
        ),
    ),
)

_ACTING = MetricGroup(
    "Decisions, runs and drills",
    (
        _counter(
            "decisions_total",
            "service decision code",
            lambda r, _: ((key.labels, count) for key, count in r.counts.decisions.items()),
            "Decisions taken, the ones not to act included, by the reason's code.",
        ),
        _counter(
            "refusals_total",
            "service code",
            lambda r, _: ((key.labels, count) for key, count in r.counts.refusals.items()),
            "Moves refused, by the reason's code.",
        ),
        _summary(
            "run_duration_seconds",
            "service kind outcome",
            lambda r, _: ((key.labels, durations) for key, durations in r.counts.runs.items()),
            "Runs that ended: how many, and how long they took together.",
        ),
        _summary(
            "step_duration_seconds",
            "service step outcome",
            lambda r, _: ((key.labels, durations) for key, durations in r.counts.steps.items()),
            "Steps of runs that ended: how many, and how long they took together.",
        ),
        _gauge(
            "run_active",
            "service kind",
            lambda r, _: (((x.service, x.kind), 1) for x in r.runs),
            "1 for the service's newest run while it is not over; an empty `service` is a whole site's run.",
        ),
        _gauge(
            "run_started_timestamp_seconds",
            "service kind",
            lambda r, _: (((x.service, x.kind), x.started_unix_seconds) for x in r.runs),
            "Unix time at which the run that is not over was started.",
        ),
        _gauge(
            "run_change_age_seconds",
            "service kind",
            lambda r, now: (((x.service, x.kind), _age_seconds(x.changed_at_ns, now)) for x in r.runs),
            "Time since anything of the run that is not over was last seen to change here.",
        ),
        _gauge(
            "run_steps",
            "service kind state",
            lambda r, _: (
                ((x.service, x.kind, state), count) for x in r.runs for state, count in x.steps.items()
            ),
            "How many steps of the run that is not over are in which state.",
        ),
        _gauge(
            "run_projected_finish_timestamp_seconds",
            "service kind",
            lambda r, _: (((x.service, x.kind), x.finish_unix_seconds) for x in r.runs),
            "Unix time at which the run ends, if its steps take as long as half of the time before; absent "
            "where a step that is left was never timed.",
        ),
        _gauge(
            "run_projected_finish_cautious_timestamp_seconds",
            "service kind",
            lambda r, _: (((x.service, x.kind), x.cautious_unix_seconds) for x in r.runs),
            "The same, if they take as long as three times out of four.",
        ),
        _gauge(
            "run_rto_used_seconds",
            "service kind",
            lambda r, _: (((x.service, x.kind), x.used_seconds) for x in r.runs),
            "How much of the RTO the move under way has used, from detection on; absent of what is no move.",
        ),
        _gauge(
            "run_projected_within_rto",
            "service kind",
            lambda r, _: (((x.service, x.kind), x.within_rto) for x in r.runs),
            "1 if the move under way is expected to end within the RTO three times out of four, 0 if not; "
            "absent where that is not known.",
        ),
        _gauge(
            "run_stalled",
            "service kind",
            lambda r, _: (((x.service, x.kind), x.stalled) for x in r.runs),
            "1 while a step of the run takes more than twice as long as three times out of four before (and "
            "more than a second), 0 if not.",
        ),
        _gauge(
            "last_move_timestamp_seconds",
            "service",
            lambda r, _: (((x.service,), x.last_move.ended_unix_seconds) for x in r.services if x.last_move),
            "Unix time at which the service's last completed move ended; absent while none is known.",
        ),
        _gauge(
            "last_move_outage_seconds",
            "service",
            lambda r, _: (((x.service,), x.last_move.outage_seconds) for x in r.services if x.last_move),
            "At the service's last completed move: from when this controller last saw the old primary accept "
            "writes until it first saw the new one do; absent where it did not see both.",
        ),
        _gauge(
            "last_move_data_loss_bound_seconds",
            "service",
            lambda r, _: (((x.service,), x.last_move.loss_bound_seconds) for x in r.services if x.last_move),
            "At the service's last completed move: how much was lost at the most, by what was stated of it; "
            "absent where no bound was known.",
        ),
        _gauge(
            "last_move_stage_seconds",
            "service stage",
            lambda r, _: (
                ((x.service, stage), seconds)
                for x in r.services
                if x.last_move
                for stage, seconds in x.last_move.stages.items()
            ),
            "At the service's last completed move, how long each stretch took: `detect` (from when it was "
            "last seen well until its trouble had a name), `decide`, `execute`, `verify`; absent where "
            "nobody saw it.",
        ),
        _gauge(
            "last_move_rto_used_seconds",
            "service",
            lambda r, _: (((x.service,), x.last_move.used_seconds) for x in r.services if x.last_move),
            "At the service's last completed move: from detection (of a planned one: from the order) until "
            "it was verified; what is held against the RTO.",
        ),
        _gauge(
            "last_move_lost_seconds",
            "service",
            lambda r, _: (((x.service,), x.last_move.lost_seconds) for x in r.services if x.last_move),
            "What the service's last completed move lost in fact, from the first lost transaction to the "
            "last; absent while that is not known, and where the product does not tell.",
        ),
        _gauge(
            "last_move_lost_bytes",
            "service",
            lambda r, _: (((x.service,), x.last_move.lost_bytes) for x in r.services if x.last_move),
            "The same in bytes of history that only the old primary had.",
        ),
        _gauge(
            "drill_last_success_timestamp_seconds",
            "service",
            lambda r, _: (((x.service,), x.drill_last_success_unix_seconds) for x in r.services),
            "Unix time of the service's last successful drill, tabletops apart; absent without one.",
        ),
        _gauge(
            "drill_success_timestamp_seconds",
            "service drill kind",
            lambda r, _: (((x.service, x.drill, x.kind), x.last_success_unix_seconds) for x in r.drills),
            "Unix time at which this drill last ended with success; absent while it never has.",
        ),
        _gauge(
            "drill_success_duration_seconds",
            "service drill kind",
            lambda r, _: (((x.service, x.drill, x.kind), x.last_success_seconds) for x in r.drills),
            "How long this drill took when it last ended with success.",
        ),
        _gauge(
            "drill_next_due_timestamp_seconds",
            "service drill kind",
            lambda r, _: (((x.service, x.drill, x.kind), x.next_due_unix_seconds) for x in r.drills),
            "Unix time at which this drill is due next, blackouts left out; absent where nothing is due.",
        ),
        _gauge(
            "drill_overdue",
            "service drill kind",
            lambda r, _: (((x.service, x.drill, x.kind), x.overdue) for x in r.drills),
            "1 if this drill's last success is longer ago than its `overdue_after`, 0 if not.",
        ),
        _gauge(
            "drill_running",
            "service drill kind",
            lambda r, _: (((x.service, x.drill, x.kind), x.running) for x in r.drills),
            "1 while this drill is under way, 0 if not.",
        ),
        _gauge(
            "drill_left_behind",
            "service drill kind",
            lambda r, _: (((x.service, x.drill, x.kind), x.left_behind) for x in r.drills),
            "1 while a copy that this drill made is still to be removed, 0 if not.",
        ),
        _counter(
            "drills_missed_total",
            "service drill kind",
            lambda r, _: (((x.service, x.drill, x.kind), x.missed) for x in r.drills),
            "Times at which this drill was due and nobody began it.",
        ),
        _gauge(
            "drill_of_todays_plan",
            "service",
            lambda r, _: (((x.service,), x.drill_of_todays_plan) for x in r.services),
            "1 if the last successful drill was of exactly the plan that would be carried out today, 0 if "
            "that has changed since; absent while there has been none.",
        ),
    ),
)

_PAGING = MetricGroup(
    "Telling people",
    (
        _counter(
            "notifications_total",
            "receiver outcome",
            lambda r, _: (
                ((x.receiver, outcome), count) for x in r.receivers for outcome, count in x.outcomes.items()
            ),
            "Messages by what became of them: `sent`, `given-up`, `dropped` (too many waited), `withdrawn` "
            "(the other site sent it); `failed` counts single tries. Goes on over a restart.",
        ),
        _gauge(
            "notifications_waiting",
            "receiver",
            lambda r, _: (((x.receiver,), x.waiting) for x in r.receivers),
            "Messages that have not got out to the receiver yet.",
        ),
        _gauge(
            "notification_oldest_waiting_timestamp_seconds",
            "receiver",
            lambda r, _: (((x.receiver,), x.oldest_unix_seconds) for x in r.receivers),
            "Unix time at which the oldest message that waits was written; absent while none does.",
        ),
        _gauge(
            "notification_last_sent_timestamp_seconds",
            "receiver",
            lambda r, _: (((x.receiver,), x.last_sent_unix_seconds) for x in r.receivers),
            "Unix time at which a message last got out to the receiver; absent while none has.",
        ),
        _gauge(
            "receiver_failing",
            "receiver",
            lambda r, _: (((x.receiver,), x.troubled) for x in r.receivers),
            "1 while the last try to send something to the receiver failed, 0 if it did not.",
        ),
        _gauge(
            "pages_unacknowledged",
            "severity",
            lambda r, _: (((severity,), count) for severity, count in r.unacknowledged.items()),
            "What goes on, people are told of, and nobody has acknowledged, as this controller sees it.",
        ),
    ),
)

_SELF = MetricGroup(
    "The controller itself",
    (
        _gauge(
            "store_round_trip_seconds",
            "",
            lambda r, _: (((), x.round_trip_seconds) for x in (r.store,) if x),
            "How long the store took to confirm its last answer.",
        ),
        _gauge(
            "store_answer_age_seconds",
            "",
            lambda r, now: (((), _age_seconds(x.answered_at_ns, now)) for x in (r.store,) if x),
            "Age of the store's last answer; goes on growing while it cannot be reached.",
        ),
        _gauge(
            "store_trusted",
            "",
            lambda r, _: (((), x.trusted) for x in (r.store,) if x),
            "1 while the store is the one that was known all along, 0 when it went back in time or is "
            "another one: then nothing is promoted, renewed or written until a person accepts it.",
        ),
        _gauge(
            "store_leader",
            "member",
            lambda r, _: (((x.member,), x.leads) for x in r.leaders),
            "1 for the member of the store that leads, 0 for one that follows, by its own word. `member` is "
            "the site where it stands, as far as the estate says, or its address.",
        ),
        _gauge(
            "store_size_bytes",
            "",
            lambda r, _: (((), x.size_bytes) for x in (r.store,) if x),
            "Size of the store's database.",
        ),
        _gauge(
            "store_quota_bytes",
            "",
            lambda r, _: (((), x.quota_bytes) for x in (r.store,) if x),
            "Size at which the store stops taking writes.",
        ),
        _gauge(
            "clock_divergence_seconds",
            "site",
            lambda r, _: (((x.about,), x.wall_ahead_seconds) for x in r.clocks if x.observer == r.observer),
            "How far the site's time of day is ahead of this controller's; nothing is decided by it.",
        ),
        _gauge(
            "clock_rate_divergence_ratio",
            "from_site clock",
            lambda r, _: (((x.observer, x.about), x.rate) for x in r.clocks),
            "By which part a clock gains on that of from_site, over a minute at least; beyond "
            "`ownership.clock_drift` nothing is taken over automatically.",
        ),
        _gauge(
            "event_loop_delay_seconds",
            "",
            lambda r, _: (((), r.loop_delay_seconds),),
            "Longest time in the last minute that ready work of the controller waited for its turn.",
        ),
        _gauge(
            "start_timestamp_seconds",
            "",
            lambda r, _: (((), r.started_unix_seconds),),
            "Unix time at which the controller was started.",
        ),
        _gauge(
            "turn_age_seconds",
            "",
            lambda r, now: (((), _age_seconds(r.turned_at_ns, now)),),
            "Time since the deciding loop last completed a turn; all else here is as of then.",
        ),
        _gauge(
            "certificate_expires_timestamp_seconds",
            "identity",
            lambda r, _: (((x.identity,), x.ends_unix_seconds) for x in r.certificates),
            "Unix time at which the certificate of that identity runs out: this site's own, the authority's, "
            "and those that guards and the other site's keeper showed.",
        ),
        _gauge(
            "fence_device_up",
            "site host agent",
            lambda r, _: (((x.site, x.host, x.agent), x.answers) for x in r.devices),
            "1 if the host's devices of that agent said whether it is on, when they were last asked, else 0.",
        ),
        _gauge(
            "hosts_switched_off",
            "site",
            lambda r, _: (((site,), count) for site, count in r.hosts_off.items()),
            "Hosts of that site that were switched off from here and have not answered since.",
        ),
        _counter(
            "power_cuts_total",
            "outcome",
            lambda r, _: (((outcome,), count) for outcome, count in r.power_cuts.items()),
            "Orders to fencing devices by what came of them: `verified`, or the code of why not.",
        ),
        _counter(
            "not_accepted_total",
            "code",
            lambda r, _: (((code,), count) for code, count in r.not_accepted.items()),
            "What was not accepted, by code: certificates, identities, replayed or unreadable messages of "
            "guards and the other site's keeper, what guards did not accept (`guard-…`), records that make "
            "no sense, a store that is not the one known (`store-…`), and why a keeper could not start; "
            "counted since keeper and controller started.",
        ),
        _gauge(
            "build_info",
            "version",
            lambda r, _: (((r.version,), 1),),
            "Always 1; the label tells the version.",
        ),
    ),
)

_ROOM = MetricGroup(
    "Room at the other site",
    (
        _gauge(
            "capacity_headroom_cpu_cores",
            "from_site to_site",
            lambda r, _: (((x.from_site, x.to_site), x.cpu_cores) for x in r.headrooms),
            "Processor cores that would be left at `to_site` if everything of `from_site` came there, "
            "nothing shed; below zero it does not fit. Absent where no capacity is stated.",
        ),
        _gauge(
            "capacity_headroom_memory_bytes",
            "from_site to_site",
            lambda r, _: (((x.from_site, x.to_site), x.memory_bytes) for x in r.headrooms),
            "The same of memory.",
        ),
    ),
)

GROUPS = (_REPLICATION, _OWNERSHIP, _SEEING, _ACTING, _PAGING, _ROOM, _SELF)
METRICS: tuple[MetricRow, ...] = tuple(row for group in GROUPS for row in group.rows)
