"""The numbers on the wall are those of the plan that a controller draws up."""

from pathlib import Path
from typing import Any

import pytest

from orchestrator.mover import Mover, Tools
from orchestrator.wall_plan import HANDED_OVER, WallPlan
from runbooks.actions import shipped_actions
from runbooks.library import Library
from runbooks.model import Kind
from runbooks.plan import facts_of
from runbooks.planned import Plan
from sites.model import Estate
from tests.runbooks.worlds import ESTATE, FakeDriver

RUNBOOK = "runbook: {0}\ntitle: Some {0}\nsteps:\n"
STEP = "  - {{id: {}, action: notify, message: hello}}\n"
ROLES = ("promote", "demote", "rejoin")


@pytest.fixture
def library(tmp_path: Path) -> Library:
    """Runbooks of one to three steps, so that no two have numbers in common by chance."""
    for steps, role in enumerate(ROLES, start=1):
        ids = [f"step-{number}" for number in range(steps)]
        listed = "".join(STEP.format(one) for one in ids)
        (tmp_path / f"{role}.yaml").write_text(RUNBOOK.format(role) + listed)
    return Library(shipped_actions(), (tmp_path,))


def estate() -> Estate:
    crm = ESTATE.services["crm"].model_copy(update={"runbooks": {role: role for role in ROLES}})
    return ESTATE.model_copy(update={"services": {"crm": crm}})


def drawn(library: Library, kind: Kind, frame: str) -> Plan:
    unused: Any = None
    tools = Tools(
        estate(),
        "morpeth",
        library,
        library.catalogue,
        {"crm": FakeDriver()},
        unused,
        unused,
        unused,
        {},
        {},
    )
    mover = Mover(tools, unused, unused, lambda service: None)
    return mover.draw(
        kind,
        estate().services["crm"],
        from_site="durham",
        to_site="morpeth",
        epoch=7,
        frame=frame,
        reason="",
    )


def on_the_wall(library: Library, kind: Kind, role: str) -> Plan | None:
    move = WallPlan(
        estate(),
        estate().services["crm"],
        "durham",
        "morpeth",
        kind,
        library.catalogue,
        library.load,
        lambda service: facts_of(service, FakeDriver()),
    )
    found = move.around(library.load(role), role)
    return found[0] if found is not None else None


def numbers(plan: Plan) -> list[tuple[int, str, str]]:
    return [(step.number, step.id, step.title) for step in plan.steps]


@pytest.mark.parametrize(
    ("kind", "frame", "role"),
    [
        (Kind.FAILOVER, "take-over", "promote"),
        (Kind.SWITCHOVER, "hand-over", "promote"),
        (Kind.SWITCHOVER, "hand-over", "demote"),
        (Kind.REJOIN, "rejoin", "rejoin"),
    ],
)
def test_every_step_has_the_number_that_the_controllers_plan_gives_it(
    library: Library, kind: Kind, frame: str, role: str
) -> None:
    wall = on_the_wall(library, kind, role)
    assert wall is not None
    assert numbers(wall) == numbers(drawn(library, kind, frame))


def test_what_the_page_says_of_a_service_that_is_given_up_first_is_so(library: Library) -> None:
    assert "every number is then one higher" in HANDED_OVER
    lost = {step: number for number, step, _ in numbers(drawn(library, Kind.FAILOVER, "take-over"))}
    given_up = {step: number for number, step, _ in numbers(drawn(library, Kind.FAILOVER, "shut-over"))}
    assert [given_up[step] - lost[step] for step in lost if step.startswith("promote/")] == [1]


def test_a_kind_of_run_without_such_a_runbook_has_no_page(library: Library) -> None:
    assert on_the_wall(library, Kind.FAILOVER, "demote") is None
    assert on_the_wall(library, Kind.REJOIN, "promote") is None
