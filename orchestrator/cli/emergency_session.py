"""One sitting at a laptop: the estate as it is there, the plan of an order, and its run."""

import asyncio
import shlex
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import structlog
import yaml

from orchestrator.certified import Certificate
from orchestrator.cli.connect import estate_path, site_in
from orchestrator.cli.failures import wrong
from orchestrator.cli.options import Settings
from orchestrator.emergency import certificate as certificates
from orchestrator.emergency.drawing import (
    Wanted,
    check_certified,
    draw,
    hosts_of_plan,
    jumps_at,
    owned_elsewhere,
    parsed_parameters,
)
from orchestrator.emergency.run import Hands
from orchestrator.emergency.terminal import Person, Terminal
from orchestrator.emergency.words import Means, emergency_words
from orchestrator.journal import SqliteJournal
from orchestrator.mover import run_id
from orchestrator.vantage import context_at
from runbooks.catalogue import ActionCatalogue
from runbooks.context import Sql
from runbooks.engine import Outcome
from runbooks.library import Library
from runbooks.model import Kind
from runbooks.plan import facts_of
from runbooks.planned import Known, Plan
from runbooks.probing import ServiceProbes
from runbooks.progress import plan_of
from runbooks.sql import PostgresSql
from sites.errors import SitesError
from sites.model import Estate, Host
from sites.replication import catalogue as drivers_catalogue
from sites.replication.postgres.config import PostgresSettings
from sites.replication.words import ReplicationDriver
from sites.ssh.by_hand import ByHand
from sites.transport import Transport

LOOK_SECONDS = 15.0
_READ_EPOCH = (
    r"""{ cat "$m" || sudo -n cat "$m"; } 2> /dev/null | sed -n 's/.*"epoch": \([0-9]*\).*/\1/p'; true"""
)


@dataclass(frozen=True, slots=True)
class Order:
    """What the person asked for."""

    runbook: str
    service: str
    from_site: str
    to_site: str
    parameters: tuple[str, ...]
    kind: str
    certificate: Path | None
    epoch: int | None
    reason: str
    who: str


@dataclass(frozen=True, slots=True)
class Drawn:
    """A plan by hand, and what a person must know before it begins."""

    plan: Plan
    catalogue: ActionCatalogue
    certificate: Certificate | None
    signer: str
    warnings: tuple[str, ...]
    how: str

    def check(self) -> None:
        """Raises CertificateMissing."""
        check_certified(self.plan, self.catalogue, self.certificate, self.how)


@dataclass(frozen=True, slots=True)
class Session:
    """The estate and what is done with it. `transport` makes the way to the hosts."""

    estate: Estate
    base: Path
    person: Person
    transport: Callable[[Estate, Path], Transport]

    # -- plans --------------------------------------------------------------------------------------

    def draw(self, order: Order) -> Drawn:
        """The plan of an order. Raises what the parts raise: RunbooksMisuse, CertificateUnfit."""
        estate = self.estate
        if order.service not in estate.services:
            raise wrong(f"There is no service {order.service!r}; there are: {', '.join(estate.services)}")
        service = estate.services[order.service]
        for site in (order.from_site, order.to_site):
            if site_in(estate, site) not in service.sites:
                raise wrong(f"{order.service} is not at {site}; its sites are {' and '.join(service.sites)}")
        if order.from_site == order.to_site:
            raise wrong("--from and --to name the same site")
        certificate, signer = None, ""
        if order.certificate is not None:
            certificate = certificates.read(order.certificate)
            signer = certificates.check(
                certificate,
                estate,
                self.base,
                service=order.service,
                from_site=order.from_site,
                to_site=order.to_site,
            )
        catalogue = emergency_words(Means(estate, self.person.ask, certificate))
        wanted = self._wanted(order, catalogue)
        return asyncio.run(self._drawn(order, wanted, catalogue, certificate, signer))

    def _wanted(self, order: Order, catalogue: ActionCatalogue) -> Wanted:
        library = Library(catalogue, tuple(self.base / folder for folder in self.estate.runbook_path))
        path = Path(order.runbook)
        named = not (path.suffix == ".yaml" or path.is_file())
        runbook = library.load(order.runbook) if named else library.load_file(path, library.name_of(path))
        return Wanted(
            runbook,
            order.service,
            order.from_site,
            order.to_site,
            Kind(order.kind),
            parsed_parameters(order.parameters, yaml.safe_load),
            order.reason,
        )

    async def _drawn(
        self,
        order: Order,
        wanted: Wanted,
        catalogue: ActionCatalogue,
        certificate: Certificate | None,
        signer: str,
    ) -> Drawn:
        estate, service = self.estate, self.estate.services[order.service]
        run = run_id(order.service, order.kind)
        transport = self.transport(estate, self.base)
        driver = self._drivers(transport).get(order.service)
        facts = facts_of(service, driver)

        def drawn(epoch: int, known: tuple[Known, ...] = ()) -> Plan:
            return draw(
                estate, wanted, catalogue, facts, run=run, epoch=epoch, certificate=certificate, known=known
            )

        try:
            first = drawn(0)
            hosts = hosts_of_plan(estate, first)
            for role, host in estate.sites[order.to_site].hosts.items():
                if service.guard is not None and role in _database_hosts(estate, order):
                    hosts.setdefault(f"{order.to_site}/{role}", host)
            seen = await _look(transport, hosts, order, service.guard.state if service.guard else "")
        finally:
            if driver is not None:
                await driver.aclose()
            await transport.aclose()
        highest = max((epoch for epoch, _ in seen.values() if epoch is not None), default=0)
        if certificate is not None:
            epoch = certificate.epoch
        else:
            epoch = highest if order.epoch is None else order.epoch
        known = tuple(Known(name, words) for name, (_, words) in seen.items())
        warnings = [*owned_elsewhere(first), *jumps_at(estate, first, order.from_site)]
        if epoch < highest:
            warnings.append(
                f"a host has seen epoch {highest} of {order.service}, and this run has {epoch}: that host "
                "refuses its steps, and a guard its certificate"
            )
        return Drawn(
            drawn(epoch, (Known("epoch", str(epoch)), *known)),
            catalogue,
            certificate,
            signer,
            tuple(warnings),
            how_to_certify(order, highest + 1),
        )

    # -- runs ---------------------------------------------------------------------------------------

    def carry_out(self, drawn: Drawn, journal: Path, order: Order) -> Outcome:
        """Carry the plan out to its end, asking whenever a step fails."""
        certificate = drawn.certificate

        async def work(hands: Hands) -> Outcome:
            return await hands.carry_out(
                drawn.plan, why=order.reason, certificate=certificate, signer=drawn.signer
            )

        return asyncio.run(self._with_hands(work, journal, certificate, order.who))

    def resume(self, run: str, journal: Path, file: Path | None, who: str) -> Outcome:
        """Go on with a run of the journal. Its certificate is the one on file there."""

        async def work(hands: Hands) -> Outcome:
            return await hands.resume(run)

        if not journal.exists():
            raise wrong(f"{journal}: there is no such journal; name it with --journal FILE")

        async def found() -> Outcome:
            certificate = certificates.read(file) if file is not None else await _on_file(journal, run)
            return await self._with_hands(work, journal, certificate, who)

        return asyncio.run(found())

    async def _with_hands(
        self,
        work: Callable[[Hands], Any],
        journal: Path,
        certificate: Certificate | None,
        who: str,
    ) -> Outcome:
        transport = self.transport(self.estate, self.base)
        drivers = self._drivers(transport)
        kept = await SqliteJournal.open(journal)
        probes: dict[str, ServiceProbes] = {}

        def probes_of(service: str) -> ServiceProbes:
            noun = self.estate.services[service]
            context = context_at(self.estate, noun.home, self.base, transport=transport, drivers=drivers)
            return probes.setdefault(service, ServiceProbes(self.estate, noun, context))

        hands = Hands(
            self.estate,
            transport,
            drivers,
            emergency_words(Means(self.estate, self.person.ask, certificate)),
            kept,
            self.person,
            who,
            probes_of,
            self._sql(),
        )
        try:
            outcome: Outcome = await work(hands)
            return outcome
        finally:
            for each in probes.values():
                await each.aclose()
            for driver in drivers.values():
                await driver.aclose()
            await kept.aclose()
            await transport.aclose()

    def _drivers(self, transport: Transport) -> dict[str, ReplicationDriver]:
        return {
            name: drivers_catalogue.make_driver(service, self.estate, transport, self.base)
            for name, service in self.estate.services.items()
            if not service.watch_only
        }

    def _sql(self) -> dict[str, Sql]:
        return {
            name: PostgresSql(
                self.estate, PostgresSettings.model_validate(noun.replication.settings), self.base
            )
            for name, noun in self.estate.services.items()
            if noun.replication is not None and noun.replication.driver == "postgres"
        }


def opened(settings: Settings, note: Callable[[str], None]) -> Session:
    """The session of this machine's estate file. What secrets are not here is told, and done without."""
    from probes.catalogue import SETTINGS as PROBES
    from sites.inventory import EstateInvalid, load_estate

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    path = estate_path(settings)
    catalogues: dict[str, Any] = {"probe_settings": PROBES, "driver_settings": drivers_catalogue.SETTINGS}
    try:
        loaded = load_estate(path, **catalogues)
    except EstateInvalid:
        loaded = load_estate(path, resolve_secrets=False, **catalogues)
        note(
            "Secrets that the estate file names are not all here: what needs a database's password will fail."
        )
    return Session(
        loaded.estate,
        path.absolute().parent,
        Terminal(),
        lambda estate, base: ByHand(estate.ssh, base),
    )


def how_to_certify(order: Order, epoch: int) -> str:
    """The command that makes the certificate which this order needs."""
    return (
        f"twinsite certify {order.from_site} --down --service {order.service} --epoch {epoch} "
        f"--offline {order.service}.json --key operator-NAME.key --reason …"
    )


def _database_hosts(estate: Estate, order: Order) -> tuple[str, ...]:
    from sites.hosts_of import database_hosts_of

    return database_hosts_of(estate, order.service, order.to_site)


async def _look(
    transport: Transport, hosts: dict[str, Host], order: Order, guard_state: str
) -> dict[str, tuple[int | None, str]]:
    """What each host has seen of the service: the highest epoch of its steps and its guard, in words too."""
    memory = shlex.quote(f"{guard_state}/{order.to_site}/{order.service}/memory")
    command = (
        f"cut -d' ' -f1 ~/.twinsite/steps/{order.service}/token 2> /dev/null; m={memory}; " + _READ_EPOCH
    )

    async def one(host: Host) -> tuple[int | None, str]:
        try:
            done = await transport.run(host, command, timeout_seconds=LOOK_SECONDS)
        except SitesError as trouble:
            return None, f"NOT REACHED: {trouble}"
        numbers = [int(word) for word in done.stdout.split() if word.isdigit()]
        return (max(numbers), f"reached; has seen epoch {max(numbers)}") if numbers else (None, "reached")

    found = await asyncio.gather(*(one(host) for host in hosts.values()))
    return dict(zip(hosts, found, strict=True))


async def _on_file(journal: Path, run: str) -> Certificate | None:
    """The certificate by which a run of this journal was begun."""
    from orchestrator.certified import CertificateUnreadable, certificate_of, written
    from orchestrator.emergency.run import CERTIFICATE_EVENT

    kept = await SqliteJournal.open(journal)
    try:
        plan = plan_of(await kept.read(run))
        if plan is None or not any(step.part == "certificate" for step in plan.steps):
            return None
        for event in await kept.events(100, service=plan.service, kind=CERTIFICATE_EVENT):
            try:
                found = certificate_of(written(event.data["certificate"]))
            except (CertificateUnreadable, KeyError):
                continue
            if found.epoch == plan.epoch:
                return replace(found)
        return None
    finally:
        await kept.aclose()
