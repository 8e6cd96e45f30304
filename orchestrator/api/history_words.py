"""Entries of the journal as one sentence each, for people. Pure."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from orchestrator.api.shapes import HistoryEntry
from orchestrator.journal_tables import JournalEvent


def history_entry(event: JournalEvent) -> HistoryEntry:
    """One entry; of a kind that this version does not know, its data stand there as they are."""
    at = datetime.fromtimestamp(event.wall_seconds, UTC).isoformat(timespec="milliseconds")
    write = _WORDS.get(event.kind)
    return HistoryEntry(
        number=event.number,
        at=at.replace("+00:00", "Z"),
        kind=event.kind,
        service=event.service,
        text=write(event.data) if write is not None else "",
        data=dict(event.data),
    )


def _decision(data: Mapping[str, Any]) -> str:
    return f"{data.get('diagnosis')}: {data.get('decision')} ({data.get('code')}): {data.get('why')}"


def _certificate(data: Mapping[str, Any]) -> str:
    said = data.get("certificate", {})
    second = f" and {said['second_person']}" if said.get("second_person") else ""
    signer = f", signed by {data['signer']}" if data.get("signer") else ""
    states = "; ".join(said.get("states", []))
    return f"{said.get('id')}: {said.get('who')}{second} certified{signer}: {states}. {said.get('reason')}"


def _approved(data: Mapping[str, Any]) -> str:
    said = data.get("certificate", {})
    return f"{said.get('second_person')} agreed to {said.get('id')}, which {said.get('who')} had drawn up"


def _broken(data: Mapping[str, Any]) -> str:
    here, there = data.get("position") or {}, data.get("peer_position") or {}
    return (
        f"glass broken by {data.get('certificate')} at epoch {data.get('epoch')}; position here "
        f"{here.get('text', 'unknown')}, last seen of the other site {there.get('text', 'unknown')}; "
        f"{data.get('statement')}"
    )


def _reconciled(data: Mapping[str, Any]) -> str:
    return (
        f"{data.get('who')} reconciled {data.get('certificate')}: {data.get('why')}; the other side is shut: "
        f"{data.get('fenced')}"
    )


def _accepted(data: Mapping[str, Any]) -> str:
    return "; ".join(data.get("lines", []))


def _power_off(data: Mapping[str, Any]) -> str:
    hosts = ", ".join(data.get("hosts", {}))
    return f"{hosts} to be switched off, by {data.get('who')}: {data.get('why')}"


def _powered_off(data: Mapping[str, Any]) -> str:
    said = [
        f"{name} {'is off' if each.get('off') else each.get('code')}: {each.get('evidence')}"
        for name, each in data.get("hosts", {}).items()
    ]
    verified = "verified cut" if data.get("verified") else "NOT verified"
    return f"{verified}: {'; '.join(said)}"


def _power_back(data: Mapping[str, Any]) -> str:
    return f"{data.get('host')}, which was switched off from here, answers again"


def _not_trusted(data: Mapping[str, Any]) -> str:
    found = f"; found was cluster {data['cluster_id']}" if data.get("cluster_id") else ""
    at = f" at revision {data['revision']}" if found and data.get("revision") else ""
    return f"the store is not trusted any more ({data.get('code')}): {data.get('message')}{found}{at}"


def _store_accepted(data: Mapping[str, Any]) -> str:
    owners: Mapping[str, Mapping[str, Any]] = data.get("owners") or {}
    said = [f"{name}: {each.get('owner')} at epoch {each.get('epoch')}" for name, each in owners.items()]
    certified = f"certified {', '.join(said)}" if said else "every service stays as it stood in it"
    return (
        f"{data.get('who')} accepted the store by {data.get('certificate')}: cluster "
        f"{data.get('cluster_id')} at revision {data.get('revision')}; {certified}"
    )


def _message(data: Mapping[str, Any]) -> str:
    late = f" after {data['tries']} tries" if int(data.get("tries") or 0) > 1 else ""
    return f"{data.get('receiver')} ({data.get('reason')}): {data.get('title')}: {data.get('outcome')}{late}"


def _acknowledged(data: Mapping[str, Any]) -> str:
    return f"{data.get('who')} acknowledged {', '.join(data.get('events') or [])}: {data.get('reason')}"


def _loss(data: Mapping[str, Any]) -> str:
    kept = f"; kept at {data['kept_at']}" if data.get("kept_at") else ""
    return f"{data.get('run')}: {data.get('words')}{kept}"


def _stalled(data: Mapping[str, Any]) -> str:
    return (
        f"{data.get('run')}: {data.get('step')} has been running for {data.get('running_seconds', 0):.0f} s, "
        f"and took at most {data.get('p75_seconds', 0):.1f} s three times out of four"
    )


def _sealed(data: Mapping[str, Any]) -> str:
    return f"{data.get('run')}: {data.get('records')} records, chained to {str(data.get('head'))[:16]}"


def _drill_began(data: Mapping[str, Any]) -> str:
    ordered = f"by {data.get('who')}: {data.get('why')}"
    return f"the drill {data.get('drill')!r} began as run {data.get('run')}, {ordered}"


def _drill_refused(data: Mapping[str, Any]) -> str:
    return f"the drill {data.get('drill')!r} was not begun ({data.get('code')}): {data.get('why')}"


def _protection(data: Mapping[str, Any]) -> str:
    since, epoch = data.get("since_unix_seconds"), data.get("epoch")
    if since is None:
        return f"protected at epoch {epoch}: a standby is in sync"
    at = datetime.fromtimestamp(since, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return f"unprotected at epoch {epoch}, since {at}"


def _drill_missed(data: Mapping[str, Any]) -> str:
    then = "; it is to be made up for" if data.get("to_be_made_up_for") else ""
    why = f"({data.get('code')}): {data.get('why')}"
    return f"the drill {data.get('drill')!r}, due {data.get('at')}, was missed {why}{then}"


def _drill_ended(data: Mapping[str, Any]) -> str:
    why = f": {data['why']}" if data.get("why") else ""
    return f"the drill {data.get('drill')!r}, run {data.get('run')}, ended: {data.get('outcome')}{why}"


def _drill_cleaned(data: Mapping[str, Any]) -> str:
    return f"cleaned up after the drill {data.get('drill')!r} at {data.get('site')}: {data.get('how')}"


def _drill_not_cleaned(data: Mapping[str, Any]) -> str:
    return f"NOT cleaned up after the drill {data.get('drill')!r} at {data.get('site')}: {data.get('why')}"


_WORDS = {
    "message": _message,
    "acknowledged": _acknowledged,
    "loss-reconciled": _loss,
    "step-stalled": _stalled,
    "run-sealed": _sealed,
    "drill-began": _drill_began,
    "drill-refused": _drill_refused,
    "drill-missed": _drill_missed,
    "drill-ended": _drill_ended,
    "drill-cleaned": _drill_cleaned,
    "drill-not-cleaned": _drill_not_cleaned,
    "decision": _decision,
    "certificate": _certificate,
    "certificate-approved": _approved,
    "broken-glass": _broken,
    "reconciled": _reconciled,
    "accepted": _accepted,
    "protection": _protection,
    "power-off": _power_off,
    "powered-off": _powered_off,
    "power-back": _power_back,
    "store-not-trusted": _not_trusted,
    "store-accepted": _store_accepted,
}
