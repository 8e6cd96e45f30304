"""The data-loss statement: what a move would lose, in words, frozen into the run's record when it is decided.

Pure. Unknown is said to be unknown; a bound is always "at most", with what it is made from.
"""

from orchestrator.core.gates import Wish, loss_bound_seconds
from orchestrator.core.view import ServiceView, View


def statement(view: View, service: ServiceView, wish: Wish) -> tuple[str, float | None]:
    """The sentence, and the bound in seconds (None: unknown)."""
    name = service.service.name
    if wish.planned:
        words = f"{name} loses nothing: {wish.from_site} is closed first, and {wish.to_site} opens only "
        return words + "when it has everything that was written", 0.0
    record = service.record
    if record is not None and record.primary is None and record.final_position is not None:
        final = record.final_position.text
        return f"{name} loses nothing: {record.previous} was closed in order at {final}", 0.0
    bound = loss_bound_seconds(view, service)
    if bound is None:
        words = f"how much {name} would lose is UNKNOWN: no position of {wish.from_site} is known to have "
        return words + f"reached {wish.to_site} since this controller started", None
    words = f"{name} loses at most {bound:.1f} s of writes: everything {wish.from_site} wrote until "
    return words + f"{bound:.1f} s ago is known to be at {wish.to_site}, what came after may not be", bound


def loss_if_moved_now(view: View, service: ServiceView) -> str:
    """A few words for the status table: what an unplanned move would lose at this moment."""
    bound = loss_bound_seconds(view, service)
    return "unknown" if bound is None else f"at most {bound:.1f} s"
