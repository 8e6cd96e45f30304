"""What each side had accepted since two sites parted, in words and as data: for the journal and for the run.

Pure: from what was recorded and what the driver found out. What nobody counted is said to be unknown; a
span is by history positions, which is what the driver has.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.core.records import ServiceRecord
from runbooks.progress import Progress
from sites.replication.words import Position, Sample

EVENT = "accepted"
_REJOINS = ("replication.rejoin", "replication.rebuild")


@dataclass(frozen=True, slots=True)
class Report:
    """The sentences, and the same for programs."""

    lines: tuple[str, ...]
    data: Mapping[str, Any]


def under_certificate(
    *,
    service: str,
    site: str,
    certificate: str,
    begun: Mapping[str, Any],
    now_text: str,
    sample: Sample | None,
) -> Report:
    """What the side that was certified has accepted, from when the glass was broken until now. `begun`: what
    was put on file then."""
    here = begun.get("position") or {}
    end = sample.position if sample is not None else None
    size = _bytes_between(here, end)
    amount = "how much is not known" if size is None else f"{size} B of history"
    since, until = begun.get("at", "unknown"), now_text
    span = f"from {here.get('text', 'an unknown position')} to {end.text if end else 'an unknown position'}"
    line = f"{site} has accepted writes of {service} under {certificate} since {since}: {amount}, {span}"
    if here and end is not None and here.get("history") != end.history:
        line += f" (history {here.get('history')}, then {end.history})"
    return Report(
        (line,),
        {
            "service": service,
            "site": site,
            "certificate": certificate,
            "since": since,
            "until": until,
            "from_position": here.get("text"),
            "to_position": end.text if end is not None else None,
            "history": end.history if end is not None else None,
            "bytes": size,
            "run": begun.get("run"),
            "lines": [line],
        },
    )


def _bytes_between(begin: Mapping[str, Any], end: Position | None) -> int | None:
    """History grown between two positions; one that began a new line went on from where the old one ended, so
    offsets still compare as long as the identity before the last `/` is the same."""
    if not begin or end is None or end.offset_bytes is None or begin.get("offset_bytes") is None:
        return None
    history = str(begin.get("history", ""))
    identity = history.rpartition("/")[0]
    same = history == end.history or (identity and identity == end.history.rpartition("/")[0])
    return max(0, end.offset_bytes - int(begin["offset_bytes"])) if same else None


def rejoined(
    *, service: str, site: str, record: ServiceRecord, progress: Progress, primary: Sample | None
) -> Report:
    """What an old primary had that the new one has not, after its rejoin: how much, and where it is kept."""
    values: Mapping[str, Any] = progress.values.get("rejoined", {})
    evidence = "; ".join(
        progress.steps[step.id].evidence for step in progress.plan.steps if step.action in _REJOINS
    )
    size, kept = values.get("divergent_bytes"), values.get("saved_at")
    by = f" ({record.why})" if record.kind in ("break-glass", "certified") and record.why else ""
    lines = [f"{record.primary} is primary of {service} at epoch {record.epoch}{by}"]
    if size is None:
        lines.append(f"what {site} alone had accepted is not known: {evidence or 'the driver does not say'}")
    elif size == 0 and kept is None:
        lines.append(f"{site} had accepted nothing that {record.primary} does not have: {evidence}")
    else:
        where = f"kept at {kept} on its host" if kept else "the driver names no place where it is kept"
        lines.append(
            f"{site} alone had accepted {size} B of history, which {record.primary} never received: {where}; "
            f"{evidence}"
        )
    at = primary.position if primary is not None else None
    if at is not None:
        lines.append(f"{record.primary} goes on from there, and is at {at.text} (history {at.history})")
    return Report(
        tuple(lines),
        {
            "service": service,
            "site": site,
            "primary": record.primary,
            "epoch": record.epoch,
            "kind": record.kind,
            "run": progress.plan.id,
            "bytes_only_here": size,
            "kept_at": kept,
            "method": values.get("method"),
            "evidence": evidence,
            "primary_position": at.text if at is not None else None,
            "primary_history": at.history if at is not None else None,
            "lines": lines,
        },
    )
