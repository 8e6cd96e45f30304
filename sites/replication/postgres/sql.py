"""One kept asyncpg connection to one instance, and the questions asked over it.

The only file that knows asyncpg. A question that is not answered in time costs the connection: it is
terminated at once, never closed in order, since closing waits for a server that does not answer. Foreign
errors become the package's own here. Nothing is decided about what an answer means.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from sites.errors import AccessDenied, DriverTrouble, HostUnreachable, SitesTrouble
from sites.replication.postgres.tls import ClientTls

APPLICATION_NAME = "twinsite"
# What asyncpg raises when a connection dies under it. The internal error is one of them: a server that goes
# away between two messages leaves its protocol in the midst of the first.
_BROKEN = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
)


class ServerRefused(SitesTrouble):
    """Nothing listens where the instance should be."""


class ServerNotReady(SitesTrouble):
    """The server is there, and is starting up or shutting down."""


class AnswerOverdue(HostUnreachable):
    """No answer within the time allowed."""


class ConnectionLost(SitesTrouble):
    """The connection broke under the question; whether the server lives is not said by that."""


class Link:
    """The kept connection to one instance. Questions take turns; each has a deadline that covers its turn."""

    def __init__(
        self,
        *,
        name: str,
        host: str,
        port: int,
        user: str,
        password: str,
        database: str,
        tls: ClientTls,
        connect_within_seconds: float,
    ) -> None:
        self.name = name
        self.host = host
        self.port = port
        self._user = user
        self._password = password
        self._database = database
        self._tls = tls
        self._connect_within_seconds = connect_within_seconds
        self._connection: Any = None
        self._turn = asyncio.Lock()
        self._broken = asyncio.Event()
        self._closed = False
        self.connections_made = 0

    async def ask(self, query: str, *arguments: object, timeout_seconds: float) -> Any:
        """The first row of the answer. Raises the errors of this module, AccessDenied or DriverTrouble."""
        try:
            async with asyncio.timeout(timeout_seconds), self._turn:
                connection = await self._connected()
                return await self._asked(connection, query, arguments)
        except TimeoutError as error:
            raise AnswerOverdue(f"{self.name}: no answer within {timeout_seconds:g} s") from error

    async def ask_all(self, query: str, *arguments: object, timeout_seconds: float) -> list[Any]:
        """Every row of the answer; queries whose answers are short."""
        try:
            async with asyncio.timeout(timeout_seconds), self._turn:
                connection = await self._connected()
                return list(await self._asked(connection, query, arguments, many=True))
        except TimeoutError as error:
            raise AnswerOverdue(f"{self.name}: no answer within {timeout_seconds:g} s") from error

    async def connect(self, *, timeout_seconds: float) -> None:
        """Have a connection, the kept one or a new one."""
        try:
            async with asyncio.timeout(timeout_seconds), self._turn:
                await self._connected()
        except TimeoutError as error:
            raise AnswerOverdue(f"{self.name}: no connection within {timeout_seconds:g} s") from error

    async def broken(self) -> None:
        """Wait until there is no kept connection any more. Returns at once when there is none."""
        while self._connection is not None and not self._connection.is_closed():
            await self._broken.wait()

    def terminate(self) -> None:
        """Drop the kept connection this instant; the next question makes a new one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()
        self._broken.set()

    async def aclose(self) -> None:
        """Drop the connection for good."""
        self._closed = True
        self.terminate()
        await asyncio.sleep(0)  # let the transport's own clean-up run while there is a loop

    @asynccontextmanager
    async def apart(self, *, timeout_seconds: float) -> AsyncIterator["Link"]:
        """A second link for a question that may take long, so that the kept one stays free to measure."""
        link = Link(
            name=self.name,
            host=self.host,
            port=self.port,
            user=self._user,
            password=self._password,
            database=self._database,
            tls=self._tls,
            connect_within_seconds=timeout_seconds,
        )
        try:
            yield link
        finally:
            await link.aclose()

    async def _connected(self) -> Any:
        if self._closed:
            raise ConnectionLost(f"{self.name}: this driver is closed")
        if self._connection is not None and not self._connection.is_closed():
            return self._connection
        self._connection = None
        connection = await self._opened()
        self._broken.clear()
        self._connection = connection
        self.connections_made += 1
        connection.add_termination_listener(self._on_termination)
        return connection

    def _on_termination(self, connection: Any) -> None:
        if connection is self._connection:
            self._connection = None
            self._broken.set()

    async def _opened(self) -> Any:
        try:
            asked = await asyncio.to_thread(self._tls.for_connection) if self._tls.ca else None
        except DriverTrouble as error:
            raise DriverTrouble(f"{self.name}: {error}") from error
        try:
            return await asyncpg.connect(
                host=self.host,
                port=self.port,
                user=self._user,
                password=self._password,
                database=self._database,
                ssl=self._tls.for_connection() if asked is None else asked,
                timeout=self._connect_within_seconds,
                server_settings={"application_name": APPLICATION_NAME},
            )
        except ConnectionRefusedError as error:
            raise ServerRefused(f"{self.name}: connection refused at {self.host} port {self.port}") from error
        except asyncpg.CannotConnectNowError as error:
            raise ServerNotReady(f"{self.name}: {error}") from error
        except asyncpg.InvalidAuthorizationSpecificationError as error:
            raise AccessDenied(
                f"{self.name}: {error}; check user and password under replication, and pg_hba.conf"
            ) from error
        except asyncpg.PostgresError as error:
            raise DriverTrouble(f"{self.name}: {error}") from error
        except asyncpg.ClientConfigurationError as error:
            raise DriverTrouble(f"{self.name}: {error}; name the authority's file as `ca`") from error
        except (OSError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
            raise HostUnreachable(f"{self.name}: {error or type(error).__name__}") from error

    async def _asked(
        self, connection: Any, query: str, arguments: tuple[object, ...], *, many: bool = False
    ) -> Any:
        try:
            if many:
                return await connection.fetch(query, *arguments)
            return await connection.fetchrow(query, *arguments)
        except (asyncio.CancelledError, TimeoutError):
            # Without this asyncpg would ask the server to cancel and wait for its word.
            self.terminate()
            raise
        except asyncpg.AdminShutdownError as error:
            self.terminate()
            raise ServerNotReady(f"{self.name}: {error}") from error
        except _BROKEN as error:
            self.terminate()
            raise ConnectionLost(f"{self.name}: {error or type(error).__name__}") from error
        except asyncpg.PostgresError as error:
            raise DriverTrouble(f"{self.name}: {error}") from error


SAMPLE = """
select control.system_identifier::text as system_id,
       r.recovering,
       case when not r.recovering then (pg_current_wal_lsn() - '0/0')::bigint end as written,
       case when not r.recovering
            then ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int end as writing_on,
       case when r.recovering then (pg_last_wal_receive_lsn() - '0/0')::bigint end as received,
       case when r.recovering then (pg_last_wal_replay_lsn() - '0/0')::bigint end as replayed,
       w.pid as receiver_pid, w.status as receiver, w.received_tli, w.sender_host, w.sender_port, w.slot_name,
       checkpoint.timeline_id as checkpoint_timeline,
       greatest(checkpoint.timeline_id, recovery.min_recovery_end_timeline) as control_timeline,
       case when r.recovering and w.received_tli is null
            then (select max(('x' || substr(name, 1, 8))::bit(32)::int)
                    from pg_ls_waldir() where name ~ '^[0-9A-F]{24}$') end as log_timeline,
       split_part(current_setting('server_version'), ' ', 1) as version,
       current_setting('synchronous_standby_names') <> ''
           and current_setting('synchronous_commit') not in ('off', 'local') as synchronous,
       copy.backup_streamed as copied, copy.backup_total as to_copy
  from pg_control_system() control, pg_control_checkpoint() checkpoint, pg_control_recovery() recovery,
       (select pg_is_in_recovery() as recovering) r
       left join pg_stat_wal_receiver w on true
       left join (select b.backup_streamed, b.backup_total
                    from pg_stat_progress_basebackup b, pg_stat_get_activity(b.pid) a
                   where a.application_name = 'twinsite-rebuild'
                   order by b.pid desc limit 1) copy on not r.recovering
"""
REPLAYED = """
select (pg_last_wal_replay_lsn() - '0/0')::bigint as replayed, pg_is_in_recovery() as recovering,
       (select system_identifier::text from pg_control_system()) as system_id
"""
RECOVERING = "select pg_is_in_recovery() as recovering"
PROMOTE = "select pg_promote(false) as asked"
# A transaction that must be written: it fails on anything that does not accept writes.
WRITE = "select pg_current_xact_id()::text as transaction"
CHECKPOINT = "checkpoint"
CHECKPOINT_TIMELINE = "select timeline_id from pg_control_checkpoint()"
# Bytes of a file of pg_wal; null when it is gone.
WAL_FILE = "select pg_read_binary_file('pg_wal/' || $1, $2::bigint, $3::bigint, true) as content"
SLOT_MAKE = """
select pg_create_physical_replication_slot($1, true) from (select 1) one
 where not exists (select 1 from pg_replication_slots where slot_name = $1)
"""
SLOTS_DROP = """
select count(pg_drop_replication_slot(slot_name)) as dropped from pg_replication_slots
 where slot_name = any($1::text[]) and not active
"""
TABLESPACES = "select count(*) as others from pg_tablespace where spcname not in ('pg_default', 'pg_global')"
# What a full copy takes, about: files that are no database's are few.
SIZE = "select sum(pg_database_size(oid))::bigint as size_bytes from pg_database"
SUPERUSER = "select rolname as name from pg_roles where rolsuper and rolcanlogin order by oid limit 1"
SYNCHRONOUS_OFF = "alter system set synchronous_standby_names = ''"
RELOAD = "select pg_reload_conf() as reloaded"
