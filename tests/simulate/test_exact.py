"""The exact scripts lead where they mean to, and what is right holds there; worlds that must not mislead."""

from collections.abc import Callable

import pytest

from orchestrator.core import messages as m
from orchestrator.core.records import Mode
from orchestrator.simulate.clocks import MS, PARTS, SECOND
from orchestrator.simulate.exact import EXACT, PLACES
from orchestrator.simulate.families import FAMILIES
from orchestrator.simulate.run import play
from orchestrator.simulate.scenario import draw
from orchestrator.simulate.world import World
from tests.simulate.cases import LONG_NS, T_NS, Case

INDEX = {family.name: index for index, family in enumerate(FAMILIES)}


def seeds_of(family: str, place: int, count: int) -> list[int]:
    return [(PLACES * each + place) * len(FAMILIES) + INDEX[family] for each in range(count)]


def of_s(world: World) -> tuple[str | None, int, Mode, str]:
    item = world.store.service("s")
    assert item is not None
    return item.record.primary, item.record.epoch, item.record.mode, item.record.kind


@pytest.mark.parametrize(("family", "place"), EXACT, ids=str)
def test_everything_holds_in_an_exact_script(family: str, place: int) -> None:
    assert place < PLACES
    for seed in seeds_of(family, place, 3):
        assert play(draw(seed)).checks.violations == [], seed


@pytest.mark.parametrize(
    ("family", "place", "there"),
    [
        ("hold", 7, lambda world: world.store.site("x").record.hold and of_s(world)[0] == "x"),
        ("modes", 1, lambda world: of_s(world)[2] is Mode.AUTOMATIC and of_s(world)[3] == "failover"),
        ("glass", 3, lambda world: of_s(world)[3] == "break-glass" and not world.checks.glass),
        ("glass", 5, lambda world: of_s(world)[0] == "x" and of_s(world)[1] > 2),
    ],
    ids=[
        "a spare that held",
        "made automatic and taken",
        "reconciled",
        "taken after",
    ],
)
def test_it_leads_where_it_means_to(family: str, place: int, there: Callable[[World], bool]) -> None:
    assert any(there(play(draw(seed))) for seed in seeds_of(family, place, 8))


def test_a_congested_link_is_itself_again_afterwards() -> None:
    case = Case()
    before = case.world.down["x"].weather
    case.do("congest", "x", "down", T_NS)
    assert case.world.down["x"].weather != before
    case.run(2)
    assert case.world.down["x"].weather == before


def test_a_takeover_that_waits_for_an_answer_does_not_keep_a_keeper_from_its_renewals() -> None:
    case = Case()
    keeper = case.world.keeper("x")
    assert keeper is not None
    case.do("site_down", "y", LONG_NS)
    case.patient("x")
    case.run(2)
    ask = case.world.controllers["x"].take_over(("t",))
    case.do("store_cut", "x", "down", LONG_NS)
    case.world.controllers["x"].ask(ask)
    assert any(isinstance(pending.what, m.TakeOver) for pending in keeper.state.asks.values())
    assert keeper.now() < keeper._due() <= keeper.state.last_sent_ns + SECOND


@pytest.mark.parametrize("phase_ms", range(0, 1000, 50))
def test_a_holder_with_a_coarse_clock_is_shut_in_time(phase_ms: int) -> None:
    """Its keeper stops; the other site's clock is as fast as it may be; the guard's cut takes all of D."""
    rates = {"x": PARTS, "x/s": PARTS + 1000, "x/t": PARTS, "y": PARTS + 5000}
    case = Case(gated=False, rates=rates, grains={"x": 250 * MS}, fence_share=1.0, eager=True)
    case.world.run(phase_ms * MS)
    case.do("stall_keeper", "x", LONG_NS)
    case.until(lambda: case.open_at("s") == ["y"], leases=2)
