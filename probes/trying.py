"""Carry out one try: take the time, hold the deadline, turn what happened into a result.

Foreign errors that any kind can meet (sockets, TLS, name resolution) are mapped here; those of one
library are mapped in the file of the kind that uses it. An error nobody has a name for goes on up:
then the probe is broken, and that is not the target's fault.
"""

import asyncio
import errno
import socket
import ssl
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from probes.model import ProbeResult, Verdict
from probes.reasons import Reason
from sites.quantities import format_duration

EVIDENCE_LIMIT_CHARACTERS = 500
# By number, for libraries whose own error classes carry it but are not Python's ConnectionError and kin.
_BY_NUMBER = {
    errno.ECONNREFUSED: Reason.REFUSED,
    errno.ECONNRESET: Reason.RESET,
    errno.ECONNABORTED: Reason.RESET,
    errno.EPIPE: Reason.RESET,
    errno.ETIMEDOUT: Reason.TIMED_OUT,
    errno.EHOSTUNREACH: Reason.UNREACHABLE,
    errno.EHOSTDOWN: Reason.UNREACHABLE,
}


def boottime_ns() -> int:
    """This instant, in nanoseconds of CLOCK_BOOTTIME."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def bounded(text: str, limit: int = EVIDENCE_LIMIT_CHARACTERS) -> str:
    """Text fit for a terminal and a record: control characters spelled out, at most `limit` long."""
    head = text[: limit + 1]
    plain = "".join(c if c.isprintable() else repr(c)[1:-1] for c in head)
    return plain if len(plain) <= limit else plain[: limit - 1] + "…"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a try came to, before time and place are added."""

    verdict: Verdict
    reason: Reason
    answered: str
    measure: float | None = None


def up(reason: Reason, answered: str, measure: float | None = None) -> Outcome:
    """The target did what was asked."""
    return Outcome(Verdict.UP, reason, answered, measure)


def down(reason: Reason, answered: str, measure: float | None = None) -> Outcome:
    """The target did not do what was asked."""
    return Outcome(Verdict.DOWN, reason, answered, measure)


def unknown(reason: Reason, answered: str) -> Outcome:
    """We could not try; nothing is known about the target."""
    return Outcome(Verdict.UNKNOWN, reason, answered)


@dataclass(slots=True)
class Trail:
    """How far a try got, for the evidence of one that ran out of time."""

    reached: str = "nothing yet"


def _timed_out(evidence: str) -> Outcome:
    return down(Reason.TIMED_OUT, evidence)


async def attempt(
    tried: str,
    body: Callable[[Trail], Awaitable[Outcome]],
    *,
    timeout_seconds: float,
    now_ns: Callable[[], int],
    when_silent: Callable[[str], Outcome] = _timed_out,
) -> ProbeResult:
    """Run `body` within the deadline. Errors without a name in `outcome_of` are raised.

    `when_silent`: what it means that the deadline passed, given the evidence in words.
    """
    trail, at_ns = Trail(), now_ns()
    try:
        async with asyncio.timeout(timeout_seconds):
            outcome = await body(trail)
    except TimeoutError:
        outcome = when_silent(
            f"no answer within {format_duration(timeout_seconds)}; reached: {trail.reached}"
        )
    except (OSError, EOFError) as error:
        outcome = outcome_of(error)
    return ProbeResult(
        verdict=outcome.verdict,
        reason=outcome.reason.value,
        tried=bounded(tried),
        answered=bounded(outcome.answered),
        at_ns=at_ns,
        duration_seconds=(now_ns() - at_ns) / 1e9,
        measure=outcome.measure,
    )


def outcome_of(error: OSError | EOFError) -> Outcome:
    """What an error of a socket, of TLS or of the resolver says about the target.

    What happened on our side of the wire (no route, no descriptors, a file we need, the resolver) is
    UNKNOWN. Silence is DOWN with the reason `timed-out`: from here the target does not answer, and the
    reason tells whoever decides that nobody positively said so.
    """
    text = str(error) or type(error).__name__
    match error:
        case socket.gaierror():
            absent = error.errno in (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", None))
            return unknown(Reason.NAME_UNKNOWN if absent else Reason.RESOLVER_FAILED, text)
        case ssl.SSLCertVerificationError():
            return down(Reason.CERTIFICATE_BAD, text)
        case ssl.SSLError():
            return down(Reason.TLS_FAILED, text)
        case OSError() if error.errno in _BY_NUMBER:
            return down(_BY_NUMBER[error.errno], text)
        case ConnectionError() | EOFError():
            return down(Reason.RESET, text)
        case TimeoutError():
            return down(Reason.TIMED_OUT, text)
        case _:
            return unknown(Reason.OWN_SIDE, text)
