"""The codes of refusals and decisions: what each means, and what to do about it. Pure: tables.

A code is stable: it is printed, logged, counted in metrics and written down in the journal, and people
search for it at night. None is ever renamed or given another meaning. Every code that any part of
`orchestrator` gives out stands in one of the tables (a test looks), and the reference page is made of them.
"""

from collections.abc import Mapping
from types import MappingProxyType

from orchestrator.core.reason import Reason
from orchestrator.core.reasons_certified import CERTIFICATES
from orchestrator.core.reasons_decided import DECISIONS
from orchestrator.core.reasons_devices import DEVICES
from orchestrator.core.reasons_drills import DRILLS
from orchestrator.core.reasons_refused import GATES, REQUESTS, RIGHT, STEERING
from orchestrator.core.reasons_store import STORE

GROUPS = (RIGHT, GATES, DEVICES, REQUESTS, STEERING, CERTIFICATES, STORE, DRILLS, DECISIONS)

REASONS: Mapping[str, Reason] = MappingProxyType(
    {reason.code: reason for group in GROUPS for reason in group.reasons}
)


def reason_of(code: str) -> Reason | None:
    """What a code means; None for one from a newer or older version."""
    return REASONS.get(code)
