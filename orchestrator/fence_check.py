"""`twinsite fence check`: ask every device that switches a host off, from the site that uses it.

Each agent is asked what it is (`metadata`) and whether its machine is on (`status`), never to switch. A
device in trouble is a line of the report, never an exception.
"""

import asyncio
import contextlib
from collections.abc import Callable
from xml.etree import ElementTree

from orchestrator.hosts_report import HostCheck, HostReport
from sites.fencing.agents import MISSING, TIMED_OUT, PowerLook, look, metadata
from sites.fencing.devices import settings_of
from sites.model import Estate, FenceDevice, Host

KNOCK_SECONDS = 3.0


def check_devices(
    estate: Estate, site: str, *, on_report: Callable[[HostReport], None] | None = None
) -> list[HostReport]:
    """Ask every device that `site` uses, all at once; a report for each in the order of the estate."""
    return asyncio.run(_check_all(estate, site, on_report or (lambda report: None)))


async def _check_all(estate: Estate, site: str, tell: Callable[[HostReport], None]) -> list[HostReport]:
    asked = [
        asyncio.create_task(_check(host, device))
        for noun in estate.sites.values()
        for host in noun.hosts.values()
        for device in host.fence
        if device.from_site == site
    ]
    reports = []
    for each in asked:
        reports.append(await each)
        tell(reports[-1])
    return reports


async def _check(host: Host, device: FenceDevice) -> HostReport:
    settings = settings_of(device)
    described, seen, answers = await asyncio.gather(metadata(settings), look(settings), _knock(host))
    checks = [judge_agent(described, settings.name, frozenset(device.options))]
    checks.append(judge_power(seen, answers, host))
    return HostReport(host.name, host.site, f"{settings.name} (level {device.level})", tuple(checks))


async def _knock(host: Host) -> bool:
    """Whether somebody answers where the host's SSH server is: then it is on."""
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(KNOCK_SECONDS):
            _, writer = await asyncio.open_connection(host.address, host.port)
            return True
    except (OSError, TimeoutError):
        return False
    finally:
        if writer is not None:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


def judge_agent(described: str | None, name: str, given: frozenset[str]) -> HostCheck:
    """The options given against those that the agent says it has: one that it does not know it leaves out,
    and then speaks of another machine, or of none."""
    parameters = _parameters(described) if described is not None else {}
    if not parameters:
        return HostCheck("agent", None, f"{name} does not say which options it has", "is it installed?")
    given = frozenset(key.replace("-", "_") for key in given)
    unknown = sorted(given - set(parameters))
    if unknown:
        remedy = f"`{name} -o metadata` lists what it knows"
        return HostCheck("options", False, f"unknown to the agent: {', '.join(unknown)}", remedy)
    missing = sorted(key for key, needed in parameters.items() if needed and key not in given)
    if missing:
        return HostCheck("options", False, f"missing: {', '.join(missing)}", "give them under `options`")
    return HostCheck("options", True, "options known")


def _parameters(described: str) -> dict[str, bool]:
    """By name, whether it is needed; nothing for a text that is no description of an agent."""
    try:
        found = ElementTree.fromstring(described)
    except ElementTree.ParseError:
        return {}
    said = ((each.get("name", ""), each.get("required") == "1") for each in found.iter("parameter"))
    return {name.replace("-", "_"): needed for name, needed in said if name != "action"}


def judge_power(seen: PowerLook, answers: bool, host: Host) -> HostCheck:
    """What the device says of its machine, against what the host says by answering."""
    if seen.on is None:
        remedies = {MISSING: "install the package fence-agents", TIMED_OUT: "look at the network between"}
        words = f"it does not say whether its machine is on ({seen.code}): {seen.evidence}"
        return HostCheck("power", False, words, remedies.get(seen.code, "try the agent by hand"))
    if seen.on:
        return HostCheck("power", True, "on")
    if answers:
        words = f"it says off, while {host.address}:{host.port} answers"
        remedy = "it speaks of another machine: correct its options before anything is believed of it"
        return HostCheck("power", False, words, remedy)
    return HostCheck("power", None, "off", f"switch it on, unless {host.site}/{host.name} is to be off")
