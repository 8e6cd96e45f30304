"""The corner cases that one machine can show, as rows: the case, what must come of it, and the play.

Every row begins from a healthy lab with every service at home and ends with one that is healthy again. X is
the home of the service that moves, Y the other data site, W the witness. What the product has not yet that a
row needs stands in `MISSING`; what of a case one machine cannot show, in `cases.NOT_SHOWN`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from orchestrator.lab import (
    plays_back,
    plays_faults,
    plays_gate,
    plays_killed,
    plays_quorum,
    plays_store,
    stories,
)
from orchestrator.lab.acts import Story
from orchestrator.lab.errors import LabMisuse
from orchestrator.lab.estate import GUARDED

# What the product must have for a row, by the name that rows use; those that are not there yet.
MISSING: frozenset[str] = frozenset(() if GUARDED else ("guard",))
OFTEN = 20


@dataclass(frozen=True, slots=True)
class Row:
    """One row. `of`: the case that it plays, by its name in `cases`; `needs` of the product, `goal` is how
    often it is to be shown, `gates`: it needs a lab whose clients come by gates."""

    name: str
    of: str
    case: str
    expects: str
    play: Story
    needs: tuple[str, ...] = ()
    goal: int = 3
    gates: bool = False

    @property
    def missing(self) -> tuple[str, ...]:
        """What of its needs is not there yet."""
        return tuple(need for need in self.needs if need in MISSING)


def _row(
    name: str,
    of: str,
    expects: str,
    play: Story,
    *,
    case: str = "",
    needs: tuple[str, ...] = (),
    goal: int = 3,
    gates: bool = False,
) -> Row:
    return Row(name, of, case or of, expects, play, needs, goal, gates)


_ROWS = (
    _row(
        "site-loss",
        "site X lost whole",
        "Y takes over within the bound; X rejoins",
        plays_faults.site_loss,
        goal=OFTEN,
    ),
    _row(
        "database-loss",
        "only the database of S dies at X",
        "given up, and claimed by Y without a wait",
        plays_faults.database_loss,
    ),
    _row(
        "controller-killed",
        "X's controller dies, database healthy",
        "back in time, or Y takes over",
        plays_faults.controller_killed,
        case="X's controller dies with its parent, database healthy",
    ),
    _row(
        "keeper-killed",
        "X's controller dies, database healthy",
        "the same for its keeper",
        plays_faults.keeper_killed,
        case="X's keeper dies with its parent, database healthy",
    ),
    _row(
        "controller-crashes",
        "X's controller dies, database healthy",
        "its parent forks it again; not one write fails",
        plays_faults.controller_crashes,
        case="X's controller dies, its parent does not",
    ),
    _row(
        "keeper-crashes",
        "X's controller dies, database healthy",
        "the same for its keeper",
        plays_faults.keeper_crashes,
        case="X's keeper dies, its parent does not",
    ),
    _row(
        "controller-gone",
        "X's controller dies, database healthy",
        "the guard fences before Y promotes",
        plays_faults.controller_gone,
        case="X's controller and keeper die, and nobody starts them again",
        needs=("guard",),
    ),
    _row(
        "controller-stopped",
        "X's controller stopped, wakes later",
        "the guard fences before Y promotes",
        plays_faults.controller_stopped,
        needs=("guard",),
        goal=OFTEN,
    ),
    _row(
        "guard-stopped",
        "guard stopped too",
        "nothing passes the gate; Y sees its database, and promotes nothing",
        plays_gate.guard_stopped,
        case="X's controller, keeper and guards stopped, with a gate",
        needs=("guard",),
        gates=True,
    ),
    _row(
        "guard-stopped-no-gate",
        "guard stopped too",
        "X goes on; Y sees it writable, and promotes nothing",
        plays_gate.guard_stopped_no_gate,
        case="X's controller, keeper and guards stopped, without a gate",
        needs=("guard",),
    ),
    _row(
        "link-down",
        "link X-Y down, both reach the store",
        "no failover; said so; then replication catches up",
        stories.link_loss,
        goal=OFTEN,
    ),
    _row(
        "store-out-of-reach",
        "X cannot reach the store, reaches Y",
        "promises; no outage",
        plays_faults.store_out_of_reach,
    ),
    _row(
        "reaches-neither",
        "X reaches neither",
        "fenced by T, Y takes over after it",
        plays_faults.reaches_neither,
        goal=OFTEN,
    ),
    _row(
        "blink",
        "X reaches neither",
        "X goes on, not one write fails",
        plays_faults.blink,
        case="X reaches neither, and is back before T",
    ),
    _row(
        "back-in-time",
        "X reaches neither",
        "fenced by T; X opens again with nothing lost",
        plays_faults.back_in_time,
        case="X reaches neither, and is back before `hold_down` has passed",
    ),
    _row("witness-lost", "W lost", "alarm; both go on", plays_quorum.witness_lost),
    _row(
        "witness-then-link",
        "W lost, then link down",
        "each relies on its hold and goes on",
        plays_quorum.witness_then_link,
    ),
    _row(
        "witness-and-link",
        "W lost, then link down",
        "both fence; when they are back, all goes on",
        plays_quorum.witness_and_link,
        case="W lost and link down within T of each other",
    ),
    _row(
        "store-lost",
        "store lost whole",
        "promises keep both going, not one write fails",
        plays_store.store_lost,
        case="store lost whole: all members stand still for 60 s",
    ),
    _row(
        "store-dead",
        "store lost whole",
        "promises keep both going, not one write fails",
        plays_store.store_dead,
        case="store lost whole: all members are stopped for 60 s",
    ),
    _row(
        "promiser-restarts",
        "store lost whole",
        "it promises on its note; its own services are fenced",
        plays_store.promiser_restarts,
        case="store lost whole, the promiser restarts",
    ),
    _row(
        "witness-and-site-lost",
        "W and X lost together",
        "Y goes on serving its own",
        plays_quorum.witness_and_site,
        case="W and X lost, hold set before",
    ),
    _row(
        "witness-and-site-at-once",
        "W and X lost together",
        "Y fences; a person opens both services there",
        plays_quorum.witness_and_site_at_once,
        case="W and X lost at once, no hold set before",
    ),
    _row(
        "break-glass",
        "W and X lost together",
        "opened by a person, reconciled",
        plays_quorum.break_glass,
        case="no quorum at the survivor",
    ),
    _row(
        "clients-cut-off",
        "X cut off from clients but not from the store",
        "X gives its service up in order; nothing is lost",
        plays_gate.clients_cut_off,
        gates=True,
    ),
    _row(
        "one-way-out",
        "one-way or non-transitive partition",
        "Y takes over after T, never two",
        plays_faults.one_way_out,
        case="one-way partition: X is not heard",
    ),
    _row(
        "one-way-in",
        "one-way or non-transitive partition",
        "Y takes over after T, never two",
        plays_faults.one_way_in,
        case="one-way partition: X does not hear",
    ),
    _row(
        "one-way-link",
        "one-way or non-transitive partition",
        "no failover",
        plays_faults.one_way_link,
        case="one-way partition of the link",
    ),
    _row(
        "not-transitive",
        "one-way or non-transitive partition",
        "no failover, no failed write",
        plays_faults.not_transitive,
        case="X does not reach W, Y reaches both",
    ),
    _row("clock-jumps", "wall clock jumps", "nothing happens", plays_faults.clock_jumps),
    _row(
        "host-paused",
        "host suspended and resumed",
        "Y takes over; X acknowledges nothing when it wakes",
        plays_gate.host_paused,
        case="all processes of X's hosts paused and resumed, with a gate",
        needs=("guard",),
        gates=True,
    ),
    _row("cold-start", "both sites start cold", "the last steady assignment", plays_store.cold_start),
    _row(
        "restarts-alone",
        "X restarts while Y is gone",
        "closed until certified or Y is back",
        plays_store.restarts_alone,
    ),
    _row(
        "certified-alone",
        "X restarts while Y is gone",
        "X serves its own",
        plays_store.certified_alone,
        case="X restarts while Y is gone, and is certified",
    ),
    _row(
        "comes-back",
        "the lost site or link comes back",
        "no second outage",
        plays_back.comes_back,
        case="the lost site comes back",
    ),
    _row(
        "link-comes-back",
        "the lost site or link comes back",
        "no second outage",
        plays_back.link_comes_back,
        case="the links of a site that was taken over come back",
    ),
    _row(
        "leader-changes",
        "store leader changes, slow store disk",
        "not one write fails",
        plays_store.leader_changes,
        case="store leader changes",
    ),
    _row(
        "follower-lost",
        "store leader changes, slow store disk",
        "the store answers on; not one write fails",
        plays_store.follower_lost,
        case="a follower of the store is lost",
    ),
    _row(
        "slow-member",
        "store leader changes, slow store disk",
        "not one write fails",
        plays_store.slow_member,
        case="a member of the store stands still, again and again",
    ),
    _row(
        "store-restored",
        "store restored from a backup",
        "refused and said; both go on, also while it is accepted: not one write fails",
        plays_store.store_restored,
    ),
    _row("flapping", "flapping site", "moves once, then asks a person", plays_faults.flapping),
    _row("bad-release", "the same fault at both sites (bad release)", "no ping-pong", plays_faults.both_bad),
    _row("two-operators", "two operators, two commands", "one move", plays_back.two_operators),
    _row(
        "half-done",
        "failover half done, controller dies",
        "the run is resumed, and done",
        plays_back.half_done,
    ),
    _row(
        "killed-anywhere",
        "failover half done, controller dies",
        "each of ten moves is done, or taken back whole; nothing is lost",
        plays_killed.killed_anywhere,
        case="a planned move's controller is killed, at ten moments",
    ),
    _row(
        "old-primary-boots",
        "old primary boots after a failover",
        "closed, its epoch too low; its tail is saved, it rejoins",
        plays_back.old_primary_boots,
    ),
    _row(
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
