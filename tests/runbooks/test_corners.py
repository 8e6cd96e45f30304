"""What seldom happens, and must then be right as well."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from runbooks.actions import shipped_actions
from runbooks.catalogue import ActionCatalogue, Arguments, ShellText
from runbooks.errors import JournalFull, PlanRefused
from runbooks.journal import Event, Record, RunEnded, RunOutcome, RunPlanned, StepStarted
from runbooks.library import Library, RunbookInvalid
from runbooks.model import Runbook
from runbooks.plan import Facts, bind, facts_of
from runbooks.planned import Part, Plan, PlannedCondition
from runbooks.progress import StepState, begin
from runbooks.render import render_plan
from runbooks.templates import Manner, TemplateFault, check, render
from runbooks.texts import filled, texts
from runbooks.walk import conclusion
from sites.errors import DriverTrouble
from sites.transport import Completed
from tests.runbooks.worlds import CRM, FACTS, FakeDriver, World, bound, plan_of_steps, scope, step
from tests.support.virtual_time import now_seconds, run

ASKED = PlannedCondition("run", "pgrep app", "morpeth", "morpeth/crm-app")


# -- templates --------------------------------------------------------------------------------------


def test_sums_of_numbers_are_allowed_and_nothing_that_grows() -> None:
    assert render("{{ run.epoch * 2 + 1 }}", scope(), Manner.TEXT) == "15"
    with pytest.raises(TemplateFault, match="operator"):
        render("{{ service.name * 3 }}", scope(), Manner.TEXT)


def test_a_key_that_is_only_known_later_is_judged_later() -> None:
    assert check("{{ parameters[service.name] }}", Manner.TEXT, ["a"]) == []
    with pytest.raises(TemplateFault):
        render("{{ parameters[service.name] }}", scope(), Manner.TEXT)


class Nested(Arguments):
    """Texts at every depth."""

    commands: ShellText = ""
    plain: dict[str, Any] = {}


def test_texts_are_found_and_filled_in_at_every_depth_in_the_manner_of_their_key() -> None:
    data = {"commands": ["a {{ service }}", {"b": "{{ service }}", "n": 1}], "plain": {"x": "{{ service }}"}}
    found = {trail: manner for trail, _, manner in texts(Nested, data)}
    assert found == {
        ("commands", 0): Manner.SHELL,
        ("commands", 1, "b"): Manner.SHELL,
        ("plain", "x"): Manner.TEXT,
    }
    done, faults = filled(Nested, data, scope())
    assert done == {"commands": ["a 'crm'", {"b": "'crm'", "n": 1}], "plain": {"x": "crm"}}
    assert faults == []
    _, faults = filled(Nested, {"commands": ["{{ nothing }}"]}, scope())
    assert [trail for trail, _ in faults] == [("commands", 0)]


# -- plans ------------------------------------------------------------------------------------------

HEAD = "runbook: x\ntitle: X\nsteps:\n  - id: a\n"
LOST = "{{ to_site.hosts['lost'] }}"


@pytest.mark.parametrize(
    "keys",
    [
        [f'title: "{LOST}"', "action: notify", "message: x"],
        ["action: replication.promote", f'unless: {{run: x, host: "{LOST}"}}'],
        ["action: replication.promote", f'undo: {{run: x, host: "{LOST}"}}'],
        ["action: replication.promote", f'verify: {{run: "ping {LOST}", host: morpeth/crm-db}}'],
    ],
)
def test_a_host_that_one_of_the_sites_does_not_have_is_found_when_the_plan_is_made(keys: list[str]) -> None:
    with pytest.raises(PlanRefused, match="lost"):
        bound(HEAD + "".join(f"    {key}\n" for key in keys))


def test_a_role_cannot_be_asked_for_without_a_driver() -> None:
    with pytest.raises(PlanRefused) as caught:
        bound(
            HEAD + "    action: notify\n    message: x\n    verify: {role: primary, at: to_site}\n",
            facts=Facts(has_driver=False),
        )
    assert caught.value.code == "driver-missing"


def test_a_word_that_this_catalogue_does_not_have_is_refused() -> None:
    runbook = Library(shipped_actions()).parse(
        HEAD + "    action: notify\n    message: x\n", file="x", name="x"
    )
    with pytest.raises(PlanRefused, match="notify"):
        bind(runbook, scope(), FACTS, ActionCatalogue())


def test_the_facts_of_a_service_are_its_probes_and_what_its_driver_speaks() -> None:
    facts = facts_of(CRM, FakeDriver())
    assert (facts.has_driver, facts.probes) == (True, frozenset({"login page"}))
    assert not facts_of(CRM, None).has_driver


def test_what_a_step_hands_to_a_query_is_filled_in() -> None:
    part = bound(
        HEAD + "    action: sql\n    statement: select $1::text\n    values: ['{{ service.title }}']\n"
    )
    assert part.steps[0].arguments["values"] == ["Customer records"]


def test_a_runbook_finds_its_steps_by_their_id() -> None:
    runbook: Runbook = Library(shipped_actions()).load("postgres/rejoin")
    assert runbook.step("streaming").needs == ["database"]
    with pytest.raises(KeyError):
        runbook.step("nothing")


def test_a_plan_without_steps_says_so() -> None:
    plan = plan_of_steps()
    assert render_plan(plan)[-1] == "No steps."
    assert conclusion(begin(plan), None).outcome is RunOutcome.DONE


def test_a_run_that_ends_before_its_steps_had_their_turn_is_never_called_done() -> None:
    assert conclusion(begin(plan_of_steps(step("a"))), None).outcome is RunOutcome.IN_DOUBT


def test_a_part_knows_its_first_and_last_steps() -> None:
    part = Part("p", "x", "X", (step("a"), step("b", "a"), step("c")))
    assert part.first == ("p/a", "p/c")
    assert part.last == ("p/b", "p/c")


# -- files of any shape -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "steps:\n  - {id: 5, action: notify, needs: 7}\n",
        "steps:\n  - {id: a, action: [ssh]}\n",
        "steps:\n  - just text\n  - {id: a}\n",
        "steps: {a: {}}\n",
        "parameters: [a]\nsteps: []\n",
        "steps:\n  - {id: a, action: wait, for: [1]}\n",
        "steps:\n  - {id: a, action: ssh, run: 5, host: {x: y}, verify: [], unless: 5}\n",
        "inverse: 5\nsteps:\n  - {id: a, action: notify, message: m, undo: text}\n",
    ],
)
def test_a_file_of_any_shape_gives_faults_and_never_a_traceback(text: str) -> None:
    with pytest.raises(RunbookInvalid) as caught:
        Library(shipped_actions()).parse(f"runbook: x\ntitle: X\n{text}", file="x.yaml", name="x")
    assert all(fault.file == "x.yaml" for fault in caught.value.faults)


def test_a_question_that_takes_no_host_is_told_what_it_takes() -> None:
    text = (
        HEAD
        + "    action: notify\n    message: m\n    verify: {probe: a, host: morpeth/crm-db, at: to_site}\n"
    )
    with pytest.raises(RunbookInvalid, match="the site asked"):
        Library(shipped_actions()).parse(text, file="x.yaml", name="x")


# -- questions --------------------------------------------------------------------------------------


def test_a_command_says_yes_by_its_exit_status() -> None:
    world = World()
    world.transport.answers["pgrep"] = Completed(1, "", "", 0.0)
    assert run(lambda: world.carry_out(plan_of_steps(step("a", unless=ASKED)))).done
    assert world.deeds.done == ["p/a"]
    world = World()
    assert run(lambda: world.carry_out(plan_of_steps(step("a", unless=ASKED)))).done
    assert world.deeds.done == []


def test_a_probe_that_is_healthy_already_spares_the_step() -> None:
    world = World(healthy={("login page", "morpeth"): True})
    unless = PlannedCondition("probe", "login page", "morpeth")
    assert run(lambda: world.carry_out(plan_of_steps(step("a", unless=unless)))).done
    assert world.deeds.done == []


def test_a_question_without_an_answer_fails_its_step_in_bounded_time() -> None:
    class Silent(FakeDriver):
        async def sample(self, site: str):
            await asyncio.sleep(1e6)

    world = World(driver=Silent())
    unless = PlannedCondition("role", "primary", "morpeth")

    async def story():
        outcome = await world.carry_out(plan_of_steps(step("a", unless=unless, timeout_seconds=600)))
        return outcome.progress.state("p/a"), now_seconds()

    state, seconds = run(story)
    assert state is StepState.FAILED
    assert seconds < 60


def test_a_question_that_fails_for_a_while_is_asked_again_by_verify() -> None:
    world = World()
    world.transport.answers["pgrep"] = DriverTrouble("not now")

    async def story():
        async def recover() -> None:
            await asyncio.sleep(10)
            world.transport.answers.clear()

        recovering = asyncio.create_task(recover())
        outcome = await world.carry_out(plan_of_steps(step("a", verify=ASKED)))
        await recovering
        return outcome

    assert run(story).done


# -- going on ---------------------------------------------------------------------------------------


def cut_off(world: World, plan: Plan) -> None:
    async def story() -> None:
        await world.journal.append("run-1", RunPlanned(plan, "anna", "why"))
        for planned in plan.steps:
            await world.journal.append("run-1", StepStarted(planned.id, 1))

    run(story)


@pytest.mark.parametrize("fields", [{"action": "teleport"}, {"arguments": {"colour": "red"}}])
def test_a_step_in_doubt_of_which_this_program_knows_nothing_has_failed(fields: dict[str, Any]) -> None:
    world = World()
    plan = plan_of_steps(step("a", **fields))
    cut_off(world, plan)
    assert run(lambda: world.carry_out(plan)).outcome is RunOutcome.FAILED


def test_a_step_in_doubt_whose_question_cannot_be_asked_is_run_again_only_by_the_rules() -> None:
    world = World()
    world.transport.answers["pgrep"] = Completed(127, "", "not found", 0.0)
    plan = plan_of_steps(step("a", unless=ASKED))
    cut_off(world, plan)
    outcome = run(lambda: world.carry_out(plan))
    assert outcome.outcome is RunOutcome.FAILED
    assert world.deeds.done == []


def test_a_farewell_that_cannot_be_recorded_is_logged_and_holds_nothing_up(logs: list[Any]) -> None:
    world = World()
    inner = world.journal

    class Full:
        async def append(self, run_id: str, event: Event) -> Record:
            if isinstance(event, RunEnded):
                raise JournalFull("no space left")
            return await inner.append(run_id, event)

        async def read(self, run_id: str) -> Sequence[Record]:
            return await inner.read(run_id)

        async def runs(self, limit: int):
            return await inner.runs(limit)

    world.journal = Full()
    world.deeds.scripts["p/a"] = lambda call: asyncio.sleep(50)

    async def story() -> None:
        task = asyncio.create_task(world.carry_out(plan_of_steps(step("a"))))
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(story)
    assert any(entry["event"] == "farewell_not_recorded" and "p/a" in entry["left"] for entry in logs)
