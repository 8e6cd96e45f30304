"""Probe kind `tcp`: connect; if wished, say something and look at what comes back.

The connection is made anew for every try, because accepting connections is what is being watched.
"""

import asyncio
import re
from collections.abc import Callable

from pydantic import Field

from probes.connecting import connect
from probes.model import ProbeResult
from probes.names import Names
from probes.place import Place
from probes.reasons import Reason
from probes.settings import Endpoint, Pattern, Reach
from probes.trying import Outcome, Trail, attempt, down, up

ANSWER_LIMIT_BYTES = 4096


class TcpSettings(Reach):
    """Settings of a `tcp` probe beside the common ones."""

    send: str | None = Field(None, description="what to say once connected")
    expect: Pattern | None = Field(None, description="regular expression that the answer must match")


class TcpProbe:
    """Watches one TCP endpoint."""

    def __init__(
        self, settings: TcpSettings, endpoint: Endpoint, *, names: Names, now_ns: Callable[[], int]
    ) -> None:
        self._settings = settings
        self._endpoint = endpoint
        self._names = names
        self._now_ns = now_ns

    async def try_once(self, *, timeout_seconds: float) -> ProbeResult:
        """Connect and, where settings ask for it, speak."""

        async def body(trail: Trail) -> Outcome:
            return await self._speak(trail, timeout_seconds)

        return await attempt(
            f"TCP connection to {self._endpoint}",
            body,
            timeout_seconds=timeout_seconds,
            now_ns=self._now_ns,
        )

    async def _speak(self, trail: Trail, timeout_seconds: float) -> Outcome:
        reader, writer = await connect(
            self._endpoint, names=self._names, trail=trail, timeout_seconds=timeout_seconds
        )
        try:
            trail.reached = "connected"
            if self._settings.send is not None:
                writer.write(self._settings.send.encode())
                await writer.drain()
                trail.reached = "connected and sent"
            if self._settings.expect is None:
                return up(Reason.ANSWERED, "the connection was accepted")
            return await self._read(reader, self._settings.expect, trail)
        finally:
            # Abort, not close: nothing may wait for a peer that has stopped reading.
            writer.transport.abort()

    async def _read(self, reader: asyncio.StreamReader, expect: str, trail: Trail) -> Outcome:
        answer = b""
        while len(answer) < ANSWER_LIMIT_BYTES:
            more = await reader.read(ANSWER_LIMIT_BYTES - len(answer))
            answer += more
            text = answer.decode(errors="replace")
            if re.search(expect, text):
                return up(Reason.ANSWERED, text)
            if not more:
                break
            trail.reached = f"connected; so far it said {text!r}"
        if not answer:
            return down(Reason.RESET, "the connection was closed without a word")
        return down(
            Reason.WRONG_ANSWER, f"expected {expect!r}; came back: {answer.decode(errors='replace')!r}"
        )

    async def aclose(self) -> None:
        """Nothing is kept."""


def build(settings: TcpSettings, place: Place) -> TcpProbe:
    """The probe of one place. Raises SettingsInvalid."""
    return TcpProbe(
        settings,
        settings.endpoint(place.site),
        names=place.context.names,
        now_ns=place.context.now_ns,
    )
