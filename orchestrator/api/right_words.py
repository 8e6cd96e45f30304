"""What `status` warns of about this site's right: guards, where the lease comes from, hold, broken glass."""

from orchestrator.api.shapes import CertificateStatus
from orchestrator.core.view import ServiceView, View


def guard_warnings(view: View) -> list[str]:
    """One line for each thing that a guard does not protect from."""
    automatic = [
        service
        for service in view.services
        if service.record is not None and service.record.mode == "automatic"
    ]
    lines = []
    missing = [service.service.name for service in automatic if not service.guarded]
    if missing:
        after = "the lab moves them all the same" if view.lab else "no automatic move is made"
        lines.append(f"no guard: a stalled controller is not fenced ({', '.join(missing)}); {after}")
    for service in automatic:
        lines += _of_one(view, service)
    return lines


def _of_one(view: View, service: ServiceView) -> list[str]:
    name = service.service.name
    guard = service.held.guard if service.held is not None else None
    if not service.guarded or guard is None:
        return []
    if not guard.connected:
        return [f"the guard of {name} at {view.site} does not answer; nothing may fence {name} here"]
    return [f"{name} at {view.site} is not protected against {lack}" for lack in guard.lacks]


def certify_peer(view: View) -> str:
    """The command for it."""
    return f"`twinsite certify {view.peer} --down --reason …`"


def break_glass(view: View) -> str:
    """The command for it."""
    return f"`twinsite failover SERVICE --certify-down {view.peer} --reason …`"


def approval_warnings(waiting: list[CertificateStatus]) -> list[str]:
    """Certificates that wait for a second person."""
    return [
        f"{each.who} certifies {each.down} as off and waits for a second person, for "
        f"{(each.expires_in_seconds or 0.0) / 60:.0f} min: `twinsite certify approve {each.id}`"
        for each in waiting
    ]


def right_warnings(view: View) -> list[str]:
    """What keeps this site going, when it is not simply the store."""
    keeper = view.keeper
    if keeper is None:
        return []
    lines = [
        f"BREAK GLASS: {glass.service} is served at {view.site} under certificate {glass.certificate}, "
        f"epoch {glass.epoch}; reconcile it when the store is back"
        for glass in keeper.glass
    ]
    if keeper.word_needed:
        lines.append(
            f"{view.site} opens nothing: its lease was broken, and {view.peer}'s controller has not said "
            f"since that no glass was broken there; if {view.peer} is known to be off: {certify_peer(view)}"
        )
    elif keeper.promise_needed:
        lines.append(
            f"the store does not answer {view.site}; {view.peer}'s promise keeps its lease alive"
            if keeper.deadline_ns > view.now_ns
            else f"neither the store nor {view.peer} answers {view.site}"
        )
    if keeper.hold_carried:
        relied = "goes on without contact" if keeper.hold_relied else "is about to"
        lines.append(
            f"hold: {view.site} {relied}, because a second loss would darken everything; to take a service "
            "from it now needs a verified cut or an operator's certificate"
        )
    if keeper.peer is not None and keeper.peer.hold:
        lines.append(
            f"hold: {view.peer} may be serving without any contact to us; being silent proves nothing"
        )
    if keeper.peer is not None and keeper.peer.break_glass:
        lines.append(f"BREAK GLASS at {view.peer}: a service is served there under a certificate")
    if keeper.note_problem:
        lines.append(
            f"the keeper's note cannot be written, so nothing is taken over from here: {keeper.note_problem}"
        )
    return lines
