"""The codes of fencing devices. Pure: a table; `orchestrator.core.reasons` puts it to the others."""

from orchestrator.core.reason import Reason, ReasonGroup

DEVICES = ReasonGroup(
    "Fencing devices",
    (
        Reason(
            "power-off",
            "The lost site's hosts of the service are being switched off, so that it can open here.",
            "Follow it with `twinsite explain SERVICE`; they stay off until somebody switches them on again.",
        ),
        Reason(
            "device-missing",
            "Not every host of the service at the other site has a device that this site uses.",
            "Name one under `sites.SITE.hosts.HOST.fence`; until then, cut it off by hand and certify that.",
        ),
        Reason(
            "device-agent-missing",
            "The fence agent of a device is not installed here, or may not be run.",
            "Install the package fence-agents at both controllers; `twinsite fence check` tries each device.",
        ),
        Reason(
            "device-timed-out",
            "A device did not say within its `timeout` that its machine is off.",
            "The machine may still go off. Look at the network to the device, then `twinsite fence check`.",
        ),
        Reason(
            "device-failed",
            "A device's agent ended without success, or did not say whether its machine is off.",
            "Read what it said (`twinsite explain SERVICE`); `twinsite fence check` tries each device.",
        ),
        Reason(
            "device-still-on",
            "A device took the order, and says that its machine is on.",
            "Cut the machine off by other means, and find out whether the device speaks of the right one.",
        ),
        Reason(
            "device-cut-too-old",
            "The hosts were known to be off, and too much time has passed since then to take the service.",
            "Order it anew: devices make sure once more.",
        ),
    ),
)
