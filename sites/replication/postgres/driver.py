"""The words every driver speaks, for a pair of PostgreSQL servers.

Questions and the promotion go over one kept connection per instance; whatever must work when the server
does not answer (stop, fence, start, rejoin) goes to its host. Never decides whether a word should be said:
that is the caller's, who holds the lease.

Every running primary has `standby.signal` in its data directory, so that any later start of it, by a boot or
by mistake, is as a standby. PostgreSQL removes the file when it promotes and looks at it only when it
starts, so this driver puts it back: after a promotion, after a local start, and whenever it connects anew to
a primary. `restart_after_crash` must be off: with it on, PostgreSQL 13 to 18 read the file again when a
backend crashes, and a crash that would have cost a second turns the primary into a standby.
"""

import asyncio
import uuid
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import structlog

from sites.errors import DriverTrouble, HostUnreachable, SitesTrouble
from sites.model import Estate, Service
from sites.quantities import format_size
from sites.replication.deadline import Deadline, boottime_ns
from sites.replication.postgres import sql
from sites.replication.postgres.config import PostgresSettings
from sites.replication.postgres.control import (
    CLEAN_PRIMARY,
    final_position,
    of_standby,
    parse_control,
    position,
)
from sites.replication.postgres.host import GRACE_SECONDS, Values
from sites.replication.postgres.rehearsal import PostgresRehearsal
from sites.replication.postgres.rejoin import Rejoining, checkpoint_new_timeline, keep_slot
from sites.replication.postgres.requirements import Finding, findings_of
from sites.replication.postgres.server import Server, server_of
from sites.replication.words import (
    Closed,
    Copying,
    Fenced,
    Position,
    Promoted,
    Rejoined,
    Role,
    Sample,
    Standstill,
    Word,
)
from sites.transport import Transport

log = structlog.get_logger(__name__)

PROMOTE_LOOK_SECONDS = 0.003
CATCH_UP_LOOK_SECONDS = 0.005
# A server that is refused this often in a row, this far apart, is not running.
REFUSALS = 4
REFUSAL_PAUSE_SECONDS = 0.02
NOT_READY_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 0.5
SETTLE_SECONDS = 10.0
TOUCH_SECONDS = 0.5
LOOK_SECONDS = 5.0


class PostgresDriver:
    """The driver of one service. Built for an estate that was checked (`PostgresSettings.check`)."""

    unknown_words: frozenset[Word] = frozenset()

    def __init__(
        self,
        service: Service,
        estate: Estate,
        settings: PostgresSettings,
        transport: Transport,
        base: Path = Path(),
    ) -> None:
        self.service = service.name
        self.settings = settings
        self.close_within_seconds = settings.close_within_seconds
        self._servers = {
            site: server_of(service, estate, settings, transport, site, base) for site in service.sites
        }
        self._background: set[asyncio.Task[None]] = set()
        self._rejoining = Rejoining(service.name, settings)
        self.rehearsal = PostgresRehearsal(settings, self._servers)

    # --- what is seen ---------------------------------------------------------------------------------

    async def sample(self, site: str) -> Sample:
        """Ask the instance at `site`; never raises for a sick instance; takes at most `answer_within`."""
        server = self._servers[site]
        # Before the question: what was written before this instant lies at or below the answer.
        taken_at_ns = boottime_ns()
        try:
            row = await server.link.ask(sql.SAMPLE, timeout_seconds=self.settings.answer_within_seconds)
        except sql.ServerRefused as error:
            return Sample(self.service, site, Role.DOWN, taken_at_ns, writable=False, reason=str(error))
        except SitesTrouble as error:
            return Sample(self.service, site, Role.UNKNOWN, taken_at_ns, reason=str(error))
        server.system_id = row["system_id"]
        sample = sample_of(self.service, site, taken_at_ns, row)
        if sample.role is Role.PRIMARY and server.settled_at != server.link.connections_made:
            server.settled_at = server.link.connections_made
            self._start_background(self._settle(server), "settle")
        return sample

    async def lost(self, site: str) -> str:
        """Wait until the kept connection breaks and nothing listens any more; return the evidence.

        Starting up, shutting down, a connection that breaks while the server accepts a new one, and silence
        are not loss. Silence says nothing about the server: it is waited through.
        """
        link = self._servers[site].link
        refused_since_ns, refusals, pause_seconds = 0, 0, REFUSAL_PAUSE_SECONDS
        while True:
            try:
                await link.connect(timeout_seconds=self.settings.answer_within_seconds)
            except sql.ServerRefused as error:
                refusals += 1
                refused_since_ns = refused_since_ns or boottime_ns()
                if refusals >= REFUSALS:
                    return f"{error}, {refusals} times in {(boottime_ns() - refused_since_ns) / 1e6:.0f} ms"
                await asyncio.sleep(REFUSAL_PAUSE_SECONDS)
                continue
            except SitesTrouble:
                # A dying server resets connections before it refuses them, so the first pauses are short.
                await asyncio.sleep(pause_seconds)
                pause_seconds = min(2 * pause_seconds, LONGEST_PAUSE_SECONDS)
            else:
                pause_seconds = REFUSAL_PAUSE_SECONDS
                await link.broken()
            refused_since_ns, refusals = 0, 0

    async def standstill(self, site: str) -> Standstill | None:
        """Whether every process of the instance is gone, by its host: a port that refuses proves less, since
        the children of a dead postmaster go on committing. The mark is the control file's: a server writes
        it before it lets anybody in. Raises what the transport raises, and DriverTrouble."""
        server = self._servers[site]
        asked_at_ns = boottime_ns()
        said = await server.host.run("still", timeout_seconds=LOOK_SECONDS)
        left, mark = said.get("left").split(), said.get("mark")
        if left or not mark:
            return None
        evidence = f"no process of {server.instance.data} is left"
        return Standstill(asked_at_ns, boottime_ns(), mark, evidence)

    async def check_settings(self, site: str) -> list[Finding]:
        """What at `site` is not set up as this driver needs it, worst first. Raises SitesTrouble."""
        peer = next(server for name, server in self._servers.items() if name != site)
        return await findings_of(self._servers[site], peer, self.settings, self.service)

    # --- a planned stop -------------------------------------------------------------------------------

    async def prepare(self, site: str) -> None:
        """Checkpoint now, so that the one at the stop has little to write. Raises SitesTrouble."""
        limit = self.settings.checkpoint_within_seconds
        async with self._servers[site].link.apart(timeout_seconds=limit) as link:
            await link.ask(sql.CHECKPOINT, timeout_seconds=limit)

    async def close(self, site: str, *, within_seconds: float) -> Closed:
        """Stop in order (P23): clients are cut at once, the last checkpoint is written, and everything is
        sent to the standby. What overruns, such as a standby or an archiver that hangs, ends as a fence.

        Said again, it reads the final position from the data of the stopped server. Raises DriverTrouble
        for a standby, and what the transport raises: the caller then does not know whether it is closed.
        """
        server = self._servers[site]
        sample = await self.sample(site)
        if sample.role is Role.STANDBY:
            raise DriverTrouble(f"{server.name} is a standby; there is nothing to close")
        said = await server.host.run(
            "close",
            {"within": centiseconds(within_seconds)},
            timeout_seconds=within_seconds + 5 + GRACE_SECONDS,
        )
        server.link.terminate()
        control = parse_control(said.text)
        how = f"stop: {said.get('stopped')}, {server.instance.data} is {control.state!r}"
        if said.get("stopped") in ("fast", "already") and control.state == CLEAN_PRIMARY:
            final = final_position(control)
            return Closed(final, f"{how}; last checkpoint at {final.text} on timeline {control.timeline}")
        log.warning("close_ended_as_fence", service=self.service, site=site, evidence=how)
        return Closed(None, how)

    async def caught_up(self, site: str, final_position: Position, *, timeout_seconds: float) -> bool:
        """Wait until the standby at `site` has replayed up to `final_position`, on its line of history."""
        server = self._servers[site]
        deadline = Deadline(timeout_seconds, f"{server.name}: catching up")
        known_line = False
        wanted = final_position.offset_bytes
        while wanted is not None and not deadline.passed:
            try:
                if not known_line:
                    sample = await self.sample(site)
                    if sample.position is None:
                        await asyncio.sleep(CATCH_UP_LOOK_SECONDS)
                        continue
                    if not _may_reach(sample, final_position):
                        return False
                    known_line = True
                row = await server.link.ask(sql.REPLAYED, timeout_seconds=deadline.left(at_most=1))
            except SitesTrouble:
                known_line = False
            else:
                if (row["replayed"] or 0) >= wanted:
                    return True
            await asyncio.sleep(CATCH_UP_LOOK_SECONDS)
        return False

    # --- cut and promote ------------------------------------------------------------------------------

    async def fence(self, site: str, *, within_seconds: float) -> Fenced:
        """Immediate stop, then every process of the instance, until none is left (P7); then a connection
        must fail. Not verified when the host could not be reached: that says nothing about the server."""
        server = self._servers[site]
        server.fences += 1
        given: Values = {"within": centiseconds(within_seconds), "mark": uuid.uuid4().hex}
        try:
            said = await server.host.run("fence", given, timeout_seconds=within_seconds + GRACE_SECONDS)
        except SitesTrouble as error:
            return Fenced(False, f"{type(error).__name__}: {error}")
        server.link.terminate()
        left, had = said.get("left").split(), said.get("had") or "0"
        where = f"{server.instance.data}: {had} processes found"
        if not said.yes("directory"):
            # Processes are known by their directory: one that is gone, or closed to us, proves nothing.
            return Fenced(False, f"{server.instance.data} cannot be entered, so its processes are not known")
        if said.get("foreign"):
            owner = said.get("foreign")
            return Fenced(False, f"{where}, but {owner}'s processes cannot be seen: log in as {owner}")
        if left:
            return Fenced(False, f"{where}; still there: {' '.join(left)}")
        effect = await self._still_writes(server)
        if effect is not None:
            return Fenced(False, f"{where}, none left; but {effect}")
        return Fenced(True, f"{where}, none left; no connection at {server.address}:{server.instance.port}")

    async def promote(self, site: str, *, timeout_seconds: float) -> Promoted:
        """Make the standby writable, seen by a transaction of ours that was written.

        Afterwards, without keeping the caller waiting: the signal for later starts, the slot for the standby
        to come, and a checkpoint, before which pg_rewind on PostgreSQL 15 and older sees no fork. Raises
        DriverTrouble, and the errors of the link.
        """
        server = self._servers[site]
        deadline = Deadline(timeout_seconds, f"{server.name}: promotion")
        sample = await self.sample(site)
        self._check_identity(server, sample)
        if sample.role is Role.PRIMARY:
            how = "was primary already"
        elif sample.role is Role.STANDBY:
            how = await self._promoted(server, deadline)
        else:
            raise DriverTrouble(f"{server.name} cannot be promoted: {sample.reason or sample.role}")
        row = await server.link.ask(sql.WRITE, timeout_seconds=deadline.left())
        sample = await self.sample(site)
        if sample.role is not Role.PRIMARY or sample.position is None:
            raise DriverTrouble(f"{server.name} was promoted and is {sample.role} now: {sample.reason}")
        self._start_background(self._after_promotion(server), "after promotion")
        evidence = f"{how}; transaction {row['transaction']} written on timeline {sample.timeline}"
        return Promoted(sample.position, evidence)

    # --- start, rejoin, rebuild -----------------------------------------------------------------------

    async def start(self, site: str, *, role: Role, timeout_seconds: float) -> None:
        """Start a stopped instance as a primary (local restart) or as a standby. Runs already: checked.

        One that was a standby when it ended becomes a primary by a promotion: started as one it would leave
        out what it received since its last checkpoint on a newer line of history, and go on under the number
        of the line before. A primary's start is refused by the host when a fence was ordered after this was
        called, or without its guard's permit (P19), and undone when a fence arrives while the server comes
        up. Raises DriverTrouble, and what the transport raises.
        """
        if role not in (Role.PRIMARY, Role.STANDBY):
            raise ValueError(f"a server is started as primary or standby, not as {role}")
        server = self._servers[site]
        fences = server.fences
        deadline = Deadline(timeout_seconds, f"{server.name}: start as {role}")
        seen = await server.host.run("inspect", timeout_seconds=deadline.left())
        if server.fences != fences:
            raise DriverTrouble(f"{server.name}: fenced while it was to be started")
        if seen.yes("rewinding"):
            raise DriverTrouble(
                f"{server.name}: an earlier rewind of {server.instance.data} was interrupted; rebuild it"
            )
        promoted = role is Role.PRIMARY and not seen.yes("running") and of_standby(seen.text)
        given: Values = {
            "role": str(Role.STANDBY if promoted else role),
            "opens": "yes" if role is Role.PRIMARY else "no",
            "within": centiseconds(deadline.left()),
            "mark": seen.get("mark"),
        }
        await server.host.run("start", given, timeout_seconds=deadline.left() + GRACE_SECONDS)
        if promoted:
            await self._wait_for(server, Role.STANDBY, deadline)
            await self.promote(site, timeout_seconds=deadline.left())
        await self._wait_for(server, role, deadline)

    def way_back(self) -> str:
        """See TellsWayBack."""
        rate = self.settings.rebuild_rate_bytes
        limit = "not slowed down (`rebuild_rate` is not set)"
        if rate is not None:
            limit = f"at no more than {format_size(rate)} a second (`rebuild_rate`)"
        return (
            "it follows where it has nothing of its own, else it is rewound (pg_rewind); where that cannot "
            f"be done, a full copy takes the place of its data, {limit}, and the old data are set aside"
        )

    async def rejoin(self, site: str, *, primary_site: str, timeout_seconds: float) -> Rejoined:
        """Make `site` a streaming standby of `primary_site`: follow if its history is an ancestor's, else
        save what only it has and rewind, else rebuild. Raises DriverTrouble (and its kinds)."""
        return await self._rejoining.rejoin(
            self._servers[site], self._servers[primary_site], timeout_seconds=timeout_seconds
        )

    async def rebuild(self, site: str, *, primary_site: str, timeout_seconds: float) -> Rejoined:
        """The same from a full copy; the old directory is set aside beside the new one."""
        return await self._rejoining.rebuild(
            self._servers[site], self._servers[primary_site], timeout_seconds=timeout_seconds
        )

    async def aclose(self) -> None:
        """Drop the connections; end what runs in the background."""
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        for server in self._servers.values():
            await server.link.aclose()

    # --- parts ----------------------------------------------------------------------------------------

    async def settled(self) -> None:
        """Wait until nothing runs in the background."""
        while self._background:
            await asyncio.wait(self._background)

    async def _promoted(self, server: Server, deadline: Deadline) -> str:
        if self.settings.synchronous:
            # Nobody stands behind the new primary yet; every commit would wait for that.
            await server.link.ask(sql.SYNCHRONOUS_OFF, timeout_seconds=deadline.left())
            await server.link.ask(sql.RELOAD, timeout_seconds=deadline.left())
        begun_ns = boottime_ns()
        if server.host.guarded:
            # P19: on the host, right behind a look at the guard's permit; a question could wait in a queue.
            await server.host.run("promote", timeout_seconds=deadline.left())
        else:
            await server.link.ask(sql.PROMOTE, timeout_seconds=deadline.left())
        while True:
            row = await server.link.ask(sql.RECOVERING, timeout_seconds=deadline.left())
            if not row["recovering"]:
                break
            await asyncio.sleep(PROMOTE_LOOK_SECONDS)
        return f"promoted in {(boottime_ns() - begun_ns) / 1e6:.0f} ms"

    async def _after_promotion(self, server: Server) -> None:
        await self._settle(server)
        server.settled_at = server.link.connections_made
        for other in self._servers.values():
            if other is not server:
                await keep_slot(server, self.service, other.site)
        limit = self.settings.checkpoint_within_seconds
        await checkpoint_new_timeline(server, Deadline(limit, f"{server.name}: checkpoint"))

    async def _settle(self, server: Server) -> None:
        """Any later start of this primary is as a standby."""
        await server.host.run("settle", timeout_seconds=SETTLE_SECONDS)

    def _start_background(self, work: Coroutine[Any, Any, None], what: str) -> None:
        task = asyncio.create_task(self._guarded(work, what))
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _guarded(self, work: Coroutine[Any, Any, None], what: str) -> None:
        try:
            await work
        except SitesTrouble as error:
            log.warning("background_work_failed", service=self.service, what=what, error=str(error))

    def _check_identity(self, server: Server, sample: Sample) -> None:
        for other in self._servers.values():
            if other is not server and other.system_id and sample.system_id not in ("", other.system_id):
                raise DriverTrouble(
                    f"{server.name} is of another cluster: its system identifier is {sample.system_id}, "
                    f"that of {other.name} is {other.system_id}; nothing was touched"
                )

    async def _wait_for(self, server: Server, role: Role, deadline: Deadline) -> None:
        while True:
            sample = await self.sample(server.site)
            if sample.role is role:
                return
            if sample.role in (Role.PRIMARY, Role.STANDBY):
                raise DriverTrouble(f"{server.name} runs as {sample.role}, not as {role}")
            deadline.left()
            await asyncio.sleep(NOT_READY_PAUSE_SECONDS)

    async def _still_writes(self, server: Server) -> str | None:
        """What speaks against the fence's effect: a write that succeeded, or an answer as a primary."""
        try:
            async with server.link.apart(timeout_seconds=TOUCH_SECONDS) as link:
                row = await link.ask(sql.RECOVERING, timeout_seconds=TOUCH_SECONDS)
        except (sql.ServerRefused, HostUnreachable, sql.ServerNotReady, sql.ConnectionLost):
            return None
        except SitesTrouble as error:
            return f"something answers at {server.address}:{server.instance.port}: {error}"
        if row["recovering"]:
            return None
        return f"a server at {server.address}:{server.instance.port} still answers as a primary"


def sample_of(service: str, site: str, taken_at_ns: int, row: Any) -> Sample:
    """The row of `sql.SAMPLE` as the value every driver gives."""
    system_id = row["system_id"]
    if not row["recovering"]:
        return Sample(
            service=service,
            site=site,
            role=Role.PRIMARY,
            taken_at_ns=taken_at_ns,
            writable=True,
            position=position(system_id, row["writing_on"], row["written"]),
            synchronous=row["synchronous"],
            system_id=system_id,
            timeline=row["writing_on"],
            version=row["version"],
            copying=None if row["copied"] is None else Copying(row["copied"], row["to_copy"]),
        )
    timeline = row["received_tli"] or max(row["control_timeline"], row["log_timeline"] or 0)
    replayed = row["replayed"] or 0
    # A receiver that has just begun counts from the start of a segment, below what is replayed.
    received = max(row["received"] or 0, replayed)
    return Sample(
        service=service,
        site=site,
        role=Role.STANDBY,
        taken_at_ns=taken_at_ns,
        writable=False,
        position=position(system_id, timeline, received),
        replayed=position(system_id, timeline, replayed),
        streaming=row["receiver"] == "streaming",
        system_id=system_id,
        timeline=timeline,
        version=row["version"],
    )


def centiseconds(seconds: float) -> int:
    """What the host scripts count in; never none at all."""
    return max(1, int(seconds * 100))


def _may_reach(sample: Sample, final: Position) -> bool:
    """Whether this instance is on the line of `final`, or was promoted after it had reached it."""
    if sample.position is None or sample.position.history == final.history:
        return True
    same_cluster = final.history.startswith(f"{sample.system_id}/")
    return sample.role is Role.PRIMARY and same_cluster
