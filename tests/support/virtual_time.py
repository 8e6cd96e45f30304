"""Time that passes only when everybody waits: the simulation's own, for stories of tests."""

from orchestrator.simulate.virtual_time import (
    StoryStuck,
    VirtualTimeLoop,
    now_ns,
    now_seconds,
    run,
    until,
)

__all__ = ["StoryStuck", "VirtualTimeLoop", "now_ns", "now_seconds", "run", "until"]
