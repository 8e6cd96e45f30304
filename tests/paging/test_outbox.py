"""What waits to be sent: again, in order, bounded, and past a restart. The receivers are real; waiting is
not, for a test lets the next try be made when it wants it.
"""

import asyncio
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from orchestrator.clock import wall_unix_seconds
from orchestrator.paging import outbox
from orchestrator.paging.board import Sent
from orchestrator.paging.book import Reason
from orchestrator.paging.memory import Memory, Parcel, keep, recall
from orchestrator.paging.outbox import LATE_SECONDS, MOST_WAITING, Receiver
from orchestrator.paging.ways import Alert
from sites.notify import NotifySpec, Severity
from tests.support.receivers import MailServer, WebHook

NOBODY = "alertmanager://127.0.0.1:1"
PATIENCE_SECONDS = 30.0


class Tries:
    """Instead of time: the next try is made when the test says so."""

    def __init__(self) -> None:
        self.waits: list[float] = []
        self.waiting = asyncio.Event()
        self._go = asyncio.Semaphore(0)

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.waiting.set()
        await self._go.acquire()

    async def failed(self) -> None:
        """A try has failed, and the next one waits."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self.waiting.wait()
        self.waiting.clear()

    def again(self) -> None:
        self._go.release()


def parcel(number: int = 1, title: str = "", **fields: Any) -> Parcel:
    said: dict[str, Any] = {
        "number": number,
        "receiver": "on-call",
        "reason": Reason.FIRST,
        "severity": Severity.WARNING,
        "title": title or f"message {number}",
        "body": "text",
        "written_at": wall_unix_seconds(),
        "written": "2027-01-15T08:00:00Z",
        "keys": (f"key:{number}",),
        "alerts": (Alert(labels={}, annotations={"summary": title or f"message {number}"}, starts_at=0.0),),
    }
    return Parcel(**(said | fields))


class Desk:
    """One receiver at work."""

    def __init__(self, *to: str, parcels: tuple[Parcel, ...] = (), base: Path = Path(), **spec: Any) -> None:
        self.tries = Tries()
        self.sent: list[tuple[int, Sent]] = []
        self.news = asyncio.Event()
        self.receiver = Receiver(
            "on-call",
            NotifySpec.model_validate({"to": list(to), "when": ["all"], **spec}),
            base,
            parcels=parcels,
            on_sent=self._on_sent,
            sleep=self.tries.sleep,
        )

    def _on_sent(self, of: Parcel, sent: Sent) -> None:
        self.sent.append((of.number, sent))
        self.news.set()

    async def __aenter__(self) -> "Desk":
        self._task = asyncio.create_task(self.receiver.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def until(self, *wanted: tuple[int, Sent]) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while any(one not in self.sent for one in wanted):
                self.news.clear()
                await self.news.wait()


async def test_what_a_receiver_answers_with_500_is_sent_when_it_is_well_again_in_its_order() -> None:
    async with WebHook(status=500).serving() as hook, Desk(hook.door) as desk:
        for number in (1, 2, 3):
            desk.receiver.put(parcel(number))
        for _ in range(3):
            await desk.tries.failed()
            desk.tries.again()
        await desk.tries.failed()
        assert "500" in (desk.receiver.trouble.words if desk.receiver.trouble else "")
        assert len(desk.receiver.waiting) == 3
        hook.status = 200
        desk.tries.again()
        await desk.until((1, Sent.SENT), (2, Sent.SENT), (3, Sent.SENT))
        assert hook.titles == ["message 1", "message 2", "message 3"]
        assert desk.receiver.trouble is None
        assert desk.receiver.counted.outcomes == {"failed": 4, "sent": 3}
        assert desk.receiver.counted.last_sent_at is not None


async def test_tries_are_further_and_further_apart_but_never_too_far() -> None:
    async with Desk(NOBODY) as desk:
        desk.receiver.put(parcel())
        for _ in range(9):
            await desk.tries.failed()
            desk.tries.again()
        await desk.tries.failed()
    waits = desk.tries.waits
    assert 5 <= waits[0] <= 8
    assert all(later > sooner for sooner, later in pairwise(waits[:6]))
    assert max(waits) <= 303


async def test_a_receiver_that_hangs_holds_nobody_else_up() -> None:
    pytest.importorskip("apprise", reason="the extra `notify` is not installed")
    async with (
        MailServer(hangs=True).serving() as mail,
        WebHook().serving() as hook,
        Desk(mail.url, timeout="2s") as hanging,
        Desk(hook.door) as well,
    ):
        hanging.receiver.put(parcel(1))
        while mail.connections == 0:
            await asyncio.sleep(0.01)
        well.receiver.put(parcel(2))
        await well.until((2, Sent.SENT))
        await hanging.tries.failed()
        assert hanging.receiver.trouble is not None
        assert "no answer within 2 s" in hanging.receiver.trouble.words


async def test_of_several_addresses_only_those_are_tried_again_that_failed() -> None:
    async with (
        WebHook().serving() as good,
        WebHook(status=500).serving() as bad,
        Desk(good.door, bad.door) as desk,
    ):
        desk.receiver.put(parcel())
        await desk.tries.failed()
        bad.status = 200
        desk.tries.again()
        await desk.until((1, Sent.SENT))
        assert (len(good.titles), len(bad.titles)) == (1, 1)


async def test_what_is_refused_for_good_holds_up_nothing_behind_it() -> None:
    async with WebHook(status=400).serving() as hook, Desk(hook.door) as desk:
        desk.receiver.put(parcel(1))
        await desk.until((1, Sent.GIVEN_UP))
        hook.status = 200
        desk.receiver.put(parcel(2))
        await desk.until((2, Sent.SENT))
    assert desk.tries.waits == []


async def test_what_is_too_old_is_given_up() -> None:
    old = parcel(written_at=wall_unix_seconds() - 7200)
    async with Desk(NOBODY, give_up_after="1h") as desk:
        desk.receiver.put(old)
        await desk.until((1, Sent.GIVEN_UP))
    assert desk.receiver.counted.outcomes == {"failed": 1, "given-up": 1}


async def test_what_is_sent_late_says_so() -> None:
    pytest.importorskip("apprise", reason="the extra `notify` is not installed")
    async with WebHook().serving() as hook, Desk(hook.url) as desk:
        desk.receiver.put(parcel(written_at=wall_unix_seconds() - 3 * 3600))
        await desk.until((1, Sent.SENT))
        desk.receiver.put(parcel(2, written_at=wall_unix_seconds() - LATE_SECONDS - 60))
        await desk.until((2, Sent.SENT))
    first, second = hook.given
    assert first["title"] == "LATE message 1"
    assert first["message"].startswith("LATE: this was written at 2027-01-15T08:00:00Z")
    assert "3 hours" in first["message"]
    assert "3 minutes" in second["message"]


async def test_of_too_many_those_go_that_matter_least() -> None:
    receiver = Desk("json://127.0.0.1:1/hook").receiver
    receiver.put(parcel(0, severity=Severity.INFO))
    for number in range(1, MOST_WAITING + 50):
        severity = Severity.CRITICAL if number % 5 else Severity.INFO
        receiver.put(parcel(number, severity=severity, written_at=1000.0 + number))
    waiting = receiver.waiting
    assert len(waiting) == MOST_WAITING
    assert waiting[0].number == 0, "it may be on its way"
    assert receiver.counted.outcomes == {"dropped": 50}
    assert [one.number for one in waiting] == sorted(one.number for one in waiting)
    critical = sum(one.severity is Severity.CRITICAL for one in waiting)
    assert critical >= MOST_WAITING - 11


async def test_what_the_other_site_has_sent_is_not_sent_here_as_well() -> None:
    async with WebHook(status=500).serving() as hook, Desk(hook.door) as desk:
        desk.receiver.put(parcel(1))
        desk.receiver.put(parcel(2, keys=("key:2", "key:3")))
        desk.receiver.put(parcel(4))
        await desk.tries.failed()
        for key in ("key:1", "key:2", "key:4"):
            desk.receiver.withdraw(key)
        hook.status = 200
        desk.tries.again()
        await desk.until((2, Sent.SENT))
        assert hook.titles[-1] == "message 2"
        assert desk.receiver.counted.outcomes["withdrawn"] == 2
        assert desk.receiver.waiting == ()


async def test_the_other_site_is_asked_only_when_a_message_has_been_stuck_for_a_while() -> None:
    async with Desk(NOBODY) as desk:
        desk.receiver.put(parcel(1))
        await desk.tries.failed()
        assert desk.sent == []
    stuck = parcel(2, written_at=wall_unix_seconds() - outbox.HELP_AFTER_SECONDS)
    async with Desk(NOBODY) as desk:
        desk.receiver.put(stuck)
        await desk.tries.failed()
        assert desk.sent == [(2, Sent.FAILING)]


async def test_a_secret_that_is_missing_is_told_and_counts_as_soon_as_it_is_there(tmp_path: Path) -> None:
    async with WebHook().serving() as hook, Desk("<!file pager.url>", base=tmp_path) as desk:
        desk.receiver.put(parcel())
        await desk.tries.failed()
        assert desk.receiver.trouble is not None
        assert "pager.url" in desk.receiver.trouble.words
        (tmp_path / "pager.url").write_text(f"{hook.door}\n", encoding="utf-8")
        desk.tries.again()
        await desk.until((1, Sent.SENT))


async def test_a_test_message_goes_past_whatever_waits() -> None:
    async with WebHook().serving() as hook:
        desk = Desk(hook.door, NOBODY)
        found = await desk.receiver.test(parcel(reason=Reason.TEST))
        assert [(one.address, one.tried.ok) for one in found] == [
            ("alertmanager://…", True),
            ("alertmanager://…", False),
        ]


def test_what_waits_survives_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "pages.json"
    memory = Memory(since=5.0, parcels=(parcel(1, title="ü ✓"), parcel(2)), number=2)
    keep(path, memory)
    assert recall(path, now=9.0) == memory
    assert path.stat().st_mode & 0o777 == 0o600
    assert recall(tmp_path / "none.json", now=9.0) == Memory(since=9.0)


def test_a_damaged_file_is_put_aside(tmp_path: Path) -> None:
    path = tmp_path / "pages.json"
    path.write_text('{"since": 1, "parcels": [', encoding="utf-8")
    assert recall(path, now=9.0) == Memory(since=9.0)
    assert (tmp_path / "pages.damaged").exists()
    assert not path.exists()
