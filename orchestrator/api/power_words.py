"""What `status` and `explain` say of fencing devices: hosts that were switched off from here and how they
come back, and how far the devices of a service are."""

from collections.abc import Iterable

from orchestrator.core.devices import Device
from orchestrator.core.records import WaySeen
from orchestrator.core.view import ServiceView, View
from orchestrator.device_patrol import DeviceSeen
from orchestrator.devices import Devices
from orchestrator.scouting import HOST
from orchestrator.switched_off import OffHost


def power_warnings(
    view: View, devices: Devices, seen: Iterable[DeviceSeen], ways: Iterable[WaySeen]
) -> list[str]:
    """One line for all that were switched off together, and one for each device that could not be used.
    `ways`: those to the hosts, as they were last tried."""
    together: dict[tuple[str, str, str, bool], list[OffHost]] = {}
    for host in devices.off.hosts:
        together.setdefault((host.at, host.service, host.who, host.known), []).append(host)
    off = {(host.site, host.host) for host in devices.off.hosts}
    answering = {(way.site, way.way.removeprefix(HOST)) for way in ways if way.reached is True}
    lines = [_line(view, hosts) for hosts in together.values()]
    for device in seen:
        name = f"the device {device.agent} of {device.site}/{device.host}"
        if device.silent:
            lines.append(f"{name} does not answer {view.site}, and could not cut it off: {device.evidence}")
        elif device.on is False and (device.site, device.host) in answering - off:
            words = "says that it is off, while it answers: it speaks of another machine"
            lines.append(f"{name} {words}; `twinsite fence check --site {view.site}`")
    return lines


def _line(view: View, hosts: list[OffHost]) -> str:
    one = hosts[0]
    names = _names(hosts)
    run = f", run {one.run}" if one.run else ""
    by = f"by {view.site} at {one.at} for {one.service} (ordered by {one.who}{run})"
    if not one.known:
        return f"{names}: ordered off {by}, and not known to be off: it may be, or may still go off"
    how = f"`twinsite explain {one.service}` says how"
    return f"{names} switched off {by}; stays off until somebody switches it on: {how}"


def _names(hosts: Iterable[OffHost]) -> str:
    return ", ".join(f"{host.site}/{host.host}" for host in hosts)


def power_lines(service: ServiceView, devices: Devices) -> list[str]:
    """What `explain` says of them."""
    power, name = service.power, service.service.name
    lines = [line for host in devices.off.hosts if _is_of(host, service) for line in _of_host(host)]
    if not power.hosts or not (power.equipped or lines):
        return lines
    hosts = ", ".join(power.hosts)
    lines.append(f"this site has a device for every host of {name} at the other site: {hosts}")
    if power.takes_along:
        along = ", ".join(power.takes_along)
        lines.append(f"not used without a person: {along} may be served there by right, and would go off too")
    if power.device is not Device.IDLE or power.words:
        lines.append(f"devices: {power.device}: {power.words}" if power.words else f"devices: {power.device}")
    return lines


def _is_of(host: OffHost, service: ServiceView) -> bool:
    return host.host in service.power.hosts or host.service == service.service.name


def _of_host(host: OffHost) -> list[str]:
    run = f", in run {host.run}" if host.run else ""
    state = "is off" if host.known else "was ordered off, and is not known to be off"
    lines = [f"{host.site}/{host.host} {state}: ordered by {host.who} at {host.at}{run}, because {host.why}"]
    if host.evidence:
        lines.append(f"{host.site}/{host.host}: {host.evidence}")
    lines.append(
        f"to bring {host.site}/{host.host} back: switch it on at its console, or with the same agent and "
        "`action=on`. It starts closed by its guard, and its database becomes a standby by itself; on a host "
        "without a guard make sure first that nothing starts the database"
    )
    return lines
