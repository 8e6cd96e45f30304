"""What must hold for the store and between the lease's timings.

Pure. The lease rule is the one of the ownership protocol: a lease that is renewed as declared, by a
keeper that stalls no longer than declared, over a store that loses its leader once, never runs out by
itself. An estate that breaks it is refused, because healthy sites would fence themselves.
"""

from collections.abc import Callable, Iterable, Iterator
from urllib.parse import urlsplit

from sites.draft import Draft
from sites.marks import Finding, Trail
from sites.model import StoreSpec, Timing
from sites.quantities import format_duration

_STORE_TIMINGS = ("election_timeout", "round_trip")


def lease_budget_seconds(timing: Timing) -> float:
    """What a renewal may use up before the fence must begin."""
    return _exact(timing.lease_duration_seconds - timing.fence_within_seconds)


def lease_need_seconds(timing: Timing, store: StoreSpec) -> float:
    """What a renewal may take at worst without anything being wrong; the budget must be above it."""
    return _exact(
        2 * timing.renew_every_seconds
        + timing.guard_every_seconds
        + 2 * store.election_timeout_seconds
        + 3 * store.round_trip_seconds
        + timing.stall_seconds
    )


def _exact(seconds: float) -> float:
    # Decimal fractions have no exact binary form; 2.6 must not come out above 2.6.
    return round(seconds, 9)


def stores(draft: Draft) -> Iterator[tuple[Trail, StoreSpec]]:
    """The common store section, then the sites' own, with their places."""
    yield ("store",), draft.estate.store
    for name, site in draft.estate.sites.items():
        if site.store is not None:
            yield ("sites", name, "store"), site.store


def the_lease_outlives_what_may_happen(draft: Draft) -> Iterator[Finding]:
    """T - D > 2 x renew_every + guard_every + 2 x election_timeout + 3 x round_trip + stall."""
    if not draft.sound_within("ownership"):
        return
    timing = draft.estate.ownership
    budget = lease_budget_seconds(timing)
    for at, store in stores(draft):
        need = lease_need_seconds(timing, store)
        if budget > need or not all(draft.sound(*at, key) for key in _STORE_TIMINGS):
            continue
        yield Finding(_written_timing(draft, at), _sum(timing, store, need), _difference(timing, budget))
        return


def _difference(timing: Timing, budget: float) -> str:
    return (
        f"lease_duration {_spell(timing.lease_duration_seconds)}"
        f" - fence_within {_spell(timing.fence_within_seconds)} = {_spell(budget)}"
    )


def _sum(timing: Timing, store: StoreSpec, need: float) -> str:
    enough = _exact(need + timing.fence_within_seconds)
    return (
        f"more than 2 x renew_every {_spell(timing.renew_every_seconds)}"
        f" + guard_every {_spell(timing.guard_every_seconds)}"
        f" + 2 x election_timeout {_spell(store.election_timeout_seconds)}"
        f" + 3 x round_trip {_spell(store.round_trip_seconds)}"
        f" + stall {_spell(timing.stall_seconds)} = {_spell(need)}:"
        f" set lease_duration above {_spell(enough)}, or shorten the others"
    )


def _spell(seconds: float) -> str:
    return f"-{format_duration(-seconds)}" if seconds < 0 else format_duration(seconds)


def _written_timing(draft: Draft, store_at: Trail) -> Trail:
    """Where to point: at the first of the timings that the file states itself."""
    keys = ("lease_duration", "fence_within", "renew_every", "stall", "guard_every")
    candidates: list[Trail] = [("ownership", key) for key in keys]
    candidates += [(*store_at, key) for key in _STORE_TIMINGS]
    return next((trail for trail in candidates if draft.written(*trail)), ("ownership",))


def the_store_has_a_majority_to_lose(draft: Draft) -> Iterator[Finding]:
    """Three members survive the loss of one; an even number survives no more than one fewer."""
    for at, store in stores(draft):
        trail = (*at, "endpoints")
        if not draft.sound(*trail):
            continue
        count = len(store.endpoints)
        if count == 1:
            sentence = "one endpoint: when that member is lost, so is the store; name three, one per site"
            yield Finding(trail, found=sentence, warning=True)
        elif count % 2 == 0:
            sentence = f"{count} endpoints survive no more losses than {count - 1}; name an odd number"
            yield Finding(trail, found=sentence, warning=True)
        yield from _endpoints(draft, trail, store.endpoints)


def _endpoints(draft: Draft, trail: Trail, endpoints: list[str]) -> Iterator[Finding]:
    for index, endpoint in enumerate(endpoints):
        here = (*trail, index)
        if not draft.sound(*here):
            continue
        if not is_url(endpoint):
            yield Finding(here, "a URL with its port, such as https://etcd.durham.example:2379")
        elif endpoint in endpoints[:index]:
            yield Finding(here, "each member once")


def is_url(text: str) -> bool:
    """Whether a text names a member of the store: scheme, host and port."""
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port is not None
    except ValueError:  # a port that is no number, or brackets that do not close
        return False


def passwords_have_users(draft: Draft) -> Iterator[Finding]:
    """A password alone signs nobody on."""
    for at, store in stores(draft):
        if store.password is not None and store.user is None and draft.sound(*at, "user"):
            yield Finding((*at, "password"), "`user` beside it", "a password without a user", at_key=True)


TIMING_RULES: tuple[Callable[[Draft], Iterable[Finding]], ...] = (
    the_lease_outlives_what_may_happen,
    the_store_has_a_majority_to_lose,
    passwords_have_users,
)
