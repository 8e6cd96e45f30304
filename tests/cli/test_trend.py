"""`history --trend` and `report` as people and programs call them."""

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.api.report_shapes import ChainStatus, ReportAnswer, SignatureStatus
from orchestrator.api.shapes import Figures, MonthFigures, RunFigures
from orchestrator.cli.trend_views import RUN_COLUMNS
from orchestrator.core.records import ReportSeal, Signature
from orchestrator.countersigning import signature
from orchestrator.report_file import PLACE, statement_of, taken_apart, with_signatures
from tests.cli.conftest import Command
from tests.cli.fake_controller import FakeController
from tests.orchestrator.pki import Pki

RUN = RunFigures(
    run="ebs-failover-7", service="ebs", kind="failover", from_site="morpeth", to_site="durham",
    site="durham", state="done", started="2026-11-23T03:13:00.000Z", ended="2026-11-23T03:17:12.000Z",
    seconds=252.0,
    outage_seconds=None, detect_seconds=9.0, decide_seconds=3.0, execute_seconds=240.0, verify_seconds=9.0,
    used_seconds=252.0, rto_seconds=200.0, rpo_seconds=60.0, said_loss_seconds=38.0, lost_seconds=0.4,
    lost_bytes=12288, loss="said at most 38 s, lost 0.4 s / 12.0 KiB", steps={"promote/database": 1.5},
)  # fmt: skip
MONTH = MonthFigures(
    month="2026-11", service="ebs", name="promote/database", of="step", samples=3, p50_seconds=1.5,
    p75_seconds=2.0, longest_seconds=9.0,
)  # fmt: skip
OUTAGES = MONTH.model_copy(update={"of": "outage", "name": "failover", "samples": 1})
FOUND = Figures(runs=[RUN], months=[MONTH, OUTAGES])


@pytest.fixture
def figures(durham: FakeController) -> FakeController:
    durham.says("GET", "/v1/figures", FOUND)
    return durham


def test_the_trend_tells_runs_against_their_objectives(figures: FakeController, twinsite: Command) -> None:
    told = " ".join(twinsite("history", "ebs", "--trend").stdout.split())
    assert "ebs: failover morpeth to durham: done in 4 min 12 s (ebs-failover-7)" in told
    assert "against the RTO: 4 min 12 s of 3 min 20 s, MISSED; outage as seen: unknown;" in told
    assert "data loss: said at most 38 s, lost 0.4 s / 12.0 KiB" in told
    assert "2026-11 ebs failover, outage as seen: once" in told
    assert "promote/database" not in told
    steps = " ".join(twinsite("history", "ebs", "--trend", "--steps").stdout.split())
    assert "2026-11 ebs step promote/database: 3 times, half of them within 1.5 s, three out of four" in steps


def test_it_is_exported_as_csv_and_json(figures: FakeController, twinsite: Command, tmp_path: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(twinsite("history", "--csv", "-").stdout)))
    assert tuple(rows[0]) == RUN_COLUMNS
    assert (rows[0]["used_seconds"], rows[0]["outage_seconds"], rows[0]["lost_bytes"]) == (
        "252.0",
        "",
        "12288",
    )
    place = tmp_path / "steps.csv"
    assert twinsite("history", "--steps", "--csv", str(place)).exit_code == 0
    (step,) = csv.DictReader(io.StringIO(place.read_text()))
    assert (step["step"], step["seconds"], step["run"]) == ("promote/database", "1.5", "ebs-failover-7")
    assert Figures.model_validate_json(twinsite("history", "--trend", "--json").stdout) == FOUND
    assert twinsite("history", "--csv", str(tmp_path)).exit_code == 2


def test_a_spreadsheet_takes_no_text_for_a_formula(durham: FakeController, twinsite: Command) -> None:
    durham.says("GET", "/v1/figures", Figures(runs=[RUN.model_copy(update={"loss": "=cmd()"})], months=[]))
    (row,) = csv.DictReader(io.StringIO(twinsite("history", "--csv", "-").stdout))
    assert row["loss"] == "'=cmd()"


def test_what_belongs_to_the_trend_is_refused_without_it(twinsite: Command) -> None:
    answer = twinsite("history", "--since", "2026-01-01")
    assert answer.exit_code == 2
    assert "--steps and --since go with --trend" in answer.stderr


def test_an_empty_trend_says_so_and_why_it_is_not_kept(durham: FakeController, twinsite: Command) -> None:
    durham.says("GET", "/v1/figures", Figures(runs=[], months=[], problem="history.sqlite: no space left"))
    told = twinsite("history", "--trend").stdout
    assert "none" in told
    assert "not kept on disk: history.sqlite: no space left" in told


# --- reports --------------------------------------------------------------------------------------------

JOURNAL = {"site": "durham", "links": ["aa", "bb"], "records": 2, "words": "", "problem": ""}
BODY = (
    f'<html><section id="summary">kept</section><section id="signatures-place">{PLACE}</section>'
    '<section id="data"><script type="application/json" id="evidence">'
    f"{json.dumps({'journal': JOURNAL})}</script></section></html>"
)


def report(pki: Pki, *sites: str) -> str:
    statement = statement_of(BODY, {"run": "ebs-failover-7", "drawn_at": "2026-11-23T04:00:00Z"})
    seal = ReportSeal(statement=statement)
    for site in sites:
        own = signature(statement, site, "2026-12-01T04:00:00+00:00", files(pki, site))
        seal = replace(seal, signatures=(*seal.signatures, own))
    return with_signatures(BODY, seal)


def files(pki: Pki, site: str):  # type: ignore[no-untyped-def]
    from sites.identity import controller_identity

    return pki.dated(controller_identity(site), f"{site}-report", begins_days=-3650, ends_days=3650)


def chain(*links: str) -> ChainStatus:
    return ChainStatus(
        run="ebs-failover-7", site="durham", links=list(links), sealed_records=None, sealed_head=""
    )


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    return Pki(tmp_path)


def written(tmp_path: Path, text: str) -> str:
    place = tmp_path / "report.html"
    place.write_text(text)
    return str(place)


def test_report_writes_one_file_and_says_who_signed(
    durham: FakeController, twinsite: Command, tmp_path: Path, pki: Pki
) -> None:
    text = report(pki, "durham")
    durham.says(
        "POST", "/v1/runs/ebs-failover-7/report",
        ReportAnswer(run="ebs-failover-7", html=text, signed_by=["durham"], problem="morpeth is away"),
    )  # fmt: skip
    place = tmp_path / "out.html"
    for words in (("report", "ebs-failover-7", "-o"), ("report", "draw", "ebs-failover-7", "--output")):
        answer = twinsite(*words, str(place))
        assert answer.exit_code == 0, answer.stderr
        assert place.read_text() == text
        assert "signed by durham. morpeth is away." in answer.stderr
    assert twinsite("report", "ebs-failover-7", "-o", "-").stdout == text
    assert list(tmp_path.glob(".*.part")) == []


def test_verify_tells_what_holds(durham: FakeController, twinsite: Command, tmp_path: Path, pki: Pki) -> None:
    durham.says("GET", "/v1/runs/ebs-failover-7/chain", chain("aa11", "bb22"))
    place, ca = written(tmp_path, report(pki, "durham", "morpeth")), str(pki.authority.files("x").ca)
    answer = twinsite("report", "verify", place, "--ca", ca)
    assert answer.exit_code == 0, answer.stdout
    assert "ok: the journal at durham holds all 2 records of it" in answer.stdout
    assert f"{place}: sound." in answer.stdout
    offline = twinsite("report", "verify", place, "--ca", ca, "--offline")
    assert offline.exit_code == 0
    assert "note: the journal was not asked: --offline" in offline.stdout


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("kept", "MISSED", "WRONG: its content is not what was signed; changed: summary"),
        ('"aa"', '"ab"', "WRONG: its content is not what was signed; changed: data"),
        ("Signed by the controller of durham", "Signed by the Queen", "signatures is not as it was written"),
        ("</html>", "", "changed: data"),
        ("<!-- twinsite: signatures end -->", "", "it has no block of signatures"),
    ],
)
def test_verify_finds_what_was_changed(
    durham: FakeController, twinsite: Command, tmp_path: Path, pki: Pki, old: str, new: str, told: str
) -> None:
    durham.says("GET", "/v1/runs/ebs-failover-7/chain", chain("aa", "bb"))
    place = written(tmp_path, report(pki, "durham").replace(old, new, 1))
    answer = twinsite("report", "verify", place, "--ca", str(pki.authority.files("x").ca))
    assert answer.exit_code == 1
    assert "NOT PROVEN" in answer.stderr
    assert told in " ".join((answer.stdout + answer.stderr).split())


def test_verify_tells_of_a_cut_journal_and_of_signatures_nobody_vouches_for(
    durham: FakeController, twinsite: Command, tmp_path: Path, pki: Pki
) -> None:
    durham.says("GET", "/v1/runs/ebs-failover-7/chain", chain("aa"))
    place = written(tmp_path, report(pki, "durham"))
    cut = twinsite("report", "verify", place, "--ca", str(pki.authority.files("x").ca))
    assert cut.exit_code == 1
    assert "the journal at durham was cut: records 2 to 2 of 2 are missing" in cut.stdout
    assert "note: one controller alone has signed it" in cut.stdout
    alone = twinsite("report", "verify", place, "--offline")
    assert alone.exit_code == 1
    assert "whose key that is cannot be told without the authority's certificate" in " ".join(
        alone.stdout.split()
    )


def test_a_file_that_is_no_report_is_said_to_be_none(twinsite: Command, tmp_path: Path) -> None:
    text = twinsite("report", "verify", written(tmp_path, "<html>"), "--offline")
    assert (text.exit_code, "no block of signatures" in text.stderr) == (1, True)
    (tmp_path / "raw").write_bytes(b"\xff\xfe\x00")
    raw = twinsite("report", "verify", str(tmp_path / "raw"), "--offline")
    assert (raw.exit_code, "byte 0 is no text" in raw.stderr) == (1, True)
    assert twinsite("report", "verify", str(tmp_path / "none")).exit_code == 2


def test_countersign_puts_the_other_signature_into_the_file(
    durham: FakeController, twinsite: Command, tmp_path: Path, pki: Pki
) -> None:
    both = taken_apart(report(pki, "durham", "morpeth"))
    one = replace(both.seal, signatures=both.seal.signatures[:1])
    place = written(tmp_path, with_signatures(both.body, one))
    given = [_shape(each) for each in both.seal.signatures]
    durham.says(
        "POST", "/v1/countersign",
        ReportAnswer(run="ebs-failover-7", html="", signed_by=["durham", "morpeth"], signatures=given),
    )  # fmt: skip
    answer = twinsite("report", "countersign", place)
    assert answer.exit_code == 0, answer.stderr
    assert "signed by durham, morpeth." in answer.stdout
    assert taken_apart(Path(place).read_text()) == both
    Path(place).write_text(Path(place).read_text().replace("kept", "lost", 1))
    assert twinsite("report", "countersign", place).exit_code == 1


def _shape(one: Signature) -> SignatureStatus:
    return SignatureStatus(site=one.site, at=one.at, certificate=one.certificate, value=one.value)
