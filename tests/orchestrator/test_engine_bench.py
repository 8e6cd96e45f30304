"""The engine's benchmark measures what it says: every step is carried out, and recorded on the disk."""

import json
from pathlib import Path

import pytest

from orchestrator import engine_bench
from runbooks.actions import shipped_actions


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few hosts and steps, which show the same."""
    for name, value in (("HOSTS", 3), ("STEPS", 9), ("IN_A_ROW", 6)):
        monkeypatch.setattr(engine_bench, name, value)


async def test_each_figure_is_measured_and_said_with_what_was_asked(small: None, tmp_path: Path) -> None:
    drawing, overhead = await engine_bench.measured(tmp_path)
    assert (drawing.values["steps"], drawing.values["hosts"]) == (9, 3)
    assert "A plan of 9 steps over 3 hosts" in drawing.sentence
    assert "asked: under 1 s" in drawing.sentence
    assert overhead.values["step_in_fsyncs"] == pytest.approx(
        overhead.values["step_median_milliseconds"] / overhead.values["fsync_median_milliseconds"]
    )
    assert all(value > 0 for value in (*drawing.values.values(), *overhead.values.values()))
    json.dumps([dict(drawing.values), dict(overhead.values)], allow_nan=False)


def test_both_ways_to_write_the_plan_have_as_many_steps_on_as_many_hosts(small: None) -> None:
    estate, catalogue = engine_bench.bench_estate(3), shipped_actions()
    for text in (engine_bench.for_each_text(), engine_bench.written_out_text()):
        plan = engine_bench.drawn(text, estate, catalogue).plan
        assert len(plan.steps) == 9
        assert len({step.host for step in plan.steps}) == 3
