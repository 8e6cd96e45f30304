"""The sql probe against a real PostgreSQL, and against things that are none."""

import asyncio
import contextlib
import os
import signal
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from probes.model import Probe
from probes.place import ProbeContext
from tests.probes.certificates import Authority
from tests.probes.database import PASSWORD, Database, running
from tests.probes.worlds import Serve, closed_port, context, hang, hang_up, listening, probe, summary, tried


@pytest.fixture(scope="module")
def database() -> Iterator[Database]:
    """One server for all tests here; a test that stops it starts it again."""
    with running() as server:
        yield server


def keys(server: Database, **more: Any) -> dict[str, Any]:
    return {
        "address": f"127.0.0.1:{server.port}",
        "database": "postgres",
        "user": "probe",
        "password": PASSWORD,
        **more,
    }


@asynccontextmanager
async def open_probe(
    database: Database, using: ProbeContext | None = None, **more: Any
) -> AsyncIterator[Probe]:
    made = probe("sql", using=using, **keys(database, **more))
    try:
        yield made
    finally:
        await made.aclose()


@asynccontextmanager
async def session(database: Database) -> AsyncIterator[Any]:
    """A session of the test's own, to look from outside."""
    connection = await asyncpg.connect(
        host="127.0.0.1", port=database.port, user="probe", password=PASSWORD, database="postgres", ssl=False
    )
    try:
        yield connection
    finally:
        await connection.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, ("up", "answered")),
        ({"query": "SELECT 1 WHERE false"}, ("up", "answered")),
        ({"query": "SELECT 1 WHERE false", "rows": "some"}, ("down", "wrong-answer")),
        ({"query": "SELECT 1 WHERE false", "value": 1}, ("down", "wrong-answer")),
        ({"query": "SELECT 1 WHERE false", "rows": "none"}, ("up", "answered")),
        ({"query": "SELECT 1", "rows": "none"}, ("down", "wrong-answer")),
        ({"query": "SELECT 42, 'x'", "value": 42}, ("up", "answered")),
        ({"query": "SELECT 42.0::numeric", "value": 42}, ("up", "answered")),
        ({"query": "SELECT 41", "value": 42}, ("down", "wrong-answer")),
        ({"query": "SELECT 'open'", "value": "open"}, ("up", "answered")),
        ({"query": "SELECT 'shut'", "value": "open"}, ("down", "wrong-answer")),
        ({"query": "SELECT 'shut'", "value": 7}, ("down", "wrong-answer")),
        ({"query": "SELECT pg_is_in_recovery()", "value": False}, ("up", "answered")),
        ({"query": "SELECT pg_is_in_recovery()", "value": True}, ("down", "wrong-answer")),
        ({"query": "SELECT null", "value": "x"}, ("down", "wrong-answer")),
        ({"query": "SELECT generate_series(1, 1000000000)"}, ("up", "answered")),
        ({"query": "SELECT 1/0"}, ("down", "query-failed")),
        ({"query": "SELECT * FROM gone"}, ("down", "query-failed")),
        ({"query": "SELEKT 1"}, ("unknown", "query-invalid")),
        ({"query": "SELECT 1; SELECT 2"}, ("unknown", "query-invalid")),
        ({"query": "CREATE TABLE written (a int)"}, ("unknown", "query-invalid")),
        ({"query": "SELECT pg_terminate_backend(pg_backend_pid())"}, ("down", "reset")),
        ({"password": "wrong"}, ("unknown", "login-refused")),
        ({"password": None}, ("unknown", "login-refused")),
        ({"user": "nobody-knows"}, ("unknown", "login-refused")),
        ({"database": "absent"}, ("down", "database-unknown")),
    ],
)
async def test_a_query_is_really_run_and_its_answer_judged(
    database: Database, more: dict[str, Any], expected: tuple[str, str]
) -> None:
    result = await tried("sql", **keys(database, **more))
    assert summary(result) == expected, result
    assert PASSWORD not in repr(result)


@pytest.mark.slow
async def test_a_number_is_the_measure(database: Database) -> None:
    number = await tried("sql", **keys(database, query="SELECT 2.5::numeric"))
    assert (number.measure, number.answered) == (2.5, "Decimal('2.5')")
    truth = await tried("sql", **keys(database, query="SELECT true"))
    assert truth.measure is None


@pytest.mark.slow
async def test_the_connection_is_kept_between_tries(database: Database) -> None:
    async with open_probe(database, query="SELECT pg_backend_pid()") as made:
        first = await made.try_once(timeout_seconds=30)
        second = await made.try_once(timeout_seconds=30)
    assert first.measure == second.measure


@pytest.mark.slow
async def test_a_query_that_fails_keeps_the_connection_and_its_own_result(database: Database) -> None:
    query = (
        "SELECT 1 / (EXTRACT(epoch FROM clock_timestamp() - backend_start)::int * 0) FROM pg_stat_activity"
    )
    async with open_probe(database, query=query) as made:
        for _ in range(2):
            result = await made.try_once(timeout_seconds=30)
            assert summary(result) == ("down", "query-failed")
            assert "division by zero" in result.answered


@pytest.mark.slow
async def test_tries_that_overlap_each_have_a_connection_and_one_is_kept(database: Database) -> None:
    query = "SELECT pg_backend_pid() FROM pg_sleep(0.2)"
    async with open_probe(database, query=query) as made:
        results = await asyncio.gather(*(made.try_once(timeout_seconds=20) for _ in range(3)))
        after = await made.try_once(timeout_seconds=20)
        assert len({result.measure for result in results}) == 3
        assert after.measure in {result.measure for result in results}


@pytest.mark.slow
async def test_a_kept_connection_that_was_ended_costs_no_failed_result(database: Database) -> None:
    async with open_probe(database, query="SELECT pg_backend_pid()") as made:
        first = await made.try_once(timeout_seconds=30)
        async with session(database) as look:
            await look.fetchval("SELECT pg_terminate_backend($1)", int(first.measure or 0))
        again = await made.try_once(timeout_seconds=30)
    assert summary(again) == ("up", "answered")
    assert again.measure != first.measure


@pytest.mark.slow
async def test_a_kept_connection_that_breaks_while_nobody_tries_is_reported_at_once(
    database: Database,
) -> None:
    lost: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
    using = context(on_lost=lambda service, site: lost.put_nowait((service, site)))
    async with open_probe(database, using, query="SELECT pg_backend_pid()") as made:
        first = await made.try_once(timeout_seconds=30)
        async with session(database) as look:
            await look.fetchval("SELECT pg_terminate_backend($1)", int(first.measure or 0))
        async with asyncio.timeout(20):
            assert await lost.get() == ("crm", "durham")
    assert lost.empty()  # our own close is no news


@pytest.mark.slow
async def test_a_query_that_hangs_times_out_here_and_is_ended_there(database: Database) -> None:
    async with open_probe(database, query="SELECT pg_sleep(600)") as made:
        result = await made.try_once(timeout_seconds=0.3)
        assert summary(result) == ("down", "timed-out")
        async with session(database) as look:
            for _ in range(400):
                if not await look.fetchval(
                    "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'"
                ):
                    break
                await asyncio.sleep(0.05)
            else:
                pytest.fail("the query still runs on the server")


@pytest.mark.slow
async def test_a_frozen_server_times_out_and_the_probe_recovers_when_it_thaws(database: Database) -> None:
    async with open_probe(database, query="SELECT pg_backend_pid()") as made:
        first = await made.try_once(timeout_seconds=30)
        backend = int(first.measure or 0)
        os.kill(backend, signal.SIGSTOP)
        try:
            frozen = await made.try_once(timeout_seconds=0.3)
        finally:
            os.kill(backend, signal.SIGCONT)
        assert summary(frozen) == ("down", "timed-out")
        assert frozen.answered.endswith("reached: asking on the kept connection")
        assert summary(await made.try_once(timeout_seconds=30)) == ("up", "answered")


@pytest.mark.slow
async def test_a_stopped_server_is_refused_and_found_again_when_it_is_back(database: Database) -> None:
    async with open_probe(database) as made:
        assert summary(await made.try_once(timeout_seconds=30)) == ("up", "answered")
        await asyncio.to_thread(database.stop)
        try:
            assert summary(await made.try_once(timeout_seconds=30)) == ("down", "refused")
        finally:
            await asyncio.to_thread(database.start)
        assert summary(await made.try_once(timeout_seconds=30)) == ("up", "answered")


@pytest.mark.slow
async def test_a_server_with_no_connection_left_is_full(database: Database) -> None:
    plain = {"user": "plain", "password": "plain"}
    async with session(database) as look, contextlib.AsyncExitStack() as held:
        await look.execute("CREATE ROLE plain LOGIN PASSWORD 'plain'")
        held.push_async_callback(look.execute, "DROP ROLE plain")

        async def take_all() -> None:
            for _ in range(20):
                connection = await asyncpg.connect(
                    host="127.0.0.1", port=database.port, database="postgres", ssl=False, **plain
                )
                held.push_async_callback(connection.close)

        with pytest.raises(asyncpg.TooManyConnectionsError):
            await take_all()
        result = await tried("sql", **keys(database, **plain))
    assert summary(result) == ("down", "full")


@pytest.mark.slow
async def test_what_the_probe_s_account_may_not_read_is_not_the_service_s_fault(database: Database) -> None:
    async with session(database) as look:
        await look.execute("CREATE ROLE limited LOGIN PASSWORD 'limited'")
        try:
            more = {"user": "limited", "password": "limited", "query": "SELECT rolpassword FROM pg_authid"}
            result = await tried("sql", **keys(database, **more))
        finally:
            await look.execute("DROP ROLE limited")
    assert summary(result) == ("unknown", "not-permitted")


@pytest.mark.slow
async def test_a_server_without_tls_is_not_spoken_to_in_the_clear(database: Database) -> None:
    for tls in ("require", "verify"):
        result = await tried("sql", **keys(database, tls=tls))
        assert result.verdict.value == "down"
        assert result.reason in ("reset", "tls-failed")


async def test_nobody_listening_is_refused_and_silence_is_timed_out() -> None:
    account = {"database": "postgres", "user": "probe"}
    refused = await tried("sql", address=f"127.0.0.1:{closed_port()}", **account)
    assert summary(refused) == ("down", "refused")
    async with listening(hang) as port:
        silent = await tried("sql", timeout_seconds=0.3, address=f"127.0.0.1:{port}", **account)
    assert summary(silent) == ("down", "timed-out")


async def test_what_hangs_up_or_is_no_postgresql_is_down() -> None:
    async def web_server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(8)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()

    account = {"database": "postgres", "user": "probe"}
    async with listening(hang_up) as port:
        assert summary(await tried("sql", address=f"127.0.0.1:{port}", **account)) == ("down", "reset")
    async with listening(web_server) as port:
        result = await tried("sql", timeout_seconds=1, address=f"127.0.0.1:{port}", **account)
    assert result.verdict.value == "down"


def refusing(sqlstate: str) -> Serve:
    """A server that answers every login with this error."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(8)
        fields = f"SFATAL\0C{sqlstate}\0Mit says why\0\0".encode()
        writer.write(b"E" + (len(fields) + 4).to_bytes(4, "big") + fields)
        await writer.drain()
        await reader.read()

    return serve


@pytest.mark.parametrize(
    ("sqlstate", "expected"),
    [
        ("57P03", ("down", "starting")),
        ("53300", ("down", "full")),
        ("3D000", ("down", "database-unknown")),
        ("57P01", ("down", "reset")),
        ("08P01", ("down", "reset")),
        ("57014", ("down", "timed-out")),
        ("XX000", ("down", "query-failed")),
        ("28P01", ("unknown", "login-refused")),
        ("28000", ("unknown", "login-refused")),
        ("42501", ("unknown", "not-permitted")),
    ],
)
async def test_each_word_of_the_server_has_its_reason(sqlstate: str, expected: tuple[str, str]) -> None:
    async with listening(refusing(sqlstate)) as port:
        result = await tried("sql", address=f"127.0.0.1:{port}", database="postgres", user="probe")
    assert summary(result) == expected
    assert result.answered == f"it says why ({sqlstate})"


async def test_a_certificate_is_checked_before_the_password_is_given(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    tls = authority.server("crm-db.example")
    said = bytearray()

    async def encrypted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(8)
        writer.write(b"S")
        await writer.drain()
        with contextlib.suppress(ssl.SSLError):
            await writer.start_tls(tls)
            said.extend(await reader.read(100))

    account = {"database": "postgres", "user": "probe", "password": PASSWORD}
    async with listening(encrypted) as port:
        result = await tried(
            "sql",
            using=context(base=tmp_path),
            address=f"localhost:{port}",
            tls="verify",
            ca="ca.pem",
            **account,
        )
        assert summary(result) == ("down", "certificate-bad")
        assert not said
        missing = await tried(
            "sql",
            using=context(base=tmp_path),
            address=f"localhost:{port}",
            tls="verify",
            ca="gone.pem",
            **account,
        )
        assert summary(missing) == ("unknown", "own-side")


async def test_nothing_is_taken_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSFILE", "/nonexistent/pgpass")
    monkeypatch.setenv("PGSSLMODE", "verify-full")
    monkeypatch.setenv("PGTARGETSESSIONATTRS", "standby")
    result = await tried(
        "sql", address=f"127.0.0.1:{closed_port()}", database="postgres", user="probe", password="x"
    )
    assert summary(result) == ("down", "refused")


async def test_an_unknown_name_says_nothing_about_the_database() -> None:
    result = await tried("sql", address="no-such-host.invalid:5432", database="postgres", user="probe")
    assert result.verdict.value == "unknown"
