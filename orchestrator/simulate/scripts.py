"""What befalls a scenario, by its family's script: a frame that leads to where a rule matters, and chance."""

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

from orchestrator.core.records import Mode
from orchestrator.simulate.clocks import MS, SECOND
from orchestrator.simulate.deeds import Deed
from orchestrator.simulate.families import Ending, Family
from orchestrator.simulate.restoring import acceptances, accepted_in_calm
from orchestrator.simulate.weathers import T_NS
from orchestrator.simulate.world import ServiceSetting

Services = dict[str, ServiceSetting]
Script = tuple[list[Deed], Ending]


def _any(random: Random, family: Family, services: Services, begin_ns: int, end_ns: int) -> Script:
    names, weights = list(family.deeds), list(family.deeds.values())
    count = random.randint(family.least, family.most)
    chosen = random.choices(names, weights, k=count)
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


def _held(random: Random, family: Family, services: Services, begin_ns: int, end_ns: int) -> Script:
    """The witness is lost and x relies on hold; then whatever befalls the store, the links and y costs x
    nothing, nor do short restarts of its own keeper and controller, nor a reboot of another of its hosts."""
    lost_ns = begin_ns + random.randrange(T_NS)
    from_ns = lost_ns + 3 * T_NS
    deeds, _ = _any(random, replace(family, least=3, most=8), services, from_ns, end_ns)
    watched = ("s",)
    found = [Deed(lost_ns, "witness_lost", (60 * T_NS,))]
    for deed in deeds:
        mild = _held_through(random, deed, watched)
        if mild is not None:
            found.append(mild)
    return found, Ending(healthy="x", from_ns=from_ns, services=watched, holds=True)


def _held_through(random: Random, deed: Deed, watched: tuple[str, ...]) -> Deed | None:
    """The deed as a site that relies on hold must stand it; None: it need not."""
    name, arguments = deed.name, deed.arguments
    if name in ("cut", "part", "isolate", "voter_lost", "store_cut", "election", "touch"):
        return deed
    if name == "reboot_host":
        return None if arguments[1] in watched and arguments[0] == "x" else deed
    if name in ("crash_keeper", "crash_controller") and arguments[0] == "x":
        return replace(deed, arguments=("x", random.randrange(50 * MS, SECOND // 2)))
    return deed if arguments[0] == "y" and name != "certify_down" else None


def _clocks(random: Random, family: Family, services: Services, begin_ns: int, end_ns: int) -> Script:
    """Clocks are too far apart, and have been heard for long enough to be known to be; then x is lost, or
    only y is in trouble, which must not cost x anything."""
    lost_ns = 27 * T_NS + random.randrange(T_NS)
    more, _ = _any(random, family, services, begin_ns, end_ns)
    more = [_ends_before(deed, lost_ns - 2 * T_NS) for deed in more if deed.at_ns < lost_ns - 3 * T_NS]
    if random.random() < 0.25:
        trouble = random.choice(("isolate", "stall_keeper", "crash_keeper", "site_down"))
        found = [deed for deed in more if _leaves_alone(deed)]
        return [*found, Deed(lost_ns, trouble, ("y", 3 * T_NS))], Ending(healthy="x", from_ns=lost_ns)
    loss = random.choice(("isolate", "stall_keeper", "isolate"))
    return [*more, Deed(lost_ns, loss, ("x", random.randrange(3 * T_NS // 2, 5 * T_NS)))], Ending()


def _hosts(random: Random, family: Family, services: Services, begin_ns: int, end_ns: int) -> Script:
    """Some of x's hosts are off, or all; x is cut off or holds; people at y certify what is true of the
    hosts, now or with a certificate drawn up before, and the hosts boot again."""
    names = [name for name, service in services.items() if service.home == "x"]
    at_ns = begin_ns + T_NS // 2 + random.randrange(T_NS)
    deeds = []
    if random.random() < 0.6:
        deeds.append(Deed(at_ns, "witness_lost", (random.randrange(4 * T_NS, 14 * T_NS),)))
        at_ns += random.randrange(T_NS // 2, 4 * T_NS)
    for name in random.sample(names, random.randint(1, len(names))):
        down_ns = random.randrange(T_NS, 8 * T_NS)
        deeds.append(Deed(at_ns + random.randrange(T_NS), "reboot_host", ("x", name, down_ns)))
    apart_ns = at_ns + random.randrange(2 * T_NS)
    for_ns = random.randrange(T_NS, 8 * T_NS)
    apart = random.choice(
        (
            Deed(apart_ns, "isolate", ("x", for_ns)),
            Deed(apart_ns, "part", ("x", "y", for_ns)),
            Deed(apart_ns, "store_cut", ("x", "up", for_ns)),
            Deed(apart_ns, "isolate", ("y", for_ns)),
        )
    )
    deeds.append(apart)
    for _ in range(random.randint(1, 4)):
        at_ns += random.randrange(T_NS, 3 * T_NS)
        deeds += _certified(random, at_ns, names)
    more, ending = _any(random, family, services, begin_ns + T_NS, end_ns)
    return sorted([*deeds, *more], key=lambda deed: deed.at_ns), ending


def _certified(random: Random, at_ns: int, names: list[str]) -> list[Deed]:
    """Somebody at y certifies something of x's hosts, in one of the ways there are."""
    some = tuple(random.sample(names, random.randint(1, len(names))))
    match random.choice(("hosts", "hosts", "glass", "by hand")):
        case "hosts":
            after_ns = random.choice((0, random.randrange(SECOND), random.randrange(4 * T_NS)))
            return [Deed(at_ns, "certify_hosts", ("y", some, after_ns))]
        case "glass":
            return [Deed(at_ns, "break_glass", ("y", name)) for name in some]
        case _:
            dead = Deed(at_ns - SECOND, "crash_keeper", ("y", random.randrange(SECOND, 4 * T_NS)))
            return [dead, *(Deed(at_ns, "certify_by_hand", ("y", name)) for name in some)]


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
    "restore": _restore, "spares": _spares, "held": _held, "hosts": _hosts, "clocks": _clocks,
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
        case "certify_hosts":
            return ("y", (service,), random.choice((0, random.randrange(4 * T_NS))))
        case "kill_database":
            return (services[service].home if random.random() < 0.6 else site, service)
        case "bad_release":
            return (service, random.choice(("always", "promoted")))
        case "clients_cut":
            return (services[service].home, service, random.randrange(4 * T_NS, 10 * T_NS))
        case "acknowledge":
            return (site, service)
        case "order_certified":
            return (other, service)
        case "certify_peer" | "break_glass" | "certify_by_hand":
            return ("y",) if name == "certify_peer" else ("y", service)
        case "set_mode":
            return (site, service, random.choice((Mode.AUTOMATIC, Mode.MANUAL)).value)
        case _:
            raise AssertionError(name)
