"""What is said of the store's identity, and of a keeper that does not start, in status and elsewhere."""

from orchestrator.api.store_shapes import OwnerKnown
from orchestrator.core.restored import Word
from orchestrator.core.view import View
from orchestrator.store.status import NO_LEADER, MemberStatus, StoreStatus, alarms, complaints

FULL_OF_QUOTA = 0.8
_ALARMS = {
    "NOSPACE": "the store is FULL: it refuses every write, so no lease can be renewed and nothing be moved; "
    "compact and defragment the members, then `etcdctl alarm disarm`",
    "CORRUPT": "a member's data differ from the others': replace that member",
}


def owner_known(word: Word) -> OwnerKnown:
    """A word as shown."""
    return OwnerKnown(
        known=word.known,
        owner=word.owner,
        epoch=word.epoch,
        highest_epoch=word.highest,
        serves=word.serves,
    )


def distrusted(view: View) -> bool:
    """P33: the store counts as out of reach because it is not the one known."""
    trust = view.keeper.store_trust if view.keeper is not None else None
    return trust is not None and trust.broken is not None


def store_warnings(view: View) -> list[str]:
    """P33: that the store is not the one known; that its memory cannot be kept; that a guard knows better."""
    trust = view.keeper.store_trust if view.keeper is not None else None
    if view.keeper is None or trust is None:
        return []
    lines = []
    if trust.broken is not None:
        lines.append(
            f"STORE NOT TRUSTED ({trust.broken.code}): {trust.broken.message}; nothing is promoted, renewed "
            "or written until it is accepted: `twinsite store status`, then `twinsite store accept`"
        )
    if trust.problem:
        lines.append(f"what is seen of the store cannot be kept on disk: {trust.problem}")
    for held in view.keeper.services:
        record, guard = held.record, held.guard
        behind = guard is not None and record is not None and record.epoch < guard.epoch
        if behind and guard is not None and record is not None and not held.under_glass:
            lines.append(
                f"the guard of {held.service} at {view.site} has seen epoch {guard.epoch}, and the store "
                f"says {record.epoch}: was it restored from a backup? `twinsite store status`"
            )
    return lines


def member_warnings(status: StoreStatus | None) -> list[str]:
    """How the store's members are, where something is to be done about it."""
    if status is None:
        return []
    lines = []
    for alarm in alarms(status):
        what = _ALARMS.get(alarm.kind, "look at it with `etcdctl alarm list`")
        lines.append(f"{what} (alarm {alarm.kind}, raised by {alarm.endpoint or 'another member'})")
    return lines + [line for member in status.members for line in _of_member(member)]


def _of_member(member: MemberStatus) -> list[str]:
    name = f"the store's member {member.endpoint}"
    if not member.reachable:
        return [f"{name} does not answer: {member.problem}"]
    lines = []
    if NO_LEADER in member.problem:
        lines.append(
            f"{name} sees no leader: it reaches no majority of the members, and nothing can be read or "
            "written through it; look whether they run and reach each other"
        )
    if member.quota_bytes and (member.database_bytes or 0) > FULL_OF_QUOTA * member.quota_bytes:
        lines.append(f"{name} is nearly full: compact and defragment it")
    if other := complaints(member):
        lines.append(f"{name} complains: {other}")
    return lines


def keeper_warnings(view: View, problem: str) -> list[str]:
    """Why no keeper answers, as far as the last one said."""
    if view.keeper is not None:
        return []
    if problem:
        return [f"THE KEEPER DOES NOT START: {problem}"]
    return ["the keeper does not answer: what is shown is what the databases say, ownership is unknown"]
