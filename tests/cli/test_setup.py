"""Setting up: the estate file, its schema, runbooks, completion, daemons' arguments."""

import json
import socket
import subprocess
from pathlib import Path

import click
import pytest

from orchestrator import daemon
from orchestrator.cli.look import explain
from orchestrator.cli.options import SERVICE, SITE
from orchestrator.last_words import StartedKeeper
from sites.inventory import EstateInvalid
from tests.cli import canned
from tests.cli.conftest import Command
from tests.sites.fencing import machines

ROOT = Path(__file__).parents[2]
RUNBOOK = """\
runbook: promote
title: Open it
for: postgres
inverse: postgres/demote
steps:
  - {id: database, title: Open it, action: replication.promote, timeout: 1m}
"""


def test_the_councils_own_estate_is_in_order(twinsite: Command) -> None:
    answer = twinsite("config", "check", str(ROOT / "sites.yaml"))
    assert answer.exit_code == 0, answer.stderr
    assert "sites.yaml: in order: 3 sites, " in answer.stdout


def test_every_fault_of_an_estate_file_is_told_at_once_with_its_line(estate: Path, twinsite: Command) -> None:
    estate.write_text(
        canned.ESTATE + "  hr: {home: gateshead, standby: durham, max_data_loss: five, rang: 3}\n"
    )
    answer = twinsite("config", "check")
    assert answer.exit_code == 2
    assert answer.stdout == ""
    line = len(canned.ESTATE.splitlines()) + 1
    faults = [text for text in answer.stderr.splitlines() if text.startswith(f"{estate}:{line}:")]
    assert [text.split(": ")[1] for text in faults] == [
        "services.hr.home",
        "services.hr.max_data_loss",
        "services.hr.rang",
    ]
    assert answer.stderr.splitlines()[-1].startswith(f"{estate}: 3 faults; ")


def test_a_runbook_that_does_not_exist_is_a_fault_of_the_service_that_names_it(
    estate: Path, twinsite: Command
) -> None:
    estate.write_text(canned.ESTATE.replace("rank: 1}", "rank: 1, runbooks: {promote: oracle/promot}}"))
    answer = twinsite("config", "check")
    assert answer.exit_code == 2
    line = next(n for n, text in enumerate(estate.read_text().splitlines(), 1) if "promot}" in text)
    assert f"{estate}:{line}:" in answer.stderr
    assert (
        "services.ebs.runbooks.promote: no runbook 'oracle/promot' among those shipped, and" in answer.stderr
    )


def test_faults_of_runbooks_are_told_beside_all_others_with_both_places(
    estate: Path, twinsite: Command
) -> None:
    own = estate.parent / "runbooks"
    own.mkdir()
    (own / "open.yaml").write_text(RUNBOOK.replace("timeout: 1m", "timeout: soon, on_failur: stop"))
    text = canned.ESTATE.replace("rank: 1}", "rank: one, runbooks: {promote: open, demote: shut}}")
    text = text.replace("rank: 2}", "rank: 2, runbooks: {promote: open}}") + "runbook_path: [runbooks]\n"
    estate.write_text(text)
    answer = twinsite("config", "check")
    assert answer.exit_code == 2
    *told, last = [line for line in answer.stderr.splitlines() if line.startswith(f"{estate}:")]
    crm, ebs = text.splitlines()[7:9]
    assert [line.split(": ")[:2] for line in told] == [
        [f"{estate}:8:{crm.index('open') + 1}", "services.crm.runbooks.promote"],
        [f"{estate}:8:{crm.index('open') + 1}", "services.crm.runbooks.promote"],
        [f"{estate}:9:{ebs.index('one') + 1}", "services.ebs.rank"],
        [f"{estate}:9:{ebs.index('open') + 1}", "services.ebs.runbooks.promote"],
        [f"{estate}:9:{ebs.index('shut') + 1}", "services.ebs.runbooks.demote"],
    ]
    assert f"the runbook open has a fault: {own / 'open.yaml'}:6:" in told[0]
    assert "the runbook open again; see services.crm.runbooks.promote" in told[3]
    assert f"no runbook 'shut' in {own} or among those shipped; " in told[4]
    assert last.endswith(": 5 faults; nothing uses the file until they are mended.")


def _nobody() -> StartedKeeper:
    raise AssertionError("no keeper is started for an estate that is not understood")


async def test_a_controller_does_not_start_with_a_runbook_that_is_not_there(estate: Path) -> None:
    estate.write_text(canned.ESTATE.replace("rank: 1}", "rank: one, runbooks: {promote: oracle/promot}}"))
    with pytest.raises(EstateInvalid) as caught:
        await daemon._run(estate, "durham", _nobody, None, lambda: None)
    assert [fault.where for fault in caught.value.faults] == [
        "services.ebs.rank",
        "services.ebs.runbooks.promote",
    ]


def test_a_missing_secret_is_a_fault_only_where_it_is_needed(estate: Path, twinsite: Command) -> None:
    own = "{endpoints: ['https://127.0.0.1:2379'], user: durham, password: !env TWINSITE_NOT_SET}"
    estate.write_text(canned.ESTATE.replace("state: durham}", f"state: durham, store: {own}}}"))
    assert twinsite("config", "check").exit_code == 0
    assert twinsite("--site", "morpeth", "config", "check").exit_code == 0
    answer = twinsite("--site", "durham", "config", "check")
    assert answer.exit_code == 2
    assert "TWINSITE_NOT_SET" in answer.stderr


def test_the_schema_is_json_schema_for_editors(twinsite: Command) -> None:
    answer = twinsite("config", "schema")
    assert answer.exit_code == 0
    schema = json.loads(answer.stdout)
    assert schema["$schema"].startswith("https://json-schema.org/")
    assert {"sites", "services", "store"} <= set(schema["properties"])


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_a_script_for_the_shell(twinsite: Command, shell: str) -> None:
    answer = twinsite("completion", shell)
    assert answer.exit_code == 0
    assert "_TWINSITE_COMPLETE" in answer.stdout


def test_the_completion_script_of_bash_is_sound(tmp_path: Path, twinsite: Command) -> None:
    script = tmp_path / "completion.sh"
    script.write_text(twinsite("completion", "bash").stdout)
    assert subprocess.run(["bash", "-n", str(script)], check=False).returncode == 0


def test_names_are_completed_from_the_estate(
    estate: Path, twinsite: Command, monkeypatch: pytest.MonkeyPatch
) -> None:

    parent = click.Context(explain, info_name="twinsite")
    parent.params = {"config": estate}
    context = click.Context(explain, parent=parent)
    parameter = explain.params[0]
    assert [item.value for item in SERVICE.shell_complete(context, parameter, "e")] == ["ebs"]
    assert [item.value for item in SITE.shell_complete(context, parameter, "d")] == ["durham", "derwentside"]
    estate.write_text("{")
    assert SERVICE.shell_complete(context, parameter, "e") == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["controller"], "--site SITE"),
        (["controller", "--site", "gateshead"], "there is no site 'gateshead'"),
        (["controller", "--site", "derwentside"], "derwentside is the witness; run there: twinsite witness"),
        (["keeper", "--site", "derwentside"], "derwentside is the witness"),
        (["witness", "--site", "durham"], "durham is no witness; run there: twinsite controller"),
    ],
)
def test_a_daemon_of_a_site_that_cannot_have_it_is_wrong_usage(
    twinsite: Command, arguments: list[str], said: str
) -> None:
    answer = twinsite(*arguments)
    assert answer.exit_code == 2
    assert said in answer.stderr


def test_an_estate_without_hosts_has_none_to_try(twinsite: Command) -> None:
    answer = twinsite("hosts", "check")
    assert answer.exit_code == 0
    assert "no hosts are named there" in answer.stdout


def test_a_host_that_refuses_is_a_line_with_what_to_do(estate: Path, twinsite: Command) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        host = f"{{address: 127.0.0.1, port: {taken.getsockname()[1]}}}"
        hosts = f"state: durham, hosts: {{crm-db: {host}}}}}"
        estate.write_text(canned.ESTATE.replace("state: durham}", hosts))
        answer = twinsite("hosts", "check")
    assert answer.exit_code == 1
    assert answer.stdout.startswith("FAULT durham/crm-db twinsite@127.0.0.1:")
    assert "connection refused" in answer.stdout
    assert answer.stdout.count("FAULT") == 1
    assert answer.stderr == "1 of 1 hosts have faults.\n"


def test_the_devices_that_a_site_uses_are_asked_and_nothing_is_switched(
    estate: Path, twinsite: Command, tmp_path: Path
) -> None:
    agent, machine = machines.agent(tmp_path), machines.machine(tmp_path, "crm-db-power")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        options = f"{{machine: {machine}, password: !env HOME}}"
        device = f"{{agent: {agent}, from: morpeth, options: {options}}}"
        host = f"{{address: 127.0.0.1, port: {taken.getsockname()[1]}, fence: [{device}]}}"
        estate.write_text(
            canned.ESTATE.replace("state: durham}", f"state: durham, hosts: {{crm-db: {host}}}}}")
        )
        answer = twinsite("fence", "check", "--site", "morpeth")
        assert (answer.exit_code, answer.stderr) == (0, "")
        assert answer.stdout == "ok    durham/crm-db fence_test (level 1) | options known, on\n"
        machine.write_text("off\n")
        answer = twinsite("fence", "check", "--site", "morpeth")
        assert answer.stdout.startswith("look  durham/crm-db fence_test (level 1) | power: off; switch it on")
        estate.write_text(estate.read_text().replace("machine:", "mashine:"))
        answer = twinsite("fence", "check", "--site", "morpeth")
    assert answer.exit_code == 1
    assert (
        "FAULT durham/crm-db fence_test (level 1) | options: unknown to the agent: mashine" in answer.stdout
    )
    assert answer.stderr == "1 of 1 devices have faults.\n"
    assert twinsite("fence", "check", "--site", "durham").stdout.endswith("durham uses no devices.\n")
    assert twinsite("fence", "check").exit_code == 2
    assert set(Path(f"{machine}.asked").read_text().split()) == {"status"}
