"""What the local API answers and takes: the shapes behind `--json`, one place for server, command and docs.

Unknown is None, never zero. Durations are seconds; ages are as of the answer. Times of day are ISO 8601
UTC strings, for people only.

    GET  /v1/status                    Status
    GET  /v1/explain/{service}         Explanation
    GET  /v1/runs                      RunList
    GET  /v1/runs/{run}                RunDetail
    GET  /v1/runs/{run}/follow         RunDetail per line (NDJSON), one at each change, until it has ended
    POST /v1/runs/{run}/steer          SteerRequest -> Steered       (follows it, or refuses with a code)
    POST /v1/runs/{run}/adopt          AdoptRequest -> Steered       (number 0: it is no order of the run)
    GET  /v1/runs/{run}/output         OutputLine per line (NDJSON), as the run's commands speak
    POST /v1/plan                      MoveRequest -> MovePlan        (changes nothing)
    POST /v1/moves                     MoveOrder -> MoveAccepted      (starts the run of that very plan)
    POST /v1/pause, /v1/resume, /v1/acknowledge    QuietRequest -> Acted
    POST /v1/certificates              CertifyRequest -> CertificateStatus    (drawn up; does not count yet)
    GET  /v1/certificates/{id}         CertificateStatus
    POST /v1/certificates/{id}/approve ApproveOrder -> CertificateStatus      (a second person)
    POST /v1/certificates/{id}/use     CertificateOrder -> Acted              (it counts, and is acted upon)
    POST /v1/reconcile                 ReconcileRequest -> Acted
    GET  /v1/history                   History
    GET  /v1/figures                   Figures

A refusal is status 409 with a Refusal, a wrong request 400 with a Refusal, no controller: no answer.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Shape(BaseModel):
    """A frozen JSON object."""

    model_config = ConfigDict(frozen=True, defer_build=True)  # built when it is first sent or read


class Refusal(Shape):
    """Why not: `code` is stable and documented, `message` says what was found and what to do."""

    code: str
    message: str
    evidence: list[str] = []


class SiteStatus(Shape):
    """One site. `lease_remaining_seconds` is the right to act as seen from the answering controller: its own
    lease to its own clock, or what is left of the peer's as far as is known here (None: never seen)."""

    site: str
    title: str
    witness: bool
    here: bool
    seen: bool | None
    seen_age_seconds: float | None
    lease_remaining_seconds: float | None
    incarnation: int | None
    revoked: bool | None
    hold: bool | None
    detail: str


class LagStatus(Shape):
    """Replication from one site to the other; from home to standby while the owner is not known. `seconds` is
    the age of the oldest change not yet replayed. What is not known is null, and `detail` says why."""

    service: str
    from_site: str
    to_site: str
    seconds: float | None
    bytes: int | None
    sample_age_seconds: float | None
    streaming: bool | None
    detail: str


class PauseStatus(Shape):
    """A pause of a service's automatic moves. `ends` is by this controller's wall clock, for people;
    `remaining_seconds` by the clock that counts."""

    who: str
    reason: str
    since: str
    ends: str
    remaining_seconds: float


class LagList(Shape):
    """What `twinsite lag --json` prints: the lags of a Status, one for each service that is not only
    watched, and the pauses that are on."""

    lag: list[LagStatus]
    pauses: dict[str, PauseStatus] = {}


class InstanceStatus(Shape):
    """One service's instance at one site, by its own word."""

    site: str
    role: str
    writable: bool | None
    sample_age_seconds: float | None
    reason: str


class ReachStatus(Shape):
    """What `observer` says of reaching `target`, a site or a member of the store. `reached` None: unknown, or
    too old to count; `detail`: by which way, and what came of it."""

    observer: str
    target: str
    kind: Literal["site", "store member"]
    reached: bool | None
    age_seconds: float | None
    detail: str = ""


class Finding(Shape):
    """What everybody's words together mean: `link down`, `site down`, `one way only` and so on; `about`: the
    sites, or the member of the store."""

    finding: str
    about: list[str]
    words: str


class LastKnownStatus(Shape):
    """Who owned a service when the store was last heard; `at` is a time of day."""

    primary: str | None
    epoch: int
    at: str


class ServiceStatus(Shape):
    """One service: who owns it, how protected it is, what it is called in one word, and what to do next.
    `under_glass`: the certificate by which it is served at the answering site, outside the store;
    `last_known`: only while who owns it is not known."""

    service: str
    title: str
    primary: str | None
    epoch: int | None
    mode: str
    movement: str
    run: str
    home: str
    standby: str
    rank: int
    watch_only: bool
    diagnosis: str
    decision: str
    why: str
    next_step: str
    instances: list[InstanceStatus]
    lag: LagStatus | None
    loss_if_moved_now: str
    paused: str
    unprotected_seconds: float | None
    pause: PauseStatus | None = None
    under_glass: str = ""
    last_known: LastKnownStatus | None = None
    rehearsed: "RehearsalStatus | None" = None
    projected: "ProjectionStatus | None" = None


class Status(Shape):
    """Everything `twinsite status` shows."""

    site: str
    version: str
    at: str
    store: str
    store_age_seconds: float | None
    keeper: str
    overall: Literal["ok", "degraded", "down", "unknown"]
    warnings: list[str]
    sites: list[SiteStatus]
    services: list[ServiceStatus]
    reach: list[ReachStatus] = []
    findings: list[Finding] = []


class GateStatus(Shape):
    """One gate before a promotion. `ok` None: not known, which counts as no."""

    number: int
    name: str
    ok: bool | None
    code: str
    evidence: str


class Evidence(Shape):
    """One piece of what was seen: by whom, of what, what came back, how old."""

    observer: str
    subject: str
    verdict: str
    reason: str
    detail: str
    age_seconds: float | None


class Sight(Shape):
    """What one observer sees of one thing of a service at one site: its instance (`probe` empty), or one
    probe. `seen` is the role or the verdict."""

    observer: str
    site: str
    probe: str
    seen: str
    writable: bool | None
    reason: str
    age_seconds: float | None


class DecisionEntry(Shape):
    """One decision of the past, newest first."""

    at: str
    diagnosis: str
    decision: str
    code: str
    why: str


class HistoryEntry(Shape):
    """One entry of the journal: a decision, a certificate, what each side had accepted."""

    number: int
    at: str
    kind: str
    service: str
    text: str
    data: dict[str, Any]


class Explanation(Shape):
    """Why it did or did not act. `guard`, `power`: how far the guard here is, and the devices that switch the
    other site's hosts off. `on_file`: certificates of it, and what each side had accepted."""

    service: str
    diagnosis: str
    decision: str
    code: str
    row: int
    why: str
    gates: list[GateStatus]
    evidence: list[Evidence]
    history: list[DecisionEntry]
    pause: PauseStatus | None = None
    sights: list[Sight] = []
    disagreements: list[str] = []
    would_have_to_change: list[str] = []
    reach: list[ReachStatus] = []
    findings: list[Finding] = []
    guard: list[str] = []
    power: list[str] = []
    on_file: list[HistoryEntry] = []
    rehearsed: "RehearsalStatus | None" = None


class StepStatus(Shape):
    """One step of a run. `asked`: people have been asked, and it waits for them. `usual_seconds` and
    `cautious_seconds`: how long it took before, half of the time and three times out of four."""

    number: int
    step: str
    title: str
    state: Literal["waiting", "running", "done", "already-done", "failed", "skipped", "in-doubt", "asked"]
    detail: str
    duration_seconds: float | None
    usual_seconds: float | None = None
    cautious_seconds: float | None = None


class ClockStatus(Shape):
    """The clock of a move. `detect_seconds`, from when the service was last seen well until its trouble had a
    name, is before it; the others and what they come to (`used_seconds`) count against `rto_seconds`. Of a
    move that goes on, `used_seconds` grows. What nobody saw is null."""

    detect_seconds: float | None
    decide_seconds: float | None
    execute_seconds: float | None
    verify_seconds: float | None
    used_seconds: float | None
    rto_seconds: float | None
    within_rto: bool | None


class ProjectionStatus(Shape):
    """What is left of a run, by how long its steps took before: `likely` half of the time, `cautious` three
    times out of four; the least it takes where `unknown_steps` were never timed, and the finish is null then.
    `chain`: the steps that take longest one after the other. `stalls`: what takes too long now, in words."""

    likely_seconds: float
    cautious_seconds: float
    likely_finish: str | None
    cautious_finish: str | None
    within_rto: bool | None
    chain: list[str]
    unknown_steps: list[str]
    stalls: list[str]


class LossStatus(Shape):
    """What a move lost in fact, beside what was said when it was decided. `final`: nothing further will be
    found out."""

    known: bool
    final: bool
    words: str
    bytes: int | None
    transactions: int | None
    seconds: float | None
    kept_at: str
    more_than_said: bool


class RehearsalStatus(Shape):
    """Whether today's plan was tested. `exactly` null: not known. `run`: the newest success that tells most
    of it, empty where there is none; `changed`: what is another since, or was not part of it."""

    exactly: bool | None
    words: str
    run: str = ""
    kind: str = ""
    ended: str = ""
    took_seconds: float | None = None
    changed: list[str] = []


class WaitStatus(Shape):
    """What only a person can end: `kind` is paused, failed, in-doubt, person or approval; `commands` are what
    may be typed."""

    kind: str
    step: str
    words: str
    since: str
    commands: list[str]


class OrderStatus(Shape):
    """An order that a person gave about a run, and that was followed."""

    number: int
    verb: str
    step: str
    who: str
    site: str
    at: str
    reason: str
    evidence: str


class RunDetail(Shape):
    """One run. `whole_site`: the site that it moves; its steps are services then, each with a run of its own.
    `state` waiting: it goes on when a person has said how (`waits`). `orders`: what people ordered of it;
    `last_order` the number of the last. `left`: what an end before the end leaves, and what to do next."""

    run: str
    kind: str
    service: str
    from_site: str | None
    to_site: str
    state: Literal["running", "waiting", "done", "failed", "aborted", "undone", "stopped"]
    outcome: str
    statement: str
    loss_bound_seconds: float | None
    who: str
    why: str
    executor: str
    started: str
    ended: str
    duration_seconds: float | None
    steps: list[StepStatus]
    pause: PauseStatus | None = None
    report: list[str] = []
    waits: list[WaitStatus] = []
    orders: list[OrderStatus] = []
    last_order: int = 0
    left: list[str] = []
    whole_site: str = ""
    clock: ClockStatus | None = None
    projected: ProjectionStatus | None = None
    loss: LossStatus | None = None
    outage_seconds: float | None = None
    made_from: dict[str, str] = {}
    continues: str = ""


class SteerRequest(Shape):
    """An order about a run. `step` by its id, for retry, skip, done and approve; `seen`: the number of the
    last order that its giver knows of (`last_order` of the run as it was looked at)."""

    verb: Literal["pause", "resume", "retry", "skip", "done", "approve", "abort", "undo"]
    step: str = ""
    reason: str = Field("", max_length=1000)
    evidence: str = Field("", max_length=1000)
    seen: int = Field(0, ge=0)


class AdoptRequest(Shape):
    """Have the answering controller go on with a run whose own controller is lost."""

    reason: str = Field("", max_length=1000)


class Steered(Shape):
    """The order is followed, and stands in the run's journal as this number. `executor`: at which site.
    Number 0 and another `run`: the one that was named had ended, and this one goes on with it."""

    run: str
    number: int
    executor: str


class OutputLine(Shape):
    """One line: what a step's command said (`out`, `err`), or how the step goes (`state`). `missed`: so many
    lines before it were lost, not being taken in time. A line without a step is a sign of life."""

    step: str
    stream: Literal["out", "err", "state"]
    text: str
    missed: int = 0


class RunList(Shape):
    """Runs, newest first; and the pauses that are on, by service."""

    runs: list[RunDetail]
    pauses: dict[str, PauseStatus] = {}


class MoveRequest(Shape):
    """What is asked. `verb` failover with `site`: that site is lost, its services move away from it.
    `power_off`: that site's hosts of the service are to be switched off by their devices first."""

    verb: Literal["switchover", "failover", "failback"]
    service: str
    to_site: str | None = None
    certify_down: str | None = None
    power_off: str | None = None
    accept_loss_seconds: float | None = Field(None, ge=0)
    over_capacity: bool = False
    reason: str = ""


class CertificateStatus(Shape):
    """A certificate: what it states, what that means, and what it still needs. `body` is what is signed;
    `expires_in_seconds` is None for one that counts already."""

    id: str
    kind: Literal["down", "break-glass", "peer", "owner"]
    site: str
    down: str
    service: str
    epoch: int
    states: list[str]
    means: list[str]
    reason: str
    who: str
    when: str
    second_person: str
    needs_second: bool
    needs_signature: bool
    expires_in_seconds: float | None
    kept_at: str
    body: dict[str, Any]


class WayHomeStage(Shape):
    """One stage of the way home. `stage` names it for programs; `waits_for`: of the one that is next.
    `likely_seconds` and `cautious_seconds`: the median and the third quartile of the `times` that it was
    timed before; null where it never was."""

    number: int
    stage: Literal["answers", "saved", "rejoined", "in-sync", "moved"]
    state: Literal["done", "going-on", "next", "later"]
    title: str
    words: str
    waits_for: list[str]
    likely_seconds: float | None
    cautious_seconds: float | None
    times: int


class WayHomeStatus(Shape):
    """How far a service that is away from home is on its way back. `next_stage`: the number of the first one
    that is not done; `unprotected_since`: null while a standby is in sync."""

    home: str
    primary: str
    unprotected_since: str | None
    next_stage: int
    stages: list[WayHomeStage]


class MovePlan(Shape):
    """A plan that may be ordered: what would be done and lost. `plan` is the plan object itself,
    `certificate` what whoever orders it certifies by that, `power_off` what is switched off first and what
    that means, `shed` what is shed for it, in this order; `way_home` of a failback: what comes before it."""

    run: str
    verb: str
    service: str
    from_site: str | None
    to_site: str
    statement: str
    loss_bound_seconds: float | None
    lines: list[str]
    gates: list[GateStatus]
    refusal: Refusal | None
    confirm_site: str
    plan: dict[str, Any]
    pause: PauseStatus | None = None
    certificate: CertificateStatus | None = None
    power_off: list[str] = []
    shed: list[str] = []
    rehearsed: "RehearsalStatus | None" = None
    way_home: WayHomeStatus | None = None


class MoveOrder(Shape):
    """Order the run of a plan that `/v1/plan` gave out. `signature`: of its certificate's body, in base64."""

    run: str
    confirmed_site: str
    accept_loss_seconds: float | None = Field(None, ge=0)
    reason: str = ""
    signature: str = ""


class MoveAccepted(Shape):
    """The run has been ordered; follow it by its id."""

    run: str
    message: str


class QuietRequest(Shape):
    """pause, resume, acknowledge. Exactly one of service, site, everything. `seconds` is pause's length."""

    service: str | None = None
    site: str | None = None
    everything: bool = False
    seconds: float | None = None
    reason: str = ""


class Acted(Shape):
    """What was changed, a line each."""

    lines: list[str]


class CertifyRequest(Shape):
    """Certify that `site`, the other one, is off and has broken no glass."""

    site: str
    reason: str
    accept_broken_glass: bool = False


class ApproveOrder(Shape):
    """A second person agrees to a certificate."""

    confirmed_site: str


class CertificateOrder(Shape):
    """Whoever drew a certificate up has it count."""

    confirmed_site: str
    signature: str = ""


class ReconcileRequest(Shape):
    """Write to the store what a certificate made so."""

    service: str
    reason: str


class History(Shape):
    """What is on file, newest first."""

    entries: list[HistoryEntry]


class RunFigures(Shape):
    """The figures of a run that has ended; what is not known is null. `used_seconds`, from detection to
    verification, is held against `rto_seconds` as it was then."""

    run: str
    service: str
    kind: str
    from_site: str
    to_site: str
    site: str
    state: str
    started: str
    ended: str
    seconds: float | None
    outage_seconds: float | None
    detect_seconds: float | None
    decide_seconds: float | None
    execute_seconds: float | None
    verify_seconds: float | None
    used_seconds: float | None
    rto_seconds: float | None
    rpo_seconds: float | None
    said_loss_seconds: float | None
    lost_seconds: float | None
    lost_bytes: int | None
    loss: str
    steps: dict[str, float]


class MonthFigures(Shape):
    """A month of a service summed up: `of` is `step`, `outage`, `used` or `lost`, `name` the step or the kind
    of run. All but `samples` are seconds."""

    month: str
    service: str
    name: str
    of: str
    samples: int
    p50_seconds: float
    p75_seconds: float
    longest_seconds: float


class Figures(Shape):
    """Past runs, newest first, and every month, oldest first. `problem`: why they are not kept on disk."""

    runs: list[RunFigures]
    months: list[MonthFigures]
    problem: str = ""
