"""Probe kind `sql`: really run a query, on a kept connection. PostgreSQL; knows asyncpg.

The connection is kept from try to try and made anew when it broke: a broken one costs no failed result,
because a fresh one is tried within the same try. A probe changes nothing: its sessions are read only,
and the server itself ends a query at the deadline, so that tries that hang do not pile up there.
"""

import os
import ssl
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

import asyncpg
import structlog
from pydantic import Field, SecretStr

from probes.errors import ProbeBroken
from probes.model import ProbeResult
from probes.names import Names
from probes.place import Place
from probes.reasons import Reason
from probes.settings import Endpoint, Reach
from probes.trust import TlsContext
from probes.trying import Outcome, Trail, attempt, down, outcome_of, unknown, up

_log = structlog.get_logger(__name__)

CLOSE_SECONDS = 1.0
# The server may need a moment longer than we wait; it must only be sure to stop some time.
_SERVER_GRACE_SECONDS = 0.5

# The last is what asyncpg says when the server hung up just before it was asked.
_DATABASE_ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)

Value = bool | int | float | str


class SqlSettings(Reach):
    """Settings of an `sql` probe beside the common ones. Without `value` and `rows` any answer will do."""

    default_port: ClassVar[int | None] = 5432

    database: str = Field(description="the database to connect to")
    user: str = Field(description="the account to connect as; it needs no more than to read")
    password: SecretStr | None = Field(None, description="its password; none when the server asks for none")
    query: str = Field("SELECT 1", min_length=1, description="one statement, which changes nothing")
    rows: Literal["any", "some", "none"] = Field("any", description="whether there must be a row, or none")
    value: Value | None = Field(None, description="what the first column of the first row must be")
    tls: Literal["off", "require", "verify"] = Field(
        "off", description="whether the connection is encrypted, and the certificate checked against the name"
    )
    ca: str | None = Field(
        None, description="PEM file of the CA to trust instead of the system's; relative to the estate file"
    )


class SqlProbe:
    """Watches one database by one query."""

    def __init__(
        self,
        settings: SqlSettings,
        endpoint: Endpoint,
        *,
        base: Path,
        names: Names,
        on_lost: Callable[[], None],
        now_ns: Callable[[], int],
    ) -> None:
        self._settings = settings
        self._endpoint = endpoint
        ca = None if settings.ca is None else base / settings.ca
        self._tls = TlsContext(verify=settings.tls == "verify", ca=ca)
        self._names = names
        self._on_lost = on_lost
        self._now_ns = now_ns
        self._kept: asyncpg.Connection | None = None
        self._closed = False

    async def try_once(self, *, timeout_seconds: float) -> ProbeResult:
        """Run the query once."""

        async def body(trail: Trail) -> Outcome:
            try:
                return await self._query(trail, timeout_seconds)
            except _DATABASE_ERRORS as error:
                return _outcome_of_database_error(error)
            except ssl.SSLCertVerificationError:
                self._tls.forget()
                raise

        where = f"{self._settings.user}@{self._endpoint}/{self._settings.database}"
        return await attempt(
            f"{self._settings.query} as {where}",
            body,
            timeout_seconds=timeout_seconds,
            now_ns=self._now_ns,
        )

    async def _query(self, trail: Trail, timeout_seconds: float) -> Outcome:
        # Taken for the time of the try: a try that overlaps with this one makes a connection of its own.
        kept, self._kept = self._kept, None
        if kept is not None:
            trail.reached = "asking on the kept connection"
            try:
                return await self._ask(kept)
            except (OSError, *_DATABASE_ERRORS):
                if not kept.is_closed():
                    raise
                # It broke, perhaps long ago. Whether the database answers now is another question.
        fresh = await self._connect(trail, timeout_seconds)
        trail.reached = "connected, asking"
        return await self._ask(fresh)

    async def _ask(self, connection: asyncpg.Connection) -> Outcome:
        try:
            row = await connection.fetchrow(self._settings.query)
        except asyncpg.PostgresError as error:
            if _ends_connection(error):
                connection.terminate()
            self._keep(connection)
            raise
        except BaseException:
            # Also cancelled at the deadline: never close() here, it waits for a server that hangs.
            connection.terminate()
            raise
        self._keep(connection)
        return _judge(self._settings, row)

    async def _connect(self, trail: Trail, timeout_seconds: float) -> asyncpg.Connection:
        addresses = await self._names.addresses(self._endpoint.host, timeout_seconds=timeout_seconds)
        trail.reached = f"connecting to {', '.join(addresses)}"
        # A certificate is checked against the name; everything else goes to the address just found.
        host = self._endpoint.host if self._settings.tls == "verify" else list(addresses)
        secret = self._settings.password
        connection = await asyncpg.connect(
            host=host,
            port=self._endpoint.port,
            user=self._settings.user,
            # Given even when empty, like passfile: nothing is taken from the environment or the home folder.
            password=secret.get_secret_value() if secret is not None else "",
            passfile=os.devnull,
            database=self._settings.database,
            ssl=False if self._settings.tls == "off" else self._tls.get(),
            target_session_attrs="any",
            statement_cache_size=0,  # the query's tables may be made anew under it
            timeout=timeout_seconds,
            server_settings={"application_name": "twinsite-probe"},
        )
        limit_ms = round((timeout_seconds + _SERVER_GRACE_SECONDS) * 1000)
        try:
            await connection.execute(
                f"SET statement_timeout = {limit_ms}; SET default_transaction_read_only = on"
            )
        except BaseException:
            connection.terminate()
            raise
        connection.add_termination_listener(self._terminated)
        return connection

    def _keep(self, connection: asyncpg.Connection) -> None:
        if self._kept is not None or self._closed:
            connection.terminate()
        elif not connection.is_closed():
            self._kept = connection

    def _terminated(self, connection: Any) -> None:
        """Called by asyncpg for every connection that ended. Only an idle, kept one is news."""
        if self._kept is connection:
            self._kept = None
            _log.info("probe_connection_lost", target=str(self._endpoint))
            self._on_lost()

    async def aclose(self) -> None:
        """Take leave of the server, or of the connection where the server does not answer."""
        self._closed = True
        kept, self._kept = self._kept, None
        if kept is not None:
            try:
                await kept.close(timeout=CLOSE_SECONDS)
            except (OSError, *_DATABASE_ERRORS):
                kept.terminate()


def _ends_connection(error: asyncpg.PostgresError) -> bool:
    """Whether the server said goodbye, in contrast to a query that was answered with an error."""
    if isinstance(error, asyncpg.QueryCanceledError):
        return False
    return isinstance(error, asyncpg.PostgresConnectionError | asyncpg.OperatorInterventionError)


def _judge(settings: SqlSettings, row: "asyncpg.Record | None") -> Outcome:
    if row is None:
        if settings.rows == "some" or settings.value is not None:
            return down(Reason.WRONG_ANSWER, "no row; expected at least one")
        return up(Reason.ANSWERED, "no row")
    first = row[0] if len(row) else None
    measure = (
        float(first) if isinstance(first, int | float | Decimal) and not isinstance(first, bool) else None
    )
    if settings.rows == "none":
        return down(Reason.WRONG_ANSWER, f"a row beginning with {first!r}; expected none", measure)
    if settings.value is not None and not _same(settings.value, first):
        return down(Reason.WRONG_ANSWER, f"{first!r}; expected {settings.value!r}", measure)
    return up(Reason.ANSWERED, f"{first!r}", measure)


def _same(expected: Value, found: Any) -> bool:
    if isinstance(expected, bool) or isinstance(found, bool):
        return expected is found
    if isinstance(expected, int | float):
        try:
            return float(found) == float(expected)
        except (TypeError, ValueError):
            return False
    return str(found) == expected


def _outcome_of_database_error(error: Exception) -> Outcome:
    text = f"{error} ({getattr(error, 'sqlstate', None) or type(error).__name__})"
    match error:
        case asyncpg.InvalidAuthorizationSpecificationError():
            # The server is there and refuses our account: that is the probe's key, not the service's health.
            return unknown(Reason.LOGIN_REFUSED, text)
        case asyncpg.InsufficientPrivilegeError():
            return unknown(Reason.NOT_PERMITTED, text)
        case asyncpg.PostgresSyntaxError() | asyncpg.ReadOnlySQLTransactionError():
            return unknown(Reason.QUERY_INVALID, text)
        case asyncpg.InvalidCatalogNameError():
            return down(Reason.DATABASE_UNKNOWN, text)
        case asyncpg.TooManyConnectionsError():
            return down(Reason.FULL, text)
        case asyncpg.CannotConnectNowError():
            return down(Reason.STARTING, text)
        case asyncpg.QueryCanceledError():
            return down(Reason.TIMED_OUT, text)
        case asyncpg.PostgresConnectionError() | asyncpg.OperatorInterventionError():
            return down(Reason.RESET, text)
        case asyncpg.PostgresError():
            return down(Reason.QUERY_FAILED, text)
        case asyncpg.exceptions.ProtocolError():
            return down(Reason.WRONG_ANSWER, f"what came back is not PostgreSQL: {text}")
        case _ if isinstance(cause := error.__cause__, OSError):
            return outcome_of(cause)
        case _:
            raise ProbeBroken(f"the database library refused to try: {text}") from error


def build(settings: SqlSettings, place: Place) -> SqlProbe:
    """The probe of one place. Raises SettingsInvalid."""
    context = place.context
    return SqlProbe(
        settings,
        settings.endpoint(place.site),
        base=context.base,
        names=context.names,
        on_lost=partial(context.on_lost, place.service.name, place.site.name),
        now_ns=context.now_ns,
    )
