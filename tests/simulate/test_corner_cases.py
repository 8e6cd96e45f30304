"""The protocol's corner cases, one test a row, named after it.

Not here, because the deciding code around the keeper keeps them and not the protocol: flapping (gate 6), the
same fault at both sites (the taker's own checks), and the alarm about a clock's rate.
"""

import ast
from pathlib import Path

import pytest

import orchestrator.core
from orchestrator.core.messages import Reply, StartRun
from orchestrator.core.records import Movement
from orchestrator.core.state import Phase
from orchestrator.simulate.clocks import PARTS, SECOND
from sites.fencing import guard
from tests.simulate.cases import LONG_NS, T_NS, Case


def test_site_x_lost_whole() -> None:
    case = Case()
    case.must_not_be_cut("t")
    case.do("site_down", "x", LONG_NS)
    case.run(3)
    assert case.open_at("s") == ["y"]
    assert case.open_at("t") == ["y"]
    assert case.record("s").epoch == 2


def test_only_the_database_of_s_dies_at_x() -> None:
    case = Case()
    case.world.controllers["x"].claims = False
    case.do("give_up_dead", "x", "s")
    assert case.until(lambda: case.open_at("s") == ["y"], leases=1) < 0.9
    assert case.record("s").final_position is None


def test_xs_controller_dies_and_is_restarted_well_inside_t() -> None:
    case = Case()
    case.must_not_be_cut("s", "t")
    case.do("crash_keeper", "x", SECOND // 2)
    case.do("crash_controller", "x", SECOND // 2)
    case.run(5)
    assert case.record("s").epoch == 1


def test_xs_controller_dies_and_stays_dead() -> None:
    case = Case()
    case.do("crash_keeper", "x", LONG_NS)
    shut = case.until(lambda: case.open_at("s") == [], leases=1.01)
    opened = case.until(lambda: case.open_at("s") == ["y"], leases=2)
    assert shut < 1
    assert opened > 0


def test_xs_controller_stopped_wakes_later() -> None:
    case = Case()
    keeper = case.world.keeper("x")
    assert keeper is not None
    before = keeper.state.incarnation
    case.do("stall_keeper", "x", 4 * T_NS)
    case.until(lambda: case.open_at("s") == [], leases=1.01)
    case.until(lambda: case.open_at("s") == ["y"], leases=2)
    case.run(4)
    assert case.open_at("s") == ["y"]
    assert keeper.state.phase is Phase.ACTIVE
    assert keeper.state.incarnation > before


def test_guard_stopped_too() -> None:
    case = Case(gated=True)
    case.do("stall_keeper", "x", LONG_NS)
    case.do("stall_guard", "x", "s", LONG_NS)
    case.until(lambda: case.open_at("s") == [], leases=1.01)
    case.until(lambda: case.open_at("s") == ["y"], leases=2)


def test_link_x_y_down_both_reach_the_store() -> None:
    case = Case()
    case.must_not_be_cut("s", "t")
    case.do("part", "x", "y", LONG_NS)
    case.run(6)
    assert case.record("s").epoch == case.record("t").epoch == 1


def test_x_cannot_reach_the_store_reaches_y() -> None:
    case = Case()
    case.must_not_be_cut("s", "t")
    case.do("store_cut", "x", "up", 8 * T_NS)
    case.do("store_cut", "x", "down", 8 * T_NS)
    case.run(12)
    assert case.record("s").epoch == 1


def test_x_reaches_neither() -> None:
    case = Case()
    case.do("isolate", "x", LONG_NS)
    assert case.until(lambda: case.open_at("s") == [], leases=1.01) <= 1
    case.until(lambda: case.open_at("s") == ["y"], leases=2)


def test_x_reaches_neither_and_is_back_before_anybody_took_over() -> None:
    case = Case()
    case.patient("y")
    written = case.world.hosts["x", "s"].written()
    case.do("isolate", "x", 2 * T_NS)
    case.run(1.5)
    assert case.open_at("s") == []
    case.until(lambda: case.open_at("s") == ["x"], leases=2)
    assert case.record("s").epoch == 1
    assert case.world.hosts["x", "s"].written() > written


def test_w_lost() -> None:
    case = Case()
    case.must_not_be_cut("s", "t")
    case.do("witness_lost", LONG_NS)
    case.run(4)
    assert case.holds("x")
    assert case.holds("y")


def test_w_lost_then_link_down() -> None:
    case = Case()
    case.must_not_be_cut("s", "t")
    case.do("witness_lost", LONG_NS)
    case.run(4)
    case.do("part", "x", "y", LONG_NS)
    case.run(8)
    assert case.open_at("s") == ["x"]
    assert case.open_at("t") == ["y"]


def test_w_lost_then_link_down_within_t_of_each_other() -> None:
    case = Case()
    case.do("witness_lost", LONG_NS)
    case.do("part", "x", "y", LONG_NS)
    case.run(3)
    assert case.open_at("s") == case.open_at("t") == []


def test_store_lost_whole() -> None:
    case = Case()
    case.must_not_be_cut("s", "t")
    case.do("voter_lost", "w", LONG_NS)
    case.do("voter_lost", "x", LONG_NS)
    case.run(6)
    assert case.open_at("s") == ["x"]


def test_store_lost_whole_and_the_promiser_restarts() -> None:
    case = Case()
    case.must_not_be_cut("s")
    case.do("voter_lost", "w", LONG_NS)
    case.do("voter_lost", "x", LONG_NS)
    case.run(2)
    case.do("crash_keeper", "y", SECOND // 4)
    case.run(6)
    assert case.open_at("s") == ["x"]
    assert case.open_at("t") == []  # its own keeper restarted, and the store knows nothing of it


def test_w_and_x_lost_together_after_hold_was_set() -> None:
    case = Case()
    case.do("witness_lost", LONG_NS)
    case.run(4)
    case.must_not_be_cut("t")
    case.do("site_down", "x", LONG_NS)
    case.run(4)
    assert case.open_at("t") == ["y"]
    assert case.open_at("s") == []
    case.do("break_glass", "y", "s")
    case.until(lambda: case.open_at("s") == ["y"], leases=2)


def test_w_and_x_lost_together() -> None:
    case = Case()
    case.do("voter_lost", "w", LONG_NS)
    case.do("site_down", "x", LONG_NS)
    case.run(2)
    assert case.open_at("t") == case.open_at("s") == []
    case.do("break_glass", "y", "s")
    case.do("break_glass", "y", "t")
    case.until(lambda: case.open_at("s") == ["y"] and case.open_at("t") == ["y"], leases=2)


def test_the_other_site_has_the_word_only_when_the_disk_knows_of_no_glass() -> None:
    """The host boots under the certificate, so that its guard knows no higher epoch yet; then the disk hangs,
    and y is lost. What stands there would open s again when y is back."""
    case = Case()
    case.do("voter_lost", "w", 4 * T_NS)
    case.do("site_down", "x", 5 * T_NS)
    case.run(1.6)
    case.do("break_glass", "y", "s")
    case.run(1)
    case.do("reboot_host", "y", "s", SECOND)
    case.until(lambda: case.record("s").kind == "break-glass", leases=4)
    case.world.sites["y"].disk.slow_ns = LONG_NS * LONG_NS
    y = case.world.keeper("y")
    assert y is not None
    case.until(lambda: not y.state.glass, leases=3)
    case.do("stall_guard", "y", "s", 3 * T_NS)
    case.run(1)
    assert case.breaks_glass("y")
    case.world.sites["y"].disk.slow_ns = 0
    case.do("site_down", "y", 4 * T_NS)
    case.run(8)


def test_the_other_site_has_the_word_when_the_disk_knows_of_no_glass() -> None:
    case = Case()
    case.do("voter_lost", "w", 4 * T_NS)
    case.do("site_down", "x", 5 * T_NS)
    case.run(1.6)
    case.do("break_glass", "y", "s")
    case.until(lambda: case.breaks_glass("y"), leases=4)
    case.until(lambda: not case.breaks_glass("y"), leases=3)
    assert case.open_at("s") == ["y"]
    x = case.world.keeper("x")
    assert x is not None
    case.until(lambda: not x.state.word_needed, leases=1)


def test_x_cut_off_from_clients_but_not_from_the_store() -> None:
    case = Case()
    case.must_not_be_cut("t")
    case.do("switch_over", "s", "x", "y")
    case.until(lambda: case.open_at("s") == ["y"], leases=3)
    case.run(2)
    assert case.record("s").epoch == 2
    assert case.record("s").movement is Movement.STEADY


@pytest.mark.parametrize(("a", "b"), [("x", "y"), ("y", "x"), ("x", "w"), ("w", "x"), ("y", "w"), ("w", "y")])
def test_one_way_partition(a: str, b: str) -> None:
    case = Case()
    case.must_not_be_cut("s", "t")
    case.do("cut", a, b, 6 * T_NS)
    case.run(8)
    assert case.record("s").epoch == 1


def test_non_transitive_partition() -> None:
    """x and y do not see each other, x and w neither, w and y do."""
    case = Case()
    case.must_not_be_cut("t")
    case.do("part", "x", "w", LONG_NS)
    case.do("part", "x", "y", LONG_NS)
    case.until(lambda: case.open_at("s") == [], leases=1.01)
    case.until(lambda: case.open_at("s") == ["y"], leases=2)


def test_wall_clock_jumps() -> None:
    """The deciding code has no way to a wall clock; the world of the simulation has none."""
    core = Path(orchestrator.core.__file__).parent
    for path in sorted(core.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names.append(node.module or "")
            assert not {"time", "datetime", "orchestrator.clock"} & set(names), path.name
    assert guard.step.__code__.co_varnames[:3] == ("state", "message", "now_ns")


def test_clock_rate_wrong() -> None:
    """Within e nothing happens; beyond e two sites can be open at once, so e must be watched."""
    slow_x = dict.fromkeys(("x", "x/s", "x/t"), PARTS)
    for percent, holds in ((0.4, True), (40, False)):
        case = Case(gated=False, rates=slow_x | {"y": PARTS + int(PARTS * percent / 100)})
        case.do("isolate", "x", LONG_NS)
        case.world.run(4 * T_NS)
        assert (case.violations == []) is holds


def test_host_suspended_and_resumed() -> None:
    case = Case(gated=True)
    case.do("pause_host", "x", "s", 4 * T_NS)
    case.do("stall_keeper", "x", 4 * T_NS)
    case.until(lambda: case.open_at("s") == ["y"], leases=3)
    case.run(4)
    assert case.open_at("s") == ["y"]


def test_both_sites_start_cold() -> None:
    case = Case()
    case.do("site_down", "x", T_NS)
    case.do("site_down", "y", T_NS + SECOND)
    case.run(1.2)
    assert case.open_at("s") == case.open_at("t") == []
    case.until(lambda: case.open_at("s") == ["x"] and case.open_at("t") == ["y"], leases=3)
    assert case.record("s").epoch == case.record("t").epoch == 1


def test_x_restarts_while_y_is_gone() -> None:
    case = Case()
    case.patient("x")
    case.do("site_down", "y", LONG_NS)
    case.do("site_down", "x", SECOND)
    case.run(4)
    assert case.open_at("s") == []
    case.do("certify_peer", "x")
    case.until(lambda: case.open_at("s") == ["x"], leases=2)


def test_a_lease_kept_by_promises_counts_as_unbroken() -> None:
    case = Case()
    case.must_not_be_cut("s")
    case.do("store_cut", "x", "up", 4 * T_NS)
    case.run(3)
    case.do("crash_keeper", "x", SECOND // 4)
    case.run(1 / 2)
    case.world.checks.healthy.clear()  # a keeper that restarts without the store has no lease
    case.run(6)
    assert len(case.open_at("s")) == 1


def test_the_lost_site_comes_back() -> None:
    case = Case()
    case.do("site_down", "x", 4 * T_NS)
    case.until(lambda: case.open_at("s") == ["y"], leases=3)
    case.must_not_be_cut("s", "t")
    case.run(6)
    assert case.open_at("s") == ["y"]


def test_the_lost_link_comes_back() -> None:
    case = Case()
    case.do("isolate", "x", 4 * T_NS)
    case.until(lambda: case.open_at("s") == ["y"], leases=3)
    case.must_not_be_cut("s", "t")
    case.run(6)
    assert case.open_at("s") == ["y"]


def test_store_leader_changes() -> None:
    case = Case()
    case.must_not_be_cut("s", "t")
    for _ in range(4):
        case.do("election", SECOND)
        case.run(1)
    assert case.record("s").epoch == 1


def test_store_restored_from_a_backup() -> None:
    case = Case(restores=True)
    case.do("back_up")
    case.do("isolate", "x", 4 * T_NS)
    case.until(lambda: case.open_at("s") == ["y"], leases=3)
    case.do("restore", False)
    assert case.record("s").primary == "x"  # what the store says now, and nobody believes
    case.run(8)
    assert case.world.sites["x"].disk.store_broken or case.world.sites["y"].disk.store_broken
    assert "x" not in case.open_at("s")


def test_two_operators_two_commands() -> None:
    case = Case()
    controller = case.world.controllers["y"]
    item = case.world.store.service("s")
    assert item is not None
    first = controller.run_record("s", "switchover", to_site="y")
    second = case.world.controllers["x"].run_record("s", "switchover", to_site="x")
    replies: list[Reply] = []
    for site, record in (("y", first), ("x", second)):
        start = StartRun(service="s", record=record, revision=item.revision, who="operator", why="planned")
        case.world.controllers[site].ask(start, replies.append)
    case.run(1)
    assert sorted(reply.done for reply in replies) == [False, True]
    refused = next(reply for reply in replies if not reply.done)
    assert refused.code in ("moving", "changed-since-plan")


def test_failover_half_done_controller_dies() -> None:
    case = Case()
    case.do("site_down", "x", LONG_NS)
    case.until(lambda: case.record("s").primary == "y", leases=2)
    case.do("crash_controller", "y", SECOND)
    case.until(lambda: case.open_at("s") == ["y"], leases=2)
    case.until(lambda: case.record("s").movement is Movement.STEADY, leases=2)


def test_old_primary_boots_after_a_failover() -> None:
    case = Case()
    case.do("site_down", "x", 6 * T_NS)
    case.until(lambda: case.open_at("s") == ["y"], leases=3)
    case.must_not_be_cut("s")
    case.run(8)
    assert case.world.sites["x"].up
    assert case.open_at("s") == ["y"]
    assert case.world.guards["x", "s"].memory.epoch <= case.record("s").epoch


def test_a_manual_service_moves_by_a_certificate_alone() -> None:
    case = Case(manual=("s",))
    case.do("site_down", "x", LONG_NS)
    case.run(4)
    assert case.open_at("s") == []
    case.do("certify_down", "y", ("s",))
    case.until(lambda: case.open_at("s") == ["y"], leases=3)
