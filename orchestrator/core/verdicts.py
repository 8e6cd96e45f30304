"""What may come of an ask when it is examined. Values."""

from dataclasses import dataclass

from orchestrator.core.records import RunRecord, ServiceRecord


@dataclass(frozen=True, slots=True)
class Refuse:
    """No, with the reason's code."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Not yet."""


@dataclass(frozen=True, slots=True)
class ReadPeerFirst:
    """P8: read the peer's key once more, linearizably, before P10."""


@dataclass(frozen=True, slots=True)
class Done:
    """It is so already."""


@dataclass(frozen=True, slots=True)
class Do:
    """Write these services (by name), these runs, and revoke the peer's key if `revoke_peer`."""

    services: tuple[tuple[str, ServiceRecord], ...]
    runs: tuple[RunRecord, ...] = ()
    revoke_peer: bool = False


Verdict = Refuse | Wait | ReadPeerFirst | Done | Do
