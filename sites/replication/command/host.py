"""Run the commands of one site's instance on its host, through the transport; nothing is decided here."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files

from sites.errors import CommandTimedOut, DriverTrouble, SitesTrouble, WordUnknown
from sites.model import Estate, Host, Service
from sites.output import last_lines
from sites.replication.command.answers import (
    ALL_KEYS,
    KEYS,
    Answer,
    BadAnswer,
    read_lines,
    understand,
)
from sites.replication.command.config import PARTS, Command, CommandSettings
from sites.replication.command.lines import filled, quoted
from sites.replication.deadline import Deadline
from sites.transport import Completed, Transport

# With which a guarded host's permit is waited for, beside the command's own time.
PERMIT_SECONDS = 3.0
OPENING = frozenset({"promote", "start"})


class CommandFailed(DriverTrouble):
    """A command ended with another status than 0."""


@cache
def _permit_script() -> str:
    return (files(__package__) / "permit.sh").read_text(encoding="utf-8")


@dataclass(slots=True)
class Instance:
    """One of the two instances: where its commands run, and what they are given."""

    service: str
    site: str
    host: Host
    settings: CommandSettings
    transport: Transport
    values: Mapping[str, str]
    permit: str | None = None  # the guard's, where one runs
    system_id: str = ""  # as it last said
    fences: int = field(default=0)

    @property
    def name(self) -> str:
        """As messages call it."""
        return f"{self.service} at {self.site} ({self.host.name})"

    def line(self, word: str, given: Mapping[str, str] | None = None, *, opens: bool = False) -> str:
        """The command line of a word, with its values. Raises WordUnknown."""
        command: Command | None = getattr(self.settings, word)
        if command is None:
            raise WordUnknown(
                f"{self.name}: there is no command for `{word}`; give one as "
                f"services.{self.service}.replication.{word}.run"
            )
        text = filled(command.run, {**self.values, **(given or {})})
        if not opens or self.permit is None:
            return text
        # Right before it, in the same shell: whatever comes in between could wait while the permit ends.
        return f"twinsite_permit={quoted(self.permit)}\n{_permit_script()}{text}"

    async def run(
        self,
        word: str,
        given: Mapping[str, str] | None = None,
        *,
        timeout_seconds: float,
        opens: bool = False,
    ) -> Completed:
        """Run a word's command to its end, with status 0. Raises CommandFailed, and what the transport
        raises."""
        limit_seconds = min(timeout_seconds, self.settings.limit_seconds(word))
        if opens and self.permit is not None:
            limit_seconds += PERMIT_SECONDS
        line = self.line(word, given, opens=opens)
        try:
            done = await self.transport.run(self.host, line, timeout_seconds=limit_seconds)
        except CommandTimedOut as error:
            said = last_lines(error.stderr) or last_lines(error.stdout) or "nothing"
            raise CommandTimedOut(
                f"{self.name}: `{word}` did not end within {round(limit_seconds, 1):g} s and was ended; "
                f"it said: {said}",
                stdout=error.stdout,
                stderr=error.stderr,
            ) from error
        if done.exit_status != 0:
            said = last_lines(done.stderr) or last_lines(done.stdout) or "nothing"
            raise CommandFailed(
                f"{self.name}: `{word}` ended with status {done.exit_status}; it said: {said}"
            )
        return done

    async def ask(self, *, within_seconds: float | None = None) -> Answer:
        """Everything that is seen of it, by `look` or by the commands that stand for its parts.

        Role before position: what a primary had written when it was asked lies at or below the place that is
        read afterwards. Raises BadAnswer, CommandFailed, and what the transport raises.
        """
        limit_seconds = within_seconds or self.settings.answer_within_seconds
        deadline = Deadline(limit_seconds, f"{self.name}: looking")
        if self.settings.look is not None:
            said = await self._read("look", deadline)
        else:
            said = await self._read("role", deadline)
            down = said.get("role") == "down"
            for part in PARTS[1:]:
                if getattr(self.settings, part) is None or (down and part != "position"):
                    continue
                try:
                    said |= await self._read(part, deadline)
                except CommandFailed:
                    if not down:
                        raise  # of one that is down, the place can be had or not; that it is down is known
        try:
            answer = understand(said)
        except BadAnswer as error:
            word = "look" if self.settings.look is not None else "role and its parts"
            raise BadAnswer(f"{self.name}: `{word}` {error}") from error
        self.system_id = answer.system_id or self.system_id
        return answer

    async def _read(self, word: str, deadline: Deadline) -> dict[str, str]:
        done = await self.run(word, timeout_seconds=deadline.left())
        return self.lines_of(word, done, ALL_KEYS if word == "look" else KEYS[word])

    def lines_of(self, word: str, done: Completed, keys: tuple[str, ...]) -> dict[str, str]:
        """What a command printed, by key. Raises BadAnswer."""
        try:
            return read_lines(done.stdout, keys, truncated=done.truncated)
        except BadAnswer as error:
            raise BadAnswer(f"{self.name}: `{word}` {error}") from error


def instances_of(
    service: Service, estate: Estate, settings: CommandSettings, transport: Transport
) -> dict[str, Instance]:
    """Both instances, home first."""
    hosts = {site: estate.sites[site].hosts[settings.hosts[site]] for site in service.sites}
    made = {}
    for site in service.sites:
        peer = service.peer_of(site)
        values = {
            "service": service.name,
            "site": site,
            "address": hosts[site].address,
            "peer_site": peer,
            "peer_address": hosts[peer].address,
        }
        guard = service.guard
        data = guard.data.get(site) if guard is not None and guard.data is not None else None
        permit = f"{data}.twinsite/permit" if data is not None else None
        made[site] = Instance(service.name, site, hosts[site], settings, transport, values, permit=permit)
    return made


def said_of(error: SitesTrouble) -> str:
    """What a trouble is called in evidence."""
    return f"{type(error).__name__}: {error}"
