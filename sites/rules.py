"""What must hold between the values of `sites.yaml`: sites, services and their probes.

Pure. Each rule looks at the whole draft and says what is wrong where; `RULES` lists all of them, those
of the other `sites.rules_*` too. A rule concludes nothing from a stand-in.
"""

import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from urllib.parse import urlsplit

from sites.addresses import no_address
from sites.draft import Draft, one_of, unknown_name
from sites.marks import Finding, Trail
from sites.model import ProbeSpec, Service
from sites.quantities import format_duration
from sites.rules_doors import DOOR_RULES, is_controller, place_of
from sites.rules_drills import DRILL_RULES
from sites.rules_fence import FENCE_RULES
from sites.rules_guard import GUARD_RULES
from sites.rules_jumps import JUMP_RULES
from sites.rules_notify import NOTIFY_RULES
from sites.rules_policy import POLICY_RULES
from sites.rules_timing import TIMING_RULES, is_url, stores

Rule = Callable[[Draft], Iterable[Finding]]

_FOR_TESTS = ipaddress.ip_network("198.18.0.0/15")
_METRICS = re.compile(r"^(\[[0-9a-fA-F:.]+\]|[^\s:\[\]]+):(\d{1,5})$")


def check_rules(draft: Draft) -> list[Finding]:
    """Everything that the rules have to say about the draft."""
    return [finding for rule in RULES for finding in rule(draft)]


def two_data_sites_and_a_witness(draft: Draft) -> Iterator[Finding]:
    """A third place must be able to tell a lost site from a lost link."""
    names = draft.names("sites")
    if not draft.sound("sites") or not all(
        draft.sound("sites", name) and draft.sound("sites", name, "witness") for name in names
    ):
        return
    data_sites = draft.estate.data_sites
    if len(data_sites) != 2:
        found = f"{len(data_sites)} data sites ({one_of(data_sites, 'and')})"
        yield Finding(("sites",), "exactly two sites without `witness: true`", found, at_key=True)
    witnesses = [name for name, site in draft.estate.sites.items() if site.witness]
    if not witnesses:
        yield Finding(("sites",), "one small third site with `witness: true`", "no witness", at_key=True)
    for extra in witnesses[1:]:
        yield Finding(
            ("sites", extra, "witness"), "exactly one witness", f"a second one beside {witnesses[0]}"
        )


def services_stand_at_two_data_sites(draft: Draft) -> Iterator[Finding]:
    """Home and standby exist, run services, and differ."""
    for name, service in draft.estate.services.items():
        at: Trail = ("services", name)
        homes = [key for key in ("home", "standby") if draft.sound(*at, key)]
        for key in homes:
            yield from _is_data_site(draft, (*at, key), getattr(service, key))
        if len(homes) == 2 and service.home == service.standby:
            yield Finding((*at, "standby"), "the other data site", f"{service.home}, which is home already")


def _is_data_site(draft: Draft, trail: Trail, name: str) -> Iterator[Finding]:
    known = draft.names("sites")
    data_sites = [site for site in known if site not in draft.estate.sites or site in draft.estate.data_sites]
    if name not in known:
        yield unknown_name(trail, name, "a data site", data_sites)
    elif name not in data_sites:
        yield Finding(
            trail, f"a data site ({one_of(data_sites)})", f"{name}, the witness, which runs no services"
        )


def needs_lead_nowhere_twice(draft: Draft) -> Iterator[Finding]:
    """Services that need each other in a ring could never be started."""
    known = draft.names("services")
    graph: dict[str, list[str]] = {}
    for name, service in draft.estate.services.items():
        for index, needed in enumerate(service.needs):
            trail: Trail = ("services", name, "needs", index)
            if not draft.sound(*trail):
                continue
            if needed in known:
                graph.setdefault(name, []).append(needed)
            else:
                yield unknown_name(trail, needed, "a service", [other for other in known if other != name])
    while cycle := _cycle(graph):
        ring = cycle[::-1]  # graphlib names what is needed before what needs it
        first, second = ring[0], ring[1]
        index = draft.estate.services[first].needs.index(second)
        found = f"a ring of needs: {' needs '.join(ring)}"
        yield Finding(
            ("services", first, "needs", index), "services that can be started one after another", found
        )
        graph[first] = [needed for needed in graph[first] if needed != second]


def _cycle(graph: dict[str, list[str]]) -> list[str]:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        cycle: list[str] = error.args[1]
        return cycle
    return []


def probes_are_told_apart_and_keep_their_beat(draft: Draft) -> Iterator[Finding]:
    """A name once per service, a site of the service, and an answer before the next try."""
    for name, service in draft.estate.services.items():
        seen: set[str] = set()
        for index, probe in enumerate(service.probes):
            at: Trail = ("services", name, "probes", index)
            if draft.sound(*at, "name") and probe.name in seen:
                yield Finding((*at, "name"), "a name of its own for each probe of a service")
            seen.add(probe.name)
            yield from _probe_site(draft, service, probe, at)
            yield from _probe_beat(draft, probe, at)


def _probe_site(draft: Draft, service: Service, probe: ProbeSpec, at: Trail) -> Iterator[Finding]:
    homes = ("services", service.name, "home"), ("services", service.name, "standby")
    if probe.site is None or not draft.sound(*at, "site") or not all(draft.sound(*home) for home in homes):
        return
    if probe.site not in service.sites:
        yield unknown_name((*at, "site"), probe.site, f"a site of {service.name}", service.sites)


def _probe_beat(draft: Draft, probe: ProbeSpec, at: Trail) -> Iterator[Finding]:
    if not (draft.sound(*at, "every") and draft.sound(*at, "timeout")):
        return
    every, timeout = probe.every_seconds, probe.timeout_seconds
    if timeout <= every:
        return
    key = "timeout" if draft.written(*at, "timeout") else "every"
    usual = "" if key == "timeout" else " (when none is written)"
    found = f"a timeout of {format_duration(timeout)}{usual} beside every {format_duration(every)}"
    yield Finding((*at, key), f"a timeout of at most {format_duration(every)}", found)


def hosts_have_addresses_of_their_own(draft: Draft) -> Iterator[Finding]:
    """Two roles on one machine may be meant; a copied line is not."""
    seen: dict[tuple[str, int], str] = {}
    for name, site in draft.estate.sites.items():
        for role, host in site.hosts.items():
            trail: Trail = ("sites", name, "hosts", role, "address")
            if not draft.sound(*trail):
                continue
            first = seen.setdefault((host.address, host.port), f"{name}.{role}")
            if first != f"{name}.{role}":
                sentence = f"{host.address} is also the address of {first}"
                yield Finding(trail, found=sentence, warning=True)


def addresses_are_addresses(draft: Draft) -> Iterator[Finding]:
    """What looks like an IP address is looked up as a name otherwise, and that fails at night."""
    places: list[tuple[Trail, str]] = []
    for name, site in draft.estate.sites.items():
        at: Trail = ("sites", name)
        places += [((*at, "hosts", role, "address"), host.address) for role, host in site.hosts.items()]
        if site.controller is not None and is_controller(site.controller):
            places.append(((*at, "controller"), urlsplit(site.controller).hostname or ""))
        if site.guards is not None and (door := place_of(site.guards)) is not None:
            places.append(((*at, "guards"), door[0]))
        if site.metrics is not None and (match := _METRICS.match(site.metrics)):
            places.append(((*at, "metrics"), match[1]))
        if site.store_member is not None and is_url(site.store_member):
            places.append(((*at, "store_member"), urlsplit(site.store_member).hostname or ""))
    for at, store in stores(draft):
        for index, endpoint in enumerate(store.endpoints):
            if is_url(endpoint):
                places.append(((*at, "endpoints", index), urlsplit(endpoint).hostname or ""))
    for trail, host in places:
        if draft.sound(*trail) and no_address(host):
            yield Finding(trail, "an IP address or a name", f"{host}, which is neither")


def metrics_are_served_at_an_address(draft: Draft) -> Iterator[Finding]:
    """`/metrics` needs an address and a port."""
    for name, site in draft.estate.sites.items():
        trail: Trail = ("sites", name, "metrics")
        if site.metrics is None or not draft.sound(*trail):
            continue
        match = _METRICS.match(site.metrics)
        if not match or not 1 <= int(match[2]) <= 65535:
            yield Finding(trail, "address:port, such as 127.0.0.1:9300")


def a_lab_stays_on_its_machine(draft: Draft) -> Iterator[Finding]:
    """`lab: true` lets services move without a guard, so it must never be a real estate's."""
    if not (draft.estate.lab and draft.sound("lab")):
        return
    places: list[tuple[Trail, str]] = [
        (("sites", name, "hosts", role, "address"), host.address)
        for name, site in draft.estate.sites.items()
        for role, host in site.hosts.items()
    ]
    for at, store in stores(draft):
        for index, endpoint in enumerate(store.endpoints):
            if is_url(endpoint):
                places.append(((*at, "endpoints", index), urlsplit(endpoint).hostname or ""))
    for trail, address in places:
        if draft.sound(*trail) and not _is_loopback(address):
            yield Finding(trail, "a loopback address, because of `lab: true`; a real estate has no such line")


def _is_loopback(address: str) -> bool:
    # Or one of those that are set aside for tests of networks (RFC 2544): a lab in network namespaces.
    try:
        found = ipaddress.ip_address(address)
        return found.is_loopback or (found.version == 4 and found in _FOR_TESTS)
    except ValueError:
        return address == "localhost"


RULES: tuple[Rule, ...] = (
    two_data_sites_and_a_witness,
    services_stand_at_two_data_sites,
    needs_lead_nowhere_twice,
    probes_are_told_apart_and_keep_their_beat,
    hosts_have_addresses_of_their_own,
    addresses_are_addresses,
    metrics_are_served_at_an_address,
    a_lab_stays_on_its_machine,
    *TIMING_RULES,
    *DOOR_RULES,
    *JUMP_RULES,
    *GUARD_RULES,
    *NOTIFY_RULES,
    *FENCE_RULES,
    *POLICY_RULES,
    *DRILL_RULES,
)
