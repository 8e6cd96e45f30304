"""Prometheus' rule files and the reference page of the alerts, made from `orchestrator.alerts_table`. Text
out; `tools/docs` writes them.
"""

import re
from collections.abc import Iterator

import yaml

from orchestrator.alerts_table import GROUPS, RECORDINGS, Alert

_LENGTH = re.compile(r"<<(\d+)>>")
_MADE = "# Made by tools/docs from orchestrator/alerts_table.py; do not edit by hand.\n"
REFERENCE = "docs/reference/alerts.md"


def expression(text: str, scale: float = 1.0) -> str:
    """PromQL, with every length of time times `scale`."""
    return _LENGTH.sub(lambda found: f"{int(found[1]) * scale:g}", text)


def recording_rules(scale: float = 1.0) -> str:
    """The file of recording rules."""
    rules = [{"record": each.name, "expr": expression(each.expr, scale)} for each in RECORDINGS]
    return _file([{"name": "twinsite-recorded", "rules": rules}])


def alerting_rules(scale: float = 1.0) -> str:
    """The file of alerting rules. `scale`: what takes an hour in an estate takes a few minutes in a lab."""
    return _file(
        [{"name": group.name, "rules": [_rule(alert, scale) for alert in group.alerts]} for group in GROUPS]
    )


def _rule(alert: Alert, scale: float) -> dict[str, object]:
    held = {"for": f"{max(1, round(alert.holds_seconds * scale))}s"} if alert.holds_seconds else {}
    return {
        "alert": alert.name,
        "expr": expression(alert.expr, scale),
        **held,
        "labels": {"severity": str(alert.severity), "owner": str(alert.owner)},
        "annotations": {
            "summary": alert.summary,
            "description": alert.meaning,
            "action": alert.todo,
            "page": f"docs/{alert.page}",
            "reference": f"{REFERENCE}#{alert.name.lower()}",
        },
    }


def _file(groups: list[dict[str, object]]) -> str:
    return _MADE + yaml.safe_dump({"groups": groups}, sort_keys=False, allow_unicode=True, width=110)


_PAGE = """\
What Prometheus alerts on with the rules under `prometheus/`, made from the same table as those.
[Watching it](../monitoring.md) tells how to set that up.

`critical` wakes somebody, `warning` is for working hours. An alert carries the labels that its expression
leaves, `severity` and `owner`; its annotations are `summary`, `description`, `action`, and `page`, the page
of these docs that says more.
"""


def alerts_page(made: str) -> Iterator[str]:
    """Every alert: when, whose, what to do; then what is recorded."""
    yield from ("# Alerts", "", made, "", _PAGE)
    yield from ("| alert | severity | owner | after |", "| --- | --- | --- | --- |")
    for group in GROUPS:
        for alert in group.alerts:
            link = f"[{alert.name}](#{alert.name.lower()})"
            yield f"| {link} | {alert.severity} | {alert.owner} | {held(alert)} |"
    for group in GROUPS:
        yield from ("", f"## {group.title}")
        for alert in group.alerts:
            yield from _alert(alert)
    yield from ("", "## What is recorded", "", "| series | what |", "| --- | --- |")
    yield from (f"| `{each.name}` | {each.text} |" for each in RECORDINGS)


def held(alert: Alert) -> str:
    """How long its expression must hold, for people."""
    seconds = alert.holds_seconds
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds and seconds % size == 0:
            return f"{seconds // size} {unit}"
    return f"{seconds} s" if seconds else "at once"


def _alert(alert: Alert) -> Iterator[str]:
    yield from ("", f"### {alert.name}", "")
    yield from (f"**{alert.severity}**, owner **{alert.owner}**, {held(alert)}. {alert.meaning}", "")
    yield from (f"What to do: {alert.todo} See [{alert.page}](../{alert.page}).", "")
    yield from ("```promql", expression(alert.expr), "```")
