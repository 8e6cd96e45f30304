"""Gathers what is known of the way home of a service: from the view, the runs, and those before them."""

from collections.abc import Mapping, Sequence

from orchestrator.core.gates import Gate
from orchestrator.core.protection import rejoins_of
from orchestrator.core.records import RunRecord
from orchestrator.core.view import ServiceView, View
from orchestrator.core.way_home import Expected, Facts, Stage, StageOnTheWay, way_home
from orchestrator.trend import Trend
from runbooks.model import Kind
from runbooks.timing import DURATIONS_KEPT, past_of
from sites.replication.words import ReplicationDriver, TellsWayBack

TIMED = {Stage.REJOINED: Kind.REJOIN, Stage.MOVED: Kind.SWITCHOVER}
"""The stages that are runs, and which."""


class WaysHome:
    """One controller's. `runs`: the records that are known, by run."""

    def __init__(
        self, drivers: Mapping[str, ReplicationDriver], runs: Mapping[str, RunRecord], trend: Trend
    ) -> None:
        self._drivers = drivers
        self._runs = runs
        self._trend = trend

    def of(self, view: View, service: ServiceView, gates: Sequence[Gate]) -> tuple[StageOnTheWay, ...]:
        """The stages of a service that is away from home. `gates`: of the planned move there. Raises
        ValueError for any other."""
        name, record = service.service.name, service.record
        if record is None:
            raise ValueError(f"who owns {name} is not known")
        moved = self._runs.get(record.run)
        rejoins = rejoins_of(name, record, self._runs)
        driver = self._drivers.get(name)
        facts = Facts(
            statement=moved.statement if moved is not None and moved.kind == Kind.FAILOVER else "",
            rejoin=rejoins[-1] if rejoins else None,
            rejoin_words=driver.way_back() if isinstance(driver, TellsWayBack) else "",
            gates=gates,
            expected=self._expected(name),
        )
        return way_home(view, service, facts)

    def _expected(self, service: str) -> dict[Stage, Expected]:
        """From the service's own past runs that ended well; stages of which there are none are left out."""
        found = {}
        for stage, kind in TIMED.items():
            done = [
                one
                for one in self._trend.figures
                if (one.service, one.kind, one.state) == (service, kind, "done")
            ]
            latest = sorted(done, key=lambda one: one.ended_unix_seconds)[-DURATIONS_KEPT:]
            past = past_of(one.seconds for one in latest if one.seconds is not None)
            if past is not None:
                found[stage] = Expected(past.p50_seconds, past.p75_seconds, past.samples)
        return found
