"""Which event goes to whom, when, by which site, and when the next one is told because nobody answers. Pure.

`step` takes what is seen now and what both sites have said of it, and gives the messages to send, the word to
put on the board, and the book to go on with. A message is sent only by the site whose name stands on the
board for it, so that there is one; without the store each site sends what it must, late and by itself.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from orchestrator.paging.board import Acknowledged, Board, Delivery, Entry, Sent, trimmed
from orchestrator.paging.event import Event
from sites.notify import NotifySpec, Severity, next_of

GATHER_SECONDS = 2.0
"""How long a first message waits for others of the same trouble: one mail for a lost site, not 200."""
ALONE_SECONDS = 15.0
"""How long the store must have been silent before a site tells of something without being sure that the other
one does not."""
FORGOTTEN_SECONDS = 60.0
"""How long a receiver may have been left out by the site that tells, until the other one does."""
REPEAT_SECONDS = 60.0
MOST_PAGES = 1000


class Reason(StrEnum):
    """Why a message is sent."""

    FIRST = "first"
    CHANGED = "changed"
    ESCALATED = "escalated"
    OVER = "over"
    REPEAT = "repeat"
    TEST = "test"


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What one receiver was told of an event. `at`: when first, from which an escalation counts."""

    stage: str
    at: float
    last_at: float
    sent: Sent = Sent.QUEUED


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One event as this site knows it. `told`: by receiver, what this site has put on its way; `elsewhere`:
    what the other one had, and `leader` who told of it, when the board was last read. `missing`: who should
    have been told of it by that one and was not, and since when."""

    event: Event
    first_seen: float
    last_seen: float
    told: Mapping[str, Told] = field(default_factory=dict)
    elsewhere: Mapping[str, Told] = field(default_factory=dict)
    leader: str = ""
    missing: Mapping[str, float] = field(default_factory=dict)
    acknowledged: Acknowledged | None = None

    @property
    def ripe(self) -> bool:
        """It has lasted long enough to be worth a message."""
        return self.last_seen - self.first_seen >= self.event.patience_seconds

    @property
    def ripe_at(self) -> float:
        """When it was."""
        return self.first_seen + self.event.patience_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """Every event that goes on, by its key."""

    pages: Mapping[str, Page] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What a step goes by. `board` None: it cannot be read; `store_silent_seconds`: for how long. `settled`:
    this controller has run long enough to have seen everything. `peer_there`: whether the other site's
    controller gives signs of life, None: unknown. `quiet`: receivers whose quiet hours are on. `repeating`:
    those that forget what is not repeated. `sent`: what has become of messages, by key and receiver."""

    now: float
    site: str
    receivers: Mapping[str, NotifySpec]
    board: Board | None
    store_silent_seconds: float = 0.0
    settled: bool = True
    peer_there: bool | None = None
    quiet: frozenset[str] = frozenset()
    repeating: frozenset[str] = frozenset()
    sent: Mapping[tuple[str, str], Sent] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """To be sent to one receiver: about these events, for this reason. `after`: who did not answer."""

    receiver: str
    reason: Reason
    events: tuple[Event, ...]
    after: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawn:
    """What waits here for a receiver has been sent by the other site."""

    receiver: str
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What came of one step. `board`: what should stand on it, None: as it is."""

    book: Book
    messages: tuple[Message, ...] = ()
    withdrawn: tuple[Withdrawn, ...] = ()
    board: Board | None = None


def step(book: Book, found: tuple[Event, ...], standing: Standing) -> Step:
    """One step: `found` are the events that are seen now."""
    turn = _Turn(standing, _seen(book, found, standing))
    for key in list(turn.pages):
        turn.consider(key)
    turn.clean()
    messages = tuple(turn.messages())
    board = trimmed(turn.wanted, standing.now)
    return Step(
        book=Book(pages=turn.pages),
        messages=messages,
        withdrawn=tuple(turn.withdrawn),
        board=board if standing.board is not None and board != standing.board else None,
    )


def acknowledged(book: Book, keys: frozenset[str], word: Acknowledged) -> Book:
    """The book once somebody has taken these events on; who was first stays named."""
    return Book(
        pages={
            key: replace(page, acknowledged=page.acknowledged or word) if key in keys else page
            for key, page in book.pages.items()
        }
    )


def _seen(book: Book, found: tuple[Event, ...], standing: Standing) -> dict[str, Page]:
    """The pages with what is seen now; what nobody wants to hear of is left out."""
    now = standing.now
    pages = dict(book.pages)
    wanted = [
        event
        for event in found
        if event.key in pages
        or any(spec.wants(event.topic, event.severity, event.service) for spec in standing.receivers.values())
    ]
    for event in sorted(wanted, key=lambda one: -one.severity.rank):
        page = pages.get(event.key)
        if page is not None:
            # The time of day may have been set back: what is seen now was not seen later.
            first = min(page.first_seen, now)
            pages[event.key] = replace(page, event=event, first_seen=first, last_seen=now)
        elif len(pages) < MOST_PAGES:
            pages[event.key] = Page(event=event, first_seen=now, last_seen=now)
    return pages


class _Turn:
    """One step under way."""

    def __init__(self, standing: Standing, pages: dict[str, Page]) -> None:
        self.standing = standing
        self.pages = pages
        self.wanted = standing.board if standing.board is not None else Board()
        self.withdrawn: list[Withdrawn] = []
        self._now, self._site = standing.now, standing.site
        self._due: dict[tuple[str, Reason, str], list[Event]] = {}
        self._gathering: dict[str, list[Event]] = {}

    # --- one event -----------------------------------------------------------------------------------

    def consider(self, key: str) -> None:
        """What is to be done about one event."""
        page = self.pages[key]
        gone = self._now - page.last_seen >= page.event.over_after_seconds
        if not page.ripe:
            if gone or page.last_seen < self._now:
                del self.pages[key]
            return
        entry = self.standing.board.open(key) if self.standing.board is not None else None
        if entry is None and page.event.once and key in self.wanted.entries:
            del self.pages[key]  # it was told of and is over: its key never comes back
            return
        page = self._caught_up(key, page, entry)
        if gone and not self._others_see(entry):
            self._end(key, page, mine=self._is_mine(page, entry))
            return
        self._put_on_board(key, page, entry, seen=not gone)
        if self._is_mine(page, entry):
            self._tell(key, page)
        elif entry is not None and entry.site != self._site:
            self._help(key, page, entry)

    def _caught_up(self, key: str, page: Page, entry: Entry | None) -> Page:
        """With what has become of messages, and what the other site says of it."""
        told = dict(page.told)
        for name, one in told.items():
            told[name] = replace(one, sent=self.standing.sent.get((key, name), one.sent))
            there = entry.deliveries.get(name) if entry is not None else None
            got_out = there is not None and there.by != self._site and there.sent is Sent.SENT
            if got_out and told[name].sent in (Sent.QUEUED, Sent.FAILING):
                self.withdrawn.append(Withdrawn(receiver=name, key=key))
                told[name] = replace(one, sent=Sent.SENT)
        page = replace(page, told=told)
        if entry is not None:
            on_board = {
                name: Told(stage=one.stage, at=one.at, last_at=one.at, sent=one.sent)
                for name, one in entry.deliveries.items()
            }
            ours = {name for name, one in entry.deliveries.items() if one.by == self._site}
            forgotten = {name: on_board[name] for name in ours - set(told)}  # by a controller started anew
            page = replace(
                page,
                told={**forgotten, **told},
                elsewhere={name: one for name, one in on_board.items() if name not in ours},
                leader=entry.site,
                acknowledged=page.acknowledged or entry.acknowledged,
            )
        self.pages[key] = page
        return page

    def _others_see(self, entry: Entry | None) -> bool:
        others = [site for site in entry.seen_by if site != self._site] if entry is not None else []
        return bool(others) and self.standing.peer_there is not False

    def _is_mine(self, page: Page, entry: Entry | None) -> bool:
        """Whether this site tells of it, as it stands on the board; by itself where nobody can read that."""
        if entry is not None:
            return entry.site == self._site
        if page.leader == self._site:
            return True
        silent = self.standing.board is None and self.standing.store_silent_seconds >= ALONE_SECONDS
        return silent and self._now - page.ripe_at >= ALONE_SECONDS

    def _end(self, key: str, page: Page, *, mine: bool) -> None:
        """It is over: whoever was told of it hears that too."""
        receivers = self.standing.receivers
        known = [name for name in self._known_to(page) if name in receivers and receivers[name].when_over]
        told = known if mine and page.event.tells_over else []
        if any(self._held_back(name, receivers[name], page.event) for name in told):
            return  # told when the quiet hours are over
        for name in told:
            self._send(name, Reason.OVER, page.event)
        del self.pages[key]

    # --- the board -----------------------------------------------------------------------------------

    def _entry(self, key: str) -> Entry | None:
        return self.wanted.open(key)

    def _put_on_board(self, key: str, page: Page, entry: Entry | None, *, seen: bool) -> None:
        """Whether we see it, and that we tell of it where nobody else does (any more)."""
        if self.standing.board is None:
            return
        if entry is None:
            entry = Entry(site=self._site, seen_by=(), opened_at=self._now)
        others = tuple(site for site in entry.seen_by if site != self._site)
        seen_by = (*others, self._site) if seen else others
        if set(seen_by) != set(entry.seen_by):
            entry = replace(entry, seen_by=seen_by)
        if entry.site != self._site and self.standing.peer_there is False:
            entry = replace(entry, site=self._site)
        if entry.acknowledged is None and page.acknowledged is not None:
            entry = replace(entry, acknowledged=page.acknowledged)
        self.wanted = self.wanted.with_entry(key, entry)
        for name, told in page.told.items():
            self._deliver(key, name, told)

    def _deliver(self, key: str, name: str, told: Told) -> None:
        """Our word about one receiver, unless the other site has got further."""
        entry = self._entry(key)
        if entry is None:
            return
        there = entry.deliveries.get(name)
        if there is not None and there.by != self._site and there.sent is Sent.SENT:
            return
        ours = Delivery(by=self._site, sent=told.sent, stage=told.stage, at=told.at)
        if there != ours:
            deliveries = {**entry.deliveries, name: ours}
            self.wanted = self.wanted.with_entry(key, replace(entry, deliveries=deliveries))

    def clean(self) -> None:
        """Take our name off what we do not see (any more), and close what nobody does."""
        if self.standing.board is None or not self.standing.settled:
            return
        for key, entry in self.wanted.entries.items():
            if entry.closed_at is not None or key in self.pages:
                continue
            others = tuple(site for site in entry.seen_by if site != self._site)
            alone = self.standing.peer_there is False
            if others and not alone:
                site = others[0] if entry.site == self._site else entry.site
                self.wanted = self.wanted.with_entry(key, replace(entry, site=site, seen_by=others))
            elif alone or entry.site == self._site:
                closed = replace(entry, seen_by=(), closed_at=self._now)
                self.wanted = self.wanted.with_entry(key, closed)
            elif entry.seen_by:
                self.wanted = self.wanted.with_entry(key, replace(entry, seen_by=()))

    # --- who is told ---------------------------------------------------------------------------------

    @staticmethod
    def _known_to(page: Page) -> dict[str, Told]:
        """Who has been told of it, by whichever site."""
        return {**page.elsewhere, **page.told}

    def _tell(self, key: str, page: Page) -> None:
        event, known = page.event, self._known_to(page)
        for name, spec in self.standing.receivers.items():
            before = known.get(name)
            if self._held_back(name, spec, event):
                continue
            if before is None:
                if spec.wants(event.topic, event.severity, event.service):
                    self._gather(name, page)
            elif before.stage != event.stage:
                self._put(key, name, Reason.CHANGED, before)
            elif name in self.standing.repeating and self._now - before.last_at >= REPEAT_SECONDS:
                self._put(key, name, Reason.REPEAT, before)
        if page.acknowledged is None and event.severity is not Severity.INFO:
            self._escalate(key, known)

    def _escalate(self, key: str, known: Mapping[str, Told]) -> None:
        receivers = dict(self.standing.receivers)
        for name, told in known.items():
            spec = receivers.get(name)
            following = next_of(receivers, name) if spec is not None else None
            if spec is None or spec.escalate_after_seconds is None or following is None:
                continue
            late = self._now - told.at >= spec.escalate_after_seconds
            if late and following not in known and following not in self.pages[key].told:
                self._put(key, following, Reason.ESCALATED, None, after=name)

    def _help(self, key: str, page: Page, entry: Entry) -> None:
        """The other site tells of it, and its way out to somebody is down: ours may be up. Or it has told
        nobody for long, because it was set up otherwise or its paging is broken."""
        event, known = page.event, self._known_to(page)
        missing = {
            name: page.missing.get(name, self._now)
            for name, spec in self.standing.receivers.items()
            if spec.wants(event.topic, event.severity, event.service)
            and name not in known
            and not self._held_back(name, spec, event)
        }
        page = self.pages[key] = replace(page, missing=missing)
        for name, since in missing.items():
            if self._now - since >= FORGOTTEN_SECONDS:
                self._gather(name, page)
        for name, there in entry.deliveries.items():
            stuck = there.by != self._site and there.sent in (Sent.FAILING, Sent.GIVEN_UP)
            if stuck and name not in page.told and name in self.standing.receivers:
                self._put(key, name, Reason.FIRST, None)

    def _held_back(self, name: str, spec: NotifySpec, event: Event) -> bool:
        waits = spec.quiet is not None and event.severity.rank < spec.quiet.below.rank
        return waits and name in self.standing.quiet

    def _gather(self, name: str, page: Page) -> None:
        """A first message waits a moment for others to the same receiver; then all go together."""
        self._gathering.setdefault(name, []).append(page.event)
        if self._now - page.ripe_at >= GATHER_SECONDS:
            self._due.setdefault((name, Reason.FIRST, ""), [])

    def _put(self, key: str, name: str, reason: Reason, before: Told | None, *, after: str = "") -> None:
        page = self.pages[key]
        self._send(name, reason, page.event, after)
        told = Told(
            stage=page.event.stage,
            at=before.at if before is not None else self._now,
            last_at=self._now,
            sent=before.sent if before is not None and reason is Reason.REPEAT else Sent.QUEUED,
        )
        self.pages[key] = replace(page, told={**page.told, name: told})
        if self.standing.board is not None:
            self._deliver(key, name, told)

    def _send(self, name: str, reason: Reason, event: Event, after: str = "") -> None:
        self._due.setdefault((name, reason, after), []).append(event)

    def messages(self) -> Iterator[Message]:
        """What is to be sent, a message for each receiver and reason."""
        for name, events in self._gathering.items():
            if (name, Reason.FIRST, "") in self._due:
                for event in events:
                    self._put(event.key, name, Reason.FIRST, None)
        for (name, reason, after), events in self._due.items():
            if events:
                ordered = sorted(events, key=lambda event: -event.severity.rank)
                yield Message(receiver=name, reason=reason, events=tuple(ordered), after=after)
