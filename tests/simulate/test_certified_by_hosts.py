"""P28, P31, P32: certificates that are true of hosts and say nothing of the keeper there, which may live on,
rely on hold, and find all its guards closed. What is closed is not opened on the strength of hold alone."""

from orchestrator.core import messages as m
from orchestrator.core.records import Mode
from orchestrator.simulate.world import ServiceSetting, Setting, World
from sites.fencing import guard as g
from tests.simulate.cases import CALM, LONG_NS, MS, T_NS, Case, timing_of


def glass_at_y(case: Case) -> None:
    """An operator at y certifies, truthfully, that every host of x is off or cut off; y serves s by it."""
    world = case.world
    world.controllers["y"].reconciles = False
    epoch = world.store.service("s").record.epoch + 1
    got: list[m.Reply] = []
    broken = m.BreakGlass(service="s", epoch=epoch, certificate="glass", who="an operator", why="x is off")
    world.controllers["y"].ask(broken, got.append)
    case.run(0.5)
    assert got[0].done
    world.checks.glass_broken("s", "y", epoch)
    guard = world.guards["y", "s"]
    guard.run(guard.life, guard.tell, g.Certified("s", epoch, "glass"))
    case.run(1)
    assert case.open_at("s") == ["y"]


def both_hold_without_the_link() -> Case:
    """The witness is lost, both sites hold; then the link is lost as well, and each goes on for itself."""
    case = Case()
    case.do("witness_lost", LONG_NS)
    case.run(4)
    assert case.holds("x")
    assert case.holds("y")
    case.do("part", "x", "y", LONG_NS)
    case.run(2)
    assert case.open_at("s") == ["x"]
    return case


def test_hosts_that_boot_beside_broken_glass_open_nothing_though_their_keeper_relies_on_hold() -> None:
    case = both_hold_without_the_link()
    for service in ("s", "t"):
        case.do("reboot_host", "x", service, 6 * T_NS)
    case.run(2)
    assert case.open_at("s") == []
    glass_at_y(case)
    case.run(8)
    assert case.violations == []
    assert case.open_at("s") == ["y"]


def test_a_lease_that_comes_back_before_the_hosts_boot_does_not_mend_what_was_dark() -> None:
    """All was closed while hold alone entitled: from then on the peer's word is needed, lease or not."""
    case = Case()
    case.do("witness_lost", 9 * T_NS)
    case.run(4)
    assert case.holds("x")
    case.do("part", "x", "y", 5 * T_NS)
    case.run(1.5)
    for service in ("s", "t"):
        case.do("reboot_host", "x", service, 7 * T_NS)
    case.run(2)
    glass_at_y(case)
    case.run(8)
    assert case.violations == []
    assert case.open_at("s") == ["y"]


def test_a_controller_that_was_dead_opens_nothing_beside_broken_glass_when_it_is_back() -> None:
    """P1: without it the keeper answers nobody, and its guards have closed by themselves."""
    case = both_hold_without_the_link()
    case.do("crash_controller", "x", 7 * T_NS)
    case.run(3)
    assert case.open_at("s") == []
    glass_at_y(case)
    case.run(6)
    assert case.violations == []


def test_a_keeper_restarted_on_a_note_of_hold_trusts_it_only_if_a_guard_is_open_still() -> None:
    case = Case()
    case.do("witness_lost", 9 * T_NS)
    case.run(4)
    assert case.holds("x")
    case.do("part", "x", "y", 5 * T_NS)
    case.do("crash_keeper", "x", 8 * T_NS)
    case.do("crash_controller", "x", 8 * T_NS)
    case.run(2.5)
    assert case.open_at("s") == []
    glass_at_y(case)
    case.run(7)
    assert case.violations == []


def test_a_certificate_drawn_up_before_the_other_site_held_takes_nothing_that_it_does_not_cover() -> None:
    """P28: x holds by now and serves t without any contact; the certificate speaks of the host of s alone."""
    services = {"s": ServiceSetting("x", Mode.MANUAL), "t": ServiceSetting("x", Mode.AUTOMATIC)}
    setting = Setting(
        timing=timing_of(T_NS, 0.005),
        services=services,
        weather=CALM,
        guard_every_ns=500 * MS,
        gated=frozenset(services),
    )
    case = Case.__new__(Case)
    world = case.world = World(setting, 7)
    world.settle_at_home()
    world.start()
    world.replicate()
    world.look_at_voters()
    case.run(4)
    case.do("witness_lost", 6 * T_NS)
    case.run(4)
    assert case.holds("x")
    case.do("reboot_host", "x", "s", LONG_NS)
    case.do("isolate", "x", LONG_NS)
    case.run(4)
    assert case.open_at("t") == ["x"]
    got: list[m.Reply] = []
    y = world.controllers["y"]
    y.ask(y.take_over(("s",), ordered=True, certified=True, covers=("s",)), got.append)
    case.run(4)
    assert (got[0].done, got[0].code) == (False, "peer-holds")
    assert case.violations == []


def reconciled_and_lost() -> Case:
    """y served s by a certificate, has reconciled, and loses power before its glass has ended."""
    case = Case()
    world = case.world
    case.do("voter_lost", "w", 4 * T_NS)
    case.do("site_down", "x", 5 * T_NS)
    world.run(int(1.6 * T_NS))
    case.do("break_glass", "y", "s")
    world.run(int(0.5 * T_NS))
    while case.record("s").epoch < 3:
        world.run(MS)
    case.do("site_down", "y", 8 * T_NS)
    case.run(4)
    return case


def test_a_site_that_had_reconciled_and_was_taken_over_does_not_open_on_its_old_glass() -> None:
    case = reconciled_and_lost()
    case.do("certify_peer", "x")
    case.run(3)
    assert case.open_at("s") == ["x"]
    case.run(4)
    assert case.violations == []
    assert case.open_at("s") == ["x"]


def test_a_certificate_that_a_site_is_down_does_not_stand_in_for_its_word_after_it_broke_the_glass() -> None:
    case = reconciled_and_lost()
    case.do("certify_down", "x", ("s", "t"))
    case.run(3)
    assert case.open_at("s") == []
    case.run(4)
    assert case.violations == []
    assert case.open_at("s") == ["y"], "it had reconciled, and the store says so"
