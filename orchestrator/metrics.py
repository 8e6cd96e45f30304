"""`/metrics`: the table of metrics, rendered from the controller's latest readings.

Rendering is arithmetic on an immutable value: no network, no lock, no clock of its own. What is not known
has no series. Which metrics there are is `orchestrator.metrics_table`'s. With a few hundred services the
series of the table take a registry of prometheus-client eight times as long to write, all of it with the
interpreter to itself, and a scrape and the controller's loop wait for that (`twinsite bench --scrape`); so
they are written here. What the process itself uses, CPU time, memory, open files, is prometheus-client's.
"""

from collections.abc import Iterator
from functools import lru_cache

from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector, generate_latest

from orchestrator.metrics_table import METRICS, MetricRow
from orchestrator.readings import Durations, Readings

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
LABELS_KEPT = 50_000
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


@lru_cache(maxsize=1)
def _of_process() -> CollectorRegistry:
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


def render_process() -> bytes:
    """What this process uses (`process_…`, `python_gc_…`), in the same format. Reads /proc."""
    return generate_latest(_of_process())


def _series(row: MetricRow, readings: Readings, now_ns: int) -> Iterator[str]:
    name, names, observer = row.name, row.labels, readings.observer
    for values, value in row.read(readings, now_ns):
        if value is None:
            continue
        labels = _labels(names, values, observer)
        if isinstance(value, Durations):
            yield f"{name}_count{labels} {value.count}\n{name}_sum{labels} {value.sum_seconds!r}\n"
        else:
            yield f"{name}{labels} {float(value)!r}\n"


@lru_cache(maxsize=LABELS_KEPT)
def _labels(names: tuple[str, ...], values: tuple[str, ...], observer: str) -> str:
    """Kept, for they are the same at every scrape."""
    told = zip((*names, "observer"), (*values, observer), strict=True)
    return f"{{{','.join(_pair(name, text) for name, text in told)}}}"


def _pair(name: str, text: str) -> str:
    return f'{name}="{text.translate(_IN_LABELS)}"'
