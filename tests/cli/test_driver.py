"""`twinsite driver check`: a real thing of files and scripts, over SSH to a server in its own process."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.cli.conftest import Command
from tests.sites.command.ledgers import DURHAM, MORPETH, SCRIPT, commands
from tests.sites.ssh.servers import Served, lab_process

GOLDEN = """\
run   durham/tree: sh BASE/ledger.sh BASE 'durham' look
      status 0, N ms: role: primary | system-id: ledger-7 | history: first | writable: yes | offset: 2
ok    durham: primary, accepts writes, at 2 of first, identity ledger-7
run   morpeth/tree: sh BASE/ledger.sh BASE 'morpeth' look
      status 0, N ms: role: standby | system-id: ledger-7 | history: first | writable: no | offset: 2
      | replayed: 2 | streaming: yes
ok    morpeth: standby, accepts no writes, receives, at 2 of first, replayed 2, identity ledger-7
look  no `close`; refused without it: planned moves (word-missing)
look  no `rebuild`; refused without it: runbooks with `replication.rebuild` (word-missing)
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A host that runs what it is told."""
    with lab_process(tmp_path_factory.mktemp("ssh")) as (place, _):
        yield place


@pytest.fixture
def base(estate: Path, served: Served, tmp_path: Path) -> Path:
    """The folder of a pair that stands still; the estate has it as the service `tree`."""
    shutil.copy(SCRIPT, tmp_path / "ledger.sh")
    for site, role in ((DURHAM, "primary"), (MORPETH, "standby")):
        folder = tmp_path / site
        folder.mkdir()
        for name, text in (("role", role), ("id", "ledger-7"), ("history", "first"), ("rows", "1")):
            (folder / name).write_text(f"{text}\n")
        for name in ("running", "descent"):
            (folder / name).touch()
    (tmp_path / DURHAM / "open").touch()
    (tmp_path / MORPETH / "source").write_text(f"{DURHAM}\n")
    write(estate, served, tmp_path)
    return tmp_path


def write(estate: Path, served: Served, base: Path, **more: object) -> None:
    """The estate file, without the words `close` and `rebuild`, or with other settings."""
    settings = {"driver": "command", **commands(base / "ledger.sh", base), **more}
    for word in ("close", "rebuild"):
        settings.pop(word)
    host = {"address": served.host.address, "port": served.host.port, "user": served.host.user}
    ssh = {"known_hosts": str(served.base / "known_hosts"), "keys": [str(served.base / "client_key")]}
    text = yaml.safe_dump(
        {
            "version": 1,
            "store": {"endpoints": ["https://127.0.0.1:2379"]},
            "ssh": ssh,
            "sites": {site: {"state": site, "hosts": {"tree": host}} for site in (DURHAM, MORPETH)}
            | {"derwentside": {"witness": True}},
            "services": {
                "tree": {"home": DURHAM, "standby": MORPETH, "replication": settings},
                "plain": {"home": DURHAM, "standby": MORPETH},
            },
        }
    )
    estate.write_text(text)


def test_it_shows_what_was_run_what_came_back_and_what_will_be_refused(base: Path, twinsite: Command) -> None:
    answer = twinsite("driver", "check", "tree")
    assert answer.exit_code == 0, answer.output
    shown = re.sub(r"\d+ ms", "N ms", answer.stdout.replace(str(base), "BASE"))
    assert shown.split() == GOLDEN.split()
    assert sorted(path.name for path in (base / DURHAM).iterdir()) == [
        "descent", "history", "id", "open", "role", "rows", "running",
    ]  # fmt: skip


def test_one_site_and_json_for_programs(base: Path, twinsite: Command) -> None:
    answer = twinsite("driver", "check", "tree", "--site", "morpeth", "--json")
    assert answer.exit_code == 0, answer.output
    report = json.loads(answer.stdout)
    assert (report["service"], report["driver"], report["ok"], report["act"]) == (
        "tree",
        "command",
        True,
        None,
    )
    (site,) = report["sites"]
    (asked,) = site["asked"]
    assert (site["site"], site["role"], site["ok"], site["problems"]) == ("morpeth", "standby", True, [])
    assert (asked["host"], asked["exit_status"], asked["trouble"]) == ("tree", 0, "")
    assert [one["word"] for one in report["missing"]] == ["close", "rebuild"]


def test_an_answer_that_breaks_the_contract_is_a_fault(
    base: Path, estate: Path, served: Served, twinsite: Command
) -> None:
    write(estate, served, base, look={"run": "echo role: primary; echo colour: blue"})
    answer = twinsite("driver", "check", "tree", "--site", "durham")
    assert answer.exit_code == 1
    assert "FAULT durham: unknown: tree at durham (tree): `look` printed the key 'colour'" in answer.stdout
    assert answer.stderr == "tree: something is at fault, see above.\n"


def test_two_writable_sides_are_a_fault(base: Path, twinsite: Command) -> None:
    (base / MORPETH / "role").write_text("primary\n")
    (base / MORPETH / "open").touch()
    answer = twinsite("driver", "check", "tree")
    assert (answer.exit_code, "FAULT durham and morpeth both accept writes" in answer.stdout) == (1, True)


def test_what_an_answer_leaves_open_is_named_with_what_is_refused(
    base: Path, estate: Path, served: Served, twinsite: Command
) -> None:
    lines = "role: standby|writable: no|history: first|streaming: yes"
    write(estate, served, base, look={"run": f"echo '{lines}' | tr '|' '\\n'"})
    answer = twinsite("driver", "check", "tree", "--site", "morpeth")
    assert answer.exit_code == 0, answer.output
    said = " ".join(answer.stdout.split())
    assert "no position: nobody can tell when everything has arrived, so a planned move is refused" in said
    assert "neither an offset nor a lag: what a move would lose is unknown" in said


def test_a_word_that_acts_is_carried_out_when_the_sites_name_is_typed(
    base: Path, estate: Path, twinsite: Command
) -> None:
    from click.testing import CliRunner

    from orchestrator.cli.group import cli

    words = ["--config", str(estate), "driver", "check", "tree", "--site", "durham", "--word", "fence"]
    refused = CliRunner().invoke(cli, words, input="morpeth\n")
    assert (refused.exit_code, (base / DURHAM / "open").exists()) == (2, True)
    assert "That is not durham. Nothing was done." in refused.stderr
    done = CliRunner().invoke(cli, words, input="durham\n")
    assert (done.exit_code, (base / DURHAM / "open").exists()) == (0, False), done.output
    assert "`fence` of tree is carried out at durham now, past the lease" in done.stderr
    assert "`fence` ended well; tree at durham (tree) is down" in " ".join(done.stdout.split())


def test_a_promotion_beside_a_writable_primary_is_refused(base: Path, twinsite: Command) -> None:
    answer = twinsite("driver", "check", "tree", "--site", "morpeth", "--word", "promote")
    assert answer.exit_code == 3
    assert "Refused (old-primary-writable)" in answer.stderr
    assert not (base / MORPETH / "open").exists()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("tree", "--site", "durham", "--word", "close"), 3, "Refused (word-missing)"),
        (("tree", "--word", "fence"), 2, "Add --site durham or --site morpeth to --word fence."),
        (("tree", "--site", "gateshead"), 2, "tree is at durham and morpeth, not at 'gateshead'"),
        (("three",), 2, "There is no service 'three'; there are: plain, tree"),
        (("plain",), 3, "Refused (driver-missing)"),
    ],
)
def test_what_cannot_be_tried_is_said(
    base: Path, twinsite: Command, words: tuple[str, ...], code: int, said: str
) -> None:
    answer = twinsite("driver", "check", *words)
    assert (answer.exit_code, said in answer.stderr) == (code, True), answer.output
