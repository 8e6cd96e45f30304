"""What people see of a lab: a live picture on a terminal, plain lines elsewhere, a table at the end.

Draws what it is given; asks nobody and decides nothing. Colour never carries meaning alone.
"""

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.live import Live as RichLive
from rich.table import Table
from rich.text import Text

from orchestrator.api.shapes import LagStatus
from orchestrator.lab.measure import EventFigures
from orchestrator.lab.places import DATA_SITES, WITNESS
from orchestrator.lab.stage import Check
from orchestrator.lab.view import LabNow

STYLES = {"primary": "bold green", "standby": "cyan", "down": "bold red", "silent": "bold red"}


class Picture:
    """The screen of one lab. `say` for what happens, `show` for how things are."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._started = time.monotonic()
        self._happening = "setting up"
        self._dead: frozenset[str] = frozenset()
        self._rates: dict[str, float] = {}
        self._last = LabNow()
        self._live = RichLive(console=console, auto_refresh=False, transient=True)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def say(self, text: str) -> None:
        """One line that stays: what happens now."""
        self._happening = text
        elapsed = time.monotonic() - self._started
        self._console.print(Text(f"{elapsed:6.1f} s  {text}"), soft_wrap=True)

    def show(self, now: LabNow, dead: frozenset[str]) -> None:
        """How things are; `dead` sites have been killed."""
        self._dead = dead
        if now.at_ns == self._last.at_ns:
            return
        self._rates = rates(self._last, now) or self._rates
        self._last = now
        if self._console.is_terminal:
            elapsed = time.monotonic() - self._started
            head = Text(f"{elapsed:6.1f} s  {self._happening} ...", style="bold")
            self._live.update(Group(head, draw(now, dead, self._rates)), refresh=True)


def rates(before: LabNow, now: LabNow) -> dict[str, float]:
    """Rows a second that each client had acknowledged between two looks; empty if it cannot be said."""
    found = {}
    for service, live in now.clients.items():
        earlier = before.clients.get(service)
        if earlier is None or live.at_ns <= earlier.at_ns:
            return {}
        found[service] = (live.acknowledged - earlier.acknowledged) / ((live.at_ns - earlier.at_ns) / 1e9)
    return found


def draw(now: LabNow, dead: frozenset[str], rate: dict[str, float]) -> Table:
    """The sites side by side: controllers, and each service with its traffic and its lag."""
    table = Table(box=None, padding=(0, 2), header_style="bold")
    for column in ("", *DATA_SITES, WITNESS, "rows/s", "replication"):
        table.add_column(column, justify="right" if column == "rows/s" else "left")
    witness = Text("killed", style=STYLES["down"]) if WITNESS in dead else Text("witness", style="dim")
    table.add_row("controller", *(_controller(now, site, dead) for site in DATA_SITES), witness, "", "")
    for service in sorted(now.clients):
        cells = [_instance(now, site, service, dead) for site in DATA_SITES]
        speed = f"{rate[service]:.0f}" if service in rate else "-"
        table.add_row(service, *cells, "", speed, _replication(now, service))
    return table


def _controller(now: LabNow, site: str, dead: frozenset[str]) -> Text:
    if site in dead:
        return Text("killed", style=STYLES["down"])
    status = now.controllers.get(site)
    if status is None:
        return Text("silent", style=STYLES["silent"])
    own = next((found for found in status.sites if found.site == site), None)
    left = own.lease_remaining_seconds if own is not None else None
    return Text("no lease" if left is None else f"lease {left:.1f} s")


def _instance(now: LabNow, site: str, service: str, dead: frozenset[str]) -> Text:
    if site in dead:
        return Text("killed", style=STYLES["down"])
    status = now.said_by(site, service)
    instance = None
    if status is not None:
        instance = next((found for found in status.instances if found.site == site), None)
    role = "unknown" if instance is None else instance.role
    owner = status is not None and status.primary == site
    words = role.upper() if role == "primary" else role
    if owner != (role == "primary"):
        words += ", owner" if owner else ", not owner"
    return Text(words, style=STYLES.get(role, "yellow"))


def _replication(now: LabNow, service: str) -> str:
    """The lag as the answering controllers know it, each direction that is said."""
    lags: dict[tuple[str, str], LagStatus] = {}
    for status in now.said_of(service).values():
        if status.lag is not None:
            lags[status.lag.from_site, status.lag.to_site] = status.lag
    return "; ".join(_lag(lag) for lag in lags.values()) or "unknown"


def _lag(lag: LagStatus) -> str:
    seconds = "lag unknown" if lag.seconds is None else f"{lag.seconds:.1f} s behind"
    age = "" if lag.sample_age_seconds is None else f" ({lag.sample_age_seconds:.1f} s ago)"
    return f"to {lag.to_site}: {seconds}{age}"


def event_table(events: Sequence[EventFigures]) -> Table:
    """What each event cost, as clients saw it."""
    table = Table(
        title="What each event cost, seen by clients",
        title_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    table.add_column("event", no_wrap=True)
    table.add_column("service", no_wrap=True)
    headings = (
        "outage\ns",
        "rows\ntaken",
        "rows\nlost",
        "loss\nspan, s",
        "loss\nsaid, s",
        "two sites\nwritable, s",
    )
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    for figures in events:
        reported = figures.reported_loss_seconds
        table.add_row(
            figures.event,
            figures.service,
            f"{figures.outage_seconds:.3f}",
            str(figures.acknowledged_rows),
            str(figures.lost_rows),
            f"{figures.lost_span_seconds:.3f}",
            "unknown" if reported is None else f"{reported:.3f}",
            f"{figures.two_writable_seconds:.3f}",
        )
    return table


def check_lines(checks: Sequence[Check]) -> list[str]:
    """A line per check; failed ones say what was found."""
    return [
        f"{'ok     ' if check.ok else 'FAILED '} {check.name}"
        + (f" ({check.found})" if check.found and not check.ok else "")
        for check in checks
    ]
