"""P31, afterwards: the store is back, and what a certificate made so is written to it, above every epoch.

Only after the other side is proven fenced. What each side had accepted is put on file; the losing side's
rejoin, which its own controller does, saves what only that side has before anything of it is changed.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import structlog

from orchestrator.accepted import under_certificate
from orchestrator.api.shapes import Acted, ReconcileRequest
from orchestrator.clock import wall_text
from orchestrator.core.gates import FRESH_WORD_SECONDS
from orchestrator.core.messages import Reconcile
from orchestrator.core.notes import Glass
from orchestrator.core.view import ServiceView, View
from orchestrator.drafting import Drafter, with_quorum
from orchestrator.mover import BROKEN_EVENT
from orchestrator.quieting import ask_keeper
from orchestrator.refusing import OrderRefused
from runbooks.errors import RunbooksError

log = structlog.get_logger(__name__)

RECONCILED_EVENT = "reconciled"
EVENTS_READ = 200


class Reconciling:
    """The desk for it, of one controller."""

    def __init__(self, drafter: Drafter) -> None:
        self._drafter = drafter
        self._controller = drafter.controller

    async def reconcile(self, request: ReconcileRequest, who: str) -> Acted:
        """Write to the store what the certificate made so. Raises OrderRefused."""
        view, name = self._controller.view(), request.service
        service = next((found for found in view.services if found.service.name == name), None)
        if service is None:
            known = ", ".join(found.service.name for found in view.services)
            raise OrderRefused("unknown-service", f"no service {name!r}; there is {known}", wrong=True)
        if not request.reason.strip():
            raise OrderRefused("wrong-request", "reconciling needs a --reason", wrong=True)
        glass = _glass(view, name)
        with_quorum(view)
        proof = proven_fenced(view, service)
        begun = await self._parting(name, glass.certificate)
        await self._on_file(
            name, {"certificate": glass.certificate, "who": who, "why": request.reason, "fenced": proof}
        )
        sample = await self._controller.eyes.look(name, view.site)
        await ask_keeper(self._controller, Reconcile(service=name, who=who, why=request.reason))
        found = under_certificate(
            service=name,
            site=view.site,
            certificate=glass.certificate,
            begun=begun,
            now_text=wall_text(),
            sample=sample,
        )
        await self._controller.put_on_file(found)
        await self._publish(begun, found.lines)
        log.warning("reconciled", service=name, certificate=glass.certificate, by=who)
        return Acted(lines=_words(view, name, proof, found.lines))

    async def _parting(self, service: str, certificate: str) -> Mapping[str, Any]:
        """What was put on file when the glass was broken; nothing if it is there no more."""
        try:
            events = await self._controller.journal.events(EVENTS_READ, service=service, kind=BROKEN_EVENT)
        except RunbooksError as fault:
            raise OrderRefused("not-on-file", f"{fault}; nothing was done") from fault
        return next((each.data for each in events if each.data.get("certificate") == certificate), {})

    async def _on_file(self, service: str, data: Mapping[str, Any]) -> None:
        try:
            await self._controller.journal.append_event(RECONCILED_EVENT, service, data)
        except RunbooksError as fault:
            raise OrderRefused("not-on-file", f"{fault}; nothing was done") from fault

    async def _publish(self, begun: Mapping[str, Any], report: tuple[str, ...]) -> None:
        """The run that broke the glass, for the other site to read."""
        records = self._controller.run_records
        record = records.get(str(begun.get("run", "")))
        if record is not None:
            records[record.run] = replace(record, report=report)
            await self._controller.mover.publish_late(records[record.run])


def _glass(view: View, name: str) -> Glass:
    keeper = view.keeper
    if keeper is None:
        raise OrderRefused("no-quorum", "the keeper does not answer")
    found = next((glass for glass in keeper.glass if glass.service == name), None)
    if found is None:
        there = keeper.peer is not None and keeper.peer.break_glass
        at = f"; glass was broken at {view.peer}: reconcile there" if there else ""
        raise OrderRefused("nothing-to-reconcile", f"{name} is not served under a certificate here{at}")
    return found


def proven_fenced(view: View, service: ServiceView) -> str:
    """P31: the other side is proven fenced; how, in words. Raises OrderRefused."""
    name = service.service.name
    # What a silent peer said last of itself may be from before it was lost: the store kept it.
    words = [word for word in service.outside if word.observer != view.peer or not view.peer_lease_over]
    seen = [
        f"{word.observer} saw it writable {word.age_seconds:.1f} s ago"
        for word in words
        if word.site == view.peer and word.writable and word.age_seconds <= FRESH_WORD_SECONDS
    ]
    if service.writable_at(view.peer) is True:
        seen.insert(0, "it answers as writable")
    if seen:
        raise OrderRefused(
            "other-site-writable",
            f"{name} at {view.peer} still accepts writes: {'; '.join(seen)}. Cut it off there first",
            seen,
        )
    if service.writable_at(view.peer) is False:
        return f"its instance answers as {service.role_at(view.peer)}"
    if view.keeper is not None and (view.keeper.peer is None or view.peer_lease_over):
        silent = view.peer_silent_seconds
        heard = "its key was never seen" if silent is None else f"its key has not moved for {silent:.0f} s"
        return f"{heard}, so its lease is over, and it was certified as off"
    raise OrderRefused(
        "peer-not-fenced",
        f"{view.peer}'s controller renews its lease again, and its instance of {name} does not answer "
        f"{view.site}",
    )


def _words(view: View, name: str, proof: str, report: tuple[str, ...]) -> list[str]:
    lines = [
        f"{name} is {view.site}'s by the store again, at an epoch above both; {view.peer} must read anew",
        f"{view.peer} is shut: {proof}",
        *report,
        f"{view.peer} becomes its standby by itself once it runs",
        f"what {view.peer} alone had accepted is saved there first: `twinsite history {name}` tells where",
    ]
    held = view.keeper.services if view.keeper is not None else ()
    others = [each.service for each in held if each.under_glass and each.service != name]
    if others:
        lines.append(f"still under a certificate here: {', '.join(others)}")
    if view.word_needed:
        lines.append(
            f"{view.site} waits for {view.peer}'s word before it opens anything else; should {view.peer} "
            f"stay off: `twinsite certify {view.peer} --down --reason …`"
        )
    return lines
