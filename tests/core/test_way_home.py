"""The way home is planned from the first minute: what is done, what is next, and what that waits for."""

from dataclasses import replace

import pytest

from orchestrator.core.gates import Gate
from orchestrator.core.records import RunRecord, RunWait, StepState
from orchestrator.core.way_home import Expected, Facts, Stage, StageOnTheWay, State, way_home
from sites.replication.words import Copying
from tests.core.views import DOWN, MUTE, PRIMARY, STANDBY, STRAY, Scene

AWAY = Scene(home="y", owner="x", here=PRIMARY)
"""The service is at home at y, and x has it: everything is well again."""
LOST = AWAY.but(there=MUTE, peer_silent_seconds=42.0, peer_lease_over=True, lag_seconds=None)
"""Right after the failover."""
OPEN = Gate(1, "the right to it", ok=True, code="", evidence="")
CLOSED = Gate(3, "data", ok=None, code="lag-unknown", evidence="no standby")
NEVER_TIMED = "no past run"


def stages(scene: Scene, **facts: object) -> tuple[StageOnTheWay, ...]:
    """What is told."""
    view, service = scene.see()
    return way_home(view, service, Facts(**{"gates": (OPEN,), **facts}))


def states(told: tuple[StageOnTheWay, ...]) -> list[State]:
    """Only how far each is."""
    return [one.state for one in told]


def rejoin(state: str = "running", **differs: object) -> RunRecord:
    """The run that makes y a standby again."""
    record = RunRecord(
        run="s-rejoin-9",
        kind="rejoin",
        service="s",
        from_site="y",
        to_site="x",
        executor_site="y",
        executor=1,
        state=state,
        plan={"epoch": 7},
        statement="",
        who="",
        why="",
        started="",
        steps=(StepState(step="rejoin/database", state="running"),),
    )
    return replace(record, **differs)


D, G, N, L = State.DONE, State.GOING_ON, State.NEXT, State.LATER


def test_right_after_the_failover_it_says_what_is_out_of_reach_and_what_is_not_known() -> None:
    told = stages(LOST, statement="s loses at most 3.1 s of writes", gates=(OPEN, CLOSED))
    assert states(told) == [N, L, L, L, L]
    assert told[0].waits_for == (
        "y's controller: not heard of for 42 s, and its lease is over",
        "s's database at y: it does not answer from here: it is unknown",
    )
    assert "unknown before it answers; the failover said: s loses at most 3.1 s" in told[1].words
    assert "which way shows when it answers" in told[2].words
    assert (
        told[3].words
        == "until it is at most 60 s behind (its `objectives.rpo`); how far behind it will be is unknown"
    )
    assert [one.waits_for for one in told[1:]] == [()] * 4, "what is later waits for what comes before it"
    assert all(one.expected is None for one in told)


def test_a_database_that_is_down_while_its_site_answers_is_next_to_be_made_a_standby() -> None:
    told = stages(AWAY.but(there=DOWN, lag_seconds=None))
    assert states(told) == [D, N, L, L, L]
    assert "says that it is not running: it is down" in told[0].words
    assert "y's controller, which begins it by itself" in told[1].waits_for[0]


def test_a_rejoin_under_way_is_told_with_its_step_and_how_much_was_copied() -> None:
    view, service = AWAY.but(there=STRAY, lag_seconds=None).see()
    source = replace(service.samples["x"], copying=Copying(3 * 2**30, 12 * 2**30))
    service = replace(service, samples=dict(service.samples) | {"x": source})
    told = way_home(view, service, Facts(rejoin=rejoin(), rejoin_words="by a full copy"))
    assert states(told) == [D, G, G, L, L], "saving and coming back are one run"
    assert "run s-rejoin-9 is at it, step rejoin/database" in told[2].words
    assert "a full copy is under way: 3.0 GiB of 12.0 GiB sent (25 %); by a full copy" in told[2].words


def test_a_run_that_was_under_way_when_the_site_was_lost_again_does_not_go_on() -> None:
    assert states(stages(LOST, rejoin=rejoin())) == [N, L, L, L, L]


def test_a_rejoin_that_waits_for_a_person_says_so() -> None:
    waits = rejoin("waiting", waits=(RunWait(kind="person", words="is the disk mounted?"),))
    told = stages(AWAY.but(there=STRAY, lag_seconds=None), rejoin=waits)
    assert "waits for a person: is the disk mounted?" in told[2].words


def test_a_rejoin_that_failed_says_why_and_that_it_is_tried_again() -> None:
    failed = rejoin("failed", outcome="no room for a full copy", steps=())
    told = stages(AWAY.but(there=STRAY, lag_seconds=None), rejoin=failed)
    assert states(told) == [D, N, L, L, L]
    assert (
        told[1].waits_for[0].startswith("run s-rejoin-9 failed: no room for a full copy; it is tried again")
    )


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (
            {"divergent_bytes": 2048, "saved_at": "/kept", "method": "rewind"},
            "2.0 KiB, which x never received, is kept at /kept",
        ),
        (
            {"divergent_bytes": None, "saved_at": "/aside", "method": "rebuild"},
            "how much is not known, which x",
        ),
        ({"divergent_bytes": 0, "method": "follow"}, "it had nothing that x has not"),
        ({"divergent_bytes": None, "method": "follow"}, "what it had alone is not known"),
    ],
)
def test_what_was_kept_is_told_with_its_place_and_never_taken_for_nothing(
    values: dict[str, object], words: str
) -> None:
    told = stages(AWAY, rejoin=rejoin("done", values={"rejoined": values}))
    assert told[1].words.startswith(words)
    assert f"a standby again ({values['method']}), and" in told[2].words


def test_a_standby_that_is_behind_is_not_in_sync_until_the_lag_is_within_the_objective() -> None:
    told = stages(AWAY.but(lag_seconds=300.0))
    assert states(told) == [D, D, D, G, L]
    assert told[3].words == "it is 5 min behind, and receives"
    unknown = stages(AWAY.but(lag_seconds=None))
    assert states(unknown) == [D, D, D, N, L]
    assert unknown[3].waits_for == ("a lag that is known, and at most 60 s behind (its `objectives.rpo`)",)


def test_when_all_is_well_it_waits_for_a_person_and_for_nothing_else() -> None:
    told = stages(AWAY)
    assert states(told) == [D, D, D, D, N]
    assert told[4].waits_for == ("a person's order, which nothing replaces: `twinsite failback s`",)


def test_the_last_stage_names_the_gates_that_are_closed() -> None:
    told = stages(AWAY, gates=(OPEN, CLOSED))
    assert told[4].waits_for == ("data (lag-unknown): no standby",)


def test_at_home_itself_its_own_controller_is_there() -> None:
    told = stages(Scene(home="x", owner="y", here=STANDBY, there=PRIMARY))
    assert states(told) == [D, D, D, D, N]
    told = stages(Scene(home="x", owner="y", here=STRAY, there=PRIMARY, peer_silent_seconds=60.0))
    assert states(told)[0] is D


def test_what_was_timed_before_is_expected_again() -> None:
    expected = {Stage.REJOINED: Expected(40.0, 90.0, 3)}
    told = stages(LOST, expected=expected)
    assert [one.expected for one in told] == [None, None, expected[Stage.REJOINED], None, None]


def test_a_service_that_is_at_home_has_no_way_home() -> None:
    with pytest.raises(ValueError, match="not away from home"):
        stages(Scene(home="x", owner="x"))


def test_no_stage_is_done_before_the_one_before_it() -> None:
    kept = {"divergent_bytes": 0, "method": "follow"}
    told = stages(LOST, rejoin=rejoin("done", values={"rejoined": kept}))
    assert states(told) == [N, L, L, L, L]
    assert told[1].words == "as run s-rejoin-9 found it: it had nothing that x has not"
