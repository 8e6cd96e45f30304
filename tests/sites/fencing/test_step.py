"""What the guard decides, rule by rule; and that it needs nothing a database host may lack."""

import ast
import random
import sys
from pathlib import Path
from typing import Any

import pytest

from sites.fencing import guard
from tests.sites.fencing.promises import EVERY, MS, PROMISES, START, D, T

SOURCE = Path(guard.__file__).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", PROMISES)
def test_promise(name: str) -> None:
    PROMISES[name](guard)


def test_reads_as_python_3_6_and_imports_only_the_standard_library() -> None:
    tree = ast.parse(SOURCE, feature_version=(3, 6))
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or "."]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert imported <= sys.stdlib_module_names
    assert not imported & {"asyncio", "dataclasses", "sites"}


@pytest.mark.parametrize("seed", range(20))
def test_whatever_happens_it_is_open_only_within_its_deadline(seed: int) -> None:
    """Random messages in random order; what P19 to P21 forbid never happens."""
    dice = random.Random(seed)
    now = START
    state = guard.new_guard("crm", D, EVERY, guard.Memory(1, 1, False), now)
    nonces = [0]
    cutting = 0
    writing: list[guard.Memory] = []
    highest = (1, 1)
    for _ in range(3000):
        now += dice.choice((0, 1, 10 * MS, EVERY, T))
        message: Any = dice.choice(
            (
                guard.Ticked(dice.getrandbits(64)),
                guard.Answered(
                    nonces[-1] if dice.random() < 0.9 else dice.choice(nonces),
                    "crm" if dice.random() < 0.95 else "ebs",
                    highest[0] + dice.choice((-1, 0, 0, 0, 0, 1)),
                    highest[1] + dice.choice((-1, 0, 0, 0, 0, 1)),
                    dice.choice((-1, 0, D, T, T, T)),
                    dice.random() < 0.1,
                ),
                guard.Ordered(
                    dice.randrange(9),
                    dice.choice(("fence", "learn", "automatic", "ask")),
                    "crm",
                    highest[0] + dice.choice((-1, 0, 0, 1)),
                ),
                guard.CutEnded(dice.random() < 0.8, "seen"),
                guard.Remembered(writing[0] if writing else guard.Memory(), dice.random() < 0.8),
                guard.ConnectionLost(),
                guard.Certified("crm", highest[1] + dice.choice((-1, 0, 1)), "c"),
            )
        )
        if isinstance(message, guard.CutEnded):
            cutting = 0
        if isinstance(message, guard.Remembered):
            writing.clear()
        was_open = state.open
        orders = guard.step(state, message, now)
        for order in orders:
            if isinstance(order, guard.Ask):
                nonces.append(order.nonce)
            elif isinstance(order, guard.Cut):
                assert not cutting, "two cuts at once"
                cutting = 1
            elif isinstance(order, guard.Remember):
                assert not writing, "two writes at once"
                assert order.memory[:2] >= state.memory[:2]
                writing.append(order.memory)
            elif isinstance(order, guard.Lift):
                assert not cutting, "opened while it is being cut"
                assert state.open
                if order.until_ns is not None:
                    assert order.until_ns > now
                else:
                    assert state.manual or state.certified is not None
        if state.open and not state.manual and state.certified is None:
            assert state.deadline_ns is not None
            assert now < state.deadline_ns - D
        if was_open and not state.open:
            assert cutting, "closed without a cut"
        assert state.memory.incarnation <= state.highest.incarnation >= highest[0]
        assert state.memory.epoch <= state.highest.epoch >= highest[1]
        highest = state.highest[:2]
