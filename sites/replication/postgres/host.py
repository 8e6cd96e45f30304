"""Run the driver's shell scripts on a database host, through the transport.

The scripts lie beside this file, in `shell/`; each begins with `common.sh` and with the values it is given,
quoted for the shell. Passwords go by standard input, never in a command line. What a script reports is
returned as it is; nothing is decided here.
"""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from sites import restarters
from sites.errors import DriverTrouble
from sites.model import Host
from sites.replication.postgres.config import Instance
from sites.replication.postgres.control import parse_said
from sites.restarters import Database, Looked
from sites.transport import Completed, Transport

Values = Mapping[str, str | int]
# What a script begins with, beside `common`: words that several have.
WORDS_OF: Mapping[str, tuple[str, ...]] = {
    "follow": ("follow",),
    "rewind": ("follow", "rewind"),
    "rebuild": ("follow", "rebuild"),
    "clone_copy": ("follow", "clone_room", "clone_copy"),
    "clone_start": ("clone_words", "clone_start"),
    "clone_promote": ("clone_words", "clone_promote"),
    "clone_ask": ("clone_words", "clone_ask"),
    "clone_remove": ("clone_words", "clone_remove"),
}
# What the script is given to end by itself, beyond the time that its work may take.
GRACE_SECONDS = 3.0
DEBIAN = "/etc/postgresql/"


class WrongData(DriverTrouble):
    """The data directory is not what it should be (another cluster, half rewound). Nothing was done."""


class NoRoom(DriverTrouble):
    """The host's disk is full, or a file could not be written there."""


_TROUBLES: Mapping[int, type[DriverTrouble]] = {65: WrongData, 66: WrongData, 73: NoRoom}


@dataclass(frozen=True, slots=True)
class Said:
    """What a script reported: its `key=value` lines, and everything it printed."""

    values: Mapping[str, str]
    text: str

    def get(self, key: str) -> str:
        """A value, or the empty text."""
        return self.values.get(key, "")

    def yes(self, key: str) -> bool:
        """Whether it said `key=yes`."""
        return self.values.get(key) == "yes"


def cluster_of(instance: Instance) -> str:
    """As Debian's tools call it, such as 16-main, by where its settings lie; "" where they do not."""
    parts = (instance.config or "").removeprefix(DEBIAN).split("/")
    debian = (instance.config or "").startswith(DEBIAN) and len(parts) > 2
    return f"{parts[0]}-{parts[1]}" if debian else ""


@cache
def _shell(name: str) -> str:
    return (files(__package__) / "shell" / f"{name}.sh").read_text(encoding="utf-8")


def script(name: str, values: Values) -> str:
    """The shell text of one script with its values. Raises KeyError for a value that is no plain name."""
    lines = [f"{key}={shlex.quote(str(value))}" for key, value in values.items()]
    parts = ["\n".join(lines), _shell("common")]
    parts += [_shell(part) for part in WORDS_OF.get(name, (name,))]
    return "\n".join(parts)


class DatabaseHost:
    """The host of one instance. It has no state but names; the transport keeps the connection."""

    def __init__(
        self,
        service: str,
        site: str,
        host: Host,
        instance: Instance,
        transport: Transport,
        *,
        guarded: bool = False,
        gated: bool = False,
    ) -> None:
        """`guarded`: a guard runs on the host, and nothing is opened there without its permit (P19); `gated`:
        it closes a gate before the server, so that one that somebody restarts is not reached."""
        self.site = site
        self.database = Database(service, instance.data, cluster_of(instance), instance.owner or "", gated)
        self.guarded = guarded
        self._instance = instance
        self._host = host
        self._transport = transport
        self._common: dict[str, str | int] = {
            "service": service,
            "site": site,
            "data": instance.data,
            "bin": instance.bin,
            "config": instance.config or "",
            "log": instance.log or "",
            "guard": "yes" if guarded else "",
        }

    async def run(
        self,
        name: str,
        values: Values | None = None,
        *,
        timeout_seconds: float,
        stdin: str = "",
    ) -> Said:
        """Run one script to its end.

        Raises WrongData, NoRoom or DriverTrouble with the script's own sentence, and what the transport
        raises (HostUnreachable, CommandTimedOut, …).
        """
        given = self._common | {"task": name} | dict(values or {})
        command = script(name, given)
        command = self._as_owner(command)
        done = await self._transport.run(self._host, command, timeout_seconds=timeout_seconds, stdin=stdin)
        if done.exit_status != 0:
            raise self._trouble(name, done)
        return Said(parse_said(done.stdout), done.stdout)

    def _as_owner(self, command: str) -> str:
        if self._instance.owner is None:
            return command
        return f"exec sudo -n -u {self._instance.owner} -- /bin/sh -c {shlex.quote(command)}"

    async def restarters(self, *, timeout_seconds: float) -> Looked:
        """P7: what starts the server by itself, as far as its owner sees. Raises as the transport does."""
        command = self._as_owner(restarters.script(self.database))
        done = await self._transport.run(self._host, command, timeout_seconds=timeout_seconds)
        return restarters.parsed(done.stdout)

    def _trouble(self, name: str, done: Completed) -> DriverTrouble:
        kind = _TROUBLES.get(done.exit_status, DriverTrouble)
        said = done.stderr.strip() or f"the {name} script ended with status {done.exit_status} and no word"
        return kind(f"{self._host.name or self._host.address} ({self.site}): {said[-2000:]}")
