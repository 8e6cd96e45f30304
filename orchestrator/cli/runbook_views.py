"""What `runbook check` prints: findings as lines for people and editors, and as values for programs."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from orchestrator.cli.output import wrapped
from runbooks.checking import Checked
from runbooks.rules import RULES, Severity, severity_of
from sites.faults import Fault


def finding_lines(finding: Fault) -> list[str]:
    """`file:line:column: warning no-verify: …`, the place in the text, and what to do."""
    place = f"{finding.file}:{finding.line}:{finding.column}" if finding.line else finding.file
    head = f"{place}: {severity_of(finding.code)} {finding.code}: "
    where = f"{finding.where}: " if finding.where else ""
    lines = [f"{head}{where}{finding.message}", *(f"    {line}" for line in finding.excerpt.splitlines())]
    rule = RULES.get(finding.code)
    if rule is not None and not finding.expected:
        lines += wrapped(rule.remedy, first="    do: ", then="        ")
    return lines


def in_order_line(checked: Checked) -> str:
    """What is said of a runbook without faults."""
    runbook = checked.runbook
    steps = len(runbook.steps) if runbook is not None else 0
    said = [runbook.title if runbook is not None else "", _counted(steps, "step")]
    if checked.findings:
        said.append(_counted(len(checked.findings), "warning"))
    if checked.allowed:
        said.append(f"{_counted(len(checked.allowed), 'warning')} allowed")
    if services := sorted({use.service.name for use in checked.uses}):
        said.append(f"used by {', '.join(services)}")
    return f"{checked.path}: in order: {', '.join(said)}"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def values_of(checked: Sequence[Checked]) -> dict[str, Any]:
    """All of it for programs."""
    severities = Counter(severity_of(one.code) for each in checked for one in each.findings)
    return {
        "runbooks": [_values(one) for one in checked],
        "faults": severities[Severity.FAULT],
        "warnings": severities[Severity.WARNING],
    }


def _values(checked: Checked) -> dict[str, Any]:
    runbook = checked.runbook
    return {
        "file": str(checked.path),
        "name": checked.name,
        "title": runbook.title if runbook is not None else None,
        "steps": len(runbook.steps) if runbook is not None else None,
        "used_by": [{"service": use.service.name, "role": use.role} for use in checked.uses],
        "findings": [
            {
                "code": one.code,
                "severity": str(severity_of(one.code)),
                "line": one.line or None,
                "column": one.column or None,
                "where": one.where,
                "found": one.found,
                "expected": one.expected,
                "remedy": RULES[one.code].remedy if one.code in RULES else "",
            }
            for one in checked.findings
        ],
        "allowed": [{"code": one.code, "line": one.line, "because": one.because} for one in checked.allowed],
    }
