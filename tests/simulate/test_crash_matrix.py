"""The crash matrix holds, and finds out an engine that forgets, repeats, or lets an old executor go on."""

from collections.abc import Iterator

import pytest

from orchestrator.simulate import crash_matrix
from orchestrator.simulate.crash_matrix import Again, Case, Moment, Recovery, cases, matrix, plans, steps_of
from orchestrator.simulate.crash_world import CrashHosts, CrashWorld
from runbooks import attempt
from runbooks.actions import shipped_actions
from runbooks.library import Library
from runbooks.progress import Progress


def test_killed_at_any_moment_of_any_step_every_move_ends_as_if_undisturbed() -> None:
    cells = matrix()
    assert [str(cell.case) for cell in cells if not cell.ok] == []
    moves = {cell.case.move for cell in cells}
    shipped = {name.partition("/")[0] for name in Library(shipped_actions()).names()}
    assert shipped == {move.partition(":")[0] for move in moves if ":" in move}
    assert len(cells) > 2000


def test_every_step_is_killed_at_every_moment_and_again_in_every_recovery() -> None:
    moves = plans(crash_matrix.ESTATE)
    every = list(cases(moves))
    assert len(every) == len(set(every))
    for move, plan in moves.items():
        for step in steps_of(plan):
            mine = [case for case in every if (case.move, case.step) == (move, step)]
            assert {case.moment for case in mine} == set(Moment)
            assert {case.again for case in mine} == set(Again)
            assert {case.recovery for case in mine} == set(Recovery)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the move with commands, killed once: enough to find a broken engine out."""

    def some(moves: dict[str, object]) -> Iterator[Case]:
        for case in cases(moves):  # type: ignore[arg-type]
            if case.move == "commands on hosts" and case.again is Again.NEVER:
                yield case

    monkeypatch.setattr(crash_matrix, "cases", some)


def wrong() -> list[Case]:
    return [cell.case for cell in matrix() if not cell.ok]


@pytest.mark.usefixtures("few")
def test_an_engine_that_takes_every_step_for_one_that_may_be_repeated_is_found_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def unknown(self: CrashHosts, *_: object) -> object:
        return attempt.Settled(attempt.Settlement.UNKNOWN, "nobody knows")

    monkeypatch.setattr(CrashHosts, "settle", unknown)
    asked = wrong()
    assert {case.step for case in asked} >= {"commands/migrate"}, "a person is asked, which is another end"
    monkeypatch.setattr("runbooks.steps.may_repeat", lambda step, spec: True)
    twice = [cell for cell in matrix() if "commands/migrate': 2" in cell.end_state]
    assert twice


@pytest.mark.usefixtures("few")
def test_an_engine_that_forgets_what_was_under_way_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Progress, "started", property(lambda self: ()))
    assert wrong()


@pytest.mark.usefixtures("few")
def test_hosts_that_let_an_old_executor_in_are_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CrashHosts, "_enter", lambda self, executor, step: None)

    async def anybody(self: CrashWorld, executor: int) -> None:
        return None

    monkeypatch.setattr(CrashWorld, "may_act", anybody)
    assert {case.recovery for case in wrong()} >= {Recovery.AWAKENED}
