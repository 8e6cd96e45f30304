"""The local API's shapes about messages to people.

    GET  /v1/paging         PagingState
    POST /v1/paging/test    TryRequest -> TriedReceivers    (sends a message to all, or to those named)

No address is told: a secret is named by where it comes from, anything else by its kind.
"""

from orchestrator.api.shapes import Shape


class WaitingMessage(Shape):
    """A message that has not got out yet. `written` is a time of day."""

    receiver: str
    reason: str
    severity: str
    title: str
    written: str
    age_seconds: float
    tries: int


class ReceiverState(Shape):
    """One receiver. `trouble`: why nothing gets out to it, and since when; `outcomes`: what has become of its
    messages so far."""

    receiver: str
    addresses: list[str]
    when: list[str]
    severity: str
    next: str
    escalate_after_seconds: float | None
    quiet_until: str
    waiting: int
    trouble: str
    trouble_since: str
    last_sent: str
    outcomes: dict[str, int]


class ToldStatus(Shape):
    """Who was told, or is to be, and how far the message is."""

    receiver: str
    state: str
    by: str


class PageState(Shape):
    """Something that goes on and is worth a message. `by`: whose controller tells of it."""

    key: str
    topic: str
    severity: str
    headline: str
    service: str
    site: str
    since: str
    by: str
    told: list[ToldStatus]
    acknowledged: str
    command: str


class PagingState(Shape):
    """Everything about messages, as this controller knows it."""

    site: str
    receivers: list[ReceiverState]
    pages: list[PageState]
    waiting: list[WaitingMessage]
    problems: list[str]


class TryRequest(Shape):
    """Which receivers; none: all."""

    receivers: list[str] = []


class TriedAddress(Shape):
    """What came of a test message at one address."""

    receiver: str
    address: str
    ok: bool
    words: str


class TriedReceivers(Shape):
    """What came of all of them."""

    results: list[TriedAddress]
