"""Figures on disk: kept for years, summed up by month, bounded, and never in a controller's way."""

import sqlite3
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from orchestrator.figures import Figures, figures_of
from orchestrator.history_file import HistoryFile
from orchestrator.loss import loss_of
from orchestrator.trend import KEPT_IN_MEMORY, Trend
from runbooks.errors import JournalTrouble
from tests.proof.records import rejoin, run

DAY = 86_400.0
NOW = time.time()


def when(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def figures(name: str, ended: float, **differs: object) -> Figures:
    given = {
        "run": name,
        "service": "crm",
        "kind": "failover",
        "from_site": "durham",
        "to_site": "morpeth",
        "site": "morpeth",
        "state": "done",
        "started_unix_seconds": ended - 5,
        "ended_unix_seconds": ended,
        "seconds": 5.0,
        "steps": {"promote/database": 1.0},
    }
    return Figures(**{**given, **differs})  # type: ignore[arg-type]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "history.sqlite"


def test_figures_come_out_of_a_record_with_what_it_lost() -> None:
    move = run(outage_seconds=3.5, made_from={"plan": "p"})
    loss = loss_of(move, (rejoin(divergent_bytes=512, divergent_transactions=2, divergent_seconds=0.4),))
    found = figures_of(move, loss, rto_seconds=1800.0, rpo_seconds=60.0)
    assert found is not None
    assert (found.outage_seconds, found.used_seconds, found.rto_seconds) == (3.5, 5.0, 1800.0)
    assert (found.said_loss_seconds, found.lost_seconds, found.lost_bytes) == (38.0, 0.4, 512)
    assert found.steps == {"part/take-over": 2.0, "part/promote": 1.0, "part/settle": 2.0}
    assert figures_of(run(state="running", ended=""), None, rto_seconds=None, rpo_seconds=None) is None
    assert figures_of(run(whole_site="durham"), None, rto_seconds=None, rpo_seconds=None) is None


def test_what_is_kept_comes_back_and_more_may_become_known_of_it(path: Path) -> None:
    file = HistoryFile(path)
    file.take([figures("a", 100.0), figures("b", 200.0, service="ebs"), figures("c", 300.0)])
    file.take([figures("a", 100.0, lost_bytes=7)])
    file.close()
    file = HistoryFile(path)
    assert [one.run for one in file.runs(10)] == ["c", "b", "a"]
    assert [one.run for one in file.runs(10, service="crm", since_unix_seconds=150)] == ["c"]
    kept = file.runs(10)[-1]
    assert (kept.lost_bytes, kept.steps) == (7, {"promote/database": 1.0})
    assert [month.samples for month in file.months(service="crm") if month.of == "step"] == [2]
    file.close()


def test_old_steps_are_summed_up_by_whole_months_and_let_go(path: Path) -> None:
    file = HistoryFile(path, steps_kept_seconds=100 * DAY, runs_kept_seconds=3000 * DAY)
    took = {"2020-01-05": 1.0, "2020-01-15": 3.0, "2020-01-25": 9.0, "2020-02-02": 5.0, "2020-05-01": 7.0}
    file.take(
        [
            figures(day, when(day), outage_seconds=took[day], steps={"promote/database": took[day]})
            for day in took
        ]
    )
    before = [month for month in file.months() if month.of == "step"]
    file.compact(when("2020-05-15"))
    after = [month for month in file.months() if month.of == "step"]
    assert before == after, "a summary says the same before and after what it is of is gone"
    assert [(m.month, m.samples, m.p50_seconds, m.p75_seconds, m.longest_seconds) for m in after] == [
        ("2020-01", 3, 3.0, 9.0, 9.0),
        ("2020-02", 1, 5.0, 5.0, 5.0),
        ("2020-05", 1, 7.0, 7.0, 7.0),
    ]
    kept = {one.run: bool(one.steps) for one in file.runs(10)}
    assert kept == {
        "2020-01-05": False,
        "2020-01-15": False,
        "2020-01-25": False,
        "2020-02-02": True,
        "2020-05-01": True,
    }
    file.compact(when("2020-05-16"))
    assert [month for month in file.months() if month.of == "step"] == after, "twice is once"
    file.close()


def test_runs_have_a_bound_too_and_do_not_come_back_from_the_store(path: Path) -> None:
    file = HistoryFile(path, most_runs=3)
    days = [f"2021-{month:02}-10" for month in range(1, 9)]
    file.take([figures(day, when(day), outage_seconds=2.0) for day in days])
    file.compact(when("2021-09-01"))
    left = [one.run for one in file.runs(100)]
    assert len(left) <= 4
    assert left[0] == days[-1]
    outages = [month for month in file.months() if month.of == "outage"]
    assert len(outages) == len(days), "what is gone is still in its month"
    file.take([figures(days[0], when(days[0]), outage_seconds=2.0)])
    assert [one.run for one in file.runs(100)] == left
    file.close()


def test_a_file_that_is_not_sound_is_moved_aside(path: Path) -> None:
    path.write_bytes(b"SQLite format 3\x00" + b"rubbish" * 900)
    file = HistoryFile(path)
    file.take([figures("a", 100.0)])
    assert [one.run for one in file.runs(1)] == ["a"]
    file.close()
    assert path.with_name("history.sqlite.damaged").exists()


def test_somebody_elses_database_is_not_written_to(path: Path) -> None:
    other = sqlite3.connect(path)
    other.execute("PRAGMA application_id = 7")
    other.execute("CREATE TABLE theirs (x)")
    other.commit()
    other.close()
    HistoryFile(path).close()
    kept = sqlite3.connect(path.with_name("history.sqlite.damaged"))
    assert kept.execute("SELECT count(*) FROM theirs").fetchone() == (0,)
    kept.close()


def test_a_newer_format_is_left_alone(path: Path) -> None:
    HistoryFile(path).close()
    raw = sqlite3.connect(path)
    raw.execute("PRAGMA user_version = 99")
    raw.close()
    with pytest.raises(JournalTrouble, match="newer"):
        HistoryFile(path)


async def test_steps_past_is_of_the_latest_whatever_the_order_in_which_runs_are_told(path: Path) -> None:
    trend = Trend()
    await trend.open(path)
    for number in (3, 1, 2):
        trend.take(figures(f"r{number}", NOW + number, steps={"s": float(number)}))
    past = trend.past("crm")["s"]
    assert (past.samples, past.p50_seconds, past.longest_seconds) == (3, 2.0, 3.0)
    assert trend.past("ebs") == {}
    await trend.aclose()
    again = Trend()
    await again.open(path)
    assert again.past("crm") == {"s": past}
    before = again.before(figures("r3", NOW + 3))
    assert before is not None
    assert before.run == "r2"
    await again.aclose()


async def test_a_trend_without_a_disk_goes_on_in_memory_and_says_so(tmp_path: Path) -> None:
    place = tmp_path / "file"
    place.write_text("in the way")
    trend = Trend()
    await trend.open(place / "history.sqlite")
    assert "history.sqlite" in trend.problem
    trend.take(figures("a", 100.0))
    assert [one.run for one in await trend.runs(5, service=None, since_unix_seconds=0)] == ["a"]
    assert await trend.months(service=None) == ()
    await trend.aclose()


async def test_memory_is_bounded_and_keeps_the_newest(path: Path) -> None:
    trend = Trend()
    for number in range(KEPT_IN_MEMORY + 20):
        trend.take(figures(f"r{number}", NOW + number, steps={}))
    assert len(list(trend.figures)) == KEPT_IN_MEMORY
    assert trend.of("r0") is None
    version = trend.version
    trend.take(figures("old", 1.0))
    assert (trend.of("old"), trend.version) == (None, version)
    await trend.aclose()
