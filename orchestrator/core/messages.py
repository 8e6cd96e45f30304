"""What the keeper's core is told (messages, past participles) and what it orders (imperatives).

The shell turns the world into messages and carries out orders in the order given; it has no opinions.
Asks come from the controller process; each gets exactly one reply.
"""

from dataclasses import dataclass

from orchestrator.core.notes import Note
from orchestrator.core.records import Pause, RunRecord, ServiceRecord, SiteRecord
from orchestrator.store.base import Compare, Put
from sites.replication.words import Position

# --- what was read -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SiteItem:
    """`sites/<site>` at a revision."""

    revision: int
    record: SiteRecord


@dataclass(frozen=True, slots=True)
class ServiceItem:
    """`services/<service>` at a revision."""

    revision: int
    record: ServiceRecord


# --- messages ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ticked:
    """Time has passed."""


@dataclass(frozen=True, slots=True)
class TurnCompleted:
    """The controller has completed a turn of its deciding loop (P1)."""


@dataclass(frozen=True, slots=True)
class StopRequested:
    """This keeper is to end: renew no more; what is open here is fenced when its lease ends (P7)."""


@dataclass(frozen=True, slots=True)
class OwnKeyRead:
    """Answer to ReadOwnKey; `item` None: the key does not exist yet."""

    attempt: int
    item: SiteItem | None


@dataclass(frozen=True, slots=True)
class RenewalAnswered:
    """A renewal's transaction was answered; `own` and `peer` are the keys as read by that transaction."""

    incarnation: int
    beat: int
    committed: bool
    revision: int
    own: SiteItem | None
    peer: SiteItem | None


@dataclass(frozen=True, slots=True)
class RenewalLost:
    """A renewal got no answer in time; it may yet be committed."""

    incarnation: int
    beat: int


@dataclass(frozen=True, slots=True)
class PeerSeen:
    """`sites/<peer>` arrived, by the watch or by a read."""

    item: SiteItem


@dataclass(frozen=True, slots=True)
class PeerRead:
    """Answer to ReadPeer (the linearizable read before P10)."""

    ask: int
    item: SiteItem | None


@dataclass(frozen=True, slots=True)
class ServicesRead:
    """Answer to ReadServices: everything under `services/`, read after registration number `registration`."""

    registration: int
    revision: int
    items: tuple[tuple[str, ServiceItem], ...]


@dataclass(frozen=True, slots=True)
class ServiceSeen:
    """`services/<service>` arrived by the watch."""

    service: str
    item: ServiceItem


@dataclass(frozen=True, slots=True)
class ReadFailed:
    """A read got no answer in time."""

    what: str
    number: int


@dataclass(frozen=True, slots=True)
class TransactionAnswered:
    """An ownership transaction was answered; the items are as read by it."""

    transaction: int
    committed: bool
    revision: int
    own: SiteItem | None
    peer: SiteItem | None
    services: tuple[tuple[str, ServiceItem | None], ...]


@dataclass(frozen=True, slots=True)
class TransactionLost:
    """An ownership transaction's outcome is unknown."""

    transaction: int


@dataclass(frozen=True, slots=True)
class FenceEnded:
    """The driver's fence of a service's instance here has ended."""

    service: str
    verified: bool
    evidence: str


@dataclass(frozen=True, slots=True)
class CloseEnded:
    """The driver's close has ended. `closed` False: it failed altogether and nothing is proven."""

    service: str
    closed: bool
    final_position: Position | None
    evidence: str


@dataclass(frozen=True, slots=True)
class PromiseAsked:
    """The peer's keeper asks not to be taken over for T (P14). `incarnations`: those it may be known by."""

    request: int
    keeper: str
    incarnations: tuple[int, ...]
    lease_duration_ns: int


@dataclass(frozen=True, slots=True)
class PromiseAnswered:
    """The peer answered our request, or did not in time: silence and refusal are the same (P14), but for the
    code `revoked`, by which it says that it took our services."""

    number: int
    granted: bool
    code: str = ""


@dataclass(frozen=True, slots=True)
class GuardConnected:
    """The guard of a service's host here is at the other end."""

    service: str


@dataclass(frozen=True, slots=True)
class GuardGone:
    """The guard's connection ended."""

    service: str


@dataclass(frozen=True, slots=True)
class GuardAsked:
    """P18: a guard asks; `open`, `incarnation` and `epoch` are what it says of itself. `certified`: a
    certificate keeps it open (P31)."""

    service: str
    nonce: str
    open: bool
    incarnation: int
    epoch: int
    certified: bool = False


@dataclass(frozen=True, slots=True)
class GuardAcknowledged:
    """A guard has carried an order out; `fenced` only after a cut verified by its effect."""

    service: str
    number: int
    fenced: bool
    incarnation: int
    evidence: str


@dataclass(frozen=True, slots=True)
class NoteWritten:
    """The disk has taken the note, synced, or has not (then it may hold either)."""

    number: int
    ok: bool


@dataclass(frozen=True, slots=True)
class VotersSeen:
    """Which members of the store answer this site; only weighs availability (P29). None: not known."""

    own: bool | None
    peer: bool | None
    witness: bool | None


@dataclass(frozen=True, slots=True)
class StoreToBeAccepted:
    """P31, P33: a person accepts the store that answers, and what is certified is about to be written."""


@dataclass(frozen=True, slots=True)
class StoreAccepted:
    """P33: from now on the store is the one that a person has accepted, and nothing that was asked of the
    former one is answered any more. `next_incarnation`: above every one that this site ever went by."""

    next_incarnation: int


# --- asks of the controller ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class StartRun:
    """P26: services/S from steady to a run; `record` becomes runs/<id> in the same transaction."""

    service: str
    record: RunRecord
    revision: int
    who: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestGiveUp:
    """The executor asks the holder to close and give up (P23); only while its run is on."""

    service: str
    run: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveUpDead:
    """P23, dead database: fence, then give up without a position."""

    service: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeOver:
    """P9, P10: take services from the silent peer. With `certified_down`, P28: manual services too.
    `covers`: the services of which the certificate (or verified cut) names every host at the peer.
    `loss_until_ns`: the end of the peer's lease up to which the statement of loss counts its writes, our
    clock; a lease that ends later loses more than was said. 0: none was counted.
    `by_device`: fencing devices cut those hosts off, verified; it counts until `cut_until_ns`, our clock,
    since a machine may be switched on again. That is a right as the certificate is one (P28), but no word of
    the peer's (P32): a device knows nothing of broken glass."""

    services: tuple[str, ...]
    records: tuple[RunRecord, ...]
    ordered_by_operator: bool
    hold_down_ns: int
    who: str
    why: str
    certified_down: bool = False
    covers: tuple[str, ...] = ()
    by_device: bool = False
    cut_until_ns: int = 0
    wait_until_ns: int = 0
    loss_until_ns: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class MayPowerOff:
    """May the peer's hosts of these services be switched off now? Answered after a read of the peer's key
    (P8); nothing is written. Not `ordered`: only where a takeover would go through but for the fence, so that
    a site that still has any right is never switched off. `ordered`: by a person, who saw what it means.
    `covers`: the services of which every host would be off."""

    services: tuple[str, ...]
    covers: tuple[str, ...]
    ordered: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """P24: claim a service nobody owns. `received` is how far our instance reaches. `epoch`: the one to be
    written, one above that of the record which it was decided on: the loss that was stated, and the position
    that was compared, are those of that epoch's end, and say nothing of another's."""

    service: str
    run: str
    epoch: int
    record: RunRecord | None
    received: Position | None
    accept_loss: bool
    mode_if_new: str
    who: str
    why: str
    automatic: bool = False
    at_unix_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settle:
    """The run is over: moving to steady. Never changes who is primary (P25)."""

    service: str
    run: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SetPause:
    """Pause (or, with None, resume) a service's automatic moves (gate 7)."""

    service: str
    pause: Pause | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledge:
    """Take note of the last unplanned move, so that gate 6 opens again."""

    service: str
    who: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SetMode:
    """P27: the holder alone writes automatic; both ways never while a run is on."""

    service: str
    mode: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MayAct:
    """P26: epoch and deadline checked immediately before a side effect."""

    service: str
    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceOpened:
    """The controller has opened (promoted, started) the instance here under this right; P7 covers it."""

    service: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FenceHere:
    """The instance here is writable though this site has no right to it: cut it off."""

    service: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CertifyPeer:
    """P32: an operator certifies that the peer is off and has broken no glass; this site may open."""

    who: str
    why: str
    certificate: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakGlass:
    """P31: no quorum here, and an operator certifies that the peer is off and stays off: serve `service`
    under a break-glass epoch, noted on this site's disk alone."""

    service: str
    epoch: int
    certificate: str
    who: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconcile:
    """P31: the store is back: write what the certificate made so, above every epoch, and revoke the peer."""

    service: str
    who: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CertifyOwner:
    """P33: after a restore of the store an operator names who owns a service; `epoch` exceeds every one that
    any guard or site has seen."""

    service: str
    owner: str
    epoch: int
    certificate: str
    who: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveUpPlanned:
    """P23, planned: the keeper's own ask, born of the executor's request in services/S."""

    service: str


Ask = (
    StartRun | RequestGiveUp | GiveUpDead | TakeOver | MayPowerOff | Claim | Settle | SetPause | Acknowledge
    | SetMode | MayAct | InstanceOpened | FenceHere | CertifyPeer | BreakGlass | Reconcile | CertifyOwner
    | GiveUpPlanned
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Asked:
    """The controller asked; `ask` numbers it."""

    ask: int
    what: Ask


Message = (
    Ticked | TurnCompleted | StopRequested | OwnKeyRead | RenewalAnswered | RenewalLost | PeerSeen | PeerRead
    | ServicesRead | ServiceSeen | ReadFailed | TransactionAnswered | TransactionLost | FenceEnded
    | CloseEnded | PromiseAsked | PromiseAnswered | GuardConnected | GuardGone | GuardAsked
    | GuardAcknowledged | NoteWritten | VotersSeen | StoreToBeAccepted | StoreAccepted | Asked
)  # fmt: skip


# --- orders --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ReadOwnKey:
    """Read sites/<self>, linearizably."""

    attempt: int


@dataclass(frozen=True, slots=True)
class Renew:
    """Send this beat if sites/<self> is at `compare_revision`; the same transaction reads the peer's key."""

    compare_revision: int
    record: SiteRecord


@dataclass(frozen=True, slots=True)
class ReadServices:
    """Read everything under services/, linearizably."""

    registration: int


@dataclass(frozen=True, slots=True)
class ReadPeer:
    """Read sites/<peer>, linearizably."""

    ask: int


@dataclass(frozen=True, slots=True)
class Transact:
    """An ownership transaction (P12); reads both sites' keys and the named services in both outcomes."""

    transaction: int
    compares: tuple[Compare, ...]
    puts: tuple[Put, ...]
    services: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FenceInstance:
    """Cut client writes to the instance here off at once, verified by its effect (P7)."""

    service: str
    why: str


@dataclass(frozen=True, slots=True)
class CloseInstance:
    """Close the instance here in order: no client can write, everything written reaches the standby (P23)."""

    service: str


@dataclass(frozen=True, slots=True)
class AskPromise:
    """P14: ask the peer's keeper directly not to take over."""

    number: int
    keeper: str
    incarnations: tuple[int, ...]
    lease_duration_ns: int


@dataclass(frozen=True, slots=True)
class AnswerPromise:
    """P14, P15: the answer to the peer's request; the promise is noted before this is ordered."""

    request: int
    granted: bool
    code: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class AnswerGuard:
    """P18: the answer to the question `nonce`. `remaining_ns` 0: not entitled. `manual`: it does not fence at
    its deadline."""

    service: str
    nonce: str
    incarnation: int
    epoch: int
    remaining_ns: int
    manual: bool


@dataclass(frozen=True, slots=True)
class OrderGuard:
    """An order to a guard: `fence`, `learn` (the incarnation, P21), `automatic` (P27), or `ask` (ask now; it
    carries no right)."""

    service: str
    number: int
    kind: str
    incarnation: int
    why: str


@dataclass(frozen=True, slots=True)
class WriteNote:
    """Put the note on disk, synced; answered by NoteWritten."""

    number: int
    note: Note


@dataclass(frozen=True, slots=True)
class Reply:
    """Answer to an ask: done, or refused with a reason's code."""

    ask: int
    done: bool
    code: str = ""
    message: str = ""
    revision: int = 0


@dataclass(frozen=True, slots=True)
class Exit:
    """This keeper is superseded (P4): tell, and end."""

    why: str


Order = (
    ReadOwnKey | Renew | ReadServices | ReadPeer | Transact | FenceInstance | CloseInstance | AskPromise
    | AnswerPromise | AnswerGuard | OrderGuard | WriteNote | Reply | Exit
)  # fmt: skip
