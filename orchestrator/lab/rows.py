"""The corner cases, row by row: what is done to a lab in network namespaces, and what must come of it.

Every row begins from a healthy lab with every service at home and ends with one that is healthy again. The
lost site is the home of the service that moves; `other` is the other data site. What a row needs of the
product and is not there yet stands in `MISSING`; what one machine cannot show stands in `NOT_SHOWN`.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import MappingProxyType

from orchestrator.clock import boottime_ns
from orchestrator.lab import acts, stories
from orchestrator.lab.acts import KEPT, MOVED, SERVICES, Story, other
from orchestrator.lab.errors import LabMisuse, LabTrouble
from orchestrator.lab.estate import GUARDED
from orchestrator.lab.faults import STORE_PORTS
from orchestrator.lab.places import DATA_SITES, SITES, USERS, WITNESS
from orchestrator.lab.stage import Stage
from orchestrator.lab.view import LabNow

CLOCK_DRIFT = 0.005
DECISION_AND_RUNBOOK_SECONDS = 5.0  # beside the lease: choose, promote, and be seen by clients
QUIET_SECONDS = 12.0  # four times the lease: whoever would fail over has done so
STORE_LOST_SECONDS = 60.0
BLINK_SECONDS = 1.0
LEADER_EVERY_SECONDS = 5.0
SERVED_WITHIN_SECONDS = 90.0
HOLD_WITHIN_SECONDS = 30.0
JUMP_SECONDS = 90.0

# What the product must have for a row, by the name that rows use; those that are not there yet.
MISSING: frozenset[str] = frozenset({*(() if GUARDED else ("guard",)), "gate", "observers-outside"})

NOT_SHOWN: Mapping[str, str] = MappingProxyType(
    {
        "guard stopped too": "needs a watchdog or fencing device, which a namespace has not",
        "clock rate wrong": "all clocks of one machine are one clock; the simulation has this row",
        "host suspended and resumed, as a virtual machine": (
            "stopping all processes is not a paused machine: its clocks and timers go on; the row "
            "host-paused shows that much and no more"
        ),
        "slow store disk": "needs a block device that is slow on purpose; see leader-changes",
        "store restored from a backup": "not yet played; P33 is tested in simulation",
        "flapping site": "min_time_between_failovers is 0 in a lab, so that stories can follow each other",
        "break glass": "not yet played; certificates are tested in simulation",
    }
)


@dataclass(frozen=True, slots=True)
class Row:
    """One row. `case` as the table has it, `needs` of the product, `goal` is how often it is to be shown."""

    name: str
    case: str
    expects: str
    play: Story
    needs: tuple[str, ...] = ()
    goal: int = 3

    @property
    def missing(self) -> tuple[str, ...]:
        """What of its needs is not there yet."""
        return tuple(need for need in self.needs if need in MISSING)


def takeover_bound_seconds(stage: Stage) -> float:
    """Invariant 5, with no hold-down in a lab: the longest outage of an automatic takeover."""
    return stage.sites.lease_duration_seconds * (1 + CLOCK_DRIFT) + DECISION_AND_RUNBOOK_SECONDS


def _within_bound(stage: Stage, event: str) -> None:
    outages = [figures.outage_seconds for figures in stage.events if figures.event == event]
    bound = takeover_bound_seconds(stage)
    stage.check(
        f"{event}: the outage was within the bound",
        bool(outages) and max(outages) <= bound,
        f"{max(outages, default=0.0):.3f} s, bound {bound:.3f} s",
    )


# --- what most rows are made of -----------------------------------------------------------------------


async def _takes_over(
    stage: Stage, event: str, hurt: Callable[[str], None], heal: Callable[[str], object]
) -> None:
    """Something is done to the home of the service that moves; the other site takes it, and nobody takes
    writes for it at the same time; when that is over, the old primary rejoins."""
    before = await acts.begin(stage)
    lost = acts.primary(before, MOVED)
    survivor = other(lost)
    hurt(lost)
    try:
        taken = await acts.taken_over(stage, MOVED, survivor, before)
        acts.kept_going(stage, KEPT, before, taken, f"{lost} was hurt")
        acts.fenced_before(stage, MOVED, lost, survivor)
    finally:
        heal(lost)
    stage.screen.say(f"{lost} is healed")
    await acts.back_as_standby(stage, MOVED, lost, "old primary rejoined as standby")
    after = await acts.everything_steady(stage)
    acts.nothing_by_mistake(stage, taken, after)
    await acts.figures(stage, event, MOVED, survivor)
    _within_bound(stage, event)
    await acts.copies_agree(stage, MOVED, lost)


async def _stays(
    stage: Stage,
    event: str,
    hurt: Callable[[str], None],
    heal: Callable[[str], object],
    *,
    seconds: float | None = None,
    during: Callable[[Stage, LabNow], None] = lambda stage, now: None,
) -> None:
    """Something is done to the home of the service that moves, and nothing happens to either service: no
    move, and not one write fails."""
    before = await acts.begin(stage)
    place = acts.primary(before, MOVED)
    hurt(place)
    try:
        now = await acts.wait(stage, QUIET_SECONDS if seconds is None else seconds)
        during(stage, now)
    finally:
        heal(place)
    stage.screen.say("that is over")
    after = await acts.everything_steady(stage)
    acts.nothing_by_mistake(stage, before, after)
    for service in SERVICES:
        await acts.unharmed(stage, event, service, acts.primary(before, service))


async def _survives(
    stage: Stage, event: str, hurt: Callable[[str], None], heal: Callable[[str], object], *, seconds: float
) -> None:
    """Something is done after which a move is as good as none; both services are served again, and never
    at two sites."""
    before = await acts.begin(stage)
    place = acts.primary(before, MOVED)
    hurt(place)
    try:
        await acts.wait(stage, seconds)
    finally:
        heal(place)
    after = await acts.everything_steady(stage)
    for service in SERVICES:
        moves = after.epoch(service) - before.epoch(service)
        stage.screen.say(f"{service} is at {after.primary(service)} after {moves} changes of ownership")
        stage.check(f"{service} did not move to and fro", moves <= 1, f"{moves} changes of ownership")
        await acts.figures(stage, event, service, acts.primary(after, service))


# --- the rows -----------------------------------------------------------------------------------------


async def _site_loss(stage: Stage) -> None:
    await stories.site_loss(stage)
    _within_bound(stage, "site-loss")


async def _database_loss(stage: Stage) -> None:
    await stories.database_loss(stage)
    _within_bound(stage, "database-loss")


async def _controller_stopped(stage: Stage) -> None:
    await stories.controller_loss(stage)
    _within_bound(stage, "controller-loss")


async def _controller_killed(stage: Stage) -> None:
    def hurt(place: str) -> None:
        stage.sites.faults.kill(place, "controller")
        stage.screen.say(f"{place}'s controller is killed; its keeper lives on")

    await _survives(stage, "controller-killed", hurt, lambda place: None, seconds=QUIET_SECONDS)


async def _keeper_killed(stage: Stage) -> None:
    def hurt(place: str) -> None:
        stage.sites.faults.kill(place, "keeper")
        stage.screen.say(f"{place}'s keeper is killed; its controller starts another one")

    await _survives(stage, "keeper-killed", hurt, lambda place: None, seconds=QUIET_SECONDS)


def _mend_all(stage: Stage) -> Callable[[str], object]:
    return lambda place: stage.sites.faults.mend_all()


async def _store_out_of_reach(stage: Stage) -> None:
    def hurt(place: str) -> None:
        for far in (other(place), WITNESS):
            stage.sites.faults.cut(place, far, ports=STORE_PORTS)
        stage.screen.say(f"{place} reaches no other store member, but it reaches {other(place)}")

    await _stays(stage, "store-out-of-reach", hurt, _mend_all(stage), seconds=2 * QUIET_SECONDS)


def _cut_off(stage: Stage, place: str) -> None:
    for far in (other(place), WITNESS):
        stage.sites.faults.cut(place, far)
    stage.screen.say(f"{place} reaches neither {other(place)} nor {WITNESS}; clients reach it all the same")


async def _reaches_neither(stage: Stage) -> None:
    await _takes_over(stage, "reaches-neither", lambda place: _cut_off(stage, place), _mend_all(stage))


async def _blink(stage: Stage) -> None:
    await _stays(
        stage, "blink", lambda place: _cut_off(stage, place), _mend_all(stage), seconds=BLINK_SECONDS
    )


async def _one_way_out(stage: Stage) -> None:
    def hurt(place: str) -> None:
        for far in (other(place), WITNESS):
            stage.sites.faults.cut(place, far, one_way=True)
        stage.screen.say(f"nothing from {place} reaches {other(place)} or {WITNESS}; it hears both")

    await _takes_over(stage, "one-way-out", hurt, _mend_all(stage))


async def _one_way_in(stage: Stage) -> None:
    def hurt(place: str) -> None:
        for far in (other(place), WITNESS):
            stage.sites.faults.cut(far, place, one_way=True)
        stage.screen.say(f"nothing from {other(place)} or {WITNESS} reaches {place}; both hear it")

    await _takes_over(stage, "one-way-in", hurt, _mend_all(stage))


async def _one_way_link(stage: Stage) -> None:
    def hurt(place: str) -> None:
        stage.sites.faults.cut(place, other(place), one_way=True)
        stage.screen.say(f"nothing from {place} reaches {other(place)}; both reach {WITNESS}")

    await _stays(stage, "one-way-link", hurt, _mend_all(stage))


async def _not_transitive(stage: Stage) -> None:
    def hurt(place: str) -> None:
        stage.sites.faults.cut(place, WITNESS)
        stage.screen.say(f"{place} does not reach {WITNESS}; {other(place)} reaches both")

    await _stays(stage, "not-transitive", hurt, _mend_all(stage))


async def _witness_lost(stage: Stage) -> None:
    def hurt(place: str) -> None:
        stage.sites.kill_site(WITNESS)
        stage.screen.say(f"{WITNESS} is killed")

    def during(stage: Stage, now: LabNow) -> None:
        said = _text(now)
        stage.check(f"{WITNESS}'s loss is said", WITNESS in said and "degraded" in said)

    await _stays(stage, "witness-lost", hurt, lambda place: stage.sites.heal_site(WITNESS), during=during)


def _text(now: LabNow) -> str:
    """Everything that the controllers say, as one text."""
    return "\n".join(
        status.model_dump_json().lower() for status in now.controllers.values() if status is not None
    )


def _holds(now: LabNow, place: str) -> bool:
    status = now.controllers.get(place)
    return status is not None and any(bool(site.hold) for site in status.sites if site.site == place)


async def _hold(stage: Stage, *places: str) -> None:
    await stage.until(
        f"{' and '.join(places)} rely on hold",
        lambda now: all(_holds(now, place) for place in places),
        within_seconds=HOLD_WITHIN_SECONDS,
    )
    stage.screen.say(f"{' and '.join(places)} say that they rely on hold")


async def _witness_then_link(stage: Stage) -> None:
    before = await acts.begin(stage)
    stage.sites.kill_site(WITNESS)
    stage.screen.say(f"{WITNESS} is killed")
    try:
        await _hold(stage, *DATA_SITES)
        stage.sites.faults.cut(*DATA_SITES)
        stage.screen.say("then the link between the data sites is cut")
        await acts.wait(stage, QUIET_SECONDS)
    finally:
        stage.sites.faults.mend_all()
        stage.sites.heal_site(WITNESS)
    after = await acts.everything_steady(stage)
    acts.nothing_by_mistake(stage, before, after)
    for service in SERVICES:
        await acts.unharmed(stage, "witness-then-link", service, acts.primary(before, service))


async def _witness_and_site(stage: Stage) -> None:
    before = await acts.begin(stage)
    lost = acts.primary(before, MOVED)
    survivor = other(lost)
    stage.sites.kill_site(WITNESS)
    stage.screen.say(f"{WITNESS} is killed")
    try:
        await _hold(stage, survivor)
        stage.sites.kill_site(lost)
        stage.screen.say(f"then {lost} is killed")
        now = await acts.wait(stage, QUIET_SECONDS)
        stage.check(f"{survivor} goes on serving {KEPT}", now.taken_at(KEPT) == [survivor])
        stage.check(f"nobody serves {MOVED}: there is no majority to ask", now.taken_at(MOVED) == [])
    finally:
        stage.sites.heal_site(WITNESS)
        stage.sites.heal_site(lost)
    await acts.everything_steady(stage)
    await acts.unharmed(stage, "witness-and-site-lost", KEPT, survivor)


async def _store_lost(stage: Stage) -> None:
    await _stays(
        stage,
        "store-lost",
        lambda place: _stop_store(stage),
        lambda place: _start_store(stage),
        seconds=STORE_LOST_SECONDS,
    )


def _stop_store(stage: Stage) -> None:
    for site in SITES:
        stage.sites.faults.stop(site, "etcd")
    stage.screen.say("all three members of the store stand still")


def _start_store(stage: Stage) -> None:
    for site in SITES:
        stage.sites.faults.go(site, "etcd")
    stage.screen.say("the store goes on")


async def _promiser_restarts(stage: Stage) -> None:
    def hurt(place: str) -> None:
        _stop_store(stage)
        for process in ("controller", "keeper"):
            with suppress(LabMisuse):
                stage.sites.faults.kill(other(place), process)
        stage.screen.say(
            f"controller and keeper of {other(place)} are killed, and start again without a store"
        )

    before = await acts.begin(stage)
    place = acts.primary(before, MOVED)
    hurt(place)
    try:
        await acts.wait(stage, STORE_LOST_SECONDS / 2)
    finally:
        _start_store(stage)
    await acts.everything_steady(stage)
    await acts.unharmed(stage, "promiser-restarts", MOVED, place)
    found = await stage.measure("promiser-restarts", KEPT, None)
    acts.never_two(stage, found)


async def _clients_cut_off(stage: Stage) -> None:
    await _takes_over(
        stage,
        "clients-cut-off",
        lambda place: stage.sites.faults.cut(USERS, place),
        _mend_all(stage),
    )


async def _clock_jumps(stage: Stage) -> None:
    def hurt(place: str) -> None:
        stage.sites.faults.clock(place, JUMP_SECONDS)
        stage.screen.say(f"{place}'s wall clock jumps by {JUMP_SECONDS:g} s")

    await _stays(stage, "clock-jumps", hurt, lambda place: stage.sites.faults.clock(place, 0.0))


async def _host_paused(stage: Stage) -> None:
    def hurt(place: str) -> None:
        count = stage.sites.faults.freeze(place)
        stage.screen.say(f"{place}'s hosts are paused: {count} processes")

    def heal(place: str) -> None:
        stage.sites.faults.thaw(place)

    await _takes_over(stage, "host-paused", hurt, heal)


async def _cold_start(stage: Stage) -> None:
    before = await acts.begin(stage)
    for site in DATA_SITES:
        stage.sites.kill_site(site)
    stage.screen.say("both data sites are killed")
    await asyncio.sleep(stage.sites.lease_duration_seconds)
    for site in DATA_SITES:
        stage.sites.heal_site(site)
    stage.screen.say("both start cold")
    after = await acts.everything_steady(stage)
    for service in SERVICES:
        stage.check(
            f"{service} is where it was",
            after.primary(service) == before.primary(service),
            f"{before.primary(service)}, then {after.primary(service)}",
        )
        found = await stage.measure("cold-start", service, 0.0)
        acts.report(stage, found)
        acts.never_two(stage, found)
        stage.check(f"no row of {service} was lost", found.lost_rows == 0, f"{found.lost_rows} lost")


async def _restarts_alone(stage: Stage) -> None:
    before = await acts.begin(stage)
    place = acts.primary(before, MOVED)
    for site in DATA_SITES:
        stage.sites.kill_site(site)
    stage.screen.say(f"both data sites are killed, and {place} alone starts again")
    try:
        stage.sites.heal_site(place)
        await stage.until(
            f"{place}'s controller answers",
            lambda now: now.controllers.get(place) is not None,
            within_seconds=SERVED_WITHIN_SECONDS,
        )
        started_ns = boottime_ns()
        await acts.wait(stage, QUIET_SECONDS)
        taken = [one for one in stage.everybody(MOVED) if one.acknowledged_ns > started_ns]
        stage.check(f"{place} opened nothing without {other(place)}'s word", not taken, f"{len(taken)} rows")
    finally:
        stage.sites.heal_site(other(place))
    stage.screen.say(f"{other(place)} starts as well")
    await acts.everything_steady(stage)
    for service in SERVICES:
        found = await stage.measure("restarts-alone", service, 0.0)
        acts.report(stage, found)
        acts.never_two(stage, found)


async def _leader_changes(stage: Stage) -> None:
    before = await acts.begin(stage)
    for site in (WITNESS, *DATA_SITES):
        stage.sites.faults.kill(site, "etcd")
        stage.screen.say(f"the store's member at {site} is killed, and starts again")
        await asyncio.sleep(LEADER_EVERY_SECONDS)
    after = await acts.everything_steady(stage)
    acts.nothing_by_mistake(stage, before, after)
    for service in SERVICES:
        await acts.unharmed(stage, "leader-changes", service, acts.primary(before, service))


async def _comes_back(stage: Stage) -> None:
    """The second half of a site's loss: nobody notices that it is back."""
    before = await acts.begin(stage)
    lost = acts.primary(before, MOVED)
    survivor = other(lost)
    stage.sites.kill_site(lost)
    taken = await acts.taken_over(stage, MOVED, survivor, before)
    await acts.wait(stage, stage.sites.lease_duration_seconds)
    await stage.begin_window()
    stage.sites.heal_site(lost)
    stage.screen.say(f"{lost} comes back")
    for service in SERVICES:
        await acts.back_as_standby(stage, service, lost, f"{service} rejoined as standby")
    after = await acts.everything_steady(stage)
    acts.nothing_by_mistake(stage, taken, after)
    for service in SERVICES:
        await acts.unharmed(stage, "comes-back", service, survivor)


async def _two_operators(stage: Stage) -> None:
    before = await acts.begin(stage)
    source = acts.primary(before, MOVED)
    target = other(source)
    stage.screen.say(f"two operators order the switchover of {MOVED} to {target} at the same time")
    orders = (stage.view.switchover(MOVED, target), stage.view.switchover(MOVED, target))
    answers = await asyncio.gather(*orders, return_exceptions=True)
    refused = [str(answer) for answer in answers if isinstance(answer, LabTrouble)]
    runs = {answer.run for answer in answers if not isinstance(answer, BaseException)}
    stage.check("the two orders are one move", len(runs) == 1, f"runs {runs}, refused {refused}")
    await acts.served_at(stage, MOVED, target)
    await acts.back_as_standby(stage, MOVED, source, "former primary became standby")
    after = await acts.everything_steady(stage)
    moves = after.epoch(MOVED) - before.epoch(MOVED)
    stage.check("the service moved once", after.primary(MOVED) == target, f"epoch grew by {moves}")
    found = await stage.measure("two-operators", MOVED, 0.0)
    acts.report(stage, found)
    stage.check("no acknowledged row was lost", found.lost_rows == 0, f"{found.lost_rows} lost")
    acts.never_two(stage, found)


async def _half_done(stage: Stage) -> None:
    before = await acts.begin(stage)
    lost = acts.primary(before, MOVED)
    survivor = other(lost)
    stage.sites.kill_site(lost)
    stage.screen.say(f"{lost} is killed")
    await stage.until(
        f"{survivor} is in the middle of the failover",
        lambda now: (
            (said := now.said_by(survivor, MOVED)) is not None
            and (said.movement != "steady" or said.primary == survivor)
        ),
        within_seconds=acts.TAKEN_WITHIN_SECONDS,
    )
    stage.sites.faults.kill(survivor, "controller")
    stage.screen.say(f"{survivor}'s controller is killed in the middle of the failover")
    now = await stage.until(
        f"{survivor} goes on with it, or waits for the other site's word because its lease is broken",
        lambda now: now.taken_at(MOVED) == [survivor] or _waits_for_word(now, survivor),
        within_seconds=SERVED_WITHIN_SECONDS,
        otherwise=lambda now: now.why_not_healthy(MOVED),
    )
    if _waits_for_word(now, survivor):  # it was not back within its lease, and alone it opens nothing
        stage.screen.say(f"{survivor} was not back within its lease: it waits for {lost}'s word")
        stage.sites.heal_site(lost)
        taken = await acts.taken_over(stage, MOVED, survivor, before)
    else:
        taken = await acts.taken_over(stage, MOVED, survivor, before)
        stage.sites.heal_site(lost)
    await acts.back_as_standby(stage, MOVED, lost, "old primary rejoined as standby")
    after = await acts.everything_steady(stage)
    acts.nothing_by_mistake(stage, taken, after)
    await acts.figures(stage, "half-done", MOVED, survivor)


def _waits_for_word(now: LabNow, site: str) -> bool:
    said = now.said_by(site, MOVED)
    return said is not None and said.diagnosis == "peer-word-missing"


async def _both_bad(stage: Stage) -> None:
    """A release that does not start, at both sites: the database dies, and neither can be opened."""
    before = await acts.begin(stage)
    place = acts.primary(before, MOVED)
    faults = stage.sites.faults
    for site in DATA_SITES:
        faults.spoil(site, MOVED)
    for site in DATA_SITES:
        with suppress(LabMisuse):
            faults.kill(site, f"postgres-{MOVED}")
    stage.screen.say(f"{MOVED}'s databases are dead at both sites, and do not start: a bad release")
    try:
        now = await acts.wait(stage, 2 * QUIET_SECONDS)
        moves = now.epoch(MOVED) - before.epoch(MOVED)
        stage.check("no ping-pong", moves <= 2, f"{moves} changes of ownership")
        stage.check(f"{KEPT} went on", now.taken_at(KEPT) == [other(place)])
    finally:
        for site in DATA_SITES:
            faults.unspoil(site, MOVED)
    stage.screen.say("the release is taken back, and the machines start again")
    for site in DATA_SITES:
        stage.sites.kill_site(site)
    for site in DATA_SITES:
        stage.sites.heal_site(site)
    await acts.everything_steady(stage)
    found = await stage.measure("bad-release", MOVED, None)
    acts.report(stage, found)
    acts.never_two(stage, found)


async def _disk_full(stage: Stage) -> None:
    def hurt(place: str) -> None:
        stage.sites.faults.fill(place)
        stage.screen.say(f"the disk of {place}'s state is full")

    await _stays(stage, "disk-full", hurt, lambda place: stage.sites.faults.empty(place))


_ROWS = (
    Row("site-loss", "site X lost whole", "Y takes over within the bound; X rejoins", _site_loss, goal=20),
    Row(
        "database-loss",
        "only the database of S dies at X",
        "given up, and claimed by Y without a wait",
        _database_loss,
    ),
    Row(
        "controller-killed",
        "X's controller dies, database healthy",
        "back in time, or Y takes over",
        _controller_killed,
    ),
    Row("keeper-killed", "X's controller dies, database healthy", "the same for its keeper", _keeper_killed),
    Row(
        "controller-stopped",
        "X's controller stopped, wakes later",
        "the guard fences before Y promotes",
        _controller_stopped,
        ("guard",),
        20,
    ),
    Row(
        "link-down",
        "link X-Y down, both reach the store",
        "no failover; said so; then replication catches up",
        stories.link_loss,
        goal=20,
    ),
    Row(
        "store-out-of-reach",
        "X cannot reach the store, reaches Y",
        "promises; no outage",
        _store_out_of_reach,
        ("promise",),
    ),
    Row(
        "reaches-neither",
        "X reaches neither",
        "fenced by T, Y takes over after it",
        _reaches_neither,
        goal=20,
    ),
    Row("blink", "X reaches neither, and is back before T", "X resumes with nothing lost", _blink),
    Row("witness-lost", "W lost", "alarm; both go on", _witness_lost),
    Row(
        "witness-then-link",
        "W lost, then link down",
        "each relies on its hold and goes on",
        _witness_then_link,
        ("hold",),
    ),
    Row(
        "store-lost",
        "store lost whole",
        "promises keep both going, not one write fails",
        _store_lost,
        ("promise",),
    ),
    Row(
        "promiser-restarts",
        "store lost whole, the promiser restarts",
        "it promises on its note",
        _promiser_restarts,
        ("promise",),
    ),
    Row(
        "witness-and-site-lost",
        "W and X lost together",
        "Y goes on serving its own",
        _witness_and_site,
        ("hold",),
    ),
    Row(
        "clients-cut-off",
        "X cut off from clients but not from the store",
        "X is told, and gives up in order",
        _clients_cut_off,
        ("observers-outside",),
    ),
    Row("one-way-out", "one-way partition: X is not heard", "Y takes over after T, never two", _one_way_out),
    Row("one-way-in", "one-way partition: X does not hear", "Y takes over after T, never two", _one_way_in),
    Row("one-way-link", "one-way partition of the link", "no failover", _one_way_link),
    Row(
        "not-transitive",
        "X does not reach W, Y reaches both",
        "no failover, no failed write",
        _not_transitive,
    ),
    Row("clock-jumps", "wall clock jumps", "nothing happens", _clock_jumps),
    Row(
        "host-paused",
        "host suspended and resumed",
        "Y takes over; X takes no write when it wakes",
        _host_paused,
        ("gate",),
    ),
    Row("cold-start", "both sites start cold", "the last steady assignment", _cold_start),
    Row(
        "restarts-alone",
        "X restarts while Y is gone",
        "closed until certified or Y is back",
        _restarts_alone,
        ("cold-start",),
    ),
    Row("comes-back", "the lost site comes back", "no second outage", _comes_back),
    Row("leader-changes", "store leader changes", "not one write fails", _leader_changes),
    Row("bad-release", "the same fault at both sites (bad release)", "no ping-pong", _both_bad),
    Row("two-operators", "two operators, two commands", "one move", _two_operators),
    Row("half-done", "failover half done, controller dies", "the run is resumed", _half_done),
    Row("disk-full", "disk full where the controller keeps its state", "both services go on", _disk_full),
)

ROWS: Mapping[str, Row] = MappingProxyType({row.name: row for row in _ROWS})


def rows_named(names: str) -> list[Row]:
    """`all`, or names with commas between. Raises LabMisuse."""
    if names == "all":
        return list(ROWS.values())
    chosen = [name.strip() for name in names.split(",") if name.strip()]
    if not chosen or (unknown := [name for name in chosen if name not in ROWS]):
        wrong = ", ".join(unknown) if chosen else "nothing"
        raise LabMisuse(f"there is no row {wrong}; there are: all, {', '.join(ROWS)}")
    return [ROWS[name] for name in chosen]
