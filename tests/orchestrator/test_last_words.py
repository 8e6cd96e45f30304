"""A keeper that cannot start says why, to whoever started it and in status; it is not started in a spin."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator import last_words
from orchestrator.clock import boot_id
from orchestrator.core.notes import Glass, Note
from orchestrator.keeper_disk import RightsFile, RightsUnreadable
from orchestrator.keeper_note import KeeperNote, NoteUnreadable
from orchestrator.last_words import KeeperStarts
from tests.orchestrator.looking import look
from tests.orchestrator.two_sites import two_sites

ESTATE = """\
version: 1
store: {endpoints: ["http://127.0.0.1:1"]}
sites:
  durham: {title: Durham, state: durham}
  morpeth: {title: Morpeth, state: morpeth}
  derwentside: {title: Derwentside, witness: true, state: derwentside}
services: {}
"""


class Ended:
    """A keeper that has ended, or runs."""

    def __init__(self, code: int | None) -> None:
        self.code = code

    def poll(self) -> int | None:
        return self.code


def test_last_words_are_kept_and_forgotten(tmp_path: Path) -> None:
    last_words.leave(tmp_path, RightsUnreadable("rights.json: not what a keeper writes"))
    found = last_words.read(tmp_path)
    assert found is not None
    assert (found.code, found.message) == ("rights-unreadable", "rights.json: not what a keeper writes")
    last_words.forget(tmp_path)
    assert last_words.read(tmp_path) is None


def test_last_words_that_make_no_sense_are_none(tmp_path: Path) -> None:
    (tmp_path / last_words.NAME).write_text('{"code": 1')
    assert last_words.read(tmp_path) is None


def test_a_keeper_that_ends_in_trouble_is_started_less_and_less_often_and_says_why(tmp_path: Path) -> None:
    started: list[Ended] = []
    counted: list[str] = []

    def start() -> Ended:
        started.append(Ended(None))
        return started[-1]

    starts = KeeperStarts(start, tmp_path, counted.append)
    starts.missing("nobody there")
    starts.missing("nobody there")
    assert len(started) == 1, "it is on its way"
    last_words.leave(tmp_path, NoteUnreadable("keeper-note.json: move it away"))
    started[-1].code = 1
    starts.missing("nobody there")
    assert starts.problem == "keeper-note.json: move it away (exit code 1)"
    assert counted == ["note-unreadable"]
    starts.missing("nobody there")
    assert len(started) == 1, "not in a spin"
    starts.there()
    assert starts.problem == ""


def test_a_keeper_that_ended_in_order_is_replaced_at_once(tmp_path: Path) -> None:
    started: list[Ended] = []

    def start() -> Ended:
        started.append(Ended(0))
        return started[-1]

    starts = KeeperStarts(start, tmp_path, lambda code: None)
    for _ in range(3):
        starts.missing("it has ended")
    assert len(started) == 3
    assert starts.problem == ""


@pytest.mark.parametrize(
    "text", ['{"boot": "', "[]", '{"boot": 1, "note": {"glass": 7}}', '{"note": {}}', "\xff\xfe"]
)
def test_a_damaged_note_of_rights_is_refused_with_what_to_do(tmp_path: Path, text: str) -> None:
    path = tmp_path / "rights.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(RightsUnreadable, match=r"rights\.json: .*move the file away"):
        RightsFile(path).read()


def test_a_note_of_rights_is_read_as_it_was_written(tmp_path: Path) -> None:
    note = Note(glass=(Glass("crm", 5, "break-glass-1"),), peer_keeper="k", peer_incarnation=3)
    RightsFile(tmp_path / "rights.json").write(note)
    assert RightsFile(tmp_path / "rights.json").read() == note


@pytest.mark.parametrize(
    "text", ['{"boot": "', "[]", "7", '{"boot": "BOOT", "deadline_ns": "x", "open": []}']
)
def test_a_damaged_note_of_what_is_open_is_refused_with_what_to_do(tmp_path: Path, text: str) -> None:
    path = tmp_path / "keeper-note.json"
    path.write_text(text.replace("BOOT", boot_id()))
    with pytest.raises(NoteUnreadable, match=r"keeper-note\.json: .*move the file away"):
        KeeperNote(path).read()


@pytest.mark.parametrize("text", ["", "\0\0\0\0", '{"boot": "another", "deadline_ns": 5, "open": ["crm"]}'])
def test_a_note_of_another_boot_or_cut_short_by_a_power_cut_says_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "keeper-note.json").write_text(text)
    assert KeeperNote(tmp_path / "keeper-note.json").read() == (0, frozenset())


@pytest.mark.parametrize("name", ["rights.json", "keeper-note.json"])
def test_the_keeper_itself_ends_with_the_message_and_leaves_it_for_its_controller(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / "sites.yaml").write_text(ESTATE)
    state = tmp_path / "durham"
    state.mkdir()
    (state / name).write_text("{")
    command = [sys.executable, "-P", "-c", "from orchestrator.cli import main; main()"]
    ended = subprocess.run(
        [*command, "--config", str(tmp_path / "sites.yaml"), "keeper", "--site", "durham"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    assert f"{state / name}: not what a keeper writes" in ended.stderr
    assert "move the file away" in ended.stderr
    said = json.loads((state / last_words.NAME).read_text())
    assert said["message"] in " ".join(ended.stderr.split())


async def test_status_and_metrics_say_that_the_keeper_does_not_start_and_it_is_not_tried_in_a_spin() -> None:
    async with two_sites() as world:
        site = world.durham
        site.may_start_keepers = False  # whatever is started has ended at once, and said nothing
        await site.kill_keeper()
        await world.until(lambda: bool(site.controller.keeper_problem))
        told = await look(site)
        assert told.status.keeper == "absent"
        assert any(
            line.startswith("THE KEEPER DOES NOT START: without a word") for line in told.status.warnings
        )
        await world.until(lambda: 'code="keeper-ended"' in site.metrics())
        count = (await look(site)).metric("not_accepted_total", code="keeper-ended")
        assert count is not None
        await asyncio.sleep(2)
        later = (await look(site)).metric("not_accepted_total", code="keeper-ended")
        assert later is not None
        assert later - count <= 5
        site.may_start_keepers = True
        await world.until(lambda: world.settled())
        assert not any("DOES NOT START" in line for line in (await look(site)).status.warnings)
