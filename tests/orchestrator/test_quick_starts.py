"""Coming back quickly: the keeper is started first or found, waits for another one's end, and imports what it
needs and no more, the heavy parts beside its first work."""

import ast
import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from orchestrator import controller_process
from orchestrator.hands import Cutter, LateHands, ReadyHands
from orchestrator.last_words import KeeperStarts
from orchestrator.state_folder import KEEPER, AlreadyRuns, is_locked, lock_directory
from sites.errors import HostUnreachable
from sites.inventory import EstateInvalid
from sites.late_transport import LateTransport
from sites.model import Host
from sites.output import Said
from sites.replication.words import Closed, Fenced
from sites.transport import Completed, Transport

ESTATE = """
version: 1
store: {endpoints: ["http://127.0.0.1:1"]}
lab: true
sites:
  durham: {title: Durham, state: durham}
  morpeth: {title: Morpeth, state: morpeth}
  derwentside: {title: Derwentside, witness: true, state: derwentside}
services:
  crm: {title: CRM, home: durham, standby: morpeth, rank: 1}
"""


@pytest.fixture
def estate(tmp_path: Path) -> Path:
    """An estate file."""
    path = tmp_path / "sites.yaml"
    path.write_text(ESTATE)
    return path


# --- what is imported -------------------------------------------------------------------------------------


def imported_by(program: str) -> set[str]:
    """Every module that is there after it."""
    program += "; import sys; print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True)
    return set(ast.literal_eval(done.stdout.splitlines()[-1]))


LEAN = "from orchestrator.lean import lean; lean(); "


def test_a_keeper_s_first_work_waits_for_neither_ssh_nor_a_driver_s_library() -> None:
    modules = imported_by(LEAN + "import orchestrator.keeper_process")
    heavy = {"asyncssh", "asyncpg", "cryptography", "rich", "jinja2", "prometheus_client", "dns", "fabric"}
    assert heavy & modules == set()
    assert not {name for name in modules if name.split(".")[0] in ("probes", "runbooks")}
    assert not {name for name in modules if name.startswith(("aiohttp.web", "orchestrator.api"))} - {
        name for name in modules if name.startswith("aiohttp.web_")
    }


def test_a_controller_s_first_turn_waits_for_neither_ssh_nor_cryptography() -> None:
    modules = imported_by(LEAN + "import orchestrator.daemon")
    assert {"asyncssh", "cryptography", "rich", "fabric", "orchestrator.keeper"} & modules == set()


def test_a_controller_starts_its_keeper_before_it_brings_in_its_own_libraries() -> None:
    modules = imported_by(LEAN + "import orchestrator.controller_process")
    assert {
        "orchestrator.daemon",
        "orchestrator.site_controller",
        "jinja2",
        "prometheus_client",
    } & modules == set()


def test_what_is_left_out_of_the_libraries_fails_closed() -> None:
    """aiohttp's own default context knows no authority, so that it accepts no server."""
    program = (
        LEAN + "import ssl, aiohttp.connector as c; verified = c._SSL_CONTEXT_VERIFIED; "
        "assert verified.verify_mode is ssl.CERT_REQUIRED and verified.check_hostname; "
        "assert verified.get_ca_certs() == []; assert ssl.create_default_context().get_ca_certs() != []; "
        "import rich"
    )
    assert "rich" in imported_by(program), "whoever needs it later has it"


# --- who starts a keeper ----------------------------------------------------------------------------------


class Started:
    """A keeper that was started."""

    def __init__(self) -> None:
        self.terminated = False

    def poll(self) -> int | None:
        """It runs."""
        return None

    def terminate(self) -> None:
        """SIGTERM."""
        self.terminated = True


@pytest.fixture
def starts(monkeypatch: pytest.MonkeyPatch) -> list[Started]:
    """Every keeper that a controller's first moments start."""
    found: list[Started] = []

    def start(estate_path: Path, site: str) -> Any:
        found.append(Started())
        return found[-1]

    monkeypatch.setattr(controller_process, "_start_keeper", start)
    return found


def failing(monkeypatch: pytest.MonkeyPatch, *, adopted: bool) -> None:
    """The controller ends in trouble, before or after it was put together."""

    def run(path: Path, site: str, start: object, first: object, adopt: Any) -> int:
        if adopted:
            adopt()
        raise RuntimeError("in trouble")

    monkeypatch.setattr("orchestrator.daemon.run", run)


def test_a_controller_that_finds_no_keeper_starts_one_at_once(
    estate: Path, starts: list[Started], monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[object] = []

    def run(path: Path, site: str, start: object, first: object, adopt: Any) -> int:
        given.append(first)
        adopt()
        return 0

    monkeypatch.setattr("orchestrator.daemon.run", run)
    assert controller_process.run_controller(estate, "durham") == 0
    assert given == starts
    assert len(starts) == 1
    assert not starts[0].terminated


def test_a_controller_that_finds_a_keeper_starts_none(
    estate: Path, starts: list[Started], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.daemon.run", lambda *given: 0)
    (estate.parent / "durham").mkdir()
    with lock_directory(estate.parent / "durham", KEEPER):
        controller_process.run_controller(estate, "durham")
    assert starts == []


@pytest.mark.parametrize("adopted", [False, True])
def test_a_keeper_outlives_its_controller_but_not_one_that_could_never_start(
    estate: Path, starts: list[Started], monkeypatch: pytest.MonkeyPatch, *, adopted: bool
) -> None:
    failing(monkeypatch, adopted=adopted)
    with pytest.raises(RuntimeError):
        controller_process.run_controller(estate, "durham")
    assert starts[0].terminated is not adopted


def test_of_a_faulty_estate_every_fault_is_told_and_no_keeper_started(
    estate: Path, starts: list[Started]
) -> None:
    estate.write_text(ESTATE.replace("rank: 1}", "rank: one, runbooks: {promote: no/such}}"))
    with pytest.raises(EstateInvalid) as caught:
        controller_process.run_controller(estate, "durham")
    assert [fault.where for fault in caught.value.faults] == [
        "services.crm.rank",
        "services.crm.runbooks.promote",
    ]
    assert starts == []


def test_a_keeper_that_somebody_else_has_started_is_waited_for(tmp_path: Path) -> None:
    started: list[Started] = []

    def start() -> Started:
        started.append(Started())
        return started[-1]

    starts = KeeperStarts(start, tmp_path, lambda code: None)
    with lock_directory(tmp_path, KEEPER):
        starts.missing("no answer yet")
        assert started == []
    starts.missing("no answer")
    assert len(started) == 1


def test_a_keeper_that_was_started_first_is_not_started_again_while_it_is_on_its_way(tmp_path: Path) -> None:
    started: list[Started] = []

    def start() -> Started:
        started.append(Started())
        return started[-1]

    KeeperStarts(start, tmp_path, lambda code: None, first=Started()).missing("no answer yet")
    assert started == []


def test_one_that_waits_has_the_lock_as_soon_as_the_other_one_ends(tmp_path: Path) -> None:
    first = lock_directory(tmp_path, KEEPER)
    assert is_locked(tmp_path, KEEPER)
    with pytest.raises(AlreadyRuns):
        lock_directory(tmp_path, KEEPER)
    got: list[Any] = []
    waiting = threading.Thread(target=lambda: got.append(lock_directory(tmp_path, KEEPER, wait=True)))
    waiting.start()
    time.sleep(0.05)
    assert got == []
    first.close()
    waiting.join(20)
    assert is_locked(tmp_path, KEEPER)
    got[0].close()
    assert not is_locked(tmp_path, KEEPER)
    assert not is_locked(tmp_path / "nowhere", KEEPER)


# --- what comes late --------------------------------------------------------------------------------------


class Driver:
    """Says what it was asked."""

    def __init__(self) -> None:
        self.closed = False

    async def fence(self, site: str, *, within_seconds: float) -> Fenced:
        return Fenced(True, site)

    async def close(self, site: str, *, within_seconds: float) -> Closed:
        return Closed(None, site)

    async def aclose(self) -> None:
        self.closed = True


class Carrier:
    """A transport that says how much time it was given."""

    def __init__(self) -> None:
        self.given: list[float] = []
        self.closed = False

    async def run(
        self,
        host: Host,
        command: str,
        *,
        timeout_seconds: float,
        stdin: str = "",
        said: Said | None = None,
    ) -> Completed:
        self.given.append(timeout_seconds)
        return Completed(0, command, "", 0.0)

    async def aclose(self) -> None:
        self.closed = True


async def test_a_fence_that_is_ordered_before_the_drivers_are_there_waits_for_them() -> None:
    there, driver, carrier = threading.Event(), Driver(), Carrier()

    def make() -> tuple[Mapping[str, Cutter], Transport]:
        return {"crm": driver}, carrier

    hands = LateHands(["crm"], lambda: bool(there.wait(20)) or None, make)
    assert hands.services == {"crm"}
    fencing = asyncio.create_task(hands.of("crm"))
    ready = asyncio.create_task(hands.ready())
    await asyncio.sleep(0.02)
    assert not fencing.done()
    there.set()
    assert await fencing is driver
    await ready
    await hands.aclose()
    assert driver.closed
    assert carrier.closed


async def test_drivers_that_cannot_be_made_are_tried_again_at_the_next_order() -> None:
    tries: list[int] = []

    def bring() -> None:
        tries.append(1)
        if len(tries) == 1:
            raise ImportError("half an update")

    hands = LateHands(["crm"], bring, lambda: ({"crm": Driver()}, Carrier()))
    with pytest.raises(ImportError):
        await hands.ready()
    await hands.ready()
    assert len(tries) == 2
    await hands.aclose()


async def test_hands_that_nobody_needed_have_nothing_to_close() -> None:
    await LateHands(["crm"], lambda: None, lambda: ({}, Carrier())).aclose()
    driver = Driver()
    await ReadyHands({"crm": driver}).aclose()
    assert driver.closed


HOST = Host.model_validate({"address": "127.0.0.1", "user": "nobody"})


async def test_the_first_command_waits_for_its_library_and_the_time_counts() -> None:
    carrier = Carrier()
    transport = LateTransport(lambda: time.sleep(0.1), lambda: carrier)
    done = await asyncio.gather(*(transport.run(HOST, f"{n}", timeout_seconds=20) for n in range(2)))
    assert [each.stdout for each in done] == ["0", "1"]
    assert all(given <= 19.9 for given in carrier.given)
    await transport.run(HOST, "2", timeout_seconds=20)
    assert carrier.given[-1] == 20
    await transport.aclose()
    assert carrier.closed


async def test_a_command_whose_time_is_over_before_its_library_is_there_was_not_started() -> None:
    there, carrier = threading.Event(), Carrier()
    transport = LateTransport(lambda: bool(there.wait(20)) or None, lambda: carrier)
    with pytest.raises(HostUnreachable, match="not started"):
        await transport.run(HOST, "true", timeout_seconds=0.05)
    assert carrier.given == []
    closing = asyncio.create_task(transport.aclose())
    there.set()
    await closing
    assert carrier.closed
