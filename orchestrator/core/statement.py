"""The data-loss statement: what a move would lose, in words, frozen into the run's record when it is decided.

Pure. Unknown is said to be unknown; a bound is always "at most", with what it is made from.
"""

from orchestrator.core.gates import (
    Wish,
    final_position,
    loss_bound_seconds,
    reaches,
    standing_still,
    still_words,
    written_until_ns,
)
from orchestrator.core.view import ServiceView, View


def statement(view: View, service: ServiceView, wish: Wish) -> tuple[str, float | None]:
    """The sentence, and the bound in seconds (None: unknown)."""
    name = service.service.name
    if wish.planned:
        words = f"{name} loses nothing: {wish.from_site} is closed first, and {wish.to_site} opens only "
        return words + "when it has everything that was written", 0.0
    final = final_position(service)
    before = ""
    if final is not None:
        if reaches(service, wish.to_site, final):
            words = f"{name} loses nothing: {wish.from_site} was closed in order at {final.text}, and "
            return words + f"{wish.to_site} has everything up to there", 0.0
        before = f"{wish.to_site} is not seen to have everything up to the end, {final.text}; "
    bound = loss_bound_seconds(view, service, wish)
    if bound is None or service.safe_until_ns is None:
        words = f"{before}how much {name} would lose is UNKNOWN: no position of {wish.from_site} is known to "
        return words + f"have reached {wish.to_site} since this controller started", None
    age_seconds = (view.now_ns - service.safe_until_ns) / 1e9
    words = f"{before}{name} loses at most {bound:.1f} s of writes: everything {wish.from_site} wrote until "
    words += f"{age_seconds:.1f} s ago is known to be at {wish.to_site}, what came after may not be"
    left_seconds = ((written_until_ns(view, service, wish) or view.now_ns) - view.now_ns) / 1e9
    if wish.power_off and not service.power.verified:
        words += f", nor what {wish.from_site} accepts until its hosts are off; it is said again then"
    elif left_seconds > 0:
        words += f", nor what it may accept until its lease is over, in {left_seconds:.1f} s"
    still = standing_still(view, service, wish)
    return words + (f"; {still_words(view, still)}" if still is not None else ""), bound


def lease_counted_ns(view: View, wish: Wish) -> int:
    """The end of the other site's lease that such a statement reckons with: a takeover that finds a later one
    would lose more than was said. 0: a certificate says that nothing is written there any more, or devices
    end it, and what is lost is said anew then."""
    over_ns = view.keeper.peer_lease_over_ns if view.keeper is not None else None
    return 0 if wish.certified_down or wish.power_off or over_ns is None else over_ns


def loss_if_moved_now(view: View, service: ServiceView) -> str:
    """A few words for the status table: what an unplanned move would lose at this moment."""
    bound = loss_bound_seconds(view, service)
    return "unknown" if bound is None else f"at most {bound:.1f} s"
