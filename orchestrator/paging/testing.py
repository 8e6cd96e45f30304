"""A test message, written and sent at once: by a controller, or by a command where there is none yet."""

import asyncio
from pathlib import Path

from orchestrator.clock import wall_text, wall_unix_seconds
from orchestrator.paging.alerts import alert_of
from orchestrator.paging.book import Reason
from orchestrator.paging.event import Event
from orchestrator.paging.memory import Parcel
from orchestrator.paging.message import Envelope, Letter
from orchestrator.paging.outbox import AddressTried, Receiver
from orchestrator.paging.writing import letter_of
from sites.model import Estate
from sites.notify import Severity, Topic


def example(estate: Estate, site: str) -> Event:
    """What a test message is about."""
    return Event(
        key=f"test:{site}",
        topic=Topic.RUNBOOK,
        severity=Severity.INFO,
        headline=f"this is a test from {estate.sites[site].title or site}",
        what="somebody has run `twinsite notify test`; nothing is the matter",
        where=site,
        site=site,
        page="paging.md",
    )


async def send_test(estate: Estate, site: str, base: Path, receiver: Receiver) -> list[AddressTried]:
    """Send it to one receiver; what came of each address."""
    event, at, now = example(estate, site), wall_text(), wall_unix_seconds()
    envelope = Envelope(
        receiver=receiver.name,
        reason=Reason.TEST,
        site=site,
        site_title=estate.sites[site].title or site,
        at=at,
        docs_url=estate.docs_url,
    )
    letter, _ = await asyncio.to_thread(letter_of, receiver.spec, base, envelope, (event,))
    return await receiver.test(_parcel(receiver.name, letter, event, at, now, estate.docs_url))


def _parcel(name: str, letter: Letter, event: Event, at: str, now: float, docs_url: str | None) -> Parcel:
    return Parcel(
        number=0,
        receiver=name,
        reason=Reason.TEST,
        severity=event.severity,
        title=letter.title,
        body=letter.body,
        written_at=now,
        written=at,
        alerts=(alert_of(event, now, docs_url),),
    )


async def send_tests(
    estate: Estate, site: str, base: Path, names: tuple[str, ...]
) -> dict[str, list[AddressTried]]:
    """Send it to these receivers, or to all, where no controller has them in hand."""
    wanted = [
        Receiver(name, spec, base) for name, spec in estate.receivers.items() if not names or name in names
    ]
    results = await asyncio.gather(*(send_test(estate, site, base, one) for one in wanted))
    return {one.name: found for one, found in zip(wanted, results, strict=True)}
