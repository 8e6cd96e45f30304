"""The facts that events are made from, out of a controller. Reads only."""

from orchestrator.clock import unix_seconds_of
from orchestrator.controller import Controller
from orchestrator.paging.noticing import Facts


def facts_of(controller: Controller, *, now: float, since: float, up_seconds: float) -> Facts:
    """As they are now."""
    view = controller.view()
    runs = tuple(controller.run_records.values())
    ended = {run.run: unix_seconds_of(run.ended) for run in runs if run.ended}
    estate = controller.estate
    return Facts(
        view=view,
        judgements={
            name: mind.judgement for name, mind in controller.minds.items() if mind.judgement is not None
        },
        runs=runs,
        ended_at={run: at for run, at in ended.items() if at is not None},
        now=now,
        since=since,
        witness=estate.witness,
        heard=controller.eyes.heard(view.now_ns),
        up_seconds=up_seconds,
        certificates=controller.certificate_ends,
        titles={name: site.title for name, site in estate.sites.items() if site.title},
        keeper_problem=controller.keeper_problem,
        drills=tuple(controller.drills.board.records.values()) if controller.drills is not None else (),
    )
