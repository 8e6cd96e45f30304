"""One rule switched off or weakened at a time: the simulation must find what goes wrong, or it is too weak.

Each snippet stands exactly once in its module. Knows nothing of the product but these texts.
"""

from typing import NamedTuple

from orchestrator.simulate.loader import Edit

ASKING = "orchestrator.core.asking"
ASKS = "orchestrator.core.asks"
LEASE = "orchestrator.core.lease"
OWNERSHIP = "orchestrator.core.ownership"
REGISTRATION = "orchestrator.core.registration"
STATE = "orchestrator.core.state"
GUARD = "sites.fencing.guard"


class Mutant(NamedTuple):
    """A weakened rule. `families`: where to look for it first."""

    rule: str
    name: str
    words: str
    edits: tuple[Edit, ...]
    families: tuple[str, ...] = ()


MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "P9",
        "the taker does not allow for clock rates",
        "its clock is fast: T of its seconds pass before T of the holder's",
        (
            Edit(
                LEASE,
                "return lease_duration_ns + ceil(lease_duration_ns * clock_drift)",
                "return lease_duration_ns",
            ),
        ),
        ("lease", "mixed"),
    ),
    Mutant(
        "P9",
        "at the instant, not strictly after it",
        "two clocks that show whole ticks: the holder's last tick is not over",
        (Edit(LEASE, "return now_ns > instant_ns", "return now_ns >= instant_ns"),),
        ("lease", "mixed"),
    ),
    Mutant(
        "P10",
        "the takeover does not compare the peer's key",
        "the holder renews between the decision and the commit",
        (
            Edit(
                ASKING,
                "        compares.append(Compare(SITES + state.peer, state.peer_item.revision))\n",
                "",
            ),
        ),
        ("lease", "promises", "mixed"),
    ),
)
