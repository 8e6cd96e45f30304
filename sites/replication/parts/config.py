"""What `replication:` says for a service whose driver is `parts`, and what must fit the estate.

Each part has the settings of its own driver; only what they are together is judged here.
"""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from sites.model import Estate, Name, Service
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
            yield (
                (),
                "a guard beside a service of several parts",
                "no guard: one that opens several things together does not exist yet",
            )

    @property
    def synchronous(self) -> bool:
        """Whether every part can keep a commit waiting for the standby: nothing is lost only then."""
        return all(getattr(part, "synchronous", False) for part in self.parts)
