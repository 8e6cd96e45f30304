"""Why a keeper ended before it could serve: left in a file of its site's state directory, where the
controller finds it. Without it a keeper that cannot start would be started again for ever, and nobody told.
"""

import json
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic
from typing import Protocol

import structlog

from orchestrator.clock import wall_text
from orchestrator.state_folder import KEEPER, is_locked

log = structlog.get_logger(__name__)

NAME = "keeper-last-words.json"
LONGEST_MESSAGE = 2000
LARGEST_FILE_BYTES = 64 * 1024
FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class LastWords:
    """`code`: what kind of trouble; `at`: time of day."""

    code: str
    message: str
    at: str


def leave(directory: Path, fault: BaseException) -> None:
    """Write them down, if that is possible at all."""
    code = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", type(fault).__name__).lower()
    words = LastWords(code, " ".join(str(fault).split())[:LONGEST_MESSAGE], wall_text())
    fresh = directory / f"{NAME}.new"
    try:
        fresh.write_text(json.dumps(asdict(words)), encoding="utf-8")
        fresh.replace(directory / NAME)
    except OSError as trouble:
        log.error("last-words-not-written", path=str(fresh), problem=str(trouble))


def read(directory: Path) -> LastWords | None:
    """The last words, if there are any that make sense."""
    try:
        with (directory / NAME).open(encoding="utf-8") as file:
            said = json.loads(file.read(LARGEST_FILE_BYTES))
        return LastWords(str(said["code"]), str(said["message"]), str(said["at"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def forget(directory: Path) -> None:
    """Whoever starts now has not said anything yet."""
    try:
        (directory / NAME).unlink(missing_ok=True)
    except OSError as trouble:
        log.error("last-words-not-removed", path=str(directory / NAME), problem=str(trouble))


class StartedKeeper(Protocol):
    """A keeper that was started."""

    def poll(self) -> int | None:
        """Its exit code, or None while it runs."""
        ...


class KeeperStarts:
    """Starts a keeper where none answers: at once, and less and less often while it cannot start. One that
    somebody else has started, such as a unit of its own, is waited for.

    `on_failure` is told the code of each keeper that ended in trouble. `first`: one that was started before.
    """

    def __init__(
        self,
        start: Callable[[], StartedKeeper],
        directory: Path,
        on_failure: Callable[[str], None],
        *,
        first: StartedKeeper | None = None,
    ) -> None:
        self._start = start
        self._directory = directory
        self._on_failure = on_failure
        self._started = first
        self._failures = 0
        self._again_at = 0.0
        self.problem = ""

    def there(self) -> None:
        """One answers."""
        self._failures, self._again_at, self.problem = 0, 0.0, ""

    def missing(self, reason: str) -> None:
        """None answers."""
        if self._started is not None:
            code = self._started.poll()
            if code is None:
                return  # it is on its way, in either direction
            self._started = None
            if code != 0:
                self._failed(code)
        if monotonic() < self._again_at or is_locked(self._directory, KEEPER):
            return
        log.info("keeper-starting", reason=reason)
        forget(self._directory)
        self._started = self._start()

    def _failed(self, exit_code: int) -> None:
        words = read(self._directory)
        code = words.code if words is not None else "keeper-ended"
        self._on_failure(code)
        pause_seconds = min(FIRST_PAUSE_SECONDS * 2**self._failures, LONGEST_PAUSE_SECONDS)
        self._failures += 1
        self._again_at = monotonic() + pause_seconds
        told = words.message if words is not None else "without a word; its log may say why"
        problem = f"{told} (exit code {exit_code})"
        if problem != self.problem:
            log.error("keeper-does-not-start", code=code, problem=problem)
        self.problem = problem
