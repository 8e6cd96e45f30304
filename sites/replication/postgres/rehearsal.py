"""Isolated drills of a pair of PostgreSQL servers: a full copy of the standby, promoted behind a socket that
only its own user can open.

The copy never speaks to anybody: it listens on no network, follows nobody, archives nothing, subscribes to
nothing and loads no libraries that could act by themselves. Of the standby it takes a base backup without a
slot; the primary is not asked for anything.
"""

from sites.errors import DriverTrouble
from sites.replication.deadline import Deadline
from sites.replication.postgres import sql
from sites.replication.postgres.config import PostgresSettings, setting_line
from sites.replication.postgres.host import GRACE_SECONDS, Said, Values
from sites.replication.postgres.server import Server, password_lines, source_of
from sites.replication.rehearsal import Question

ASK_SECONDS = 5.0
WORDS = ("room", "copy", "start", "promote", "ask")
# Nothing may be lower on the copy than where its log was written, or it refuses to replay it.
CARRIED = (
    "max_connections",
    "max_worker_processes",
    "max_wal_senders",
    "max_prepared_transactions",
    "max_locks_per_transaction",
)
ALONE = (
    ("listen_addresses", ""),
    ("unix_socket_permissions", "0700"),
    ("ssl", "off"),
    ("primary_conninfo", ""),
    ("primary_slot_name", ""),
    ("restore_command", ""),
    ("archive_mode", "off"),
    ("archive_command", ""),
    ("synchronous_standby_names", ""),
    ("max_logical_replication_workers", "0"),
    ("shared_preload_libraries", ""),
    ("hot_standby", "on"),
    ("restart_after_crash", "off"),
    ("shared_buffers", "32MB"),
    ("fsync", "off"),
    ("logging_collector", "off"),
)
"""What makes the copy a thing of its own. `fsync`: it is thrown away in a moment, and must not keep the
standby's disk busy."""

NO = frozenset({"", "f", "0", "false"})


class PostgresRehearsal:
    """One service's copies; keeps nothing between calls."""

    words = WORDS
    missing = ""

    def __init__(self, settings: PostgresSettings, servers: dict[str, Server]) -> None:
        self._settings = settings
        self._servers = servers

    async def room(self, site: str, *, timeout_seconds: float) -> str:
        """See Rehearsal."""
        deadline = Deadline(timeout_seconds, f"{self._servers[site].name}: room for a copy")
        await self._check_standby(site, deadline)
        said = await self._run(site, "clone_room", deadline, {"standby": self._servers[site].instance.data})
        return (
            f"a copy takes up to {said.get('needed')} MiB, of which {said.get('free')} MiB are free; "
            f"{said.get('reserve')} MiB of them must stay"
        )

    async def copy(self, site: str, *, timeout_seconds: float) -> str:
        """See Rehearsal."""
        server, settings = self._servers[site], self._settings
        deadline = Deadline(timeout_seconds, f"{server.name}: copy for a drill")
        await self._check_standby(site, deadline)
        carried = {
            name: (await server.link.ask(f"show {name}", timeout_seconds=ASK_SECONDS))[0] for name in CARRIED
        }
        libraries = ",".join(settings.drill_libraries)
        own = dict(ALONE) | carried | {"shared_preload_libraries": libraries}
        rate = settings.drill_rate_bytes or settings.rebuild_rate_bytes
        given: Values = {
            "standby": server.instance.data,
            "source": source_of(server, settings, settings.replication_user, "drill", server.instance.ca),
            "rate": "" if rate is None else min(1048576, max(32, rate // 1024)),
            "settings": "\n".join(setting_line(name, value) for name, value in own.items()),
        }
        said = await self._run(site, "clone_copy", deadline, given, stdin=password_lines(server, settings))
        return f"{said.get('size')} MiB copied from the standby at {site} to {self._place(site)}"

    async def start(self, site: str, *, timeout_seconds: float) -> str:
        """See Rehearsal."""
        deadline = Deadline(timeout_seconds, f"{self._servers[site].name}: start of the copy")
        said = await self._run(site, "clone_start", deadline)
        return f"the copy has replayed what it needs and answers on {said.get('socket')} alone"

    async def promote(self, site: str, *, timeout_seconds: float) -> str:
        """See Rehearsal."""
        deadline = Deadline(timeout_seconds, f"{self._servers[site].name}: promotion of the copy")
        user = await self._superuser(site, deadline)
        said = await self._run(site, "clone_promote", deadline, {"user": user})
        return (
            f"promoted in {said.get('took')} ms; transaction {said.get('transaction')} written on timeline "
            f"{said.get('timeline')}"
        )

    async def ask(self, site: str, question: Question, *, timeout_seconds: float) -> str:
        """See Rehearsal. Without a question of its own: how many tables there are to be read."""
        deadline = Deadline(timeout_seconds, f"{self._servers[site].name}: {question.name}")
        given: Values = {
            "user": await self._superuser(site, deadline),
            "database": self._settings.database,
            "sql": question.sql or "",
            "command": question.run or "",
        }
        said = await self._run(site, "clone_ask", deadline, given)
        answer = said.get("answer")
        if question.run is not None:
            return f"yes: {answer}" if answer else "yes"
        first = answer.partition("\n")[0].partition("|")[0]
        wrong = first != question.expect if question.expect is not None else first.strip() in NO
        if wrong:
            expected = question.expect if question.expect is not None else "a value that says yes"
            raise DriverTrouble(f"the copy answers {first!r}; expected {expected}")
        return f"it answers {first}"

    async def remove(self, site: str, *, timeout_seconds: float) -> str:
        """See Rehearsal."""
        deadline = Deadline(timeout_seconds, f"{self._servers[site].name}: removal of the copy")
        said = await self._run(site, "clone_remove", deadline)
        return f"nothing is left of it at {self._place(site)}; {said.get('ended') or 0} processes were ended"

    # --- parts ----------------------------------------------------------------------------------------

    def _place(self, site: str) -> str:
        instance = self._servers[site].instance
        return instance.drill or f"{instance.data}.drill"

    async def _run(
        self, site: str, script: str, deadline: Deadline, given: Values | None = None, stdin: str = ""
    ) -> Said:
        """A script about the copy: what scripts know as the instance's data is the copy's. Its guard has no
        say: the copy is no instance of the service."""
        place = self._place(site)
        own: Values = {
            "data": place,
            "config": f"{place}/drill.conf",
            "log": "",
            "guard": "",
            "within": max(1, int((deadline.left() - 0.5) * 100)),
        }
        return await self._servers[site].host.run(
            script,
            {**own, **(given or {})},
            timeout_seconds=deadline.left() + GRACE_SECONDS,
            stdin=stdin,
        )

    async def _check_standby(self, site: str, deadline: Deadline) -> None:
        server = self._servers[site]
        row = await server.link.ask(sql.RECOVERING, timeout_seconds=deadline.left(at_most=ASK_SECONDS))
        if not row["recovering"]:
            raise DriverTrouble(f"{server.name} is no standby at this moment; a drill copies standbys only")
        row = await server.link.ask(sql.TABLESPACES, timeout_seconds=deadline.left(at_most=ASK_SECONDS))
        if row["others"]:
            raise DriverTrouble(
                f"{server.name} has {row['others']} tablespaces outside its data directory, which a copy on "
                "the same host would write over: rehearse it live"
            )

    async def _superuser(self, site: str, deadline: Deadline) -> str:
        """Who may do everything on the copy; it lets in whoever can open its socket."""
        row = await self._servers[site].link.ask(
            sql.SUPERUSER, timeout_seconds=deadline.left(at_most=ASK_SECONDS)
        )
        return str(row["name"])
