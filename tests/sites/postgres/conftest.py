"""Real pairs, one per test, for every PostgreSQL on this machine."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from orchestrator.lab.errors import LabMisuse
from orchestrator.lab.postgres import LabInstance, PostgresBinaries, RunAs, every_postgres, reachable, run_as
from tests.sites.postgres.pairs import DURHAM, MORPETH, Pair, made_pair, make_files, new_folder


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


Templates = Callable[[PostgresBinaries], Path]


@pytest.fixture(scope="session")
def templates(whom: RunAs) -> Iterator[Templates]:
    """The files of a pair of that PostgreSQL, made once."""
    made: dict[PostgresBinaries, Path] = {}

    def template(binaries: PostgresBinaries) -> Path:
        if binaries not in made:
            base = made[binaries] = new_folder()
            instances = {
                site: LabInstance(site, "127.0.0.1", 1, base / site / "data") for site in (DURHAM, MORPETH)
            }
            asyncio.run(make_files(binaries, whom, base, instances))
        return made[binaries]

    yield template
    for base in made.values():
        shutil.rmtree(base)


@pytest.fixture
def template(postgres: PostgresBinaries, templates: Templates) -> Path:
    """The files for this test's pair."""
    return templates(postgres)


@pytest.fixture
async def pair(postgres: PostgresBinaries, whom: RunAs, template: Path) -> AsyncIterator[Pair]:
    """Durham is the primary, Morpeth streams from it; there is a table `rows (n)`."""
    async with made_pair(postgres, whom, template=template) as made:
        await made.run(DURHAM, "create table rows (n bigint primary key)")
        yield made


@pytest.fixture
def newest(whom: RunAs, copies: Path) -> PostgresBinaries:
    """The newest PostgreSQL here, for what does not depend on the version."""
    if not FOUND:
        pytest.skip("no PostgreSQL 13 to 18 on this machine")
    return reachable(max(FOUND.values(), key=lambda binaries: binaries.major), whom, copies)


@pytest.fixture
def newest_template(newest: PostgresBinaries, templates: Templates) -> Path:
    """The files of its pairs."""
    return templates(newest)


@pytest.fixture
async def any_pair(newest: PostgresBinaries, whom: RunAs, newest_template: Path) -> AsyncIterator[Pair]:
    """As `pair`, with one PostgreSQL only."""
    async with made_pair(newest, whom, template=newest_template) as made:
        await made.run(DURHAM, "create table rows (n bigint primary key)")
        yield made
