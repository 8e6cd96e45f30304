"""Reports over two whole sites with certificates: drawn up, countersigned, verified, and found out."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.api.report_shapes import CountersignRequest, ReportAnswer, SignatureStatus
from orchestrator.certificates.reading import read_certificates
from orchestrator.core.records import ReportSeal
from orchestrator.report_file import (
    NotAReport,
    ReportFile,
    changed_in,
    pieces,
    statement_of,
    taken_apart,
    with_signatures,
)
from orchestrator.report_verify import Verdict, evidence_in, verdict
from sites.model import Estate
from tests.orchestrator.pki import Pki
from tests.orchestrator.two_sites import DURHAM, MORPETH, Site, TwoSites, estate, two_sites


def with_certificates(of: Estate, pki: Pki) -> Estate:
    """The estate in which both controllers have one."""
    data = of.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    for site in (DURHAM, MORPETH):
        files = pki.controller(site)
        data["sites"][site]["tls"] = {
            "ca": str(files.ca),
            "cert": str(files.certificate),
            "key": str(files.key),
        }
    for name, site in data["sites"].items():
        site["name"] = name
    for name, service in data["services"].items():
        service["name"] = name
    data["lab"] = True
    return Estate.model_validate(data)


@asynccontextmanager
async def moved(pki: Pki) -> AsyncIterator[tuple[TwoSites, str]]:
    """Two sites after a planned move to Morpeth, and its run."""
    async with two_sites(with_certificates(estate(), pki)) as world:
        await world.until(lambda: world.steady(at=DURHAM))
        plan = await world.durham.move("switchover", reason="patching <b>tonight</b> & tomorrow")
        await world.until(lambda: world.steady(at=MORPETH))
        await world.until(lambda: world.morpeth.controller.trend.of(plan.run) is not None)
        yield world, plan.run


async def drawn(site: Site, run: str) -> ReportAnswer:
    async with site.api() as client:
        return await client.report(run)


async def chain(site: Site, run: str) -> list[str]:
    async with site.api() as client:
        return (await client.chain(run)).links


def judged(text: str, pki: Pki, links: list[str] | None = None) -> Verdict:
    return verdict(taken_apart(text), read_certificates(pki.authority.files("x").ca), links, "not asked")


def holds(raw: bytes, pki: Pki) -> bool:
    """Whether a file passes; one that is no report any more does not."""
    try:
        return judged(raw.decode(), pki).sound
    except (NotAReport, UnicodeDecodeError):
        return False


def wrong(found: Verdict) -> list[str]:
    return [text for kind, text in found.lines if kind == "WRONG"]


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    return Pki(tmp_path)


async def test_both_controllers_sign_and_the_file_verifies_against_the_journal(pki: Pki) -> None:
    async with moved(pki) as (world, run):
        answer = await drawn(world.morpeth, run)
        assert (answer.signed_by, answer.problem) == ([MORPETH, DURHAM], "")
        found = judged(answer.html, pki, await chain(world.morpeth, run))
        assert found.sound, found.lines
        count = len(await chain(world.morpeth, run))
        assert ("ok", f"the journal at {MORPETH} holds all {count} records of it") in found.lines
        told = evidence_in(taken_apart(answer.html))
        assert told["plan_hash"] == world.runs("switchover")[-1].made_from["plan"] + told["plan_hash"][16:]
        assert {step["state"] for step in told["steps"]} == {"done"}
        assert [step["id"] for step in told["steps"] if step["critical"]]
        assert told["journal"]["sealed"] == 1
        assert [row["verdict"] for row in told["objectives"]] == ["kept", "kept"]
        assert told["people"][0]["why"] == "patching <b>tonight</b> & tomorrow"
        assert "patching &lt;b&gt;tonight&lt;/b&gt; &amp; tomorrow" in answer.html
        assert not re.search(r'(src|href)="|https?://(?!www\.w3\.org/2000/svg)|url\((?!#cross)|@import',
                             answer.html), "nothing is fetched"  # fmt: skip


async def test_every_changed_byte_is_found_and_in_which_section(pki: Pki) -> None:
    async with moved(pki) as (world, run):
        text = (await drawn(world.morpeth, run)).html
    raw = text.encode()
    places = sorted({0, 1, len(raw) - 1, *range(7, len(raw), max(1, len(raw) // 400))})
    # Where base64 and PEM leave room for bytes that mean nothing.
    loose = [found.end() for found in re.finditer(rb'END CERTIFICATE-----|=+"|[^=]"', raw)]
    seal = raw.index(b"BEGIN CERTIFICATE")
    places += [place + off for place in loose if place > seal for off in range(-6, 4)]
    for place in places:
        changed = bytearray(raw)
        changed[place] ^= 1
        assert not holds(bytes(changed), pki), f"byte {place}: {raw[place - 20 : place + 20]!r}"
    for piece in ("summary", "steps", "journal", "data"):
        begin = text.index(f'<section id="{piece}">') + len(f'<section id="{piece}">')
        touched = judged(text[:begin] + " " + text[begin:], pki)
        assert wrong(touched) == [f"its content is not what was signed; changed: {piece}"]
    assert not judged(text[: len(text) // 2] + text[len(text) // 2 + 1 :], pki).sound


async def test_signatures_of_others_do_not_count(pki: Pki, tmp_path: Path) -> None:
    async with moved(pki) as (world, run):
        text = (await drawn(world.morpeth, run)).html
        other = (await drawn(world.morpeth, run)).html
    foreign = Pki(tmp_path, "foreign")
    assert [line for line in wrong(judged(text, foreign)) if "another authority" in line]
    one, two = taken_apart(text), taken_apart(other)
    swapped = with_signatures(one.body, replace(one.seal, signatures=two.seal.signatures))
    assert all("is not of this report" in line for line in wrong(judged(swapped, pki)))
    assert len(wrong(judged(swapped, pki))) == 2
    first = one.seal.signatures[0]
    renamed = replace(first, site=DURHAM)
    pretended = with_signatures(one.body, replace(one.seal, signatures=(renamed,)))
    assert wrong(judged(pretended, pki))
    unsigned = with_signatures(one.body, replace(one.seal, signatures=()))
    assert wrong(judged(unsigned, pki)) == ["nobody has signed it"]
    without = verdict(one, (), None, "not asked")
    assert not without.sound, "whose keys they are is not proven by the file itself"


async def test_a_report_whose_journal_was_cut_is_told_so_in_both_directions(pki: Pki) -> None:
    async with moved(pki) as (world, run):
        text = (await drawn(world.morpeth, run)).html
        journal = world.morpeth.controller.journal
        links = await chain(world.morpeth, run)

        async def tamper(statement: str) -> None:
            await journal._in_thread(lambda: journal._tables._connection.execute(statement, (run,)))

        await tamper("DELETE FROM records WHERE run_id = ? AND sequence > 8")
        found = judged(text, pki, await chain(world.morpeth, run))
        count = len(links)
        assert wrong(found) == [
            f"the journal at {MORPETH} was cut: records 9 to {count} of {count} are missing"
        ]
        later = await drawn(world.morpeth, run)
        problem = evidence_in(taken_apart(later.html))["journal"]["problem"]
        assert problem == (
            f"the journal at {MORPETH} was cut: it was sealed with {count} records, and 9 to {count} are "
            "missing"
        )
        assert any(problem in line for line in wrong(judged(later.html, pki)))
        assert "NOT TO BE RELIED ON" in later.html
        await tamper("UPDATE records SET event = replace(event, '}', ' }') WHERE run_id = ? AND sequence = 3")
        assert wrong(judged(text, pki, await chain(world.morpeth, run))) == [
            f"record 3 in the journal at {MORPETH} is another than the report was made from"
        ]


async def test_a_seal_that_was_taken_out_is_missed(pki: Pki) -> None:
    async with moved(pki) as (world, _):
        journal = world.morpeth.controller.journal
        await world.morpeth.move("switchover")
        await world.until(lambda: world.steady(at=DURHAM))
        await world.durham.move("switchover")
        await world.until(lambda: world.steady(at=MORPETH))
        await world.until(lambda: len([r for r in world.runs("switchover") if r.state == "done"]) == 3)
        kinds = await journal.events(10, kind="run-sealed")
        numbers = [event.data["number"] for event in kinds]
        assert numbers == list(range(len(numbers), 0, -1))
        middle = kinds[len(kinds) // 2].number
        await journal._in_thread(
            lambda: journal._tables._connection.execute("DELETE FROM events WHERE number = ?", (middle,))
        )
        last = world.runs("switchover")[-1].run
        async with world.morpeth.api() as client:
            told = await client.chain(last)
        assert len(numbers) >= 3
        assert "what was sealed between seal" in told.problem


async def test_while_the_other_site_is_away_one_signs_and_the_other_does_so_later(
    pki: Pki, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.report_desk.PEER_PATIENCE_SECONDS", 0.2)
    async with moved(pki) as (world, run):
        await world.durham.stop_controller()
        answer = await drawn(world.morpeth, run)
        assert answer.signed_by == [MORPETH]
        assert "durham's controller did not countersign" in answer.problem
        found = judged(answer.html, pki)
        assert found.sound
        assert any("one controller alone has signed it" in text for _, text in found.lines)
        assert "Signed by one controller only" in answer.html
        await world.durham.start()
        await world.until(
            lambda: {one.site for one in signed(world, run)} == {DURHAM, MORPETH}
        )  # by itself, without being asked again
        one = taken_apart(answer.html)
        given = [
            SignatureStatus(site=s.site, at=s.at, certificate=s.certificate, value=s.value)
            for s in one.seal.signatures
        ]
        async with world.morpeth.api() as client:
            both = await client.countersign(
                CountersignRequest(statement=one.seal.statement, signatures=given)
            )
        assert sorted(both.signed_by) == [DURHAM, MORPETH]


def signed(world: TwoSites, run: str) -> tuple[object, ...]:
    record = next(one for one in world.runs() if one.run == run)
    return record.sealed.signatures if record.sealed is not None else ()


async def test_a_controller_signs_nothing_that_it_knows_otherwise(pki: Pki) -> None:
    from orchestrator.api.client import Refused

    async with moved(pki) as (world, run):
        one = taken_apart((await drawn(world.morpeth, run)).html)
        forged = json.dumps({**one.statement, "state": "failed"}, sort_keys=True, separators=(",", ":"))
        given = [
            SignatureStatus(site=s.site, at=s.at, certificate=s.certificate, value=s.value)
            for s in one.seal.signatures
        ]
        async with world.durham.api() as client:
            with pytest.raises(Refused) as caught:
                await client.countersign(CountersignRequest(statement=forged, signatures=given))
        assert caught.value.refusal.code == "report-not-ours"
        assert "it says state 'failed', and 'done' is known at durham" in caught.value.refusal.message
        async with world.durham.api() as client:
            with pytest.raises(Refused) as caught:
                await client.countersign(
                    CountersignRequest(statement=one.seal.statement, signatures=given[:1] * 0)
                )
        assert "nobody has signed it" in caught.value.refusal.message


async def test_at_the_other_site_the_report_says_where_the_journal_is(pki: Pki) -> None:
    async with moved(pki) as (world, run):
        answer = await drawn(world.durham, run)
        told = evidence_in(taken_apart(answer.html))
        assert told["journal"]["links"] == []
        assert f"The journal of this run is at {MORPETH}" in told["journal"]["words"]
        assert {step["state"] for step in told["steps"]} == {"done"}
        found = judged(answer.html, pki)
        assert found.sound
        assert any("not chained to a journal" in text for kind, text in found.lines if kind == "note")


async def test_without_certificates_a_report_says_that_nobody_signed_it() -> None:
    async with two_sites() as world:
        await world.until(lambda: world.steady(at=DURHAM))
        plan = await world.durham.move("switchover")
        await world.until(lambda: world.steady(at=MORPETH))
        answer = await drawn(world.morpeth, plan.run)
        assert answer.signed_by == []
        assert "has no certificate" in answer.problem
        assert "Not signed" in answer.html


def test_pieces_are_told_apart_by_their_sections() -> None:
    body = 'a<section id="one">b</section><section id="two">c</section>'
    assert list(pieces(body)) == ["head", "one", "two"]
    assert pieces(body)["one"] == pieces('z<section id="one">b</section><section id="two">d</section>')["one"]
    changed = ReportFile(body, ReportSeal(statement=statement_of(body, {})))
    assert changed_in(changed) == ()
    moved_about = 'a<section id="two">c</section><section id="one">b</section>'
    assert changed_in(ReportFile(moved_about, changed.seal)) == ("the order of its sections",)
    assert changed_in(ReportFile(body[:1], changed.seal)) == ("one (gone)", "two (gone)")
