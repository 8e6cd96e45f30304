"""What the verbs about runbooks work with: the library, and the estate where there is a sound one.

An estate file that is missing or faulty does not stand in the way of looking at a runbook; what could not be
looked up without it is said.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from orchestrator.cli.connect import estate_path, site_in
from orchestrator.cli.failures import Failure, wrong
from orchestrator.cli.options import Settings
from orchestrator.cli.output import note
from orchestrator.wall_plan import DEFAULT_KINDS, HANDED_OVER, WallPlan
from runbooks.actions import shipped_actions
from runbooks.checking import Bound, Checked, check_file
from runbooks.library import Library
from runbooks.model import Kind, Runbook
from runbooks.page import Page, page_of_plan
from runbooks.plan import Facts
from runbooks.uses import role_of, uses_in
from sites.model import Service


@dataclass(frozen=True, slots=True)
class RunbookDesk:
    """The library that names are looked up in; `bound` is None without a sound estate."""

    library: Library
    bound: Bound | None

    def files(self, named: Sequence[str]) -> list[Path]:
        """The files of these names and paths; all there are when none is given. Raises RunbookUnknown."""
        return [self._file(name) for name in named or self.library.names()]

    def _file(self, name: str) -> Path:
        path = Path(name)
        return path if path.suffix == ".yaml" or path.is_file() else self.library.find(name)

    def check(self, path: Path) -> Checked:
        """Everything that can be said about a file."""
        return check_file(path, self.library.name_of(path), self._beside(path), self.bound)

    def load(self, name: str) -> Runbook:
        """The runbook of a name or file. Raises RunbookUnknown or RunbookInvalid."""
        path = self._file(name)
        return self._beside(path).load_file(path, self.library.name_of(path))

    def _beside(self, path: Path) -> Library:
        """The library with the folders around a file too, where its `inverse` may stand."""
        return replace(self.library, folders=(*self.library.folders, path.parent, path.parent.parent))

    def page(self, runbook: Runbook, kind: Kind | None, service: str, to_site: str) -> Page:
        """The page of a service's move. Ends the command where there is no such move."""
        if self.bound is None:
            raise wrong("Without a sound estate file there are no services: see `twinsite config check`.")
        estate = self.bound.estate
        if service not in estate.services:
            raise wrong(f"There is no service {service!r}; there are: {', '.join(estate.services)}")
        noun = estate.services[service]
        if site_in(estate, to_site) not in noun.sites:
            raise wrong(f"{service} is not at {to_site}; its sites are {' and '.join(noun.sites)}")
        roles = [
            use.role for use in uses_in(estate) if use.service.name == service and use.runbook == runbook.name
        ]
        role = roles[0] if roles else role_of(runbook) or runbook.runbook
        wanted = kind or DEFAULT_KINDS.get(role, Kind.FAILOVER)
        move = WallPlan(
            estate,
            noun,
            noun.peer_of(to_site),
            to_site,
            wanted,
            self.library.catalogue,
            self.bound.library.load,
            self.bound.facts,
        )
        drawn = move.around(runbook, role)
        if drawn is None:
            raise wrong(f"A {wanted} has no {role} runbook; --kind names the kind of run")
        notes = [] if roles else [f"{service} does not use this runbook: the page shows what it would do."]
        if wanted is Kind.FAILOVER and role == "promote":
            notes.append(HANDED_OVER)
        return page_of_plan(drawn[0], drawn[1], runbook, self.library.catalogue, notes)


def open_desk(settings: Settings) -> RunbookDesk:
    """The desk by the estate file that is there. Ends the command when one is named and not there."""
    from probes.catalogue import SETTINGS as PROBES
    from sites.inventory import EstateInvalid, load_estate
    from sites.replication.catalogue import SETTINGS as DRIVERS

    catalogue = shipped_actions()
    try:
        path = estate_path(settings)
    except Failure:
        if settings.config is not None:
            raise
        note(
            "No estate file here: hosts and probes are not looked up, only what the runbooks themselves say."
        )
        return RunbookDesk(Library(catalogue), None)
    try:
        estate = load_estate(
            path, probe_settings=PROBES, driver_settings=DRIVERS, resolve_secrets=False
        ).estate
    except EstateInvalid as fault:
        count = f"{len(fault.faults)} fault{'s' if len(fault.faults) > 1 else ''}"
        note(f"{path} has {count} (see `twinsite config check`): its folders and services are not looked up.")
        return RunbookDesk(Library(catalogue), None)
    library = Library(catalogue, tuple(path.parent / folder for folder in estate.runbook_path))

    def facts(service: Service) -> Facts:
        """What is known of a service without a connection to it. A driver that does not exist yet is no
        fault of a runbook: such a service is only watched."""
        return Facts(
            probes=frozenset(probe.name for probe in service.probes),
            roles=frozenset(estate.access.roles),
            owners=frozenset(estate.owners),
        )

    return RunbookDesk(library, Bound(estate, library, facts))


def names_for_completion(params: Mapping[str, Any]) -> list[str]:
    """The names of runbooks for a shell to complete; those that ship when the estate cannot be read."""
    from orchestrator.cli.connect import salvaged

    try:
        path = estate_path(Settings(config=params.get("config"), site=None))
        estate = salvaged(path)
        folders = tuple(path.parent / folder for folder in estate.runbook_path) if estate is not None else ()
    except Exception:  # noqa: BLE001 - a completion has nobody to tell
        folders = ()
    return Library(shipped_actions(), folders).names()
