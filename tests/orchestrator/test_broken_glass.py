"""When there is no quorum, when a site starts cold, and when the other side comes back (P28, P31, P32)."""

from typing import Any

import pytest

from orchestrator.api.client import WrongRequest
from orchestrator.api.shapes import (
    Acted,
    CertificateOrder,
    CertifyRequest,
    MovePlan,
    MoveRequest,
    ReconcileRequest,
)
from orchestrator.breaking_glass import without_quorum
from tests.orchestrator.looking import look, refusal_of
from tests.orchestrator.two_sites import DURHAM, MORPETH, Site, TwoSites, estate, two_sites

REASON = "the duty manager at Durham says there is no power"


def without_store(site: Site) -> bool:
    """Its keeper has found out that the store does not answer, and its lease is over."""
    return without_quorum(site.controller.view())


async def alone(world: TwoSites) -> None:
    """Durham is lost, and the witness with it: Morpeth has no quorum."""
    world.cut_store(DURHAM, MORPETH)
    await world.lose(DURHAM)
    await world.until(lambda: world.morpeth.decision() in ("no-quorum", "peer-word-missing"))
    await world.until(lambda: without_store(world.morpeth))


async def broken(world: TwoSites, **fields: Any) -> MovePlan:
    """Glass is broken for crm at Morpeth, and it is open there."""
    plan = await world.morpeth.move("failover", certify_down=DURHAM, reason=REASON, **fields)
    await world.until(lambda: world.open_at(MORPETH))
    return plan


async def reconciled(site: Site, service: str = "crm") -> Acted:
    """Reconcile it there. Raises Refused."""
    async with site.api() as client:
        return await client.reconcile(ReconcileRequest(service=service, reason="the store is back"))


async def test_without_quorum_a_certificate_opens_what_the_other_site_had() -> None:
    async with two_sites() as world:
        world.writer()
        await world.until(lambda: len(world.pair.instances[MORPETH].rows) > 10)
        await alone(world)
        assert world.pair.writable == []
        plan = await broken(world)
        assert plan.certificate is not None
        assert plan.certificate.kind == "break-glass"
        run = await world.detail(plan.run, world.morpeth)
        assert run.state == "done", run
        told = await look(world.morpeth)
        assert told.service().diagnosis == "break-glass"
