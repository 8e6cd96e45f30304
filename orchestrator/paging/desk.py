"""Paging of one controller: looks, has the book say who is told, keeps it, and hands messages to receivers.

It stands beside the controller's turn and never in its way: nothing that it does is waited for by anybody
but itself, and what goes wrong here is told of and tried again.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import structlog

from orchestrator.clock import wall_text, wall_unix_seconds
from orchestrator.journal import SqliteJournal
from orchestrator.paging.alerts import alert_of
from orchestrator.paging.board import Acknowledged, Board, Sent
from orchestrator.paging.book import Message, Page, Reason, Standing, acknowledged, step
from orchestrator.paging.event import Event
from orchestrator.paging.memory import NAME, Memory, Parcel, keep, recall
from orchestrator.paging.message import Envelope, worst
from orchestrator.paging.noticing import Facts, events_of
from orchestrator.paging.outbox import AddressTried, Receiver, counted_of
from orchestrator.paging.quiet import quiet_until
from orchestrator.paging.shared import SharedBoard
from orchestrator.paging.testing import send_test
from orchestrator.paging.writing import letter_of
from orchestrator.store.base import Store
from runbooks.errors import RunbooksError
from sites.model import Estate

log = structlog.get_logger(__name__)

STEP_SECONDS = 1.0
PEER_SECONDS = 10.0
"""How long the other controller may say nothing before this one tells in its place."""
NEW_SECONDS = 30.0
SETTLED_SECONDS = 150.0
AGAIN_SECONDS = 5.0
MESSAGE_EVENT, ACKNOWLEDGED_EVENT = "message", "acknowledged"

Look = Callable[[float, float], Facts]


class PagingDesk:
    """Everything about messages of one controller. `look`: the facts, given the time of day and since when
    what ended is news."""

    def __init__(
        self, estate: Estate, site: str, base: Path, directory: Path, *, store: Store, journal: SqliteJournal
    ) -> None:
        self._estate, self._site, self._base = estate, site, base
        self._path = directory / NAME
        self._journal = journal
        self._shared = SharedBoard(store)
        self._memory = recall(self._path, wall_unix_seconds())
        self._book = self._memory.book
        self._number = self._memory.number
        self._said: list[Event] = []
        self._sent: dict[tuple[str, str], Sent] = {}
        self._dirty = asyncio.Event()
        self._keeping = asyncio.Lock()
        self.problem = ""
        self.apprise_there = find_spec("apprise") is not None
        self.receivers = {
            name: Receiver(
                name,
                spec,
                base,
                parcels=[parcel for parcel in self._memory.parcels if parcel.receiver == name],
                counted=self._memory.counted.get(name),
                on_change=self._dirty.set,
                on_sent=self._on_sent,
            )
            for name, spec in estate.receivers.items()
        }

    # --- running -------------------------------------------------------------------------------------

    async def run(self, look: Look) -> None:
        """Tell people until cancelled. Nothing is done where nobody is to be told."""
        if not self.receivers:
            return
        async with asyncio.TaskGroup() as group:
            for receiver in self.receivers.values():
                group.create_task(_for_ever(receiver.run, f"receiver {receiver.name}"))
            group.create_task(_for_ever(self._keep_changes, "keeping"))
            group.create_task(_for_ever(lambda: self._steps(look), "steps"))

    async def _steps(self, look: Look) -> None:
        loop = asyncio.get_running_loop()
        started = loop.time()
        while True:
            await asyncio.sleep(STEP_SECONDS)
            await self._step(look, loop.time() - started)

    async def _step(self, look: Look, up_seconds: float) -> None:
        now, tick = wall_unix_seconds(), asyncio.get_running_loop().time()
        facts = look(now, self._memory.since)
        said, self._said = tuple(self._said), []
        found = (*events_of(facts), *said)
        if not found and not self._book.pages and up_seconds > SETTLED_SECONDS + 10:
            return
        board = await self._shared.read(tick)
        standing = Standing(
            now=now,
            site=self._site,
            receivers=self._estate.receivers,
            board=board,
            store_silent_seconds=self._shared.silent_seconds(tick),
            settled=up_seconds >= SETTLED_SECONDS,
            peer_there=self._peer_there(facts, board, up_seconds),
            quiet=frozenset(
                name for name, one in self.receivers.items() if quiet_until(one.spec.quiet, now) is not None
            ),
            repeating=frozenset(name for name, one in self.receivers.items() if one.repeats),
            sent=dict(self._sent),
        )
        before = self._book
        done = step(before, found, standing)
        # Somebody may have acknowledged something meanwhile: nothing was awaited since `before`.
        self._book = done.book
        self._sent = {key: sent for key, sent in self._sent.items() if key[0] in self._book.pages}
        parcels = [
            await self._written(message, before.pages, alone=board is None) for message in done.messages
        ]
        for one in done.withdrawn:
            if one.receiver in self.receivers:
                self.receivers[one.receiver].withdraw(one.key)
        if parcels:
            # On the disk first: what is sent must not be sent again by a controller that is started anew.
            await self._keep(tuple(parcels))
        if done.board is not None:
            await self._shared.write(done.board, tick)
        for parcel in parcels:
            self.receivers[parcel.receiver].put(parcel)
        if before.pages.keys() != self._book.pages.keys():
            self._dirty.set()

    def _peer_there(self, facts: Facts, board: Board | None, up_seconds: float) -> bool | None:
        silent = facts.heard.get(facts.view.peer)
        if silent is not None and silent <= PEER_SECONDS:
            return True
        return False if board is not None and up_seconds >= NEW_SECONDS else None

    # --- messages ------------------------------------------------------------------------------------

    async def _written(self, message: Message, pages: Mapping[str, Page], *, alone: bool) -> Parcel:
        spec = self._estate.receivers[message.receiver]
        at = wall_text()
        envelope = Envelope(
            receiver=message.receiver,
            reason=message.reason,
            site=self._site,
            site_title=self._estate.sites[self._site].title or self._site,
            at=at,
            after=message.after,
            alone=alone,
            docs_url=self._estate.docs_url,
        )
        letter, problem = await asyncio.to_thread(letter_of, spec, self._base, envelope, message.events)
        self.problem = problem or self.problem
        self._number += 1
        now = wall_unix_seconds()
        return Parcel(
            number=self._number,
            receiver=message.receiver,
            reason=message.reason,
            severity=worst(message.events),
            title=letter.title,
            body=letter.body,
            written_at=now,
            written=at,
            keys=tuple(event.key for event in message.events),
            alerts=tuple(
                alert_of(
                    event, pages[event.key].first_seen if event.key in pages else now, self._estate.docs_url
                )
                for event in message.events
            ),
        )

    def _on_sent(self, parcel: Parcel, sent: Sent) -> None:
        for key in parcel.keys:
            self._sent[key, parcel.receiver] = sent
        if sent is not Sent.FAILING and parcel.reason is not Reason.REPEAT:
            task = asyncio.ensure_future(self._put_on_file(parcel, sent))
            task.add_done_callback(lambda done: done.exception() if not done.cancelled() else None)

    async def _put_on_file(self, parcel: Parcel, sent: Sent) -> None:
        data = {
            "receiver": parcel.receiver,
            "reason": str(parcel.reason),
            "title": parcel.title,
            "outcome": str(sent),
            "tries": parcel.tries,
            "written": parcel.written,
            "events": list(parcel.keys)[:50],
        }
        try:
            await self._journal.append_event(MESSAGE_EVENT, "", data)
        except RunbooksError as fault:
            log.error("message-not-recorded", receiver=parcel.receiver, problem=str(fault))

    # --- what people and others say ------------------------------------------------------------------

    def tell(self, event: Event) -> None:
        """Tell people of something that has just happened and is seen nowhere else."""
        self._said.append(event)

    async def acknowledge(
        self, who: str, reason: str, *, service: str | None = None, site: str | None = None
    ) -> tuple[str, ...]:
        """Somebody takes on what goes on with a service, a site, or everything; what that is. It stands in
        the journal, and from the next step on where the other controller sees it."""
        word = Acknowledged(who=who, reason=reason, at=wall_text())
        taken = {
            key: page.event
            for key, page in self._book.pages.items()
            if page.ripe and page.acknowledged is None and _concerns(page.event, service, site)
        }
        if not taken:
            return ()
        self._book = acknowledged(self._book, frozenset(taken), word)
        data = {"who": who, "reason": reason, "events": list(taken)[:200]}
        try:
            await self._journal.append_event(ACKNOWLEDGED_EVENT, service or "", data)
        except RunbooksError as fault:
            log.error("acknowledgement-not-recorded", who=who, problem=str(fault))
        await self._keep()
        return tuple(event.headline for event in taken.values())

    async def test(self, names: tuple[str, ...] = ()) -> dict[str, list[AddressTried]]:
        """Send a test message to these receivers, or to all; what came of each address."""
        wanted = [one for name, one in self.receivers.items() if not names or name in names]
        sending = (send_test(self._estate, self._site, self._base, one) for one in wanted)
        results = await asyncio.gather(*sending)
        return {one.name: found for one, found in zip(wanted, results, strict=True)}

    # --- what is known -------------------------------------------------------------------------------

    @property
    def pages(self) -> tuple[Page, ...]:
        """What goes on and is worth a message, the worst first."""
        ripe = [page for page in self._book.pages.values() if page.ripe]
        return tuple(sorted(ripe, key=lambda page: (-page.event.severity.rank, page.first_seen)))

    @property
    def board_problem(self) -> str:
        """Why the two controllers cannot agree on who tells of what."""
        return self._shared.problem

    # --- the disk ------------------------------------------------------------------------------------

    async def _keep_changes(self) -> None:
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            await self._keep()
            await asyncio.sleep(STEP_SECONDS)  # many changes in a short time go in one write

    async def _keep(self, coming: tuple[Parcel, ...] = ()) -> None:
        """Put everything on the disk. One that takes nothing is told of, and holds up no message."""
        async with self._keeping:
            waiting = tuple(parcel for one in self.receivers.values() for parcel in one.waiting)
            self._memory = replace(
                self._memory,
                book=self._book,
                parcels=(*waiting, *coming),
                number=self._number,
                counted=counted_of(self.receivers),
            )
            memory: Memory = self._memory
            try:
                await asyncio.to_thread(keep, self._path, memory)
            except OSError as fault:
                log.error("pages-not-kept", path=str(self._path), problem=str(fault))
                self.problem = f"{self._path} cannot be written ({fault.strerror}): a restart would forget"


def _concerns(event: Event, service: str | None, site: str | None) -> bool:
    if service is not None:
        return event.service == service
    return site is None or event.site == site


async def _for_ever(work: Callable[[], Awaitable[None]], what: str) -> None:
    """Nothing that goes wrong in paging may end the controller: it is told of, and begun anew."""
    while True:
        try:
            await work()
        except Exception as fault:
            log.error("paging-failed", part=what, exc_info=fault)
        await asyncio.sleep(AGAIN_SECONDS)
