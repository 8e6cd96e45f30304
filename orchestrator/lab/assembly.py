"""Build a lab and start it: certificates, keys, the estate file, the store, both pairs, controllers, clients.

Everything that can be made at the same time is. What is left running afterwards is in the lab's process
trees, nothing else. Whether it becomes healthy is the product's doing, and the stories' to wait for.
"""

import asyncio
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.lab import etcd, postgres
from orchestrator.lab.certs import CertificateFiles, create_authority
from orchestrator.lab.client import ClientSpec
from orchestrator.lab.errors import LabTrouble
from orchestrator.lab.estate import (
    ELECTION_TIMEOUT_MS,
    HEARTBEAT_MS,
    HOST,
    REPLICATION,
    SSH_USER,
    SUPER,
    estate_text,
    write_secrets,
)
from orchestrator.lab.places import DATA_SITES, HOME, SITES, WITNESS
from orchestrator.lab.running import CLIENTS, RunningLab
from orchestrator.lab.site_supervisor import Description, Program
from orchestrator.lab.sshd import SshFiles, generate_ssh_files

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
    lab.start_tree(_clients(parts))
    say("databases, controllers, witness and clients are starting")


def _prepare(lab: RunningLab) -> Parts:
    """Folders, secrets, keys, certificates and the estate file; starts nothing."""
    layout, network = lab.layout, lab.network
    for site in SITES:
        layout.site(site).mkdir(mode=0o711)
        layout.state(site).mkdir(mode=0o700)
    for folder in (layout.log("any", "any").parent, layout.records("any").parent, layout.site(CLIENTS)):
        folder.mkdir(mode=0o711, exist_ok=True)
    whom = postgres.run_as()
    found = postgres.reachable(postgres.find_postgres(), whom, layout.directory / "programs")
    authority = create_authority(layout.directory / "certs", title="twinsite lab")
    clients = {site: authority.client(site) for site in SITES}
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
            site: authority.server(f"etcd-{site}", [network.address(site), "127.0.0.1"]) for site in SITES
        },
        clients=clients,
        ssh=generate_ssh_files(
            layout.directory / "ssh",
            {f"{site}-{HOST}": (network.address(site), network.port("ssh")) for site in DATA_SITES},
        ),
    )
    layout.estate.write_text(estate_text(network, layout, found.bin_dir, clients), encoding="utf-8")
    return parts


def _description(parts: Parts, site: str, programs: tuple[Program, ...]) -> Description:
    log = str(parts.lab.layout.log(site, "supervisor"))
    return Description(site, log, programs, ends_with_input=not parts.lab.kept)


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
    """What stands on a store and on data that exist: databases, and the controller or the witness."""
    databases = () if site == WITNESS else tuple(_database(parts, site, service) for service in HOME)
    return (*databases, _daemon(parts, site))


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


def _daemon(parts: Parts, site: str) -> Program:
    layout = parts.lab.layout
    verb = "witness" if site == WITNESS else "controller"
    command = Path(sys.executable).with_name("twinsite")
    return Program(
        name=verb,
        command=(str(command), "--config", str(layout.estate), verb, "--site", site),
        log=str(layout.log(site, verb)),
        directory=str(layout.site(site)),
        restart=True,
    )


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
    )
    for site, place in places.items():
        # The two have one port number, on two addresses; their Unix sockets must not be one.
        sockets = lab.layout.site(site) / "sockets"
        sockets.mkdir(exist_ok=True)
        parts.whom.give(sockets)
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


def _clients(parts: Parts) -> Description:
    """A client per service, in a tree apart from all sites."""
    layout = parts.lab.layout
    programs = []
    for service in HOME:
        spec = ClientSpec(
            service=service,
            databases=_addresses(parts, service),
            records=str(layout.records(service)),
            live=str(layout.live(service)),
        )
        path = layout.records(service).with_suffix(".json")
        path.touch(mode=0o600)
        path.write_text(spec.to_json(), encoding="utf-8")
        programs.append(
            Program(
                name=f"client-{service}",
                command=(sys.executable, "-P", "-m", "orchestrator.lab.client", str(path)),
                log=str(layout.log(CLIENTS, service)),
                directory=str(layout.directory),
                restart=True,
            )
        )
    return _description(parts, CLIENTS, tuple(programs))
