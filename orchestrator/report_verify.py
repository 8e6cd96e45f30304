"""Whether a report is what was signed, by whom, and whether the journal still holds what it was made from.

Pure but for the authority's file, which the caller reads. What cannot be told is not taken for well.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cryptography import x509

from orchestrator.countersigning import fault_of
from orchestrator.evidence import cut
from orchestrator.report_file import NotAReport, ReportFile, changed_in

_EVIDENCE = re.compile(r'<script type="application/json" id="evidence">(.*?)</script>', re.DOTALL)
BOTH = 2


@dataclass(frozen=True, slots=True)
class Verdict:
    """`sound`: nothing is wrong, and whose signatures they are is proven. `lines`: what was found, each with
    how it counts: `ok`, `note` or `WRONG`."""

    sound: bool
    lines: tuple[tuple[str, str], ...]


def verdict(
    report: ReportFile,
    authorities: Sequence[x509.Certificate],
    chain: Sequence[str] | None,
    why_no_chain: str,
) -> Verdict:
    """Of a report's file. `chain`: the run's links in the journal as it is now, None where nobody could be
    asked (`why_no_chain`)."""
    lines = [*_content(report), *_signatures(report, authorities), *_journal(report, chain, why_no_chain)]
    return Verdict(all(kind != "WRONG" for kind, _ in lines), tuple(lines))


def _content(report: ReportFile) -> list[tuple[str, str]]:
    changed = changed_in(report)
    if changed:
        return [("WRONG", f"its content is not what was signed; changed: {', '.join(changed)}")]
    said = report.statement
    return [("ok", f"its content is what was signed: run {said.get('run')}, drawn up {said.get('drawn_at')}")]


def _signatures(report: ReportFile, authorities: Sequence[x509.Certificate]) -> list[tuple[str, str]]:
    lines = []
    for one in report.seal.signatures:
        fault = fault_of(report.seal.statement, one, authorities)
        if fault:
            lines.append(("WRONG", f"the signature of {one.site} {fault}"))
        elif authorities:
            lines.append(("ok", f"signed by the controller of {one.site}, {one.at}"))
        else:
            words = (
                f"signed in the name of {one.site}, {one.at}: whose key that is cannot be told without the "
            )
            lines.append(("WRONG", f"{words}authority's certificate (--ca FILE)"))
    if not report.seal.signatures:
        lines.append(("WRONG", "nobody has signed it"))
    elif len({one.site for one in report.seal.signatures}) < BOTH:
        lines.append(
            (
                "note",
                "one controller alone has signed it; `twinsite report countersign FILE` asks the other one",
            )
        )
    return lines


def _journal(report: ReportFile, chain: Sequence[str] | None, why_no_chain: str) -> list[tuple[str, str]]:
    told = evidence_in(report).get("journal") or {}
    lines = []
    if told.get("problem"):
        lines.append(("WRONG", f"when it was drawn up: {told['problem']}"))
    if not told.get("links"):
        return [
            *lines,
            ("note", f"it is not chained to a journal: {told.get('words', 'nothing is said of one')}"),
        ]
    if chain is None:
        return [*lines, ("note", f"the journal was not asked: {why_no_chain}")]
    lost = cut(told, chain)
    if lost:
        return [*lines, ("WRONG", lost)]
    return [
        *lines,
        ("ok", f"the journal at {told.get('site')} holds all {told.get('records')} records of it"),
    ]


def evidence_in(report: ReportFile) -> Mapping[str, Any]:
    """The report's data, as they stand in the file. Raises NotAReport."""
    found = _EVIDENCE.search(report.body)
    try:
        told = json.loads(found.group(1)) if found is not None else None
    except ValueError as fault:
        raise NotAReport(f"its data cannot be read: {fault}") from fault
    if not isinstance(told, dict):
        raise NotAReport("it has no data of a report")
    return told
