"""Steps on hosts, started through the shipped wrapper so that nobody who was overtaken starts anything (P26).

The wrapper (`wrapper.sh`, POSIX shell) is sent whole with each step: nothing is installed on a host. On
the host it compares the step's token with the highest it has seen for the service, refuses lower ones,
starts the command in a process group of its own, ends that group at the time limit even when the
connection is long gone, and keeps the exit status so that a step in doubt can be settled later.

It never decides whether a step should run: the epoch and the deadline are for the caller to check, right
before.

Reasons of a refusal (`CommandRefused.code`): `older-epoch`, `older-executor`, `older-run` (overtaken),
`already-running` (the same step), `already-started` (the same numbered attempt), `lock-busy`,
`folder-unwritable`, `token-unreadable`, `no-setsid`. Whatever the reason, nothing was started.

What the wrapper cannot do: end processes that gave themselves a session of their own (daemons), or, as an
ordinary user, those of another user (a `sudo` inside the command); both outlive the time limit.
"""

import math
import re
import shlex
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib import resources

from sites.errors import CommandRefused, CommandTimedOut, DriverTrouble, SitesMisuse
from sites.model import Host
from sites.output import Said, last_lines
from sites.transport import Completed, Transport

LOCK_DIRECTORY = "~/.twinsite/steps"  # survives a reboot, unlike a temporary folder; the login user's own
REFUSED_STATUS = 75
TIMED_OUT_STATUS = 124
COMMAND_LIMIT_BYTES = 96 * 1024  # Linux takes 128 KiB in one argument, and the wrapper needs its share

_GRACE_SECONDS = 2.0  # between TERM and KILL
_LOCK_SECONDS = 10.0  # how long the wrapper waits for its lock
_MARGIN_SECONDS = 3.0
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,99}")
_REFUSAL = re.compile(r"^twinsite-step: refused ([a-z-]+): (.*)$", re.MULTILINE)
_TIMED_OUT = re.compile(r"^twinsite-step: timed-out: ", re.MULTILINE)
_DONE = re.compile(r"done (\d+)")


@dataclass(frozen=True, slots=True)
class StepToken:
    """By what right a step starts: the epoch of its service, its run, and who carries the run out.

    `attempt` counts the tries of one executor at one step from 1: no attempt is ever started twice, however
    late it arrives, and none after a later one. With 0 attempts are not counted; the same step still never
    runs twice at the same time.
    """

    service: str
    epoch: int
    run: str
    executor: int
    step: str
    attempt: int = 0

    def __post_init__(self) -> None:
        for word in (self.service, self.run, self.step):
            if not _NAME.fullmatch(word):
                raise SitesMisuse(
                    f"{word!r} cannot name a service, a run or a step: up to 100 letters, digits and "
                    ". _ : -, the first a letter or a digit"
                )
        for number in (self.epoch, self.executor, self.attempt):
            if not 0 <= number < 1 << 53:
                raise SitesMisuse(f"epoch, executor and attempt count from 0, not {number}")


class StepState(StrEnum):
    """What a host knows of a step."""

    DONE = "done"
    RUNNING = "running"
    NEVER_STARTED = "never started"
    LOST = "lost"  # it was started and runs no more, but how it ended was never recorded (the host died)


@dataclass(frozen=True, slots=True)
class StepStatus:
    """A step's state; `exit_status` only when DONE (TIMED_OUT_STATUS when it was ended at its limit)."""

    state: StepState
    exit_status: int | None = None


@cache
def _script() -> str:
    lines = resources.files("sites").joinpath("wrapper.sh").read_text().splitlines()
    return "\n".join(line for line in lines if line.strip() and not line.lstrip().startswith("#"))


def _line(verb: str, token: StepToken, lock_directory: str, *more: str) -> str:
    if not lock_directory.startswith(("/", "~/")) or "\n" in lock_directory:
        raise SitesMisuse(f"the wrapper's folder must be absolute or begin with ~/, not {lock_directory!r}")
    words = [
        *(verb, lock_directory.rstrip("/"), token.service, str(token.epoch), token.run),
        *(str(token.executor), token.step, str(token.attempt), *more),
    ]
    # The script travels in the environment, so that `ps` on the host shows the step and not the script.
    return (
        f"twinsite_step={shlex.quote(_script())}; export twinsite_step; "
        f"""exec sh -c 'eval "$twinsite_step"' twinsite-step {shlex.join(words)}"""
    )


def wrap(
    command: str, *, token: StepToken, timeout_seconds: float, lock_directory: str = LOCK_DIRECTORY
) -> str:
    """The command line that starts `command` on a host through the wrapper.

    `command` is a POSIX shell command line and stays exactly what it is, whatever quotes, newlines or
    `$(…)` it holds; it sees nothing of the wrapper. It is ended at `timeout_seconds`, by TERM and two seconds
    later KILL to its whole process group, and the status is then TIMED_OUT_STATUS. `lock_directory` is a
    folder on the host, the same for all steps there; `~/` is the login user's home.

    Raises SitesMisuse for a command that no host could take.
    """
    if "\0" in command or len(command.encode()) > COMMAND_LIMIT_BYTES:
        raise SitesMisuse(
            f"step {token.step}: a command holds no NUL and at most {COMMAND_LIMIT_BYTES} bytes, "
            f"this one has {len(command.encode())}; put long text into a file or its standard input"
        )
    if timeout_seconds <= 0:
        raise SitesMisuse(f"step {token.step}: its timeout must be above 0, not {timeout_seconds:g}")
    tenths = str(round(_GRACE_SECONDS * 10))
    limits = (f"{timeout_seconds:.3f}", str(math.ceil(timeout_seconds)), tenths)
    return _line("enter", token, lock_directory, *limits, command)


def status_command(token: StepToken, *, lock_directory: str = LOCK_DIRECTORY) -> str:
    """The command line that asks a host what became of a step; read its output with `read_status`.

    It prints `done N`, `running`, `never started` or `lost`. Asking counts as being there: from then on the
    host refuses whatever this token overtakes, so `never started` stays true for every lower executor. With
    `attempt` above 0 it speaks of that attempt, unless a lower executor started the step last.
    """
    return _line("status", token, lock_directory)


def read_status(text: str) -> StepStatus:
    """What `status_command` printed. Raises DriverTrouble for anything else."""
    said = text.strip()
    if match := _DONE.fullmatch(said):
        return StepStatus(StepState.DONE, int(match[1]))
    try:
        state = StepState(said)
    except ValueError:
        state = StepState.DONE
    if state is StepState.DONE:
        raise DriverTrouble(f"the step wrapper answered {said[:200]!r}, which is no state of a step")
    return StepStatus(state)


async def run_wrapped(
    transport: Transport,
    host: Host,
    command: str,
    token: StepToken,
    *,
    timeout_seconds: float,
    lock_directory: str = LOCK_DIRECTORY,
    stdin: str = "",
    said: Said | None = None,
) -> Completed:
    """Run a step's command to its end through the wrapper. A non-zero exit status is a result, not an error.

    `said` is told its lines as they come. The command itself has `timeout_seconds`; the whole call some
    seconds more, for the wrapper's lock and the ending of the command. Raises CommandRefused (nothing was
    started), CommandTimedOut, and what `Transport.run` raises; after ConnectionBroken ask `status_command`.
    """
    line = wrap(command, token=token, timeout_seconds=timeout_seconds, lock_directory=lock_directory)
    patience_seconds = timeout_seconds + _LOCK_SECONDS + _GRACE_SECONDS + _MARGIN_SECONDS
    listening = {} if said is None else {"said": said}
    completed = await transport.run(host, line, timeout_seconds=patience_seconds, stdin=stdin, **listening)
    _raise_refusal(host, token, completed)
    if completed.exit_status == TIMED_OUT_STATUS and _TIMED_OUT.search(completed.stderr):
        heard = last_lines(_TIMED_OUT.split(completed.stderr)[0]) or last_lines(completed.stdout) or "nothing"
        raise CommandTimedOut(
            f"{host.site}/{host.name}: step {token.step} of run {token.run} did not end within "
            f"{timeout_seconds:g} s and was ended there. The last it said: {heard}",
            stdout=completed.stdout,
            stderr=completed.stderr,
        )
    return completed


async def ask_status(
    transport: Transport,
    host: Host,
    token: StepToken,
    *,
    timeout_seconds: float,
    lock_directory: str = LOCK_DIRECTORY,
) -> StepStatus:
    """Settle a step in doubt: what became of it on the host (see `status_command`).

    Raises CommandRefused when the asking token itself was overtaken, DriverTrouble for an answer that is
    none, and what `Transport.run` raises.
    """
    line = status_command(token, lock_directory=lock_directory)
    completed = await transport.run(host, line, timeout_seconds=timeout_seconds)
    _raise_refusal(host, token, completed)
    return read_status(completed.stdout)


def _raise_refusal(host: Host, token: StepToken, completed: Completed) -> None:
    refusal = _REFUSAL.search(completed.stderr) if completed.exit_status == REFUSED_STATUS else None
    if refusal is not None:
        raise CommandRefused(
            f"{host.site}/{host.name}: step {token.step} was not started, {refusal[2]}", code=refusal[1]
        )
