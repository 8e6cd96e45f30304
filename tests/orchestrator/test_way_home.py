"""`plan failback` from the first minute after a failover until the service is home again. Nothing of the last
stage ever happens by itself."""

from orchestrator.api.shapes import MovePlan, MoveRequest, WayHomeStage
from tests.orchestrator.looking import refusal_of
from tests.orchestrator.two_sites import DURHAM, MORPETH, Site, TwoSites, two_sites


async def planned(site: Site) -> MovePlan:
    """The plan as that site draws it up now."""
    async with site.api() as client:
        return await client.plan(MoveRequest(verb="failback", service="crm"))


def stages(plan: MovePlan) -> dict[str, WayHomeStage]:
    """The stages of its way home, by name."""
    assert plan.way_home is not None
    return {one.stage: one for one in plan.way_home.stages}


def unprotected(world: TwoSites) -> list[bool]:
    """Whether each site still counts it as such."""
    minds = [site.controller.minds["crm"] for site in world.sites.values()]
    return [mind.unprotected_since_unix_seconds is not None for mind in minds]


async def test_the_way_home_is_planned_from_the_first_minute_and_ends_with_a_persons_order() -> None:
    async with two_sites() as world:
        world.pair.instances[MORPETH].receiving = False  # the last row never arrives
        world.pair.write()
        await world.lose(DURHAM)
        await world.until(lambda: world.open_at(MORPETH) and world.owned().movement == "steady")
        await world.until(lambda: world.morpeth.decision() == "unprotected")

        plan = await planned(world.morpeth)
        assert plan.way_home is not None
        assert (plan.way_home.home, plan.way_home.primary, plan.way_home.next_stage) == (DURHAM, MORPETH, 1)
        assert plan.way_home.unprotected_since is not None
        found = stages(plan)
        assert [one.state for one in found.values()] == ["next", *["later"] * 4]
        controller, database = found["answers"].waits_for
        assert controller.startswith("durham's controller: not heard of for")
        assert database == "crm's database at durham: it does not answer from here: no route to host"
        assert "the failover said: crm loses at most" in found["saved"].words
        assert (found["rejoined"].likely_seconds, found["rejoined"].times) == (None, 0)
        assert plan.refusal is not None, "it cannot be ordered yet"
        assert plan.lines, "the move home itself is planned already"
        assert (await refusal_of(world.morpeth.move("failback"))).code == plan.refusal.code

        world.pair.instances[MORPETH].receiving = True
        await world.bring_back(DURHAM)
        await world.until(lambda: world.steady(at=MORPETH) and not any(unprotected(world)))
        for site in world.sites.values():
            plan = await planned(site)
            found = stages(plan)
            assert [one.state for one in found.values()] == [*["done"] * 4, "next"]
            assert found["saved"].words.endswith("is kept at /saved/durham on its host")
            assert found["moved"].waits_for == [
                "a person's order, which nothing replaces: `twinsite failback crm`"
            ]
            assert (plan.refusal, plan.way_home.unprotected_since) == (None, None)
        assert world.owned().primary == MORPETH, "nothing has gone home by itself"

        await world.durham.move("failback", reason="it is whole again")
        await world.until(lambda: world.steady(at=DURHAM))
        assert (await refusal_of(planned(world.durham))).code == "owned"


async def test_how_long_it_took_before_is_what_it_is_expected_to_take() -> None:
    async with two_sites() as world:
        await world.durham.move("switchover")
        await world.until(lambda: world.steady(at=MORPETH))
        moved = stages(await planned(world.morpeth))["moved"]
        assert moved.times == 1
        assert moved.likely_seconds == moved.cautious_seconds
        assert moved.likely_seconds is not None
        async with world.morpeth.api() as client:
            other = await client.plan(MoveRequest(verb="switchover", service="crm"))
        assert other.way_home is None, "only the way home has one"
