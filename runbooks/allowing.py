"""Comments in a runbook that allow a warning: `# twinsite: allow CODE because …`.

One counts for what is found on its own line or, where nothing but comments stands between, below it; for a
step also on or above the step's first line. Without a reason it does not count, and one without an effect is
itself a finding, so that none outlives what it was written for. Pure.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from runbooks.rules import ABOUT_ALLOWING, RULES, Severity
from sites.marks import Document, Finding, Place

_COMMENT = re.compile(r"(?:^|\s)(?P<all>#\s*twinsite:(?P<said>.*))$")
_SAID = re.compile(r"^\s*allow\s+(?P<codes>[a-z-]+(?:\s*,\s*[a-z-]+)*)(?:\s+because\b(?P<because>.*))?\s*$")
_ONLY_COMMENT = re.compile(r"^\s*#")


@dataclass(frozen=True, slots=True)
class Allow:
    """One comment. `codes` is empty when it could not be understood; `because` when it gives no reason."""

    place: Place
    codes: tuple[str, ...]
    because: str


@dataclass(frozen=True, slots=True)
class Allowed:
    """A warning that a comment silenced, and why."""

    code: str
    line: int
    because: str


@dataclass(frozen=True, slots=True)
class Sifted:
    """Findings after the comments were heeded."""

    findings: tuple[Finding, ...]
    allowed: tuple[Allowed, ...]


def allows_in(lines: Sequence[str]) -> tuple[Allow, ...]:
    """Every comment that speaks to twinsite, in order."""
    found = []
    for number, line in enumerate(lines, start=1):
        if (comment := _COMMENT.search(line)) is not None:
            said = _SAID.match(comment["said"])
            codes = tuple(code.strip() for code in said["codes"].split(",")) if said else ()
            because = (said["because"] or "").strip() if said else ""
            reason = because if re.search(r"\w", because) else ""
            found.append(Allow(Place(number, comment.start("all") + 1), codes, reason))
    return tuple(found)


def sifted(findings: Iterable[Finding], document: Document) -> Sifted:
    """The findings without those that a comment allows, and with what is wrong with the comments."""
    allows = allows_in(document.lines)
    by_line = {allow.place.line: allow for allow in allows}
    used: set[tuple[int, str]] = set()
    kept: list[Finding] = []
    allowed: list[Allowed] = []
    for finding in findings:
        reasons = [
            allow
            for line in _lines_that_count(finding, document)
            if (allow := by_line.get(line)) is not None and finding.code in allow.codes
        ]
        used |= {(allow.place.line, finding.code) for allow in reasons}
        good = next((allow for allow in reasons if allow.because), None)
        if good is None or RULES[finding.code].severity is Severity.FAULT:
            kept.append(finding)
        else:
            allowed.append(Allowed(finding.code, _place(finding, document).line, good.because))
    kept += [complaint for allow in allows for complaint in _complaints(allow, used)]
    return Sifted(tuple(kept), tuple(allowed))


def _place(finding: Finding, document: Document) -> Place:
    return finding.place or document.place(finding.trail, at_key=finding.at_key)


def _lines_that_count(finding: Finding, document: Document) -> Iterator[int]:
    starts = [_place(finding, document).line]
    if finding.trail[:1] == ("steps",) and len(finding.trail) > 1:
        starts.append(document.place(finding.trail[:2]).line)
    for start in dict.fromkeys(starts):
        yield start
        line = start - 1
        while line >= 1 and _ONLY_COMMENT.match(document.lines[line - 1]):
            yield line
            line -= 1


def _complaints(allow: Allow, used: set[tuple[int, str]]) -> Iterator[Finding]:
    if not allow.codes:
        said = "a comment for twinsite that it does not understand"
        yield _complaint(allow, said, "`# twinsite: allow CODE because …`")
    for code in allow.codes:
        rule = RULES.get(code)
        if rule is None or code in ABOUT_ALLOWING:
            yield _complaint(allow, f"{code}, which is no warning that can be allowed", _listed(RULES))
        elif rule.severity is Severity.FAULT:
            yield _complaint(allow, f"{code} allowed, which is a fault", "the fault mended")
        elif (allow.place.line, code) not in used:
            yield _complaint(allow, f"{code} allowed where it is not found", "no comment here")
        elif not allow.because:
            found = f"{code} allowed without a reason"
            yield _complaint(allow, found, f"allow {code} because …", "allow-without-reason")


def _complaint(allow: Allow, found: str, expected: str, code: str = "allow-without-effect") -> Finding:
    return Finding((), expected, found, warning=True, place=allow.place, code=code)


def _listed(rules: Mapping[str, object]) -> str:
    codes = [
        code for code in rules if RULES[code].severity is Severity.WARNING and code not in ABOUT_ALLOWING
    ]
    return f"one of {', '.join(codes)}"
