"""The shells and tool sets that the wrapper must work with, and a way to run it without SSH."""

import os
import shutil
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

from sites.wrapper import StepToken, status_command, wrap

TOOLS = (
    *("cat", "dd", "env", "grep", "kill", "ls", "mkdir", "mv", "ps", "rm", "rmdir", "seq", "sleep"),
    *("tail", "touch", "tr", "true", "wc"),
)


@dataclass(frozen=True, slots=True)
class Box:
    """A host's shell and tools, with a folder of the wrapper's own."""

    shell: str
    path: str
    locks: Path
    home: str

    def line(self, command: str, token: StepToken, timeout_seconds: float = 60) -> str:
        """The wrapped command line."""
        return wrap(command, token=token, timeout_seconds=timeout_seconds, lock_directory=str(self.locks))

    def start(self, command: str, token: StepToken, timeout_seconds: float = 60) -> subprocess.Popen[str]:
        """Start a step as sshd would: the login shell in a session of its own."""
        return self._popen(self.line(command, token, timeout_seconds))

    def run(
        self, command: str, token: StepToken, timeout_seconds: float = 60, stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run a step to its end."""
        return self._finish(self.start(command, token, timeout_seconds), stdin)

    def status(self, token: StepToken) -> str:
        """What the host says of a step."""
        done = self._finish(self._popen(status_command(token, lock_directory=str(self.locks))), "")
        return (done.stdout + done.stderr).strip()

    def with_path(self, path: str) -> "Box":
        """The same with other tools."""
        return replace(self, path=path)

    def _popen(self, line: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [self.shell, "-c", line],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={"PATH": self.path, "HOME": self.home},
            start_new_session=True,
        )

    @staticmethod
    def _finish(process: subprocess.Popen[str], stdin: str) -> subprocess.CompletedProcess[str]:
        out, err = process.communicate(stdin, timeout=120)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def link_tools(folder: Path, shell: str, *more: str) -> str:
    """A search path that holds one shell, as `sh`, and the named tools, and nothing else."""
    folder.mkdir()
    (folder / "sh").symlink_to(shell)
    for tool in (*TOOLS, *more):
        if (found := shutil.which(tool)) is not None:
            (folder / tool).symlink_to(found)
    return str(folder)


def make_box(kind: str, base: Path) -> Box | str:
    """A box of a kind, or the reason why this machine has none."""
    locks = base / "locks"
    if kind == "busybox":
        if (busybox := shutil.which("busybox")) is None:
            return "busybox is not installed"
        folder = base / "busybox"
        folder.mkdir()
        for applet in subprocess.run([busybox, "--list"], capture_output=True, text=True).stdout.split():
            (folder / applet).symlink_to(busybox)
        return Box(str(folder / "sh"), str(folder), locks, str(base))
    name, _, bare = kind.partition("-")
    if (shell := shutil.which(name)) is None:
        return f"{name} is not installed"
    if bare and shutil.which("perl") is None:
        return "perl is not installed"
    tools = ("perl",) if bare else ("flock", "setsid")
    return Box(shell, link_tools(base / "tools", os.path.realpath(shell), *tools), locks, str(base))
