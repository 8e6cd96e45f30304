"""Build a lab and start it: certificates, keys, the estate file, the store, both pairs, controllers, clients.

Everything that can be made at the same time is. What is left running afterwards is in the lab's process
trees, nothing else. Whether it becomes healthy is the product's doing, and the stories' to wait for.
"""

import asyncio
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from orchestrator.lab import etcd, postgres
from orchestrator.lab.certs import CertificateFiles, create_authority
from orchestrator.lab.client import (
    INSIDE_ASK_EVERY_SECONDS,
    INSIDE_FIRST_N,
    INSIDE_WRITE_EVERY_SECONDS,
    OUTSIDE_ASK_EVERY_SECONDS,
    ClientSpec,
)
from orchestrator.lab.errors import LabTrouble
from orchestrator.lab.estate import (
    ELECTION_TIMEOUT_MS,
    GUARDED,
    HEARTBEAT_MS,
    HOST,
    REPLICATION,
    SSH_USER,
    SUPER,
    estate_text,
    write_secrets,
)
from orchestrator.lab.places import DATA_SITES, HOME, SITES, USERS, WITNESS
from orchestrator.lab.running import CLIENTS, RunningLab
from orchestrator.lab.site_supervisor import Description, Program
from orchestrator.lab.sshd import SshFiles, generate_ssh_files
from orchestrator.lab.wall_clock import FakeTime, find_faketime

SERVERS_WITHIN_SECONDS = 60.0
_SSHD = "from orchestrator.lab.sshd import main; main()"


@dataclass(frozen=True, slots=True)
class Parts:
    """What programs are started with."""

    lab: RunningLab
    secrets: Mapping[str, str]
    store: etcd.EtcdBinary
    databases: postgres.PostgresBinaries
    whom: postgres.RunAs
    members: Mapping[str, etcd.MemberPlace]
    servers: Mapping[str, CertificateFiles]
    clients: Mapping[str, CertificateFiles]
    ssh: SshFiles
    freezers: Mapping[str, str]
    faketime: FakeTime | None


async def assemble(lab: RunningLab, say: Callable[[str], None]) -> None:
    """Make and start everything. Raises LabMisuse when the machine lacks something, LabTrouble when a
    server does not start; what was started by then is in the lab's trees."""
    parts = await asyncio.to_thread(_prepare, lab)
    say(f"etcd {parts.store.version}, PostgreSQL {parts.databases.version}")
    if parts.store.unsafe:
        say(
            f"note: etcd {parts.store.version} may lose writes when its members are killed (fixed in 3.5.6); "
            "it will do for a lab and for nothing else"
        )
    for site in SITES:
        lab.start_tree(_description(parts, site, _first_programs(parts, site)))
    say("3 etcd members and 2 SSH hosts are starting, 2 database pairs are being made")
    try:
        async with asyncio.timeout(SERVERS_WITHIN_SECONDS), asyncio.TaskGroup() as tasks:
            tasks.create_task(_prepare_store(parts))
            for service in HOME:
                tasks.create_task(_make_pair(parts, service))
    except TimeoutError as fault:
        raise LabTrouble(
            f"the servers did not start within {SERVERS_WITHIN_SECONDS:g} s; the logs are in {lab.directory}"
        ) from fault
    except ExceptionGroup as troubles:
        raise LabTrouble(f"{troubles.exceptions[0]}; the logs are in {lab.directory}") from troubles
    for site in SITES:
        programs = (*_first_programs(parts, site), *_second_programs(parts, site))
        lab.extend_tree(_description(parts, site, programs))
    lab.databases = {service: _addresses(parts, service) for service in HOME}
    for description in _clients(parts):
        lab.start_tree(description)
    say("databases, controllers, witness and clients are starting")


def _prepare(lab: RunningLab) -> Parts:
    """Folders, secrets, keys, certificates and the estate file; starts nothing."""
    layout, network = lab.layout, lab.network
    for site in SITES:
        layout.site(site).mkdir(mode=0o711)
        layout.state(site).mkdir(mode=0o700)
    apart = [layout.site(name) for name in (CLIENTS, *(f"{CLIENTS}-{site}" for site in DATA_SITES))]
    freezers = {site: lab.furnish(site) for site in SITES}
    for folder in (layout.log("any", "any").parent, layout.records("any").parent, *apart):
        folder.mkdir(mode=0o711, exist_ok=True)
    whom = postgres.run_as()
    found = postgres.reachable(postgres.find_postgres(), whom, layout.directory / "programs")
    authority = create_authority(layout.directory / "certs", title="twinsite lab")
    clients = {site: authority.controller(site, [network.address(site)]) for site in DATA_SITES}
    clients[WITNESS] = authority.witness(WITNESS)
    for site in DATA_SITES:
        for service in HOME:
            authority.guard(site, service)
    members = {
        site: etcd.MemberPlace(site, network.address(site), network.port("etcd"), network.port("etcd-peer"))
        for site in SITES
    }
    parts = Parts(
        lab=lab,
        secrets=write_secrets(layout),
        store=etcd.find_etcd(),
        databases=found,
        whom=whom,
        members=members,
        # A member is told apart by the address it calls from, and on loopback that is 127.0.0.1 for all.
        servers={
            site: authority.server(f"etcd-{network.address(site)}", [network.address(site), "127.0.0.1"])
            for site in SITES
        },
        clients=clients,
        ssh=generate_ssh_files(
            layout.directory / "ssh",
            {f"{site}-{HOST}": (network.address(site), network.port("ssh")) for site in DATA_SITES},
        ),
        freezers=freezers,
        faketime=find_faketime() if network.namespaces else None,
    )
    if parts.faketime is not None:
        for site in SITES:
            parts.faketime.set(layout.clock(site), 0.0)
    layout.estate.write_text(estate_text(network, layout, found.bin_dir, clients), encoding="utf-8")
    return parts


def _description(parts: Parts, site: str, programs: tuple[Program, ...]) -> Description:
    """What a site's supervisor runs, in the site's own namespace where it has one."""
    return Description(
        site,
        str(parts.lab.layout.log(site, "supervisor")),
        programs,
        ends_with_input=not parts.lab.kept,
        namespace=parts.lab.network.namespace(site),
        freezer=parts.freezers[site],
    )


def _first_programs(parts: Parts, site: str) -> tuple[Program, ...]:
    """What does not need anything else: the store's member, and the SSH host of a data site."""
    layout = parts.lab.layout
    member = Program(
        name="etcd",
        command=tuple(
            etcd.member_command(
                parts.store,
                parts.members[site],
                members=list(parts.members.values()),
                data_directory=layout.site(site) / "etcd",
                certificate=parts.servers[site],
                heartbeat_ms=HEARTBEAT_MS,
                election_timeout_ms=ELECTION_TIMEOUT_MS,
            )
        ),
        log=str(layout.log(site, "etcd")),
        directory=str(layout.site(site)),
        restart=True,
    )
    return (member,) if site == WITNESS else (member, _ssh_host(parts, site))


def _ssh_host(parts: Parts, site: str) -> Program:
    """Commands run as the databases' user. In a user namespace that is the whole host, seen from outside."""
    layout, network, whom = parts.lab.layout, parts.lab.network, parts.whom
    options = {
        "--listen": network.address(site),
        "--port": str(network.port("ssh")),
        "--host-key": str(parts.ssh.host_keys[f"{site}-{HOST}"]),
        "--authorized-keys": str(parts.ssh.authorized_keys),
        "--login": SSH_USER,
    }
    before: tuple[str, ...] = whom.prefix_argv
    if whom.uid is not None:
        before, options["--run-as"] = (), f"{whom.uid}:{whom.gid}"
    arguments = [word for pair in options.items() for word in pair]
    return Program(
        name="ssh",
        command=(*before, sys.executable, "-P", "-c", _SSHD, *arguments),
        log=str(layout.log(site, "ssh")),
        directory=str(layout.site(site)),
        restart=True,
    )


def _second_programs(parts: Parts, site: str) -> tuple[Program, ...]:
    """What stands on a store and on data that exist: databases, guards, and the keeper and the controller
    or the witness."""
    if site == WITNESS:
        return (_daemon(parts, site, "witness"),)
    databases = tuple(_database(parts, site, service) for service in HOME)
    guards = tuple(_daemon(parts, site, "guard", service) for service in HOME if GUARDED)
    return (*guards, *databases, _daemon(parts, site, "keeper"), _daemon(parts, site, "controller"))


def _database(parts: Parts, site: str, service: str) -> Program:
    """Started as a machine's init does: as its files say, and once."""
    data = parts.lab.layout.data(site, service)
    log = data.with_name(f"{data.name}.twinsite") / "postgres.log"
    return Program(
        name=service,
        command=postgres.start_command(parts.databases, parts.whom, data, log),
        stop=postgres.stop_command(parts.databases, parts.whom, data),
        log=str(parts.lab.layout.log(site, service)),
        directory=str(parts.lab.layout.site(site)),
    )


def _daemon(parts: Parts, site: str, verb: str, service: str = "") -> Program:
    """One of the product's own, as its unit starts it."""
    layout = parts.lab.layout
    name = f"{verb}-{service}" if service else verb
    command = (str(Path(sys.executable).with_name("twinsite")), "--config", str(layout.estate), verb)
    return Program(
        name=name,
        command=(*command, *(("--service", service) if service else ()), "--site", site),
        log=str(layout.log(site, name)),
        directory=str(layout.site(site)),
        environment=_clock(parts, site, verb),
        restart=True,
        notifies=verb == "guard",
    )


def _clock(parts: Parts, site: str, verb: str) -> dict[str, str]:
    # Not guards: under libfaketime 0.9.10 time.sleep fails, and they use no wall clock anyway.
    if parts.faketime is None or verb == "guard":
        return {}
    return parts.faketime.environment(parts.lab.layout.clock(site))


async def _prepare_store(parts: Parts) -> None:
    """Wait for the members, then users and roles; the leader best sits at the witness."""
    endpoints = [member.endpoint for member in parts.members.values()]
    tls = parts.clients[WITNESS].client_context()
    accounts = etcd.Accounts(
        root_password=parts.secrets["etcd-root"],
        site_passwords={site: parts.secrets[f"etcd-{site}"] for site in DATA_SITES},
        witness_passwords={WITNESS: parts.secrets[f"etcd-{WITNESS}"]},
        reader_password=parts.secrets["etcd-reader"],
    )
    await etcd.wait_healthy(endpoints, tls)
    await etcd.configure_auth(endpoints, tls, accounts)
    await etcd.move_leader(
        endpoints, tls, parts.members[WITNESS].endpoint, root_password=accounts.root_password
    )


async def _make_pair(parts: Parts, service: str) -> None:
    lab = parts.lab
    home, other = (site for site in sorted(DATA_SITES, key=lambda site: site != HOME[service]))
    places = {
        site: postgres.LabInstance(
            site, lab.network.address(site), lab.network.port(service), lab.layout.data(site, service)
        )
        for site in DATA_SITES
    }
    await postgres.create_pair(
        service,
        places[home],
        places[other],
        binaries=parts.databases,
        whom=parts.whom,
        roles=postgres.LabRoles(SUPER, parts.secrets["postgres"], REPLICATION, parts.secrets["replication"]),
        sockets=lab.directory / "sockets",
        callers=lab.network.callers,
    )
    for site, place in places.items():
        # The two have one port number, on two addresses; their Unix sockets must not be one.
        sockets = lab.layout.site(site) / "sockets"
        sockets.mkdir(exist_ok=True)
        parts.whom.give(sockets)
        # Closed on both sides, as after a boot: guards open nothing unasked, and the home site claims it.
        signal = place.data / "standby.signal"
        signal.touch()
        parts.whom.give(signal)
        with (place.data / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.write(f"unix_socket_directories = '{sockets}'\n")
            # In the data directory and not in /dev/shm, where a killed server's would be left for ever.
            file.write("dynamic_shared_memory_type = mmap\n")


def _addresses(parts: Parts, service: str) -> dict[str, dict[str, Any]]:
    return {
        site: {
            "host": parts.lab.network.address(site),
            "port": parts.lab.network.port(service),
            "user": SUPER,
            "password": parts.secrets["postgres"],
            "database": "postgres",
            "ssl": False,
        }
        for site in DATA_SITES
    }


def _clients(parts: Parts) -> tuple[Description, ...]:
    """A client per service outside all sites, and in namespaces one inside each site as well: of no host of
    the site, so that it goes on when these are killed or paused."""
    network = parts.lab.network
    descriptions = [_client_tree(parts, "", network.namespace(USERS))]
    if network.namespaces:
        descriptions += [_client_tree(parts, site, network.namespace(site)) for site in DATA_SITES]
    return tuple(descriptions)


def _client_tree(parts: Parts, inside: str, namespace: str) -> Description:
    name = f"{CLIENTS}-{inside}" if inside else CLIENTS
    programs = tuple(_client(parts, service, inside) for service in HOME)
    log = str(parts.lab.layout.log(name, "supervisor"))
    return Description(name, log, programs, ends_with_input=not parts.lab.kept, namespace=namespace)


def _client(parts: Parts, service: str, inside: str) -> Program:
    layout = parts.lab.layout
    places = _addresses(parts, service)
    spec = ClientSpec(
        service=service,
        databases={inside: places[inside]} if inside else places,
        records=str(layout.records(service, inside)),
        ends=str(layout.ends(service, inside)),
        live=str(layout.live(service, inside)),
    )
    if parts.lab.network.namespaces:
        spec = replace(spec, ask_every_seconds=OUTSIDE_ASK_EVERY_SECONDS)
    if inside:
        first_n = (DATA_SITES.index(inside) + 1) * INSIDE_FIRST_N
        spec = replace(
            spec,
            first_n=first_n,
            write_every_seconds=INSIDE_WRITE_EVERY_SECONDS,
            ask_every_seconds=INSIDE_ASK_EVERY_SECONDS,
        )
    path = layout.records(service, inside).with_suffix(".json")
    path.touch(mode=0o600)
    path.write_text(spec.to_json(), encoding="utf-8")
    return Program(
        name=f"client-{service}",
        command=(sys.executable, "-P", "-m", "orchestrator.lab.client", str(path)),
        log=str(layout.log(f"{CLIENTS}-{inside}" if inside else CLIENTS, service)),
        directory=str(layout.directory),
        restart=True,
    )
