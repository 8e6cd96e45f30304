"""How the estate's policy stands in the store. Pure."""

from orchestrator.core.records import Mode
from sites.model import FailoverPolicy, Service


def mode_of(service: Service) -> Mode:
    """P27: `followed` is stored as manual and never moved by us."""
    return Mode.AUTOMATIC if service.failover is FailoverPolicy.AUTOMATIC else Mode.MANUAL
