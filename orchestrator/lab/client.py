"""A client of one service, in a process of its own: the lab's measuring instrument.

Writes a numbered row every few milliseconds at whichever site takes it, knocks at the other all the time,
and records every commit that was acknowledged. It asks the product nothing and is told nothing: it has the
databases' addresses alone, as an application has. It never waits long for a site that does not answer.

One is outside the sites and goes to both. In a lab in network namespaces there is another one inside each
site, which goes to that site's own instance alone: it goes on seeing it when the site is cut off.

At a standby it asks whether that is still a standby at the same pace, and writes the moment it is not; now
and then it tries a real write there as well, since only a refused write proves that writes are refused.
"""

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import asyncpg

from orchestrator.clock import boottime_ns
from orchestrator.lab.measure import Acknowledged, Broken

TABLE = "twinsite_lab_rows"
CREATE = (
    f"create table if not exists {TABLE} (n bigint primary key, site text not null, sent_ns bigint not null)"
)
INSERT = f"insert into {TABLE} (n, site, sent_ns) values ($1, $2, $3)"
STANDBY = "select pg_is_in_recovery()"

CONNECT_WITHIN_SECONDS = 0.5
ANSWER_WITHIN_SECONDS = 2.0
PATIENT_SECONDS = 60.0  # inside a site with gates: longer than any pause of its hosts
RECONNECT_AFTER_SECONDS = (0.005, 0.05)  # at first, and at most
KNOCK_EVERY_SECONDS = 0.5  # a real write where only a standby is expected
FLUSH_EVERY_SECONDS = 0.02
RESTART_GAP = 100_000  # a client that starts again leaves out numbers that its end left in doubt
BROKEN = (
    OSError,
    TimeoutError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    # asyncpg's own confusion when a server goes away in the middle of an answer
    asyncpg.InternalClientError,
)
INSIDE_WRITE_EVERY_SECONDS = 0.02
OUTSIDE_ASK_EVERY_SECONDS = 0.02  # in namespaces, where there are more clients
INSIDE_ASK_EVERY_SECONDS = 0.05
INSIDE_FIRST_N = 10**12  # of the client inside the first site, twice that inside the second
KEPT_WRITE_EVERY_SECONDS = 0.1  # after SIGUSR1: a lab that is left running for people
LIVE_BYTES = 1024
RECORD_LIMIT_BYTES = 256 << 20


@dataclass(frozen=True, slots=True)
class ClientSpec:
    """What one client is to do. `databases`: for each site what asyncpg's connect takes. `records` grows by
    a line per acknowledged commit, `ends` by one each time that writing came to an end at a site, `live` is
    one line about now."""

    service: str
    databases: dict[str, dict[str, Any]]
    records: str
    ends: str
    live: str
    write_every_seconds: float = 0.005
    ask_every_seconds: float = 0.0  # a standby, whether it still is one; at least as long as between writes
    first_n: int = 1  # of its rows: every client of a service has numbers of its own
    answer_within_seconds: float = ANSWER_WITHIN_SECONDS

    def to_json(self) -> str:
        """What `from_json` reads."""
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> "ClientSpec":
        """Raises ValueError or TypeError for anything `to_json` did not write."""
        return cls(**json.loads(text))


@dataclass(slots=True)
class SiteNow:
    """How one site meets this client at the moment. `state`: writing, standby, refused, unreachable."""

    state: str = "unreachable"
    acknowledged: int = 0
    last_n: int = 0
    last_acknowledged_ns: int = 0
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Live:
    """The line that a client keeps for others: when it was written, and each site as the client meets it."""

    at_ns: int
    sites: dict[str, SiteNow] = field(default_factory=dict)

    @property
    def acknowledged(self) -> int:
        """Commits acknowledged so far, anywhere."""
        return sum(site.acknowledged for site in self.sites.values())

    @property
    def last_acknowledged_ns(self) -> int:
        """When the last commit was acknowledged, anywhere; 0: never."""
        return max((site.last_acknowledged_ns for site in self.sites.values()), default=0)

    @property
    def writing_at(self) -> list[str]:
        """The sites that took this client's last write there."""
        return [name for name, site in self.sites.items() if site.state == "writing"]


def read_live(path: Path) -> Live:
    """What the client says of now; an empty Live if it has not said anything yet."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        return Live(raw["at_ns"], {name: SiteNow(**site) for name, site in raw["sites"].items()})
    except (OSError, ValueError, KeyError, TypeError):
        return Live(0)


def read_records(path: Path, from_offset: int = 0) -> Iterator[Acknowledged]:
    """The commits that are recorded in the file, in the order of their acknowledgement."""
    with contextlib.suppress(FileNotFoundError), path.open(encoding="ascii") as file:
        file.seek(from_offset)
        for line in file:
            if line.endswith("\n"):  # the last line may be half written
                n, site, sent_ns, acknowledged_ns = line.split()
                yield Acknowledged(int(n), site, int(sent_ns), int(acknowledged_ns))


def read_ends(path: Path) -> Iterator[Broken]:
    """Each time that writing came to an end at a site, in order."""
    with contextlib.suppress(FileNotFoundError), path.open(encoding="ascii") as file:
        for line in file:
            if line.endswith("\n"):
                site, sent_ns, at_ns, last_n, detail = line.rstrip("\n").split("\t", 4)
                yield Broken(site, int(sent_ns), int(at_ns), int(last_n), detail)


class Writer:
    """Writes at every site of one service until it is cancelled."""

    def __init__(self, spec: ClientSpec) -> None:
        self._spec = spec
        self._every = spec.write_every_seconds
        recorded = max((record.n for record in read_records(Path(spec.records))), default=0)
        self._next_n = recorded + RESTART_GAP if recorded else spec.first_n
        self._sites = {site: SiteNow() for site in spec.databases}
        self._pending: list[str] = []
        self._asked_ns = dict.fromkeys(spec.databases, 0)  # when each site was last asked anything
        flags = os.O_WRONLY | os.O_CREAT
        self._records = os.open(spec.records, flags | os.O_APPEND, 0o644)
        self._ends = os.open(spec.ends, flags | os.O_APPEND, 0o644)
        self._live = os.open(spec.live, flags | os.O_TRUNC, 0o644)

    def slow_down(self) -> None:
        """From now on only a few rows a second."""
        self._every = KEPT_WRITE_EVERY_SECONDS

    async def run(self) -> None:
        """Write, record and report until cancelled; what was acknowledged is recorded to the last row."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._keep_records())
                for site in self._spec.databases:
                    tasks.create_task(self._visit(site))
        finally:
            self._flush()
            os.close(self._records)
            os.close(self._ends)
            os.close(self._live)

    async def _keep_records(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_EVERY_SECONDS)
            self._flush()

    def _flush(self) -> None:
        if self._pending and os.fstat(self._records).st_size < RECORD_LIMIT_BYTES:
            os.write(self._records, "".join(self._pending).encode("ascii"))
        self._pending.clear()
        line = json.dumps({"at_ns": boottime_ns(), "sites": {n: asdict(s) for n, s in self._sites.items()}})
        # One write of always the same length, so that a reader never meets a mixture of two lines.
        os.pwrite(self._live, line.ljust(LIVE_BYTES)[:LIVE_BYTES].encode("ascii"), 0)

    async def _visit(self, site: str) -> None:
        """One site for ever: connect, use the connection until it breaks, connect again."""
        shortest, longest = RECONNECT_AFTER_SECONDS
        pause = shortest
        while True:
            try:
                connection = await self._connect(site)
            except BROKEN as fault:
                self._met(site, "unreachable", fault)
                await asyncio.sleep(pause)
                pause = min(longest, pause * 1.5)
                continue
            pause = shortest
            try:
                await self._use(site, connection)
            except BROKEN as fault:
                self._met(site, "unreachable", fault)
            finally:
                connection.terminate()

    async def _connect(self, site: str) -> Any:
        async with asyncio.timeout(CONNECT_WITHIN_SECONDS):
            return await asyncpg.connect(**self._spec.databases[site], timeout=CONNECT_WITHIN_SECONDS)

    async def _use(self, site: str, connection: Any) -> None:
        """Write at a steady pace where writes are taken, ask where they are not. Raises when it breaks."""
        standby, knock_at, due = True, time.monotonic() + KNOCK_EVERY_SECONDS, time.monotonic()
        while True:
            if standby:
                async with asyncio.timeout(self._spec.answer_within_seconds):
                    standby = await connection.fetchval(STANDBY)
            if not standby or time.monotonic() >= knock_at:
                knock_at = time.monotonic() + KNOCK_EVERY_SECONDS
                standby = not await self._write(site, connection)
            elif standby:
                self._met(site, "standby")
            every = max(self._every, self._spec.ask_every_seconds) if standby else self._every
            due = max(due + every, time.monotonic())
            await asyncio.sleep(due - time.monotonic())

    async def _write(self, site: str, connection: Any) -> bool:
        """One row. True: it was acknowledged; False: the site takes no writes."""
        n, sent_ns = self._next_n, boottime_ns()
        self._asked_ns[site] = sent_ns
        self._next_n += 1
        try:
            async with asyncio.timeout(self._spec.answer_within_seconds):
                await connection.execute(INSERT, n, site, sent_ns)
        except asyncpg.ReadOnlySQLTransactionError as refusal:
            self._met(site, "refused", refusal)
            return False
        except asyncpg.UndefinedTableError:
            return await self._create(site, connection)
        acknowledged_ns = boottime_ns()
        self._pending.append(f"{n}\t{site}\t{sent_ns}\t{acknowledged_ns}\n")
        now = self._sites[site]
        now.state, now.detail = "writing", ""
        now.acknowledged += 1
        now.last_n, now.last_acknowledged_ns = n, acknowledged_ns
        return True

    async def _create(self, site: str, connection: Any) -> bool:
        """The table, where it can be made: at the primary."""
        try:
            async with asyncio.timeout(self._spec.answer_within_seconds):
                await connection.execute(CREATE)
        except asyncpg.ReadOnlySQLTransactionError as refusal:
            self._met(site, "refused", refusal)
            return False
        return True

    def _met(self, site: str, state: str, fault: BaseException | None = None) -> None:
        now = self._sites[site]
        ended = now.state == "writing" and state != "writing"
        now.state = state
        now.detail = "" if fault is None else " ".join(f"{type(fault).__name__}: {fault}"[:120].split())
        now.detail = now.detail.encode("ascii", "replace").decode()
        if ended:
            line = f"{site}\t{self._asked_ns[site]}\t{boottime_ns()}\t{now.last_n}\t{now.detail}\n"
            os.write(self._ends, line.encode("ascii"))


async def _run(spec: ClientSpec) -> None:
    writer = Writer(spec)
    task = asyncio.current_task()
    loop = asyncio.get_running_loop()
    if task is not None:
        loop.add_signal_handler(signal.SIGTERM, task.cancel)
    loop.add_signal_handler(signal.SIGUSR1, writer.slow_down)
    await writer.run()


def main() -> None:
    """`python -P -m orchestrator.lab.client SPEC`; runs until SIGTERM."""
    with contextlib.suppress(asyncio.CancelledError):
        asyncio.run(_run(ClientSpec.from_json(Path(sys.argv[1]).read_text(encoding="utf-8"))))


if __name__ == "__main__":
    main()
