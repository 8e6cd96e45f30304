"""Finds the estate file, and the controller to ask on this machine. Only finds: asks it nothing.

Which one: `--site`; else the first whose socket takes a connection, data sites first in the file's order.
"""

import errno
import re
import socket as sockets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.failures import silence, wrong
from orchestrator.cli.options import NameType, Settings
from orchestrator.cli.output import note

if TYPE_CHECKING:
    from orchestrator.api.blocking import Controller
    from sites.model import Estate

PLACES = (Path("sites.yaml"), Path("/etc/twinsite/sites.yaml"))
CONNECT_SECONDS = 2.0


def estate_path(settings: Settings) -> Path:
    """The estate file to use. Ends the command when there is none."""
    if settings.config is not None:
        if not settings.config.is_file():
            raise wrong(
                f"{settings.config}: there is no such estate file; name the right one with --config PATH"
            )
        return settings.config
    for place in PLACES:
        if place.is_file():
            return place
    looked = " nor ".join(str(place) for place in PLACES)
    raise wrong(f"No estate file: neither {looked} exists here; name it with --config PATH")


def estate_for_asking(settings: Settings) -> "tuple[Estate, Path]":
    """The estate as far as it is needed to find a controller, and its path.

    A fault in the file must not blind somebody at night: the controllers go by what they read when they
    started. So a faulty file is told of, and what can be made out of it is used. Raises EstateInvalid when
    nothing can.
    """
    from sites.inventory import EstateInvalid, load_estate

    path = estate_path(settings)
    try:
        return load_estate(path, resolve_secrets=False).estate, path
    except EstateInvalid as fault:
        estate = salvaged(path)
        if estate is None:
            raise
        count = f"{len(fault.faults)} fault{'s' if len(fault.faults) > 1 else ''}"
        note(f"{path} has {count} (see `twinsite config check`); the controller goes by what it read before.")
        return estate, path


def salvaged(path: Path) -> "Estate | None":
    """What can be made out of an estate file, whatever its faults; None when nothing can."""
    from sites.marks import read_document
    from sites.salvage import salvage

    try:
        data = read_document(path.read_text()).data
    except (OSError, ValueError):
        return None
    if not isinstance(data, dict) or not isinstance(data.get("sites"), dict):
        return None
    estate, _, _ = salvage(data)
    return estate


def site_in(estate: "Estate", name: str) -> str:
    """The site's name if the estate has it; ends the command if not."""
    if name not in estate.sites:
        raise wrong(f"There is no site {name!r}; there are: {', '.join(estate.sites)}")
    return name


@contextmanager
def controller(settings: Settings, *, rather_not: str | None = None) -> "Iterator[Controller]":
    """The controller to ask; that of `rather_not` only if there is no other one or it is asked for by
    name. Ends the command when nobody listens on this machine."""
    from orchestrator.api.blocking import Controller

    name, place, others = _socket_to_ask(settings, rather_not)
    if others:
        note(f"Asking {name}'s controller; here is also: {', '.join(others)} (choose with --site).")
    with Controller(place) as found:
        yield found


def primary_of(settings: Settings, service: str) -> str | None:
    """Where the service is primary, if several controllers can be asked here and it makes a difference
    which: a failover is ordered at the site that is to take over."""
    from orchestrator.api.blocking import Controller

    _, place, others = _socket_to_ask(settings, None)
    if not others:
        return None
    with Controller(place) as asked:
        return next((one.primary for one in asked.status().services if one.service == service), None)


def _socket_to_ask(settings: Settings, rather_not: str | None) -> tuple[str, Path, list[str]]:
    """Site and socket, and the other sites whose controllers answer here when none was asked for by name."""
    from orchestrator.api.client import connect_reason
    from orchestrator.paths import controller_socket, state_directory

    estate, path = estate_for_asking(settings)
    if settings.site is not None:
        names: tuple[str, ...] = (site_in(estate, settings.site),)
    else:
        witnesses = (name for name, site in estate.sites.items() if site.witness)
        names = tuple(sorted((*estate.data_sites, *witnesses), key=lambda name: name == rather_not))
    # Sites on machines of their own may write the same `state`; here that is one socket, asked once.
    places: dict[Path, str] = {}
    for name in names:
        places.setdefault(controller_socket(state_directory(estate, name, path.parent)), name)
    tried = [(name, place, _listens(place)) for place, name in places.items()]
    answering = [(name, place) for name, place, number in tried if number == 0]
    if answering:
        return *answering[0], [other for other, _ in answering[1:]]
    _refuse_unknown_names(estate, path)
    there = [one for one in tried if one[2] != errno.ENOENT] or tried
    shown = [one for one in there if not (one[2] == errno.ENOENT and estate.sites[one[0]].witness)] or there
    raise silence([(name, place, connect_reason(number)) for name, place, number in shown])


def _refuse_unknown_names(estate: "Estate", path: Path) -> None:
    """A name that the file does not have is told of where no controller can be asked, which would say so too.
    One that answers goes by what it read when it started, and is asked whatever the name."""
    context = click.get_current_context(silent=True)
    if context is None:
        return
    for parameter in context.command.params:
        given = context.params.get(parameter.name or "")
        if not isinstance(parameter.type, NameType) or not isinstance(given, str):
            continue
        if parameter.type.name not in ("site", "service"):
            continue  # a run or an id of a certificate is no name of the file's
        known = names_in(estate, parameter.type.name)
        if given not in known and not _stands_in(path, given):
            raise wrong(
                f"There is no {parameter.type.name} {given!r} in {path}; there are: {', '.join(known)}. "
                "No controller answers here that could be asked."
            )


def _stands_in(path: Path, name: str) -> bool:
    """The name is a key of the file, though perhaps one whose faults keep it out of the estate."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return True
    return re.search(rf"(^|[{{,\s]){re.escape(name)}\s*:", text) is not None


def _listens(place: Path) -> int:
    """0 if somebody takes connections there, else the errno."""
    with sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM) as one:
        one.settimeout(CONNECT_SECONDS)
        try:
            one.connect(str(place))
        except TimeoutError:
            return errno.EAGAIN
        except OSError as fault:
            return fault.errno or errno.ECONNREFUSED
    return 0


def names_for_completion(params: Mapping[str, Any], kind: str) -> list[str]:
    """Names of sites, services or drills for a shell to complete; none when the file cannot be read."""
    try:
        estate = salvaged(estate_path(Settings(config=params.get("config"), site=None)))
    except Exception:  # noqa: BLE001 - a completion has nobody to tell
        return []
    if estate is None:
        return []
    return names_in(estate, kind)


def names_in(estate: "Estate", kind: str) -> list[str]:
    """The names of the estate's services, drills or sites."""
    if kind == "drill":
        return [drill.name for drill in estate.drills]
    return list(estate.services if kind == "service" else estate.sites)


def runs_for_completion(params: Mapping[str, Any], run: str | None) -> list[str]:
    """Ids of runs for a shell to complete, or the steps of `run`; none when no controller answers here."""
    import contextlib
    import io

    try:
        settings = Settings(config=params.get("config"), site=params.get("site"))
        with contextlib.redirect_stderr(io.StringIO()), controller(settings) as asked:
            if run is not None:
                return [step.step for step in asked.run(run).steps]
            return [found.run for found in asked.runs(50).runs]
    except Exception:  # noqa: BLE001 - a completion has nobody to tell
        return []
