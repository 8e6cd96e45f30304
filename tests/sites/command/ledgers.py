"""A real replicated thing of files and shell scripts, its driver, and what a test does to it from outside."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sites.model import Estate, Service
from sites.replication.catalogue import make_driver
from sites.replication.command.driver import CommandDriver
from sites.transport import Transport
from tests.support.local_transport import LocalTransport

SCRIPT = Path(__file__).with_name("ledger.sh")
DURHAM, MORPETH = "durham", "morpeth"
SITES = (DURHAM, MORPETH)
WORDS = ("look", "close", "fence", "promote", "start", "rejoin", "rebuild")
ARGUMENTS = {"start": " {{ role }}", "rejoin": " {{ primary_site }}", "rebuild": " {{ primary_site }}"}


def commands(script: Path, base: Path) -> dict[str, Any]:
    """The settings that speak to a ledger."""
    lines = {word: f"sh {script} {base} {{{{ site }}}} {word}{ARGUMENTS.get(word, '')}" for word in WORDS}
    return {
        "hosts": dict.fromkeys(SITES, "tree"),
        "look_every": "200ms",
        **{word: {"run": line} for word, line in lines.items()},
    }


def estate_of(settings: Mapping[str, Any], **service: Any) -> Estate:
    """An estate with the service `tree`, as `sites.yaml` would say it."""
    replication: Any = {"driver": "command", **settings}
    host = {"name": "tree", "address": "127.0.0.1"}
    return Estate.model_validate(
        {
            "store": {"endpoints": ["http://127.0.0.1:1"]},
            "sites": {site: {"name": site, "hosts": {"tree": {**host, "site": site}}} for site in SITES}
            | {"derwentside": {"name": "derwentside", "witness": True}},
            "services": {
                "tree": Service(name="tree", home=DURHAM, standby=MORPETH, replication=replication, **service)
            },
        }
    )


def driver_of(settings: Mapping[str, Any], transport: Transport, **service: Any) -> CommandDriver:
    """The driver of that service."""
    estate = estate_of(settings, **service)
    driver = make_driver(estate.services["tree"], estate, transport)
    assert isinstance(driver, CommandDriver)
    return driver


@dataclass(slots=True)
class Ledgers:
    """Both ledgers. Durham's is the primary, Morpeth's copies it."""

    base: Path
    transport: LocalTransport
    driver: CommandDriver
    followers: dict[str, asyncio.subprocess.Process] = field(default_factory=dict)
    next_row: int = 1

    @property
    def script(self) -> Path:
        """This pair's own copy, which a test may spoil."""
        return self.base / "ledger.sh"

    def at(self, site: str) -> Path:
        """A ledger's folder."""
        return self.base / site

    def write(self) -> bool:
        """A client writes a row wherever it is accepted; whether it was."""
        for site in SITES:
            if self.writable(site):
                with (self.at(site) / "rows").open("a") as rows:
                    rows.write(f"{self.next_row}\n")
                self.next_row += 1
                return True
        return False

    def writable(self, site: str) -> bool:
        """It accepts what clients write."""
        return (self.at(site) / "open").exists() and (self.at(site) / "running").exists()

    def rows(self, site: str) -> list[int]:
        """What it has."""
        return [int(row) for row in (self.at(site) / "rows").read_text().split()]

    def kill(self, site: str) -> None:
        """It stops at once; its data stay."""
        (self.at(site) / "running").unlink()
        (self.at(site) / "open").unlink(missing_ok=True)
        if site in self.followers and self.followers[site].returncode is None:
            self.followers[site].kill()

    async def follow(self, site: str) -> None:
        """Start the copying at a standby."""
        self.followers[site] = await asyncio.create_subprocess_exec(
            "sh", str(self.script), str(self.base), site, "follow"
        )

    async def same(self) -> None:
        """Wait until both have the same rows."""
        async with asyncio.timeout(20):
            while self.rows(DURHAM) != self.rows(MORPETH):
                await asyncio.sleep(0.02)

    def spoil(self, word: str, line: str) -> None:
        """From now on a word runs this instead."""
        text = self.script.read_text()
        self.script.write_text(text.replace("case $word in\n", f"case $word in\n{word}) {line} ;;\n", 1))


@asynccontextmanager
async def made_ledgers(base: Path, **settings: Any) -> AsyncIterator[Ledgers]:
    """A pair from nothing, copying."""
    shutil.copy(SCRIPT, base / "ledger.sh")
    for site, role in ((DURHAM, "primary"), (MORPETH, "standby")):
        folder = base / site
        folder.mkdir()
        for name, text in (("role", role), ("id", "ledger-7"), ("history", "first"), ("rows", "")):
            (folder / name).write_text(f"{text}\n" if text else "")
        for name in ("running", "descent"):
            (folder / name).touch()
    (base / DURHAM / "open").touch()
    (base / MORPETH / "source").write_text(f"{DURHAM}\n")
    transport = LocalTransport()
    driver = driver_of({**commands(base / "ledger.sh", base), **settings}, transport)
    pair = Ledgers(base, transport, driver)
    await pair.follow(MORPETH)
    try:
        yield pair
    finally:
        for follower in pair.followers.values():
            if follower.returncode is None:
                follower.kill()
            await follower.wait()
