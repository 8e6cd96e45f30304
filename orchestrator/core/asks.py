"""What each ask needs, and the transaction that carries it out. Pure: a verdict from state and time.

`examine` answers one of: Refuse (a reason's code), Wait (until when), Do (the records to write), Done
(already so). Every Do compares the writer's own key (P10, P12); `orchestrator.core.asking` builds the
transaction and handles its answer.
"""

from dataclasses import replace

from orchestrator.core.lease import has_passed, seconds
from orchestrator.core.messages import (
    Acknowledge,
    BreakGlass,
    CertifyOwner,
    CertifyPeer,
    Claim,
    GiveUpDead,
    GiveUpPlanned,
    MayPowerOff,
    Reconcile,
    RequestGiveUp,
    ServiceItem,
    SetMode,
    SetPause,
    Settle,
    StartRun,
    TakeOver,
)
from orchestrator.core.power import cut_off_everywhere, may_power_off
from orchestrator.core.records import LastMove, Mode, Movement, RunRecord, ServiceRecord
from orchestrator.core.state import OwnershipState, PendingAsk, Phase
from orchestrator.core.verdicts import Do, Done, ReadPeerFirst, Refuse, Verdict, Wait
from sites.replication.positions import bytes_short, reached
from sites.replication.words import Position

SERVICES_PER_TRANSACTION = 30  # etcd takes 128 operations; three keys a service and room to spare


def examine(state: OwnershipState, pending: PendingAsk, now_ns: int) -> Verdict:
    """What to do about a pending ask at `now_ns`."""
    what = pending.what
    if state.phase is Phase.SUPERSEDED:
        return Refuse("superseded", "another controller of this site has taken over its key")
    if isinstance(what, TakeOver):
        return _take_over(state, pending, what, now_ns)
    if isinstance(what, MayPowerOff):
        return may_power_off(state, pending, what, now_ns)
    if isinstance(what, CertifyPeer):
        return Done()
    service = state.services.get(what.service)
    if service is None:
        return Refuse("unknown-service", f"no service {what.service} in the estate")
    if isinstance(what, BreakGlass):
        return Done() if state.under_glass(what.service) is not None else Wait()
    if state.phase is not Phase.ACTIVE or not service.known:
        return Wait()
    item = service.item
    if isinstance(what, Claim):
        return _claim(state, what, item)
    if isinstance(what, CertifyOwner):
        return _certify_owner(state, what, item)
    if item is None:
        return Refuse("unclaimed", f"{what.service} has never been claimed by any site")
    record = item.record
    if isinstance(what, StartRun):
        return _start_run(what, item)
    if isinstance(what, Reconcile):
        return _reconcile(state, pending, what, record)
    if isinstance(what, GiveUpDead | GiveUpPlanned):
        return _give_up(state, what, record)
    if isinstance(what, RequestGiveUp):
        if record.run != what.run or record.movement is not Movement.MOVING:
            return Refuse("run-over", f"run {what.run} does not move {what.service} any more")
        # Once written it may have been answered, and refused, before we hear of our own success.
        if record.primary is None or record.asked_to_give_up or pending.committed:
            return Done()
        return Do(((what.service, replace(record, asked_to_give_up=True, refusal="")),))
    if isinstance(what, Settle):
        if record.run != what.run or record.movement is Movement.STEADY:
            return (
                Done() if record.run == what.run else Refuse("run-over", f"{record.run} holds {what.service}")
            )
        settled = replace(record, movement=Movement.STEADY, asked_to_give_up=False, target=None, why=what.why)
        return Do(((what.service, settled),))
    if isinstance(what, SetPause):
        return (
            Done() if record.pause == what.pause else Do(((what.service, replace(record, pause=what.pause)),))
        )
    if isinstance(what, Acknowledge):
        return _acknowledge(what, record)
    if isinstance(what, SetMode):
        return _set_mode(state, what, record, now_ns)
    return Refuse("unknown-ask", type(what).__name__)


def _start_run(what: StartRun, item: ServiceItem) -> Verdict:
    """P26: from steady, and only at the revision the plan was made from: two orders cannot both win."""
    record = item.record
    if record.movement is Movement.MOVING and record.run == what.record.run:
        return Done()
    if record.movement is Movement.MOVING:
        return Refuse(
            "moving", f"run {record.run} ({record.kind}, by {record.who}) holds it since {record.since}"
        )
    if item.revision != what.revision:
        return Refuse(
            "changed-since-plan", "the service's record changed since the plan was made; plan again"
        )
    moving = replace(
        record,
        movement=Movement.MOVING,
        run=what.record.run,
        kind=what.record.kind,
        target=what.record.to_site,
        asked_to_give_up=False,
        refusal="",
        since=what.record.started,
        who=what.who,
        why=what.why,
    )
    return Do(((what.service, moving),), (what.record,))


def _give_up(state: OwnershipState, what: GiveUpDead | GiveUpPlanned, record: ServiceRecord) -> Verdict:
    """P23: the instance is closed or fenced by now (`orchestrator.core.asking` sees to the order)."""
    if record.primary != state.site:
        return Done()
    if isinstance(what, GiveUpPlanned) and not record.asked_to_give_up:
        return Refuse("run-over", f"nobody asks for {what.service} any more")
    final = state_final_position(state, what.service)
    planned = isinstance(what, GiveUpPlanned) and final is not None
    given = replace(
        record,
        primary=None,
        previous=state.site,
        planned=planned,
        final_position=final if planned else None,
        asked_to_give_up=False,
        refusal="",
        why=what.why if isinstance(what, GiveUpDead) else record.why,
    )
    return Do(((what.service, given),))


def state_final_position(state: OwnershipState, service: str) -> Position | None:
    """The position the close ended at, if it ended in order."""
    return state.services[service].final_position


def _reconcile(state: OwnershipState, pending: PendingAsk, what: Reconcile, record: ServiceRecord) -> Verdict:
    """P31: the certificate decides, not the number; the epoch is above both, and the peer is revoked in the
    same transaction, so that it must read again before it answers yes for anything."""
    glass = state.glass.get(what.service)
    if glass is None or (record.primary == state.site and record.epoch > glass.epoch):
        return Done()
    peer = state.peer_item
    if peer is None or pending.peer_read_at != peer.revision:
        return ReadPeerFirst()
    ours = replace(
        record,
        primary=state.site,
        previous=state.peer,
        epoch=max(record.epoch, glass.epoch) + 1,
        movement=Movement.STEADY,
        run="",
        kind="break-glass",
        target=None,
        planned=False,
        final_position=None,
        asked_to_give_up=False,
        refusal="",
        who=what.who,
        why=f"{what.why} (certificate {glass.certificate})",
    )
    return Do(((what.service, ours),), revoke_peer=True)


def _certify_owner(state: OwnershipState, what: CertifyOwner, item: ServiceItem | None) -> Verdict:
    """P33: after a restore an operator says who owns what; the epoch exceeds every one ever seen."""
    if what.owner not in (state.site, state.peer):
        return Refuse("unknown-site", f"{what.owner} is no data site of this estate")
    if item is None:
        return Refuse("unclaimed", f"{what.service} does not stand in this store at all: its home claims it")
    record = item.record
    if record.epoch == what.epoch and record.primary == what.owner:
        return Done()
    if what.epoch <= record.epoch:
        return Refuse("epoch-too-low", f"{what.service} is at epoch {record.epoch} in the store")
    certified = replace(
        record,
        primary=what.owner,
        previous=record.primary,
        epoch=what.epoch,
        movement=Movement.STEADY,
        run="",
        kind="certified",
        target=None,
        final_position=None,
        asked_to_give_up=False,
        refusal="",
        who=what.who,
        why=f"{what.why} (certificate {what.certificate})",
    )
    return Do(((what.service, certified),))


def _claim(state: OwnershipState, what: Claim, item: ServiceItem | None) -> Verdict:
    """P24: only while nobody is primary, epoch + 1, not below the final position."""
    if item is None:
        return _first_claim(state, what)
    record = item.record
    if record.primary == state.site and record.run == what.run:
        return Done()
    if record.primary is not None:
        return Refuse("owned", f"{record.primary} is primary at epoch {record.epoch}")
    if record.epoch + 1 != what.epoch:
        return Refuse(
            "changed-since-plan",
            f"{what.service} was given up at epoch {record.epoch}, not {what.epoch - 1}; plan again",
        )
    final, received = record.final_position, what.received
    if final is not None and not what.accept_loss:
        there = reached(received, final)
        if there is None:
            return Refuse(
                "history-unknown", f"our position cannot be compared with the final one, {final.text}"
            )
        if there is False:
            missing = bytes_short(received, final)
            return Refuse("below-final-position", f"{missing} bytes short of the final position {final.text}")
    # Taken back by whoever gave it up: no run goes on, and this one's plan was to bring it elsewhere.
    taken_back = record.previous == state.site and record.run == what.run
    claimed = replace(
        record,
        primary=state.site,
        epoch=record.epoch + 1,
        movement=Movement.STEADY if taken_back else Movement.MOVING,
        run=what.run,
        kind=what.record.kind if what.record else record.kind,
        target=None if taken_back else state.site,
        asked_to_give_up=False,
        who=what.who,
        why=what.why,
        last_move=_last_move(what.run, what.at_unix_seconds) if what.automatic else record.last_move,
    )
    return Do(((what.service, claimed),), (what.record,) if what.record else ())


def _first_claim(state: OwnershipState, what: Claim) -> Verdict:
    """P24: a missing record counts as nobody's at epoch 0; the home site alone claims it."""
    if what.service not in state.home_services:
        return Refuse("not-home", "only the home site makes the first claim")
    record = ServiceRecord(
        primary=state.site,
        epoch=1,
        mode=Mode(what.mode_if_new),
        movement=Movement.STEADY,
        writer="",
        run=what.run,
        kind="first-claim",
        who=what.who,
        why=what.why,
    )
    return Do(((what.service, record),))


def _last_move(run: str, at_unix_seconds: float) -> LastMove:
    return LastMove(run=run, at_unix_seconds=at_unix_seconds)


def _acknowledge(what: Acknowledge, record: ServiceRecord) -> Verdict:
    if record.last_move is None:
        return Refuse("nothing-to-acknowledge", "there was no unplanned move")
    if record.last_move.acknowledged_by:
        return Done()
    return Do(
        ((what.service, replace(record, last_move=replace(record.last_move, acknowledged_by=what.who))),)
    )


def _set_mode(state: OwnershipState, what: SetMode, record: ServiceRecord, now_ns: int) -> Verdict:
    """P27: automatic is written by the holder alone; never while a run is on."""
    mode = Mode(what.mode)
    if record.mode is mode:
        return Done()
    if record.movement is not Movement.STEADY:
        return Refuse("moving", f"run {record.run} is on; the mode changes when it is over")
    if mode is Mode.AUTOMATIC and not state.entitled(what.service, now_ns):
        return Refuse("not-the-holder", "only the holder may make a service automatic")
    if state.under_glass(what.service) is not None:
        return Refuse("break-glass", "it is served under a certificate; reconcile first")
    return Do(((what.service, replace(record, mode=mode)),))


def _take_over(state: OwnershipState, pending: PendingAsk, what: TakeOver, now_ns: int) -> Verdict:
    """P9, P10, P11; with a certificate P28."""
    wanted = pending.remaining or what.services
    unknown = [name for name in wanted if name not in state.services]
    if unknown:
        return Refuse("unknown-service", f"no service {unknown[0]} in the estate")
    if state.phase is not Phase.ACTIVE or not all(state.services[name].known for name in wanted):
        return Wait()
    runs = {record.service: record for record in what.records}
    left: list[tuple[str, ServiceItem]] = []
    for name in wanted:
        item = state.services[name].item
        if item is None:
            return Refuse("unclaimed", f"{name} has never been claimed by any site")
        if item.record.primary == state.site and item.record.run == runs[name].run:
            continue
        if item.record.primary != state.peer:
            return Refuse("not-the-peers", f"{name} is not {state.peer}'s any more")
        cut_off = what.by_device and name in what.covers
        if item.record.mode is Mode.MANUAL and not (what.certified_down or cut_off):
            return Refuse(
                "manual",
                f"{name} moves only on a give-up, on a verified cut of all its hosts, or on a "
                f"certificate that {state.peer} is down",
            )
        left.append((name, item))
    if not left:
        return Done()
    holds = state.peer_item is not None and state.peer_item.record.hold
    relied_on = holds or any(item.record.mode is Mode.MANUAL for _, item in left)
    if what.by_device and relied_on and has_passed(what.cut_until_ns, now_ns):
        return Refuse(
            "device-cut-too-old",
            f"{state.peer}'s hosts were cut off too long ago to be sure that they still are",
        )
    if state.word_needed:
        return _wait_or(
            what, now_ns, "peer-word-missing", f"{state.peer} has not said that no glass was broken there"
        )
    only_manual = all(item.record.mode is Mode.MANUAL for _, item in left)
    waiting = _lease_still_held(state, pending, what, only_manual, now_ns)
    if waiting is not None:
        return waiting
    peer = state.peer_item
    if peer is None or pending.peer_read_at != peer.revision or not state.in_touch(now_ns):
        return ReadPeerFirst()
    batch = left[:SERVICES_PER_TRANSACTION]
    writes = tuple((name, _taken(state, item.record, runs[name], what)) for name, item in batch)
    return Do(writes, tuple(runs[name] for name, _ in batch), revoke_peer=True)


def _lease_still_held(
    state: OwnershipState, pending: PendingAsk, what: TakeOver, only_manual: bool, now_ns: int
) -> Verdict | None:
    """P9's conditions; None when all hold. A certificate or a verified cut (P28) stands in for the wait where
    the wait proves nothing: for manual services, and while the peer holds. Automatic ones wait for the lease
    all the same."""
    peer = state.peer_item
    if peer is None:
        return _wait_or(
            what, now_ns, "peer-never-seen", f"{state.peer}'s key has not been seen since our start"
        )
    certain = what.certified_down or what.by_device
    if certain and peer.record.hold:
        return cut_off_everywhere(state, what)
    if certain and only_manual:
        return None
    if peer.record.hold:
        return Refuse(
            "peer-holds", f"{state.peer} holds: it may be serving without any contact; certify it down"
        )
    if pending.peer_revision_at_start != peer.revision and not peer.record.revoked:
        if not what.ordered_by_operator:
            return Refuse("peer-back", f"{state.peer} renewed its lease meanwhile")
        pending.peer_revision_at_start = peer.revision
    over_ns = state.may_take_at(0)
    if what.loss_until_ns and over_ns is not None and over_ns > what.loss_until_ns:
        return Refuse(
            "peer-back", f"{state.peer}'s lease goes on, so more could be lost than was said; order it anew"
        )
    hold_down_ns = 0 if what.ordered_by_operator else what.hold_down_ns
    earliest = state.may_take_at(hold_down_ns)
    if earliest is None or not has_passed(earliest, now_ns):
        left = seconds(max(0, (earliest or now_ns) - now_ns))
        return _wait_or(what, now_ns, "lease-still-held", f"{state.peer}'s lease may last {left:.1f} s more")
    return None


def _wait_or(what: TakeOver, now_ns: int, code: str, message: str) -> Verdict:
    return Wait() if now_ns <= what.wait_until_ns else Refuse(code, message)


def _taken(state: OwnershipState, record: ServiceRecord, run: RunRecord, what: TakeOver) -> ServiceRecord:
    return replace(
        record,
        primary=state.site,
        previous=state.peer,
        epoch=record.epoch + 1,
        movement=Movement.MOVING,
        run=run.run,
        kind=run.kind,
        target=state.site,
        planned=False,
        final_position=None,
        asked_to_give_up=False,
        refusal="",
        since=run.started,
        who=what.who,
        why=what.why,
        last_move=_last_move(run.run, run.started_unix_seconds),
    )
