"""Isolated drills of anything that is described by commands: its own commands make the copy, ask and
remove it. That nobody else can reach the copy is theirs to see to."""

from collections.abc import Mapping

from sites.errors import DriverTrouble
from sites.output import last_lines
from sites.replication.command.config import CommandSettings
from sites.replication.command.host import Instance
from sites.replication.rehearsal import Question
from sites.transport import Completed

NEEDED = ("clone", "clone_probe", "clone_remove")
_COMMAND_OF = {"room": "clone_room", "copy": "clone", "promote": "clone_promote", "ask": "clone_probe"}


class CommandRehearsal:
    """One service's copies; keeps nothing between calls."""

    def __init__(self, service: str, settings: CommandSettings, instances: Mapping[str, Instance]) -> None:
        self._service = service
        self._settings = settings
        self._instances = instances

    @property
    def words(self) -> tuple[str, ...]:
        """Those that a command was given for."""
        given = self._settings
        return tuple(word for word, name in _COMMAND_OF.items() if getattr(given, name) is not None)

    @property
    def missing(self) -> str:
        """The commands that nobody gave."""
        missing = [name for name in NEEDED if getattr(self._settings, name) is None]
        if not missing:
            return ""
        return f"there is no command for {', '.join(missing)} under services.{self._service}.replication"

    async def room(self, site: str, *, timeout_seconds: float) -> str:
        """See Rehearsal."""
        return _said(await self._run("clone_room", site, timeout_seconds), "there is room")

    async def copy(self, site: str, *, timeout_seconds: float) -> str:
        """See Rehearsal. What an earlier drill left goes first: half a copy may look like a whole one."""
        await self._run("clone_remove", site, timeout_seconds)
        return _said(await self._run("clone", site, timeout_seconds), "the copy is made")

    async def start(self, site: str, *, timeout_seconds: float) -> str:
        """Nothing: `clone` has done it."""
        return "the copy runs"

    async def promote(self, site: str, *, timeout_seconds: float) -> str:
        """See Rehearsal."""
        return _said(await self._run("clone_promote", site, timeout_seconds), "the copy is writable")

    async def ask(self, site: str, question: Question, *, timeout_seconds: float) -> str:
        """See Rehearsal. A command of the drill's own runs on the same host as the others."""
        if question.sql is not None:
            raise DriverTrouble(f"{question.name}: this service's copy is not asked in SQL; use `run`")
        if question.run is None:
            return _said(await self._run("clone_probe", site, timeout_seconds), "yes")
        instance = self._instances[site]
        done = await instance.transport.run(instance.host, question.run, timeout_seconds=timeout_seconds)
        if done.exit_status != 0:
            said = last_lines(done.stderr) or last_lines(done.stdout) or "nothing"
            raise DriverTrouble(f"{question.name}: status {done.exit_status}; it said: {said}")
        return _said(done, "yes")

    async def remove(self, site: str, *, timeout_seconds: float) -> str:
        """See Rehearsal."""
        return _said(await self._run("clone_remove", site, timeout_seconds), "the copy is removed")

    async def _run(self, word: str, site: str, timeout_seconds: float) -> Completed:
        return await self._instances[site].run(word, timeout_seconds=timeout_seconds)


def _said(done: Completed, otherwise: str) -> str:
    return last_lines(done.stdout) or otherwise
