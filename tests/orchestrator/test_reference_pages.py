"""The reference pages are what the program makes of itself today."""

from pathlib import Path

import pytest

from orchestrator.core.decision import TABLE as RULES
from orchestrator.core.diagnosis import Diagnosis
from orchestrator.core.gates import CHECKS
from orchestrator.core.reasons import REASONS
from orchestrator.metrics_table import METRICS
from orchestrator.reference import PAGES
from runbooks.rules import RULES as FINDINGS

PLACE = Path(__file__).parents[2] / "docs" / "reference"


@pytest.mark.parametrize("name", PAGES)
def test_the_page_is_up_to_date(name: str) -> None:
    assert (PLACE / name).read_text(encoding="utf-8") == PAGES[name](), "run tools/docs"


def test_every_metric_and_every_reason_is_on_its_page() -> None:
    metrics, reasons = PAGES["metrics.md"](), PAGES["exit-codes-and-reasons.md"]()
    assert [row.name for row in METRICS if f"`{row.name}`" not in metrics] == []
    assert [code for code in REASONS if f"`{code}`" not in reasons] == []


def test_every_finding_in_a_runbook_is_on_its_page() -> None:
    page = PAGES["runbook-findings.md"]()
    assert [code for code, rule in FINDINGS.items() if f"| `{code}` | {rule.severity} |" not in page] == []


def test_every_diagnosis_row_and_gate_is_on_the_page_of_decisions() -> None:
    page = PAGES["decisions.md"]()
    assert [name for name in Diagnosis if f"### {name}\n" not in page] == []
    assert [rule.row for rule in RULES if f"\n| {rule.row} | " not in page] == []
    assert [check.number for check in CHECKS if f"\n| {check.number} | {check.name} | " not in page] == []
