"""What `twinsite driver check` found, judged and put into words. Pure: asks nobody, has no clock."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from sites.model import Service
from sites.output import last_lines
from sites.replication.words import Role, Sample, Word

# What is refused without a word, and with which code.
REFUSED_WITHOUT: Mapping[Word, str] = {
    Word.SAMPLE: "everything: nothing is seen of it",
    Word.CLOSE: "planned moves (word-missing)",
    Word.FENCE: "giving it up where its instance is down and its controller lives (word-missing); nothing is "
    "cut off when a lease ends, so it must be manual",
    Word.PROMOTE: "every move (word-missing)",
    Word.START: "restarts in place, and opening it again at its own site after a fence",
    Word.REJOIN: "making the old primary a standby again (word-missing): do it by hand",
    Word.REBUILD: "runbooks with `replication.rebuild` (word-missing)",
    Word.VERIFY: "runbooks with `replication.verify` (word-missing)",
}
LONGEST_SHOWN = 300


class Shape(BaseModel):
    """A frozen value of the report."""

    model_config = ConfigDict(frozen=True)


class Asked(Shape):
    """One command that was run on a host. `exit_status` None: it did not come to its end, see `trouble`."""

    host: str
    command: str
    exit_status: int | None
    stdout: str
    stderr: str
    trouble: str
    seconds: float


class SiteReport(Shape):
    """One instance: what was run, what came back, how it was understood. `ok` None: somebody should look."""

    site: str
    asked: list[Asked]
    understood: str
    role: str
    seconds: float
    ok: bool | None
    problems: list[str]


class WordReport(Shape):
    """A word that the driver does not know, and what will be refused for that."""

    word: str
    refused: str


class ActReport(Shape):
    """A word that was carried out on demand."""

    word: str
    site: str
    asked: list[Asked]
    ok: bool
    outcome: str
    seconds: float


class DriverReport(Shape):
    """Everything that was tried. `ok`: nothing is at fault; what somebody should look at is no fault."""

    service: str
    driver: str
    ok: bool
    sites: list[SiteReport]
    pair: list[str]
    missing: list[WordReport]
    act: ActReport | None = None


@dataclass(frozen=True, slots=True)
class Tried:
    """One instance as it was asked."""

    sample: Sample
    asked: Sequence[Asked]
    seconds: float
    findings: Sequence[str] = ()


def site_report(tried: Tried) -> SiteReport:
    """What an instance's answer is worth."""
    sample = tried.sample
    problems = [*_problems(sample), *tried.findings]
    ok: bool | None = True if not problems else None
    if sample.role is Role.UNKNOWN:
        ok = False
    return SiteReport(
        site=sample.site,
        asked=list(tried.asked),
        understood=understood(sample),
        role=str(sample.role),
        seconds=round(tried.seconds, 3),
        ok=ok,
        problems=problems,
    )


def understood(sample: Sample) -> str:
    """A sample in words."""
    if sample.role is Role.UNKNOWN:
        return f"unknown: {sample.reason}"
    if sample.role is Role.DOWN:
        return f"down: {sample.reason}"
    parts = [str(sample.role), _said(sample.writable, "accepts writes", "accepts no writes")]
    if sample.role is Role.STANDBY:
        parts.append(_said(sample.streaming, "receives", "does not receive"))
    if sample.position is not None:
        place = f"at {sample.position.text} of " if sample.position.text else "history "
        parts.append(f"{place}{sample.position.history}")
    if sample.replayed is not None:
        parts.append(f"replayed {sample.replayed.text}")
    if sample.behind_seconds is not None:
        parts.append(f"at most {sample.behind_seconds:g} s behind by its own word")
    if sample.system_id:
        parts.append(f"identity {sample.system_id}")
    return ", ".join(parts)


def _said(value: bool | None, yes: str, no: str) -> str:
    return "not said" if value is None else yes if value else no


def _problems(sample: Sample) -> Iterator[str]:
    """What its answer leaves open, and what is refused for that."""
    if sample.role in (Role.UNKNOWN, Role.DOWN):
        return
    if sample.role is Role.STANDBY and sample.writable:
        yield "a standby that accepts writes: nothing of it can be promoted or rejoined"
    if sample.position is None or not sample.position.text:
        yield (
            "no position: nobody can tell when everything has arrived, so a planned move is refused "
            "(lag-unknown)"
        )
    if not sample.system_id:
        yield "no identity: a copy of another pair would not be recognised"
    if sample.role is Role.STANDBY and not sample.streaming:
        yield "it does not receive, so a planned move is refused (lag-unknown)"
    ordered = sample.replayed is not None and sample.replayed.offset_bytes is not None
    if sample.role is Role.STANDBY and not ordered and sample.behind_seconds is None:
        yield (
            "neither an offset nor a lag: what a move would lose is unknown, so it is refused (lag-unknown) "
            "unless somebody accepts any loss by name"
        )


def pair_words(samples: Sequence[Sample]) -> list[str]:
    """What the two say together. A line that begins with FAULT is one."""
    found = []
    primaries = [sample.site for sample in samples if sample.role is Role.PRIMARY]
    writable = [sample.site for sample in samples if sample.writable]
    if len(writable) > 1:
        found.append(f"FAULT {' and '.join(writable)} both accept writes")
    if len(samples) > 1 and not primaries:
        found.append("look  no instance says that it is the primary")
    identities = {sample.system_id for sample in samples if sample.system_id}
    if len(identities) > 1:
        found.append(f"FAULT the two are not one pair: {' and '.join(sorted(identities))}")
    histories = {sample.position.history for sample in samples if sample.position is not None}
    if len(histories) > 1:
        told = " and ".join(sorted(histories))
        found.append(f"look  the two have different histories, {told}: a move is refused (history-diverged)")
    return found


def report_of(
    service: Service, sites: Sequence[SiteReport], samples: Sequence[Sample], unknown_words: Iterable[Word]
) -> DriverReport:
    """What the reading words came to."""
    assert service.replication is not None
    pair = pair_words(samples)
    return DriverReport(
        service=service.name,
        driver=service.replication.driver,
        ok=not any(site.ok is False for site in sites) and not any(line.startswith("FAULT") for line in pair),
        sites=list(sites),
        pair=pair,
        missing=missing_words(unknown_words),
    )


def with_act(report: DriverReport, act: ActReport) -> DriverReport:
    """With a word that was carried out afterwards."""
    return report.model_copy(update={"act": act, "ok": report.ok and act.ok})


def missing_words(words: Iterable[Word]) -> list[WordReport]:
    """The words that are not known, in the order of the vocabulary."""
    unknown = set(words)
    return [
        WordReport(word=str(word), refused=REFUSED_WITHOUT.get(word, "what needs it (word-missing)"))
        for word in Word
        if word in unknown
    ]


# --- lines -------------------------------------------------------------------------------------------------


def report_lines(report: DriverReport) -> Iterator[str]:
    """The report for people, a line each."""
    for site in report.sites:
        yield from site_lines(site)
    yield from report.pair
    for word in report.missing:
        yield f"look  no `{word.word}`; refused without it: {word.refused}"
    if report.act is not None:
        yield from act_lines(report.act)


def site_lines(site: SiteReport) -> Iterator[str]:
    """One instance."""
    yield from asked_lines(site.asked, site.site)
    if not site.asked:
        yield f"      {site.site}: asked over the driver's own connection, {_time(site.seconds)}"
    verdict = {True: "ok", None: "look", False: "FAULT"}[site.ok]
    yield f"{verdict:<5} {site.site}: {site.understood}"
    for problem in site.problems:
        yield f"look  {site.site}: {problem}"


def asked_lines(asked: Iterable[Asked], site: str) -> Iterator[str]:
    """The commands that were run, and what came back."""
    for one in asked:
        yield f"run   {site}/{one.host}: {_short(one.command)}"
        if one.trouble:
            yield f"      {one.trouble}, {_time(one.seconds)}"
            continue
        said = _short(" | ".join(one.stdout.splitlines())) or "nothing"
        beside = f"; stderr: {last_lines(one.stderr)}" if one.stderr.strip() else ""
        yield f"      status {one.exit_status}, {_time(one.seconds)}: {said}{beside}"


def act_lines(act: ActReport) -> Iterator[str]:
    """What was carried out."""
    yield from asked_lines(act.asked, act.site)
    yield f"{'ok' if act.ok else 'FAULT':<5} {act.word} at {act.site}, {_time(act.seconds)}: {act.outcome}"


def _time(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 10 else f"{seconds:.0f} s"


def _short(text: str) -> str:
    shown = "".join(char if char.isprintable() else "\ufffd" for char in " ".join(text.split()))
    return shown if len(shown) <= LONGEST_SHOWN else shown[:LONGEST_SHOWN] + "…"
