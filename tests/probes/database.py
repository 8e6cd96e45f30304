"""A real PostgreSQL for the tests of the sql probe: one server, password logins, a free port."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from orchestrator.lab.postgres import PostgresBinaries, RunAs, find_postgres, reachable, run_as
from tests.probes.worlds import closed_port

PASSWORD = "s3cret-of-the-probe"
_SETTINGS = """
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
fsync = off
max_connections = 12
superuser_reserved_connections = 3
"""


@dataclass(frozen=True, slots=True)
class Database:
    """A server that can be stopped and started. User and password of the probe: `probe`, PASSWORD."""

    binaries: PostgresBinaries
    whom: RunAs
    folder: Path
    port: int

    def control(self, *words: str) -> None:
        """Run pg_ctl."""
        self._run(
            "pg_ctl", "-D", str(self.folder / "data"), "-s", "-w", "-l", str(self.folder / "log"), *words
        )

    def start(self) -> None:
        self.control("start")

    def stop(self) -> None:
        self.control("-m", "immediate", "stop")

    def make(self) -> None:
        """Data, settings, the probe's account."""
        password = self.folder / "password"
        password.write_text(PASSWORD)
        self.whom.give(password)
        self._run(
            *("initdb", "-D", str(self.folder / "data"), "-U", "probe", "--pwfile", str(password)),
            *("--auth=scram-sha-256", "--locale=C", "--encoding=UTF8", "--no-sync"),
        )
        with (self.folder / "data" / "postgresql.conf").open("a") as settings:
            settings.write(f"{_SETTINGS}port = {self.port}\n")

    def _run(self, program: str, *words: str) -> None:
        subprocess.run(
            [*self.whom.prefix_argv, self.binaries.program(program), *words],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd=self.folder,
            env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"},
            timeout=60,
        )


@contextmanager
def running() -> Iterator[Database]:
    """A server that runs, and is gone afterwards."""
    # Not pytest's folder: the servers' user could not enter it where the tests run as root.
    folder = Path(tempfile.mkdtemp(prefix="twinsite-sql-"))
    whom = run_as()
    try:
        whom.give(folder)
        database = Database(reachable(find_postgres(), whom, folder), whom, folder, closed_port())
        database.make()
        database.start()
        try:
            yield database
        finally:
            database.stop()
    finally:
        shutil.rmtree(folder)
