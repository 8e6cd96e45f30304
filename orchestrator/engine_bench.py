"""`twinsite bench --engine`: what the engine itself costs, on this machine and this disk.

How long it takes to draw up a plan of 1,000 steps over 100 hosts, and what a step costs beside what it
does: a run of steps that do nothing, with the real journal, against the bare fsync of the same disk in the
same run.
It prints what it measures and judges nothing. A figure more is one more entry in FIGURES.
"""

import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import structlog

from orchestrator.clock import boottime_ns
from orchestrator.journal import SqliteJournal
from orchestrator.result_file import check_result, write_result
from runbooks.actions import shipped_actions
from runbooks.catalogue import ActionCatalogue, Arguments
from runbooks.context import ActionContext, Call, Result, Token
from runbooks.engine import Engine
from runbooks.library import Library
from runbooks.model import Kind
from runbooks.plan import Facts, bind, compose
from runbooks.planned import Plan
from runbooks.scope import RunRef, scope_of
from sites.model import Estate, Host
from sites.output import Said
from sites.transport import Completed

HOSTS = 100
STEPS = 1000
IN_A_ROW = 400
WRITTEN_BYTES = 4096
ASKED_STEP_MILLISECONDS = 5.0
ASKED_PLAN_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Figure:
    """One thing measured: `name` in the JSON, the sentence for people, the numbers."""

    name: str
    sentence: str
    values: Mapping[str, float]


Measure = Callable[[Path], Awaitable[Figure]]


def run_engine_bench(json_path: str | None, directory: Path | None = None) -> int:
    """Measure and print. `directory`: on whose disk; without it, that of temporary files. Raises
    ResultNotWritten."""
    check_result(json_path)
    with (
        tempfile.TemporaryDirectory(prefix="twinsite-bench-", dir=directory) as folder,
        (Path(folder) / "log").open("w", encoding="utf-8") as kept,
    ):
        # The log is a part of what a step costs; a terminal that shows it is not.
        structlog.configure(logger_factory=structlog.WriteLoggerFactory(kept))
        figures = asyncio.run(measured(Path(folder)))
    found = {"engine": {figure.name: dict(figure.values) for figure in figures}}
    out = sys.stderr if json_path == "-" else sys.stdout
    for figure in figures:
        print(figure.sentence, file=out)
    write_result(json_path, json.dumps(found, indent=2) + "\n")
    return 0


async def measured(folder: Path) -> list[Figure]:
    """Every figure, one after the other: they must not disturb each other."""
    return [await measure(folder) for measure in FIGURES]


# -- plans ----------------------------------------------------------------------------------------------


def bench_estate(hosts: int) -> Estate:
    """Two sites with so many application hosts each, and one service."""
    return Estate.model_validate(
        {
            "version": 1,
            "store": {"endpoints": ["https://store.example:2379"]},
            "sites": {
                site: {
                    "name": site,
                    "hosts": {
                        f"app-{number}": {
                            "name": f"app-{number}",
                            "site": site,
                            "address": f"10.{net}.0.{number}",
                        }
                        for number in range(1, hosts + 1)
                    },
                }
                for net, site in enumerate(("durham", "morpeth"), start=1)
            },
            "services": {"crm": {"name": "crm", "home": "durham", "standby": "morpeth"}},
        }
    )


def for_each_text() -> str:
    """Ten steps, each for a hundred hosts, each needing all of the one before."""
    lines = ["runbook: bench", "title: Bench", "steps:"]
    for number in range(STEPS // HOSTS):
        lines += [
            f"  - id: s{number}",
            f"    title: Do {number} at {{{{ to_site.title }}}}",
            "    for_each: app-*",
            "    at_most: 20",
            "    action: ssh",
            f"    needs: [{f's{number - 1}' if number else ''}]",
            f"    run: do {number} {{{{ host.name }}}} {{{{ service }}}}",
            "    unless: test -e /run/done",
            "    verify: {run: 'is-done {{ host.name }}', within: 30s}",
        ]
    return "\n".join(lines)


def written_out_text() -> str:
    """The same number of steps, each written out, ten after each other on every host."""
    lines = ["runbook: bench", "title: Bench", "steps:"]
    for host in range(1, HOSTS + 1):
        for number in range(STEPS // HOSTS):
            lines += [
                f"  - id: h{host}-s{number}",
                f"    title: Do {number} at {{{{ to_site.title }}}}",
                "    action: ssh",
                f"    host: \"{{{{ to_site.hosts['app-{host}'] }}}}\"",
                f"    needs: [{f'h{host}-s{number - 1}' if number else ''}]",
                f"    run: do {number} {{{{ service }}}}",
                "    unless: test -e /run/done",
                "    verify: {run: is-done, within: 30s}",
            ]
    return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Drawn:
    """A plan, and what it took: by the clock, and of that by the processor for us alone, which others on a
    busy machine do not lengthen much."""

    plan: Plan
    read_seconds: float
    drawn_seconds: float
    drawn_processor_seconds: float


def drawn(text: str, estate: Estate, catalogue: ActionCatalogue) -> Drawn:
    """A plan of a runbook's text, as JSON too."""
    began = time.perf_counter()
    runbook = Library(catalogue).parse(text, file="bench.yaml", name="bench")
    read, worked = time.perf_counter(), time.process_time()
    run = RunRef("bench", Kind.FAILOVER, 1)
    scope = scope_of(estate, "crm", from_site="durham", to_site="morpeth", run=run)
    plan = composed(bind(runbook, scope, Facts(), catalogue))
    plan.to_json()
    return Drawn(plan, read - began, time.perf_counter() - read, time.process_time() - worked)


def composed(*parts: Any) -> Plan:
    """One plan of crm's move."""
    return compose(
        *parts,
        run_id="bench",
        kind=Kind.FAILOVER,
        service="crm",
        from_site="durham",
        to_site="morpeth",
        epoch=1,
    )


async def plan_drawing(folder: Path) -> Figure:
    """A plan of 1,000 steps over 100 hosts, its JSON included; the slower of the two ways to write it."""
    estate, catalogue = bench_estate(HOSTS), shipped_actions()
    seconds: dict[str, list[float]] = {}
    steps = 0
    for _ in range(5):
        for name, text in (("for_each", for_each_text()), ("written_out", written_out_text())):
            made = drawn(text, estate, catalogue)
            steps = len(made.plan.steps)
            for what in ("read_seconds", "drawn_seconds", "drawn_processor_seconds"):
                seconds.setdefault(f"{name}_{what}", []).append(getattr(made, what))
    values = {name: statistics.median(found) for name, found in seconds.items()}
    ways = [
        f"in {values[f'{name}_drawn_seconds']:.2f} s {words} "
        f"({values[f'{name}_drawn_processor_seconds']:.2f} s of it on the processor; "
        f"read in {values[f'{name}_read_seconds']:.2f} s)"
        for name, words in (("for_each", "with `for_each`"), ("written_out", "with every step written out"))
    ]
    sentence = (
        f"A plan of {steps} steps over {HOSTS} hosts is drawn up {', '.join(ways)}; asked: under "
        f"{ASKED_PLAN_SECONDS:g} s."
    )
    return Figure("plan_drawing", sentence, {"steps": steps, "hosts": HOSTS, **values})


# -- steps ----------------------------------------------------------------------------------------------


class _Nothing(Arguments):
    """The step that does nothing takes nothing."""


class _NoTransport:
    """Nothing is carried anywhere."""

    async def run(
        self,
        host: Host,
        command: str,
        *,
        timeout_seconds: float,
        stdin: str = "",
        said: Said | None = None,
    ) -> Completed:
        raise NotImplementedError

    async def aclose(self) -> None:
        """Nothing is kept."""


@asynccontextmanager
async def engine_of(journal: SqliteJournal, starts: list[float]) -> Any:
    """An engine whose steps note when they begin and do nothing else."""

    async def act(context: ActionContext, call: Call) -> Result:
        starts.append(time.perf_counter())
        return Result("done")

    async def may_act() -> None:
        """Always."""

    async def notify(text: str) -> None:
        """Nobody is told."""

    catalogue = shipped_actions().with_action("nothing", _Nothing, act, idempotent=True)
    estate = bench_estate(1)
    context = ActionContext(estate, estate.services["crm"], _NoTransport(), Token(1, "bench", 1), notify)
    yield Engine(journal, catalogue, may_act=may_act, now_ns=boottime_ns), context


def idle_plan(lanes: int, steps: int) -> Plan:
    """So many steps that do nothing, in rows beside each other."""
    lines = ["runbook: idle", "title: Idle", "steps:"]
    for number in range(steps):
        need = f"s{number - lanes}" if number >= lanes else ""
        lines.append(f"  - {{id: s{number}, action: nothing, needs: [{need}]}}")

    async def never(context: ActionContext, call: Call) -> Result:
        return Result("")

    catalogue = shipped_actions().with_action("nothing", _Nothing, never)
    runbook = Library(catalogue).parse("\n".join(lines), file="idle.yaml", name="idle")
    scope = scope_of(
        bench_estate(1), "crm", from_site="durham", to_site="morpeth", run=RunRef("b", Kind.FAILOVER, 1)
    )
    return composed(bind(runbook, scope, Facts(), catalogue))


def fsyncs(folder: Path, times: int) -> Iterator[float]:
    """Seconds of one bare append and fsync each."""
    with (folder / "bare").open("ab", buffering=0) as file:
        for _ in range(times):
            began = time.perf_counter()
            file.write(b"x" * WRITTEN_BYTES)
            os.fsync(file.fileno())
            yield time.perf_counter() - began


async def step_overhead(folder: Path) -> Figure:
    """The median from one step's beginning to the next one's, both records of it on the disk, where no step
    does anything; and the same divided by a bare fsync of that disk, measured before, between and after."""
    bare = list(fsyncs(folder, 100))
    gaps: list[float] = []
    wide_seconds = worked_seconds = 0.0
    for name, lanes, steps in (("row", 1, IN_A_ROW), ("wide", HOSTS, STEPS)):
        journal = await SqliteJournal.open(folder / name / "journal.db")
        starts: list[float] = []
        try:
            async with engine_of(journal, starts) as (engine, context):
                plan = replace(idle_plan(lanes, steps), id=name)
                began, worked = time.perf_counter(), time.process_time()
                ended = await engine.carry_out(plan, context, who="bench", why="bench")
                took = time.perf_counter() - began
        finally:
            await journal.aclose()
        if not ended.done or len(starts) != steps:
            raise RuntimeError(f"the run of the benchmark ended otherwise: {ended.summary}")
        bare += fsyncs(folder, 100)
        if name == "row":
            gaps = [after - before for before, after in pairwise(starts)]
            worked_seconds = (time.process_time() - worked) / steps
        else:
            wide_seconds = took / steps
    row, fsync = statistics.median(gaps) * 1000, statistics.median(bare) * 1000
    values = {
        "step_median_milliseconds": row,
        "step_processor_milliseconds": worked_seconds * 1000,
        "step_p99_milliseconds": statistics.quantiles(gaps, n=100)[98] * 1000,
        "fsync_median_milliseconds": fsync,
        "step_in_fsyncs": row / fsync,
        "wide_step_milliseconds": wide_seconds * 1000,
    }
    sentence = (
        f"A step of the engine, both records on the disk: {row:.2f} ms at the median "
        f"({worked_seconds * 1000:.2f} ms of it on the processor; 99 of 100 within "
        f"{values['step_p99_milliseconds']:.2f} ms), {row / fsync:.1f} times a bare fsync of {fsync:.2f} ms; "
        f"asked: under {ASKED_STEP_MILLISECONDS:g} ms. In a plan of {STEPS} steps, {HOSTS} beside each "
        f"other: {wide_seconds * 1000:.2f} ms a step."
    )
    return Figure("step_overhead", sentence, values)


FIGURES: Sequence[Measure] = (plan_drawing, step_overhead)
