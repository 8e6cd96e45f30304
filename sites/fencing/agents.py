"""Power and hypervisor fencing through the packaged fence agents, by their standard interface.

An agent is a program: its options come as `key=value` lines on standard input, the action among them, and its
exit status is the answer. `off` that reports success is not believed: what counts is that `status` then says
off, by its exit status *and* in words, because many a program that cannot be called like that ends with the
very same number. Passwords go by standard input only, and are kept out of every evidence.
"""

import asyncio
import contextlib
import os
import re
import shutil
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from sites.errors import SitesMisuse

ON_STATUS, OFF_STATUS = 0, 2  # of the action `status`
FOLDERS = "/usr/sbin:/sbin:/usr/bin:/bin:/usr/local/sbin"
LONGEST_OUTPUT_BYTES = 64 * 1024
LONGEST_WORDS = 300
MOST_LOOKS = 10
LOOK_PAUSE_SECONDS = 0.5
ENDING_SECONDS = (
    2.0  # for an agent that was killed to be gone; one that is stuck in the kernel is not waited for
)
# What an agent must not be told by its settings, because it is ours to say.
OURS = frozenset({"action", "option", "nodename"})
# Agents that are packaged with the others and cut nothing off by themselves.
CUT_NOTHING = {
    "fence_ack_manual": "a person's word, which is what `failover --certify-down` takes",
    "fence_heuristics_ping": "a ping, which switches nothing",
    "fence_kdump": "a host's own word that it crashed, which switches nothing",
    "fence_evacuate": "a mover of virtual machines, which switches nothing",
}
# Options whose values may be shown. Agents repeat what they were given when they complain, and an option that
# is spelt wrongly may hold a secret.
PLAIN = frozenset(
    {
        "ip", "ipaddr", "ipport", "port", "plug", "username", "login", "lanplus", "cipher", "privlvl", "ssl",
        "ssl_insecure", "ssl_secure", "uuid", "region", "power_wait", "power_timeout", "login_timeout",
        "shell_timeout", "status_file", "type",
    }
)  # fmt: skip
SHORTEST_HIDDEN = 4  # a shorter value that is not called a secret stands in every other sentence
_SECRET = re.compile(r"pass|secret|token|key|auth", re.IGNORECASE)
_SAYS = {ON_STATUS: re.compile(r"\bstatus:\s*on\b", re.IGNORECASE)} | {
    OFF_STATUS: re.compile(r"\bstatus:\s*off\b", re.IGNORECASE)
}


class AgentMisuse(SitesMisuse):
    """An agent or an option that can never work. `option`: its key, where it is about one."""

    def __init__(self, message: str, option: str = "") -> None:
        super().__init__(message)
        self.option = option


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """One device: the agent's name (fence_ipmilan) or path, and its options.

    `within_seconds` is for everything together: switching off and being sure of it.
    """

    agent: str
    options: Mapping[str, str] = field(default_factory=dict, repr=False)
    within_seconds: float = 60.0

    def __post_init__(self) -> None:
        name = self.name
        if not name.startswith("fence_"):
            raise AgentMisuse(f"{self.agent!r} is no fence agent: their names begin with fence_")
        if name in CUT_NOTHING:
            raise AgentMisuse(f"{name} cuts nothing off: it is {CUT_NOTHING[name]}")
        if self.within_seconds <= 0:
            raise AgentMisuse(f"{name}: within_seconds is {self.within_seconds:g}, and must be above zero")
        for key, value in self.options.items():
            if key in OURS:
                raise AgentMisuse(f"{name}: the option {key!r} is not yours to set", key)
            if not _fits_a_line(key, value):
                raise AgentMisuse(
                    f"{name}: the option {key!r} does not fit a line of key=value, which agents take without "
                    "spaces at its ends and quotes around its value",
                    key,
                )

    @property
    def name(self) -> str:
        """The agent's name, without a path."""
        return os.path.basename(self.agent)


def _fits_a_line(key: str, value: str) -> bool:
    line = f"{key}={value}"
    plain = bool(key) and key.isprintable() and "=" not in key and not key.startswith("#")
    quoted = len(value) > 1 and value[0] == value[-1] == '"'
    return plain and not quoted and line == line.strip() and not {"\n", "\r", "\0"} & set(line)


class PowerCut(NamedTuple):
    """Whether the machine is known to be off, and by what; `code` says why not."""

    confirmed: bool
    evidence: str
    code: str = ""


class PowerLook(NamedTuple):
    """What a device says of its machine: `on` True or False, None when it does not say, and why."""

    on: bool | None
    evidence: str
    code: str = ""


class _Said(NamedTuple):
    status: int | None  # None: it did not end in time, or could not be started
    words: str
    code: str = ""


MISSING, TIMED_OUT, FAILED, STILL_ON = (
    "device-agent-missing", "device-timed-out", "device-failed", "device-still-on",
)  # fmt: skip


async def cut_power(settings: AgentSettings) -> PowerCut:
    """Switch the machine off and be sure of it. Never raises for a sick device; that is not confirmed."""
    begun: list[_Said] = []
    try:
        async with asyncio.timeout(settings.within_seconds):
            return await _cut(settings, begun)
    except TimeoutError:
        words = f"{settings.name}: not known to be off within {settings.within_seconds:g} s"
        told = f"; {_evidence(settings, 'off', begun[0])}" if begun else ""
        return PowerCut(False, words + told, TIMED_OUT)


async def look(settings: AgentSettings) -> PowerLook:
    """Whether its machine is on, by the agent's `status`. Switches nothing."""
    said = await _run_in_time(settings, "status")
    on = _on(said)
    return PowerLook(on, _evidence(settings, "status", said), "" if on is not None else said.code or FAILED)


async def can_reach(settings: AgentSettings) -> PowerCut:
    """Whether the device answers (the agent's `monitor`); `confirmed` says yes. Switches nothing."""
    said = await _run_in_time(settings, "monitor")
    answers = said.status == 0
    return PowerCut(answers, _evidence(settings, "monitor", said), "" if answers else said.code or FAILED)


async def metadata(settings: AgentSettings) -> str | None:
    """The agent's own description of itself (XML), which needs no device; None when it gives none."""
    said = await _run_in_time(AgentSettings(settings.agent, {}, settings.within_seconds), "metadata")
    begins = said.words.find("<resource-agent")
    return said.words[begins:] if said.status == 0 and begins >= 0 else None


async def _run_in_time(settings: AgentSettings, action: str) -> _Said:
    try:
        async with asyncio.timeout(settings.within_seconds):
            return await _run(settings, action)
    except TimeoutError:
        return _Said(None, f"no answer within {settings.within_seconds:g} s", TIMED_OUT)


def _on(said: _Said) -> bool | None:
    """Only who ends with the number and says the word has said it."""
    says = _SAYS.get(said.status) if said.status is not None else None
    return said.status == ON_STATUS if says is not None and says.search(said.words) else None


async def _cut(settings: AgentSettings, begun: list[_Said]) -> PowerCut:
    off = await _run(settings, "off")
    begun.append(off)
    told = _evidence(settings, "off", off)
    for number in range(MOST_LOOKS):
        if number:
            await asyncio.sleep(LOOK_PAUSE_SECONDS)
        status = await _run(settings, "status")
        if _on(status) is False:
            return PowerCut(True, f"{told}; status: off")
        if off.status != 0:
            break  # it did not switch, so nothing will change
    code = STILL_ON if _on(status) else off.code or status.code or FAILED
    return PowerCut(False, f"{told}; {_evidence(settings, 'status', status)}", code)


async def _run(settings: AgentSettings, action: str) -> _Said:
    path = settings.agent if "/" in settings.agent else shutil.which(settings.agent, path=FOLDERS)
    if path is None:
        return _Said(None, f"there is no {settings.agent} in {FOLDERS} (package fence-agents)", MISSING)
    lines = [f"{key}={value}" for key, value in settings.options.items()]
    given = "\n".join([*lines, f"action={action}"]) + "\n"
    try:
        process = await asyncio.create_subprocess_exec(
            path,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
            env=_environment(),
        )
    except OSError as error:
        return _Said(None, f"cannot be started: {error.strerror}", MISSING)
    try:
        words = await _talk(process, given.encode())
        status = await process.wait()
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(ENDING_SECONDS):
                    await asyncio.shield(process.wait())
    return _Said(status, words, "" if status == 0 else FAILED)


def _environment() -> dict[str, str]:
    """Nothing of ours: variables may hold the estate's secrets."""
    return {"PATH": FOLDERS, "LANG": "C", "LC_ALL": "C", "HOME": os.environ.get("HOME", "/")}


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
    outcome = "did not run" if said.status is None else f"ended with {said.status}"
    words = said.words
    for key, value in settings.options.items():
        named = _SECRET.search(key) is not None
        if value and key not in PLAIN and (named or len(value) >= SHORTEST_HIDDEN):
            words = words.replace(value, "***")
    return f"{settings.name} {action}: {outcome}" + (f" ({words[:LONGEST_WORDS]})" if words else "")
