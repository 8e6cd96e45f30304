"""The lab's SSH host as the lab starts it: whom commands run as, and that nothing is left behind."""

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import asyncssh
import pytest

from orchestrator.lab.sshd import generate_ssh_files, main
from sites.errors import ConnectionBroken
from sites.ssh import SshTransport
from sites.wrapper import StepToken, ask_status, run_wrapped
from tests.sites.ssh.servers import LOOPBACK, Served, alive, in_process, lab_process, until

ROOT = os.geteuid() == 0


def plain_connection(place: Served) -> AbstractAsyncContextManager[asyncssh.SSHClientConnection]:
    """asyncssh's own client, without anything of ours."""
    return asyncssh.connect(
        place.host.address,
        place.host.port,
        config=[],
        username=place.host.user,
        known_hosts=str(place.files.known_hosts),
        client_keys=[str(place.files.client_key)],
    )


@pytest.mark.slow
async def test_a_stopped_server_takes_every_command_with_it(tmp_path: Path) -> None:
    note = tmp_path / "pids"
    with lab_process(tmp_path) as (place, process):
        transport = SshTransport(place.spec, place.base)
        script = f"trap '' TERM; sleep 600 & echo $$ $! > {note}; wait"
        running = asyncio.create_task(transport.run(place.host, script, timeout_seconds=600))
        await until(lambda: note.exists() and len(note.read_text().split()) == 2)
        process.send_signal(signal.SIGTERM)
        (outcome,) = await asyncio.gather(running, return_exceptions=True)
        assert isinstance(outcome, ConnectionBroken) or getattr(outcome, "exit_status", None) == 137
        await transport.aclose()
        assert process.wait(20) == 0
    for pid in map(int, note.read_text().split()):
        await until(lambda pid=pid: not alive(pid))


@pytest.mark.slow
@pytest.mark.skipif(not ROOT, reason="only root can run commands as somebody else")
async def test_commands_run_as_the_given_user_with_none_of_roots_groups(tmp_path: Path) -> None:
    with lab_process(tmp_path, "--run-as", "65534:65534") as (place, _):
        transport = SshTransport(place.spec, place.base)
        done = await transport.run(place.host, "id -u; id -G; pwd; echo $HOME", timeout_seconds=20)
        await transport.aclose()
    assert done.stdout.split()[:2] == ["65534", "65534"]


@pytest.mark.slow
async def test_a_user_without_a_home_is_given_one_so_that_steps_can_be_recorded() -> None:
    # Not pytest's folder, which is closed to other users.
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o711)
        more = ("--run-as", "65534:65534") if ROOT else ("--home", f"{name}/home_host_key_durham")
        with lab_process(Path(name), *more) as (place, _):
            transport = SshTransport(place.spec, place.base)
            step = StepToken("crm", 1, "r1", 1, "stop")
            done = await run_wrapped(transport, place.host, "id -u; pwd", step, timeout_seconds=30)
            status = await ask_status(transport, place.host, step, timeout_seconds=20)
            await transport.aclose()
    assert status.exit_status == 0
    assert done.stdout.split() == ["65534" if ROOT else str(os.getuid()), f"{name}/home_host_key_durham"]


async def test_a_command_gets_the_surroundings_of_a_login_and_nothing_of_the_servers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_SERVER", "x")
    async with in_process(tmp_path) as place:
        transport = SshTransport(place.spec, place.base)
        done = await transport.run(place.host, "env", timeout_seconds=20)
        session = await transport.run(place.host, "ps -o sid= -p $$; echo $$", timeout_seconds=20)
        await transport.aclose()
    names = {line.partition("=")[0] for line in done.stdout.splitlines()}
    assert {"HOME", "PATH", "USER", "SHELL"} <= names
    assert "SECRET_OF_THE_SERVER" not in names
    assert len(set(session.stdout.split())) == 1, "each command leads a session of its own"


async def test_a_shell_and_file_transfer_are_refused(tmp_path: Path) -> None:
    async with in_process(tmp_path) as place, plain_connection(place) as connection:
        with pytest.raises(asyncssh.ChannelOpenError):
            await connection.create_process()
        with pytest.raises(asyncssh.ChannelOpenError):
            await connection.start_sftp_client()


async def test_a_reader_that_does_not_keep_up_slows_the_command_down(tmp_path: Path) -> None:
    async with in_process(tmp_path) as place, plain_connection(place) as connection:
        command = f"head -c 20000000 /dev/zero; echo done > {tmp_path}/done"
        async with connection.create_process(command, encoding=None) as process:
            await process.stdout.readexactly(1000)
            await asyncio.sleep(0.5)
            assert not (tmp_path / "done").exists(), "it waits for its reader"
            assert len(await process.stdout.read()) == 20_000_000 - 1000


def test_key_files_are_made_once_and_closed_to_others(tmp_path: Path) -> None:
    hosts = {"durham": (LOOPBACK, 2201), "morpeth": ("127.0.0.2", 22)}
    first = generate_ssh_files(tmp_path / "ssh", hosts)
    keys = {path: path.read_bytes() for path in (first.client_key, *first.host_keys.values())}
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in keys)
    assert len(set(keys.values())) == 3
    again = generate_ssh_files(tmp_path / "ssh", {**hosts, "durham": (LOOPBACK, 2299)})
    assert all(path.read_bytes() == content for path, content in keys.items())
    known = again.known_hosts.read_text().splitlines()
    assert known[0].startswith(f"[{LOOPBACK}]:2299 ssh-ed25519 ")
    assert known[1].startswith("127.0.0.2 ssh-ed25519 ")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("--host-key", "/no/such/key"), "/no/such/key"),
        (("--authorized-keys", "/no/such/keys"), "/no/such/keys"),
        (("--run-as", "no-such-user"), "there is no user no-such-user"),
        (("--listen", "192.0.2.1"), "192.0.2.1"),
    ],
)
def test_what_keeps_it_from_starting_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: tuple[str, str], words: str
) -> None:
    files = generate_ssh_files(tmp_path, {"durham": (LOOPBACK, 22)})
    argv = ["--listen", LOOPBACK, "--host-key", str(files.host_keys["durham"])]
    argv += ["--authorized-keys", str(files.authorized_keys), *change]
    with pytest.raises(SystemExit) as ended:
        main(argv)
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1


@pytest.mark.slow
def test_a_taken_port_is_one_line(tmp_path: Path) -> None:
    with lab_process(tmp_path) as (place, _):
        files = place.files
        second = subprocess.run(
            [
                *(sys.executable, "-c", "from orchestrator.lab.sshd import main; main()"),
                *("--listen", LOOPBACK, "--port", str(place.host.port)),
                *("--host-key", files.host_keys["durham"], "--authorized-keys", files.authorized_keys),
            ],
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert second.returncode == 2
    assert "address already in use" in second.stderr.lower()
    assert "Traceback" not in second.stderr
