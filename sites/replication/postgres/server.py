"""One instance as the driver holds it: its link, its host, and how they are named to each other.

Values and names only; what to do with them is the driver's and `rejoin`'s.
"""

import zlib
from dataclasses import dataclass
from pathlib import Path

from sites.model import Estate, Service, is_gated
from sites.replication.postgres.config import (
    Instance,
    PostgresSettings,
    conninfo,
    password_line,
    setting_line,
)
from sites.replication.postgres.host import DatabaseHost
from sites.replication.postgres.sql import Link
from sites.replication.postgres.tls import LIBPQ_MODES, ClientTls
from sites.transport import Transport

SLOT_NAME_LIMIT = 63


@dataclass(slots=True)
class Server:
    """One instance: who it is, and the two ways to it. `fences` counts the fences ordered here, so that a
    start that was under way knows; `settled_at` is the connection for which the signal was put back."""

    site: str
    name: str
    address: str
    instance: Instance
    link: Link
    host: DatabaseHost
    fences: int = 0
    settled_at: int = 0
    system_id: str = ""


def server_of(
    service: Service,
    estate: Estate,
    settings: PostgresSettings,
    transport: Transport,
    site: str,
    base: Path,
) -> Server:
    """The instance of `service` at `site`; the settings were checked against the estate before. `base`: the
    folder that paths of the estate file are relative to."""
    instance = settings.instances[site]
    host = estate.sites[site].hosts[instance.host]
    if not host.name:
        host = host.model_copy(update={"name": instance.host, "site": site})
    address = instance.address or host.address
    name = f"{service.name} at {site}"
    link = Link(
        name=name,
        host=address,
        port=instance.port,
        user=settings.user,
        password=settings.password.get_secret_value(),
        database=settings.database,
        tls=client_tls(settings, base),
        connect_within_seconds=settings.answer_within_seconds,
    )
    return Server(
        site=site,
        name=name,
        address=address,
        instance=instance,
        link=link,
        host=DatabaseHost(
            service.name,
            site,
            host,
            instance,
            transport,
            guarded=service.guard is not None,
            gated=service.guard is not None and is_gated(service.guard),
        ),
    )


def client_tls(settings: PostgresSettings, base: Path) -> ClientTls:
    """How twinsite's own connections are encrypted."""
    return ClientTls(settings.tls, None if settings.ca is None else base / settings.ca)


def application_name(service: str, site: str) -> str:
    """What a standby calls itself at its primary, and what `synchronous_standby_names` holds."""
    return f"{service}-{site}"


def slot_name(service: str, site: str) -> str:
    """The replication slot that the primary keeps for the standby at `site`."""
    name = f"twinsite_{service}_{site}".replace("-", "_")
    if len(name) <= SLOT_NAME_LIMIT:
        return name
    return f"{name[: SLOT_NAME_LIMIT - 9]}_{zlib.crc32(name.encode()):08x}"


def source_of(
    primary: Server, settings: PostgresSettings, user: str, purpose: str, ca: str | None = None
) -> str:
    """The connection string by which a tool on the other host reaches `primary`; it holds no password. `ca`:
    the authority's file on that other host."""
    return conninfo(
        host=primary.address,
        port=primary.instance.port,
        user=user,
        dbname=settings.database,
        application_name=f"twinsite-{purpose}",
        connect_timeout=5,
        # A copy or a rewind may take hours; a link that is gone ends it within a minute.
        keepalives_idle=20,
        keepalives_interval=10,
        keepalives_count=3,
        sslmode=LIBPQ_MODES.get(settings.tls, settings.tls),
        **_root(ca),
    )


def _root(ca: str | None) -> dict[str, str]:
    return {} if ca is None else {"sslrootcert": ca}


def password_file(data: str) -> str:
    """Where a standby finds its password: beside its data, never in them."""
    return f"{data}.twinsite/pgpass"


def standby_lines(
    service: str,
    site: str,
    *,
    data: str,
    upstream_address: str,
    upstream_port: int,
    user: str,
    tls: str,
    ca: str | None = None,
) -> str:
    """The lines of `postgresql.auto.conf` that make the server of `service` at `site` follow the other. `ca`:
    the authority's file on this host."""
    upstream = conninfo(
        host=upstream_address,
        port=upstream_port,
        user=user,
        application_name=application_name(service, site),
        passfile=password_file(data),
        connect_timeout=5,
        sslmode=LIBPQ_MODES.get(tls, tls),
        **_root(ca),
    )
    return "\n".join(
        (
            setting_line("primary_conninfo", upstream),
            setting_line("primary_slot_name", slot_name(service, site)),
        )
    )


def password_lines(primary: Server, settings: PostgresSettings) -> str:
    """The password file by which the other host reaches `primary`, in both roles."""
    users = {
        settings.user: settings.password,
        settings.replication_user: settings.replication_password,
    }
    return "".join(
        password_line(primary.address, primary.instance.port, "*", user, secret.get_secret_value()) + "\n"
        for user, secret in users.items()
    )
