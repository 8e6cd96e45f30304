"""The client of the local API: what it raises, what it bounds, and that following outlives a restart."""

import asyncio
import socket
from pathlib import Path

import pytest

from orchestrator.api import client as client_module
from orchestrator.api.blocking import Controller
from orchestrator.api.client import AnswerUnreadable, Client, NobodyAnswers, Refused, WrongRequest
from orchestrator.api.shapes import MoveOrder, QuietRequest, Refusal, RunDetail
from tests.cli import canned
from tests.cli.fake_controller import FakeController


async def test_status_comes_back_as_it_was_sent(durham: FakeController) -> None:
    async with Client(durham.socket) as client:
        assert await client.status() == canned.steady()


async def test_no_socket_and_no_listener_are_told_apart(estate: Path) -> None:
    path = estate.parent / "controller.sock"
    async with Client(path) as client:
        with pytest.raises(NobodyAnswers, match="there is no such socket") as nobody:
            await client.status()
        assert nobody.value.socket == path
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(str(path))
        with pytest.raises(NobodyAnswers, match="nobody listens"):
            await client.status()


async def test_a_refusal_a_wrong_request_and_a_failure_are_told_apart(durham: FakeController) -> None:
    no = Refusal(code="paused", message="ebs is paused", evidence=["by J. Bell"])
    async with Client(durham.socket) as client:
        durham.says("POST", "/v1/resume", no, status=409)
        with pytest.raises(Refused) as refused:
            await client.resume(QuietRequest(service="ebs"))
        assert refused.value.refusal == no
        durham.says("POST", "/v1/resume", no, status=400)
        with pytest.raises(WrongRequest):
            await client.resume(QuietRequest(service="ebs"))
        durham.says("POST", "/v1/resume", no, status=500)
        with pytest.raises(AnswerUnreadable, match="ebs is paused"):
            await client.resume(QuietRequest(service="ebs"))


async def test_a_controller_that_hangs_is_given_up_at_the_deadline(
    durham: FakeController, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "READ_DEADLINE_SECONDS", 0.2)
    durham.hangs("/v1/status")
    async with Client(durham.socket) as client:
        with pytest.raises(NobodyAnswers, match=r"no answer within 0\.2 s") as nobody:
            await client.status()
    assert not nobody.value.sent


async def test_an_order_without_an_answer_says_that_it_may_have_arrived(durham: FakeController) -> None:
    durham.breaks("/v1/moves")
    async with Client(durham.socket) as client:
        with pytest.raises(NobodyAnswers) as nobody:
            await client.move(MoveOrder(run="ebs-7", confirmed_site="morpeth"))
    assert nobody.value.sent
    assert len(durham.bodies("/v1/moves")) == 1


async def test_an_order_that_reached_nobody_is_known_not_to_have_arrived(estate: Path) -> None:
    async with Client(estate.parent / "controller.sock") as client:
        with pytest.raises(NobodyAnswers) as nobody:
            await client.move(MoveOrder(run="ebs-7", confirmed_site="morpeth"))
    assert not nobody.value.sent


async def test_an_endless_answer_is_refused_and_not_kept(
    durham: FakeController, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "LONGEST_ANSWER_BYTES", 64 * 1024)
    durham.says_raw("GET", "/v1/status", b" " * 1024 * 1024)
    async with Client(durham.socket) as client:
        with pytest.raises(AnswerUnreadable, match="longer than"):
            await client.status()


async def test_following_tells_each_change_once_and_ends_with_the_run(durham: FakeController) -> None:
    first, second, last = canned.whole_run()
    durham.streams(first, first, second, second, last)
    async with Client(durham.socket) as client:
        assert [detail async for detail in client.follow("ebs-failover-7")] == [first, second, last]


async def test_following_goes_on_when_the_stream_ends_before_the_run(durham: FakeController) -> None:
    first, second, last = canned.whole_run()
    durham.streams(first, second)
    seen: list[RunDetail] = []
    async with Client(durham.socket) as client:
        async for detail in client.follow("ebs-failover-7"):
            seen.append(detail)
            durham.streams(first, last)
    assert seen == [first, second, first, last]


async def test_following_outlives_a_restart_of_the_controller(estate: Path) -> None:
    path = estate.parent / "durham" / "controller.sock"
    first, second, last = canned.whole_run()
    seen: list[RunDetail] = []
    with FakeController(path) as before:
        before.streams(first)
        before.hang_after_stream = True
        async with Client(path) as client:
            follow = client.follow("ebs-failover-7")
            seen.append(await anext(follow))
            await asyncio.to_thread(before.stop)
            with FakeController(path) as after:
                after.streams(second, last)
                seen += [detail async for detail in follow]
    assert seen == [first, second, last]


async def test_following_a_controller_that_stays_away_ends(
    estate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "LOST_SECONDS", 0.5)
    path = estate.parent / "durham" / "controller.sock"
    with FakeController(path) as controller:
        controller.streams(canned.run())
        async with Client(path) as client:
            follow = client.follow("ebs-failover-7")
            await anext(follow)
            await asyncio.to_thread(controller.stop)
            with pytest.raises(NobodyAnswers):
                await anext(follow)


async def test_following_a_run_that_nobody_knows_is_a_wrong_request(durham: FakeController) -> None:
    no = Refusal(code="unknown-run", message="no run 'x' is known here")
    durham.says("GET", "/v1/runs/x/follow", no, status=400)
    async with Client(durham.socket) as client:
        with pytest.raises(WrongRequest, match="no run 'x'"):
            await anext(client.follow("x"))


def test_without_async_it_is_the_same(durham: FakeController) -> None:
    durham.streams(*canned.whole_run())
    with Controller(durham.socket) as controller:
        assert controller.status() == canned.steady()
        assert list(controller.follow("ebs-failover-7")) == canned.whole_run()


def test_following_may_be_left_at_any_time(durham: FakeController) -> None:
    durham.streams(*canned.whole_run())
    with Controller(durham.socket) as controller:
        assert next(iter(controller.follow("ebs-failover-7"))) == canned.whole_run()[0]
