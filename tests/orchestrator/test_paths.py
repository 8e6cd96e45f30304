"""Where a site's things are on its own machine."""

from pathlib import Path

import pytest

from orchestrator.errors import OrchestratorMisuse
from orchestrator.paths import controller_socket, journal_path, keeper_socket, state_directory
from sites.model import Estate


def estate(state: str | None) -> Estate:
    """An estate whose Durham has this state folder."""
    return Estate.model_validate(
        {
            "store": {"endpoints": ["https://127.0.0.1:2379"]},
            "sites": {"durham": {"state": state} if state else {}, "morpeth": {}},
            "services": {},
        }
    )


def test_a_relative_state_folder_is_beneath_the_estate_file() -> None:
    assert state_directory(estate("state/durham"), "durham", Path("/srv/lab")) == Path(
        "/srv/lab/state/durham"
    )


def test_a_relative_base_becomes_an_absolute_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert state_directory(estate("d"), "durham", Path()) == tmp_path / "d"


def test_an_absolute_state_folder_stays_where_it_is() -> None:
    assert state_directory(estate("/srv/durham"), "durham", Path("/etc")) == Path("/srv/durham")


def test_without_a_state_folder_it_is_beneath_var_lib() -> None:
    assert state_directory(estate(None), "durham", Path("/etc")) == Path("/var/lib/twinsite/durham")


def test_sockets_and_journal_have_their_names() -> None:
    state = Path("/s")
    assert controller_socket(state) == Path("/s/controller.sock")
    assert keeper_socket(state) == Path("/s/keeper.sock")
    assert journal_path(state) == Path("/s/journal.sqlite")


def test_the_longest_path_that_the_kernel_takes_is_taken_and_no_longer_one() -> None:
    longest = "/" + "d" * (107 - len("//controller.sock"))
    assert len(str(controller_socket(Path(longest)))) == 107
    with pytest.raises(OrchestratorMisuse, match=r"108 bytes long.*shorter `state:`"):
        controller_socket(Path(longest + "d"))


def test_bytes_are_counted_and_not_characters() -> None:
    with pytest.raises(OrchestratorMisuse):
        controller_socket(Path("/" + "é" * 50))
