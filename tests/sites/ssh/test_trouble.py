"""What goes wrong between us and a host: each is told apart, and says what to do."""

import asyncio
import os
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncssh
import pytest

from orchestrator.lab.ssh_session import RunAs
from orchestrator.lab.sshd import LabServer
from sites.errors import (
    AccessDenied,
    ConnectionBroken,
    HostKeyChanged,
    HostKeyUnknown,
    HostUnreachable,
    KnownHostsUnreadable,
    OwnKeyUnusable,
    SitesMisuse,
)
from sites.model import Host, SshSpec
from sites.ssh import SshTransport
from tests.sites.ssh.servers import LOOPBACK, Served, free_port, in_process, lab_process, until


@asynccontextmanager
async def carrier(spec: SshSpec, base: Path) -> AsyncIterator[SshTransport]:
    """A transport that is closed afterwards."""
    transport = SshTransport(spec, base)
    try:
        yield transport
    finally:
        await transport.aclose()


async def refused(place: Served, error: type[Exception], *, spec: SshSpec | None = None) -> str:
    """The message with which a command is refused; the command must not have run."""
    proof = place.base / "it-ran"
    async with carrier(spec or place.spec, place.base) as transport:
        with pytest.raises(error) as caught:
            await transport.run(place.host, f"touch {proof}", timeout_seconds=20)
    assert not proof.exists()
    assert type(caught.value) is error
    return str(caught.value)


def spec_of(place: Served, **changes: object) -> SshSpec:
    """The place's settings with some changed."""
    return place.spec.model_copy(update=changes)


async def test_a_changed_host_key_is_refused_with_both_keys_and_what_to_do(near: Served) -> None:
    other = asyncssh.generate_private_key("ssh-ed25519")
    line = f"[{LOOPBACK}]:{near.host.port} {other.export_public_key().decode()}"
    near.files.known_hosts.write_text(line)
    message = await refused(near, HostKeyChanged)
    shown = asyncssh.read_private_key(str(near.files.host_keys["durham"]))
    assert "durham/crm-db" in message
    assert other.get_fingerprint() in message
    assert shown.get_fingerprint() in message
    assert f"ssh-keygen -R '[{LOOPBACK}]:{near.host.port}' -f {near.files.known_hosts}" in message


async def test_a_host_key_of_another_kind_is_a_changed_one(near: Served) -> None:
    other = asyncssh.generate_private_key("ecdsa-sha2-nistp256")
    line = f"[{LOOPBACK}]:{near.host.port} {other.export_public_key().decode()}"
    near.files.known_hosts.write_text(line)
    words = await refused(near, HostKeyChanged)
    assert "(ssh-ed25519), but" in words
    assert f"holds {other.get_fingerprint()}" in words


async def test_a_revoked_host_key_is_refused(near: Served) -> None:
    with near.files.known_hosts.open("a") as file:
        file.write("@revoked * " + near.files.known_hosts.read_text().split(" ", 1)[1])
    assert "revoked" in await refused(near, HostKeyChanged)


async def test_an_unknown_host_is_refused_with_the_way_to_make_it_known(near: Served) -> None:
    near.files.known_hosts.write_text("# nobody yet\n")
    message = await refused(near, HostKeyUnknown)
    shown = asyncssh.read_private_key(str(near.files.host_keys["durham"]))
    assert shown.get_fingerprint() in message
    assert f"ssh-keyscan -p {near.host.port} {LOOPBACK} >> {near.files.known_hosts}" in message


async def test_without_a_known_hosts_file_every_host_is_refused(near: Served) -> None:
    near.files.known_hosts.unlink()
    assert "known_hosts, which does not exist" in await refused(near, HostKeyUnknown)
    assert not near.files.known_hosts.exists(), "nothing is ever added by itself"


async def test_the_accounts_own_known_hosts_are_not_asked(
    near: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "home" / ".ssh"
    own.mkdir(parents=True)
    near.files.known_hosts.rename(own / "known_hosts")
    (own / "config").write_text("Host *\n  StrictHostKeyChecking no\n")
    near.files.known_hosts.write_text("")
    monkeypatch.setenv("HOME", str(own.parent))
    await refused(near, HostKeyUnknown)


async def test_a_known_hosts_file_that_cannot_be_understood_is_refused(near: Served) -> None:
    near.files.known_hosts.write_text("nonsense\n")
    assert "cannot be read: Invalid known hosts entry: nonsense" in await refused(near, KnownHostsUnreadable)


async def test_a_known_hosts_entry_for_any_port_will_do(near: Served) -> None:
    text = near.files.known_hosts.read_text()
    near.files.known_hosts.write_text(text.replace(f"[{LOOPBACK}]:{near.host.port}", LOOPBACK))
    async with carrier(near.spec, near.base) as transport:
        assert (await transport.run(near.host, "echo ok", timeout_seconds=20)).stdout == "ok\n"


async def test_a_key_that_the_host_does_not_know_is_told_from_a_host_that_is_away(near: Served) -> None:
    asyncssh.generate_private_key("ssh-ed25519").write_private_key(str(near.base / "stranger"))
    message = await refused(near, AccessDenied, spec=spec_of(near, keys=["stranger"]))
    assert "is not let in with stranger" in message
    assert "authorized_keys" in message


async def test_a_user_whom_the_host_does_not_know_is_not_let_in(tmp_path: Path) -> None:
    async with in_process(tmp_path, login="twinsite") as place:
        await refused(place, AccessDenied)


async def test_an_encrypted_key_file_says_what_to_do_with_it(near: Served) -> None:
    key = asyncssh.read_private_key(str(near.files.client_key))
    key.write_private_key(str(near.base / "locked"), passphrase="secret")
    message = await refused(near, OwnKeyUnusable, spec=spec_of(near, keys=["locked"]))
    assert "is encrypted" in message
    assert "agent" in message


@pytest.mark.parametrize(
    ("content", "words"), [(None, "No such file or directory"), ("hello", "no private key that can be used")]
)
async def test_a_key_file_that_is_none_is_named(near: Served, content: str | None, words: str) -> None:
    if content is not None:
        (near.base / "bad").write_text(content)
    message = await refused(near, OwnKeyUnusable, spec=spec_of(near, keys=["bad"]))
    assert words in message
    assert str(near.base / "bad") in message


async def test_without_keys_and_without_an_agent_it_says_so(
    near: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    assert "there is no key to log in with" in await refused(
        near, OwnKeyUnusable, spec=spec_of(near, keys=[])
    )


async def test_an_agent_that_is_gone_is_named(near: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", str(near.base / "no-agent"))
    assert "SSH agent at" in await refused(near, OwnKeyUnusable, spec=spec_of(near, keys=[]))


async def test_an_agent_that_breaks_off_is_named(near: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.close()

    place = str(near.base / "agent")
    monkeypatch.setenv("SSH_AUTH_SOCK", place)
    async with await asyncio.start_unix_server(hang_up, place):
        message = await refused(near, OwnKeyUnusable, spec=spec_of(near, keys=[]))
    assert f"SSH agent at {place}: " in message


@pytest.mark.slow
async def test_keys_may_be_in_an_agent(near: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("ssh-agent") is None or shutil.which("ssh-add") is None:
        pytest.skip("OpenSSH's ssh-agent is not installed")
    place = str(near.base / "agent")
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", place], stdout=subprocess.DEVNULL)
    try:
        await until(lambda: (near.base / "agent").exists())
        monkeypatch.setenv("SSH_AUTH_SOCK", place)
        assert "is not let in with the SSH agent's keys" in await refused(
            near, AccessDenied, spec=spec_of(near, keys=[])
        )
        subprocess.run(["ssh-add", "-q", near.files.client_key], check=True, timeout=30)
        async with carrier(spec_of(near, keys=[]), near.base) as transport:
            assert (await transport.run(near.host, "echo ok", timeout_seconds=20)).stdout == "ok\n"
    finally:
        agent.terminate()
        agent.wait(10)


async def test_a_server_that_speaks_only_what_nobody_speaks_any_more_is_said_to_be_one(near: Served) -> None:
    async with asyncssh.listen(
        LOOPBACK,
        0,
        config=[],
        server_host_keys=[str(near.files.host_keys["durham"])],
        kex_algs=["diffie-hellman-group1-sha1"],
    ) as old:
        port = old.get_port()
        with near.files.known_hosts.open("a") as file:
            file.write(near.files.known_hosts.read_text().replace(f":{near.host.port} ", f":{port} "))
        place = Served(near.host.model_copy(update={"port": port}), near.files, near.base)
        assert "no common way to speak SSH" in await refused(place, HostUnreachable)


async def test_nobody_listening_is_a_refused_connection(near: Served) -> None:
    place = Served(near.host.model_copy(update={"port": free_port()}), near.files, near.base)
    assert "no sshd listens on port" in await refused(place, HostUnreachable)


async def test_a_name_that_does_not_resolve_is_said_to_be_one(near: Served) -> None:
    place = Served(near.host.model_copy(update={"address": "no.such.host.invalid"}), near.files, near.base)
    assert "does not resolve" in await refused(place, HostUnreachable)


@asynccontextmanager
async def listener(greeting: bytes) -> AsyncIterator[int]:
    """Something that accepts connections and is no SSH server."""
    done = asyncio.Event()

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        await done.wait()
        writer.close()

    server = await asyncio.start_server(meet, LOOPBACK, 0)
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        done.set()
        server.close()
        await server.wait_closed()


async def test_a_host_that_accepts_and_says_nothing_is_given_up_at_the_connect_timeout(near: Served) -> None:
    async with listener(b"") as port:
        place = Served(near.host.model_copy(update={"port": port}), near.files, near.base)
        spec = spec_of(near, connect_timeout_seconds=0.3)
        assert "accepts connections, but its sshd did not let us in within 0.3 s" in await refused(
            place, HostUnreachable, spec=spec
        )


async def test_something_else_on_the_port_is_no_ssh(near: Served) -> None:
    async with listener(b"HTTP/1.0 400 Bad Request\r\n\r\n" * 2000) as port:
        place = Served(near.host.model_copy(update={"port": port}), near.files, near.base)
        assert "SSH" in await refused(place, HostUnreachable)


async def test_a_timeout_shorter_than_the_connection_takes_means_not_started(near: Served) -> None:
    async with listener(b"") as port, carrier(near.spec, near.base) as transport:
        host = near.host.model_copy(update={"port": port})
        with pytest.raises(HostUnreachable, match="the command was not started"):
            await transport.run(host, "true", timeout_seconds=0.2)


async def test_everybody_who_waits_for_a_connection_shares_its_failure(near: Served) -> None:
    async with listener(b"") as port, carrier(spec_of(near, connect_timeout_seconds=0.3), near.base) as ours:
        host = near.host.model_copy(update={"port": port})
        outcomes = await asyncio.gather(
            *(ours.run(host, "true", timeout_seconds=20) for _ in range(6)), return_exceptions=True
        )
    assert all(type(outcome) is HostUnreachable for outcome in outcomes)
    assert len({id(outcome) for outcome in outcomes}) == len(outcomes), "each has an exception of its own"


async def test_a_host_that_restarts_is_connected_to_anew_without_anybody_noticing(tmp_path: Path) -> None:
    async with in_process(tmp_path) as place:
        transport = SshTransport(place.spec, place.base)
        await transport.run(place.host, "true", timeout_seconds=20)
    async with in_process(tmp_path, port=place.host.port):
        assert (await transport.run(place.host, "echo back", timeout_seconds=20)).stdout == "back\n"
        await transport.aclose()


@pytest.mark.slow
async def test_a_connection_that_breaks_under_a_command_says_that_it_may_have_run(tmp_path: Path) -> None:
    with lab_process(tmp_path) as (place, process):
        async with carrier(place.spec, place.base) as transport:
            task = asyncio.create_task(
                transport.run(place.host, f"echo $$ > {tmp_path}/pid; exec sleep 600", timeout_seconds=600)
            )
            await until(lambda: (tmp_path / "pid").exists())
            process.kill()
            with pytest.raises(ConnectionBroken, match="may be running still"):
                await task
    os.kill(int((tmp_path / "pid").read_text()), 9)


class Relay:
    """Between us and a host: passes bytes on, until what is connected is cut off without a word."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._writers: list[asyncio.StreamWriter] = []
        self._silent: set[int] = set()
        self.connections = 0

    async def meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, both ways."""
        self.connections += 1
        number = self.connections
        far_reader, far_writer = await asyncio.open_connection(LOOPBACK, self._target)
        self._writers += [writer, far_writer]
        async with asyncio.TaskGroup() as group:
            group.create_task(self._pass(number, reader, far_writer))
            group.create_task(self._pass(number, far_reader, writer))

    async def _pass(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            if number not in self._silent:
                writer.write(data)
        writer.close()

    def silence(self) -> None:
        """Swallow everything on what is connected now, as a network cut does; new connections work."""
        self._silent = set(range(1, self.connections + 1))

    def close(self) -> None:
        """Cut everything."""
        for writer in self._writers:
            writer.close()


@asynccontextmanager
async def relayed(place: Served) -> AsyncIterator[tuple[Served, Relay]]:
    """The place as seen through a relay."""
    relay = Relay(place.host.port)
    server = await asyncio.start_server(relay.meet, LOOPBACK, 0)
    port = int(server.sockets[0].getsockname()[1])
    with place.files.known_hosts.open("a") as file:
        file.write(place.files.known_hosts.read_text().replace(f":{place.host.port} ", f":{port} "))
    try:
        yield Served(place.host.model_copy(update={"port": port}), place.files, place.base), relay
    finally:
        relay.close()
        server.close()
        await server.wait_closed()


async def test_a_kept_connection_gone_silent_is_replaced_before_the_command_is_sent(near: Served) -> None:
    spec = spec_of(near, connect_timeout_seconds=1.5)
    async with relayed(near) as (place, relay), carrier(spec, near.base) as transport:
        await transport.run(place.host, "true", timeout_seconds=20)
        relay.silence()
        done = await transport.run(place.host, f"echo ran >> {near.base}/runs", timeout_seconds=20)
        assert done.exit_status == 0
        assert relay.connections == 2
    assert (near.base / "runs").read_text() == "ran\n", "exactly once"


async def test_a_connection_gone_silent_under_a_command_is_noticed_by_its_keepalive(near: Served) -> None:
    spec = spec_of(near, connect_timeout_seconds=1.5)
    async with relayed(near) as (place, relay), carrier(spec, near.base) as transport:
        task = asyncio.create_task(
            transport.run(place.host, f"touch {near.base}/begun; sleep 600", timeout_seconds=600)
        )
        await until(lambda: (near.base / "begun").exists())
        relay.silence()
        with pytest.raises(ConnectionBroken, match="not responding to keepalive"):
            await task


async def test_a_host_with_no_session_left_says_what_to_change(near: Served) -> None:
    server = LabServer(RunAs.parse(None))
    server.sessions.update(object() for _ in range(64))  # type: ignore[arg-type]
    files = near.files
    port = await server.listen(LOOPBACK, 0, files.host_keys["durham"], files.authorized_keys)
    with files.known_hosts.open("a") as file:
        file.write(files.known_hosts.read_text().replace(f":{near.host.port} ", f":{port} "))
    place = Served(near.host.model_copy(update={"port": port}), files, near.base)
    assert "MaxSessions" in await refused(place, HostUnreachable)
    server.sessions.clear()
    await server.aclose()


async def test_a_connection_opened_ahead_is_the_one_that_is_used(near: Served) -> None:
    async with relayed(near) as (place, relay), carrier(near.spec, near.base) as transport:
        await transport.warm(place.host)
        assert relay.connections == 1
        await transport.run(place.host, "true", timeout_seconds=20)
        assert relay.connections == 1


async def test_two_roles_on_one_machine_share_its_connection(near: Served) -> None:
    async with relayed(near) as (place, relay), carrier(near.spec, near.base) as transport:
        other = Host.model_validate({**place.host.model_dump(), "name": "crm-app"})
        await transport.run(place.host, "true", timeout_seconds=20)
        await transport.run(other, "true", timeout_seconds=20)
        assert relay.connections == 1


async def test_a_closed_transport_ends_what_waits_and_takes_nothing_new(near: Served) -> None:
    transport = SshTransport(near.spec, near.base)
    running = asyncio.create_task(
        transport.run(near.host, f"touch {near.base}/begun; sleep 600", timeout_seconds=600)
    )
    await until(lambda: (near.base / "begun").exists())
    await transport.aclose()
    with pytest.raises(ConnectionBroken):
        await running
    with pytest.raises(SitesMisuse, match="closed"):
        await transport.run(near.host, "true", timeout_seconds=20)


async def test_closing_while_connecting_is_no_cancellation_of_the_caller(near: Served) -> None:
    async with listener(b"") as port:
        transport = SshTransport(near.spec, near.base)
        host = near.host.model_copy(update={"port": port})
        waiting = asyncio.create_task(transport.run(host, "true", timeout_seconds=20))
        await asyncio.sleep(0.1)
        await transport.aclose()
        with pytest.raises(HostUnreachable, match="closed while connecting"):
            await waiting


async def test_an_address_that_is_not_there_is_no_answer(near: Served) -> None:
    # A listening queue that is full drops what comes: the nearest thing to a dead host on one machine.
    with socket.socket() as full:
        full.bind((LOOPBACK, 0))
        full.listen(0)
        port = full.getsockname()[1]
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex((LOOPBACK, port))
        place = Served(near.host.model_copy(update={"port": port}), near.files, near.base)
        spec = spec_of(near, connect_timeout_seconds=0.3)
        assert "no answer within 0.3 s" in await refused(place, HostUnreachable, spec=spec)
        for filler in fillers:
            filler.close()
