"""What `status` warns of about this site's right: guards, where the lease comes from, hold, broken glass."""

from orchestrator.api.shapes import CertificateStatus
from orchestrator.breaking_glass import without_quorum
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
    silent = [service.service.name for service in automatic if _silent(service)]
    if silent:
        lines.append(
            f"the guard of {', '.join(silent)} at {view.site} does not answer; nothing may fence it here"
        )
    return lines + _lacks(view, automatic)


def _silent(service: ServiceView) -> bool:
    guard = service.held.guard if service.held is not None else None
    return service.guarded and guard is not None and not guard.connected


def _lacks(view: View, automatic: list[ServiceView]) -> list[str]:
    """One line for all: a screen full of what never changes hides what does. `explain` has the words."""
    lacking: dict[str, list[str]] = {}
    for service in automatic:
        guard = service.held.guard if service.held is not None else None
        for lack in guard.lacks if guard is not None and guard.connected else ():
            lacking.setdefault(lack.partition(":")[0], []).append(service.service.name)
    if not lacking:
        return []
    names = sorted({name for names in lacking.values() for name in names})
    words = f"guards at {view.site} ({', '.join(names)}) do not protect against {', '.join(lacking)}"
    return [f"{words}; `explain` says what each needs"]


def guard_lines(service: ServiceView, site: str) -> list[str]:
    """What `explain` says of the guard here."""
    guard = service.held.guard if service.held is not None else None
    if guard is None:
        return [] if service.guarded else [f"no guard is set up for it at {site}"]
    if not guard.connected:
        return [f"the guard at {site} does not answer"]
    state = "open" if guard.open else "closed"
    heard = "" if guard.knows_us else ", has not acknowledged this keeper yet"
    protects = ", ".join(guard.protects) or "nothing"
    return [
        f"the guard at {site} is {state}, epoch {guard.epoch}{heard}; protects against {protects}",
        *(f"not protected against {lack}" for lack in guard.lacks),
    ]


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
    if keeper.word_needed and without_quorum(view):
        lines.append(
            f"no quorum: neither the store nor {view.peer} answers {view.site}, which opens nothing; if "
            f"{view.peer} is known to be off, glass can be broken: {break_glass(view)}"
        )
    elif keeper.word_needed:
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
    if keeper.word_needed and keeper.peer is not None and keeper.peer.glass_unknown:
        lines.append(
            f"{view.peer} cannot say that no glass was broken there before it has heard all its guards: one "
            "of them may have been opened by a signed certificate"
        )
    if keeper.peer is not None and keeper.peer.break_glass:
        lines.append(f"BREAK GLASS at {view.peer}: a service is served there under a certificate")
    if keeper.note_problem:
        lines.append(
            f"the keeper's note cannot be written, so nothing is taken over from here: {keeper.note_problem}"
        )
    return lines
