"""The ssh probe: over the real transport to a real SSH server in this process, and over the seam alone
for what a server cannot be made to do."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncssh
import pytest

from probes.errors import SettingsInvalid
from probes.place import ProbeContext
from sites.errors import (
    AccessDenied,
    CommandRefused,
    CommandTimedOut,
    ConnectionBroken,
    HostKeyChanged,
    HostKeyUnknown,
    HostUnreachable,
    KnownHostsUnreadable,
    OwnKeyUnusable,
    SitesMisuse,
    SitesTrouble,
)
from sites.model import Estate, Host
from sites.output import Said
from sites.ssh import SshTransport
from sites.transport import Completed
from tests.probes.worlds import context, estate, probe, summary, tried
from tests.sites.ssh.servers import Served, free_port, in_process


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    """A real host."""
    async with in_process(tmp_path) as place:
        yield place


@pytest.fixture
async def using(served: Served) -> AsyncIterator[ProbeContext]:
    """What probes share, with a transport that can log in there."""
    transport = SshTransport(served.spec, served.base)
    yield context(transport=transport)
    await transport.aclose()


def with_host(host: Host) -> Estate:
    """The small estate with this host in it as `crm-db`."""
    world = estate(**{"crm-db": host.address})
    site = world.sites["durham"].model_copy(update={"hosts": {"crm-db": host}})
    return world.model_copy(update={"sites": {**world.sites, "durham": site}})


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"run": "echo listener ready"}, ("up", "answered")),
        ({"run": "echo listener ready", "matches": "ready$"}, ("up", "answered")),
        ({"run": "echo listener ready", "matches": "^ready"}, ("down", "wrong-answer")),
        ({"run": "exit 3"}, ("down", "wrong-status")),
        ({"run": "exit 3", "exit_status": 3}, ("up", "answered")),
        ({"run": "exit 3", "exit_status": [0, 3]}, ("up", "answered")),
        ({"run": "no-such-program"}, ("down", "wrong-status")),
    ],
)
async def test_exit_status_and_output_are_judged_as_the_settings_say(
    served: Served, using: ProbeContext, keys: dict[str, object], expected: tuple[str, str]
) -> None:
    result = await tried("ssh", world=with_host(served.host), using=using, host="crm-db", **keys)
    assert summary(result) == expected
    assert result.tried == f"{keys['run']} on crm-db"


async def test_the_evidence_is_what_the_command_said_or_complained(
    served: Served, using: ProbeContext
) -> None:
    world = with_host(served.host)
    said = await tried("ssh", world=world, using=using, host="crm-db", run="echo TNS ready; echo warn >&2")
    assert said.answered == "exit status 0; it said: TNS ready"
    complained = await tried("ssh", world=world, using=using, host="crm-db", run="echo no tns >&2; exit 1")
    assert complained.answered == "exit status 1; expected 0; it said: no tns"


async def test_a_command_that_hangs_times_out_and_the_next_try_works(
    served: Served, using: ProbeContext
) -> None:
    world = with_host(served.host)
    hung = await tried("ssh", world=world, using=using, timeout_seconds=0.3, host="crm-db", run="sleep 60")
    assert summary(hung) == ("down", "timed-out")
    fine = await tried("ssh", world=world, using=using, host="crm-db", run="true")
    assert summary(fine) == ("up", "answered")


async def test_a_host_that_does_not_listen_is_refused(using: ProbeContext, served: Served) -> None:
    absent = served.host.model_copy(update={"port": free_port()})
    result = await tried("ssh", world=with_host(absent), using=using, host="crm-db", run="true")
    assert summary(result) == ("down", "refused")


async def test_a_key_the_host_does_not_accept_says_nothing_about_the_service(served: Served) -> None:
    stranger = asyncssh.generate_private_key("ssh-ed25519")
    stranger.write_private_key(served.base / "client_key")
    transport = SshTransport(served.spec, served.base)
    try:
        result = await tried(
            "ssh",
            world=with_host(served.host),
            using=context(transport=transport),
            host="crm-db",
            run="true",
        )
    finally:
        await transport.aclose()
    assert summary(result) == ("unknown", "login-refused")


async def test_a_changed_host_key_says_nothing_about_the_service(served: Served) -> None:
    other = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()
    served.files.known_hosts.write_text(f"[127.0.0.1]:{served.host.port} {other}")
    transport = SshTransport(served.spec, served.base)
    try:
        result = await tried(
            "ssh",
            world=with_host(served.host),
            using=context(transport=transport),
            host="crm-db",
            run="true",
        )
    finally:
        await transport.aclose()
    assert summary(result) == ("unknown", "host-key-changed")


async def test_a_key_file_of_ours_that_is_not_there_is_our_own_side(served: Served) -> None:
    (served.base / "client_key").unlink()
    transport = SshTransport(served.spec, served.base)
    try:
        result = await tried(
            "ssh",
            world=with_host(served.host),
            using=context(transport=transport),
            host="crm-db",
            run="true",
        )
    finally:
        await transport.aclose()
    assert summary(result) == ("unknown", "own-side")
    assert "client_key: No such file" in result.answered


class Fails:
    """A transport with one kind of trouble."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    async def run(
        self,
        host: Host,
        command: str,
        *,
        timeout_seconds: float,
        stdin: str = "",
        said: Said | None = None,
    ) -> Completed:
        raise self.error

    async def aclose(self) -> None:
        """Nothing is kept."""


def caused(error: SitesTrouble, cause: BaseException) -> SitesTrouble:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (HostUnreachable("no answer"), ("down", "unreachable")),
        (caused(HostUnreachable("no answer"), TimeoutError()), ("down", "timed-out")),
        (
            caused(HostUnreachable("no route"), OSError(101, "Network is unreachable")),
            ("unknown", "own-side"),
        ),
        (caused(HostUnreachable("no route"), OSError(113, "No route to host")), ("down", "unreachable")),
        (ConnectionBroken("it broke"), ("down", "reset")),
        (CommandTimedOut("ended"), ("down", "timed-out")),
        (AccessDenied("no key"), ("unknown", "login-refused")),
        (HostKeyChanged("changed"), ("unknown", "host-key-changed")),
        (HostKeyUnknown("not in known_hosts"), ("unknown", "host-key-changed")),
        (OwnKeyUnusable("no such key file"), ("unknown", "own-side")),
        (KnownHostsUnreadable("nonsense in it"), ("unknown", "own-side")),
        (CommandRefused("older epoch"), ("unknown", "not-permitted")),
    ],
)
async def test_each_trouble_of_the_transport_has_its_reason(
    error: Exception, expected: tuple[str, str]
) -> None:
    result = await tried(
        "ssh",
        world=estate(**{"crm-db": "127.0.0.1"}),
        using=context(transport=Fails(error)),
        host="crm-db",
        run="true",
    )
    assert summary(result) == expected
    assert str(error) in result.answered


@pytest.mark.parametrize("error", [SitesMisuse("closed"), SitesTrouble("something new")])
async def test_trouble_without_a_name_is_a_broken_probe(error: Exception) -> None:
    with pytest.raises(type(error)):
        await tried(
            "ssh",
            world=estate(**{"crm-db": "127.0.0.1"}),
            using=context(transport=Fails(error)),
            host="crm-db",
            run="true",
        )


async def test_a_transport_that_overruns_is_ended_at_the_deadline() -> None:
    class Hangs(Fails):
        async def run(
            self, host: Host, command: str, *, timeout_seconds: float, stdin: str = ""
        ) -> Completed:
            await asyncio.Event().wait()
            raise AssertionError

    result = await tried(
        "ssh",
        timeout_seconds=0.1,
        world=estate(**{"crm-db": "127.0.0.1"}),
        using=context(transport=Hangs(AssertionError())),
        host="crm-db",
        run="true",
    )
    assert summary(result) == ("down", "timed-out")


def test_a_host_the_site_does_not_have_is_refused_with_those_it_has() -> None:
    with pytest.raises(SettingsInvalid, match=r"crm at durham.*no host 'crm-web'.*crm-db"):
        probe("ssh", world=estate(**{"crm-db": "127.0.0.1"}), host="crm-web", run="true")
