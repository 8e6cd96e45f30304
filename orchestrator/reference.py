"""The reference pages of the command, of exit codes and reasons, of decisions, of the metrics and of what is
found in runbooks, made from what the program itself goes by, so that they cannot say anything else. Text out;
`tools/docs` writes them.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping

import click

from orchestrator.alert_rules import alerts_page
from orchestrator.cli.failures import EXIT_CODES
from orchestrator.cli.group import cli, sections
from orchestrator.core.reasons import GROUPS as REASON_GROUPS
from orchestrator.metrics_table import GROUPS as METRIC_GROUPS
from orchestrator.metrics_table import MetricRow
from orchestrator.reference_decisions import decisions_page
from runbooks.rules import GROUPS as RULE_GROUPS

_MADE = "<!-- Made by tools/docs from the program itself; do not edit by hand. -->"


def commands_page() -> str:
    """Every verb that there is, with its options and examples."""
    lines = ["# Commands", "", _MADE, "", *_help(cli), "", "## For every verb", "", *_options(cli)]
    lines += ["These stand before the verb: `twinsite --site durham status`.", ""]
    for title, commands in sections():
        shown = [command for command in commands if not command.hidden]
        if shown:
            lines += [f"## {title}", ""]
        for command in shown:
            lines += _command(command, f"twinsite {command.name}")
    return _page(lines)


def _command(command: click.Command, path: str) -> Iterator[str]:
    usage = " ".join([path, *command.collect_usage_pieces(click.Context(command))])
    yield from (f"### {path}", "", f"`{usage}`", "")
    yield from (*_help(command), "", *_options(command))
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            if not inner.hidden:
                yield from _command(inner, f"{path} {name}")


def _help(command: click.Command) -> list[str]:
    """The help as paragraphs; what click must not wrap (marked by a line of \\b) as a block of its own."""
    lines: list[str] = []
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        if not paragraph.startswith("\b"):
            lines += [paragraph, ""]
            continue
        _, title, *rest = paragraph.splitlines()
        lines += [f"{title}", "", "```sh", *(line.strip() for line in rest), "```", ""]
    return lines[:-1]


def _options(command: click.Command) -> list[str]:
    rows = []
    for parameter in command.params:
        record = parameter.get_help_record(click.Context(command))
        if record is not None and record[1]:
            rows.append(f"| `{_cell(record[0])}` | {_cell(record[1])} |")
    return ["| option | meaning |", "| --- | --- |", *rows, ""] if rows else []


_REASONS = """\
`plan` ends with 3 when the move it shows would be refused.

## Reasons

A refusal or a decision carries a code. Codes are printed, logged, kept in the journal and counted in the
metrics; none is ever renamed or given another meaning.
"""

_METRICS = """\
Served at `/metrics` on the address that `sites.<site>.metrics` names. Units are base units. Every series
carries `observer`, the site whose controller exports it, beside the labels named here.

What is not known has **no series**; it is never shown as zero. The age that belongs to it goes on growing,
so alert on the age as well as on the value: `absent()` alone stays quiet while another service has one.

Beside these stand prometheus-client's own of the process, with the names that they have everywhere:
`process_cpu_seconds_total`, `process_resident_memory_bytes`, `process_open_fds`, `process_max_fds`,
`process_virtual_memory_bytes`, `process_start_time_seconds` and `python_gc_…`.
"""


def reasons_page() -> str:
    """Exit codes, and every reason's code with its meaning and remedy."""
    lines = ["# Exit codes and reasons", "", _MADE, "", "## Exit codes", ""]
    lines += ["| code | means | |", "| --- | --- | --- |"]
    lines += [f"| {code} | {name} | {_cell(text)} |" for code, name, text in EXIT_CODES]
    lines += ["", _REASONS]
    for group in REASON_GROUPS:
        lines += [f"### {group.title}", "", "| code | means | what to do |", "| --- | --- | --- |"]
        lines += [f"| `{r.code}` | {_cell(r.meaning)} | {_cell(r.remedy)} |" for r in group.reasons]
        lines.append("")
    return _page(lines)


def metrics_page() -> str:
    """Every metric with its type, labels and meaning."""
    lines = ["# Metrics", "", _MADE, "", _METRICS]
    for group in METRIC_GROUPS:
        lines += [
            f"## {group.title}",
            "",
            "| metric | type | labels | meaning |",
            "| --- | --- | --- | --- |",
        ]
        lines += [_metric(row) for row in group.rows]
        lines.append("")
    return _page(lines)


def _metric(row: MetricRow) -> str:
    labels = ", ".join(f"`{label}`" for label in row.labels) or "none"
    return f"| `{row.name}` | {row.kind} | {labels} | {_cell(row.text)} |"


_FINDINGS = """\
What `twinsite runbook check` finds. A **fault** has the runbook refused, when it is read or when the plan is
drawn up; `check` ends with 2. A **warning** does not: the runbook would be carried out as it is. With
`--strict` warnings fail the check too. Codes are stable; none is ever renamed or given another meaning.

A comment allows a warning, on the line of what is found, on the step's first line, or above either:

```yaml
  # twinsite: allow no-verify because the step `streaming`, which needs it, makes sure of it
  - id: database
```

Several codes are separated by commas. Without a reason a comment does not count. Faults cannot be allowed.
Without an estate file nothing is said of hosts and probes; with one, each runbook is bound to every service
that uses it, in both directions.
"""


def findings_page() -> str:
    """Every finding of `runbook check` with its severity, why it is one, and its remedy."""
    lines = ["# Findings in runbooks", "", _MADE, "", _FINDINGS]
    for group in RULE_GROUPS:
        lines += [
            f"## {group.title}",
            "",
            "| code | | what | why | what to do |",
            "| --- | --- | --- | --- | --- |",
        ]
        lines += [
            f"| `{r.code}` | {r.severity} | {_cell(r.what)} | {_cell(r.why)} | {_cell(r.remedy)} |"
            for r in group.rules
        ]
        lines.append("")
    return _page(lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _page(lines: list[str]) -> str:
    return "\n".join(lines).rstrip("\n") + "\n"


PAGES: Mapping[str, Callable[[], str]] = {
    "alerts.md": lambda: _page(list(alerts_page(_MADE))),
    "commands.md": commands_page,
    "decisions.md": lambda: _page(decisions_page(_MADE)),
    "exit-codes-and-reasons.md": reasons_page,
    "metrics.md": metrics_page,
    "runbook-findings.md": findings_page,
}
