"""The tcp probe against real listeners."""

import asyncio
import socket

import pytest

from tests.probes.worlds import closed_port, estate, hang, hang_up, listening, probe, summary, tried


async def test_a_listener_that_accepts_is_up() -> None:
    async with listening(hang) as port:
        result = await tried("tcp", address=f"127.0.0.1:{port}")
    assert summary(result) == ("up", "answered")
    assert result.tried == f"TCP connection to 127.0.0.1:{port}"
    assert result.at_ns > 0
    assert result.duration_seconds > 0


async def test_a_host_of_the_site_is_found_by_its_role() -> None:
    async with listening(hang) as port:
        result = await tried("tcp", world=estate(**{"crm-db": "127.0.0.1"}), host="crm-db", port=port)
    assert summary(result) == ("up", "answered")


async def test_a_port_nobody_listens_on_is_refused() -> None:
    result = await tried("tcp", address=f"127.0.0.1:{closed_port()}")
    assert summary(result) == ("down", "refused")


async def test_an_expected_greeting_is_up_and_is_the_evidence() -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for part in (b"220 mail", b".example ready\r\n"):
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0)
        await hang(reader, writer)

    async with listening(greet) as port:
        result = await tried("tcp", address=f"127.0.0.1:{port}", expect=r"^220 .* ready")
    assert summary(result) == ("up", "answered")
    assert result.answered == r"220 mail.example ready\r\n"


async def test_what_it_sends_arrives_and_the_answer_is_judged() -> None:
    async def echo_shouting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.readline()).upper())
        await writer.drain()

    async with listening(echo_shouting) as port:
        good = await tried("tcp", address=f"127.0.0.1:{port}", send="ruok\n", expect="^RUOK")
        bad = await tried("tcp", address=f"127.0.0.1:{port}", send="ruok\n", expect="^imok")
    assert summary(good) == ("up", "answered")
    assert summary(bad) == ("down", "wrong-answer")
    assert "'^imok'" in bad.answered
    assert "RUOK" in bad.answered


async def test_a_listener_that_never_speaks_times_out_and_the_evidence_says_it_was_connected() -> None:
    async with listening(hang) as port:
        result = await tried("tcp", timeout_seconds=1, address=f"127.0.0.1:{port}", expect="220")
    assert summary(result) == ("down", "timed-out")
    assert result.answered == "no answer within 1s; reached: connected"


async def test_a_connection_closed_without_a_word_is_reset() -> None:
    async with listening(hang_up) as port:
        result = await tried("tcp", address=f"127.0.0.1:{port}", expect="220")
    assert summary(result) == ("down", "reset")


async def test_an_endless_answer_is_read_to_a_bound_and_shown_to_a_bound() -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"\x1b[31mno" * 500)
            await writer.drain()

    async with listening(babble) as port:
        result = await tried("tcp", address=f"127.0.0.1:{port}", expect="yes")
    assert summary(result) == ("down", "wrong-answer")
    assert len(result.answered) <= 500
    assert "\x1b" not in result.answered


async def test_a_name_nobody_knows_says_nothing_about_the_target() -> None:
    result = await tried("tcp", address="no-such-host.invalid:80")
    assert result.verdict.value == "unknown"
    assert result.reason in ("name-unknown", "resolver-failed")


async def test_every_address_of_a_name_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolver(host: str, *_args: object, **_kwargs: object) -> list[object]:
        assert host == "listener.example"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"127.0.0.{last}", 0)) for last in (3, 2, 1)]

    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    async with listening(hang) as port:  # on 127.0.0.1, the last
        result = await tried("tcp", address=f"listener.example:{port}")
    assert summary(result) == ("up", "answered")
    nobody = await tried("tcp", address=f"listener.example:{closed_port()}")
    assert summary(nobody) == ("down", "refused")


async def test_a_cancelled_try_leaves_no_connection_behind() -> None:
    gone = asyncio.Event()

    async def watch(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.set()
        try:
            await reader.read()
        finally:
            gone.set()

    connected = asyncio.Event()
    async with listening(watch) as port:
        made = probe("tcp", address=f"127.0.0.1:{port}", expect="never")
        task = asyncio.create_task(made.try_once(timeout_seconds=60))
        await connected.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with asyncio.timeout(10):
            await gone.wait()
