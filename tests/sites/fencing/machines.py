"""Machines with a switch, and a fence agent that works them: the standard interface of the packaged ones.

No power device can be had for a test, so the agent is a script of our own. It takes `key=value` lines on
standard input, knows `metadata`, `monitor`, `status`, `on` and `off`, ends with the numbers of the packaged
agents and says what they say. `machine` names a file: the machine is off while that holds `off`.
"""

import stat
from pathlib import Path

from sites.model import FenceDevice, Host

AGENT = r"""#!/bin/sh
# Options: machine (a file), does (how it behaves), password.
input=$(cat)
get() { printf '%s\n' "$input" | sed -n "s/^$1=//p"; }
action=$(get action); machine=$(get machine); does=$(get does)
[ "$action" = metadata ] && { cat <<XML
<?xml version="1.0" ?>
<resource-agent name="fence_test" shortdesc="A test's" >
<parameters>
<parameter name="action" unique="0" required="1"><content type="string" default="reboot" /></parameter>
<parameter name="machine" unique="0" required="1"><content type="string" /></parameter>
<parameter name="does" unique="0" required="0"><content type="string" /></parameter>
<parameter name="password" unique="0" required="0"><content type="string" /></parameter>
</parameters>
<actions><action name="off" /><action name="status" /><action name="monitor" /></actions>
</resource-agent>
XML
exit 0; }
[ -n "$machine" ] || { echo 'Failed: You have to enter the machine'; exit 1; }
printf '%s\n' "$action" >>"$machine.asked"
case $does in
    hangs) exec sleep 1000 ;;
    fails) echo 'Unable to connect/login to fencing device'; exit 3 ;;
    wrong) exit 2 ;;
    late) [ "$action" = off ] && { (sleep 1; echo off >"$machine") >/dev/null 2>&1 & exit 0; } ;;
esac
case $action in
    off) [ "$does" = lies ] || echo off >"$machine"; echo 'Success: Powered OFF' ;;
    on) echo on >"$machine"; echo 'Success: Powered ON' ;;
    status) [ "$(cat "$machine")" = off ] && { echo 'Status: OFF'; exit 2; }; echo 'Status: ON' ;;
    monitor) ;;
    *) exit 1 ;;
esac
"""


def agent(folder: Path) -> Path:
    """The agent, ready to be called."""
    path = folder / "fence_test"
    path.write_text(AGENT)
    path.chmod(stat.S_IRWXU)
    return path


def machine(folder: Path, name: str) -> Path:
    """A machine that is on."""
    path = folder / name
    path.write_text("on\n")
    return path


def device(
    agent: Path, machine: Path, *, level: int = 1, does: str = "", timeout: str = "20s"
) -> FenceDevice:
    """A device of it, used from Morpeth."""
    options = {"machine": str(machine), "does": does, "password": "hunter2"}
    return FenceDevice.model_validate(
        {"agent": str(agent), "from": "morpeth", "level": level, "options": options, "timeout": timeout}
    )


def host(name: str, *devices: FenceDevice, site: str = "durham") -> Host:
    """A host with these devices."""
    said = {"<name>": name, "<site>": site, "address": "127.0.0.1", "fence": list(devices)}
    return Host.model_validate(said)
