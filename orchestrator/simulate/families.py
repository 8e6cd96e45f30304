"""The families of scenarios: which weathers, which deeds and how likely, and which script leads there.

A seed's family is its remainder, so that a search may look at one family alone.
"""

from dataclasses import dataclass

from orchestrator.simulate.clocks import MS
from orchestrator.simulate.network import Weather
from orchestrator.simulate.weathers import EDGE, FAIR, LATE, ROUGH, SHARP, SLOW, STORM


@dataclass(frozen=True, slots=True)
class Ending:
    """A calm end: `dead` stays dead and the other site runs fairly; or `healthy` was never in trouble, with
    `services` (empty: all that are at home there); `holds`: because it relies on hold by then."""

    dead: str = ""
    healthy: str = ""
    from_ns: int = 0
    services: tuple[str, ...] = ()
    holds: bool = False


NO_END = Ending()


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
    decides: bool = False
    apart: bool = False
    certifiable: bool = False
    guard_every_ns: int = 900 * MS
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
HARMLESS_TO_HOLD = {
    "cut": 4, "part": 5, "isolate": 6, "voter_lost": 4, "store_cut": 4, "election": 2, "site_down": 3,
    "stall_keeper": 2, "stall_controller": 2, "crash_guard": 1, "take_over": 4, "slow_disk": 1,
    "certify_down": 1, "claim": 1,
}  # fmt: skip
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
        eager_share=0.95, leases=7, guard_every_ns=150 * MS, script="tight",
    ),
    Family(
        "vows",
        (EDGE, STORM),
        _only("crash_keeper", "take_over", "slow_disk", "cut", "stall_keeper", "spare"),
        services=({"s": "x"},), prompt=True, tight=True, least=0, most=3, cold_share=0.0, gated_share=0.1,
        eager_share=0.95, leases=11, guard_every_ns=150 * MS, script="vows",
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
    Family(
        "decided",
        (FAIR, FAIR, ROUGH, SLOW),
        FAULTS | {"switch_over": 10, "kill_database": 8, "touch": 2, "clients_cut": 3, "order_certified": 2,
                  "bad_release": 1, "set_mode": 1, "acknowledge": 1},
        cold_share=0.2, leases=14, least=2, most=6, eager_share=0.0, decides=True,
    ),
    Family(
        "clocks", (FAIR,), _only("cut", "election", "store_cut", "crash_keeper", "stall_controller"),
        services=({"s": "x"},), cold_share=0.0, leases=36, least=0, most=2, eager_share=0.0,
        gated_share=0.2, guard_every_ns=1200 * MS, decides=True, apart=True, script="clocks",
    ),
    Family(
        "hosts",
        (FAIR, ROUGH, EDGE, STORM),
        _only("reboot_host", "isolate", "store_cut", "crash_keeper", "crash_controller", "slow_disk",
              "stall_keeper", "set_mode", "election", reboot_host=6, certify_hosts=8, certify_peer=1,
              break_glass=2, certify_by_hand=2),
        services=({"s": "x"}, {"s": "x", "t": "x"}, {"s": "x", "t": "x"}, {"s": "x", "t": "y"}),
        manual_share=0.5, cold_share=0.0, leases=18, least=0, most=5, prompt=True, gated_share=0.3,
        eager_share=0.7, certifiable=True, script="hosts",
    ),
    Family("held", (FAIR,), {"crash_keeper": 6, "crash_controller": 2, "reboot_host": 3, "touch": 4}
           | HARMLESS_TO_HOLD, cold_share=0.0, leases=16, eager_share=0.3, guard_every_ns=400 * MS,
           script="held"),
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
