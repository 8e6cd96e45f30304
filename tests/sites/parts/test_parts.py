"""A database and a file tree as one service: never half open unsaid, never more sure than its parts."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from sites.errors import DriverTrouble
from sites.model import Estate
from sites.replication.catalogue import databases_of, make_driver
from sites.replication.parts.config import PartsSettings
from sites.replication.parts.driver import PartsDriver
from sites.replication.parts.samples import whole_role
from sites.replication.positions import bytes_short, reached
from sites.replication.words import Position, Role, Word
from tests.sites.command.ledgers import commands
from tests.support.fake_driver import FakeDriver, FakePair
from tests.support.local_transport import LocalTransport

DURHAM, MORPETH = "durham", "morpeth"


class Two:
    """The two pairs, and the driver of both."""

    def __init__(self) -> None:
        self.db, self.files = FakePair("crm", DURHAM, MORPETH), FakePair("crm", DURHAM, MORPETH)
        self.drivers = {"db": FakeDriver(self.db, DURHAM), "files": FakeDriver(self.files, DURHAM)}
        self.driver = PartsDriver("crm", self.drivers)

    def said(self, word: str) -> list[str]:
        """Which parts were told a word."""
        return [
            name
            for name, pair in (("db", self.db), ("files", self.files))
            if any(said == word for _, said, _ in pair.said)
        ]


@pytest.fixture
def two() -> Two:
    return Two()


@pytest.mark.parametrize(
    ("db", "files", "whole"),
    [
        (Role.PRIMARY, Role.PRIMARY, Role.PRIMARY),
        (Role.STANDBY, Role.STANDBY, Role.STANDBY),
        (Role.DOWN, Role.DOWN, Role.DOWN),
        (Role.DOWN, Role.PRIMARY, Role.DOWN),
        (Role.STANDBY, Role.DOWN, Role.DOWN),
        (Role.PRIMARY, Role.STANDBY, Role.UNKNOWN),
        (Role.UNKNOWN, Role.DOWN, Role.UNKNOWN),
        (Role.UNKNOWN, Role.PRIMARY, Role.UNKNOWN),
    ],
)
def test_the_whole_is_what_its_parts_agree_on_else_the_worst_of_them_or_unknown(
    db: Role, files: Role, whole: Role
) -> None:
    assert whole_role({"db": db, "files": files}) is whole


async def test_a_part_that_accepts_writes_makes_the_whole_accept_writes_and_the_reason_says_which(
    two: Two,
) -> None:
    two.db.kill(DURHAM)
    sample = await two.driver.sample(DURHAM)
    assert (sample.role, sample.writable) == (Role.DOWN, True)
    assert sample.reason == "db is down (refused); files is primary, accepts writes"
    two.files.kill(DURHAM)
    sample = await two.driver.sample(DURHAM)
    assert (sample.role, sample.writable) == (Role.DOWN, False)


async def test_a_part_that_does_not_answer_leaves_the_whole_unknown_with_the_reason(two: Two) -> None:
    two.files.cut_off(DURHAM)
    sample = await two.driver.sample(DURHAM)
    assert (sample.role, sample.writable, sample.position) == (Role.UNKNOWN, True, None)
    assert "files is unknown (no route to host)" in sample.reason
    two.db.cut_off(DURHAM)
    assert (await two.driver.sample(DURHAM)).writable is None


async def test_its_lag_is_that_of_its_worst_part(two: Two) -> None:
    async def behind() -> float | None:
        await two.driver.sample(DURHAM)
        return (await two.driver.sample(MORPETH)).behind_seconds

    two.db.write()
    two.files.write()
    assert (await behind()) is not None
    two.files.instances[MORPETH].receiving = False
    await asyncio.sleep(0.02)
    last_seen = await behind()
    two.files.write()
    await asyncio.sleep(0.3)
    late = await behind()
    assert last_seen is not None
    assert late is not None
    assert last_seen < 0.3 <= late
    db, files = await two.drivers["db"].sample(MORPETH), await two.drivers["files"].sample(MORPETH)
    assert (db.behind_seconds, files.behind_seconds) == (None, None)


async def test_its_lag_is_not_known_as_long_as_one_parts_is_not(two: Two) -> None:
    assert (await two.driver.sample(MORPETH)).behind_seconds is None
    await two.drivers["db"].sample(DURHAM)
    assert (await two.driver.sample(MORPETH)).behind_seconds is None


def place(*offsets: int | None, history: str = "h") -> Position:
    parts = tuple(Position(str(offset), history, offset) for offset in offsets)
    return Position("; ".join(part.text for part in parts), history, None, parts)


def test_a_position_of_parts_is_reached_where_every_part_of_it_is() -> None:
    assert reached(place(5, 7), place(5, 7)) is True
    assert reached(place(6, 7), place(5, 7)) is True
    assert reached(place(9, 6), place(5, 7)) is False
    assert reached(place(5, 7, history="other"), place(5, 7)) is None
    assert reached(place(5), place(5, 7)) is None
    assert reached(Position("5", "h", 5), place(5, 7)) is None
    assert bytes_short(place(3, 6), place(5, 7)) == 3


async def test_a_planned_close_has_the_final_place_of_every_part(two: Two) -> None:
    two.db.write()
    closed = await two.driver.close(DURHAM, within_seconds=5)
    assert closed.final_position is not None
    assert [part.offset_bytes for part in closed.final_position.parts] == [1, 0]
    assert await two.driver.caught_up(MORPETH, closed.final_position, timeout_seconds=1)
    further = replace(
        closed.final_position,
        parts=(*closed.final_position.parts[:1], replace(closed.final_position.parts[1], offset_bytes=9)),
    )
    assert not await two.driver.caught_up(MORPETH, further, timeout_seconds=0.05)
    assert not await two.driver.caught_up(MORPETH, closed.final_position.parts[0], timeout_seconds=0.05)


async def test_a_part_that_had_to_be_cut_leaves_no_final_place(two: Two) -> None:
    two.files.overrunning.add(DURHAM)
    closed = await two.driver.close(DURHAM, within_seconds=5)
    assert closed.final_position is None
    assert "files: stop: immediate" in closed.evidence


async def test_where_one_part_cannot_be_closed_the_whole_is_fenced_or_it_is_an_error(two: Two) -> None:
    async def refuses(site: str, *, within_seconds: float) -> Any:
        raise DriverTrouble("files: busy")

    two.drivers["files"].close = refuses
    closed = await two.driver.close(DURHAM, within_seconds=5)
    assert closed.final_position is None
    assert "files: DriverTrouble: files: busy" in closed.evidence
    assert two.db.writable == two.files.writable == []
    again = Two()
    again.drivers["files"].close = refuses
    again.files.unfenced.add(DURHAM)
    with pytest.raises(DriverTrouble, match="fence that followed is not verified"):
        await again.driver.close(DURHAM, within_seconds=5)


async def test_a_fence_is_verified_only_where_every_part_is(two: Two) -> None:
    two.files.unfenced.add(DURHAM)
    fenced = await two.driver.fence(DURHAM, within_seconds=1)
    assert not fenced.verified
    assert "files: not verified" in fenced.evidence
    assert two.db.writable == []
    two.files.unfenced.clear()
    assert (await two.driver.fence(DURHAM, within_seconds=1)).verified
    two.db.hung.add(DURHAM)
    assert not (await two.driver.fence(DURHAM, within_seconds=0.05)).verified


async def test_nothing_is_promoted_where_one_part_could_not_be(two: Two) -> None:
    await two.driver.fence(DURHAM, within_seconds=1)
    two.files.kill(MORPETH)
    with pytest.raises(
        DriverTrouble, match=r"cannot be promoted as a whole: .*files is down.*nothing was done"
    ):
        await two.driver.promote(MORPETH, timeout_seconds=5)
    assert two.said("promote") == []


async def test_a_promotion_that_fails_half_way_says_what_is_open_and_goes_on_when_ordered_again(
    two: Two,
) -> None:
    await two.driver.fence(DURHAM, within_seconds=1)
    two.files.promote_fails[MORPETH] = 1
    with pytest.raises(DriverTrouble, match=r"files: .*read-only; open already: db"):
        await two.driver.promote(MORPETH, timeout_seconds=5)
    sample = await two.driver.sample(MORPETH)
    assert (sample.role, sample.writable) == (Role.UNKNOWN, True)
    promoted = await two.driver.promote(MORPETH, timeout_seconds=5)
    assert [part.history for part in promoted.position.parts] == ["cluster/2", "cluster/2"]
    assert (await two.driver.sample(MORPETH)).role is Role.PRIMARY


async def test_a_local_restart_starts_only_the_part_that_died(two: Two) -> None:
    two.db.kill(DURHAM)
    await two.driver.start(DURHAM, role=Role.PRIMARY, timeout_seconds=5)
    assert two.db.writable == two.files.writable == [DURHAM]


async def test_the_first_part_that_is_lost_is_told_by_its_name(two: Two) -> None:
    watch = asyncio.create_task(two.driver.lost(DURHAM))
    await asyncio.sleep(0.01)
    two.files.kill(DURHAM)
    assert (await asyncio.wait_for(watch, 5)).startswith("files: connection refused")


async def test_a_rejoin_names_what_each_part_kept_even_where_another_failed(two: Two) -> None:
    for pair in (two.db, two.files):
        pair.instances[MORPETH].receiving = False
        pair.write()
    await two.driver.fence(DURHAM, within_seconds=1)
    await two.driver.promote(MORPETH, timeout_seconds=5)
    done = await two.driver.rejoin(DURHAM, primary_site=MORPETH, timeout_seconds=5)
    assert (done.method, done.divergent_bytes) == ("rewind", 2)
    assert done.saved_at == "db: /saved/durham; files: /saved/durham"
    await two.driver.fence(DURHAM, within_seconds=1)
    two.files.instances[DURHAM].cluster = "another"
    with pytest.raises(DriverTrouble, match="files: durham is of another cluster; done: db: follow"):
        await two.driver.rejoin(DURHAM, primary_site=MORPETH, timeout_seconds=5)


async def test_nothing_follows_a_site_that_is_open_in_part_only(two: Two) -> None:
    await two.driver.fence(DURHAM, within_seconds=1)
    await two.drivers["db"].promote(MORPETH, timeout_seconds=5)
    with pytest.raises(DriverTrouble, match="not open as a whole"):
        await two.driver.rejoin(DURHAM, primary_site=MORPETH, timeout_seconds=5)
    assert two.said("rejoin") == []


def test_a_word_that_one_part_does_not_know_is_not_known() -> None:
    first, second = (
        FakeDriver(FakePair("crm", DURHAM, MORPETH), DURHAM),
        FakeDriver(FakePair("crm", DURHAM, MORPETH), DURHAM),
    )
    second.unknown_words = frozenset({Word.REBUILD})
    assert PartsDriver("crm", {"a": first, "b": second}).unknown_words == {Word.REBUILD}


# -- settings -------------------------------------------------------------------------------------------


def settings(tmp_path: Path, *names: str) -> dict[str, Any]:
    tree = commands(tmp_path / "x.sh", tmp_path)
    return {"parts": [{"name": name, "driver": "command", **tree} for name in names]}


def estate(replication: dict[str, Any], **service: Any) -> Estate:
    host = {"name": "tree", "address": "127.0.0.1"}
    return Estate.model_validate(
        {
            "store": {"endpoints": ["http://127.0.0.1:1"]},
            "sites": {
                site: {"name": site, "hosts": {"tree": {**host, "site": site}}} for site in (DURHAM, MORPETH)
            },
            "services": {
                "crm": {
                    "name": "crm",
                    "home": DURHAM,
                    "standby": MORPETH,
                    "replication": {"driver": "parts", **replication},
                    **service,
                }
            },
        }
    )


async def test_a_driver_is_made_of_the_drivers_of_its_parts(tmp_path: Path) -> None:
    made = estate(settings(tmp_path, "papers", "scans"))
    driver = make_driver(made.services["crm"], made, LocalTransport())
    assert isinstance(driver, PartsDriver)
    sample = await driver.sample(DURHAM)
    assert sample.role is Role.UNKNOWN
    assert "papers is unknown" in sample.reason
    await driver.aclose()


def test_the_databases_among_the_parts_are_found(tmp_path: Path) -> None:
    database = {
        "name": "db",
        "driver": "postgres",
        "password": "x",
        "replication_password": "y",
        "instances": {
            site: {"host": "tree", "data": "/srv/pg", "bin": "/usr/bin", "port": port}
            for port, site in enumerate((DURHAM, MORPETH), start=5432)
        },
    }
    both = settings(tmp_path, "files")
    both["parts"].append(database)
    service = estate(both).services["crm"]
    assert [one.instances[DURHAM].port for one in databases_of(service)] == [5432]
    assert databases_of(estate(settings(tmp_path, "a", "b")).services["crm"]) == ()
    made = make_driver(service, estate(both), LocalTransport())
    assert isinstance(made, PartsDriver)


def test_what_does_not_fit_is_told_with_the_part_it_is_about(tmp_path: Path) -> None:
    def said(replication: dict[str, Any], **service: Any) -> list[tuple[Any, ...]]:
        made = estate(replication, **service)
        checked = PartsSettings.model_validate(made.services["crm"].replication.settings)
        return [where for where, _, _ in checked.check(made, made.services["crm"])]

    assert said(settings(tmp_path, "a", "b")) == []
    assert said(settings(tmp_path, "a", "a")) == [("parts", 1, "name")]
    wrong = settings(tmp_path, "a", "b")
    wrong["parts"][1]["hosts"] = {DURHAM: "none", MORPETH: "tree"}
    assert said(wrong) == [("parts", 1, "hosts", DURHAM)]


def guarded(replication: dict[str, Any], guard: dict[str, Any]) -> list[str]:
    """What is said of a guard beside these parts."""
    made = estate(replication, guard=guard)
    checked = PartsSettings.model_validate(made.services["crm"].replication.settings)
    return [f"{found}; {expected}" for _, found, expected in checked.check(made, made.services["crm"])]


def database(host: str = "tree") -> dict[str, Any]:
    instance = {"host": host, "data": "/srv/pg", "bin": "/usr/bin"}
    ports = {DURHAM: 5432, MORPETH: 5433}
    return {
        "name": "db",
        "driver": "postgres",
        "password": "x",
        "replication_password": "y",
        "instances": {site: {**instance, "port": port} for site, port in ports.items()},
    }


PROGRAMS = {"open": ["o"], "close": ["c"], "verify": ["v"]}
DATA = {DURHAM: "/srv/files", MORPETH: "/srv/files"}


def test_a_guard_stands_beside_parts_that_it_can_cut_off_all_of_them(tmp_path: Path) -> None:
    both = settings(tmp_path, "files")
    both["parts"].append(database())
    assert guarded(both, {"command": PROGRAMS, "data": DATA}) == []
    assert guarded(both, {"nftables": {"ports": [5432, 2049]}, "data": DATA}) == []
    (said,) = guarded(both, {"data": DATA})
    assert said.startswith("a guard that cannot cut off files: it knows no processes of it")
    other = {**database(), "name": "archive"}
    other["instances"] = {site: {**one, "data": "/srv/pg2"} for site, one in other["instances"].items()}
    assert guarded({"parts": [database(), other]}, {}) == []


def test_a_guard_s_parts_are_on_one_host_and_behind_no_single_proxy(tmp_path: Path) -> None:
    both = settings(tmp_path, "files")
    both["parts"].append(database())
    made = estate(both, guard={"command": PROGRAMS, "data": DATA})
    for site in (DURHAM, MORPETH):
        made.sites[site].hosts["pg"] = made.sites[site].hosts["tree"]
    both["parts"][-1] = database("pg")
    moved = estate(both, guard={"command": PROGRAMS, "data": DATA})
    checked = PartsSettings.model_validate(moved.services["crm"].replication.settings)
    found = [found for _, found, _ in checked.check(made, moved.services["crm"])]
    assert found == [
        f"a guard, and parts on several hosts of {site} (files on tree, db on pg)"
        for site in (DURHAM, MORPETH)
    ]
    places = {site: {"listen": "127.0.0.1:5432", "to": "127.0.0.1:5433"} for site in (DURHAM, MORPETH)}
    both["parts"][-1] = database()
    (said,) = guarded(both, {"proxy": places, "command": PROGRAMS, "data": DATA})
    assert said.startswith("a guard's proxy beside several parts")


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [{"name": "a", "driver": "command"}],
        [{"name": "a", "driver": "parts", "parts": []}, {"name": "b", "driver": "command"}],
        [{"name": "A b", "driver": "command"}, {"name": "b", "driver": "command"}],
    ],
)
def test_one_part_alone_parts_of_parts_and_parts_without_a_name_are_refused(parts: list[Any]) -> None:
    with pytest.raises(ValidationError):
        PartsSettings.model_validate({"parts": parts})


def test_nothing_lost_can_be_promised_only_where_every_part_waits(tmp_path: Path) -> None:
    assert not PartsSettings.model_validate(settings(tmp_path, "a", "b")).synchronous
