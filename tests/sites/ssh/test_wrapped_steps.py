"""Steps through the wrapper over real SSH: refusals, limits and steps in doubt as a run meets them."""

import asyncio
from pathlib import Path

import pytest

from sites.errors import CommandRefused, CommandTimedOut, ConnectionBroken, DriverTrouble
from sites.ssh import SshTransport
from sites.wrapper import StepState, StepStatus, StepToken, ask_status, read_status, run_wrapped
from tests.sites.ssh.servers import Served, alive, in_process, until


@pytest.fixture
def locks(tmp_path: Path) -> str:
    """The wrapper's folder."""
    return str(tmp_path / "locks")


def token(executor: int = 1, *, epoch: int = 5, step: str = "stop") -> StepToken:
    """A token for the service crm."""
    return StepToken("crm", epoch, "r1", executor, step)


async def test_a_step_runs_and_its_outcome_can_be_asked_for_later(
    place: Served, transport: SshTransport, locks: str
) -> None:
    done = await run_wrapped(
        transport,
        place.host,
        'cat; echo "it\'s $0" >&2; exit 3',
        token(),
        timeout_seconds=30,
        lock_directory=locks,
        stdin="in\n",
    )
    assert (done.exit_status, done.stdout, done.stderr) == (3, "in\n", "it's sh\n")
    status = await ask_status(transport, place.host, token(), timeout_seconds=20, lock_directory=locks)
    assert status == StepStatus(StepState.DONE, 3)


async def test_a_refusal_is_an_error_of_its_own_with_its_code(
    place: Served, transport: SshTransport, locks: str
) -> None:
    await run_wrapped(transport, place.host, "true", token(2), timeout_seconds=30, lock_directory=locks)
    with pytest.raises(CommandRefused, match="durham/crm-db: step stop was not started") as caught:
        await run_wrapped(transport, place.host, "true", token(1), timeout_seconds=30, lock_directory=locks)
    assert caught.value.code == "older-executor"
    with pytest.raises(CommandRefused):
        await ask_status(transport, place.host, token(1), timeout_seconds=20, lock_directory=locks)


async def test_a_step_at_its_limit_is_an_error_with_its_last_words(
    place: Served, transport: SshTransport, locks: str
) -> None:
    with pytest.raises(
        CommandTimedOut, match=r"within 0\.5 s and was ended there.*waiting for users"
    ) as caught:
        await run_wrapped(
            transport,
            place.host,
            "echo begun; echo waiting for users >&2; sleep 600",
            token(),
            timeout_seconds=0.5,
            lock_directory=locks,
        )
    assert caught.value.stdout == "begun\n"


async def test_exit_statuses_like_the_wrappers_own_stay_the_commands(near: Served, locks: str) -> None:
    transport = SshTransport(near.spec, near.base)
    for status in (75, 124):
        done = await run_wrapped(
            transport, near.host, f"exit {status}", token(), timeout_seconds=30, lock_directory=locks
        )
        assert done.exit_status == status
    await transport.aclose()


async def test_a_step_whose_connection_was_cut_goes_on_and_is_settled_by_the_next_executor(
    tmp_path: Path, locks: str
) -> None:
    gate, note = tmp_path / "gate", tmp_path / "pid"
    async with in_process(tmp_path) as place:
        first = SshTransport(place.spec, place.base)
        command = f"echo $$ > {note}; while [ ! -e {gate} ]; do sleep 0.1; done; exit 9"
        step = asyncio.create_task(
            run_wrapped(first, place.host, command, token(1), timeout_seconds=60, lock_directory=locks)
        )
        await until(lambda: note.exists() and note.read_text() != "")
        await first.aclose()
        with pytest.raises(ConnectionBroken):
            await step
        second = SshTransport(place.spec, place.base)

        async def asked() -> StepStatus:
            return await ask_status(second, place.host, token(2), timeout_seconds=20, lock_directory=locks)

        assert await asked() == StepStatus(StepState.RUNNING)
        gate.touch()
        await until(lambda: not alive(int(note.read_text())))
        for _ in range(100):
            if (status := await asked()).state is not StepState.RUNNING:
                break
            await asyncio.sleep(0.05)
        assert status == StepStatus(StepState.DONE, 9)
        with pytest.raises(CommandRefused):
            await run_wrapped(second, place.host, "true", token(1), timeout_seconds=9, lock_directory=locks)
        await second.aclose()


async def test_independent_steps_of_a_run_go_side_by_side(
    place: Served, transport: SshTransport, tmp_path: Path, locks: str
) -> None:
    meet = f"touch {tmp_path}/$N; while [ $(ls {tmp_path} | grep -c '^met') -lt 3 ]; do sleep 0.05; done"
    async with asyncio.TaskGroup() as group:
        for n in range(3):
            group.create_task(
                run_wrapped(
                    transport,
                    place.host,
                    f"N=met{n}; {meet}",
                    token(step=f"s{n}"),
                    timeout_seconds=60,
                    lock_directory=locks,
                )
            )


@pytest.mark.parametrize("text", ["", "done", "done x", "running\nmore", "bash: no such file"])
def test_an_answer_that_is_no_state_is_trouble_and_never_guessed(text: str) -> None:
    with pytest.raises(DriverTrouble):
        read_status(text)


@pytest.mark.parametrize("state", [state for state in StepState if state is not StepState.DONE])
def test_every_state_is_read_as_it_is_printed(state: StepState) -> None:
    assert read_status(f"{state}\n") == StepStatus(state)
