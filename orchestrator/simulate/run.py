"""Run one seed: the same world, the same end, on any machine."""

from dataclasses import dataclass, replace

from orchestrator.simulate.checks import Violation
from orchestrator.simulate.deeds import Deed, carry_out
from orchestrator.simulate.families import Ending
from orchestrator.simulate.scenario import Scenario, draw
from orchestrator.simulate.world import World


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a scenario."""

    seed: int
    family: str
    violations: tuple[Violation, ...]
    steps: int
    print: int
    """A number that two runs share only if they were the same."""


def run_seed(seed: int) -> Outcome:
    """The seed's scenario, run."""
    scenario = draw(seed)
    return outcome_of(scenario, play(scenario))


def outcome_of(scenario: Scenario, world: World) -> Outcome:
    """What came of it."""
    return Outcome(
        scenario.seed,
        scenario.family,
        tuple(world.checks.violations),
        world.steps,
        hash((world.steps, world.store.revision, world.random.getrandbits(48))),
    )


def play(scenario: Scenario, *, story: bool = False) -> World:
    """A world in which that scenario has come to its end, or to its first violation."""
    world = World(scenario.setting, scenario.seed, story=story)
    if scenario.steady:
        world.settle_at_home()
    world.start()
    world.replicate()
    world.look_at_voters()
    for deed in scenario.deeds:
        world.after(deed.at_ns, carry_out, world, deed)
    ending = scenario.ending
    if ending.healthy:
        world.after(ending.from_ns, _watch_health, world, ending)
    if ending.dead:
        world.after(ending.from_ns + patience_ns(scenario), world.checks.must_serve, ending.dead)
    world.run(scenario.for_ns)
    return world


def _watch_health(world: World, ending: Ending) -> None:
    world.checks.watch_health(ending.healthy, ending.services, holds=ending.holds)


def patience_ns(scenario: Scenario) -> int:
    """Invariant 5: the lease, a promise that was given at its end, the decision, and the opening."""
    timing = scenario.setting.timing
    return int(2 * timing.lease_duration_ns * (1 + timing.clock_drift)) + 2 * timing.lease_duration_ns


def shrink(scenario: Scenario) -> Scenario:
    """The same violation with fewer deeds and an earlier end."""
    world = play(scenario)
    if not world.checks.violations:
        return scenario
    invariant = world.checks.violations[0].invariant

    def still(deeds: tuple[Deed, ...]) -> bool:
        found = play(replace(scenario, deeds=deeds)).checks.violations
        return bool(found) and found[0].invariant == invariant

    deeds = scenario.deeds
    at = 0
    while at < len(deeds):
        fewer = deeds[:at] + deeds[at + 1 :]
        the_end = scenario.ending.dead and deeds[at].at_ns == scenario.ending.from_ns
        if not the_end and still(fewer):
            deeds = fewer
        else:
            at += 1
    return replace(scenario, deeds=deeds)
