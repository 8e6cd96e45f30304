"""Scripts for what needs several things within moments of each other, which chance alone hardly brings about.

A share of a family's seeds follows one of them in place of the family's own script, in weather made for it.
What is left to chance is when each thing happens, and who is faster.
"""

from collections.abc import Callable
from dataclasses import replace
from random import Random

from orchestrator.core.records import Mode
from orchestrator.simulate.clocks import MS, PARTS, SECOND
from orchestrator.simulate.deeds import Deed
from orchestrator.simulate.weathers import CLEAR, FAIR, OVERTAKING, T_NS
from orchestrator.simulate.world import ServiceSetting, Setting

Exact = Callable[[Random, Setting, int, int], tuple[Setting, list[Deed]]]
"""Draws from a setting, the script's beginning and its end: the setting to take instead, and the deeds."""


def _asked_before(random: Random, setting: Setting, begin_ns: int, end_ns: int) -> tuple[Setting, list[Deed]]:
    """x gives s up, and y's claim does not get through; x takes it back, serves for a while, and gives it up
    once more when y is back. Nobody has said what is lost of that while."""
    cut_ns = begin_ns + random.randrange(T_NS)
    back_ns = cut_ns + random.randrange(5 * SECOND, 7 * SECOND)
    given_ns = cut_ns + random.randrange(200 * MS, 600 * MS)
    claimed_ns = given_ns + random.randrange(300 * MS, 900 * MS)
    taken_ns = claimed_ns + random.randrange(200 * MS, 500 * MS)
    again_ns = back_ns - random.randrange(-SECOND // 2, SECOND)
    deeds = [
        *(Deed(begin_ns - MS, "eager", (site, False, False)) for site in ("x", "y")),
        Deed(cut_ns, "store_cut", ("y", "up", back_ns - cut_ns)),
        Deed(given_ns, "give_up_dead", ("x", "s")),
        Deed(claimed_ns, "claim", ("y", "s", False)),
        Deed(taken_ns, "claim", ("x", "s", False)),
        Deed(again_ns, "give_up_dead", ("x", "s")),
    ]
    return replace(setting, eager=False, weather=CLEAR, near=CLEAR), deeds


def _closed_while_behind(
    random: Random, setting: Setting, begin_ns: int, end_ns: int
) -> tuple[Setting, list[Deed]]:
    """x closes s in order while y is behind: what y lacks is there to be had, and is waited for."""
    cut_ns = begin_ns + random.randrange(T_NS)
    moved_ns = cut_ns + random.randrange(300 * MS, 2 * SECOND)
    deeds = [
        Deed(cut_ns, "cut", ("x", "y", moved_ns - cut_ns + random.randrange(T_NS))),
        Deed(moved_ns, "switch_over", ("s", "y", "y", "switchover")),
    ]
    return replace(setting, eager=False, weather=CLEAR, near=CLEAR), deeds


def _back_and_forth(
    random: Random, setting: Setting, begin_ns: int, end_ns: int
) -> tuple[Setting, list[Deed]]:
    """A service is moved there and back while steps of the moves before are still on their way."""
    deeds = []
    at_ns = begin_ns + T_NS
    while at_ns < end_ns:
        deeds.append(Deed(at_ns, "move_on", ("s",)))
        at_ns += random.randrange(T_NS, 2 * T_NS)
    return replace(setting, eager=False, late_steps=0.4, weather=FAIR, near=FAIR), deeds


def _two_keepers(random: Random, setting: Setting, begin_ns: int, end_ns: int) -> tuple[Setting, list[Deed]]:
    """A second keeper gives up while the first, which does not reach the store, still has its lease."""
    at_ns = begin_ns + T_NS
    given_ns = at_ns + random.randrange(300 * MS, SECOND)
    deeds = [Deed(at_ns, "spare_apart", ("x", 9 * T_NS)), Deed(given_ns, "give_up_dead", ("x", "s"))]
    return _bare(setting, guard_every_ns=150 * MS), deeds


def _given_up_on_the_note(
    random: Random, setting: Setting, begin_ns: int, end_ns: int
) -> tuple[Setting, list[Deed]]:
    """x relies on hold and gives s up while its disk takes long; its keeper is killed about then, and the
    next one reaches nobody. y claims what was given up, and x does not."""
    lost_ns = begin_ns + T_NS // 2 + random.randrange(T_NS)
    given_ns = lost_ns + 3 * T_NS + random.randrange(T_NS)
    killed_ns = given_ns + random.randrange(2 * SECOND)
    deeds = [
        Deed(begin_ns, "eager", ("x", True, False)),
        Deed(lost_ns, "witness_lost", (20 * T_NS,)),
        Deed(given_ns - 100 * MS, "slow_disk", ("x", random.randrange(SECOND, 8 * SECOND), False, 2 * T_NS)),
        Deed(given_ns, "give_up_dead", ("x", "s")),
        Deed(killed_ns, "store_cut", ("x", "up", 4 * T_NS)),
        Deed(killed_ns + 10 * MS, "crash_keeper", ("x", random.randrange(20 * MS, 400 * MS))),
    ]
    return replace(_worst(setting), weather=CLEAR, near=CLEAR), deeds


def _spare_that_dies(
    random: Random, setting: Setting, begin_ns: int, end_ns: int
) -> tuple[Setting, list[Deed]]:
    """x relies on hold; a second keeper takes its key and is killed before its guards have heard of it. The
    first, which does not reach the store, is what they talk to again."""
    lost_ns = begin_ns + T_NS // 2 + random.randrange(T_NS)
    spare_ns = lost_ns + 3 * T_NS + random.randrange(T_NS)
    killed_ns = spare_ns + random.randrange(5 * MS, 400 * MS)
    deeds = [
        Deed(lost_ns, "witness_lost", (20 * T_NS,)),
        Deed(spare_ns, "spare_apart", ("x", 9 * T_NS)),
        Deed(killed_ns, "crash_keeper", ("x", 9 * T_NS)),
    ]
    return _bare(_worst(setting), guard_every_ns=900 * MS), deeds


def _late_manual(random: Random, setting: Setting, begin_ns: int, end_ns: int) -> tuple[Setting, list[Deed]]:
    """A manual service is made automatic while an answer that says manual is still on its way to its guard,
    and the keeper stops as soon as it is written."""
    at_ns = begin_ns + 2 * T_NS + random.randrange(T_NS)
    stopped_ns = at_ns + random.choice((random.randrange(20 * MS), random.randrange(SECOND)))
    deeds = [
        Deed(at_ns, "set_mode", ("x", "s", Mode.AUTOMATIC.value)),
        Deed(stopped_ns, "stall_keeper", ("x", 4 * T_NS)),
    ]
    services = {name: ServiceSetting(service.home, Mode.MANUAL) for name, service in setting.services.items()}
    return replace(_worst(setting), services=services, weather=CLEAR, near=OVERTAKING), deeds


def _word_before_the_news(
    random: Random, setting: Setting, begin_ns: int, end_ns: int
) -> tuple[Setting, list[Deed]]:
    """x is back with the store and waits for y's word; y, which served s by a certificate, is back too,
    reconciles, and says that no glass is broken there. What x hears from the store comes in no order."""
    lost_ns = begin_ns + T_NS
    broken_ns = lost_ns + random.randrange(T_NS, 2 * T_NS)
    back_ns = broken_ns + T_NS + random.randrange(T_NS)
    reached_ns = back_ns + random.randrange(2 * T_NS, 4 * T_NS)
    deeds = [
        Deed(lost_ns, "voter_lost", ("w", back_ns - lost_ns)),
        Deed(lost_ns, "site_down", ("x", back_ns - lost_ns)),
        Deed(broken_ns, "break_glass", ("y", "s")),
        Deed(broken_ns, "isolate", ("y", reached_ns - broken_ns)),
        Deed(reached_ns, "congest", ("x", "down", 4 * T_NS)),
    ]
    fast = PARTS + int(PARTS * setting.timing.clock_drift)
    rates = {owner: fast if owner.startswith("y") else PARTS for owner in setting.rates}
    return replace(_worst(_only_s(setting)), weather=CLEAR, near=CLEAR, rates=rates), deeds


def _ended_glass(random: Random, setting: Setting, begin_ns: int, end_ns: int) -> tuple[Setting, list[Deed]]:
    """Broken glass is reconciled, x is back and has y's word, and then y's keeper stops for long."""
    lost_ns = begin_ns + T_NS
    broken_ns = lost_ns + random.randrange(T_NS, 2 * T_NS)
    back_ns = broken_ns + T_NS + random.randrange(T_NS)
    stopped_ns = back_ns + SECOND + random.choice((random.randrange(T_NS // 2), random.randrange(6 * T_NS)))
    deeds = [
        Deed(lost_ns, "voter_lost", ("w", back_ns - random.randrange(T_NS) - lost_ns)),
        Deed(lost_ns, "site_down", ("x", back_ns - lost_ns)),
        Deed(broken_ns, "break_glass", ("y", "s")),
        Deed(stopped_ns, "stall_keeper", ("y", 9 * T_NS)),
    ]
    return replace(_worst(_only_s(setting)), guard_every_ns=1800 * MS), deeds


def _glass_on_the_disk(
    random: Random, setting: Setting, begin_ns: int, end_ns: int
) -> tuple[Setting, list[Deed]]:
    """The host boots under its certificate, so that its guard has it from the keeper alone; the keeper's disk
    is slow when that ends, and y loses power. x takes over, and y comes back, apart, with what it noted."""
    lost_ns = begin_ns + T_NS
    broken_ns = lost_ns + random.randrange(T_NS, 2 * T_NS)
    back_ns = broken_ns + T_NS + random.randrange(T_NS)
    slow_ns = random.randrange(4 * SECOND, 12 * SECOND)
    dark_ns = back_ns + random.randrange(3 * SECOND // 2, 7 * SECOND // 2)
    deeds = [
        Deed(lost_ns, "voter_lost", ("w", back_ns - random.randrange(T_NS) - lost_ns)),
        Deed(lost_ns, "site_down", ("x", back_ns - lost_ns)),
        Deed(broken_ns, "break_glass", ("y", "s")),
        Deed(broken_ns + SECOND, "reboot_host", ("y", "s", SECOND)),
        Deed(back_ns + 50 * MS, "slow_disk", ("y", slow_ns, False, 4 * T_NS, False)),
        Deed(dark_ns, "site_down", ("y", 3 * T_NS)),
        Deed(dark_ns, "isolate", ("y", 6 * T_NS)),
    ]
    return replace(_worst(_only_s(setting)), weather=CLEAR, near=CLEAR, guard_every_ns=1800 * MS), deeds


def _out_of_touch(random: Random, setting: Setting, begin_ns: int, end_ns: int) -> tuple[Setting, list[Deed]]:
    """y does not reach the store and goes on by promises; meanwhile it is put back to where y last saw it.
    What x has renewed since is forgotten, and y is back at about that moment."""
    cut_ns = begin_ns + T_NS + random.randrange(T_NS)
    back_ns = cut_ns + random.randrange(5 * T_NS // 4, 3 * T_NS)
    reached_ns = back_ns + random.randrange(-200 * MS, 200 * MS)
    deeds = [
        Deed(cut_ns, "store_cut", ("y", "up", reached_ns - cut_ns)),
        Deed(cut_ns, "store_cut", ("y", "down", reached_ns - cut_ns)),
        Deed(cut_ns + random.randrange(1, 100 * MS), "back_up"),
        Deed(back_ns, "restore", (False,)),
    ]
    return replace(_worst(_only_s(setting)), weather=CLEAR, near=CLEAR), deeds


def _hold_is_forgotten(
    random: Random, setting: Setting, begin_ns: int, end_ns: int
) -> tuple[Setting, list[Deed]]:
    """x relies on hold, the backup does not know of it, and y alone accepts the store. The witness is back
    when the link between the two is lost."""
    lost_ns = begin_ns + T_NS // 2
    back_ns = lost_ns + 3 * T_NS + random.randrange(T_NS)
    accepted_ns = back_ns + SECOND + random.randrange(T_NS // 2)
    apart_ns = accepted_ns + SECOND + random.randrange(T_NS)
    deeds = [
        Deed(begin_ns + random.randrange(T_NS // 4), "back_up"),
        Deed(lost_ns, "witness_lost", (apart_ns - lost_ns - random.randrange(SECOND),)),
        Deed(back_ns, "restore", (random.random() < 0.5,)),
        *(Deed(accepted_ns + each * SECOND // 2, "accept", ("y",)) for each in range(2)),
        Deed(apart_ns, "part", ("x", "y", 20 * T_NS)),
    ]
    return replace(_worst(_only_s(setting)), weather=CLEAR, near=CLEAR), deeds


def _glass_in_a_restored_store(
    random: Random, setting: Setting, begin_ns: int, end_ns: int
) -> tuple[Setting, list[Deed]]:
    """y serves s by a certificate when the store is put back, and accepts it; then y loses power. x is back,
    accepts it too, and takes s, certified; y boots and reaches nobody, with what its disk says."""
    lost_ns = begin_ns + T_NS
    broken_ns = lost_ns + T_NS
    back_ns = broken_ns + T_NS // 2 + random.randrange(T_NS // 2)
    accepted_ns = back_ns + SECOND + random.randrange(SECOND)
    dark_ns = accepted_ns + random.choice((random.randrange(300 * MS), random.randrange(T_NS // 2)))
    x_ns = dark_ns + random.randrange(SECOND)
    taken_ns = x_ns + T_NS // 2 + random.randrange(SECOND)
    y_ns = taken_ns + 2 * T_NS
    deeds = [
        Deed(begin_ns + T_NS // 2, "back_up"),
        Deed(lost_ns, "voter_lost", ("w", back_ns - lost_ns)),
        Deed(lost_ns, "site_down", ("x", x_ns - lost_ns)),
        Deed(broken_ns, "break_glass", ("y", "s")),
        Deed(back_ns, "restore", (False,)),
        Deed(accepted_ns, "accept", ("y",)),
        Deed(dark_ns, "site_down", ("y", y_ns - dark_ns)),
        Deed(dark_ns, "isolate", ("y", 20 * T_NS)),
        *(Deed(x_ns + SECOND + each * SECOND // 2, "accept", ("x",)) for each in range(3)),
        Deed(taken_ns, "certify_peer", ("x",)),
        *(Deed(taken_ns + each * SECOND, "certify_down", ("x", ("s",))) for each in range(1, 4)),
    ]
    return replace(_worst(_only_s(setting)), weather=CLEAR, near=CLEAR), deeds


def _reconciled_and_certified(
    random: Random, setting: Setting, begin_ns: int, end_ns: int
) -> tuple[Setting, list[Deed]]:
    """y has just reconciled and loses power before its glass has ended; x comes back, somebody certifies y as
    off, and x takes over; then y is back with what stands on its disk."""
    lost_ns = begin_ns + T_NS
    broken_ns = lost_ns + random.randrange(T_NS, 2 * T_NS)
    back_ns = broken_ns + T_NS + random.randrange(T_NS)
    certified_ns = back_ns + 3 * T_NS + random.randrange(T_NS)
    deeds = [
        Deed(lost_ns, "voter_lost", ("w", back_ns - lost_ns)),
        Deed(lost_ns, "site_down", ("x", back_ns + T_NS - lost_ns)),
        Deed(broken_ns, "break_glass", ("y", "s")),
        Deed(back_ns, "dies_reconciled", ("y", "s", random.randrange(300 * MS), 9 * T_NS)),
        Deed(certified_ns, "certify_peer", ("x",)),
    ]
    return replace(_worst(_only_s(setting)), weather=CLEAR, near=CLEAR, guard_every_ns=900 * MS), deeds


def _beside_a_manual_one(
    random: Random, setting: Setting, begin_ns: int, end_ns: int
) -> tuple[Setting, list[Deed]]:
    """The host of a manual service is off, and certified so, while x is cut off and its lease still runs: an
    automatic one of x is not to be had for that."""
    lost_ns = begin_ns + 2 * T_NS + random.randrange(T_NS)
    certified_ns = lost_ns + T_NS // 2 + random.randrange(T_NS // 2)
    deeds = [
        Deed(lost_ns - T_NS, "reboot_host", ("x", "s", 12 * T_NS)),
        Deed(lost_ns, "isolate", ("x", 6 * T_NS)),
        Deed(certified_ns, "certify_hosts", ("y", ("s",), 0)),
    ]
    return _two_at_x(setting, Mode.MANUAL, Mode.AUTOMATIC), deeds


def _certificate_of_before(
    random: Random, setting: Setting, begin_ns: int, end_ns: int
) -> tuple[Setting, list[Deed]]:
    """A certificate about the host of a manual service is drawn up; then x holds and is cut off; it is used
    when y has a majority again. x serves another one without any contact."""
    lost_ns = begin_ns + T_NS // 2 + random.randrange(T_NS // 2)
    back_ns = lost_ns + 6 * T_NS
    used_ns = back_ns + random.randrange(2 * T_NS)
    drawn_ns = lost_ns + random.randrange(T_NS // 2)
    deeds = [
        Deed(lost_ns - T_NS // 4, "reboot_host", ("x", "s", 30 * T_NS)),
        Deed(lost_ns, "witness_lost", (back_ns - lost_ns,)),
        Deed(drawn_ns, "certify_hosts", ("y", ("s",), used_ns - drawn_ns)),
        Deed(lost_ns + 4 * T_NS, "isolate", ("x", 30 * T_NS)),
    ]
    return _two_at_x(setting, Mode.MANUAL, Mode.AUTOMATIC), deeds


def _dark_on_hold(random: Random, setting: Setting, begin_ns: int, end_ns: int) -> tuple[Setting, list[Deed]]:
    """x holds and is alone; all its hosts are off for a while, and are certified so; y serves by that. The
    hosts boot, at times when x has a lease again and y is not back."""
    lost_ns = begin_ns + T_NS // 2 + random.randrange(T_NS // 2)
    alone_ns = lost_ns + 7 * T_NS // 2 + random.randrange(T_NS // 2)
    off_ns = alone_ns + random.randrange(2 * T_NS)
    broken_ns = max(off_ns, alone_ns + T_NS) + random.randrange(T_NS // 4, T_NS)
    boot_ns = broken_ns + random.randrange(T_NS // 4, 3 * T_NS)
    back_ns = random.choice((20 * T_NS, random.randrange(broken_ns, boot_ns)))
    deeds = [
        Deed(lost_ns, "witness_lost", (max(T_NS, back_ns - lost_ns),)),
        Deed(alone_ns, "isolate", ("y", 20 * T_NS)),
        *(Deed(off_ns, "reboot_host", ("x", name, boot_ns - off_ns)) for name in setting.services),
        *(Deed(broken_ns, "break_glass", ("y", name)) for name in setting.services),
    ]
    return replace(_worst(setting), weather=FAIR, near=FAIR), deeds


def _by_hand(random: Random, setting: Setting, begin_ns: int, end_ns: int) -> tuple[Setting, list[Deed]]:
    """x and the witness are lost and y has no keeper: a certificate is carried to the guard. Then all of them
    come back, the keeper of y knowing nothing of it."""
    lost_ns = begin_ns + T_NS
    handed_ns = lost_ns + 2 * T_NS + random.randrange(T_NS)
    back_ns = handed_ns + random.randrange(T_NS, 3 * T_NS)
    deeds = [
        Deed(lost_ns, "voter_lost", ("w", back_ns - lost_ns)),
        Deed(lost_ns, "site_down", ("x", back_ns - lost_ns - random.randrange(T_NS))),
        Deed(handed_ns - SECOND, "crash_keeper", ("y", back_ns + random.randrange(T_NS) - handed_ns)),
        Deed(handed_ns, "certify_by_hand", ("y", "s")),
    ]
    return replace(_worst(_only_s(setting)), weather=FAIR, near=FAIR, guard_every_ns=1800 * MS), deeds


def _two_at_x(setting: Setting, first: Mode, second: Mode) -> Setting:
    """Two services at home at x, in calm weather, at their worst."""
    services = {"s": ServiceSetting("x", first), "t": ServiceSetting("x", second)}
    gated = setting.gated & services.keys()
    return replace(_worst(setting), services=services, gated=gated, weather=FAIR, near=FAIR)


def _cut_of_what_lives(
    random: Random, setting: Setting, begin_ns: int, end_ns: int
) -> tuple[Setting, list[Deed]]:
    """x, whose services nothing ends, is out of somebody's reach; a person at y has its hosts switched off
    and takes what is verified, again and again. They are switched on again, and x is back."""
    lost_ns = begin_ns + random.randrange(T_NS)
    back_ns = lost_ns + random.randrange(2 * T_NS, 7 * T_NS)
    how = random.choice(("isolate", "part", "store_cut", "witness_lost", ""))
    arguments: dict[str, tuple[object, ...]] = {
        "isolate": ("x", back_ns - lost_ns),
        "part": ("x", "y", back_ns - lost_ns),
        "store_cut": ("x", "up", back_ns - lost_ns),
        "witness_lost": (back_ns - lost_ns,),
    }
    deeds = [Deed(lost_ns, how, arguments[how])] if how else []
    at_ns = lost_ns
    while at_ns < end_ns:
        at_ns += random.randrange(T_NS // 2, 3 * T_NS)
        ordered = random.random() < 0.8
        deeds.append(Deed(at_ns, "power_cut", ("y", ("s",), ordered, True)))
        if random.random() < 0.3:
            deeds.append(Deed(at_ns + random.randrange(T_NS), "crash_keeper", ("x", 200 * MS)))
        if random.random() < 0.3:
            deeds.append(Deed(at_ns + random.randrange(T_NS), "stall_keeper", ("y", 3 * T_NS)))
    return _worst(setting), sorted(deeds, key=lambda deed: deed.at_ns)


def _cut_of_what_holds(
    random: Random, setting: Setting, begin_ns: int, end_ns: int
) -> tuple[Setting, list[Deed]]:
    """x relies on hold and is isolated; at y its hosts are switched off, at times not all of them, and one
    service after the other is taken."""
    lost_ns = begin_ns + random.randrange(T_NS)
    apart_ns = lost_ns + 3 * T_NS + random.randrange(T_NS)
    back_ns = apart_ns + random.randrange(T_NS)
    deeds = [
        Deed(lost_ns, "witness_lost", (back_ns - lost_ns,)),
        Deed(apart_ns, "isolate", ("x", random.randrange(4 * T_NS, 9 * T_NS))),
    ]
    at_ns = back_ns + T_NS
    while at_ns < end_ns:
        service = random.choice(("s", "t"))
        ordered, whole = random.random() < 0.8, random.random() < 0.6
        deeds.append(Deed(at_ns, "power_cut", ("y", (service,), ordered, whole)))
        at_ns += random.randrange(T_NS // 2, 3 * T_NS)
    services = {name: ServiceSetting("x") for name in ("s", "t")}
    return replace(_worst(setting), services=services, gated=frozenset(services)), deeds


def _cut_that_grows_old(
    random: Random, setting: Setting, begin_ns: int, end_ns: int
) -> tuple[Setting, list[Deed]]:
    """x is well, and both its services are manual. A person at y has their hosts switched off, at times one
    alone; then y's keeper stands still, and when it goes on somebody has switched them on again."""
    deeds = []
    at_ns = begin_ns + T_NS
    while at_ns < end_ns:
        deeds.append(Deed(at_ns, "power_cut", ("y", ("s", "t"), True, random.random() < 0.7)))
        still_ns = at_ns + random.randrange(T_NS // 4, 5 * T_NS // 4)
        deeds.append(Deed(still_ns, "stall_keeper", ("y", random.randrange(3 * T_NS // 2, 4 * T_NS))))
        at_ns = still_ns + 5 * T_NS
    services = {name: ServiceSetting("x", Mode.MANUAL) for name in ("s", "t")}
    calm = replace(_worst(setting), weather=FAIR, near=FAIR)
    return replace(calm, services=services, gated=frozenset(services)), deeds


def _cut_of_who_holds(
    random: Random, setting: Setting, begin_ns: int, end_ns: int
) -> tuple[Setting, list[Deed]]:
    """The witness is lost and both sites hold; y would have x switched off by itself whenever it could."""
    lost_ns = begin_ns + random.randrange(T_NS // 2)
    deeds = [Deed(lost_ns, "witness_lost", (60 * T_NS,))]
    at_ns = lost_ns + 2 * T_NS
    while at_ns < end_ns:
        at_ns += random.randrange(T_NS // 2, 2 * T_NS)
        deeds.append(Deed(at_ns, "power_cut", ("y", ("s",), False, True)))
        if random.random() < 0.3:
            deeds.append(Deed(at_ns, "part", ("x", "y", random.randrange(2 * T_NS))))
    return setting, deeds


def _cut_of_the_healthy(
    random: Random, setting: Setting, begin_ns: int, end_ns: int
) -> tuple[Setting, list[Deed]]:
    """x is well, and y, which hears badly of it, would have it switched off by itself whenever it could."""
    deeds = []
    at_ns = begin_ns + 2 * T_NS
    while at_ns < end_ns:
        deaf_ns = random.randrange(T_NS // 2, 3 * T_NS)
        if random.random() < 0.7:
            deeds.append(Deed(at_ns, "store_cut", ("y", random.choice(("up", "down")), deaf_ns)))
        deeds += [
            Deed(at_ns + each * deaf_ns // 3, "power_cut", ("y", ("s",), False, True)) for each in range(4)
        ]
        at_ns += deaf_ns + random.randrange(T_NS)
    return setting, sorted(deeds, key=lambda deed: deed.at_ns)


def _worst(setting: Setting) -> Setting:
    """Every database is written to as soon as it can be, and nobody is late to look at what is due."""
    return replace(setting, eager=True, lateness_ns=0)


def _bare(setting: Setting, *, guard_every_ns: int) -> Setting:
    """Nothing but the guards closes, and every database is written to as soon as it can be."""
    bare = replace(setting, eager=True, drivers=False, gated=frozenset(), guard_every_ns=guard_every_ns)
    return replace(bare, weather=FAIR, near=FAIR)


def _only_s(setting: Setting) -> Setting:
    return replace(setting, services={"s": setting.services["s"]})


PLACES = 8
EXACT: dict[tuple[str, int], Exact] = {
    ("moves", 2): _back_and_forth, ("moves", 6): _back_and_forth,
    ("late", 1): _asked_before, ("late", 5): _asked_before,
    ("moves", 3): _closed_while_behind,
    ("spares", 2): _two_keepers, ("spares", 6): _two_keepers,
    ("hold", 3): _given_up_on_the_note, ("hold", 7): _spare_that_dies,
    ("modes", 1): _late_manual,
    ("glass", 1): _glass_on_the_disk, ("glass", 5): _ended_glass,
    ("glass", 3): _word_before_the_news, ("glass", 7): _word_before_the_news,
    ("restore", 1): _out_of_touch, ("restore", 3): _hold_is_forgotten,
    ("restore", 5): _glass_in_a_restored_store,
    ("glass", 2): _reconciled_and_certified,
    ("hosts", 0): _beside_a_manual_one, ("hosts", 1): _certificate_of_before, ("hosts", 2): _dark_on_hold,
    ("hosts", 4): _by_hand, ("hosts", 6): _dark_on_hold,
    ("modes", 3): _cut_of_what_lives, ("modes", 5): _cut_of_what_lives,
    ("modes", 0): _cut_that_grows_old, ("modes", 7): _cut_that_grows_old,
    ("hold", 1): _cut_of_what_holds, ("hold", 5): _cut_of_what_holds,
    ("held", 2): _cut_of_who_holds, ("healthy", 3): _cut_of_the_healthy,
}  # fmt: skip
"""By a family, and by which of PLACES consecutive seeds of that family."""
