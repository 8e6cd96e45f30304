"""`/metrics`: the table of metrics, rendered from the controller's latest readings.

Rendering is arithmetic on an immutable value: no network, no lock, no clock of its own. What is not known
has no series. Which metrics there are is `orchestrator.metrics_table`'s. The lines are written here, and not
by way of a registry, because that takes several times as long with a few hundred services.
"""

from collections.abc import Iterator

from orchestrator.metrics_table import METRICS, MetricRow
from orchestrator.readings import Durations, Readings

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_IN_LABELS = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})
_IN_HELP = str.maketrans({"\\": r"\\", "\n": r"\n"})


def render(readings: Readings, *, now_ns: int) -> bytes:
    """The exposition (text format 0.0.4, see CONTENT_TYPE) of `readings` as of `now_ns`, an instant of the
    same CLOCK_BOOTTIME that the readings were taken by. Every metric has its help, also without a series."""
    lines: list[str] = []
    for row in METRICS:
        lines.append(f"# HELP {row.name} {row.text.translate(_IN_HELP)}\n# TYPE {row.name} {row.kind}\n")
        lines += _series(row, readings, now_ns)
    return "".join(lines).encode()


def _series(row: MetricRow, readings: Readings, now_ns: int) -> Iterator[str]:
    observer = f'observer="{readings.observer.translate(_IN_LABELS)}"'
    names = row.labels
    for values, value in row.read(readings, now_ns):
        if value is None:
            continue
        labels = ",".join(
            f'{name}="{text.translate(_IN_LABELS)}"' for name, text in zip(names, values, strict=True)
        )
        braces = f"{{{labels},{observer}}}" if labels else f"{{{observer}}}"
        if isinstance(value, Durations):
            yield f"{row.name}_count{braces} {value.count}\n"
            yield f"{row.name}_sum{braces} {value.sum_seconds!r}\n"
        else:
            yield f"{row.name}{braces} {float(value)!r}\n"
