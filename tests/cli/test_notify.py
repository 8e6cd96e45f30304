"""Messages to people, from the command: who is told of what, what waits, a test."""

from pathlib import Path

import pytest

from orchestrator.api.paging_shapes import (
    PageState,
    PagingState,
    ReceiverState,
    ToldStatus,
    TriedAddress,
    TriedReceivers,
    WaitingMessage,
)
from orchestrator.api.shapes import Acted
from tests.cli.conftest import Command
from tests.cli.fake_controller import FakeController
from tests.support.receivers import free_port

RECEIVER = ReceiverState(
    receiver="on-call",
    addresses=["!env ONCALL_URL", "mailto://…"],
    when=["failover", "refused"],
    severity="warning",
    next="managers",
    escalate_after_seconds=600.0,
    quiet_until="",
    waiting=1,
    trouble="no answer within 20 s; the try was ended",
    trouble_since="2027-01-15T08:00:00Z",
    last_sent="2027-01-15T07:00:00Z",
    outcomes={"sent": 3, "failed": 2},
)
PAGE = PageState(
    key="down:crm",
    topic="down",
    severity="critical",
    headline="crm is down: primary dead",
    service="crm",
    site="",
    since="2027-01-15T08:00:00Z",
    by="morpeth",
    told=[ToldStatus(receiver="on-call", state="failing", by="morpeth")],
    acknowledged="",
    command="twinsite explain crm",
)
WAITING = WaitingMessage(
    receiver="on-call",
    reason="first",
    severity="critical",
    title="CRITICAL: crm is down: primary dead",
    written="2027-01-15T08:00:00Z",
    age_seconds=300.0,
    tries=4,
)
STATE = PagingState(
    site="durham", receivers=[RECEIVER], pages=[PAGE], waiting=[WAITING], problems=["on-call cannot be told"]
)
EMPTY = PagingState(site="durham", receivers=[], pages=[], waiting=[], problems=[])


def test_the_list_says_who_is_told_what_goes_on_and_what_is_wrong(
    durham: FakeController, twinsite: Command
) -> None:
    durham.says("GET", "/v1/paging", STATE)
    told = " ".join(twinsite("notify", "list").stdout.split())
    for said in (
        "on-call (!env ONCALL_URL, mailto://…): told of failover, refused, warning and worse",
        "after 10 min without an answer managers",
        "1 WAITING; FAILING since",
        "critical: crm is down: primary dead",
        "told by morpeth: on-call: failing; NOT acknowledged",
        "on-call cannot be told",
    ):
        assert said in told


def test_where_nobody_is_told_the_list_says_so(durham: FakeController, twinsite: Command) -> None:
    durham.says("GET", "/v1/paging", EMPTY)
    assert "nobody is told of anything" in twinsite("notify", "list").stdout


def test_the_outbox(durham: FakeController, twinsite: Command) -> None:
    durham.says("GET", "/v1/paging", STATE, EMPTY)
    told = " ".join(twinsite("notify", "outbox").stdout.split())
    assert told.startswith("on-call: CRITICAL: crm is down: primary dead (first, 5 min ago, 4 tries: no")
    assert twinsite("notify", "outbox").stdout == "Nothing waits.\n"


def test_both_as_json(durham: FakeController, twinsite: Command) -> None:
    durham.says("GET", "/v1/paging", STATE)
    for verb in ("list", "outbox"):
        answer = twinsite("notify", verb, "--json")
        assert PagingState.model_validate_json(answer.stdout) == STATE


def test_a_test_tells_each_outcome_and_fails_if_one_does(durham: FakeController, twinsite: Command) -> None:
    good = TriedAddress(receiver="on-call", address="mailto://…", ok=True, words="")
    bad = TriedAddress(receiver="team", address="!env TEAM", ok=False, words="it answered 500")
    durham.says(
        "POST", "/v1/paging/test", TriedReceivers(results=[good]), TriedReceivers(results=[good, bad])
    )
    answer = twinsite("notify", "test", "--to", "on-call")
    assert (answer.exit_code, answer.stdout) == (0, "on-call: mailto://…: ok\n")
    assert durham.bodies("/v1/paging/test") == [{"receivers": ["on-call"]}]
    answer = twinsite("notify", "test")
    assert answer.exit_code == 1
    assert "team: !env TEAM: FAILED: it answered 500" in answer.stdout
    assert "1 of 2 did not take it" in answer.stderr


def test_a_template_is_printed_to_begin_with(twinsite: Command) -> None:
    assert "{{ event.headline }}" in twinsite("notify", "template", "body").stdout
    assert twinsite("notify", "template", "footer").exit_code == 2


def test_acknowledging_a_site(durham: FakeController, twinsite: Command) -> None:
    durham.says("POST", "/v1/acknowledge", Acted(lines=["taken on: Durham is down"]))
    answer = twinsite("acknowledge", "--site", "durham", "--reason", "power cut")
    assert answer.exit_code == 0
    assert durham.bodies("/v1/acknowledge")[0]["site"] == "durham"


def with_receiver(estate_text: str, tmp_path: Path, notify: str) -> Path:
    path = tmp_path / "sites.yaml"
    path.write_text(estate_text + notify, encoding="utf-8")
    return path


ESTATE = """\
version: 1
store: {endpoints: ["https://a.example:2379", "https://b.example:2379", "https://c.example:2379"]}
sites: {durham: {}, morpeth: {}, derwentside: {witness: true}}
services: {crm: {home: durham, standby: morpeth}}
"""


def test_a_test_from_here_needs_no_controller(twinsite: Command, tmp_path: Path) -> None:
    notify = f"notify: [{{name: am, when: [all], to: 'alertmanager://127.0.0.1:{free_port()}'}}]\n"
    path = with_receiver(ESTATE, tmp_path, notify)
    answer = twinsite("--config", str(path), "notify", "test", "--here")
    assert answer.exit_code == 1
    assert answer.stdout.startswith("am: alertmanager://…: FAILED: Cannot connect")
    answer = twinsite("--config", str(path), "notify", "test", "--here", "--to", "ma")
    assert (answer.exit_code, "There is no receiver 'ma'" in answer.stderr) == (2, True)


@pytest.mark.parametrize(
    ("template", "said"),
    [
        (None, "there is no template mail.j2 beside this file; `twinsite notify template body` prints one"),
        ("{{ evnts }}", "the template mail.j2 is wrong: 'evnts' is undefined"),
        ("{% if %}", "the template mail.j2 is wrong: line 1"),
        ("\udce4", "the template mail.j2 is no text in UTF-8"),
    ],
)
def test_config_check_finds_a_template_that_is_wrong(
    twinsite: Command, tmp_path: Path, template: str | None, said: str
) -> None:
    if template is not None:
        (tmp_path / "mail.j2").write_bytes(template.encode("utf-8", "surrogateescape"))
    notify = (
        "notify:\n  - when: [all]\n    to: alertmanager://127.0.0.1:9093\n    templates: {body: mail.j2}\n"
    )
    answer = twinsite("config", "check", str(with_receiver(ESTATE, tmp_path, notify)))
    assert answer.exit_code == 2
    assert said in answer.stderr
    assert "sites.yaml:8:23: notify[0].templates.body" in answer.stderr


def test_config_check_finds_an_address_of_a_kind_that_does_not_exist(
    twinsite: Command, tmp_path: Path
) -> None:
    pytest.importorskip("apprise", reason="the extra `notify` is not installed")
    notify = "notify: [{when: [all], to: 'carrier-pigeon://loft'}]\n"
    answer = twinsite("config", "check", str(with_receiver(ESTATE, tmp_path, notify)))
    assert answer.exit_code == 2
    assert "carrier-pigeon://…: apprise makes nothing of this address" in answer.stderr
