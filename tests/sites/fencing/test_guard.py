"""The guard as a process: what it does to real processes, files and connections."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from sites.fencing import guard
from sites.fencing.guard import (
    Memory,
    MemoryCorrupt,
    Settings,
    SettingsWrong,
    Stop,
    boot_id,
    memory_text,
    read_memory,
    read_settings,
)
from tests.orchestrator.pki import Pki
from tests.sites.fencing.bench import D_SECONDS, Host
from tests.sites.fencing.fake_keeper import boottime_ns, until

pytestmark = pytest.mark.slow


def test_opens_with_a_permit_and_closes_by_itself_before_its_deadline_when_the_answers_stop(
    host: Host,
) -> None:
    host.keeper.allow(1.5)
    host.start()
    host.opened()
    host.pretend()
    words = host.permit.read_text().split()
    assert words[1] == boot_id()
    assert int(words[0]) * 10**7 <= host.keeper.answered_until_ns - D_SECONDS * 1e9
    host.keeper.answering = None
    until(lambda: not host.pretenders(), "the end of every process")
    host.closed()
    assert boottime_ns() < host.keeper.answered_until_ns, "closed after its deadline"
    assert max(host.written()) < host.keeper.answered_until_ns
    assert "closed in" in host.said()


def test_a_fence_ends_what_ignores_every_other_signal_and_is_acknowledged_then(host: Host) -> None:
    host.keeper.allow(30)
    host.start()
    host.opened()
    host.pretend()
    assert len(host.pretenders()) == 2
    host.keeper.answering = None
    host.keeper.order(7, "fence")
    said = host.keeper.acknowledged(7)
    assert said["fenced"] is True
    assert "none left" in said["evidence"]
    assert not host.pretenders()
    assert not host.permit.exists()
    assert len((host.permit.parent / "fenced").read_text()) == 64


def test_what_is_started_while_it_is_closed_is_ended(host: Host) -> None:
    host.start()
    until(lambda: "closed in" in host.said(), "closed")
    host.pretend_only()
    until(lambda: "had become writable" in host.said(), "that it was seen")
    until(lambda: not host.pretenders(), "the end of every process")


def test_at_its_start_it_closes_what_is_open(host: Host) -> None:
    host.pretend()
    host.start_only()
    until(lambda: not host.pretenders(), "the end of every process")


def test_adopted_before_its_first_start_it_leaves_what_serves_open_until_it_is_told(host: Host) -> None:
    host.keeper.answering = None
    assert host.run("--adopt").returncode == 0
    host.pretend()
    host.start()
    until(lambda: "goes on where an earlier guard" in host.said(), "that it goes on")
    assert host.pretenders()
    host.keeper.allow(2)
    until(lambda: host.permit.exists() and not host.permit.read_text().startswith("manual"), "a deadline")
    host.keeper.answering = None
    until(lambda: not host.pretenders(), "closed at the deadline")


def test_a_guard_that_was_told_things_adopts_nothing(host: Host) -> None:
    host.keeper.allow(30)
    host.start()
    host.opened()
    host.signal(signal.SIGTERM)
    assert host.guard is not None
    host.guard.wait(10)
    done = host.run("--adopt")
    assert done.returncode == 2
    assert "told things before" in done.stderr


def test_stopped_at_the_primary_it_stays_bounded_by_its_permit(host: Host) -> None:
    host.keeper.allow(1.0)
    host.start()
    host.opened()
    host.signal(signal.SIGSTOP)
    permit = int(host.permit.read_text().split()[0]) * 10**7
    assert permit < boottime_ns() + 1.0e9
    host.keeper.answering = None
    until(lambda: boottime_ns() > permit, "the end of what was permitted")
    host.pretend()
    host.signal(signal.SIGCONT)
    until(lambda: not host.pretenders(), "closed on waking")


def test_a_guard_that_is_killed_and_started_again_goes_on_with_its_deadline(host: Host) -> None:
    host.keeper.allow(2)
    host.start()
    host.opened()
    host.pretend()
    host.keeper.answering = None
    host.signal(signal.SIGKILL)
    host.start()
    assert host.pretenders(), "it was closed though its deadline was ahead"
    assert "goes on where an earlier guard" in host.said()
    until(lambda: not host.pretenders(), "closed at the deadline that was inherited")
    assert boottime_ns() < host.keeper.answered_until_ns


def test_a_permit_of_an_earlier_boot_opens_nothing(host: Host) -> None:
    host.state.mkdir()
    far = (boottime_ns() + 10**12) // 10**7
    (host.state / "permit").write_text(f"{far} 00000000-0000-0000-0000-000000000000\n")
    host.pretend()
    host.start_only()
    until(lambda: not host.pretenders(), "closed")


def test_told_to_end_it_leaves_nothing_open(host: Host) -> None:
    host.keeper.allow(30)
    host.start()
    host.opened()
    host.pretend()
    host.signal(signal.SIGTERM)
    assert host.guard is not None
    assert host.guard.wait(10) == 0
    assert not host.pretenders()
    assert not host.permit.exists()


def test_told_to_end_it_leaves_a_manual_service_as_it_is(host: Host) -> None:
    host.keeper.allow(30, manual=True)
    host.start()
    host.opened()
    assert host.permit.read_text().split()[0] == "manual"
    host.pretend()
    host.signal(signal.SIGTERM)
    assert host.guard is not None
    host.guard.wait(10)
    assert host.pretenders()
    assert host.permit.exists()


def test_reloaded_it_is_the_same_process_and_stays_open(host: Host) -> None:
    host.keeper.allow(30)
    host.start()
    host.opened()
    host.pretend()
    assert host.guard is not None
    hellos = len(host.keeper.said("hello"))
    host.signal(signal.SIGHUP)
    until(lambda: len(host.keeper.said("hello")) > hellos, "a second hello")
    assert host.guard.poll() is None
    assert host.pretenders()


def test_only_one_guard_of_a_service_runs_on_a_host(host: Host) -> None:
    host.start()
    done = host.run()
    assert done.returncode == 2
    assert "a guard runs with the state" in done.stderr
    assert host.run("--repair-memory", "1", "1").returncode == 2


# --- what it remembers -----------------------------------------------------------------------------------


def test_the_highest_incarnation_and_epoch_outlive_it(host: Host) -> None:
    host.keeper.allow(30, incarnation=4, epoch=9)
    host.start()
    host.opened()
    host.signal(signal.SIGKILL)
    host.keeper.allow(30, incarnation=4, epoch=8)
    host.start()
    until(
        lambda: [one for one in host.keeper.said("refused") if one["refused"] == "older-epoch"], "a refusal"
    )
    host.keeper.allow(30, incarnation=3, epoch=9)
    until(
        lambda: [one for one in host.keeper.said("refused") if one["refused"] == "older-incarnation"],
        "a refusal",
    )
    assert host.keeper.said("question")[-1]["epoch"] == 9


def test_an_order_to_learn_is_acknowledged_from_the_disk(host: Host) -> None:
    host.start()
    host.keeper.order(3, "learn", 12)
    assert host.keeper.acknowledged(3)["incarnation"] == 12
    assert json.loads((host.state / "memory").read_text().splitlines()[0])["incarnation"] == 12


def test_an_answer_for_another_service_is_refused_and_told(host: Host) -> None:
    host.keeper.allow(30, service="ebs")
    host.start()
    until(
        lambda: [one for one in host.keeper.said("refused") if one["refused"] == "other-service"], "a refusal"
    )
    assert not host.permit.exists()


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{}",
        "rubbish",
        memory_text("ebs", Memory(3, 3, False)),
        memory_text("crm", Memory(3, 3, False)).replace("3", "2", 1),
        memory_text("crm", Memory(3, 3, False))[:-2],
        "\0" * 200,
    ],
)
def test_a_corrupt_memory_is_never_taken_for_an_empty_one(tmp_path: Path, content: str) -> None:
    path = tmp_path / "memory"
    path.write_text(content)
    with pytest.raises(MemoryCorrupt):
        read_memory(str(path), "crm")


def test_what_was_remembered_is_read_back_and_no_file_is_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "memory"
    assert read_memory(str(path), "crm") == Memory()
    path.write_text(memory_text("crm", Memory(3, 5, True)))
    assert read_memory(str(path), "crm") == Memory(3, 5, True)


def test_a_corrupt_memory_keeps_it_closed_and_is_said(host: Host) -> None:
    content = memory_text("crm", Memory(3, 3, False)).replace("3", "2", 1)
    host.state.mkdir()
    (host.state / "memory").write_text(content)
    (host.state / "permit").write_text(f"manual {boot_id()}\n")
    checked = host.run("--check")
    assert checked.returncode == 3
    assert "--repair-memory" in checked.stderr
    host.keeper.allow(30, incarnation=50, epoch=50)
    host.pretend()
    host.start()
    until(lambda: not host.pretenders(), "closed")
    (hello,) = host.keeper.said("hello")
    assert [one for one in hello["lacks"] if one.startswith("memory: ") and "closed until" in one]
    host.keeper.order(1, "fence")
    assert host.keeper.acknowledged(1)["fenced"] is True
    host.keeper.order(2, "learn", 60)
    until(
        lambda: [one for one in host.keeper.said("refused") if one["refused"] == "memory-corrupt"],
        "a refusal",
    )
    assert not host.permit.exists()
    assert (host.state / "memory").read_text() == content
    host.signal(signal.SIGTERM)
    assert host.guard is not None
    assert host.guard.wait(10) == 3
    assert host.run("--repair-memory", "50", "50").returncode == 0
    host.start()
    host.opened()


def test_a_disk_that_takes_nothing_opens_nothing(host: Host) -> None:
    host.state.mkdir()
    (host.state / "memory.new").mkdir()
    host.keeper.allow(30)
    host.start()
    until(lambda: "memory: IsADirectoryError" in host.said(), "the refusal of the disk")
    assert not host.permit.exists()
    (host.state / "memory.new").rmdir()
    host.opened()


# --- who it talks to -------------------------------------------------------------------------------------


def test_a_peer_that_is_not_its_sites_controller_is_not_believed(
    host: Host, pki: Pki, tmp_path: Path
) -> None:
    others = [
        pki.controller("morpeth"),
        pki.guard("durham", "crm"),
        Pki(tmp_path, "foreign").controller("durham"),
        pki.dated("twinsite:controller/durham", "ran-out", begins_days=-9, ends_days=-1),
        pki.issue(None, "nobody", ("127.0.0.1",)),
    ]
    host.keeper.allow(30)
    host.start_only()
    until(lambda: host.keeper.said("question"), "a question")
    for number, files in enumerate(others):
        host.signal(signal.SIGKILL)
        other = type(host.keeper)(files)
        other.allow(30, incarnation=100 + number, epoch=100)
        host.settings["controllers"] = [other.address]
        before = host.said().count("line: ")
        host.start_only()
        until(lambda before=before: host.said().count("line: ") > before, "the refusal")
        assert not other.heard, files
        other.close()


def test_its_own_certificate_ran_out_and_the_keepers_refusal_is_said(host: Host, pki: Pki) -> None:
    files = pki.dated("twinsite:guard/durham/crm", "guard-ran-out", begins_days=-9, ends_days=-1)
    host.settings["tls"] = {"ca": str(files.ca), "cert": str(files.certificate), "key": str(files.key)}
    host.keeper.allow(30)
    host.start_only()
    until(lambda: host.keeper.refused, "the keeper's refusal")
    until(lambda: "line: 127.0.0.1" in host.said(), "the reason in the log")
    assert not host.permit.exists()


def test_a_connection_that_is_lost_is_dialled_again_and_the_next_controller_is_tried(host: Host) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        host.settings["controllers"].insert(0, f"127.0.0.1:{nobody.getsockname()[1]}")
        host.keeper.allow(30)
        host.start()
        host.opened()
        host.keeper.hang_up()
        until(lambda: len(host.keeper.said("hello")) > 1, "a second hello")


def test_a_controller_whose_name_nobody_knows_does_not_keep_it_from_closing(host: Host) -> None:
    host.settings["controllers"] = ["controller.invalid:8301"]
    host.pretend()
    host.start_only()
    until(lambda: not host.pretenders(), "closed")
    until(lambda: "line: controller.invalid:8301" in host.said(), "the reason in the log")


def test_rubbish_from_the_controller_costs_the_connection_and_nothing_else(host: Host) -> None:
    host.keeper.allow(30)
    host.start()
    host.opened()
    for rubbish in (
        {"answer": "xyz", "incarnation": 1},
        {"order": "1", "kind": "fence", "service": "crm", "incarnation": 1},
        {
            "answer": "00",
            "service": "crm",
            "incarnation": 1,
            "epoch": 1,
            "remaining_ns": 1.5,
            "manual": False,
        },
    ):
        hellos = len(host.keeper.said("hello"))
        host.keeper.send(rubbish)
        until(lambda hellos=hellos: len(host.keeper.said("hello")) > hellos, "a new connection")
    assert host.permit.exists()


def test_hello_says_what_is_protected_and_what_is_not(host: Host) -> None:
    host.start()
    (hello,) = host.keeper.said("hello")
    assert hello["site"] == "durham"
    assert hello["service"] == "crm"
    assert hello["host"] == "crm-db"
    assert "controller-stall" in hello["protects"]
    codes = {one.partition(":")[0] for one in hello["lacks"]}
    assert {"guard-stall", "host-pause"} <= codes
    assert "watchdog" not in codes, "one that nobody asked for is not missing"


def test_a_hardware_watchdog_that_is_not_there_is_said(host: Host) -> None:
    host.settings["watchdog"] = str(host.folder / "no-watchdog")
    host.start()
    (hello,) = host.keeper.said("hello")
    assert [one for one in hello["lacks"] if one.startswith("watchdog: ")]


def test_the_supervisor_hears_that_it_is_up_that_it_lives_and_how_it_stands(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = str(host.folder / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
        supervisor.bind(place)
        supervisor.settimeout(10)
        monkeypatch.setenv("NOTIFY_SOCKET", place)
        monkeypatch.setenv("WATCHDOG_USEC", "300000")
        host.keeper.allow(30)
        host.start()
        heard: set[bytes] = set()
        while not {b"READY=1", b"WATCHDOG=1", b"STATUS=crm is open"} <= heard:
            heard.add(supervisor.recv(500))


# --- other commands --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"servise": "x"}, "servise: no such key"),
        ({"service": 3}, "service: expected str"),
        ({"service": "../x"}, "no name of a service"),
        ({"controllers": []}, "controllers: none is named"),
        ({"controllers": ["nowhere"]}, "is not host:port"),
        ({"stop": {"names": ["x"]}}, "stop.postgres: missing"),
        ({"stop": {"names": [], "postgres": True}}, "stop.names: must not be empty"),
        ({"stop": None}, "stop: expected dict"),
        ({"data": "here"}, "no absolute path"),
        ({"fence_within_seconds": 0}, "must be above zero"),
        ({"guard_every_seconds": True}, "guard_every_seconds: expected float"),
        ({"nftables": {"ports": [0]}}, "a port is a number"),
        ({"nftables": {"ports": [1], "except": ["x"]}}, "'x' does not appear"),
        ({"proxy": {"listen": "x", "to": "127.0.0.1:1"}}, "is not host:port"),
        ({"command": {"open": ["a"], "close": ["b"]}}, "command.verify: missing"),
    ],
)
def test_wrong_settings_are_named(host: Host, change: dict[str, object], told: str) -> None:
    with pytest.raises(SettingsWrong) as caught:
        Settings({**host.settings, **change})
    assert told in str(caught.value)


@pytest.mark.parametrize("content", ["", "[]", "{", '{"service": "crm"}'])
def test_a_settings_file_that_cannot_be_used_is_refused_in_a_sentence(host: Host, content: str) -> None:
    path = host.folder / "other.json"
    path.write_text(content)
    with pytest.raises(SettingsWrong):
        read_settings(str(path))
    with pytest.raises(SettingsWrong, match="cannot be read"):
        read_settings(str(host.folder / "missing.json"))


def test_settings_without_any_way_to_cut_are_refused(host: Host) -> None:
    del host.settings["stop"]
    done = host.run("--check")
    assert done.returncode == 2
    assert "or nothing is cut" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_unit_starts_it_again_and_watches_over_it(host: Host) -> None:
    said = host.run("--unit").stdout
    for line in (
        "WatchdogSec=",
        "Restart=always",
        "Type=notify",
        "LimitMEMLOCK=infinity",
        "OOMScoreAdjust=-1000",
    ):
        assert line in said
    if shutil.which("systemd-analyze"):
        path = host.folder / "guard.service"
        path.write_text(said)
        done = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", str(path)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert str(path) not in done.stderr


# --- as it is found on a database host -------------------------------------------------------------------


def old_python() -> str | None:
    """A Python 3.6, if one is here."""
    for place in (*Path("/root/.pyenv/versions").glob("3.6*/bin/python"), shutil.which("python3.6")):
        if place is None:
            continue
        try:
            done = subprocess.run(
                [str(place), "-c", "import ssl"], capture_output=True, timeout=30, check=False
            )
        except OSError:
            continue
        if done.returncode == 0:
            return str(place)
    return None


def test_a_copy_of_the_one_file_runs_under_python_3_6(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    python = old_python()
    if python is None:
        pytest.skip("no Python 3.6 with TLS on this machine")
    copy = host.folder / "copied-guard.py"
    shutil.copyfile(guard.__file__, copy)
    monkeypatch.setattr("tests.sites.fencing.bench.GUARD", copy)
    host.keeper.allow(1.5)
    host.start(python)
    host.opened()
    host.pretend()
    host.keeper.order(1, "fence")
    assert host.keeper.acknowledged(1)["fenced"] is True
    host.opened()
    host.keeper.answering = None
    host.closed()


def test_without_root_it_still_works_and_says_what_it_lacks(host: Host) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root, to be somebody else")
    nobody = 65534
    host.data.chmod(0o755)
    for folder in (host.folder, *host.folder.parents[:2]):
        folder.chmod(0o755)
    files = host.settings["tls"]
    copies = {}
    for name, path in files.items():
        copies[name] = str(host.folder / f"{name}.pem")
        shutil.copyfile(path, copies[name])
        os.chown(copies[name], nobody, nobody)
    host.settings["tls"] = copies
    host.state.mkdir()
    for place in (host.state, host.data, host.folder):
        os.chown(place, nobody, nobody)
    host.keeper.allow(1.5)
    with host.log.open("ab") as log:
        host.guard = subprocess.Popen(
            [shutil.which("python3", path="/usr/bin:/usr/local/bin") or "python3", *host.command()[1:]],
            stderr=log,
            user=nobody,
            group=nobody,
            extra_groups=[],
        )
    host.processes.append(host.guard)
    until(lambda: host.keeper.said("hello") or host.guard.poll() is not None, "a hello")
    if host.guard.poll() is not None:
        pytest.skip("no Python here that another user may run")
    host.opened()
    (hello,) = host.keeper.said("hello")
    assert {"out-of-memory", "memory-lock"} <= {one.partition(":")[0] for one in hello["lacks"]}
    host.keeper.answering = None
    host.closed()


def test_stops_without_a_word_when_nobody_reads_its_log(host: Host) -> None:
    host.keeper.allow(30)
    reading, writing = os.pipe()
    try:
        os.set_blocking(writing, False)
        while True:
            try:
                os.write(writing, b"x" * 4096)
            except BlockingIOError:
                break
        os.set_blocking(writing, True)
        host.guard = subprocess.Popen(host.command(), stderr=writing)
        host.processes.append(host.guard)
        host.opened()
        host.keeper.answering = None
        host.keeper.order(4, "fence")
        assert host.keeper.acknowledged(4)["fenced"] is True
    finally:
        os.close(reading)
        os.close(writing)


def test_an_answer_that_is_slow_is_counted_from_its_question(host: Host) -> None:
    host.keeper.delay_seconds = 0.15
    host.keeper.allow(D_SECONDS + 0.5)
    host.start()
    host.opened()
    permit_ns = int(host.permit.read_text().split()[0]) * 10**7
    assert permit_ns <= host.keeper.answered_until_ns - D_SECONDS * 1e9


# --- a service of several parts -------------------------------------------------------------------------


class TwoParts:
    """A host on which a service has two databases."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.folders = {"db": host.folder / "db", "papers": host.folder / "papers"}
        for folder in self.folders.values():
            folder.mkdir()
        del host.settings["stop"], host.settings["data"]
        host.settings["parts"] = [
            {"name": name, "data": str(folder), "names": ["pretender"], "postgres": False}
            for name, folder in self.folders.items()
        ]

    def pretend(self, name: str) -> None:
        """A server of that part that does not let go, writing."""
        self.host.data = self.folders[name]
        self.host.pretend()

    def running(self) -> dict[str, int]:
        """How many processes each part has."""
        return {
            name: len(Stop(str(folder), ["pretender"], False).pids()) for name, folder in self.folders.items()
        }

    def permitted(self) -> list[str]:
        """The parts that may be opened."""
        return [name for name, folder in self.folders.items() if Path(f"{folder}.twinsite/permit").exists()]

    def end(self) -> None:
        """What a test left."""
        for folder in self.folders.values():
            for pid in Stop(str(folder), ["pretender"], False).pids():
                os.kill(pid, signal.SIGKILL)


@pytest.fixture
def parts(host: Host) -> Iterator[TwoParts]:
    made = TwoParts(host)
    yield made
    made.end()


def test_all_parts_of_a_service_are_opened_together_and_fenced_together(parts: TwoParts) -> None:
    host = parts.host
    host.start()
    assert parts.permitted() == []
    host.keeper.allow(30)
    until(lambda: parts.permitted() == ["db", "papers"], "both permits")
    parts.pretend("db")
    parts.pretend("papers")
    host.keeper.answering = None
    host.keeper.order(7, "fence")
    said = host.keeper.acknowledged(7)
    assert said["fenced"] is True
    assert parts.running() == {"db": 0, "papers": 0}
    assert parts.permitted() == []
    assert "db: stop: 2 processes found, none left" in said["evidence"]
    assert "papers: stop: 2 processes found, none left" in said["evidence"]


def test_all_parts_are_closed_at_the_deadline_when_the_answers_stop(parts: TwoParts) -> None:
    host = parts.host
    host.start()
    host.keeper.allow(2)
    until(lambda: parts.permitted() == ["db", "papers"], "both permits")
    parts.pretend("db")
    parts.pretend("papers")
    host.keeper.answering = None
    until(lambda: parts.running() == {"db": 0, "papers": 0}, "the end of both")
    assert parts.permitted() == []


def test_a_part_that_is_started_while_the_service_is_closed_is_ended(parts: TwoParts) -> None:
    parts.host.start()
    parts.host.data = parts.folders["papers"]
    parts.host.pretend_only()
    pretender = parts.host.processes[-1]
    until(lambda: pretender.poll() is not None, "its end")


def test_a_part_whose_processes_are_not_known_to_be_gone_leaves_the_fence_unverified(parts: TwoParts) -> None:
    host = parts.host
    host.start()
    host.keeper.allow(30)
    until(lambda: parts.permitted() == ["db", "papers"], "both permits")
    parts.pretend("db")
    parts.folders["papers"].rmdir()
    host.keeper.answering = None
    host.keeper.order(7, "fence")
    until(lambda: parts.running()["db"] == 0, "the end of the other part")
    until(lambda: "NOT CLOSED" in host.said(), "what it says of the fence")
    assert "is not there, so its processes are not known" in host.said()
    assert host.keeper.said("acknowledged") == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"stop": {"names": ["x"], "postgres": False}, "data": "/srv"}, "there is no `stop` beside them"),
        ({"parts": [{"name": "a"}]}, "parts.0.data: missing"),
        ({"parts": [{"name": "a", "data": "/a", "names": ["x"]}]}, "parts.0.postgres: missing"),
        ({"parts": [{"name": "a", "data": "/a"}]}, "or nothing is cut"),
        ({"parts": [{"name": "a", "data": "a"}]}, "or nothing is cut"),
        ({"parts": ["a"]}, "keys with values are expected"),
    ],
)
def test_wrong_settings_of_parts_are_named(parts: TwoParts, change: dict[str, object], told: str) -> None:
    with pytest.raises(SettingsWrong, match=re.escape(told)):
        Settings({**parts.host.settings, **change})


def test_two_parts_of_one_name_and_a_part_without_an_absolute_place_are_refused(parts: TwoParts) -> None:
    one = parts.host.settings["parts"][0]
    with pytest.raises(SettingsWrong, match="a name of its own"):
        Settings({**parts.host.settings, "parts": [one, one]})
    with pytest.raises(SettingsWrong, match="no absolute path"):
        Settings({**parts.host.settings, "parts": [{**one, "data": "srv"}]})
