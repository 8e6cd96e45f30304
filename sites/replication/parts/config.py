"""What `replication:` says for a service whose driver is `parts`, and what must fit the estate.

Each part has the settings of its own driver; only what they are together is judged here.
"""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from sites.model import Estate, GuardSpec, Name, Service
from sites.replication.command.config import CommandSettings, Part
from sites.replication.postgres.config import PostgresSettings

MOST_PARTS = 8
Trail = tuple[str | int, ...]


class CommandPart(CommandSettings):
    """A part that is described by commands."""

    name: Name = Field(description="what the part is called in evidence, such as files")
    driver: Literal["command"]


class PostgresPart(PostgresSettings):
    """A part that is a PostgreSQL database."""

    name: Name = Field(description="what the part is called in evidence, such as db")
    driver: Literal["postgres"]


OnePart = Annotated[CommandPart | PostgresPart, Field(discriminator="driver")]


class PartsSettings(Part):
    """The settings of the `parts` driver: several replicated things that are one service.

    They are closed, fenced and promoted together, and the service is as far behind as its worst part.
    """

    parts: list[OnePart] = Field(
        min_length=2,
        max_length=MOST_PARTS,
        description="each with `name`, `driver` and the settings of that driver; promoted in this order",
    )

    def check(self, estate: Estate, service: Service) -> Iterator[tuple[Trail, str, str]]:
        """What does not fit the estate: (where beneath `replication`, what was found, what is expected)."""
        first: dict[str, int] = {}
        for index, part in enumerate(self.parts):
            if first.setdefault(part.name, index) != index:
                yield (
                    ("parts", index, "name"),
                    f"the name {part.name} again",
                    "a name of its own for each part",
                )
            for where, found, expected in part.check(estate, service):
                yield ("parts", index, *where), found, expected
        if service.guard is not None:
            yield from self._guarded(service, service.guard)

    def _guarded(self, service: Service, guard: GuardSpec) -> Iterator[tuple[Trail, str, str]]:
        """A guard fences all parts or none: what it cannot cut off must not stand under it."""
        for site in service.sites:
            hosts = self.hosts_at(site)
            if len(set(hosts.values())) > 1:
                named = ", ".join(f"{part} on {host}" for part, host in hosts.items())
                yield (
                    (),
                    f"a guard, and parts on several hosts of {site} ({named})",
                    "all parts of a guarded service on one host: a guard cuts off what is on its own",
                )
        described = [part.name for part in self.parts if isinstance(part, CommandPart)]
        if described and guard.command is None and guard.nftables is None:
            yield (
                (),
                f"a guard that cannot cut off {', '.join(described)}: it knows no processes of it",
                "guard.command, programs that open, close and verify it, or guard.nftables with its ports",
            )
        if guard.proxy is not None:
            yield (), "a guard's proxy beside several parts", "`command` or `nftables`: a proxy is before one"

    @property
    def databases(self) -> tuple[PostgresPart, ...]:
        """The parts that are PostgreSQL databases."""
        return tuple(part for part in self.parts if isinstance(part, PostgresPart))

    def hosts_at(self, site: str) -> dict[str, str]:
        """By part, the host that it is on there; a part without one there is left out."""
        found = {}
        for part in self.parts:
            if isinstance(part, PostgresPart):
                host = part.instances[site].host if site in part.instances else None
            else:
                host = part.hosts.get(site)
            if host is not None:
                found[part.name] = host
        return found

    @property
    def synchronous(self) -> bool:
        """Whether every part can keep a commit waiting for the standby: nothing is lost only then."""
        return all(getattr(part, "synchronous", False) for part in self.parts)
