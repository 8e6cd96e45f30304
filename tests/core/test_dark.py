"""P32: a site that only hold entitles, and where all is closed or may be: it opens nothing on that, and what
was dark is not mended by a lease that comes back."""

from orchestrator.core import messages as m
from orchestrator.core.notes import Note
from orchestrator.core.records import Mode, SiteRecord
from orchestrator.core.state import Phase
from tests.core.alone import SECOND, TIMING, Alone, record_of

T = TIMING.lease_duration_ns
NO_WITNESS = m.VotersSeen(own=True, peer=True, witness=False)


def holding(*names: str, mode: Mode = Mode.MANUAL) -> Alone:
    """x relies on hold, all is open, and then its lease ends."""
    keeper = Alone({name: record_of("x", mode=mode) for name in names}).enter()
    for name in names:
        for order in keeper.guard_orders(keeper.tell(m.GuardConnected(name)), "learn"):
            keeper.acknowledge(order)
    keeper.tell(NO_WITNESS)
    for _ in range(12):
        keeper.beat_of_peer(witness_seen=False)
        for name in names:
            keeper.guard_asks(name, is_open=True)
        keeper.renew()
    assert keeper.state.hold_relied
    keeper.wait(T)
    for name in names:
        keeper.guard_asks(name, is_open=True)
    return keeper


def lease_is_back(keeper: Alone) -> None:
    keeper.renew()
    assert keeper.now_ns < keeper.state.deadline_ns


def remaining(answer: m.AnswerGuard | None) -> int | None:
    return answer.remaining_ns if answer is not None else None


def test_p32_a_manual_service_whose_host_was_off_while_hold_alone_entitled_stays_closed() -> None:
    """Nothing is known of a manual guard that is silent; its first word after that says that it closed."""
    keeper = holding("s")
    keeper.tell(m.GuardGone("s"))
    keeper.wait(3 * T)
    lease_is_back(keeper)
    assert keeper.entitled(), "nobody has said yet that it was closed"
    keeper.tell(m.GuardConnected("s"))
    keeper.guard_asks(is_open=False)
    keeper.wait(SECOND // 10)
    assert keeper.state.word_needed


def test_p32_a_guard_that_was_silent_and_says_that_it_is_open_was_so_all_the_while() -> None:
    keeper = holding("s")
    keeper.tell(m.GuardGone("s"))
    keeper.wait(3 * T)
    lease_is_back(keeper)
    keeper.tell(m.GuardConnected("s"))
    assert remaining(keeper.guard_asks(is_open=True))
    keeper.wait(SECOND)
    assert not keeper.state.word_needed


def test_p32_one_of_two_is_opened_again_when_the_other_has_been_open_since() -> None:
    keeper = holding("s", "t")
    assert remaining(keeper.guard_asks("s", is_open=False)) == 0, "t may have been lost just before"
    keeper.guard_asks("t", is_open=True)
    keeper.wait(SECOND // 10)
    keeper.guard_asks("t", is_open=True)
    assert remaining(keeper.guard_asks("s", is_open=False)) == T


def test_p32_a_word_of_before_does_not_show_that_the_other_is_open() -> None:
    """Its connection is there, and its host may be off: a word of before this one booted proves nothing."""
    keeper = holding("s", "t")
    keeper.guard_asks("t", is_open=True)
    keeper.wait(SECOND)
    assert remaining(keeper.guard_asks("s", is_open=False)) == 0


def test_p32_where_nobody_says_that_it_was_open_the_peers_word_is_needed_a_lease_later() -> None:
    keeper = holding("s", "t")
    keeper.tell(m.GuardGone("t"))
    keeper.guard_asks("s", is_open=False)
    lease_is_back(keeper)
    assert remaining(keeper.guard_asks("s", is_open=False)) == 0
    for _ in range(5):
        keeper.renew()
    assert not keeper.state.word_needed
    while keeper.now_ns < keeper.state.deadline_ns and not keeper.state.word_needed:
        keeper.wait(SECOND // 10)
    assert keeper.state.word_needed
    assert keeper.now_ns < keeper.state.deadline_ns
    assert keeper.state.phase is not Phase.ACTIVE


def test_p32_a_lease_after_a_time_that_may_have_been_dark_is_not_noted_as_unbroken() -> None:
    keeper = holding("s")
    keeper.tell(m.GuardGone("s"))
    keeper.wait(3 * T)
    lease_is_back(keeper)
    assert keeper.state.unbroken_until_ns == 0
    keeper.tell(m.GuardConnected("s"))
    keeper.guard_asks(is_open=True)
    assert keeper.state.unbroken_until_ns == keeper.state.deadline_ns


# --- the same on the note of the keeper before -------------------------------------------------------------

NOTED = SiteRecord(incarnation=2, beat=50, keeper="before", lease_duration_ns=T, hold=True)


def on_note(*names: str) -> Alone:
    """Restarted without the store; the guards are kept open on the note, as they were."""
    note = Note(hold_incarnation=2, hold_services=tuple((name, 4) for name in names))
    keeper = Alone({name: record_of("x", mode=Mode.MANUAL) for name in names}, note=note)
    for name in names:
        keeper.tell(m.GuardConnected(name))
        assert remaining(keeper.guard_asks(name, is_open=True)) == T
    return keeper


def test_p32_hosts_that_were_off_while_the_note_held_are_not_opened_when_the_store_is_back() -> None:
    """Somebody may truthfully have certified them as off meanwhile; the simulation found both sites open."""
    keeper = on_note("s", "t")
    for name in ("s", "t"):
        keeper.tell(m.GuardGone(name))
    keeper.wait(2 * T)
    keeper.register(own=NOTED)
    assert keeper.state.word_needed
    keeper.tell(m.GuardConnected("s"))
    assert not remaining(keeper.guard_asks("s", is_open=False))


def test_p32_hosts_that_went_off_just_before_the_store_is_back_are_found_out_then() -> None:
    keeper = on_note("s", "t")
    for name in ("s", "t"):
        keeper.tell(m.GuardGone(name))
    keeper.register(own=NOTED)
    assert not keeper.state.word_needed, "their words may be true still"
    keeper.tell(m.GuardConnected("s"))
    assert not remaining(keeper.guard_asks("s", is_open=False)), "t may have been off, too"
    for _ in range(5):
        keeper.renew()
    while keeper.now_ns < keeper.state.deadline_ns and not keeper.state.word_needed:
        keeper.wait(SECOND // 10)
    assert keeper.state.word_needed
    assert keeper.now_ns < keeper.state.deadline_ns


def test_p32_one_that_says_that_it_is_open_after_the_registration_ends_the_doubt() -> None:
    keeper = on_note("s", "t")
    keeper.tell(m.GuardGone("t"))
    keeper.register(own=NOTED)
    assert remaining(keeper.guard_asks("s", is_open=True))
    for _ in range(8):
        keeper.renew()
        keeper.wait(T // 4)
        keeper.guard_asks("s", is_open=True)
    assert not keeper.state.word_needed
