"""What a drill does, as a plan that is carried out like any other. Pure: values only."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from runbooks.catalogue import ActionCatalogue
from runbooks.model import BY_PEOPLE, InDoubt, Kind, OnFailure
from runbooks.plan import compose
from runbooks.planned import Part, Plan, PlannedStep
from sites.drills import DrillCheck, DrillSpec

PART = "drill"
LOOK_SECONDS = 30.0
START_SECONDS = 600.0
PROMOTE_SECONDS = 120.0
REMOVE_SECONDS = 300.0
STAY_MORE_SECONDS = 900.0
"""How long the old primary may take to become a standby again, beyond the stay."""
OWN_QUESTION = "The copy answers"


def _step(
    name: str,
    title: str,
    site: str,
    needs: Sequence[str],
    timeout_seconds: float,
    *,
    word: str = "",
    arguments: Mapping[str, Any] | None = None,
) -> PlannedStep:
    return PlannedStep(
        id=f"{PART}/{name}",
        part=PART,
        number=0,
        title=title,
        action=f"drill.{word or name}",
        site=site,
        arguments=arguments or {},
        needs=tuple(f"{PART}/{need}" for need in needs),
        timeout_seconds=timeout_seconds,
        in_doubt=InDoubt.RERUN,  # each asks first how things stand
    )


def isolated(
    run: str,
    drill: DrillSpec,
    *,
    from_site: str,
    to_site: str,
    to_title: str,
    epoch: int,
    words: Iterable[str],
    reason: str,
) -> Plan:
    """Copy the standby, promote the copy where nobody reaches it, ask it, remove it. `words`: the driver's.

    The copy's removal is a step like the others: a drill that left something behind is not done.
    """
    titles = {
        "room": (f"Make sure that there is room for a copy at {to_title}", LOOK_SECONDS),
        "copy": (f"Copy the standby at {to_title}", drill.ends_within_seconds),
        "start": ("Start the copy where nobody can reach it", START_SECONDS),
        "promote": ("Promote the copy", PROMOTE_SECONDS),
    }
    steps: list[PlannedStep] = []
    before: tuple[str, ...] = ()
    for word in words:
        if word in titles:
            title, timeout_seconds = titles[word]
            steps.append(_step(word, title, to_site, before, timeout_seconds))
            before = (word,)
    questions = _questions(drill.checks) if "ask" in words or drill.checks else []
    for number, question in enumerate(questions, start=1):
        name = f"ask-{number}"
        steps.append(
            _step(
                name,
                f"Ask the copy: {question.name}",
                to_site,
                before,
                question.timeout_seconds,
                word="ask",
                arguments=question.model_dump(exclude={"timeout_seconds"}, exclude_none=True),
            )
        )
        before = (name,)
    steps.append(_step("remove", "Remove the copy", to_site, before, REMOVE_SECONDS))
    part = Part(PART, "built in", f"A copy of the standby at {to_title} is promoted", tuple(steps))
    return compose(
        part,
        run_id=run,
        kind=Kind.DRILL,
        service=drill.service,
        from_site=from_site,
        to_site=to_site,
        epoch=epoch,
        reason=reason,
    )


def _questions(checks: Iterable[DrillCheck]) -> list[Any]:
    own = DrillCheck.model_construct(name=OWN_QUESTION, sql=None, run=None, expect=None, timeout_seconds=60.0)
    return [own, *checks]


def live(
    run: str,
    drill: DrillSpec,
    *,
    from_site: str,
    to_site: str,
    titles: Mapping[str, str],
    epoch: int,
    reason: str,
) -> Plan:
    """Away by a planned move, a stay, and home by another one. In an isolation drill things of the other
    site are made unreachable before, and reachable again after."""
    steps: list[PlannedStep] = []
    before: tuple[str, ...] = ()

    def then(name: str, title: str, timeout_seconds: float, **more: Any) -> None:
        nonlocal before
        steps.append(_step(name, title, to_site, before, timeout_seconds, **more))
        before = (name,)

    for name, block in drill.block.items():
        arguments = {"host": block.host, "run": block.block, "verify": block.verify}
        title = f"Make {name} unreachable"
        then(f"block-{name}", title, block.timeout_seconds, word="block", arguments=arguments)
    then("away", f"Move it to {titles[to_site]}", drill.ends_within_seconds)
    title = f"Stay at {titles[to_site]}, and see that it works there"
    stay_seconds = drill.stay_seconds + STAY_MORE_SECONDS
    then("stay", title, stay_seconds, arguments={"for_seconds": drill.stay_seconds})
    then("home", f"Move it home to {titles[from_site]}", drill.ends_within_seconds)
    for name, block in drill.block.items():
        arguments = {"host": block.host, "run": block.unblock}
        title = f"Make {name} reachable again"
        then(f"unblock-{name}", title, block.timeout_seconds, word="unblock", arguments=arguments)
    part = Part(PART, "built in", f"It moves to {titles[to_site]} and home again", tuple(steps))
    return compose(
        part,
        run_id=run,
        kind=Kind.DRILL,
        service=drill.service,
        from_site=from_site,
        to_site=to_site,
        epoch=epoch,
        reason=reason,
    )


def tabletop(
    run: str,
    drill: DrillSpec,
    moves: Mapping[str, Plan],
    catalogue: ActionCatalogue,
    *,
    from_site: str,
    to_site: str,
    epoch: int,
    reason: str,
) -> Plan:
    """What a move would find now, then of each real plan (by its name) the steps that people do and those
    that only look before anything is changed. Touches nothing."""
    look = _step("look", "See what a move would find now", to_site, (), LOOK_SECONDS)
    parts = [Part(PART, "built in", "What a move would find now", (look,))]
    for name, plan in moves.items():
        steps = _without_deeds(name, plan, catalogue)
        if steps:
            parts.append(Part(name, "built in", f"A {name}, as far as people do it", steps))
    return compose(
        *parts,
        run_id=run,
        kind=Kind.DRILL,
        service=drill.service,
        from_site=from_site,
        to_site=to_site,
        epoch=epoch,
        reason=reason,
    )


def _without_deeds(name: str, plan: Plan, catalogue: ActionCatalogue) -> tuple[PlannedStep, ...]:
    """The steps of a real plan that a tabletop drill can carry out, in the plan's order, one after another as
    the plan has them. A look that comes after a deed would find what the deed has not done."""
    changed: set[str] = set()  # deeds, and what comes after one
    kept: dict[str, tuple[str, ...]] = {}  # of every step: the kept ones that it waits for
    steps: list[PlannedStep] = []
    for step in plan.steps:
        spec = catalogue.get(step.action)
        people = step.action in BY_PEOPLE
        after_deed = bool(changed.intersection(step.needs))
        deed = not people and (spec is None or spec.changes_with(step.arguments))
        if deed or after_deed:
            changed.add(step.id)
        needs = tuple(dict.fromkeys(kept_id for need in step.needs for kept_id in kept[need]))
        if not people and (deed or after_deed or step.action.startswith("notify")):
            kept[step.id] = needs
            continue
        own = f"{name}/{step.id.replace('/', '.')}"
        kept[step.id] = (own,)
        steps.append(
            replace(
                step,
                id=own,
                part=name,
                needs=needs,
                unless=None,
                verify=None,
                undo=None,
                limits=(),
                on_failure=OnFailure.ABORT if not people else step.on_failure,
            )
        )
    return tuple(steps)
