"""A run of real steps with the journal on disk, in a process that kills itself after its nth record.

python tests/runbooks/killed_run.py STATE_FOLDER N     (N 0: it is not killed)
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

import structlog

from orchestrator.clock import boottime_ns
from orchestrator.journal import SqliteJournal
from runbooks.engine import Engine, Outcome
from runbooks.journal import Record
from runbooks.model import Kind
from runbooks.plan import compose
from runbooks.planned import Plan
from runbooks.progress import Progress
from tests.runbooks.worlds import World, bound
from tests.support.local_transport import LocalTransport


def plan(folder: Path) -> Plan:
    """Three steps that each leave a line; the second kills its engine, if there is one to kill."""
    kill = f"[ -e {folder}/engine ] && kill -9 $(cat {folder}/engine); true"
    steps = "".join(
        f"""
  - id: s{number}
    action: ssh
    host: morpeth/crm-app
    needs: [{f"s{number - 1}" if number > 1 else ""}]
    run: |
      echo s{number} >> {folder}/effects
      {kill if number == 2 else ""}
"""
        for number in (1, 2, 3)
    )
    part = bound(f"runbook: x\ntitle: X\nsteps:{steps}")
    return compose(
        part,
        run_id="run-1",
        kind=Kind.FAILOVER,
        service="crm",
        from_site="durham",
        to_site="morpeth",
        epoch=7,
    )


async def carry_out(folder: Path, die_at: int) -> Outcome:
    """Carry the plan out, or go on with it; die after the nth record of this process."""
    seen = 0

    def die(progress: Progress, record: Record) -> None:
        nonlocal seen
        seen += 1
        if seen == die_at:
            os.kill(os.getpid(), signal.SIGKILL)

    async def may_act() -> None:
        """Always."""

    journal = await SqliteJournal.open(folder / "journal.sqlite")
    try:
        world = World(transport=LocalTransport(), now=boottime_ns)
        engine = Engine(
            journal, world.deeds.catalogue(), may_act=may_act, now_ns=boottime_ns, on_progress=die
        )
        return await engine.carry_out(plan(folder), world.context(), who="anna", why="a test")
    finally:
        await journal.aclose()


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    asyncio.run(carry_out(Path(sys.argv[1]), int(sys.argv[2])))
