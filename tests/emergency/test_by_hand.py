"""Commands over fabric: what a person's own SSH does, with every host key checked."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sites.errors import (
    AccessDenied,
    CommandTimedOut,
    HostKeyChanged,
    HostKeyUnknown,
    HostUnreachable,
)
from sites.model import Host
from sites.ssh.by_hand import ByHand
from tests.sites.ssh.servers import LOOPBACK, Served, free_port, openssh
from tests.sites.ssh.test_openssh import behind_two_gates

pytestmark = pytest.mark.slow


@asynccontextmanager
async def hands(place: Served) -> AsyncIterator[ByHand]:
    """A transport, closed afterwards."""
    transport = ByHand(place.spec, place.base, own=False)
    try:
        yield transport
    finally:
        await transport.aclose()


async def test_a_command_brings_back_its_status_both_outputs_and_its_lines_as_they_come(
    tmp_path: Path,
) -> None:
    with openssh(tmp_path) as (place, _):
        async with hands(place) as transport:
            heard: list[tuple[str, str]] = []
            done = await transport.run(
                place.host,
                "cat; echo beside >&2; exit 3",
                timeout_seconds=20,
                stdin="in\n",
                said=lambda stream, line: heard.append((stream, line)),
            )
            assert (done.exit_status, done.stdout, done.stderr) == (3, "in\n", "beside\n")
            await asyncio.sleep(0)
            assert sorted(heard) == [("err", "beside"), ("out", "in")]
            many = await asyncio.gather(
                *(transport.run(place.host, f"echo {n}", timeout_seconds=20) for n in range(6))
            )
            assert [one.stdout for one in many] == [f"{n}\n" for n in range(6)]


async def test_output_without_end_is_bounded(tmp_path: Path) -> None:
    with openssh(tmp_path) as (place, _):
        async with hands(place) as transport:
            done = await transport.run(
                place.host, "head -c 30000000 /dev/zero; printf '\\377end'", timeout_seconds=60
            )
    assert done.truncated
    assert done.stdout.endswith("\ufffdend")
    assert len(done.stdout) <= 256 * 1024


async def test_a_command_without_end_is_given_up_at_its_time(tmp_path: Path) -> None:
    with openssh(tmp_path) as (place, _):
        async with hands(place) as transport:
            with pytest.raises(CommandTimedOut, match="last it said: begun"):
                await transport.run(place.host, "echo begun; sleep 60", timeout_seconds=6)


async def test_a_host_whose_key_is_not_known_is_refused_and_its_key_is_not_learned(tmp_path: Path) -> None:
    with openssh(tmp_path) as (place, _):
        place.files.known_hosts.write_text("")
        async with hands(place) as transport:
            for _ in range(2):
                with pytest.raises(HostKeyUnknown, match="nothing was run"):
                    await transport.run(place.host, f"touch {tmp_path}/ran", timeout_seconds=20)
    assert place.files.known_hosts.read_text() == ""
    assert not (tmp_path / "ran").exists()


async def test_a_host_whose_key_has_changed_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    with openssh(tmp_path) as (place, _), openssh(tmp_path / "other") as (other, _):
        wrong = other.files.known_hosts.read_text().replace(f":{other.host.port} ", f":{place.host.port} ")
        place.files.known_hosts.write_text(wrong)
        async with hands(place) as transport:
            with pytest.raises(HostKeyChanged, match="somebody stands between"):
                await transport.run(place.host, "true", timeout_seconds=20)


async def test_a_key_that_is_not_let_in_and_a_host_that_is_off_are_told_apart(tmp_path: Path) -> None:
    with openssh(tmp_path) as (place, _):
        place.files.authorized_keys.write_text("")
        async with hands(place) as transport:
            with pytest.raises(AccessDenied, match="not let in"):
                await transport.run(place.host, "true", timeout_seconds=20)
            gone = Host(name="db", site="durham", address=LOOPBACK, port=free_port(), user=place.host.user)
            with pytest.raises(HostUnreachable, match="connection refused"):
                await transport.run(gone, "true", timeout_seconds=20)


async def test_jump_hosts_are_gone_through_and_each_ones_key_is_checked(tmp_path: Path) -> None:
    async with behind_two_gates(tmp_path) as (target, spec, _):
        transport = ByHand(spec, tmp_path, own=False)
        try:
            done = await transport.run(target, "echo $SSH_CONNECTION", timeout_seconds=30)
            assert done.stdout.split()[3] == str(target.port)
        finally:
            await transport.aclose()
        known = tmp_path / "known_hosts"
        known.write_text("".join(known.read_text().splitlines(keepends=True)[1:]))
        transport = ByHand(spec, tmp_path, own=False)
        try:
            with pytest.raises(HostKeyUnknown, match="its jump host morpeth/gate"):
                await transport.run(target, f"touch {tmp_path}/ran", timeout_seconds=30)
        finally:
            await transport.aclose()
    assert not (tmp_path / "ran").exists()


async def test_a_jump_host_of_the_persons_own_configuration_is_checked_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    (home / ".ssh").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    (tmp_path / "gate").mkdir()
    (tmp_path / "target").mkdir()
    with (
        openssh(tmp_path / "gate") as (gate, _),
        openssh(tmp_path / "target", keys_of=tmp_path / "gate") as (
            target,
            _,
        ),
    ):
        (home / ".ssh" / "config").write_text(
            f"Host localhost\n  IdentityFile {gate.files.client_key}\n  StrictHostKeyChecking no\n"
            f"Host target\n  HostName {LOOPBACK}\n  ProxyJump {gate.host.user}@localhost:{gate.host.port}\n"
        )
        known = tmp_path / "known_hosts"
        spec = target.spec.model_copy(update={"keys": ["gate/client_key"]})
        host = target.host.model_copy(update={"address": "target"})
        own = target.files.known_hosts.read_text()
        known.write_text(own)
        transport = ByHand(spec, tmp_path)
        try:
            with pytest.raises(HostKeyUnknown):
                await transport.run(host, f"touch {tmp_path}/ran", timeout_seconds=30)
        finally:
            await transport.aclose()
        assert not (tmp_path / "ran").exists()
        known.write_text(own + gate.files.known_hosts.read_text().replace(f"[{LOOPBACK}]", "[localhost]"))
        transport = ByHand(spec, tmp_path)
        try:
            assert (await transport.run(host, "echo well", timeout_seconds=30)).stdout == "well\n"
        finally:
            await transport.aclose()


async def test_a_command_whose_caller_is_cancelled_does_not_hold_the_end_up(tmp_path: Path) -> None:
    with openssh(tmp_path) as (place, _):
        async with hands(place) as transport:
            begun = tmp_path / "begun"
            task = asyncio.create_task(
                transport.run(place.host, f"touch {begun}; sleep 60", timeout_seconds=60)
            )
            while not begun.exists():
                assert not task.done()
                await asyncio.sleep(0.02)
            task.cancel()
            before = time.monotonic()
            with pytest.raises(asyncio.CancelledError):
                await task
    assert time.monotonic() - before < 30
