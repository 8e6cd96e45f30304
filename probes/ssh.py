"""Probe kind `ssh`: run a command on a host of the site; look at its exit status and its output.

Over the shared transport, which keeps one connection per host. What hinders us from logging in (key,
password, a changed host key) is UNKNOWN: it says nothing about the service.
"""

import re
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from probes.model import ProbeResult
from probes.place import Place
from probes.reasons import Reason
from probes.settings import Pattern, PerSite, ProbeSettings, host_of, one_or_many
from probes.trying import Outcome, Trail, attempt, bounded, down, outcome_of, unknown, up
from sites.errors import (
    AccessDenied,
    CommandRefused,
    CommandTimedOut,
    ConnectionBroken,
    HostKeyChanged,
    HostUnreachable,
    KnownHostsUnreadable,
    OwnKeyUnusable,
    SitesTrouble,
)
from sites.model import Host, Name
from sites.transport import Completed, Transport


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, int) else value


ExitStatuses = Annotated[
    tuple[Annotated[int, Field(ge=0, le=255)], ...],
    BeforeValidator(_as_list),
    one_or_many({"type": "integer", "minimum": 0, "maximum": 255}),
]


class SshSettings(ProbeSettings):
    """Settings of an `ssh` probe beside the common ones."""

    host: PerSite[Name] = Field(description="the host of the site on which the command runs")
    run: str = Field(min_length=1, description="the command line, for the host's shell")
    exit_status: ExitStatuses = Field((0,), description="the good exit statuses; one or a list")
    matches: Pattern | None = Field(None, description="regular expression that its output must match")


class SshProbe:
    """Watches what one command on one host says."""

    def __init__(
        self, settings: SshSettings, host: Host, *, transport: Transport, now_ns: Callable[[], int]
    ) -> None:
        self._settings = settings
        self._host = host
        self._transport = transport
        self._now_ns = now_ns

    async def try_once(self, *, timeout_seconds: float) -> ProbeResult:
        """Run the command once."""

        async def body(trail: Trail) -> Outcome:
            trail.reached = "asking the host"
            try:
                completed = await self._transport.run(
                    self._host, self._settings.run, timeout_seconds=timeout_seconds
                )
            except SitesTrouble as error:
                return _outcome_of_trouble(error)
            return _judge(self._settings, completed)

        return await attempt(
            f"{self._settings.run} on {self._host.name or self._host.address}",
            body,
            timeout_seconds=timeout_seconds,
            now_ns=self._now_ns,
        )

    async def aclose(self) -> None:
        """Nothing is kept here; the transport has an owner."""


def _judge(settings: SshSettings, completed: Completed) -> Outcome:
    said = bounded(completed.stdout.strip() or completed.stderr.strip() or "nothing", 300)
    if completed.exit_status not in settings.exit_status:
        expected = " or ".join(map(str, settings.exit_status))
        return down(
            Reason.WRONG_STATUS, f"exit status {completed.exit_status}; expected {expected}; it said: {said}"
        )
    if settings.matches is not None and not re.search(settings.matches, completed.stdout):
        return down(Reason.WRONG_ANSWER, f"nothing matches {settings.matches!r}; it said: {said}")
    return up(Reason.ANSWERED, f"exit status {completed.exit_status}; it said: {said}")


def _outcome_of_trouble(error: SitesTrouble) -> Outcome:
    match error:
        case OwnKeyUnusable() | KnownHostsUnreadable():
            # The host was not asked: this is no word of it, not even that it is there.
            return unknown(Reason.OWN_SIDE, str(error))
        case AccessDenied():
            return unknown(Reason.LOGIN_REFUSED, str(error))
        case HostKeyChanged():
            return unknown(Reason.HOST_KEY_CHANGED, str(error))
        case CommandTimedOut():
            return down(Reason.TIMED_OUT, str(error))
        case ConnectionBroken():
            return down(Reason.RESET, str(error))
        case HostUnreachable():
            # The socket's own word, where there is one, tells refused from silent from our own side.
            if isinstance(cause := error.__cause__, OSError):
                outcome = outcome_of(cause)
                return Outcome(outcome.verdict, outcome.reason, str(error))
            return down(Reason.UNREACHABLE, str(error))
        case CommandRefused():
            return unknown(Reason.NOT_PERMITTED, str(error))
        case _:
            raise error


def build(settings: SshSettings, place: Place) -> SshProbe:
    """The probe of one place. Raises SettingsInvalid."""
    return SshProbe(
        settings,
        host_of(settings.host, place.site),
        transport=place.context.transport,
        now_ns=place.context.now_ns,
    )
