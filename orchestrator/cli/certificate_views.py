"""Certificates as people read them before they put their name to one: lines of text. Pure."""

from orchestrator.api.shapes import CertificateStatus, HistoryEntry
from orchestrator.cli.output import heading, local_time, words, wrapped

_TITLES = {
    "down": "You certify",
    "break-glass": "BROKEN GLASS: you certify",
    "peer": "You certify",
    "owner": "You certify",
}


def certificate(of: CertificateStatus, *, title: str = "") -> list[str]:
    """What is stated, what that means, and what is still needed."""
    lines = [heading(title or f"{_TITLES[of.kind]} ({of.id})")]
    for sentence in of.states:
        lines += wrapped(f"- {sentence}", first="  ", then="    ")
    lines += wrapped(f"Reason: {of.reason}", first="  ", then="    ")
    if of.means:
        lines += ["", heading("What that means")]
    for sentence in of.means:
        lines += wrapped(sentence, first="  ", then="  ")
    return [*lines, "", *_needed(of)]


def _needed(of: CertificateStatus) -> list[str]:
    lines = wrapped(f"It goes on file before anything is done: {of.kept_at}", first="  ", then="    ")
    if of.needs_second and of.second_person:
        lines += wrapped(f"{of.second_person} has agreed.", first="  ", then="    ")
    elif of.needs_second:
        lines += wrapped("It needs a second person, within 15 minutes.", first="  ", then="    ")
    if of.needs_signature:
        lines += wrapped("It must be signed with an operator's key: --key FILE.", first="  ", then="    ")
    return lines


def history_lines(of: HistoryEntry) -> list[str]:
    """One entry of the journal."""
    about = f" {of.service}" if of.service else ""
    text = f"{local_time(of.at)}  {words(of.kind)}{about}: {of.text or of.data}"
    return wrapped(text, then="    ")
