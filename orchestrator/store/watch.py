"""A watch that loses and repeats nothing: two streams on two members, merged by revision (P8).

Why two streams: a frozen member keeps its connection open and falls silent, and one stream would hide every
write until some limit is over. With two, the other one goes on without a gap, and the silent one has time
to be found out. How it is found out: a stream that was silent for `silence_seconds` is asked to have seen
what the other stream delivered, or what a linearizable read then finds; if it still has not one silence
later, it moves to the next member. etcd's own progress notices do not serve: by default they come every ten
minutes, and 3.4 was seen to send one before the events it speaks for.

Why nothing is lost: each stream starts at the first revision not yet handed on and is itself without gaps,
so the first stream to bring a revision has brought everything before it. Why nothing is repeated: a revision
is handed on once, whole, under one lock.
"""

import asyncio
import itertools
import json
from collections.abc import Iterator

import structlog

from orchestrator.store.base import (
    KeyValue,
    StoreBehind,
    StoreCompacted,
    StoreError,
    StoreOtherCluster,
    StoreUnreachable,
)
from orchestrator.store.client import EtcdClient
from orchestrator.store.gateway import LARGEST_ANSWER_BYTES, Member, MemberTrouble, spoken_refusal
from orchestrator.store.wire import Json, WatchMessage, Wire, revision_of

log = structlog.get_logger(__name__)

STREAMS = 2
WAITING_REVISIONS = 256  # a reader this far behind holds the streams back; etcd keeps the rest
OPEN_WITHIN_SECONDS = 2.0
AUDIT_WITHIN_SECONDS = 2.0
LONGEST_PAUSE_SECONDS = 1.0
LOG_EVERY = 60  # failures in a row, about a minute's

Batch = tuple[KeyValue, ...]  # the writes of one revision, in etcd's order


class _Slot:
    """One of the streams: which member it is on, and how far it has come."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.reached = 0
        self.wanted = 0
        self.failures = 0


class MergedWatch:
    """Writes under `prefix` from a revision on. `start`, then `next` for ever, then `aclose`."""

    def __init__(
        self, client: EtcdClient, wire: Wire, prefix: str, *, from_revision: int, silence_seconds: float
    ) -> None:
        self._client = client
        self._wire = wire
        self._prefix = prefix
        self._silence_seconds = silence_seconds
        # Every write up to `_complete` was handed on or is known not to exist; `_delivered` is the last one.
        self._complete = from_revision - 1
        self._delivered = 0
        self._audited_at = float("-inf")
        self._newest = 0
        self._lock = asyncio.Lock()
        self._queue: asyncio.Queue[Batch | BaseException] = asyncio.Queue(WAITING_REVISIONS)
        self._slots = [_Slot(at) for at in range(min(STREAMS, len(client.members)))]
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Opens the streams."""
        for slot in self._slots:
            task = asyncio.create_task(self._run(slot))
            task.add_done_callback(self._ended)
            self._tasks.append(task)

    async def next(self) -> Batch:
        """The next revision's writes. Raises StoreCompacted, StoreBehind, StoreOtherCluster, StoreMisuse."""
        found = await self._queue.get()
        if isinstance(found, BaseException):
            raise found
        return found

    async def aclose(self) -> None:
        """Ends the streams; whoever still waits in `next` gets StoreUnreachable."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._break_off(StoreUnreachable(f"watch of {self._prefix!r}: the store client was closed"))

    def _ended(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._break_off(error)  # a fault of ours: the reader must hear of it, not wait for ever

    def _break_off(self, error: BaseException) -> None:
        while not self._queue.empty():
            self._queue.get_nowait()
        self._queue.put_nowait(error)

    async def _run(self, slot: _Slot) -> None:
        """Keeps one stream open, on one member after another."""
        while True:
            member = self._client.members[slot.at]
            try:
                await self._follow(slot, member)
            except StoreError as error:
                await self._queue.put(error)
                return
            except (MemberTrouble, TimeoutError) as error:
                self._log_move(slot, member, str(error) or f"not open within {OPEN_WITHIN_SECONDS:g} s")
            slot.failures += 1
            slot.at = self._another(slot)
            if slot.failures >= len(self._client.members):
                # Nobody lets it in: ask in earnest, which raises when waiting is useless.
                try:
                    await self._audit()
                except StoreError as error:
                    await self._queue.put(error)
                    return
                await asyncio.sleep(min(0.1 * slot.failures, LONGEST_PAUSE_SECONDS))

    def _log_move(self, slot: _Slot, member: Member, finding: str) -> None:
        """Every member's first failure in a row, then a word now and again."""
        if slot.failures < len(self._client.members) or slot.failures % LOG_EVERY == 0:
            log.info("watch_moves", prefix=self._prefix, member=member.place, finding=finding)

    def _another(self, slot: _Slot) -> int:
        """The next member that no other stream is on; the next one at all if there is none."""
        count = len(self._client.members)
        taken = {other.at for other in self._slots if other is not slot}
        ring = [(slot.at + step) % count for step in range(1, count + 1)]
        return next((at for at in ring if at not in taken), ring[0])

    async def _follow(self, slot: _Slot, member: Member) -> None:
        """Reads one stream until it breaks. Raises MemberTrouble, TimeoutError, StoreError."""
        slot.reached, slot.wanted = self._complete, 0
        body = self._wire.watch(self._prefix, from_revision=self._complete + 1)
        lines = _Lines()
        async with asyncio.timeout(max(OPEN_WITHIN_SECONDS, self._silence_seconds)) as opening:
            async with self._client.stream(member, "/v3/watch", body) as content:
                opening.reschedule(None)
                while True:
                    try:
                        async with asyncio.timeout(self._silence_seconds):
                            chunk = await content.readany()
                    except TimeoutError:
                        await self._check_silence(slot)
                        continue
                    if not chunk:
                        raise MemberTrouble("it ended the stream", sent=False)
                    for line in lines.feed(chunk):
                        await self._take(slot, member, line)

    async def _take(self, slot: _Slot, member: Member, line: bytes) -> None:
        message = self._message(member, line)
        self._client.check_cluster(member, message.cluster_id)
        if message.cancelled:
            await self._cancelled(message)
        if message.events:
            slot.failures = 0  # being let in is not enough: a member may cancel at once, again and again
        async with self._lock:
            for revision, events in itertools.groupby(message.events, key=lambda item: item.mod_revision):
                if revision > self._complete:
                    await self._queue.put(tuple(events))
                    self._complete = self._delivered = revision
                slot.reached = max(slot.reached, revision)
        if message.deleted:
            # The product deletes nothing (P13): somebody did by hand; only a fresh read shows what is left.
            raise StoreCompacted(
                f"{', '.join(message.deleted)}: deleted by other means than twinsite; read again"
            )

    def _message(self, member: Member, line: bytes) -> WatchMessage:
        try:
            said = json.loads(line)
            if "error" in said:
                raise _refused(member, said["error"])
            return self._wire.watch_message(said["result"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise MemberTrouble(f"sent what is no watch message: {line[:80]!r}", sent=False) from error

    async def _cancelled(self, message: WatchMessage) -> None:
        """Why the member ended this watch. Always raises."""
        if message.compact_revision:
            if not await self._audit(fresh=True, insist=True):
                raise MemberTrouble("compacted, but nothing was written here meanwhile", sent=False)
            raise StoreCompacted(
                f"watch of {self._prefix!r} from revision {self._complete + 1}: compacted up to "
                f"{message.compact_revision}; read again"
            )
        if "permission denied" in message.why:
            # A watch is refused in these words for a token that the member has forgotten, too: a read tells.
            await self._client.renew_token()
            await self._audit(fresh=True)
        raise MemberTrouble(message.why or "it cancelled the watch", sent=False)

    async def _check_silence(self, slot: _Slot) -> None:
        """Raises MemberTrouble when others have long seen what this stream has not."""
        if slot.reached < slot.wanted:
            raise MemberTrouble(
                f"silent at revision {slot.reached} while {slot.wanted} was written", sent=False
            )
        slot.failures = 0
        slot.wanted = max(self._delivered, await self._audit())

    async def _audit(self, *, fresh: bool = False, insist: bool = False) -> int:
        """Revision of the newest write not yet handed on, by a linearizable read; 0 if there is none or the
        store does not answer (`insist`: then raises MemberTrouble). Raises StoreMisuse, StoreBehind, and
        StoreOtherCluster: a watch of a store that is no more must not wait for it in silence (P33).

        Without any, everything up to the answer's revision is complete: a quiet prefix thus stays ahead of
        compaction. The streams share one answer.
        """
        now = asyncio.get_running_loop().time
        if not fresh and now() - self._audited_at < self._silence_seconds / 2:
            return self._newest
        above = self._complete
        try:
            answer: Json = await self._client.call(
                "/v3/kv/range",
                self._wire.newest(self._prefix, above=above),
                what=f"watch {self._prefix}",
                timeout_seconds=AUDIT_WITHIN_SECONDS,
            )
        except StoreOtherCluster:
            raise
        except StoreUnreachable as error:
            if insist:
                raise MemberTrouble(str(error), sent=False) from error
            return 0
        if (revision := revision_of(answer)) < above:
            raise StoreBehind(f"the store is at revision {revision}, behind {above}: read again", revision)
        found = self._wire.snapshot(answer).items
        self._newest = found[0].mod_revision if found else 0
        if not found:
            self._complete = max(self._complete, revision)
        self._audited_at = now()
        return self._newest


class _Lines:
    """Cuts a stream into lines; keeps what is not yet a whole one."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The lines that `chunk` completes. Raises MemberTrouble for one that never ends."""
        self._rest += chunk
        if len(self._rest) > LARGEST_ANSWER_BYTES:
            raise MemberTrouble(f"sent a line of more than {LARGEST_ANSWER_BYTES} bytes", sent=False)
        *lines, rest = bytes(self._rest).split(b"\n")
        self._rest = bytearray(rest)
        return (line for line in lines if line.strip())


def _refused(member: Member, error: Json) -> Exception:
    code = int(error.get("grpc_code") or error.get("code") or 0)
    return spoken_refusal(member, code, str(error.get("message", "")))
