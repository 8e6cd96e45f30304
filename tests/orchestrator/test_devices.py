"""Fencing devices in two whole sites: used for a takeover that lacks nothing else, never against a site that
has any right left, and by a person's order where nothing else is a right."""

from typing import Any

import pytest

from orchestrator.api.client import Refused
from orchestrator.api.shapes import MoveRequest, QuietRequest
from tests.orchestrator.looking import look, refusal_of
from tests.orchestrator.two_sites import DURHAM, MORPETH, TwoSites, estate, two_sites

DB = "durham/db"


def equipped(**differs: Any) -> Any:
    """One service on one host, which the other site can switch off."""
    return estate(devices=("db",), **differs)


async def events(world: TwoSites, kind: str) -> list[dict[str, Any]]:
    """What stands in Morpeth's journal, oldest first."""
    found = await world.morpeth.controller.journal.events(100, kind=kind)
    return [dict(event.data) for event in reversed(found)]


async def lost(world: TwoSites) -> None:
    """Durham goes silent, and its database cannot be cut off over SSH."""
    world.pair.unfenced.add(DURHAM)
    await world.durham.kill()
    world.pair.cut_off(DURHAM, by=(MORPETH,))


async def moved(world: TwoSites) -> None:
    await world.until(lambda: world.record() is not None and world.open_at(MORPETH))


# --- by itself ----------------------------------------------------------------------------------------


async def test_a_fence_that_must_be_confirmed_is_by_devices_when_the_site_is_lost_whole() -> None:
    async with two_sites(equipped(fence="confirm")) as world:
        await lost(world)
        await moved(world)
        assert world.power.asked == [DB]
        assert world.power.off == {DB}
        codes = world.morpeth.decisions()
        assert codes.index("fence-not-confirmed") < codes.index("power-off") < codes.index("take-over")
        ordered, ended = await events(world, "power-off"), await events(world, "powered-off")
        assert [(each["service"], each["ordered"], each["who"]) for each in ordered] == [
            ("crm", False, "controller of morpeth")
        ]
        assert ended[0]["verified"] is True
        assert ended[0]["hosts"] == {
            DB: {"off": True, "code": "", "evidence": "fence_test off: ended with 0; status: off"}
        }
        told = await look(world.morpeth)
        (line,) = [line for line in told.status.warnings if DB in line]
        assert "switched off by morpeth" in line
        assert "stays off until somebody switches it on" in line
        assert any("to bring durham/db back" in line for line in told.explained["crm"].power)
        run = await world.detail(world.runs("failover")[0].run, world.morpeth)
        assert "verified cut: durham/db is off" in run.statement
        (taken,) = [each for each in await events(world, "decision") if each["code"] == "take-over"]
        gate = next(gate for gate in taken["gates"] if gate["number"] == 8)
        assert (gate["ok"], "verified cut: durham/db is off" in gate["evidence"]) == (True, True)


async def test_an_old_primary_that_goes_on_is_switched_off_and_then_replaced() -> None:
    """Its controller is gone, its lease is over, and it is still seen to accept writes: its fence failed."""
    async with two_sites(equipped()) as world:
        world.writer()
        world.pair.unfenced.add(DURHAM)
        await world.durham.kill()
        await world.until(lambda: "old-primary-writable" in world.morpeth.decisions())
        await moved(world)
        assert world.power.off == {DB}
        assert not world.pair.doubly_writable
        assert world.owned().epoch == 2


async def test_a_link_that_is_down_switches_nothing_off() -> None:
    async with two_sites(equipped(fence="confirm")) as world:
        world.pair.cut_off(DURHAM, by=(MORPETH,))
        world.pair.cut_off(MORPETH, by=(DURHAM,))
        await world.until(lambda: world.morpeth.decision() == "link-down")
        await world.until(lambda: world.durham.decision() == "link-down")
        assert world.power.asked == []


async def test_a_site_that_is_back_within_hold_down_is_left_alone() -> None:
    async with two_sites(equipped(fence="confirm", hold_down="60s")) as world:
        await lost(world)
        await world.until(lambda: world.morpeth.decision() == "hold-down")
        await world.until(lambda: (MORPETH, "fence", DURHAM) in world.pair.said)
        assert world.power.asked == []
        world.pair.reach_again()
        await world.durham.start()
        await world.until(lambda: world.steady(at=DURHAM))
        assert (world.power.asked, world.owned().epoch) == ([], 1)


@pytest.mark.parametrize("reason", ["paused", "manual", "lag-above-limit"])
async def test_what_would_not_move_all_the_same_is_not_switched_off(reason: str) -> None:
    differs: dict[str, Any] = {
        "manual": {"failover": "manual"},
        "lag-above-limit": {"max_data_loss": "100ms"},
    }
    async with two_sites(equipped(fence="confirm", **differs.get(reason, {}))) as world:
        if reason == "paused":
            async with world.morpeth.api() as client:
                await client.pause(QuietRequest(service="crm", seconds=600.0, reason="a test"))
            await world.until(lambda: world.owned().pause is not None)
        await lost(world)
        await world.until(lambda: world.morpeth.decision() == reason)
        told = await look(world.morpeth)
        assert told.service().diagnosis == "site-dark"
        assert world.power.asked == []


async def test_a_machine_on_which_a_manual_service_may_be_served_is_not_switched_off_without_a_person() -> (
    None
):
    services = {"crm": {"fence": "confirm"}, "payroll": {"failover": "manual"}}
    async with two_sites(equipped(services=services)) as world:
        await lost(world)
        world.pairs["payroll"].cut_off(DURHAM, by=(MORPETH,))
        await world.until(lambda: world.morpeth.decision() == "fence-not-confirmed")
        await world.until(lambda: (MORPETH, "fence", DURHAM) in world.pair.said)
        told = await look(world.morpeth)
        assert any("payroll may be served there by right" in line for line in told.explained["crm"].power)
        assert world.power.asked == []
        assert world.open_at(DURHAM, "payroll")


async def test_half_a_service_is_never_switched_off() -> None:
    async with two_sites(estate(devices=("db", "app"), bare=("app",), fence="confirm")) as world:
        await lost(world)
        await world.until(lambda: world.morpeth.decision() == "fence-not-confirmed")
        await world.until(lambda: (MORPETH, "fence", DURHAM) in world.pair.said)
        assert world.power.asked == []


async def test_devices_that_fail_confirm_nothing_are_told_of_and_are_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("orchestrator.devices.AGAIN_SECONDS", 0.5)
    async with two_sites(equipped(fence="confirm", lease="3s")) as world:
        world.power.fails.add(DB)
        await lost(world)
        await world.until(lambda: len(world.power.asked) > 1)
        assert world.owned().primary == DURHAM
        gates = [
            each["gates"] for each in await events(world, "decision") if each["code"] == "fence-not-confirmed"
        ]
        assert any("device-failed" in gate["evidence"] for gate in gates[-1])
        ended = await events(world, "powered-off")
        assert (ended[0]["verified"], ended[0]["code"]) == (False, "device-failed")
        told = await look(world.morpeth)
        assert any("not known to be off" in line for line in told.status.warnings)
        world.power.fails.clear()
        await moved(world)


async def test_devices_that_hang_keep_no_other_service_waiting() -> None:
    services = {
        "crm": {"fence": "confirm", "replication": {"driver": "postgres", "host": "db"}},
        "ebs": {"replication": {"driver": "postgres", "host": "app"}},
    }
    async with two_sites(estate(devices=("db", "app"), services=services, lease="3s")) as world:
        world.power.hangs.add(DB)
        world.pairs["ebs"].cut_off(DURHAM, by=(MORPETH,))
        world.pairs["ebs"].kill(DURHAM)
        await lost(world)
        await world.until(lambda: world.morpeth.decision() == "power-off")
        await world.until(lambda: world.open_at(MORPETH, "ebs"))
        assert world.owned().primary == DURHAM
        world.power.late.set()
        await moved(world)


async def test_a_cut_that_comes_when_the_site_is_back_counts_for_nothing() -> None:
    async with two_sites(equipped(fence="confirm")) as world:
        world.power.hangs.add(DB)
        await lost(world)
        await world.until(lambda: world.power.asked == [DB])
        world.pair.reach_again()
        await world.durham.start()
        await world.until(lambda: world.steady(at=DURHAM))
        assert world.owned().epoch == 1
        world.pair.unfenced.clear()
        world.power.late.set()
        await world.until(lambda: world.power.off == {DB})
        assert world.morpeth.controller.view().services[0].power.device != "cut"


async def test_hosts_are_switched_off_behind_a_takeover_that_asked_for_no_confirmation() -> None:
    """After it, so that no site that might still come back is switched off."""
    async with two_sites(equipped()) as world:
        await lost(world)
        world.pair.kill(DURHAM)
        await moved(world)
        await world.until(lambda: world.power.asked == [DB])
        ended = await events(world, "powered-off")
        assert ended[0]["run"] == world.runs("failover")[0].run


async def test_a_database_that_answers_as_writable_after_it_was_said_to_be_off_is_believed() -> None:
    async with two_sites(equipped(fence="confirm")) as world:
        world.power.switch_off = lambda site, host: None  # type: ignore[method-assign]  # of another machine
        world.pair.unfenced.add(DURHAM)
        await world.durham.kill()
        await world.until(lambda: world.power.asked == [DB])
        await world.until(lambda: world.morpeth.decision() == "old-primary-writable")
        (gate,) = [gate for gate in (await look(world.morpeth)).explained["crm"].gates if gate.number == 2]
        assert "ago it was said to be off" in gate.evidence
        assert world.owned().primary == DURHAM


async def test_what_was_switched_off_is_known_after_a_restart_of_the_controller() -> None:
    async with two_sites(equipped(fence="confirm")) as world:
        await lost(world)
        await moved(world)
        await world.morpeth.stop_controller()
        await world.morpeth.start()
        await world.until(lambda: world.morpeth.decision() != "")
        told = await look(world.morpeth)
        assert any(DB in line and "switched off" in line for line in told.status.warnings)


# --- by a person's order ------------------------------------------------------------------------------


async def test_a_manual_service_is_moved_by_a_verified_cut_and_the_plan_says_what_is_done_first() -> None:
    async with two_sites(equipped(failover="manual", max_data_loss="60s")) as world:
        world.pair.unfenced.add(DURHAM)
        await world.durham.kill()
        await world.until(lambda: world.morpeth.decision() == "manual")
        assert world.open_at(DURHAM), "nothing ends a manual service"
        async with world.morpeth.api() as client:
            plan = await client.plan(
                MoveRequest(verb="failover", service="crm", power_off=DURHAM, reason="nobody answers")
            )
        assert plan.refusal is None
        assert plan.confirm_site == DURHAM
        assert "durham/db is switched off, at once and without a shutdown (fence_test)" in plan.power_off
        assert any("nothing is taken unless" in line for line in plan.power_off)
        assert "nor what durham accepts until its hosts are off; it is said again then" in plan.statement
        assert world.power.asked == []
        await world.morpeth.move("failover", power_off=DURHAM, reason="nobody answers")
        await moved(world)
        run = await world.detail(world.runs("failover")[0].run, world.morpeth)
        assert [step.step for step in run.steps] == [
            "ownership/power-off",
            "ownership/take-over",
            "ownership/still-off",
            "promote/database",
            "ownership/settle",
        ]
        assert run.state == "done"
        assert run.statement.startswith("crm loses at most ")
        assert "until its hosts are off" not in run.statement, "it was said anew when they were"
        assert "has durham/db switched off first: nobody answers" in run.statement
        assert run.loss_bound_seconds is not None
        ended = (await events(world, "powered-off"))[0]
        assert (ended["ordered"], ended["why"], ended["run"]) == (True, "nobody answers", run.run)
        assert not world.pair.doubly_writable


async def test_a_failed_cut_takes_nothing_and_says_what_is_off_now() -> None:
    async with two_sites(estate(devices=("db", "app"), failover="manual")) as world:
        world.power.fails.add("durham/app")
        await lost(world)
        await world.until(lambda: world.morpeth.decision() == "manual")
        await world.morpeth.move("failover", power_off=DURHAM, reason="a test")
        controller = world.morpeth.controller
        await world.until(lambda: bool(controller.devices.outcomes) and not controller.minds["crm"].run)
        (progress,) = controller.mover.progress.values()
        told = str(progress.steps["ownership/power-off"])
        assert "device-failed" in told
        assert "durham/app" in told
        assert (world.owned().primary, world.owned().epoch) == (DURHAM, 1)
        warnings = (await look(world.morpeth)).status.warnings
        assert any("durham/db switched off" in line for line in warnings)
        assert any("durham/app: ordered off" in line for line in warnings)


@pytest.mark.parametrize(
    ("verb", "asked", "code"),
    [
        ("failover", {"power_off": MORPETH}, "wrong-request"),
        ("failover", {"power_off": DURHAM, "reason": ""}, "wrong-request"),
        ("failover", {"power_off": DURHAM, "certify_down": DURHAM}, "wrong-request"),
        ("switchover", {"power_off": DURHAM}, "wrong-request"),
    ],
)
async def test_orders_that_do_not_fit_are_refused(verb: str, asked: dict[str, str], code: str) -> None:
    async with two_sites(equipped(failover="manual")) as world:
        async with world.morpeth.api() as client:
            request = MoveRequest(verb=verb, service="crm", **{"reason": "a test", **asked})  # type: ignore[arg-type]
            assert (await refusal_of(client.plan(request))).code == code
        assert world.power.asked == []


async def test_a_site_that_has_its_lease_is_not_switched_off_for_an_automatic_service() -> None:
    async with two_sites(equipped()) as world, world.morpeth.api() as client:
        plan = await client.plan(
            MoveRequest(verb="failover", service="crm", power_off=DURHAM, reason="a test")
        )
        assert plan.refusal is not None
        assert plan.refusal.code in ("lease-still-held", "old-primary-writable")
        with pytest.raises(Refused):
            await world.morpeth.move("failover", power_off=DURHAM, reason="a test")
        assert world.power.asked == []


async def test_a_manual_service_that_answers_under_a_living_controller_is_for_a_switchover() -> None:
    async with two_sites(equipped(failover="manual")) as world, world.morpeth.api() as client:
        plan = await client.plan(
            MoveRequest(verb="failover", service="crm", power_off=DURHAM, reason="a test")
        )
        assert plan.refusal is not None
        assert plan.refusal.code == "old-primary-writable"


async def test_without_a_device_for_every_host_nothing_can_be_ordered() -> None:
    async with two_sites(estate(devices=("db", "app"), bare=("app",), failover="manual")) as world:
        await lost(world)
        await world.until(lambda: world.morpeth.decision() == "manual")
        async with world.morpeth.api() as client:
            plan = await client.plan(
                MoveRequest(verb="failover", service="crm", power_off=DURHAM, reason="a test")
            )
        assert plan.refusal is not None
        assert plan.refusal.code == "device-missing"


# --- on a quiet day -----------------------------------------------------------------------------------


async def test_a_device_that_does_not_answer_is_told_of_before_it_is_needed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("orchestrator.device_patrol.AGAIN_SECONDS", 0.05)
    async with two_sites(equipped(), prepare=lambda world: world.power.fails.add(DB)) as world:
        await world.until(lambda: any(seen.silent for seen in world.morpeth.controller.device_patrol.seen))
        told = await look(world.morpeth)
        (line,) = [line for line in told.status.warnings if "device" in line]
        assert "fence_test of durham/db does not answer morpeth" in line
        assert told.metric("fence_device_up", site=DURHAM, host="db") == 0
        told = await look(world.durham)
        assert told.metric("fence_device_up", site=MORPETH, host="db") == 1
        assert world.power.asked == []


async def test_what_was_switched_off_is_counted() -> None:
    async with two_sites(equipped(fence="confirm")) as world:
        await lost(world)
        await moved(world)
        told = await look(world.morpeth)
        assert told.metric("hosts_switched_off", site=DURHAM) == 1
        assert told.metric("power_cuts_total", outcome="verified") == 1
