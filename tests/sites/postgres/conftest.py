"""Real pairs, one per test, for every PostgreSQL on this machine."""

import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from orchestrator.lab.errors import LabMisuse
from orchestrator.lab.postgres import PostgresBinaries, RunAs, every_postgres, reachable, run_as
from tests.sites.postgres.pairs import Pair, made_pair


def _found() -> dict[str, PostgresBinaries]:
    """One of each major version; the variable that names one is for the lab."""
    os.environ.pop("TWINSITE_PG_BIN", None)
    by_major: dict[str, PostgresBinaries] = {}
    for binaries in every_postgres():
        by_major.setdefault(f"postgresql-{binaries.major}", binaries)
    return by_major


FOUND = _found()


@pytest.fixture(scope="session")
def whom() -> RunAs:
    """As whom servers run."""
    try:
        return run_as()
    except LabMisuse as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="session")
def copies() -> Iterator[Path]:
    """Where programs are copied to that their user could not reach."""
    folder = Path(tempfile.mkdtemp(prefix="twinsite-pg-bin-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session", params=sorted(FOUND) or [None])
def postgres(request: pytest.FixtureRequest, whom: RunAs, copies: Path) -> PostgresBinaries:
    """Each PostgreSQL in turn."""
    if request.param is None:
        pytest.skip("no PostgreSQL 13 to 18 on this machine")
    return reachable(FOUND[request.param], whom, copies)


@pytest.fixture
async def pair(postgres: PostgresBinaries, whom: RunAs) -> AsyncIterator[Pair]:
    """Durham is the primary, Morpeth streams from it; there is a table `rows (n)`."""
    async with made_pair(postgres, whom) as made:
        await made.run("durham", "create table rows (n bigint primary key)")
        yield made
