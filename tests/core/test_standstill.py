"""Since when nothing can have been written: what joins two looks, and what another site's word is worth."""

from dataclasses import replace

import pytest

from orchestrator.core import messages as m
from orchestrator.core.keeper_view import GuardHeld, ServiceHeld, picture
from orchestrator.core.standstill import Still, closed, earliest, heard, looked, told_still
from sites.replication.words import Standstill
from tests.core.alone import MS, SECOND, Alone, record_of

SECOND_NS = SECOND
DRIFT = 0.005


def look(at_seconds: float, mark: str = "m", *, takes_seconds: float = 0.2) -> Standstill:
    """A look on the host that found nothing running."""
    asked_at_ns = int(at_seconds * SECOND_NS)
    return Standstill(asked_at_ns, asked_at_ns + int(takes_seconds * SECOND_NS), mark, "no process is left")


def looks(*found: Standstill, given_up_epoch: int | None = None) -> Still:
    """One after the other; the give-up is known before the last one begins."""
    still: Still | None = None
    for each in found:
        epoch = given_up_epoch if each is found[-1] else None
        still = looked(still, each, given_up_epoch=epoch)
    assert still is not None
    return still


def test_what_was_written_before_the_first_look_ended_is_not_known() -> None:
    still = looks(look(10.0))
    assert still.since_ns == still.seen_ns == 10_200_000_000


def test_two_looks_of_one_mark_prove_the_time_between_them() -> None:
    still = looks(look(10.0), look(12.0), look(14.0))
    assert (still.since_ns, still.seen_ns) == (10_200_000_000, 14_000_000_000)


def test_one_that_was_started_in_between_may_have_written_until_it_died_again() -> None:
    still = looks(look(10.0), look(12.0, "other"))
    assert (still.since_ns, still.mark) == (12_200_000_000, "other")


def test_a_look_that_begins_after_the_give_up_joins_the_two() -> None:
    assert looks(look(10.0), look(12.0)).given_up_epoch is None
    still = looks(look(10.0), look(12.0), given_up_epoch=7)
    assert still.given_up_epoch == 7
    assert looked(still, look(14.0), given_up_epoch=None).given_up_epoch == 7, "it stays proven"


def test_a_give_up_is_not_joined_to_what_another_start_has_ended() -> None:
    still = looks(look(10.0), look(12.0, "other"), given_up_epoch=7)
    assert (still.since_ns, still.given_up_epoch) == (12_200_000_000, None)


def held(**differs: int) -> ServiceHeld:
    guard = GuardHeld(connected=True, open=False, epoch=7, knows_us=True, **differs)
    return ServiceHeld(
        service="s", known=True, revision=1, record=None, entitled=False, open_here=False, shut=True,
        giving_up=False, fence_evidence="", guard=guard,
    )  # fmt: skip


def test_a_cut_that_the_guard_has_acknowledged_proves_the_same() -> None:
    still = closed(held(closed_since_ns=5), 90, given_up_epoch=None)
    assert still is not None
    assert (still.since_ns, still.seen_ns, still.behind_gate) == (5, 90, True)
    assert closed(held(), 90, given_up_epoch=None) is None
    assert closed(None, 90, given_up_epoch=None) is None


def test_of_two_proofs_the_one_that_goes_back_further_counts_but_first_one_beyond_the_give_up() -> None:
    early, late = looks(look(10.0)), looks(look(20.0))
    assert earliest(late, None, early) is early
    beyond = replace(late, given_up_epoch=7)
    assert earliest(early, beyond) is beyond
    assert earliest(None, None) is None


# --- from site to site ----------------------------------------------------------------------------------


def test_another_site_s_proof_is_never_taken_to_begin_earlier_than_it_did() -> None:
    """Its clock says 40 s, and may run fast by the drift; the word was a second on its way."""
    still = looks(look(10.0), look(49.0))
    seen = told_still(still, 50_200_000_000)
    assert (seen.for_seconds, seen.age_seconds) == (40.0, 1.2)
    taken = heard(None, seen, 1_051_200_000_000, clock_drift=DRIFT)
    assert taken is not None
    truly_ns = 1_051_200_000_000 - 41 * SECOND_NS
    assert taken.since_ns == pytest.approx(truly_ns + 1.2 * SECOND_NS)
    assert taken.seen_ns == 1_051_200_000_000 - 1_200_000_000


def test_what_was_heard_first_of_one_mark_stands_however_long_it_lies_dead() -> None:
    still = looks(look(10.0))
    first = heard(None, told_still(still, 11_200_000_000), 100 * SECOND_NS, clock_drift=DRIFT)
    assert first is not None
    hour = 3600 * SECOND_NS
    later = heard(first, told_still(still, 11_200_000_000 + hour), 100 * SECOND_NS + hour, clock_drift=DRIFT)
    assert later is not None
    assert later.since_ns == first.since_ns
    assert (
        heard(None, told_still(still, 11_200_000_000 + hour), 100 * SECOND_NS + hour, clock_drift=DRIFT)
        != first
    )


def test_a_controller_that_starts_anew_goes_on_with_the_same_mark_where_the_other_site_has_heard_it() -> None:
    first = heard(None, told_still(looks(look(10.0)), 11_200_000_000), 100 * SECOND_NS, clock_drift=DRIFT)
    anew = told_still(looks(look(20.0)), 21_200_000_000)
    after = heard(first, anew, 110 * SECOND_NS, clock_drift=DRIFT)
    assert first is not None
    assert after is not None
    assert after.since_ns == first.since_ns


def test_another_mark_ends_what_was_heard_before() -> None:
    first = heard(None, told_still(looks(look(10.0)), 11_200_000_000), 100 * SECOND_NS, clock_drift=DRIFT)
    anew = told_still(looks(look(20.0, "other")), 21_200_000_000)
    after = heard(first, anew, 110 * SECOND_NS, clock_drift=DRIFT)
    assert after is not None
    assert after.since_ns == 110 * SECOND_NS - int(0.995 * SECOND_NS)
    assert after.given_up_epoch is None


def test_silence_about_it_ends_it() -> None:
    first = heard(None, told_still(looks(look(10.0)), 11_200_000_000), 100 * SECOND_NS, clock_drift=DRIFT)
    assert first is not None
    assert heard(first, None, 110 * SECOND_NS, clock_drift=DRIFT) is None


# --- by the guard -----------------------------------------------------------------------------------------


def closed_since_ns(keeper: Alone) -> int:
    """As the keeper shows it."""
    shown = picture(keeper.state, keeper.now_ns).service("s")
    assert shown is not None
    assert shown.guard is not None
    return shown.guard.closed_since_ns


def cut_by_its_guard() -> tuple[Alone, int]:
    """A dead database whose guard has acknowledged its fence, and when."""
    keeper = Alone({"s": record_of("x")}).enter()
    for order in keeper.guard_orders(keeper.tell(m.GuardConnected("s")), "learn"):
        keeper.acknowledge(order)
    keeper.guard_asks(is_open=True)
    fence = keeper.guard_orders(keeper.tell(m.Asked(1, m.GiveUpDead(service="s", why="dead"))), "fence")[0]
    assert closed_since_ns(keeper) == 0, "an order is no cut"
    keeper.tell(m.GuardAcknowledged("s", fence.number, False, fence.incarnation, "a process is left"))
    assert closed_since_ns(keeper) == 0, "nor is a cut that was not verified"
    keeper.now_ns += 40 * MS
    keeper.acknowledge(fence, fenced=True)
    return keeper, keeper.now_ns


def test_a_cut_counts_from_its_verified_acknowledgement_on() -> None:
    keeper, at_ns = cut_by_its_guard()
    keeper.now_ns += 3 * SECOND
    assert closed_since_ns(keeper) == at_ns


def test_a_guard_that_is_out_of_reach_proves_nothing() -> None:
    keeper, _ = cut_by_its_guard()
    keeper.tell(m.GuardGone("s"))
    assert closed_since_ns(keeper) == 0


def test_a_guard_that_says_that_it_is_open_proves_nothing() -> None:
    keeper, _ = cut_by_its_guard()
    keeper.tell(m.GuardAsked("s", "n", True, 0, 0, certified=True))
    assert closed_since_ns(keeper) == 0
