"""The keeper process: the safety kernel's shell. It turns the world into messages for the pure core and
carries its orders out; it decides nothing itself.

It imports neither probes nor runbooks nor the web, has its own connections, and runs at raised priority
where it may, so that nothing the controller does can make a renewal late.
"""

import asyncio
import contextlib
import os
import secrets
import signal
from collections.abc import Awaitable, Callable, Coroutine
from math import inf
from pathlib import Path
from typing import Any

import structlog

from orchestrator.cabinet import Cabinet
from orchestrator.clock import boottime_ns
from orchestrator.core import messages as m
from orchestrator.core.accepting import may_be_written
from orchestrator.core.keeper_view import KeeperView, picture
from orchestrator.core.lease import LeaseTiming, seconds
from orchestrator.core.messages import Ask, Message, Order, ServiceItem, SiteItem
from orchestrator.core.modes import mode_of
from orchestrator.core.notes import Glass
from orchestrator.core.ownership import step
from orchestrator.core.records import (
    SERVICES,
    SITES,
    RecordUnreadable,
    ServiceRecord,
    SiteRecord,
    decode,
    encode,
)
from orchestrator.core.restored import AcceptStore, SiteWord
from orchestrator.core.state import new_state
from orchestrator.hands import Hands
from orchestrator.keeper_disk import RightsFile
from orchestrator.keeper_doors import Doors, NoDoors
from orchestrator.keeper_note import KeeperNote
from orchestrator.keeper_store import KeeperStore
from orchestrator.link import KeeperServer
from orchestrator.store.base import (
    Compare,
    KeyValue,
    Put,
    Store,
    StoreCompacted,
    StoreError,
    StoreMisuse,
)
from orchestrator.store.known import StoreDistrusted
from sites.errors import SitesError
from sites.model import Estate

log = structlog.get_logger(__name__)

TICK_SECONDS = 0.025
SHOW_EVERY_SECONDS = 0.5
IDLE_END_LEASES = 20
SAME_STOP_SECONDS = 1.0
TOLD_SECONDS = 0.1  # for the last word to the guards to be read
ENDING_SECONDS = 15.0  # drivers keep their own time; one that does not is not waited for much longer


class Keeper:
    """One site's keeper on a given store, drivers and state directory."""

    def __init__(
        self,
        estate: Estate,
        site: str,
        store: Store,
        hands: Hands,
        directory: Path,
        socket: Path,
        doors: Doors | None = None,
        guarded: frozenset[str] = frozenset(),
    ) -> None:
        """`guarded`: services whose host at this site has a guard. Raises RightsUnreadable."""
        timing = estate.ownership
        self._estate = estate
        self._site = site
        self._known = KeeperStore(store, directory, site, estate.other_data_site(site))
        self._store: Store = self._known.store
        self._hands = hands
        self._doors = doors or NoDoors()
        self._rights = RightsFile(directory / "rights.json")
        self._note_problem = ""
        self._note = KeeperNote(directory / "keeper-note.json")
        self._cabinet = Cabinet(directory)
        self._handed: set[Glass] = set()
        deadline_ns, open_here = self._note.read()
        services = {name: each for name, each in estate.services.items() if name in hands.services}
        self._state = new_state(
            site=site,
            peer=estate.other_data_site(site),
            keeper=secrets.token_hex(8),
            home_services=frozenset(name for name, service in services.items() if service.home == site),
            modes={name: mode_of(service) for name, service in services.items()},
            timing=LeaseTiming.from_timing(timing),
            now_ns=boottime_ns(),
            inherited_open=open_here & frozenset(services),
            inherited_deadline_ns=deadline_ns,
            guarded=guarded & frozenset(services),
            note=self._rights.read(),
            certifiable=bool(estate.access.operators),  # guards open by what these have signed, without us
        )
        self._state.next_incarnation = self._known.next_incarnation
        election_seconds = estate.store.election_timeout_seconds
        self._answer_within_seconds = 2 * election_seconds + 10 * estate.store.round_trip_seconds
        self._server = KeeperServer(
            socket, self._take_ask, self._take_turn, self._take, self._known.store.distrust
        )
        self._tasks: set[asyncio.Task[None]] = set()
        self._calls: set[asyncio.Task[None]] = set()  # those of them that wait for the store
        self._ended = asyncio.Event()
        self._exit_code = 0
        self._store_problem = ""
        self._round_trip_seconds: float | None = None
        self._shown: KeeperView | None = None
        self._show_scheduled = False
        self._alone_since_ns = boottime_ns()

    # --- running -------------------------------------------------------------------------------------

    async def run(self) -> int:
        """Run until told to end; returns the exit code."""
        await self._server.start()
        await self._doors.start(self._take)
        log.info("keeper-started", site=self._site, keeper=self._state.keeper)
        background = [
            asyncio.create_task(self._tick()),
            asyncio.create_task(self._follow(SITES, self._see_site)),
            asyncio.create_task(self._follow(SERVICES, self._see_service)),
            asyncio.create_task(self._have_hands()),
        ]
        try:
            self._take(m.Ticked())
            await self._until_ended(background)
        finally:
            for task in [*background, *self._tasks]:
                task.cancel()
            await asyncio.gather(*background, *self._tasks, return_exceptions=True)
            await self._doors.aclose()
            await self._server.aclose()
            await self._store.aclose()
            await self._hands.aclose()
        log.info("keeper-ended", site=self._site)
        return self._exit_code

    async def _until_ended(self, background: "list[asyncio.Task[None]]") -> None:
        """None of the background ends well: half a keeper must not live on, and the next one knows by the
        note what is to be fenced."""
        told = asyncio.create_task(self._ended.wait())
        try:
            done, _ = await asyncio.wait([*background, told], return_when=asyncio.FIRST_COMPLETED)
        finally:
            told.cancel()
        for task in done & set(background):
            log.error("keeper-broken", exc_info=task.exception())
            self._exit_code = 1

    def stop(self) -> None:
        """End: renew no more, fence what is open when its lease ends. Asked twice, fence at once."""
        if self._state.stopping:
            self._state.deadline_ns = 0
            for service in self._state.services.values():
                service.right_until_ns = 0
        left = [name for name, service in self._state.services.items() if service.open_here]
        left_seconds = seconds(max(0, self._state.deadline_ns - boottime_ns()))
        log.warning("keeper-stopping", open_here=left, lease_left_seconds=round(left_seconds, 3))
        self._take(m.StopRequested())

    async def _have_hands(self) -> None:
        """Before they are needed: a fence has little time. A keeper that could cut nothing off is none."""
        await self._hands.ready()
        await asyncio.Event().wait()

    async def _tick(self) -> None:
        shown_at = 0.0
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(TICK_SECONDS)
            self._take(m.Ticked())
            if loop.time() >= shown_at + SHOW_EVERY_SECONDS:
                shown_at = loop.time()
                self._show()
            self._end_when_useless()

    def _end_when_useless(self) -> None:
        now_ns = boottime_ns()
        open_here = any(service.open_here and service.automatic for service in self._state.services.values())
        if self._server.controllers:
            self._alone_since_ns = now_ns
        alone_ns = now_ns - self._alone_since_ns
        useless = alone_ns > IDLE_END_LEASES * self._state.timing.lease_duration_ns
        if (self._state.stopping or useless) and not open_here:
            self._ended.set()

    # --- messages in, orders out ---------------------------------------------------------------------

    def _take(self, message: Message) -> None:
        """The one door. The clock is read before the core decides, so before anything is sent (P1)."""
        for order in step(self._state, message, boottime_ns()):
            self._carry_out(order)
        if isinstance(message, m.GuardConnected):
            self._handed = {each for each in self._handed if each.service != message.service}
        if isinstance(message, m.GuardConnected | m.NoteWritten):
            self._hand_certificates()
        self._note.write(self._state)
        if not isinstance(message, m.Ticked | m.TurnCompleted):
            self._known.note(self._state)
            self._show_soon()

    def _take_ask(self, number: int, what: Ask | AcceptStore) -> None:
        if isinstance(what, AcceptStore):
            self._start(self._accept_store(number, what))
        else:
            self._take(m.Asked(number, what))

    def _take_turn(self) -> None:
        self._take(m.TurnCompleted())

    def _carry_out(self, order: Order) -> None:
        match order:
            case m.Renew():
                self._call(self._renew(order))
            case m.ReadOwnKey():
                self._call(self._read_own_key(order))
            case m.ReadServices():
                self._call(self._read_services(order))
            case m.ReadPeer():
                self._call(self._read_peer(order))
            case m.Transact():
                self._call(self._transact(order))
            case m.FenceInstance():
                self._start(self._fence(order))
            case m.CloseInstance():
                self._start(self._close(order))
            case m.AskPromise():
                self._start(self._ask_promise(order))
            case m.AnswerPromise():
                self._doors.answer_promise(order)
            case m.AnswerGuard():
                self._doors.answer_guard(order)
            case m.OrderGuard():
                self._doors.order_guard(order)
            case m.WriteNote():
                self._start(self._write_note(order))
            case m.Reply():
                self._server.reply(order)
            case m.Exit():
                log.error("superseded", why=order.why)
                self._exit_code = 1
                # What the guards were told just before is to reach them.
                asyncio.get_running_loop().call_later(TOLD_SECONDS, self._ended.set)

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._start(work)
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (fault := task.exception()) is not None:
            log.error("keeper-task-failed", exc_info=fault)

    # --- the store -----------------------------------------------------------------------------------

    async def _asking_store(self, work: Awaitable[Any]) -> Any:
        """The answer, or None when the store did not answer (which is not an answer)."""
        started_ns = boottime_ns()
        try:
            answer = await work
        except StoreError as fault:
            kind = "refused" if isinstance(fault, StoreMisuse) else "unreachable"
            problem = str(fault) if isinstance(fault, StoreDistrusted) else f"{kind}: {fault}"
            if problem != self._store_problem:
                log.warning("store-trouble", problem=problem)
            self._store_problem = problem
            return None
        self._store_problem = ""
        self._round_trip_seconds = seconds(boottime_ns() - started_ns)
        return answer

    async def _renew(self, order: m.Renew) -> None:
        own, peer = SITES + self._site, SITES + self._state.peer
        record = order.record
        result = await self._asking_store(
            self._store.transact(
                [Compare(own, order.compare_revision)],
                [Put(own, encode(record))],
                [own, peer],
                timeout_seconds=self._answer_within_seconds,
            )
        )
        if result is None:
            self._take(m.RenewalLost(record.incarnation, record.beat))
            return
        self._take(
            m.RenewalAnswered(
                record.incarnation,
                record.beat,
                result.succeeded,
                result.revision,
                self._site_item(result.reads[0]),
                self._site_item(result.reads[1]),
            )
        )

    async def _read_own_key(self, order: m.ReadOwnKey) -> None:
        key = SITES + self._site
        snapshot = await self._asking_store(
            self._store.read(key, exact=True, timeout_seconds=self._answer_within_seconds)
        )
        if snapshot is not None:
            self._take(m.OwnKeyRead(order.attempt, self._site_item(snapshot.get(key))))

    async def _read_services(self, order: m.ReadServices) -> None:
        snapshot = await self._asking_store(
            self._store.read(SERVICES, timeout_seconds=self._answer_within_seconds)
        )
        if snapshot is None:
            return
        items = tuple(
            (item.key.removeprefix(SERVICES), found)
            for item in snapshot.items
            if (found := self._service_item(item)) is not None
        )
        self._take(m.ServicesRead(order.registration, snapshot.revision, items))

    async def _read_peer(self, order: m.ReadPeer) -> None:
        key = SITES + self._state.peer
        snapshot = await self._asking_store(
            self._store.read(key, exact=True, timeout_seconds=self._answer_within_seconds)
        )
        if snapshot is None:
            self._take(m.ReadFailed("peer", order.ask))
        else:
            self._take(m.PeerRead(order.ask, self._site_item(snapshot.get(key))))

    async def _transact(self, order: m.Transact) -> None:
        reads = [SITES + self._site, SITES + self._state.peer, *(SERVICES + name for name in order.services)]
        result = await self._asking_store(
            self._store.transact(
                order.compares, order.puts, reads, timeout_seconds=self._answer_within_seconds
            )
        )
        if result is None:
            self._take(m.TransactionLost(order.transaction))
            return
        items = zip(order.services, result.reads[2:], strict=True)
        self._take(
            m.TransactionAnswered(
                order.transaction,
                result.succeeded,
                result.revision,
                self._site_item(result.reads[0]),
                self._site_item(result.reads[1]),
                tuple((name, self._service_item(item)) for name, item in items),
            )
        )

    async def _follow(self, prefix: str, hand_over: Callable[[KeyValue], None]) -> None:
        """Read, then watch from there; again from the read when the watch lost its place (P8)."""
        while True:
            try:
                snapshot = await self._store.read(prefix, timeout_seconds=self._answer_within_seconds)
                for item in snapshot.items:
                    hand_over(item)
                async for event in self._store.watch(prefix, from_revision=snapshot.revision + 1):
                    hand_over(event.item)
            except StoreCompacted:
                continue
            except StoreError as fault:
                log.debug("watch-interrupted", prefix=prefix, problem=str(fault))
            await asyncio.sleep(0.2)

    def _see_site(self, item: KeyValue) -> None:
        if item.key == SITES + self._state.peer and (found := self._site_item(item)) is not None:
            self._take(m.PeerSeen(found))

    def _see_service(self, item: KeyValue) -> None:
        if (found := self._service_item(item)) is not None:
            self._take(m.ServiceSeen(item.key.removeprefix(SERVICES), found))

    def _site_item(self, item: KeyValue | None) -> SiteItem | None:
        if item is None:
            return None
        try:
            return SiteItem(item.mod_revision, decode(SiteRecord, item.value))
        except RecordUnreadable as fault:
            self._known.unreadable(item.key, str(fault))
            return None

    def _service_item(self, item: KeyValue | None) -> ServiceItem | None:
        if item is None:
            return None
        try:
            return ServiceItem(item.mod_revision, decode(ServiceRecord, item.value))
        except RecordUnreadable as fault:
            self._known.unreadable(item.key, str(fault))
            return None

    async def _accept_store(self, number: int, what: AcceptStore) -> None:
        """P33: trusted, it is the store for whoever starts, and this keeper starts anew in place (P4)."""
        state = self._state
        if self._known.problem:
            self._take(m.StoreToBeAccepted())
        trusted = await self._known.accept(
            what,
            lambda: self._known.writer(state),
            lambda: may_be_written(state),
            self._server.reply,
            number,
        )
        if not trusted:
            return
        # Nothing has run since it is trusted, so no answer of this store has met what was read in the former;
        # and what the former was asked must not be sent to this one.
        for call in self._calls:
            call.cancel()
        self._take(m.StoreAccepted(self._known.next_incarnation))
        log.warning("keeper-starts-anew", why="the store was accepted", site=self._site)

    def store_word(self) -> SiteWord:
        """What this site last knew of its store, for the other one (P33)."""
        return self._known.site_word(self._state, boottime_ns())

    # --- the peer, and the disk ------------------------------------------------------------------------

    async def _ask_promise(self, order: m.AskPromise) -> None:
        self._take(await self._doors.ask_promise(order))

    async def _write_note(self, order: m.WriteNote) -> None:
        """In a thread: a disk that hangs must not hold the lease up."""
        try:
            await asyncio.to_thread(self._rights.write, order.note)
            problem = ""
        except OSError as fault:
            problem = f"{fault.filename or 'the state directory'}: {fault.strerror}"
        if problem and problem != self._note_problem:
            log.error("rights-not-written", problem=problem)
        self._note_problem = problem
        self._take(m.NoteWritten(order.number, ok=not problem))

    def _hand_certificates(self) -> None:
        """P31: a guard that comes, and one that is there when the glass counts, gets the certificate, so that
        it may open on it by itself and has it on record."""
        for glass in self._state.glass.values():
            guard = self._state.services[glass.service].guard
            there = guard is not None and guard.connected and glass not in self._handed
            if there and self._state.under_glass(glass.service) is not None:
                self._handed.add(glass)
                self._start(self._hand_certificate(glass))

    async def _hand_certificate(self, glass: Glass) -> None:
        text = await asyncio.to_thread(self._cabinet.text, glass.certificate)
        if text is None:
            log.error("certificate-not-found", service=glass.service, certificate=glass.certificate)
        else:
            self._doors.hand_certificate(glass.service, text)

    # --- the hosts -----------------------------------------------------------------------------------

    async def _fence(self, order: m.FenceInstance) -> None:
        log.warning("fencing", service=order.service, why=order.why)
        within_seconds = self._estate.ownership.fence_within_seconds
        try:
            async with asyncio.timeout(within_seconds + ENDING_SECONDS):
                driver = await self._hands.of(order.service)
                fenced = await driver.fence(self._site, within_seconds=within_seconds)
            verified, evidence = fenced.verified, fenced.evidence
        except Exception as fault:  # noqa: BLE001 - whatever becomes of it, the core must hear, or it tries no more
            verified, evidence = False, _said(fault)
        log.warning("fenced" if verified else "fence-unverified", service=order.service, evidence=evidence)
        self._take(m.FenceEnded(order.service, verified, evidence))

    async def _close(self, order: m.CloseInstance) -> None:
        try:
            async with asyncio.timeout(ENDING_SECONDS):
                driver = await self._hands.of(order.service)
            within_seconds: float = getattr(driver, "close_within_seconds", 5.0)
            log.info("closing", service=order.service, within_seconds=within_seconds)
            async with asyncio.timeout(within_seconds + ENDING_SECONDS):
                closed = await driver.close(self._site, within_seconds=within_seconds)
        except Exception as fault:  # noqa: BLE001 - as of a fence
            log.error("close-failed", service=order.service, evidence=_said(fault))
            self._take(m.CloseEnded(order.service, False, None, _said(fault)))
            return
        log.info("closed", service=order.service, final=closed.final_position and closed.final_position.text)
        self._take(m.CloseEnded(order.service, True, closed.final_position, closed.evidence))

    # --- showing -------------------------------------------------------------------------------------

    def _show_soon(self) -> None:
        if not self._show_scheduled:
            self._show_scheduled = True
            asyncio.get_running_loop().call_soon(self._show)

    def _show(self) -> None:
        self._show_scheduled = False
        guards = self._doors.guard_words()
        view = picture(
            self._state,
            boottime_ns(),
            store_problem=self._known.problem or self._store_problem,
            round_trip_seconds=self._round_trip_seconds,
            note_problem=self._note_problem,
            peer_problem=self._doors.problem,
            doors_refused=tuple(sorted({**self._doors.refused, **self._known.refused}.items())),
            store_trust=self._known.trust,
            store_words=self._known.words(self._state, boottime_ns()),
            certificate_ends=tuple(sorted(self._doors.certificate_ends.items())),
            guard_words={service: (word.protects, word.lacks) for service, word in guards.items()},
            guard_clock_rates=tuple(
                sorted(
                    (service, word.clock_rate)
                    for service, word in guards.items()
                    if word.clock_rate is not None
                )
            ),
        )
        self._server.show(view)


def _said(fault: Exception) -> str:
    """An error in words; what nobody foresaw is named as such, and logged with where it came from."""
    if isinstance(fault, SitesError):
        return str(fault)
    if isinstance(fault, TimeoutError):
        return "no end of it in time"
    log.error("driver-broken", exc_info=fault)
    return f"an error of twinsite itself, {type(fault).__name__}: {fault}"


def raise_priority() -> None:
    """Ask for a better place in the queue; without the right to it, go on without."""
    with contextlib.suppress(OSError):
        os.nice(-10)


async def serve_keeper(keeper: Keeper) -> int:
    """Run a keeper with its signals: SIGTERM ends it once what it holds is proven shut."""
    loop = asyncio.get_running_loop()
    stop = once_for(SAME_STOP_SECONDS, keeper.stop, loop.time)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    return await keeper.run()


def once_for(seconds: float, act: Callable[[], None], clock: Callable[[], float]) -> Callable[[], None]:
    """`act`, at most once within so many seconds: a signal to a daemon's every process reaches its worker
    twice, by itself and passed on by the parent, and a keeper that is told to end twice fences at once."""
    acted_at = -inf

    def called() -> None:
        nonlocal acted_at
        if clock() - acted_at >= seconds:
            acted_at = clock()
            act()

    return called
