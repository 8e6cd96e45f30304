"""The way home in the shapes of the local API. Reads only."""

from datetime import UTC, datetime

from orchestrator.api.shapes import WayHomeStage, WayHomeStatus
from orchestrator.core.view import ServiceView
from orchestrator.core.way_home import StageOnTheWay, State


def way_home_status(
    service: ServiceView, stages: tuple[StageOnTheWay, ...], unprotected_since_unix_seconds: float | None
) -> WayHomeStatus:
    """As it is shown."""
    record = service.record
    since = unprotected_since_unix_seconds
    stamp = datetime.fromtimestamp(since, UTC).isoformat(timespec="seconds") if since is not None else None
    return WayHomeStatus(
        home=service.service.home,
        primary=record.primary if record is not None and record.primary is not None else "",
        unprotected_since=stamp.replace("+00:00", "Z") if stamp is not None else None,
        next_stage=next((one.number for one in stages if one.state is not State.DONE), len(stages)),
        stages=[_stage(one) for one in stages],
    )


def _stage(one: StageOnTheWay) -> WayHomeStage:
    expected = one.expected
    return WayHomeStage.model_validate(
        {
            "number": one.number,
            "stage": str(one.stage),
            "state": str(one.state),
            "title": one.title,
            "words": one.words,
            "waits_for": list(one.waits_for),
            "likely_seconds": expected.likely_seconds if expected is not None else None,
            "cautious_seconds": expected.cautious_seconds if expected is not None else None,
            "times": expected.times if expected is not None else 0,
        }
    )
