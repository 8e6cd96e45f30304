"""`twinsite hosts check`: try every host over SSH, one after another, as a person would from a laptop.

Reaches the host, checks its key, logs in, looks at its tools, its clock, its disk, and at what starts
databases there by itself. Synchronous, with
fabric. Host keys are always checked against the estate's known_hosts file and nothing is ever added to
it. It changes nothing on any host, and a host in trouble is a line of the report, never an exception.
"""

import logging
import os
import shlex
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.hosts_report import (
    HostCheck,
    HostReport,
    judge_clock,
    judge_disk,
    judge_restarters,
    judge_tools,
)
from orchestrator.paths import state_directory
from sites.model import Estate, Host, SshSpec
from sites.restarters import Database, parsed, script
from sites.ssh.by_hand import connection_to

_TOOLS = ("sh", "flock", "setsid", "perl", "ps")
_COMMAND_SECONDS = 15
_CLOCK_LOOKS = 3  # the one with the shortest round trip counts

Tools = Mapping[tuple[str, str], Sequence[str]]
Databases = Mapping[tuple[str, str], Sequence[Database]]


def check_hosts(
    estate: Estate,
    base: Path,
    *,
    on_report: Callable[[HostReport], None] | None = None,
    on_start: Callable[[str, str], None] | None = None,
    tools: Tools | None = None,
    databases: Databases | None = None,
) -> list[HostReport]:
    """Try every host of the estate; `base` is the folder that its paths are relative to.

    `tools` names what must be there beside the common tools, by (site, host): names or absolute paths, such
    as `/usr/lib/postgresql/16/bin/pg_ctl`. `databases`, likewise: those that nothing there may start by
    itself. `on_start` is called with site and host before each host, `on_report` after. Never raises for a
    host's trouble.
    """
    reports = []
    for site_name, site in estate.sites.items():
        state = str(state_directory(estate, site_name, base))
        for role, host in site.hosts.items():
            if on_start is not None:
                on_start(site_name, role)
            wanted = (tools or {}).get((site_name, role), ())
            here = (databases or {}).get((site_name, role), ())
            checks = _check(host, estate.ssh, base, Wanted(state, wanted, here))
            report = HostReport(role, site_name, f"{host.user}@{host.address}:{host.port}", checks)
            reports.append(report)
            if on_report is not None:
                on_report(report)
    return reports


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is looked at on a host: the room at `state`, `tools`, and what starts the `databases` there."""

    state: str
    tools: Sequence[str]
    databases: Sequence[Database]


def _check(host: Host, ssh: SshSpec, base: Path, wanted: Wanted) -> tuple[HostCheck, ...]:
    try:
        with _quiet_libraries():
            return tuple(_checks(host, ssh, base, wanted))
    except Exception as fault:  # noqa: BLE001 - one host's surprise must not keep the others from being looked at
        return (HostCheck("check", False, f"could not be carried out: {fault}", "please report this"),)


def _checks(host: Host, ssh: SshSpec, base: Path, wanted: Wanted) -> Iterator[HostCheck]:
    connection = _connection(host, ssh, base)
    try:
        refusal = _connect(connection, host, ssh, base)
        if refusal is not None:
            yield from refusal
            return
        yield HostCheck("reach", True, "reached")
        yield HostCheck("host key", True, "key known")
        yield HostCheck("login", True, "logged in")
        yield from _look_round(connection, wanted)
    finally:
        connection.close()


def _connection(host: Host, ssh: SshSpec, base: Path) -> Any:
    # Imported here: half a second that only this command should pay.
    import fabric
    import paramiko

    limit_seconds = ssh.connect_timeout_seconds
    connection = fabric.Connection(
        host.address,
        user=host.user,
        port=host.port,
        gateway=connection_to(host.via[-1], ssh, base, own=False) if host.via else None,
        connect_timeout=limit_seconds,
        config=fabric.Config(ssh_config=paramiko.SSHConfig(), lazy=True),
        connect_kwargs={
            "key_filename": [str(base / name) for name in ssh.keys],
            "allow_agent": not ssh.keys,
            "look_for_keys": False,
            "banner_timeout": limit_seconds,
            "auth_timeout": limit_seconds,
        },
    )
    connection.client.set_missing_host_key_policy(paramiko.RejectPolicy())
    return connection


def _connect(connection: Any, host: Host, ssh: SshSpec, base: Path) -> list[HostCheck] | None:
    """Open the connection: None when it is open, else what stood in the way."""
    import paramiko

    known_hosts = base / ssh.known_hosts
    reached = HostCheck("reach", True, "reached")
    try:
        if known_hosts.exists():
            connection.client.load_system_host_keys(str(known_hosts))
    except (OSError, ValueError, paramiko.SSHException, paramiko.hostkeys.InvalidHostKey) as fault:
        return [HostCheck("host key", False, f"{known_hosts} cannot be read: {fault}", "correct that file")]
    for name in ssh.keys:
        if not os.access(base / name, os.R_OK):
            return [_login_fault(f"the key file {base / name} cannot be read", "correct ssh: keys")]
    try:
        connection.open()
    except paramiko.BadHostKeyException as changed:
        return [reached, _changed_key(changed, host, known_hosts)]
    except paramiko.PasswordRequiredException:
        return [
            *(reached, HostCheck("host key", True, "key known")),
            _login_fault("the key file is encrypted", "load it into an SSH agent and leave ssh: keys out"),
        ]
    except paramiko.AuthenticationException as denied:
        return [
            *(reached, HostCheck("host key", True, "key known")),
            _login_fault(
                f"{host.user} is not let in ({denied})",
                "put the public key into that user's authorized_keys there, or correct user and ssh: keys",
            ),
        ]
    except paramiko.SSHException as fault:
        return _no_ssh(fault, host, known_hosts)
    except (OSError, EOFError) as fault:
        return [_unreached(fault, host, ssh)]
    return None


def _login_fault(detail: str, remedy: str) -> HostCheck:
    return HostCheck("login", False, detail, remedy)


def _changed_key(changed: Any, host: Host, known_hosts: Path) -> HostCheck:
    entry = host.address if host.port == 22 else f"[{host.address}]:{host.port}"
    return HostCheck(
        "host key",
        False,
        f"shows {changed.key.fingerprint}, {known_hosts} holds {changed.expected_key.fingerprint}",
        "installed anew, or somebody stands between: find out at the host's own console; only if the new "
        f"key is right: ssh-keygen -R '{entry}' -f {known_hosts}, then add the new one",
    )


def _no_ssh(fault: Exception, host: Host, known_hosts: Path) -> list[HostCheck]:
    if "not found in known_hosts" in str(fault):
        return [
            HostCheck("reach", True, "reached"),
            HostCheck(
                "host key",
                False,
                f"not in {known_hosts}",
                "compare `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` at the host's own console, then: "
                f"ssh-keyscan -p {host.port} {host.address} >> {known_hosts}",
            ),
        ]
    return [
        HostCheck(
            "reach",
            False,
            f"accepts connections, but the SSH conversation failed: {fault}",
            "the host is hung, or something else answers on that port",
        )
    ]


def _unreached(fault: OSError | EOFError, host: Host, ssh: SshSpec) -> HostCheck:
    if isinstance(fault, socket.gaierror):
        return HostCheck("reach", False, f"the name {host.address} does not resolve", "give an address")
    if isinstance(fault, TimeoutError):
        words = f"no answer within {ssh.connect_timeout_seconds:g} s"
        return HostCheck("reach", False, words, "the host is off, or the network between is cut")
    # paramiko collects the failures of every address that a name has; one of them says enough
    causes = list(getattr(fault, "errors", {}).values()) or [fault]
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        return HostCheck("reach", False, "connection refused", f"is sshd running on port {host.port}?")
    words = str(getattr(causes[0], "strerror", None) or causes[0] or "connection closed")
    return HostCheck("reach", False, words, "look at the network between")


def _look_round(connection: Any, wanted: Wanted) -> Iterator[HostCheck]:
    """Tools, clock, disk, and what starts databases, over the open connection."""
    import invoke
    import paramiko

    try:
        yield judge_tools(_find_tools(connection, (*_TOOLS, *wanted.tools)), ("sh", *wanted.tools))
        yield _compare_clocks(connection)
        yield judge_disk(wanted.state, _free_bytes(connection, wanted.state))
        for database in wanted.databases:
            yield judge_restarters(parsed(_run(connection, script(database))), database)
    except (invoke.exceptions.CommandTimedOut, TimeoutError):
        words = f"a command gave no answer within {_COMMAND_SECONDS} s"
        yield HostCheck("commands", False, words, "the host is overloaded, or a disk there hangs")
    except (OSError, EOFError, paramiko.SSHException) as fault:
        yield HostCheck("commands", False, f"the connection broke: {fault}", "look at sshd's log there")


def _run(connection: Any, command: str) -> str:
    line = f"exec sh -c {shlex.quote(command)}"
    result = connection.run(line, hide=True, warn=True, in_stream=False, timeout=_COMMAND_SECONDS)
    if result.exited < 0:  # closed without a status: out of time, though invoke does not always notice
        raise TimeoutError
    return str(result.stdout)


def _find_tools(connection: Any, names: Sequence[str]) -> dict[str, str]:
    script = (
        f'for tool in {shlex.join(names)}; do printf \'%s\\t\' "$tool"; command -v "$tool"; echo; done; '
        "[ -r /proc/self/stat ] && printf '/proc\\t/proc\\n'; true"
    )
    lines = (line.split("\t", 1) for line in _run(connection, script).splitlines() if "\t" in line)
    return {name: path.strip() for name, path in lines}


def _compare_clocks(connection: Any) -> HostCheck:
    looks = []
    for _ in range(_CLOCK_LOOKS):
        before = time.time()  # the wall clock itself is what is compared here
        text = _run(connection, "date +%s.%N").strip()
        after = time.time()
        seconds, _, fraction = text.partition(".")
        if not seconds.isdigit():
            return HostCheck("clock", None, f"date there says {text[:40]!r}", "its clock could not be read")
        theirs, coarse_seconds = float(seconds), 1.0
        if fraction.isdigit():
            theirs, coarse_seconds = float(f"{seconds}.{fraction}"), 0.0
        uncertainty = (after - before + coarse_seconds) / 2
        looks.append((uncertainty, theirs + coarse_seconds / 2 - (before + after) / 2))
    uncertainty_seconds, offset_seconds = min(looks)
    return judge_clock(offset_seconds, uncertainty_seconds)


def _free_bytes(connection: Any, folder: str) -> int | None:
    """Room at the folder or, while it is not there yet, where it would be made."""
    script = (
        f'd={shlex.quote(folder)}; while [ ! -d "$d" ] && [ "$d" != / ]; do d=$(dirname "$d"); done; '
        'df -Pk "$d" | tail -n 1'
    )
    words = _run(connection, script).split()
    return int(words[3]) * 1024 if len(words) >= 6 and words[3].isdigit() else None


@contextmanager
def _quiet_libraries() -> Iterator[None]:
    """paramiko's threads print tracebacks of their own for what is reported here as a line."""
    logger = logging.getLogger("paramiko")
    before = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(before)
