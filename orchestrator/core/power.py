"""Before hosts of the other site are switched off: what a takeover would find, asked first (P8, P9, P28).

Pure. A device is as sharp as a takeover, and unlike that no transaction holds it back: whoever has any right
left must be found out before.
"""

from orchestrator.core.lease import has_passed, seconds
from orchestrator.core.messages import MayPowerOff, TakeOver
from orchestrator.core.records import Mode
from orchestrator.core.state import OwnershipState, PendingAsk, Phase
from orchestrator.core.verdicts import Done, ReadPeerFirst, Refuse, Verdict, Wait


def may_power_off(state: OwnershipState, pending: PendingAsk, what: MayPowerOff, now_ns: int) -> Verdict:
    """But for hold-down, which whoever asks has waited out. A lease that still runs, by whatever clock, is a
    right that the peer has; so is hold, which only a person may take from it."""
    unknown = [name for name in what.services if name not in state.services]
    if unknown:
        return Refuse("unknown-service", f"no service {unknown[0]} in the estate")
    if state.phase is not Phase.ACTIVE or not all(service.known for service in state.services.values()):
        return Wait()
    if state.word_needed:
        return Refuse("peer-word-missing", f"{state.peer} has not said that no glass was broken there")
    if now_ns >= state.deadline_ns:
        return Refuse("no-quorum", f"{state.site} has no lease itself, so it switches nothing off")
    peer = state.peer_item
    if peer is None:
        return Refuse("peer-never-seen", f"{state.peer}'s key has not been seen since our start")
    if pending.peer_read_at != peer.revision:
        return ReadPeerFirst()
    manual, taken = [], []
    for name in what.services:
        item = state.services[name].item
        if item is not None and item.record.primary == state.site:
            taken.append(name)
        elif item is None or item.record.primary != state.peer:
            return Refuse("not-the-peers", f"{name} is not {state.peer}'s any more")
        if name not in what.covers:
            return Refuse("device-missing", f"not every host of {name} at {state.peer} would be off")
        if item.record.mode is Mode.MANUAL:
            manual.append(name)
    if len(taken) == len(what.services):
        # Behind a takeover. A site that has registered again has learned of it, and is well.
        if what.ordered or peer.record.revoked:
            return Done()
        return Refuse("peer-back", f"{state.peer} has registered again, and has these services no more")
    if manual and not what.ordered:
        words = f"{manual[0]} is manual: its hosts are switched off by a person's order only"
        return Refuse("manual", words)
    if peer.record.hold:
        if not what.ordered:
            return Refuse("peer-holds", f"{state.peer} holds: it may be serving without any contact")
        return cut_off_everywhere(state, what) or Done()
    if len(manual) == len(what.services):
        return Done()
    earliest = state.may_take_at(0)
    if earliest is not None and has_passed(earliest, now_ns):
        return Done()
    left_seconds = seconds(max(0, (earliest or now_ns) - now_ns))
    return Refuse("lease-still-held", f"{state.peer}'s lease may last {left_seconds:.1f} s more")


def cut_off_everywhere(state: OwnershipState, what: TakeOver | MayPowerOff) -> Verdict | None:
    """P28: this takes hold out, by which the peer may be serving all that is its own without any contact. One
    that was drawn up before it held may not say enough, nor do devices that leave one host on."""
    for name, service in state.services.items():
        if not service.known:
            return Wait()
        peers = service.item is not None and service.item.record.primary == state.peer
        if peers and name not in what.covers:
            return Refuse(
                "peer-holds",
                f"{state.peer} holds and is primary for {name} too, which is not covered; order it anew",
            )
    return None
