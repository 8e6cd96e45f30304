"""What `replication:` says for a service whose driver is `command`, and what must fit the estate.

Only shape and fit are judged here; whether the commands keep to their contract is asked of them
(`twinsite driver check`).
"""

from collections.abc import Iterator
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from sites.model import Estate, FailoverPolicy, Service
from sites.quantities import AboveZeroSeconds, Seconds, format_duration
from sites.replication.command.lines import faults
from sites.replication.words import Word

# The orchestrator takes an answer older than this for unknown.
OLDEST_ANSWER_SECONDS = 3.0
LONGEST_LINE = 8192
PARTS = ("role", "position", "lag", "identity")  # what one `look` prints at once
READING = ("look", *PARTS)
CLONING = ("clone_room", "clone", "clone_promote", "clone_probe", "clone_remove")
ACTING = ("prepare", "close", "fence", "promote", "start", "rejoin", "rebuild")
# Without a `timeout` of its own. Fencing and closing also have the time that they are given by the lease.
USUAL_SECONDS = {
    "prepare": 300.0,
    "close": 10.0,
    "fence": 2.0,
    "promote": 60.0,
    "start": 60.0,
    "rejoin": 1800.0,
    "rebuild": 14400.0,
    "clone_room": 10.0,
    "clone": 3600.0,
    "clone_promote": 60.0,
    "clone_probe": 60.0,
    "clone_remove": 300.0,
}

Trail = tuple[str, ...]


def _no_less_often(seconds: float) -> float:
    if 0.2 <= seconds <= 2:
        return seconds
    raise ValueError("expected a duration from 200ms to 2s: it must be seen in time that the thing died")


class Part(BaseModel):
    """A frozen value whose unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Command(Part):
    """A command line of the host's POSIX shell, run as the host's user."""

    run: str = Field(
        min_length=1,
        max_length=LONGEST_LINE,
        description="the command line; {{ site }} and the like become one quoted word each",
    )
    timeout_seconds: AboveZeroSeconds | None = Field(
        None, alias="timeout", description="it is ended then; without it, the word's usual time"
    )


class CommandSettings(Part):
    """The settings of the `command` driver: any replicated thing, by a command for each word.

    What the commands must print stands in [the command driver](../command-driver.md).
    """

    hosts: dict[str, str] = Field(
        description="on which host of each site the commands run, by the name that the host has there"
    )
    look: Command | None = Field(
        None, description="prints everything that is seen of the instance: role, position, lag, identity"
    )
    role: Command | None = Field(
        None, description="instead of `look`: prints the role and what belongs to it"
    )
    position: Command | None = Field(None, description="beside `role`: prints history and position")
    lag: Command | None = Field(None, description="beside `role`: prints how far a standby is behind")
    identity: Command | None = Field(None, description="beside `role`: prints the identity of the pair")
    prepare: Command | None = Field(None, description="shortens a close that is to come; 5m")
    close: Command | None = Field(
        None, description="stops clients' writes in order, everything written is on its way; 10s"
    )
    fence: Command | None = Field(None, description="cuts clients' writes off at once; 2s")
    promote: Command | None = Field(None, description="makes the standby writable; 1m")
    start: Command | None = Field(None, description="starts a stopped instance as {{ role }}; 1m")
    rejoin: Command | None = Field(None, description="makes the old primary a standby again; 30m")
    rebuild: Command | None = Field(None, description="the same from a full copy; 4h")
    clone_room: Command | None = Field(
        None, description="isolated drills: status 0 when there is room for a copy; 10s"
    )
    clone: Command | None = Field(
        None, description="makes a copy of the standby, and opens it where nobody else can reach it; 1h"
    )
    clone_promote: Command | None = Field(
        None, description="makes the copy writable, where `clone` has not done so; 1m"
    )
    clone_probe: Command | None = Field(
        None, description="status 0 when the copy works as the service would; 1m"
    )
    clone_remove: Command | None = Field(
        None, description="removes the copy, whole or half made or none; status 0 when nothing is left; 5m"
    )
    answer_within_seconds: AboveZeroSeconds = Field(
        2.0, alias="answer_within", description="longest wait for everything that is printed at one look"
    )
    look_every_seconds: Annotated[Seconds, AfterValidator(_no_less_often)] = Field(
        1.0,
        alias="look_every",
        description="an answer is used again for so long, by everybody in one process",
    )
    misses: int = Field(
        3, ge=2, le=20, description="looks in a row that must say `role: down` before it counts as dead"
    )

    @model_validator(mode="after")
    def _looks(self) -> "CommandSettings":
        parts = [name for name in PARTS if getattr(self, name) is not None]
        if self.look is not None and parts:
            raise ValueError(f"`look` prints everything; leave out {', '.join(parts)}")
        if self.look is None and self.role is None:
            raise ValueError("expected `look`, or `role` with `position` and the like: nothing is seen else")
        longest = self.answer_within_seconds + self.look_every_seconds
        if longest > OLDEST_ANSWER_SECONDS:
            raise ValueError(
                f"answer_within and look_every are {format_duration(longest)} together; expected at most "
                f"{format_duration(OLDEST_ANSWER_SECONDS)}, since what is older counts as unknown"
            )
        return self

    def check(self, estate: Estate, service: Service) -> Iterator[tuple[Trail, str, str]]:
        """What does not fit the estate: (where beneath `replication`, what was found, what is expected)."""
        both = " and ".join(service.sites)
        for site in service.sites:
            if site not in self.hosts:
                yield ("hosts",), f"no host at {site}", f"one host at each of {both}"
        for site, host in self.hosts.items():
            if site not in service.sites:
                yield ("hosts", site), f"a host at {site}", f"hosts at {both} only"
                continue
            known = estate.sites[site].hosts if site in estate.sites else {}
            if host not in known:
                yield (
                    ("hosts", site),
                    host,
                    f"a host of {site} (it has: {', '.join(sorted(known)) or 'none'})",
                )
        for word in (*READING, *ACTING, *CLONING):
            command: Command | None = getattr(self, word)
            for found in faults(command.run, word) if command is not None else ():
                yield (word, "run"), found, "a command line whose values stay what they are"
        yield from self._check_policy(service)

    def _check_policy(self, service: Service) -> Iterator[tuple[Trail, str, str]]:
        if service.failover is FailoverPolicy.AUTOMATIC:
            for word in ("fence", "promote"):
                if getattr(self, word) is None:
                    found = f"no `{word}` for a service with `failover: automatic`"
                    yield (), found, f"a command for `{word}`, or `failover: manual`"
        guard = service.guard
        if guard is not None and guard.data is None:
            yield (
                (),
                "a guard without `data`",
                "guard.data, a directory by site: beside it lies the permit that opening waits for",
            )

    @property
    def unknown_words(self) -> frozenset[Word]:
        """The words that no command was given for. `prepare` is none: without it there is nothing to do."""
        missing = {word for word in ACTING if word != "prepare" and getattr(self, word) is None}
        if self.look is None and self.position is None:
            missing.add("close")  # nobody could say where it ended
        if self.look is None and self.identity is None:
            missing.add("verify")
        return frozenset(Word(word) for word in missing)

    def limit_seconds(self, word: str) -> float:
        """How long a command may take."""
        command: Command | None = getattr(self, word)
        if command is not None and command.timeout_seconds is not None:
            return command.timeout_seconds
        return USUAL_SECONDS.get(word, self.answer_within_seconds)
