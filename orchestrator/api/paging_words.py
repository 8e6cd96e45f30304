"""What paging knows, in the local API's shapes; and what `status` warns of. Reads only."""

from datetime import UTC, datetime

from orchestrator.api.paging_shapes import (
    PageState,
    PagingState,
    ReceiverState,
    ToldStatus,
    TriedAddress,
    TriedReceivers,
    TryRequest,
    WaitingMessage,
)
from orchestrator.clock import wall_unix_seconds
from orchestrator.paging.book import Page
from orchestrator.paging.desk import PagingDesk
from orchestrator.paging.outbox import Receiver, shown_address
from orchestrator.paging.quiet import quiet_until
from orchestrator.paging.ways import MISSING
from orchestrator.refusing import OrderRefused
from sites.notify import next_of

STUCK_SECONDS = 60.0


def paging_state(desk: PagingDesk, site: str) -> PagingState:
    """Everything about messages."""
    now = wall_unix_seconds()
    return PagingState(
        site=site,
        receivers=[_receiver(desk, name, one, now) for name, one in desk.receivers.items()],
        pages=[_page(page, site) for page in desk.pages],
        waiting=[
            WaitingMessage(
                receiver=name,
                reason=str(parcel.reason),
                severity=str(parcel.severity),
                title=parcel.title,
                written=parcel.written,
                age_seconds=max(0.0, now - parcel.written_at),
                tries=parcel.tries,
            )
            for name, one in desk.receivers.items()
            for parcel in one.waiting
        ],
        problems=paging_warnings(desk),
    )


def _receiver(desk: PagingDesk, name: str, one: Receiver, now: float) -> ReceiverState:
    spec, trouble = one.spec, one.trouble
    specs = {other: receiver.spec for other, receiver in desk.receivers.items()}
    return ReceiverState(
        receiver=name,
        addresses=[shown_address(spec, number) for number in range(len(spec.addresses))],
        when=[str(topic) for topic in spec.when],
        severity=str(spec.severity),
        next=next_of(specs, name) or "",
        escalate_after_seconds=spec.escalate_after_seconds,
        quiet_until=_at(quiet_until(spec.quiet, now)),
        waiting=len(one.waiting),
        trouble=trouble.words if trouble is not None else "",
        trouble_since=_at(trouble.since if trouble is not None else None),
        last_sent=_at(one.counted.last_sent_at),
        outcomes=dict(one.counted.outcomes),
    )


def _page(page: Page, site: str) -> PageState:
    event, word = page.event, page.acknowledged
    told = {name: ToldStatus(receiver=name, state=str(one.sent), by=site) for name, one in page.told.items()}
    for name, one in page.elsewhere.items():
        told.setdefault(name, ToldStatus(receiver=name, state=str(one.sent), by=page.leader))
    return PageState(
        key=event.key,
        topic=str(event.topic),
        severity=str(event.severity),
        headline=event.headline,
        service=event.service,
        site=event.site,
        since=_at(page.first_seen),
        by=page.leader,
        told=list(told.values()),
        acknowledged=f"{word.who}, {word.at}: {word.reason}" if word is not None else "",
        command=event.command,
    )


def _at(unix_seconds: float | None) -> str:
    if unix_seconds is None:
        return ""
    return datetime.fromtimestamp(unix_seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def paging_warnings(desk: PagingDesk) -> list[str]:
    """What keeps people from being told."""
    now = wall_unix_seconds()
    lines = []
    for name, one in desk.receivers.items():
        if one.trouble is not None and now - one.trouble.since >= STUCK_SECONDS:
            waits = f"{len(one.waiting)} messages wait" if len(one.waiting) != 1 else "a message waits"
            lines.append(f"{name} cannot be told of anything ({waits}): {one.trouble.words}")
    if not desk.apprise_there:
        told = [name for name, one in desk.receivers.items() if one.needs_apprise]
        if told:
            lines.append(f"{', '.join(told)}: nothing can be sent to them: {MISSING}")
    if desk.board_problem:
        lines.append(
            "the two controllers cannot agree on who tells of what, so both may: the store takes nothing "
            f"under pages/: {desk.board_problem}"
        )
    if desk.problem:
        lines.append(f"messages: {desk.problem}")
    return lines


async def tested(desk: PagingDesk, request: TryRequest) -> TriedReceivers:
    """Send test messages. Raises OrderRefused for a receiver that does not exist."""
    if not desk.receivers:
        raise OrderRefused(
            "nobody-to-tell", "`notify` in the estate file names no receiver: nobody is told of anything"
        )
    unknown = [name for name in request.receivers if name not in desk.receivers]
    if unknown:
        known = ", ".join(desk.receivers)
        raise OrderRefused("unknown-receiver", f"no receiver {unknown[0]!r}; there is {known}", wrong=True)
    results = await desk.test(tuple(request.receivers))
    return TriedReceivers(
        results=[
            TriedAddress(receiver=name, address=one.address, ok=one.tried.ok, words=one.tried.words)
            for name, found in results.items()
            for one in found
        ]
    )
