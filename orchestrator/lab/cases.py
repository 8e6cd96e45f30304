"""The corner cases of the ownership protocol, one for each line of its table: by which tests the simulation
shows it, and what of it one machine cannot show with real processes.

The rows that play them are in `orchestrator.lab.rows`; X is the home of the service that moves, Y the other
data site, W the witness.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

SIMULATED = "tests/simulate/test_corner_cases.py"


@dataclass(frozen=True, slots=True)
class Case:
    """One line. `simulated`: names of tests in `SIMULATED`; `tested`: of others, in the file `where`."""

    name: str
    simulated: tuple[str, ...] = ()
    where: str = ""
    tested: tuple[str, ...] = ()


_CASES = (
    Case("site X lost whole", ("test_site_x_lost_whole",)),
    Case("only the database of S dies at X", ("test_only_the_database_of_s_dies_at_x",)),
    Case(
        "X's controller dies, database healthy",
        ("test_xs_controller_dies_and_is_restarted_well_inside_t", "test_xs_controller_dies_and_stays_dead"),
    ),
    Case("X's controller stopped, wakes later", ("test_xs_controller_stopped_wakes_later",)),
    Case("guard stopped too", ("test_guard_stopped_too",)),
    Case("link X-Y down, both reach the store", ("test_link_x_y_down_both_reach_the_store",)),
    Case("X cannot reach the store, reaches Y", ("test_x_cannot_reach_the_store_reaches_y",)),
    Case(
        "X reaches neither",
        ("test_x_reaches_neither", "test_x_reaches_neither_and_is_back_before_anybody_took_over"),
    ),
    Case("W lost", ("test_w_lost",)),
    Case(
        "W lost, then link down",
        ("test_w_lost_then_link_down", "test_w_lost_then_link_down_within_t_of_each_other"),
    ),
    Case("store lost whole", ("test_store_lost_whole", "test_store_lost_whole_and_the_promiser_restarts")),
    Case(
        "W and X lost together",
        ("test_w_and_x_lost_together_after_hold_was_set", "test_w_and_x_lost_together"),
    ),
    Case(
        "X cut off from clients but not from the store",
        ("test_x_cut_off_from_clients_but_not_from_the_store",),
        "tests/orchestrator/test_observers.py",
        ("test_a_service_whose_clients_cannot_reach_it_is_handed_over_in_order_and_loses_nothing",),
    ),
    Case("one-way or non-transitive partition", ("test_one_way_partition", "test_non_transitive_partition")),
    Case("wall clock jumps", ("test_wall_clock_jumps",)),
    Case("clock rate wrong", ("test_clock_rate_wrong",)),
    Case("host suspended and resumed", ("test_host_suspended_and_resumed",)),
    Case("both sites start cold", ("test_both_sites_start_cold",)),
    Case(
        "X restarts while Y is gone",
        ("test_x_restarts_while_y_is_gone", "test_a_lease_kept_by_promises_counts_as_unbroken"),
    ),
    Case(
        "the lost site or link comes back",
        ("test_the_lost_site_comes_back", "test_the_lost_link_comes_back"),
    ),
    Case("store leader changes, slow store disk", ("test_store_leader_changes",)),
    Case("store restored from a backup", ("test_store_restored_from_a_backup",)),
    Case(
        "flapping site",
        (),
        "tests/orchestrator/test_moves_by_itself.py",
        ("test_a_second_move_waits_until_somebody_has_looked_at_the_first",),
    ),
    Case("the same fault at both sites (bad release)"),
    Case("two operators, two commands", ("test_two_operators_two_commands",)),
    Case("failover half done, controller dies", ("test_failover_half_done_controller_dies",)),
    Case("old primary boots after a failover", ("test_old_primary_boots_after_a_failover",)),
    Case("disk full where the controller keeps its state"),
)

CASES: Mapping[str, Case] = MappingProxyType({case.name: case for case in _CASES})

# What of a case one machine cannot show, and why; in the words of people who ask what was left out.
NOT_SHOWN: Mapping[str, str] = MappingProxyType(
    {
        "guard stopped too": (
            "where nothing sees the database, only a gate, a watchdog or a fencing device keeps it from "
            "being served twice; a namespace has neither of the last two"
        ),
        "clock rate wrong": "all clocks of one machine are one clock; the simulation has this row",
        "host suspended and resumed": (
            "stopping all processes of a host is not a paused virtual machine, whose clocks may stand still "
            "and whose kernel sends what it has: that must be tried on the hypervisor; the row host-paused "
            "shows that no process of a host gets a write out after its pause"
        ),
        "store leader changes, slow store disk": (
            "a disk that is slow on purpose needs a block device of its own; in the row slow-member a member "
            "of the store stands still for a third of a second, again and again"
        ),
    }
)
