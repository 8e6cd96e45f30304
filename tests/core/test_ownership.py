"""The keeper's core keeps the protocol's rules, each test naming the one it is about."""

from dataclasses import replace

import pytest

from orchestrator.core import messages as m
from orchestrator.core.lease import takeover_after
from orchestrator.core.records import SERVICES, SITES, Mode, Movement
from orchestrator.core.state import Beat, Phase
from tests.core.alone import PEER, Alone
from tests.core.alone import record_of as owned_by
from tests.core.world import (
    MS,
    SECOND,
    TIMING,
    SiteWorld,
    position,
    run_record,
    steady_world,
    take_over,
)


def record_of(world: SiteWorld, service: str = "s"):
    item = world.store.service(service)
    assert item is not None
    return item.record


def done(world: SiteWorld, site: str, ask: int) -> bool:
    reply = world.reply(site, ask)
    return reply is not None and reply.done


def code(world: SiteWorld, site: str, ask: int) -> str:
    reply = world.reply(site, ask)
    assert reply is not None, "no reply yet"
    assert not reply.done
    return reply.code


# --- the holder ----------------------------------------------------------------------------------------


def test_a_keeper_registers_reads_the_services_and_is_entitled_to_what_it_owns() -> None:
    world = steady_world()
    node = world.nodes["x"]
    assert node.state.phase is Phase.ACTIVE
    assert node.state.entitled("s", node.clock(world.now_ns))
    assert not world.nodes["y"].state.entitled("s", world.nodes["y"].clock(world.now_ns))


def test_p2_the_deadline_counts_from_the_sending_not_from_the_reply() -> None:
    world = steady_world()
    world.delay = lambda: 100 * MS
    world.run(2 * SECOND)
    node = world.nodes["x"]
    assert node.state.deadline_ns in {
        beat.sent_at_ns + TIMING.lease_duration_ns for beat in node.state.beats.values()
    }
    assert node.state.deadline_ns <= node.clock(world.now_ns) + TIMING.lease_duration_ns - 200 * MS


def test_p3_a_beat_whose_reply_was_lost_is_adopted_and_costs_nothing() -> None:
    world = steady_world()
    before = world.nodes["x"].state.incarnation
    lost = {"left": 3}

    def fate(site: str, order: object) -> str:
        if site == "x" and isinstance(order, m.Renew) and lost["left"]:
            lost["left"] -= 1
            return "unanswered"
        return "answered"

    world.fate = fate
    world.run(10 * SECOND)
    node = world.nodes["x"]
    assert lost["left"] == 0
    assert node.state.entitled("s", node.clock(world.now_ns))
    assert world.writable["x", "s"]
    assert world.nodes["x"].state.incarnation == before


def test_p3_another_keepers_beat_of_the_same_incarnation_is_not_ours() -> None:
    world = SiteWorld({"s": "x"})
    world.start("x")
    world.run(SECOND)
    twin = world._node("x", rate=1.0, life=0)
    twin.state.incarnation = twin.state.next_incarnation = world.nodes["x"].state.incarnation
    twin.state.beats = {world.nodes["x"].state.beat: Beat(0, hold=False)}
    from orchestrator.core.registration import adopt

    found = world.store.site("x")
    assert found is not None
    assert not adopt(twin.state, found, SECOND)


def test_p1_a_hung_decider_does_not_keep_the_lease_alive() -> None:
    world = steady_world()
    node = world.nodes["x"]
    beat = node.state.beat
    node.stalled = True  # no turns any more; the keeper itself goes on
    for _ in range(200):
        world.tell("x", m.Ticked())
        world.run(20 * MS)
    assert node.state.beat <= beat + TIMING.lease_duration_ns // 2 // TIMING.renew_every_ns + 1


def test_p4_a_restarted_keeper_answers_no_until_it_has_registered_and_read() -> None:
    world = steady_world()
    before = world.nodes["x"].state.incarnation
    world.nodes["x"].reaches_store = False
    world.restart("x")
    world.run(200 * MS)
    node = world.nodes["x"]
    assert node.state.phase is Phase.READING_KEY
    assert not node.state.entitled("s", node.clock(world.now_ns))
    world.nodes["x"].reaches_store = True
    world.run(SECOND)
    node = world.nodes["x"]
    assert node.state.incarnation > before
    assert node.state.entitled("s", node.clock(world.now_ns))


def test_p4_the_services_are_read_only_after_the_registration_was_committed() -> None:
    orders: list[object] = []
    world = SiteWorld({"s": "x"})

    def fate(site: str, order: object) -> str:
        if site == "x":
            orders.append(order)
        return "answered"

    world.fate = fate
    world.start("x")
    world.run(SECOND)
    kinds = [type(order) for order in orders[:3]]
    assert kinds == [m.ReadOwnKey, m.Renew, m.ReadServices]


def test_p4_a_superseded_keeper_ends_and_does_not_register_again() -> None:
    world = steady_world()
    old = world.nodes["x"]
    found = world.store.site("x")
    assert found is not None
    from orchestrator.core.records import encode
    from orchestrator.store.base import Compare, Put

    newer = replace(found.record, keeper="x-spare", incarnation=found.record.incarnation + 1)
    assert world.store.transact((Compare(SITES + "x", found.revision),), (Put(SITES + "x", encode(newer)),))
    world.run(SECOND)
    assert old.exits
    assert old.state.phase is Phase.SUPERSEDED
    assert not old.state.entitled("s", old.clock(world.now_ns))


def test_p5_an_older_view_of_a_service_never_replaces_a_newer_one() -> None:
    world = steady_world()
    node = world.nodes["y"]
    item = node.state.services["s"].item
    assert item is not None
    older = m.ServiceItem(item.revision - 1, replace(item.record, primary="y"))
    world.tell("y", m.ServiceSeen("s", older))
    assert not node.state.names_us("s")


def test_p4_a_keeper_registers_though_every_answer_takes_longer_than_a_renewal_interval() -> None:
    world = SiteWorld({"s": "x"})
    world.delay = lambda: 200 * MS
    world.start()
    world.run(12 * SECOND)
    assert world.nodes["x"].state.phase is Phase.ACTIVE
    before = world.nodes["x"].state.incarnation
    world.run(12 * SECOND)
    assert world.nodes["x"].state.incarnation == before


def test_p5_what_arrives_before_the_answer_of_the_read_it_is_newer_than_is_not_lost() -> None:
    world = SiteWorld({"s": "x"})
    world.start("x")
    world.run(SECOND)
    slow = {"on": True}
    world.delay = lambda: (300 if slow["on"] else 5) * MS
    world.restart("y")
    world.run_until(lambda: world.nodes["y"].state.phase is Phase.READING_SERVICES, within_ns=5 * SECOND)
    world.run(310 * MS)  # the read has been done at the store; its answer is on its way
    slow["on"] = False
    from tests.core.world import first_claim

    world.ask("x", first_claim("s"))
    world.run(2 * SECOND)
    seen = world.nodes["y"].state.services["s"].item
    assert seen is not None
    assert seen.record.primary == "x"


def test_p7_a_site_cut_off_from_the_store_is_fenced_before_its_lease_ends() -> None:
    world = steady_world()
    node = world.nodes["x"]
    node.reaches_store = False
    deadline_ns = node.state.deadline_ns
    world.run(4 * SECOND)
    assert not world.writable["x", "s"]
    assert node.clock(node.fenced_at_ns["s"]) <= deadline_ns + 20 * MS
    assert not world.violations


def test_p7_a_manual_service_is_not_fenced_at_the_deadline() -> None:
    world = steady_world(modes={"s": Mode.MANUAL})
    world.nodes["x"].reaches_store = False
    world.run(10 * SECOND)
    assert world.writable["x", "s"]


def test_p7_a_fence_that_is_not_verified_is_tried_again_until_it_is() -> None:
    world = steady_world()
    world.fence_works = False
    world.nodes["x"].reaches_store = False
    world.run(4 * SECOND)
    assert world.writable["x", "s"]
    world.fence_works = True
    world.run(SECOND)
    assert not world.writable["x", "s"]


def test_a_site_that_comes_back_before_anybody_took_over_may_open_again() -> None:
    world = steady_world()
    node = world.nodes["x"]
    node.reaches_store = False
    world.run(4 * SECOND)
    node.reaches_store = True
    world.run(2 * SECOND)
    assert world.open("x", "s")
    assert record_of(world).primary == "x"
    assert not world.violations


# --- the taker -----------------------------------------------------------------------------------------


def test_p8_a_beat_counts_from_its_arrival_and_only_a_new_one_counts() -> None:
    alone = Alone({"s": owned_by("x")})
    alone.register()
    alone.wait(SECOND)
    beat = replace(PEER, beat=PEER.beat + 1)
    alone.tell(m.PeerSeen(m.SiteItem(20, beat)))
    arrived_ns = alone.now_ns
    for revision, record in (
        (20, beat),  # heard again, from another member
        (19, replace(PEER, beat=PEER.beat + 9)),  # what was under way for longer
        (21, replace(beat, revoked=True)),  # no sign of life: the mark of a taker
    ):
        alone.wait(SECOND)
        alone.tell(m.PeerSeen(m.SiteItem(revision, record)))
        assert alone.state.peer_seen_ns == arrived_ns
    alone.tell(m.PeerSeen(m.SiteItem(22, replace(beat, beat=beat.beat + 1))))
    assert alone.state.peer_seen_ns == alone.now_ns


def test_p8_the_peers_key_is_read_once_more_before_anything_is_taken() -> None:
    world = steady_world()
    world.kill("x")
    world.run(4 * SECOND)
    sent: list[str] = []

    def fate(site: str, order: object) -> str:
        if site == "y" and isinstance(order, m.ReadPeer | m.Transact):
            sent.append(type(order).__name__)
        return "answered"

    world.fate = fate
    ask = world.ask("y", take_over(world, "s"))
    world.run(SECOND)
    assert done(world, "y", ask)
    assert sent == ["ReadPeer", "Transact"]


def test_p9_nothing_is_taken_before_the_lease_is_over_and_it_is_taken_right_after() -> None:
    world = steady_world()
    world.kill("x")
    node = world.nodes["y"]
    world.run(100 * MS)
    earliest_ns = takeover_after(node.state.peer_seen_ns, TIMING.lease_duration_ns, TIMING.clock_drift)
    ask = world.ask("y", take_over(world, "s"))
    world.run(earliest_ns - node.clock(world.now_ns))
    assert record_of(world).primary == "x"
    world.run(200 * MS)
    assert done(world, "y", ask)
    record = record_of(world)
    assert (record.primary, record.epoch, record.movement) == ("y", 2, Movement.MOVING)
    peer = world.store.site("x")
    assert peer is not None
    assert peer.record.revoked  # P10


def test_p9_a_taker_that_has_just_started_waits_for_a_whole_lease_of_its_own() -> None:
    world = steady_world()
    world.kill("x")
    world.run(2900 * MS)
    world.restart("y")
    world.run(500 * MS)
    ask = world.ask("y", take_over(world, "s"))
    world.run(2 * SECOND)
    assert world.reply("y", ask) is None
    world.run(2 * SECOND)
    assert done(world, "y", ask)


def test_p9_a_lease_that_is_still_renewed_is_never_taken() -> None:
    world = steady_world()
    ask = world.ask("y", take_over(world, "s", ordered_by_operator=True))
    world.run(30 * SECOND)
    assert code(world, "y", ask) == "lease-still-held"
    assert record_of(world).primary == "x"


def test_p9_an_automatic_takeover_is_dropped_when_the_site_comes_back() -> None:
    world = steady_world()
    node = world.nodes["x"]
    node.reaches_store = False
    world.run(2 * SECOND)
    ask = world.ask("y", take_over(world, "s"))
    node.reaches_store = True
    world.run(2 * SECOND)
    assert code(world, "y", ask) == "peer-back"


def test_an_ordered_takeover_that_would_lose_more_than_was_said_is_refused() -> None:
    """Invariant 3: the site was heard again after the statement of loss was made, and has been writing."""
    world = steady_world()
    node = world.nodes["x"]
    node.reaches_store = False
    world.run(2 * SECOND)
    over_ns = world.nodes["y"].state.may_take_at(0)
    assert over_ns is not None
    stated = take_over(world, "s", ordered_by_operator=True, loss_until_ns=over_ns)
    taken = world.ask("y", stated)
    node.reaches_store = True
    world.run(SECOND)
    assert code(world, "y", taken) == "peer-back"


def test_an_ordered_takeover_within_what_was_said_is_carried_out() -> None:
    world = steady_world()
    world.kill("x")
    world.run(SECOND)
    over_ns = world.nodes["y"].state.may_take_at(0)
    assert over_ns is not None
    taken = world.ask("y", take_over(world, "s", ordered_by_operator=True, loss_until_ns=over_ns))
    world.run(5 * SECOND)
    assert done(world, "y", taken)


def test_p9_hold_down_outlasts_the_lease_unless_an_operator_ordered_it() -> None:
    world = steady_world()
    world.kill("x")
    waits = world.ask("y", take_over(world, "s", hold_down_ns=10 * SECOND))
    world.run(5 * SECOND)
    assert world.reply("y", waits) is None
    ordered = world.ask("y", take_over(world, "s", hold_down_ns=10 * SECOND, ordered_by_operator=True))
    world.run(SECOND)
    assert done(world, "y", ordered)


def test_p9_a_site_that_holds_is_not_taken() -> None:
    world = steady_world()
    world.kill("x")
    item = world.nodes["y"].state.peer_item
    assert item is not None
    world.nodes["y"].state.peer_item = m.SiteItem(item.revision, replace(item.record, hold=True))
    world.run(5 * SECOND)
    ask = world.ask("y", take_over(world, "s"))
    world.run(SECOND)
    assert code(world, "y", ask) == "peer-holds"


def test_p10_a_renewal_between_the_decision_and_the_commit_defeats_the_takeover() -> None:
    world = steady_world()
    x = world.nodes["x"]
    x.reaches_store = False
    held: list[m.Transact] = []

    def fate(site: str, order: object) -> str:
        if site == "y" and isinstance(order, m.Transact):
            held.append(order)
            return "lost"
        return "answered"

    world.fate = fate
    world.ask("y", take_over(world, "s"))
    world.run_until(lambda: bool(held), within_ns=10 * SECOND)
    world.fate = lambda site, order: "answered"
    x.reaches_store = True
    world.run(SECOND)
    assert not world.store.transact(held[0].compares, held[0].puts)
    assert record_of(world).primary == "x"


def test_p10_p12_a_late_takeover_is_void_once_its_sender_has_registered_again() -> None:
    world = steady_world()
    world.kill("x")
    late = {"left": 1}

    def fate(site: str, order: object) -> str:
        if site == "y" and isinstance(order, m.Transact) and late["left"]:
            late["left"] -= 1
            return "late"
        return "answered"

    world.fate = fate
    ask = world.ask("y", take_over(world, "s"))
    world.run(70 * SECOND)
    assert late["left"] == 0
    assert done(world, "y", ask)
    assert record_of(world).epoch == 2
    assert not world.violations


def test_p11_more_services_than_one_transaction_takes_need_no_second_wait() -> None:
    services = {f"s{number}": "x" for number in range(65)}
    world = SiteWorld(services)
    world.start()
    world.run(SECOND)
    from tests.core.world import first_claim

    for name in services:
        world.ask("x", first_claim(name))
        world.run(60 * MS)
    world.run(5 * SECOND)
    world.kill("x")
    world.run(4 * SECOND)
    started_ns = world.now_ns
    ask = world.ask("y", take_over(world, *services))
    world.run_until(lambda: done(world, "y", ask), within_ns=3 * SECOND)
    assert all(record_of(world, name).primary == "y" for name in services)
    assert world.now_ns - started_ns < TIMING.lease_duration_ns


def test_p11_our_own_revoked_flag_is_no_sign_of_life_of_the_lost_site() -> None:
    world = steady_world({"s": "x", "t": "x"})
    world.kill("x")
    node = world.nodes["y"]
    world.run(4 * SECOND)
    seen_ns = node.state.peer_seen_ns
    ask = world.ask("y", take_over(world, "s"))
    world.run(SECOND)
    assert done(world, "y", ask)
    assert node.state.peer_item is not None
    assert node.state.peer_item.record.revoked
    assert node.state.peer_seen_ns == seen_ns


def test_p12_every_ownership_transaction_compares_the_writers_own_key() -> None:
    world = steady_world()
    seen: list[m.Transact] = []

    def fate(site: str, order: object) -> str:
        if isinstance(order, m.Transact):
            seen.append(order)
            assert order.compares[0].key == SITES + site
        return "answered"

    world.fate = fate
    switch(world)
    world.ask("y", m.SetPause(service="s", pause=None))
    world.run(SECOND)
    assert len(seen) >= 3


# --- moves ---------------------------------------------------------------------------------------------


def switch(world: SiteWorld) -> int:
    """A planned move from x to y, up to the claim."""
    item = world.store.service("s")
    assert item is not None
    run = run_record("run-1", "s", to_site="y", from_site="x", kind="switchover")
    started = world.ask("y", m.StartRun(service="s", record=run, revision=item.revision, who="op", why="t"))
    world.run(200 * MS)
    assert done(world, "y", started), world.reply("y", started)
    world.ask("y", m.RequestGiveUp(service="s", run="run-1"))
    world.run(500 * MS)
    return world.ask(
        "y",
        m.Claim(
            service="s",
            run="run-1",
            epoch=2,
            record=None,
            received=position(100),
            accept_loss=False,
            mode_if_new="automatic",
            who="op",
            why="t",
        ),
    )


def test_p23_a_planned_give_up_closes_first_and_carries_the_final_position() -> None:
    world = steady_world()
    ask = switch(world)
    assert world.nodes["x"].closes == ["s"]
    record = record_of(world)
    assert record.primary is None
    assert record.planned
    assert record.final_position == position(100)
    world.run(200 * MS)
    assert done(world, "y", ask)
    assert (record_of(world).primary, record_of(world).epoch) == ("y", 2)
    assert world.open("y", "s")
    assert not world.violations


def test_p23_nothing_is_written_when_the_close_proves_nothing_and_the_service_stays() -> None:
    world = steady_world()
    world.close_result = lambda service: (False, None)
    item = world.store.service("s")
    assert item is not None
    run = run_record("run-1", "s", to_site="y", from_site="x", kind="switchover")
    world.ask("y", m.StartRun(service="s", record=run, revision=item.revision, who="op", why="t"))
    world.run(200 * MS)
    world.ask("y", m.RequestGiveUp(service="s", run="run-1"))
    world.run(SECOND)
    record = record_of(world)
    assert record.primary == "x"
    assert record.refusal
    node = world.nodes["x"]
    assert node.state.entitled("s", node.clock(world.now_ns))


def test_p7_a_close_that_hangs_is_fenced_before_the_lease_ends() -> None:
    world = steady_world()
    item = world.store.service("s")
    assert item is not None
    run = run_record("run-1", "s", to_site="y", from_site="x", kind="switchover")
    world.ask("y", m.StartRun(service="s", record=run, revision=item.revision, who="op", why="t"))
    world.run(200 * MS)
    node = world.nodes["x"]
    later = world.later

    def never(where: object, life: int, message: object, after_ns: int) -> None:
        if not isinstance(message, m.CloseEnded):
            later(where, life, message, after_ns)  # type: ignore[arg-type]

    world.later = never  # type: ignore[method-assign]
    world.close_result = lambda service: (False, None)
    world.ask("y", m.RequestGiveUp(service="s", run="run-1"))
    world.run(200 * MS)
    assert node.state.services["s"].closing
    node.reaches_store = False
    deadline_ns = node.state.deadline_ns
    world.run(4 * SECOND)
    assert not world.writable["x", "s"]
    assert node.clock(node.fenced_at_ns["s"]) <= deadline_ns + 20 * MS


def test_p23_a_close_that_ended_as_a_fence_gives_up_without_a_position() -> None:
    world = steady_world()
    world.close_result = lambda service: (True, None)
    switch(world)
    record = record_of(world)
    assert record.primary is None
    assert not record.planned
    assert record.final_position is None


def test_p23_a_dead_database_is_fenced_before_it_is_given_up() -> None:
    world = steady_world()
    ask = world.ask("x", m.GiveUpDead(service="s", why="dead"))
    world.run(50 * MS)
    assert record_of(world).primary == "x"
    world.run(SECOND)
    assert done(world, "x", ask)
    assert "s" in world.nodes["x"].fenced_at_ns
    record = record_of(world)
    assert (record.primary, record.previous, record.final_position) == (None, "x", None)


def test_p23_without_a_verified_fence_nothing_is_given_up() -> None:
    world = steady_world()
    world.fence_works = False
    ask = world.ask("x", m.GiveUpDead(service="s", why="dead"))
    world.run(SECOND)
    assert code(world, "x", ask) == "fence-unverified"
    assert record_of(world).primary == "x"


def test_p23_a_give_up_of_unknown_outcome_answers_no_until_a_later_renewal_and_read() -> None:
    world = steady_world()
    before = world.nodes["x"].state.incarnation
    late = {"left": 1}

    def fate(site: str, order: object) -> str:
        if site == "x" and isinstance(order, m.Transact) and late["left"]:
            late["left"] -= 1
            return "late"
        return "answered"

    world.fate = fate
    world.ask("x", m.GiveUpDead(service="s", why="dead"))
    world.run(SECOND)
    node = world.nodes["x"]
    assert not node.state.entitled("s", node.clock(world.now_ns))
    world.run(70 * SECOND)
    assert not world.violations
    assert node.state.incarnation == before + 1


def test_p23_a_give_up_cut_short_by_the_stores_loss_leaves_the_service_free_to_open_again() -> None:
    world = steady_world()
    world.nodes["x"].reaches_store = False
    node = world.nodes["x"]
    world.run(2500 * MS)
    ask = world.ask("x", m.GiveUpDead(service="s", why="its connection broke while it was fenced"))
    world.run(4 * SECOND)
    node.reaches_store = True
    world.run(4 * SECOND)
    reply = world.reply("x", ask)
    assert reply is not None
    if record_of(world).primary == "x":
        assert not reply.done
        assert world.open("x", "s")
    assert not [pending for pending in node.state.asks.values() if isinstance(pending.what, m.GiveUpDead)]


def test_no_ask_waits_for_ever_for_a_store_that_does_not_answer() -> None:
    world = steady_world()
    world.nodes["x"].reaches_store = False
    world.restart("x")
    ask = world.ask("x", m.SetPause(service="s", pause=None))
    dead = world.ask("x", m.GiveUpDead(service="s", why="dead"))
    world.run(40 * SECOND)
    assert code(world, "x", ask) == "no-quorum"
    assert world.reply("x", dead) is not None


def test_p24_a_claim_below_the_final_position_is_refused_without_a_named_acceptance() -> None:
    world = steady_world()
    world.close_result = lambda service: (True, position(500))
    ask = switch(world)
    world.run(200 * MS)
    assert code(world, "y", ask) == "below-final-position"
    accepted = world.ask(
        "y",
        m.Claim(
            service="s",
            run="run-1",
            epoch=2,
            record=None,
            received=position(100),
            accept_loss=True,
            mode_if_new="automatic",
            who="op",
            why="t",
        ),
    )
    world.run(200 * MS)
    assert done(world, "y", accepted)


def test_p24_two_claims_of_one_service_cannot_both_win() -> None:
    world = steady_world()
    world.ask("x", m.GiveUpDead(service="s", why="dead"))
    world.run(SECOND)
    asks = {}
    for site in ("x", "y"):
        asks[site] = world.ask(
            site,
            m.Claim(
                service="s",
                run=f"run-{site}",
                epoch=2,
                record=None,
                received=None,
                accept_loss=False,
                mode_if_new="automatic",
                who="t",
                why="t",
            ),
        )
    world.run(SECOND)
    assert sum(done(world, site, ask) for site, ask in asks.items()) == 1
    assert not world.violations


def test_p24_only_the_home_site_makes_the_first_claim() -> None:
    from tests.core.world import first_claim

    world = SiteWorld({"s": "x"})
    world.start()
    world.run(SECOND)
    ask = world.ask("y", first_claim("s"))
    world.run(SECOND)
    assert code(world, "y", ask) == "not-home"


def test_p26_two_orders_for_one_service_the_second_is_told_who_holds_it() -> None:
    world = steady_world()
    item = world.store.service("s")
    assert item is not None
    first = world.ask(
        "x",
        m.StartRun(
            service="s",
            record=run_record("run-1", "s", to_site="y", from_site="x", kind="switchover"),
            revision=item.revision,
            who="anna",
            why="t",
        ),
    )
    world.run(200 * MS)
    second = world.ask(
        "y",
        m.StartRun(
            service="s",
            record=run_record("run-2", "s", to_site="y", from_site="x", kind="switchover"),
            revision=item.revision,
            who="bill",
            why="t",
        ),
    )
    world.run(200 * MS)
    assert done(world, "x", first)
    assert code(world, "y", second) == "moving"
    reply = world.reply("y", second)
    assert reply is not None
    assert "anna" in reply.message


def test_p26_a_plan_drawn_before_something_changed_is_not_run() -> None:
    world = steady_world()
    item = world.store.service("s")
    assert item is not None
    world.ask("x", m.SetMode(service="s", mode="manual"))
    world.run(SECOND)
    ask = world.ask(
        "y",
        m.StartRun(
            service="s",
            record=run_record("run-1", "s", to_site="y", from_site="x", kind="switchover"),
            revision=item.revision,
            who="op",
            why="t",
        ),
    )
    world.run(SECOND)
    assert code(world, "y", ask) == "changed-since-plan"


def test_p26_before_a_side_effect_epoch_and_deadline_are_checked_again() -> None:
    world = steady_world()
    assert done(world, "x", world.ask("x", m.MayAct(service="s", epoch=1)))
    assert code(world, "x", world.ask("x", m.MayAct(service="s", epoch=2))) == "right-lost"
    assert code(world, "y", world.ask("y", m.MayAct(service="s", epoch=1))) == "right-lost"
    world.nodes["x"].reaches_store = False
    world.run(4 * SECOND)
    assert code(world, "x", world.ask("x", m.MayAct(service="s", epoch=1))) == "right-lost"


def test_p27_only_the_holder_makes_a_service_automatic_and_never_while_a_run_is_on() -> None:
    world = steady_world(modes={"s": Mode.MANUAL})
    other = world.ask("y", m.SetMode(service="s", mode="automatic"))
    world.run(200 * MS)
    assert code(world, "y", other) == "not-the-holder"
    item = world.store.service("s")
    assert item is not None
    run = run_record("run-1", "s", to_site="y", from_site="x", kind="switchover")
    world.ask("x", m.StartRun(service="s", record=run, revision=item.revision, who="op", why="t"))
    world.run(200 * MS)
    moving = world.ask("x", m.SetMode(service="s", mode="automatic"))
    world.run(200 * MS)
    assert code(world, "x", moving) == "moving"
    world.ask("x", m.Settle(service="s", run="run-1", why="over"))
    world.run(200 * MS)
    holder = world.ask("x", m.SetMode(service="s", mode="automatic"))
    world.run(200 * MS)
    assert done(world, "x", holder)


def test_p28_a_manual_service_moves_on_a_certificate_without_the_wait_and_only_then() -> None:
    world = steady_world(modes={"s": Mode.MANUAL})
    world.kill("x")
    world.run(10 * SECOND)
    refused = world.ask("y", take_over(world, "s"))
    world.run(200 * MS)
    assert code(world, "y", refused) == "manual"
    certified = world.ask("y", take_over(world, "s", certified_down=True, ordered_by_operator=True))
    world.run(200 * MS)
    assert done(world, "y", certified)
    assert record_of(world).primary == "y"


def test_p28_a_certificate_does_not_shorten_the_wait_for_an_automatic_service() -> None:
    world = steady_world()
    world.kill("x")
    ask = world.ask("y", take_over(world, "s", certified_down=True, ordered_by_operator=True))
    world.run(2 * SECOND)
    assert world.reply("y", ask) is None
    world.run(2 * SECOND)
    assert done(world, "y", ask)


def test_a_site_that_comes_back_after_a_takeover_is_revoked_re_registers_and_fences_itself() -> None:
    world = steady_world()
    x = world.nodes["x"]
    before = x.state.incarnation
    x.stalled = True
    world.run(SECOND)
    ask = world.ask("y", take_over(world, "s"))
    world.run(5 * SECOND)
    assert done(world, "y", ask)
    x.stalled = False
    world.run(2 * SECOND)
    assert x.state.incarnation > before
    assert not x.state.names_us("s")
    assert not world.writable["x", "s"]


def _epoch(world: SiteWorld, service: str) -> int:
    item = world.store.service(service)
    return item.record.epoch if item is not None else 0


@pytest.mark.parametrize("seed", range(60))
def test_under_random_faults_no_service_is_ever_writable_twice_and_no_epoch_is_used_twice(seed: int) -> None:
    world = steady_world({"s": "x", "t": "y"}, seed=seed)
    random = world.random

    def fate(site: str, order: object) -> str:
        roll = random.random()
        if isinstance(order, m.ReadOwnKey | m.ReadServices | m.ReadPeer):
            return "lost" if roll < 0.1 else "answered"
        return (
            "lost" if roll < 0.08 else "unanswered" if roll < 0.16 else "late" if roll < 0.2 else "answered"
        )

    world.fate = fate
    world.delay = lambda: random.randrange(1, 150) * MS
    for _ in range(40):
        site = random.choice(("x", "y"))
        service = random.choice(("s", "t"))
        match random.randrange(8):
            case 0:
                world.nodes[site].reaches_store = not world.nodes[site].reaches_store
            case 1:
                world.restart(site, rate=random.choice((0.9976, 1.0, 1.0024)))
            case 2 | 3:
                world.ask(site, take_over(world, service, by=site, ordered_by_operator=random.random() < 0.5))
            case 4:
                world.ask(site, m.GiveUpDead(service=service, why="dead"))
            case 5 | 6:
                world.ask(
                    site,
                    m.Claim(
                        service=service,
                        run=f"run-{random.randrange(1 << 30)}",
                        epoch=_epoch(world, service) + 1,
                        record=None,
                        received=None,
                        accept_loss=True,
                        mode_if_new="automatic",
                        who="t",
                        why="t",
                    ),
                )
            case 7:
                world.nodes["x"].reaches_store = world.nodes["y"].reaches_store = True
        world.run(random.randrange(1, 3000) * MS)
        for node in ("x", "y"):
            for name in ("s", "t"):
                world.open(node, name)
    assert not world.violations, world.violations[:3]
    assert SERVICES + "s" in world.store.items
