"""What errors of sockets, TLS and the resolver say about a target, and how evidence is kept in bounds."""

import asyncio
import errno
import socket
import ssl
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.model import Verdict
from probes.names import MOST_LOOKUPS, Names
from probes.reasons import Reason
from probes.trying import Outcome, Trail, attempt, bounded, outcome_of, up
from tests.support.virtual_time import now_ns, now_seconds, run


@pytest.mark.parametrize(
    ("error", "verdict", "reason"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "refused"), Verdict.DOWN, Reason.REFUSED),
        (ConnectionResetError(errno.ECONNRESET, "reset"), Verdict.DOWN, Reason.RESET),
        (ConnectionError("closed in the middle"), Verdict.DOWN, Reason.RESET),
        (BrokenPipeError(errno.EPIPE, "broken"), Verdict.DOWN, Reason.RESET),
        (EOFError(), Verdict.DOWN, Reason.RESET),
        (TimeoutError(errno.ETIMEDOUT, "timed out"), Verdict.DOWN, Reason.TIMED_OUT),
        (TimeoutError(), Verdict.DOWN, Reason.TIMED_OUT),
        (OSError(errno.EHOSTUNREACH, "no route to host"), Verdict.DOWN, Reason.UNREACHABLE),
        (ssl.SSLError(1, "wrong version number"), Verdict.DOWN, Reason.TLS_FAILED),
        (ssl.SSLCertVerificationError(1, "expired"), Verdict.DOWN, Reason.CERTIFICATE_BAD),
        # Our own side of the wire: nothing is known about the target.
        (OSError(errno.ENETUNREACH, "network is unreachable"), Verdict.UNKNOWN, Reason.OWN_SIDE),
        (OSError(errno.EMFILE, "too many open files"), Verdict.UNKNOWN, Reason.OWN_SIDE),
        (PermissionError(errno.EACCES, "not allowed"), Verdict.UNKNOWN, Reason.OWN_SIDE),
        (FileNotFoundError(errno.ENOENT, "no such file"), Verdict.UNKNOWN, Reason.OWN_SIDE),
        (socket.gaierror(socket.EAI_NONAME, "not known"), Verdict.UNKNOWN, Reason.NAME_UNKNOWN),
        (socket.gaierror(socket.EAI_AGAIN, "try again"), Verdict.UNKNOWN, Reason.RESOLVER_FAILED),
        (socket.gaierror(socket.EAI_FAIL, "failed"), Verdict.UNKNOWN, Reason.RESOLVER_FAILED),
    ],
)
def test_each_error_has_its_verdict_and_reason(
    error: OSError | EOFError, verdict: Verdict, reason: Reason
) -> None:
    outcome = outcome_of(error)
    assert (outcome.verdict, outcome.reason) == (verdict, reason)
    assert outcome.answered


@given(st.text(max_size=2000), st.integers(20, 600))
def test_evidence_is_printable_and_bounded(text: str, limit: int) -> None:
    shown = bounded(text, limit)
    assert len(shown) <= limit
    assert shown.isprintable()


def test_short_plain_evidence_is_left_as_it_is() -> None:
    assert bounded("220 mail ready") == "220 mail ready"
    assert bounded("a\tb\x1b[2Jc\n") == r"a\tb\x1b[2Jc\n"


def test_a_try_is_ended_at_its_deadline_and_says_how_far_it_got() -> None:
    async def story() -> tuple[str, str, float]:
        async def body(trail: Trail) -> Outcome:
            trail.reached = "connected"
            await asyncio.sleep(100)
            return up(Reason.ANSWERED, "too late")

        result = await attempt("asking", body, timeout_seconds=2.5, now_ns=now_ns)
        return result.reason, result.answered, now_seconds()

    assert run(story) == ("timed-out", "no answer within 2.5s; reached: connected", 2.5)


async def test_an_error_without_a_name_goes_up() -> None:
    async def body(_trail: Trail) -> Outcome:
        raise KeyError("a bug")

    with pytest.raises(KeyError):
        await attempt("asking", body, timeout_seconds=1, now_ns=lambda: 0)


async def test_an_address_is_never_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object, **_kwargs: object) -> None:
        raise AssertionError("nobody may ask the resolver")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert await Names().addresses("192.0.2.7", timeout_seconds=1) == ("192.0.2.7",)
    assert await Names().addresses("2001:db8::7", timeout_seconds=1) == ("2001:db8::7",)


async def test_a_resolver_that_hangs_is_seen_as_such_and_delays_no_other_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    released, lookups = threading.Event(), []

    def resolver(host: str, *_args: object, **_kwargs: object) -> list[object]:
        lookups.append(host)
        if host.startswith("slow"):
            released.wait(30)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 0))] * 2

    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    names = Names()
    try:
        for _ in range(2):
            with pytest.raises(socket.gaierror, match=r"did not answer for slow\.example"):
                await names.addresses("slow.example", timeout_seconds=0.1)
        assert lookups == ["slow.example"]  # the second waited for the first one's lookup
        assert await names.addresses("quick.example", timeout_seconds=30) == ("192.0.2.1",)
        for number in range(MOST_LOOKUPS - 1):
            with pytest.raises(socket.gaierror):
                await names.addresses(f"slow{number}.example", timeout_seconds=0.01)
        with pytest.raises(socket.gaierror, match="other names are still unanswered"):
            await names.addresses("one-too-many.example", timeout_seconds=1)
    finally:
        released.set()
    # A lookup that had hung leaves its place when it ends at last.
    assert await names.addresses("slow.example", timeout_seconds=30) == ("192.0.2.1",)


async def test_a_name_that_cannot_be_one_is_unknown() -> None:
    with pytest.raises(socket.gaierror) as caught:
        await Names().addresses("a" * 70 + ".example", timeout_seconds=30)
    assert outcome_of(caught.value).verdict is Verdict.UNKNOWN
