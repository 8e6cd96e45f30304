"""Two controllers that tell people, in virtual time: a board between them, and what each one sees.

Every tick is a second. A board that is written by both at once takes the first, as compare-and-set does.
"""

from dataclasses import dataclass, field

from orchestrator.paging.board import Acknowledged, Board, Sent, decode, encode
from orchestrator.paging.book import Book, Message, Standing, acknowledged, step
from orchestrator.paging.event import Event
from sites.notify import NotifySpec, Severity, Topic, named_receivers

DURHAM, MORPETH = "durham", "morpeth"
START = 1_800_000_000.0


def event(key: str = "unprotected:crm", **fields: object) -> Event:
    """One event, by default a condition that is told of at once."""
    said: dict[str, object] = {
        "key": key,
        "topic": Topic.UNPROTECTED,
        "severity": Severity.WARNING,
        "headline": f"{key} is the matter",
        "what": "it is",
        "where": DURHAM,
        "service": "crm",
    }
    return Event(**(said | fields))  # type: ignore[arg-type]


def receivers(*specs: dict[str, object]) -> dict[str, NotifySpec]:
    """Receivers as the estate file names them."""
    return named_receivers([NotifySpec.model_validate({"to": "json://127.0.0.1", **spec}) for spec in specs])


@dataclass(frozen=True, slots=True)
class Sending:
    """A message that was sent."""

    second: int
    site: str
    message: Message

    @property
    def short(self) -> tuple[str, str, str, str]:
        """Site, receiver, reason and the events' keys."""
        keys = " ".join(each.key for each in self.message.events)
        return self.site, self.message.receiver, str(self.message.reason), keys


@dataclass
class Controller:
    """One site's. `sees`: events; `way_out` False: what it sends does not get out."""

    site: str
    book: Book = field(default_factory=Book)
    sees: list[Event] = field(default_factory=list)
    alive: bool = True
    store: bool = True
    way_out: bool = True
    silent_since: float | None = None
    receivers: dict[str, NotifySpec] | None = None
    writes: int = 0
    sent: dict[tuple[str, str], Sent] = field(default_factory=dict)


class World:
    """Both of them."""

    def __init__(self, of: dict[str, NotifySpec]) -> None:
        self.receivers = of
        self.now = START
        self.board = Board()
        self.sites = {name: Controller(name) for name in (DURHAM, MORPETH)}
        self.sent: list[Sending] = []
        self.quiet: frozenset[str] = frozenset()
        self.repeating: frozenset[str] = frozenset()
        self.withdrawn: list[tuple[str, str, str]] = []

    @property
    def durham(self) -> Controller:
        return self.sites[DURHAM]

    @property
    def morpeth(self) -> Controller:
        return self.sites[MORPETH]

    def both_see(self, *events: Event) -> None:
        for site in self.sites.values():
            site.sees = list(events)

    def run(self, seconds: int) -> None:
        """Let time pass."""
        for _ in range(seconds):
            self.now += 1
            before = self.board
            for site in self.sites.values():
                if site.alive:
                    self._step(site, before)

    def _step(self, site: Controller, read: Board) -> None:
        if site.store:
            site.silent_since = None
        elif site.silent_since is None:
            site.silent_since = self.now
        peer = self.sites[MORPETH if site.site == DURHAM else DURHAM]
        there = (peer.alive and peer.store) if site.store else None
        found = step(
            site.book,
            tuple(site.sees),
            Standing(
                now=self.now,
                site=site.site,
                receivers=self.receivers if site.receivers is None else site.receivers,
                board=read if site.store else None,
                store_silent_seconds=self.now - site.silent_since if site.silent_since is not None else 0.0,
                peer_there=there,
                quiet=self.quiet,
                repeating=self.repeating,
                sent=dict(site.sent),
            ),
        )
        site.book = found.book
        for message in found.messages:
            self.sent.append(Sending(int(self.now - START), site.site, message))
            for each in message.events:
                outcome = Sent.SENT if site.way_out else Sent.FAILING
                site.sent[each.key, message.receiver] = outcome
        self.withdrawn += [(site.site, one.receiver, one.key) for one in found.withdrawn]
        site.writes += found.board is not None
        if found.board is not None and self.board is read:
            self.board = decode(encode(found.board))  # as it goes through the store

    def acknowledge(self, site: str, *keys: str) -> None:
        """Somebody takes it on, at that site's controller."""
        word = Acknowledged(who=f"anna@{site}", reason="looking", at="now")
        self.sites[site].book = acknowledged(self.sites[site].book, frozenset(keys), word)

    @property
    def short(self) -> list[tuple[str, str, str, str]]:
        """Everything that was sent."""
        return [one.short for one in self.sent]
