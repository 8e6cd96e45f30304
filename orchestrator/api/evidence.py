"""What everybody sees, side by side, in the shapes of the local API: who reaches whom, instances and probes
by observer, where observers disagree, and how long a pause still lasts. Reads only; decides nothing.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta

from orchestrator.api.shapes import Finding, PauseStatus, ReachStatus, Sight
from orchestrator.core.reach import Reach, ReachWord, Target, findings, listed
from orchestrator.core.view import ServiceView, View
from probes.model import Observation
from sites.replication.words import Role

FRESH_SIGHT_SECONDS = 10.0


def reach_status(reach: Reach, sites: Iterable[str]) -> list[ReachStatus]:
    """The matrix: a line for each observer and target, in the order of the sites. A word that is too old to
    count is unknown."""
    order = {site: number for number, site in enumerate(sites)}

    def place(word: ReachWord) -> tuple[int, bool, int]:
        last = len(order)
        return (
            order.get(word.observer, last),
            word.kind is not Target.SITE,
            order.get(word.target, last),
        )

    return [
        ReachStatus(
            observer=word.observer,
            target=word.target,
            kind=word.kind.value,
            reached=word.said,
            age_seconds=word.age_seconds,
            detail=word.detail,
        )
        for word in sorted(reach.words, key=place)
    ]


def findings_status(reach: Reach) -> list[Finding]:
    """What follows from the matrix."""
    return [
        Finding(finding=found.finding.value, about=list(found.about), words=found.words)
        for found in findings(reach)
    ]


def pause_status(service: ServiceView) -> PauseStatus | None:
    """The pause that is on, if one is."""
    pause = service.record.pause if service.record is not None else None
    left = service.pause_left_seconds
    if pause is None or left is None:
        return None
    ends = datetime.now(UTC) + timedelta(seconds=left)
    return PauseStatus(
        who=pause.who,
        reason=pause.reason,
        since=pause.since,
        ends=ends.isoformat(timespec="seconds").replace("+00:00", "Z"),
        remaining_seconds=left,
    )


def sights(view: View, service: ServiceView, observations: Iterable[Observation]) -> list[Sight]:
    """Instances and probes by observer: by our own eyes first, then by the others'."""
    return [*_instances(view, service), *_probes(view, service, observations)]


def _instances(view: View, service: ServiceView) -> Iterator[Sight]:
    for site, sample in service.samples.items():
        yield Sight(
            observer=view.site,
            site=site,
            probe="",
            seen=str(sample.role),
            writable=sample.writable,
            reason=sample.reason,
            age_seconds=max(0, view.now_ns - sample.taken_at_ns) / 1e9,
        )
    for word in service.outside:
        yield Sight(
            observer=word.observer,
            site=word.site,
            probe="",
            seen=word.role,
            writable=word.writable,
            reason=word.reason,
            age_seconds=word.age_seconds,
        )


def _probes(view: View, service: ServiceView, observations: Iterable[Observation]) -> Iterator[Sight]:
    for seen in observations:
        if seen.service == service.service.name:
            yield Sight(
                observer=view.site,
                site=seen.site,
                probe=seen.probe,
                seen=str(seen.verdict),
                writable=None,
                reason=seen.last.reason if seen.last is not None else "not tried yet",
                age_seconds=max(0, view.now_ns - seen.last.at_ns) / 1e9 if seen.last is not None else None,
            )
    for word in service.client_probes:
        yield Sight(
            observer=word.observer,
            site=word.site,
            probe=word.probe,
            seen=word.verdict,
            writable=None,
            reason=word.reason,
            age_seconds=word.age_seconds,
        )


def disagreeing(of: Iterable[Sight]) -> dict[tuple[str, str], dict[str, list[str]]]:
    """By site and probe (empty: the instance): what was seen there, and by whom, where observers who looked
    lately saw different things. What is not known disagrees with nothing."""
    said: dict[tuple[str, str], dict[str, list[str]]] = {}
    for sight in of:
        fresh = sight.age_seconds is not None and sight.age_seconds <= FRESH_SIGHT_SECONDS
        if fresh and sight.seen != Role.UNKNOWN.value:
            words = {True: f"{sight.seen}, writable", False: f"{sight.seen}, not writable"}
            told = sight.seen if sight.probe or sight.writable is None else words[sight.writable]
            age = f"{sight.observer} ({sight.age_seconds:.0f} s ago)"
            said.setdefault((sight.site, sight.probe), {}).setdefault(told, []).append(age)
    return {subject: answers for subject, answers in said.items() if len(answers) > 1}


def disagreements(of: Iterable[Sight]) -> list[str]:
    """The same in words, a line for each."""
    lines = []
    for (site, probe), answers in disagreeing(of).items():
        subject = f"probe {probe} at {site}" if probe else f"the instance at {site}"
        told_by = "; ".join(f"{told}: {listed(who)}" for told, who in answers.items())
        lines.append(f"observers disagree about {subject}: {told_by}")
    return lines
