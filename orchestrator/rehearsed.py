"""Whether what would be done tonight was done before, exactly so: by drill or in earnest.

Today's plan is drawn up as a decision would have it drawn up; nothing of it is carried out. What comes out is
kept until a run ends or a version changes, because it is asked for at every turn.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator import PRODUCT
from orchestrator.core.records import RunRecord
from orchestrator.drills.plans import PART
from orchestrator.eyes import Eyes
from orchestrator.made_from import PLAN, Success, Tested, made_from, named, tested
from orchestrator.mover import Mover
from orchestrator.rto_clock import MOVES
from orchestrator.trend import Trend
from runbooks.errors import RunbooksError
from runbooks.model import Kind
from runbooks.planned import Plan
from sites.model import Estate

VERSION = PRODUCT.partition(" ")[2] or PRODUCT
DAY_SECONDS = 86_400.0
TABLETOP_STEP = f"{PART}/look"
NEVER = "never drilled"
UNKNOWN = "unknown whether it was drilled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """`known`: whether today's plan could be drawn up; without `tested` it was never done."""

    known: bool
    tested: Tested | None = None

    @property
    def exactly(self) -> bool | None:
        """Exactly today's plan came to its end before; None: not known."""
        return (self.tested is not None and self.tested.exactly) if self.known else None

    def words(self, now_unix_seconds: float) -> str:
        """`drilled 23 days ago in 4 m 12 s`, `changed since: …`, `never drilled`."""
        if not self.known:
            return UNKNOWN
        if self.tested is None:
            return NEVER
        success = self.tested.success
        did = "drilled" if success.kind == Kind.DRILL else f"done ({success.kind})"
        took = f" in {took_words(success.seconds)}" if success.seconds is not None else ""
        told = f"{did} {ago_words(now_unix_seconds - success.ended_unix_seconds)}{took}"
        return told if self.tested.exactly else f"{told}, changed since: {named(self.tested.changed)}"


def ago_words(seconds: float) -> str:
    """How long ago, in days where it is days."""
    if seconds >= 2 * DAY_SECONDS:
        return f"{seconds // DAY_SECONDS:.0f} days ago"
    if seconds >= 7200:
        return f"{seconds // 3600:.0f} h ago"
    return f"{max(0.0, seconds) // 60:.0f} min ago"


def took_words(seconds: float) -> str:
    """`4 m 12 s`, `1 h 3 m`, `8.2 s`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} m {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} m"


class Rehearsed:
    """One controller's word on it."""

    def __init__(
        self,
        estate: Estate,
        site: str,
        *,
        mover: Mover,
        eyes: Eyes,
        trend: Trend,
        runs: Mapping[str, RunRecord],
    ) -> None:
        self._estate = estate
        self._site = site
        self._mover = mover
        self._eyes = eyes
        self._trend = trend
        self._runs = runs
        self._drawn: dict[tuple[str, str, str], Mapping[str, str] | None] = {}
        self._kept: dict[tuple[str, str, str], tuple[int, Mapping[str, str], Rehearsal]] = {}

    def versions(self, service: str) -> dict[str, str]:
        """What the database at each site says that it is."""
        samples = {site: self._eyes.sample(service, site) for site in self._estate.services[service].sites}
        return {site: sample.version for site, sample in samples.items() if sample is not None}

    def made_from(self, plan: Plan) -> dict[str, str]:
        """What the plan is made from, as of now."""
        return made_from(plan, self._estate, version=VERSION, databases=self.versions(plan.service))

    def again(self, plan: Plan) -> dict[str, str]:
        """What a plan that was carried out would be made from today: its own runbooks as they are loaded here
        now, and today's estate and versions. Raises RunbooksError."""
        now: dict[str, str] = {}
        for part in plan.parts:
            if part.source_sha256:
                now |= self._mover.hashes_of(part.runbook)
        # What a runbook can bring along and this plan did not use is none of its business.
        was = self.made_from(plan)
        return {name: now.get(name, value) for name, value in was.items()}

    def of_plan(self, plan: Plan) -> Rehearsal:
        """Of a plan that was drawn up."""
        return self._among(self.made_from(plan), plan.service, plan.to_site)

    def of_service(self, service: str, primary: str | None) -> Rehearsal:
        """Of the failover that would be carried out if the primary were lost now."""
        noun = self._estate.services[service]
        if noun.watch_only:
            return Rehearsal(known=False)
        from_site = primary or noun.home
        key = (service, from_site, noun.peer_of(from_site))
        if key not in self._drawn:
            self._drawn[key] = self._draw(*key)
        bare = self._drawn[key]
        if bare is None:
            return Rehearsal(known=False)
        versions = self.versions(service)
        kept = self._kept.get(key)
        if kept is None or (kept[0], kept[1]) != (self._trend.version, versions):
            today = {**bare, **{f"database at {site}": said for site, said in versions.items() if said}}
            kept = self._kept[key] = (self._trend.version, versions, self._among(today, service, key[2]))
        return kept[2]

    def _draw(self, service: str, from_site: str, to_site: str) -> Mapping[str, str] | None:
        try:
            plan = self._mover.draw(
                Kind.FAILOVER,
                self._estate.services[service],
                from_site=from_site,
                to_site=to_site,
                epoch=1,
                frame="take-over",
                reason="",
            )
        except RunbooksError:
            return None
        return made_from(plan, self._estate, version=VERSION, databases={})

    def _among(self, today: Mapping[str, str], service: str, to_site: str) -> Rehearsal:
        successes = [
            Success(
                run=one.run,
                kind=one.kind,
                ended_unix_seconds=one.ended_unix_seconds,
                seconds=one.seconds,
                made_from=one.made_from,
            )
            for one in self._trend.figures
            if one.service == service
            and one.to_site == to_site
            and one.state == "done"
            and one.kind in MOVES
            # A tabletop drill talks a plan through and carries nothing of it out.
            and TABLETOP_STEP not in one.steps
        ]
        return Rehearsal(known=PLAN in today, tested=tested(today, successes))
