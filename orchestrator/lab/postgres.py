"""Real PostgreSQL for the lab and the tests: a pair, from nothing.

Leaves both servers of a pair stopped, the one to be started as the primary and the other as its standby;
starting and stopping them is the replication driver's. Nothing here is for a server that people use.
"""

import asyncio
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.lab.errors import LabMisuse, LabTrouble
from orchestrator.lab.postgres_programs import (
    PostgresBinaries,
    RunAs,
    every_postgres,
    find_postgres,
    reachable,
    run_as,
)
from sites.replication.postgres.config import password_line
from sites.replication.postgres.server import password_file, slot_name, standby_lines

__all__ = [
    "LabInstance",
    "LabRoles",
    "PostgresBinaries",
    "RunAs",
    "configure_pair",
    "create_pair",
    "every_postgres",
    "find_postgres",
    "reachable",
    "run_as",
    "start_command",
    "stop_command",
]

COMMAND_WITHIN_SECONDS = 60.0
LONGEST_SOCKET_PATH_BYTES = 107

SETTINGS = """
# Written by the lab. Small and quick; what failover needs is explained in the driver's documentation.
listen_addresses = '{address}'
port = {port}
unix_socket_directories = '{sockets}'
max_connections = 50
shared_buffers = 16MB
fsync = {fsync}
full_page_writes = on
wal_level = replica
wal_log_hints = on
hot_standby = on
max_wal_senders = 10
max_replication_slots = 10
max_slot_wal_keep_size = 512MB
wal_keep_size = 64MB
wal_retrieve_retry_interval = 100ms
wal_receiver_status_interval = 1s
restart_after_crash = off
password_encryption = scram-sha-256
log_line_prefix = '%m [%p] %q%u@%d/%a '
"""

ACCESS = """
# Written by the lab: passwords for everybody, from this machine alone.
local all all scram-sha-256
"""
ACCESS_FROM = """\
host all all {network} scram-sha-256
host replication {replication_user} {network} scram-sha-256
"""
LOOPBACK = ("127.0.0.0/8",)


@dataclass(frozen=True, slots=True)
class LabInstance:
    """One server of a pair. The folder of `data` is made if need be, and belongs to the servers' user."""

    site: str
    address: str
    port: int
    data: Path


@dataclass(frozen=True, slots=True)
class LabRoles:
    """Who may connect: `user` measures and moves (a superuser here), `replication_user` replicates."""

    user: str
    password: str
    replication_user: str
    replication_password: str


def start_command(binaries: PostgresBinaries, whom: RunAs, data: Path, log: Path) -> tuple[str, ...]:
    """Start a server as its data say (a boot's way: as a standby) and return when it is up."""
    control = (*whom.prefix_argv, binaries.program("pg_ctl"), "-D", str(data))
    return (*control, "-l", str(log), "-w", "-s", "start")


def stop_command(binaries: PostgresBinaries, whom: RunAs, data: Path) -> tuple[str, ...]:
    """Stop it in order."""
    return (*whom.prefix_argv, binaries.program("pg_ctl"), "-D", str(data), "-m", "fast", "-s", "stop")


async def create_pair(
    service: str,
    primary: LabInstance,
    standby: LabInstance,
    *,
    binaries: PostgresBinaries,
    whom: RunAs,
    roles: LabRoles,
    sockets: Path,
    durable: bool = True,
    wal_segment_mib: int = 16,
    callers: Sequence[str] = LOOPBACK,
) -> None:
    """Make a pair: data for `primary`, and a copy of them that follows it. Both are left stopped, and both
    would start as standbys: `driver.start(…, role=Role.PRIMARY)` opens the one that is meant to.

    `sockets`: a short folder for Unix sockets, theirs too; `durable=False` does without fsync; `callers`:
    the networks that they take connections from. Raises LabMisuse or LabTrouble.
    """
    _check_sockets(sockets, primary, standby)
    for folder in (sockets, primary.data.parent, standby.data.parent):
        folder.mkdir(parents=True, exist_ok=True)
        whom.give(folder)
    await _initialise(primary, binaries, whom, roles, sockets, durable, wal_segment_mib, callers)
    await _first_start(service, primary, standby, binaries, whom, roles, sockets)
    await _copy(primary, standby, whom)
    configure_pair(
        service,
        primary,
        standby,
        whom=whom,
        roles=roles,
        sockets=sockets,
        durable=durable,
        callers=callers,
    )


def configure_pair(
    service: str,
    one: LabInstance,
    other: LabInstance,
    *,
    whom: RunAs,
    roles: LabRoles,
    sockets: Path,
    durable: bool = True,
    callers: Sequence[str] = LOOPBACK,
) -> None:
    """Tell two stopped servers where they listen and whom they follow; each would start as a standby of the
    other."""
    for instance, upstream in ((one, other), (other, one)):
        _configure(service, instance, upstream, whom, roles, sockets, durable, callers)


def _check_sockets(sockets: Path, *instances: LabInstance) -> None:
    for instance in instances:
        path = sockets / f".s.PGSQL.{instance.port}"
        if len(os.fsencode(path)) > LONGEST_SOCKET_PATH_BYTES:
            raise LabMisuse(f"{path}: too long for a Unix socket ({LONGEST_SOCKET_PATH_BYTES} bytes at most)")


async def _initialise(
    instance: LabInstance,
    binaries: PostgresBinaries,
    whom: RunAs,
    roles: LabRoles,
    sockets: Path,
    durable: bool,
    wal_segment_mib: int,
    callers: Sequence[str],
) -> None:
    password = instance.data.with_name(f"{instance.data.name}.password")
    _write(password, roles.password + "\n", whom)
    try:
        await _run(
            [
                *whom.prefix_argv,
                binaries.program("initdb"),
                *("-D", str(instance.data), "-U", roles.user, "--pwfile", str(password)),
                *("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--data-checksums", "--no-sync"),
                f"--wal-segsize={wal_segment_mib}",
            ]
        )
    finally:
        password.unlink()
    _write_settings(instance, roles, whom, sockets, durable, callers)


async def _first_start(
    service: str,
    instance: LabInstance,
    standby: LabInstance,
    binaries: PostgresBinaries,
    whom: RunAs,
    roles: LabRoles,
    sockets: Path,
) -> None:
    """Roles and the standby's slot, in single-user mode: nothing listens, nothing is left running."""
    statements = (
        f"create role {_name(roles.replication_user)} replication login "
        f"password {_text(roles.replication_password)};\n"
        f"select pg_create_physical_replication_slot({_text(slot_name(service, standby.site))}, true);\n"
    )
    single = [*whom.prefix_argv, binaries.program("postgres"), "--single", "-D", str(instance.data)]
    said = await _run([*single, "-c", "exit_on_error=on", "postgres"], stdin=statements)
    if "ERROR" in said:
        raise LabTrouble(f"{instance.data}: {said[-500:]}")


async def _copy(primary: LabInstance, standby: LabInstance, whom: RunAs) -> None:
    """A copy of the files of a stopped server is as good as pg_basebackup's, and quicker."""
    await _run([*whom.prefix_argv, "cp", "-a", str(primary.data), str(standby.data)])
    for slot in (standby.data / "pg_replslot").iterdir():
        shutil.rmtree(slot)


def _configure(
    service: str,
    instance: LabInstance,
    upstream: LabInstance,
    whom: RunAs,
    roles: LabRoles,
    sockets: Path,
    durable: bool,
    callers: Sequence[str],
) -> None:
    _write_settings(instance, roles, whom, sockets, durable, callers)
    lines = standby_lines(
        service,
        instance.site,
        data=str(instance.data),
        upstream_address=upstream.address,
        upstream_port=upstream.port,
        user=roles.replication_user,
        tls="off",
    )
    _write(instance.data / "postgresql.auto.conf", lines + "\n", whom)
    _write(instance.data / "standby.signal", "", whom)
    secret = Path(password_file(str(instance.data)))
    secret.parent.mkdir(mode=0o700, exist_ok=True)
    whom.give(secret.parent)
    users = {roles.user: roles.password, roles.replication_user: roles.replication_password}
    text = "".join(
        password_line(upstream.address, upstream.port, "*", user, password) + "\n"
        for user, password in users.items()
    )
    _write(secret, text, whom)


def _write_settings(
    instance: LabInstance,
    roles: LabRoles,
    whom: RunAs,
    sockets: Path,
    durable: bool,
    callers: Sequence[str],
) -> None:
    text = SETTINGS.format(
        address=instance.address,
        port=instance.port,
        sockets=sockets,
        fsync="on" if durable else "off",
    )
    _write(instance.data / "postgresql.conf", text, whom)
    user = _name(roles.replication_user)
    places = (ACCESS_FROM.format(network=network, replication_user=user) for network in callers)
    _write(instance.data / "pg_hba.conf", ACCESS + "".join(places), whom)


def _write(path: Path, text: str, whom: RunAs) -> None:
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")
    whom.give(path)


def _name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


async def _run(command: Sequence[str], *, stdin: str = "") -> str:
    """Run a program to its end; what it said. Raises LabTrouble."""
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            cwd="/",
            env={**os.environ, "LC_ALL": "C"},
        )
    except OSError as fault:
        raise LabTrouble(f"{command[0]} cannot be started: {fault}") from fault
    try:
        async with asyncio.timeout(COMMAND_WITHIN_SECONDS):
            output, _ = await process.communicate(stdin.encode())
    except (TimeoutError, asyncio.CancelledError):
        process.kill()
        await process.wait()
        raise
    said = output.decode(errors="replace")
    if process.returncode != 0:
        raise LabTrouble(f"{Path(command[len(command) - 1]).name or command[0]}: {said.strip()[-1000:]}")
    return said
