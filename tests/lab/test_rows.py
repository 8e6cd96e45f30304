"""The corner cases: what is played, and what an unsound product would be found by."""

import pytest

from orchestrator.lab import acts, matrix, plays, plays_faults, plays_store, rows, run, soak, stage, stories
from orchestrator.lab.errors import LabMisuse
from orchestrator.lab.rows import ROWS, rows_named
from orchestrator.lab.stage import Stage
from tests.lab.world import World


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The world answers at once, so what does not come soon never comes."""
    monkeypatch.setattr(stage, "QUIET_SECONDS", 0.02)
    for name in ("STEADY_WITHIN_SECONDS", "TAKEN_WITHIN_SECONDS", "REJOINED_WITHIN_SECONDS"):
        monkeypatch.setattr(acts, name, 2.0)
    monkeypatch.setattr(plays, "QUIET_SECONDS", 0.03)
    monkeypatch.setattr(plays_faults, "BLINK_SECONDS", 0.03)
    monkeypatch.setattr(plays_store, "LEADER_EVERY_SECONDS", 0.03)
    monkeypatch.setattr(plays_store, "STORE_LOST_SECONDS", 0.05)
    monkeypatch.setattr(plays_store, "SLOW_FOR_SECONDS", 1.0)
    monkeypatch.setattr(stories, "BEFORE_IT_IS_LOST_SECONDS", 0.02)
    monkeypatch.setattr(stories, "FOLLOWER_LOST_SECONDS", 0.05)
    monkeypatch.setattr(acts, "REPLAY_LOOKS", 3)
    monkeypatch.setattr(stories, "GUARDED", True)
    monkeypatch.setattr(stories, "LINK_DOWN_SECONDS", 0.05)


async def played(name: str, *faults: str, loss_said: float | None = 0.0) -> Stage:
    world = World(*faults)
    world.loss_said = loss_said
    found = Stage(world, world, world)
    await run.told(ROWS[name].play, found)
    return found


def failed(found: Stage) -> set[str]:
    return {check.name for check in found.checks if not check.ok}


MOVES = (
    "site-loss",
    "database-loss",
    "controller-stopped",
    "controller-gone",
    "host-paused",
    "reaches-neither",
    "one-way-out",
    "one-way-in",
    "half-done",
)
STAYS = (
    "link-down",
    "store-out-of-reach",
    "one-way-link",
    "not-transitive",
    "store-lost",
    "store-dead",
    "slow-member",
    "follower-lost",
    "clock-jumps",
    "disk-full",
    "leader-changes",
    "controller-killed",
    "keeper-killed",
)


@pytest.mark.parametrize("name", [*MOVES, *STAYS, "comes-back", "link-comes-back"])
async def test_a_sound_product_passes_the_row(name: str) -> None:
    found = await played(name)
    assert failed(found) == set()
    assert found.ok


@pytest.mark.parametrize("name", MOVES)
async def test_two_sites_that_take_writes_are_found_in_every_row_that_moves(name: str) -> None:
    assert any(
        check.endswith("never two sites writable") for check in failed(await played(name, "two-writable"))
    )


@pytest.mark.parametrize(
    "name", ["reaches-neither", "one-way-out", "controller-stopped", "controller-gone", "host-paused"]
)
async def test_a_takeover_before_the_cut_is_found(name: str) -> None:
    found = await played(name, "fences-late")
    assert "morpeth was cut off before durham took writes" in failed(found)
    assert not found.margins or min(found.margins) < 0


async def test_a_client_inside_a_cut_off_site_that_is_still_served_is_found() -> None:
    found = await played("reaches-neither", "serves-inside")
    assert "reaches-neither: never two sites writable" in failed(found)
    assert any(event.two_writable_seconds > 0 for event in found.events)


@pytest.mark.parametrize("name", ["one-way-link", "not-transitive", "store-lost", "disk-full"])
async def test_a_write_that_fails_where_nothing_may_happen_is_found(name: str) -> None:
    assert any("not one write" in check for check in failed(await played(name, "fails-writes")))


async def test_a_site_that_is_taken_over_although_only_its_link_is_down_is_found() -> None:
    assert "nothing was promoted by mistake" in failed(await played("one-way-link", "moves-on-link-down"))


async def test_a_paused_host_that_answers_when_it_wakes_is_found() -> None:
    failures = failed(await played("host-paused", "answers-late"))
    assert "morpeth acknowledged nothing after its pause" in failures
    assert "host-paused: never two sites writable" in failures


async def test_a_pause_in_which_nothing_was_on_its_way_proves_nothing_and_does_not_hold() -> None:
    assert "rows were on their way to morpeth while it was paused" in failed(
        await played("host-paused", "nothing-on-its-way")
    )


async def test_a_gate_that_is_said_not_to_protect_from_a_pause_is_found() -> None:
    failures = failed(await played("host-paused", "unprotected"))
    assert failures == {"morpeth names no pause that it is not protected from"}


async def test_a_failover_that_nobody_resumed_is_found_though_the_service_is_served() -> None:
    assert failed(await played("half-done", "not-resumed")) == {"another controller went on with it"}


async def test_a_failover_whose_record_says_that_it_was_not_done_is_found() -> None:
    assert failed(await played("half-done", "stopped-run")) == {
        "the run that was cut short is done, by its record"
    }


async def test_a_store_that_answers_nobody_when_a_follower_is_lost_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stories, "STORE_SILENT_SECONDS", 0.03)
    found = await played("follower-lost", "silent-store")
    assert failed(found) == {"the store was silent for less than 0.03 s"}
    assert found.events[0].service == "store"


async def test_an_outage_beyond_the_bound_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plays, "DECISION_AND_RUNBOOK_SECONDS", -10.0)
    assert "site-loss: the outage was within the bound" in failed(await played("site-loss"))


def test_rows_are_chosen_by_name_and_wrong_names_are_answered_with_right_ones() -> None:
    assert [row.name for row in rows_named("blink, site-loss")] == ["blink", "site-loss"]
    assert len(rows_named("all")) == len(ROWS)
    for wrong in ("tornado", "", "blink,tornado"):
        with pytest.raises(LabMisuse, match="reaches-neither"):
            rows_named(wrong)


def test_without_namespaces_neither_rows_nor_a_soak_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.lab.namespaces.why_not", lambda: "no root here")
    with pytest.raises(LabMisuse, match="no root here"):
        matrix.run_rows("all")
    with pytest.raises(LabMisuse, match="no root here"):
        soak.run_soak(1.0)


def test_a_row_whose_needs_are_missing_is_not_played_and_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.lab.namespaces.why_not", lambda: None)
    monkeypatch.setattr(rows, "MISSING", frozenset({"guard"}))
    with pytest.raises(LabMisuse, match="controller-stopped needs guard"):
        matrix.run_rows("controller-stopped")
