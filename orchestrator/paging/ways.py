"""The ways out: apprise, in a process of its own that can be ended, and Alertmanager's HTTP API (version 2).

One try, within its time, and what came of it in words. When to try again is `outbox`'s.
"""

import asyncio
import contextlib
import json
import os
import re
import ssl
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import aiohttp

from sites.notify import ALERTMANAGER, Severity, scheme_of

ALERT_LASTS = timedelta(minutes=5)
"""What is not repeated within this is over for Alertmanager: a dead controller leaves no alert for ever."""
CHILD = Path(__file__).with_name("apprise_child.py")
CHECK_SECONDS = 20.0
ANSWER_BYTES = 64 * 1024
WORDS_CHARACTERS = 300
# The receiver has understood, and will not take this message however often it is sent.
_REFUSED = frozenset({400, 413, 422})
_STATUS = re.compile(r"error=(\d{3})")
MISSING = "apprise is not installed; install twinsite with its extra: twinsite[notify]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """What came of a try. `again`: whether another one is worth while."""

    ok: bool
    words: str = ""
    again: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One event as Alertmanager knows it."""

    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    starts_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """What is sent by one try."""

    title: str
    body: str
    severity: Severity
    over: bool
    alerts: Sequence[Alert] = ()


async def send(address: str, mail: Mail, *, timeout_seconds: float, base: Path) -> Tried:
    """Try once. Never raises for what a receiver does, and ends within the time given."""
    try:
        async with asyncio.timeout(timeout_seconds):
            if scheme_of(address) in ALERTMANAGER:
                return await _to_alertmanager(address, mail, base)
            return await _by_apprise(address, mail)
    except TimeoutError:
        return Tried(ok=False, words=f"no answer within {timeout_seconds:g} s; the try was ended")


def address_fault(address: str) -> str:
    """What is wrong with an address as far as can be told without writing to it; "" for nothing, or where
    apprise is missing. Waits for a process."""
    if scheme_of(address) in ALERTMANAGER:
        return ""
    asked = json.dumps({"url": address, "only": "check"}).encode()
    try:
        done = subprocess.run(
            [sys.executable, "-P", str(CHILD)], input=asked, capture_output=True, timeout=CHECK_SECONDS
        )
    except subprocess.TimeoutExpired:
        return ""
    said = _said(done.stdout, done.returncode)
    return _words(said) if said.get("outcome") == "wrong-address" else ""


# --- apprise -----------------------------------------------------------------------------------------


async def _by_apprise(address: str, mail: Mail) -> Tried:
    kinds = {Severity.CRITICAL: "failure", Severity.WARNING: "warning", Severity.INFO: "info"}
    said = await _child(
        {
            "url": address,
            "title": mail.title,
            "body": mail.body,
            "type": "success" if mail.over else kinds[mail.severity],
        }
    )
    if said.get("outcome") == "sent":
        return Tried(ok=True)
    status = _STATUS.search(said.get("words", ""))
    return Tried(ok=False, words=_words(said), again=status is None or int(status[1]) not in _REFUSED)


def _words(said: Mapping[str, str]) -> str:
    if said.get("outcome") == "missing":
        return MISSING
    return said.get("words") or "it was not taken, and apprise does not say why"


async def _child(asked: Mapping[str, str]) -> dict[str, str]:
    """Ask a process of its own; it is killed when its asker does not wait any longer."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        str(CHILD),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=dict(os.environ),
    )
    try:
        out, _ = await process.communicate(json.dumps(dict(asked)).encode())
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    return _said(out, process.returncode)


def _said(out: bytes, code: int | None) -> dict[str, str]:
    try:
        said = json.loads(out[:ANSWER_BYTES])
    except ValueError:
        return {"outcome": "failed", "words": f"the sending process ended with {code}"}
    return {str(key): str(value) for key, value in said.items()}


# --- Alertmanager ------------------------------------------------------------------------------------


async def _to_alertmanager(address: str, mail: Mail, base: Path) -> Tried:
    parts = urlsplit(address)
    secure = parts.scheme.lower() == "alertmanagers"
    options = parse_qs(parts.query)
    port = f":{parts.port}" if parts.port else ""
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    url = f"{'https' if secure else 'http'}://{host}{port}{parts.path.rstrip('/')}/api/v2/alerts"
    auth = None
    if parts.username is not None:
        auth = aiohttp.BasicAuth(unquote(parts.username), unquote(parts.password or ""))
    try:
        trust: ssl.SSLContext | bool = True
        if secure and "ca" in options:
            trust = ssl.create_default_context(cafile=str(base / options["ca"][0]))
        async with (
            aiohttp.ClientSession(auth=auth) as session,
            session.post(url, json=alerts_json(mail), ssl=trust) as answer,
        ):
            said = (await answer.content.read(WORDS_CHARACTERS)).decode(errors="replace")
            if answer.status == 200:
                return Tried(ok=True)
            words = f"it answered {answer.status}: {' '.join(said.split())}"
            return Tried(ok=False, words=words, again=answer.status not in _REFUSED)
    except (aiohttp.ClientError, OSError, ssl.SSLError) as fault:
        return Tried(ok=False, words=str(fault)[:WORDS_CHARACTERS] or type(fault).__name__)


def alerts_json(mail: Mail) -> list[dict[str, Any]]:
    """The alerts as the API takes them."""
    now = datetime.now(UTC)
    ends = now if mail.over else now + ALERT_LASTS
    return [
        {
            "labels": dict(alert.labels),
            "annotations": dict(alert.annotations),
            "startsAt": min(now, datetime.fromtimestamp(alert.starts_at, UTC)).isoformat(),
            "endsAt": ends.isoformat(),
        }
        for alert in mail.alerts
    ]
