"""What `twinsite hosts check` found on a host, judged and put into words. Pure: no network, no clock."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sites.quantities import format_size
from sites.restarters import Database, Looked, spoken

CLOCK_WARNING_SECONDS = 1.0  # differences above are an alarm
CLOCK_FAULT_SECONDS = 60.0  # and above this block planned work
_DISK_FAULT_BYTES = 64 << 20
_DISK_WARNING_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class HostCheck:
    """One thing looked at. `ok` is None for a warning: it works, or could not be judged, but somebody should
    look. `remedy` says what to do, and is empty when there is nothing to do."""

    name: str
    ok: bool | None
    detail: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class HostReport:
    """One host of the estate, with everything that was looked at until something stood in the way."""

    host: str
    site: str
    address: str
    checks: tuple[HostCheck, ...]

    @property
    def ok(self) -> bool | None:
        """False if anything is at fault, None if anything is to be looked at, else True."""
        verdicts = {check.ok for check in self.checks}
        if False in verdicts:
            return False
        return None if None in verdicts or not verdicts else True


def render_line(report: HostReport) -> str:
    """One line: the verdict, the host, what is not well with what to do about it, what is well in short. In
    the line of a fault, what is only to be looked at is marked as that."""
    word = {True: "ok", None: "look", False: "FAULT"}[report.ok]
    well = [check.detail for check in report.checks if check.ok is True]
    rest = [
        ("look: " if check.ok is None and report.ok is False else "")
        + f"{check.name}: {check.detail}"
        + (f"; {check.remedy}" if check.remedy else "")
        for check in sorted(report.checks, key=lambda check: check.ok is not False)
        if check.ok is not True
    ]
    line = f"{word:<5} {report.site}/{report.host} {report.address}"
    return " | ".join(part for part in (line, *rest, ", ".join(well)) if part)


def judge_clock(offset_seconds: float, uncertainty_seconds: float) -> HostCheck:
    """The host's clock against this one's: `offset` is theirs minus ours, known to within `uncertainty`."""
    words = f"clock {offset_seconds:+.3f} s ± {uncertainty_seconds:.3f} s"
    surely_seconds = abs(offset_seconds) - uncertainty_seconds
    remedy = "set it right with chrony or ntpd, on whichever of the two machines is wrong"
    if surely_seconds > CLOCK_FAULT_SECONDS:
        return HostCheck("clock", False, words, remedy)
    if surely_seconds > CLOCK_WARNING_SECONDS:
        return HostCheck("clock", None, words, remedy)
    if uncertainty_seconds > CLOCK_WARNING_SECONDS:
        return HostCheck("clock", None, words, "the answer took too long to judge by; try again")
    return HostCheck("clock", True, words)


def judge_restarters(looked: Looked, database: Database) -> HostCheck:
    """P7: what starts a database by itself undoes a fence; behind a gate it opens nothing all the same."""
    name = f"restarters of {database.service}"
    blind = f"not known: {'; '.join(looked.unknown)}" if looked.unknown else ""
    if not looked.found:
        if blind:
            return HostCheck(name, None, blind, "look as root; nothing but its guard may start it")
        return HostCheck(name, True, f"nothing starts {database.service} by itself")
    words = "; ".join(part for part in (spoken(looked.found), blind) if part)
    remedy = "; ".join(dict.fromkeys(each.remedy for each in looked.found))
    undoes = any(each.revives for each in looked.found) and not database.gated
    return HostCheck(name, False if undoes else None, words, remedy)


def judge_tools(found: Mapping[str, str], wanted: Iterable[str]) -> HostCheck:
    """The tools there: `found` maps each one looked for to its path, or to nothing."""
    have = {name for name, path in found.items() if path}
    faults = [name for name in wanted if name not in have]
    if not have & {"setsid", "perl"}:
        faults.append("setsid (util-linux) or perl")
    if not have & {"ps", "/proc"}:
        faults.append("ps or /proc")
    if faults:
        return HostCheck(
            "tools", False, f"missing: {', '.join(faults)}", "install them, or correct the paths"
        )
    if "flock" not in have:
        return HostCheck("tools", None, "flock is missing", "steps use a slower lock; install util-linux")
    return HostCheck("tools", True, f"{len(have)} tools")


def judge_disk(folder: str, free_bytes: int | None) -> HostCheck:
    """Room where twinsite keeps its state, or would."""
    if free_bytes is None:
        return HostCheck("disk", None, f"free room at {folder} unknown", "df gave no answer there")
    words = f"{format_size(free_bytes)} free at {folder}"
    if free_bytes < _DISK_FAULT_BYTES:
        return HostCheck("disk", False, words, "make room: a full disk under the journal stops every run")
    if free_bytes < _DISK_WARNING_BYTES:
        return HostCheck("disk", None, words, "make room soon")
    return HostCheck("disk", True, words)
