"""A whole site's moves: by needs and rank, as many at once as those allow; one failure holds back only its
own."""

from orchestrator.core.site_plan import (
    AT_ONCE,
    CriticalPath,
    MoveState,
    PlannedMove,
    beginning,
    critical_path,
    held_back,
    in_turn,
)

DIRECTORY = PlannedMove("directory", 9, seconds=2.0)
EBS = PlannedMove("ebs", 1, ("directory",), seconds=5.0)
PORTAL = PlannedMove("portal", 2, ("ebs", "mail"), seconds=1.0)
HR = PlannedMove("hr", 3, seconds=6.0)
ALL = (EBS, PORTAL, HR, DIRECTORY)


def states(**known: str) -> dict[str, MoveState]:
    return {move.service: MoveState(known.get(move.service, "waiting")) for move in ALL}


def test_needs_go_before_rank_and_rank_before_the_name() -> None:
    assert [move.service for move in in_turn(ALL)] == ["hr", "directory", "ebs", "portal"]
    twins = (PlannedMove("b", 1), PlannedMove("a", 1))
    assert [move.service for move in in_turn(twins)] == ["a", "b"]


def test_everything_that_needs_nothing_begins_at_once_and_the_rest_when_its_needs_are_moved() -> None:
    assert beginning(ALL, states()) == ("hr", "directory")
    assert beginning(ALL, states(hr="running", directory="running")) == ()
    assert beginning(ALL, states(hr="running", directory="done")) == ("ebs",)
    assert beginning(ALL, states(hr="failed", directory="done", ebs="done")) == ("portal",)


def test_a_need_that_is_not_moved_with_them_holds_nothing_back() -> None:
    assert beginning((PORTAL,), {"portal": MoveState.WAITING}) == ("portal",)


def test_what_needs_a_service_that_was_not_moved_is_not_begun_and_neither_is_what_needs_that() -> None:
    for lost in ("failed", "refused"):
        assert held_back(ALL, states(directory=lost)) == {"ebs": "directory", "portal": "ebs"}
    assert held_back(ALL, states(hr="failed")) == {}


def test_only_so_many_go_at_once_and_the_lowest_ranks_first() -> None:
    many = tuple(PlannedMove(f"s{number:02}", number) for number in range(1, AT_ONCE + 5))
    waiting = {move.service: MoveState.WAITING for move in many}
    assert beginning(many, waiting) == tuple(f"s{number:02}" for number in range(1, AT_ONCE + 1))
    running = waiting | {"s01": MoveState.RUNNING, "s02": MoveState.DONE}
    assert len(beginning(many, running)) == AT_ONCE - 1


def test_the_critical_path_is_the_longest_chain_by_what_the_moves_took_before() -> None:
    assert critical_path(ALL) == CriticalPath(("directory", "ebs", "portal"), 8.0)
    assert critical_path((HR, DIRECTORY)) == CriticalPath(("hr",), 6.0)


def test_a_chain_with_a_move_that_nobody_has_timed_has_no_known_length() -> None:
    untimed = (PlannedMove("directory", 9), EBS)
    assert critical_path(untimed) == CriticalPath(("directory", "ebs"), None)
    assert critical_path(()) == CriticalPath((), None)


def test_a_ring_of_needs_does_not_hang() -> None:
    ring = (PlannedMove("a", 1, ("b",)), PlannedMove("b", 2, ("a",)))
    assert {move.service for move in in_turn(ring)} == {"a", "b"}
