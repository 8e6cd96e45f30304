"""What people and programs are told of a site: every answer is a valid shape, they agree with
each other, and what is not known is absent or null and never a zero."""

from collections.abc import Awaitable
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

from orchestrator.api.client import Refused, WrongRequest
from orchestrator.api.shapes import Explanation, MoveRequest, Refusal, ServiceStatus, Status
from orchestrator.core.reasons import REASONS
from tests.orchestrator.two_sites import Site

Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


@dataclass(frozen=True, slots=True)
class Told:
    """What one site tells at one moment."""

    status: Status
    explained: dict[str, Explanation]
    series: Series

    def service(self, name: str = "crm") -> ServiceStatus:
        """One service's line of the status."""
        return next(service for service in self.status.services if service.service == name)

    def metric(self, name: str, **labels: str) -> float | None:
        """One series, or None if there is none."""
        found = [
            value
            for (named, told), value in self.series.items()
            if named == f"twinsite_{name}" and labels.items() <= dict(told).items()
        ]
        assert len(found) <= 1
        return found[0] if found else None


async def look(site: Site) -> Told:
    """Ask a site everything that can be asked without changing anything."""
    async with site.api() as client:
        status = await client.status()
        explained = {each.service: await client.explain(each.service) for each in status.services}
        runs = (await client.runs()).runs
        for run in runs:
            assert (await client.run(run.run)).run == run.run
        for each in status.services:
            for verb in ("switchover", "failover"):
                try:
                    plan = await client.plan(MoveRequest(verb=verb, service=each.service))
                except (Refused, WrongRequest) as refused:
                    known_code(refused.refusal)
                else:
                    assert plan.lines
                    assert plan.statement
                    known_code(plan.refusal)
    told = Told(status, explained, _series(site.metrics()))
    for each in status.services:
        _agrees(told, each)
    return told


async def refusal_of(work: Awaitable[object]) -> Refusal:
    """The refusal that a request meets, whichever kind it is of."""
    try:
        await work
    except (Refused, WrongRequest) as met:
        known_code(met.refusal)
        return met.refusal
    raise AssertionError("it was not refused")


def known_code(refusal: Refusal | None) -> None:
    """A refusal's code is one of those that are documented."""
    assert refusal is None or refusal.code in REASONS, refusal


def _agrees(told: Told, service: ServiceStatus) -> None:
    """One service's answers hold together, and nothing that is unknown is a number."""
    name, explained = service.service, told.explained[service.service]
    assert explained.code in REASONS or service.diagnosis == "unknown"
    for gate in explained.gates:
        assert gate.ok is True or gate.code in REASONS, gate
    for instance in service.instances:
        unknown = instance.role == "unknown"
        assert not unknown or instance.writable is None
    if service.lag is not None:
        lag = service.lag
        assert (lag.seconds is None) == bool(lag.detail)
        assert lag.seconds is not None or lag.bytes is None
    if service.epoch is None:
        assert service.primary is None
        assert told.metric("epoch", service=name) is None
    assert told.status.keeper != "absent" or service.epoch is None


def _series(text: str) -> Series:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
