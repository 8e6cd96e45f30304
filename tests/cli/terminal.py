"""A terminal of a given size with the command in it, as a person sits before it."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path
from types import TracebackType
from typing import Self

DEADLINE_SECONDS = 20.0
AGAIN_SECONDS = 8.0
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[()][A-Z0-9]|\r")

# The new session first takes the terminal for its own, so that Ctrl-C reaches it.
_PROGRAM = (
    "import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); from orchestrator.cli import main; main()"
)


class Terminal:
    """The command `twinsite --config ESTATE ARGUMENTS…` on a terminal of its own."""

    def __init__(
        self, estate: Path, *arguments: str, columns: int = 80, rows: int = 60, colour: bool = True
    ) -> None:
        self._raw = b""
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        environment = {**os.environ, "TERM": "xterm-256color"}
        for name in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR"):
            environment.pop(name, None)
        if not colour:
            environment["NO_COLOR"] = "1"
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", _PROGRAM, "--config", str(estate), *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=environment,
            start_new_session=True,
        )
        os.close(slave)

    @property
    def raw(self) -> str:
        """Everything that was sent to the terminal so far."""
        return self._raw.decode(errors="replace")

    @property
    def text(self) -> str:
        """Everything that was shown so far, without what moves the cursor or colours."""
        return _ESCAPES.sub("", self.raw)

    def wait_for(self, words: str) -> str:
        """Read until `words` are shown."""
        end = time.monotonic() + DEADLINE_SECONDS
        while words not in self.text:
            assert self._read(end), f"{words!r} was never shown; shown was:\n{self.text}"
        return self.text

    def keys(self, typed: str) -> None:
        """Type; \\x03 is Ctrl-C."""
        os.write(self._master, typed.encode())

    def press_ctrl_c_until_the_end(self) -> tuple[int, str]:
        """Press Ctrl-C, and again if nothing happens: one that comes just before the command begins to
        wait for a line is only noticed with the next key. Not too soon: a second one while the first is being
        answered cuts the answer short."""
        for _ in range(int(DEADLINE_SECONDS / AGAIN_SECONDS)):
            self.keys("\x03")
            end = time.monotonic() + AGAIN_SECONDS
            while self._read(end):
                pass
            if self._process.poll() is not None:
                break
        return self.end()

    def end(self) -> tuple[int, str]:
        """Wait for the command's end; its exit code and everything shown."""
        end = time.monotonic() + DEADLINE_SECONDS
        while self._read(end):
            pass
        return self._process.wait(DEADLINE_SECONDS), self.text

    def _read(self, end: float) -> bool:
        """Read a little; False at the end of the output or the deadline."""
        readable, _, _ = select.select([self._master], [], [], max(0.0, end - time.monotonic()))
        if not readable:
            return False
        try:
            piece = os.read(self._master, 65536)
        except OSError:  # the other end is closed
            return False
        self._raw += piece
        return bool(piece)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(DEADLINE_SECONDS)
        os.close(self._master)
