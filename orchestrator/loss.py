"""What a move lost in fact, beside what it was said to lose at most when it was decided.

Pure, from the records of runs: how much only the old primary had is found out by its rejoin, which counts and
keeps it before anything of it is changed. Until then, and where the driver cannot tell, it is unknown and
said to be so.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.core.records import RunRecord
from runbooks.model import Kind
from sites.quantities import format_size

EVENT = "loss-reconciled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """`known`: whether it is known by now. `final`: nothing further will be found out. `transactions`,
    `bytes` and `seconds` (from the first to the last that was lost) where the driver has them.
    `more_than_said`: the statement was wrong. `by`: the run that found it out."""

    known: bool
    final: bool
    words: str
    bytes: int | None = None
    transactions: int | None = None
    seconds: float | None = None
    kept_at: str = ""
    more_than_said: bool = False
    by: str = ""


def loss_of(record: RunRecord, runs: Iterable[RunRecord]) -> Loss | None:
    """What the run lost; None for one that could lose nothing, or that did not come to its end."""
    if record.state != "done" or record.whole_site:
        return None
    if record.kind == Kind.SWITCHOVER:
        words = f"lost nothing: {record.from_site} was closed in order, and {record.to_site} opened with "
        return Loss(
            known=True, final=True, words=words + "everything that was written", bytes=0, transactions=0,
            seconds=0.0,
        )  # fmt: skip
    if record.kind != Kind.FAILOVER:
        return None
    rejoin = _rejoin(record, runs)
    if rejoin is None:
        later = _moved_on(record, runs)
        if later is not None:
            words = f"{said(record)}; lost: unknown: {record.from_site} did not rejoin before {later.run}"
            return Loss(known=False, final=True, words=words)
        words = f"{said(record)}; lost: unknown until {record.from_site} rejoins"
        return Loss(known=False, final=False, words=words)
    return _found(record, rejoin, rejoin.values.get("rejoined") or {})


def said(record: RunRecord) -> str:
    """What was said, in a few words."""
    if record.loss_bound_seconds is None:
        return "said: unknown"
    if record.loss_bound_seconds == 0:
        return "said nothing"
    return f"said at most {_seconds(record.loss_bound_seconds)}"


def _rejoin(record: RunRecord, runs: Iterable[RunRecord]) -> RunRecord | None:
    """The rejoin of the old primary after exactly this move: it acts under the epoch that the move began."""
    epoch = record.plan.get("epoch")
    found = [
        run
        for run in runs
        if (run.kind, run.service, run.from_site, run.to_site, run.state)
        == (Kind.REJOIN, record.service, record.from_site, record.to_site, "done")
        and run.plan.get("epoch") == epoch
    ]
    # A second rejoin finds nothing any more: the first is the one that met what only the old primary had.
    return min(found, key=lambda run: run.started_unix_seconds, default=None)


def _moved_on(record: RunRecord, runs: Iterable[RunRecord]) -> RunRecord | None:
    """The move after this one, if there was one: what the old primary had can no longer be told apart."""
    epoch = record.plan.get("epoch") or 0
    later = [
        run
        for run in runs
        if run.service == record.service
        and run.kind in (Kind.FAILOVER, Kind.SWITCHOVER)
        and run.state == "done"
        and (run.plan.get("epoch") or 0) > epoch
    ]
    return min(later, key=lambda run: run.plan.get("epoch") or 0, default=None)


def _found(record: RunRecord, rejoin: RunRecord, values: Mapping[str, Any]) -> Loss:
    size, count, span = (
        values.get("divergent_bytes"),
        values.get("divergent_transactions"),
        values.get("divergent_seconds"),
    )
    kept = str(values.get("saved_at") or "")
    if size is None:
        told = values.get("method") or "its rejoin"
        words = f"{said(record)}; lost: unknown: {told} did not tell what only {record.from_site} had"
        return Loss(known=False, final=True, words=words, kept_at=kept, by=rejoin.run)
    if size == 0 or count == 0:
        without = f": {format_size(size)} of log without a transaction" if size else ""
        return Loss(
            known=True, final=True, words=f"{said(record)}, lost nothing{without}", bytes=size,
            transactions=0, seconds=0.0, kept_at=kept, by=rejoin.run,
        )  # fmt: skip
    bound = record.loss_bound_seconds
    more = bound is not None and ((span is not None and span > bound) or (bool(count) and bound == 0))
    amounts = [] if span is None else [_seconds(span)]
    amounts.append(format_size(size))
    counted = "" if count is None else f" ({count} transaction{'' if count == 1 else 's'})"
    unsaid = "" if span is not None else "; over how long is unknown"
    words = f"{said(record)}, lost {' / '.join(amounts)}{counted}{unsaid}"
    return Loss(
        known=True,
        final=True,
        words=f"{words}: MORE THAN WAS SAID" if more else words,
        bytes=size,
        transactions=count,
        seconds=span,
        kept_at=kept,
        more_than_said=more,
        by=rejoin.run,
    )


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
