"""Which replication drivers exist: their settings, and how one is made for a service.

A driver is one entry here and one package beside this module; what it needs is imported when one is made. It
never judges whether the settings fit the estate; that is `config check`'s, by the settings' own `check`.
"""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

from pydantic import BaseModel

from sites.errors import DriverMissing
from sites.model import Estate, ReplicationSpec, Service
from sites.replication.command.config import CommandSettings
from sites.replication.parts.config import CommandPart, PartsSettings, PostgresPart
from sites.replication.postgres.config import PostgresSettings
from sites.replication.words import ReplicationDriver
from sites.transport import Transport

SETTINGS: Mapping[str, type[BaseModel]] = {
    "postgres": PostgresSettings,
    "command": CommandSettings,
    "parts": PartsSettings,
}


_MODULES: Mapping[str, str] = {
    "postgres": "sites.replication.postgres.driver",
    "command": "sites.replication.command.driver",
    "parts": "sites.replication.parts.driver",
}


def bring_driver(service: Service) -> None:
    """Import what the driver of a service needs, so that making it takes no time. Blocks; can be done in a
    thread."""
    if service.replication is not None and service.replication.driver in _MODULES:
        import_module(_MODULES[service.replication.driver])


def bring_drivers() -> None:
    """Import what any driver needs. Blocks, for a second or so."""
    for module in _MODULES.values():
        import_module(module)


def make_driver(
    service: Service, estate: Estate, transport: Transport, base: Path = Path()
) -> ReplicationDriver:
    """The driver of a service whose settings were checked. `base`: the folder that paths of the estate file
    are relative to.

    Raises DriverMissing (code `driver-missing`) for a service without one, and pydantic's ValidationError
    for settings that were not checked before.
    """
    if service.replication is None:
        raise DriverMissing(service.name, None)
    if service.replication.driver == "postgres":
        from sites.replication.postgres.driver import PostgresDriver

        settings = PostgresSettings.model_validate(service.replication.settings)
        return PostgresDriver(service, estate, settings, transport, base)
    if service.replication.driver == "command":
        from sites.replication.command.driver import CommandDriver

        commands = CommandSettings.model_validate(service.replication.settings)
        return CommandDriver(service, estate, commands, transport)
    if service.replication.driver == "parts":
        from sites.replication.parts.driver import PartsDriver

        parts = PartsSettings.model_validate(service.replication.settings).parts
        return PartsDriver(
            service.name,
            {part.name: make_driver(_alone(service, part), estate, transport, base) for part in parts},
        )
    raise DriverMissing(service.name, service.replication.driver)


def databases_of(service: Service) -> tuple[PostgresSettings, ...]:
    """The PostgreSQL databases that a service replicates: one, none, or those among its parts."""
    if service.replication is None:
        return ()
    if service.replication.driver == "postgres":
        return (PostgresSettings.model_validate(service.replication.settings),)
    if service.replication.driver == "parts":
        parts = PartsSettings.model_validate(service.replication.settings).parts
        return tuple(part for part in parts if isinstance(part, PostgresPart))
    return ()


def _alone(service: Service, part: CommandPart | PostgresPart) -> Service:
    """The service as if that part were all of it."""
    written = next(
        one
        for one in (service.replication.settings["parts"] if service.replication is not None else ())
        if one["name"] == part.name
    )
    settings = {key: value for key, value in written.items() if key != "name"}
    return service.model_copy(update={"replication": ReplicationSpec.model_validate(settings)})
