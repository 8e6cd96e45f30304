"""Reading runbooks: found by name, and every fault with its place, all at once."""

from pathlib import Path

import pytest

from runbooks.actions import shipped_actions
from runbooks.errors import RunbookUnknown
from runbooks.library import SHIPPED, Library, RunbookInvalid
from runbooks.model import InDoubt, Kind, OnFailure, Runbook
from sites.faults import Fault

LIBRARY = Library(shipped_actions())

GOOD = """\
runbook: promote
title: Make {{ service }} primary here
for: postgres
inverse: postgres/demote
parameters: {nodes: {default: 2}, who: {}}
steps:
  - id: stop
    action: ssh
    host: "{{ from_site.hosts['crm-app'] }}"
    run: stop-app --nodes {{ parameters.nodes }}
    timeout: 5m
    retries: 2
    backoff: 500ms
    if_unreachable: continue
    during: switchover
  - id: start
    title: Start it
    needs: [stop]
    action: ssh
    host: "{{ to_site.hosts['crm-app'] }}"
    unless: pgrep app
    run: start-app
    verify: {probe: login page, within: 30s}
    on_failure: continue
    in_doubt: rerun
    undo: {run: stop-app}
"""


def parse(text: str) -> Runbook:
    return LIBRARY.parse(text, file="x.yaml", name="x")


def faults(text: str) -> tuple[Fault, ...]:
    with pytest.raises(RunbookInvalid) as caught:
        parse(text)
    return caught.value.faults


def with_step(*lines: str, more: str = "") -> str:
    """A runbook of one sound step and one made of `lines`."""
    step = "".join(f"    {line}\n" for line in lines)
    return (
        f"runbook: x\ntitle: X\n{more}steps:\n  - id: first\n    action: notify\n    message: hi\n  -\n{step}"
    )


def test_a_runbook_is_read_with_everything_it_says() -> None:
    runbook = parse(GOOD)
    stop, start = runbook.steps
    assert (stop.timeout_seconds, stop.retries, stop.backoff_seconds) == (300.0, 2, 0.5)
    assert stop.during == [Kind.SWITCHOVER]
    assert stop.arguments["run"] == "stop-app --nodes {{ parameters.nodes }}"
    assert (start.needs, start.on_failure, start.in_doubt) == (["stop"], OnFailure.CONTINUE, InDoubt.RERUN)
    assert start.unless is not None
    assert start.unless.run == "pgrep app"
    assert start.verify is not None
    assert start.verify.within_seconds == 30.0
    assert not runbook.parameters["nodes"].required
    assert runbook.parameters["who"].required
    assert len(runbook.source_sha256) == 64


ONE_FAULT = {
    "unknown step": (["id: a", "action: notify", "message: x", "needs: [frist]"], "'frist'", "first", 11),
    "itself": (["id: a", "action: notify", "message: x", "needs: [a]"], "itself", "other steps", 11),
    "duplicate id": (["id: first", "action: notify", "message: x"], "again", "an id of its own", 8),
    "unknown action": (["id: a", "action: replicaton.promote"], "replicaton", "replication.promote", 9),
    "near action": (["id: a", "action: promote"], "promote", "replication.promote", 9),
    "unknown parameter of an action": (
        ["id: a", "action: notify", "mesage: x", "message: y"],
        "unknown key 'mesage'",
        "message",
        10,
    ),
    "missing parameter of an action": (["id: a", "action: notify"], "no 'message'", "", 8),
    "bad duration": (["id: a", "action: wait", "for: 5"], "'5'", "500ms", 10),
    "bad timeout": (["id: a", "action: notify", "message: x", "timeout: soon"], "'soon'", "500ms", 11),
    "approve without an expiry": (["id: a", "action: approve", "ask: x"], "no 'expires'", "", 8),
    "person without who": (["id: a", "action: person", "ask: x", "expect: 5m"], "no 'who'", "", 8),
    "unknown name": (["id: a", "action: notify", 'message: "{{ servic }}"'], "servic", "service", 10),
    "unknown parameter": (
        ["id: a", "action: notify", 'message: "{{ parameters.x }}"'],
        "parameters has no x",
        "no parameters",
        10,
    ),
    "two questions": (
        ["id: a", "action: notify", "message: x", "verify: {probe: a, role: primary}"],
        "",
        "exactly one of",
        11,
    ),
    "no question": (
        ["id: a", "action: notify", "message: x", "verify: {at: to_site}"],
        "",
        "exactly one",
        11,
    ),
    "a command without a host": (
        ["id: a", "action: notify", "message: x", "unless: 'true'"],
        "without a host",
        "a host",
        11,
    ),
    "within in unless": (
        ["id: a", "action: notify", "message: x", "unless: {role: primary, at: to_site, within: 5s}"],
        "within",
        "verify",
        11,
    ),
    "bad kind": (["id: a", "action: notify", "message: x", "during: [failovr]"], "'failovr'", "failover", 11),
    "negative retries": (["id: a", "action: notify", "message: x", "retries: -1"], "'-1'", "at least 0", 11),
    "bad id": (["id: A b", "action: notify", "message: x"], "'A b'", "lower-case letters", 8),
    "text where the shell could run it": (
        ["id: a", "action: ssh", 'host: "{{ to_site.hosts.x }}"', "run: echo '{{ service }}'"],
        "inside single quotes",
        "outside of any quotes",
        11,
    ),
    "a value in a query": (["id: a", "action: sql", "statement: select {{ service }}"], "", "$1", 10),
    "secret": (["id: a", "action: notify", "message: !env PASSWORD"], "secret", "no secrets", 10),
}


@pytest.mark.parametrize("name", ONE_FAULT)
def test_one_fault_is_said_with_its_line_what_was_found_and_what_is_expected(name: str) -> None:
    lines, found, expected, line = ONE_FAULT[name]
    (fault,) = faults(with_step(*lines))
    assert (fault.file, fault.line) == ("x.yaml", line)
    assert found in fault.found
    assert expected in fault.expected
    assert "^" in fault.render()


def test_a_circle_of_needs_is_shown_in_its_order() -> None:
    text = (
        "runbook: x\ntitle: X\nsteps:\n"
        "  - {id: a, action: notify, message: x, needs: [c]}\n"
        "  - {id: b, action: notify, message: x, needs: [a]}\n"
        "  - {id: c, action: notify, message: x, needs: [b]}\n"
        "  - {id: d, action: notify, message: x, needs: [c]}\n"
    )
    (fault,) = faults(text)
    assert "a needs c needs b needs a" in fault.found


def test_all_faults_are_said_at_once_in_the_order_of_the_file() -> None:
    found = faults(
        "runbook: X y\ntitel: X\nsteps:\n"
        "  - {id: a, action: nothing, needs: [b]}\n"
        "  - {id: a, action: wait, for: 5, timeout: 0s}\n"
    )
    lines = [fault.line for fault in found]
    assert lines == sorted(lines)
    assert len(found) >= 7


def test_a_fault_in_the_head_does_not_hide_those_in_the_steps() -> None:
    found = faults("title: X\nsteps:\n  - {id: a, action: nothing}\n")
    assert {"runbook", "steps[0].action"} <= {fault.where for fault in found}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "- a",
        "runbook: [",
        "runbook: x\ntitle: y\nsteps: []",
        "runbook: x\ntitle: y\nsteps: 5",
        "a: b: c",
    ],
)
def test_what_is_no_runbook_at_all_is_a_fault_and_no_traceback(text: str) -> None:
    assert faults(text)


def test_what_is_still_to_be_filled_in_is_judged_when_it_is() -> None:
    text = with_step(
        "id: a", "action: wait", 'for: "{{ parameters.pause }}"', more="parameters: {pause: {default: 5s}}\n"
    )
    assert parse(text).steps[1].arguments["for"] == "{{ parameters.pause }}"


def test_an_inverse_that_does_not_exist_is_a_fault() -> None:
    (fault,) = faults(GOOD.replace("postgres/demote", "postgres/nothing"))
    assert fault.where == "inverse"


# -- finding ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LIBRARY.names())
def test_every_runbook_that_ships_is_sound_and_has_its_way_back(name: str) -> None:
    runbook = LIBRARY.load(name)
    assert runbook.name == name
    assert runbook.inverse in LIBRARY.names()


def test_the_shipped_runbooks_are_found_by_their_path() -> None:
    assert {"postgres/promote", "postgres/demote", "postgres/rejoin"} <= set(LIBRARY.names())
    assert LIBRARY.find("postgres/promote") == SHIPPED / "postgres" / "promote.yaml"


def test_a_folder_of_ones_own_comes_before_the_shipped_runbooks(tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir()
    own = tmp_path / "postgres" / "promote.yaml"
    own.write_text(GOOD)
    library = Library(shipped_actions(), (tmp_path,))
    assert library.find("postgres/promote") == own
    assert library.load("postgres/promote").parameters
    assert library.find("postgres/demote").parent == SHIPPED / "postgres"


@pytest.mark.parametrize("name", ["postgres/promot", "../secret", "/etc/passwd", "", "a//b", "promote"])
def test_an_unknown_name_says_what_there_is(name: str) -> None:
    with pytest.raises(RunbookUnknown, match=r"there are|perhaps"):
        LIBRARY.find(name)


def test_a_file_that_is_no_text_or_too_large_or_not_there_is_said_so(tmp_path: Path) -> None:
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RunbookInvalid, match="UTF-8"):
        LIBRARY.load_file(binary)
    large = tmp_path / "large.yaml"
    large.write_bytes(b"# \n" * 600_000)
    with pytest.raises(RunbookInvalid, match="smaller"):
        LIBRARY.load_file(large)
    with pytest.raises(RunbookUnknown, match="cannot be read"):
        LIBRARY.load_file(tmp_path / "none.yaml")
    with pytest.raises(RunbookUnknown, match="cannot be read"):
        LIBRARY.load_file(tmp_path)
