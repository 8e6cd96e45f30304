"""Walk all probes, each on its own beat, and keep what they said.

Every probe has a task of its own, one try at a time. What one target does is nobody else's matter: a
try is ended at its timeout, one that cannot be ended is left behind and counted, and the number of
tries at the same time is bounded per site, so that a site which hangs whole takes no turn from the other.
The patrol decides nothing about services; it hands each result and the observation it leads to onward.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import structlog

from probes.beat import Beat, spread
from probes.errors import ProbesMisuse
from probes.model import Observation, ProbeResult, Verdict
from probes.reasons import Reason
from probes.trial import PatrolEntry, Trial
from probes.trying import boottime_ns
from probes.verdicts import begin, check_counts, fold

_log = structlog.get_logger(__name__)

RING = 20  # results kept per probe, and failures beside them, so that successes cannot wash those out
MOST_PER_SITE = 64  # tries at the same time
NUDGE_GAP_SECONDS = 0.25  # between the starts of a try and of one that was asked for
CLOSE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class History:
    """What is remembered of one probe: its observation, its last results and its last failures (all that
    were not UP), oldest first."""

    observation: Observation
    results: tuple[ProbeResult, ...]
    failures: tuple[ProbeResult, ...]


@dataclass(frozen=True, slots=True)
class Statistics:
    """How the patrol itself is doing. `abandoned`: tries that were cancelled and still have not ended."""

    running: int
    abandoned: int
    results: int
    broken: int


@dataclass(slots=True)
class _Watch:
    """The changing part of one entry."""

    entry: PatrolEntry
    trial: Trial
    beat: Beat
    observation: Observation
    results: deque[ProbeResult] = field(default_factory=lambda: deque(maxlen=RING))
    failures: deque[ProbeResult] = field(default_factory=lambda: deque(maxlen=RING))
    nudged: asyncio.Event = field(default_factory=asyncio.Event)
    next_turn: int = 0
    started_seconds: float = float("-inf")


class Patrol:
    """All probes of a vantage point. `on_observation` is called for every result, in the patrol's loop;
    what it raises ends the patrol."""

    def __init__(
        self,
        entries: Iterable[PatrolEntry],
        *,
        on_observation: Callable[[Observation, ProbeResult], None],
        now_ns: Callable[[], int] = boottime_ns,
        most_per_site: int = MOST_PER_SITE,
    ) -> None:
        """Raises ProbesMisuse for two entries with one key, or an impossible `k of n`."""
        listed = tuple(entries)
        keys = [entry.key for entry in listed]
        if doubles := sorted({key for key in keys if keys.count(key) > 1}):
            raise ProbesMisuse(f"two probes with one name: {', '.join(doubles)}; rename one of them")
        for entry in listed:
            check_counts(entry.k, entry.n)
        beats = spread((entry.key, entry.every_seconds) for entry in listed)
        self._on_observation = on_observation
        self._now_ns = now_ns
        self._begun_ns = now_ns()
        self._watches = {entry.key: self._watch(entry, beats[entry.key]) for entry in listed}
        self._slots = {entry.site: asyncio.Semaphore(most_per_site) for entry in listed}
        self._running = self._results = 0

    def _watch(self, entry: PatrolEntry, beat: Beat) -> _Watch:
        nothing = begin(
            probe=entry.name,
            service=entry.service,
            site=entry.site,
            kind=entry.kind,
            now_ns=self._begun_ns,
        )
        return _Watch(entry, Trial(entry, now_ns=self._now_ns), beat, nothing)

    def observations(self) -> tuple[Observation, ...]:
        """What is known now of everything watched, in the order of the entries."""
        return tuple(watch.observation for watch in self._watches.values())

    def history(self, service: str, site: str) -> tuple[History, ...]:
        """What is remembered of a service at a site, a History per probe."""
        return tuple(
            History(watch.observation, tuple(watch.results), tuple(watch.failures))
            for watch in self._of(service, site)
        )

    def statistics(self) -> Statistics:
        """How the patrol itself is doing."""
        trials = [watch.trial for watch in self._watches.values()]
        return Statistics(
            running=self._running,
            abandoned=sum(len(trial.abandoned) for trial in trials),
            results=self._results,
            broken=sum(trial.broken for trial in trials),
        )

    def nudge(self, service: str, site: str) -> None:
        """Try all probes of a service at a site now, beside their beat. Nudges that come before the try
        begins are one; a try under way is followed by another."""
        for watch in self._of(service, site):
            watch.nudged.set()

    def _of(self, service: str, site: str) -> list[_Watch]:
        return [
            watch
            for watch in self._watches.values()
            if watch.entry.service == service and watch.entry.site == site
        ]

    async def run(self) -> None:
        """Walk until cancelled, then close the probes. With no entries there is nothing to walk: returns."""
        self._begun_ns = self._now_ns()
        try:
            async with asyncio.TaskGroup() as group:
                for watch in self._watches.values():
                    group.create_task(self._walk(watch), name=f"probe {watch.entry.key}")
        finally:
            await self._close()

    async def _walk(self, watch: _Watch) -> None:
        while True:
            await self._wait_for_beat(watch)
            watch.started_seconds = self._elapsed_seconds()
            self._note(watch, await self._result(watch))

    def _elapsed_seconds(self) -> float:
        return (self._now_ns() - self._begun_ns) / 1e9

    async def _wait_for_beat(self, watch: _Watch) -> None:
        """Until the next start of the beat, or a nudge."""
        elapsed = self._elapsed_seconds()
        turn = max(watch.next_turn, watch.beat.first_turn_after(elapsed))
        try:
            async with asyncio.timeout(watch.beat.start_seconds(turn) - elapsed):
                await watch.nudged.wait()
        except TimeoutError:
            # Counted by turns, not by the clock alone: a timer that fires a little early must not make
            # the same start happen twice.
            watch.next_turn = turn + 1
        else:
            gap = watch.started_seconds + NUDGE_GAP_SECONDS - self._elapsed_seconds()
            if gap > 0:
                await asyncio.sleep(gap)
        watch.nudged.clear()

    async def _result(self, watch: _Watch) -> ProbeResult:
        slots = self._slots[watch.entry.site]
        try:
            async with asyncio.timeout(watch.entry.every_seconds):
                await slots.acquire()
        except TimeoutError:
            return watch.trial.not_tried(Reason.OWN_BUSY, "not tried: too many other probes are waiting")
        self._running += 1
        try:
            return await watch.trial.once()
        finally:
            self._running -= 1
            slots.release()

    def _note(self, watch: _Watch, result: ProbeResult) -> None:
        before, entry = watch.observation, watch.entry
        watch.observation = fold(before, result, k=entry.k, n=entry.n)
        watch.results.append(result)
        if result.verdict is not Verdict.UP:
            watch.failures.append(result)
        self._results += 1
        if watch.observation.verdict is not before.verdict:
            _log.info(
                "verdict_changed",
                probe=entry.name,
                service=entry.service,
                site=entry.site,
                before=before.verdict.value,
                now=watch.observation.verdict.value,
                reason=result.reason,
                answered=result.answered,
            )
        self._on_observation(watch.observation, result)

    async def _close(self) -> None:
        """Close all probes at once, and give the tries left behind their last chance to end."""
        closing = {
            asyncio.create_task(watch.entry.probe.aclose(), name=f"close {key}"): key
            for key, watch in self._watches.items()
        }
        left = {task for watch in self._watches.values() for task in watch.trial.abandoned}
        if not closing:
            return
        _, pending = await asyncio.wait({*closing, *left}, timeout=CLOSE_SECONDS)
        for task, key in closing.items():
            if task in pending:
                task.cancel()
                _log.warning("probe_close_timed_out", probe=key)
            elif not task.cancelled() and (error := task.exception()) is not None:
                _log.warning("probe_close_failed", probe=key, exc_info=error)
        if left & pending:
            _log.warning("tries_left_behind", count=len(left & pending))
