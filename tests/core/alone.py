"""One keeper's core by itself: every message is given by the test, every order looked at."""

from dataclasses import replace

from orchestrator.core import messages as m
from orchestrator.core.lease import LeaseTiming
from orchestrator.core.messages import Message, Order, ServiceItem, SiteItem
from orchestrator.core.notes import EMPTY, Note
from orchestrator.core.ownership import step
from orchestrator.core.records import Mode, Movement, ServiceRecord, SiteRecord
from orchestrator.core.state import Phase, new_state

MS = 1_000_000
SECOND = 1_000 * MS
TIMING = LeaseTiming(
    lease_duration_ns=3 * SECOND,
    renew_every_ns=300 * MS,
    fence_within_ns=400 * MS,
    clock_drift=0.005,
    hold_clear_ns=2 * SECOND,
)
PEER = SiteRecord(incarnation=7, beat=1, keeper="peer", lease_duration_ns=3 * SECOND)


def record_of(primary: str | None, *, epoch: int = 4, mode: Mode = Mode.AUTOMATIC) -> ServiceRecord:
    """services/S, steady."""
    return ServiceRecord(primary=primary, epoch=epoch, mode=mode, movement=Movement.STEADY, writer="")


class Alone:
    """Site x's keeper. The store, the peer's keeper and the guards are the test's words."""

    def __init__(
        self,
        services: dict[str, ServiceRecord],
        *,
        guarded: bool = True,
        note: Note = EMPTY,
        inherited_for_ns: int = 0,
    ) -> None:
        self.now_ns = 1000 * SECOND
        self.revision = 10
        self.records = services
        self.peer: SiteItem | None = SiteItem(5, PEER)
        self.note = note
        self.disk_takes: bool | None = True
        self.orders: list[Order] = []
        self.state = new_state(
            site="x",
            peer="y",
            keeper="k",
            home_services=frozenset(services),
            modes={name: record.mode for name, record in services.items()},
            timing=TIMING,
            now_ns=self.now_ns,
            inherited_deadline_ns=self.now_ns + inherited_for_ns if inherited_for_ns else 0,
            guarded=frozenset(services) if guarded else frozenset(),
            note=note,
        )

    # --- time and messages -----------------------------------------------------------------------------

    def tell(self, message: Message) -> list[Order]:
        """Give a message; the disk answers by itself, everything else is returned and kept."""
        fresh = step(self.state, message, self.now_ns)
        self.orders += fresh
        for order in fresh:
            if isinstance(order, m.WriteNote) and self.disk_takes is not None:
                if self.disk_takes:
                    self.note = order.note
                fresh = [*fresh, *self.tell(m.NoteWritten(order.number, self.disk_takes))]
        return fresh

    def wait(self, for_ns: int) -> list[Order]:
        """Time passes, with a turn of the decider now and then."""
        found: list[Order] = []
        end_ns = self.now_ns + for_ns
        while self.now_ns < end_ns:
            self.now_ns = min(end_ns, self.now_ns + 50 * MS)
            found += self.tell(m.TurnCompleted())
        return found

    # --- the store ---------------------------------------------------------------------------------------

    def renewal(self, orders: list[Order]) -> m.Renew:
        """The latest renewal among these orders."""
        return [order for order in orders if isinstance(order, m.Renew)][-1]

    def commit(self, renew: m.Renew) -> list[Order]:
        """The store commits this renewal and answers at once."""
        self.revision += 1
        own = SiteItem(self.revision, renew.record)
        return self.tell(
            m.RenewalAnswered(
                renew.record.incarnation, renew.record.beat, True, self.revision, own, self.peer
            )
        )

    def read_services(self) -> list[Order]:
        """The store answers P4 (4)."""
        items = tuple((name, ServiceItem(self.revision, record)) for name, record in self.records.items())
        return self.tell(m.ServicesRead(self.state.registration, self.revision, items))

    def register(self, own: SiteRecord | None = None) -> None:
        """P4 (2) to (4)."""
        orders = self.tell(m.TurnCompleted())
        reads = [order for order in orders if isinstance(order, m.ReadOwnKey)]
        attempt = reads[-1].attempt if reads else self.state.read_attempt
        item = SiteItem(self.revision, own) if own is not None else None
        self.commit(self.renewal(self.tell(m.OwnKeyRead(attempt, item))))
        self.read_services()
        assert self.state.phase in (Phase.ACTIVE, Phase.READING_KEY)

    def beat_of_peer(self, **changes: object) -> list[Order]:
        """The peer's key moves."""
        before = self.peer
        assert before is not None
        record = replace(before.record, beat=before.record.beat + 1, **changes)  # type: ignore[arg-type]
        self.revision += 1
        self.peer = SiteItem(self.revision, record)
        return self.tell(m.PeerSeen(self.peer))

    def enter(self) -> "Alone":
        """Registered, the peer's word heard, registered again, entitled to what is ours (P32)."""
        self.register()
        self.beat_of_peer(peer_incarnation=self.state.incarnation)
        self.register(
            own=SiteRecord(incarnation=self.state.incarnation, beat=1, keeper="k", lease_duration_ns=1)
        )
        assert not self.state.word_needed
        assert self.state.phase is Phase.ACTIVE
        self.renew()
        return self

    def renew(self) -> list[Order]:
        """A beat goes out and is committed."""
        return self.commit(self.renewal(self.wait(TIMING.renew_every_ns)))

    # --- the guard ---------------------------------------------------------------------------------------

    def guard_asks(
        self, service: str = "s", *, is_open: bool = False, incarnation: int = 0
    ) -> m.AnswerGuard | None:
        """A question; its answer, or None for silence."""
        orders = self.tell(m.GuardAsked(service, f"n{self.now_ns}", is_open, incarnation, 0))
        answers = [order for order in orders if isinstance(order, m.AnswerGuard)]
        return answers[0] if answers else None

    def guard_orders(self, orders: list[Order], kind: str) -> list[m.OrderGuard]:
        """The orders of that kind to guards among these."""
        return [order for order in orders if isinstance(order, m.OrderGuard) and order.kind == kind]

    def acknowledge(self, order: m.OrderGuard, *, fenced: bool = False) -> list[Order]:
        """The guard carries it out."""
        return self.tell(
            m.GuardAcknowledged(order.service, order.number, fenced, order.incarnation, "said so")
        )

    def entitled(self, service: str = "s") -> bool:
        """P6."""
        return self.state.entitled(service, self.now_ns)


def transactions(orders: list[Order]) -> list[m.Transact]:
    """Ownership transactions among these orders."""
    return [order for order in orders if isinstance(order, m.Transact)]
