"""The board in the store: read when it matters, written by compare-and-set, and how long it has been silent.

A store that answers and takes nothing (a permission that is missing) counts as silent too: then what must be
told is told by each site itself.
"""

import structlog

from orchestrator.paging.board import BOARD, Board, BoardUnreadable, decode, encode
from orchestrator.paging.book import ALONE_SECONDS
from orchestrator.store.base import Compare, Put, Store, StoreError

log = structlog.get_logger(__name__)

STORE_SECONDS = 3.0
WRITE_AGAIN_SECONDS = 30.0


class SharedBoard:
    """One controller's view of it. Times are seconds of the loop's clock."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._revision = 0
        self._silent_since: float | None = None
        self._refused_since: float | None = None
        self._tried_at = 0.0
        self.problem = ""

    async def read(self, now: float) -> Board | None:
        """The board, or None where it cannot be gone by."""
        try:
            found = (await self._store.read(BOARD, exact=True, timeout_seconds=STORE_SECONDS)).get(BOARD)
        except StoreError as fault:
            self._failed(str(fault))
            self._silent_since = now if self._silent_since is None else self._silent_since
            return None
        self._silent_since = None
        self._revision = found.mod_revision if found is not None else 0
        refused = self._refused_since
        if refused is None:
            self.problem = ""
        elif now - refused >= ALONE_SECONDS and now - self._tried_at < WRITE_AGAIN_SECONDS:
            return None
        try:
            return decode(found.value) if found is not None else Board()
        except BoardUnreadable as fault:
            log.warning("board-unreadable", problem=str(fault)[:500])
            return Board()

    async def write(self, board: Board, now: float) -> bool:
        """Put it there, unless somebody has written since it was read."""
        self._tried_at = now
        try:
            result = await self._store.transact(
                [Compare(BOARD, self._revision)],
                [Put(BOARD, encode(board))],
                [BOARD],
                timeout_seconds=STORE_SECONDS,
            )
        except StoreError as fault:
            self._failed(str(fault))
            self._refused_since = now if self._refused_since is None else self._refused_since
            return False
        self._refused_since, self.problem = None, ""
        return result.succeeded

    def _failed(self, problem: str) -> None:
        if problem != self.problem:
            log.warning("board-not-shared", problem=problem)
        self.problem = problem

    def silent_seconds(self, now: float) -> float:
        """How long it has not been there to be gone by."""
        since = [at for at in (self._silent_since, self._refused_since) if at is not None]
        return now - min(since) if since else 0.0
