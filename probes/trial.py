"""One probe's tries: each ended at its deadline, whatever the probe or its target does.

A try that does not end when cancelled is left behind, counted and bounded in number. A deadline that
passed while this process itself did not run says nothing about the target, and is told apart.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace

import structlog

from probes.model import Probe, ProbeResult, Verdict
from probes.reasons import Reason
from probes.trying import bounded
from sites.model import ProbeSpec

_log = structlog.get_logger(__name__)

MOST_ABANDONED = 3  # per probe; then it is not tried until one of them has ended
OVERRUN_SECONDS = 0.25  # a probe keeps its own deadline and says how far it got; this one is behind it
CANCEL_SECONDS = 0.5  # how long a cancelled try may take to end
STALL_SECONDS = 0.25  # a result later than this after its deadline: it was us who did not run


@dataclass(frozen=True, slots=True)
class PatrolEntry:
    """One probe of one service at one site, with its beat and its `k of n`."""

    probe: Probe
    name: str
    service: str
    site: str
    kind: str
    every_seconds: float
    timeout_seconds: float
    k: int
    n: int

    @classmethod
    def of(cls, spec: ProbeSpec, *, service: str, site: str, probe: Probe) -> "PatrolEntry":
        """The entry of a probe as written in the estate."""
        k, n = spec.fails_after_counts
        return cls(probe, spec.name, service, site, spec.kind, spec.every_seconds, spec.timeout_seconds, k, n)

    @property
    def key(self) -> str:
        """What no other entry has."""
        return f"{self.service}/{self.site}/{self.name}"


class Trial:
    """Tries one entry's probe, one try after the other."""

    def __init__(self, entry: PatrolEntry, *, now_ns: Callable[[], int]) -> None:
        self.entry = entry
        self.abandoned: set[asyncio.Task[ProbeResult]] = set()
        self.broken = 0
        self._now_ns = now_ns
        self._complained = False

    async def once(self) -> ProbeResult:
        """One try, over after timeout, overrun and cancelling at the latest. Never raises for the target,
        nor for a broken probe."""
        if len(self.abandoned) >= MOST_ABANDONED:
            return self.not_tried(
                Reason.PROBE_BROKEN, f"not tried: {len(self.abandoned)} earlier tries cannot be ended"
            )
        entry, at_ns = self.entry, self._now_ns()
        task = asyncio.create_task(
            entry.probe.try_once(timeout_seconds=entry.timeout_seconds), name=f"try {entry.key}"
        )
        try:
            done, _ = await asyncio.wait({task}, timeout=entry.timeout_seconds + OVERRUN_SECONDS)
            took_seconds = (self._now_ns() - at_ns) / 1e9
            if not done:
                task.cancel()
                await asyncio.wait({task}, timeout=CANCEL_SECONDS)
        finally:
            if not task.done():
                self._abandon(task)
        if not done:
            result = self._overrun(at_ns, took_seconds, ended=task.done())
        elif task.cancelled():
            return self._broken(at_ns, asyncio.CancelledError("the try was cancelled from inside"))
        elif (error := task.exception()) is not None:
            return self._broken(at_ns, error)
        else:
            result = task.result()
        self._complained = False
        allowed_seconds = entry.timeout_seconds + STALL_SECONDS + (0 if done else OVERRUN_SECONDS)
        if result.verdict is not Verdict.UP and took_seconds > allowed_seconds:
            return _stalled(result, took_seconds)
        return result

    def not_tried(self, reason: Reason, why: str) -> ProbeResult:
        """The result of a try that did not take place."""
        return ProbeResult(Verdict.UNKNOWN, reason.value, "nothing", why, self._now_ns(), 0.0)

    def _abandon(self, task: "asyncio.Task[ProbeResult]") -> None:
        """Leave a try behind that did not end. It stays owned: counted, and waited for at the close."""
        task.cancel()
        self.abandoned.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[ProbeResult]") -> None:
        self.abandoned.discard(task)
        if not task.cancelled():
            task.exception()  # looked at, so that nobody complains about it later

    def _overrun(self, at_ns: int, took_seconds: float, *, ended: bool) -> ProbeResult:
        evidence = f"no answer within {self.entry.timeout_seconds:g}s; the try was cancelled"
        return ProbeResult(
            Verdict.DOWN,
            Reason.TIMED_OUT.value,
            tried=self._title,
            answered=evidence if ended else f"{evidence} and did not end",
            at_ns=at_ns,
            duration_seconds=took_seconds,
        )

    def _broken(self, at_ns: int, error: BaseException) -> ProbeResult:
        self.broken += 1
        entry = self.entry
        if not self._complained:  # once per breaking, not once per beat
            self._complained = True
            _log.error(
                "probe_broken", probe=entry.name, service=entry.service, site=entry.site, exc_info=error
            )
        return ProbeResult(
            Verdict.UNKNOWN,
            Reason.PROBE_BROKEN.value,
            tried=self._title,
            answered=bounded(f"{type(error).__name__}: {error}"),
            at_ns=at_ns,
            duration_seconds=(self._now_ns() - at_ns) / 1e9,
        )

    @property
    def _title(self) -> str:
        return f"{self.entry.kind} probe {self.entry.name}"


def _stalled(result: ProbeResult, took_seconds: float) -> ProbeResult:
    """This process itself did not run in time, so the deadline says nothing about the target."""
    return replace(
        result,
        verdict=Verdict.UNKNOWN,
        reason=Reason.OWN_STALL.value,
        answered=bounded(f"this process stalled: {took_seconds:.1f}s for a try; then: {result.answered}"),
    )
