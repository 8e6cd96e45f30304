"""The store as people read it: lines of text. Pure."""

from orchestrator.api.store_shapes import MemberState, OwnerKnown, ServiceOwners, StorePlan, StoreState
from orchestrator.cli.failures import NOTHING_TO_DO, refusal_lines
from orchestrator.cli.output import UNKNOWN, heading, local_time, size, wrapped
from orchestrator.core.reasons import reason_of


def state(found: StoreState) -> list[str]:
    """Everything of `twinsite store status`."""
    lines = [heading(f"The store, as {found.site} sees it"), *_trust(found)]
    if found.problem:
        lines += wrapped(f"it cannot be read: {found.problem}", first="  ", then="    ")
    if found.disk_problem:
        told = f"what is seen of it cannot be kept on disk: {found.disk_problem}"
        lines += wrapped(told, first="  ", then="    ")
    lines += ["", heading("Members")]
    for member in found.members:
        lines += wrapped(_member(member), first="  ", then="      ")
    if not found.members:
        lines.append(f"  {UNKNOWN}")
    lines += ["", heading("Who owns what"), *_owners(found)]
    if found.last_accepted is not None:
        last = found.last_accepted
        told = (
            f"accepted last by {last.who}, {local_time(last.at)}, at revision {last.revision}: {last.reason} "
            f"({last.certificate})"
        )
        lines += ["", *wrapped(told)]
    return lines


def _trust(found: StoreState) -> list[str]:
    known = f"cluster {found.known_cluster_id or UNKNOWN}, revision {found.known_revision}"
    if found.doubt is None:
        told = "the one known all along" if found.trusted else "whether it is the one known is not known"
        return wrapped(f"{told}: {known}", first="  ", then="    ")
    doubt = found.doubt
    lines = wrapped(f"NOT TRUSTED ({doubt.code}): {doubt.message}", first="  ", then="    ")
    lines += wrapped(f"known: {known}", first="  ", then="    ")
    there = f"cluster {doubt.cluster_id or UNKNOWN}, revision {doubt.revision or UNKNOWN}"
    when = f", {local_time(doubt.at)}" if doubt.at else ""
    lines += wrapped(f"found: {there}{when}", first="  ", then="    ")
    lines += wrapped(
        "nothing is promoted, renewed or written; what is served goes on by the other site's promise or by "
        "hold, or until its lease ends",
        first="  ",
        then="    ",
    )
    reason = reason_of(doubt.code)
    if reason is not None and reason.remedy != NOTHING_TO_DO:
        lines += wrapped(f"what to do: {reason.remedy}", first="  ", then="    ")
    return lines


def _member(member: MemberState) -> str:
    words = [member.endpoint]
    words.append("leads" if member.leader else "follows" if member.reachable else "DOES NOT COUNT")
    if member.version:
        words.append(f"etcd {member.version}")
    if member.revision is not None:
        words.append(f"revision {member.revision}")
    if member.database_bytes is not None:
        words.append(f"{size(member.database_bytes)} of {size(member.quota_bytes)}")
    if member.cluster_id:
        words.append(f"cluster {member.cluster_id}")
    return ", ".join(words) + (f": {member.problem}" if member.problem else "")


def _owners(found: StoreState) -> list[str]:
    lines = []
    for service in found.services:
        lines += wrapped(f"{service.service}: the store says {_stored(service)}", first="  ", then="      ")
        lines += wrapped(f"{found.site} last knew {_known(service.here)}", first="      ", then="        ")
        if service.there is not None:
            lines += wrapped(
                f"{found.peer} last knew {_known(service.there)}", first="      ", then="        "
            )
    if found.peer and found.peer_trusts is None:
        lines += wrapped(f"{found.peer} was not heard: {found.peer_problem}", first="  ", then="    ")
    elif found.peer and found.doubt is not None:
        told = "trusts its store" if found.peer_trusts else "does not trust it either"
        lines.append(f"  {found.peer} {told}")
    return lines or ["  nothing is owned here"]


def _stored(service: ServiceOwners) -> str:
    if not service.in_store:
        return "nothing"
    if service.store_epoch is None:
        return "something that cannot be read"
    return f"{service.store_owner or 'nobody'}, epoch {service.store_epoch}"


def _known(word: OwnerKnown) -> str:
    told = f"{word.owner or 'nobody'}, epoch {word.epoch}" if word.known else "nothing"
    if word.highest_epoch > word.epoch:
        told += f"; epoch {word.highest_epoch} was seen"
    return told + ("; it may be open there now" if word.serves else "")


def plan(found: StorePlan) -> list[str]:
    """What would be accepted and certified, and why it would be refused."""
    lines = [*state(found.state), "", heading(f"To be certified at {found.site}")]
    for each in found.services:
        if each.refusal is not None:
            told = f"REFUSED ({each.refusal.code})"
        elif each.writes:
            told = f"{each.owner}, at epoch {each.epoch}"
        elif each.owner is None:
            told = "nothing: nobody ever owned it, and its home makes the first claim"
        else:
            told = f"{each.owner}, epoch {each.epoch}: as it stands in the store"
        lines += wrapped(f"{each.service}: {told}", first="  ", then="      ")
        for note in each.notes:
            lines += wrapped(f"note: {note}", first="      ", then="        ")
    if found.refusal is not None:
        lines += ["", *refusal_lines(found.refusal)]
    return lines
