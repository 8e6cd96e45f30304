"""What people order that moves nothing: pause, resume, acknowledge."""

from secrets import token_hex

from orchestrator.api.shapes import Acted, QuietRequest
from orchestrator.clock import wall_text
from orchestrator.controller import Controller
from orchestrator.core.messages import Acknowledge, Ask, SetPause
from orchestrator.core.records import Pause
from orchestrator.link import KeeperGone
from orchestrator.refusing import OrderRefused
from sites.quantities import format_duration

LONGEST_PAUSE_SECONDS = 7 * 86400.0
ASK_SECONDS = 30.0


async def ask_keeper(controller: Controller, what: Ask) -> None:
    """Ask, and take no for an answer. Raises OrderRefused."""
    try:
        reply = await controller.desk.ask(what, ASK_SECONDS)
    except KeeperGone as gone:
        raise OrderRefused("no-quorum", f"the keeper does not answer: {gone}") from gone
    if not reply.done:
        raise OrderRefused(reply.code, reply.message)


class Quieting:
    """The desk for it, of one controller."""

    def __init__(self, controller: Controller) -> None:
        self._controller = controller

    def _chosen(self, request: QuietRequest) -> list[str]:
        estate = self._controller.estate
        movable = [name for name, service in estate.services.items() if not service.watch_only]
        if (request.service is not None) + (request.site is not None) + request.everything != 1:
            raise OrderRefused("wrong-request", "say either a service, or a site, or everything", wrong=True)
        if request.everything:
            return movable
        if request.site is not None:
            return self._primary_at(request.site, movable)
        if request.service is None or request.service not in estate.services:
            known = ", ".join(estate.services)
            raise OrderRefused(
                "unknown-service", f"no service {request.service!r}; there is {known}", wrong=True
            )
        if request.service not in movable:
            raise OrderRefused("driver-missing", f"{request.service} is watched only and never moved")
        return [request.service]

    def _primary_at(self, site: str, movable: list[str]) -> list[str]:
        """The services that are primary at a site; what is not known must not be left out silently."""
        if site not in self._controller.estate.sites:
            raise OrderRefused("unknown-site", f"no site {site!r}", wrong=True)
        held = {name: self._controller.desk.record(name) for name in movable}
        unknown = [name for name, record in held.items() if record is None]
        if unknown:
            raise OrderRefused("no-quorum", f"who owns {', '.join(unknown)} is not known here")
        return [name for name, record in held.items() if record is not None and record.primary == site]

    async def pause(self, request: QuietRequest, who: str) -> Acted:
        """No move for a time; it ends by itself. A length is always said: nobody's default may last days."""
        if request.seconds is None or not 0 < request.seconds <= LONGEST_PAUSE_SECONDS:
            raise OrderRefused(
                "wrong-request", "a pause needs a length of up to 7 days: --for 2h", wrong=True
            )
        if not request.reason.strip():
            raise OrderRefused("wrong-request", "a pause needs a --reason", wrong=True)
        pause = Pause(
            pause_id=token_hex(4),
            seconds=request.seconds,
            since=wall_text(),
            who=who,
            reason=request.reason,
        )
        lines = []
        for name in self._chosen(request):
            await ask_keeper(self._controller, SetPause(service=name, pause=pause))
            told = f"{name}: paused for {format_duration(request.seconds)}; it ends by itself"
            lines.append(f"{told}, or with `twinsite resume {name}`")
        return _acted(request, lines)

    async def resume(self, request: QuietRequest, who: str) -> Acted:
        """End pauses now."""
        lines = []
        for name in self._chosen(request):
            await ask_keeper(self._controller, SetPause(service=name, pause=None))
            lines.append(f"{name}: moves are allowed again")
        return _acted(request, lines)

    async def acknowledge(self, request: QuietRequest, who: str) -> Acted:
        """Take note of the last unplanned move (gate 6), and take on what people were told of: nobody else is
        told of that any more. The latter needs no store."""
        if not request.reason.strip():
            raise OrderRefused("wrong-request", "an acknowledgement needs a --reason", wrong=True)
        chosen, refused = self._to_acknowledge(request)
        paging = self._controller.paging
        taken = (
            await paging.acknowledge(who, request.reason, service=request.service, site=request.site)
            if paging is not None
            else ()
        )
        lines = [f"taken on: {headline}" for headline in taken]
        for name in chosen:
            try:
                await ask_keeper(self._controller, Acknowledge(service=name, who=f"{who}: {request.reason}"))
            except OrderRefused as fault:
                nothing = fault.refusal.code == "nothing-to-acknowledge"
                if nothing and (taken or request.service is None):
                    continue
                refused = refused or fault
                continue
            lines.append(f"{name}: the last unplanned move is acknowledged")
        if refused is not None and not lines:
            raise refused
        if refused is not None:
            said = refused.refusal
            lines.append(f"the last unplanned move was NOT acknowledged ({said.code}): {said.message}")
        return _acted(request, lines)

    def _to_acknowledge(self, request: QuietRequest) -> tuple[list[str], OrderRefused | None]:
        """The services whose last move is meant, or why that is not known: what people were told of can be
        taken on all the same."""
        try:
            return self._chosen(request), None
        except OrderRefused as refused:
            if refused.wrong:
                raise
            return [], refused


def _acted(request: QuietRequest, lines: list[str]) -> Acted:
    where = f"at {request.site}" if request.site is not None else "in the estate"
    return Acted(lines=lines or [f"there is no such service {where}: nothing was changed"])
