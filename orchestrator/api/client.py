"""Asks a controller over its Unix socket: for the command, the lab, and other programs on that host.

Every call has a deadline. Never decides anything, and never repeats a request that changes something: its
outcome may be unknown, and the error says so. `orchestrator.api.blocking` is the same without async.
"""

import asyncio
import errno
import json
from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar
from urllib.parse import quote

import aiohttp
from pydantic import ValidationError

from orchestrator.api.drill_shapes import DrillList, DrillOrder
from orchestrator.api.paging_shapes import PagingState, TriedReceivers, TryRequest
from orchestrator.api.report_shapes import ChainStatus, CountersignRequest, ReportAnswer
from orchestrator.api.shapes import (
    Acted,
    AdoptRequest,
    ApproveOrder,
    CertificateOrder,
    CertificateStatus,
    CertifyRequest,
    Explanation,
    Figures,
    History,
    MoveAccepted,
    MoveOrder,
    MovePlan,
    MoveRequest,
    OutputLine,
    QuietRequest,
    ReconcileRequest,
    Refusal,
    RunDetail,
    RunList,
    Shape,
    Status,
    Steered,
    SteerRequest,
)
from orchestrator.api.site_shapes import SiteMoveOrder, SiteMovePlan, SiteMoveRequest
from orchestrator.api.store_shapes import StoreOrder, StorePlan, StorePlanRequest, StoreState
from orchestrator.errors import OrchestratorError, OrchestratorMisuse, OrchestratorTrouble

LONGEST_ANSWER_BYTES = 8 << 20
READ_DEADLINE_SECONDS = 5.0
ACT_DEADLINE_SECONDS = 30.0  # a plan asks hosts and databases what they know
SILENCE_SECONDS = 10.0  # a followed run may say nothing for long; then it is asked for anew
GOING_ON = ("running", "waiting")
LOST_SECONDS = 60.0  # how long a followed run's controller may be away: it restarts well inside that

Answer = TypeVar("Answer", bound=Shape)


class NobodyAnswers(OrchestratorTrouble):
    """No controller behind the socket. `reason` is what happened, in words; `sent` whether a request that
    changes something may have reached it, its outcome being unknown then."""

    def __init__(self, socket: Path, reason: str, *, sent: bool = False) -> None:
        self.socket = socket
        self.reason = reason
        self.sent = sent
        super().__init__(f"{socket}: {reason}")


class AnswerUnreadable(OrchestratorTrouble):
    """Something answered, but not as a controller of this version does."""


class WrongRequest(OrchestratorMisuse):
    """The controller could make nothing of the request."""

    def __init__(self, refusal: Refusal) -> None:
        self.refusal = refusal
        super().__init__(refusal.message)


class Refused(OrchestratorError):
    """The controller said no; `refusal` has the code, the message and the evidence."""

    def __init__(self, refusal: Refusal) -> None:
        self.refusal = refusal
        super().__init__(f"{refusal.code}: {refusal.message}")


class Client:
    """One controller, asked over `socket`. Errors of every call: NobodyAnswers, Refused, WrongRequest,
    AnswerUnreadable."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Give the connections up."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def status(self) -> Status:
        """Everything `twinsite status` shows."""
        return await self._read("/v1/status", Status)

    async def explain(self, service: str) -> Explanation:
        """Why it did or did not act."""
        return await self._read(f"/v1/explain/{quote(service, safe='')}", Explanation)

    async def runs(self, limit: int = 20) -> RunList:
        """The newest runs, newest first."""
        answer = await self._read(f"/v1/runs?limit={limit}", RunList)
        return answer.model_copy(update={"runs": answer.runs[:limit]})

    async def run(self, run: str) -> RunDetail:
        """One run."""
        return await self._read(f"/v1/runs/{quote(run, safe='')}", RunDetail)

    async def steer(self, run: str, request: SteerRequest) -> Steered:
        """Order something of a run."""
        return await self._act(f"/v1/runs/{quote(run, safe='')}/steer", request, Steered)

    async def adopt(self, run: str, request: AdoptRequest) -> Steered:
        """Have this controller go on with a run whose own controller is lost."""
        return await self._act(f"/v1/runs/{quote(run, safe='')}/adopt", request, Steered)

    async def plan(self, request: MoveRequest) -> MovePlan:
        """What would be done, and what would be lost. Changes nothing."""
        return await self._act("/v1/plan", request, MovePlan, changes=False)

    async def move(self, order: MoveOrder) -> MoveAccepted:
        """Start the run of a plan that `plan` gave out."""
        return await self._act("/v1/moves", order, MoveAccepted)

    async def plan_site(self, request: SiteMoveRequest) -> SiteMovePlan:
        """What would be done to move a whole site, and what would be lost. Changes nothing."""
        return await self._act("/v1/sites/plan", request, SiteMovePlan, changes=False)

    async def move_site(self, order: SiteMoveOrder) -> MoveAccepted:
        """Start the run of a plan that `plan_site` gave out."""
        return await self._act("/v1/sites/moves", order, MoveAccepted)

    async def pause(self, request: QuietRequest) -> Acted:
        """No automatic moves for a while."""
        return await self._act("/v1/pause", request, Acted)

    async def resume(self, request: QuietRequest) -> Acted:
        """Automatic moves again."""
        return await self._act("/v1/resume", request, Acted)

    async def acknowledge(self, request: QuietRequest) -> Acted:
        """Somebody has looked at the last unplanned move."""
        return await self._act("/v1/acknowledge", request, Acted)

    async def certify(self, request: CertifyRequest) -> CertificateStatus:
        """Draw up a certificate of the other site; it does not count yet."""
        return await self._act("/v1/certificates", request, CertificateStatus, changes=False)

    async def certificate(self, name: str) -> CertificateStatus:
        """A certificate, drawn up or on file."""
        return await self._read(f"/v1/certificates/{quote(name, safe='')}", CertificateStatus)

    async def approve(self, name: str, order: ApproveOrder) -> CertificateStatus:
        """Agree to a certificate, as the second person."""
        return await self._act(f"/v1/certificates/{quote(name, safe='')}/approve", order, CertificateStatus)

    async def use(self, name: str, order: CertificateOrder) -> Acted:
        """Have a certificate of the other site count."""
        return await self._act(f"/v1/certificates/{quote(name, safe='')}/use", order, Acted)

    async def reconcile(self, request: ReconcileRequest) -> Acted:
        """Write to the store what a certificate made so."""
        return await self._act("/v1/reconcile", request, Acted)

    async def drills(self) -> DrillList:
        """Every drill as it stands."""
        return await self._read("/v1/drills", DrillList)

    async def run_drill(self, order: DrillOrder) -> MoveAccepted:
        """Begin a drill."""
        return await self._act("/v1/drills/run", order, MoveAccepted)

    async def abandon_drill(self, order: DrillOrder) -> MoveAccepted:
        """End a drill before its end."""
        return await self._act("/v1/drills/abandon", order, MoveAccepted)

    async def store(self) -> StoreState:
        """What is known of the store, and what it says."""
        return await self._ask("GET", "/v1/store", None, StoreState, ACT_DEADLINE_SECONDS, changes=False)

    async def plan_store(self, request: StorePlanRequest) -> StorePlan:
        """What would be certified by accepting the store; it does not count yet."""
        return await self._act("/v1/store/plan", request, StorePlan, changes=False)

    async def accept_store(self, order: StoreOrder) -> Acted:
        """Have exactly that count, and trust the store from now on."""
        return await self._act("/v1/store/accept", order, Acted)

    async def paging(self) -> PagingState:
        """Who is told of what, what goes on, and what waits to be sent."""
        return await self._read("/v1/paging", PagingState)

    async def test_paging(self, request: TryRequest, *, within_seconds: float) -> TriedReceivers:
        """Send test messages, and say what came of each."""
        path = "/v1/paging/test"
        return await self._ask("POST", path, request, TriedReceivers, within_seconds, changes=True)

    async def history(self, *, service: str = "", kind: str = "", limit: int = 50) -> History:
        """What is on file, newest first."""
        asked = f"limit={limit}&service={quote(service, safe='')}&kind={quote(kind, safe='')}"
        return await self._read(f"/v1/history?{asked}", History)

    async def figures(
        self, *, service: str = "", limit: int = 50, since_unix_seconds: int = 0, steps: bool = False
    ) -> Figures:
        """Past runs and months."""
        asked = f"limit={limit}&service={quote(service, safe='')}&since={since_unix_seconds}"
        asked += f"&steps={int(steps)}"
        return await self._read(f"/v1/figures?{asked}", Figures)

    async def report(self, run: str) -> ReportAnswer:
        """Draw a run's report up, and have it signed. It changes no run: it may be asked for again."""
        path = f"/v1/runs/{quote(run, safe='')}/report"
        return await self._ask("POST", path, None, ReportAnswer, ACT_DEADLINE_SECONDS, changes=False)

    async def chain(self, run: str) -> ChainStatus:
        """A run's chain as the journal has it now."""
        return await self._read(f"/v1/runs/{quote(run, safe='')}/chain", ChainStatus)

    async def countersign(self, request: CountersignRequest) -> ReportAnswer:
        """Have a report that exists signed by who has not signed it yet."""
        return await self._act("/v1/countersign", request, ReportAnswer, changes=False)

    async def follow(self, run: str) -> AsyncIterator[RunDetail]:
        """The run at each change, until it has ended; the first one is as it stands now. Goes on over a
        restart of the controller; raises NobodyAnswers when that was silent for LOST_SECONDS (the run
        itself may go on)."""
        last: RunDetail | None = None
        clock = asyncio.get_running_loop().time
        heard = clock()
        while last is None or last.state in GOING_ON:
            try:
                async for detail in self._stream(f"/v1/runs/{quote(run, safe='')}/follow", RunDetail):
                    heard = clock()
                    if detail != last:
                        last = detail
                        yield detail
            except NobodyAnswers:
                if last is None or clock() - heard > LOST_SECONDS:
                    raise
            if clock() - heard > LOST_SECONDS:
                raise NobodyAnswers(self.socket, f"nothing was heard of the run for {LOST_SECONDS:g} s")
            if last is None or last.state in GOING_ON:
                await asyncio.sleep(0.3)  # ask anew, but not in a spin

    async def output(self, run: str) -> AsyncIterator[OutputLine]:
        """What the run's commands say, line by line, until it has ended; ends too when the controller goes
        silent. The last lines come first."""
        async for line in self._stream(f"/v1/runs/{quote(run, safe='')}/output", OutputLine):
            if line.step:
                yield line

    async def _read(self, path: str, kind: type[Answer]) -> Answer:
        return await self._ask("GET", path, None, kind, READ_DEADLINE_SECONDS, changes=False)

    async def _act(self, path: str, body: Shape, kind: type[Answer], *, changes: bool = True) -> Answer:
        return await self._ask("POST", path, body, kind, ACT_DEADLINE_SECONDS, changes=changes)

    async def _ask(
        self,
        method: str,
        path: str,
        body: Shape | None,
        kind: type[Answer],
        deadline_seconds: float,
        *,
        changes: bool,
    ) -> Answer:
        sent = None if body is None else body.model_dump(mode="json")
        timeout = aiohttp.ClientTimeout(total=deadline_seconds)
        try:
            async with self._connected().request(
                method, f"http://controller{path}", json=sent, timeout=timeout
            ) as response:
                text = await _bounded(response)
                status = response.status
        except (aiohttp.ClientError, TimeoutError, OSError) as fault:
            raise self._nobody(fault, deadline_seconds, changes=changes) from fault
        return _answer(status, text, kind)

    async def _stream(self, path: str, kind: type[Answer]) -> AsyncIterator[Answer]:
        """Answers line by line. Ends at SILENCE_SECONDS of silence as it does at the stream's end."""
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=READ_DEADLINE_SECONDS, sock_read=SILENCE_SECONDS
        )
        try:
            async with self._connected().get(f"http://controller{path}", timeout=timeout) as response:
                if response.status != 200:
                    _answer(response.status, await _bounded(response), kind)
                async for line in response.content:
                    if line.strip():
                        yield _answer(200, line, kind)
        except aiohttp.SocketTimeoutError as fault:
            if isinstance(fault, aiohttp.ConnectionTimeoutError):
                raise self._nobody(fault, READ_DEADLINE_SECONDS, changes=False) from fault
        except ValueError as fault:
            raise AnswerUnreadable(f"{path}: a line of the answer is too long") from fault
        except (aiohttp.ClientError, OSError) as fault:
            raise self._nobody(fault, SILENCE_SECONDS, changes=False) from fault

    def _connected(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.UnixConnector(path=str(self.socket)),
                read_bufsize=LONGEST_ANSWER_BYTES,
            )
        return self._session

    def _nobody(self, fault: BaseException, deadline_seconds: float, *, changes: bool) -> NobodyAnswers:
        if isinstance(fault, aiohttp.ClientConnectorError | OSError) and not isinstance(fault, TimeoutError):
            reached = not isinstance(fault, aiohttp.ClientConnectorError)
            number = fault.errno if isinstance(fault.errno, int) else 0
            return NobodyAnswers(self.socket, connect_reason(number), sent=changes and reached)
        if isinstance(fault, TimeoutError):
            return NobodyAnswers(self.socket, f"no answer within {deadline_seconds:g} s", sent=changes)
        return NobodyAnswers(self.socket, "the connection broke before the answer came", sent=changes)


def connect_reason(number: int) -> str:
    """Why a socket could not be connected to, in words, from its errno."""
    if number == errno.ENOENT:
        return "there is no such socket"
    if number == errno.ECONNREFUSED:
        return "the socket is there, but nobody listens on it"
    if number in (errno.EACCES, errno.EPERM):
        return "you may not use this socket"
    if number == errno.EAGAIN:
        return "the controller takes no more connections"
    return "the connection broke" if number == 0 else f"the connection failed ({errno.errorcode.get(number)})"


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    text = await response.content.read(LONGEST_ANSWER_BYTES)
    while not response.content.at_eof():
        text += await response.content.read(LONGEST_ANSWER_BYTES)
        if len(text) > LONGEST_ANSWER_BYTES:
            raise AnswerUnreadable(f"{response.url.path}: the answer is longer than {LONGEST_ANSWER_BYTES} B")
    return text


def _answer(status: int, text: bytes, kind: type[Answer]) -> Answer:
    """The answer's value; raises what the controller meant by its status."""
    try:
        if status == 200:
            return kind.model_validate_json(text)
        refusal = Refusal.model_validate_json(text) if 400 <= status < 500 else None
    except ValidationError as fault:
        where = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in fault.errors()[:3])
        raise AnswerUnreadable(
            f"the controller's answer is not a {kind.__name__} of this version ({where}); "
            f"are the command and the controller of the same version?"
        ) from fault
    if refusal is None:
        raise AnswerUnreadable(f"the controller failed to answer (status {status}): {_said(text)}")
    raise Refused(refusal) if status == 409 else WrongRequest(refusal)


def _said(text: bytes) -> str:
    said = text.decode(errors="replace").strip()
    try:
        message = json.loads(said)["message"]
    except (ValueError, KeyError, TypeError):
        message = said
    return str(message)[:300] or "nothing more was said; its log tells more"
