"""What waits to be sent: for each receiver in its order, tried again until it is out or too old.

Every receiver has a task of its own, so that one that hangs holds up nobody else. Bounded: of too many, those
go that matter least. It neither writes messages nor decides who gets them.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_result, wait_exponential, wait_random

from orchestrator.clock import wall_unix_seconds
from orchestrator.paging.board import Sent
from orchestrator.paging.book import Reason
from orchestrator.paging.memory import Counted, Parcel
from orchestrator.paging.message import late_words
from orchestrator.paging.ways import Mail, Tried, send
from sites.notify import ALERTMANAGER, NotifySpec, scheme_of
from sites.secrets import SecretMissing, looked_up

log = structlog.get_logger(__name__)

MOST_WAITING = 200
FIRST_WAIT_SECONDS = 5.0
LONGEST_WAIT_SECONDS = 300.0
JITTER_SECONDS = 3.0
HELP_AFTER_SECONDS = 30.0
"""How long a message must have been stuck before the other site is asked to send it."""
LATE_SECONDS = 120.0
OUTCOMES = ("sent", "failed", "given-up", "dropped", "withdrawn")

Sleep = Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """Why a receiver cannot be reached, and since when (Unix time)."""

    words: str
    since: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressTried:
    """What came of one address of a receiver, without its secrets."""

    address: str
    tried: Tried


class Receiver:
    """One receiver's queue and task. `on_change`: told whenever something should go to the disk."""

    def __init__(
        self,
        name: str,
        spec: NotifySpec,
        base: Path,
        *,
        parcels: Iterable[Parcel] = (),
        counted: Counted | None = None,
        on_change: Callable[[], None] = lambda: None,
        on_sent: Callable[[Parcel, Sent], None] = lambda parcel, sent: None,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self.name, self.spec = name, spec
        self.trouble: Trouble | None = None
        self._base = base
        self._queue: list[Parcel] = list(parcels)
        self._outcomes: dict[str, int] = dict(counted.outcomes) if counted is not None else {}
        self._last_sent_at = counted.last_sent_at if counted is not None else None
        self._on_change = on_change
        self._on_sent = on_sent
        self._sleep = sleep
        self._more = asyncio.Event()
        self._withdrawn: set[int] = set()

    # --- what is known of it -------------------------------------------------------------------------

    @property
    def waiting(self) -> tuple[Parcel, ...]:
        """What has not got out yet, the oldest first."""
        return tuple(self._queue)

    @property
    def counted(self) -> Counted:
        """What has become of its messages."""
        return Counted(outcomes=dict(self._outcomes), last_sent_at=self._last_sent_at)

    @property
    def repeats(self) -> bool:
        """Whether it forgets what is not repeated: Alertmanager does."""
        return any(scheme_of(address) in ALERTMANAGER for _, address in self._addresses()[0])

    @property
    def needs_apprise(self) -> bool:
        """Whether anything but Alertmanager is among its addresses, as far as they are known."""
        return any(scheme_of(address) not in ALERTMANAGER for _, address in self._addresses()[0])

    def _addresses(self) -> tuple[list[tuple[int, str]], str]:
        """The addresses with their secrets, by number, and why one of them cannot be had."""
        found, missing = [], ""
        for number, address in enumerate(self.spec.addresses):
            try:
                found.append((number, looked_up(address, self._base)))
            except SecretMissing as fault:
                missing = str(fault)
        return found, missing

    # --- what goes in --------------------------------------------------------------------------------

    def put(self, parcel: Parcel) -> None:
        """Take a message in. A repetition is worth nothing while something waits."""
        if parcel.reason is Reason.REPEAT and self._queue:
            return
        self._queue.append(parcel)
        if len(self._queue) > MOST_WAITING:
            # The first one is on its way; of the others the least important goes, the oldest of them first.
            least = min(self._queue[1:], key=lambda one: (one.severity.rank, one.written_at))
            self._queue.remove(least)
            self._ended(least, "dropped", Sent.GIVEN_UP)
            log.error("message-dropped", receiver=self.name, title=least.title, waiting=len(self._queue))
        self._more.set()

    def withdraw(self, key: str) -> None:
        """The other site has sent what there is to say of an event; a message about others too stays."""
        for parcel in [one for one in self._queue if key in one.keys]:
            keys = tuple(each for each in parcel.keys if each != key)
            place = self._queue.index(parcel)
            if keys:
                self._queue[place] = replace(parcel, keys=keys)
                continue
            self._withdrawn.add(parcel.number)
            if place > 0:
                self._queue.remove(parcel)
                self._count("withdrawn")
        self._on_change()

    # --- what gets out -------------------------------------------------------------------------------

    async def run(self) -> None:
        """Send what waits, in its order, until cancelled."""
        while True:
            while not self._queue:
                self._more.clear()
                await self._more.wait()
            parcel = self._queue[0]
            tried = await self._retrying(parcel)
            parcel = self._queue.pop(0)
            if parcel.number in self._withdrawn:
                self._withdrawn.discard(parcel.number)
                self._count("withdrawn")
            elif tried.ok:
                self.trouble = None
                self._last_sent_at = wall_unix_seconds()
                self._ended(parcel, "sent", Sent.SENT)
                log.info("message-sent", receiver=self.name, title=parcel.title, tries=parcel.tries)
            else:
                self._ended(parcel, "given-up", Sent.GIVEN_UP)
                log.error("message-given-up", receiver=self.name, title=parcel.title, problem=tried.words)

    async def _retrying(self, parcel: Parcel) -> Tried:
        """Try again and again, further and further apart, until it is out, refused, withdrawn or too old."""

        def over(state: RetryCallState) -> bool:
            # By the time of day, since it counts over restarts; where that was set back, it is tried longer.
            age_seconds = wall_unix_seconds() - parcel.written_at
            return age_seconds >= self.spec.give_up_after_seconds or parcel.number in self._withdrawn

        def last(state: RetryCallState) -> Tried:
            assert state.outcome is not None
            tried: Tried = state.outcome.result()
            return tried

        retrying = AsyncRetrying(
            retry=retry_if_result(lambda tried: not tried.ok and tried.again),
            wait=wait_exponential(FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS) + wait_random(0, JITTER_SECONDS),
            stop=over,
            sleep=self._sleep,
            retry_error_callback=last,
        )
        found: Tried = await retrying(self._try_first)
        return found

    async def _try_first(self) -> Tried:
        """Try to send what stands first to every address that does not have it yet."""
        parcel = self._queue[0]
        results = await self._try(parcel, _mail(parcel))
        reached = (*parcel.reached, *(number for number, tried in results.items() if tried.ok))
        failed = [tried for tried in results.values() if not tried.ok]
        parcel = replace(self._queue[0], reached=reached, tries=parcel.tries + 1)
        self._queue[0] = parcel
        if not failed:
            return Tried(ok=True)
        words = "; ".join(dict.fromkeys(tried.words for tried in failed))
        self._troubled(parcel, words)
        return Tried(ok=False, words=words, again=any(tried.again for tried in failed))

    def _troubled(self, parcel: Parcel, words: str) -> None:
        now = wall_unix_seconds()
        since = self.trouble.since if self.trouble is not None else now
        if self.trouble is None or self.trouble.words != words:
            log.warning("message-not-sent", receiver=self.name, title=parcel.title, problem=words)
        self.trouble = Trouble(words=words, since=since)
        self._count("failed")
        if now - parcel.written_at >= HELP_AFTER_SECONDS:
            self._on_sent(parcel, Sent.FAILING)
        self._on_change()

    async def _try(self, parcel: Parcel, mail: Mail) -> dict[int, Tried]:
        addresses, missing = self._addresses()
        if parcel.reason is Reason.REPEAT:
            addresses = [one for one in addresses if scheme_of(one[1]) in ALERTMANAGER]
        wanted = [(number, address) for number, address in addresses if number not in parcel.reached]
        seconds = self.spec.timeout_seconds
        tries = [send(address, mail, timeout_seconds=seconds, base=self._base) for _, address in wanted]
        found = dict(zip((number for number, _ in wanted), await asyncio.gather(*tries), strict=True))
        if missing:
            found[-1] = Tried(ok=False, words=missing)
        return found

    async def test(self, parcel: Parcel) -> list[AddressTried]:
        """Send a message at once, past the queue, and say what came of each address."""
        results = await self._try(parcel, _mail(parcel))
        return [
            AddressTried(address=shown_address(self.spec, number), tried=tried)
            for number, tried in sorted(results.items())
        ]

    # --- what is counted -----------------------------------------------------------------------------

    def _ended(self, parcel: Parcel, outcome: str, sent: Sent) -> None:
        self._count(outcome)
        self._on_sent(parcel, sent)
        self._on_change()

    def _count(self, outcome: str) -> None:
        self._outcomes[outcome] = self._outcomes.get(outcome, 0) + 1


def shown_address(spec: NotifySpec, number: int) -> str:
    """An address as it may be shown: a secret by where it comes from, anything else by its kind."""
    if not 0 <= number < len(spec.addresses):
        return "a secret that is not there"
    address = spec.addresses[number]
    return address.strip("<>") if address.startswith("<!") else f"{scheme_of(address)}://…"


def _mail(parcel: Parcel) -> Mail:
    held_up_seconds = wall_unix_seconds() - parcel.written_at
    late = late_words(held_up_seconds, parcel.written) if held_up_seconds >= LATE_SECONDS else ""
    return Mail(
        title=f"LATE {parcel.title}" if late else parcel.title,
        body=late + parcel.body,
        severity=parcel.severity,
        over=parcel.reason is Reason.OVER,
        alerts=parcel.alerts,
    )


def counted_of(receivers: Mapping[str, Receiver]) -> dict[str, Counted]:
    """What has become of everybody's messages."""
    return {name: receiver.counted for name, receiver in receivers.items()}
