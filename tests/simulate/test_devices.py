"""Fencing devices on the real core: a cut of what may live on is a right only when it is verified and covers
all that must be off; what fails, hangs or comes late is none, and does no harm."""

import pytest

from orchestrator.core.records import Mode
from orchestrator.simulate.clocks import MS
from orchestrator.simulate.devices import FAILS, HANGS, LATE, cut_and_take
from orchestrator.simulate.world import ServiceSetting, Setting, World
from tests.simulate.cases import CALM, LONG_NS, T_NS, Case, timing_of


def take(case: Case, *services: str, ordered: bool = True, **more: object) -> list[str]:
    """y has x's hosts of these switched off, and takes them; what came of it."""
    told: list[str] = []
    cut_and_take(case.world, "y", services, ordered=ordered, told=told.append, **more)  # type: ignore[arg-type]
    return told


def two_of_x(manual: str = "") -> Case:
    """Both services are x's."""
    services = {
        name: ServiceSetting("x", Mode.MANUAL if name in manual else Mode.AUTOMATIC) for name in ("s", "t")
    }
    setting = Setting(
        timing=timing_of(T_NS, 0.005),
        services=services,
        weather=CALM,
        guard_every_ns=500 * MS,
        gated=frozenset(services),
    )
    case = Case.__new__(Case)
    case.world = World(setting, 7)
    case.world.settle_at_home()
    case.world.start()
    case.world.replicate()
    case.world.look_at_voters()
    case.run(4)
    return case


def test_a_manual_service_of_a_site_that_lives_and_cannot_be_reached_moves_by_a_verified_cut() -> None:
    """It goes on serving at x: nothing but the cut ends that."""
    case = Case(manual=("s",))
    case.do("isolate", "x", LONG_NS)
    case.run(3)
    assert case.open_at("s") == ["x"]
    told = take(case, "s", on_after_ns=LONG_NS)
    case.until(lambda: case.open_at("s") == ["y"], leases=6)
    assert told == ["taken"]
    assert not case.world.hosts["x", "s"].up, "the database there is really off"
    case.run(6)
    assert case.open_at("s") == ["y"]


def test_a_host_that_is_switched_on_again_later_stays_closed_though_its_keeper_knew_of_nothing() -> None:
    case = Case(manual=("s",))
    case.do("isolate", "x", 12 * T_NS)
    case.run(3)
    take(case, "s", on_after_ns=5 * T_NS)
    case.until(lambda: case.open_at("s") == ["y"], leases=6)
    case.run(8)
    assert case.world.hosts["x", "s"].up
    assert case.open_at("s") == ["y"]
    case.run(8)
    assert case.open_at("s") == ["y"]


@pytest.mark.parametrize("fate", [FAILS, HANGS, LATE])
def test_a_device_that_fails_hangs_or_is_late_is_no_right(fate: str) -> None:
    case = Case(manual=("s",))
    case.patient("y")
    case.do("isolate", "x", LONG_NS)
    case.run(3)
    told = take(case, "s", fates={"s": fate})
    case.run(6)
    assert told == ["not verified"]
    assert case.record("s").primary == "x"


def test_an_automatic_service_is_not_taken_by_a_cut_from_a_site_that_renews_nor_is_it_switched_off() -> None:
    case = Case()
    case.must_not_be_cut("s")
    for ordered in (False, True):
        told = take(case, "s", ordered=ordered)
        case.run(6)
        assert told == ["lease-still-held"]
    assert case.open_at("s") == ["x"]


def test_a_link_that_is_down_switches_nothing_off() -> None:
    case = Case()
    case.must_not_be_cut("s", "t")
    case.do("part", "x", "y", LONG_NS)
    for _ in range(5):
        assert take(case, "s", ordered=False) in ([], ["lease-still-held"])
        case.run(1)
    assert case.record("s").epoch == case.record("t").epoch == 1


def test_a_lost_site_is_switched_off_when_its_lease_is_over_and_not_before() -> None:
    case = Case()
    case.patient("y")
    case.do("isolate", "x", LONG_NS)
    case.run(0.7)
    assert take(case, "s", ordered=False) in ([], ["lease-still-held"])
    case.run(2)
    assert case.open_at("s") == []
    told = take(case, "s", ordered=False)
    case.until(lambda: case.open_at("s") == ["y"], leases=6)
    assert told == ["taken"]


def test_while_a_site_holds_a_cut_that_leaves_one_of_its_services_on_takes_nothing() -> None:
    case = two_of_x()
    case.do("witness_lost", 6 * T_NS)
    case.run(4)
    assert case.holds("x")
    case.do("isolate", "x", LONG_NS)
    case.run(4)
    assert case.open_at("s") == case.open_at("t") == ["x"]
    told = take(case, "s", covers=("s",))
    case.run(6)
    assert told == ["peer-holds"]
    assert case.open_at("s") == ["x"], "it was not switched off for nothing"
    told = take(case, "s", fates={"t": FAILS})
    case.run(6)
    assert told == ["not verified"]
    assert case.record("s").primary == "x"
    assert case.open_at("t") == ["x"]


def test_while_a_site_holds_a_cut_of_all_of_it_is_a_right_to_take_one_service() -> None:
    case = two_of_x()
    case.do("witness_lost", 6 * T_NS)
    case.run(4)
    case.do("isolate", "x", LONG_NS)
    case.run(4)
    told = take(case, "s", on_after_ns=8 * T_NS)
    case.until(lambda: case.open_at("s") == ["y"], leases=6)
    assert told == ["taken"]
    case.run(16)
    assert case.violations == []
    assert case.open_at("s") == ["y"]


def test_a_holding_site_is_never_switched_off_without_a_person() -> None:
    """Both sites hold, and each would take the other for lost: nobody switches anybody off."""
    case = Case()
    case.must_not_be_cut("s", "t")
    case.do("witness_lost", 6 * T_NS)
    case.run(4)
    case.do("part", "x", "y", LONG_NS)
    for _ in range(6):
        for by, service in (("y", "s"), ("x", "t")):
            cut_and_take(case.world, by, (service,), ordered=False)
        case.run(1)
    assert case.open_at("s") == ["x"]
    assert case.open_at("t") == ["y"]


def test_a_success_that_comes_after_it_was_given_up_for_lost_harms_nobody() -> None:
    """x is back, and serves again; then the device does what it was told long ago."""
    case = Case()
    case.patient("x", "y")
    case.do("isolate", "x", 3 * T_NS)
    case.run(2)
    told = take(case, "s", ordered=False, fates={"s": LATE}, on_after_ns=3 * T_NS)
    case.until(lambda: case.open_at("s") == ["x"], leases=8)
    case.until(lambda: not case.world.hosts["x", "s"].up, leases=10)
    assert told == ["not verified"]
    case.run(8)
    assert case.record("s").epoch == 1
    assert case.open_at("s") == ["x"], "it was switched on again, and is x's still"


@pytest.mark.parametrize("seed", range(30))
def test_whatever_else_befalls_them_no_two_sites_are_ever_writable(seed: int) -> None:
    """Devices with every fate, machines that are switched on again, and a site that comes and goes."""
    case = Case(manual=("s",) if seed % 2 else (), eager=seed % 3 == 0)
    world, random = case.world, case.world.random
    random.seed(seed)
    for _ in range(12):
        deed = random.choice(("isolate", "part", "crash_keeper", "witness_lost", "none", "take", "take"))
        for_ns = random.randrange(T_NS // 2, 4 * T_NS)
        if deed in ("isolate", "crash_keeper"):
            case.do(deed, random.choice("xy"), for_ns)
        elif deed == "part":
            case.do(deed, *random.choice((("x", "y"), ("x", "w"), ("y", "w"))), for_ns)
        elif deed == "witness_lost":
            case.do(deed, for_ns)
        elif deed == "take":
            by = random.choice("xy")
            fates = {name: random.choice(("works", "works", FAILS, HANGS, LATE)) for name in ("s", "t")}
            services = random.choice((("s",), ("t",), ("s", "t")))
            cut_and_take(
                world,
                by,
                services,
                ordered=random.random() < 0.5,
                fates=fates,
                on_after_ns=random.randrange(3 * T_NS, 12 * T_NS),
            )
        case.run(random.random() * 2)
    case.run(20)
