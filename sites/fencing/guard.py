#!/usr/bin/env python3
"""The guard: a dead man's switch for one service on one database host.

It asks its site's controller again and again how long the service may stay open here, and closes it by itself
when the answers stop. It needs this file and Python 3.6 or newer, nothing else.

    python3 guard.py --config FILE

Part one decides: no clock, no files, no randomness. Part two is the world. Rules P18 to P22, P27 and P31
of the ownership protocol are named where they are kept. Instants and durations are nanoseconds of
CLOCK_BOOTTIME, which goes on counting while a host is suspended.
"""

import argparse
import base64
import collections
import ctypes
import errno
import fcntl
import hashlib
import ipaddress
import json
import mmap
import os
import re
import resource
import select
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time
from typing import Any, Callable, Deque, Dict, Iterator, List, NamedTuple, Optional, Sequence, Set, Tuple

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


# ----------------------------------------------------------------------------------------------------------
# Part two: the world. The main thread decides, stops the database and waits for nobody; every other kind of
# work (disk, network, packet filter, commands, certificates, the log) has a thread of its own.
# ----------------------------------------------------------------------------------------------------------

_BOOTTIME = getattr(time, "CLOCK_BOOTTIME", 7)
# Timed waits of Python's locks follow the wall clock before 3.11: here everybody polls or sleeps instead.
LONGEST_NAP_SECONDS = 0.05
LOOK_SECONDS = 0.02
WATCH_SECONDS = 0.04
LONGEST_LINE_BYTES = 64 * 1024
MOST_WAITING = 1000
FOREVER_NS = 1 << 62
RUN_DOWN, RUN_WRONG, RUN_MEMORY = 0, 2, 3

SettingsText = Dict[str, Any]
Outcome = Tuple[bool, str]


def boottime_ns() -> int:
    """Nanoseconds since boot, suspended time included."""
    if hasattr(time, "clock_gettime_ns"):
        return int(time.clock_gettime_ns(_BOOTTIME))
    return int(time.clock_gettime(_BOOTTIME) * 1e9)


def boot_id() -> str:
    """What tells this boot of the host from every other."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()


def _plain() -> None:
    """In a child that is no part of the guard: back to an ordinary process."""
    try:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        os.setpriority(os.PRIO_PROCESS, 0, 0)
        place = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
        os.write(place, b"0")
        os.close(place)
    except OSError:
        pass


class Log(threading.Thread):
    """Lines for standard error. A reader that stands still stops nobody; the oldest lines are lost then."""

    def __init__(self) -> None:
        super().__init__(name="log", daemon=True)
        self._lines: Deque[str] = collections.deque(maxlen=MOST_WAITING)
        self._bell = threading.Condition()
        self._writing = False

    def say(self, text: str) -> None:
        """One line, soon."""
        with self._bell:
            self._lines.append(text)
            self._bell.notify()

    def run(self) -> None:
        while True:
            with self._bell:
                self._writing = False
                while not self._lines:
                    self._bell.wait()
                line = self._lines.popleft()
                self._writing = True
            try:
                os.write(2, ("guard: " + line + "\n").encode("utf-8", "replace"))
            except OSError:
                pass

    def flush(self, within_seconds: float = 1.0) -> None:
        """Wait until everything is written, but not for long."""
        end = boottime_ns() + int(within_seconds * 1e9)
        while (self._lines or self._writing) and boottime_ns() < end:
            time.sleep(0.005)


LOG = Log()


class Hand(threading.Thread):
    """Does one kind of work apart from the main thread. Only the newest wish counts."""

    def __init__(self, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self._bell = threading.Condition()
        self._wish: Any = None
        self._asked = 0
        self._done = 0
        self._outcome: Outcome = (True, "")

    def want(self, wish: Any) -> int:
        """Have this done instead of whatever is not begun yet; returns the number to ask about it with."""
        with self._bell:
            self._wish = wish
            self._asked += 1
            self._bell.notify()
            return self._asked

    def outcome(self, number: int, end_ns: int) -> Outcome:
        """How that wish, or a newer one, ended; not waited for beyond end_ns."""
        while self._done < number:
            if boottime_ns() >= end_ns:
                return False, self.name + ": not done in time"
            time.sleep(0.002)
        return self._outcome

    def do(self, wish: Any) -> str:
        """The work itself; returns what it saw, raises what went wrong."""
        raise NotImplementedError

    def told(self, wish: Any, outcome: Outcome) -> None:
        """Called in this thread when the work has ended."""
        if not outcome[0]:
            LOG.say(outcome[1])

    def run(self) -> None:
        while True:
            with self._bell:
                while self._done == self._asked:
                    self._bell.wait()
                number, wish = self._asked, self._wish
            try:
                outcome = (True, self.do(wish))
            except Exception as error:  # noqa: BLE001 - whatever it was, it is told
                outcome = (False, "{}: {}: {}".format(self.name, type(error).__name__, error))
            self._outcome = outcome
            self._done = number
            self.told(wish, outcome)


def _write_synced(path: str, text: str, mode: int = 0o600) -> None:
    """Replace a file so that after a power cut it holds the old text or the new one, whole."""
    fresh = path + ".new"
    place = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        os.write(place, text.encode("utf-8"))
        os.fsync(place)
    finally:
        os.close(place)
    os.replace(fresh, path)
    folder = os.open(os.path.dirname(path) or ".", os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


# --- P21: the memory file ---------------------------------------------------------------------------------


class MemoryCorrupt(Exception):
    """The memory file cannot be believed. Nothing is guessed from it, least of all zero."""


def memory_text(service: str, memory: Memory) -> str:
    """The file: a line of JSON, and a line that proves it whole."""
    said = {
        "service": service,
        "incarnation": memory.incarnation,
        "epoch": memory.epoch,
        "manual": memory.manual,
    }
    line = json.dumps(said, sort_keys=True)
    return "{}\n{}\n".format(line, hashlib.sha256(line.encode("utf-8")).hexdigest())


def read_memory(path: str, service: str) -> Memory:
    """What is remembered; nothing at all where there is no file. Raises MemoryCorrupt."""
    try:
        with open(path, "rb") as file:
            content = file.read(4096)
    except FileNotFoundError:
        return Memory()
    except OSError as error:
        raise MemoryCorrupt("{} cannot be read: {}".format(path, error)) from error
    try:
        line, proof = content.decode("utf-8").splitlines()
        if hashlib.sha256(line.encode("utf-8")).hexdigest() != proof:
            raise ValueError("its second line does not prove its first")
        said = json.loads(line)
        if said["service"] != service:
            raise ValueError("it is of service {!r}".format(said["service"]))
        memory = Memory(said["incarnation"], said["epoch"], said["manual"])
        if type(memory.incarnation) is not int or type(memory.epoch) is not int or min(memory[:2]) < 0:
            raise ValueError("incarnation and epoch are no numbers")
        if type(memory.manual) is not bool:
            raise ValueError("manual is neither true nor false")
    except (ValueError, KeyError, TypeError) as error:
        raise MemoryCorrupt("{} is corrupt: {}".format(path, error)) from error
    return memory


class MemoryFile(Hand):
    """Brings a Memory to the disk, and says so."""

    def __init__(self, path: str, service: str, tell: Callable[[Any], None]) -> None:
        super().__init__("memory")
        self._path = path
        self._service = service
        self._tell = tell

    def do(self, wish: Memory) -> str:
        _write_synced(self._path, memory_text(self._service, wish))
        return "kept"

    def told(self, wish: Memory, outcome: Outcome) -> None:
        super().told(wish, outcome)
        self._tell(Remembered(wish, outcome[0]))


# --- the permit: what scripts that open the service look at ------------------------------------------------


def permit_text(lift: Lift, certified: Optional[int]) -> str:
    """`CENTISECONDS BOOT` or `manual BOOT`, with a third word, the epoch, for what a certificate opened.

    The centiseconds are those of /proc/uptime, which begin anew with every boot: hence its name beside them.
    """
    until = "manual" if lift.until_ns is None else str(lift.until_ns // 10000000)
    return " ".join([until, boot_id()] + ([] if certified is None else [str(certified)])) + "\n"


def read_permit(path: str) -> Tuple[Optional[Lift], Optional[int]]:
    """The last Lift in this boot, and the certified epoch it rested on; (None, None) when there is none."""
    try:
        with open(path, encoding="ascii") as file:
            words = file.read(200).split()
        if len(words) not in (2, 3) or words[1] != boot_id():
            return None, None
        until_ns = None if words[0] == "manual" else int(words[0]) * 10000000
        return Lift(until_ns), int(words[2]) if len(words) == 3 else None
    except (OSError, ValueError):
        return None, None


class Permit(Hand):
    """P19: the permit beside each data directory, there only while the service may be opened."""

    def __init__(self, state: str, data: Sequence[str]) -> None:
        super().__init__("permit")
        self.kept = os.path.join(state, "permit")  # for ourselves, should we be started again
        self._beside = {one.rstrip("/") + ".twinsite": one for one in data}

    def do(self, wish: Optional[str]) -> str:
        if wish is None:
            return self._remove()
        self._put(self.kept, wish)
        for beside, data in self._beside.items():
            self._make_beside(beside, data)
            self._put(os.path.join(beside, "permit"), wish, data)
        return "permit written"

    def _remove(self) -> str:
        # All of them first: what is left open must not wait for a mark to be written beside another one.
        for place in [self.kept] + [os.path.join(beside, "permit") for beside in self._beside]:
            try:
                os.unlink(place)
            except FileNotFoundError:
                pass
        for beside, data in self._beside.items():
            if not os.path.isdir(os.path.dirname(beside)):
                continue
            # A start that is under way finds this and stops what it started. A full disk does not matter.
            try:
                self._make_beside(beside, data)
                mark = hashlib.sha256(os.urandom(16)).hexdigest()
                self._put(os.path.join(beside, "fenced"), mark, data)
            except OSError as error:
                LOG.say("permit: the mark of the fence was not written: {}".format(error))
        return "permit removed"

    def _make_beside(self, beside: str, data: str) -> None:
        if not os.path.isdir(beside):
            os.mkdir(beside, 0o700)
            self._give(beside, data)

    def _put(self, path: str, text: str, data: Optional[str] = None) -> None:
        fresh = path + ".new"
        place = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        try:
            os.write(place, text.encode("ascii"))
        finally:
            os.close(place)
        if data is not None:
            self._give(fresh, data)
        os.replace(fresh, path)

    def _give(self, path: str, data: str) -> None:
        """To the owner of the data, when we are root: scripts run as that one."""
        if os.geteuid() == 0:
            owner = data if os.path.isdir(data) else os.path.dirname(data.rstrip("/"))
            found = os.stat(owner)
            os.chown(path, found.st_uid, found.st_gid)


# --- kind `stop`: every process of the database ------------------------------------------------------------

_STARTUP = re.compile(r"^startup( (recovering|waiting for) [0-9A-F]{24})?$")
_WRITER = re.compile(r"^walwriter$")
# Processes a PostgreSQL server has before, or without, being open for writes.
_HARMLESS = re.compile(
    r"^(logger|checkpointer|background writer|walreceiver\b.*|io worker\b.*|stats collector|archiver\b.*"
    r"|slotsync worker\b.*)$"
)
UNNAMED_LOOKS = 5  # in a row, after which a child without a name of its own is doubt like any other
ARCHIVE_RECOVERY = 5  # pg_control's state of a standby; a primary that recovers from a crash says 4


def title_of(pid: int) -> str:
    """What a process calls itself, or the empty text."""
    try:
        with open("/proc/{}/cmdline".format(pid), "rb") as file:
            return file.read(512).replace(b"\0", b" ").decode("utf-8", "replace").strip()
    except OSError:
        return ""


def judge_postgres(titles: List[str]) -> str:
    """none, starting, recovering (a standby, or a primary after a crash), unnamed or writable.

    Doubt is writable; or unnamed, while beside the parent there is a child that was born this moment and is
    still called as the parent is: it may be the one that recovers.
    """
    parts = []
    unnamed = 0
    for title in titles:
        if " --single" in title:
            continue  # a server of one, which listens to nobody: a crashed one recovering before a rewind
        unnamed += bool(title) and not title.startswith("postgres: ")
        if title.startswith("postgres: "):
            said = title[len("postgres: ") :]
            # With cluster_name set, that stands first.
            parts.append((said, said.partition(": ")[2]))
    if any(_WRITER.match(one) for said in parts for one in said):
        return "writable"
    if any(_STARTUP.match(one) for said in parts for one in said):
        return "recovering"
    if any(not any(_HARMLESS.match(one) for one in said) for said in parts):
        # Backends without a parent, or a server that needs no recovery.
        return "unnamed" if unnamed > 1 else "writable"
    return "starting" if titles else "none"


class Stop:
    """Ends every process of the instance: those whose working directory is the data directory.

    By effect and not by parentage: a backend outlives a parent that was killed, and goes on committing.
    """

    name = "stop"

    def __init__(self, data: str, names: Sequence[str], postgres: bool) -> None:
        self._data = data.rstrip("/")
        self._names = frozenset(one[:15].encode("utf-8") for one in names)
        self._postgres = postgres
        self._lock = threading.Lock()
        self._closed = True
        self._was_open = False
        self._unnamed = 0

    def start(self) -> None:
        threading.Thread(target=self._watch, name="watch", daemon=True).start()

    def protects(self) -> List[str]:
        return ["controller-stall"]

    def lacks(self) -> List[str]:
        owner = self._owner()
        if owner is not None and os.geteuid() not in (0, owner):
            return ["stop: the data belong to another user, whose processes cannot be seen or ended"]
        return []

    def lift(self, until_ns: Optional[int]) -> None:
        with self._lock:
            self._closed = False
            self._was_open = True

    def begin_cut(self) -> None:
        with self._lock:
            self._closed = True

    def cutting(self, end_ns: int) -> Iterator[Optional[Outcome]]:
        """Immediate stop; what is there 20 ms later is killed; done when two looks in a row found nobody.

        None as often as LOOK_SECONDS are to pass, and then how it ended.
        """
        found = self.pids()
        if not self._was_open and self._is_standby(found):
            yield True, "stop: {} processes of a standby, which takes no writes".format(len(found))
            return
        for pid in self._parents(found):
            self._end(pid, signal.SIGQUIT)
        left, quiet, killing = found, 0, False
        while True:
            yield None
            left = self.pids()
            quiet = 0 if left else quiet + 1
            if quiet >= 2:
                break
            if left and boottime_ns() >= end_ns:
                yield False, "stop: still there: {}".format(" ".join(str(pid) for pid in left))
                return
            for pid in left:
                killing = self._end(pid, signal.SIGKILL) or killing
        owner = self._owner()
        if owner is None:
            yield False, "stop: {} is not there, so its processes are not known".format(self._data)
        elif os.geteuid() not in (0, owner):
            yield False, "stop: the processes of {} cannot be seen by this user".format(self._data)
        else:
            self._was_open = False
            self._close_next_start(owner)
            yield True, "stop: {} processes found, none left".format(len(found))

    def end_cut(self, end_ns: int) -> Outcome:
        """The same to its end."""
        return cut_together([("", self)], end_ns)

    def pids(self) -> List[int]:
        """Every process of the instance."""
        found = []
        real = os.path.realpath(self._data)
        wanted = (real, real + " (deleted)")
        for entry in os.listdir("/proc"):
            if not entry.isdigit():
                continue
            try:
                if os.readlink("/proc/" + entry + "/cwd") not in wanted:
                    continue
                with open("/proc/" + entry + "/comm", "rb") as file:
                    if file.read(32).strip() in self._names:
                        found.append(int(entry))
            except OSError:
                continue  # gone, or somebody else's
        return found

    def _parents(self, found: List[int]) -> List[int]:
        parents = []
        for pid in found:
            try:
                with open("/proc/{}/stat".format(pid), "rb") as file:
                    above = int(file.read(512).rpartition(b")")[2].split()[1])
            except (OSError, ValueError, IndexError):
                continue
            if above not in found:
                parents.append(pid)
        return parents

    def _end(self, pid: int, number: int) -> bool:
        try:
            os.kill(pid, number)
        except OSError as error:
            if error.errno != errno.ESRCH:
                LOG.say("stop: process {}: {}".format(pid, error))
            return False
        return True

    def _owner(self) -> Optional[int]:
        try:
            return os.stat(self._data).st_uid
        except OSError:
            return None

    def _is_standby(self, found: List[int]) -> bool:
        if not self._postgres or judge_postgres([title_of(pid) for pid in found]) != "recovering":
            return False
        try:
            with open(self._data + "/global/pg_control", "rb") as file:
                return bool(struct.unpack("=16xi", file.read(20))[0] == ARCHIVE_RECOVERY)
        except (OSError, struct.error):
            return False

    def _writable(self, found: List[int]) -> bool:
        if not self._postgres:
            return True
        verdict = judge_postgres([title_of(pid) for pid in found])
        self._unnamed = self._unnamed + 1 if verdict == "unnamed" else 0
        return verdict == "writable" or self._unnamed > UNNAMED_LOOKS

    def _close_next_start(self, owner: int) -> None:
        """Whatever starts this server from now on, by itself or by mistake, starts a standby."""
        signal_file = self._data + "/standby.signal"
        if (
            not self._postgres
            or os.path.exists(signal_file)
            or not os.path.exists(self._data + "/PG_VERSION")
        ):
            return
        try:
            place = os.open(signal_file, os.O_WRONLY | os.O_CREAT, 0o600)
            os.close(place)
            if os.geteuid() == 0:
                os.chown(signal_file, owner, os.stat(self._data).st_gid)
        except OSError as error:
            LOG.say("stop: {} was not written: {}".format(signal_file, error))

    def _watch(self) -> None:
        """While the guard is closed: an instance that became writable is ended, whoever started it."""
        while True:
            time.sleep(WATCH_SECONDS)
            if not self._closed:
                continue
            found = self.pids()
            if not found or not self._writable(found):
                continue
            with self._lock:
                if not self._closed:
                    continue
                for pid in found:
                    self._end(pid, signal.SIGKILL)
            owner = self._owner()
            if owner is not None:
                self._close_next_start(owner)
            LOG.say(
                "stop: an instance had become writable while closed; {} processes ended".format(len(found))
            )


def cut_together(stops: Sequence[Tuple[str, Stop]], end_ns: int) -> Outcome:
    """End the processes of several instances side by side: one that does not let go delays no other."""
    under_way = [(name, one.cutting(end_ns)) for name, one in stops]
    ended = {}  # type: Dict[str, Outcome]
    while True:
        for name, work in under_way:
            if name not in ended:
                outcome = next(work)
                if outcome is not None:
                    ended[name] = outcome
        if len(ended) == len(under_way):
            break
        time.sleep(LOOK_SECONDS)
    said = [(name + ": " if name else "") + ended[name][1] for name, _ in under_way]
    return all(worked for worked, _ in ended.values()), "; ".join(said)


class Stops:
    """The same for a service of several parts: it is closed when every one of them is."""

    name = "stop"

    def __init__(self, parts: Sequence[Tuple[str, Stop]]) -> None:
        self._parts = list(parts)

    def start(self) -> None:
        for _, one in self._parts:
            one.start()

    def protects(self) -> List[str]:
        return ["controller-stall"]

    def lacks(self) -> List[str]:
        return ["{} (part {})".format(said, name) for name, one in self._parts for said in one.lacks()]

    def lift(self, until_ns: Optional[int]) -> None:
        for _, one in self._parts:
            one.lift(until_ns)

    def begin_cut(self) -> None:
        for _, one in self._parts:
            one.begin_cut()

    def end_cut(self, end_ns: int) -> Outcome:
        return cut_together(self._parts, end_ns)


# --- kind `proxy`: a gate that looks at the clock for every byte --------------------------------------------


class Proxy(Hand):
    """P22: clients come through a process that looks at the deadline for every chunk, in both directions.

    It shares the deadline by memory, so that neither of the two has to be told anything by the other.
    """

    name_of_kind = "proxy"

    def __init__(self, listen: str, to: str, most_connections: int) -> None:
        super().__init__("proxy")
        self._listen = listen
        self._to = to
        self._most = most_connections
        folder = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - as long as we live
        self._file.truncate(mmap.PAGESIZE)
        self._shared = Shared(self._file.fileno())
        self._child: Optional[Any] = None
        self._leash: Optional[int] = None
        self._number = 0

    def protects(self) -> List[str]:
        return ["controller-stall", "guard-stall", "host-pause"]

    def lacks(self) -> List[str]:
        return []

    def lift(self, until_ns: Optional[int]) -> None:
        self._shared.until_ns = FOREVER_NS if until_ns is None else until_ns

    def begin_cut(self) -> None:
        self._shared.until_ns = 0
        self._shared.asked += 1

    def end_cut(self, end_ns: int) -> Outcome:
        """The process says that it has seen it and holds no connection; one that does not is killed."""
        child = self._child
        patience_ns = min(end_ns, boottime_ns() + (end_ns - boottime_ns()) // 2)
        while child is not None and child.poll() is None:
            if self._shared.seen == self._shared.asked and self._shared.connections == 0:
                return True, "proxy: closed, no connection left"
            if boottime_ns() >= patience_ns:
                child.kill()
                while child.poll() is None and boottime_ns() < end_ns:
                    time.sleep(0.002)
                return child.poll() is not None, "proxy: its process did not answer and was killed"
            time.sleep(0.002)
        return True, "proxy: no process"

    def look(self) -> None:
        """Start the process when there is none."""
        if self._done == self._asked and (self._child is None or self._child.poll() is not None):
            self.want("run")

    def do(self, wish: str) -> str:
        if self._child is not None:
            LOG.say("proxy: its process ended with {}; it is started again".format(self._child.poll()))
            time.sleep(0.2)
        if self._leash is not None:
            os.close(self._leash)
        held, self._leash = os.pipe()
        os.set_inheritable(held, True)
        command = [
            sys.executable,
            os.path.abspath(__file__),
            "--proxy",
            self._listen,
            self._to,
            str(self._most),
        ]
        command += [str(self._file.fileno()), str(held)]
        try:
            self._child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                pass_fds=(self._file.fileno(), held),
                preexec_fn=_plain,
            )
        except OSError:
            time.sleep(1)  # not asked for again at once
            raise
        finally:
            os.close(held)
        return "started"


class Shared:
    """The page that guard and proxy share."""

    def __init__(self, place: int) -> None:
        self._page = memoryview(mmap.mmap(place, mmap.PAGESIZE)).cast("q")

    @property
    def until_ns(self) -> int:
        """Open until then. It stands twice, written one after the other: at any instant one of the two is
        whole. The earlier one is therefore never too late, and while the deadline is being moved on it is the
        one that held until now: a look in that instant must not cut off who may go on."""
        return min(self._page[0], self._page[1])

    @until_ns.setter
    def until_ns(self, value: int) -> None:
        self._page[0] = value
        self._page[1] = value

    @property
    def asked(self) -> int:
        """How often the guard has closed it."""
        return self._page[2]

    @asked.setter
    def asked(self, value: int) -> None:
        self._page[2] = value

    @property
    def seen(self) -> int:
        """Up to which closing the proxy has cut everything."""
        return self._page[3]

    @seen.setter
    def seen(self, value: int) -> None:
        self._page[3] = value

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return self._page[4]

    @connections.setter
    def connections(self, value: int) -> None:
        self._page[4] = value


CHUNK_BYTES = 64 * 1024


class Pipe:
    """One direction of a connection: at most one chunk is held, and read only when it has gone."""

    __slots__ = ("ended", "held", "source", "target")

    def __init__(self, source: socket.socket, target: socket.socket) -> None:
        self.source = source
        self.target = target
        self.held = b""
        self.ended = False


class Relay:
    """The proxy's process: listens while it is open, and cuts everything the moment it is not."""

    def __init__(self, listen: str, to: str, most: int, shared: Shared) -> None:
        self._listen = address_of(listen)
        self._to = address_of(to)
        self._most = most
        self._shared = shared
        self._poll = select.epoll()
        self._door: Optional[socket.socket] = None
        self._by_place: Dict[int, Tuple[Pipe, Pipe]] = {}  # what leaves a socket, and what goes to it
        self._connecting: Set[int] = set()
        self._watched: Dict[int, int] = {}

    def run(self, leash: int) -> None:
        """Until the guard is gone."""
        self._poll.register(leash, select.EPOLLIN | select.EPOLLHUP)
        while True:
            until_ns = self._shared.until_ns
            left_ns = until_ns - boottime_ns()
            if left_ns <= 0:
                self._cut()
            elif self._door is None:
                self._open()
            nap = LOOK_SECONDS if left_ns <= 0 else min(LOOK_SECONDS, left_ns / 1e9)
            for place, events in self._poll.poll(nap, 64):
                if place == leash:
                    self._cut()
                    return
                if self._closed():
                    break
                if self._door is not None and place == self._door.fileno():
                    self._take()
                elif place in self._by_place:
                    self._move(place, events)

    def _closed(self) -> bool:
        return boottime_ns() >= self._shared.until_ns

    def _open(self) -> None:
        door = socket.socket(self._listen[2], socket.SOCK_STREAM)
        try:
            door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            door.setblocking(False)
            door.bind(self._listen[:2])
            door.listen(128)
        except OSError as error:
            os.write(2, "guard: proxy: {}: {}\n".format(self._listen[:2], error).encode("utf-8"))
            door.close()
            time.sleep(0.2)
            return
        self._door = door
        self._poll.register(door.fileno(), select.EPOLLIN)

    def _cut(self) -> None:
        """P22: established connections too, in both directions, and nobody is told that a write was kept."""
        asked = self._shared.asked
        if self._door is not None:
            self._poll.unregister(self._door.fileno())
            self._door.close()
            self._door = None
        while self._by_place:
            self._drop(next(iter(self._by_place)))
        self._shared.connections = 0
        self._shared.seen = asked

    def _take(self) -> None:
        assert self._door is not None
        try:
            client, _ = self._door.accept()
        except OSError:
            return
        server = socket.socket(self._to[2], socket.SOCK_STREAM)
        for one in (client, server):
            one.setblocking(False)
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        failed = server.connect_ex(self._to[:2]) not in (0, errno.EINPROGRESS)
        if failed or len(self._by_place) >= 2 * self._most:
            client.close()
            server.close()
            return
        there, back = Pipe(client, server), Pipe(server, client)
        self._by_place[client.fileno()] = (there, back)
        self._by_place[server.fileno()] = (back, there)
        self._connecting.add(server.fileno())
        self._watch(server, select.EPOLLOUT)
        self._shared.connections = len(self._by_place) // 2

    def _move(self, place: int, events: int) -> None:
        leaves, comes = self._by_place[place]
        if place in self._connecting:
            if leaves.source.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                self._drop(place)
                return
            self._connecting.discard(place)
        try:
            if events & select.EPOLLOUT:
                self._send(comes)
            if events & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR) and not leaves.held:
                if leaves.ended and events & (select.EPOLLHUP | select.EPOLLERR):
                    self._drop(place)
                    return
                if not leaves.ended:
                    leaves.held = leaves.source.recv(CHUNK_BYTES)
                    leaves.ended = not leaves.held
                    self._send(leaves)
        except (BlockingIOError, InterruptedError):
            pass
        except OSError:
            self._drop(place)
            return
        if leaves.ended and comes.ended and not leaves.held and not comes.held:
            self._drop(place)
            return
        for one, other in ((leaves, comes), (comes, leaves)):
            wanted = 0
            if not one.held and not one.ended:
                wanted |= select.EPOLLIN
            if other.held or one.source.fileno() in self._connecting:
                wanted |= select.EPOLLOUT
            self._watch(one.source, wanted)

    def _watch(self, one: socket.socket, wanted: int) -> None:
        """What we wait for there; nothing at all is not even told that the other end has gone."""
        place = one.fileno()
        before = self._watched.get(place, 0)
        if wanted == before:
            return
        if not before:
            self._poll.register(place, wanted)
        elif not wanted:
            self._poll.unregister(place)
        else:
            self._poll.modify(place, wanted)
        self._watched[place] = wanted

    def _send(self, pipe: Pipe) -> None:
        if pipe.target.fileno() in self._connecting:
            return
        # P22: after a pause nobody knows who runs first, so the clock is read for this very chunk.
        if self._closed():
            raise ConnectionAbortedError
        if pipe.held:
            try:
                pipe.held = pipe.held[pipe.target.send(pipe.held) :]
            except (BlockingIOError, InterruptedError):
                return
        if pipe.ended and not pipe.held:
            pipe.target.shutdown(socket.SHUT_WR)

    def _drop(self, place: int) -> None:
        leaves, _ = self._by_place[place]
        for one in (leaves.source, leaves.target):
            self._by_place.pop(one.fileno(), None)
            self._connecting.discard(one.fileno())
            self._watched.pop(one.fileno(), None)
            # A reset: what is not sent yet is thrown away and not delivered later.
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            one.close()  # epoll forgets it with that
        self._shared.connections = len(self._by_place) // 2


def split_address(text: str) -> Tuple[str, int]:
    """`host:port` or `[host]:port` as (host, port); asks nobody what a name means. Raises ValueError."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError("{!r} is not host:port".format(text))
    return host.strip("[]"), int(port)


def address_of(text: str) -> Tuple[str, int, int]:
    """The same as (address, port, family); a name is looked up. Raises ValueError, OSError."""
    host, port = split_address(text)
    try:
        ip = ipaddress.ip_address(host or "0.0.0.0")
    except ValueError:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return str(found[4][0]), port, int(found[0])
    return str(ip), port, int(socket.AF_INET6 if ip.version == 6 else socket.AF_INET)


# --- kind `nftables`: a gate in the kernel -----------------------------------------------------------------


class Nftables(Hand):
    """P22: packets to and from the service's ports pass only while a set element lives, which has a timeout.

    Established connections too, and both directions: an acknowledgement that gets out is a write accepted.
    """

    TICK_NS = 10 * 1000000  # the kernel rounds timeouts up to its own
    TRIES = 3

    def __init__(
        self, service: str, ports: Sequence[int], excepted: Sequence[str], drilled: bool, fence_within_ns: int
    ) -> None:
        super().__init__("nftables")
        self._table = "twinsite_" + service.replace("-", "_")
        self._ports = ", ".join(str(port) for port in ports)
        self._excepted = [ipaddress.ip_network(one, strict=False) for one in excepted]
        self._drilled = drilled
        # A timeout counts from when the kernel takes it. It is to end D before the deadline, so that this
        # much later is in time still.
        self._late_ns = fence_within_ns // 2
        self._number = 0
        self._looked_ns = 0
        self._wanted: Optional[int] = 0

    def protects(self) -> List[str]:
        return ["controller-stall", "guard-stall"] + (["host-pause"] if self._drilled else [])

    def lacks(self) -> List[str]:
        worked, evidence = self.outcome(self._number, boottime_ns() + 5 * 10**9)
        found = [] if worked else ["nftables: the gate does not work here ({})".format(evidence)]
        if not self._drilled:
            found.append("host-pause: the packet filter's timeouts were not proven by a suspend drill")
        return found

    def lift(self, until_ns: Optional[int]) -> None:
        self._wanted = until_ns
        self._number = self.want(until_ns)

    def begin_cut(self) -> None:
        self._wanted = 0
        self._number = self.want(0)

    def end_cut(self, end_ns: int) -> Outcome:
        return self.outcome(self._number, end_ns)

    def look(self) -> None:
        """Somebody may have flushed the rules: put them back once a second."""
        if self._done == self._asked and boottime_ns() - self._looked_ns > 10**9:
            self._looked_ns = boottime_ns()
            self.want(self._wanted)

    def rules(self) -> str:
        """What is closed by default; made anew each time, all in one transaction."""
        lines = [
            "add table inet TABLE",
            "add set inet TABLE open { type inet_service; flags timeout; }",
            "add set inet TABLE always4 { type ipv4_addr; flags interval; }",
            "add set inet TABLE always6 { type ipv6_addr; flags interval; }",
            "add chain inet TABLE arriving { type filter hook input priority -10; policy accept; }",
            "add chain inet TABLE leaving { type filter hook output priority -10; policy accept; }",
            "flush chain inet TABLE arriving",
            "flush chain inet TABLE leaving",
            "flush set inet TABLE always4",
            "flush set inet TABLE always6",
        ]
        for version in (4, 6):
            nets = ", ".join(str(net) for net in self._excepted if net.version == version)
            if nets:
                lines.append("add element inet TABLE always{} {{ {} }}".format(version, nets))
        for chain, side, port in (("arriving", "saddr", "dport"), ("leaving", "daddr", "sport")):
            gated = "add rule inet TABLE {} tcp {} {{ {} }}".format(chain, port, self._ports)
            lines.append("{} ip {} @always4 accept".format(gated, side))
            lines.append("{} ip6 {} @always6 accept".format(gated, side))
            lines.append("{} tcp {} @open accept".format(gated, port))
            # A reset may leave, or a client would wait for its own timeout.
            lines.append(
                gated + (" reject with tcp reset" if chain == "arriving" else " tcp flags & rst == 0 drop")
            )
        return "\n".join(lines).replace("TABLE", self._table) + "\n"

    def do(self, wish: Optional[int]) -> str:
        for _ in range(self.TRIES):
            begun_ns = boottime_ns()
            left_ms = None if wish is None else (wish - begun_ns - self.TICK_NS) // 1000000
            _run(["nft", "-f", "-"], self.rules() + self._elements(left_ms), 5)
            if left_ms is None:
                return "nftables: open"
            if left_ms <= 0:
                if "elements" in _run(["nft", "list", "set", "inet", self._table, "open"], "", 5):
                    raise OSError("the set still has elements")
                return "nftables: closed"
            if boottime_ns() - begun_ns <= self._late_ns:
                return "nftables: open"
            # Slow, or the host stood still: its time counts from too late. Once more, with what is left.
        _run(["nft", "-f", "-"], self.rules() + self._elements(0), 5)
        raise OSError("the packet filter takes longer than half of fence_within; closed")

    def _elements(self, left_ms: Optional[int]) -> str:
        lines = []
        for port in self._ports.split(", "):
            element = "element inet {} open {{ {} }}".format(self._table, port)
            # To add again does not refresh: what may be there goes first, all in one batch.
            lines += ["add " + element, "delete " + element]
            if left_ms is None:
                lines.append("add " + element)
            elif left_ms > 0:
                lines.append(
                    "add element inet {} open {{ {} timeout {}ms }}".format(self._table, port, left_ms)
                )
        return "\n".join(lines) + "\n"


def _run(command: Sequence[str], given: str, seconds: float) -> str:
    """Run a program to its end. Raises OSError with what it said."""
    try:
        done = subprocess.run(
            list(command),
            input=given.encode("utf-8"),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=seconds,
        )
    except subprocess.TimeoutExpired as error:
        raise OSError("{} did not end within {} s".format(command[0], seconds)) from error
    said = done.stdout.decode("utf-8", "replace")
    if done.returncode != 0:
        raise OSError("{} ended with {}: {}".format(command[0], done.returncode, said.strip()[:300]))
    return said


# --- kind `command`: the site's own programs ---------------------------------------------------------------


class Command(Hand):
    """Programs that open, close, and say whether it is closed: exit status 0 is yes."""

    def __init__(
        self, open_: Sequence[str], close: Sequence[str], verify: Sequence[str], service: str
    ) -> None:
        super().__init__("command")
        self._open = list(open_)
        self._close = list(close)
        self._verify = list(verify)
        self._service = service
        self._is_open = False
        self._number = 0

    def protects(self) -> List[str]:
        return ["controller-stall"]

    def lacks(self) -> List[str]:
        missing = [one[0] for one in (self._open, self._close, self._verify) if shutil.which(one[0]) is None]
        return ["command: {} cannot be run".format(", ".join(missing))] if missing else []

    def lift(self, until_ns: Optional[int]) -> None:
        if not self._is_open:
            self._is_open = True
            self._number = self.want("open")

    def begin_cut(self) -> None:
        self._is_open = False
        self._number = self.want("close")

    def end_cut(self, end_ns: int) -> Outcome:
        return self.outcome(self._number, end_ns)

    def do(self, wish: str) -> str:
        if wish == "open":
            self._carry_out(self._open)
            return "command: opened"
        try:
            self._carry_out(self._close)
        except OSError as error:
            LOG.say("command: {}".format(error))  # what counts is whether it is closed
        self._carry_out(self._verify)
        return "command: closed"

    def _carry_out(self, command: List[str]) -> None:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=_plain,
            env=dict(os.environ, TWINSITE_SERVICE=self._service),
        )
        end_ns = boottime_ns() + 30 * 10**9
        while child.poll() is None:
            # A newer wish ends an older command: closing does not wait for opening.
            if boottime_ns() >= end_ns or (self._done + 1 < self._asked and command is self._open):
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
                raise OSError("{} did not end in time".format(command[0]))
            time.sleep(0.005)
        if child.returncode != 0:
            raise OSError("{} ended with {}".format(command[0], child.returncode))


# --- P31: break-glass certificates -------------------------------------------------------------------------


def canonical(certificate: Dict[str, Any]) -> bytes:
    """The bytes that are signed: everything but the signature, in one way only."""
    unsigned = {key: value for key, value in certificate.items() if key != "signature"}
    return json.dumps(unsigned, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode("ascii")


class CertificateRefused(Exception):
    """The certificate opens nothing here."""


def check_certificate(text: str, service: str, site: str, host: str, keys: Sequence[str], folder: str) -> Any:
    """The certificate, if an operator known here signed it for this service on this host.

    Raises CertificateRefused. Whether its epoch is high enough is the deciding part's.
    """
    try:
        said = json.loads(text)
        epoch, hosts = said["epoch"], said["hosts"]
        reason, who, when = said["reason"], said["who"], said["when"]
        opens = said["kind"], said["service"], said["site"], said["down"]
        signature = base64.b64decode(said["signature"].encode("ascii"), validate=True)
        if said["version"] != 1 or type(epoch) is not int or epoch < 1 or type(hosts) is not list:
            raise ValueError("it is not of version 1")
        if not all(isinstance(one, str) and one.strip() for one in (reason, who, when, *opens)):
            raise ValueError("it does not say who, when, why and for what")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CertificateRefused("not a certificate: {}: {}".format(type(error).__name__, error)) from error
    if said["service"] != service:
        raise CertificateRefused("it is for service {!r}, not {}".format(said["service"], service))
    if host not in hosts:
        raise CertificateRefused("it names the hosts {}, not {}".format(", ".join(map(str, hosts)), host))
    if said["kind"] != "break-glass":
        raise CertificateRefused("it is of kind {!r}, which opens nothing".format(said["kind"]))
    if said["site"] != site:
        raise CertificateRefused("it counts at {!r}, not at {}".format(said["site"], site))
    if said["down"] == site:
        raise CertificateRefused("it certifies {} itself as down".format(site))
    if not keys:
        raise CertificateRefused("no operator's key is known here")
    names = os.path.join(folder, "certificate.signature"), os.path.join(folder, "certificate.signed")
    for name, content in zip(names, (signature, canonical(said))):
        with open(name, "wb") as file:
            file.write(content)
    for key in keys:
        try:
            _run(["openssl", "dgst", "-sha256", "-verify", key, "-signature", names[0], names[1]], "", 10)
        except OSError:
            continue
        return said
    raise CertificateRefused("no operator known here has signed it")


class CertificateDesk(threading.Thread):
    """Takes certificates from the inbox and from the controller; writes down, synced, what it accepts."""

    def __init__(self, settings: "Settings", tell: Callable[[Any], None]) -> None:
        super().__init__(name="certificates", daemon=True)
        self._settings = settings
        self._tell = tell
        self._texts: Deque[Tuple[str, str]] = collections.deque(maxlen=8)
        self.inbox = os.path.join(settings.state, "inbox")
        self.record = os.path.join(settings.state, "certificates.log")

    def hand_in(self, text: str) -> None:
        """A certificate that came another way."""
        self._texts.append(("", text))

    def ended(self, epoch: int, why: str) -> None:
        """What that certificate opened was closed again: it opens nothing any more."""
        self._texts.append((str(epoch), why))

    def run(self) -> None:
        while True:
            time.sleep(0.2)
            try:
                while self._texts:
                    epoch, text = self._texts.popleft()
                    if epoch:
                        self._write_down({"ended": int(epoch), "why": text})
                    else:
                        LOG.say("certificate: " + self._judge(text))
                for name in sorted(os.listdir(self.inbox)):
                    if name.endswith(".json"):
                        self._take(os.path.join(self.inbox, name))
            except OSError as error:
                LOG.say("certificates: {}".format(error))

    def _take(self, path: str) -> None:
        with open(path, encoding="utf-8", errors="replace") as file:
            said = self._judge(file.read(LONGEST_LINE_BYTES))
        LOG.say("certificate: " + said)
        os.unlink(path)
        _write_synced(path[: -len(".json")] + ".said", said + "\n")

    def _judge(self, text: str) -> str:
        one = self._settings
        try:
            said = check_certificate(text, one.service, one.site, one.host, one.operators, one.state)
            if self._has_ended(said["epoch"]):
                raise CertificateRefused("what it opened was closed by an order; a new one is needed")
        except CertificateRefused as error:
            self._tell(("refused", "certificate", str(error)))
            return "refused: {}".format(error)
        # P31: recorded before it opens anything.
        self._write_down({"certificate": said})
        self._tell(Certified(one.service, said["epoch"], text))
        return "accepted: {who} certifies {down} down: {reason} (epoch {epoch})".format(**said)

    def _has_ended(self, epoch: int) -> bool:
        try:
            with open(self.record, encoding="utf-8") as file:
                return any(json.loads(line).get("ended") == epoch for line in file)
        except FileNotFoundError:
            return False
        except ValueError as error:
            raise CertificateRefused("{} cannot be read: {}".format(self.record, error)) from error

    def _write_down(self, what: Dict[str, Any]) -> None:
        line = json.dumps(dict(what, at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())), sort_keys=True)
        place = os.open(self.record, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(place, (line + "\n").encode("utf-8"))
            os.fsync(place)
        finally:
            os.close(place)


# --- the line to the controller ----------------------------------------------------------------------------


class Line(threading.Thread):
    """Dials the controller and exchanges JSON lines, over TLS on which both show who they are."""

    def __init__(self, settings: "Settings", tell: Callable[[Any], None]) -> None:
        super().__init__(name="line", daemon=True)
        self._settings = settings
        self._tell = tell
        self.hello: Dict[str, Any] = {}
        self._out: Deque[Tuple[int, Dict[str, Any]]] = collections.deque(maxlen=MOST_WAITING)
        self._number = 0
        self._bell, self._ring = os.pipe()
        os.set_blocking(self._bell, False)
        os.set_blocking(self._ring, False)

    def say(self, number: int, message: Dict[str, Any]) -> None:
        """Send over that connection; if it is no more, not at all."""
        if number != 0 and number == self._number:
            self._out.append((number, message))
            try:
                os.write(self._ring, b".")
            except OSError:
                pass

    def run(self) -> None:
        said = ""
        tried = 0
        while True:
            address = self._settings.controllers[tried % len(self._settings.controllers)]
            tried += 1
            number, before = self._number, boottime_ns()
            try:
                self._talk(address)
                said = ""
            except (OSError, ValueError) as error:
                if str(error) != said:
                    LOG.say("line: {}: {}: {}".format(address, type(error).__name__, error))
                said = str(error)
            if self._number != number:
                self._number += 1
                self._tell((0, ConnectionLost()))
            if boottime_ns() - before < 10**9:
                time.sleep(min(1.0, self._settings.guard_every_ns / 1e9))

    def _talk(self, address: str) -> None:
        settings = self._settings
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if hasattr(ssl, "TLSVersion"):
            context.minimum_version = ssl.TLSVersion.TLSv1_2
        else:
            context.options |= ssl.OP_NO_TLSv1 | ssl.OP_NO_TLSv1_1
        context.check_hostname = False  # a controller is known by its identity and not by where it is
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(settings.tls["ca"])
        context.load_cert_chain(settings.tls["cert"], settings.tls["key"])
        where = address_of(address)
        patience = max(1.0, 4 * settings.guard_every_ns / 1e9)
        with socket.create_connection(where[:2], timeout=patience) as plain:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with context.wrap_socket(plain) as line:
                self._check_peer(line.getpeercert() or {})
                line.setblocking(False)
                self._out.clear()
                self._number += 1
                self._tell((self._number, None))
                LOG.say("line: connected to {}".format(address))
                self._exchange(line, self._number, patience)

    def _check_peer(self, certificate: Dict[str, Any]) -> None:
        wanted = "twinsite:controller/" + self._settings.site
        names = [value for kind, value in certificate.get("subjectAltName", ()) if kind == "URI"]
        if names != [wanted]:
            raise ValueError(
                "its certificate is of {}, not of {}".format(", ".join(names) or "nobody", wanted)
            )

    def _exchange(self, line: Any, number: int, patience: float) -> None:
        heard_ns = boottime_ns()
        came = b""
        going = self._encoded(self.hello)
        watched = select.poll()
        watched.register(self._bell, select.POLLIN)
        while True:
            while self._out and len(going) < LONGEST_LINE_BYTES:
                belongs, message = self._out.popleft()
                if belongs == number:
                    going += self._encoded(message)
            if going:
                try:
                    going = going[line.send(going) :]
                except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
                    pass
            try:
                # More than one read, as TLS keeps to itself what it has deciphered.
                while True:
                    got = line.recv(LONGEST_LINE_BYTES)
                    if not got:
                        raise OSError("the controller has closed the connection")
                    came += got
                    heard_ns = boottime_ns()
                    came = self._take(came, number)
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                pass
            # One that says nothing for so long has gone without a word.
            if boottime_ns() - heard_ns > 4 * patience * 1e9:
                raise OSError("no word for {:.1f} s".format((boottime_ns() - heard_ns) / 1e9))
            if not self._out:
                watched.register(line.fileno(), select.POLLIN | (select.POLLOUT if going else 0))
                watched.poll(500)
                try:
                    os.read(self._bell, 4096)
                except OSError:
                    pass

    def _encoded(self, message: Dict[str, Any]) -> bytes:
        return json.dumps(message, separators=(",", ":")).encode("utf-8") + b"\n"

    def _take(self, came: bytes, number: int) -> bytes:
        lines = came.split(b"\n")
        for one in lines[:-1]:
            self._tell((number, understood(one)))
        if len(lines[-1]) > LONGEST_LINE_BYTES:
            raise ValueError("a line without an end")
        return lines[-1]


def understood(line: bytes) -> Any:
    """A line of the controller as a message; a certificate as its text. Raises ValueError."""
    try:
        said = json.loads(line.decode("utf-8"))
        if "certificate" in said:
            return str(said["certificate"])
        numbers = [said["incarnation"]]
        if "answer" in said:
            numbers += [said["epoch"], said["remaining_ns"]]
            message: Any = Answered(
                int(said["answer"], 16),
                str(said["service"]),
                said["incarnation"],
                said["epoch"],
                said["remaining_ns"],
                said["manual"],
            )
            if type(said["manual"]) is not bool:
                raise ValueError("manual is neither true nor false")
        else:
            numbers.append(said["order"])
            message = Ordered(said["order"], str(said["kind"]), str(said["service"]), said["incarnation"])
        if any(type(one) is not int or abs(one) > FOREVER_NS for one in numbers):
            raise ValueError("a number of it is none")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError("not understood: {!r}: {}".format(line[:200], error)) from error
    return message


# --- what the host lends us --------------------------------------------------------------------------------


def lock_memory() -> Optional[str]:
    """Keep every page of ours in memory; the reason if that was refused."""
    soft, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if soft != resource.RLIM_INFINITY and os.geteuid() != 0:
        return "memory-lock: not allowed to lock its memory (LimitMEMLOCK=infinity)"
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mlockall(1 | 2) != 0:  # MCL_CURRENT, MCL_FUTURE
        return "memory-lock: {}".format(os.strerror(ctypes.get_errno()))
    return None


def raise_priority() -> Optional[str]:
    """Real time, or at least nicer; the reason if neither was allowed. Threads made later have it too."""
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
        return None
    except OSError:
        pass
    try:
        os.setpriority(os.PRIO_PROCESS, 0, -10)
        return None
    except OSError as error:
        return "priority: {} (CAP_SYS_NICE)".format(error.strerror)


def spare_from_oom() -> Optional[str]:
    """Be the last that is killed when memory runs out; the reason if that was refused."""
    try:
        with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
            file.write("-1000")
        return None
    except OSError as error:
        return "out-of-memory: {} (OOMScoreAdjust=-1000)".format(error.strerror)


class Supervisor:
    """systemd, if it started us: told that we are up, what we do, and that the main thread lives."""

    def __init__(self) -> None:
        name = os.environ.get("NOTIFY_SOCKET", "")
        self._socket: Optional[socket.socket] = None
        self._pinged_ns = 0
        self._was_ready = False
        every_usec = os.environ.get("WATCHDOG_USEC", "")
        self._every_ns = int(every_usec) * 1000 // 3 if every_usec.isdigit() else 0
        if name:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.setblocking(False)
            self._address = "\0" + name[1:] if name[0] == "@" else name

    def ready(self) -> None:
        """Whatever is to start after the guard may start now. Said once."""
        if not self._was_ready:
            self._was_ready = True
            self.say("READY=1")

    def say(self, text: str) -> None:
        if self._socket is not None:
            try:
                self._socket.sendto(text.encode("utf-8"), self._address)
            except OSError:
                pass

    def ping(self, now_ns: int) -> None:
        if self._every_ns and now_ns - self._pinged_ns >= self._every_ns:
            self._pinged_ns = now_ns
            self.say("WATCHDOG=1")

    def lacks(self) -> List[str]:
        return (
            []
            if self._every_ns
            else ["supervisor: nothing starts the guard again when it hangs (WatchdogSec)"]
        )


class Watchdog:
    """The hardware's: resets the host when the guard has stood still."""

    SET_TIMEOUT = 0xC0045706  # WDIOC_SETTIMEOUT

    def __init__(self, path: str, seconds: int) -> None:
        self._place = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            given = fcntl.ioctl(self._place, self.SET_TIMEOUT, struct.pack("i", seconds))
            self._timeout_ns = struct.unpack("i", given)[0] * 10**9
        except OSError:
            self.release()
            raise
        self._fed_ns = 0

    def feed(self, state: GuardState, now_ns: int) -> None:
        """As long as a reset that follows a standstill now would come before the deadline."""
        if now_ns - self._fed_ns >= 10**9 // 4 and may_feed(state, self._timeout_ns, now_ns):
            self._fed_ns = now_ns
            os.write(self._place, b"\0")

    def release(self) -> None:
        """It stops counting (where the driver allows that)."""
        os.write(self._place, b"V")
        os.close(self._place)


def may_feed(state: GuardState, timeout_ns: int, now_ns: int) -> bool:
    """Whether the host, if it stood still from now on, would be reset before its deadline."""
    if not state.open:
        return state.verified
    if not _enforced(state):
        return True
    return state.deadline_ns is not None and now_ns + timeout_ns <= state.deadline_ns


# --- settings ----------------------------------------------------------------------------------------------


class SettingsWrong(Exception):
    """The settings file says something that cannot be used."""


_KEYS = {
    "service": str,
    "site": str,
    "host": str,
    "controllers": list,
    "tls": dict,
    "state": str,
    "fence_within_seconds": float,
    "guard_every_seconds": float,
    "data": str,
    "stop": dict,
    "parts": list,
    "proxy": dict,
    "nftables": dict,
    "command": dict,
    "operators": list,
    "watchdog": str,
    "watchdog_seconds": int,
}
_NEEDED = (
    "service",
    "site",
    "host",
    "controllers",
    "tls",
    "state",
    "fence_within_seconds",
    "guard_every_seconds",
)
_KINDS = {
    "stop": {"names": list, "postgres": bool},
    "proxy": {"listen": str, "to": str, "most_connections": int},
    "nftables": {"ports": list, "except": list, "suspend_drill_passed": bool},
    "command": {"open": list, "close": list, "verify": list},
    "tls": {"ca": str, "cert": str, "key": str},
}  # type: Dict[str, Dict[str, type]]
# A part without `names` has a permit beside its data, and is cut off in another way.
_PART = {"name": str, "data": str, "names": list, "postgres": bool}


class Settings:
    """The settings file, checked. Raises SettingsWrong with a sentence that names the key."""

    def __init__(self, said: SettingsText) -> None:
        _check_keys("", said, _KEYS, _NEEDED)
        for kind, keys in _KINDS.items():
            if kind in said:
                needed = [
                    key for key in keys if key not in ("except", "suspend_drill_passed", "most_connections")
                ]
                _check_keys(kind + ".", said[kind], keys, needed)
        self.service: str = said["service"]
        self.site: str = said["site"]
        self.host: str = said["host"]
        self.controllers: List[str] = said["controllers"]
        self.tls: Dict[str, str] = said["tls"]
        self.state: str = os.path.abspath(said["state"])
        self.fence_within_ns = int(said["fence_within_seconds"] * 1e9)
        self.guard_every_ns = int(said["guard_every_seconds"] * 1e9)
        self.data: Optional[str] = said.get("data")
        self.operators: List[str] = said.get("operators", [])
        self.watchdog: Optional[str] = said.get("watchdog")
        self.watchdog_seconds: int = said.get("watchdog_seconds", 1)
        self.said = said
        self.parts: List[SettingsText] = said.get("parts", [])
        for number, part in enumerate(self.parts):
            needed = list(_PART) if "names" in part else ["name", "data"]
            _check_keys("parts.{}.".format(number), part, _PART, needed)
        self.ended = [part for part in self.parts if "names" in part]
        if "stop" in said and self.parts:
            raise SettingsWrong("parts: each has processes of its own, so there is no `stop` beside them")
        if len({part["name"] for part in self.parts}) < len(self.parts):
            raise SettingsWrong("parts: each has a name of its own")
        if not re.match(r"^[a-z][a-z0-9-]{0,62}$", self.service):
            raise SettingsWrong("service: {!r} is no name of a service".format(self.service))
        if not self.ended and not any(kind in said for kind in ("stop", "proxy", "nftables", "command")):
            raise SettingsWrong("one of stop, proxy, nftables and command must be there, or nothing is cut")
        if "stop" in said and self.data is None:
            raise SettingsWrong("data: needed by stop, which ends the processes that work in it")
        for place in self.places:
            if not place.startswith("/"):
                raise SettingsWrong("data: {!r} is no absolute path".format(place))
        if min(self.fence_within_ns, self.guard_every_ns) <= 0:
            raise SettingsWrong("fence_within_seconds and guard_every_seconds: must be above zero")
        try:
            places = list(self.controllers)
            if "proxy" in said:
                places += [said["proxy"]["listen"], said["proxy"]["to"]]
            for place in places:
                split_address(place)
            for net in said.get("nftables", {}).get("except", ()):
                ipaddress.ip_network(net, strict=False)
        except (ValueError, OSError) as error:
            raise SettingsWrong(str(error)) from error
        if not self.controllers:
            raise SettingsWrong("controllers: none is named")
        if any(
            type(port) is not int or not 0 < port < 65536
            for port in said.get("nftables", {}).get("ports", ())
        ):
            raise SettingsWrong("nftables.ports: a port is a number from 1 to 65535")

    @property
    def places(self) -> List[str]:
        """The data directories beside which a permit lies."""
        return ([] if self.data is None else [self.data]) + [part["data"] for part in self.parts]

    def kinds(self) -> List[Any]:
        """The ways of cutting, gates first."""
        said, kinds = self.said, []  # type: SettingsText, List[Any]
        if "nftables" in said:
            one = said["nftables"]
            drilled = one.get("suspend_drill_passed", False)
            excepted = one.get("except", [])
            kinds.append(Nftables(self.service, one["ports"], excepted, drilled, self.fence_within_ns))
        if "proxy" in said:
            one = said["proxy"]
            kinds.append(Proxy(one["listen"], one["to"], one.get("most_connections", 1000)))
        if "command" in said:
            one = said["command"]
            kinds.append(Command(one["open"], one["close"], one["verify"], self.service))
        if "stop" in said and self.data is not None:
            kinds.append(Stop(self.data, said["stop"]["names"], said["stop"]["postgres"]))
        if self.ended:
            ended = [(one["name"], Stop(one["data"], one["names"], one["postgres"])) for one in self.ended]
            kinds.append(Stops(ended))
        return kinds


def _check_keys(where: str, said: Any, keys: Dict[str, Any], needed: Sequence[str]) -> None:
    if not isinstance(said, dict):
        raise SettingsWrong("{}: keys with values are expected".format(where.rstrip(".") or "the file"))
    for key, value in said.items():
        if key not in keys:
            raise SettingsWrong(
                "{}{}: no such key; there are: {}".format(where, key, ", ".join(sorted(keys)))
            )
        wanted = (int, float) if keys[key] is float else keys[key]
        if not isinstance(value, wanted) or (isinstance(value, bool) and keys[key] is not bool):
            raise SettingsWrong("{}{}: expected {}".format(where, key, keys[key].__name__))
        if (
            isinstance(value, list)
            and key not in ("ports", "parts")
            and not all(isinstance(one, str) and one for one in value)
        ):
            raise SettingsWrong("{}{}: expected texts".format(where, key))
        if isinstance(value, list) and not value and key in ("open", "close", "verify", "names", "ports"):
            raise SettingsWrong("{}{}: must not be empty".format(where, key))
    for key in needed:
        if key not in said:
            raise SettingsWrong("{}{}: missing".format(where, key))


def read_settings(path: str) -> Settings:
    """The settings of a file. Raises SettingsWrong."""
    try:
        with open(path, encoding="utf-8") as file:
            said = json.load(file)
    except OSError as error:
        raise SettingsWrong("it cannot be read: {}".format(error.strerror)) from error
    except ValueError as error:
        raise SettingsWrong("it is no JSON: {}".format(error)) from error
    return Settings(said)


# --- all of it together ------------------------------------------------------------------------------------


class Guard:
    """The main thread: messages in, step, orders out."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._inbox: Deque[Any] = collections.deque()
        self._bell, self._ring = os.pipe()
        os.set_blocking(self._bell, False)
        os.set_blocking(self._ring, False)
        self._poll = select.poll()
        self._poll.register(self._bell, select.POLLIN)
        self._connection = 0
        self._ending = ""
        self._again = False
        self._corrupt = ""
        self._watchdog: Optional[Watchdog] = None
        self._supervisor = Supervisor()
        self._status = ""
        self._evidence = ""

    def run(self) -> int:
        """Until told to end. Returns the exit status."""
        settings = self._settings
        os.makedirs(os.path.join(settings.state, "inbox"), mode=0o700, exist_ok=True)
        hold_state(settings)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        lacks = self._set_up_host()
        memory = Memory()
        try:
            memory = read_memory(os.path.join(settings.state, "memory"), settings.service)
        except MemoryCorrupt as error:
            self._corrupt = str(error)
            lacks.append("memory: {}; closed until it is repaired".format(error))
        self._start(memory)
        for kind in self._kinds:
            lacks += kind.lacks()
        protects = sorted({one for kind in self._kinds for one in kind.protects()})
        if not {"guard-stall", "host-pause"} & set(protects) and self._watchdog is None:
            lacks.append("guard-stall: nothing cuts clients off when the guard itself stands still")
        if "host-pause" not in protects and not any(one.startswith("host-pause") for one in lacks):
            lacks.append("host-pause: the database may take a write before the guard runs, after a pause")
        if "stop" not in settings.said and not settings.ended:
            lacks.append("bypass: who reaches the database past the gate, on the host itself, is not cut off")
        if self._watchdog is not None:
            protects.append("watchdog")
        for one in lacks:
            LOG.say("not protected: " + one)
        self._line.hello = {
            "hello": 1,
            "site": settings.site,
            "service": settings.service,
            "host": settings.host,
            "protects": protects,
            "lacks": lacks,
        }
        self._line.start()
        if self._state.open or self._corrupt:
            self._supervisor.ready()
        try:
            self._loop()
        except Exception:
            # A fault of ours: nothing is left open that nobody looks after.
            self._ending = "a fault of its own"
            self._end()
            raise
        self._end()
        if self._again:
            os.execv(sys.executable, [sys.executable, *sys.argv])
        return RUN_MEMORY if self._corrupt else RUN_DOWN

    def _set_up_host(self) -> List[str]:
        lacks = []
        settings = self._settings
        threading.stack_size(512 * 1024)
        if settings.watchdog is not None:
            try:
                self._watchdog = Watchdog(settings.watchdog, settings.watchdog_seconds)
            except OSError as error:
                lacks.append("watchdog: {}: {}".format(settings.watchdog, error.strerror))
        for attempt in (raise_priority, spare_from_oom, lock_memory):
            said = attempt()
            if said is not None:
                lacks.append(said)
        LOG.start()
        return lacks + self._supervisor.lacks()

    def _start(self, memory: Memory) -> None:
        settings = self._settings
        self._permit = Permit(settings.state, settings.places)
        lifted, certified = read_permit(self._permit.kept)
        if self._corrupt:
            lifted = None
        self._state = new_guard(
            settings.service,
            settings.fence_within_ns,
            settings.guard_every_ns,
            memory,
            boottime_ns(),
            lifted,
            certified,
        )
        self._memory = MemoryFile(os.path.join(settings.state, "memory"), settings.service, self.tell)
        self._certificates = CertificateDesk(settings, self.tell)
        self._line = Line(settings, self.tell)
        self._kinds = settings.kinds()
        for one in [self._permit, self._memory, *self._kinds]:
            one.start()
        if self._state.open and lifted is not None:
            LOG.say("goes on where an earlier guard of this boot was: open")
            self._lift(lifted)
        else:
            for kind in self._kinds:
                kind.begin_cut()  # closed by default, before anything else
        self._certificates.start()

    def tell(self, message: Any) -> None:
        """From another thread: a message, or (connection, message)."""
        if len(self._inbox) < MOST_WAITING or not isinstance(message, tuple):
            self._inbox.append(message)
        try:
            os.write(self._ring, b".")
        except OSError:
            pass

    def _on_signal(self, number: int, frame: Any) -> None:
        self._ending = signal.Signals(number).name
        self._again = number == signal.SIGHUP

    def _loop(self) -> None:
        while not self._ending:
            now = boottime_ns()
            if now >= wake_ns(self._state):
                self._handle(Ticked(int.from_bytes(os.urandom(7), "big")))
            while self._inbox:
                self._take(self._inbox.popleft())
            self._look_after(boottime_ns())
            nap = max(0.0, min(LONGEST_NAP_SECONDS, (wake_ns(self._state) - boottime_ns()) / 1e9))
            if self._poll.poll(nap * 1000):
                try:
                    os.read(self._bell, 4096)
                except OSError:
                    pass

    def _look_after(self, now_ns: int) -> None:
        self._supervisor.ping(now_ns)
        if self._watchdog is not None:
            self._watchdog.feed(self._state, now_ns)
        for kind in self._kinds:
            if hasattr(kind, "look"):
                kind.look()
        status = "open" if self._state.open else "closed" if self._state.verified else "closing"
        if status != self._status:
            self._status = status
            self._supervisor.say("STATUS={} is {}".format(self._settings.service, status))
            LOG.say(status)

    def _take(self, came: Any) -> None:
        if type(came) is tuple and came[0] == "refused":
            self._say({"refused": came[1], "evidence": came[2]})
            return
        if type(came) is tuple:
            number, came = came
            if isinstance(came, ConnectionLost):
                self._connection = 0
            elif came is None:
                self._connection = number
                return
            elif isinstance(came, str):
                self._certificates.hand_in(came)
                return
        if self._corrupt and isinstance(came, (Answered, Certified, Ordered)):
            self._stay_closed(came)
            return
        self._handle(came)

    def _stay_closed(self, came: Any) -> None:
        """Without a memory nothing is believed that could open; to fence is always right."""
        if isinstance(came, Ordered) and came.kind == "fence" and came.service == self._settings.service:
            verified, evidence = self._cut("ordered to fence")
            if verified:
                self._carry_out(Acknowledge(came.number, True, 0, evidence))
            return
        self._carry_out(Refuse("memory-corrupt", self._corrupt))

    def _handle(self, message: Any) -> None:
        certified = self._state.certified
        orders = step(self._state, message, boottime_ns())
        if certified is not None and self._state.certified is None and isinstance(message, Ordered):
            self._certificates.ended(certified, "ordered to fence")
        for order in orders:
            self._carry_out(order)

    def _carry_out(self, order: Any) -> None:
        if isinstance(order, Ask):
            if not self._corrupt:
                self._say(
                    {
                        "question": "{:014x}".format(order.nonce),
                        "open": order.open,
                        "incarnation": order.incarnation,
                        "epoch": order.epoch,
                        "clock_ns": boottime_ns(),
                        "certified": self._state.certified is not None,
                    }
                )
        elif isinstance(order, Lift):
            self._lift(order)
        elif isinstance(order, Cut):
            self._handle(CutEnded(*self._cut(order.why)))
            self._supervisor.ready()  # after the first: a database that comes up before would be ended by it
        elif isinstance(order, Remember):
            self._memory.want(order.memory)
        elif isinstance(order, Acknowledge):
            self._say(
                {
                    "acknowledged": order.number,
                    "fenced": order.fenced,
                    "incarnation": order.incarnation,
                    "evidence": order.evidence,
                }
            )
        elif isinstance(order, Refuse):
            LOG.say("refused: {}: {}".format(order.code, order.evidence))
            self._say({"refused": order.code, "evidence": order.evidence})

    def _say(self, message: Dict[str, Any]) -> None:
        self._line.say(self._connection, message)

    def _lift(self, lift: Lift) -> None:
        for kind in reversed(self._kinds):  # the gate last
            kind.lift(lift.until_ns)
        self._permit.want(permit_text(lift, self._state.certified))

    def _cut(self, why: str) -> Outcome:
        """Everything at once: gates and permit are closed by other threads while the database is stopped."""
        begun_ns = boottime_ns()
        end_ns = begun_ns + self._settings.fence_within_ns
        for kind in self._kinds:
            kind.begin_cut()
        number = self._permit.want(None)
        outcomes = [kind.end_cut(end_ns) for kind in reversed(self._kinds)]
        outcomes.append(self._permit.outcome(number, max(end_ns, boottime_ns() + 50 * 10**6)))
        verified = all(worked for worked, _ in outcomes)
        evidence = "; ".join(said for _, said in outcomes)
        took_ms = (boottime_ns() - begun_ns) // 10**6
        said = "closed" if verified else "NOT CLOSED"
        if verified or evidence != self._evidence:
            LOG.say("{} in {} ms ({}): {}".format(said, took_ms, why, evidence))
        self._evidence = evidence
        if not verified:
            time.sleep(LOOK_SECONDS)
        return verified, evidence

    def _end(self) -> None:
        state = self._state
        LOG.say("told to end ({})".format(self._ending))
        self._supervisor.say("RELOADING=1" if self._again else "STOPPING=1")
        verified = True
        if not self._again and _enforced(state):
            # P19: nobody would close it at its deadline once we are gone.
            verified, _ = self._cut("the guard was told to end")
        if self._watchdog is not None and verified:
            self._watchdog.release()
        LOG.flush()


UNIT = """\
[Unit]
Description=twinsite guard of {service}
# Closed before clients come, and to the end of the shutdown.
After=network.target
StartLimitIntervalSec=0

[Service]
Type=notify
ExecStart={command}
ExecReload=/bin/kill -HUP $MAINPID
Restart=always
RestartSec=100ms
WatchdogSec={watchdog}s
TimeoutStopSec=30s
OOMScoreAdjust=-1000
LimitMEMLOCK=infinity
LimitRTPRIO=10
Nice=-10

[Install]
WantedBy=multi-user.target
"""


def unit_text(settings: Settings, command: str) -> str:
    """The systemd unit. A cut is not taken for a standstill."""
    watchdog = max(5, 3 * settings.fence_within_ns // 10**9)
    return UNIT.format(service=settings.service, command=command, watchdog=watchdog)


def hand_in(settings: Settings, path: str) -> int:
    """Give a certificate to the guard that runs, and show what it said."""
    try:
        os.close(hold_state(settings))
    except SettingsWrong:
        pass  # as it should be
    except OSError as error:
        print("no guard has ever run with the state {}: {}".format(settings.state, error), file=sys.stderr)
        return 4
    else:
        print(
            "no guard runs with the state {}; start it, and try again".format(settings.state), file=sys.stderr
        )
        return 4
    with open(path, encoding="utf-8") as file:
        text = file.read(LONGEST_LINE_BYTES)
    name = hashlib.sha256(text.encode("utf-8") + os.urandom(8)).hexdigest()[:16]
    place = os.path.join(settings.state, "inbox", name)
    _write_synced(place + ".json", text)
    for _ in range(100):
        time.sleep(0.1)
        if os.path.exists(place + ".said"):
            with open(place + ".said", encoding="utf-8") as file:
                said = file.read().strip()
            os.unlink(place + ".said")
            print(said)
            return 0 if said.startswith("accepted") else 3
    print("the guard has not taken {}; look at its log".format(place + ".json"), file=sys.stderr)
    return 4


def repair(settings: Settings, memory: Memory) -> int:
    """Write the memory anew, with what a person says."""
    os.makedirs(settings.state, mode=0o700, exist_ok=True)
    hold_state(settings)
    _write_synced(os.path.join(settings.state, "memory"), memory_text(settings.service, memory))
    print("remembers {}".format(memory))
    return 0


def adopt(settings: Settings) -> int:
    """Make ready to start beside a database that serves already: open, until the first answer counts.

    Only for a guard that was never told anything: nobody relies on it yet (P27: a service is made automatic
    when its guard has acknowledged that it fences).
    """
    os.makedirs(settings.state, mode=0o700, exist_ok=True)
    hold_state(settings)
    place = os.path.join(settings.state, "memory")
    if os.path.exists(place):
        raise SettingsWrong("{}: this guard was told things before, so it starts closed".format(place))
    _write_synced(place, memory_text(settings.service, Memory(manual=True)))
    _write_synced(os.path.join(settings.state, "permit"), permit_text(Lift(None), None))
    said = "the guard, started before the next boot, leaves {} as it is until it is told"
    print(said.format(settings.service))
    return 0


def hold_state(settings: Settings) -> int:
    """Be the only one who works with this state, until the end. Raises SettingsWrong."""
    place = os.open(os.path.join(settings.state, "lock"), os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(place)
        raise SettingsWrong("a guard runs with the state {}".format(settings.state)) from None
    return place


def main(arguments: Sequence[str]) -> int:
    """The command line. Returns the exit status."""
    if arguments[:1] == ["--proxy"]:
        listen, to, most, page, leash = arguments[1:]
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        Relay(listen, to, int(most), Shared(int(page))).run(int(leash))
        return 0
    parser = argparse.ArgumentParser(description="The dead man's switch of one service on this host.")
    parser.add_argument("--config", required=True, metavar="FILE", help="the settings, JSON")
    doing = parser.add_mutually_exclusive_group()
    doing.add_argument("--check", action="store_true", help="look at settings and memory, and end")
    doing.add_argument("--unit", action="store_true", help="print the systemd unit that runs it, and end")
    doing.add_argument(
        "--certificate", metavar="FILE", help="hand a break-glass certificate to the guard that runs"
    )
    doing.add_argument(
        "--repair-memory",
        nargs=2,
        type=int,
        metavar=("INCARNATION", "EPOCH"),
        help="write the memory anew, with what the store says or more; the guard must not run",
    )
    doing.add_argument(
        "--adopt",
        action="store_true",
        help="before its very first start, beside a database that serves: leave it open until told",
    )
    parser.add_argument("--manual", action="store_true", help="with --repair-memory: the service is manual")
    asked = parser.parse_args(arguments)
    try:
        settings = read_settings(asked.config)
        place = os.path.join(settings.state, "memory")
        if asked.unit:
            command = [sys.executable, os.path.abspath(__file__), "--config", os.path.abspath(asked.config)]
            print(unit_text(settings, " ".join(command)), end="")
            return 0
        if asked.check:
            print("remembers {}".format(read_memory(place, settings.service)))
            return 0
        if asked.certificate is not None:
            return hand_in(settings, asked.certificate)
        if asked.adopt:
            return adopt(settings)
        if asked.repair_memory is not None:
            return repair(settings, Memory(asked.repair_memory[0], asked.repair_memory[1], asked.manual))
        return Guard(settings).run()
    except SettingsWrong as error:
        print("guard: {}: {}".format(asked.config, error), file=sys.stderr)
        return RUN_WRONG
    except MemoryCorrupt as error:
        print("guard: {}".format(error), file=sys.stderr)
        print(
            "guard: repair it with --repair-memory INCARNATION EPOCH, never lower than the store's",
            file=sys.stderr,
        )
        return RUN_MEMORY


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
