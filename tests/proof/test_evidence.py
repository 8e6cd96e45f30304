"""What a report says of a run, and its picture, from records alone."""

import json
from dataclasses import replace
from typing import Any

from orchestrator.core.records import RunOrder, RunRecord
from orchestrator.evidence import Sources, evidence
from orchestrator.figures import Figures, figures_of
from orchestrator.gantt import MARK, Bar, Line, critical_path, picture, ticks
from orchestrator.journal_tables import JournalEvent
from orchestrator.loss import loss_of
from orchestrator.pace import Pace
from orchestrator.rehearsed import TABLETOP_STEP, Rehearsed
from orchestrator.report_page import page
from orchestrator.rto_clock import clock_of
from orchestrator.trend import Trend
from tests.proof.records import BEGAN, at, rejoin, run

KEPT_BY = rejoin(divergent_bytes=12288, divergent_transactions=3, divergent_seconds=0.4, saved_at="/srv/kept")


def told(record: RunRecord, *others: RunRecord, rto: float = 1800.0, **differs: Any) -> dict[str, Any]:
    loss = loss_of(record, (record, *others))
    given: dict[str, Any] = {
        "record": record,
        "plan": None,
        "records": (),
        "links": (),
        "sealed": None,
        "seals_problem": "",
        "events": (),
        "pace": Pace(clock=clock_of(record), rto_seconds=rto),
        "loss": loss,
        "figures": figures_of(record, loss, rto_seconds=rto, rpo_seconds=60.0),
        "before": None,
        "today": None,
        "titles": {"durham": "Durham", "morpeth": "Morpeth", "crm": "Customers"},
        "rpo_seconds": 60.0,
        "site": "morpeth",
        "version": "twinsite 0.1.0",
        "now": at(BEGAN + 100),
    }
    return evidence(Sources(**{**given, **differs}))


def verdicts(found: dict[str, Any]) -> list[str]:
    return [row["verdict"] for row in found["objectives"]]


def test_objectives_are_held_against_what_came_out() -> None:
    record = run(detected_unix_seconds=BEGAN - 3)
    assert verdicts(told(record, KEPT_BY)) == ["kept", "kept"]
    assert verdicts(told(record, KEPT_BY, rto=4.0, rpo_seconds=0.1)) == ["MISSED", "MISSED"]
    assert verdicts(told(record)) == ["kept", "kept, by what was said"]
    assert verdicts(told(replace(record, loss_bound_seconds=None))) == ["kept", "unknown"]
    assert verdicts(told(replace(record, state="failed"))) == ["MISSED"]
    assert verdicts(told(rejoin())) == []


def test_what_is_still_to_be_seen_to_is_named() -> None:
    fine = told(run(detected_unix_seconds=BEGAN - 3), rejoin(divergent_bytes=0))
    assert fine["open_actions"] == []
    late = told(run(made_from={"twinsite": "0.1"}), KEPT_BY, rto=1.0, today={"twinsite": "0.2"})
    assert [line.partition(":")[0] for line in late["open_actions"]] == [
        "Outage (RTO)",
        "Decide what becomes of what only durham had (12.0 KiB)",
        "Changed since, and not tested by this run any more",
    ]
    assert "not known yet: durham has not rejoined" in " ".join(told(run())["open_actions"])
    failed = run(state="failed", outcome="2 of 3", left=("crm is nobody's",))
    assert told(failed)["open_actions"][:2] == ["The run ended as failed: 2 of 3", "crm is nobody's"]
    assert "MISSED" in told(failed)["open_actions"][2], "a move that failed kept nothing"


def test_people_and_overrides_are_told_apart() -> None:
    orders = (
        RunOrder(verb="approve", who="bob@morpeth", site="durham", at=at(BEGAN), step="p", reason="agreed"),
        RunOrder(verb="skip", who="eve@durham", site="durham", at=at(BEGAN + 1), step="q", reason="not here"),
    )
    certificate = {"id": "down-1", "who": "anna", "states": ["durham is off"], "reason": "seen"}
    events = (JournalEvent(1, BEGAN - 1, 0, "certificate", "crm", {"certificate": certificate}),)
    found = told(run(orders=orders, accepted_loss_seconds=40.0, who="anna"), events=events)
    assert [(row["who"], row["what"]) for row in found["people"]] == [
        ("anna", "ordered the run"),
        ("bob@morpeth", "approved p"),
    ]
    assert [row["what"] for row in found["overrides"]] == [
        "certified: durham is off (down-1)",
        "accepted a loss of at most 40.0 s",
        "ordered: skip q",
    ]


def test_it_is_compared_with_the_run_before() -> None:
    now = run(made_from={"twinsite": "0.2"})
    figures = figures_of(now, None, rto_seconds=None, rpo_seconds=None)
    assert figures is not None
    before = replace(figures, run="old", used_seconds=3.0, made_from={"twinsite": "0.1"})
    before = replace(before, steps={**figures.steps, "part/promote": 9.0})
    found = told(now, before=before)["comparison"]
    rows = {row["name"]: row["difference"] for row in found["rows"]}
    assert rows["From detection to verified"] == "+2.0 s"
    assert rows["Step part/promote"].endswith("8.0 s")
    assert "Step part/settle" not in rows, "it took as long"
    assert found["changed"] == ["twinsite 0.1 -> 0.2"]
    assert told(now)["comparison"] is None


def test_everything_is_escaped_and_the_data_in_the_file_can_be_read_back() -> None:
    nasty = "</script><script>alert(1)</script><!-- twinsite: signatures begin -->"
    found = told(run(why=nasty, outcome=nasty))
    text = page(found)
    assert "<script>alert" not in text
    assert text.count("<!-- twinsite: signatures begin -->") == 1
    raw = text.partition('id="evidence">')[2].partition("</script>")[0]
    assert json.loads(raw)["outcome"] == nasty


def test_the_critical_path_is_the_chain_that_took_longest() -> None:
    needs = {"a": (), "b": ("a",), "c": ("a",), "d": ("b", "c")}
    assert critical_path(needs, {"a": 1.0, "b": 2.0, "c": 9.0, "d": 1.0}) == ("a", "c", "d")


def test_the_picture_tells_by_shape_and_word_not_by_colour() -> None:
    first = Bar("1 first <b>", 0.0, 2.0, "2.0 s", critical=True)
    bars = [first, Bar("2 second", 2.0, 3.0, "1.0 s", failed=True)]
    drawn = picture(bars, [Line("RTO 3 s", 3.0), Line("RTO 1 h", 3600.0)], title="t")
    assert f"{MARK} 1 first &lt;b&gt;" in drawn
    assert 'fill="url(#cross)"' in drawn
    assert "RTO 3 s" in drawn
    assert "RTO 1 h" not in drawn, "so far off that the bars would vanish"
    colours = {part[:4] for part in drawn.split('"') if part.startswith("#")}
    assert colours <= {"#000", "#fff", "#bbb"}
    assert picture([], [], title="t") == ""
    for span in (0.1, 7.0, 59.0, 5000.0, 9e6):
        assert ticks(span)[-1] <= span
        assert len(ticks(span)) <= 11


def test_a_tabletop_tests_nothing() -> None:
    trend = Trend()
    desk = Rehearsed(None, "durham", mover=None, eyes=None, trend=trend, runs={})  # type: ignore[arg-type]
    today = {"plan": "p", "twinsite": "0.1.0"}
    drill = Figures(
        run="d", service="crm", kind="drill", from_site="durham", to_site="morpeth", state="done",
        site="durham",
        started_unix_seconds=1.0, ended_unix_seconds=2.0, made_from=today, steps={TABLETOP_STEP: 1.0},
    )  # fmt: skip
    trend.take(drill)
    assert desk._among(today, "crm", "morpeth").tested is None
    trend.take(replace(drill, run="i", steps={"drill/promote": 1.0}))
    assert desk._among(today, "crm", "morpeth").exactly is True
    assert desk._among(today, "crm", "durham").tested is None, "the other way was not tried"
