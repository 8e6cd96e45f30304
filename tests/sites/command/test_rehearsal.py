"""Isolated drills by commands: a copy of a file tree is made, changed, asked and removed; the tree itself is
not touched."""

from pathlib import Path
from typing import Any

import pytest

from sites.errors import DriverTrouble
from sites.replication.command.host import CommandFailed
from sites.replication.command.rehearsal import CommandRehearsal
from sites.replication.rehearsal import Question
from tests.sites.command.ledgers import MORPETH, driver_of
from tests.support.local_transport import LocalTransport

LIMIT_SECONDS = 20.0


def rehearsal(tmp_path: Path, **commands: str | None) -> CommandRehearsal:
    (tmp_path / "tree").mkdir(exist_ok=True)
    (tmp_path / "tree" / "a").write_text("1\n")
    copy = tmp_path / "copy"
    lines: dict[str, str | None] = {
        "look": "echo role: standby",
        "clone_room": f"test -d {tmp_path} && echo room enough",
        "clone": f"cp -r {tmp_path}/tree {copy}",
        "clone_promote": f"touch {copy}/writable",
        "clone_probe": f"grep -q 1 {copy}/a && test -e {copy}/writable && echo it works",
        "clone_remove": f"rm -rf {copy} && test ! -e {copy}",
        **commands,
    }
    settings: dict[str, Any] = {"hosts": {"durham": "tree", MORPETH: "tree"}}
    settings |= {word: {"run": line} for word, line in lines.items() if line is not None}
    return driver_of(settings, LocalTransport()).rehearsal


async def test_a_whole_drill(tmp_path: Path) -> None:
    drill = rehearsal(tmp_path)
    assert (drill.words, drill.missing) == (("room", "copy", "promote", "ask"), "")
    assert await drill.room(MORPETH, timeout_seconds=LIMIT_SECONDS) == "room enough"
    await drill.copy(MORPETH, timeout_seconds=LIMIT_SECONDS)
    await drill.promote(MORPETH, timeout_seconds=LIMIT_SECONDS)
    assert await drill.ask(MORPETH, Question("works"), timeout_seconds=LIMIT_SECONDS) == "it works"
    own = Question("own", run=f"ls {tmp_path}/copy | wc -l")
    assert (await drill.ask(MORPETH, own, timeout_seconds=LIMIT_SECONDS)).strip() == "2"
    await drill.remove(MORPETH, timeout_seconds=LIMIT_SECONDS)
    assert [path.name for path in tmp_path.iterdir()] == ["tree"]
    assert [path.name for path in (tmp_path / "tree").iterdir()] == ["a"]


async def test_a_no_is_told_with_what_was_said(tmp_path: Path) -> None:
    drill = rehearsal(tmp_path, clone_probe="echo the index is broken >&2; exit 4")
    with pytest.raises(CommandFailed, match="status 4; it said: the index is broken"):
        await drill.ask(MORPETH, Question("works"), timeout_seconds=LIMIT_SECONDS)
    with pytest.raises(DriverTrouble, match="use `run`"):
        await drill.ask(MORPETH, Question("rows", sql="select 1"), timeout_seconds=LIMIT_SECONDS)
    with pytest.raises(DriverTrouble, match="own: status 1; it said: nothing"):
        await drill.ask(MORPETH, Question("own", run="false"), timeout_seconds=LIMIT_SECONDS)


async def test_a_copy_that_cannot_be_removed_is_an_error(tmp_path: Path) -> None:
    drill = rehearsal(tmp_path, clone_remove="echo device is busy >&2; exit 1")
    with pytest.raises(CommandFailed, match="device is busy"):
        await drill.remove(MORPETH, timeout_seconds=LIMIT_SECONDS)


def test_commands_that_nobody_gave_are_named(tmp_path: Path) -> None:
    drill = rehearsal(tmp_path, clone_room=None, clone_promote=None, clone_remove=None)
    assert drill.words == ("copy", "ask")
    assert drill.missing == "there is no command for clone_remove under services.tree.replication"
