"""Durations and sizes as people write them: `500ms`, `10s`, `5m`, `2h`; `64MiB`, `1.5TiB`.

Parsing only; a bare number is refused, because nobody at 3 a.m. knows which unit it meant.
"""

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, WithJsonSchema

DURATION_PATTERN = r"^(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)$"
SIZE_PATTERN = r"^(\d+(?:\.\d+)?)\s*(B|KiB|MiB|GiB|TiB)$"
_DURATION = re.compile(DURATION_PATTERN)
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE = re.compile(SIZE_PATTERN)
_BYTES = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}


def parse_duration(value: Any) -> float:
    """Seconds in a duration such as `1.5s`. Raises ValueError with what is expected."""
    if isinstance(value, str) and (match := _DURATION.match(value.strip())):
        return float(match[1]) * _SECONDS[match[2]]
    raise ValueError("expected a duration with its unit, such as 500ms, 10s, 5m or 2h")


def _above_zero(seconds: float) -> float:
    if seconds > 0:
        return seconds
    raise ValueError("expected a duration above zero, such as 500ms, 10s, 5m or 2h")


def parse_size(value: Any) -> int:
    """Bytes in a size such as `64MiB`. Raises ValueError with what is expected."""
    if isinstance(value, str) and (match := _SIZE.match(value.strip())):
        return int(float(match[1]) * _BYTES[match[2]])
    raise ValueError("expected a size with its unit, such as 64MiB, 512GiB or 1.5TiB")


def format_duration(seconds: float) -> str:
    """The shortest exact spelling of a duration: 0.5 -> `500ms`, 90 -> `90s`, 7200 -> `2h`."""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * size and seconds % size == 0:
            return f"{int(seconds // size)}{unit}"
    if seconds and seconds < 1:
        return f"{seconds * 1000:.10g}ms"
    return f"{seconds:.10g}s"


def format_size(size_bytes: int) -> str:
    """A size for people, in the largest unit that keeps it at or above one."""
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        if size_bytes >= _BYTES[unit]:
            return f"{size_bytes / _BYTES[unit]:.1f} {unit}"
    return f"{size_bytes} B"


Seconds = Annotated[
    float,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema({"type": "string", "pattern": DURATION_PATTERN, "examples": ["500ms", "10s", "5m", "2h"]}),
]
AboveZeroSeconds = Annotated[Seconds, AfterValidator(_above_zero)]
Bytes = Annotated[
    int,
    BeforeValidator(parse_size),
    WithJsonSchema({"type": "string", "pattern": SIZE_PATTERN, "examples": ["64MiB", "1.5TiB"]}),
]
