"""Proving that an instance here stands still: when it is looked for, and what ends the proof."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

from orchestrator.core.keeper_view import KeeperView, ServiceHeld, picture
from orchestrator.core.records import (
    InstanceSeen,
    Mode,
    Movement,
    ObservationRecord,
    ServiceRecord,
    StillSeen,
)
from orchestrator.eyes import Eyes
from orchestrator.standstill import LOOK_EVERY_SECONDS, Standstills
from sites.errors import HostUnreachable
from sites.replication.words import Standstill
from tests.core.alone import Alone, record_of
from tests.orchestrator.two_sites import estate
from tests.support.virtual_time import now_ns, now_seconds, run, until

RECORD = ServiceRecord(
    primary="durham", epoch=7, mode=Mode.AUTOMATIC, movement=Movement.STEADY, writer="", previous="morpeth"
)
GIVEN_UP = replace(RECORD, primary=None, previous="durham")
LOOK_SECONDS = 0.1


class Host:
    """The database's host, and what is looked for there; a driver as far as it is asked."""

    def __init__(self) -> None:
        self.down, self.reachable, self.processes, self.mark = True, True, 0, "m"
        self.record: ServiceRecord | None = RECORD
        self.asked_at: list[float] = []
        self.proofs = 0
        self.stills = Standstills(
            "durham",
            {"crm": self, "files": object()},  # type: ignore[dict-item]
            is_down=lambda service: self.down,
            keeper=self.keeper,
            on_proof=self.proven,
            now_ns=now_ns,
        )

    async def standstill(self, site: str) -> Standstill | None:
        """A look."""
        assert site == "durham"
        asked_at_ns = now_ns()
        self.asked_at.append(now_seconds())
        await asyncio.sleep(LOOK_SECONDS)
        if not self.reachable:
            raise HostUnreachable("no route to host")
        return None if self.processes else Standstill(asked_at_ns, now_ns(), self.mark, "none left")

    def keeper(self) -> KeeperView:
        """What the keeper shows."""
        held = ServiceHeld(
            service="crm", known=self.record is not None, revision=1, record=self.record, entitled=True,
            open_here=True, shut=False, giving_up=False, fence_evidence="",
        )  # fmt: skip
        alone = Alone({"s": record_of("x")})
        return replace(picture(alone.state, now_ns()), services=(held,))

    def proven(self) -> None:
        """Somebody is to be told."""
        self.proofs += 1

    def since(self) -> float | None:
        """Since when nothing was written, in seconds."""
        still = self.stills.of("crm")
        return None if still is None else still.since_ns / 1e9

    def given_up_epoch(self) -> int | None:
        """Beyond which give-up the proof goes."""
        still = self.stills.of("crm")
        return None if still is None else still.given_up_epoch


def play(story: Callable[[Host], Coroutine[Any, Any, None]]) -> None:
    """A story beside a running desk, in virtual time."""

    async def played() -> None:
        host = Host()
        task = asyncio.create_task(host.stills.run())
        try:
            await story(host)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    run(played)


def test_what_runs_is_not_looked_for_and_what_is_down_again_and_again() -> None:
    async def story(host: Host) -> None:
        host.down = False
        await asyncio.sleep(10)
        assert host.asked_at == []
        host.down = True
        host.stills.wake()
        await until(lambda: host.since() is not None)
        assert host.since() == 10 + LOOK_SECONDS
        assert host.proofs == 1, "who publishes is told at once, and not at every look"
        await asyncio.sleep(20)
        assert host.since() == 10 + LOOK_SECONDS
        assert host.proofs == 1
        still = host.stills.of("crm")
        assert still is not None
        assert now_ns() - still.seen_ns <= (2 * LOOK_EVERY_SECONDS + LOOK_SECONDS) * 1e9

    play(story)


def test_a_process_that_is_left_may_be_writing() -> None:
    async def story(host: Host) -> None:
        host.processes = 1
        await asyncio.sleep(10)
        assert host.since() is None
        host.processes = 0
        await until(lambda: host.since() is not None)
        assert (host.since() or 0) > 10

    play(story)


def test_a_process_that_is_seen_ends_the_proof() -> None:
    async def story(host: Host) -> None:
        await until(lambda: host.since() is not None)
        host.processes = 1
        await until(lambda: host.since() is None)
        host.processes = 0
        await until(lambda: host.since() is not None)
        assert (host.since() or 0) > LOOK_EVERY_SECONDS

    play(story)


def test_one_that_answers_again_proves_nothing_at_once() -> None:
    async def story(host: Host) -> None:
        await until(lambda: host.since() is not None)
        host.down = False
        assert host.since() is None

    play(story)


def test_one_that_was_started_between_two_looks_begins_anew() -> None:
    async def story(host: Host) -> None:
        await until(lambda: host.since() is not None)
        await asyncio.sleep(5)
        host.mark = "other"
        await until(lambda: (host.since() or 0) > 5)
        assert host.proofs == 2

    play(story)


def test_a_host_that_does_not_answer_for_a_while_is_judged_by_its_mark_afterwards() -> None:
    async def story(host: Host) -> None:
        await until(lambda: host.since() is not None)
        began, seen = host.since(), host.stills.of("crm")
        host.reachable = False
        await asyncio.sleep(60)
        still = host.stills.of("crm")
        assert seen is not None
        assert still is not None
        assert still.seen_ns <= seen.seen_ns + LOOK_EVERY_SECONDS * 1e9, "nothing is proven meanwhile"
        host.reachable = True
        await until(lambda: (after := host.stills.of("crm")) is not None and after.seen_ns > 60e9)
        assert host.since() == began

    play(story)


def test_after_a_give_up_it_is_looked_at_once_more_at_once() -> None:
    async def story(host: Host) -> None:
        await until(lambda: host.since() is not None)
        began = host.since()
        await asyncio.sleep(0.3)  # the next look is not due for long
        host.record = GIVEN_UP
        host.stills.wake()
        assert host.given_up_epoch() is None, "what was seen before does not reach up to it"
        await asyncio.sleep(2 * LOOK_SECONDS)
        assert (host.since(), host.given_up_epoch()) == (began, 7)
        assert host.proofs == 2
        host.stills.wake()
        await asyncio.sleep(LOOK_SECONDS / 2)
        assert len(host.asked_at) == 2, "a proof that there is is not made again"

    play(story)


def test_a_look_that_began_before_the_give_up_was_known_does_not_reach_up_to_it() -> None:
    async def story(host: Host) -> None:
        await until(lambda: host.since() is not None)
        await until(lambda: len(host.asked_at) == 2)  # a look is under way
        host.record = GIVEN_UP
        await asyncio.sleep(1.5 * LOOK_SECONDS)
        assert host.given_up_epoch() is None
        await until(lambda: host.given_up_epoch() == 7)
        assert len(host.asked_at) == 3

    play(story)


def test_what_another_site_gave_up_is_not_ours_to_prove() -> None:
    async def story(host: Host) -> None:
        host.record = replace(GIVEN_UP, previous="morpeth")
        await asyncio.sleep(10)
        assert host.since() is not None
        assert host.given_up_epoch() is None

    play(story)


# --- another site's word ----------------------------------------------------------------------------------


def word(number: int, *, observer: str = "durham", still: StillSeen | None) -> ObservationRecord:
    """What an observer publishes of Durham's instance."""
    seen = InstanceSeen(
        service="crm", site="durham", role="down", writable=False, reason="", age_seconds=0.1, still=still
    )
    return ObservationRecord(observer=observer, number=number, instances=(seen,))


STILL = StillSeen(mark="m", for_seconds=40.0, age_seconds=1.0, evidence="none left")
BEYOND = replace(STILL, given_up_epoch=7)


def eyes_that_heard(*words: ObservationRecord) -> Eyes:
    """Morpeth's."""
    eyes = Eyes(estate(), {}, watch_losses_at="morpeth", on_change=lambda: None)
    for each in words:
        eyes.take_outside(each)
    return eyes


def test_a_site_s_proof_of_its_own_instance_is_taken_in_and_its_silence_ends_it() -> None:
    heard = eyes_that_heard(word(1, still=None), word(2, still=STILL)).still("crm", "durham")
    assert heard is not None
    assert (heard.mark, heard.given_up_epoch) == ("m", None)
    after = eyes_that_heard(word(1, still=None), word(2, still=STILL), word(3, still=None))
    assert after.still("crm", "durham") is None


def test_nobody_proves_anything_of_another_site_s_instance() -> None:
    eyes = eyes_that_heard(*(word(number, observer="derwentside", still=STILL) for number in (1, 2, 3)))
    assert eyes.still("crm", "durham") is None


def test_a_first_word_that_may_be_of_any_age_does_not_say_that_it_stands_still_now() -> None:
    assert eyes_that_heard(word(1, still=STILL)).still("crm", "durham") is None
    assert eyes_that_heard(word(1, still=STILL), word(2, still=STILL)).still("crm", "durham") is not None


def test_a_first_word_may_say_what_was_proven_beyond_a_give_up() -> None:
    """However old it is: it makes the end of writing look later than it was, never earlier."""
    heard = eyes_that_heard(word(1, still=BEYOND)).still("crm", "durham")
    assert heard is not None
    assert heard.given_up_epoch == 7
