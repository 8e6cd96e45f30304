"""The `ownership` action words: what a run asks of the keepers, and waits for.

Each asks first whether it is so already, so that a run that goes on after a crash may repeat it. They ask
the keeper of this site; the other site's keeper answers through the store.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from orchestrator.clock import boottime_ns, wall_unix_seconds
from orchestrator.core.keeper_view import KeeperView
from orchestrator.core.messages import (
    Ask,
    BreakGlass,
    Claim,
    InstanceOpened,
    Reply,
    RequestGiveUp,
    Settle,
    TakeOver,
)
from orchestrator.core.records import Movement, RunRecord, ServiceRecord
from orchestrator.link import KeeperGone
from runbooks.catalogue import ActionCatalogue, Arguments
from runbooks.context import ActionContext, Call, Result
from runbooks.errors import StepFailed
from runbooks.model import Kind
from runbooks.progress import Progress
from sites.replication.words import Position, Role, Word

ASK_TIMEOUT_SECONDS = 30.0
LOOK_SECONDS = 0.5
GUARD_OPENS_SECONDS = 10.0
START_SECONDS = 60.0


class NoArguments(Arguments):
    """These words take nothing: who moves what stands in the plan."""


@dataclass(slots=True)
class Errand:
    """One run's business with the keepers, beyond what its plan says. `by_itself`: no person ordered it, so
    that it counts for gate 6. `certificate`: the glass that it breaks (P31), `broken` once it has; `reopens`:
    this site was the primary itself. `adopted`: from the other site; `takes_back`: only what was done is
    undone. `covers`: the services of which a certificate names every host, or of which every host is to be
    `power_off` first; `cut_off` once that is verified. `loss_limit_seconds`: more than that must not be lost
    by what the old site accepted until then; what is lost is then said anew, with what stands `besides` in
    its statement. `loss_until_ns`: the end of the old site's lease that the statement of loss reckons with.
    `before_claim`: asked when nobody owns the service any more and it is about to be claimed; raises
    StepFailed. `restate`: publishes another statement of what is lost, and its bound. `report`: what to put
    on file of a run that was done; its lines are published with the run. `gives_way`: of a drill, why it must
    not go on any more, by who owns the service; empty when it may."""

    record: RunRecord
    automatic: bool = False
    by_itself: bool = False
    ordered_by_operator: bool = False
    certified_down: bool = False
    covers: tuple[str, ...] = ()
    loss_until_ns: int = 0
    power_off: bool = False
    cut_off: bool = False
    cut_until_ns: int = 0
    loss_limit_seconds: float = math.inf
    besides: str = ""
    accept_loss: bool = False
    certificate: str = ""
    broken: bool = False
    reopens: bool = False
    adopted: bool = False
    takes_back: bool = False
    who: str = ""
    why: str = ""
    after_take_over: Callable[[], None] | None = None
    before_claim: Callable[[], Awaitable[None]] | None = None
    restate: Callable[[str, float | None], None] | None = None
    report: Callable[[Progress], Awaitable[tuple[str, ...]]] | None = None
    gives_way: Callable[[ServiceRecord], str] | None = None


@dataclass(slots=True)
class KeeperDesk:
    """What the actions may use: the keeper's ear, its latest picture, and the errands of running runs.
    `power_off` has the hosts of a service switched off for a run: its evidence, and until when that counts
    (CLOCK_BOOTTIME); or StepFailed."""

    ask: Callable[[Ask, float], Awaitable[Reply]]
    view: Callable[[], KeeperView | None]
    changed: asyncio.Condition
    power_off: Callable[[str, Errand], Awaitable[tuple[str, int]]]
    errands: dict[str, Errand] = field(default_factory=dict)

    def record(self, service: str) -> ServiceRecord | None:
        """The service's record as the keeper last told it."""
        view = self.view()
        held = view.service(service) if view is not None else None
        return held.record if held is not None and held.known else None

    async def wait(self, fits: Callable[[], bool]) -> None:
        """Wait until a picture of the keeper fits. The caller's step has the deadline."""
        async with self.changed:
            await self.changed.wait_for(fits)


def with_ownership(catalogue: ActionCatalogue, desk: KeeperDesk) -> ActionCatalogue:
    """The catalogue with the `ownership` words."""

    async def take_over(context: ActionContext, call: Call) -> Result:
        return await _take_over(desk, call)

    async def power_off(context: ActionContext, call: Call) -> Result:
        return await _power_off(desk, call)

    async def break_glass(context: ActionContext, call: Call) -> Result:
        return await _break_glass(desk, context, call)

    async def give_up(context: ActionContext, call: Call) -> Result:
        return await _give_up(desk, call)

    async def claim(context: ActionContext, call: Call) -> Result:
        return await _claim(desk, context, call)

    async def settle(context: ActionContext, call: Call) -> Result:
        return await _settle(desk, call)

    words = (
        ("ownership.take-over", take_over, "take a lost site's service when its lease is over"),
        ("ownership.power-off", power_off, "switch a lost site's hosts off, and be sure that they are"),
        ("ownership.break-glass", break_glass, "serve a service by a certificate, without the store"),
        ("ownership.give-up", give_up, "have the holder close the service and give it up"),
        ("ownership.claim", claim, "claim a service that was given up"),
        ("ownership.settle", settle, "end the move"),
    )
    for word, act, summary in words:
        catalogue = catalogue.with_action(word, NoArguments, act, summary=summary, idempotent=True)
    return catalogue


def _errand(desk: KeeperDesk, call: Call) -> Errand:
    errand = desk.errands.get(call.plan.id)
    if errand is None:
        raise StepFailed(f"nothing is known of run {call.plan.id} here")
    return errand


async def _power_off(desk: KeeperDesk, call: Call) -> Result:
    """P28: what it proves is the right to take what follows."""
    errand = _errand(desk, call)
    evidence, errand.cut_until_ns = await desk.power_off(call.plan.service, errand)
    errand.cut_off = True
    return Result(evidence)


async def _take_over(desk: KeeperDesk, call: Call) -> Result:
    errand = _errand(desk, call)
    plan = call.plan
    if errand.power_off and not errand.cut_off:
        raise StepFailed("its hosts are not known to be off, so nothing is taken")
    patience_seconds = call.step.timeout_seconds
    reply = await _ask(
        desk,
        TakeOver(
            services=(plan.service,),
            records=(errand.record,),
            ordered_by_operator=errand.ordered_by_operator,
            hold_down_ns=0,  # the decision has waited it out; an operator's order waives it (P9)
            who=errand.who,
            why=errand.why,
            certified_down=errand.certified_down,
            covers=errand.covers,
            by_device=errand.cut_off,
            cut_until_ns=errand.cut_until_ns,
            wait_until_ns=boottime_ns() + math.floor((patience_seconds - 1) * 1e9),
            loss_until_ns=errand.loss_until_ns,
        ),
        patience_seconds,
    )
    _demand(reply)
    if errand.after_take_over is not None:
        errand.after_take_over()
    return Result(f"{plan.to_site} is primary at epoch {plan.epoch}")


async def _break_glass(desk: KeeperDesk, context: ActionContext, call: Call) -> Result:
    """P31. The certificate is on file by now; the keeper notes it on its disk before it says yes."""
    errand, plan = _errand(desk, call), call.plan
    reply = await _ask(
        desk,
        BreakGlass(
            service=plan.service,
            epoch=plan.epoch,
            certificate=errand.certificate,
            who=errand.who,
            why=errand.why,
        ),
        ASK_TIMEOUT_SECONDS,
    )
    _demand(reply)
    errand.broken = True
    _demand(await _ask(desk, InstanceOpened(service=plan.service), ASK_TIMEOUT_SECONDS))
    told = await _guard_under_glass(desk, plan.service)
    told += await _started(context, call, errand)
    return Result(f"served by certificate {errand.certificate}, at epoch {plan.epoch}{told}")


async def _started(context: ActionContext, call: Call, errand: Errand) -> str:
    """A database that was cut off when the lease ended does not run, and only one that runs is promoted."""
    driver, site = context.driver, call.plan.to_site
    if driver is None or not {Word.SAMPLE, Word.START}.isdisjoint(driver.unknown_words):
        return ""
    sample = await driver.sample(site)
    if sample.role is not Role.DOWN:
        return ""
    role = Role.PRIMARY if errand.reopens else Role.STANDBY
    await driver.start(site, role=role, timeout_seconds=START_SECONDS)
    return f"; its database did not run, and was started as {role}"


async def _guard_under_glass(desk: KeeperDesk, service: str) -> str:
    """Wait a moment for the guard here to open: nothing is writable before. In words, to be appended."""

    def guard_open() -> bool | None:
        view = desk.view()
        held = view.service(service) if view is not None else None
        return held.guard.open if held is not None and held.guard is not None else None

    if guard_open() is None:
        return ""
    try:
        async with asyncio.timeout(GUARD_OPENS_SECONDS):
            await desk.wait(lambda: guard_open() is not False)
    except TimeoutError:
        return f"; its guard here has not opened in {GUARD_OPENS_SECONDS:g} s: is it running?"
    return "; its guard here has opened"


async def _give_up(desk: KeeperDesk, call: Call) -> Result:
    plan = call.plan

    def given_up() -> bool:
        record = desk.record(plan.service)
        if record is None:
            return False
        return record.primary is None or bool(record.refusal) or record.run != plan.id

    async def wait_while_the_holder_lives() -> None:
        while not given_up():
            view = desk.view()
            over_ns = view.peer_lease_over_ns if view is not None else None
            if over_ns is not None and boottime_ns() > over_ns:
                raise StepFailed(f"{plan.from_site} is lost: its lease ran out before it gave the service up")
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    await desk.wait(given_up)
            except TimeoutError:
                continue

    _demand(await _ask(desk, RequestGiveUp(service=plan.service, run=plan.id), ASK_TIMEOUT_SECONDS))
    await wait_while_the_holder_lives()
    record = desk.record(plan.service)
    if record is None or record.run != plan.id:
        raise StepFailed("another run holds the service now")
    if record.primary is not None:
        raise StepFailed(f"{plan.from_site} did not give it up: {record.refusal}")
    if record.final_position is None and plan.kind is Kind.FAILOVER:
        return Result(f"{plan.from_site} shut it and gave it up, without a final position")
    if record.final_position is None:
        raise StepFailed(
            f"{plan.from_site} had to cut its clients off before everything was sent; a final position is "
            f"missing, so only a failover with a named acceptance of loss can go on"
        )
    return Result(f"closed at {record.final_position.text}", values={"final": record.final_position.text})


async def _claim(desk: KeeperDesk, context: ActionContext, call: Call) -> Result:
    errand, plan = _errand(desk, call), call.plan
    record = desk.record(plan.service)
    if record is None:
        raise StepFailed("the service's record is not known here at this moment")
    if record.primary is None and errand.before_claim is not None:
        await errand.before_claim()
    received: Position | None = None
    driver = context.driver
    if driver is not None and record.primary is None and Word.SAMPLE not in driver.unknown_words:
        if record.final_position is not None:
            there = await driver.caught_up(
                plan.to_site, record.final_position, timeout_seconds=call.step.timeout_seconds / 2
            )
            received = record.final_position if there else None
        if received is None:
            sample = await driver.sample(plan.to_site)
            received = sample.replayed or sample.position
    reply = await _ask(
        desk,
        Claim(
            service=plan.service,
            run=plan.id,
            epoch=plan.epoch,
            record=errand.record if errand.automatic else None,
            received=received,
            accept_loss=errand.accept_loss,
            mode_if_new=record.mode,
            who=errand.who,
            why=errand.why,
            automatic=errand.automatic or errand.by_itself,
            at_unix_seconds=wall_unix_seconds(),
        ),
        ASK_TIMEOUT_SECONDS,
    )
    _demand(reply)
    return Result(f"{plan.to_site} is primary at epoch {plan.epoch}")


async def _settle(desk: KeeperDesk, call: Call) -> Result:
    plan = call.plan
    record = desk.record(plan.service)
    if record is not None and record.run == plan.id and record.movement is Movement.STEADY:
        return Result("steady already")
    _demand(
        await _ask(
            desk,
            Settle(service=plan.service, run=plan.id, why=record.why if record else ""),
            ASK_TIMEOUT_SECONDS,
        )
    )
    return Result("steady")


async def _ask(desk: KeeperDesk, what: Ask, timeout_seconds: float) -> Reply:
    """Ask the keeper; one that does not answer is a step's failure, and the step may be tried again."""
    try:
        return await desk.ask(what, timeout_seconds)
    except KeeperGone as gone:
        raise StepFailed(f"the keeper does not answer: {gone}") from gone


def _demand(reply: Reply) -> None:
    if not reply.done:
        raise StepFailed(f"{reply.code}: {reply.message}")
