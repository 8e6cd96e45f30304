"""The data-loss statement: never less than what may be lost, unknown said to be unknown, places named."""

import math
from dataclasses import replace

import pytest

from orchestrator.core.devices import Device
from orchestrator.core.gates import Wish
from orchestrator.core.statement import lease_counted_ns, loss_if_moved_now, statement
from tests.core.views import DOWN, GIVEN_UP, HANDED, HEALTHY, LOST, THEIRS, Instance, Scene, at, still

LOST_SITE = Wish(to_site="x", from_site="y", planned=False, automatic=False)
PLANNED = replace(LOST_SITE, planned=True)


def _said(scene: Scene, wish: Wish = LOST_SITE) -> tuple[str, float | None]:
    view, service = scene.see()
    return statement(view, service, wish)


def test_a_planned_move_loses_nothing_and_says_why() -> None:
    words, bound = _said(THEIRS, PLANNED)
    assert words.startswith("s loses nothing: y is closed first, and x opens only when it has everything")
    assert bound == 0.0


def test_a_failover_loses_at_most_what_is_not_known_to_be_here() -> None:
    words, bound = _said(LOST.but(safe_seconds_ago=12.34))
    assert words.startswith("s loses at most 12.3 s of writes: everything y wrote until 12.3 s ago")
    assert "known to be at x" in words
    assert bound == pytest.approx(12.34)


def test_a_failover_that_waits_for_the_lease_counts_what_may_be_accepted_until_it_is_over() -> None:
    """The old site may be cut off from us alone, and its users from nobody."""
    words, bound = _said(THEIRS.but(safe_seconds_ago=0.5))
    assert bound == pytest.approx(1.5), "its lease is over in a second"
    assert words.startswith("s loses at most 1.5 s of writes: everything y wrote until 0.5 s ago")
    assert words.endswith("nor what it may accept until its lease is over, in 1.0 s")


@pytest.mark.parametrize(
    "wish",
    [replace(LOST_SITE, certified_down=True), replace(LOST_SITE, holder_lives=True)],
    ids=["certified as off", "its database is down"],
)
def test_a_site_that_writes_nothing_any_more_is_not_waited_for_in_the_statement(wish: Wish) -> None:
    words, bound = _said(THEIRS.but(safe_seconds_ago=0.5), wish)
    assert bound == pytest.approx(0.5)
    assert "lease" not in words


def test_how_much_a_failover_loses_is_unknown_while_the_end_of_the_lease_is() -> None:
    words, bound = _said(THEIRS.but(peer_seen=False))
    assert "UNKNOWN" in words
    assert bound is None


def test_the_takeover_is_told_which_end_of_the_lease_was_counted() -> None:
    view, _ = THEIRS.see()
    assert lease_counted_ns(view, LOST_SITE) == view.now_ns + 1_000_000_000
    assert lease_counted_ns(view, replace(LOST_SITE, certified_down=True)) == 0


def test_hosts_that_are_yet_to_be_switched_off_may_accept_more_until_they_are() -> None:
    off_first = replace(LOST_SITE, power_off=True)
    words, bound = _said(LOST.but(safe_seconds_ago=12.34), off_first)
    assert words.endswith("nor what y accepts until its hosts are off; it is said again then")
    assert bound == pytest.approx(12.34)
    words, _ = _said(LOST.but(safe_seconds_ago=12.34, device=Device.CUT), off_first)
    assert "until its hosts are off" not in words


def test_what_is_not_known_is_said_to_be_unknown() -> None:
    words, bound = _said(LOST.but(safe_seconds_ago=None))
    assert "UNKNOWN" in words
    assert "no position of y is known to have reached x" in words
    assert bound is None


def test_a_service_closed_in_order_loses_nothing_when_all_of_it_is_here() -> None:
    words, bound = _said(HANDED.but(safe_seconds_ago=None))
    assert words == "s loses nothing: y was closed in order at 1000, and x has everything up to there"
    assert bound == 0.0


@pytest.mark.parametrize(
    "here",
    [Instance(position=at(999)), Instance(position=at(2000, "cluster/2")), Instance(position=None), None],
    ids=["short of the end", "another history", "no position", "no answer"],
)
def test_a_service_closed_in_order_is_not_said_to_lose_nothing_unless_all_of_it_is_here(
    here: Instance | None,
) -> None:
    words, bound = _said(HANDED.but(here=here, safe_seconds_ago=2.0))
    assert words.startswith("x is not seen to have everything up to the end, 1000; s loses at most 1.7 s")
    assert bound == pytest.approx(1.7)
    words, bound = _said(HANDED.but(here=here, safe_seconds_ago=None))
    assert words.startswith("x is not seen to have everything up to the end, 1000; how much s would lose is")
    assert bound is None


def test_after_a_give_up_the_loss_does_not_grow_and_the_age_of_what_is_known_does() -> None:
    words, bound = _said(GIVEN_UP.but(safe_seconds_ago=605.0, nobody_for_seconds=600.0))
    assert words.startswith("s loses at most 5.0 s of writes: everything y wrote until 605.0 s ago is known")
    assert bound == pytest.approx(5.0)


def test_of_a_dead_database_the_statement_says_whose_proof_ends_the_loss() -> None:
    dead = THEIRS.but(there=DOWN, safe_seconds_ago=90.0, still=still(85.0))
    words, bound = _said(dead, replace(LOST_SITE, holder_lives=True))
    assert words.startswith("s loses at most 5.0 s of writes: everything y wrote until 90.0 s ago is known")
    assert words.endswith(
        "nothing was written in the last 85.0 s, by its own site's proof: no process of it is left"
    )
    assert bound == pytest.approx(5.0)
    assert loss_if_moved_now(*dead.see()) == "at most 5.0 s"


def test_no_statement_promises_less_than_any_other_of_the_same_picture() -> None:
    for age in (None, 0.0, 0.4, 7.0, 3600.0):
        for scene in (LOST, GIVEN_UP):
            _, bound = _said(scene.but(safe_seconds_ago=age, nobody_for_seconds=0.0))
            assert (math.inf if bound is None else bound) >= (math.inf if age is None else age) - 1e-6


def test_the_status_table_has_a_few_words_for_the_same() -> None:
    assert loss_if_moved_now(*HEALTHY.but(safe_seconds_ago=0.52).see()) == "at most 0.5 s"
    assert loss_if_moved_now(*HEALTHY.but(safe_seconds_ago=None).see()) == "unknown"


def test_where_nobody_knows_who_owns_it_the_loss_is_unknown() -> None:
    """Whoever serves it may go on doing so, and this site would not know until when."""
    words, bound = _said(THEIRS.but(safe_seconds_ago=0.5, known=False))
    assert bound is None
    assert "UNKNOWN" in words
