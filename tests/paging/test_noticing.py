"""What is worth a message, and what it says to somebody who has just been woken."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.core.records import LastMove, RunRecord, RunWait
from orchestrator.core.view import View
from orchestrator.drills.records import DrillRecord
from orchestrator.mind import Judgement
from orchestrator.paging.event import Event
from orchestrator.paging.noticing import RUN_TOLD_SECONDS, Facts, events_of, notice
from orchestrator.store.continuity import Break, BreakCode, StoreTrust
from sites.model import FailoverPolicy
from sites.notify import TOPIC_WORDS, Severity, Topic
from tests.core.views import DOWN, PRIMARY, STRAY, Scene

DOCS = Path(__file__).parents[2] / "docs"
NOW = 1_800_000_000.0
HEALTHY = Scene()
DARK = Scene(owner="y", here=Scene().there, there=None, peer_lease_over=True, peer_silent_seconds=60.0)
CERTIFICATE = "twinsite:guard/durham/crm"


def facts(scene: Scene = HEALTHY, **fields: Any) -> Facts:
    view, service = scene.see()
    row, decision = scene.decide()
    said: dict[str, Any] = {
        "view": view,
        "judgements": {service.service.name: Judgement(row, decision, "2027-01-15T08:00:00Z")},
        "runs": (),
        "ended_at": {},
        "now": NOW,
        "since": NOW - 86_400.0,
        "up_seconds": 3600.0,
        "heard": {"y": 1.0},
    }
    return Facts(**(said | fields))


def run(**fields: Any) -> RunRecord:
    said: dict[str, Any] = {
        "run": "s-failover-1",
        "kind": "failover",
        "service": "s",
        "from_site": "y",
        "to_site": "x",
        "executor_site": "x",
        "executor": 1,
        "state": "running",
        "plan": {},
        "statement": "s loses at most 1.2 s of writes",
        "who": "x's controller",
        "why": "y is lost",
        "started": "2027-01-15T08:00:00Z",
    }
    return RunRecord(**(said | fields))


def only(found: tuple[Event, ...], topic: Topic) -> Event:
    [event] = [each for each in found if each.topic is topic]
    return event


def of_a_run(record: RunRecord, *, ended: float | None = None, scene: Scene = HEALTHY) -> list[Event]:
    ended_at = {record.run: ended} if ended is not None else {}
    return [e for e in events_of(facts(scene, runs=(record,), ended_at=ended_at)) if e.key.startswith("run:")]


def test_when_all_is_well_nobody_is_told_anything() -> None:
    assert events_of(facts()) == ()


@pytest.mark.parametrize(
    ("scene", "topic", "severity", "key"),
    [
        (Scene(there=STRAY), Topic.UNPROTECTED, Severity.WARNING, "unprotected:s"),
        (
            Scene(here=DOWN, policy=FailoverPolicy.MANUAL, dead_here="its process is gone"),
            Topic.DOWN,
            Severity.CRITICAL,
            "down:s",
        ),
        (
            Scene(here=DOWN, policy=FailoverPolicy.MANUAL, dead_here="its process is gone"),
            Topic.REFUSED,
            Severity.CRITICAL,
            "refused:s",
        ),
        (
            Scene(owner="y", here=PRIMARY, there=Scene().there),
            Topic.TWO_WRITABLE,
            Severity.CRITICAL,
            "two-writable:s:x",
        ),
        (DARK, Topic.SITE_DARK, Severity.CRITICAL, "site-dark:y"),
        (DARK.but(policy=FailoverPolicy.MANUAL), Topic.REFUSED, Severity.CRITICAL, "refused:s"),
        (Scene(lease_left_seconds=0.0), Topic.ISOLATED, Severity.CRITICAL, "isolated:x"),
        (Scene(keeper=False), Topic.ISOLATED, Severity.CRITICAL, "isolated:x"),
    ],
)
def test_what_is_the_matter_has_a_name(scene: Scene, topic: Topic, severity: Severity, key: str) -> None:
    event = only(events_of(facts(scene)), topic)
    assert (event.severity, event.key) == (severity, key)


def test_a_message_says_what_where_what_would_be_lost_and_what_to_type() -> None:
    event = only(events_of(facts(DARK.but(policy=FailoverPolicy.MANUAL))), Topic.REFUSED)
    assert event.command == "twinsite failover s"
    assert event.loss.startswith("at most")
    assert event.where == "y; the other site is x"
    assert "manual" in event.headline


def test_a_loss_that_is_unknown_is_said_to_be() -> None:
    scene = DARK.but(policy=FailoverPolicy.MANUAL, safe_seconds_ago=None)
    event = only(events_of(facts(scene)), Topic.REFUSED)
    assert event.loss == "unknown"


def test_a_site_that_is_dark_is_one_event_with_all_that_it_had() -> None:
    event = only(events_of(facts(DARK)), Topic.SITE_DARK)
    assert event.what == "what it had: s"
    assert event.site == "y"


@pytest.mark.parametrize("scene", [DARK.but(lease_left_seconds=0.0), DARK.but(word_needed=True)])
def test_who_has_no_right_itself_says_nothing_of_the_other_site(scene: Scene) -> None:
    assert {each.topic for each in events_of(facts(scene))} == {Topic.ISOLATED}


def test_who_does_not_hear_the_store_says_nothing_of_the_other_site() -> None:
    view, _ = DARK.see()
    found = events_of(facts(DARK, view=keeper_with(view, store_problem="no answer")))
    assert Topic.SITE_DARK not in {each.topic for each in found}


def keeper_with(view: View, **fields: Any) -> View:
    assert view.keeper is not None
    return replace(view, keeper=replace(view.keeper, **fields))


def test_hold_the_store_and_its_trust() -> None:
    view, _ = HEALTHY.see()
    held = events_of(facts(view=keeper_with(view, hold_carried=True)))
    assert only(held, Topic.HOLD).key == "hold:x"
    lost = events_of(facts(view=keeper_with(view, store_problem="no answer")))
    assert only(lost, Topic.STORE).severity is Severity.WARNING
    broken = StoreTrust(broken=Break(code=BreakCode.RESTORED, message="it went back in time"))
    distrusted = events_of(facts(view=keeper_with(view, store_trust=broken)))
    assert only(distrusted, Topic.STORE).key == "store-not-trusted"


def test_silence_counts_once_there_was_time_to_be_heard_and_while_the_store_answers() -> None:
    assert events_of(facts(heard={}, up_seconds=10.0)) == ()
    silent = events_of(facts(heard={"y": 90.0}, witness="w"))
    assert [each.key for each in silent] == ["silent:y", "silent:w"]
    view, _ = HEALTHY.see()
    lost = events_of(facts(heard={}, view=keeper_with(view, store_problem="no answer")))
    assert [each.topic for each in lost] == [Topic.STORE]


@pytest.mark.parametrize(
    ("days", "severity"),
    [(15.0, None), (13.0, Severity.WARNING), (2.0, Severity.CRITICAL), (-1.0, Severity.CRITICAL)],
)
def test_a_certificate_that_runs_out(days: float, severity: Severity | None) -> None:
    found = events_of(facts(certificates={CERTIFICATE: NOW + days * 86_400}))
    assert [each.severity for each in found] == ([severity] if severity is not None else [])
    if days < 0:
        assert "has run out" in found[0].headline


def test_a_failover_is_news_until_somebody_has_acknowledged_it() -> None:
    done = run(state="done", ended="x", outcome="s is primary at x")
    [event] = of_a_run(done, ended=NOW - 7200)
    assert (event.stage, event.severity, event.once) == ("done", Severity.WARNING, True)
    assert event.command == "twinsite acknowledge s --reason …"
    view, service = HEALTHY.see()
    record = service.record
    assert record is not None
    assert service.held is not None
    move = LastMove(run=done.run, at_unix_seconds=NOW - 7200, acknowledged_by="anna")
    held = replace(service.held, record=replace(record, last_move=move))
    looked = facts(
        view=replace(view, services=(replace(service, held=held),)),
        runs=(done,),
        ended_at={done.run: NOW - 7200},
    )
    assert events_of(looked) == ()


def test_what_had_ended_before_this_controller_knew_anything_is_no_news() -> None:
    assert of_a_run(run(state="done"), ended=NOW - 90_000) == []


@pytest.mark.parametrize(
    ("state", "stage", "severity"),
    [
        ("running", "begun", Severity.CRITICAL),
        ("waiting", "begun", Severity.CRITICAL),
        ("failed", "failed", Severity.CRITICAL),
        ("aborted", "ended", Severity.WARNING),
    ],
)
def test_the_stages_of_a_failover(state: str, stage: str, severity: Severity) -> None:
    [event] = of_a_run(run(state=state), ended=NOW - 60 if state in ("failed", "aborted") else None)
    assert (event.topic, event.stage, event.severity) == (Topic.FAILOVER, stage, severity)
    assert event.loss == "s loses at most 1.2 s of writes"


def test_a_planned_move_is_news_for_a_while_and_nothing_worse_unless_it_fails() -> None:
    planned = run(run="s-switchover-1", kind="switchover", state="done")
    [event] = of_a_run(planned, ended=NOW - 60)
    assert (event.topic, event.severity) == (Topic.SWITCHOVER, Severity.INFO)
    assert of_a_run(planned, ended=NOW - RUN_TOLD_SECONDS - 1) == []
    [failed] = of_a_run(replace(planned, state="failed"), ended=NOW - 60)
    assert failed.severity is Severity.WARNING


def test_a_rejoin_is_told_of_only_when_it_fails() -> None:
    rejoin = run(run="s-rejoin-1", kind="rejoin")
    assert of_a_run(rejoin) == []
    assert [each.topic for each in of_a_run(replace(rejoin, state="failed"), ended=NOW)] == [Topic.SWITCHOVER]


def test_a_drill_has_its_own_topic() -> None:
    [event] = of_a_run(run(run="s-drill-1", kind="drill", state="failed"), ended=NOW)
    assert event.topic is Topic.DRILL


def test_a_run_that_waits_says_for_what() -> None:
    wait = RunWait(kind="failed", step="open", words="step 4, open it, has failed: no space", since="x")
    found = events_of(facts(runs=(run(state="waiting", waits=(wait,)),)))
    event = only(found, Topic.WAITING)
    assert event.what == wait.words
    assert event.command == "twinsite runs show s-failover-1"
    assert event.severity is Severity.CRITICAL


def drill(**fields: Any) -> DrillRecord:
    said = {"drill": "quarterly", "service": "s", "kind": "isolated", "since": 0.0, "handled_until": 0.0}
    return DrillRecord(**(said | fields))


def test_a_missed_drill_is_one_event_for_each_time_it_was_due() -> None:
    [first] = events_of(facts(drills=(drill(missed=1, missed_at=NOW - 3600),)))
    [again] = events_of(facts(drills=(drill(missed=2, missed_at=NOW - 60),)))
    assert (first.topic, first.severity, first.once) == (Topic.DRILL, Severity.WARNING, True)
    assert first.key != again.key
    assert "was missed" in first.headline
    assert events_of(facts(drills=(drill(missed=1, missed_at=NOW - 90_000),))) == (), "before this one knew"


def test_a_drill_that_does_not_begin_says_why() -> None:
    refused = drill(refused_code="lag-above-limit", refused_why="it lags by 90 s", refused_slot=NOW - 60)
    [event] = events_of(facts(drills=(refused,)))
    assert (event.severity, event.what) == (Severity.INFO, "it lags by 90 s")
    missed = replace(refused, missed=1, missed_at=NOW - 60)
    [event] = events_of(facts(drills=(missed,)))
    assert (event.severity, event.what) == (Severity.WARNING, "it lags by 90 s")


def test_a_copy_that_a_drill_has_left_is_told_of() -> None:
    [event] = events_of(facts(drills=(drill(left_at="y", last_run="s-drill-1"),)))
    assert (event.site, event.severity) == ("y", Severity.WARNING)
    assert events_of(facts(drills=(drill(left_at="y", run="s-drill-1"),))) == ()


def test_what_a_runbook_says_is_one_event_for_each_text() -> None:
    said = notice("s-failover-1", "s", "Tell the suppliers", kind="failover", at="now")
    again = notice("s-failover-1", "s", "Tell the suppliers", kind="failover", at="later")
    assert said.key == again.key
    assert said.headline == "Tell the suppliers"


def test_every_page_that_a_message_links_to_is_there_with_its_heading() -> None:
    text = (Path(__file__).parents[2] / "orchestrator/paging/noticing.py").read_text(encoding="utf-8")
    pages = set(re.findall(r'"([a-z-]+\.md(?:#[a-z0-9-]+)?)"', text))
    assert len(pages) > 8
    for page in pages:
        name, _, heading = page.partition("#")
        lines = (DOCS / name).read_text(encoding="utf-8").splitlines()
        anchors = {re.sub(r"[^a-z0-9 -]", "", line.lstrip("# ").lower()).replace(" ", "-")
                   for line in lines if line.startswith("#")}  # fmt: skip
        assert not heading or heading in anchors, page


def test_every_topic_is_explained() -> None:
    assert set(TOPIC_WORDS) == set(Topic)
