"""Prometheus' rules: as generated, sound to promtool; each alert fires when it should, and none when all is
well."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator.alert_rules import alerting_rules, recording_rules
from orchestrator.alerts_table import ALERTS, RECORDINGS, Alert
from orchestrator.metrics_table import METRICS, Kind
from tests.monitoring.cases import CASES, Case, well
from tests.test_docs_links import anchors

ROOT = Path(__file__).parents[2]
RULES = ROOT / "prometheus"
FILES = ("recording.rules.yml", "alerting.rules.yml")
PROMTOOL = shutil.which("promtool")
by_promtool = pytest.mark.skipif(PROMTOOL is None, reason="no promtool here: apt-get install prometheus")
QUIET_SECONDS = 2 * 3600
BY_NAME = {alert.name: alert for alert in ALERTS}


def promtool(*words: str, cwd: Path = RULES) -> str:
    assert PROMTOOL is not None
    done = subprocess.run([PROMTOOL, *words], capture_output=True, text=True, cwd=cwd, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_files_are_up_to_date() -> None:
    for name, text in zip(FILES, (recording_rules(), alerting_rules()), strict=True):
        assert (RULES / name).read_text(encoding="utf-8") == text, "run tools/docs"


@by_promtool
def test_promtool_finds_rules_and_the_configuration_sound() -> None:
    promtool("check", "rules", *FILES)
    promtool("check", "config", "prometheus.yml")


def test_every_alert_has_a_case_in_which_it_fires() -> None:
    assert {case.alert for case in CASES} == set(BY_NAME)


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_an_alert_says_what_to_do_and_links_to_a_page_and_a_heading_that_are_there(alert: Alert) -> None:
    page, _, anchor = alert.page.partition("#")
    assert (ROOT / "docs" / page).is_file()
    assert not anchor or anchor in anchors(ROOT / "docs" / page)
    assert alert.name.lower() in anchors(ROOT / "docs" / "reference" / "alerts.md")
    for sentence in (alert.meaning, alert.todo):
        assert sentence.endswith(".")
        assert sentence[0].isupper()


def test_names_stand_once_and_in_the_usual_shapes() -> None:
    assert len(BY_NAME) == len(ALERTS)
    assert all(re.fullmatch(r"Twinsite[A-Z]\w+", name) for name in BY_NAME)
    recorded = [each.name for each in RECORDINGS]
    assert len(set(recorded)) == len(recorded)
    assert all(re.fullmatch(r"\w+:twinsite_\w+:\w+", name) for name in recorded)


def metric_names() -> set[str]:
    """Every series that `/metrics` may have, by name."""
    return {
        name
        for row in METRICS
        for name in ((f"{row.name}_sum", f"{row.name}_count") if row.kind is Kind.SUMMARY else (row.name,))
    }


@pytest.mark.parametrize("each", [*ALERTS, *RECORDINGS], ids=lambda each: each.name)
def test_rules_ask_for_metrics_and_recordings_that_there_are(each: Any) -> None:
    asked = set(re.findall(r"[\w:]*twinsite_[\w:]+", each.expr))
    assert asked
    assert asked <= metric_names() | {recording.name for recording in RECORDINGS}


def test_lengths_of_time_can_be_scaled_and_nothing_else_is() -> None:
    shrunk = yaml.safe_load(alerting_rules(0.1))
    rules = {rule["alert"]: rule for group in shrunk["groups"] for rule in group["rules"]}
    assert rules["TwinsiteUnprotected"]["for"] == "30s"
    assert "> 90 unless" in rules["TwinsiteRunStalled"]["expr"]
    assert "21 * 86400" in rules["TwinsiteCertificateExpiresSoon"]["expr"]
    assert "[2160s]" in recording_rules(0.1)


def test_the_well_estate_of_these_tests_is_made_of_metrics_that_there_are() -> None:
    labels = {row.name: {*row.labels, "observer"} for row in METRICS}
    for series in well():
        name, _, rest = series.partition("{")
        assert set(re.findall(r'(\w+)="', rest)) == labels[name]


# --- by promtool ---------------------------------------------------------------------------------------


def labels_of(name: str, labels: Any) -> dict[str, str]:
    alert = BY_NAME[name]
    return {**labels, "severity": str(alert.severity), "owner": str(alert.owner)}


def firing(*alerts: tuple[str, Any]) -> list[dict[str, Any]]:
    """What the query for everything that fires must answer."""
    found = []
    for name, labels in alerts:
        every = {"alertname": name, "alertstate": "firing", **labels_of(name, labels)}
        inside = ",".join(f'{key}="{text}"' for key, text in every.items())
        found.append({"labels": f"ALERTS{{{inside}}}", "value": 1})
    return found


def annotations(case: Case) -> dict[str, str]:
    alert = BY_NAME[case.alert]
    summary = alert.summary
    for key, text in case.labels.items():
        summary = summary.replace(f"{{{{ $labels.{key} }}}}", text)
    for function, text in case.value.items():
        summary = summary.replace(f"{{{{ $value | {function} }}}}", text)
    assert "{{" not in summary
    return {
        "summary": summary,
        "description": alert.meaning,
        "action": alert.todo,
        "page": f"docs/{alert.page}",
        "reference": f"docs/reference/alerts.md#{alert.name.lower()}",
    }


def run_tests(folder: Path, tests: list[dict[str, Any]]) -> None:
    plan = {"rule_files": [str(RULES / name) for name in FILES], "evaluation_interval": "15s", "tests": tests}
    file = folder / "tests.yml"
    file.write_text(yaml.safe_dump(plan, sort_keys=False), encoding="utf-8")
    promtool("test", "rules", file.name, cwd=folder)


def series(until_seconds: int, changes: Any = None) -> list[dict[str, str]]:
    """What is well, with changes, no longer than is looked at: promtool makes every sample."""
    most = until_seconds // 15 + 20
    merged = {name: values for name, values in (well() | dict(changes or {})).items() if values is not None}
    return [
        {"series": name, "values": re.sub(r"x(\d+)", lambda n: f"x{min(int(n[1]), most)}", values)}
        for name, values in merged.items()
    ]


def everything_firing_at(seconds: int, *alerts: tuple[str, Any]) -> dict[str, Any]:
    return {
        "expr": 'ALERTS{alertstate="firing"}',
        "eval_time": f"{seconds}s",
        "exp_samples": firing(*alerts),
    }


@by_promtool
def test_nothing_fires_while_all_is_well(tmp_path: Path) -> None:
    hours = [everything_firing_at(seconds) for seconds in (60, 600, 3600, QUIET_SECONDS)]
    run_tests(
        tmp_path, [{"interval": "15s", "input_series": series(QUIET_SECONDS), "promql_expr_test": hours}]
    )


@by_promtool
@pytest.mark.parametrize("case", CASES, ids=[f"{n}-{case.alert}" for n, case in enumerate(CASES)])
def test_an_alert_fires_in_its_time_and_no_other_does(case: Case, tmp_path: Path) -> None:
    run_tests(
        tmp_path,
        [
            {
                "interval": "15s",
                "input_series": series(case.fires_at, case.changes),
                "promql_expr_test": [
                    everything_firing_at(case.quiet_at),
                    everything_firing_at(case.fires_at, (case.alert, case.labels), *case.also),
                ],
                "alert_rule_test": [
                    {
                        "eval_time": f"{case.fires_at}s",
                        "alertname": case.alert,
                        "exp_alerts": [
                            {
                                "exp_labels": labels_of(case.alert, case.labels),
                                "exp_annotations": annotations(case),
                            }
                        ],
                    }
                ],
            }
        ],
    )
