"""Check runbooks as files: read each, find all that can be said about it, heed the comments that allow.

The one part of the linter that reads files. It carries nothing out and asks no host.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from runbooks.allowing import Allowed, sifted
from runbooks.errors import RunbookUnknown
from runbooks.library import Library, RunbookInvalid
from runbooks.lint import findings_of_sound, secrets_in
from runbooks.model import Runbook
from runbooks.plan import Facts
from runbooks.rules import Severity, severity_of
from runbooks.typed_secrets import hidden
from runbooks.uses import Use, kinds_of, problems_of, uses_in
from sites.faults import Fault, sorted_faults
from sites.marks import read_document
from sites.model import Estate, Service


@dataclass(frozen=True, slots=True)
class Bound:
    """The estate whose services' uses are checked too, where it finds its runbooks, and what is known of a
    service's driver and probes."""

    estate: Estate
    library: Library
    facts: Callable[[Service], Facts]


@dataclass(frozen=True, slots=True)
class Checked:
    """One runbook's findings. `runbook` is None when it could not be read."""

    path: Path
    name: str
    runbook: Runbook | None
    findings: tuple[Fault, ...]
    allowed: tuple[Allowed, ...] = ()
    uses: tuple[Use, ...] = ()

    def of(self, severity: Severity) -> tuple[Fault, ...]:
        """The findings of that severity, in the order of the file."""
        return tuple(one for one in self.findings if severity_of(one.code) is severity)


def check_file(path: Path, name: str, library: Library, bound: Bound | None = None) -> Checked:
    """Everything that can be said about the runbook in a file; `name` is how it is found."""
    try:
        text = library.read(path)
    except RunbookUnknown as unknown:
        said = str(unknown).removeprefix(f"{path}: ")
        return Checked(path, name, None, (Fault(str(path), 0, 0, "", said, "", "", "unreadable"),))
    except RunbookInvalid as invalid:
        return Checked(path, name, None, invalid.faults)
    bare = read_document(text)
    document = hidden(bare)
    secrets = secrets_in(bare, bare.lines)
    try:
        runbook = library.parse(text, file=str(path), name=name)
    except RunbookInvalid as invalid:
        # What else would be said depends on what is wrong; a secret does not, and neither does its comment.
        kept = sifted(secrets, document)
        more = [one for one in kept.findings if one.code == "secret"]
        told = (*invalid.faults, *sorted_faults(more, document, str(path)))
        return Checked(path, name, None, _in_order(told), kept.allowed)
    uses = _uses(path, bound)
    findings = secrets + findings_of_sound(
        document,
        runbook,
        library.catalogue,
        kinds_of(runbook, uses),
    )
    if bound is not None:
        findings += problems_of(runbook, uses, bound.estate, library.catalogue, bound.facts)
    kept = sifted(findings, document)
    return Checked(path, name, runbook, sorted_faults(kept.findings, document, str(path)), kept.allowed, uses)


def _uses(path: Path, bound: Bound | None) -> tuple[Use, ...]:
    """Every use of this very file: another one may be found first under its name."""
    if bound is None:
        return ()
    whole = path.resolve()
    return tuple(use for use in uses_in(bound.estate) if _found(bound.library, use.runbook) == whole)


def _found(library: Library, name: str) -> Path | None:
    try:
        return library.find(name).resolve()
    except RunbookUnknown:
        return None


def _in_order(findings: Iterable[Fault]) -> tuple[Fault, ...]:
    return tuple(sorted(findings, key=lambda one: (one.line, one.column, one.where)))
