"""What must hold between a service's guard and the rest of `sites.yaml`.

Pure. A guard that is set up halfway would be believed to fence: what it lacks is a fault, not a warning.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping

from sites.draft import Draft, one_of, unknown_name
from sites.marks import Finding, Trail
from sites.model import GuardSpec, Service
from sites.quantities import format_duration


def a_guard_has_something_to_cut(draft: Draft) -> Iterator[Finding]:
    """P19: with every way of cutting switched off it would acknowledge fences that nothing carries out."""
    for at, _, guard in _guards(draft):
        if not (guard.stop or guard.proxy or guard.nftables or guard.command):
            yield Finding(
                (*at, "stop"), "`stop: true`, `proxy`, `nftables` or `command`", "a guard without any"
            )


def a_guard_knows_its_host_and_its_data(draft: Draft) -> Iterator[Finding]:
    """Its host and the data directory come from the driver, or are written here for both sites."""
    for at, service, guard in _guards(draft):
        known = {} if service.watch_only else _instances(draft, service)
        if guard.hosts is not None:
            yield from _hosts(draft, at, service, guard.hosts)
        elif known is None:
            yield Finding(
                (*at, "hosts"), f"hosts by site, for {_both(service)}", _nothing(service), at_key=True
            )
        if guard.data is not None:
            yield from _by_site(at, "data", service, guard.data)
        elif known is None and guard.stop:
            yield Finding(
                (*at, "data"),
                f"data directories by site, for {_both(service)}",
                _nothing(service),
                at_key=True,
            )
        for key in ("proxy", "tls"):
            found = getattr(guard, key)
            if found is not None:
                yield from _by_site(at, key, service, found)


def a_watchdog_resets_before_the_lease_ends(draft: Draft) -> Iterator[Finding]:
    """P19: the host must be reset before its deadline, also when the guard hangs just after it was fed."""
    timing = draft.estate.ownership
    if not draft.sound("ownership", "lease_duration"):
        return
    most_seconds = timing.lease_duration_seconds - timing.fence_within_seconds
    for at, _, guard in _guards(draft):
        after_seconds = guard.watchdog_after_seconds
        if guard.watchdog is None or not draft.sound(*at, "watchdog_after"):
            continue
        if after_seconds != int(after_seconds) or not 1 <= after_seconds <= most_seconds / 2:
            most = f"at most {format_duration(most_seconds / 2)}, half of lease_duration - fence_within"
            expected = f"whole seconds from 1s, {most}"
            yield Finding(
                (*at, "watchdog_after"),
                expected,
                format_duration(after_seconds),
                at_key=not draft.written(*at, "watchdog_after"),
            )


def _guards(draft: Draft) -> Iterator[tuple[Trail, Service, GuardSpec]]:
    for name, service in draft.estate.services.items():
        at: Trail = ("services", name, "guard")
        stands = all(draft.sound("services", name, key) for key in ("home", "standby"))
        if service.guard is not None and stands and draft.sound_within(*at):
            yield at, service, service.guard


def _instances(draft: Draft, service: Service) -> Mapping[str, object] | None:
    """The driver's instances, if it has such; an empty mapping where nothing can be said of them."""
    if service.replication is None:
        return None
    if service.replication.driver == "parts":
        return {}  # each part names its own; whether a guard fits them is the driver's to say
    if service.name not in draft.drivers:
        found = service.replication.settings.get("instances")
        return found if isinstance(found, dict) else None
    instances = getattr(draft.drivers[service.name], "instances", None)
    return instances if isinstance(instances, dict) else None


def _hosts(draft: Draft, at: Trail, service: Service, hosts: Mapping[str, str]) -> Iterator[Finding]:
    yield from _by_site(at, "hosts", service, hosts)
    for site, host in hosts.items():
        known = draft.names("sites", site, "hosts")
        if site in service.sites and host not in known:
            yield unknown_name((*at, "hosts", site), host, f"a host of {site}", known)


def _by_site(at: Trail, key: str, service: Service, found: Mapping[str, object]) -> Iterator[Finding]:
    for site in found:
        if site not in service.sites:
            yield unknown_name((*at, key, site), site, f"a site of {service.name}", service.sites)
    missing = [site for site in service.sites if site not in found]
    if missing:
        yield Finding(
            (*at, key), f"one for each of {_both(service)}", f"none for {one_of(missing, 'and')}", at_key=True
        )


def _both(service: Service) -> str:
    return one_of(service.sites, "and")


def _nothing(service: Service) -> str:
    driver = "no replication" if service.replication is None else f"the driver {service.replication.driver}"
    return f"none, and {driver} names none either"


GUARD_RULES: tuple[Callable[[Draft], Iterable[Finding]], ...] = (
    a_guard_has_something_to_cut,
    a_guard_knows_its_host_and_its_data,
    a_watchdog_resets_before_the_lease_ends,
)
