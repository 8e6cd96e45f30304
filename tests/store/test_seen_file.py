"""What was seen of the store, on a real disk: whole or not at all; what makes no sense is not guessed at."""

import asyncio
import json
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.store.continuity import Acceptance, Break, BreakCode, KeySeen, Seen
from orchestrator.store.seen_file import FollowedFile, SeenFile, SeenUnreadable, seen_in

SEEN = Seen(
    cluster_id="14841639068965178418",
    revision=9007199254740993,
    keys={"services/crm": KeySeen(12, '{"primary":"durham"}'), "sites/durham": KeySeen(90)},
    epochs={"crm": 4},
    incarnation=7,
    broken=Break(code=BreakCode.RESTORED, message="the store went back in time", revision=5),
    accepted=(
        Acceptance(certificate="owner-1", cluster_id="1", revision=2, who="ann@durham", reason="r", at=""),
    ),
)


@pytest.fixture
def file(tmp_path: Path) -> SeenFile:
    return SeenFile(tmp_path / "store-seen.json")


def keep(file: SeenFile, seen: Seen = SEEN) -> None:
    asyncio.run(file.keep(seen))


def test_it_is_read_as_it_was_kept(file: SeenFile) -> None:
    keep(file)
    assert file.read() == SEEN


def test_nothing_was_ever_kept(file: SeenFile) -> None:
    assert file.read() is None
    assert seen_in(file) == Seen()


def test_it_is_for_its_owner_alone_and_replaced_whole(file: SeenFile) -> None:
    keep(file)
    keep(file, replace(SEEN, revision=5))
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert [path.name for path in file.path.parent.iterdir()] == ["store-seen.json"]
    found = file.read()
    assert found is not None
    assert found.revision == 5


def a_digit_lost(text: str) -> str:
    return text.replace("9007199254740993", "900719925474093")


def of_another_version(text: str) -> str:
    return json.dumps({**json.loads(text), "version": 99})


def without_a_sum(text: str) -> str:
    said = json.loads(text)
    del said["sha256"]
    return json.dumps(said)


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text[: len(text) // 2],
        lambda text: "\0" * len(text),
        lambda text: "[]",
        lambda text: "[" * 100_000,
        a_digit_lost,
        of_another_version,
        without_a_sum,
    ],
    ids=["empty", "cut short", "zeros", "a list", "deep", "a digit lost", "another version", "no sum"],
)
def test_what_makes_no_sense_is_no_trust(file: SeenFile, damage: object) -> None:
    keep(file)
    file.path.write_text(damage(file.path.read_text()))  # type: ignore[operator]
    with pytest.raises(SeenUnreadable, match=r"store-seen\.json"):
        file.read()
    found = seen_in(file)
    assert found.broken is not None
    assert found.broken.code == BreakCode.MEMORY_UNREADABLE
    assert (found.revision, found.cluster_id) == (0, "")


def test_a_disk_that_takes_nothing_leaves_what_was_there(file: SeenFile) -> None:
    keep(file)
    file.path.with_suffix(".new").mkdir()
    with pytest.raises(OSError, match="directory"):
        keep(file, replace(SEEN, revision=5))
    assert file.read() == SEEN


def test_what_is_set_aside_is_there_twice_and_never_over_another(file: SeenFile) -> None:
    """A start without any file would adopt whatever store answers."""
    file.path.write_text("damaged")
    asyncio.run(file.set_aside())
    asyncio.run(file.set_aside())
    names = sorted(path.name for path in file.path.parent.iterdir())
    assert names == ["store-seen.json", "store-seen.unreadable-1.json", "store-seen.unreadable-2.json"]
    assert {path.read_text() for path in file.path.parent.iterdir()} == {"damaged"}


def test_whoever_follows_another_process_s_file_writes_none(file: SeenFile) -> None:
    keep(file)
    followed = FollowedFile(file.path)
    keep(followed, Seen())
    assert followed.read() == SEEN
