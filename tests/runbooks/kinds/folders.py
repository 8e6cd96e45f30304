"""Runbooks and scripts in a folder, and plans of them."""

from pathlib import Path
from typing import Any

from runbooks.actions import shipped_actions
from runbooks.library import Library, RunbookInvalid
from runbooks.model import Kind
from runbooks.plan import bind, compose
from runbooks.planned import Plan
from sites.faults import Fault
from sites.model import Estate, Host
from tests.runbooks.worlds import ESTATE, FACTS, scope_in

HEAD = "runbook: {}\ntitle: Do {}\n"


def written(folder: Path, **files: str) -> Library:
    """The folder's library; `a__b` is the file `a/b`, and a runbook begins with its steps."""
    for name, text in files.items():
        path = folder / f"{name.replace('__', '/')}"
        if text.startswith(("steps:", "parameters:")):
            path, text = path.with_suffix(".yaml"), HEAD.format(path.stem, path.stem) + text
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Library(shipped_actions(), (folder,))


def planned(
    library: Library,
    name: str = "outer",
    *,
    estate: Estate = ESTATE,
    kind: Kind = Kind.FAILOVER,
    **parameters: Any,
) -> Plan:
    """The plan of one runbook of the library, for crm from Durham to Morpeth."""
    part = bind(library.load(name), scope_in(estate, kind, parameters), FACTS, library.catalogue, part="p")
    return compose(
        part, run_id="run-1", kind=kind, service="crm", from_site="durham", to_site="morpeth", epoch=7
    )


def faults(library: Library, name: str = "outer") -> list[Fault]:
    """What has the runbook refused; nothing when it can be read."""
    try:
        library.load(name)
    except RunbookInvalid as invalid:
        return list(invalid.faults)
    return []


def codes(library: Library, name: str = "outer") -> list[str]:
    """The codes of its faults."""
    return [fault.code for fault in faults(library, name)]


def needs(plan: Plan) -> dict[str, tuple[str, ...]]:
    """Step to what it needs, both without the part's name."""
    return {step.id[2:]: tuple(need[2:] for need in step.needs) for step in plan.steps}


def farm(many: int) -> Estate:
    """The councils with so many application hosts at each site, `app-1` and on."""
    sites = {}
    for name in ("durham", "morpeth"):
        site = ESTATE.sites[name]
        more = {
            f"app-{number}": Host(
                name=f"app-{number}", site=name, address=f"10.9.{number // 250}.{number % 250}"
            )
            for number in range(1, many + 1)
        }
        sites[name] = site.model_copy(update={"hosts": {**site.hosts, **more}})
    return ESTATE.model_copy(update={"sites": {**ESTATE.sites, **sites}})
