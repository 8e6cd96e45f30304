"""Where people steer runs, at either site's controller: an order goes straight to the run if that is carried
out here, else by compare-and-set into its record in the store, where its executor finds it and answers.

It judges nothing: the run's executor does, over what the journal says.
"""

import asyncio
import json
import secrets
from collections.abc import Callable
from dataclasses import replace

from orchestrator.api.shapes import Steered, SteerRequest
from orchestrator.clock import wall_text
from orchestrator.controller import Controller
from orchestrator.core.messages import StartRun
from orchestrator.core.records import (
    RUNS,
    Movement,
    RecordUnreadable,
    RunAnswer,
    RunOrder,
    RunRecord,
    ServiceRecord,
    decode,
    encode,
)
from orchestrator.local_run import as_order, seen_in
from orchestrator.quieting import ask_keeper
from orchestrator.refusing import OrderRefused
from orchestrator.store.base import Compare, Put, Store, StoreError
from runbooks.continuing import may_go_on_from
from runbooks.errors import JournalTrouble, NotUnderWay
from runbooks.model import Kind
from runbooks.planned import Plan
from runbooks.steered import Order, Verb
from runbooks.steering import Refused

ANSWER_SECONDS = 15.0
STORE_SECONDS = 5.0
LOOK_SECONDS = 0.05
ASKS_AT_ONCE = 20
WRITE_TRIES = 5


class SteeringDesk:
    """One controller's."""

    def __init__(self, controller: Controller, store: Store) -> None:
        self._controller = controller
        self._store = store

    async def steer(self, run: str, request: SteerRequest, who: str) -> Steered:
        """Have a run follow an order. Raises OrderRefused."""
        record = self._known(run)
        estate = self._controller.estate
        order = RunOrder(
            verb=request.verb,
            who=who,
            site=self._controller.site,
            at=wall_text(),
            reason=request.reason,
            step=request.step,
            evidence=request.evidence,
            owner=estate.owner_of(who),
            roles=estate.access.roles_of(who),
            seen=request.seen,
            ask_id=secrets.token_hex(6),
        )
        if self._controller.mover.under_way(run):
            number = await self._here(run, order)
        elif record.over and request.verb == "retry":
            return await self._go_on(record, order)
        elif record.over:
            raise OrderRefused("run-ended", f"the run has ended: {record.state}: {record.outcome}")
        elif record.executor_site == self._controller.site:
            raise OrderRefused(
                "run-not-under-way",
                f"it stands still ({record.state}): {record.outcome or 'no reason on file'}",
            )
        else:
            number = await self._through_the_store(record, order)
        return Steered(run=run, number=number, executor=record.executor_site)

    def _known(self, run: str) -> RunRecord:
        """The run, if it is one that can be steered. Raises OrderRefused."""
        record = self._controller.run_records.get(run)
        if record is None:
            raise OrderRefused("unknown-run", f"no run {run!r} is known here", wrong=True)
        if record.whole_site:
            raise OrderRefused(
                "wrong-request",
                f"{run} moves several services; steer the run of one: `twinsite runs`",
                wrong=True,
            )
        return record

    def adopt(self, run: str, reason: str, who: str) -> Steered:
        """Go on with a run whose controller is lost, or take it back, by the rules of ownership (P24, P26).

        Raises OrderRefused.
        """
        record = self._known(run)
        if not reason.strip():
            raise OrderRefused("reason-missing", "adopt needs a reason: it stands in the record")
        if record.over:
            raise OrderRefused("run-ended", f"the run has ended: {record.state}: {record.outcome}")
        mind = self._controller.minds[record.service]
        if self._controller.mover.under_way(run) or mind.run or mind.busy is not None:
            raise OrderRefused(
                "moving", f"run {mind.run or 'of the controller itself'} is at it here already"
            )
        takes_back = self._takes_back(record)
        first = Order(verb=Verb.UNDO, who=who, site=self._controller.site, at=wall_text(), reason=reason)
        self._controller.deeds.order_adoption(
            record.service, run, first=first if takes_back else None, takes_back=takes_back
        )
        return Steered(run=run, number=0, executor=self._controller.site)

    def _takes_back(self, run: RunRecord) -> bool:
        """Whether the run can only be taken back from here, rather than gone on with. Raises OrderRefused."""
        view = self._controller.view()
        service = next(each for each in view.services if each.service.name == run.service)
        if run.executor_site == view.peer and not view.peer_lease_over:
            raise OrderRefused(
                "executor-alive", f"{run.executor_site} carries it out, and its lease is not over"
            )
        record = service.record
        if record is None:
            raise OrderRefused("no-quorum", f"who owns {run.service} is not known here at this moment")
        if run.kind == Kind.REJOIN or run.to_site == view.site:
            return False
        if record.primary == view.site:
            return True
        owner = record.primary or "nobody"
        raise OrderRefused(
            "not-to-be-adopted",
            f"it moves {run.service} to {run.to_site}, and {owner} is primary for it now: only the primary's "
            f"site may open it. What helps: `twinsite plan failover {run.service}`",
        )

    # --- a run that has ended ------------------------------------------------------------------------

    async def _go_on(self, record: RunRecord, order: RunOrder) -> Steered:
        """An ended run stays ended: another one goes on from where it stopped, if nothing has changed hands
        since. Raises OrderRefused."""
        if not order.reason.strip():
            raise OrderRefused("reason-missing", "retry needs a reason: it stands in the record")
        revision = self._unchanged_since(record)
        why_not = may_go_on_from(Plan.from_json(json.dumps(record.plan)), seen_in(record), order.step)
        if why_not:
            raise OrderRefused("step-ended-well" if order.step else "run-ended", f"{record.run}: {why_not}")
        why = f"goes on with {record.run}{f' from {order.step}' if order.step else ''}: {order.reason}"
        goes_on = self._controller.mover.continued(record, who=order.who, why=why)
        await ask_keeper(
            self._controller,
            StartRun(service=record.service, record=goes_on, revision=revision, who=order.who, why=why),
        )
        return Steered(run=goes_on.run, number=0, executor=goes_on.executor_site)

    def _unchanged_since(self, run: RunRecord) -> int:
        """The revision of its service's record, which says that the run made the new site primary and that
        nobody has moved it since. Raises OrderRefused with what to type instead."""
        if run.kind not in (Kind.FAILOVER, Kind.SWITCHOVER) or run.state not in ("failed", "aborted"):
            raise OrderRefused("run-ended", f"the run has ended: {run.state}: {run.outcome}; {_instead(run)}")
        view = self._controller.view()
        service = next((each for each in view.services if each.service.name == run.service), None)
        held, record = (service.held, service.record) if service is not None else (None, None)
        if held is None or record is None or not view.registered:
            raise OrderRefused("no-quorum", f"who owns {run.service} is not known here at this moment")
        if record.movement is not Movement.STEADY:
            raise OrderRefused(
                "moving", f"run {record.run} ({record.kind}, by {record.who}) holds {run.service}"
            )
        epoch = int(run.plan["epoch"])
        now = f"{record.primary or 'nobody'} is primary at epoch {record.epoch}; {_instead(run, record)}"
        if record.epoch <= epoch and (record.primary, record.epoch) != (run.to_site, epoch):
            raise OrderRefused("run-before-claim", f"it ended before {run.to_site} was primary: {now}")
        if record.epoch > epoch or record.run != run.run:
            raise OrderRefused(
                "run-overtaken", f"{record.run or 'somebody'} came after it ({record.why}): {now}"
            )
        return held.revision

    async def _here(self, run: str, order: RunOrder) -> int:
        try:
            given = await self._controller.mover.steer(run, as_order(order))
        except NotUnderWay as fault:
            raise OrderRefused("run-ended", f"{fault}: it has just ended") from fault
        except JournalTrouble as fault:
            raise OrderRefused("not-on-file", f"{fault}; nothing was done") from fault
        if isinstance(given, Refused):
            raise OrderRefused(given.code, given.message)
        return given.number

    # --- at the other site ---------------------------------------------------------------------------

    async def _through_the_store(self, record: RunRecord, order: RunOrder) -> int:
        there = record.executor_site
        try:
            await self._put_in(record.run, order)
        except (StoreError, RecordUnreadable) as fault:
            step = f" {order.step}" if order.step else ""
            raise OrderRefused(
                "steer-there",
                f"{record.run} is carried out at {there}, and the store does not take the order: {fault}. "
                f"Type at "
                f"{there}: `twinsite runs {order.verb} {record.run}{step} --reason …`",
            ) from fault
        answer = await self._answer(record.run, order)
        if answer is None:
            await self._take_out(record.run, order)
            raise OrderRefused(
                "order-unanswered", f"the controller at {there} has not answered within {ANSWER_SECONDS:g} s"
            )
        if answer.code:
            raise OrderRefused(answer.code, answer.message)
        return answer.number

    async def _put_in(self, run: str, order: RunOrder) -> None:
        def asked(record: RunRecord) -> RunRecord:
            known = (*(ask.ask_id for ask in record.asks), *(answer.ask_id for answer in record.answers))
            if order.ask_id in known:
                return record  # written at the first try, although the second was refused: never twice (P3)
            if record.over:
                raise OrderRefused("run-ended", f"the run has ended: {record.state}: {record.outcome}")
            if len(record.asks) >= ASKS_AT_ONCE:
                raise OrderRefused(
                    "order-unanswered", f"{len(record.asks)} orders wait for {record.executor_site} already"
                )
            return replace(record, asks=(*record.asks, order))

        await self._rewrite(run, asked)

    async def _take_out(self, run: str, order: RunOrder) -> None:
        """An order that was not answered is not to be followed later, behind its giver's back."""

        def without(record: RunRecord) -> RunRecord:
            return replace(record, asks=tuple(ask for ask in record.asks if ask.ask_id != order.ask_id))

        try:
            await self._rewrite(run, without)
        except (StoreError, RecordUnreadable):
            return  # the executor that finds it at its start refuses it as too late

    async def _rewrite(self, run: str, change: Callable[[RunRecord], RunRecord]) -> None:
        """Raises StoreError, RecordUnreadable, and what `change` raises."""
        key = RUNS + run
        for _ in range(WRITE_TRIES):
            found = (await self._store.read(key, exact=True, timeout_seconds=STORE_SECONDS)).get(key)
            if found is None:
                raise OrderRefused("unknown-run", f"{run} does not stand in the store")
            before = decode(RunRecord, found.value)
            after = change(before)
            if after == before:
                return
            result = await self._store.transact(
                [Compare(key, found.mod_revision)],
                [Put(key, encode(after))],
                [key],
                timeout_seconds=STORE_SECONDS,
            )
            if result.succeeded:
                return
        raise OrderRefused("order-unanswered", "the run's record changes too fast; order again")

    async def _answer(self, run: str, order: RunOrder) -> RunAnswer | None:
        """What the executor says, as the watch brings it; None when the time is over."""
        loop = asyncio.get_running_loop()
        until = loop.time() + ANSWER_SECONDS
        while loop.time() < until:
            record = self._controller.run_records.get(run)
            for answer in record.answers if record is not None else ():
                if answer.ask_id == order.ask_id:
                    return answer
            if record is not None and record.over:
                words = f"the run has ended: {record.state}: {record.outcome}"
                return RunAnswer(ask_id=order.ask_id, code="run-ended", message=words)
            await asyncio.sleep(LOOK_SECONDS)
        return None


def _instead(run: RunRecord, record: ServiceRecord | None = None) -> str:
    """What to type where an ended run cannot be gone on with."""
    if run.kind == Kind.REJOIN:
        return "a rejoin is tried again by itself after a while"
    if run.kind not in (Kind.FAILOVER, Kind.SWITCHOVER):
        return "order it anew: `twinsite drill run`"
    if record is not None and record.primary == run.to_site:
        return f"it is at {run.to_site} already; look at it: `twinsite explain {run.service}`"
    return f"plan it anew, which changes nothing: `twinsite plan {run.kind} {run.service}`"
