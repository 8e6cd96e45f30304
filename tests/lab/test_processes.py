"""The lab's process trees, with real processes: nothing of a site survives its end, however it ends."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from orchestrator.lab import processes
from orchestrator.lab.site_supervisor import Description, Program

PATIENCE_SECONDS = 30.0

# Starts a daemon as databases do: two forks, a session of its own, and the parent ends.
DAEMON = """
import os, sys, time
from pathlib import Path
if os.fork():
    sys.exit(0)
os.setsid()
if os.fork():
    os._exit(0)
Path(sys.argv[1]).write_text(str(os.getpid()))
for _ in range(int(sys.argv[2])):
    if not os.fork():
        break
time.sleep(300)
"""
SAYS_READY = """
import os, socket, sys, time
from pathlib import Path
time.sleep(0.3)
Path(sys.argv[1]).touch()
socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
time.sleep(300)
"""
LOOKS = """
import sys
from pathlib import Path
Path(sys.argv[2]).write_text("ready" if Path(sys.argv[1]).exists() else "too early")
"""
SLEEPER = "import sys, time, os; open(sys.argv[1], 'a').write(f'{os.getpid()}\\n'); time.sleep(300)"


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "this did not come"
        time.sleep(0.02)


def program(folder: Path, name: str, source: str, *arguments: str, restart: bool = False) -> Program:
    return Program(
        name=name,
        command=(sys.executable, "-c", source, *arguments),
        log=str(folder / f"{name}.log"),
        directory=str(folder),
        restart=restart,
    )


def running(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    processes.end_leftovers(tmp_path)


def start(folder: Path, *programs: Program, tied: bool = True) -> tuple[processes.Tree, int | None]:
    description = Description("durham", str(folder / "supervisor.log"), programs, ends_with_input=tied)
    return processes.start_tree(description, folder / "durham.json")


def test_a_killed_site_leaves_no_process_daemons_and_their_children_included(folder: Path) -> None:
    written = folder / "daemon.pid"
    tree, rope = start(
        folder,
        program(folder, "daemon", DAEMON, str(written), "5"),
        program(folder, "controller", SLEEPER, str(folder / "controller.pids"), restart=True),
    )
    wait_for(lambda: len(processes.members(tree)) == 8 and written.exists())
    everybody = processes.members(tree)
    blow = processes.kill_tree(tree)
    assert blow.processes == 8
    assert not any(running(process.pid) for process in everybody)
    assert processes.belonging(folder) == []
    assert not processes.alive(tree)
    os.close(rope or 0)


def test_a_daemon_whose_starter_has_ended_is_stopped_with_its_site(folder: Path) -> None:
    written = folder / "daemon.pid"
    tree, rope = start(folder, program(folder, "daemon", DAEMON, str(written), "2"))
    wait_for(lambda: written.exists() and len(processes.members(tree)) == 4)
    processes.stop_tree(tree)
    assert processes.leftovers(folder, "127.99.0.0/16", [tree]) == []
    os.close(rope or 0)


def test_a_program_that_is_to_run_always_is_started_again_and_others_are_not(folder: Path) -> None:
    always, once = folder / "always", folder / "once"
    tree, rope = start(
        folder,
        program(folder, "controller", SLEEPER, str(always), restart=True),
        program(folder, "etcd", SLEEPER, str(once)),
    )
    wait_for(lambda: always.exists() and once.exists() and always.read_text() and once.read_text())
    for written in (always, once):
        os.kill(int(written.read_text().split()[0]), signal.SIGKILL)
    wait_for(lambda: len(always.read_text().split()) == 2)
    assert len(once.read_text().split()) == 1
    processes.kill_tree(tree)
    os.close(rope or 0)


def test_programs_can_be_added_to_a_running_site(folder: Path) -> None:
    first, second = folder / "first", folder / "second"
    etcd, controller = (
        program(folder, "etcd", SLEEPER, str(first)),
        program(folder, "controller", SLEEPER, str(second)),
    )
    tree, rope = start(folder, etcd)
    wait_for(lambda: first.exists() and first.read_text())
    more = Description("durham", str(folder / "supervisor.log"), (etcd, controller))
    processes.extend_tree(tree, more, folder / "durham.json")
    wait_for(lambda: second.exists() and second.read_text())
    assert len(first.read_text().split()) == 1
    processes.kill_tree(tree)
    os.close(rope or 0)


@pytest.mark.parametrize("added", [False, True], ids=["from the start", "added later"])
def test_what_comes_after_a_guard_starts_when_the_guard_is_ready(added: bool, folder: Path) -> None:
    """One that is started before it would be ended by the guard's first cut."""
    ready, seen = folder / "ready", folder / "seen"
    guard = replace(program(folder, "guard", SAYS_READY, str(ready)), notifies=True)
    database = program(folder, "ebs", LOOKS, str(ready), str(seen))
    etcd = program(folder, "etcd", SLEEPER, str(folder / "pids"))
    tree, rope = start(folder, *((etcd,) if added else (etcd, guard, database)))
    if added:
        wait_for(lambda: (folder / "pids").exists() and (folder / "pids").read_text())
        more = Description("durham", str(folder / "supervisor.log"), (etcd, guard, database))
        processes.extend_tree(tree, more, folder / "durham.json")
    wait_for(lambda: seen.exists() and seen.read_text())
    assert seen.read_text() == "ready"
    processes.kill_tree(tree)
    os.close(rope or 0)


def test_a_program_that_cannot_be_started_is_named_in_the_log_and_the_others_run(folder: Path) -> None:
    missing = Program("etcd", (str(folder / "no-such-etcd"),), str(folder / "etcd.log"), str(folder))
    written = folder / "pids"
    tree, rope = start(folder, missing, program(folder, "controller", SLEEPER, str(written)))
    wait_for(lambda: written.exists() and written.read_text())
    assert "etcd cannot be started" in (folder / "supervisor.log").read_text()
    processes.kill_tree(tree)
    os.close(rope or 0)


def test_when_the_lab_is_killed_its_sites_end_with_it(folder: Path) -> None:
    written = folder / "pids"
    description = Description(
        "durham",
        str(folder / "supervisor.log"),
        (program(folder, "controller", SLEEPER, str(written), restart=True),),
    )
    source = textwrap.dedent("""
        import sys, time
        from pathlib import Path
        from orchestrator.lab import processes
        from orchestrator.lab.site_supervisor import Description
        folder = Path(sys.argv[1])
        description = Description.from_json((folder / "wanted.json").read_text())
        tree, rope = processes.start_tree(description, folder / "durham.json")
        print(tree.pid, flush=True)
        time.sleep(300)
    """)
    (folder / "wanted.json").write_text(description.to_json())
    with subprocess.Popen([sys.executable, "-c", source, str(folder)], stdout=subprocess.PIPE) as lab:
        assert lab.stdout is not None
        supervisor = int(lab.stdout.readline())
        wait_for(lambda: written.exists() and written.read_text())
        lab.kill()
    wait_for(lambda: not running(supervisor))
    wait_for(lambda: processes.belonging(folder) == [])


def test_a_kept_site_goes_on_without_the_lab_and_is_found_by_what_was_written_down(folder: Path) -> None:
    written = folder / "pids"
    tree, rope = start(folder, program(folder, "controller", SLEEPER, str(written)), tied=False)
    assert rope is None
    wait_for(lambda: written.exists() and written.read_text())
    again = processes.Tree(tree.name, tree.pid, tree.started_at)
    assert processes.members(again)[0].pid == tree.pid
    processes.kill_tree(again)
    assert processes.belonging(folder) == []


def test_a_process_id_that_is_used_again_is_never_taken_for_the_site() -> None:
    stranger = processes.Tree("durham", os.getpid(), psutil.Process().create_time() - 5)
    assert processes.members(stranger) == []
    assert processes.kill_tree(stranger).processes == 0
    processes.stop_tree(stranger)


def test_killing_a_site_that_does_not_run_is_no_error(folder: Path) -> None:
    tree, rope = start(folder, program(folder, "controller", SLEEPER, str(folder / "pids")))
    processes.kill_tree(tree)
    assert processes.kill_tree(tree).processes == 0
    os.close(rope or 0)


def test_a_description_is_read_as_it_was_written() -> None:
    written = Description(
        "durham", "log", (Program("etcd", ("etcd", "--x"), "log", "/", {"A": "b"}, True, ("stop",)),), False
    )
    assert Description.from_json(written.to_json()) == written
