"""The corner cases that one machine can show, as a table: the case, what must come of it, and the play.

Every row begins from a healthy lab with every service at home and ends with one that is healthy again. X is
the home of the service that moves, Y the other data site, W the witness. What a row needs of the product and
is not there yet stands in `MISSING`; what one machine cannot show stands in `NOT_SHOWN`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from orchestrator.lab import plays_faults, plays_store, stories
from orchestrator.lab.acts import Story
from orchestrator.lab.errors import LabMisuse
from orchestrator.lab.estate import GUARDED

# What the product must have for a row, by the name that rows use; those that are not there yet.
MISSING: frozenset[str] = frozenset({*(() if GUARDED else ("guard",)), "gate"})

NOT_SHOWN: Mapping[str, str] = MappingProxyType(
    {
        "guard stopped too": "needs a watchdog or fencing device, which a namespace has not",
        "X cut off from clients but not from the store": (
            "clients and replication come to one port of one address in a lab; played in the tests, with two "
            "whole sites in one process"
        ),
        "clock rate wrong": "all clocks of one machine are one clock; the simulation has this row",
        "host suspended and resumed, as a virtual machine": (
            "stopping all processes is not a paused machine: its clocks and timers go on; the row "
            "host-paused shows that much and no more"
        ),
        "slow store disk": "needs a block device that is slow on purpose; see leader-changes",
    }
)


@dataclass(frozen=True, slots=True)
class Row:
    """One row. `case` as the table has it, `needs` of the product, `goal` is how often it is to be shown."""

    name: str
    case: str
    expects: str
    play: Story
    needs: tuple[str, ...] = ()
    goal: int = 3

    @property
    def missing(self) -> tuple[str, ...]:
        """What of its needs is not there yet."""
        return tuple(need for need in self.needs if need in MISSING)


_ROWS = (
    Row(
        "site-loss",
        "site X lost whole",
        "Y takes over within the bound; X rejoins",
        plays_faults.site_loss,
        goal=20,
    ),
    Row(
        "database-loss",
        "only the database of S dies at X",
        "given up, and claimed by Y without a wait",
        plays_faults.database_loss,
    ),
    Row(
        "controller-killed",
        "X's controller dies, database healthy",
        "back in time, or Y takes over",
        plays_faults.controller_killed,
    ),
    Row(
        "keeper-killed",
        "X's controller dies, database healthy",
        "the same for its keeper",
        plays_faults.keeper_killed,
    ),
    Row(
        "controller-stopped",
        "X's controller stopped, wakes later",
        "the guard fences before Y promotes",
        plays_faults.controller_stopped,
        ("guard",),
        20,
    ),
    Row(
        "link-down",
        "link X-Y down, both reach the store",
        "no failover; said so; then replication catches up",
        stories.link_loss,
        goal=20,
    ),
    Row(
        "store-out-of-reach",
        "X cannot reach the store, reaches Y",
        "promises; no outage",
        plays_faults.store_out_of_reach,
    ),
    Row(
        "reaches-neither",
        "X reaches neither",
        "fenced by T, Y takes over after it",
        plays_faults.reaches_neither,
        goal=20,
    ),
    Row(
        "blink", "X reaches neither, and is back before T", "X resumes with nothing lost", plays_faults.blink
    ),
    Row("witness-lost", "W lost", "alarm; both go on", plays_store.witness_lost),
    Row(
        "witness-then-link",
        "W lost, then link down",
        "each relies on its hold and goes on",
        plays_store.witness_then_link,
    ),
    Row(
        "store-lost",
        "store lost whole",
        "promises keep both going, not one write fails",
        plays_store.store_lost,
    ),
    Row(
        "promiser-restarts",
        "store lost whole, the promiser restarts",
        "it promises on its note",
        plays_store.promiser_restarts,
    ),
    Row(
        "witness-and-site-lost",
        "W and X lost together",
        "Y goes on serving its own",
        plays_store.witness_and_site,
    ),
    Row(
        "one-way-out",
        "one-way partition: X is not heard",
        "Y takes over after T, never two",
        plays_faults.one_way_out,
    ),
    Row(
        "one-way-in",
        "one-way partition: X does not hear",
        "Y takes over after T, never two",
        plays_faults.one_way_in,
    ),
    Row("one-way-link", "one-way partition of the link", "no failover", plays_faults.one_way_link),
    Row(
        "not-transitive",
        "X does not reach W, Y reaches both",
        "no failover, no failed write",
        plays_faults.not_transitive,
    ),
    Row("clock-jumps", "wall clock jumps", "nothing happens", plays_faults.clock_jumps),
    Row(
        "host-paused",
        "host suspended and resumed",
        "Y takes over; X takes no write when it wakes",
        plays_faults.host_paused,
        ("gate",),
    ),
    Row("cold-start", "both sites start cold", "the last steady assignment", plays_store.cold_start),
    Row(
        "restarts-alone",
        "X restarts while Y is gone",
        "closed until certified or Y is back",
        plays_store.restarts_alone,
    ),
    Row(
        "certified-alone",
        "X restarts while Y is gone, and is certified",
        "X serves its own",
        plays_store.certified_alone,
    ),
    Row(
        "break-glass", "no quorum at the survivor", "opened by a person, reconciled", plays_store.break_glass
    ),
    Row(
        "store-restored",
        "store restored from a backup",
        "refused and said; both go on, also while it is accepted: not one write fails",
        plays_store.store_restored,
    ),
    Row("flapping", "flapping site", "moves once, then asks a person", plays_faults.flapping),
    Row("comes-back", "the lost site comes back", "no second outage", plays_faults.comes_back),
    Row("leader-changes", "store leader changes", "not one write fails", plays_store.leader_changes),
    Row("bad-release", "the same fault at both sites (bad release)", "no ping-pong", plays_faults.both_bad),
    Row("two-operators", "two operators, two commands", "one move", plays_faults.two_operators),
    Row("half-done", "failover half done, controller dies", "the run is resumed", plays_faults.half_done),
    Row(
        "disk-full",
        "disk full where the controller keeps its state",
        "both services go on",
        plays_faults.disk_full,
    ),
)

ROWS: Mapping[str, Row] = MappingProxyType({row.name: row for row in _ROWS})


def rows_named(names: str) -> list[Row]:
    """`all`, or names with commas between. Raises LabMisuse."""
    if names == "all":
        return list(ROWS.values())
    chosen = [name.strip() for name in names.split(",") if name.strip()]
    if not chosen or (unknown := [name for name in chosen if name not in ROWS]):
        wrong = ", ".join(unknown) if chosen else "nothing"
        raise LabMisuse(f"there is no row {wrong}; there are: all, {', '.join(ROWS)}")
    return [ROWS[name] for name in chosen]
