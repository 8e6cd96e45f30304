"""What must hold of the devices that switch hosts off.

Pure. A device that nobody can use when it is needed, or that switches off another machine, is worse than
none: it would be believed.
"""

from collections.abc import Callable, Iterable, Iterator

from sites.draft import Draft, one_of
from sites.fencing.agents import AgentMisuse
from sites.fencing.devices import settings_of
from sites.hosts_of import hosts_of
from sites.marks import Finding, Trail
from sites.model import FailoverPolicy, FenceDevice, FencePolicy, Host, Service

# What tells one machine of a device from another; the rest is how the device is spoken to.
_MACHINE = ("ip", "ipaddr", "ipport", "plug", "port", "uuid", "status_file", "region", "zone", "project")


def a_device_is_used_by_the_other_site(draft: Draft) -> Iterator[Finding]:
    """It must work when the host's own site is dark, and the witness moves nothing."""
    for at, site, _, device in _devices(draft):
        data_sites = draft.estate.data_sites
        if site not in data_sites:
            yield Finding(at, "devices at the two data sites only: nothing is taken from a witness")
        elif len(data_sites) == 2 and draft.sound(*at, "from"):
            other = draft.estate.other_data_site(site)
            if device.from_site != other:
                yield Finding((*at, "from"), f"{other}, which uses it when {site} is dark")


def an_agent_can_be_called(draft: Draft) -> Iterator[Finding]:
    """Its options fit the interface, and it is one that cuts something off."""
    for at, _, _, device in _devices(draft):
        try:
            settings_of(device)
        except AgentMisuse as misuse:
            where: Trail = (*at, "options", misuse.option) if misuse.option else (*at, "agent")
            yield Finding(where, found=str(misuse))


def each_device_switches_its_own_machine(draft: Draft) -> Iterator[Finding]:
    """A copied line switches off the wrong machine, and says that the right one is off."""
    seen: dict[tuple[str, ...], tuple[Host, str]] = {}
    for at, site, host, device in _devices(draft):
        named = [f"{key}={device.options[key]}" for key in _MACHINE if key in device.options]
        if not named:
            continue
        first, place = seen.setdefault((device.agent, *named), (host, f"{site}.{host.name}"))
        if place != f"{site}.{host.name}" and (first.address, first.port) != (host.address, host.port):
            told = f"the machine of {place} again ({', '.join(named)})"
            yield Finding((*at, "options"), "another machine for each host", told, at_key=True)


def a_verified_cut_covers_every_host(draft: Draft) -> Iterator[Finding]:
    """Half a service that is off proves nothing, so its devices would never be used."""
    equipped = {site for _, site, _, _ in _devices(draft)}
    for name, service in draft.estate.services.items():
        if service.watch_only or not draft.sound_within("services", name):
            continue
        for site in service.sites:
            if site not in equipped:
                continue
            hosts = draft.estate.sites[site].hosts
            bare = [role for role in hosts_of(draft.estate, name, site) if not hosts[role].fence]
            some = any(hosts[role].fence for role in hosts_of(draft.estate, name, site))
            if some and bare:
                yield Finding(
                    ("sites", site, "hosts", bare[0]),
                    found=f"{name} at {site} needs {one_of(bare, 'and')} too, without a device: nothing cuts"
                    " all of it off, so its devices are not used",
                    at_key=True,
                    warning=True,
                )


def who_waits_for_a_person_is_told(draft: Draft) -> Iterator[Finding]:
    """`fence: confirm` without a device: a site that is lost whole confirms nothing."""
    for name, service in draft.estate.services.items():
        confirm = service.fence is FencePolicy.CONFIRM and service.failover is FailoverPolicy.AUTOMATIC
        if not confirm or service.watch_only or not draft.sound_within("services", name):
            continue
        bare = [site for site in service.sites if not _equipped(draft, service, site)]
        if bare:
            sentence = (
                f"no device cuts {name} off at {one_of(bare, 'or')}: when that site is lost whole, nothing"
                " confirms the fence, and a person must certify it down"
            )
            yield Finding(("services", name, "fence"), found=sentence, warning=True)


def _equipped(draft: Draft, service: Service, site: str) -> bool:
    named = hosts_of(draft.estate, service.name, site)
    return bool(named) and all(draft.estate.sites[site].hosts[role].fence for role in named)


def _devices(draft: Draft) -> Iterator[tuple[Trail, str, Host, FenceDevice]]:
    for site, noun in draft.estate.sites.items():
        if not draft.sound("sites", site):
            continue
        for role, host in noun.hosts.items():
            at: Trail = ("sites", site, "hosts", role, "fence")
            for index, device in enumerate(host.fence):
                if draft.sound_within(*at, index, "agent") and draft.sound_within(*at, index, "options"):
                    yield (*at, index), site, host, device


FENCE_RULES: tuple[Callable[[Draft], Iterable[Finding]], ...] = (
    a_device_is_used_by_the_other_site,
    an_agent_can_be_called,
    each_device_switches_its_own_machine,
    a_verified_cut_covers_every_host,
    who_waits_for_a_person_is_told,
)
