"""No closed service is left to itself: with whatever single thing broken, some site that is still there acts,
asks a person, or waits for something that ends by itself. And the two never both open it.

One state of the world is seen by both controllers at once; each decides from its own side.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product

import pytest

from orchestrator.core.decision import Act, Decision
from orchestrator.core.diagnosis import Diagnosis
from sites.model import FailoverPolicy
from tests.core.views import DOWN, MUTE, NOBODY, PRIMARY, STANDBY, STRAY, Instance, Scene, at

OPENS = {Act.CLAIM, Act.TAKE_OVER, Act.CLAIM_BACK, Act.REOPEN, Act.RESTART}
ELSEWHERE = {"x": "y", "y": "x"}
BEHIND = Instance(position=at(900))


@dataclass(frozen=True)
class World:
    """x is the owner, or was before it gave the service up; y is the other one.

    `run` belongs to a move that somebody ordered to `target`: going on there, failed, or cut off (its
    controller was restarted). `gone`: the site that is lost, controller, lease, instance and all.
    `later`: every wait that ends by itself has ended.
    """

    owner: str | None
    planned: bool = False
    target: str | None = None
    run: str = ""
    at_x: Instance = PRIMARY
    at_y: Instance = STANDBY
    shut_at_x: bool = False
    gone: str = ""
    policy: FailoverPolicy = FailoverPolicy.AUTOMATIC
    paused: bool = False
    restarts_left: int = 0
    later: bool = True

    def scene(self, site: str) -> Scene:
        """As the controller of `site` sees it, which always calls itself x."""
        other = ELSEWHERE[site]
        named = {site: "x", other: "y", None: None}
        instances = {"x": self.at_x, "y": self.at_y}
        lost = self.gone == other
        long_seconds = 40.0 if self.later else 0.5
        executing = self.run == "going on" and self.target == site
        return Scene(
            home=named["x"] or "x",
            policy=self.policy,
            owner=named[self.owner],
            previous=named["x"] if self.owner is NOBODY else None,
            planned=self.planned,
            final=at(1000) if self.planned and self.owner is NOBODY else None,
            moving=self.target is not None,
            target=named[self.target],
            peer_lease_over=lost and self.later,
            peer_silent_seconds=long_seconds if lost else 0.3,
            peer_reached=not lost,
            shut=self.shut_at_x and site == "x",
            here=instances[site],
            there=None if lost else instances[other],
            dead_here="refused" if instances[site] is DOWN else "",
            run_here="run-1" if executing else "",
            run_failed=self.run == "failed",
            paused=self.paused,
            restarts_left=self.restarts_left,
            nobody_for_seconds=long_seconds if self.owner is NOBODY else 0.0,
            not_a_standby_for_seconds=long_seconds,
            safe_seconds_ago=long_seconds + 1.0,
        )

    def decisions(self) -> dict[str, tuple[Diagnosis, Decision]]:
        """What every site that is still there decides."""
        found = {}
        for site in ELSEWHERE:
            if site != self.gone:
                row, decision = self.scene(site).decide()
                found[site] = (row.diagnosis, decision)
        return found

    @property
    def open(self) -> bool:
        """Somebody may write where the service belongs."""
        instance = {"x": self.at_x, "y": self.at_y, None: None}[self.owner]
        return instance is PRIMARY and self.owner != self.gone and not self.shut_at_x


def worlds() -> Iterator[World]:
    """Steady, ordered to y, ordered and claimed, given up dead, given up in order; each with every instance
    state, one site lost or none, and the run going on, failed or cut off."""
    moves = (
        World(owner="x"),
        World(owner="x", target="y"),
        World(owner="x", target="x"),
        World(owner=NOBODY),
        World(owner=NOBODY, target="y"),
        World(owner=NOBODY, target="y", planned=True),
    )
    policies = (FailoverPolicy.AUTOMATIC, FailoverPolicy.MANUAL)
    for move, gone, at_x, at_y, policy, paused, restarts, shut in product(
        moves, ("", "x", "y"), (PRIMARY, STANDBY, DOWN, MUTE), (STANDBY, BEHIND, STRAY, DOWN, MUTE),
        policies, (False, True), (0, 1), (False, True),
    ):  # fmt: skip
        if (move.owner is NOBODY and at_x is PRIMARY) or (shut and (move.owner != "x" or at_x is PRIMARY)):
            continue
        world = replace(move, gone=gone, at_x=at_x, at_y=at_y, policy=policy, paused=paused, shut_at_x=shut)
        for run in ("going on", "failed", "cut off") if move.target else ("",):
            yield replace(world, run=run, restarts_left=restarts)


def _somebody_sees_to_it(world: World, decided: dict[str, tuple[Diagnosis, Decision]]) -> bool:
    if any(decision.act is not Act.HOLD for _, decision in decided.values()):
        return True
    if any(world.scene(site).run_here for site in decided):
        return True  # every step of a run has a deadline
    # A database that gives no answer may be alive; `primary-unknown` names it, and people look (row 540).
    return any(name is Diagnosis.PRIMARY_UNKNOWN for name, _ in decided.values())


def test_a_closed_service_never_waits_for_what_will_not_come() -> None:
    stuck = []
    for world in worlds():
        decided = world.decisions()
        if not world.open and not _somebody_sees_to_it(world, decided):
            stuck.append((world, {site: (str(name), d.row) for site, (name, d) in decided.items()}))
    assert stuck[:3] == []


@pytest.mark.parametrize("later", [False, True], ids=["at once", "later"])
def test_no_two_sites_ever_both_decide_to_open_a_service(later: bool) -> None:
    for world in worlds():
        decided = replace(world, later=later).decisions()
        opening = [site for site, (_, decision) in decided.items() if decision.act in OPENS]
        # Taking back and claiming may be tried at the same moment: the store lets one of them win (P24).
        rivals = {decision.act for _, decision in decided.values()} == {Act.CLAIM, Act.CLAIM_BACK}
        assert len(opening) < 2 or rivals, world


def test_whoever_gave_a_service_up_does_not_take_it_back_before_the_other_had_its_chance() -> None:
    for world in worlds():
        if world.owner is not NOBODY or world.run == "failed":
            continue
        decided = replace(world, later=False).decisions()
        assert all(decision.act is not Act.CLAIM_BACK for _, decision in decided.values()), world


# --- the stories behind it, one world each -------------------------------------------------------------


def _acts(world: World) -> dict[str, tuple[Act, str]]:
    return {site: (decision.act, decision.code) for site, (_, decision) in world.decisions().items()}


def test_a_give_up_whose_taker_refuses_is_taken_back_by_the_site_that_gave_it_up() -> None:
    refused = World(owner=NOBODY, at_x=DOWN, at_y=STRAY, paused=True)
    assert _acts(replace(refused, later=False)) == {
        "x": (Act.HOLD, "moving"),
        "y": (Act.REFUSE, "paused"),
    }
    assert _acts(refused)["x"] == (Act.CLAIM_BACK, "claim-back")


def test_a_give_up_whose_taker_refuses_and_whose_giver_is_lost_says_so_to_a_person() -> None:
    world = World(owner=NOBODY, planned=True, target="y", run="failed", at_y=BEHIND, gone="x")
    assert _acts(world) == {"y": (Act.REFUSE, "below-final-position")}


def test_a_site_lost_in_the_middle_of_a_planned_move_gives_its_move_up_to_the_lease() -> None:
    world = World(owner="x", target="y", run="failed", at_x=DOWN, gone="x")
    assert _acts(world) == {"y": (Act.TAKE_OVER, "take-over")}


def test_a_dead_database_is_seen_to_although_its_service_was_to_move_to_a_site_that_is_lost() -> None:
    ordered = World(owner="x", target="y", run="cut off", at_x=DOWN, gone="y", restarts_left=1)
    assert _acts(ordered) == {"x": (Act.RELEASE, "release")}
    assert _acts(replace(ordered, target=None, run="")) == {"x": (Act.RESTART, "restart")}


def test_a_controller_restarted_in_the_middle_of_its_run_goes_on_with_it() -> None:
    for world in (
        World(owner="x", target="y", run="cut off"),
        World(owner=NOBODY, target="y", planned=True, run="cut off", at_x=DOWN, later=False),
    ):
        assert _acts(world) == {"x": (Act.HOLD, "moving"), "y": (Act.CARRY_OUT, "moving")}


def test_both_sites_started_cold_open_a_service_where_it_belongs_and_nowhere_else() -> None:
    world = World(owner="x", at_x=STANDBY, at_y=STRAY)
    assert _acts(world) == {"x": (Act.REOPEN, "reopen"), "y": (Act.HOLD, "not-the-holder")}


def test_a_dead_database_whose_controller_is_gone_too_is_a_lost_site() -> None:
    world = World(owner="x", at_x=DOWN, gone="x")
    assert _acts(replace(world, later=False))["y"][0] is Act.HOLD
    assert _acts(world) == {"y": (Act.TAKE_OVER, "take-over")}
