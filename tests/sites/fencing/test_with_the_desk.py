"""The guard's process before the keeper's own desk: both sides of the line are the product's."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.guard_desk import GuardDesk, Hello
from tests.orchestrator.pki import Pki
from tests.sites.fencing.bench import EVERY_SECONDS, Host

pytestmark = pytest.mark.slow


class Callbacks:
    """Answers as it is told, and keeps what it heard."""

    def __init__(self) -> None:
        self.desk: GuardDesk | None = None
        self.remaining_ns = 0
        self.epoch = 3
        self.hello: Hello | None = None
        self.acknowledged: dict[int, tuple[bool, int, str]] = {}
        self.refused: list[str] = []
        self.open: list[bool] = []

    def on_connected(self, service: str, hello: Hello) -> None:
        self.hello = hello

    def on_gone(self, service: str) -> None:
        pass

    def on_question(
        self, service: str, nonce: str, open_: bool, incarnation: int, epoch: int, certified: bool
    ) -> None:
        assert self.desk is not None
        self.open.append(open_)
        self.desk.answer(service, nonce, 2, self.epoch, self.remaining_ns, False)

    def on_acknowledged(
        self, service: str, number: int, fenced: bool, incarnation: int, evidence: str
    ) -> None:
        self.acknowledged[number] = (fenced, incarnation, evidence)

    def on_refused(self, service: str, code: str, evidence: str) -> None:
        self.refused.append(code)


@pytest.fixture
async def desk(tmp_path: Path, pki: Pki) -> AsyncIterator[tuple[Host, Callbacks, GuardDesk]]:
    heard = Callbacks()
    made = GuardDesk(
        "127.0.0.1",
        0,
        pki.controller("durham"),
        "durham",
        ["crm"],
        heard,
        guard_every_seconds=EVERY_SECONDS,
    )
    heard.desk = made
    await made.start()
    host = Host(tmp_path, pki)
    host.settings["controllers"] = [f"127.0.0.1:{made.port}"]
    yield host, heard, made
    host.end()
    await made.aclose()


async def until(condition: Any, what: str) -> None:
    try:
        async with asyncio.timeout(20):
            while not condition():
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(what) from None


async def test_they_understand_each_other(desk: tuple[Host, Callbacks, GuardDesk]) -> None:
    host, heard, made = desk
    await asyncio.to_thread(host.start_only)
    await until(lambda: heard.hello is not None, "a hello")
    assert heard.hello is not None
    assert heard.hello.protects == ("controller-stall",)
    heard.remaining_ns = 30 * 10**9
    await until(host.permit.exists, "a permit")
    await until(lambda: heard.open[-1], "a question of an open guard")
    assert made.order("crm", 7, "learn", 5, "a new incarnation")
    await until(lambda: 7 in heard.acknowledged, "the lesson's acknowledgement")
    assert heard.acknowledged[7][:2] == (False, 5)
    await until(lambda: "older-incarnation" in heard.refused, "the refusal of incarnation 2")
    assert made.order("crm", 8, "fence", 5, "a test")
    await until(lambda: 8 in heard.acknowledged, "the fence's acknowledgement")
    assert heard.acknowledged[8][0] is True
    assert not host.permit.exists()
