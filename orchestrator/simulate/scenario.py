"""What one seed stands for: a world's setting, what befalls it and when, and what must come of it."""

from dataclasses import dataclass, replace
from random import Random

from orchestrator.core.lease import LeaseTiming
from orchestrator.core.records import Mode
from orchestrator.simulate.clocks import MS, PARTS, SECOND
from orchestrator.simulate.deeds import Deed
from orchestrator.simulate.exact import EXACT, PLACES
from orchestrator.simulate.families import BY_GUARDS, COARSE, FAMILIES, NO_END, Ending, family_of
from orchestrator.simulate.scripts import SCRIPTS
from orchestrator.simulate.weathers import FAIR, SHARP, T_NS
from orchestrator.simulate.world import ServiceSetting, Setting


@dataclass(frozen=True, slots=True)
class Scenario:
    """One seed's scenario."""

    seed: int
    family: str
    setting: Setting
    deeds: tuple[Deed, ...]
    for_ns: int
    steady: bool = True
    ending: Ending = NO_END

    def words(self) -> list[str]:
        """For a person, a line each."""
        setting = self.setting
        timing = setting.timing
        lines = [
            f"  T {timing.lease_duration_ns / 1e9:g} s, D {timing.fence_within_ns / 1e9:g} s",
            f"  e {timing.clock_drift:g}"
            + "".join(f", clocks of {grain / 1e6:g} ms at {site}" for site, grain in setting.grains.items()),
            *(
                f"  service {name}: home {service.home}, {service.mode}, "
                + ("with a gate" if name in setting.gated else "without a gate")
                for name, service in setting.services.items()
            ),
            *(f"  rate of {owner}: {rate / PARTS:g}" for owner, rate in setting.rates.items()),
        ]
        return lines + [f"  at {deed.at_ns / 1e9:.3f} s: {deed.words()}" for deed in self.deeds]


def draw(seed: int) -> Scenario:
    """The scenario of a seed."""
    random = Random(seed)
    family = family_of(seed)
    drift = random.choice((0.005, 0.005, 0.05, 0.25))
    coarse = random.choice(("", "y") if family.tight else COARSE)
    homes = random.choice(family.services)
    services = {
        name: ServiceSetting(home, Mode.MANUAL if random.random() < family.manual_share else Mode.AUTOMATIC)
        for name, home in homes.items()
    }
    weather = random.choice(family.weathers)
    timings = {}
    if family.change:
        timings[random.choice(("x", "y"))] = timing_of(T_NS * random.choice((3, 5, 6)) // 4, drift)
    prompt = family.prompt or bool(coarse)
    near = SHARP if family.tight else FAIR
    worst = 0.8 if family.tight else 0.4
    fence_shares = (1.0,) if family.tight else (0.5, 1.0) if family.prompt else (0.0, 0.5, 1.0)
    setting = Setting(
        timing=timing_of(T_NS, drift),
        timings=timings,
        services=services,
        weather=weather,
        near=replace(weather, late_share=0.0) if random.random() < 0.5 else near,
        guard_every_ns=family.guard_every_ns,
        rates=_apart(random) if family.apart else _rates(random, drift, list(services), worst=worst),
        gated=frozenset(name for name in services if random.random() < family.gated_share),
        eager=random.random() < family.eager_share and not family.decides,
        decides=family.decides,
        certifiable=family.certifiable,
        restores=family.restores,
        drivers=family.name not in BY_GUARDS or Random(seed + 1_000_000_007).random() < 0.6,
        grains=dict.fromkeys(coarse, 20 * MS if family.tight else 5 * MS),
        lateness_ns=0 if prompt or random.random() < 0.5 else 300 * MS,
        fence_share=random.choice(fence_shares),
    )
    steady = random.random() >= family.cold_share
    for_ns = family.leases * T_NS
    begin_ns = T_NS // 2 if steady else 3 * T_NS
    deeds, ending = SCRIPTS[family.script](random, family, services, begin_ns, for_ns - 2 * T_NS)
    if weather is not FAIR:
        ending = replace(ending, healthy="")  # a lease may end by the weather alone
    exact = EXACT.get((family.name, seed // len(FAMILIES) % PLACES))
    if exact is not None:
        setting, deeds = exact(random, setting, begin_ns, for_ns - 2 * T_NS)
        if family.script not in ("healthy", "held"):  # there x is well whatever is told of it
            ending = NO_END
    return Scenario(seed, family.name, setting, tuple(deeds), for_ns, steady, ending)


def timing_of(lease_ns: int, drift: float) -> LeaseTiming:
    """The timing of a site with that T."""
    return LeaseTiming(
        lease_duration_ns=lease_ns,
        renew_every_ns=SECOND,
        fence_within_ns=500 * MS,
        clock_drift=drift,
        hold_clear_ns=T_NS // 2,
    )


def _apart(random: Random) -> dict[str, int]:
    """Clocks that run further apart than is reckoned with: y counts too fast, or x's guard too slowly."""
    rates = dict.fromkeys(("x", "y", "w", "x/s", "y/s"), PARTS)
    factor = random.randint(16, 30)
    if random.random() < 0.6:
        return rates | {"y": PARTS * factor // 10, "y/s": PARTS * factor // 10}
    return rates | {"x/s": PARTS * 10 // factor}


def _rates(random: Random, drift: float, services: list[str], *, worst: float) -> dict[str, int]:
    owners = ["x", "y", *(f"{site}/{name}" for site in ("x", "y") for name in services)]
    fast = PARTS + int(PARTS * drift)
    if random.random() < worst:  # the worst for what is at one site
        slow = random.choice(("x", "x", "y"))
        return {owner: PARTS if owner.startswith(slow) else fast for owner in owners}
    return {owner: random.choice((PARTS, fast, random.randint(PARTS, fast))) for owner in owners}
