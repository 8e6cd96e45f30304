"""`sites.yaml` -> `Estate`, or every fault at once, each with its line and column.

The steps: read the text with its marks; fetch the secrets; check each value by its model; check the
settings of probes and drivers by theirs, and the runbooks that are named; check the rules between values. A
fault in one step never hides those of a later one. This module opens the estate file (and, through
`sites.secrets`, files that hold secrets, and through who knows them, runbooks); it connects to nothing.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from sites.draft import (
    Catalogue,
    Catalogues,
    Draft,
    ProbeFaults,
    ReceiverFaults,
    RunbookFaults,
    check_receivers,
    check_runbooks,
    check_settings,
    named,
)
from sites.faults import EstateInvalid, Fault, findings_of, sorted_faults
from sites.marks import Document, Finding, Place, read_document
from sites.model import Estate
from sites.reference import render_reference
from sites.rules import check_rules
from sites.rules_drills import calendars_are_calendars
from sites.salvage import salvage
from sites.schema import json_schema, render_schema
from sites.secrets import resolve

__all__ = [
    "EstateInvalid",
    "Fault",
    "Loaded",
    "json_schema",
    "load_estate",
    "render_reference",
    "render_schema",
]

MOST_BYTES = 1024 * 1024
_BEGINNING = "an estate, beginning with `version: 1`"


@dataclass(frozen=True, slots=True)
class Loaded:
    """An estate without faults, what was noticed about it, and the file it came from."""

    estate: Estate
    warnings: tuple[Fault, ...]
    path: Path


def load_estate(
    path: Path,
    *,
    probe_settings: Catalogue | None = None,
    driver_settings: Catalogue | None = None,
    probe_faults: ProbeFaults | None = None,
    runbook_faults: RunbookFaults | None = None,
    receiver_faults: ReceiverFaults | None = None,
    resolve_secrets: bool = True,
    site: str | None = None,
) -> Loaded:
    """The estate of the file at `path`.

    `probe_settings` and `driver_settings` are the settings models by kind and by driver; with None those
    names and settings are taken as they are. A settings model may have `check(estate, service)`, which
    yields (path within the settings, found, expected) for what is wrong in this estate; `probe_faults` is
    asked about every probe whose settings are right in themselves, and `runbook_faults` about every runbook
    that a service names, `receiver_faults` about every receiver of messages.

    With `resolve_secrets` false, secrets stay placeholders, and one that is not there is a warning: for a
    machine that was never meant to have them. With `site`, the loading controller's own, secrets beneath
    other sites stay placeholders: no site holds another's.

    Raises EstateInvalid with all faults in the order of the file; also when there is no such file.
    """
    document, unreadable = _open(path)
    if unreadable:
        raise EstateInvalid([unreadable])
    catalogues = Catalogues(
        probe_settings, driver_settings, probe_faults, runbook_faults, receiver_faults, path.parent
    )
    estate, findings = _examine(document, path.parent, catalogues, look_up=resolve_secrets, site=site)
    faults = sorted_faults((one for one in findings if not one.warning), document, str(path))
    warnings = sorted_faults((one for one in findings if one.warning), document, str(path))
    if faults or estate is None:
        raise EstateInvalid(faults, warnings)
    return Loaded(estate, warnings, path)


def _open(path: Path) -> tuple[Document, Fault | None]:
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        return Document(), _whole_file(path, "no such file", "the estate file at this path")
    except OSError as error:
        found = f"a file that cannot be read ({error.strerror or error})"
        return Document(), _whole_file(path, found, "a file that this account may read")
    if len(content) > MOST_BYTES:
        found = f"more than {MOST_BYTES // 1024} KiB"
        return Document(), _whole_file(path, found, "an estate file, which is far smaller")
    try:
        return read_document(content.decode("utf-8-sig")), None
    except UnicodeDecodeError as error:
        before = content[: error.start].decode(errors="ignore")
        place = Place(before.count("\n") + 1, len(before) - before.rfind("\n"))
        fault = _whole_file(path, f"the byte 0x{content[error.start]:02x}", "text in UTF-8")
        return Document(), replace(fault, line=place.line, column=place.column)


def _whole_file(path: Path, found: str, expected: str) -> Fault:
    return Fault(str(path), 0, 0, "", found, expected, "")


def _examine(
    document: Document, base: Path, catalogues: Catalogues, *, look_up: bool, site: str | None
) -> tuple[Estate | None, list[Finding]]:
    findings = list(document.findings)
    if not isinstance(document.data, dict):
        if not findings:
            findings.append(Finding((), _BEGINNING, None if document.values else "an empty file"))
        return None, findings
    data, said = resolve(document, base, look_up=look_up, site=site)
    findings += said
    estate, refused, broken = salvage(data)
    if refused is not None:
        findings += findings_of(refused, document, Estate)
    if estate is not None:
        draft = Draft(named(estate, catalogues.drivers), data, broken)
        estate, said = _check(draft, document, catalogues, site)
        findings += said
    # Where the text itself says nothing readable, that has been said, and nothing more can be.
    unreadable = {one.place for one in document.findings}
    heard = [
        one for one in findings if one.place or one.at_key or document.place(one.trail) not in unreadable
    ]
    return estate, heard


def _check(
    draft: Draft, document: Document, catalogues: Catalogues, daemon: str | None
) -> tuple[Estate, list[Finding]]:
    findings, settings = check_settings(draft, document, catalogues)
    findings += check_runbooks(draft, catalogues)
    findings += check_receivers(draft, catalogues)
    broken = draft.broken | {one.trail for one in findings}
    draft = replace(draft, broken=broken, drivers=settings)
    if daemon is None:  # one that starts must not wait for libraries that read calendars; it says so later
        findings += calendars_are_calendars(draft, catalogues.base)
    return draft.estate, findings + check_rules(draft)
