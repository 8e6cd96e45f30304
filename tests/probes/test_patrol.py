"""The patrol in virtual time: every probe on its own beat, whatever the others and their targets do."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest

from probes.errors import ProbesMisuse
from probes.model import Observation, Probe, ProbeResult, Verdict
from probes.patrol import RING, Patrol
from probes.trial import CANCEL_SECONDS, MOST_ABANDONED, OVERRUN_SECONDS, PatrolEntry
from sites.model import ProbeSpec
from tests.support.virtual_time import never, now_ns, now_seconds, run

Behaviour = Callable[["Target"], Awaitable[Verdict]]


async def fine(_target: "Target") -> Verdict:
    await asyncio.sleep(0.01)
    return Verdict.UP


async def sick(_target: "Target") -> Verdict:
    await asyncio.sleep(0.01)
    return Verdict.DOWN


async def hung(_target: "Target") -> Verdict:
    await never()
    return Verdict.UP


async def hung_for_good(target: "Target") -> Verdict:
    """Not even cancelling ends it, until the target is released."""
    while not target.released:
        try:
            await never()
        except asyncio.CancelledError:
            target.cancels += 1
    return Verdict.UP


@dataclass
class Target:
    """A scripted probe; it remembers when it was tried."""

    behaviour: Behaviour = fine
    starts: list[float] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0
    cancels: int = 0
    released: bool = False
    closed: int = 0

    async def try_once(self, *, timeout_seconds: float) -> ProbeResult:
        began = now_seconds()
        self.starts.append(round(began, 6))  # a timer is right to the nanosecond, not to the last bit
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            verdict = await self.behaviour(self)
        finally:
            self.at_once -= 1
        return ProbeResult(
            verdict, "scripted", "tried", "came back", round(began * 1e9), now_seconds() - began
        )

    async def aclose(self) -> None:
        self.closed += 1


def entry(
    probe: Probe, name: str = "login", *, site: str = "durham", every: float = 5.0, k: int = 3, n: int = 5
) -> PatrolEntry:
    return PatrolEntry(probe, name, "crm", site, "scripted", every, 3.0, k, n)


@dataclass
class Seen:
    """What the patrol handed onward."""

    results: list[tuple[str, ProbeResult]] = field(default_factory=list)
    changes: list[tuple[str, Verdict]] = field(default_factory=list)

    def __call__(self, observation: Observation, result: ProbeResult) -> None:
        known = dict(self.changes)
        self.results.append((observation.probe, result))
        if known.get(observation.probe, Verdict.UNKNOWN) is not observation.verdict:
            self.changes.append((observation.probe, observation.verdict))


def patrolled(
    *entries: PatrolEntry,
    seconds: float,
    meanwhile: Callable[[Patrol], Awaitable[None]] | None = None,
    most_per_site: int = 64,
) -> tuple[Patrol, Seen]:
    """Walk for so long in virtual time, then cancel."""
    seen = Seen()

    async def story() -> Patrol:
        patrol = Patrol(entries, on_observation=seen, now_ns=now_ns, most_per_site=most_per_site)
        task = asyncio.create_task(patrol.run())
        if meanwhile is not None:
            await meanwhile(patrol)
        await asyncio.sleep(seconds - now_seconds())
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        for each in entries:
            if isinstance(each.probe, Target):
                each.probe.released = True  # or the loop would wait for it for ever
        return patrol

    return run(story), seen


def test_a_probe_is_tried_once_per_interval() -> None:
    target = Target()
    patrolled(entry(target), seconds=60)
    assert len(target.starts) == 12
    assert all(4.5 <= b - a <= 5.5 for a, b in zip(target.starts, target.starts[1:], strict=False))


def test_the_starts_of_many_probes_are_spread_over_the_interval_and_never_in_step() -> None:
    targets = [Target() for _ in range(20)]
    patrolled(*(entry(target, f"p{number}") for number, target in enumerate(targets)), seconds=50)
    starts = sorted(start for target in targets for start in target.starts)
    assert all(b - a > 0.1 for a, b in itertools.pairwise(starts))
    for turn in range(9):
        begin = turn * 5.0
        inside = [start for start in starts if begin <= start < begin + 5.0]
        assert 19 <= len(inside) <= 21


def test_the_first_verdict_is_unknown_until_k_results_agree() -> None:
    target = Target()
    before, seen = patrolled(entry(target), seconds=11)
    assert len(target.starts) == 3
    assert [verdict for _, verdict in seen.changes] == [Verdict.UP]
    assert before.observations()[0].recent == (Verdict.UP,) * 3
    early, _ = patrolled(entry(Target()), seconds=9)
    assert early.observations()[0].verdict is Verdict.UNKNOWN


def test_a_hung_target_delays_no_other_probe() -> None:
    alone, beside = Target(), Target()
    patrolled(entry(alone, "alone"), entry(Target(), "other"), seconds=60)
    patrolled(entry(beside, "alone"), entry(Target(hung), "other"), seconds=60)
    assert beside.starts == alone.starts


def test_a_hung_target_is_cancelled_at_its_timeout_and_keeps_its_own_beat() -> None:
    target = Target(hung)
    patrol, seen = patrolled(entry(target), seconds=60)
    assert len(target.starts) == 12
    assert target.at_once == 0
    assert {(result.verdict, result.reason) for _, result in seen.results} == {(Verdict.DOWN, "timed-out")}
    took = [result.duration_seconds for _, result in seen.results]
    assert took == [pytest.approx(3.0 + OVERRUN_SECONDS)] * len(took)
    assert patrol.statistics().abandoned == 0


def test_a_timeout_longer_than_the_interval_skips_beats_and_never_overlaps() -> None:
    target = Target(hung)
    patrolled(entry(target, every=1.0), seconds=60)
    assert target.most_at_once == 1
    gaps = [b - a for a, b in zip(target.starts, target.starts[1:], strict=False)]
    assert all(3.0 < gap < 4.5 for gap in gaps)


def test_a_try_that_cannot_be_cancelled_is_left_behind_and_their_number_is_bounded() -> None:
    target, neighbour = Target(hung_for_good), Target()
    counted: list[int] = []

    async def watch(patrol: Patrol) -> None:
        await asyncio.sleep(100)
        counted.append(patrol.statistics().abandoned)
        target.released = True
        target.behaviour = fine

    _patrol, seen = patrolled(
        entry(target, "stuck"), entry(neighbour, "near"), seconds=100.5, meanwhile=watch
    )
    assert counted == [MOST_ABANDONED]
    assert len(target.starts) == MOST_ABANDONED
    assert target.most_at_once == MOST_ABANDONED
    assert len(neighbour.starts) == 20
    stuck = [(result.verdict.value, result.reason) for name, result in seen.results if name == "stuck"]
    assert stuck[:MOST_ABANDONED] == [("down", "timed-out")] * MOST_ABANDONED
    assert set(stuck[MOST_ABANDONED:]) == {("unknown", "probe-broken")}
    assert "did not end" in next(r.answered for name, r in seen.results if name == "stuck")


def test_a_probe_is_tried_again_once_a_try_left_behind_has_ended() -> None:
    target = Target(hung_for_good)

    async def release(patrol: Patrol) -> None:
        await asyncio.sleep(60)
        target.released, target.behaviour = True, fine
        for task in asyncio.all_tasks():
            if task.get_name().startswith("try "):
                task.cancel()  # as if the world had let go of it

    patrol, _ = patrolled(entry(target), seconds=120, meanwhile=release)
    assert patrol.statistics().abandoned == 0
    assert patrol.observations()[0].verdict is Verdict.UP


def test_an_abandoned_try_delays_its_own_next_beat_by_a_bounded_time() -> None:
    target = Target(hung_for_good)
    patrolled(entry(target, every=3.0), seconds=60)
    most = 3.0 + OVERRUN_SECONDS + CANCEL_SECONDS
    gaps = [b - a for a, b in zip(target.starts, target.starts[1:], strict=False)]
    assert all(gap <= most + 3.0 for gap in gaps)


def test_a_flapping_target_does_not_change_the_verdict_more_often_than_every_k_results() -> None:
    tries = 0

    async def flap(_target: Target) -> Verdict:
        nonlocal tries
        tries += 1
        return Verdict.DOWN if tries % 2 else Verdict.UP

    target = Target(flap)
    _, seen = patrolled(entry(target, every=1.0), seconds=100)
    assert len(seen.changes) <= 1 + tries // 3
    tries, rare = 0, Target(flap)
    _, calm = patrolled(entry(rare, every=1.0, k=4, n=5), seconds=100)
    assert calm.changes == []


def test_the_verdict_goes_down_and_up_again_with_the_target() -> None:
    target = Target()

    async def outage(_patrol: Patrol) -> None:
        await asyncio.sleep(30)
        target.behaviour = sick
        await asyncio.sleep(30)
        target.behaviour = fine

    patrol, seen = patrolled(entry(target), seconds=100, meanwhile=outage)
    assert [verdict for _, verdict in seen.changes] == [Verdict.UP, Verdict.DOWN, Verdict.UP]
    assert patrol.observations()[0].verdict is Verdict.UP


def test_a_broken_probe_is_unknown_and_the_others_go_on() -> None:
    async def broken(_target: Target) -> Verdict:
        raise LookupError("a bug in the probe")

    neighbour = Target()
    patrol, seen = patrolled(entry(Target(broken), "bad"), entry(neighbour, "good"), seconds=60)
    bad = [result for name, result in seen.results if name == "bad"]
    assert {(result.verdict.value, result.reason) for result in bad} == {("unknown", "probe-broken")}
    assert bad[0].answered == "LookupError: a bug in the probe"
    assert len(neighbour.starts) == 12
    assert patrol.statistics().broken == len(bad)


def test_a_probe_whose_try_cancels_itself_is_broken_and_does_not_end_the_patrol() -> None:
    async def cancels(_target: Target) -> Verdict:
        raise asyncio.CancelledError

    patrol, seen = patrolled(entry(Target(cancels)), seconds=20)
    assert {result.reason for _, result in seen.results} == {"probe-broken"}
    assert patrol.observations()[0].verdict is Verdict.UNKNOWN


def test_results_and_failures_are_kept_in_bounded_rings_of_their_own() -> None:
    target = Target(sick)

    async def recover(_patrol: Patrol) -> None:
        await asyncio.sleep(10)
        target.behaviour = fine

    patrol, _ = patrolled(entry(target, every=1.0), seconds=200, meanwhile=recover)
    (history,) = patrol.history("crm", "durham")
    assert len(history.results) == RING
    assert {result.verdict for result in history.results} == {Verdict.UP}
    assert [result.verdict for result in history.failures] == [Verdict.DOWN] * len(history.failures)
    assert 9 <= len(history.failures) <= 11
    assert [r.at_ns for r in history.results] == sorted(r.at_ns for r in history.results)
    assert history.observation == patrol.observations()[0]
    always, _ = patrolled(entry(Target(sick), every=1.0), seconds=200)
    assert len(always.history("crm", "durham")[0].failures) == RING


def test_a_nudge_tries_at_once_and_leaves_the_beat_as_it_was() -> None:
    plain, nudged, elsewhere = Target(), Target(), Target()
    patrolled(entry(plain), entry(Target(), site="morpeth"), seconds=60)

    async def nudge(patrol: Patrol) -> None:
        await asyncio.sleep(17)
        patrol.nudge("crm", "durham")
        patrol.nudge("crm", "durham")

    patrolled(entry(nudged), entry(elsewhere, site="morpeth"), seconds=60, meanwhile=nudge)
    assert [start for start in nudged.starts if start not in plain.starts] == [17.0]
    assert len(elsewhere.starts) == 12


def test_a_nudge_during_a_try_is_followed_by_another_try() -> None:
    async def slow(_target: Target) -> Verdict:
        await asyncio.sleep(2)
        return Verdict.UP

    target = Target(slow)

    async def nudge(patrol: Patrol) -> None:
        while not target.at_once:
            await asyncio.sleep(0.1)
        patrol.nudge("crm", "durham")

    patrolled(entry(target, every=100.0), seconds=60, meanwhile=nudge)
    assert len(target.starts) in (2, 3)
    assert target.starts[1] - target.starts[0] == pytest.approx(2.0)


def test_endless_nudges_do_not_become_a_busy_loop() -> None:
    target = Target()

    async def pester(patrol: Patrol) -> None:
        for _ in range(1000):
            patrol.nudge("crm", "durham")
            await asyncio.sleep(0.01)

    patrolled(entry(target, every=100.0), seconds=10, meanwhile=pester)
    assert len(target.starts) <= 42


def test_no_more_tries_at_once_than_allowed_and_a_dark_site_takes_no_turn_from_the_other() -> None:
    at_once = most = 0

    async def counted_hang(_target: Target) -> Verdict:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        try:
            await never()
        finally:
            at_once -= 1
        return Verdict.UP

    dark = [entry(Target(counted_hang), f"dark{number}", site="morpeth") for number in range(30)]
    light = Target()
    patrol, seen = patrolled(*dark, entry(light), seconds=60, most_per_site=4)
    assert most == 4
    assert len(light.starts) == 12
    reasons = {result.reason for name, result in seen.results if name.startswith("dark")}
    assert reasons == {"timed-out", "own-busy"}  # what could not be tried says so
    assert patrol.statistics().running == 0


def test_a_deadline_missed_because_this_process_stalled_says_nothing_about_the_target() -> None:
    lag_ns = 0

    async def stalls(target: Target) -> Verdict:
        nonlocal lag_ns
        await asyncio.sleep(1)
        lag_ns += 20_000_000_000  # the machine was suspended: the clock went on, we did not
        return Verdict.DOWN

    seen = Seen()

    async def story() -> None:
        patrol = Patrol([entry(Target(stalls))], on_observation=seen, now_ns=lambda: now_ns() + lag_ns)
        task = asyncio.create_task(patrol.run())
        await asyncio.sleep(30)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(story)
    assert seen.results
    assert {(r.verdict.value, r.reason) for _, r in seen.results} == {("unknown", "own-stall")}


def test_cancelling_ends_the_tries_and_closes_every_probe() -> None:
    targets = [Target(hung), Target(), Target(hung_for_good)]
    patrol, _ = patrolled(*(entry(target, f"p{i}") for i, target in enumerate(targets)), seconds=22)
    assert [target.closed for target in targets] == [1, 1, 1]
    assert targets[0].at_once == 0
    assert patrol.statistics().running == 0


def test_a_probe_that_cannot_be_closed_does_not_hold_the_end_up() -> None:
    class Clinging(Target):
        async def aclose(self) -> None:
            await super().aclose()
            await never()

    class Failing(Target):
        async def aclose(self) -> None:
            raise OSError("cannot be closed")

    async def story() -> float:
        entries = [entry(Clinging(), "a"), entry(Failing(), "b"), entry(Target(), "c")]
        task = asyncio.create_task(Patrol(entries, on_observation=Seen(), now_ns=now_ns).run())
        await asyncio.sleep(10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return now_seconds()

    assert run(story) == pytest.approx(12.0)


def test_what_the_receiver_of_observations_raises_ends_the_patrol() -> None:
    def refuse(_observation: Observation, _result: ProbeResult) -> None:
        raise RuntimeError("the receiver is broken")

    target = Target()

    async def story() -> None:
        await Patrol([entry(target)], on_observation=refuse, now_ns=now_ns).run()

    with pytest.raises(ExceptionGroup) as caught:
        run(story)
    assert caught.group_contains(RuntimeError, match="the receiver is broken")
    assert target.closed == 1


def test_two_entries_of_one_name_are_refused() -> None:
    with pytest.raises(ProbesMisuse, match="crm/durham/login"):
        Patrol([entry(Target()), entry(Target())], on_observation=Seen())


def test_an_impossible_k_of_n_is_refused_before_the_first_try() -> None:
    with pytest.raises(ProbesMisuse, match="6 of 5"):
        Patrol([entry(Target(), k=6)], on_observation=Seen())


def test_observations_are_there_from_the_beginning_in_the_order_of_the_entries() -> None:
    patrol = Patrol([entry(Target(), "b"), entry(Target(), "a")], on_observation=Seen())
    assert [(o.probe, o.verdict, o.last) for o in patrol.observations()] == [
        ("b", Verdict.UNKNOWN, None),
        ("a", Verdict.UNKNOWN, None),
    ]


def test_a_patrol_without_probes_has_nothing_to_do() -> None:
    run(Patrol([], on_observation=Seen(), now_ns=lambda: 0).run)


def test_an_entry_takes_beat_and_counts_from_the_line_in_the_estate() -> None:
    spec = ProbeSpec.model_validate(
        {"name": "login page", "kind": "http", "every": "2s", "timeout": "1s", "fails_after": "2 of 4"}
    )
    made = PatrolEntry.of(spec, service="crm", site="durham", probe=Target())
    assert (made.every_seconds, made.timeout_seconds, made.k, made.n) == (2.0, 1.0, 2, 4)
    assert made.key == "crm/durham/login page"
