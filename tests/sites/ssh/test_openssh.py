"""What only a real OpenSSH server shows: sessions that run out, certificates, jump hosts, and a hang."""

import asyncio
import os
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sites.errors import (
    AccessDenied,
    CommandTimedOut,
    ConnectionBroken,
    HostKeyChanged,
    HostKeyUnknown,
    HostUnreachable,
)
from sites.model import Host, SshSpec
from sites.ssh import SshTransport
from sites.wrapper import StepToken, run_wrapped
from tests.sites.ssh.servers import LOOPBACK, Served, alive, children_of, free_port, openssh, until

pytestmark = pytest.mark.slow


@asynccontextmanager
async def carrier(spec: SshSpec, base: Path) -> AsyncIterator[SshTransport]:
    """A transport, closed afterwards."""
    transport = SshTransport(spec, base)
    try:
        yield transport
    finally:
        await transport.aclose()


def keygen(*words: str | Path) -> None:
    """Run ssh-keygen."""
    subprocess.run(["ssh-keygen", "-q", *map(str, words)], check=True, capture_output=True)


def authority(base: Path, name: str) -> Path:
    """A new key that signs certificates."""
    keygen("-t", "ed25519", "-N", "", "-C", name, "-f", base / name)
    return base / name


# --- sessions ----------------------------------------------------------------------------------------------


async def test_where_sshd_takes_fewer_sessions_the_others_wait_for_their_turn(tmp_path: Path) -> None:
    with openssh(tmp_path, "MaxSessions 2") as (place, _):
        async with carrier(place.spec, tmp_path) as transport:
            log = tmp_path / "log"
            line = f"echo begun >> {log}; sleep 0.2; echo ended >> {log}"
            done = await asyncio.gather(
                *(transport.run(place.host, line, timeout_seconds=60) for _ in range(7))
            )
    assert [one.exit_status for one in done] == [0] * 7
    at_once = most = 0
    for word in log.read_text().split():
        at_once += 1 if word == "begun" else -1
        most = max(most, at_once)
    assert most == 2


async def test_a_command_that_gets_no_turn_says_that_sshd_takes_no_more(tmp_path: Path) -> None:
    with openssh(tmp_path, "MaxSessions 1") as (place, _):
        async with carrier(place.spec, tmp_path) as transport:
            hung = asyncio.create_task(
                transport.run(place.host, f"touch {tmp_path}/there; sleep 30", timeout_seconds=60)
            )
            await until(lambda: (tmp_path / "there").exists())
            for _ in range(2):  # found out the first time, known the second
                with pytest.raises(CommandTimedOut, match=r"not started.*1 other command is.*MaxSessions"):
                    await transport.run(place.host, f"touch {tmp_path}/never", timeout_seconds=1)
            hung.cancel()
    assert not (tmp_path / "never").exists()


async def test_commands_that_outlive_their_time_do_not_use_the_connection_up(tmp_path: Path) -> None:
    """sshd counts a session until its command has ended, however long ago we gave it up."""
    with openssh(tmp_path, "MaxSessions 1") as (place, _):
        async with carrier(place.spec, tmp_path) as transport:
            note = tmp_path / "pid"
            with pytest.raises(CommandTimedOut):
                await transport.run(place.host, f"echo $$ > {note}; sleep 300", timeout_seconds=1)
            assert alive(int(note.read_text())), "otherwise there is nothing to test"
            done = await transport.run(place.host, "echo here", timeout_seconds=20)
            assert done.stdout == "here\n"
            os.kill(int(note.read_text()), signal.SIGKILL)


# --- certificates ------------------------------------------------------------------------------------------


async def test_a_host_certificate_of_a_trusted_authority_is_enough(tmp_path: Path) -> None:
    with certified_host(tmp_path, LOOPBACK) as place:
        async with carrier(place.spec, tmp_path) as transport:
            assert (await transport.run(place.host, "echo here", timeout_seconds=20)).stdout == "here\n"


async def test_a_host_certificate_may_hold_another_name_than_the_address(tmp_path: Path) -> None:
    with certified_host(tmp_path, "crm-db.durham.example", known_as="crm-db.durham.example") as place:
        async with carrier(place.spec, tmp_path) as transport:
            assert (await transport.run(place.host, "echo here", timeout_seconds=20)).stdout == "here\n"


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("another.example", (), "known_as"),
        (LOOPBACK, ("-V", "20200101:20200102"), "not be over"),
    ],
)
async def test_a_host_certificate_for_another_name_or_another_time_is_refused(
    tmp_path: Path, name: str, options: tuple[str, ...], words: str
) -> None:
    with certified_host(tmp_path, name, *options) as place:
        async with carrier(place.spec, tmp_path) as transport:
            with pytest.raises(HostKeyChanged, match=words):
                await transport.run(place.host, f"touch {tmp_path}/ran", timeout_seconds=20)
    assert not (tmp_path / "ran").exists()


async def test_a_host_certificate_of_another_authority_is_refused_and_named(tmp_path: Path) -> None:
    with certified_host(tmp_path, LOOPBACK) as place:
        other = authority(tmp_path, "other_ca")
        key = other.with_suffix(".pub").read_text()
        place.files.known_hosts.write_text(f"@cert-authority [{LOOPBACK}]:{place.host.port} {key}")
        async with carrier(place.spec, tmp_path) as transport:
            with pytest.raises(HostKeyChanged, match=r"signed by SHA256.* but .* trusts SHA256"):
                await transport.run(place.host, "true", timeout_seconds=20)


async def test_a_host_without_its_certificate_is_refused_where_an_authority_is_asked_for(
    tmp_path: Path,
) -> None:
    with certified_host(tmp_path, LOOPBACK, signed=False) as place:
        async with carrier(place.spec, tmp_path) as transport:
            with pytest.raises(HostKeyChanged, match="without a certificate"):
                await transport.run(place.host, "true", timeout_seconds=20)


def certified_host(base: Path, name: str, *options: str, known_as: str | None = None, signed: bool = True):
    """A server whose host key is certified for `name` by an authority that known_hosts trusts."""
    from contextlib import contextmanager

    @contextmanager
    def running():
        ca = authority(base, "host_ca")
        port = free_port()
        from tests.sites.ssh.servers import served

        host_key = served(base, port).files.host_keys["durham"]
        public = host_key.with_name(host_key.name + ".pub")
        public.write_bytes(
            subprocess.run(["ssh-keygen", "-y", "-f", host_key], check=True, capture_output=True).stdout
        )
        keygen("-s", ca, "-I", "crm-db", "-h", "-n", name, *(options or ("-V", "+1h")), public)
        certificate = f"HostCertificate {host_key}-cert.pub"
        with openssh(base, *([certificate] if signed else []), port=port) as (place, _):
            entry = known_as or f"[{LOOPBACK}]:{port}"
            place.files.known_hosts.write_text(
                f"@cert-authority {entry} {ca.with_suffix('.pub').read_text()}"
            )
            host = place.host.model_copy(update={"known_as": known_as})
            yield Served(host, place.files, base)

    return running()


async def test_a_user_certificate_beside_the_key_lets_us_in(tmp_path: Path) -> None:
    with certified_user(tmp_path, "-V", "+1h") as place:
        async with carrier(place.spec, tmp_path) as transport:
            assert (await transport.run(place.host, "echo here", timeout_seconds=20)).stdout == "here\n"


async def test_a_user_certificate_that_is_over_is_named(tmp_path: Path) -> None:
    with certified_user(tmp_path, "-V", "20200101:20200102") as place:
        async with carrier(place.spec, tmp_path) as transport:
            with pytest.raises(
                AccessDenied, match=r"client_key-cert\.pub: Certificate expired; have a new one"
            ):
                await transport.run(place.host, "true", timeout_seconds=20)


async def test_a_user_certificate_may_be_in_an_agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with certified_user(tmp_path, "-V", "+1h") as place:
        socket = tmp_path / "agent"
        agent = subprocess.Popen(["ssh-agent", "-D", "-a", socket], stdout=subprocess.DEVNULL)
        try:
            await until(socket.exists)
            monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
            subprocess.run(["ssh-add", tmp_path / "client_key"], check=True, capture_output=True)
            spec = place.spec.model_copy(update={"keys": []})
            async with carrier(spec, tmp_path) as transport:
                done = await transport.run(place.host, "echo here", timeout_seconds=20)
            assert done.stdout == "here\n"
        finally:
            agent.terminate()
            agent.wait(10)


def certified_user(base: Path, *options: str):
    """A server that lets in whoever has a certificate of its authority, and nobody by a bare key."""
    import getpass
    from contextlib import contextmanager

    @contextmanager
    def running():
        ca = authority(base, "user_ca")
        with openssh(base, f"TrustedUserCAKeys {ca}.pub", "AuthorizedKeysFile none") as (place, _):
            key = place.files.client_key
            public = key.with_name("client_key.pub")
            public.write_bytes(
                subprocess.run(["ssh-keygen", "-y", "-f", key], check=True, capture_output=True).stdout
            )
            keygen("-s", ca, "-I", "twinsite", "-n", getpass.getuser(), *options, public)
            yield place

    return running()


# --- jump hosts --------------------------------------------------------------------------------------------


@asynccontextmanager
async def behind_two_gates(
    base: Path, **changes: str
) -> AsyncIterator[tuple[Host, SshSpec, list[subprocess.Popen[bytes]]]]:
    """A host, reached through `inner`, which is reached through `outer`; all three keys are known."""
    from contextlib import ExitStack

    with ExitStack() as stack:
        places, processes = [], []
        for name in ("outer", "inner", "target"):
            folder = base / name
            folder.mkdir()
            allow = changes.get(name, "")
            place, process = stack.enter_context(
                openssh(folder, *([allow] if allow else []), keys_of=base / "outer")
            )
            places.append(place)
            processes.append(process)
        known = base / "known_hosts"
        known.write_text("".join(place.files.known_hosts.read_text() for place in places))
        outer = places[0].host.model_copy(update={"name": "gate", "site": "morpeth"})
        inner = places[1].host.model_copy(update={"name": "inner", "via": (outer,)})
        target = places[2].host.model_copy(update={"via": (outer, inner)})
        spec = SshSpec.model_validate({"keys": ["outer/client_key"], "connect_timeout": "3s"})
        yield target, spec, processes


async def test_a_chain_of_jump_hosts_leads_to_the_host_over_one_connection_each(tmp_path: Path) -> None:
    async with behind_two_gates(tmp_path) as (target, spec, processes), carrier(spec, tmp_path) as transport:
        line = "echo $SSH_CONNECTION"
        done = await asyncio.gather(*(transport.run(target, line, timeout_seconds=30) for _ in range(8)))
        assert {one.stdout.split()[3] for one in done} == {str(target.port)}
        await transport.run(target.via[0], "true", timeout_seconds=30)  # a jump host is a host too
        connections = [len(children_of(process.pid)) for process in processes]
    assert connections == [1, 1, 1]


async def test_the_key_of_every_jump_host_is_checked(tmp_path: Path) -> None:
    async with behind_two_gates(tmp_path) as (target, spec, _):
        known = tmp_path / "known_hosts"
        whole = known.read_text().splitlines(keepends=True)
        for missing, error in ((0, HostKeyUnknown), (1, HostKeyUnknown), (2, HostKeyUnknown)):
            known.write_text("".join(line for number, line in enumerate(whole) if number != missing))
            async with carrier(spec, tmp_path) as transport:
                with pytest.raises(error, match=r"crm-db.*which is not in"):
                    await transport.run(target, f"touch {tmp_path}/ran", timeout_seconds=30)
        assert not (tmp_path / "ran").exists()


async def test_a_jump_host_that_is_gone_is_named_and_so_is_its_site(tmp_path: Path) -> None:
    async with behind_two_gates(tmp_path) as (target, spec, processes), carrier(spec, tmp_path) as transport:
        processes[0].terminate()
        processes[0].wait(10)
        with pytest.raises(HostUnreachable) as caught:
            await transport.run(target, "true", timeout_seconds=30)
    said = str(caught.value)
    assert "durham/crm-db" in said
    assert "jump host is not reached" in said
    assert "stands at morpeth, not at durham: while morpeth is lost" in said


async def test_a_jump_host_that_does_not_reach_the_host_is_told_from_one_that_is_gone(tmp_path: Path) -> None:
    async with behind_two_gates(tmp_path) as (target, spec, processes), carrier(spec, tmp_path) as transport:
        processes[2].terminate()
        processes[2].wait(10)
        with pytest.raises(HostUnreachable, match="durham/inner is reached, but opens no connection"):
            await transport.run(target, "true", timeout_seconds=30)


async def test_a_jump_host_that_forbids_it_is_told_so(tmp_path: Path) -> None:
    async with (
        behind_two_gates(tmp_path, inner="AllowTcpForwarding no") as (target, spec, _),
        carrier(spec, tmp_path) as transport,
    ):
        with pytest.raises(HostUnreachable, match="AllowTcpForwarding"):
            await transport.run(target, "true", timeout_seconds=30)


async def test_a_jump_host_that_comes_back_is_used_again_without_anybody_noticing(tmp_path: Path) -> None:
    async with behind_two_gates(tmp_path) as (target, spec, processes), carrier(spec, tmp_path) as transport:
        await transport.run(target, "true", timeout_seconds=30)
        for pid in children_of(processes[0].pid):
            os.kill(pid, signal.SIGKILL)  # its connection, and with it everything behind
        assert (await transport.run(target, "echo again", timeout_seconds=30)).stdout == "again\n"


# --- hosts that stand still, and processes that are left ---------------------------------------------------


async def test_a_step_at_its_limit_leaves_no_process_behind_not_even_grandchildren(tmp_path: Path) -> None:
    with openssh(tmp_path) as (place, _):
        async with carrier(place.spec, tmp_path) as transport:
            note = tmp_path / "pids"
            command = (
                f"trap '' TERM; echo $$ >> {note}; sh -c 'trap \"\" TERM; echo $$ >> {note}; sleep 300' & "
                f"(sh -c 'echo $$ >> {note}; exec sleep 300' &); sleep 300"
            )
            with pytest.raises(CommandTimedOut):
                await run_wrapped(
                    transport,
                    place.host,
                    command,
                    StepToken("crm", 5, "r1", 1, "stop"),
                    timeout_seconds=1.5,
                    lock_directory=str(tmp_path / "steps"),
                )
            pids = [int(line) for line in note.read_text().split()]
            assert len(pids) == 3
            await until(lambda: not any(alive(pid) for pid in pids))


async def test_a_host_that_stands_still_under_a_step_costs_that_step_and_no_other_hosts(
    tmp_path: Path,
) -> None:
    (tmp_path / "still").mkdir()
    (tmp_path / "other").mkdir()
    with openssh(tmp_path / "still") as (still, process), openssh(tmp_path / "other") as (other, _):
        spec = still.spec.model_copy(update={"connect_timeout_seconds": 2.0})
        async with carrier(spec, still.base) as stuck, carrier(other.spec, other.base) as well:
            begun = still.base / "begun"
            step = asyncio.create_task(stuck.run(still.host, f"touch {begun}; sleep 60", timeout_seconds=60))
            await until(begun.exists)
            connections = children_of(process.pid)
            for pid in connections:
                os.kill(pid, signal.SIGSTOP)
            try:
                for _ in range(3):
                    done = await well.run(other.host, "echo well", timeout_seconds=10)
                    assert done.stdout == "well\n"
                # A further step there goes over a new connection; the dead one is noticed under the first.
                fresh = await stuck.run(still.host, "echo fresh", timeout_seconds=20)
                assert fresh.stdout == "fresh\n"
                with pytest.raises(ConnectionBroken, match="keepalive"):
                    await step
            finally:
                for pid in connections:
                    os.kill(pid, signal.SIGKILL)


# --- what is said while it runs ----------------------------------------------------------------------------


async def test_lines_are_told_while_the_command_runs(tmp_path: Path) -> None:
    with openssh(tmp_path) as (place, _):
        async with carrier(place.spec, tmp_path) as transport:
            heard: list[tuple[str, str]] = []
            gate = tmp_path / "gate"
            command = (
                f"echo one; echo beside >&2; while [ ! -e {gate} ]; do sleep 0.05; done; "
                r"printf 'two\r\nthr\303'; sleep 0.2; printf '\251\377e'"
            )
            step = asyncio.create_task(
                transport.run(
                    place.host,
                    command,
                    timeout_seconds=30,
                    said=lambda stream, line: heard.append((stream, line)),
                )
            )
            await until(lambda: len(heard) == 2)
            assert sorted(heard) == [("err", "beside"), ("out", "one")]
            gate.touch()
            done = await step
    assert heard[2:] == [("out", "two"), ("out", "thr\u00e9\ufffde")]
    assert done.stdout == "one\ntwo\r\nthr\u00e9\ufffde"


async def test_a_listener_that_fails_costs_nobody_anything(tmp_path: Path) -> None:
    def broken(stream: str, line: str) -> None:
        raise RuntimeError("nobody is there")

    with openssh(tmp_path) as (place, _):
        async with carrier(place.spec, tmp_path) as transport:
            done = await transport.run(place.host, "echo one; echo two", timeout_seconds=20, said=broken)
            assert done.stdout == "one\ntwo\n"
            assert (await transport.run(place.host, "echo well", timeout_seconds=20)).stdout == "well\n"
