"""What starts a database by itself on its host: looked for, judged, and put into words (P7).

A fence that ends a server's processes is undone by whatever starts them again. The script only looks; what it
could not look at is said to be unknown, and is never taken for nothing.
"""

import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

_DONE = "done=yes"


@dataclass(frozen=True, slots=True)
class Database:
    """One database on a host, as the estate names it. `cluster`: as Debian's tools call it, such as 16-main.
    `gated`: clients reach it only through a gate that a guard closes, so that a restart opens nothing."""

    service: str
    data: str
    cluster: str = ""
    owner: str = ""
    gated: bool = False


@dataclass(frozen=True, slots=True)
class Restarter:
    """One thing that starts it. `revives`: it starts it again whenever it has died, not at boot alone."""

    what: str
    how: str
    remedy: str
    revives: bool


@dataclass(frozen=True, slots=True)
class Looked:
    """What was found, and what could not be looked at."""

    found: tuple[Restarter, ...] = ()
    unknown: tuple[str, ...] = ()


@cache
def _shell() -> str:
    return (files(__package__) / "restarters.sh").read_text(encoding="utf-8")


def script(database: Database) -> str:
    """The shell text that looks for what starts this database."""
    values = {"data": database.data, "cluster": database.cluster, "owner": database.owner}
    return "\n".join([*(f"{key}={shlex.quote(value)}" for key, value in values.items()), _shell()])


def parsed(text: str) -> Looked:
    """What the script said. One that did not come to its end says that the rest is not known."""
    found, unknown = [], []
    for line in text.splitlines():
        key, _, value = line.partition("=")
        if key == "found":
            kind, _, rest = value.partition("|")
            name, _, detail = rest.partition("|")
            found.append(_restarter(kind, name, detail))
        elif key == "unknown" and value:
            unknown.append(value)
    if _DONE not in text.splitlines():
        unknown.append("the look did not come to its end")
    return Looked(tuple(dict.fromkeys(found)), tuple(dict.fromkeys(unknown)))


def _restarter(kind: str, name: str, detail: str) -> Restarter:
    if kind == "systemd-restart":
        return Restarter(
            f"systemd's {name}",
            f"{detail}: it starts the server again when that has died",
            f"`systemctl edit {name}`, with Restart=no under [Service]; better, disable it",
            True,
        )
    if kind == "systemd-boot":
        return Restarter(
            f"systemd's {name}", f"{detail}: it starts at boot", f"`systemctl disable {name}`", False
        )
    if kind == "startconf":
        return Restarter(name, f"{detail}: it starts at boot", f"write `manual` into {name}", False)
    if kind in ("rc.local", "init"):
        return Restarter(name, f"starts it at boot: {detail}", "take that out", False)
    if kind == "oratab":
        return Restarter(
            name, f"dbstart starts it at boot: {detail}", "write N at the end of that line", False
        )
    if kind == "cron":
        at_boot = detail.lstrip().startswith("@reboot")
        how = "starts it at boot" if at_boot else "runs again and again, and may start it"
        return Restarter(name, f"{how}: {detail}", "take that line out", not at_boot)
    if kind == "manager":
        how = "runs here, and starts the databases that it manages"
        return Restarter(
            name, how, "take the database out of its hands, or its hosts out of this estate", True
        )
    if kind == "container":
        how = f"restarts a container with its data: {detail}"
        return Restarter(name, how, f"`{name} update --restart=no`", True)
    return Restarter(name, f"{kind} starts it: {detail}", f"take it out of {kind}'s hands", True)


def spoken(found: Iterable[Restarter]) -> str:
    """Restarters in one sentence part."""
    return "; ".join(f"{each.what}: {each.how}" for each in found)
