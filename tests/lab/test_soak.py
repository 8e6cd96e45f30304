"""The soak: whatever must not happen on a day without a fault turns it red, whoever says it."""

import json
from dataclasses import fields, replace
from pathlib import Path

import pytest

from orchestrator.lab import soak, soak_words
from orchestrator.lab.run import INTERRUPTED
from orchestrator.lab.soak import Found, result, verdict
from orchestrator.lab.soak_words import Said, said_by, said_in

QUIET_DAY = [
    '{"services": ["crm", "ebs"], "event": "controller-started", "process": "controller"}',
    '{"service": "ebs", "decision": "hold", "code": "healthy", "event": "decided", "site": "morpeth"}',
    '{"probe": "query", "service": "crm", "before": "up", "now": "down", "event": "verdict_changed"}',
    "guard: refused: unknown-question: an answer to a question that is not outstanding",
    "guard: open",
    "651.854 durham: stopping",
]
BAD_LINES = {
    '{"service": "ebs", "why": "the lease ends", "event": "fencing", "site": "morpeth"}': "fences",
    "guard: closed in 87 ms (the deadline is near and no answer has moved it): stop: none left": "cuts",
    "guard: NOT CLOSED in 401 ms (ordered to fence): stop: 1 processes left": "cuts",
    '{"service": "ebs", "within_seconds": 5.0, "event": "closing", "process": "keeper"}': "give_ups",
    '{"service": "ebs", "decision": "take-over", "code": "take-over", "event": "decided"}': "decisions",
    '{"run": "ebs-failover-1", "kind": "failover", "service": "ebs", "event": "run-started"}': "runs",
    '{"site": "durham", "keeper": "k", "event": "keeper-started", "process": "keeper"}': "deaths",
    "651.854 durham: etcd ended with -9": "deaths",
    "guard: proxy: its process ended with -9; it is started again": "deaths",
}


def a_day(**more: object) -> Found:
    found = Found(minutes=30.0, rows=100_000, finished=True)
    for name, value in more.items():
        setattr(found, name, value)
    return found


def failed(found: Found) -> list[str]:
    return [check.name for check in verdict(found) if not check.ok]


def test_a_day_on_which_nothing_happened_is_green() -> None:
    assert said_by(QUIET_DAY) == Said()
    assert failed(a_day()) == []
    assert result(a_day(), verdict(a_day()), gates=False)["ok"]


@pytest.mark.parametrize(("line", "what"), BAD_LINES.items())
def test_one_line_in_anybodys_log_turns_the_day_red(line: str, what: str, tmp_path: Path) -> None:
    for name in ("morpeth-guard-ebs.log", "durham-controller.log"):
        (tmp_path / name).write_text("\n".join(QUIET_DAY) + "\n")
    before = said_in(tmp_path, but_not="clients")
    with (tmp_path / "morpeth-guard-ebs.log").open("a") as log:
        log.write(line + "\n")
    said = said_in(tmp_path, but_not="clients") - before
    assert said == replace(Said(), **{what: 1})
    found = a_day(said=said)
    assert len(failed(found)) == 1
    assert not result(found, verdict(found), gates=False)["ok"]


def test_what_was_said_before_the_day_began_and_what_clients_log_is_not_counted(tmp_path: Path) -> None:
    (tmp_path / "morpeth-guard-ebs.log").write_text("\n".join(BAD_LINES) + "\n")
    (tmp_path / "clients-ebs.log").write_text("")
    before = said_in(tmp_path, but_not="clients")
    (tmp_path / "clients-ebs.log").write_text("\n".join(BAD_LINES) + "\n")
    assert said_in(tmp_path, but_not="clients") - before == Said()


def test_a_line_that_is_half_written_is_left_for_the_next_look() -> None:
    assert said_by(['{"service": "ebs", "event": "fencing"']) == Said()


@pytest.mark.parametrize(
    "more",
    [
        {"takeovers": 1},
        {"interrupted": 1},
        {"two_writable_seconds": 0.001},
        {"finished": False},
        {"rows": 0},
        *({"said": replace(Said(), **{each.name: 1})} for each in fields(Said)),
    ],
    ids=str,
)
def test_each_thing_that_must_not_happen_is_a_check_of_its_own(more: dict[str, object]) -> None:
    found = a_day(**more)
    assert len(failed(found)) == 1
    assert not result(found, verdict(found), gates=False)["ok"]


def test_checks_that_held_do_not_make_an_unfinished_day_green() -> None:
    assert not result(a_day(finished=False), verdict(a_day()), gates=False)["ok"]
    assert not result(a_day(), [], gates=False)["ok"]


def test_a_soak_that_is_interrupted_keeps_what_it_counted_and_is_red(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("orchestrator.lab.namespaces.why_not", lambda: None)

    async def cut_short(console: object, minutes: float, found: Found, *, gates: bool) -> None:
        found.minutes, found.rows = 3.0, 500
        raise KeyboardInterrupt

    monkeypatch.setattr(soak, "_soak", cut_short)
    path = tmp_path / "soak.json"
    assert soak.run_soak(30.0, json_path=str(path)) == INTERRUPTED
    found = json.loads(path.read_text())
    assert (found["ok"], found["finished"], found["minutes"], found["rows"]) == (False, False, 3.0, 500)
    assert found["said"] == {each.name: 0 for each in fields(Said)}


def test_the_words_that_are_looked_for_are_those_that_the_product_says() -> None:
    """They stand in the code as they are looked for: renamed there, they must be renamed here."""
    root = Path(soak_words.__file__).resolve().parents[2]
    for file, word in (
        ("orchestrator/keeper.py", '"fencing"'),
        ("orchestrator/keeper.py", '"closing"'),
        ("orchestrator/keeper.py", '"keeper-started"'),
        ("orchestrator/mover.py", '"run-started"'),
        ("orchestrator/controller.py", '"decided"'),
        ("sites/fencing/guard.py", '"{} in {} ms ({}): {}"'),
        ("sites/fencing/guard.py", '"closed" if verified else "NOT CLOSED"'),
        ("sites/fencing/guard.py", '"proxy: its process ended with'),
        ("orchestrator/lab/site_supervisor.py", "ended with {exit_code}"),
    ):
        assert word in (root / file).read_text(encoding="utf-8"), f"{word} in {file}"
