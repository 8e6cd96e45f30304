"""Each check of the deciding part, taken out or weakened: a promise must break, or nobody watches it."""

import sys
import types
from pathlib import Path

import pytest

from sites.fencing import guard
from tests.sites.fencing.promises import PROMISES

SOURCE = Path(guard.__file__).read_text(encoding="utf-8")

# rule and what is weakened -> (the text as it is, the text of the mutant)
MUTANTS = {
    "P18 the deadline counts from the answer": (
        "state.deadline_ns = waiting.asked_ns + waiting.remaining_ns",
        "state.deadline_ns = now_ns + waiting.remaining_ns",
    ),
    "P18 any answer counts": (
        "if state.question is None or message.nonce != state.question:",
        "if state.question is None:",
    ),
    "P18 an answer counts twice": (
        "    state.question = None\n    if not _high_enough(state, message.inc",
        None,
    ),
    "P18 the service is not looked at": ("if message.service != state.service:", "if False:"),
    "P18 a no is taken for an answer that has just ended": (
        "if message.remaining_ns <= 0:",
        "if message.remaining_ns < 0:",
    ),
    "P18 several questions at once": (
        "due = state.guard_every_ns if state.question is None else 2 * state.guard_every_ns",
        "due = state.guard_every_ns",
    ),
    "P19 fences at the deadline, not D before it": (
        "now_ns < state.deadline_ns - state.fence_within_ns",
        "now_ns < state.deadline_ns",
    ),
    "P19 never fences by itself": (
        "if state.open and _enforced(state) and not _in_time(state, now_ns):",
        "if False:",
    ),
    "P19 does not look when something arrives": (
        "(state, message, now_ns, orders)\n    _enforce(state, now_ns, orders)",
        "(state, message, now_ns, orders)",
    ),
    "P19 open at boot": ("self.open = False", "self.open = True"),
    "P19 no cut at boot": (
        "if not state.open and not state.verified:\n        _cut(",
        "if False:\n        _cut(",
    ),
    "P19 opens while it is being cut": ("if state.cutting or not state.verified:", "if False:"),
    "P19 opens after a cut that failed": ("if state.cutting or not state.verified:", "if state.cutting:"),
    "P19 opens against a deadline that has passed": (
        "if state.certified is None and not _in_time(state, now_ns):",
        "if False:",
    ),
    "P19 a manual service's answer may be as old as it likes": (
        "if state.certified is None and not _in_time(state, now_ns):",
        "if _enforced(state) and not _in_time(state, now_ns):",
    ),
    "P19 opens again in another boot's time": ("now_ns < lifted.until_ns", "True"),
    "P19 opens an automatic service again without a deadline": ("elif memory.manual:", "else:"),
    "P19 wakes for questions only": (
        "wake = min(wake, state.deadline_ns - state.fence_within_ns)",
        "pass",
    ),
    "P20 the question outlives a fence": (
        "P20: no answer to a question asked",
        None,
        "state.question = None",
    ),
    "P20 the answer waiting for the disk outlives a fence": (
        "P20: no answer to a question asked",
        None,
        "state.waiting = None",
    ),
    "P20 the deadline outlives a fence": (
        "P20: no answer to a question asked",
        None,
        "state.deadline_ns = None",
    ),
    "P20 the question outlives automatic": ("P27: enforced from this instant", None, "state.question = None"),
    "P20 the answer waiting for the disk outlives automatic": (
        "P27: enforced from this instant",
        None,
        "state.waiting = None",
    ),
    "P20 a fence is acknowledged before its cut": (
        '        _close(state, "ordered to fence", orders)\n',
        '        _close(state, "", orders)\n        orders += [Acknowledge(message.number, True, 0, "")]\n',
    ),
    "P20 a cut that failed is acknowledged": (
        "    if not message.verified:\n        return  # the next",
        "    if False:\n        return  # the next",
    ),
    "P20 what is closed is not cut again": (
        '        _close(state, "ordered to fence", orders)',
        "        pass",
    ),
    "P20 any end of a cut counts": (
        "    if not state.cutting:\n        return\n    state.cutting = False",
        None,
    ),
    "P20 cuts overlap": (
        "    if not state.cutting:\n        state.cutting = True",
        "    if True:\n        pass",
    ),
    "P20 orders outlive their connection": ("    state.fences = []\n    state.lessons = []", "    pass"),
    "P20 a question outlives its connection": (
        "    state.question = None\n    # Another controller",
        "    # Another controller",
    ),
    "P20 orders are kept without bound": ("[*state.fences[1 - MOST_ORDERS :],", "[*state.fences,"),
    "P21 lower incarnations are accepted": ("if incarnation < state.highest.incarnation:", "if False:"),
    "P21 lower epochs are accepted": ("epoch is not None and epoch < state.highest.epoch", "False"),
    "P21 an answer counts before it is on disk": (
        "if waiting is None or not _holds(state.memory, waiting.memory):",
        "if waiting is None:",
    ),
    "P21 mode alone is not brought to disk first": ("and memory.manual == needed.manual", ""),
    "P21 a write that failed counts": (
        "    if not message.ok:\n        return",
        "    if False:\n        return",
    ),
    "P21 a write that failed is not tried again": (
        "        _remember(state, state.highest, orders)  # the disk refused it before",
        "        pass",
    ),
    "P21 acknowledged before it is on disk": (
        "known = state.memory.incarnation >= lesson.incarnation",
        "known = True",
    ),
    "P21 an overtaken answer counts once the disk is free": (
        "    if waiting.memory.incarnation < state.highest.incarnation or waiting.memory.epoch <",
        None,
    ),
    "P21 a no is not remembered": (
        'not entitled to it", orders)\n    _remember(state, memory, orders)',
        'not entitled to it", orders)',
    ),
    "P21 writes overlap": ("if memory != state.memory and not state.writing:", "if memory != state.memory:"),
    "P27 a manual service is fenced at its deadline": (
        "return not state.manual and state.certified is None",
        "return state.certified is None",
    ),
    "P27 a no closes a manual service": ("elif state.open and not state.manual:", "elif state.open:"),
    "P27 a no changes the mode": (
        "    memory = Memory(message.incarnation, message.epoch, state.highest.manual)",
        "    memory = Memory(message.incarnation, message.epoch, message.manual)",
    ),
    "P27 automatic is not enforced at once": ("        state.manual = False\n", ""),
    "P27 automatic is not brought to disk": ("memory = memory._replace(manual=False)", "pass"),
    "P27 automatic leaves the permit without an end": (
        "        if state.open and _enforced(state) and _in_time(state, now_ns):\n            _lift",
        "        if False:\n            _lift",
    ),
    "P31 a certificate's epoch need not be on disk": ("    return (\n        memory.incarnation >= ", None),
    "P31 the store's old word ends a certificate": (
        "if certified is not None and message.epoch <= certified:",
        "if False:",
    ),
    "P31 a tie pushes a waiting certificate aside": (
        "        certified = state.waiting.memory.epoch",
        "        pass",
    ),
    "P31 a higher epoch that is not ours leaves it open": (
        '        _close(state, "a higher epoch ended the certificate, and it is not ours", orders)',
        "        pass",
    ),
    "P31 a certificate outlives its end": (
        "    else:\n        state.certified = None\n        state.manual",
        "    else:\n        state.manual",
    ),
    "P31 a certificate outlives a fence": (
        "P20: no answer to a question asked",
        None,
        "state.certified = None",
    ),
    "P31 deadlines are enforced beside a certificate": (
        "return not state.manual and state.certified is None",
        "return not state.manual",
    ),
    "P31 an older question ends a certificate": (
        "decides, not what was asked before it.\n    state.question = None",
        "decides, not what was asked before it.",
    ),
    "P31 automatic is acknowledged beside a certificate": (
        "fences = not state.memory.manual and state.certified is None",
        "fences = not state.memory.manual",
    ),
    "P31 an older certificate opens again": ("certified >= memory.epoch", "True"),
}


def mutant(change: tuple[str | None, ...]) -> types.ModuleType:
    """The guard with that change. Its text must be there exactly once, or the mutant is out of date."""
    before, after, *line = change
    assert before is not None
    assert before in SOURCE, f"the guard has no {before!r} any more"
    if line:
        at = SOURCE.index(str(line[0]), SOURCE.index(before))
        text = SOURCE[:at] + "pass" + SOURCE[at + len(str(line[0])) :]
    elif after is None:
        text = SOURCE.replace(before, REWRITTEN[before])
    else:
        text = SOURCE.replace(before, after)
    module = types.ModuleType("mutant")
    sys.modules["mutant"] = module
    exec(compile(text, "mutant", "exec"), module.__dict__)  # the mutant is made from our own file
    return module


REWRITTEN = {
    "    state.question = None\n    if not _high_enough(state, message.inc": (
        "    if not _high_enough(state, message.inc"
    ),
    "    if not state.cutting:\n        return\n    state.cutting = False": "    state.cutting = False",
    "    return (\n        memory.incarnation >= ": (
        "    return needed.manual == memory.manual and (\n        True or "
    ),
    "    if waiting.memory.incarnation < state.highest.incarnation or waiting.memory.epoch <": (
        "    if state.service is None and waiting.memory.epoch <"
    ),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_mutant_breaks_a_promise(name: str) -> None:
    module = mutant(MUTANTS[name])
    broken = []
    for told, promise in PROMISES.items():
        try:
            promise(module)
        except AssertionError:
            broken.append(told)
    assert broken, f"no promise notices: {name}"
