"""The stories, on a world played by a script: a sound product passes, and every kind of unsound one fails."""

import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from rich.console import Console

from orchestrator.lab import acts, bench, picture, run, stage, stories
from orchestrator.lab.errors import LabMisuse
from orchestrator.lab.stage import Check, Stage
from orchestrator.lab.view import LabNow
from orchestrator.result_file import ResultNotWritten
from tests.lab.world import World


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The world answers at once, so what does not come soon never comes."""
    monkeypatch.setattr(stage, "QUIET_SECONDS", 0.02)
    for name in ("STEADY_WITHIN_SECONDS", "TAKEN_WITHIN_SECONDS", "REJOINED_WITHIN_SECONDS"):
        monkeypatch.setattr(acts, name, 2.0)
    monkeypatch.setattr(acts, "REPLAY_LOOKS", 3)
    monkeypatch.setattr(stories, "GUARDED", False)


async def told(name: str, *faults: str, loss_said: float | None = 0.0) -> Stage:
    world = World(*faults)
    world.loss_said = loss_said
    played = Stage(world, world, world)
    await run.told(stories.STORIES[name], played)
    return played


def failed(played: Stage) -> set[str]:
    return {check.name for check in played.checks if not check.ok}


@pytest.mark.parametrize("name", ["tour", "site-loss", "database-loss", "switchover"])
async def test_a_sound_product_passes_every_story(name: str) -> None:
    played = await told(name)
    assert failed(played) == set()
    assert played.ok


async def test_the_tour_is_all_events_in_a_row() -> None:
    played = await told("tour")
    assert [(event.event, event.service) for event in played.events] == [
        ("site-loss", "ebs"),
        ("switchover", "ebs"),
        ("database-loss", "ebs"),
    ]


@pytest.mark.parametrize("name", ["site-loss", "database-loss", "switchover"])
async def test_two_sites_that_take_writes_at_the_same_time_are_found(name: str) -> None:
    assert f"{name}: never two sites writable" in failed(await told(name, "two-writable"))


async def test_more_loss_than_was_reported_is_found() -> None:
    assert "site-loss: no more was lost than was reported" in failed(await told("site-loss", "loses-rows"))


async def test_loss_within_what_was_reported_is_the_price_of_a_failover() -> None:
    played = await told("site-loss", "loses-rows", loss_said=5.0)
    assert "site-loss: no more was lost than was reported" not in failed(played)
    assert played.events[0].lost_rows == 1


async def test_loss_that_nothing_was_said_of_is_found() -> None:
    played = await told("database-loss", "loses-rows", loss_said=None)
    assert "database-loss: nothing was lost, where no bound was said" in failed(played)


async def test_unknown_is_not_taken_for_a_bound_that_was_kept() -> None:
    played = await told("database-loss", loss_said=None)
    names = [check.name for check in played.checks]
    assert "database-loss: nothing was lost, where no bound was said" in names
    assert "database-loss: no more was lost than was reported" not in names


@pytest.mark.parametrize("name", ["site-loss", "switchover"])
async def test_a_loss_said_to_be_unknown_is_null_for_programs_and_unknown_for_people(name: str) -> None:
    played = await told(name, loss_said=None)
    (event,) = run.result(name, [played])["events"]
    assert event["reported_loss_seconds"] is None
    out = io.StringIO()
    Console(file=out, width=120).print(picture.event_table(played.events))
    assert "unknown" in out.getvalue()


async def test_a_switchover_that_loses_a_row_is_found_whatever_it_says() -> None:
    played = await told("switchover", "loses-rows", loss_said=60.0)
    assert "the switchover lost no acknowledged row" in failed(played)


async def test_an_ownership_that_changes_again_is_found() -> None:
    assert "nothing was promoted by mistake" in failed(await told("site-loss", "ping-pong"))


async def test_a_neighbour_that_stops_is_found() -> None:
    world = World()
    world.lease_duration_seconds = 0.0  # the bound: now no wait at all is short enough
    played = Stage(world, world, world)
    await run.told(stories.site_loss, played)
    assert "crm went on while morpeth was dead" in failed(played)


@pytest.mark.parametrize(
    ("fault", "awaited"), [("no-takeover", "clients of ebs"), ("no-rejoin", "ebs at morpeth a streaming")]
)
async def test_what_does_not_come_ends_the_story_and_is_named_with_the_place_of_the_logs(
    fault: str, awaited: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("TAKEN_WITHIN_SECONDS", "REJOINED_WITHIN_SECONDS"):
        monkeypatch.setattr(acts, name, 0.3)
    played = await told("site-loss", fault)
    check = played.checks[-1]
    assert not played.ok
    assert check.name == "the story came to its end"
    assert awaited in check.found
    assert "/lab" in check.found


async def test_what_cannot_come_any_more_is_not_waited_for() -> None:
    world = World("dies-for-good")
    world.following["ebs"] = False
    found = Stage(world, world, world)
    await run.told(stories.switchover, found)
    assert "left dead" in found.checks[-1].found


async def test_going_home_moves_what_is_away_and_measures_nothing() -> None:
    world = World()
    world.move("ebs", "durham")
    world.rejoin()
    played = Stage(world, world, world)
    await acts.go_home(played)
    assert world.primary == {"crm": "durham", "ebs": "morpeth"}
    assert played.events == []


@pytest.fixture
def guarded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stories, "GUARDED", True)
    monkeypatch.setattr(stories, "LINK_DOWN_SECONDS", 0.05)
    monkeypatch.setattr(stories, "WORDS_WITHIN_SECONDS", 0.5)


@pytest.mark.usefixtures("guarded")
@pytest.mark.parametrize("name", ["controller-loss", "link-loss", "tour"])
async def test_a_sound_product_with_guards_passes_these_too(name: str) -> None:
    played = await told(name)
    assert failed(played) == set()
    assert played.ok


@pytest.mark.usefixtures("guarded")
async def test_a_guard_that_cuts_off_only_after_the_promotion_is_found() -> None:
    played = await told("controller-loss", "fences-late")
    assert "morpeth was cut off before durham took writes" in failed(played)


@pytest.mark.usefixtures("guarded")
@pytest.mark.parametrize(
    ("fault", "check"),
    [
        ("moves-on-link-down", "nothing was promoted by mistake"),
        ("fails-writes", "link-loss: not one write of ebs failed"),
        ("silent-link", "the story came to its end"),
    ],
)
async def test_what_a_cut_link_must_not_do_is_found(fault: str, check: str) -> None:
    assert check in failed(await told("link-loss", fault))


async def test_a_lab_without_guards_does_not_pretend_to_have_them() -> None:
    with pytest.raises(LabMisuse, match="guards"):
        await told("controller-loss")


async def test_the_json_has_exactly_the_documented_keys(tmp_path: Path) -> None:
    played = await told("site-loss")
    run.write_json(str(tmp_path / "out.json"), run.result("site-loss", [played]))
    found = json.loads((tmp_path / "out.json").read_text())
    assert list(found) == ["story", "ok", "lease_duration_seconds", "events", "checks"]
    assert found["ok"] is True
    assert set(found["events"][0]) == {
        "event",
        "service",
        "outage_seconds",
        "acknowledged_rows",
        "lost_rows",
        "lost_span_seconds",
        "reported_loss_seconds",
        "two_writable_seconds",
    }
    assert {"name": "old primary rejoined as standby", "ok": True} in found["checks"]


async def test_a_benchmark_sums_up_each_event(capsys: pytest.CaptureFixture[str]) -> None:
    events = [event for _ in range(3) for event in (await told("switchover")).events]
    (line,) = bench.summary(events)
    assert line["event"] == "switchover"
    assert line["min"] <= line["median"] <= line["max"]
    Console().print(bench.summary_table(events))
    assert "switchover" in capsys.readouterr().out


def test_an_interrupted_benchmark_keeps_the_rounds_that_were_played(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "bench.json"
    after_each_round: list[int] = []

    @asynccontextmanager
    async def lab(console: Console) -> AsyncIterator[Stage]:
        world = World()
        yield Stage(world, world, world)

    async def play(stage: Stage) -> None:
        if place.exists():
            after_each_round.append(len(json.loads(place.read_text())["events"]))
        if len(after_each_round) == 2:
            raise KeyboardInterrupt
        await stories.switchover(stage)

    monkeypatch.setattr(bench, "running_lab", lab)
    monkeypatch.setattr(bench, "STORIES", {"switchover": play})
    assert bench.run_bench(times=5, stories=["switchover"], json_path=str(place)) == 130
    assert after_each_round == [1, 2]
    found = json.loads(place.read_text())
    assert [event["event"] for event in found["events"]] == ["switchover", "switchover"]
    assert (found["ok"], found["finished"], len(found["summary"])) == (False, False, 1)


def test_a_benchmark_that_was_played_to_its_end_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @asynccontextmanager
    async def lab(console: Console) -> AsyncIterator[Stage]:
        world = World()
        yield Stage(world, world, world)

    monkeypatch.setattr(bench, "running_lab", lab)
    assert bench.run_bench(times=2, stories=["switchover"], json_path=str(tmp_path / "b.json")) == 0
    found = json.loads((tmp_path / "b.json").read_text())
    assert (found["ok"], found["finished"], len(found["events"])) == (True, True, 2)


async def test_people_see_every_site_every_service_and_every_event() -> None:
    played = await told("site-loss")
    out = io.StringIO()
    console = Console(file=out, width=120)
    world = World()
    console.print(picture.draw(world.now, frozenset({"morpeth"}), {"crm": 198.4}))
    run.show_result(console, played)
    text = out.getvalue()
    for word in ("durham", "morpeth", "killed", "198", "PRIMARY", "site-loss", "All of it held"):
        assert word in text


def test_a_failed_check_says_what_was_found() -> None:
    lines = picture.check_lines(
        [Check("a thing", ok=False, found="another thing"), Check("b", ok=True, found="x")]
    )
    assert lines == ["FAILED  a thing (another thing)", "ok      b"]


def test_rates_are_not_known_before_the_second_look() -> None:
    assert picture.rates(LabNow(), World().now) == {}


def test_unknown_stories_and_places_are_refused_with_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(LabMisuse, match="site-loss"):
        run.story_named("tornado")
    with pytest.raises(ResultNotWritten, match="cannot be written"):
        run.write_json(str(tmp_path / "no" / "such"), {})
    with pytest.raises(LabMisuse, match="database-loss"):
        bench.run_bench(stories=["tour"])
    with pytest.raises(LabMisuse, match="at least one"):
        bench.run_bench(times=0)
