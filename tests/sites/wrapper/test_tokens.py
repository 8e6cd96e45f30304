"""Who may start a step on a host, and who was overtaken (P26)."""

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sites.errors import SitesMisuse
from sites.wrapper import COMMAND_LIMIT_BYTES, REFUSED_STATUS, StepToken, wrap
from tests.sites.wrapper.shells import Box, link_tools, make_box


def token(
    epoch: int = 5, run: str = "r1", executor: int = 1, step: str = "stop", *, attempt: int = 0
) -> StepToken:
    """A token for the service crm."""
    return StepToken("crm", epoch, run, executor, step, attempt)


def refusal(done: subprocess.CompletedProcess[str]) -> str:
    """The code of a refusal."""
    assert done.returncode == REFUSED_STATUS, done
    assert done.stdout == ""
    words = done.stderr.split()
    assert words[:2] == ["twinsite-step:", "refused"]
    return words[2].rstrip(":")


@pytest.mark.parametrize(
    ("late", "code"),
    [
        (token(epoch=4), "older-epoch"),
        (token(epoch=4, executor=9), "older-epoch"),
        (token(epoch=4, run="r9"), "older-epoch"),
        (token(executor=2), "older-executor"),
        (token(epoch=6, executor=2), "older-executor"),
    ],
)
def test_whoever_was_overtaken_starts_nothing(box: Box, late: StepToken, code: str) -> None:
    assert box.run("echo ok", token(executor=3)).stdout == "ok\n"
    proof = box.locks / "it-ran"
    assert refusal(box.run(f"echo > {proof}", late)) == code
    assert not proof.exists()


def test_refusals_and_quick_steps_do_not_wait_for_their_time_limit(box: Box) -> None:
    """Many at once: the end of a watchdog that has hardly begun must not get lost, or the step hangs on."""
    box.run("true", token(executor=3))

    def one(number: int) -> int:
        late = token(epoch=4 + number % 2, executor=3, step=f"s{number}")
        return box.run("true", late, timeout_seconds=3600).returncode

    with ThreadPoolExecutor(8) as many:
        assert list(many.map(one, range(48))) == [REFUSED_STATUS, 0] * 24


@pytest.mark.parametrize(
    "later", [token(), token(step="other"), token(executor=4), token(epoch=6), token(epoch=6, run="r2")]
)
def test_the_same_right_and_a_higher_one_start(sh: Box, later: StepToken) -> None:
    sh.run("true", token())
    assert sh.run("echo ok", later).stdout == "ok\n"


def test_a_run_that_another_has_followed_starts_nothing_more(box: Box) -> None:
    box.run("true", token(run="r1"))
    box.run("true", token(run="r2"))
    assert refusal(box.run("true", token(run="r1", executor=9))) == "older-run"
    assert refusal(box.run("true", token(run="r1", epoch=6))) == "older-run"
    assert box.run("true", token(run="r2")).returncode == 0


def test_services_do_not_concern_each_other(sh: Box) -> None:
    sh.run("true", token(epoch=9))
    assert sh.run("echo ok", StepToken("ebs", 1, "r1", 1, "stop")).stdout == "ok\n"


def test_a_refusal_names_who_has_been_there(sh: Box) -> None:
    sh.run("true", token(epoch=7, run="r2"))
    assert "epoch 4 of run r1; epoch 7 of run r2 has been here" in sh.run("true", token(epoch=4)).stderr


def test_a_step_that_runs_is_not_started_a_second_time(box: Box) -> None:
    with box.start("echo up; read gate", token()) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "up\n"
        assert refusal(box.run("true", token(executor=2))) == "already-running"
        assert box.run("echo other", token(executor=2, step="other")).stdout == "other\n"
        first.communicate("open\n")
    assert box.run("true", token(executor=2)).returncode == 0


def test_no_numbered_attempt_starts_twice_and_none_after_a_later_one(box: Box) -> None:
    assert box.run("exit 4", token(attempt=1)).returncode == 4
    assert refusal(box.run("true", token(attempt=1))) == "already-started"
    assert box.run("exit 5", token(attempt=3)).returncode == 5
    assert refusal(box.run("true", token(attempt=2))) == "already-started"
    assert box.run("exit 6", token(executor=2, attempt=1)).returncode == 6


def test_of_many_simultaneous_starts_of_one_attempt_exactly_one_runs(box: Box, tmp_path: Path) -> None:
    proof = tmp_path / "runs"
    started = [box.start(f"echo ran >> {proof}", token(attempt=1)) for _ in range(8)]
    for process in started:
        process.communicate(timeout=120)
    assert proof.read_text() == "ran\n"
    assert sorted(process.returncode for process in started) == [0] + 7 * [REFUSED_STATUS]


def test_under_a_crowd_nothing_of_a_lower_executor_starts_after_a_higher_one(
    box: Box, tmp_path: Path
) -> None:
    log = tmp_path / "order"
    crowd = [
        (executor, box.start(f"echo {executor} >> {log}", token(executor=executor, step=f"s{n}")))
        for n in range(5)
        for executor in (1, 2, 3)
    ]
    refused = []
    for executor, process in crowd:
        _, said = process.communicate(timeout=120)
        if executor == 3 and process.returncode != 0:
            refused.append(said)
    order = log.read_text().split()
    assert order == sorted(order)
    # The highest is refused by nobody; on a busy machine it may wait for its turn in vain.
    assert [said for said in refused if "lock-busy" not in said] == []
    assert order.count("3") == 5 - len(refused)


def test_an_empty_token_file_left_by_a_crash_stops_nobody(sh: Box) -> None:
    sh.run("true", token())
    (sh.locks / "crm" / "token").write_text("")
    assert sh.run("true", token()).returncode == 0


def test_a_damaged_token_file_is_a_refusal_that_names_it(sh: Box) -> None:
    sh.run("true", token())
    (sh.locks / "crm" / "token").write_text("garbage here too\n")
    done = sh.run("true", token())
    assert refusal(done) == "token-unreadable"
    assert str(sh.locks / "crm" / "token") in done.stderr


def test_a_folder_that_cannot_be_made_is_a_refusal_that_names_it(box: Box) -> None:
    box.locks.write_text("a file is in the way")
    done = box.run("true", token())
    assert refusal(done) == "folder-unwritable"
    assert str(box.locks) in done.stderr


def test_a_host_on_which_no_step_could_be_ended_starts_none(tmp_path: Path, sh: Box) -> None:
    bare = sh.with_path(link_tools(tmp_path / "nothing", os.path.realpath(sh.shell)))
    assert refusal(bare.run("true", token())) == "no-setsid"


@pytest.mark.parametrize("owner", ["999999999 1 {boot}\n", "{pid} 1 {boot}\n", "{pid} {pid} other-boot\n"])
def test_the_lock_of_a_dead_owner_is_broken(tmp_path: Path, owner: str) -> None:
    bare = make_box("sh-bare", tmp_path)
    if isinstance(bare, str):
        pytest.skip(bare)
    bare.run("true", token())
    (bare.locks / "crm" / "lock.d").mkdir()
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    (bare.locks / "crm" / "lock.d" / "owner").write_text(owner.format(pid=os.getpid(), boot=boot))
    assert bare.run("echo ok", token()).stdout == "ok\n"
    assert not (bare.locks / "crm" / "lock.d").exists()


@pytest.mark.slow
def test_the_lock_of_a_living_owner_is_waited_for_and_then_refused(tmp_path: Path) -> None:
    bare = make_box("sh-bare", tmp_path)
    if isinstance(bare, str):
        pytest.skip(bare)
    bare.run("true", token())
    (bare.locks / "crm" / "lock.d").mkdir()
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    born = Path(f"/proc/{os.getpid()}/stat").read_text().rpartition(")")[2].split()[19]
    (bare.locks / "crm" / "lock.d" / "owner").write_text(f"{os.getpid()} {born} {boot}\n")
    assert refusal(bare.run("true", token())) == "lock-busy"


def test_old_records_and_past_runs_are_bounded(sh: Box) -> None:
    sh.run("true", token(run="r0"))
    records = sh.locks / "crm" / "records"
    for n in range(400):
        (records / f"old{n}@stop").write_text("started 1 0 1 1 1 1 -\ndone 0\n")
    (sh.locks / "crm" / "past").write_text("".join(f"p{n}\n" for n in range(300)))
    assert sh.run("true", token(run="r1")).returncode == 0
    assert len(list(records.iterdir())) <= 257
    past = (sh.locks / "crm" / "past").read_text().split()
    assert len(past) == 200
    assert past[-1] == "r0"


@pytest.mark.parametrize("name", ["", "../up", "a b", "a;b", "$(id)", "-n", "a/b", "x" * 101, "a\n"])
def test_a_name_that_could_be_taken_for_anything_else_is_refused_here(name: str) -> None:
    with pytest.raises(SitesMisuse, match="cannot name"):
        StepToken("crm", 1, name, 1, "stop")


@pytest.mark.parametrize(
    ("command", "seconds", "folder"),
    [
        ("a\0b", 1.0, "/x"),
        ("x" * (COMMAND_LIMIT_BYTES + 1), 1.0, "/x"),
        ("true", 0.0, "/x"),
        ("true", 1.0, "relative"),
    ],
)
def test_what_no_host_could_do_is_refused_before_it_is_sent(
    command: str, seconds: float, folder: str
) -> None:
    with pytest.raises(SitesMisuse):
        wrap(command, token=token(), timeout_seconds=seconds, lock_directory=folder)


def test_negative_numbers_are_refused() -> None:
    with pytest.raises(SitesMisuse, match="count from 0"):
        token(executor=-1)
