"""Put everything that interlocks ask of into one value. Decides nothing."""

from collections.abc import Mapping

from orchestrator.clock import wall_unix_seconds
from orchestrator.controller import Controller
from orchestrator.core.diagnosis import Diagnosis
from orchestrator.core.records import Movement, RunRecord
from orchestrator.core.view import ServiceView, View
from orchestrator.drills.blackouts import Blackouts, moment
from orchestrator.drills.board import DrillBoard
from orchestrator.drills.interlocks import Ground
from runbooks.model import Kind
from sites.drills import DrillSpec
from sites.replication.rehearsal import Rehearses
from sites.replication.words import ReplicationDriver

CALM = frozenset({Diagnosis.HEALTHY, Diagnosis.LAGGING, Diagnosis.WATCH_ONLY, Diagnosis.UNCLAIMED})
PROTECTED = frozenset({Diagnosis.HEALTHY, Diagnosis.LAGGING})


class Grounds:
    """What one controller knows when a drill is to begin."""

    def __init__(
        self, controller: Controller, drivers: Mapping[str, ReplicationDriver], board: DrillBoard
    ) -> None:
        self._controller = controller
        self._drivers = drivers
        self._site = controller.site
        self.board = board
        self.blackouts = Blackouts(controller.estate.blackouts, {})

    def ground(self, drill: DrillSpec, *, by_itself: bool) -> Ground:
        """What is known now, for the interlocks."""
        view = self._controller.view()
        found = service_in(view, drill.service)
        service = self._controller.estate.services[drill.service]
        record = found.record if found is not None else None
        mind = self._controller.minds[drill.service]
        diagnosis = mind.judgement.row.diagnosis if mind.judgement is not None else None
        kept = self.board.records.get(drill.name)
        now = wall_unix_seconds()
        moved_by = mind.run or (
            record.run if record is not None and record.movement is Movement.MOVING else ""
        )
        return Ground(
            drill=drill,
            by_itself=by_itself,
            here=self._site,
            rpo_seconds=service.objectives.rpo_seconds,
            watch_only=service.watch_only,
            no_copy=self._no_copy(drill.service),
            owner_known=view.registered and record is not None,
            primary=record.primary if record is not None else None,
            entitled=found is not None and found.held is not None and found.held.entitled,
            moved_by=moved_by,
            under_way=self.board.turn.drill,
            runs=tuple(run.run for run in self._controller.run_records.values() if _counts(run)),
            troubles=self._troubles(drill.service),
            holding=_holding(view),
            paused=found.pause_words if found is not None and found.pause_left_seconds is not None else "",
            protected=None if diagnosis is None else diagnosis in PROTECTED,
            diagnosis=str(diagnosis or ""),
            lag_seconds=found.lag_seconds if found is not None else None,
            barred=self.blackouts.barred(drill.blackouts, moment(now)),
            ended_ago_seconds=now - kept.last_ended if kept is not None and kept.last_ended else None,
        )

    def _no_copy(self, service: str) -> str:
        driver = self._drivers.get(service)
        if not isinstance(driver, Rehearses):
            return f"the driver of {service} cannot promote a copy"
        return driver.rehearsal.missing

    def _troubles(self, but: str) -> tuple[str, ...]:
        """Services that are not as they should be. The drill's own has rows of its own."""
        found = []
        for name, mind in self._controller.minds.items():
            diagnosis = mind.judgement.row.diagnosis if mind.judgement is not None else None
            if name != but and diagnosis is not None and diagnosis not in CALM:
                found.append(f"{name} is {diagnosis}")
        return tuple(found)


def service_in(view: View, name: str) -> ServiceView | None:
    """The service's part of the view."""
    return next((found for found in view.services if found.service.name == name), None)


def _counts(run: RunRecord) -> bool:
    """A run that keeps drills from beginning: one that goes on. One that stands still holds its own
    service."""
    return run.kind != Kind.DRILL and run.state in ("running", "waiting")


def _holding(view: View) -> tuple[str, ...]:
    keeper = view.keeper
    if keeper is None:
        return ()
    found = [view.site] if keeper.hold_relied else []
    if keeper.peer is not None and keeper.peer.hold:
        found.append(view.peer)
    return tuple(found)
