"""The keeper's ways to its guards and to the peer's keeper, as messages in and orders out.

Two doors, both with certificates on both sides: guards dial `sites.<site>.guards`, the peer asks at
`sites.<site>.controller`. A site without them has no guards and no promise, and says so in its status.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

import structlog

from orchestrator.certificates.renewal import follow_renewals
from orchestrator.core import messages as m
from orchestrator.core.messages import Message
from orchestrator.guard_desk import GuardDesk, Hello
from orchestrator.peer_link import PeerClient, PeerServer
from orchestrator.tls_door import bind_address
from sites.identity import CertificateFiles, guard_identity
from sites.model import Estate

log = structlog.get_logger(__name__)

Take = Callable[[Message], None]


@dataclass(frozen=True, slots=True)
class GuardWord:
    """What a guard said of itself when it came, and how its clock has run against ours since."""

    host: str
    protects: tuple[str, ...]
    lacks: tuple[str, ...]
    clock_rate: float | None = None


class Doors(Protocol):
    """What a keeper needs of them. `problem`: why the peer was not heard the last time."""

    async def start(self, take: Take) -> None:
        """Open; from now on messages are handed to `take`."""
        ...

    async def aclose(self) -> None:
        """Close."""
        ...

    def answer_guard(self, order: m.AnswerGuard) -> None:
        """Send an answer, or let it fall."""
        ...

    def order_guard(self, order: m.OrderGuard) -> None:
        """Send an order, or let it fall: it is given again until it is acknowledged."""
        ...

    def hand_certificate(self, service: str, text: str) -> None:
        """P31: hand an operator's certificate to the service's guard, or let it fall."""
        ...

    def answer_promise(self, order: m.AnswerPromise) -> None:
        """Answer the peer."""
        ...

    async def ask_promise(self, order: m.AskPromise) -> m.PromiseAnswered:
        """Ask the peer; never raises."""
        ...

    def guard_words(self) -> dict[str, GuardWord]:
        """By service, of the guards that are there."""
        ...

    @property
    def problem(self) -> str:
        """Why the peer was not heard the last time; "" when it was."""
        ...

    @property
    def refused(self) -> dict[str, int]:
        """What was not accepted at the doors, by code, since the start."""
        ...

    @property
    def certificate_ends(self) -> dict[str, float]:
        """By identity, when the certificates run out that guards and the peer show; Unix time."""
        ...


class NoDoors:
    """A keeper without certificates: neither guards nor a promise."""

    problem = "no certificates are set for this site, so the peer cannot be asked"
    refused: dict[str, int] = {}
    certificate_ends: dict[str, float] = {}

    async def start(self, take: Take) -> None:
        """Nothing is opened."""

    async def aclose(self) -> None:
        """Nothing is closed."""

    def answer_guard(self, order: m.AnswerGuard) -> None:
        """There is none."""

    def order_guard(self, order: m.OrderGuard) -> None:
        """There is none."""

    def hand_certificate(self, service: str, text: str) -> None:
        """There is none."""

    def answer_promise(self, order: m.AnswerPromise) -> None:
        """Nobody asked."""

    async def ask_promise(self, order: m.AskPromise) -> m.PromiseAnswered:
        """Silence is a refusal (P14)."""
        return m.PromiseAnswered(order.number, granted=False)

    def guard_words(self) -> dict[str, GuardWord]:
        """None is there."""
        return {}


class TlsDoors:
    """The real ones."""

    def __init__(self, estate: Estate, site: str, files: CertificateFiles, guarded: frozenset[str]) -> None:
        self._take: Take = lambda message: None
        self._refused: dict[str, int] = {}
        self._refused_for: dict[str, tuple[str, str]] = {}
        self._files = files
        self._renewals: asyncio.Task[None] | None = None
        peer = estate.other_data_site(site)
        timing = estate.ownership
        # Longer than a renewal interval and an answer is of no use: the next request is on its way.
        self._timeout_seconds = max(timing.renew_every_seconds, 4 * estate.store.round_trip_seconds)
        self._desk: GuardDesk | None = None
        self._server: PeerServer | None = None
        self._client: PeerClient | None = None
        here = estate.sites[site]
        if here.guards is not None and guarded:
            host, _, port = here.guards.rpartition(":")
            self._desk = GuardDesk(
                bind_address(host),
                int(port),
                files,
                site,
                guarded,
                self,
                guard_every_seconds=timing.guard_every_seconds,
            )
        if here.controller is not None:
            at = urlsplit(here.controller)
            self._server = PeerServer(
                bind_address(at.hostname or ""),
                at.port or 443,
                files,
                site,
                peer,
                estate.witness,
                self._on_promise_asked,
                answer_within_seconds=self._timeout_seconds,
            )
        url = estate.sites[peer].controller
        if url is not None:
            self._client = PeerClient(url, files, site, peer)

    async def start(self, take: Take) -> None:
        """Open both. Raises DoorTaken, CertificateMisuse."""
        self._take = take
        if self._desk is not None:
            await self._desk.start()
        if self._server is not None:
            await self._server.start()
        if self._client is not None:
            await self._client.start()
        self._renewals = asyncio.create_task(follow_renewals(self._files, self._reload))

    async def _reload(self) -> None:
        for door in (self._desk, self._server, self._client):
            if door is not None:
                await door.reload()

    async def aclose(self) -> None:
        """Close both, and the way to the peer."""
        if self._renewals is not None:
            self._renewals.cancel()
            await asyncio.gather(self._renewals, return_exceptions=True)
        for door in (self._desk, self._server, self._client):
            if door is not None:
                await door.aclose()

    def offer_store_word(self, word: Callable[[], bytes]) -> None:
        """What the peer's controller is told of this site's store when it asks (P33)."""
        if self._server is not None:
            self._server.store_word = word

    # --- orders out ----------------------------------------------------------------------------------

    def answer_guard(self, order: m.AnswerGuard) -> None:
        """P18."""
        if self._desk is not None:
            self._desk.answer(
                order.service, order.nonce, order.incarnation, order.epoch, order.remaining_ns, order.manual
            )

    def order_guard(self, order: m.OrderGuard) -> None:
        """P20, P21, P27."""
        if self._desk is not None:
            self._desk.order(order.service, order.number, order.kind, order.incarnation, order.why)

    def hand_certificate(self, service: str, text: str) -> None:
        """P31."""
        if self._desk is not None and self._desk.hand_certificate(service, text):
            log.info("certificate-handed-to-guard", service=service)

    def answer_promise(self, order: m.AnswerPromise) -> None:
        """P14."""
        if self._server is not None:
            self._server.answer(order.request, order.granted, order.code, order.message)

    async def ask_promise(self, order: m.AskPromise) -> m.PromiseAnswered:
        """P14: silence and refusal are the same."""
        if self._client is None:
            return m.PromiseAnswered(order.number, granted=False)
        reply = await self._client.ask_promise(
            order.number,
            order.keeper,
            order.incarnations,
            order.lease_duration_ns,
            # A late word still earns what is left of T from when it was asked for; and others are asked
            # for meanwhile. A peer that has only just started may need a second for its first handshakes.
            timeout_seconds=max(self._timeout_seconds, order.lease_duration_ns / 1e9),
        )
        return m.PromiseAnswered(order.number, reply.granted, reply.code)

    # --- messages in ---------------------------------------------------------------------------------

    def _on_promise_asked(
        self, request: int, keeper: str, incarnations: tuple[int, ...], lease_duration_ns: int
    ) -> None:
        self._take(m.PromiseAsked(request, keeper, incarnations, lease_duration_ns))

    def on_connected(self, service: str, hello: Hello) -> None:
        """A guard is there."""
        self._take(m.GuardConnected(service))

    def on_gone(self, service: str) -> None:
        """A guard's connection has ended."""
        self._take(m.GuardGone(service))

    def on_question(
        self, service: str, nonce: str, open_: bool, incarnation: int, epoch: int, certified: bool
    ) -> None:
        """P18."""
        self._take(m.GuardAsked(service, nonce, open_, incarnation, epoch, certified))

    def on_acknowledged(
        self, service: str, number: int, fenced: bool, incarnation: int, evidence: str
    ) -> None:
        """P20, P21, P27."""
        self._take(m.GuardAcknowledged(service, number, fenced, incarnation, evidence))

    def on_refused(self, service: str, code: str, evidence: str) -> None:
        """A guard did not accept an answer of ours: worth a line in the log, once until it is for something
        else, since a closed guard asks several times a second; and counted each time."""
        if self._refused_for.get(service) != (code, evidence):
            self._refused_for[service] = code, evidence
            log.warning("guard-refused", service=service, code=code, evidence=evidence)
        self._refused[f"guard-{code}"] = self._refused.get(f"guard-{code}", 0) + 1

    # --- for people ----------------------------------------------------------------------------------

    def guard_words(self) -> dict[str, GuardWord]:
        """By service, of the guards that are there."""
        if self._desk is None:
            return {}
        rates = self._desk.clock_rates()
        return {
            service: GuardWord(hello.host, hello.protects, hello.lacks, rates.get(service))
            for service, hello in self._desk.connected.items()
        }

    @property
    def problem(self) -> str:
        """Why the peer was not heard the last time; "" when it was."""
        return self._client.problem if self._client is not None else NoDoors.problem

    @property
    def refused(self) -> dict[str, int]:
        """What was not accepted at the doors, by code, since the start."""
        found = dict(self._refused)
        counts = [self._desk.statistics().not_let_in, self._desk.statistics().lost] if self._desk else []
        counts += [self._server.not_let_in, self._server.refused] if self._server else []
        counts += [self._client.refused] if self._client else []
        for codes in counts:
            for code, count in codes.items():
                found[code] = found.get(code, 0) + count
        return found

    @property
    def certificate_ends(self) -> dict[str, float]:
        """By identity, when the certificates run out that guards and the peer show; Unix time."""
        guards = self._desk.connected.values() if self._desk is not None else ()
        found = {
            guard_identity(hello.site, hello.service): hello.certificate_ends_unix_seconds for hello in guards
        }
        if self._client is not None and self._client.certificate_ends_unix_seconds is not None:
            found[self._client.peer] = self._client.certificate_ends_unix_seconds
        return found
