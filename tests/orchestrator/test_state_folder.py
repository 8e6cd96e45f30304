"""A state directory that cannot be used: named with its place, what was found, and what to do."""

import asyncio
import errno
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from orchestrator.api.server import LocalApi
from orchestrator.cli.failures import FAILED, ended_by
from orchestrator.link import KeeperServer
from orchestrator.paths import DEFAULT_STATE
from orchestrator.state_folder import AlreadyRuns, StateUnusable, check_writable, lock_directory, told_of

INSTALL = Path(__file__).parents[2] / "docs" / "install.md"


@contextmanager
def not_writable(monkeypatch: pytest.MonkeyPatch, number: int) -> Iterator[None]:
    """The kernel refuses to open anything for writing; root, too, sees what others would."""

    def refuse(path: object, *args: object, **more: object) -> int:
        raise OSError(number, os.strerror(number), str(path))

    with monkeypatch.context() as here:
        here.setattr(os, "access", lambda *args, **more: False)
        here.setattr(os, "open", refuse)
        yield


@pytest.mark.parametrize(
    ("number", "found", "remedy"),
    [
        (errno.EACCES, "Permission denied", "let it belong to the user who runs twinsite"),
        (errno.EROFS, "Read-only file system", "a disk that is mounted to be written to"),
    ],
)
def test_a_folder_that_takes_no_file_is_named_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, found: str, remedy: str
) -> None:
    with not_writable(monkeypatch, number), pytest.raises(StateUnusable) as caught:
        lock_directory(tmp_path, "controller")
    said = str(caught.value)
    assert said.startswith(f"{tmp_path}: cannot be used: {found}; ")
    assert remedy in said
    failure = ended_by(caught.value)
    assert (failure.exit_code, str(failure)) == (FAILED, f"Failed: {said}")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_of_somebody_elses_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StateUnusable, match="Permission denied"):
        check_writable(tmp_path)


def test_a_lock_that_is_no_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "controller.lock").mkdir()
    with pytest.raises(StateUnusable, match=r"controller\.lock: cannot be used: Is a directory; "):
        lock_directory(tmp_path, "controller")


def test_a_full_disk_says_to_make_room() -> None:
    found = "/s/x: cannot be used: No space left on device; make room there"
    with pytest.raises(StateUnusable, match=found), told_of(Path("/s/x")):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_folder_that_can_be_used_is_left_as_it_was_but_for_the_lock(tmp_path: Path) -> None:
    check_writable(tmp_path)
    assert list(tmp_path.iterdir()) == []
    with lock_directory(tmp_path, "controller"):
        assert [path.name for path in tmp_path.iterdir()] == ["controller.lock"]
        with lock_directory(tmp_path, "keeper"):
            pass


def test_a_second_controller_on_the_same_folder_is_told_of_the_first(tmp_path: Path) -> None:
    already = pytest.raises(AlreadyRuns, match="a controller already runs on")
    with lock_directory(tmp_path, "controller"), already:
        lock_directory(tmp_path, "controller")
    with lock_directory(tmp_path, "controller"):
        pass


async def test_a_place_for_a_socket_that_cannot_be_had_is_named(tmp_path: Path) -> None:
    (tmp_path / "keeper.sock").mkdir()
    keeper = KeeperServer(tmp_path / "keeper.sock", lambda number, ask: None, lambda: None)
    with pytest.raises(StateUnusable, match=r"keeper\.sock: cannot be used: Is a directory"):
        await keeper.start()
    (tmp_path / "controller.sock").mkdir()
    nobody: object = None
    api = LocalApi(nobody, nobody, nobody, lambda: ())  # type: ignore[arg-type]
    with pytest.raises(StateUnusable, match=r"controller\.sock: cannot be used: Is a directory"):
        async with api.serving(tmp_path / "controller.sock"):
            pass


async def test_a_socket_that_was_left_behind_gives_way(tmp_path: Path) -> None:
    place = tmp_path / "controller.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(place))
    nobody: object = None
    api = LocalApi(nobody, nobody, nobody, lambda: ())  # type: ignore[arg-type]
    async with api.serving(place):
        _, writer = await asyncio.open_unix_connection(str(place))
        writer.close()
        await writer.wait_closed()


def test_the_units_of_the_installation_guide_make_the_folder_that_twinsite_uses() -> None:
    text = INSTALL.read_text(encoding="utf-8")
    site = re.search(r"controller --site (\w+)", text)
    made = re.search(r"^StateDirectory=(\S+)$", text, re.MULTILINE)
    assert site is not None
    assert made is not None
    assert Path("/var/lib") / made[1] == DEFAULT_STATE / site[1]
