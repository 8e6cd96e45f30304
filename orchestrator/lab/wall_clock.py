"""A wall clock that jumps, for the processes of one site of a lab: libfaketime, where the machine has it.

It is loaded into twinsite's own processes when they start and reads its offset from a file, which can change
at any time. CLOCK_BOOTTIME and CLOCK_MONOTONIC stay as they are: a jump of the wall clock is no jump of
theirs. What does not ask libc for the time (etcd is one) sees no jump.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from orchestrator.lab.etcd import TOOLS

LIBRARY = "libfaketime.so.1"
SEEN_WITHIN_SECONDS = 1  # after the file has changed
ADVICE = "`tools/fetch-faketime` gets it from the distribution without installing it"


@dataclass(frozen=True, slots=True)
class FakeTime:
    """The library."""

    library: Path

    def environment(self, clock: Path) -> dict[str, str]:
        """What a process is started with so that its wall clock is off by what `clock` says."""
        return {
            "LD_PRELOAD": str(self.library),
            "FAKETIME_TIMESTAMP_FILE": str(clock),
            "FAKETIME_CACHE_DURATION": str(SEEN_WITHIN_SECONDS),
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",  # nor CLOCK_BOOTTIME
            "NO_FAKE_STAT": "1",
        }

    @staticmethod
    def set(clock: Path, offset_seconds: float) -> None:
        """From about a second on, the wall clock of whoever was started with `clock` is off by that much."""
        temporary = clock.with_suffix(".new")
        temporary.write_text(f"{offset_seconds:+.3f}\n", encoding="ascii")
        temporary.replace(clock)


def find_faketime(tools: Path = TOOLS) -> FakeTime | None:
    """The first of: TWINSITE_FAKETIME, the project's .tools, the system's own; None: there is none."""
    for path in _candidates(tools):
        if path.is_file():
            return FakeTime(path.resolve())
    return None


def _candidates(tools: Path) -> Iterator[Path]:
    if named := os.environ.get("TWINSITE_FAKETIME"):
        yield Path(named)
    for root in (tools / "faketime", Path("/")):
        for folder in ("usr/lib", "usr/lib64", "usr/local/lib"):
            yield from sorted((root / folder).glob(f"*/faketime/{LIBRARY}"))
            yield root / folder / "faketime" / LIBRARY
