"""Which replication drivers exist: their settings, and how one is made for a service.

A driver is one entry here and one package beside this module; what it needs is imported when one is made. It
never judges whether the settings fit the estate; that is `config check`'s, by the settings' own `check`.
"""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

from pydantic import BaseModel

from sites.errors import DriverMissing
from sites.model import Estate, Service
from sites.replication.command.config import CommandSettings
from sites.replication.postgres.config import PostgresSettings
from sites.replication.words import ReplicationDriver
from sites.transport import Transport

SETTINGS: Mapping[str, type[BaseModel]] = {"postgres": PostgresSettings, "command": CommandSettings}


_MODULES: Mapping[str, str] = {
    "postgres": "sites.replication.postgres.driver",
    "command": "sites.replication.command.driver",
}


def bring_driver(service: Service) -> None:
    """Import what the driver of a service needs, so that making it takes no time. Blocks; can be done in a
    thread."""
    if service.replication is not None and service.replication.driver in _MODULES:
        import_module(_MODULES[service.replication.driver])


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
    raise DriverMissing(service.name, service.replication.driver)
