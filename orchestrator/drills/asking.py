"""Orders about a drill that are given at the site which does not carry it out: by the drill's record in the
store, where the other site's controller finds them and answers.

It judges nothing: whether a drill may begin, or end, is said where it is carried out.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import replace

from orchestrator.clock import wall_text
from orchestrator.drills.board import DrillBoard, NotWritten
from orchestrator.drills.records import DrillAnswer, DrillAsk, DrillRecord, DrillVerb
from orchestrator.refusing import OrderRefused

ANSWER_SECONDS = 15.0
LOOK_SECONDS = 0.05
ASKS_AT_ONCE = 10
ANSWERS_KEPT = 20

Obey = Callable[[DrillAsk], Awaitable[str]]


class Asking:
    """One controller's. Of what stands there when it first looks, it follows nothing: who asked has been told
    that nobody answered, and may have done something else since."""

    def __init__(self, site: str, board: DrillBoard) -> None:
        self._site = site
        self._board = board
        self._seen: dict[str, frozenset[str]] = {}

    async def ask(self, new: DrillRecord, verb: DrillVerb, who: str, reason: str, there: str) -> str:
        """Have the controller of `there` do it; the run that it names. `new`: the drill's record, if there is
        none yet. Raises OrderRefused, also with what that controller refuses it for."""
        drill = new.drill
        ask = DrillAsk(secrets.token_hex(6), verb, who, self._site, wall_text(), reason)

        def put(there_is: DrillRecord | None) -> DrillRecord:
            record = there_is or new
            if ask.ask_id in {*(one.ask_id for one in record.asks), *(one.ask_id for one in record.answers)}:
                return record
            if len(record.asks) >= ASKS_AT_ONCE:
                raise OrderRefused("order-unanswered", f"{len(record.asks)} orders wait for {there} already")
            return replace(record, asks=(*record.asks, ask))

        try:
            await self._board.write(drill, put)
        except NotWritten as fault:
            raise OrderRefused(
                "steer-there",
                f"{there} carries it out, and the store does not take the order: {fault}. Type at {there}: "
                f"`twinsite drill {verb} {drill!r} --reason …`",
            ) from fault
        answer = await self._answer(drill, ask.ask_id)
        if answer is None:
            await self._take_out(drill, ask.ask_id)
            raise OrderRefused(
                "order-unanswered", f"the controller at {there} has not answered within {ANSWER_SECONDS:g} s"
            )
        if answer.code:
            raise OrderRefused(answer.code, answer.message)
        return answer.run

    async def _answer(self, drill: str, ask_id: str) -> DrillAnswer | None:
        loop = asyncio.get_running_loop()
        until = loop.time() + ANSWER_SECONDS
        while loop.time() < until:
            record = self._board.records.get(drill)
            for answer in record.answers if record is not None else ():
                if answer.ask_id == ask_id:
                    return answer
            await asyncio.sleep(LOOK_SECONDS)
        return None

    async def _take_out(self, drill: str, ask_id: str) -> None:
        """An order that was not answered is not to be followed later, behind its giver's back."""
        try:
            await self._board.write(drill, lambda record: _without(record, ask_id))
        except NotWritten:
            return  # whoever finds it as the first thing there refuses it as too late

    async def look(self, drill: str, *, ours: bool, obey: Obey) -> None:
        """Follow what stands there, in its order, each once, if it is ours to follow. Raises NotWritten."""
        if not self._board.known:
            return
        record = self._board.records.get(drill)
        asks = record.asks if record is not None else ()
        stale = self._seen.setdefault(drill, frozenset(ask.ask_id for ask in asks))
        for ask in asks if ours else ():
            if ask.ask_id in stale:
                words = f"it was put in at {ask.at}, before this controller was there"
                answer = DrillAnswer(ask.ask_id, code="order-too-late", message=words)
            else:
                answer = await _obeyed(ask, obey)
            await self._answered(drill, answer)

    async def _answered(self, drill: str, answer: DrillAnswer) -> None:
        def change(record: DrillRecord | None) -> DrillRecord | None:
            after = _without(record, answer.ask_id)
            return replace(after, answers=(*after.answers, answer)[-ANSWERS_KEPT:]) if after else None

        # Whatever becomes of the answer: done is done, and not to be done again.
        self._seen[drill] |= {answer.ask_id}
        await self._board.write(drill, change)


async def _obeyed(ask: DrillAsk, obey: Obey) -> DrillAnswer:
    try:
        return DrillAnswer(ask.ask_id, run=await obey(ask))
    except OrderRefused as refused:
        return DrillAnswer(ask.ask_id, code=refused.refusal.code, message=refused.refusal.message)


def _without(record: DrillRecord | None, ask_id: str) -> DrillRecord | None:
    """None where it does not stand there any more."""
    if record is None or all(ask.ask_id != ask_id for ask in record.asks):
        return None
    return replace(record, asks=tuple(ask for ask in record.asks if ask.ask_id != ask_id))
