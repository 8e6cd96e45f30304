"""Who is told of what, when and by which site: hours in virtual time."""

from dataclasses import replace

import pytest

from orchestrator.paging.board import Board, Entry, trimmed
from orchestrator.paging.book import ALONE_SECONDS, GATHER_SECONDS
from sites.notify import Severity, Topic
from tests.paging.world import DURHAM, MORPETH, START, World, event, receivers

ON_CALL = {"name": "on-call", "when": ["all"], "escalate_after": "10m"}
MANAGERS = {"name": "managers"}
ONE = receivers({"name": "on-call", "when": ["all"]})
TWO = receivers(ON_CALL, MANAGERS)
UNPROTECTED = event()


def test_what_both_sites_see_is_told_once() -> None:
    world = World(ONE)
    world.both_see(UNPROTECTED)
    world.run(3600)
    assert world.short == [(DURHAM, "on-call", "first", "unprotected:crm")]


def test_a_condition_is_told_of_only_when_it_has_lasted_without_a_break() -> None:
    world = World(ONE)
    flapping = event(patience_seconds=60.0)
    for _ in range(20):
        world.both_see(flapping)
        world.run(50)
        world.both_see()
        world.run(5)
    assert world.sent == []
    world.both_see(flapping)
    world.run(70)
    assert [one.short[2] for one in world.sent] == ["first"]


def test_what_comes_back_within_a_minute_was_never_over() -> None:
    world = World(ONE)
    for _ in range(10):
        world.both_see(UNPROTECTED)
        world.run(30)
        world.both_see()
        world.run(30)
    assert [one.short[2] for one in world.sent] == ["first"]
    world.run(60)
    assert world.short[1:] == [(DURHAM, "on-call", "over", "unprotected:crm")]


def test_a_condition_that_returns_after_it_was_over_is_news_again() -> None:
    world = World(ONE)
    for _ in range(2):
        world.both_see(UNPROTECTED)
        world.run(30)
        world.both_see()
        world.run(90)
    assert [one.short[2] for one in world.sent] == ["first", "over", "first", "over"]


def test_it_is_over_when_neither_site_sees_it() -> None:
    world = World(ONE)
    world.both_see(UNPROTECTED)
    world.run(30)
    world.durham.sees = []
    world.run(600)
    assert len(world.sent) == 1, "Morpeth still sees it"
    world.morpeth.sees = []
    world.run(120)
    assert world.short[1:] == [(DURHAM, "on-call", "over", "unprotected:crm")]


def test_nobody_is_told_that_it_is_over_who_does_not_want_to_be() -> None:
    world = World(receivers({"when": ["all"], "when_over": False}))
    world.both_see(UNPROTECTED)
    world.run(30)
    world.both_see()
    world.run(300)
    assert [one.short[2] for one in world.sent] == ["first"]


def test_what_happens_together_goes_in_one_message() -> None:
    world = World(ONE)
    world.both_see(*(event(f"unprotected:s{number}", service=f"s{number}") for number in range(200)))
    world.run(60)
    assert len(world.sent) == 1
    assert len(world.sent[0].message.events) == 200


def test_the_worst_comes_first_in_a_message() -> None:
    world = World(ONE)
    worst = event("down:erp", topic=Topic.DOWN, severity=Severity.CRITICAL, service="erp")
    world.both_see(UNPROTECTED, worst)
    world.run(60)
    assert [each.key for each in world.sent[0].message.events] == ["down:erp", "unprotected:crm"]


def test_each_receiver_hears_what_it_asked_for() -> None:
    of = receivers(
        {"name": "critical", "when": ["all"], "severity": "critical"},
        {"name": "drills", "when": ["drill"]},
        {"name": "erp", "when": ["all"], "services": ["erp"]},
    )
    world = World(of)
    world.both_see(
        UNPROTECTED,
        event("run:1", topic=Topic.DRILL, severity=Severity.INFO),
        event("down:erp", topic=Topic.DOWN, severity=Severity.CRITICAL, service="erp"),
        event("site-dark:durham", topic=Topic.SITE_DARK, severity=Severity.CRITICAL, service=""),
    )
    world.run(60)
    heard = {one.message.receiver: {each.key for each in one.message.events} for one in world.sent}
    assert heard == {
        "critical": {"down:erp", "site-dark:durham"},
        "drills": {"run:1"},
        "erp": {"down:erp", "site-dark:durham"},
    }


def test_the_next_is_told_when_nobody_acknowledges_and_only_then() -> None:
    world = World(TWO)
    world.both_see(UNPROTECTED)
    world.run(599)
    assert [one.message.receiver for one in world.sent] == ["on-call"]
    world.run(10)
    assert world.short[1:] == [(DURHAM, "managers", "escalated", "unprotected:crm")]
    assert world.sent[1].message.after == "on-call"
    world.run(7200)
    assert len(world.sent) == 2


@pytest.mark.parametrize("site", [DURHAM, MORPETH])
def test_whoever_acknowledges_it_at_either_site_ends_the_escalation(site: str) -> None:
    world = World(TWO)
    world.both_see(UNPROTECTED)
    world.run(300)
    world.acknowledge(site, UNPROTECTED.key)
    world.run(7200)
    assert [one.message.receiver for one in world.sent] == ["on-call"]
    assert world.board.entries[UNPROTECTED.key].acknowledged is not None


def test_what_is_over_in_time_is_not_escalated() -> None:
    world = World(TWO)
    world.both_see(UNPROTECTED)
    world.run(300)
    world.both_see()
    world.run(7200)
    assert [one.short[1:3] for one in world.sent] == [("on-call", "first"), ("on-call", "over")]


def test_an_escalation_goes_on_along_the_chain() -> None:
    of = receivers(ON_CALL, {"name": "second", "escalate_after": "20m"}, {"name": "third"})
    world = World(of)
    world.both_see(UNPROTECTED)
    world.run(2000)
    assert [one.message.receiver for one in world.sent] == ["on-call", "second", "third"]
    assert world.sent[2].second - world.sent[1].second == 1200


def test_mere_news_is_never_escalated() -> None:
    world = World(TWO)
    world.both_see(event("run:1", topic=Topic.SWITCHOVER, severity=Severity.INFO))
    world.run(7200)
    assert [one.message.receiver for one in world.sent] == ["on-call"]


def test_another_stage_is_told_to_whoever_was_told_of_the_first() -> None:
    world = World(TWO)
    begun = event("run:7", topic=Topic.FAILOVER, severity=Severity.CRITICAL, stage="begun", once=True)
    world.both_see(begun)
    world.run(30)
    world.both_see(replace(begun, stage="done", severity=Severity.WARNING))
    world.run(30)
    assert world.short == [(DURHAM, "on-call", "first", "run:7"), (DURHAM, "on-call", "changed", "run:7")]


def test_what_never_comes_back_is_not_told_of_again() -> None:
    world = World(ONE)
    run = event("run:7", topic=Topic.FAILOVER, once=True, tells_over=False)
    world.both_see(run)
    world.run(30)
    world.both_see()
    world.run(120)
    world.both_see(run)
    world.run(120)
    assert len(world.sent) == 1


def test_the_other_site_tells_what_the_lost_one_had_taken_on() -> None:
    world = World(TWO)
    world.both_see(UNPROTECTED)
    world.run(2)
    assert world.board.entries[UNPROTECTED.key].site == DURHAM
    world.durham.alive = False
    world.run(900)
    assert world.short == [
        (MORPETH, "on-call", "first", "unprotected:crm"),
        (MORPETH, "managers", "escalated", "unprotected:crm"),
    ]


def test_what_the_lost_site_has_told_is_not_told_again_only_escalated() -> None:
    world = World(TWO)
    world.both_see(UNPROTECTED)
    world.run(60)
    world.durham.alive = False
    world.run(1000)
    assert [one.short[:3] for one in world.sent] == [
        (DURHAM, "on-call", "first"),
        (MORPETH, "managers", "escalated"),
    ]


def test_a_site_that_comes_back_says_nothing_again() -> None:
    world = World(ONE)
    world.both_see(UNPROTECTED)
    world.run(60)
    world.durham.alive = False
    world.run(600)
    world.durham.alive = True
    world.run(600)
    assert len(world.sent) == 1
    world.both_see()
    world.run(120)
    assert [one.short[2] for one in world.sent] == ["first", "over"]


def test_a_controller_that_has_forgotten_everything_goes_by_the_board() -> None:
    world = World(ONE)
    world.both_see(UNPROTECTED)
    world.run(60)
    world.durham.book = replace(world.durham.book, pages={})
    world.run(600)
    assert len(world.sent) == 1


def test_without_the_store_a_site_waits_and_then_tells_by_itself() -> None:
    world = World(ONE)
    for site in world.sites.values():
        site.store = False
    world.durham.sees = [UNPROTECTED]
    world.run(int(ALONE_SECONDS))
    assert world.sent == []
    world.run(10)
    assert [one.short for one in world.sent] == [(DURHAM, "on-call", "first", "unprotected:crm")]
    world.run(600)
    assert len(world.sent) == 1


def test_what_was_told_without_the_store_stands_on_the_board_afterwards() -> None:
    world = World(ONE)
    world.durham.store = False
    world.durham.sees = [UNPROTECTED]
    world.run(60)
    world.durham.store = True
    world.morpeth.sees = [UNPROTECTED]
    world.run(60)
    assert {one.site for one in world.sent} == {DURHAM}


def test_a_store_that_is_lost_later_makes_nobody_tell_again() -> None:
    world = World(ONE)
    world.both_see(UNPROTECTED)
    world.run(60)
    for site in world.sites.values():
        site.store = False
    world.run(3600)
    assert len(world.sent) == 1


def test_the_other_site_sends_what_cannot_get_out_here() -> None:
    world = World(ONE)
    world.durham.way_out = False
    world.both_see(UNPROTECTED)
    world.run(60)
    assert [one.short[:3] for one in world.sent] == [
        (DURHAM, "on-call", "first"),
        (MORPETH, "on-call", "first"),
    ]
    assert world.withdrawn[0] == (DURHAM, "on-call", "unprotected:crm")
    world.run(3600)
    assert len(world.sent) == 2


def test_the_other_site_tells_whom_the_first_one_does_not_know() -> None:
    world = World(ONE)
    world.durham.receivers = receivers({"name": "somebody", "when": ["all"]})
    world.both_see(UNPROTECTED)
    world.run(50)
    assert [one.short[:2] for one in world.sent] == [(DURHAM, "somebody")]
    world.run(3600)
    assert [one.short[:3] for one in world.sent[1:]] == [(MORPETH, "on-call", "first")]


def test_while_nothing_changes_the_store_is_not_written_to() -> None:
    world = World(TWO)
    world.both_see(UNPROTECTED, event("down:erp", topic=Topic.DOWN, severity=Severity.CRITICAL))
    world.run(900)
    before = [site.writes for site in world.sites.values()]
    world.run(3600)
    assert [site.writes for site in world.sites.values()] == before
    assert max(before) < 20


def test_quiet_hours_hold_back_what_can_wait() -> None:
    world = World(receivers({"name": "team", "when": ["all"], "quiet": {"from": "22:00", "to": "07:00"}}))
    world.quiet = frozenset({"team"})
    worst = event("down:erp", topic=Topic.DOWN, severity=Severity.CRITICAL, service="erp")
    world.both_see(UNPROTECTED, worst)
    world.run(3600)
    assert [one.short[3] for one in world.sent] == ["down:erp"]
    world.quiet = frozenset()
    world.run(10)
    assert [one.short[3] for one in world.sent] == ["down:erp", "unprotected:crm"]


def test_what_is_over_before_the_quiet_hours_end_disturbs_nobody() -> None:
    world = World(receivers({"name": "team", "when": ["all"], "quiet": {"from": "22:00", "to": "07:00"}}))
    world.quiet = frozenset({"team"})
    world.both_see(UNPROTECTED)
    world.run(600)
    world.both_see()
    world.run(600)
    world.quiet = frozenset()
    world.run(600)
    assert world.sent == []


def test_who_forgets_is_told_again_as_long_as_it_lasts() -> None:
    world = World(receivers({"name": "am", "when": ["all"]}))
    world.repeating = frozenset({"am"})
    world.both_see(UNPROTECTED)
    world.run(305)
    reasons = [one.short[2] for one in world.sent]
    assert reasons == ["first", "repeat", "repeat", "repeat", "repeat", "repeat"][: len(reasons)]
    assert 5 <= len(reasons) <= 6
    world.both_see()
    world.run(120)
    assert world.sent[-1].short[2] == "over"


def test_a_clock_that_is_set_back_neither_repeats_nor_forgets() -> None:
    world = World(TWO)
    world.both_see(UNPROTECTED)
    world.run(120)
    world.now -= 7200
    world.run(120)
    assert len(world.sent) == 1
    world.both_see()
    world.run(120)
    assert world.sent[-1].short[2] == "over"


def test_the_board_keeps_what_goes_on_and_forgets_the_rest() -> None:
    entries = {
        f"closed:{n}": Entry(site=DURHAM, seen_by=(), opened_at=START + n, closed_at=START + n)
        for n in range(400)
    }
    entries["open"] = Entry(site=DURHAM, seen_by=(DURHAM,), opened_at=START - 1e6)
    kept = trimmed(Board(entries=entries), START + 400)
    assert len(kept.entries) == 300
    assert "open" in kept.entries
    assert set(trimmed(Board(entries=entries), START + 10_000).entries) == {"open"}


def test_the_gathering_does_not_hold_anything_up_for_long() -> None:
    world = World(ONE)
    world.both_see(UNPROTECTED)
    world.run(int(GATHER_SECONDS) + 3)
    assert len(world.sent) == 1
