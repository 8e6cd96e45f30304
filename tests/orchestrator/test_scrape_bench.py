"""`twinsite bench --scrape`: a real page with as many services as asked is measured."""

import json
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from orchestrator import scrape_bench
from orchestrator.clock import boottime_ns
from orchestrator.metrics import render


def test_the_page_it_scrapes_is_one_that_prometheus_reads_with_every_service_on_it() -> None:
    text = render(scrape_bench.estate_of(7), now_ns=boottime_ns()).decode()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    told = {sample.labels["service"] for sample in families["twinsite_protected"].samples}
    assert told == {f"service-{number}" for number in range(7)}


def test_it_measures_and_tells_as_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(scrape_bench, "SCRAPES", 3)
    monkeypatch.setattr(scrape_bench, "SCRAPE_EVERY_SECONDS", 0.01)
    assert scrape_bench.run_scrape_bench(str(tmp_path / "found.json"), services=5) == 0
    found = json.loads((tmp_path / "found.json").read_text())["scrape"]
    assert (found["services"], found["scrapes"]) == (5, 3)
    assert found["scrape_max_ms"] >= found["scrape_median_ms"] > 0
    assert found["bytes"] > 1000
    assert "A scrape of 5 services" in capsys.readouterr().out
