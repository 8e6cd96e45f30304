"""How an old primary, or a standby that fell behind, becomes a streaming standby again.

Order is everything: whose data are these, then stop, then compare, then **save what only this side has**,
and only then change anything: follow, rewind, or a full copy. Every step can be said again. Nothing here
decides who is primary; that the other side accepts writes is asked of it first.
"""

import asyncio
from dataclasses import dataclass

import structlog

from sites.errors import DriverTrouble, SitesTrouble
from sites.quantities import format_size
from sites.replication.deadline import Deadline
from sites.replication.postgres import sql
from sites.replication.postgres.config import PostgresSettings, setting_line
from sites.replication.postgres.control import Control, parse_control
from sites.replication.postgres.divergence import Divergence, compare, line_of, save
from sites.replication.postgres.host import GRACE_SECONDS, NoRoom, Said, WrongData
from sites.replication.postgres.server import (
    Server,
    application_name,
    password_lines,
    slot_name,
    source_of,
    standby_lines,
)
from sites.replication.words import Rejoined

log = structlog.get_logger(__name__)

ASK_SECONDS = 5.0
LOOK_SECONDS = 0.05
STOP_SECONDS = 10.0
STEADY_SECONDS = 0.4
# How long a standby that answers may take to stream before it is taken for one that cannot.
STREAM_PATIENCE_SECONDS = 20.0
# How long a new standby may be without a server at its port before its start is taken for failed.
REFUSED_PATIENCE_SECONDS = 3.0


NOTHING_APART = Divergence(at_bytes=0, timeline=0, tails=(), bytes=0, commits=0)


class NotStreaming(DriverTrouble):
    """The standby runs and does not receive from its primary."""


@dataclass(frozen=True, slots=True)
class Primary:
    """The writable side, as it answered."""

    server: Server
    system_id: str
    timeline: int
    written_bytes: int


class Rejoining:
    """Rejoin and rebuild for one service; keeps nothing between calls."""

    def __init__(self, service: str, settings: PostgresSettings) -> None:
        self._service = service
        self._settings = settings

    async def rejoin(self, server: Server, primary: Server, *, timeout_seconds: float) -> Rejoined:
        """See ReplicationDriver.rejoin."""
        deadline = Deadline(timeout_seconds, f"{server.name}: rejoin")
        source = await self._writable(primary)
        if await self._streams_from(server, source):
            await self._tidy(server, source)
            return Rejoined("follow", 0, None, f"streams from {primary.site} already")
        said = await server.host.run("inspect", timeout_seconds=deadline.left())
        self._check_identity(server, source, said)
        await self._ready_source(source, server.site, deadline)
        await server.host.run(
            "close", {"within": int(STOP_SECONDS * 100)}, timeout_seconds=deadline.left(at_most=60)
        )
        server.link.terminate()
        said = await server.host.run("inspect", timeout_seconds=deadline.left())
        control = parse_control(said.text)
        if said.yes("rewinding"):
            return await self._copied(
                server, source, deadline, "an earlier rewind was interrupted", None, None
            )
        found, saved_at = await self._saved(server, source, control, said, deadline)
        if found is None:
            return await self._followed(server, source, control, deadline)
        if not found.rewindable:
            why = f"{found.text}; both sides took timeline {found.timeline}"
            return await self._copied(server, source, deadline, why, found, saved_at)
        return await self._rewound(server, source, control, found, saved_at, deadline)

    async def rebuild(self, server: Server, primary: Server, *, timeout_seconds: float) -> Rejoined:
        """See ReplicationDriver.rebuild."""
        deadline = Deadline(timeout_seconds, f"{server.name}: rebuild")
        source = await self._writable(primary)
        said = await server.host.run("inspect", timeout_seconds=deadline.left())
        if said.yes("exists") and said.get("initialised") != "no":
            self._check_identity(server, source, said)
        if said.yes("running") and await self._writes(server):
            raise DriverTrouble(
                f"{server.name} accepts writes; it is not copied over. Fence or close it first"
            )
        await self._ready_source(source, server.site, deadline)
        return await self._copied(server, source, deadline, "ordered", None, None)

    # --- asking ---------------------------------------------------------------------------------------

    async def _writable(self, primary: Server) -> Primary:
        row = await primary.link.ask(sql.SAMPLE, timeout_seconds=ASK_SECONDS)
        if row["recovering"]:
            raise DriverTrouble(f"{primary.name} is a standby itself; there is nothing to follow")
        return Primary(primary, row["system_id"], row["writing_on"], row["written"])

    async def _writes(self, server: Server) -> bool:
        try:
            row = await server.link.ask(sql.RECOVERING, timeout_seconds=ASK_SECONDS)
        except SitesTrouble:
            return False
        return not row["recovering"]

    async def _streams_from(self, server: Server, source: Primary) -> bool:
        """Whether it streams, and not only for a moment: a receiver that is about to be told that the log it
        needs is gone says "streaming" too, again and again, each time as another process."""
        receiver, reached = await self._receiver(server, source)
        if receiver is None or reached:
            return reached
        await asyncio.sleep(STEADY_SECONDS)
        later, _ = await self._receiver(server, source)
        return later == receiver

    async def _receiver(self, server: Server, source: Primary) -> tuple[int | None, bool]:
        """The process that streams from the primary on its timeline, and whether it has received what the
        primary had written when it was asked."""
        try:
            row = await server.link.ask(sql.SAMPLE, timeout_seconds=ASK_SECONDS)
        except SitesTrouble:
            return None, False
        upstream = (row["sender_host"], row["sender_port"])
        streams = (
            row["recovering"]
            and row["receiver"] == "streaming"
            and row["system_id"] == source.system_id
            and row["received_tli"] == source.timeline
            and upstream == (source.server.address, source.server.instance.port)
        )
        if not streams:
            return None, False
        return row["receiver_pid"], (row["received"] or 0) >= source.written_bytes

    def _check_identity(self, server: Server, source: Primary, said: Said) -> None:
        """Whose data are these? Before anything is stopped, let alone changed."""
        if not said.yes("exists") or said.get("initialised") == "no":
            raise WrongData(
                f"{server.name}: there are no PostgreSQL data in {server.instance.data}; "
                "if the right disk is mounted there, rebuild it"
            )
        control = parse_control(said.text)
        if control.system_id != source.system_id:
            raise WrongData(
                f"{server.name} belongs to another cluster: the system identifier in {server.instance.data} "
                f"is {control.system_id}, that of {source.server.name} is {source.system_id}; "
                "nothing was touched"
            )

    # --- making ready ---------------------------------------------------------------------------------

    async def _ready_source(self, source: Primary, for_site: str, deadline: Deadline) -> None:
        """The primary's side: its control file shows its timeline, a slot keeps the log from here on, and
        its signal file is there, so that a half rewound directory could never open as a primary."""
        await source.server.host.run("settle", timeout_seconds=deadline.left(at_most=ASK_SECONDS))
        await keep_slot(source.server, self._service, for_site)
        await checkpoint_new_timeline(source.server, deadline)

    async def _saved(
        self, server: Server, source: Primary, control: Control, said: Said, deadline: Deadline
    ) -> tuple[Divergence | None, str | None]:
        try:
            theirs = await line_of(source.server, source.timeline)
            found = await compare(server, control, said.get("history"), source.server, theirs, deadline)
        except ValueError as error:
            raise DriverTrouble(f"{server.name}: its history cannot be compared: {error}") from error
        if found is None:
            return None, None
        saved_at = await save(server, source.server, self._service, control, found, deadline)
        log.warning(
            "divergence_saved",
            service=self._service,
            site=server.site,
            bytes=found.bytes,
            transactions=found.commits,
            place=saved_at,
        )
        return found, saved_at

    # --- the three ways -------------------------------------------------------------------------------

    async def _followed(
        self, server: Server, source: Primary, control: Control, deadline: Deadline
    ) -> Rejoined:
        given = self._standby_values(server, source)
        await server.host.run(
            "follow",
            given,
            timeout_seconds=deadline.left(),
            stdin=password_lines(source.server, self._settings),
        )
        try:
            how = await self._started(server, source, deadline)
        except NotStreaming as error:
            # Its history is in order, so what it needs is gone from the primary. A server that does not even
            # start is another matter, which no copy would cure.
            return await self._copied(server, source, deadline, str(error), NOTHING_APART, None)
        return Rejoined("follow", 0, None, f"stopped as {control.state!r}, not diverged; {how}")

    async def _rewound(
        self,
        server: Server,
        source: Primary,
        control: Control,
        found: Divergence,
        saved_at: str | None,
        deadline: Deadline,
    ) -> Rejoined:
        target = _identity(server, control)
        log.warning(
            "rewind_begins",
            service=self._service,
            site=server.site,
            target=target,
            source=source.server.name,
        )
        given = self._standby_values(server, source)
        given["source"] = source_of(
            source.server, self._settings, self._settings.user, "rewind", server.instance.ca
        )
        try:
            said = await server.host.run(
                "rewind",
                given,
                timeout_seconds=deadline.left(),
                stdin=password_lines(source.server, self._settings),
            )
            if said.yes("needless") and found.commits is not None:
                # The trap itself: it would start, and never stream.
                raise DriverTrouble("pg_rewind saw no reason to rewind, and the histories differ")
            how = await self._started(server, source, deadline)
        except NoRoom:
            raise
        except DriverTrouble as error:
            log.warning("rewind_failed", service=self._service, site=server.site, error=str(error))
            return await self._copied(server, source, deadline, str(error), found, saved_at)
        recovered = "; recovered from a crash first" if said.yes("recovered") else ""
        return Rejoined(
            "rewind",
            found.bytes,
            saved_at,
            f"{found.text}; rewound {target} on {said.get('host')}{recovered}; {how}",
            found.commits,
            found.span_seconds,
        )

    async def _copied(
        self,
        server: Server,
        source: Primary,
        deadline: Deadline,
        why: str,
        found: Divergence | None,
        saved_at: str | None,
    ) -> Rejoined:
        """`found`: what only this side has; None: nobody has looked."""
        target = await self._target(server, deadline)
        row = await source.server.link.ask(sql.TABLESPACES, timeout_seconds=ASK_SECONDS)
        if row["others"]:
            raise DriverTrouble(
                f"{server.name} needs a full copy ({why}), and {source.server.name} has {row['others']} "
                "tablespaces outside its data directory: copy it by hand with pg_basebackup"
            )
        rate = self._settings.rebuild_rate_bytes
        user = self._settings.replication_user
        given = self._standby_values(server, source) | {
            "source": source_of(source.server, self._settings, user, "rebuild", server.instance.ca),
            "rate": "" if rate is None else min(1048576, max(32, rate // 1024)),
            "needed": await self._needed_mib(source),
        }
        log.warning(
            "full_copy_begins",
            service=self._service,
            site=server.site,
            target=target,
            source=source.server.name,
            why=why,
        )
        said = await server.host.run(
            "rebuild",
            given,
            timeout_seconds=deadline.left(),
            stdin=password_lines(source.server, self._settings),
        )
        server.link.terminate()
        how = await self._started(server, source, deadline)
        aside = said.get("aside")
        where = f"; the old data are in {aside}" if aside else ""
        limit = "" if rate is None else f" at no more than {format_size(rate)} a second"
        said_so = f"{why}; full copy{limit} over {target} on {said.get('host')}; {how}{where}"
        if found is None:
            return Rejoined("rebuild", None, saved_at or aside or None, said_so)
        kept = saved_at or aside or None
        return Rejoined("rebuild", found.bytes, kept, said_so, found.commits, found.span_seconds)

    async def _target(self, server: Server, deadline: Deadline) -> str:
        """What a full copy would take the place of, by its own control file, for the log and the evidence."""
        said = await server.host.run("inspect", timeout_seconds=deadline.left())
        if not said.yes("exists") or said.get("initialised") == "no":
            return f"no data in {server.instance.data}"
        return _identity(server, parse_control(said.text))

    async def _needed_mib(self, source: Primary) -> int | str:
        """What the copy takes, and a tenth; empty where the primary does not tell."""
        try:
            row = await source.server.link.ask(sql.SIZE, timeout_seconds=ASK_SECONDS)
        except SitesTrouble as error:
            log.warning("size_not_told", service=self._service, site=source.server.site, error=str(error))
            return ""
        return int(row["size_bytes"] or 0) * 11 // 10 // 2**20 + 64

    def _standby_values(self, server: Server, source: Primary) -> dict[str, str | int]:
        return {
            "auto": standby_lines(
                self._service,
                server.site,
                data=server.instance.data,
                upstream_address=source.server.address,
                upstream_port=source.server.instance.port,
                user=self._settings.replication_user,
                tls=self._settings.tls,
                ca=server.instance.ca,
            ),
            "system_id": source.system_id,
        }

    # --- the end of all three -------------------------------------------------------------------------

    async def _started(self, server: Server, source: Primary, deadline: Deadline) -> str:
        """Start as a standby and see it stream on the primary's timeline.

        Raises NotStreaming when it runs and does not stream, DriverTrouble when it does not even run.
        """
        given: dict[str, str | int] = {
            "opens": "no",
            "role": "standby",
            "within": int(deadline.left() * 100),
            "mark": "",
        }
        await server.host.run("start", given, timeout_seconds=deadline.left() + GRACE_SECONDS)
        await self._wait_streaming(server, source, deadline)
        await self._tidy(server, source)
        return f"streams from {source.server.site} on timeline {source.timeline}"

    async def _wait_streaming(self, server: Server, source: Primary, deadline: Deadline) -> None:
        answering = Deadline(REFUSED_PATIENCE_SECONDS, f"{server.name}: a server at its port")
        streaming: Deadline | None = None
        while not await self._streams_from(server, source):
            deadline.left()
            try:
                await server.link.ask(sql.RECOVERING, timeout_seconds=ASK_SECONDS)
            except sql.ServerRefused as error:
                if answering.passed:
                    raise DriverTrouble(f"{server.name} was started and is not running: {error}") from error
            except SitesTrouble:
                pass  # it is starting up: replaying takes as long as it takes
            else:
                streaming = streaming or Deadline(STREAM_PATIENCE_SECONDS, f"{server.name}: streaming")
                if streaming.passed:
                    raise NotStreaming(
                        f"{server.name} runs as a standby and receives nothing from {source.server.name}; "
                        f"its log says why ({server.instance.log or server.instance.data + '.twinsite'})"
                    )
            await asyncio.sleep(LOOK_SECONDS)

    async def _tidy(self, server: Server, source: Primary) -> None:
        """A slot that this side kept as a primary would fill its disk now; and a commit waits again."""
        try:
            mine = [slot_name(self._service, source.server.site), slot_name(self._service, server.site)]
            await server.link.ask(sql.SLOTS_DROP, mine, timeout_seconds=ASK_SECONDS)
            if self._settings.synchronous:
                name = application_name(self._service, server.site)
                line = setting_line("synchronous_standby_names", f'"{name}"').partition(" = ")[2]
                await source.server.link.ask(
                    f"alter system set synchronous_standby_names = {line}", timeout_seconds=ASK_SECONDS
                )
                await source.server.link.ask(sql.RELOAD, timeout_seconds=ASK_SECONDS)
        except SitesTrouble as error:
            log.warning("rejoin_tidy_failed", service=self._service, site=server.site, error=str(error))


def _identity(server: Server, control: Control) -> str:
    """Whose data something is about to be done to: the directory, and what its own control file says."""
    return (
        f"{server.instance.data} (system identifier {control.system_id}, timeline {control.newest_timeline}, "
        f"{control.state})"
    )


async def keep_slot(primary: Server, service: str, for_site: str) -> None:
    """The slot for the standby at `for_site`, made if it is not there; it keeps the log from now on."""
    await primary.link.ask(sql.SLOT_MAKE, slot_name(service, for_site), timeout_seconds=ASK_SECONDS)


async def checkpoint_new_timeline(primary: Server, deadline: Deadline) -> None:
    """Have the primary's control file show the timeline it writes on.

    pg_rewind of PostgreSQL 15 and older reads the timeline from there; before the checkpoint it finds the one
    before the promotion, says that no rewind is required, and leaves the old primary diverged.
    """
    while True:
        row = await primary.link.ask(sql.SAMPLE, timeout_seconds=deadline.left(at_most=ASK_SECONDS))
        if row["recovering"]:
            raise DriverTrouble(f"{primary.name} is no primary any more")
        if row["checkpoint_timeline"] >= row["writing_on"]:
            return
        async with primary.link.apart(timeout_seconds=deadline.left()) as link:
            await link.ask(sql.CHECKPOINT, timeout_seconds=deadline.left())
        await asyncio.sleep(LOOK_SECONDS)
