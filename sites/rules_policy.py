"""What the estate wishes that cannot be had: refused where it would be unsafe, said plainly elsewhere.

Pure. Warnings here are promises about what twinsite will not do; each is one sentence for somebody who
has never seen the protocol.
"""

from collections.abc import Callable, Iterable, Iterator

from sites.draft import Draft, one_of
from sites.marks import Finding, Trail
from sites.model import FailoverPolicy, Service, Site


def nothing_lost_needs_synchronous_replication(draft: Draft) -> Iterator[Finding]:
    """Gate 3: a limit of zero can only be kept where a commit waits for the standby."""
    for name, service in draft.estate.services.items():
        trail: Trail = ("services", name, "max_data_loss")
        if service.max_data_loss_seconds or not draft.sound(*trail):
            continue
        if name not in draft.drivers and not draft.sound_within("services", name, "replication"):
            continue
        if _is_synchronous(draft, service):
            continue
        expected = "a duration above zero, or `synchronous: true` under replication"
        yield Finding(trail, expected, "0s, which only synchronous replication can promise")


def _is_synchronous(draft: Draft, service: Service) -> bool:
    if service.name in draft.drivers:
        return getattr(draft.drivers[service.name], "synchronous", False) is True
    return service.replication is not None and service.replication.settings.get("synchronous") is True


def watch_only_is_said(draft: Draft) -> Iterator[Finding]:
    """A service without a driver is watched and never moved."""
    for name, service in draft.estate.services.items():
        at: Trail = ("services", name)
        if not service.watch_only or not draft.sound(*at, "replication"):
            continue
        if service.replication is None:
            why = f"{name} has no replication section"
            yield _warning(at, f"{why}: it is watch only, and every move is refused with driver-missing")
        elif draft.sound(*at, "replication", "driver"):
            why = f"the driver {service.replication.driver} does not exist yet"
            sentence = f"{why}: {name} is watch only, and every move is refused with driver-missing"
            yield _warning((*at, "replication", "driver"), sentence)


def automatic_moves_need_driver_and_guard(draft: Draft) -> Iterator[Finding]:
    """Who asked for automatic moves must hear that they will not happen, and why."""
    for name, service in draft.estate.services.items():
        trail: Trail = ("services", name, "failover")
        if service.failover is not FailoverPolicy.AUTOMATIC or not draft.sound(*trail):
            continue
        if service.watch_only:
            yield _warning(trail, f"{name} is watch only: automatic moves are refused with driver-missing")
        elif service.guard is None and not draft.estate.lab:
            yield _warning(
                trail,
                f"no guard is set for {name}, so nothing fences it when its controller stalls:"
                " automatic moves are refused with guard-missing",
            )


def what_is_not_carried_out_is_said(draft: Draft) -> Iterator[Finding]:
    """Sections that the file may have and nobody acts upon yet: one sentence each, at the first of them."""
    services = draft.estate.services.items()
    guarded = [name for name, service in services if service.guard is not None]
    deaf = [site for site in draft.estate.data_sites if not _hears_guards(draft.estate.sites[site])]
    if guarded and deaf:
        sentence = (
            f"{one_of(deaf, 'and')} cannot hear guards, which needs `guards` and `tls` there:"
            f" automatic moves of {one_of(guarded, 'and')} are refused with guard-missing"
        )
        yield _warning(("services", guarded[0], "guard"), sentence)
    steered = [name for name, service in services if service.traffic]
    if steered:
        sentence = (
            f"traffic is not carried out yet (here for {one_of(steered, 'and')}):"
            " users are sent to the new site by hand or by a runbook's step"
        )
        yield _warning(("services", steered[0], "traffic"), sentence)


def _hears_guards(site: Site) -> bool:
    return site.guards is not None and site.tls is not None


def _warning(trail: Trail, sentence: str) -> Finding:
    # A section is pointed at by its key, a single value by itself.
    at_key = len(trail) < 3 or trail[-1] in ("guard", "traffic")
    return Finding(trail, found=sentence, at_key=at_key, warning=True)


POLICY_RULES: tuple[Callable[[Draft], Iterable[Finding]], ...] = (
    nothing_lost_needs_synchronous_replication,
    watch_only_is_said,
    automatic_moves_need_driver_and_guard,
    what_is_not_carried_out_is_said,
)
