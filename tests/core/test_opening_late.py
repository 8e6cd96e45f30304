"""P7, P26: nothing is opened in the last D of a lease: its fence may be over before the opening is."""

import pytest

from orchestrator.core import messages as m
from orchestrator.core.notes import Glass, Note
from orchestrator.core.records import Mode
from tests.core.alone import MS, TIMING, Alone, record_of

LAST = TIMING.lease_duration_ns - TIMING.fence_within_ns


def near_the_end(mode: Mode = Mode.AUTOMATIC, **given: object) -> Alone:
    """A holder whose renewals have not come through, with half of D left."""
    keeper = Alone({"s": record_of("x", mode=mode)}, **given).enter()  # type: ignore[arg-type]
    keeper.wait(keeper.state.deadline_ns - keeper.now_ns - TIMING.fence_within_ns // 2)
    assert keeper.entitled()
    return keeper


def asked(keeper: Alone, what: m.Ask) -> m.Reply:
    replies = [order for order in keeper.tell(m.Asked(1, what)) if isinstance(order, m.Reply)]
    return replies[0]


@pytest.mark.parametrize("what", [m.MayAct(service="s", epoch=4), m.InstanceOpened(service="s")])
def test_p7_in_the_last_d_of_the_lease_nothing_is_begun_any_more(what: m.Ask) -> None:
    reply = asked(near_the_end(), what)
    assert (reply.done, reply.code) == (False, "right-lost")


def test_p7_what_opened_in_the_last_d_is_cut_off_when_the_controller_says_so() -> None:
    keeper = near_the_end()
    keeper.tell(m.FenceEnded("s", True, "none left"))
    orders = keeper.tell(m.Asked(1, m.FenceHere(service="s", why="it opened too late")))
    assert any(isinstance(order, m.FenceInstance) for order in orders)


def test_before_that_it_is_begun() -> None:
    keeper = Alone({"s": record_of("x")}).enter()
    keeper.wait(LAST - 100 * MS)
    assert asked(keeper, m.InstanceOpened(service="s")).done


def test_p28_a_manual_service_is_not_fenced_at_the_leases_end_and_may_be_opened_until_then() -> None:
    assert asked(near_the_end(Mode.MANUAL), m.InstanceOpened(service="s")).done


def test_p31_a_certificate_knows_no_end() -> None:
    keeper = Alone({"s": record_of("y")}, note=Note(glass=(Glass("s", 9, "certificate-1"),)))
    assert asked(keeper, m.MayAct(service="s", epoch=9)).done
