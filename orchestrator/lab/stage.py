"""What every story needs: look, wait for what must come, check, and measure an event from outside.

Knows no story. A wait has always a deadline, and one that runs out says what was awaited, how things stand
and where the logs are.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from orchestrator.api.shapes import RunDetail
from orchestrator.clock import boottime_ns
from orchestrator.lab.client import FLUSH_EVERY_SECONDS, INSIDE_FIRST_N
from orchestrator.lab.errors import StoryFailed
from orchestrator.lab.faults import Faults
from orchestrator.lab.measure import (
    Acknowledged,
    Broken,
    EventFigures,
    Window,
    figures_of,
    lost,
    margin_seconds,
    outage_seconds,
    two_writable_seconds,
    writable_spans,
)
from orchestrator.lab.processes import Blow
from orchestrator.lab.store_watch import StoreWatch
from orchestrator.lab.view import LabNow

QUIET_SECONDS = 1.0
SPAN_GAP_NS = 500_000_000  # a longer time without a write taken ends a span in which a site was writable
FLUSHED_AFTER_SECONDS = 5 * FLUSH_EVERY_SECONDS


class Sites(Protocol):
    """The lab's servers, as a story handles them."""

    lease_duration_seconds: float

    @property
    def directory(self) -> Path:
        """Where everything is, logs too."""
        ...

    @property
    def dead(self) -> frozenset[str]:
        """Sites that were killed and not healed."""
        ...

    @property
    def faults(self) -> Faults:
        """What else can be done to them: links, single processes, disks, clocks."""
        ...

    def given_up(self) -> list[str]:
        """Programs that died so often that nobody starts them any more, a line each."""
        ...

    def log_lines(self, site: str, program: str) -> list[str]:
        """What a program of a site has said so far."""
        ...

    def kill_site(self, site: str) -> Blow:
        """Every process of the site, at once."""
        ...

    def kill_database(self, site: str, service: str) -> Blow:
        """Every process of one database instance, at once; nothing else at the site."""
        ...

    def heal_site(self, site: str) -> None:
        """Start the site's processes again, as a machine's init would."""
        ...

    def records(self, service: str) -> list[Acknowledged]:
        """What the service's client outside has recorded so far."""
        ...

    def inside(self, service: str) -> list[Acknowledged]:
        """What the service's clients inside the sites have recorded so far; nothing on loopback addresses."""
        ...

    def ends(self, service: str) -> list[Broken]:
        """Each time that writing came to an end at a site, for any of the service's clients."""
        ...

    async def order(self, site: str, *words: str) -> tuple[int, str]:
        """What an operator at a site types; the exit code, and what was said."""
        ...

    async def rows(self, service: str, site: str, up_to_n: int, from_n: int = 0) -> set[int]:
        """The numbers of the rows that the database at `site` holds, from one to another."""
        ...

    async def store_leader(self) -> str | None:
        """The site whose member of the store leads."""
        ...

    def store_watched(self, first: str) -> AbstractAsyncContextManager[StoreWatch]:
        """The store is asked all the time within the block, the member of the site `first` before others."""
        ...


class View(Protocol):
    """What can be seen, and the one thing that can be asked for."""

    now: LabNow

    async def next_look(self) -> None:
        """Wait until `now` is a newer one."""
        ...

    async def switchover(self, service: str, to_site: str) -> RunDetail:
        """The planned move."""
        ...

    async def order_switchover(self, service: str, to_site: str, *, asked_at: str) -> str:
        """The same, asked of that controller and not waited for; the run's id."""
        ...

    async def last_run(self, service: str, asked_at: str, kinds: tuple[str, ...]) -> RunDetail | None:
        """The newest run."""
        ...

    async def run_of(self, run: str, asked_at: str) -> RunDetail | None:
        """One run, as the controller of `asked_at` has it on file."""
        ...


class Screen(Protocol):
    """Where a story says what happens."""

    def say(self, text: str) -> None:
        """One line."""
        ...


@dataclass(frozen=True, slots=True)
class Check:
    """Something that must hold. `found` is said when it does not."""

    name: str
    ok: bool
    found: str = ""


@dataclass(slots=True)
class Stage:
    """One lab with one story on it."""

    sites: Sites
    view: View
    screen: Screen
    events: list[EventFigures] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    window_start_ns: int = field(default_factory=boottime_ns)
    lost_before: set[tuple[str, int]] = field(default_factory=set)  # service and row
    margins: list[float] = field(default_factory=list)  # from the cut to the first row elsewhere
    told_spans: dict[str, str] = field(default_factory=dict)
    failed: dict[str, int] = field(default_factory=dict)  # writes that failed where none may, by service

    @property
    def ok(self) -> bool:
        """Whether everything that was checked held."""
        return bool(self.checks) and all(check.ok for check in self.checks)

    def check(self, name: str, ok: bool, found: str = "") -> None:
        """Note whether something held; the story goes on either way."""
        self.checks.append(Check(name, ok, found))

    async def until(
        self,
        what: str,
        condition: Callable[[LabNow], bool],
        *,
        within_seconds: float,
        otherwise: Callable[[LabNow], str] = lambda now: "",
    ) -> LabNow:
        """Wait until a look fulfils the condition. Raises StoryFailed at the deadline."""
        try:
            async with asyncio.timeout(within_seconds):
                while not condition(now := self.view.now):
                    if given_up := self.sites.given_up():
                        raise StoryFailed(
                            f"{'; '.join(given_up)}: so this cannot come: {what}; "
                            f"the logs are in {self.sites.directory}"
                        )
                    await self.view.next_look()
                return now
        except TimeoutError as fault:
            state = otherwise(self.view.now)
            raise StoryFailed(
                f"this did not come within {within_seconds:g} s: {what}"
                f"{f' ({state})' if state else ''}; the logs are in {self.sites.directory}"
            ) from fault

    async def steady(self, services: tuple[str, ...], *, within_seconds: float) -> LabNow:
        """Wait until all services are healthy and served, in two looks one after the other."""
        seen_ns = 0

        def settled(now: LabNow) -> bool:
            nonlocal seen_ns
            if not all(now.healthy(service) for service in services):
                seen_ns = 0
            elif seen_ns == 0:
                seen_ns = now.at_ns
            return 0 < seen_ns < now.at_ns

        return await self.until(
            f"{' and '.join(services)} healthy at both sites",
            settled,
            within_seconds=within_seconds,
            otherwise=lambda now: "; ".join(
                now.why_not_healthy(service) for service in services if not now.healthy(service)
            ),
        )

    async def begin_window(self) -> None:
        """From here on it counts for the next event; first a while in which nothing happens."""
        self.window_start_ns = boottime_ns()
        await asyncio.sleep(QUIET_SECONDS)

    async def measure(
        self, event: str, service: str, reported_loss_seconds: float | None, *, at: str | None = None
    ) -> EventFigures:
        """The figures of the event that ends now, from what clients recorded and what the primary holds: the
        one that all agree on, or the one `at` a site, while another site knows nothing of it yet.

        A row counts as lost by this event whenever it was acknowledged, unless an earlier one had lost it.
        """
        window = Window(self.window_start_ns, boottime_ns())
        await asyncio.sleep(FLUSHED_AFTER_SECONDS)
        outside, within = (
            [record for record in records if record.acknowledged_ns <= window.end_ns]
            for records in (self.sites.records(service), self.sites.inside(service))
        )
        primary = at or self.view.now.primary(service)
        if primary is None:
            raise StoryFailed(f"nobody agrees who is primary for {service}, so its rows cannot be counted")
        found = await self.sites.rows(service, primary, max((r.n for r in outside), default=0))
        if within:
            found |= await self.sites.rows(service, primary, max(r.n for r in within), INSIDE_FIRST_N)
        missing = [r for r in lost([*outside, *within], found) if (service, r.n) not in self.lost_before]
        self.lost_before.update((service, record.n) for record in missing)
        figures = figures_of(event, service, outside, window, missing, reported_loss_seconds, within)
        self.events.append(figures)
        return figures

    def everybody(self, service: str) -> list[Acknowledged]:
        """What all clients of the service have recorded, outside and inside."""
        return [*self.sites.records(service), *self.sites.inside(service)]

    def margin_seconds(self, service: str, source: str, target: str) -> float | None:
        """In the window so far: from the proof that `source` takes no writes any more to the first row that
        `target` took. None: one of them has not come."""
        window = Window(self.window_start_ns, boottime_ns())
        return margin_seconds(self.everybody(service), self.sites.ends(service), window, source, target)

    def two_writable_seconds(self, service: str) -> float:
        """How long two sites took writes at the same time, in the window so far, for any client."""
        window = Window(self.window_start_ns, boottime_ns())
        return two_writable_seconds(self.everybody(service), window)

    def failed_writes(self, service: str, site: str) -> list[Broken]:
        """Each time, in the window so far, that a client that wrote at `site` could not go on."""
        return [
            one for one in self.sites.ends(service) if one.site == site and one.at_ns >= self.window_start_ns
        ]

    def keep_spans(self, services: Sequence[str]) -> None:
        """Note when each site took writes of these services in the window so far."""
        self.told_spans = {service: self.spans(service) for service in services}

    def spans(self, service: str) -> str:
        """When each site took writes in the window so far, in seconds since its start, for people."""
        window = Window(self.window_start_ns, boottime_ns())
        found = writable_spans(window.records_of(self.everybody(service)), SPAN_GAP_NS)
        return "; ".join(
            f"{site} "
            + ", ".join(
                f"{(start - window.start_ns) / 1e9:.3f}..{(end - window.start_ns) / 1e9:.3f}"
                for start, end in spans
            )
            for site, spans in found.items()
        )

    def longest_gap_seconds(self, service: str) -> float:
        """The longest time without an acknowledged commit of a service, in the window so far."""
        end_ns = boottime_ns() - int(FLUSHED_AFTER_SECONDS * 1e9)
        window = Window(self.window_start_ns, max(self.window_start_ns, end_ns))
        return outage_seconds(self.sites.records(service), window)
