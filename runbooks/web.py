"""Carry one HTTP request out, for the action `http` and for questions. Knows aiohttp.

Certificates are always checked, redirects and what is read of an answer are bounded, no proxy and no cookies.
Secrets are fetched here, sent to the place they were written for and nowhere else, and blotted out of what
is said of the request afterwards.
"""

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from yarl import URL

from probes.http import BODY_LIMIT_BYTES, MOST_REDIRECTS, FixedResolver, Redirects, shown
from probes.names import Names
from probes.trust import TlsContext
from runbooks.context import ActionContext, Call, Result, bounded
from runbooks.errors import ActionMisused, StepFailed
from runbooks.http_request import HttpDeed, HttpRequest
from sites.errors import CommandTimedOut, ConnectionBroken, HostUnreachable
from sites.secrets import SecretMissing, is_reference, looked_up

SHOWN_CHARACTERS = 500
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True, slots=True)
class Answered:
    """What came back: `unlike` says what is not as expected of it, or is None. `evidence` is harmless."""

    unlike: str | None
    evidence: str


@dataclass(frozen=True, slots=True)
class _Sent:
    """A request with its secrets, which stand nowhere else."""

    asked: HttpRequest
    method: str
    url: URL
    headers: Mapping[str, str]
    body: bytes | None
    secrets: tuple[str, ...]

    def harmless(self, text: str) -> str:
        """The text without any secret and without control characters."""
        for secret in self.secrets:
            text = text.replace(secret, "***")
        return bounded(text)

    def said(self, url: URL, what: str) -> str:
        """A sentence about the request."""
        return self.harmless(f"{self.method} {shown(url)}: {what}")


async def http_step(context: ActionContext, call: Call) -> Result:
    """The action `http`. Raises StepFailed when the answer is not as expected, or what `request` raises."""
    deed: HttpDeed = call.arguments
    answered = await request(
        deed,
        context,
        method=deed.method,
        body=deed.sent,
        is_json=deed.json_body is not None,
        timeout_seconds=call.timeout_seconds,
    )
    if answered.unlike is not None:
        raise StepFailed(answered.evidence)
    return Result(answered.evidence)


async def request(
    asked: HttpRequest,
    context: ActionContext,
    *,
    method: str = "GET",
    body: str | None = None,
    is_json: bool = False,
    timeout_seconds: float,
) -> Answered:
    """Ask once. `asked.host` is `site/role`.

    Raises HostUnreachable when nothing was sent, ConnectionBroken when the answer never came whole,
    CommandTimedOut, StepFailed for a certificate or an answer that is no good, ActionMisused for a secret or
    a CA file that cannot be had.
    """
    sent = _prepared(asked, context, method, body, is_json)
    connect_to = context.host(asked.host).address if asked.host else None
    here = [sent.url]
    try:
        async with asyncio.timeout(timeout_seconds), _session(sent, context.base, connect_to) as session:
            return await _follow(session, sent, here)
    except TimeoutError as error:
        raise CommandTimedOut(sent.said(here[-1], f"no answer within {timeout_seconds:g} s")) from error
    except aiohttp.ClientConnectorCertificateError as error:
        said = f"its certificate is not accepted: {error.certificate_error}; `ca` names another authority"
        raise StepFailed(sent.said(here[-1], said)) from error
    except aiohttp.ClientSSLError as error:
        raise StepFailed(sent.said(here[-1], f"TLS failed: {error.os_error}")) from error
    except aiohttp.ClientConnectorError as error:
        unreached = ConnectionBroken if len(here) > 1 and sent.body else HostUnreachable
        raise unreached(sent.said(here[-1], f"cannot be reached: {error.os_error}")) from error
    except (aiohttp.ServerDisconnectedError, aiohttp.ClientPayloadError, aiohttp.ClientOSError) as error:
        said = f"the connection ended before the answer was whole: {error}"
        raise ConnectionBroken(sent.said(here[-1], said)) from error
    except (aiohttp.ClientError, ValueError) as error:
        raise StepFailed(sent.said(here[-1], f"what came back is not HTTP: {error}")) from error


def _prepared(
    asked: HttpRequest, context: ActionContext, method: str, body: str | None, is_json: bool
) -> _Sent:
    headers, secrets = {}, []
    for name, value in asked.headers.items():
        try:
            headers[name] = looked_up(value, context.base)
        except SecretMissing as missing:
            raise ActionMisused(f"the header {name} of this request needs {missing}") from missing
        if is_reference(value):
            secrets += [headers[name], *(word for word in headers[name].split() if len(word) >= 8)]
        if not headers[name].isprintable():
            raise ActionMisused(f"the header {name} of this request would have a line break in it")
    if is_json and not any(name.lower() == "content-type" for name in headers):
        headers["Content-Type"] = "application/json"
    sent = body.encode() if body is not None else None
    longest_first = tuple(sorted(secrets, key=len, reverse=True))
    return _Sent(asked, method, URL(asked.url), headers, sent, longest_first)


def _session(sent: _Sent, base: Path, connect_to: str | None) -> aiohttp.ClientSession:
    ca = None if sent.asked.ca is None else base / sent.asked.ca
    trust: ssl.SSLContext | bool = True
    # Certificates are read only where they can be needed: that takes tens of milliseconds.
    if sent.url.scheme == "https" or sent.asked.redirects is not Redirects.REFUSE:
        try:
            trust = TlsContext(verify=True, ca=ca).get()
        except OSError as error:
            raise ActionMisused(str(error)) from error
    resolver = FixedResolver(Names(), {sent.url.host or "": connect_to} if connect_to else {})
    resolver.timeout_seconds = 10.0
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            ssl=trust, resolver=resolver, use_dns_cache=False, force_close=True, limit=1
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        # The deadline is ours, round the whole of it; aiohttp's own would end it elsewhere.
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
        headers={"User-Agent": "twinsite-step", "Accept-Encoding": "identity"},
        trust_env=False,
    )


async def _follow(session: aiohttp.ClientSession, sent: _Sent, here: list[URL]) -> Answered:
    for _ in range(MOST_REDIRECTS + 1):
        url = here[-1]
        # Secrets go to the place they were written for.
        headers = sent.headers if url.origin() == sent.url.origin() else {}
        async with session.request(
            sent.method, url, headers=headers, data=sent.body, allow_redirects=False
        ) as response:
            if response.status not in _REDIRECTS or sent.asked.redirects is Redirects.REFUSE:
                return _judged(sent, url, response, await _beginning(response))
            there = _forward(sent, url, response)
        here.append(there)
    last = f"more than {MOST_REDIRECTS} redirects, the last one to {shown(here[-1])}"
    raise StepFailed(sent.said(sent.url, last))


def _forward(sent: _Sent, url: URL, response: aiohttp.ClientResponse) -> URL:
    try:
        there = response.url.join(URL(response.headers["Location"]))
    except (KeyError, ValueError) as error:
        raise StepFailed(sent.said(url, f"status {response.status} without a usable location")) from error
    why = ""
    if there.scheme not in ("http", "https") or not there.host:
        why = "which is no web address"
    elif url.scheme == "https" and there.scheme == "http":
        why = "from https to http"
    elif sent.asked.redirects is Redirects.SAME_HOST and there.host != sent.url.host:
        why = "which is another host"
    if why:
        raise StepFailed(sent.said(url, f"status {response.status} points to {shown(there)}, {why}"))
    return there


async def _beginning(response: aiohttp.ClientResponse) -> str:
    body = b""
    while len(body) < BODY_LIMIT_BYTES and (
        more := await response.content.read(BODY_LIMIT_BYTES - len(body))
    ):
        body += more
    try:
        return body.decode(response.get_encoding(), errors="replace")
    except (LookupError, RuntimeError):
        return body.decode(errors="replace")


def _judged(sent: _Sent, url: URL, response: aiohttp.ClientResponse, answer: str) -> Answered:
    unlike = sent.asked.unlike(response.status, answer)
    text = answer.strip()
    begins = f"; it begins: {bounded(text, SHOWN_CHARACTERS)}" if text else ""
    status = f"status {response.status} {response.reason or ''}".rstrip()
    what = f"{status}, {len(answer)} characters{begins}"
    if unlike is not None:
        what = f"{status}; {unlike}{begins}"
    return Answered(sent.harmless(unlike) if unlike is not None else None, sent.said(url, what))
