"""What a step says is bounded, however much and whatever it is: over OpenSSH's own server, through the
wrapper, into the journal on disk."""

from functools import partial
from pathlib import Path

import pytest

from orchestrator.clock import boottime_ns, wall_unix_seconds
from orchestrator.journal import SqliteJournal
from runbooks import remote
from runbooks.context import EVIDENCE_LIMIT_CHARACTERS
from runbooks.engine import Outcome
from runbooks.journal import dumped
from runbooks.progress import StepState, fold
from sites.ssh import SshTransport
from sites.transport import OUTPUT_LIMIT_BYTES
from sites.wrapper import run_wrapped
from tests.runbooks.worlds import ESTATE, World, plan_of_steps, step
from tests.sites.ssh.servers import Served, openssh

pytestmark = pytest.mark.slow
GIBIBYTE = 1 << 30
MOST_MEMORY_BYTES = 64 << 20


async def carried_out(place: Served, folder: Path, command: str) -> tuple[Outcome, int]:
    """A step that runs the command there; how its run ended, and how many bytes its records have on disk."""
    site = ESTATE.sites["durham"].model_copy(update={"hosts": {"crm-db": place.host}})
    estate = ESTATE.model_copy(update={"sites": {**ESTATE.sites, "durham": site}})
    transport = SshTransport(place.spec, place.base)
    journal = await SqliteJournal.open(folder / "journal.sqlite")
    world = World(
        transport=transport, journal=journal, estate=estate, now=boottime_ns, wall=wall_unix_seconds
    )
    loud = step(
        "loud",
        action="ssh",
        host="durham/crm-db",
        arguments={"host": "durham/crm-db", "run": command},
        timeout_seconds=900.0,
    )
    try:
        ended = await world.carry_out(plan_of_steps(loud))
        records = await journal.read("run-1")
    finally:
        await journal.aclose()
        await transport.aclose()
    assert fold(ended.progress.plan, records).steps == ended.progress.steps
    return ended, sum(len(dumped(record.event)) for record in records)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder, with the wrapper's book in it rather than in somebody's home."""
    monkeypatch.setattr(remote, "run_wrapped", partial(run_wrapped, lock_directory=str(tmp_path / "steps")))
    return tmp_path


def most_memory_bytes() -> int:
    """The most that this process has had of memory, since it was last forgotten."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


def forget_most_memory() -> int:
    """From here on anew; what it has now."""
    Path("/proc/self/clear_refs").write_text("5")
    return most_memory_bytes()


async def test_a_step_that_says_a_gibibyte_ends_by_its_own_status_in_bounded_memory_and_journal(
    here: Path,
) -> None:
    with openssh(here) as (place, _):
        before = forget_most_memory()
        command = f"echo first; head -c {GIBIBYTE} /dev/zero; echo; echo why it failed; exit 3"
        ended, journal_bytes = await carried_out(place, here, command)
        grown = most_memory_bytes() - before
    found = ended.progress.steps["p/loud"]
    assert (found.state, found.exit_status) == (StepState.FAILED, 3)
    assert found.evidence.startswith("exit 3: first\n")
    left_out = GIBIBYTE + len("first\n\nwhy it failed\n") - OUTPUT_LIMIT_BYTES
    said = int(found.evidence.partition("of its output ")[2].split()[0])
    assert left_out <= said <= left_out + 100, "all but what is kept was left out, and it says how much"
    assert "why it failed" in found.evidence
    assert len(found.evidence) <= EVIDENCE_LIMIT_CHARACTERS + 100
    assert grown < MOST_MEMORY_BYTES
    assert journal_bytes < 10 * EVIDENCE_LIMIT_CHARACTERS


@pytest.mark.parametrize(
    "command",
    [
        r"printf 'a\377\303b\000\033[2J\r\n'; exit 5",
        "head -c 3000000 /dev/urandom; exit 5",
        "yes | head -c 5000000; head -c 3000000 /dev/urandom >&2; exit 5",
    ],
    ids=["broken text", "binary", "both streams"],
)
async def test_whatever_a_step_says_its_record_is_text_that_does_no_harm(here: Path, command: str) -> None:
    with openssh(here) as (place, _):
        ended, _ = await carried_out(place, here, command)
    found = ended.progress.steps["p/loud"]
    assert (found.state, found.exit_status) == (StepState.FAILED, 5)
    assert len(found.evidence) <= EVIDENCE_LIMIT_CHARACTERS + 100
    assert not {"\x00", "\x1b", "\x7f"} & set(found.evidence)
