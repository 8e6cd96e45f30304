"""This machine's clocks. Decisions use `boottime_ns` only; wall clock is for people to read."""

import time
from datetime import UTC, datetime
from pathlib import Path


def boottime_ns() -> int:
    """CLOCK_BOOTTIME in nanoseconds: never set, counts while the machine is suspended."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def boot_id() -> str:
    """Names this boot of this machine; instants of another boot are worth nothing."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def wall_text() -> str:
    """The time of day as ISO 8601 UTC with milliseconds, for people."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def unix_seconds_of(text: str) -> float | None:
    """Unix time of what `wall_text` wrote; None for anything else."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None


def wall_unix_seconds() -> float:
    """Unix time, for people, metrics and gate 6; never for ownership."""
    return time.time()
