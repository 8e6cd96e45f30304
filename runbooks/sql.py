"""Ask a service's PostgreSQL one statement, for `sql` steps and questions. Knows asyncpg.

A connection of its own for each statement: steps are few, and a kept one might be the old primary's.
What comes back is text within a bound. Never decides what an answer means.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import asyncpg

from runbooks.context import Rows
from runbooks.errors import ActionMisused
from sites.errors import (
    AccessDenied,
    CommandTimedOut,
    ConnectionBroken,
    DriverTrouble,
    HostUnreachable,
)
from sites.model import Estate
from sites.replication.postgres.config import PostgresSettings
from sites.replication.postgres.server import client_tls

ROWS_LIMIT = 50
CELL_LIMIT_CHARACTERS = 200

_CLOSE_SECONDS = 1.0


class PostgresSql:
    """The service's two instances, as the driver's settings name them. A `Sql`."""

    def __init__(self, estate: Estate, settings: PostgresSettings, base: Path = Path()) -> None:
        self._estate = estate
        self._settings = settings
        self._tls = client_tls(settings, base)

    async def __call__(
        self, site: str, statement: str, values: Sequence[str], *, timeout_seconds: float
    ) -> Rows:
        """Run one statement. See `Sql` for what is raised."""
        if site not in self._settings.instances:
            raise ActionMisused(f"this service has no database at {site}")
        where = f"the database at {site}"
        connection: asyncpg.Connection | None = None
        try:
            async with asyncio.timeout(timeout_seconds):
                connection = await self._connect(site)
                rows = await _rows(connection, statement, values)
                await connection.close(timeout=_CLOSE_SECONDS)
                return rows
        except TimeoutError as error:
            if connection is None:
                raise HostUnreachable(f"{where}: no connection within {timeout_seconds:g} s") from error
            raise CommandTimedOut(f"{where} did not answer within {timeout_seconds:g} s") from error
        except asyncpg.InvalidAuthorizationSpecificationError as error:
            raise AccessDenied(f"{where} refused the login of {self._settings.user}: {error}") from error
        except asyncpg.CannotConnectNowError as error:
            raise HostUnreachable(f"{where} takes no connections now: {error}") from error
        except (asyncpg.PostgresConnectionError, asyncpg.AdminShutdownError) as error:
            raise _broken(where, error) from error
        except asyncpg.PostgresError as error:
            raise DriverTrouble(f"{where} said: {error} ({error.sqlstate})") from error
        except (asyncpg.InterfaceError, asyncpg.exceptions.InternalClientError, ValueError) as error:
            # The library complains of a closed connection in many words.
            if connection is not None and connection.is_closed():
                raise _broken(where, error) from error
            raise DriverTrouble(f"{where}: {error}") from error
        except OSError as error:
            if connection is None:
                raise HostUnreachable(f"{where} cannot be reached: {error}") from error
            raise _broken(where, error) from error
        finally:
            # Without waiting, whatever happened: an orderly close waits for a server that may hang.
            if connection is not None:
                connection.terminate()

    async def _connect(self, site: str) -> "asyncpg.Connection":
        settings, instance = self._settings, self._settings.instances[site]
        host = self._estate.sites[site].hosts[instance.host]
        return await asyncpg.connect(
            host=instance.address or host.address,
            port=instance.port,
            user=settings.user,
            password=settings.password.get_secret_value(),
            database=settings.database,
            ssl=await asyncio.to_thread(self._tls.for_connection),
            target_session_attrs="any",
            server_settings={"application_name": "twinsite-step"},
        )


def _broken(where: str, error: Exception) -> ConnectionBroken:
    return ConnectionBroken(f"{where}: the connection broke while it was asked: {error}")


async def _rows(connection: "asyncpg.Connection", statement: str, values: Sequence[str]) -> Rows:
    prepared = await connection.prepare(statement)
    columns = tuple(column.name for column in prepared.get_attributes())
    if not columns:
        # Outside of a transaction: some statements (CHECKPOINT, VACUUM) allow no other way.
        await prepared.fetch(*values)
        return Rows(("result",), ((prepared.get_statusmsg(),),))
    async with connection.transaction():
        cursor = await prepared.cursor(*values)
        found = await cursor.fetch(ROWS_LIMIT + 1)
    rows = tuple(tuple(_cell(cell) for cell in row) for row in found[:ROWS_LIMIT])
    return Rows(columns, rows, len(found) > ROWS_LIMIT)


def _cell(value: object) -> str | None:
    if value is None:
        return None
    text = ("true" if value else "false") if isinstance(value, bool) else str(value)
    return text if len(text) <= CELL_LIMIT_CHARACTERS else text[: CELL_LIMIT_CHARACTERS - 1] + "…"
