"""When people accept a store that was put back: the moments are left to chance."""

from collections.abc import Mapping
from random import Random

from orchestrator.simulate.clocks import SECOND
from orchestrator.simulate.deeds import Deed
from orchestrator.simulate.weathers import T_NS
from orchestrator.simulate.world import ServiceSetting


def acceptances(random: Random, back_ns: int, end_ns: int) -> list[Deed]:
    """At the two sites, soon after one another or not, and tried again; at times at one site alone, or
    nowhere. `back_ns`: when it was put back."""
    sites = random.choice((("x", "y"), ("y", "x"), ("x", "y"), ("y", "x"), ("x",), ("y",), ()))
    deeds = []
    at_ns = back_ns
    for site in sites:
        at_ns += random.choice((random.randrange(2 * SECOND), random.randrange(2 * T_NS)))
        tries = (at_ns, at_ns + SECOND, at_ns + T_NS)
        deeds += [Deed(each, "accept", (site,)) for each in tries if each < end_ns]
    return deeds


def accepted_in_calm(
    random: Random, services: Mapping[str, ServiceSetting], begin_ns: int
) -> tuple[list[Deed], str, int]:
    """Nothing is wrong but that the store is put back, and it is accepted at both sites, one after the other:
    in fair weather nobody is cut off by that. The deeds, and which site must not be, from when on."""
    backup_ns = begin_ns + T_NS + random.randrange(T_NS)
    back_ns = backup_ns + random.randrange(T_NS // 2, 3 * T_NS)
    first, second = random.choice((("x", "y"), ("y", "x")))
    first_ns = back_ns + SECOND + random.randrange(2 * T_NS)
    second_ns = first_ns + random.randrange(2 * T_NS)
    deeds = [
        Deed(backup_ns, "back_up"),
        Deed(backup_ns + random.randrange(SECOND), "touch", (first, "s")),
        Deed(back_ns, "restore", (random.random() < 0.3,)),
        *(Deed(first_ns + each * SECOND, "accept", (first,)) for each in range(2)),
        *(Deed(second_ns + each * SECOND, "accept", (second,)) for each in range(2)),
    ]
    healthy = random.choice([service.home for service in services.values()])
    return sorted(deeds, key=lambda deed: deed.at_ns), healthy, back_ns
