"""`/metrics`: the table of metrics, rendered from the controller's latest readings.

Rendering is arithmetic on an immutable value: no network, no lock, no clock of its own. What is not known
has no series. Which metrics there are is `orchestrator.metrics_table`'s.
"""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, SummaryMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from orchestrator.metrics_table import METRICS, Kind, MetricRow
from orchestrator.readings import Durations, Readings

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class ReadingsCollector(Collector):
    """Prometheus' view of one Readings value at one instant."""

    def __init__(self, readings: Readings, now_ns: int) -> None:
        self._readings = readings
        self._now_ns = now_ns

    def collect(self) -> Iterator[Metric]:
        """One family per row of the table, in its order; a family without series still has its help."""
        for row in METRICS:
            yield _family(row, self._readings, self._now_ns)


def _family(row: MetricRow, readings: Readings, now_ns: int) -> Metric:
    labels = (*row.labels, "observer")
    family: GaugeMetricFamily | CounterMetricFamily | SummaryMetricFamily
    if row.kind is Kind.SUMMARY:
        family = SummaryMetricFamily(row.name, row.text, labels=labels)
    elif row.kind is Kind.COUNTER:
        family = CounterMetricFamily(row.name, row.text, labels=labels)
    else:
        family = GaugeMetricFamily(row.name, row.text, labels=labels)
    for values, value in row.read(readings, now_ns):
        if value is None:
            continue
        named = [*values, readings.observer]
        if isinstance(value, Durations):
            assert isinstance(family, SummaryMetricFamily)
            family.add_metric(named, count_value=value.count, sum_value=value.sum_seconds)
        else:
            assert not isinstance(family, SummaryMetricFamily)
            family.add_metric(named, float(value))
    return family


def render(readings: Readings, *, now_ns: int) -> bytes:
    """The exposition (text format 0.0.4, see CONTENT_TYPE) of `readings` as of `now_ns`, an instant of the
    same CLOCK_BOOTTIME that the readings were taken by."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(ReadingsCollector(readings, now_ns))
    return generate_latest(registry)
