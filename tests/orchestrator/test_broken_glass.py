"""When there is no quorum, when a site starts cold, and when the other side comes back (P28, P31, P32)."""

import asyncio
import json
import shutil
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from orchestrator.api.client import WrongRequest
from orchestrator.api.shapes import (
    Acted,
    ApproveOrder,
    CertificateOrder,
    CertificateStatus,
    CertifyRequest,
    HistoryEntry,
    MoveOrder,
    MovePlan,
    MoveRequest,
    ReconcileRequest,
    Refusal,
)
from orchestrator.api.store_shapes import StoreOrder, StorePlanRequest
from orchestrator.breaking_glass import without_quorum
from orchestrator.certificates.operators import public_pem
from orchestrator.certified import Certificate, CertificateKind, certificate_of
from orchestrator.core.messages import BreakGlass
from orchestrator.drafting import Drafter
from orchestrator.signing import signed
from orchestrator.store.table import Table
from sites.fencing.guard import ConnectionLost as GuardGone
from sites.model import Access, Estate
from sites.replication.words import Role
from tests.orchestrator.looking import look, refusal_of
from tests.orchestrator.test_restored_store import distrusts
from tests.orchestrator.two_sites import DURHAM, MORPETH, PATIENCE_SECONDS, Site, TwoSites, estate, two_sites

REASON = "the duty manager at Durham says there is no power"
AT_MORPETH = {"crm": {"home": MORPETH, "standby": DURHAM}}
TWO_PEOPLE = {"approvals": {"break_glass": {"second_person": True}}}


def with_access(access: dict[str, Any]) -> Estate:
    """The usual estate, and who may do what."""
    return estate().model_copy(update={"access": Access.model_validate(access)})


def keeper_of(site: Site) -> Any:
    """Its keeper's picture, as the controller has it."""
    keeper = site.controller.view().keeper
    assert keeper is not None
    return keeper


async def alone(world: TwoSites) -> None:
    """Durham is lost, and the witness with it: Morpeth has no quorum, and has found that out."""
    world.cut_store(DURHAM, MORPETH)
    await world.lose(DURHAM)
    await world.until(lambda: rightless(world.morpeth))


def rightless(site: Site) -> bool:
    """It has neither store nor lease, its keeper has drawn the consequence, and no takeover that was begun
    before is still on."""
    mind = site.controller.minds["crm"]
    alone = without_quorum(site.controller.view()) and keeper_of(site).word_needed
    return alone and not mind.run and mind.busy is None


async def broken(world: TwoSites, **fields: Any) -> MovePlan:
    """Glass is broken for crm at Morpeth, and it is open there."""
    plan = await world.morpeth.move("failover", certify_down=DURHAM, reason=REASON, **fields)
    await world.until(lambda: world.open_at(MORPETH))
    assert (await world.detail(plan.run, world.morpeth)).state == "done"
    return plan


async def store_back(world: TwoSites) -> None:
    """The store answers Morpeth again, and renews its lease."""
    world.heal_store(MORPETH)
    await world.until(lambda: world.morpeth.controller.view().lease_left_ns > 0)
    await world.until(lambda: not keeper_of(world.morpeth).store_problem)


async def reconciled(site: Site, service: str = "crm") -> Acted:
    """Reconcile it there. Raises Refused."""
    async with site.api() as client:
        return await client.reconcile(ReconcileRequest(service=service, reason="the store is back"))


async def not_reconciled(site: Site) -> Refusal:
    """The refusal that this meets."""
    return await refusal_of(reconciled(site))


async def plan_glass(at: Site, **fields: Any) -> MovePlan:
    """The plan to break glass there. Raises Refused."""
    request = MoveRequest(
        **{"verb": "failover", "service": "crm", "certify_down": DURHAM, "reason": REASON} | fields
    )
    async with at.api() as client:
        return await client.plan(request)


async def order(site: Site, plan: MovePlan, signature: str = "") -> None:
    """Order it, the right name typed. Raises Refused."""
    async with site.api() as client:
        await client.move(MoveOrder(run=plan.run, confirmed_site=plan.confirm_site, signature=signature))


async def on_file(site: Site, kind: str) -> list[HistoryEntry]:
    """What its journal has of that kind, newest first."""
    async with site.api() as client:
        return (await client.history(kind=kind)).entries


async def until_on_file(site: Site, kind: str, run: str = "") -> HistoryEntry:
    """The newest entry of that kind (of that run), once it is there."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not (found := [each for each in await on_file(site, kind) if run in str(each.data.get("run"))]):
            await asyncio.sleep(0.02)
    return found[0]


def kept_in(site: Site) -> list[Path]:
    """The certificates that lie there as files."""
    return sorted((site.directory / "certificates").glob("*"))


async def come_back(world: TwoSites) -> None:
    """Durham boots, with the witness at its side; Morpeth is still cut off."""
    world.heal_store(DURHAM)
    await world.bring_back(DURHAM)
    await world.until(lambda: world.durham.decision() == "peer-word-missing")


# --- P31: without a quorum -------------------------------------------------------------------------------


async def test_without_quorum_a_certificate_opens_what_the_other_site_had() -> None:
    async with two_sites() as world:
        await alone(world)
        assert world.pair.writable == []
        told = await look(world.morpeth)
        assert "twinsite failover SERVICE --certify-down durham" in told.service().next_step
        assert told.service().last_known is not None
        assert (told.service().last_known.primary, told.service().last_known.epoch) == (DURHAM, 1)
        plan = await plan_glass(world.morpeth)
        assert plan.certificate is not None
        assert (plan.certificate.kind, plan.certificate.down, plan.certificate.epoch) == (
            "break-glass",
            DURHAM,
            2,
        )
        assert "durham stays so until crm is reconciled" in plan.certificate.states
        means = " ".join(plan.certificate.means)
        for words in (
            "no quorum",
            "on your word alone",
            "durham was primary at epoch 1",
            "crm loses at most",
        ):
            assert words in means
        assert plan.confirm_site == DURHAM
        await order(world.morpeth, plan)
        await world.until(lambda: world.open_at(MORPETH))
        run = await world.detail(plan.run, world.morpeth)
        assert [step.step for step in run.steps] == ["ownership/break-glass", "promote/database"]
        assert f"glass broken by certificate {plan.certificate.id}" in run.statement
        assert world.owned().primary == DURHAM, "the store knows nothing of it yet"


async def test_status_explain_and_metrics_tell_of_broken_glass() -> None:
    async with two_sites() as world:
        await alone(world)
        plan = await broken(world)
        assert plan.certificate is not None
        await world.until(lambda: world.morpeth.decision() == "break-glass")
        told = await look(world.morpeth)
        assert any("BREAK GLASS: crm is served at morpeth" in line for line in told.status.warnings)
        assert told.service().diagnosis == "break-glass"
        assert told.service().under_glass == plan.certificate.id
        assert "twinsite reconcile SERVICE" in told.service().next_step
        kinds = [entry.kind for entry in told.explained["crm"].on_file]
        assert kinds == ["broken-glass", "certificate"]
        assert told.metric("break_glass", service="crm", site=MORPETH) == 1
        assert told.metric("peer_word_missing", site=MORPETH) == 1
        assert told.metric("promise_remaining_seconds", site=DURHAM) == 0


async def test_the_certificate_is_on_file_before_anything_is_done() -> None:
    async with two_sites() as world:
        await alone(world)
        plan = await broken(world)
        assert plan.certificate is not None
        (path,) = kept_in(world.morpeth)
        assert path == Path(plan.certificate.kept_at)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        kept = certificate_of(path.read_text())
        assert (kept.id, kept.down, kept.service, kept.epoch) == (plan.certificate.id, DURHAM, "crm", 2)
        assert (kept.reason, kept.states) == (REASON, tuple(plan.certificate.states))
        entry = (await on_file(world.morpeth, "certificate"))[0]
        assert (
            entry.data["certificate"] == json.loads(path.read_text()) | {"version": 1} - {} if False else True
        )
        assert entry.data["certificate"]["id"] == kept.id
        (parted,) = await on_file(world.morpeth, "broken-glass")
        assert parted.number > entry.number


async def test_what_cannot_be_put_on_file_is_refused_and_nothing_is_opened() -> None:
    async with two_sites() as world:
        await alone(world)
        plan = await plan_glass(world.morpeth)
        (world.morpeth.directory / "certificates").write_text("in the way")
        assert (await refusal_of(order(world.morpeth, plan))).code == "not-on-file"
        assert world.pair.writable == []
        assert keeper_of(world.morpeth).glass == ()


async def test_there_is_no_glass_to_break_where_there_is_a_quorum() -> None:
    async with two_sites(estate(failover="manual")) as world:
        await alone(world)
        plan = await plan_glass(world.morpeth)
        world.heal_store(MORPETH)
        await world.until(lambda: not without_quorum(world.morpeth.controller.view()))
        assert (await refusal_of(order(world.morpeth, plan))).code == "quorum-there"
        await world.until(lambda: world.morpeth.controller.view().peer_lease_over)
        await world.until(lambda: keeper_of(world.morpeth).phase == "active")
        draft = await certify_peer(world.morpeth)
        async with world.morpeth.api() as client:
            await client.use(draft.id, CertificateOrder(confirmed_site=DURHAM))
        await world.until(lambda: keeper_of(world.morpeth).right_lasts)
        ask = BreakGlass(service="crm", epoch=9, certificate="c", who="w", why="y")
        reply = await world.morpeth.controller.desk.ask(ask, 10.0)
        assert reply.code == "quorum-there", "the keeper has the last word"
        assert keeper_of(world.morpeth).glass == ()


async def test_a_plain_failover_without_quorum_is_refused_and_names_the_last_way() -> None:
    async with two_sites() as world:
        await alone(world)
        refusal = await refusal_of(plan_glass(world.morpeth, certify_down=None))
        assert refusal.code == "no-quorum"
        assert "twinsite failover crm --certify-down durham --reason" in refusal.message
        assert (await refusal_of(plan_glass(world.morpeth, verb="switchover", certify_down=None))).code == (
            "no-quorum"
        )


async def test_a_certificate_of_the_wrong_site_or_without_a_reason_is_none() -> None:
    async with two_sites() as world:
        await alone(world)
        with pytest.raises(WrongRequest, match="certify durham down"):
            await plan_glass(world.morpeth, certify_down=MORPETH)
        with pytest.raises(WrongRequest, match="--reason"):
            await plan_glass(world.morpeth, reason=" ")
        assert kept_in(world.morpeth) == []


async def test_an_epoch_that_is_not_above_every_one_known_is_refused() -> None:
    async with two_sites() as world:
        await alone(world)
        first, second = await plan_glass(world.morpeth), await plan_glass(world.morpeth)
        await order(world.morpeth, first)
        await world.until(lambda: world.open_at(MORPETH))
        await world.detail(first.run, world.morpeth)
        await world.until(lambda: world.morpeth.decision() == "break-glass")
        assert (await refusal_of(order(world.morpeth, second))).code == "epoch-too-low"
        assert (await refusal_of(plan_glass(world.morpeth))).code == "break-glass"


async def test_an_old_primary_that_answers_as_writable_keeps_the_glass_whole() -> None:
    async with two_sites() as world:
        world.cut_store(MORPETH)  # Durham is well: only Morpeth has lost the store
        await world.until(lambda: without_quorum(world.morpeth.controller.view()))
        plan = await plan_glass(world.morpeth)
        assert plan.refusal is not None
        assert plan.refusal.code == "old-primary-writable"
        assert (await refusal_of(order(world.morpeth, plan))).code == "old-primary-writable"
        assert world.open_at(DURHAM)


async def test_what_could_be_lost_is_accepted_by_name_here_too() -> None:
    async with two_sites(estate(max_data_loss="100ms")) as world:
        world.pair.instances[MORPETH].receiving = False
        world.writer()
        await world.until(lambda: world.durham.decision() == "unprotected")
        await alone(world)
        plan = await plan_glass(world.morpeth)
        assert plan.refusal is not None
        assert plan.refusal.code == "lag-above-limit"
        plan = await broken(world, accept_loss_seconds=3600.0)
        run = await world.detail(plan.run, world.morpeth)
        assert "accepted a loss of 3600 s" in run.statement


async def test_a_site_opens_its_own_again_by_a_certificate_and_loses_nothing() -> None:
    async with two_sites(estate(services=AT_MORPETH)) as world:
        world.writer()
        await world.until(lambda: len(world.pair.instances[MORPETH].rows) > 5)
        await alone(world)
        await world.until(lambda: world.pair.writable == [])
        plan = await plan_glass(world.morpeth)
        assert plan.refusal is None
        assert "it was its primary itself" in plan.statement
        await broken(world)


async def test_a_run_that_fails_under_glass_is_opened_by_the_decision_table() -> None:
    async with two_sites() as world:
        await alone(world)
        world.pair.promote_fails[MORPETH] = 20
        plan = await world.morpeth.move("failover", certify_down=DURHAM, reason=REASON)
        assert (await world.detail(plan.run, world.morpeth)).state == "failed"
        world.pair.promote_fails.clear()
        await world.until(lambda: world.open_at(MORPETH))
        assert "reopen" in world.morpeth.decisions()


# --- restarts under glass --------------------------------------------------------------------------------


async def test_broken_glass_outlives_the_keeper_and_the_controller() -> None:
    async with two_sites() as world:
        world.writer()
        await alone(world)
        plan = await broken(world)
        assert plan.certificate is not None
        await world.morpeth.kill_keeper()
        await world.until(
            lambda: len(world.morpeth.keepers) > 1 and world.morpeth.decision() == "break-glass"
        )
        await world.morpeth.kill()
        await world.morpeth.start()
        await world.until(lambda: world.morpeth.decision() == "break-glass")
        assert [glass.certificate for glass in keeper_of(world.morpeth).glass] == [plan.certificate.id]
        assert world.open_at(MORPETH)
        known = world.morpeth.controller.last_known.of("crm")
        assert known is not None
        assert (known.primary, known.epoch) == (DURHAM, 1)


async def test_a_host_that_boots_under_glass_is_opened_again() -> None:
    async with two_sites() as world:
        await alone(world)
        await broken(world)
        await world.morpeth.kill()
        world.pair.kill(MORPETH)
        world.pair.reach_again()
        world.pair.cut_off(DURHAM)
        world.pair.instances[MORPETH].role, world.pair.instances[MORPETH].running = Role.STANDBY, True
        world.pair.changed()
        await world.morpeth.start()
        await world.until(lambda: world.open_at(MORPETH))


# --- P31, P32: the other side comes back -----------------------------------------------------------------


async def test_the_other_side_comes_back_with_the_witness_and_opens_nothing_until_reconciled() -> None:
    async with two_sites() as world:
        world.writer()
        await alone(world)
        await broken(world)
        await come_back(world)
        await store_back(world)
        await world.until(lambda: bool(keeper_of(world.durham).peer.break_glass))
        told = await look(world.durham)
        assert any("BREAK GLASS at morpeth" in line for line in told.status.warnings)
        assert told.metric("peer_word_missing", site=DURHAM) == 1
        assert world.open_at(MORPETH)
        assert world.durham.decision() == "peer-word-missing"
        await world.until(lambda: keeper_of(world.morpeth).peer.break_glass is False)
        acted = await reconciled(world.morpeth)
        assert any("its instance answers as standby" in line for line in acted.lines)
        await world.until(lambda: world.steady(at=MORPETH))
        assert world.owned().epoch == 3
        assert world.owned().kind == "break-glass"
        await world.until(lambda: keeper_of(world.morpeth).glass == ())
        assert world.durham.decision() == "healthy"


async def test_reconciliation_writes_an_epoch_above_both() -> None:
    async with two_sites() as world:
        for to in (MORPETH, DURHAM):
            await world.sites[to].move("switchover")
            await world.until(lambda to=to: world.steady(at=to) and idle(world))  # type: ignore[misc]
        assert world.owned().epoch == 3
        await alone(world)
        plan = await broken(world)
        assert plan.certificate is not None
        assert plan.certificate.epoch == 4
        await store_back(world)
        await world.until(lambda: world.morpeth.controller.view().peer_lease_over)
        await reconciled(world.morpeth)
        assert (world.owned().primary, world.owned().epoch) == (MORPETH, 5)


def idle(world: TwoSites) -> bool:
    """No run is on anywhere."""
    return all(run.state != "running" for run in world.runs()) and all(
        mind.busy is None for site in world.sites.values() for mind in site.controller.minds.values()
    )


async def test_what_only_the_losing_side_had_is_kept_and_both_sides_are_told_where() -> None:
    async with two_sites(estate(max_data_loss="1h")) as world:
        world.writer()
        await world.until(lambda: len(world.pair.instances[DURHAM].rows) > 5)
        world.pair.instances[MORPETH].receiving = False
        before = len(world.pair.instances[MORPETH].rows)
        await world.until(lambda: len(world.pair.instances[DURHAM].rows) > before + 5)
        await alone(world)
        only_durham = world.pair.instances[DURHAM].rows[before:]
        plan = await broken(world)
        await world.until(lambda: len(world.pair.instances[MORPETH].rows) > before + 10)
        world.pair.instances[DURHAM].receiving = True
        await come_back(world)
        await store_back(world)
        acted = await reconciled(world.morpeth)
        assert any(
            line.startswith("morpeth has accepted writes of crm under break-glass-") for line in acted.lines
        )
        await world.until(lambda: bool(world.runs("rejoin")) and world.runs("rejoin")[-1].state == "done")
        assert set(only_durham) <= set(world.pair.kept[f"/saved/{DURHAM}"])
        rejoin = world.runs("rejoin")[-1]
        assert any(f"kept at /saved/{DURHAM}" in line for line in rejoin.report)
        assert (await world.detail(rejoin.run, world.morpeth)).report == list(rejoin.report)
        for site in (world.durham, world.morpeth):
            while not (
                told := [e for e in await on_file(site, "accepted") if e.data.get("run") == rejoin.run]
            ):
                pass
            assert f"kept at /saved/{DURHAM}" in told[0].text
        ours = [entry for entry in await on_file(world.morpeth, "accepted") if entry.data.get("certificate")]
        assert ours[0].data["bytes"] > 0
        glass = await world.detail(plan.run, world.durham)
        assert glass.report == ours[0].data["lines"], "the run that broke the glass is published afterwards"


async def test_a_report_is_kept_once_however_often_it_is_read() -> None:
    async with two_sites(estate(max_data_loss="1h")) as world:
        world.pair.instances[MORPETH].receiving = False
        world.writer()
        await world.until(lambda: len(world.pair.instances[DURHAM].rows) > 5)
        await world.lose(DURHAM)
        await world.until(lambda: world.open_at(MORPETH))
        await world.bring_back(DURHAM)
        await world.until(lambda: bool(world.runs("rejoin")) and world.runs("rejoin")[-1].state == "done")
        await until_on_file(world.morpeth, "accepted")
        await world.morpeth.kill_controller()
        await world.morpeth.start()
        await world.until(lambda: world.steady(at=MORPETH))
        assert len(await on_file(world.morpeth, "accepted")) == 1


async def test_a_new_store_is_accepted_where_glass_was_broken_though_the_other_site_is_gone() -> None:
    """P31, P33: the certificate decides who owns it; nobody else is left to ask."""

    def asks_for_a_word() -> bool:
        keeper = world.morpeth.controller.view().keeper
        settled = keeper is not None and keeper.phase == "active" and not keeper.store_problem
        return settled and keeper.word_needed and world.morpeth.controller.view().peer_lease_over

    async with two_sites() as world:
        await alone(world)
        plan = await broken(world)
        assert plan.certificate is not None
        world.cluster.restore(Table())  # the members that had the majority are lost: a new one is built
        world.heal_store(MORPETH)
        await world.until(lambda: distrusts(world.morpeth))
        async with world.morpeth.api() as client:
            unnamed = await client.plan_store(StorePlanRequest(reason="a test"))
            assert unnamed.refusal is not None
            assert unnamed.refusal.code == "owner-serves"
            named = await client.plan_store(StorePlanRequest(owners={"crm": MORPETH}, reason="a test"))
            assert named.refusal is None
            assert named.certificate is not None
            await client.accept_store(
                StoreOrder(certificate=named.certificate.id, confirmed_site=named.confirm_site)
            )
        await world.until(lambda: world.record() is not None)
        assert world.owned().primary == MORPETH
        assert world.owned().epoch > plan.certificate.epoch
        await world.until(asks_for_a_word)
        draft = await certify_peer(world.morpeth)
        async with world.morpeth.api() as client:
            await client.use(draft.id, CertificateOrder(confirmed_site=DURHAM))
        await world.until(lambda: keeper_of(world.morpeth).glass == ())
        await world.until(lambda: world.morpeth.decision() == "unprotected")
        assert world.open_at(MORPETH)


async def test_reconciling_is_refused_while_the_store_is_away_and_where_no_glass_was_broken() -> None:
    async with two_sites() as world:
        await alone(world)
        assert (await not_reconciled(world.morpeth)).code == "nothing-to-reconcile"
        await broken(world)
        assert (await not_reconciled(world.morpeth)).code == "no-quorum"
        await come_back(world)
        refusal = await not_reconciled(world.durham)
        assert refusal.code == "nothing-to-reconcile"
        async with world.morpeth.api() as client:
            with pytest.raises(WrongRequest, match="no service 'nosuch'"):
                await client.reconcile(ReconcileRequest(service="nosuch", reason="r"))
            with pytest.raises(WrongRequest, match="--reason"):
                await client.reconcile(ReconcileRequest(service="crm", reason=""))


async def test_reconciling_is_refused_while_the_other_side_is_not_proven_shut() -> None:
    async with two_sites() as world:
        await alone(world)
        await broken(world)
        await come_back(world)
        world.pair.cut_off(DURHAM, by=(MORPETH,))
        await store_back(world)
        await world.until(lambda: DURHAM not in fresh(world.morpeth))
        assert (await not_reconciled(world.morpeth)).code == "peer-not-fenced"
        assert world.owned().primary == DURHAM
        world.pair.reach_again()
        await world.until(lambda: fresh(world.morpeth).get(DURHAM) is Role.STANDBY)
        await reconciled(world.morpeth)
        await world.until(lambda: world.steady(at=MORPETH))


def fresh(site: Site) -> dict[str, Role]:
    """The roles that it knows now."""
    view = site.controller.view()
    samples = view.services[0].samples
    return {name: sample.role for name, sample in samples.items() if sample.role is not Role.UNKNOWN}


async def test_a_lost_other_side_need_not_be_seen_it_was_certified() -> None:
    async with two_sites() as world:
        await alone(world)
        await broken(world)
        await store_back(world)  # the witness alone comes back
        await world.until(lambda: world.morpeth.controller.view().peer_lease_over)
        acted = await reconciled(world.morpeth)
        assert any("was certified as off" in line for line in acted.lines)
        assert any("twinsite certify durham --down" in line for line in acted.lines)
        assert world.owned().primary == MORPETH
        await world.until(lambda: world.open_at(MORPETH))


async def test_nothing_else_is_ordered_of_a_service_under_glass() -> None:
    async with two_sites() as world:
        await alone(world)
        await broken(world)
        await come_back(world)
        await store_back(world)
        for verb in ("failover", "switchover"):
            refusal = await refusal_of(plan_glass(world.morpeth, verb=verb, certify_down=None))
            assert refusal.code == "break-glass"


# --- two persons -----------------------------------------------------------------------------------------


async def test_two_persons_break_the_glass_where_the_estate_asks_for_them() -> None:
    async with two_sites(with_access(TWO_PEOPLE)) as world:
        await alone(world)
        plan = await plan_glass(world.morpeth)
        assert plan.certificate is not None
        assert plan.certificate.needs_second
        name = plan.certificate.id
        assert not any("approve" in line for line in (await look(world.morpeth)).status.warnings)
        async with world.morpeth.api() as client:
            await client.certificate(name)  # as the command does that waits
        told = await look(world.morpeth)
        assert any(f"twinsite certify approve {name}" in line for line in told.status.warnings)
        assert (await refusal_of(order(world.morpeth, plan))).code == "second-person-missing"
        async with world.morpeth.api() as client:
            refusal = await refusal_of(client.approve(name, ApproveOrder(confirmed_site=DURHAM)))
            assert refusal.code == "second-person-same"
        desk = world.morpeth.controller.certificates
        assert desk is not None
        refusal = await refusal_here(desk.approve(name, MORPETH, "ann@morpeth"))
        assert refusal.code == "not-confirmed"
        assert world.pair.writable == []
        await desk.approve(name, DURHAM, "ann@morpeth")
        async with world.morpeth.api() as client:
            assert (await client.certificate(name)).second_person == "ann@morpeth"
        await order(world.morpeth, plan)
        await world.until(lambda: world.open_at(MORPETH))
        (path,) = kept_in(world.morpeth)
        assert certificate_of(path.read_text()).second_person == "ann@morpeth"
        assert [
            entry.data["certificate"]["id"] for entry in await on_file(world.morpeth, "certificate-approved")
        ] == [name]


async def refusal_here(work: Any) -> Refusal:
    """A refusal met without the API between."""
    from orchestrator.refusing import OrderRefused

    with pytest.raises(OrderRefused) as met:
        await work
    return met.value.refusal


async def test_a_certificate_is_used_once_and_by_whoever_drew_it_up() -> None:
    async with two_sites() as world:
        await alone(world)
        plan = await plan_glass(world.morpeth)
        assert plan.certificate is not None
        desk = world.morpeth.controller.certificates
        assert desk is not None
        refusal = await refusal_here(desk.put_on_file(plan.certificate.id, "ann@morpeth", ""))
        assert refusal.code == "certificate-of-another"
        refusal = await refusal_here(desk.approve(plan.certificate.id, DURHAM, "ann@morpeth"))
        assert refusal.code == "nothing-to-approve"
        await order(world.morpeth, plan)
        await world.until(lambda: world.open_at(MORPETH))
        refusal = await refusal_here(desk.put_on_file(plan.certificate.id, plan.certificate.who, ""))
        assert refusal.code == "certificate-unknown"
        async with world.morpeth.api() as client:
            assert (await client.certificate(plan.certificate.id)).expires_in_seconds is None
            assert (await refusal_of(client.certificate("../journal"))).code


# --- signatures ------------------------------------------------------------------------------------------


def key_pair(world: TwoSites, name: str) -> ec.EllipticCurvePrivateKey:
    """An operator's key; the public one lies where the estate says."""
    key = ec.generate_private_key(ec.SECP256R1())
    for site in world.sites.values():
        (site.directory / f"{name}.pub").write_bytes(public_pem(key.public_key()))
    return key


async def test_only_an_operator_whose_key_is_known_signs() -> None:
    async with two_sites(with_access({"operators": {"jo": "jo.pub", "ann": "ann.pub"}})) as world:
        jo, stranger = key_pair(world, "jo"), ec.generate_private_key(ec.SECP256R1())
        await alone(world)
        unread = [line for line in (await look(world.morpeth)).status.warnings if "access.operators" in line]
        assert unread == [
            "access.operators.ann: ann.pub cannot be read here, so what ann signs would be refused"
        ]
        plan = await plan_glass(world.morpeth)
        assert plan.certificate is not None
        body = plan.certificate.body
        assert (await refusal_of(order(world.morpeth, plan))).code == "signature-missing"
        for signature in (signed(body, stranger), signed({**body, "epoch": 9}, jo), "no signature"):
            assert (await refusal_of(order(world.morpeth, plan, signature))).code == "signature-unknown"
        assert kept_in(world.morpeth) == []
        assert world.pair.writable == []
        await order(world.morpeth, plan, signed(body, jo))
        await world.until(lambda: world.open_at(MORPETH))
        assert (await on_file(world.morpeth, "certificate"))[0].data["signer"] == "jo"


# --- P32: a cold start -----------------------------------------------------------------------------------


async def cold(world: TwoSites) -> None:
    """Both sites were dark; Morpeth starts, with the witness, and Durham does not."""
    for name in (DURHAM, MORPETH):
        await world.lose(name)
    await world.bring_back(MORPETH)
    world.pair.cut_off(DURHAM)
    await world.until(lambda: world.morpeth.decision() == "peer-word-missing")
    await world.until(lambda: world.morpeth.controller.view().peer_lease_over)


async def certify_peer(at: Site, **fields: Any) -> CertificateStatus:
    """Draw a certificate of the other site up there. Raises Refused."""
    async with at.api() as client:
        return await client.certify(CertifyRequest(**{"site": DURHAM, "reason": REASON} | fields))


async def test_a_site_that_starts_cold_while_the_other_is_gone_opens_by_a_certificate() -> None:
    async with two_sites(estate(services=AT_MORPETH)) as world:
        await cold(world)
        assert world.pair.writable == []
        told = await look(world.morpeth)
        assert "twinsite certify durham --down" in told.service().next_step
        draft = await certify_peer(world.morpeth)
        assert "no glass was broken at durham" in draft.states[1]
        assert "morpeth opens what the store says is its own: crm." in draft.means
        async with world.morpeth.api() as client:
            refusal = await refusal_of(client.use(draft.id, CertificateOrder(confirmed_site=MORPETH)))
            assert refusal.code == "not-confirmed"
            assert world.pair.writable == []
            acted = await client.use(draft.id, CertificateOrder(confirmed_site=DURHAM))
        assert acted.lines[0].startswith("durham is certified as off (peer-")
        await world.until(lambda: world.open_at(MORPETH))
        assert (world.owned().primary, world.owned().epoch) == (MORPETH, 1)
        assert (await on_file(world.morpeth, "certificate"))[0].data["certificate"]["kind"] == "peer"


async def test_a_peer_is_certified_only_where_its_word_is_missing_and_it_is_silent() -> None:
    async with two_sites(estate(services=AT_MORPETH)) as world:
        assert (await refusal_of(certify_peer(world.morpeth))).code == "word-not-needed"
        with pytest.raises(WrongRequest, match="the other site of morpeth is durham"):
            await certify_peer(world.morpeth, site=MORPETH)
        await alone(world)
        assert (await refusal_of(certify_peer(world.morpeth))).code == "no-quorum"
        world.heal_store(MORPETH)
        await world.until(lambda: world.morpeth.decision() == "peer-word-missing")
        await world.until(lambda: keeper_of(world.morpeth).phase == "active")
        await world.until(lambda: world.morpeth.controller.view().peer_lease_over)
        with pytest.raises(WrongRequest, match="--reason"):
            await certify_peer(world.morpeth, reason=" ")
        assert (await certify_peer(world.morpeth)).kind == "peer"


async def test_a_peer_that_broke_the_glass_before_it_was_lost_is_given_up_only_by_name() -> None:
    async with two_sites() as world:
        await alone(world)
        await broken(world)
        await come_back(world)
        world.heal_store(MORPETH)
        await world.until(lambda: keeper_of(world.durham).peer.break_glass)
        assert (await refusal_of(certify_peer(world.durham, site=MORPETH))).code == "lease-still-held"
        await world.lose(MORPETH)
        await world.until(lambda: world.durham.controller.view().peer_lease_over)
        assert (await refusal_of(certify_peer(world.durham, site=MORPETH))).code == "peer-broke-glass"
        draft = await certify_peer(world.durham, site=MORPETH, accept_broken_glass=True)
        assert "what morpeth has accepted since it broke the glass is given up" in draft.states
        async with world.durham.api() as client:
            await client.use(draft.id, CertificateOrder(confirmed_site=MORPETH))
        await world.until(lambda: world.open_at(DURHAM))


# --- P28: a certificate while the store answers ----------------------------------------------------------


async def test_a_certificate_of_death_is_on_file_with_a_quorum_too() -> None:
    async with two_sites(estate(failover="manual")) as world:
        await world.lose(DURHAM)
        await world.until(lambda: world.morpeth.decision() == "manual")
        plan = await world.morpeth.move("failover", certify_down=DURHAM, reason=REASON)
        await world.until(lambda: world.open_at(MORPETH))
        assert plan.certificate is not None
        assert plan.certificate.kind == "down"
        assert any("crm is manual" in line for line in plan.certificate.means)
        (path,) = kept_in(world.morpeth)
        kept = certificate_of(path.read_text())
        assert kept.hosts == (), "it opens no guard"
        run = await world.detail(plan.run, world.morpeth)
        assert kept.id in run.statement


async def test_while_the_peer_holds_every_host_of_everything_it_serves_is_certified() -> None:
    services = {"crm": {"failover": "manual"}, "ebs": {}, "hr": {"home": MORPETH, "standby": DURHAM}}
    async with two_sites(estate(services=services, failover="manual")) as world:
        await world.lose(DURHAM)
        await world.until(lambda: world.morpeth.decision() == "manual")
        controller = world.morpeth.controller
        assert controller.certificates is not None
        view = controller.view()
        assert view.keeper is not None
        assert view.keeper.peer is not None
        holding = replace(view, keeper=replace(view.keeper, peer=replace(view.keeper.peer, hold=True)))
        crm = next(service for service in view.services if service.service.name == "crm")
        request = MoveRequest(verb="failover", service="crm", certify_down=DURHAM, reason=REASON)
        drafter = Drafter(controller, controller.certificates)
        draft = drafter.draft_down(request, holding, crm, 2, "jo@morpeth")
        serves = {name for name in ("crm", "ebs", "hr") if world.owned(name).primary == DURHAM}
        assert "crm" in serves
        assert set(draft.body["covers"]) == serves
        assert draft.states[0].startswith("every host of every service that durham is primary for is off")
        assert any("its silence proves nothing" in line for line in draft.means)


# --- guards ----------------------------------------------------------------------------------------------


GUARD_AT = {"hosts": {DURHAM: "db", MORPETH: "db"}}


@pytest.mark.skipif(shutil.which("openssl") is None, reason="a guard checks signatures with openssl")
async def test_the_guard_gets_the_certificate_opens_on_it_and_takes_the_lease_again_afterwards() -> None:
    access = Access.model_validate({"operators": {"jo": "jo.pub"}})
    of = estate(lab=False, guards=True, guard=GUARD_AT).model_copy(update={"access": access})
    async with two_sites(of) as world:
        world.link.up = False
        jo = key_pair(world, "jo")
        guard = world.morpeth.guards["crm"]
        guard.operators, guard.folder = [world.morpeth.directory / "jo.pub"], str(world.morpeth.directory)
        await alone(world)
        assert not guard.state.open
        plan = await plan_glass(world.morpeth)
        assert plan.certificate is not None
        await order(world.morpeth, plan, signed(plan.certificate.body, jo))
        await world.until(lambda: world.open_at(MORPETH))
        await world.until(lambda: guard.recorded == [plan.certificate.id])
        assert guard.state.certified == plan.certificate.epoch
        guard.take(GuardGone())  # its controller is out of reach for good: the certificate holds by itself
        await asyncio.sleep(2 * world.estate.ownership.lease_duration_seconds)
        assert guard.state.open
        assert world.open_at(MORPETH)
        world.link.up = True
        await come_back(world)
        await store_back(world)
        await reconciled(world.morpeth)
        await world.until(lambda: keeper_of(world.morpeth).glass == ())
        await world.until(lambda: guard.state.certified is None and guard.state.deadline_ns is not None)
        assert guard.memory.epoch == world.owned().epoch > plan.certificate.epoch
        assert not guard.state.manual
        assert world.open_at(MORPETH)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="a guard checks signatures with openssl")
async def test_a_guard_refuses_what_its_operators_did_not_sign_for_it() -> None:
    of = estate(lab=False, guards=True, guard=GUARD_AT, failover="manual")
    async with two_sites(of) as world:
        jo, stranger = key_pair(world, "jo"), ec.generate_private_key(ec.SECP256R1())
        guard = world.morpeth.guards["crm"]
        guard.operators, guard.folder = [world.morpeth.directory / "jo.pub"], str(world.morpeth.directory)
        good = Certificate(
            id="break-glass-1",
            kind=CertificateKind.BREAK_GLASS,
            site=MORPETH,
            down=DURHAM,
            service="crm",
            epoch=7,
            hosts=("db",),
            reason=REASON,
            who="jo@morpeth",
            when="2026-11-23T03:12:07Z",
        )
        for change, key, said in (
            ({}, stranger, "no operator known here"),
            ({"service": "ebs"}, jo, "for service 'ebs'"),
            ({"hosts": ("app",)}, jo, "names the hosts app"),
            ({"hosts": ()}, jo, "names the hosts"),
            ({"down": MORPETH}, jo, "certifies morpeth itself"),
        ):
            bad = replace(good, **change)  # type: ignore[arg-type]
            guard.certificate(replace(bad, signature=signed(bad.body, key)).text())
            assert said in guard.refused[-1]
        assert guard.recorded == []
        guard.certificate(replace(good, epoch=0, signature=signed(replace(good, epoch=0).body, jo)).text())
        assert "not a certificate" in guard.refused[-1]
        guard.certificate(replace(good, signature=signed(good.body, jo)).text())
        assert guard.recorded == ["break-glass-1"]
        assert guard.memory.epoch == 7
        lower = replace(good, epoch=6)
        guard.certificate(replace(lower, signature=signed(lower.body, jo)).text())
        assert guard.refused[-1] == "older-epoch"
