"""P14 to P17: a site that cannot reach the store goes on by its peer's word; when that word may be given."""

from orchestrator.core import messages as m
from orchestrator.core.notes import Note
from tests.core.alone import MS, SECOND, TIMING, Alone, record_of, transactions
from tests.core.world import SECOND as S
from tests.core.world import run_record, steady_world, take_over

T = TIMING.lease_duration_ns


def asks(keeper: str = "peer", *incarnations: int) -> m.PromiseAsked:
    return m.PromiseAsked(1, keeper, incarnations or (7,), T)


def answer(keeper: Alone, message: m.PromiseAsked) -> m.AnswerPromise:
    return next(order for order in keeper.tell(message) if isinstance(order, m.AnswerPromise))


def requests(orders: list[m.Order]) -> list[m.AskPromise]:
    return [order for order in orders if isinstance(order, m.AskPromise)]


def takeover_of(keeper: Alone) -> m.TakeOver:
    return m.TakeOver(
        services=("s",),
        records=(run_record("run-1", "s", to_site="x", from_site="y"),),
        ordered_by_operator=False,
        hold_down_ns=0,
        who="test",
        why="test",
        wait_until_ns=keeper.now_ns + 60 * SECOND,
    )


# --- asking ------------------------------------------------------------------------------------------------


def test_p14_nothing_is_asked_while_the_store_answers() -> None:
    keeper = Alone({"s": record_of("x")}).enter()
    for _ in range(10):
        keeper.renew()
    assert requests(keeper.orders) == []


def test_p14_the_peer_is_asked_once_a_renewal_goes_unanswered_and_again_every_interval() -> None:
    keeper = Alone({"s": record_of("x")}).enter()
    orders = keeper.wait(2 * SECOND)
    assert 4 <= len(requests(orders)) <= 6
    assert requests(orders)[0].keeper == "k"
    assert keeper.state.confirmed_incarnation in requests(orders)[0].incarnations


def test_p14_a_promise_earns_a_lease_from_when_it_was_asked_not_from_when_it_was_answered() -> None:
    keeper = Alone({"s": record_of("x")}).enter()
    before_ns = keeper.now_ns
    request = requests(keeper.wait(SECOND))[-1]
    sent_ns = keeper.state.promises_asked[request.number]
    keeper.wait(500 * MS)
    keeper.tell(m.PromiseAnswered(request.number, granted=True))
    assert keeper.state.deadline_ns == sent_ns + T
    assert sent_ns > before_ns
    assert keeper.entitled()


def test_p14_silence_refusal_and_a_repeated_answer_earn_nothing() -> None:
    keeper = Alone({"s": record_of("x")}).enter()
    first = requests(keeper.wait(SECOND))[-1]
    keeper.tell(m.PromiseAnswered(first.number, granted=False))
    deadline_ns = keeper.state.deadline_ns
    keeper.tell(m.PromiseAnswered(first.number, granted=True))
    keeper.tell(m.PromiseAnswered(999, granted=True))
    assert keeper.state.deadline_ns == deadline_ns


def test_p1_no_promise_is_asked_for_by_a_keeper_whose_decider_hangs() -> None:
    keeper = Alone({"s": record_of("x")}).enter()
    orders: list[m.Order] = []
    for _ in range(60):
        keeper.now_ns += 50 * MS
        orders += keeper.tell(m.Ticked())
    last = requests(orders)[-1]
    asked_ns = keeper.state.promises_asked.get(last.number, 0)
    assert asked_ns <= keeper.state.last_turn_ns + T // 2 + 50 * MS


def test_p29_told_by_the_peer_that_it_is_revoked_a_keeper_reads_anew_and_answers_no() -> None:
    keeper = Alone({"s": record_of("x")}).enter()
    request = requests(keeper.wait(SECOND))[-1]
    keeper.tell(m.PromiseAnswered(request.number, granted=False, code="revoked"))
    assert not keeper.entitled()


# --- giving ------------------------------------------------------------------------------------------------


def test_p15_a_live_peer_read_with_our_last_renewal_is_promised() -> None:
    keeper = Alone({"s": record_of("y")}).enter()
    assert answer(keeper, asks()).granted
    assert keeper.state.promised_until_ns == keeper.now_ns + T + 15 * MS


def test_p15_another_incarnation_or_another_keeper_is_refused() -> None:
    keeper = Alone({"s": record_of("y")}).enter()
    assert answer(keeper, asks("peer", 6)).code == "another-incarnation"
    assert answer(keeper, asks("other", 7)).code == "another-incarnation"
    assert answer(keeper, asks("peer", 6, 7)).granted


def test_p15_a_revoked_peer_is_refused_and_told_so() -> None:
    keeper = Alone({"s": record_of("y")}).enter()
    keeper.beat_of_peer(revoked=True)
    assert answer(keeper, asks()).code == "revoked"


def test_p15_a_keeper_that_has_just_started_promises_nothing() -> None:
    keeper = Alone({"s": record_of("y")})
    assert answer(keeper, asks()).code == "not-registered"
    assert keeper.state.promised_until_ns == 0


def test_p15_from_the_sending_of_a_takeover_until_the_peer_was_read_after_it_nothing_is_promised() -> None:
    keeper = Alone({"s": record_of("y")}).enter()
    for _ in range(12):
        keeper.renew()
    orders = keeper.tell(m.Asked(1, takeover_of(keeper)))
    orders += keeper.tell(m.PeerRead(1, keeper.peer))
    sent = transactions(orders)
    assert len(sent) == 1
    assert answer(keeper, asks()).code == "taking-over"
    keeper.beat_of_peer()
    keeper.tell(
        m.TransactionAnswered(
            sent[0].transaction,
            False,
            keeper.revision,
            None,
            keeper.peer,
            (("s", None),),
        )
    )
    assert answer(keeper, asks()).code == "taking-over"
    keeper.renew()
    assert answer(keeper, asks()).granted


def test_p14_a_takeover_waits_until_our_own_promise_has_run_out() -> None:
    world = steady_world()
    world.link_up = True
    world.nodes["x"].reaches_store = False
    ask = world.ask("y", take_over(world, "s"))
    world.run(8 * S)
    assert world.reply("y", ask) is None
    assert world.writable["x", "s"]
    world.link_up = False
    world.run(8 * S)
    reply = world.reply("y", ask)
    assert reply is not None
    assert reply.done
    assert not world.writable["x", "s"]
    assert not world.violations


def test_the_store_lost_whole_costs_nothing_while_the_peers_reach_each_other() -> None:
    world = steady_world({"s": "x", "t": "y"})
    world.link_up = True
    for node in world.nodes.values():
        node.reaches_store = False
    world.run(60 * S)
    assert world.writable["x", "s"]
    assert world.writable["y", "t"]
    for node in world.nodes.values():
        node.reaches_store = True
    world.run(5 * S)
    assert world.writable["x", "s"]
    assert world.writable["y", "t"]


# --- the note ----------------------------------------------------------------------------------------------


def test_p16_a_restarted_promiser_promises_on_its_note() -> None:
    note = Note(peer_keeper="peer", peer_incarnation=7)
    keeper = Alone({"s": record_of("y")}, note=note)
    assert answer(keeper, asks("peer", 8)).code == "another-incarnation"
    assert answer(keeper, asks()).granted
    assert keeper.state.promised_until_ns > keeper.now_ns


def test_p16_the_store_lost_and_the_promiser_restarted_costs_nothing() -> None:
    world = steady_world({"s": "x"})
    world.link_up = True
    for node in world.nodes.values():
        node.reaches_store = False
    world.run(10 * S)
    world.restart("y")
    world.nodes["y"].reaches_store = False
    world.run(20 * S)
    assert world.writable["x", "s"]
    assert not world.violations


def test_p16_the_note_is_set_after_the_peer_was_read_live() -> None:
    keeper = Alone({"s": record_of("y")}).enter()
    assert (keeper.note.peer_keeper, keeper.note.peer_incarnation) == ("peer", 7)


def test_p16_the_note_is_clear_on_the_disk_before_a_takeover_is_sent() -> None:
    keeper = Alone({"s": record_of("y")}).enter()
    for _ in range(12):
        keeper.renew()
    keeper.disk_takes = None  # type: ignore[assignment]  # it does not answer yet
    orders = keeper.tell(m.Asked(1, takeover_of(keeper)))
    orders += keeper.tell(m.PeerRead(1, keeper.peer))
    assert transactions(orders) == []
    clear = [order for order in orders if isinstance(order, m.WriteNote)]
    assert [order.note.peer_incarnation for order in clear] == [0]
    orders = keeper.tell(m.NoteWritten(clear[0].number, ok=True))
    assert len(transactions(orders)) == 1


def test_p16_a_disk_that_takes_nothing_lets_nothing_be_taken_over() -> None:
    keeper = Alone({"s": record_of("y")}).enter()
    for _ in range(12):
        keeper.renew()
    keeper.disk_takes = False
    orders = keeper.tell(m.Asked(1, takeover_of(keeper)))
    orders += keeper.tell(m.PeerRead(1, keeper.peer))
    orders += keeper.wait(5 * SECOND)
    assert transactions(orders) == []


def test_p16_the_note_names_the_peers_new_incarnation() -> None:
    keeper = Alone({"s": record_of("y")}).enter()
    keeper.beat_of_peer(incarnation=9)
    assert keeper.note.peer_incarnation == 9
