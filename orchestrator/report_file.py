"""The file of a report: its pieces, what is signed of it, and the block of signatures at its end.

Pure. All but the block is hashed, so that a signature can be added later without touching what was signed.
The block is made from its own data in one way only; whatever else stands in it is found.
"""

import hashlib
import html
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from orchestrator.core.records import ReportSeal, Signature
from orchestrator.errors import OrchestratorMisuse

BEGIN = "<!-- twinsite: signatures begin -->"
END = "<!-- twinsite: signatures end -->"
PLACE = f"{BEGIN}{END}"
"""What stands where the signatures will be."""
FORMAT = 1
_PIECE = re.compile(r'(?=<section id="[a-z-]+")')
_NAME = re.compile(r'<section id="([a-z-]+)"')
_DATA = re.compile(r'<script type="application/json" id="signatures">(.*?)</script>', re.DOTALL)
_STYLE = "font:11px/1.4 monospace;white-space:pre-wrap;overflow-wrap:anywhere"


class NotAReport(OrchestratorMisuse):
    """The file is no report, or its block of signatures is not as it was written."""


@dataclass(frozen=True, slots=True)
class ReportFile:
    """A report taken apart: all but the block, and the block's data."""

    body: str
    seal: ReportSeal

    @property
    def statement(self) -> Mapping[str, Any]:
        """What was signed. Raises NotAReport."""
        try:
            found = json.loads(self.seal.statement)
        except ValueError as fault:
            raise NotAReport(f"what is signed cannot be read: {fault}") from fault
        if not isinstance(found, dict):
            raise NotAReport("what is signed is no statement of a report")
        return found


def pieces(body: str) -> dict[str, str]:
    """The hash of each section, by its name, and of what stands before the first (`head`)."""
    found: dict[str, str] = {}
    for text in _PIECE.split(body):
        named = _NAME.match(text)
        found[named.group(1) if named else "head"] = _hash(text)
    return found


def statement_of(body: str, facts: Mapping[str, Any]) -> str:
    """What is signed: the hash of all but the block, of each piece, and what the report is about."""
    said = {"format": FORMAT, "digest": _hash(body), "pieces": pieces(body), **facts}
    return json.dumps(said, sort_keys=True, separators=(",", ":"))


def with_signatures(body: str, seal: ReportSeal) -> str:
    """The whole file. `body` has PLACE in it, once."""
    before, _, after = body.partition(PLACE)
    return f"{before}{BEGIN}{_block(seal)}{END}{after}"


def taken_apart(text: str) -> ReportFile:
    """Raises NotAReport, with what is wrong."""
    before, begin, rest = text.partition(BEGIN)
    block, end, after = rest.partition(END)
    if not begin or not end or BEGIN in rest or END in after:
        raise NotAReport("it has no block of signatures, or more than one")
    found = _DATA.search(block)
    if found is None:
        raise NotAReport("its block of signatures is empty or damaged")
    try:
        data = json.loads(html.unescape(found.group(1)))
        seal = ReportSeal(
            statement=str(data["statement"]),
            signatures=tuple(Signature(**given) for given in data["signatures"]),
        )
    except (ValueError, KeyError, TypeError) as fault:
        raise NotAReport(f"its block of signatures cannot be read: {fault}") from fault
    if _block(seal) != block:
        raise NotAReport("its block of signatures is not as it was written")
    return ReportFile(f"{before}{PLACE}{after}", seal)


def changed_in(report: ReportFile) -> tuple[str, ...]:
    """The sections that are not as they were signed; `()` when all are."""
    said = report.statement
    if _hash(report.body) == said.get("digest"):
        return ()
    before, now = said.get("pieces") or {}, pieces(report.body)
    names = [name for name in now if before.get(name) != now[name]]
    names += [f"{name} (gone)" for name in before if name not in now]
    return tuple(names) or ("the order of its sections",)


def _block(seal: ReportSeal) -> str:
    data = json.dumps(
        {"statement": seal.statement, "signatures": [asdict(one) for one in seal.signatures]},
        sort_keys=True,
        separators=(",", ":"),
    )
    lines = [html.escape(line) for line in signed_words(seal)]
    told = "".join(f"<li>{line}</li>" for line in lines)
    # Within a script nothing is unescaped by a browser, and nothing in it may end it.
    kept = data.replace("&", "&amp;").replace("<", "&lt;")
    return (
        f'<ul>{told}</ul><p>What is signed:</p><div style="{_STYLE}">{html.escape(seal.statement)}</div>'
        f'<script type="application/json" id="signatures">{kept}</script>'
    )


def signed_words(seal: ReportSeal) -> tuple[str, ...]:
    """By whom and when, a line each."""
    if not seal.signatures:
        return ("Not signed: the site whose controller drew it up has no certificate.",)
    lines = [f"Signed by the controller of {one.site}, {one.at}" for one in seal.signatures]
    if len(seal.signatures) == 1:
        lines.append(
            "Signed by one controller only; the other one can countersign later: twinsite report countersign"
        )
    return tuple(lines)


def signed_bytes(statement: str, site: str, at: str) -> bytes:
    """What a controller's key signs."""
    return f"twinsite report {FORMAT}\n{site}\n{at}\n{statement}".encode()


def merged(first: Sequence[Signature], others: Sequence[Signature]) -> tuple[Signature, ...]:
    """One signature of each site, those of `first` before others."""
    found = {one.site: one for one in (*others, *first)}
    order = list(dict.fromkeys(one.site for one in (*first, *others)))
    return tuple(found[site] for site in order)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
