"""What the guard's deciding part promises, one function each, told of any module that claims to be a guard.

`test_step` runs them against the real one; `test_mutants` against guards with one check taken out.
"""

from collections.abc import Callable
from typing import Any

MS = 1_000_000
T, D, EVERY = 3_000 * MS, 400 * MS, 150 * MS
START = 1_000_000 * MS
Promise = Callable[[Any], None]
PROMISES: dict[str, Promise] = {}


def promise(told: Promise) -> Promise:
    """Keeps it in the list, by its name."""
    PROMISES[told.__name__] = told
    return told


class Bench:
    """A guard, a clock that is moved by hand, and a world in which all goes well unless it is told not to."""

    def __init__(
        self,
        guard: Any,
        incarnation: int = 5,
        epoch: int = 7,
        *,
        manual: bool = False,
        lifted: Any = None,
        certified: int | None = None,
    ) -> None:
        self.g = guard
        self.now = START
        self.nonce = 100
        memory = guard.Memory(incarnation, epoch, manual)
        self.state = guard.new_guard("crm", D, EVERY, memory, START, lifted, certified)
        self.log: list[Any] = []

    def say(self, message: Any) -> list[Any]:
        orders: list[Any] = self.g.step(self.state, message, self.now)
        self.log += orders
        return orders

    def tick(self, after_ns: int = 0) -> list[Any]:
        self.now += after_ns
        self.nonce += 1
        return self.say(self.g.Ticked(self.nonce))

    def ask(self, after_ns: int = 2 * EVERY) -> int:
        """The nonce of a new question."""
        asked = self.all_of(self.tick(after_ns), "Ask")
        assert len(asked) == 1, "no question went out"
        nonce: int = asked[0].nonce
        return nonce

    def answer(
        self,
        nonce: int,
        remaining_ns: int = T,
        *,
        incarnation: int = 5,
        epoch: int = 7,
        manual: bool = False,
        service: str = "crm",
    ) -> list[Any]:
        return self.say(self.g.Answered(nonce, service, incarnation, epoch, remaining_ns, manual))

    def order(self, kind: str, *, number: int = 1, incarnation: int = 5, service: str = "crm") -> list[Any]:
        return self.say(self.g.Ordered(number, kind, service, incarnation))

    def cut_ended(self, *, verified: bool = True) -> list[Any]:
        return self.say(self.g.CutEnded(verified, "2 processes found, none left"))

    def synced(self, orders: list[Any], *, ok: bool = True) -> list[Any]:
        """The disk took what these orders bring to it."""
        return self.say(self.g.Remembered(self.one(orders, "Remember").memory, ok))

    def closed(self) -> "Bench":
        self.tick()
        self.cut_ended()
        return self

    def opened(self, remaining_ns: int = T, **how: Any) -> "Bench":
        """Open, by an answer to a question asked now."""
        if not self.state.verified:
            self.closed()
        lifted = self.all_of(self.answer(self.ask(), remaining_ns, **how), "Lift")
        assert lifted, "an answer that allows did not open"
        return self

    def all_of(self, orders: list[Any], kind: str) -> list[Any]:
        return [one for one in orders if isinstance(one, getattr(self.g, kind))]

    def no(self, orders: list[Any], kind: str) -> None:
        assert not self.all_of(orders, kind), f"{kind} among {orders}"

    def one(self, orders: list[Any], kind: str) -> Any:
        found = self.all_of(orders, kind)
        assert len(found) == 1, f"one {kind} expected among {orders}"
        return found[0]

    def refused(self, orders: list[Any], code: str) -> None:
        assert self.one(orders, "Refuse").code == code
        assert self.state.refused[code] >= 1


# --- P18: the deadline counts from our own question ------------------------------------------------------


@promise
def p18_the_deadline_counts_from_the_question_not_from_the_answer(g: Any) -> None:
    b = Bench(g).closed()
    nonce = b.ask()
    asked_at = b.now
    b.now += 100 * MS
    lift = b.one(b.answer(nonce), "Lift")
    assert lift.until_ns == asked_at + T - D


@promise
def p18_one_question_at_a_time(g: Any) -> None:
    b = Bench(g).closed()
    b.ask()
    b.no(b.tick(EVERY), "Ask")
    b.no(b.tick(EVERY - 1), "Ask")
    b.one(b.tick(1), "Ask")


@promise
def p18_an_unanswered_question_is_replaced_and_its_late_answer_counts_no_more(g: Any) -> None:
    b = Bench(g).closed()
    first = b.ask()
    second = b.ask()
    b.refused(b.answer(first), "unknown-question")
    assert not b.state.open
    b.one(b.answer(second), "Lift")


@promise
def p18_an_answer_counts_once(g: Any) -> None:
    b = Bench(g).closed()
    nonce = b.ask()
    b.one(b.answer(nonce), "Lift")
    b.refused(b.answer(nonce), "unknown-question")


@promise
def p18_questions_go_out_at_the_beat(g: Any) -> None:
    b = Bench(g).opened()
    b.no(b.tick(EVERY - 1), "Ask")
    assert g.wake_ns(b.state) == b.now + 1
    b.one(b.tick(1), "Ask")


@promise
def p18_an_answer_for_another_service_is_refused_and_counted(g: Any) -> None:
    b = Bench(g).closed()
    b.refused(b.answer(b.ask(), service="ebs"), "other-service")
    assert not b.state.open


@promise
def p18_who_is_not_entitled_is_closed_at_once(g: Any) -> None:
    for remaining_ns in (0, -1):
        b = Bench(g).opened()
        b.one(b.answer(b.ask(), remaining_ns), "Cut")
        b.cut_ended()
        b.no(b.tick(EVERY), "Lift")


@promise
def p18_a_later_answer_may_shorten_the_deadline(g: Any) -> None:
    b = Bench(g).opened()
    b.one(b.answer(b.ask(), D + 200 * MS), "Lift")
    b.no(b.tick(199 * MS), "Cut")
    b.one(b.tick(1 * MS), "Cut")


# --- P19: closed by itself, opened by nothing else -------------------------------------------------------


@promise
def p19_fences_by_itself_D_before_the_deadline(g: Any) -> None:
    b = Bench(g).opened()
    edge = b.state.deadline_ns - D
    b.no(b.tick(edge - 1 - b.now), "Cut")
    assert b.state.open
    assert b.one(b.tick(1), "Cut")
    assert not b.state.open


@promise
def p19_the_deadline_is_seen_whatever_arrives_first(g: Any) -> None:
    b = Bench(g).opened()
    b.now = b.state.deadline_ns - D
    b.one(b.say(g.ConnectionLost()), "Cut")


@promise
def p19_wakes_for_the_fence(g: Any) -> None:
    b = Bench(g).opened(D + EVERY // 2)
    assert g.wake_ns(b.state) == b.state.deadline_ns - D


@promise
def p19_at_boot_it_cuts_and_stays_closed_until_an_answer(g: Any) -> None:
    for manual in (False, True):
        b = Bench(g, manual=manual)
        b.one(b.tick(), "Cut")
        b.no(b.cut_ended(), "Lift")
        b.no(b.tick(10 * T), "Lift")
        assert not b.state.open


@promise
def p19_no_order_opens_anything(g: Any) -> None:
    for kind in ("learn", "automatic", "ask", "open", "lift"):
        for manual in (False, True):
            b = Bench(g, manual=manual).closed()
            b.no(b.order(kind), "Lift")
            b.no(b.tick(EVERY), "Lift")


@promise
def p19_an_answer_that_comes_too_late_for_its_own_deadline_opens_nothing(g: Any) -> None:
    for manual in (False, True):
        b = Bench(g, manual=manual).closed()
        nonce = b.ask()
        b.now += T - D
        b.no(b.answer(nonce, manual=manual), "Lift")
        assert not b.state.open


@promise
def p19_a_cut_is_finished_before_anything_is_opened(g: Any) -> None:
    b = Bench(g).opened()
    b.tick(b.state.deadline_ns - D - b.now)
    nonce = b.ask()
    b.no(b.answer(nonce), "Lift")
    assert not b.state.open
    assert b.one(b.cut_ended(), "Lift")


@promise
def p19_a_cut_that_failed_is_ordered_again_and_opens_nothing(g: Any) -> None:
    b = Bench(g).opened()
    b.tick(b.state.deadline_ns - D - b.now)
    nonce = b.ask()
    b.no(b.cut_ended(verified=False), "Lift")
    b.no(b.answer(nonce), "Lift")
    b.one(b.tick(1), "Cut")
    b.one(b.cut_ended(), "Lift")


@promise
def p19_a_deadline_that_passes_while_it_is_cut_opens_nothing(g: Any) -> None:
    b = Bench(g).closed()
    b.order("fence")
    b.answer(b.ask())
    b.now += T
    b.no(b.cut_ended(), "Lift")
    assert not b.state.open


@promise
def p19_a_guard_that_starts_again_in_the_same_boot_keeps_its_deadline(g: Any) -> None:
    b = Bench(g, lifted=g.Lift(START + 500 * MS))
    b.no(b.tick(499 * MS), "Cut")
    assert b.state.open
    b.one(b.tick(1 * MS), "Cut")


@promise
def p19_what_was_open_without_a_deadline_opens_again_only_for_a_manual_or_certified_service(g: Any) -> None:
    forever = g.Lift(None)
    assert not Bench(g, lifted=forever).state.open
    assert Bench(g, lifted=forever, manual=True).state.open
    assert Bench(g, lifted=forever, certified=7).state.open
    assert not Bench(g, lifted=forever, certified=6).state.open
    assert not Bench(g, lifted=g.Lift(START)).state.open
    assert not Bench(g, lifted=g.Lift(START + T), manual=True).state.open


# --- P20: an order makes older questions void ------------------------------------------------------------


@promise
def p20_an_order_to_fence_drops_the_outstanding_question(g: Any) -> None:
    b = Bench(g).opened()
    nonce = b.ask()
    b.one(b.order("fence"), "Cut")
    b.cut_ended()
    b.refused(b.answer(nonce), "unknown-question")
    assert not b.state.open
    b.one(b.answer(b.ask()), "Lift")


@promise
def p20_an_order_to_fence_drops_the_answer_that_waits_for_the_disk(g: Any) -> None:
    b = Bench(g).closed()
    waiting = b.answer(b.ask(), incarnation=6)
    b.order("fence", incarnation=6)
    b.cut_ended()
    b.no(b.synced(waiting), "Lift")
    assert not b.state.open


@promise
def p20_an_order_to_fence_forgets_the_deadline(g: Any) -> None:
    for manual in (False, True):
        b = Bench(g, manual=manual).opened(manual=manual)
        b.order("fence")
        b.no(b.cut_ended(), "Lift")
        assert not b.state.open


@promise
def p20_an_order_automatic_drops_the_outstanding_question(g: Any) -> None:
    b = Bench(g, manual=True).opened(manual=True)
    nonce = b.ask()
    b.order("automatic")
    b.refused(b.answer(nonce, manual=True), "unknown-question")
    assert not b.state.manual


@promise
def p20_an_order_automatic_drops_the_answer_that_waits_for_the_disk(g: Any) -> None:
    b = Bench(g).opened()
    waiting = b.answer(b.ask(), manual=True)
    b.order("automatic")
    b.synced(b.synced(waiting))
    assert not b.state.manual
    assert not b.state.memory.manual
    b.one(b.tick(b.state.deadline_ns - D - b.now), "Cut")


@promise
def p20_a_fence_is_acknowledged_after_a_verified_cut_only(g: Any) -> None:
    b = Bench(g).opened()
    b.no(b.order("fence", number=42), "Acknowledge")
    b.no(b.cut_ended(verified=False), "Acknowledge")
    b.one(b.tick(1), "Cut")
    said = b.one(b.cut_ended(), "Acknowledge")
    assert (said.number, said.fenced, said.evidence) == (42, True, "2 processes found, none left")
    b.no(b.tick(EVERY), "Acknowledge")


@promise
def p20_what_was_closed_already_is_cut_again_for_a_new_order(g: Any) -> None:
    b = Bench(g).closed()
    orders = b.order("fence")
    b.one(orders, "Cut")
    b.no(orders, "Acknowledge")
    b.one(b.cut_ended(), "Acknowledge")


@promise
def p20_the_end_of_an_older_cut_is_not_taken_for_a_newer_ones(g: Any) -> None:
    b = Bench(g).closed()
    b.order("fence")
    b.order("fence", number=2)
    assert [one.number for one in b.all_of(b.cut_ended(), "Acknowledge")] == [1, 2]
    b.opened()
    assert b.cut_ended() == []
    b.order("fence", number=3)
    assert [one.number for one in b.all_of(b.cut_ended(), "Acknowledge")] == [3]


@promise
def p20_a_lost_connection_takes_its_questions_and_orders_along(g: Any) -> None:
    b = Bench(g).opened()
    nonce = b.ask()
    b.say(g.ConnectionLost())
    b.refused(b.answer(nonce), "unknown-question")
    b.order("fence", number=9)
    b.order("learn", number=9, incarnation=6)
    b.say(g.ConnectionLost())
    b.no(b.cut_ended(), "Acknowledge")
    b.no(b.say(g.Remembered(g.Memory(6, 7, False), True)), "Acknowledge")


@promise
def p20_an_order_for_another_service_is_refused(g: Any) -> None:
    b = Bench(g).opened()
    orders = b.order("fence", service="ebs")
    b.refused(orders, "other-service")
    b.no(orders, "Cut")


@promise
def p20_orders_kept_for_acknowledgement_are_bounded(g: Any) -> None:
    b = Bench(g).opened()
    for number in range(1000):
        b.order("fence", number=number, incarnation=5 + number)
        b.order("learn", number=number, incarnation=5 + number)
    assert len(b.state.fences) <= g.MOST_ORDERS
    assert len(b.state.lessons) <= g.MOST_ORDERS


# --- P21: what was ever told is kept on disk -------------------------------------------------------------


@promise
def p21_lower_incarnations_and_epochs_are_refused_and_counted(g: Any) -> None:
    b = Bench(g).closed()
    b.refused(b.answer(b.ask(), incarnation=4), "older-incarnation")
    b.refused(b.answer(b.ask(), epoch=6), "older-epoch")
    b.refused(b.order("fence", incarnation=4), "older-incarnation")
    assert not b.state.open
    b.one(b.answer(b.ask()), "Lift")


@promise
def p21_a_refused_no_does_not_close(g: Any) -> None:
    b = Bench(g).opened()
    b.no(b.answer(b.ask(), 0, incarnation=4), "Cut")
    assert b.state.open


@promise
def p21_an_answer_counts_only_once_the_disk_has_what_it_brought(g: Any) -> None:
    for how in ({"incarnation": 6}, {"epoch": 8}, {"manual": True}):
        b = Bench(g).closed()
        orders = b.answer(b.ask(), **how)
        b.no(orders, "Lift")
        assert not b.state.open
        b.one(b.synced(orders), "Lift")


@promise
def p21_a_disk_that_refuses_opens_nothing_and_is_tried_again(g: Any) -> None:
    b = Bench(g).closed()
    orders = b.answer(b.ask(), epoch=8)
    b.no(b.synced(orders, ok=False), "Lift")
    assert not b.state.open
    again = b.tick(2 * EVERY)
    b.refused(b.answer(b.one(again, "Ask").nonce, epoch=7), "older-epoch")
    b.one(b.synced(again), "Lift")


@promise
def p21_the_incarnation_is_acknowledged_once_it_is_on_disk(g: Any) -> None:
    b = Bench(g).opened()
    orders = b.order("learn", number=3, incarnation=6)
    b.no(orders, "Acknowledge")
    said = b.one(b.synced(orders), "Acknowledge")
    assert (said.number, said.incarnation, said.fenced) == (3, 6, False)
    assert b.state.open


@promise
def p21_what_is_known_is_acknowledged_at_once(g: Any) -> None:
    b = Bench(g).closed()
    said = b.one(b.order("learn", number=4), "Acknowledge")
    assert (said.number, said.incarnation, said.fenced) == (4, 5, True)


@promise
def p21_a_learned_incarnation_makes_the_older_controllers_answer_void(g: Any) -> None:
    b = Bench(g).closed()
    nonce = b.ask()
    b.order("learn", incarnation=6)
    b.refused(b.answer(nonce), "older-incarnation")
    assert not b.state.open


@promise
def p21_an_answer_that_waits_for_the_disk_is_void_when_something_higher_is_learned(g: Any) -> None:
    b = Bench(g, incarnation=4).closed()
    first = b.answer(b.ask(), incarnation=5)
    b.order("learn", incarnation=6)
    second = b.synced(first)
    b.no(second, "Lift")
    b.no(b.synced(second), "Lift")
    assert not b.state.open


@promise
def p21_a_no_brings_its_epoch_to_the_disk_too(g: Any) -> None:
    b = Bench(g).closed()
    orders = b.answer(b.ask(), 0, epoch=9)
    assert b.one(orders, "Remember").memory == g.Memory(5, 9, False)
    b.refused(b.answer(b.ask(), epoch=8), "older-epoch")


@promise
def p21_one_write_at_a_time_and_the_last_one_holds_the_highest(g: Any) -> None:
    b = Bench(g).closed()
    first = b.order("learn", incarnation=6)
    b.no(b.order("learn", incarnation=7), "Remember")
    second = b.synced(first)
    assert b.one(second, "Remember").memory.incarnation == 7


# --- P27: manual services --------------------------------------------------------------------------------


@promise
def p27_a_manual_services_deadline_passes_without_a_fence(g: Any) -> None:
    b = Bench(g, manual=True).closed()
    assert b.one(b.answer(b.ask(), manual=True), "Lift").until_ns is None
    b.no(b.tick(100 * T), "Cut")
    assert b.state.open


@promise
def p27_a_manual_service_closes_on_an_order_and_not_on_a_no(g: Any) -> None:
    b = Bench(g, manual=True).opened(manual=True)
    b.no(b.answer(b.ask(), 0, manual=True), "Cut")
    b.no(b.answer(b.ask(), 0, manual=False), "Cut")
    assert b.state.open
    b.one(b.order("fence"), "Cut")


@promise
def p27_who_is_not_entitled_does_not_make_it_manual(g: Any) -> None:
    b = Bench(g).opened()
    b.one(b.answer(b.ask(), 0, manual=True), "Cut")
    assert not b.state.manual
    assert not b.state.highest.manual


@promise
def p27_automatic_is_enforced_at_once_and_acknowledged_from_disk(g: Any) -> None:
    b = Bench(g, manual=True).opened(manual=True)
    orders = b.order("automatic", number=8)
    b.no(orders, "Acknowledge")
    assert b.one(orders, "Lift").until_ns == b.state.deadline_ns - D
    b.one(b.tick(b.state.deadline_ns - D - b.now), "Cut")
    assert b.one(b.synced(orders), "Acknowledge").number == 8


@promise
def p27_automatic_closes_what_is_past_its_deadline(g: Any) -> None:
    b = Bench(g, manual=True).opened(manual=True)
    b.now += T
    orders = b.order("automatic")
    b.one(orders, "Cut")
    b.no(orders, "Lift")


@promise
def p27_manual_is_believed_once_it_is_on_disk(g: Any) -> None:
    b = Bench(g).opened()
    orders = b.answer(b.ask(), manual=True)
    assert not b.state.manual
    b.synced(orders)
    assert b.state.manual
    b.no(b.tick(10 * T), "Cut")


# --- P31: break glass ------------------------------------------------------------------------------------


@promise
def p31_a_certificate_opens_once_its_epoch_is_on_disk(g: Any) -> None:
    b = Bench(g).closed()
    orders = b.say(g.Certified("crm", 8, "cert"))
    b.no(orders, "Lift")
    assert b.one(b.synced(orders), "Lift").until_ns is None
    b.no(b.tick(100 * T), "Cut")
    assert b.state.open


@promise
def p31_a_certificate_of_a_lower_epoch_or_another_service_is_refused(g: Any) -> None:
    b = Bench(g).closed()
    b.refused(b.say(g.Certified("crm", 6, "cert")), "older-epoch")
    b.refused(b.say(g.Certified("ebs", 8, "cert")), "other-service")
    assert not b.state.open


@promise
def p31_a_certificate_opens_nothing_before_the_cut_is_verified(g: Any) -> None:
    b = Bench(g)
    b.tick()
    b.no(b.synced(b.say(g.Certified("crm", 8, "cert"))), "Lift")
    assert not b.state.open
    b.one(b.cut_ended(), "Lift")


@promise
def p31_the_stores_word_from_before_the_certificate_does_not_end_it(g: Any) -> None:
    b = Bench(g).closed()
    b.synced(b.say(g.Certified("crm", 8, "cert")))
    b.refused(b.answer(b.ask(), 0), "older-epoch")
    b.no(b.answer(b.ask(), 0, epoch=8), "Cut")
    b.no(b.answer(b.ask(), epoch=8), "Lift")
    assert b.state.open
    b.no(b.tick(10 * T), "Cut")


@promise
def p31_a_tie_does_not_push_aside_a_certificate_that_waits_for_the_disk(g: Any) -> None:
    b = Bench(g).closed()
    orders = b.say(g.Certified("crm", 8, "cert"))
    b.no(b.answer(b.ask(), 0, epoch=8), "Cut")
    b.one(b.synced(orders), "Lift")


@promise
def p31_a_higher_epoch_ends_the_certificate_and_deadlines_count_again(g: Any) -> None:
    b = Bench(g).closed()
    b.synced(b.say(g.Certified("crm", 8, "cert")))
    b.synced(b.answer(b.ask(), epoch=9))
    assert b.state.certified is None
    b.one(b.tick(T), "Cut")


@promise
def p31_a_higher_epoch_that_is_not_ours_closes(g: Any) -> None:
    for manual in (False, True):
        b = Bench(g, manual=manual).closed()
        b.synced(b.say(g.Certified("crm", 8, "cert")))
        b.one(b.answer(b.ask(), 0, epoch=9, manual=manual), "Cut")


@promise
def p31_an_order_to_fence_ends_the_certificate(g: Any) -> None:
    b = Bench(g).closed()
    b.synced(b.say(g.Certified("crm", 8, "cert")))
    b.one(b.order("fence"), "Cut")
    b.no(b.cut_ended(), "Lift")
    b.no(b.tick(EVERY), "Lift")


@promise
def p31_a_question_from_before_the_certificate_counts_no_more(g: Any) -> None:
    b = Bench(g).closed()
    nonce = b.ask()
    b.say(g.Certified("crm", 8, "cert"))
    b.refused(b.answer(nonce, epoch=9), "unknown-question")


@promise
def p31_p27_automatic_is_not_acknowledged_while_a_certificate_keeps_it_open(g: Any) -> None:
    b = Bench(g).closed()
    b.synced(b.say(g.Certified("crm", 8, "cert")))
    b.no(b.order("automatic", number=4), "Acknowledge")
    assert b.one(b.synced(b.answer(b.ask(), epoch=9)), "Acknowledge").number == 4
