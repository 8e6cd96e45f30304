"""The picture of a run: a bar for each step over time, the critical path marked. SVG text; pure.

Nothing is told by colour: bars of the critical path are black and carry a mark, the others white, what failed
is crossed out, what still goes on has an open end.
"""

import html
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from runbooks.graph import longest_chain

WIDTH = 1000
LABELS = 340
RIGHT = 90
ROW = 22
AXIS = 34
TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 43200, 86400)
MOST_TICKS = 9
LABEL_CHARACTERS = 48
CROSS = (
    '<defs><pattern id="cross" width="6" height="6" patternUnits="userSpaceOnUse">'
    '<path d="M0 6 L6 0 M0 0 L6 6" stroke="#000" stroke-width="1"/></pattern></defs>'
)
MARK = "\N{BLACK DIAMOND}"


@dataclass(frozen=True, slots=True)
class Bar:
    """One step: when it began and ended, in seconds of the picture. `critical`: on the critical path."""

    label: str
    begin_seconds: float
    end_seconds: float
    took: str
    critical: bool = False
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """A moment marked across all rows."""

    label: str
    at_seconds: float


def critical_path(needs: Mapping[str, Sequence[str]], seconds: Mapping[str, float]) -> tuple[str, ...]:
    """The chain of steps that took longest, by what each took: only it could have made the run shorter."""
    return tuple(longest_chain(needs, {step: seconds.get(step, 0.0) for step in needs}))


def picture(bars: Sequence[Bar], lines: Sequence[Line], *, title: str) -> str:
    """The SVG; "" without bars."""
    if not bars:
        return ""
    ends = [bar.end_seconds for bar in bars]
    span = max(*ends, 0.1)
    kept = [line for line in lines if line.at_seconds <= span * 1.3]
    span = max([span, *(line.at_seconds for line in kept)])
    height = AXIS + ROW * len(bars) + 14
    scale = (WIDTH - LABELS - RIGHT) / span

    def x(seconds: float) -> float:
        return LABELS + seconds * scale

    frame = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="{html.escape(title)}" font-family="sans-serif" font-size="12">'
    )
    out = [frame, CROSS]
    out += [
        f'<line x1="{x(seconds):.1f}" y1="{AXIS - 8}" x2="{x(seconds):.1f}" y2="{height - 10}" '
        f'stroke="#bbb" stroke-width="0.5"/>'
        f'<text x="{x(seconds):.1f}" y="{AXIS - 14}" text-anchor="middle">{tick_words(seconds)}</text>'
        for seconds in ticks(span)
    ]
    for number, bar in enumerate(bars):
        out += _bar(bar, AXIS + ROW * number, x)
    for line in kept:
        at = x(line.at_seconds)
        out.append(
            f'<line x1="{at:.1f}" y1="{AXIS - 8}" x2="{at:.1f}" y2="{height - 10}" stroke="#000" '
            f'stroke-dasharray="4 3"/><text x="{at:.1f}" y="{height - 1}" text-anchor="middle" '
            f'font-size="11">{html.escape(line.label)}</text>'
        )
    return "".join([*out, "</svg>"])


def _bar(bar: Bar, y: float, x: Callable[[float], float]) -> list[str]:
    begin, end = x(bar.begin_seconds), x(bar.end_seconds)
    width = max(end - begin, 2.0)
    fill = "url(#cross)" if bar.failed else "#000" if bar.critical else "#fff"
    weight = ' font-weight="bold"' if bar.critical else ""
    mark = f"{MARK} " if bar.critical else ""
    label = bar.label if len(bar.label) <= LABEL_CHARACTERS else bar.label[: LABEL_CHARACTERS - 1] + "\u2026"
    text, after = html.escape(mark + label), html.escape(bar.took)
    shape = f'width="{width:.1f}" height="{ROW - 8}" fill="{fill}" stroke="#000"'
    return [
        f'<text x="{LABELS - 8}" y="{y + 14}" text-anchor="end"{weight}>{text}</text>',
        f'<rect x="{begin:.1f}" y="{y + 3}" {shape}/>',
        f'<text x="{begin + width + 5:.1f}" y="{y + 14}"{weight}>{after}</text>',
    ]


def ticks(span: float) -> list[float]:
    """Round moments of the axis, not too many."""
    step = next((each for each in TICKS if span / each <= MOST_TICKS), math.ceil(span / MOST_TICKS))
    return [step * number for number in range(int(span / step) + 1)]


def tick_words(seconds: float) -> str:
    """`0`, `0.5 s`, `2 min`, `1 h`."""
    if seconds == 0:
        return "0"
    if seconds < 60:
        return f"{seconds:g} s"
    if seconds < 3600:
        return f"{seconds / 60:g} min"
    return f"{seconds / 3600:g} h"
