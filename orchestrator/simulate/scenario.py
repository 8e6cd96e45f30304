"""What one seed stands for: a world's setting, what befalls it and when, and what must come of it.

A seed's family is its remainder, so that a search may look at one family alone.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from orchestrator.core.lease import LeaseTiming
from orchestrator.core.records import Mode
from orchestrator.simulate.clocks import MS, PARTS, SECOND
from orchestrator.simulate.deeds import Deed
from orchestrator.simulate.exact import EXACT, PLACES
from orchestrator.simulate.network import Weather
from orchestrator.simulate.restoring import acceptances, accepted_in_calm
from orchestrator.simulate.weathers import EDGE, FAIR, LATE, ROUGH, SHARP, SLOW, STORM, T_NS
from orchestrator.simulate.world import ServiceSetting, Setting


@dataclass(frozen=True, slots=True)
class Ending:
    """A calm end: `dead` stays dead and the other site runs fairly; or `healthy` was never in trouble."""

    dead: str = ""
    healthy: str = ""
    from_ns: int = 0


@dataclass(frozen=True, slots=True)
class Scenario:
    """One seed's scenario."""

    seed: int
    family: str
    setting: Setting
    deeds: tuple[Deed, ...]
    for_ns: int
    steady: bool = True
    ending: Ending = Ending()

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


@dataclass(frozen=True, slots=True)
class Family:
    """A kind of scenario: which weathers, which deeds and how likely, and how many."""

    name: str
    weathers: tuple[Weather, ...]
    deeds: dict[str, int]
    least: int = 3
    most: int = 8
    leases: int = 10
    services: tuple[dict[str, str], ...] = ({"s": "x"}, {"s": "x", "t": "y"}, {"s": "x", "t": "x"})
    manual_share: float = 0.0
    cold_share: float = 0.1
    gated_share: float = 0.5
    eager_share: float = 0.5
    prompt: bool = False
    tight: bool = False
    change: bool = False
    restores: bool = False
    first: str = ""
    script: str = ""


FAULTS = {
    "cut": 4, "part": 3, "isolate": 4, "voter_lost": 2, "store_cut": 6, "guard_cut": 3, "election": 2,
    "stall_keeper": 5, "stall_controller": 3, "stall_guard": 3, "pause_host": 3, "crash_keeper": 5,
    "crash_controller": 2, "crash_guard": 2, "reboot_host": 2, "site_down": 3, "spare": 2, "spare_apart": 1,
    "slow_disk": 2,
}  # fmt: skip
ORDERS = {
    "switch_over": 8, "give_up_dead": 4, "take_over": 4, "claim": 3, "set_mode": 2, "fence_here": 1,
    "certify_down": 1, "touch": 2,
}  # fmt: skip
COARSE = ("", "", "", "", "xy", "x", "y", "y")
"""Sites whose machines have coarse clocks. Every wait is a whole number of their grains: any other would have
to be rounded up to one, which the product, whose clocks show nanoseconds, need not do."""
ONE_EACH = ({"s": "x"}, {"s": "x", "t": "y"})


def _only(*names: str, **more: int) -> dict[str, int]:
    both = FAULTS | ORDERS
    return {name: both[name] for name in names} | more


FAMILIES: tuple[Family, ...] = (
    Family("mixed", (FAIR, ROUGH, LATE, EDGE, SLOW), FAULTS | ORDERS, least=4, most=10),
    Family(
        "lease",
        (FAIR, ROUGH, EDGE, SLOW),
        _only("isolate", "store_cut", "part", "stall_keeper", "stall_controller", "crash_keeper", "election",
              "take_over", "site_down", "stall_guard"),
    ),
    Family(
        "edge",
        (EDGE, EDGE, EDGE, SHARP, STORM),
        _only("isolate", "store_cut", "stall_keeper", "take_over", "cut", isolate=10, stall_keeper=8),
        services=({"s": "x"},), prompt=True, tight=True, least=0, most=2, cold_share=0.0, gated_share=0.1,
        eager_share=0.95, leases=7, script="tight",
    ),
    Family(
        "vows",
        (EDGE, STORM),
        _only("crash_keeper", "take_over", "slow_disk", "cut", "stall_keeper", "spare"),
        services=({"s": "x"},), prompt=True, tight=True, least=0, most=3, cold_share=0.0, gated_share=0.1,
        eager_share=0.95, leases=11, script="vows",
    ),
    Family(
        "moves",
        (ROUGH, LATE, EDGE),
        _only("switch_over", "give_up_dead", "claim", "take_over", "store_cut", "crash_keeper",
              "stall_keeper", "guard_cut", switch_over=16, give_up_dead=8, touch=10),
        services=ONE_EACH, script="moves",
    ),
    Family(
        "late",
        (LATE,),
        _only("switch_over", "give_up_dead", "take_over", "crash_keeper", "stall_keeper", "isolate",
              "store_cut", "election"),
        services=ONE_EACH, prompt=True, eager_share=0.8, gated_share=0.2, least=0, most=4, script="late",
    ),
    Family(
        "promises",
        (FAIR, ROUGH, LATE, EDGE),
        _only("store_cut", "crash_keeper", "take_over", "stall_keeper", "election", "part", "slow_disk",
              store_cut=14, take_over=6, isolate=3),
    ),
    Family(
        "restarts",
        (FAIR, ROUGH, EDGE, STORM),
        _only("crash_keeper", "store_cut", "isolate", "take_over", "give_up_dead", "slow_disk",
              crash_keeper=14, store_cut=10),
        prompt=True,
    ),
    Family(
        "guards",
        (FAIR, ROUGH, EDGE, SLOW),
        _only("guard_cut", "stall_guard", "pause_host", "crash_guard", "reboot_host", "stall_keeper",
              "isolate", "store_cut", "give_up_dead", "switch_over", "slow_disk", "spare", "crash_keeper"),
    ),
    Family(
        "pauses",
        (FAIR, EDGE),
        _only("pause_host", "stall_guard", "crash_guard", "reboot_host", "isolate", "stall_keeper",
              pause_host=12, isolate=8),
        gated_share=1.0, services=ONE_EACH,
    ),
    Family(
        "hold",
        (FAIR, ROUGH, EDGE, EDGE, STORM),
        _only("store_cut", "crash_keeper", "stall_keeper", "isolate", "take_over", "spare",
              "switch_over", "slow_disk", "crash_guard", "give_up_dead", part=10),
        leases=15, least=0, most=3, prompt=True, services=ONE_EACH, cold_share=0.0, eager_share=0.8,
        gated_share=0.3, script="hold",
    ),
    Family(
        "modes",
        (FAIR, ROUGH, EDGE, STORM),
        _only("isolate", "store_cut", "stall_keeper", "crash_keeper", "take_over", "reboot_host",
              "guard_cut", "switch_over", "certify_down", set_mode=16, isolate=8, site_down=4),
        manual_share=0.8, services=ONE_EACH, prompt=True, least=0, most=4, leases=9, eager_share=0.8,
        script="modes",
    ),
    Family(
        "spares",
        (FAIR, ROUGH, EDGE),
        _only("give_up_dead", "switch_over", "isolate", "store_cut", "guard_cut", "crash_keeper",
              "part", spare=10, spare_apart=6, stall_keeper=10),
        services=ONE_EACH, prompt=True, eager_share=0.8, gated_share=0.2, script="spares",
    ),
    Family(
        "two",
        (FAIR, ROUGH, EDGE, STORM),
        _only("isolate", "store_cut", "stall_keeper", "crash_keeper", "take_over", "cut", take_over=10),
        services=({"s": "x", "t": "x"},), prompt=True,
    ),
    Family(
        "change",
        (FAIR, EDGE),
        _only("isolate", "store_cut", "stall_keeper", "take_over", "crash_keeper", isolate=8),
        services=ONE_EACH, prompt=True, change=True,
    ),
    Family(
        "glass",
        (FAIR, ROUGH, EDGE),
        _only("crash_keeper", "part", "isolate", "slow_disk", "store_cut", "stall_keeper", "crash_guard",
              certify_peer=2, part=6, crash_keeper=8, break_glass=4),
        services=ONE_EACH, leases=20, script="glass",
    ),
    Family(
        "restore",
        (FAIR, EDGE),
        _only("isolate", "store_cut", "crash_keeper", "take_over", "switch_over", isolate=8),
        services=ONE_EACH, prompt=True, leases=12, script="restore", restores=True,
    ),
    Family("healthy", (FAIR,), FAULTS | {"take_over": 6}, cold_share=0.0, eager_share=0.0, script="healthy"),
    Family("outage", (FAIR,), {"crash_keeper": 8, "stall_controller": 1}, cold_share=0.0, leases=14,
           eager_share=0.0, script="outage"),
    Family("dead", (FAIR,), FAULTS | ORDERS, cold_share=0.0, most=4, leases=18, eager_share=0.0,
           script="dead"),
)  # fmt: skip
BY_GUARDS = ("guards", "spares", "hold", "modes")
"""Families in which at times no driver gets through."""
NAMES = {family.name: family for family in FAMILIES}


def family_of(seed: int) -> Family:
    """The family of a seed."""
    return FAMILIES[seed % len(FAMILIES)]


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
    fence_shares = (1.0,) if family.tight else (0.5, 1.0) if family.prompt else (0.0, 0.5, 1.0)
    setting = Setting(
        timing=timing_of(T_NS, drift),
        timings=timings,
        services=services,
        weather=weather,
        near=replace(weather, late_share=0.0) if random.random() < 0.5 else near,
        guard_every_ns=150 * MS if family.tight else 900 * MS,
        rates=_rates(random, drift, list(services), worst=0.8 if family.tight else 0.4),
        gated=frozenset(name for name in services if random.random() < family.gated_share),
        eager=random.random() < family.eager_share,
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
        ending = ending if family.script == "healthy" else Ending()  # x is well whatever is told of it
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


def _rates(random: Random, drift: float, services: list[str], *, worst: float) -> dict[str, int]:
    owners = ["x", "y", *(f"{site}/{name}" for site in ("x", "y") for name in services)]
    fast = PARTS + int(PARTS * drift)
    if random.random() < worst:  # the worst for what is at one site
        slow = random.choice(("x", "x", "y"))
        return {owner: PARTS if owner.startswith(slow) else fast for owner in owners}
    return {owner: random.choice((PARTS, fast, random.randint(PARTS, fast))) for owner in owners}


# --- what befalls it -------------------------------------------------------------------------------------

Services = dict[str, ServiceSetting]
Script = tuple[list[Deed], Ending]


def _any(random: Random, family: Family, services: Services, begin_ns: int, end_ns: int) -> Script:
    names, weights = list(family.deeds), list(family.deeds.values())
    count = random.randint(family.least, family.most)
    chosen = random.choices(names, weights, k=count)
    if family.first:
        chosen[0] = family.first
    deeds = []
    at_ns = begin_ns
    for name in chosen:
        # Bunched at times: most dangerous things need two faults at once.
        if random.random() < 0.5:
            at_ns += random.randrange(2 * (end_ns - begin_ns) // count)
        else:
            at_ns += random.randrange(400 * MS)
        deeds.append(Deed(at_ns, name, _arguments(random, name, services)))
    return [deed for deed in deeds if deed.at_ns < end_ns], Ending()


def _glass(random: Random, family: Family, services: Services, begin_ns: int, end_ns: int) -> Script:
    """The witness and x are lost, y serves by a certificate; x comes back, at times before y is reached."""
    lost_ns = begin_ns + T_NS + random.randrange(2 * T_NS)
    x_back_ns = random.randrange(4 * T_NS, 9 * T_NS)
    w_back_ns = random.randrange(3 * T_NS, 9 * T_NS)
    broken_ns = lost_ns + random.randrange(T_NS // 2, 3 * T_NS)
    deeds = [
        Deed(lost_ns + random.randrange(T_NS), "voter_lost", ("w", w_back_ns)),
        Deed(lost_ns + random.randrange(T_NS // 2), "site_down", ("x", x_back_ns)),
        *(Deed(broken_ns + random.randrange(SECOND), "break_glass", ("y", name)) for name in services),
    ]
    if random.random() < 0.5:
        apart_ns = broken_ns + random.randrange(T_NS)
        deeds.append(Deed(apart_ns, "isolate", ("y", random.randrange(2 * T_NS, 9 * T_NS))))
    if random.random() < 0.7:
        deeds.append(Deed(broken_ns + random.randrange(4 * T_NS), "crash_keeper", ("y", 100 * MS)))
    more, ending = _any(random, replace(family, least=0, most=4), services, broken_ns, end_ns)
    return sorted([*deeds, *more], key=lambda deed: deed.at_ns), ending


def _healthy(random: Random, family: Family, services: Services, begin_ns: int, end_ns: int) -> Script:
    """x is well, and reaches a majority; whatever befalls y must not cost x its services."""
    begin_ns += 2 * T_NS
    deeds, _ = _any(random, replace(family, least=4, most=9), services, begin_ns, end_ns)
    return [deed for deed in deeds if _leaves_alone(deed)], Ending(healthy="x", from_ns=begin_ns)


def _leaves_alone(deed: Deed) -> bool:
    """Nothing that touches x, or the way between x and the witness."""
    if deed.name in ("cut", "part"):
        return "y" in deed.arguments
    if deed.name == "voter_lost":
        return bool(deed.arguments[0] == "y")
    if deed.name == "election":
        return bool(deed.arguments[0] < SECOND // 2)
    return bool(deed.name != "witness_lost" and deed.arguments[0] == "y")


def _outage(random: Random, family: Family, services: Services, begin_ns: int, end_ns: int) -> Script:
    """The store is lost whole, the link between the sites holds, and y's keeper restarts again and again."""
    begin_ns += 2 * T_NS
    lost_ns = begin_ns + T_NS + random.randrange(T_NS)
    deeds = [
        Deed(lost_ns, "voter_lost", ("w", 60 * T_NS)),
        Deed(lost_ns, "voter_lost", (random.choice(("x", "y")), 60 * T_NS)),
    ]
    at_ns = lost_ns
    while at_ns < end_ns:
        at_ns += random.randrange(T_NS, 4 * T_NS)
        deeds.append(Deed(at_ns, "crash_keeper", ("y", random.randrange(50 * MS, 600 * MS))))
    return deeds, Ending(healthy="x", from_ns=begin_ns)


def _dead(random: Random, family: Family, services: Services, begin_ns: int, end_ns: int) -> Script:
    """After some trouble x fails for good, and y is well: everything that is automatic comes up at y."""
    dead_ns = end_ns - 7 * T_NS
    deeds, _ = _any(random, family, services, begin_ns, dead_ns - 4 * T_NS)
    deeds = [_ends_before(deed, dead_ns - 2 * T_NS) for deed in deeds if deed.name != "set_mode"]
    how = random.choice(("site_down", "site_down", "isolate", "stall_controller", "crash_keeper"))
    return [*deeds, Deed(dead_ns, how, ("x", 100 * T_NS))], Ending(dead="x", from_ns=dead_ns)


def _ends_before(deed: Deed, end_ns: int) -> Deed:
    """The same deed, over in time."""
    last = deed.arguments[-1]
    if isinstance(last, int) and not isinstance(last, bool) and deed.at_ns + last > end_ns:
        return replace(deed, arguments=(*deed.arguments[:-1], max(1, end_ns - deed.at_ns)))
    return deed


def _tight(random: Random, family: Family, services: Services, begin_ns: int, end_ns: int) -> Script:
    """A site loses its lease once, for certain, and little else happens."""
    site = random.choice(("x", "x", "x", "y"))
    lost_ns = begin_ns + T_NS + random.randrange(T_NS)
    for_ns = random.choice((random.randrange(T_NS, 3 * T_NS // 2), random.randrange(3 * T_NS // 2, 3 * T_NS)))
    loss = random.choice(
        (
            Deed(lost_ns, "store_cut", (site, "up", for_ns)),
            Deed(lost_ns, "store_cut", (site, "up", for_ns)),
            Deed(lost_ns, "store_cut", (site, "down", for_ns)),
            Deed(lost_ns, "isolate", (site, for_ns)),
            Deed(lost_ns, "stall_keeper", (site, for_ns)),
        )
    )
    deeds = [loss]
    if random.random() < 0.25:
        deeds = [
            Deed(lost_ns, "crash_keeper", (site, 50 * MS)),
            Deed(lost_ns + random.randrange(50 * MS, SECOND), "store_cut", (site, "up", for_ns)),
        ]
    more, ending = _any(random, family, services, lost_ns - T_NS, end_ns)
    return sorted([*deeds, *more], key=lambda deed: deed.at_ns), ending


def _vows(random: Random, family: Family, services: Services, begin_ns: int, end_ns: int) -> Script:
    """x lives on y's promises for a while, then loses y too, comes back at times, and y restarts."""
    cut_ns = begin_ns + 2 * T_NS + random.randrange(T_NS)
    apart_ns = cut_ns + random.choice((random.randrange(T_NS, 3 * T_NS), random.randrange(SECOND)))
    for_ns = random.randrange(T_NS, 3 * T_NS)
    deeds = [
        Deed(cut_ns, "store_cut", ("x", random.choice(("up", "down")), random.randrange(4 * T_NS, 8 * T_NS))),
        random.choice(
            (
                Deed(apart_ns, "cut", ("x", "y", for_ns)),
                Deed(apart_ns, "cut", ("y", "x", for_ns)),
                Deed(apart_ns, "part", ("x", "y", for_ns)),
                Deed(apart_ns, "stall_keeper", ("x", for_ns)),
            )
        ),
    ]
    if random.random() < 0.3:
        deeds[1] = Deed(apart_ns, "part", ("x", "y", random.randrange(T_NS, 3 * T_NS // 2)))
        taken_ns = apart_ns + T_NS + random.randrange(SECOND)
        deeds.append(Deed(apart_ns, "slow_disk", ("y", random.randrange(1, 3 * SECOND), False, 2 * T_NS)))
        deeds.append(Deed(taken_ns, "crash_keeper", ("y", 50 * MS)))
        deeds.append(Deed(taken_ns + 40 * MS, "store_cut", ("y", "up", random.randrange(T_NS))))
    elif random.random() < 0.6:
        at_ns = apart_ns + random.randrange(-SECOND, T_NS // 2)
        deeds.append(Deed(at_ns, "crash_keeper", ("y", random.randrange(50 * MS, 400 * MS))))
    if random.random() < 0.3:
        at_ns = apart_ns + T_NS + random.randrange(T_NS)
        deeds.append(Deed(at_ns, "store_cut", ("y", "down", random.randrange(T_NS))))
    more, ending = _any(random, family, services, cut_ns, end_ns)
    return sorted([*deeds, *more], key=lambda deed: deed.at_ns), ending


def _moves(random: Random, family: Family, services: Services, begin_ns: int, end_ns: int) -> Script:
    """Moves; at times something small is written about a service just before it is given up."""
    deeds, ending = _any(random, family, services, begin_ns, end_ns)
    if random.random() < 0.5:
        at_ns = begin_ns + T_NS
        deeds = deeds[:2]
        for _ in range(4):
            at_ns += random.randrange(T_NS, 2 * T_NS)
            for site in ("x", "y"):
                deeds.append(Deed(at_ns, "touch", (site, "s")))
                given_ns = at_ns + random.randrange(400 * MS)
                deeds.append(Deed(given_ns, "give_up_dead", (site, "s")))
    return sorted(deeds, key=lambda deed: deed.at_ns), ending


def _late(random: Random, family: Family, services: Services, begin_ns: int, end_ns: int) -> Script:
    """Give-ups, again and again; some are committed long after, when the giver is cut off or stopped."""
    deeds, ending = _any(random, family, services, begin_ns, end_ns)
    at_ns = begin_ns + T_NS
    while at_ns < end_ns - 2 * T_NS:
        at_ns += random.randrange(T_NS // 2, 2 * T_NS)
        name = random.choice(list(services))
        site = random.choice(("x", "y"))
        deeds.append(Deed(at_ns, "give_up_dead", (site, name)))
        lost_ns = at_ns + random.randrange(2 * SECOND, 8 * SECOND)
        what = random.choice(("isolate", "stall_keeper", "crash_keeper"))
        deeds.append(Deed(lost_ns, what, (site, random.randrange(T_NS // 2, T_NS))))
    return sorted(deeds, key=lambda deed: deed.at_ns), ending


def _hold(random: Random, family: Family, services: Services, begin_ns: int, end_ns: int) -> Script:
    """The witness is lost and hold is set; then more is lost, or the witness comes back and hold is cleared,
    and x is lost about then, with its keeper, its disk, or a spare in between."""
    lost_ns = begin_ns + T_NS // 2 + random.randrange(T_NS)
    deeds = []
    match random.choice(
        ("at the setting", "link", "at the clearing", "at the clearing", "spare", "given up")
    ):
        case "at the setting":
            deeds.append(Deed(lost_ns, "witness_lost", (20 * T_NS,)))
            at_ns = lost_ns + T_NS // 2 + random.randrange(T_NS)
            deeds.append(Deed(at_ns, "store_cut", ("x", "up", 4 * T_NS)))
            deeds.append(Deed(at_ns, "cut", (*random.choice((("x", "y"), ("y", "x"))), 4 * T_NS)))
        case "link":
            deeds.append(Deed(lost_ns, "witness_lost", (random.randrange(4 * T_NS, 9 * T_NS),)))
            at_ns = lost_ns + T_NS + random.randrange(2 * T_NS)
            deeds.append(Deed(at_ns, "part", ("x", "y", random.randrange(T_NS, 6 * T_NS))))
            if random.random() < 0.5:
                site = random.choice(("x", "y"))
                deeds.append(Deed(at_ns + random.randrange(3 * T_NS), "crash_keeper", (site, 100 * MS)))
        case "at the clearing":
            for_ns = random.randrange(5 * T_NS // 2, 4 * T_NS)
            deeds.append(Deed(lost_ns, "witness_lost", (for_ns,)))
            at_ns = lost_ns + for_ns + T_NS // 2 + random.randrange(T_NS)
            what = random.choice(("isolate", "stall_keeper", "isolate"))
            deeds.append(Deed(at_ns, what, ("x", 4 * T_NS)))
            if random.random() < 0.5:
                slow_ns = random.randrange(SECOND, 6 * SECOND)
                deeds.append(Deed(lost_ns + for_ns, "slow_disk", ("x", slow_ns, False, 2 * T_NS)))
                deeds.append(Deed(at_ns + random.randrange(SECOND), "crash_keeper", ("x", 100 * MS)))
        case "spare":
            for_ns = random.randrange(5 * T_NS // 2, 4 * T_NS)
            deeds.append(Deed(lost_ns, "witness_lost", (for_ns,)))
            at_ns = lost_ns + for_ns - random.randrange(T_NS)
            deeds.append(Deed(at_ns, "spare_apart", ("x", 9 * T_NS)))
            end = lost_ns + for_ns + T_NS + random.randrange(T_NS)
            deeds.append(Deed(end, random.choice(("stall_keeper", "stall_controller")), ("x", 4 * T_NS)))
        case "given up":
            deeds.append(Deed(lost_ns, "witness_lost", (random.randrange(5 * T_NS, 9 * T_NS),)))
            at_ns = lost_ns + 5 * T_NS // 2 + random.randrange(T_NS)
            slow_ns = random.randrange(SECOND, 6 * SECOND)
            deeds.append(Deed(at_ns - SECOND // 2, "slow_disk", ("x", slow_ns, False, 2 * T_NS)))
            deeds.append(Deed(at_ns, "give_up_dead", ("x", "s")))
            at_ns += random.randrange(2 * SECOND)
            deeds.append(Deed(at_ns, "store_cut", ("x", "up", 4 * T_NS)))
            deeds.append(Deed(at_ns + 10 * MS, "crash_keeper", ("x", 50 * MS)))
    more, ending = _any(random, family, services, lost_ns, end_ns)
    return sorted([*deeds, *more], key=lambda deed: deed.at_ns), ending


def _modes(random: Random, family: Family, services: Services, begin_ns: int, end_ns: int) -> Script:
    """A service becomes automatic about when its guard is out of reach, and its site is lost right after."""
    at_ns = begin_ns + 2 * T_NS + random.randrange(T_NS)
    deeds = [
        Deed(at_ns, "set_mode", (random.choice(("x", "x", "x", "y")), "s", Mode.AUTOMATIC.value)),
        Deed(
            at_ns + random.randrange(2 * SECOND),
            random.choice(("isolate", "stall_keeper", "store_cut")),
            ("x", 4 * T_NS),
        ),
    ]
    deeds = [
        replace(deed, arguments=("x", "up", 4 * T_NS)) if deed.name == "store_cut" else deed for deed in deeds
    ]
    if random.random() < 0.5:
        way = random.choice(("up", "down"))
        cut_ns = at_ns + random.randrange(-T_NS // 2, SECOND)
        deeds.append(Deed(cut_ns, "guard_cut", ("x", "s", way, random.randrange(SECOND, 4 * T_NS))))
    more, ending = _any(random, family, services, begin_ns, end_ns)
    return sorted([*deeds, *more], key=lambda deed: deed.at_ns), ending


def _restore(random: Random, family: Family, services: Services, begin_ns: int, end_ns: int) -> Script:
    """A backup, then a service changes hands, then the store is put back to the backup, and accepted."""
    if random.random() < 0.3:
        deeds, healthy, from_ns = accepted_in_calm(random, services, begin_ns)
        return deeds, Ending(healthy=healthy, from_ns=from_ns)
    backup_ns = begin_ns + T_NS + random.randrange(T_NS)
    moved_ns = backup_ns + random.randrange(T_NS)
    move = random.choice(
        (
            Deed(moved_ns, "switch_over", ("s", "x", "y")),
            Deed(moved_ns, "isolate", ("x", random.randrange(3 * T_NS // 2, 4 * T_NS))),
            Deed(moved_ns, "give_up_dead", ("x", "s")),
        )
    )
    back_ns = moved_ns + random.randrange(T_NS // 2, 5 * T_NS)
    deeds = [
        Deed(backup_ns, "back_up"),
        move,
        Deed(back_ns, "restore", (random.random() < 0.3,)),
        *acceptances(random, back_ns, end_ns),
    ]
    more, ending = _any(random, replace(family, least=0, most=3), services, backup_ns, end_ns)
    return sorted([*deeds, *more], key=lambda deed: deed.at_ns), ending


def _spares(random: Random, family: Family, services: Services, begin_ns: int, end_ns: int) -> Script:
    """At times a second keeper of y starts while the first is apart, and x lives on y's promises."""
    deeds, ending = _any(random, family, services, begin_ns, end_ns)
    at_ns = begin_ns + 2 * T_NS + random.randrange(T_NS)
    if random.random() < 0.4:
        deeds = [
            *deeds[:2],
            Deed(at_ns, "spare_apart", ("y", 9 * T_NS)),
            Deed(at_ns + random.randrange(SECOND), "store_cut", ("x", "up", 5 * T_NS)),
        ]
    elif random.random() < 0.6:
        deeds = [
            *deeds[:2],
            Deed(at_ns, random.choice(("spare", "spare_apart")), ("x", 9 * T_NS)),
            Deed(at_ns + random.randrange(T_NS), "give_up_dead", ("x", "s")),
        ]
        deeds[-2] = replace(deeds[-2], arguments=("x",)) if deeds[-2].name == "spare" else deeds[-2]
    return sorted(deeds, key=lambda deed: deed.at_ns), ending


SCRIPTS: dict[str, Callable[[Random, Family, Services, int, int], Script]] = {
    "": _any, "tight": _tight, "vows": _vows, "glass": _glass, "healthy": _healthy, "outage": _outage,
    "dead": _dead, "hold": _hold, "modes": _modes, "late": _late, "moves": _moves,
    "restore": _restore, "spares": _spares,
}  # fmt: skip


def _arguments(random: Random, name: str, services: Services) -> tuple[Any, ...]:
    site = "x" if random.random() < 0.65 else "y"
    other = "y" if site == "x" else "x"
    service = random.choice(list(services))
    for_ns = random.choice(
        (random.randrange(T_NS // 2), random.randrange(2 * T_NS), random.randrange(T_NS, 4 * T_NS))
    )
    short_ns = random.choice((random.randrange(T_NS // 2), random.randrange(2 * T_NS)))
    match name:
        case "cut" | "part":
            a, b = random.sample(("x", "y", "w"), 2)
            return (a, b, for_ns)
        case "isolate" | "site_down" | "stall_keeper" | "stall_controller":
            return (site, for_ns)
        case "crash_keeper" | "crash_controller":
            return (site, short_ns if random.random() < 0.7 else 50 * MS)
        case "witness_lost":
            return (for_ns + T_NS,)
        case "voter_lost":
            return (random.choice(("x", "y", "w")), for_ns)
        case "store_cut":
            return (site, random.choice(("up", "down")), for_ns)
        case "guard_cut":
            return (site, service, random.choice(("up", "down")), for_ns)
        case "election":
            return (random.randrange(T_NS),)
        case "stall_guard" | "pause_host" | "crash_guard" | "reboot_host":
            return (site, service, for_ns)
        case "spare":
            return (site,)
        case "spare_apart":
            return (site, for_ns + T_NS)
        case "slow_disk":
            return (site, random.randrange(1, T_NS), random.random() < 0.3, for_ns)
        case "switch_over":
            kind = "failover" if random.random() < 0.2 else "switchover"
            return (service, random.choice(("x", "y")), random.choice(("x", "y")), kind)
        case "touch":
            return (services[service].home if random.random() < 0.7 else site, service)
        case "give_up_dead" | "fence_here":
            home = services[service].home
            return (home if random.random() < 0.8 else site, service)
        case "take_over":
            both = tuple(services) if random.random() < 0.5 else (service,)
            return (other, both, random.random() < 0.3)
        case "claim":
            return (site, service, random.random() < 0.2)
        case "certify_down":
            return (other, tuple(services))
        case "certify_peer" | "break_glass":
            return ("y",) if name == "certify_peer" else ("y", service)
        case "set_mode":
            return (site, service, random.choice((Mode.AUTOMATIC, Mode.MANUAL)).value)
        case _:
            raise AssertionError(name)
