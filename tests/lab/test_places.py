"""Where a lab lives, and how other commands find it."""

import os
import socket
from pathlib import Path

import pytest

from orchestrator.lab import fault_commands, run
from orchestrator.lab.errors import LabMisuse
from orchestrator.lab.places import (
    LabState,
    claim_network,
    labs,
    load_state,
    make_directory,
    newest_lab,
    pointer_directory,
)
from orchestrator.lab.processes import Tree


@pytest.fixture(autouse=True)
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    return folder


def state(directory: Path) -> LabState:
    directory.mkdir(exist_ok=True)
    trees = {site: Tree(site, 2**22 + 1, 1.0) for site in ("durham", "morpeth", "derwentside")}
    return LabState(str(directory), "127.99.0.0/16", True, 1, trees)


def test_the_newest_lab_is_the_one_that_is_meant(tmp_path: Path) -> None:
    older, newer = state(tmp_path / "a"), state(tmp_path / "b")
    older.save()
    newer.save()
    pointer = pointer_directory() / "a.json"
    os.utime(pointer, (1, 1))
    assert [found.directory for found in labs()] == [newer.directory, older.directory]
    assert newest_lab() == newer


def test_a_lab_that_has_been_forgotten_or_whose_folder_is_gone_is_not_found(tmp_path: Path) -> None:
    found = state(tmp_path / "a")
    found.save()
    found.forget()
    assert labs() == []
    found.save()
    (tmp_path / "a" / "lab.json").unlink()
    with pytest.raises(LabMisuse, match="lab --keep"):
        newest_lab()


def test_a_folder_of_somebody_else_is_not_believed(runtime: Path, tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    (runtime / f"twinsite-lab-{os.getuid()}").symlink_to(tmp_path / "theirs")
    with pytest.raises(LabMisuse, match="not believed"):
        pointer_directory()


def test_a_lab_never_settles_in_a_folder_that_holds_something(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(LabMisuse, match="not an empty folder"):
        make_directory(tmp_path / "full")


def test_a_folder_too_deep_for_sockets_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(LabMisuse, match="too long"):
        make_directory(tmp_path / ("x" * 80))


def test_a_port_that_a_server_on_all_addresses_holds_is_avoided() -> None:
    with socket.socket() as server:
        server.bind(("0.0.0.0", 0))
        server.listen()
        network = claim_network()
        network.claim.close()
        assert server.getsockname()[1] not in network.ports.values()


def test_commands_refuse_what_makes_no_sense_and_say_what_does(tmp_path: Path) -> None:
    found = state(tmp_path / "a")
    found.save()
    with pytest.raises(LabMisuse, match="dead already"):
        fault_commands.kill_command("morpeth")
    with pytest.raises(LabMisuse, match="durham, morpeth, derwentside"):
        fault_commands.kill_command("york")
    with pytest.raises(LabMisuse, match="no lab is here"):
        fault_commands.heal_command("morpeth", directory=tmp_path / "nowhere")


def test_taking_a_lab_down_takes_its_files_away(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = state(tmp_path / "a")
    found.save()
    assert run.down_command() == 0
    assert not (tmp_path / "a").exists()
    assert labs() == []
    assert "ended" in capsys.readouterr().out


def test_a_state_that_is_damaged_is_no_lab(tmp_path: Path) -> None:
    (tmp_path / "lab.json").write_text("{")
    with pytest.raises(LabMisuse, match="no lab is here"):
        load_state(tmp_path)
