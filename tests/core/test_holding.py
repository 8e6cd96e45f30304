"""P29, P30: hold, when a second loss would darken everything: set and cleared, relied on and noted."""

from dataclasses import replace

from orchestrator.core import messages as m
from orchestrator.core.messages import SiteItem
from orchestrator.core.notes import Note
from orchestrator.core.records import SiteRecord
from tests.core.alone import MS, SECOND, TIMING, Alone, record_of, transactions

T = TIMING.lease_duration_ns
ALL = m.VotersSeen(own=True, peer=True, witness=True)
NO_WITNESS = m.VotersSeen(own=True, peer=True, witness=False)


def learn(keeper: Alone) -> None:
    for order in keeper.guard_orders(keeper.tell(m.GuardConnected("s")), "learn"):
        keeper.acknowledge(order)


def holding() -> Alone:
    """Both sites have missed the witness for T: hold is set and relied on."""
    keeper = Alone({"s": record_of("x")}).enter()
    learn(keeper)
    keeper.tell(NO_WITNESS)
    for _ in range(12):
        keeper.beat_of_peer(witness_seen=False)
        keeper.renew()
    return keeper


def renewals(orders: list[m.Order]) -> list[m.Renew]:
    return [order for order in orders if isinstance(order, m.Renew)]


# --- setting -----------------------------------------------------------------------------------------------


def test_p29_hold_is_set_when_both_sites_miss_the_witness_for_a_lease() -> None:
    keeper = Alone({"s": record_of("x")}).enter()
    keeper.tell(NO_WITNESS)
    for _ in range(9):
        keeper.beat_of_peer(witness_seen=False)
        keeper.renew()
    assert not keeper.state.hold_carried
    for _ in range(3):
        keeper.beat_of_peer(witness_seen=False)
        keeper.renew()
    assert keeper.state.hold_carried
    assert keeper.state.hold_relied


def test_p29_one_site_alone_missing_the_witness_sets_no_hold() -> None:
    keeper = Alone({"s": record_of("x")}).enter()
    keeper.tell(NO_WITNESS)
    for _ in range(20):
        keeper.beat_of_peer(witness_seen=True)
        keeper.renew()
    assert not keeper.state.hold_carried


def test_p29_without_a_word_about_every_voter_hold_is_never_set() -> None:
    keeper = Alone({"s": record_of("x")}).enter()
    keeper.tell(m.VotersSeen(own=None, peer=None, witness=False))
    for _ in range(20):
        keeper.beat_of_peer(witness_seen=False)
        keeper.renew()
    assert not keeper.state.hold_carried


def test_p29_a_site_that_serves_everything_of_a_lost_peer_holds_for_itself() -> None:
    keeper = Alone({"s": record_of("x")}).enter()
    keeper.tell(ALL)
    for _ in range(13):
        keeper.renew()
    assert keeper.state.hold_carried


def test_p29_hold_is_relied_on_only_when_a_renewal_that_carries_it_is_known_to_be_committed() -> None:
    keeper = Alone({"s": record_of("x")}).enter()
    keeper.tell(NO_WITNESS)
    for _ in range(10):
        keeper.beat_of_peer(witness_seen=False)
        keeper.renew()
    orders = keeper.wait(SECOND)
    carrying = [renew for renew in renewals(orders) if renew.record.hold]
    assert carrying
    assert not keeper.state.hold_relied
    keeper.commit(carrying[0])
    assert keeper.state.hold_relied


def test_p29_hold_goes_on_without_a_lease_and_its_guard_is_told_a_lease_each_time() -> None:
    keeper = holding()
    keeper.wait(5 * T)
    assert keeper.entitled()
    answer = keeper.guard_asks(is_open=True)
    assert answer is not None
    assert answer.remaining_ns == T


def test_p29_a_revoked_key_ends_the_reliance() -> None:
    keeper = holding()
    keeper.wait(2 * T)
    renew = keeper.renewal(keeper.wait(SECOND))
    revoked = SiteItem(keeper.revision + 5, replace(renew.record, revoked=True, hold=False))
    keeper.tell(
        m.RenewalAnswered(renew.record.incarnation, renew.record.beat, False, 99, revoked, keeper.peer)
    )
    assert not keeper.entitled()


# --- clearing ----------------------------------------------------------------------------------------------


def seen_again(keeper: Alone, for_ns: int) -> list[m.Order]:
    keeper.tell(ALL)
    found: list[m.Order] = []
    end_ns = keeper.now_ns + for_ns
    while keeper.now_ns < end_ns:
        keeper.beat_of_peer(witness_seen=True)
        found += keeper.renew()
    return found


def test_p30_hold_is_cleared_when_everybody_was_seen_for_hold_clear() -> None:
    keeper = holding()
    seen_again(keeper, TIMING.hold_clear_ns - 400_000_000)
    assert keeper.state.hold_relied
    seen_again(keeper, SECOND)
    assert not keeper.state.hold_carried
    assert not keeper.state.hold_relied
    assert keeper.entitled()
    assert keeper.note.hold_incarnation == 0


def test_p30_a_renewal_without_hold_waits_until_the_note_is_clear_on_the_disk() -> None:
    keeper = holding()
    keeper.disk_takes = False
    orders = seen_again(keeper, 4 * SECOND)
    assert not keeper.state.hold_relied
    assert all(renew.record.hold for renew in renewals(orders))


def test_p21_a_renewal_without_hold_waits_until_every_guard_knows_the_incarnation() -> None:
    keeper = holding()
    keeper.state.services["s"].guard.known_incarnation = 0  # type: ignore[union-attr]
    keeper.tell(m.GuardGone("s"))
    orders = seen_again(keeper, 4 * SECOND)
    assert all(renew.record.hold for renew in renewals(orders))
    assert not keeper.state.hold_relied


def test_p30_a_late_word_of_an_old_renewal_does_not_bring_the_reliance_back() -> None:
    keeper = holding()
    orders = keeper.wait(SECOND)
    old = renewals(orders)[0]
    keeper.commit(renewals(orders)[-1])
    seen_again(keeper, 4 * SECOND)
    assert not keeper.state.hold_relied
    keeper.tell(
        m.RenewalAnswered(old.record.incarnation, old.record.beat, True, keeper.revision, None, keeper.peer)
    )
    assert not keeper.state.hold_relied


def test_p30_a_renewal_under_way_while_the_note_is_cleared_does_not_bring_the_reliance_back() -> None:
    keeper = holding()
    keeper.disk_takes = None  # type: ignore[assignment]  # it takes its time
    seen_again(keeper, TIMING.hold_clear_ns + SECOND)
    assert keeper.state.hold_clearing
    note = next(order for order in reversed(keeper.orders) if isinstance(order, m.WriteNote))
    under_way = renewals(keeper.wait(TIMING.renew_every_ns + 50_000_000))[-1]
    assert under_way.record.hold
    keeper.tell(m.NoteWritten(note.number, True))
    assert not keeper.state.hold_carried
    keeper.commit(under_way)
    assert not keeper.state.hold_relied


# --- the note ----------------------------------------------------------------------------------------------


def test_p30_the_note_says_what_is_held_open_and_at_which_epoch() -> None:
    keeper = holding()
    assert keeper.note.hold_incarnation == keeper.state.confirmed_incarnation
    assert keeper.note.hold_services == (("s", 4),)


def test_p30_a_service_is_struck_from_the_note_before_its_give_up_is_sent() -> None:
    keeper = holding()
    orders = keeper.tell(m.Asked(1, m.GiveUpDead(service="s", why="dead")))
    keeper.disk_takes = None  # type: ignore[assignment]
    fence = keeper.guard_orders(orders, "fence")[0]
    orders = keeper.acknowledge(fence, fenced=True)
    assert transactions(orders) == []
    write = next(order for order in orders if isinstance(order, m.WriteNote))
    assert write.note.holds("s") is None
    assert len(transactions(keeper.tell(m.NoteWritten(write.number, ok=True)))) == 1


def restarted() -> Alone:
    note = Note(hold_incarnation=2, hold_services=(("s", 4),))
    keeper = Alone({"s": record_of("x")}, note=note)
    keeper.tell(m.GuardConnected("s"))
    return keeper


def test_p30_restarted_on_the_note_an_open_guard_is_kept_open() -> None:
    keeper = restarted()
    answer = keeper.guard_asks(is_open=True)
    assert answer is not None
    assert (answer.incarnation, answer.epoch, answer.remaining_ns) == (2, 4, T)
    assert not any(isinstance(order, m.FenceInstance) for order in keeper.wait(3 * T))


def test_p30_restarted_on_the_note_a_closed_guard_is_not_opened() -> None:
    assert restarted().guard_asks(is_open=False) is None


def test_p30_restarted_on_the_note_nothing_is_promised() -> None:
    keeper = restarted()
    orders = keeper.tell(m.PromiseAsked(1, "peer", (7,), T))
    assert [order.granted for order in orders if isinstance(order, m.AnswerPromise)] == [False]


def test_p30_a_service_that_the_note_does_not_name_is_not_kept_open() -> None:
    keeper = Alone({"s": record_of("x")}, note=Note(hold_incarnation=2, hold_services=(("t", 4),)))
    assert keeper.guard_asks(is_open=True) is None


def test_p30_what_the_note_holds_is_not_fenced_between_the_registration_and_the_reading_of_the_services() -> (
    None
):
    """The store is back after long: the lease of the keeper before has run out, and the note still counts."""
    keeper = restarted()
    keeper.guard_asks(is_open=True)
    keeper.wait(3 * T)
    keeper.guard_asks(is_open=True)
    own = SiteRecord(incarnation=2, beat=50, keeper="before", lease_duration_ns=T, hold=True)
    reads = [order for order in keeper.wait(SECOND) if isinstance(order, m.ReadOwnKey)]
    renewal = keeper.renewal(keeper.tell(m.OwnKeyRead(reads[-1].attempt, SiteItem(keeper.revision, own))))
    orders = keeper.commit(renewal) + keeper.wait(200 * MS) + keeper.read_services() + keeper.wait(200 * MS)
    assert not any(isinstance(order, m.FenceInstance) for order in orders)
    assert keeper.entitled()


def test_p30_a_service_that_was_not_noted_is_fenced_when_its_lease_is_over() -> None:
    keeper = Alone({"s": record_of("x")}, inherited_for_ns=SECOND, note=Note(hold_incarnation=2))
    keeper.state.services["s"].open_here = True
    orders = keeper.wait(2 * SECOND)
    assert any(isinstance(order, m.FenceInstance) for order in orders)


def test_p21_a_restarted_keeper_carries_hold_on_until_its_guards_know_it() -> None:
    keeper = restarted()
    keeper.guard_asks(is_open=True)
    own = SiteRecord(incarnation=2, beat=50, keeper="before", lease_duration_ns=T, hold=True)
    keeper.register(own=own)
    assert keeper.renewal(keeper.orders).record.hold
    assert not keeper.state.word_needed  # its reliance was unbroken (P32)


# --- registered, and the services not read yet -------------------------------------------------------------


def renewed(keeper: Alone, own: SiteRecord) -> list[m.Order]:
    """The key is read and renewed, and then the store is out of reach again."""
    reads = [order for order in keeper.wait(SECOND) if isinstance(order, m.ReadOwnKey)]
    renewal = keeper.renewal(keeper.tell(m.OwnKeyRead(reads[-1].attempt, SiteItem(keeper.revision, own))))
    return keeper.commit(renewal)


def kept_open(keeper: Alone) -> bool:
    answer = keeper.guard_asks(is_open=True)
    return answer is not None and answer.remaining_ns > 0


NOTED_KEY = SiteRecord(incarnation=2, beat=50, keeper="before", lease_duration_ns=T, hold=True)


def test_p30_a_keeper_that_has_renewed_but_not_read_the_services_holds_open_what_its_note_names() -> None:
    """The link to the store was back for one renewal; the simulation found the site cut off for that."""
    keeper = restarted()
    keeper.guard_asks(is_open=True)
    renewed(keeper, NOTED_KEY)
    for _ in range(8):
        answer = keeper.guard_asks(is_open=True)
        assert answer is not None
        assert (answer.incarnation, answer.epoch, answer.remaining_ns) == (3, 4, T)
        assert not any(isinstance(order, m.FenceInstance) for order in keeper.wait(T // 2))
    assert (keeper.note.hold_incarnation, keeper.note.hold_services) == (3, (("s", 4),))
    assert not keeper.entitled()


def test_p30_it_opens_nothing_that_is_closed_meanwhile() -> None:
    keeper = restarted()
    keeper.guard_asks(is_open=True)
    renewed(keeper, NOTED_KEY)
    assert keeper.guard_asks(is_open=False) is None


def test_p30_the_note_counts_for_nothing_once_another_keeper_has_had_the_key() -> None:
    """A keeper on another machine may have given up what this machine's note still names."""
    keeper = restarted()
    keeper.guard_asks(is_open=True)
    renewed(keeper, replace(NOTED_KEY, incarnation=5))
    assert not kept_open(keeper)
    assert keeper.note.hold_services == ()


def test_p30_the_note_counts_for_nothing_when_the_key_carries_hold_no_more() -> None:
    keeper = restarted()
    keeper.guard_asks(is_open=True)
    renewed(keeper, replace(NOTED_KEY, hold=False))
    assert not kept_open(keeper)
