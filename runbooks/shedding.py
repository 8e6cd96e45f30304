"""What a `shed` runbook may do, and how its steps stand in the plan of another service's move. Pure.

It is carried out in the run of the service that needs the room, so nothing in it may ask or tell a database:
that would be the moved one's. What it fails to shed keeps nobody from opening the service that matters more.
"""

from collections.abc import Iterator
from dataclasses import replace

from runbooks.catalogue import ActionCatalogue
from runbooks.errors import Problem
from runbooks.model import IfUnreachable, OnFailure, Runbook
from runbooks.planned import Part

_ASKS_A_SERVICE = ("probe", "sql", "role")


def not_for_shedding(runbook: Runbook, catalogue: ActionCatalogue) -> Iterator[Problem]:
    """Steps and questions that speak to a service's database or probes."""
    for step in runbook.steps:
        spec = catalogue.get(step.action)
        if step.action in _ASKS_A_SERVICE or (spec is not None and spec.needs_words):
            yield Problem(
                f"step {step.id}: action",
                f"{step.action}, which would act on the service that is moved",
                "what acts on hosts, such as ssh",
            )
        for key in ("unless", "verify"):
            question = getattr(step, key)
            asked = [kind for kind in _ASKS_A_SERVICE if question is not None and getattr(question, kind)]
            for kind in asked:
                yield Problem(
                    f"step {step.id}: {key}.{kind}",
                    f"{kind}, which would be asked of the service that is moved",
                    "a command (`run`)",
                )


def as_shedding(part: Part, name: str) -> Part:
    """The part, under a name of its own, holding nothing up: what fails in it, or is not reached, is told."""

    def renamed(step_id: str) -> str:
        return f"{name}/{step_id.partition('/')[2]}"

    steps = tuple(
        replace(
            step,
            id=renamed(step.id),
            part=name,
            needs=tuple(renamed(need) for need in step.needs),
            on_failure=OnFailure.CONTINUE,
            if_unreachable=IfUnreachable.CONTINUE,
        )
        for step in part.steps
    )
    return replace(part, name=name, steps=steps)
