"""Whom we trust over SSH and who we are: known_hosts, our keys, and what to say when they do not fit.

Reads the files afresh for every connection, so that a corrected file needs no restart; never writes one.
"""

import os
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncssh
from asyncssh.public_key import (
    CERT_TYPE_USER,
    SSHOpenSSHCertificate,
    get_default_certificate_algs,
    get_default_public_key_algs,
)

from sites.errors import (
    AccessDenied,
    HostKeyChanged,
    HostKeyUnknown,
    HostUnreachable,
    KnownHostsUnreadable,
    OwnKeyUnusable,
    SitesTrouble,
)
from sites.model import Host, SshSpec

_DEFAULT_PORT = 22


def place(host: Host) -> str:
    """How messages name a host: its role and where it is reached."""
    where = f"{host.user}@{host.address}:{host.port}"
    if host.via:
        where += f" through {' and '.join(name_of(jump) for jump in host.via)}"
    role = "/".join(part for part in (host.site, host.name) if part)
    return f"{role} ({where})" if role else where


def name_of(host: Host) -> str:
    """Site and role, or the address of a host that has neither."""
    return "/".join(part for part in (host.site, host.name) if part) or host.address


def entry_of(host: Host) -> str:
    """How known_hosts names it."""
    if host.known_as is not None:
        return host.known_as
    return host.address if host.port == _DEFAULT_PORT else f"[{host.address}]:{host.port}"


@dataclass(slots=True)
class Shown:
    """What the other side let us see before a connection failed."""

    connected: bool = False  # TCP was accepted
    address: str = ""
    key: asyncssh.SSHKey | None = None  # a host key that known_hosts does not hold
    authority: str | None = None  # whose certificate it showed, where known_hosts does not trust that one


@dataclass(frozen=True, slots=True)
class TrustFiles:
    """The files as they were read for one connection."""

    known_hosts: asyncssh.SSHKnownHosts
    keys: tuple[asyncssh.SSHKeyPair, ...]
    agent_path: str | None

    def match(self, host: Host, address: str) -> Any:
        """What known_hosts holds for the host; `address` is where the connection has led."""
        return match(self.known_hosts, host, address)

    def algorithms(self, host: Host) -> list[str]:
        """The kinds of host key to ask for: first those that known_hosts can vouch for. The others too, so
        that a host that has none of these is refused for the key that it shows, and not for silence."""
        keys, authorities, *_ = match(self.known_hosts, host, "")
        first = list(get_default_certificate_algs()) if authorities else []
        first += [algorithm for key in keys for algorithm in key.sig_algorithms]
        everything = [*first, *get_default_public_key_algs()]
        return [algorithm.decode("ascii") for algorithm in dict.fromkeys(everything)]

    @asynccontextmanager
    async def client_keys(self) -> AsyncIterator[Sequence[asyncssh.SSHKeyPair]]:
        """Our keys: those of the files or, where none are named, the agent's while it is needed."""
        if self.agent_path is None:
            yield list(
                self.keys
            )  # asyncssh takes a list, and would read a tuple as a key with its certificate
            return
        try:
            agent = await asyncssh.connect_agent(self.agent_path)
        except OSError as gone:
            raise self._agent_trouble(gone.strerror or str(gone)) from gone
        try:
            try:
                keys = await agent.get_keys()
            except (OSError, ValueError) as broken:  # asyncssh says ValueError for all that goes wrong here
                raise self._agent_trouble(str(broken)) from broken
            yield keys
        finally:
            agent.close()

    def _agent_trouble(self, found: str) -> OwnKeyUnusable:
        return OwnKeyUnusable(
            f"SSH agent at {self.agent_path}: {found}. "
            "Start it, or name key files in sites.yaml under ssh: keys."
        )


@dataclass(frozen=True, slots=True)
class Trust:
    """The `ssh` part of the estate file, with the folder its paths are relative to."""

    spec: SshSpec
    base: Path
    known_hosts: Path = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "known_hosts", self.base / self.spec.known_hosts)

    def read(self, host: Host) -> TrustFiles:
        """Read everything needed to speak to `host`. Blocks on the disk.

        Raises OwnKeyUnusable for our keys, KnownHostsUnreadable for a known_hosts file that cannot be read.
        A file that is not there counts as empty: the refusal then names the key that the host showed.
        """
        agent_path = None
        if not self.spec.keys:
            agent_path = os.environ.get("SSH_AUTH_SOCK") or None
            if agent_path is None:
                raise OwnKeyUnusable(
                    f"{place(host)}: there is no key to log in with. Name key files in sites.yaml under "
                    "ssh: keys, or start an SSH agent (SSH_AUTH_SOCK)."
                )
        keys = [pair for name in self.spec.keys for pair in self._read_key(host, self.base / name)]
        return TrustFiles(self.read_known_hosts(host), tuple(keys), agent_path)

    def stale_certificates(self, host: Host) -> str:
        """What a person should know of our own certificates, where a host does not let us in. Blocks on the
        disk, for a moment."""
        found = []
        for name in self.spec.keys:
            path = self.base / f"{name}-cert.pub"
            try:
                certificates = asyncssh.load_certificates(str(path)) if path.exists() else ()
            except (OSError, ValueError):
                continue
            for certificate in certificates:
                if not isinstance(certificate, SSHOpenSSHCertificate):
                    continue
                try:
                    certificate.validate(CERT_TYPE_USER, host.user)
                except ValueError as fault:
                    found.append(f" {path}: {fault}; have a new one signed.")
        return "".join(found)

    def read_known_hosts(self, host: Host) -> asyncssh.SSHKnownHosts:
        """Every known key. Raises KnownHostsUnreadable where the file cannot be understood."""
        try:
            return asyncssh.read_known_hosts(str(self.known_hosts))
        except FileNotFoundError:
            return asyncssh.import_known_hosts("")
        except (OSError, ValueError) as fault:
            raise KnownHostsUnreadable(
                f"{place(host)}: its key cannot be checked, {self.known_hosts} cannot be read: {fault}. "
                "Correct that file; nothing is run on a host whose key is not checked."
            ) from fault

    def _read_key(self, host: Host, path: Path) -> Sequence[asyncssh.SSHKeyPair]:
        try:
            return asyncssh.load_keypairs([str(path)])
        except OSError as fault:
            raise OwnKeyUnusable(
                f"{place(host)}: cannot read the key file {path}: {fault.strerror or fault}. "
                "Correct ssh: keys in sites.yaml, or the file's owner and mode."
            ) from fault
        except ValueError as fault:
            if "assphrase" in str(fault):
                raise OwnKeyUnusable(
                    f"{place(host)}: the key file {path} is encrypted, and nobody is there to type its "
                    "passphrase. Load it into an SSH agent and leave ssh: keys out, or name one without."
                ) from fault
            raise OwnKeyUnusable(
                f"{place(host)}: the key file {path} holds no private key that can be used: {fault}."
            ) from fault

    def known(self, host: Host, address: str) -> tuple[list[str], list[str]]:
        """The keys and the authorities that known_hosts holds for the host, as people compare them."""
        keys, authorities, *_ = match(self.read_known_hosts(host), host, address)
        return [shown_key(key) for key in keys], [shown_key(key) for key in authorities]


def match(known_hosts: asyncssh.SSHKnownHosts, host: Host, address: str) -> Any:
    """What known_hosts holds for the host, as asyncssh has it: by its name there, as OpenSSH looks it up (an
    alias has no port), else by its address, port and where the connection has led."""
    if host.known_as is not None:
        return asyncssh.match_known_hosts(known_hosts, host.known_as, "", None)
    port = host.port if host.port != _DEFAULT_PORT else None
    return asyncssh.match_known_hosts(known_hosts, host.address, address, port)


def shown_key(key: asyncssh.SSHKey) -> str:
    """A key as people compare it."""
    return f"{key.get_fingerprint()} ({key.get_algorithm()})"


def connect_trouble(host: Host, foreign: Exception, shown: Shown, trust: Trust) -> SitesTrouble:
    """The error of ours for one of asyncssh's or the system's: place, finding, remedy."""
    at = place(host)
    if isinstance(foreign, asyncssh.HostKeyNotVerifiable | asyncssh.KeyExchangeFailed):
        return _key_trouble(host, foreign, shown, trust)
    if isinstance(foreign, asyncssh.PermissionDenied):
        ours = ", ".join(trust.spec.keys) or "the SSH agent's keys"
        return AccessDenied(
            f"{at}: {host.user} is not let in with {ours}. Put the public key into that user's "
            "authorized_keys there, or correct user and ssh: keys in sites.yaml."
            f"{trust.stale_certificates(host)}"
        )
    if isinstance(foreign, asyncssh.ChannelOpenError) and host.via:
        return HostUnreachable(
            f"{at}: the jump host {name_of(host.via[-1])} is reached, but opens no connection from there to "
            f"{host.address} port {host.port} ({foreign.reason}). The host is off, or the jump host's sshd "
            "does not allow it (AllowTcpForwarding, PermitOpen)."
        )
    if isinstance(foreign, TimeoutError):
        within = f"within {trust.spec.connect_timeout_seconds:g} s"
        if shown.connected:
            return HostUnreachable(
                f"{at}: accepts connections, but its sshd did not let us in {within}. "
                "The host is hung or badly overloaded, or something else answers on that port."
            )
        return HostUnreachable(f"{at}: no answer {within}. The host is off, or the network between is cut.")
    if isinstance(foreign, ConnectionRefusedError):
        return HostUnreachable(
            f"{at}: connection refused. The host is up, but no sshd listens on port {host.port}."
        )
    if isinstance(foreign, socket.gaierror):
        return HostUnreachable(
            f"{at}: the name {host.address} does not resolve ({foreign.strerror}). "
            "Give an address in sites.yaml: it must work without the other site's DNS."
        )
    if isinstance(foreign, OSError):
        return HostUnreachable(f"{at}: {foreign.strerror or foreign}. Look at the network between.")
    return HostUnreachable(f"{at}: the SSH conversation failed: {foreign}. Look at sshd's log there.")


def _key_trouble(host: Host, foreign: Exception, shown: Shown, trust: Trust) -> SitesTrouble:
    at, file = place(host), trust.known_hosts
    try:
        known, authorities = trust.known(host, shown.address or host.address)
    except SitesTrouble as unreadable:
        return unreadable
    now = shown_key(shown.key) if shown.key else ""
    entry = entry_of(host)
    scan = f"ssh-keyscan -p {host.port} {host.address}"
    if host.known_as is not None:
        scan += f" | sed 's/^[^ ]*/{host.known_as}/'"
    if shown.authority is not None and shown.authority not in authorities:
        trusted = ", ".join(authorities) or "no authority"
        return HostKeyChanged(
            f"{at}: shows a certificate signed by {shown.authority}, but {file} trusts {trusted} for it; "
            "nothing was run. Find out at that host's own console who signed it; only if that authority is "
            f"right: a line `@cert-authority {entry} …` in {file}"
        )
    if authorities and not now and "ertificate" in str(foreign):
        return HostKeyChanged(
            f"{at}: its host certificate was refused: {foreign}; nothing was run. Its names must hold "
            f"{host.known_as or host.address} (or write the name that they hold as `known_as`), and it must "
            "not be over. See `ssh-keygen -L` on that host, and have a new one signed."
        )
    if authorities and not known:
        what = f"the key {now}" if now else "a key"
        return HostKeyChanged(
            f"{at}: shows {what} without a certificate, but {file} trusts it only with one of "
            f"{', '.join(authorities)}; nothing was run. See HostCertificate of sshd there."
        )
    if not known and now:
        missing = "" if file.exists() else ", which does not exist"
        return HostKeyUnknown(
            f"{at}: shows the key {now}, which is not in {file}{missing}; nothing was run. Compare it with "
            "what `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` says on that host's own console; only "
            f"if it is the same: {scan} >> {file}"
        )
    if known and (now or "host key" in str(foreign).lower()):
        return HostKeyChanged(
            f"{at}: shows {'the key ' + now if now else 'a key of another kind'}, but {file} holds "
            f"{', '.join(known)}; nothing was run. Either the host was installed anew or somebody stands "
            "between. Find out at that host's own console; only if the new key is right: "
            f"ssh-keygen -R '{entry}' -f {file} && {scan} >> {file}"
        )
    if isinstance(foreign, asyncssh.KeyExchangeFailed):
        return HostUnreachable(f"{at}: no common way to speak SSH: {foreign}. Bring sshd there up to date.")
    return HostKeyChanged(f"{at}: its key was refused: {foreign}; nothing was run. See {file}.")
