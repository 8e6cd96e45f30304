"""Power and hypervisor fencing through the packaged fence agents, by their standard interface.

An agent is a program: its options come as `key=value` lines on standard input, the action among them, and its
exit status is the answer. `off` that reports success is not believed: what counts is that `status` then says
off. Passwords go by standard input only, and are kept out of every evidence.
"""

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from sites.errors import SitesMisuse

OFF_STATUS = 2  # of the action `status`; 0 is on, anything else says nothing
FOLDERS = "/usr/sbin:/sbin:/usr/bin:/usr/local/sbin"
LONGEST_OUTPUT_BYTES = 16 * 1024
MOST_LOOKS = 10
LOOK_PAUSE_SECONDS = 0.5
# What an agent must not be told by its settings, because it is ours to say.
OURS = frozenset({"action", "option", "nodename"})


class AgentMisuse(SitesMisuse):
    """An agent or an option that can never work."""


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """One device: the agent's name (fence_ipmilan) or path, and its options.

    `within_seconds` is for everything together: switching off and being sure of it.
    """

    agent: str
    options: Mapping[str, str] = field(default_factory=dict, repr=False)
    within_seconds: float = 30.0

    def __post_init__(self) -> None:
        name = os.path.basename(self.agent)
        if not name.startswith("fence_"):
            raise AgentMisuse(f"{self.agent!r} is no fence agent: their names begin with fence_")
        if self.within_seconds <= 0:
            raise AgentMisuse(f"{name}: within_seconds is {self.within_seconds:g}, and must be above zero")
        for key, value in self.options.items():
            if key in OURS:
                raise AgentMisuse(f"{name}: the option {key!r} is not yours to set")
            if not key or not key.isprintable() or "=" in key or "\n" in value or "\0" in value:
                raise AgentMisuse(f"{name}: the option {key!r} does not fit a line of key=value")


class PowerCut(NamedTuple):
    """Whether the machine is known to be off, and by what."""

    confirmed: bool
    evidence: str


class _Said(NamedTuple):
    status: int | None  # None: it did not end in time, or could not be started
    words: str


async def cut_power(settings: AgentSettings) -> PowerCut:
    """Switch the machine off and be sure of it. Never raises for a sick device; that is not confirmed."""
    try:
        async with asyncio.timeout(settings.within_seconds):
            return await _cut(settings)
    except TimeoutError:
        name = os.path.basename(settings.agent)
        return PowerCut(False, f"{name}: not known to be off within {settings.within_seconds:g} s")


async def can_reach(settings: AgentSettings) -> PowerCut:
    """Whether the device answers (the agent's `monitor`); `confirmed` says yes. Switches nothing."""
    try:
        async with asyncio.timeout(settings.within_seconds):
            said = await _run(settings, "monitor")
    except TimeoutError:
        said = _Said(None, f"no answer within {settings.within_seconds:g} s")
    return PowerCut(said.status == 0, _evidence(settings, "monitor", said))


async def _cut(settings: AgentSettings) -> PowerCut:
    off = await _run(settings, "off")
    told = _evidence(settings, "off", off)
    for look in range(MOST_LOOKS):
        if look:
            await asyncio.sleep(LOOK_PAUSE_SECONDS)
        status = await _run(settings, "status")
        if status.status == OFF_STATUS:
            return PowerCut(True, f"{told}; status: off")
        if off.status != 0:
            break  # it did not switch, so nothing will change
    return PowerCut(False, f"{told}; {_evidence(settings, 'status', status)}")


async def _run(settings: AgentSettings, action: str) -> _Said:
    path = settings.agent if "/" in settings.agent else shutil.which(settings.agent, path=FOLDERS)
    if path is None:
        return _Said(None, f"there is no {settings.agent} in {FOLDERS} (package fence-agents)")
    lines = [f"{key}={value}" for key, value in settings.options.items()]
    given = "\n".join([*lines, f"action={action}"]) + "\n"
    try:
        process = await asyncio.create_subprocess_exec(
            path,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        return _Said(None, f"cannot be started: {error.strerror}")
    try:
        words = await _talk(process, given.encode())
        status = await process.wait()
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await asyncio.shield(process.wait())
    return _Said(status, words)


async def _talk(process: asyncio.subprocess.Process, given: bytes) -> str:
    """Give it its options; what it says, of which only the beginning is kept."""
    assert process.stdin is not None
    assert process.stdout is not None
    with contextlib.suppress(ConnectionError):  # one that does not read ends by itself, and says why
        process.stdin.write(given)
        await process.stdin.drain()
    process.stdin.close()
    kept = bytearray()
    while chunk := await process.stdout.read(LONGEST_OUTPUT_BYTES):
        kept += chunk[: LONGEST_OUTPUT_BYTES - len(kept)]
    return " ".join(kept.decode(errors="replace").split())


def _evidence(settings: AgentSettings, action: str, said: _Said) -> str:
    name = os.path.basename(settings.agent)
    outcome = "did not run" if said.status is None else f"ended with {said.status}"
    words = said.words
    for key, value in settings.options.items():
        # Agents repeat their options when they complain.
        if value and any(part in key for part in ("pass", "secret", "token", "key")):
            words = words.replace(value, "***")
    return f"{name} {action}: {outcome}" + (f" ({words[:300]})" if words else "")
