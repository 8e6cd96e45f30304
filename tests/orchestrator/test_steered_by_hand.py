"""A person steers runs with the real command, step by step; what it prints is what people read at night.

`pytest -s` shows the whole session.
"""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from sites.model import Host
from sites.transport import Completed
from tests.orchestrator import two_sites as world_of
from tests.orchestrator.test_steering_runs import Hosts, books, state_of, steered_estate
from tests.orchestrator.two_sites import DURHAM, MORPETH, TwoSites, two_sites

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
ESTATE = """\
version: 1
store: {endpoints: ["https://127.0.0.1:2379"]}
sites:
  durham: {title: Durham, state: durham}
  morpeth: {title: Morpeth, state: morpeth}
  derwentside: {title: Derwentside, witness: true}
services:
  crm: {title: Customer records, home: durham, standby: morpeth}
"""
DEMOTE = """
runbook: demote
title: Close it
steps:
  - id: stop-app
    title: Stop the application at {{ from_site.title }}
    action: ssh
    host: "{{ from_site.hosts['crm-app'] }}"
    run: appctl stop
    undo: {run: appctl start}
  - id: tell
    title: The desk knows
    needs: [stop-app]
    action: person
    who: duty manager
    contact: extension 4711
    ask: Tell the desk that the records are closed for ten minutes
    evidence: the number of the call
    expect: 5m
"""
PROMOTE = """
runbook: promote
title: Open it
steps:
  - {id: open, title: Open the database, action: replication.promote}
  - id: start-app
    title: Start the application at {{ to_site.title }}
    needs: [open]
    action: ssh
    host: "{{ to_site.hosts['crm-app'] }}"
    run: appctl start
    on_failure: ask
  - id: report
    title: Write the report
    needs: [start-app]
    action: person
    who: clerk
    ask: Write the report
    expect: 1h
"""


class Terminal:
    """Types the command at a site, and keeps what it printed."""

    def __init__(self, world: TwoSites) -> None:
        self.world = world
        (world.folder / "sites.yaml").write_text(ESTATE)

    async def __call__(self, site: str, *words: str, code: int = 0) -> str:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            "-c",
            "from orchestrator.cli import main; main()",
            "--config",
            str(self.world.folder / "sites.yaml"),
            "--site",
            site,
            *words,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "110"},
        )
        said = (await process.communicate())[0].decode()
        print(
            f"\n[{site}]$ twinsite {' '.join(w if ' ' not in w else repr(w) for w in words)}\n{said}", end=""
        )
        assert process.returncode == code, said
        return said


async def test_a_run_is_paused_resumed_retried_skipped_and_another_one_undone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hosts = Hosts()

    async def run(
        self: Any, host: Host, command: str, *, timeout_seconds: float, stdin: str = "", said: Any = None
    ) -> Completed:
        return await hosts.run(self, host, command, timeout_seconds=timeout_seconds)

    monkeypatch.setattr(world_of.NoHosts, "run", run)
    hosts.fails["appctl start"] = 1
    async with two_sites(steered_estate(), prepare=books(PROMOTE, DEMOTE)) as world:
        twinsite = Terminal(world)
        run_id = (await world.durham.move("switchover")).run
        await world.until(lambda: state_of(world, run_id) == "waiting")
        said = await twinsite(DURHAM, "runs", "show", run_id)
        assert f"twinsite runs done {run_id} demote/tell --evidence … --reason …" in said
        assert "order 1" in await twinsite(DURHAM, "runs", "pause", run_id, "--reason", "the desk is busy")
        refused = await twinsite(
            MORPETH, "runs", "done", run_id, "tell", "--evidence", "x", "--reason", "y", "--seen", "0", code=3
        )
        assert "was first: order 1, pause by" in refused
        await twinsite(MORPETH, "runs", "done", run_id, "--evidence", "4711-9", "--reason", "desk knows")
        assert world.open_at(DURHAM), "a paused run starts nothing more"
        await twinsite(MORPETH, "runs", "resume", run_id, "--reason", "the desk is free")
        await world.until(lambda: [w.kind for w in world.runs()[-1].waits] == ["failed"])
        await twinsite(MORPETH, "runs", "show", run_id)
        await twinsite(DURHAM, "runs", "retry", run_id, "start-app", "--reason", "licence renewed")
        await world.until(lambda: [w.step for w in world.runs()[-1].waits] == ["promote/report"])
        await twinsite(DURHAM, "runs", "skip", run_id, "report", "--reason", "not tonight", "--yes")
        await world.until(lambda: world.steady(at=MORPETH))
        assert "done" in await twinsite(DURHAM, "runs", "show", run_id)

        back = (await world.morpeth.move("switchover")).run
        await world.until(lambda: state_of(world, back) == "waiting")
        said = await twinsite(MORPETH, "runs", "undo", back, "--reason", "wrong weekend", "--yes")
        assert "crm is primary at morpeth at epoch 2, and accepts writes there" in said
        await world.until(lambda: world.steady(at=MORPETH))
        assert "UNDONE" in said


async def test_a_run_that_has_failed_is_gone_on_with_in_another_one(monkeypatch: pytest.MonkeyPatch) -> None:
    hosts = Hosts()

    async def run(
        self: Any, host: Host, command: str, *, timeout_seconds: float, stdin: str = "", said: Any = None
    ) -> Completed:
        return await hosts.run(self, host, command, timeout_seconds=timeout_seconds)

    monkeypatch.setattr(world_of.NoHosts, "run", run)
    hosts.fails["appctl start"] = 1
    promote = PROMOTE.replace("on_failure: ask", "on_failure: abort")
    async with two_sites(steered_estate(), prepare=books(promote, "")) as world:
        twinsite = Terminal(world)
        run_id = (await world.durham.move("switchover")).run
        await world.until(lambda: state_of(world, run_id) == "failed")
        said = await twinsite(DURHAM, "runs", "show", run_id)
        assert f"twinsite runs retry {run_id} --reason …" in " ".join(said.split())
        said = await twinsite(DURHAM, "runs", "retry", run_id, "--reason", "licence renewed")
        assert f"{run_id} has ended and stays so; crm-switchover-" in " ".join(said.split())
        await world.until(lambda: world.runs()[-1].run != run_id and state_of(world, run_id) == "failed")
        later = next(each.run for each in world.runs() if each.continues == run_id)
        await world.until(lambda: state_of(world, later) == "waiting")
        said = await twinsite(MORPETH, "runs", "show", later)
        assert f"goes on with: {run_id}, which had ended" in said
        assert hosts.ran[-1] == (MORPETH, "appctl start")
