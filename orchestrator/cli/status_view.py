"""A status as people read it: plain lines, or tables on a terminal. Both say the same words.

Sites first, then services, then what moving now would lose, what is degraded, and what to do next.
"""

from typing import TYPE_CHECKING

from orchestrator.api.shapes import ServiceStatus, SiteStatus, Status
from orchestrator.cli import status_words as word
from orchestrator.cli.output import WIDEST, age, local_time, width, words, wrapped

if TYPE_CHECKING:
    from rich.console import Group, RenderableType
    from rich.table import Table
    from rich.text import Text

_ALARMING = r"\b(NO|NOT|NOBODY|RUN OUT|REVOKED|WRITABLE|UNPROTECTED|DOWN|MOVING|PAUSED)\b"
_STYLES = {"ok": "bold green", "degraded": "bold yellow", "down": "bold red", "unknown": "bold magenta"}


def lines(status: Status, *, columns: int = WIDEST) -> list[str]:
    """The status in plain lines of at most `columns`."""
    out = wrapped(f"{word.OVERALL[status.overall]} ({_asked(status)})", columns=columns)
    out += [*wrapped(_means(status), columns=columns), "", "Sites"]
    for site in status.sites:
        out += wrapped(_site_line(site), first="  ", then="      ", columns=columns)
    out += _reach_lines(status, columns)
    out += ["", "Services"]
    for service in status.services:
        out += _service_lines(service, status, columns)
    return out + _closing(status, columns)


def _asked(status: Status) -> str:
    return f"{status.site}'s controller, {local_time(status.at)}"


def _means(status: Status) -> str:
    return f"store: {word.store(status)} · keeper: {status.keeper or 'unknown'} · {status.version}"


def _site_line(site: SiteStatus) -> str:
    line = f"{site.site}: answers: {word.answers(site)}; lease: {word.lease(site)}"
    return f"{line}; {site.detail}" if site.detail else line


def _reach_lines(status: Status, columns: int) -> list[str]:
    """Who reaches whom, a line for each observer."""
    rows = word.matrix(status)
    if not rows:
        return []
    out = ["", "Who reaches whom"]
    for observer, cells in rows:
        told = word.reaches([cell for cell in cells if cell is not None])
        out += wrapped(f"{observer}: {told}", first="  ", then="      ", columns=columns)
    return out


def _service_lines(service: ServiceStatus, status: Status, columns: int) -> list[str]:
    if service.watch_only and not service.instances:
        text = f"{service.service}: watched only: roles and lag are not known; {word.protection(service)}"
        return wrapped(text, first="  ", columns=columns)
    owner = word.ownership(service)
    detail = word.ownership_detail(service)
    head = f"{service.service}: primary: {owner}{f' ({detail})' if detail else ''}"
    out = wrapped(
        f"{head}; {words(service.diagnosis)}; {word.protection(service)}", first="  ", columns=columns
    )
    for site in (service.home, service.standby):
        instance = word.instance_at(service, site)
        seen = "" if instance is None else f", {age(instance.sample_age_seconds)}"
        out += wrapped(f"{site}: {word.role(instance)}{seen}", first="    ", then="      ", columns=columns)
    if service.pause is not None:
        out += wrapped(word.pause(service.pause), first="    ", then="      ", columns=columns)
    if service.lag is not None:
        way = f"lag {service.lag.from_site} to {service.lag.to_site}"
        out.append(f"    {way}: {word.lag(service.lag)}, {word.lag_age(service.lag)}")
    elif not service.watch_only:
        out.append("    lag: unknown, never sampled")
    return out


def _closing(status: Status, columns: int) -> list[str]:
    out = ["", "If moved now"]
    moved = [service for service in status.services if not service.watch_only]
    for service in moved:
        out += _told(service.service, word.loss(service), columns)
        if service.rehearsed is not None:
            out += wrapped(
                word.rehearsed(service.rehearsed), first="      ", then="        ", columns=columns
            )
    going = [service for service in moved if service.projected is not None]
    if going:
        out += ["", "Under way"]
    for service in going:
        out += _told(service.service, word.under_way(service), columns)
    if status.warnings:
        out += ["", "Warnings"]
    for warning in status.warnings:
        out += _told("", warning, columns)
    found = word.degraded(status)
    out += ["", "Degraded" if found else "Degraded: nothing"]
    for of, text in found:
        out += _told(of, text, columns)
    steps = word.next_steps(status)
    out += ["", "What to do next" if steps else "What to do next: nothing"]
    for of, text in steps:
        out += _told(of, text, columns)
    return out if moved else out[2:]


def _told(of: str, text: str, columns: int) -> list[str]:
    return wrapped(f"{of}: {text}" if of else text, first="  ", then="      ", columns=columns)


def picture(status: Status, *, urgent_first: bool = False) -> "Group":
    """The status as tables, for a terminal; with `urgent_first` the tables come last."""
    from rich.console import Group
    from rich.text import Text

    title = Text.assemble((word.OVERALL[status.overall], _STYLES[status.overall]), f"  ({_asked(status)})")
    parts: list[RenderableType] = [title, Text(_means(status)), Text()]
    tables: list[RenderableType] = [_site_table(status), Text(), _service_table(status)]
    if status.reach:
        tables[1:1] = [Text(), _reach_table(status)]
    told = [Text(line, style="" if line.startswith(" ") else "bold") for line in _closing(status, width())]
    return Group(*parts, *told[1:], Text(), *tables) if urgent_first else Group(*parts, *tables, *told)


def _table(*headers: str) -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False, header_style="bold")
    for header in headers:
        table.add_column(header, overflow="fold")
    return table


def _site_table(status: Status) -> "Table":
    from rich.text import Text

    table = _table("Site", "Answers", "Lease", "")
    for site in status.sites:
        cells = (site.site, word.answers(site), word.lease(site), site.detail)
        table.add_row(*(_alarming(Text(cell)) for cell in cells))
    return table


def _reach_table(status: Status) -> "Table":
    """Rows ask, columns are reached."""
    targets = word.targets(status)
    table = _table("Reaches", *(word.target(kind, name) for kind, name in targets))
    for observer, cells in word.matrix(status):
        told = ["-" if cell is None else word.reached_shortly(cell) for cell in cells]
        table.add_row(_cell(observer), *(_cell(text) for text in told))
    return table


def _service_table(status: Status) -> "Table":
    sites = [site.site for site in status.sites if not site.witness]
    table = _table("Service", "Primary", *(f"At {site}" for site in sites), "Lag", "State")
    for service in status.services:
        table.add_row(
            _cell(service.service),
            _cell(word.ownership(service), word.ownership_detail(service)),
            *(_instance_cell(service, site) for site in sites),
            _lag_cell(service),
            _cell(
                words(service.diagnosis),
                word.protection(service),
                word.paused(service.pause) if service.pause is not None else "",
            ),
            end_section=False,
        )
    return table


def _instance_cell(service: ServiceStatus, site: str) -> "RenderableType":
    if site not in (service.home, service.standby):
        return _cell("not here")
    instance = word.instance_at(service, site)
    if instance is None:
        return _cell(word.role(None))
    return _cell(word.role(instance, reason=False), instance.reason, age(instance.sample_age_seconds))


def _lag_cell(service: ServiceStatus) -> "RenderableType":
    if service.watch_only and service.lag is None:
        return _cell("not measured")
    to_site = f"to {service.lag.to_site}: " if service.lag is not None else ""
    aged = "never sampled" if service.lag is None else age(service.lag.sample_age_seconds)
    return _cell(f"{to_site}{word.lag(service.lag)}", aged)


def _cell(first: str, *further: str) -> "RenderableType":
    from rich.text import Text

    text = _alarming(Text(first))
    for line in further:
        if line:
            text.append("\n")
            text.append_text(_alarming(Text(line, style="dim")))
    return text


def _alarming(text: "Text") -> "Text":
    """Alarming words, which stand in capitals, get a colour as well; they mean the same without it."""
    text.highlight_regex(_ALARMING, "bold red")
    return text
