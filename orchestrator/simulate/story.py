"""A run as a timeline in words."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from orchestrator.core import messages as m
from orchestrator.core.messages import Message, Order
from orchestrator.core.records import ServiceRecord, SiteRecord
from sites.fencing import guard as g

if TYPE_CHECKING:
    from orchestrator.simulate.guards import GuardNode
    from orchestrator.simulate.keepers import KeeperNode
    from orchestrator.simulate.world import World


@dataclass(slots=True)
class Story:
    """What happened, a line each: (true time, who, what)."""

    world: "World"
    lines: list[tuple[int, str, str]] = field(default_factory=list)

    def say(self, who: str, what: str) -> None:
        """One line."""
        self.lines.append((self.world.now_ns, who, what))

    def keeper_told(self, node: "KeeperNode", message: Message) -> None:
        """A keeper takes a message in."""
        words = _told(message)
        if words:
            left_ns = node.state.deadline_ns - node.now()
            self.say(f"keeper {node.name}", f"{words} (its lease: {left_ns / 1e9:+.3f} s)")

    def keeper_ordered(self, node: "KeeperNode", order: Order) -> None:
        """A keeper orders something."""
        words = _ordered(order)
        if words:
            self.say(f"keeper {node.name}", words)

    def guard_told(self, node: "GuardNode", message: object) -> None:
        """A guard takes a message in."""
        if not isinstance(message, g.Ticked):
            self.say(f"guard {node.host.site}/{node.host.service}", "hears " + _named(message))

    def guard_ordered(self, node: "GuardNode", order: object) -> None:
        """A guard orders something."""
        self.say(f"guard {node.host.site}/{node.host.service}", _named(order))

    def committed(self, site: str, order: Order, done: bool, revision: int) -> None:
        """A transaction reaches the store."""
        if isinstance(order, m.Renew):
            record = order.record
            what = f"renewal {record.incarnation}.{record.beat} of {record.keeper}"
        else:
            what = f"transaction {getattr(order, 'transaction', '?')} of {site}"
        self.say("store", f"{what}: " + (f"committed at {revision}" if done else "refused by its compare"))

    def text(self) -> str:
        """The whole, times from the first line on."""
        if not self.lines:
            return ""
        start = self.lines[0][0]
        width = max(len(who) for _, who, _ in self.lines)
        return "\n".join(
            f"{(at - start) / 1e9:9.3f} s  {who:<{width}}  {what}" for at, who, what in self.lines
        )


def _told(message: Message) -> str:
    match message:
        case m.Ticked() | m.TurnCompleted():
            return ""
        case m.RenewalAnswered():
            word = "committed" if message.committed else "refused"
            return f"hears: renewal {message.incarnation}.{message.beat} {word}"
        case m.RenewalLost():
            return f"gives up waiting for renewal {message.incarnation}.{message.beat}"
        case m.PeerSeen():
            return f"sees the peer's key: {_site(message.item.record)} at {message.item.revision}"
        case m.PeerRead():
            return "reads the peer's key: " + (
                f"{_site(message.item.record)} at {message.item.revision}" if message.item else "none"
            )
        case m.ServiceSeen():
            return f"sees {message.service}: {_service(message.item.record)} at {message.item.revision}"
        case m.ServicesRead():
            return "reads the services: " + "; ".join(
                f"{name} {_service(item.record)} at {item.revision}" for name, item in message.items
            )
        case m.OwnKeyRead():
            return "reads its own key: " + (_site(message.item.record) if message.item else "none")
        case m.TransactionAnswered():
            return f"hears: transaction {message.transaction} " + (
                "committed" if message.committed else "refused"
            )
        case m.TransactionLost():
            return f"gives up waiting for transaction {message.transaction}"
        case m.Asked():
            return f"is asked: {_plain(message.what)}"
        case _:
            return _plain(message)


def _ordered(order: Order) -> str:
    match order:
        case m.Renew():
            return (
                f"sends renewal {order.record.incarnation}.{order.record.beat} over {order.compare_revision}"
            )
        case m.Transact():
            return f"sends transaction {order.transaction}: " + ", ".join(put.key for put in order.puts)
        case m.Reply():
            return f"answers ask {order.ask}: " + ("done" if order.done else f"no, {order.code}")
        case m.Exit():
            return f"ends: {order.why}"
        case _:
            return "orders " + _plain(order)


def _site(record: SiteRecord) -> str:
    flags = "".join(f", {word}" for word in ("revoked", "hold", "break_glass") if getattr(record, word))
    return f"{record.incarnation}.{record.beat} of {record.keeper}{flags}"


def _service(record: ServiceRecord) -> str:
    return f"{record.primary or 'nobody'} at epoch {record.epoch}, {record.mode}, {record.movement}"


def _named(value: object) -> str:
    """A guard's message or order."""
    return str(value)


def _plain(value: object) -> str:
    """A message or an order by its name and its short fields."""
    name = type(value).__name__
    fields = getattr(value, "__dataclass_fields__", {})
    parts = []
    for field_name in fields:
        text = str(getattr(value, field_name))
        if text and len(text) <= 40:
            parts.append(f"{field_name} {text}")
    return name + (": " + ", ".join(parts) if parts else "")
