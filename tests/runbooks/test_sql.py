"""Statements of steps against a real PostgreSQL: bounded rows, honest errors, nothing left open."""

import contextlib
import os
import signal
from collections.abc import Iterator

import pytest

from runbooks.errors import ActionMisused
from runbooks.sql import CELL_LIMIT_CHARACTERS, ROWS_LIMIT, PostgresSql
from sites.errors import AccessDenied, CommandTimedOut, ConnectionBroken, DriverTrouble, HostUnreachable
from sites.model import Estate
from sites.replication.postgres.config import PostgresSettings
from tests.probes.database import PASSWORD, Database, running
from tests.probes.worlds import closed_port
from tests.runbooks.worlds import ESTATE

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def database() -> Iterator[Database]:
    """One server for all tests here."""
    with running() as server:
        yield server


def asker(port: int, password: str = PASSWORD, estate: Estate = ESTATE) -> PostgresSql:
    instance = {"host": "crm-db", "address": "127.0.0.1", "port": port, "data": "/d", "bin": "/b"}
    settings = PostgresSettings.model_validate(
        {
            "user": "probe",
            "password": password,
            "replication_password": "unused",
            "tls": "off",
            "instances": {"morpeth": instance},
        }
    )
    return PostgresSql(estate, settings)


async def test_rows_come_back_as_text_within_their_bound(database: Database) -> None:
    ask = asker(database.port)
    rows = await ask(
        "morpeth",
        "select n, n > 1 as more, null as none from generate_series(1, 1000) n",
        (),
        timeout_seconds=10,
    )
    assert rows.columns == ("n", "more", "none")
    assert rows.rows[:2] == (("1", "false", None), ("2", "true", None))
    assert (len(rows.rows), rows.more) == (ROWS_LIMIT, True)
    wide = await ask("morpeth", "select repeat('x', 100000)", (), timeout_seconds=10)
    assert len(wide.rows[0][0] or "") == CELL_LIMIT_CHARACTERS


async def test_values_are_bound_and_never_read_as_sql(database: Database) -> None:
    evil = "'; drop table x; --"
    rows = await asker(database.port)("morpeth", "select $1::text", (evil,), timeout_seconds=10)
    assert rows.rows == ((evil,),)


async def test_what_is_written_stays_written_and_what_needs_no_transaction_has_none(
    database: Database,
) -> None:
    ask = asker(database.port)
    created = await ask("morpeth", "create table if not exists t (n int)", (), timeout_seconds=10)
    assert created.rows == (("CREATE TABLE",),)
    inserted = await ask(
        "morpeth", "insert into t values ($1::text::int) returning n", ("5",), timeout_seconds=10
    )
    assert inserted.rows == (("5",),)
    assert (await ask("morpeth", "select count(*) from t", (), timeout_seconds=10)).rows == (("1",),)
    assert (await ask("morpeth", "vacuum t", (), timeout_seconds=10)).rows == (("VACUUM",),)


@pytest.mark.parametrize(
    ("statement", "values", "error", "said"),
    [
        ("select from nowhere", (), DriverTrouble, "nowhere"),
        ("select $1::text", (), DriverTrouble, ""),
        ("select $1::int", ("five",), DriverTrouble, ""),
        ("select 1; select 2", (), DriverTrouble, "multiple"),
        ("select pg_sleep(30)", (), CommandTimedOut, "did not answer"),
        ("select pg_terminate_backend(pg_backend_pid())", (), ConnectionBroken, ""),
    ],
)
async def test_what_the_database_says_is_passed_on(
    database: Database, statement: str, values: tuple[str, ...], error: type[Exception], said: str
) -> None:
    limit = 0.5 if "sleep" in statement else 10
    with pytest.raises(error, match=said or None):
        await asker(database.port)("morpeth", statement, values, timeout_seconds=limit)


async def test_a_wrong_password_and_a_server_that_is_not_there_are_told_apart(database: Database) -> None:
    with pytest.raises(AccessDenied, match="refused the login"):
        await asker(database.port, "wrong")("morpeth", "select 1", (), timeout_seconds=10)
    with pytest.raises(HostUnreachable, match="cannot be reached"):
        await asker(closed_port())("morpeth", "select 1", (), timeout_seconds=10)
    with pytest.raises(ActionMisused, match="no database at durham"):
        await asker(database.port)("durham", "select 1", (), timeout_seconds=10)


async def test_a_server_that_hangs_costs_the_steps_time_and_no_more(database: Database) -> None:
    postmaster = int((database.folder / "data" / "postmaster.pid").read_text().split()[0])
    os.kill(postmaster, signal.SIGSTOP)
    try:
        with pytest.raises((HostUnreachable, CommandTimedOut)):
            await asker(database.port)("morpeth", "select 1", (), timeout_seconds=0.5)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(postmaster, signal.SIGCONT)
