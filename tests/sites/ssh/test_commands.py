"""Commands over SSH, the same promises against the lab's server and OpenSSH's."""

import asyncio
from pathlib import Path

import pytest

from sites.errors import CommandTimedOut
from sites.ssh import SESSIONS_PER_HOST, SshTransport
from sites.transport import OUTPUT_LIMIT_BYTES
from tests.sites.ssh.servers import Served, alive, until


def _needs_signals(place: Served) -> None:
    if not place.passes_signals:
        pytest.skip("OpenSSH passes signals on only to users other than its own; steps have their wrapper")


async def test_a_command_brings_back_its_status_and_both_outputs(
    place: Served, transport: SshTransport
) -> None:
    done = await transport.run(place.host, "echo out; echo err >&2; exit 3", timeout_seconds=20)
    assert (done.exit_status, done.stdout, done.stderr) == (3, "out\n", "err\n")
    assert not done.truncated
    assert done.duration_seconds > 0


async def test_standard_input_reaches_the_command_whole(place: Served, transport: SshTransport) -> None:
    text = "zeile ä\n" * 200_000
    done = await transport.run(place.host, "cksum", timeout_seconds=60, stdin=text)
    assert done.stdout.split()[1] == str(len(text.encode()))


async def test_without_input_a_command_reads_the_end_at_once(place: Served, transport: SshTransport) -> None:
    assert (await transport.run(place.host, "cat; echo done", timeout_seconds=20)).stdout == "done\n"


async def test_input_that_nobody_reads_does_no_harm(place: Served, transport: SshTransport) -> None:
    done = await transport.run(place.host, "exec true", timeout_seconds=20, stdin="x" * 3_000_000)
    assert done.exit_status == 0


async def test_broken_utf8_is_replaced_and_never_an_error(place: Served, transport: SshTransport) -> None:
    done = await transport.run(place.host, r"printf 'a\377\303b'", timeout_seconds=20)
    assert done.stdout == "a\ufffd\ufffdb"


async def test_output_beyond_the_bound_keeps_its_beginning_and_its_end(
    place: Served, transport: SshTransport
) -> None:
    command = "echo first; head -c 30000000 /dev/zero | tr '\\0' x; echo; echo last; echo why >&2; exit 4"
    done = await transport.run(place.host, command, timeout_seconds=120)
    assert done.truncated
    assert done.exit_status == 4
    assert done.stdout.startswith("first\nxxx")
    assert done.stdout.endswith("xxx\nlast\n")
    assert "bytes left out" in done.stdout
    assert len(done.stdout.encode()) <= OUTPUT_LIMIT_BYTES
    assert done.stderr == "why\n"


async def test_a_command_ended_by_a_signal_has_the_shells_status_for_it(
    place: Served, transport: SshTransport
) -> None:
    done = await transport.run(place.host, "kill -KILL $$", timeout_seconds=20)
    assert done.exit_status == 137


async def test_a_daemon_that_keeps_the_output_open_does_not_keep_the_command(
    place: Served, transport: SshTransport, tmp_path: Path
) -> None:
    note = tmp_path / "daemon"
    done = await transport.run(
        place.host,
        f"setsid sh -c 'echo $$ > {note}; exec sleep 600' & sleep 0.3; echo up",
        timeout_seconds=60,
    )
    assert (done.exit_status, done.stdout) == (0, "up\n")
    daemon = int(note.read_text())
    assert alive(daemon), "what has a session of its own lives on"
    await transport.run(place.host, f"kill {daemon}", timeout_seconds=20)
    await until(lambda: not alive(daemon))


async def test_a_hung_command_is_ended_on_the_host_and_its_last_words_kept(
    place: Served, transport: SshTransport, tmp_path: Path
) -> None:
    _needs_signals(place)
    note = tmp_path / "pids"
    command = f"echo begun; echo stuck on lock >&2; sleep 600 & echo $$ $! > {note}; wait"
    with pytest.raises(CommandTimedOut, match=r"durham/crm-db .*stuck on lock") as caught:
        await transport.run(place.host, command, timeout_seconds=1)
    assert caught.value.stdout == "begun\n"
    for pid in map(int, note.read_text().split()):
        await until(lambda pid=pid: not alive(pid))


async def test_a_cancelled_command_is_ended_on_the_host(
    place: Served, transport: SshTransport, tmp_path: Path
) -> None:
    _needs_signals(place)
    note = tmp_path / "pid"
    task = asyncio.create_task(
        transport.run(place.host, f"echo $$ > {note}; exec sleep 600", timeout_seconds=600)
    )
    await until(lambda: note.exists() and note.read_text().strip() != "")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: not alive(int(note.read_text())))


async def test_many_commands_share_one_connection_and_wait_their_turn(
    place: Served, transport: SshTransport
) -> None:
    command = 'echo "$SSH_CONNECTION" >&2; sleep 0.05; echo '
    done = await asyncio.gather(
        *(
            transport.run(place.host, f"{command}{n}", timeout_seconds=120)
            for n in range(5 * SESSIONS_PER_HOST)
        )
    )
    assert [item.stdout for item in done] == [f"{n}\n" for n in range(5 * SESSIONS_PER_HOST)]
    assert len({item.stderr for item in done}) == 1, "one connection, seen from the host"


async def test_no_more_commands_run_at_once_than_a_connection_may_carry(
    place: Served, transport: SshTransport, tmp_path: Path
) -> None:
    command = f"touch {tmp_path}/run.$$; ls {tmp_path}/run.* | wc -l; sleep 0.1; rm {tmp_path}/run.$$"
    done = await asyncio.gather(
        *(transport.run(place.host, command, timeout_seconds=120) for _ in range(3 * SESSIONS_PER_HOST))
    )
    assert max(int(item.stdout) for item in done) <= SESSIONS_PER_HOST


async def test_a_command_that_gets_no_turn_is_not_started_and_says_so(
    place: Served, transport: SshTransport, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    hold = f"while [ ! -e {gate} ]; do sleep 0.05; done"
    async with asyncio.TaskGroup() as group:
        for _ in range(SESSIONS_PER_HOST):
            group.create_task(transport.run(place.host, hold, timeout_seconds=60))
        await asyncio.sleep(0)
        with pytest.raises(CommandTimedOut, match="not started"):
            await transport.run(place.host, f"touch {tmp_path}/never", timeout_seconds=0.5)
        gate.touch()
    assert not (tmp_path / "never").exists()
