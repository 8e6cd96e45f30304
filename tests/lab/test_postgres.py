"""Finding PostgreSQL, and as whom it runs."""

import os
import shutil
from pathlib import Path

import pytest

from orchestrator.lab.errors import LabMisuse
from orchestrator.lab.postgres import (
    LabInstance,
    LabRoles,
    PostgresBinaries,
    RunAs,
    create_pair,
    every_postgres,
    find_postgres,
    reachable,
    run_as,
    start_command,
    stop_command,
)
from tests.sites.postgres.pairs import new_folder


@pytest.fixture
def binaries(monkeypatch: pytest.MonkeyPatch) -> PostgresBinaries:
    """The one that is found."""
    monkeypatch.delenv("TWINSITE_PG_BIN", raising=False)
    try:
        return find_postgres()
    except LabMisuse as reason:
        pytest.skip(str(reason))


def test_what_is_found_has_every_program_and_a_version_we_know(binaries: PostgresBinaries) -> None:
    assert 13 <= binaries.major <= 18
    for program in ("postgres", "pg_rewind", "pg_basebackup", "pg_controldata"):
        assert os.access(binaries.program(program), os.X_OK)
    directories = [found.bin_dir for found in every_postgres()]
    assert len(directories) == len(set(directories))


def test_the_variable_names_one_and_only_that_one(
    binaries: PostgresBinaries, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TWINSITE_PG_BIN", str(binaries.bin_dir))
    assert list(every_postgres()) == [binaries]


def test_a_variable_that_names_none_is_said_with_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TWINSITE_PG_BIN", str(tmp_path))
    with pytest.raises(LabMisuse, match="it has no postgres, initdb"):
        find_postgres()


def test_servers_never_run_as_root() -> None:
    whom = run_as()
    if os.geteuid() == 0:
        assert whom.prefix_argv
        assert whom.uid != 0
    else:
        assert whom == RunAs()


def test_commands_for_a_supervisor_name_the_user_and_the_data(binaries: PostgresBinaries) -> None:
    whom = RunAs(("setpriv", "--reuid=1"), 1, 1)
    start = start_command(binaries, whom, Path("/data"), Path("/log"))
    stop = stop_command(binaries, whom, Path("/data"))
    assert start[:2] == stop[:2] == whom.prefix_argv
    assert "/data" in start
    assert "/data" in stop


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root's own files are closed to the servers' user")
def test_programs_that_their_user_cannot_reach_are_copied(binaries: PostgresBinaries) -> None:
    base = new_folder()
    try:
        closed = base / "closed"
        closed.mkdir(mode=0o700)
        (closed / "pginstall").symlink_to(binaries.bin_dir.parent)
        hidden = PostgresBinaries(closed / "pginstall" / binaries.bin_dir.name, binaries.version)
        copy = reachable(hidden, run_as(), base)
        assert copy.bin_dir.is_relative_to(base / f"postgresql-{binaries.version}")
        assert reachable(hidden, run_as(), base) == copy
        assert reachable(binaries, run_as(), base) == binaries
    finally:
        shutil.rmtree(base)


async def test_a_folder_too_long_for_sockets_is_refused_before_anything_is_made(
    binaries: PostgresBinaries, tmp_path: Path
) -> None:
    sockets = tmp_path / ("s" * 120)
    instances = [LabInstance(site, "127.0.0.1", 5432, tmp_path / site) for site in ("durham", "morpeth")]
    with pytest.raises(LabMisuse, match="too long for a Unix socket"):
        await create_pair(
            "crm",
            instances[0],
            instances[1],
            binaries=binaries,
            whom=RunAs(),
            roles=LabRoles("a", "b", "c", "d"),
            sockets=sockets,
        )
    assert list(tmp_path.iterdir()) == []
