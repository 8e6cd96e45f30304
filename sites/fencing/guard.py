#!/usr/bin/env python3
"""The guard: a dead man's switch for one service on one database host.

It asks its site's controller again and again how long the service may stay open here, and closes it by itself
when the answers stop. It needs this file and Python 3.6 or newer, nothing else.

    python3 guard.py --config FILE

Part one decides: no clock, no files, no randomness. Part two is the world. Rules P18 to P22, P27 and P31
of the ownership protocol are named where they are kept. Instants and durations are nanoseconds of
CLOCK_BOOTTIME, which goes on counting while a host is suspended.
"""

from typing import Any, Callable, Dict, List, NamedTuple, Optional

# ----------------------------------------------------------------------------------------------------------
# Part one: what is decided. step() alone changes a GuardState; its orders are carried out as they come.
# ----------------------------------------------------------------------------------------------------------


class Memory(NamedTuple):
    """What outlives the guard: the highest incarnation and epoch it was told (P21), and the mode (P27)."""

    incarnation: int = 0
    epoch: int = 0
    manual: bool = False


class Ticked(NamedTuple):
    """Time passed. The nonce is a fresh random number, used if a question is due."""

    nonce: int


class Answered(NamedTuple):
    """The controller's answer: the service may be open for remaining_ns, counted from when we asked."""

    nonce: int
    service: str
    incarnation: int
    epoch: int
    remaining_ns: int
    manual: bool


class Ordered(NamedTuple):
    """The controller orders: fence, learn (an incarnation), automatic (enforce deadlines from now), ask."""

    number: int
    kind: str
    service: str
    incarnation: int


class CutEnded(NamedTuple):
    """The outcome of the one Cut that was under way."""

    verified: bool
    evidence: str


class Remembered(NamedTuple):
    """The outcome of the one Remember that was under way; ok: it is on the disk, synced."""

    memory: Memory
    ok: bool


class Certified(NamedTuple):
    """An operator's break-glass certificate, signature, host and site checked already (P31)."""

    service: str
    epoch: int
    certificate: str


class ConnectionLost(NamedTuple):
    """What was sent to the controller and not yet answered is lost."""


class Ask(NamedTuple):
    """Send the question. Its time was taken already (P18)."""

    nonce: int
    open: bool
    incarnation: int
    epoch: int


class Cut(NamedTuple):
    """Close the gate, stop the database, verify; then say CutEnded, once, whatever came of it."""

    why: str


class Lift(NamedTuple):
    """Open, until this instant: D before the deadline. None: manual or certified, no deadline."""

    until_ns: Optional[int]


class Remember(NamedTuple):
    """Bring this to the disk, synced; then say Remembered, once."""

    memory: Memory


class Acknowledge(NamedTuple):
    """Tell the controller that this order was carried out."""

    number: int
    fenced: bool
    incarnation: int
    evidence: str


class Refuse(NamedTuple):
    """Tell the controller what was not accepted, to be counted there."""

    code: str
    evidence: str


OTHER_SERVICE = "other-service"
OLDER_EPOCH = "older-epoch"
OLDER_INCARNATION = "older-incarnation"
UNKNOWN_QUESTION = "unknown-question"

# An order comes again if it is not acknowledged, so the oldest of too many may be forgotten.
MOST_ORDERS = 32

Orders = List[Any]


class GuardState:
    """All the guard knows. Changed by step() only."""

    __slots__ = (
        "asked_ns",
        "certified",
        "cutting",
        "deadline_ns",
        "evidence",
        "fence_within_ns",
        "fences",
        "guard_every_ns",
        "highest",
        "lessons",
        "manual",
        "memory",
        "open",
        "question",
        "refused",
        "service",
        "verified",
        "waiting",
        "writing",
    )

    def __init__(
        self, service: str, fence_within_ns: int, guard_every_ns: int, memory: Memory, now_ns: int
    ) -> None:
        self.service = service
        self.fence_within_ns = fence_within_ns  # D: the time a cut may take
        self.guard_every_ns = guard_every_ns
        self.memory = memory  # on the disk
        self.highest = memory  # ever told; what is lower is refused, on the disk or not
        self.writing = False  # a Remember is under way
        self.manual = memory.manual
        self.open = False
        self.deadline_ns: Optional[int] = None  # t0 + remaining of the last answer that counts
        self.certified: Optional[int] = None  # the epoch of the certificate that keeps it open
        self.question: Optional[int] = None  # the nonce of the one outstanding question
        self.asked_ns = now_ns - 2 * guard_every_ns  # t0 of the last question
        self.waiting: Optional[Any] = None  # an answer or a certificate, counted once it is on the disk
        self.cutting = False  # a Cut is under way
        self.verified = False  # the last Cut was verified, and nothing was lifted since
        self.evidence = "not looked yet"
        self.fences: List[int] = []  # orders to acknowledge after a verified cut
        self.lessons: List[Ordered] = []  # orders to acknowledge once the disk has them
        self.refused: Dict[str, int] = {}


class _Waiting(NamedTuple):
    """Something to be counted once its memory is on the disk; asked_ns is None for a certificate."""

    memory: Memory
    asked_ns: Optional[int]
    remaining_ns: int
    manual: bool


def new_guard(
    service: str,
    fence_within_ns: int,
    guard_every_ns: int,
    memory: Memory,
    now_ns: int,
    lifted: Optional[Lift] = None,
    certified: Optional[int] = None,
) -> GuardState:
    """A guard that starts: closed until an answer allows it (P19).

    lifted, certified: the last Lift carried out by an earlier guard process in this same boot of the host,
    and the epoch of the certificate it rested on. Its clock runs on, so that deadline holds as it did.
    """
    state = GuardState(service, fence_within_ns, guard_every_ns, memory, now_ns)
    if lifted is None:
        return state
    if lifted.until_ns is None:
        if certified is not None and certified >= memory.epoch:
            state.certified = certified
            state.open = True
        elif memory.manual:
            state.open = True
    elif not memory.manual and now_ns < lifted.until_ns:
        state.deadline_ns = lifted.until_ns + fence_within_ns
        state.open = True
    return state


def wake_ns(state: GuardState) -> int:
    """The instant at which the next Ticked has something to do."""
    every = state.guard_every_ns
    wake = state.asked_ns + (every if state.question is None else 2 * every)
    if state.open:
        if _enforced(state) and state.deadline_ns is not None:
            wake = min(wake, state.deadline_ns - state.fence_within_ns)
    elif not state.verified and not state.cutting:
        wake = min(wake, state.asked_ns)
    return wake


def step(state: GuardState, message: Any, now_ns: int) -> Orders:
    """One message in; the orders it causes out. now_ns may repeat but not go back."""
    orders: Orders = []
    _HANDLERS[type(message)](state, message, now_ns, orders)
    _enforce(state, now_ns, orders)
    return orders


def _enforce(state: GuardState, now_ns: int, orders: Orders) -> None:
    """P19: looked at in every step, whatever the message was."""
    if state.open and _enforced(state) and not _in_time(state, now_ns):
        _close(state, "the deadline is near and no answer has moved it", orders)


def _enforced(state: GuardState) -> bool:
    """P27: a manual service's deadline is known, and not enforced. P31: nor is a certified one's."""
    return not state.manual and state.certified is None


def _in_time(state: GuardState, now_ns: int) -> bool:
    """P19: a fence takes up to D, so all ends D before the deadline."""
    return state.deadline_ns is not None and now_ns < state.deadline_ns - state.fence_within_ns


def _ticked(state: GuardState, message: Ticked, now_ns: int, orders: Orders) -> None:
    _enforce(state, now_ns, orders)
    if not state.open and not state.verified:
        _cut(state, "closed until an answer allows it", orders)
    due = state.guard_every_ns if state.question is None else 2 * state.guard_every_ns
    if now_ns - state.asked_ns < due:
        return
    if state.memory != state.highest:
        _remember(state, state.highest, orders)  # the disk refused it before
    # P18: t0 is taken before the question leaves. A new question replaces one that was never answered.
    state.asked_ns = now_ns
    state.question = message.nonce
    orders.append(Ask(message.nonce, state.open, state.memory.incarnation, state.memory.epoch))


def _answered(state: GuardState, message: Answered, now_ns: int, orders: Orders) -> None:
    # P18, P20: one question is outstanding, and only the answer to that one counts.
    if state.question is None or message.nonce != state.question:
        _refuse(state, UNKNOWN_QUESTION, "an answer to a question that is not outstanding", orders)
        return
    if message.service != state.service:
        _refuse(state, OTHER_SERVICE, "an answer for service " + repr(message.service), orders)
        return
    state.question = None
    if not _high_enough(state, message.incarnation, message.epoch, orders):
        return
    certified = state.certified
    if state.waiting is not None and state.waiting.asked_ns is None:
        certified = state.waiting.memory.epoch
    if certified is not None and message.epoch <= certified:
        return  # P31: reconciliation follows the certificate; only a higher epoch ends it
    memory = Memory(message.incarnation, message.epoch, state.highest.manual)
    if message.remaining_ns <= 0:
        _not_entitled(state, memory, orders)
        return
    memory = memory._replace(manual=message.manual)
    state.waiting = _Waiting(memory, state.asked_ns, message.remaining_ns, message.manual)
    _remember(state, memory, orders)
    _count(state, now_ns, orders)


def _not_entitled(state: GuardState, memory: Memory, orders: Orders) -> None:
    # P27: a manual service's guard closes on an order only; who is not entitled does not change the mode.
    state.waiting = None
    state.deadline_ns = None
    if state.certified is not None:
        state.certified = None
        _close(state, "a higher epoch ended the certificate, and it is not ours", orders)
    elif state.open and not state.manual:
        _close(state, "the controller is not entitled to it", orders)
    _remember(state, memory, orders)


def _count(state: GuardState, now_ns: int, orders: Orders) -> None:
    """P21: what waits counts once the disk has what it brought."""
    waiting = state.waiting
    if waiting is None or not _holds(state.memory, waiting.memory):
        return
    state.waiting = None
    if waiting.memory.incarnation < state.highest.incarnation or waiting.memory.epoch < state.highest.epoch:
        return
    if waiting.asked_ns is None:
        state.certified = waiting.memory.epoch
        state.deadline_ns = None
    else:
        state.certified = None
        state.manual = waiting.manual
        # P18: from t0, not from the answer's arrival.
        state.deadline_ns = waiting.asked_ns + waiting.remaining_ns
    _acknowledge_lessons(state, orders)
    _lift(state, now_ns, orders)


def _lift(state: GuardState, now_ns: int, orders: Orders) -> None:
    """P19: only here is anything opened, and against our own deadline at this instant."""
    if not state.open:
        # What was being cut is cut for certain before it is opened again.
        if state.cutting or not state.verified:
            return
        if state.certified is None and not _in_time(state, now_ns):
            return
    elif _enforced(state) and not _in_time(state, now_ns):
        return
    state.open = True
    state.verified = False
    if state.deadline_ns is None or not _enforced(state):
        orders.append(Lift(None))
    else:
        orders.append(Lift(state.deadline_ns - state.fence_within_ns))


def _ordered(state: GuardState, message: Ordered, now_ns: int, orders: Orders) -> None:
    if message.service != state.service:
        _refuse(state, OTHER_SERVICE, "an order for service " + repr(message.service), orders)
        return
    if not _high_enough(state, message.incarnation, None, orders):
        return
    memory = state.highest._replace(incarnation=message.incarnation)
    kind = message.kind
    if kind == "fence":
        # P20: no answer to a question asked before this order lifts it, also not one that waits for the disk.
        state.question = None
        state.waiting = None
        state.deadline_ns = None
        state.certified = None
        if message.number not in state.fences:
            state.fences = [*state.fences[1 - MOST_ORDERS :], message.number]
        _close(state, "ordered to fence", orders)
    elif kind == "automatic":
        # P27: enforced from this instant; P20: an older answer that says manual counts no more.
        state.question = None
        state.waiting = None
        state.manual = False
        memory = memory._replace(manual=False)
        if state.open and _enforced(state) and _in_time(state, now_ns):
            _lift(state, now_ns, orders)
    elif kind == "ask":
        state.question = None
        state.asked_ns = now_ns - 2 * state.guard_every_ns
    _remember(state, memory, orders)
    if kind in ("learn", "automatic"):
        state.lessons = [*state.lessons[1 - MOST_ORDERS :], message]
        _acknowledge_lessons(state, orders)


def _cut_ended(state: GuardState, message: CutEnded, now_ns: int, orders: Orders) -> None:
    if not state.cutting:
        return
    state.cutting = False
    state.verified = message.verified
    state.evidence = message.evidence
    if not message.verified:
        return  # the next Ticked orders it again
    for number in state.fences:
        orders.append(Acknowledge(number, True, state.memory.incarnation, message.evidence))
    state.fences = []
    if state.certified is not None or state.deadline_ns is not None:
        _lift(state, now_ns, orders)


def _remembered(state: GuardState, message: Remembered, now_ns: int, orders: Orders) -> None:
    if not state.writing:
        return
    state.writing = False
    if not message.ok:
        return  # asked for again with the next question
    state.memory = message.memory
    if state.memory != state.highest:
        _remember(state, state.highest, orders)
    _acknowledge_lessons(state, orders)
    _count(state, now_ns, orders)


def _certified(state: GuardState, message: Certified, now_ns: int, orders: Orders) -> None:
    if message.service != state.service:
        _refuse(state, OTHER_SERVICE, "a certificate for service " + repr(message.service), orders)
        return
    if not _high_enough(state, state.highest.incarnation, message.epoch, orders):
        return
    # P31: from here on the certificate decides, not what was asked before it.
    state.question = None
    memory = state.highest._replace(epoch=message.epoch)
    state.waiting = _Waiting(memory, None, 0, state.manual)
    _remember(state, memory, orders)
    _count(state, now_ns, orders)


def _connection_lost(state: GuardState, message: ConnectionLost, now_ns: int, orders: Orders) -> None:
    state.question = None
    # Another controller may use the same numbers for other orders.
    state.fences = []
    state.lessons = []


def _high_enough(state: GuardState, incarnation: int, epoch: Optional[int], orders: Orders) -> bool:
    """P21: an incarnation or epoch lower than the highest ever told is refused."""
    if incarnation < state.highest.incarnation:
        _refuse(
            state,
            OLDER_INCARNATION,
            "incarnation {} after {}".format(incarnation, state.highest.incarnation),
            orders,
        )
        return False
    if epoch is not None and epoch < state.highest.epoch:
        _refuse(state, OLDER_EPOCH, "epoch {} after {}".format(epoch, state.highest.epoch), orders)
        return False
    return True


def _holds(memory: Memory, needed: Memory) -> bool:
    return (
        memory.incarnation >= needed.incarnation
        and memory.epoch >= needed.epoch
        and memory.manual == needed.manual
    )


def _remember(state: GuardState, memory: Memory, orders: Orders) -> None:
    state.highest = memory
    if memory != state.memory and not state.writing:
        state.writing = True
        orders.append(Remember(memory))


def _acknowledge_lessons(state: GuardState, orders: Orders) -> None:
    """P21, P27: acknowledged once the disk has it, or it would be forgotten by a reboot."""
    if not state.lessons:
        return
    kept = []
    for lesson in state.lessons:
        known = state.memory.incarnation >= lesson.incarnation
        # "I now fence" would be untrue while a certificate keeps it open.
        fences = not state.memory.manual and state.certified is None
        if known and (lesson.kind == "learn" or fences):
            fenced = not state.open and state.verified
            evidence = state.evidence if fenced else "kept on disk"
            orders.append(Acknowledge(lesson.number, fenced, state.memory.incarnation, evidence))
        else:
            kept.append(lesson)
    state.lessons = kept


def _close(state: GuardState, why: str, orders: Orders) -> None:
    state.open = False
    state.verified = False
    _cut(state, why, orders)


def _cut(state: GuardState, why: str, orders: Orders) -> None:
    # One at a time: the end of an older one can then not be taken for the end of this one.
    if not state.cutting:
        state.cutting = True
        orders.append(Cut(why))


def _refuse(state: GuardState, code: str, evidence: str, orders: Orders) -> None:
    state.refused[code] = state.refused.get(code, 0) + 1
    orders.append(Refuse(code, evidence))


_HANDLERS: Dict[type, Callable[[GuardState, Any, int, Orders], None]] = {
    Ticked: _ticked,
    Answered: _answered,
    Ordered: _ordered,
    CutEnded: _cut_ended,
    Remembered: _remembered,
    Certified: _certified,
    ConnectionLost: _connection_lost,
}
