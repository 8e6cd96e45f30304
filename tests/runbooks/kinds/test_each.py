"""A step for each host: one planned step a host, all of them needed, so many at a time."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from runbooks.errors import PlanRefused
from runbooks.journal import RunOutcome
from runbooks.limits import Limits
from runbooks.planned import Limit, Plan
from runbooks.render import render_plan
from sites.transport import Completed
from tests.runbooks.kinds.folders import codes, farm, faults, needs, planned, written
from tests.runbooks.worlds import FakeTransport, World, step

STOP = (
    "steps:\n  - id: stop\n    title: Stop\n    action: ssh\n    for_each: {}\n"
    "    run: stop {{{{ host.name }}}} {{{{ host }}}}\n"
    "  - {{id: after, action: notify, message: m, needs: [stop]}}\n"
)


def names(plan: Plan) -> list[str]:
    return [step.id[2:] for step in plan.steps if "@" in step.id]


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        ('"{{ to_site.hosts }}"', ["crm-db", "crm-app", "app-1", "app-2"]),
        ("app-*", ["app-1", "app-2"]),
        ("[app-2, app-1, app-*]", ["app-2", "app-1"]),
        ("{hosts: app-?, at: from_site}", ["app-1", "app-2"]),
        ("{hosts: '*', except: [crm-*, app-2]}", ["app-1"]),
    ],
)
def test_hosts_are_chosen_by_name_and_by_pattern(tmp_path: Path, selection: str, expected: list[str]) -> None:
    plan = planned(written(tmp_path, outer=STOP.format(selection)), estate=farm(2))
    assert names(plan) == [f"stop@{name}" for name in expected]
    assert needs(plan)["after"] == tuple(names(plan))
    site = "durham" if "from_site" in selection else "morpeth"
    assert [step.host for step in plan.steps[:-1]] == [f"{site}/{name}" for name in expected]


def test_each_step_has_its_host_in_its_command_its_title_and_its_questions(tmp_path: Path) -> None:
    text = STOP.format("app-*").replace("    run:", "    unless: pgrep {{ host.name }}\n    run:")
    step = planned(written(tmp_path, outer=text), estate=farm(1)).steps[0]
    assert step.arguments == {"host": "morpeth/app-1", "run": "stop 'app-1' '10.9.0.1'"}
    assert step.title == "Stop on morpeth/app-1"
    assert step.unless is not None
    assert (step.unless.host, step.unless.text) == ("morpeth/app-1", "pgrep 'app-1'")


def test_a_list_among_the_parameters_can_be_the_selection(tmp_path: Path) -> None:
    text = "parameters: {nodes: {default: [app-1]}}\n" + STOP.format("'{{ parameters.nodes }}'")
    library = written(tmp_path, outer=text)
    assert names(planned(library, estate=farm(3))) == ["stop@app-1"]
    assert names(planned(library, estate=farm(3), nodes=["app-3", "app-2"])) == ["stop@app-3", "stop@app-2"]


@pytest.mark.parametrize(
    ("selection", "found"),
    [("web-*", "no host called 'web-*'"), ("{hosts: '*', except: '*'}", "no host at all")],
)
def test_a_plan_for_no_host_at_all_is_refused_with_those_that_there_are(
    tmp_path: Path, selection: str, found: str
) -> None:
    with pytest.raises(PlanRefused) as caught:
        planned(written(tmp_path, outer=STOP.format(selection)), estate=farm(1))
    assert f"step stop: for_each: {found}" in str(caught.value)
    assert "crm-db, crm-app, app-1" in str(caught.value)


def test_nothing_to_choose_from_a_limit_of_nothing_and_a_host_without_for_each_are_faults(
    tmp_path: Path,
) -> None:
    assert codes(written(tmp_path, outer=STOP.format("[]"))) == ["wrong-value"]
    assert codes(written(tmp_path, outer=STOP.format("app-*\n    at_most: 0"))) == ["wrong-value"]
    alone = STOP.format("app-*").replace("for_each: app-*", "at_most: 2\n    host: morpeth/crm-app")
    found = faults(written(tmp_path, outer=alone))
    assert {fault.code for fault in found} == {"wrong-value", "unknown-name"}
    assert "for_each" in next(fault.expected for fault in found if fault.code == "wrong-value")


class Counting(FakeTransport):
    """Counts how many commands run at the same time."""

    def __init__(self) -> None:
        super().__init__()
        self.running, self.most = 0, 0
        self.fails: set[str] = set()

    async def run(self, host, command, *, timeout_seconds, stdin=""):
        self.running += 1
        self.most = max(self.most, self.running)
        await asyncio.sleep(0.01)
        self.running -= 1
        self.ran.append((host.name, command))
        return Completed(3 if host.name in self.fails else 0, "", "no space", 0.0)


@pytest.mark.parametrize(("limit", "expected"), [("", 12), ("\n    at_most: 5", 5), ("\n    at_most: 1", 1)])
async def test_no_more_hosts_than_allowed_are_under_way_at_a_time(
    tmp_path: Path, limit: str, expected: int
) -> None:
    estate = farm(12)
    world = World(transport=Counting(), estate=estate)
    plan = planned(written(tmp_path, outer=STOP.format(f"app-*{limit}")), estate=estate)
    assert (await world.carry_out(plan)).done
    assert world.transport.most == expected
    assert len(world.transport.ran) == 12


async def test_a_host_that_fails_ends_the_run_or_not_and_the_end_says_which_it_was(tmp_path: Path) -> None:
    estate = farm(6)
    for more, outcome, ran in (
        ("\n    at_most: 2", RunOutcome.FAILED, 4),
        ("\n    at_most: 2\n    on_failure: continue", RunOutcome.DONE, 6),
    ):
        world = World(transport=Counting(), estate=estate)
        world.transport.fails.add("app-3")
        plan = planned(written(tmp_path, outer=STOP.format(f"app-*{more}")), estate=estate)
        ended = await world.carry_out(plan)
        assert ended.outcome is outcome
        assert "Stop on morpeth/app-3" in ended.summary
        assert len(world.transport.ran) == ran


async def test_a_host_keeps_its_place_until_the_last_of_its_steps_has_ended(tmp_path: Path) -> None:
    outer = (
        "steps:\n  - {id: each, action: runbook, runbook: one, for_each: app-*, at_most: 2,\n"
        "     parameters: {node: '{{ host.name }}'}}\n"
        "  - {id: after, action: notify, message: m, needs: [each]}\n"
    )
    one = (
        "parameters: {node: {}}\nsteps:\n"
        "  - {id: out, action: ssh, host: '{{ to_site.hosts[parameters.node] }}', run: out}\n"
        "  - {id: in, action: ssh, host: '{{ to_site.hosts[parameters.node] }}', run: in, needs: [out]}\n"
    )
    estate = farm(5)
    plan = planned(written(tmp_path, outer=outer, one=one), estate=estate)
    assert needs(plan)["each@app-2/in"] == ("each@app-2/out",)
    assert needs(plan)["after"] == tuple(f"each@app-{number}/in" for number in range(1, 6))
    under_way: list[set[str]] = []

    class Watching(Counting):
        async def run(self, host, command, *, timeout_seconds, stdin=""):
            done = await super().run(host, command, timeout_seconds=timeout_seconds)
            ended = [name for name, _ in self.ran]
            under_way.append({name for name in ended if ended.count(name) == 1})
            return done

    assert (await World(transport=Watching(), estate=estate).carry_out(plan)).done
    assert max(len(hosts) for hosts in under_way) == 2


def test_after_a_crash_the_limit_counts_what_was_under_way() -> None:
    steps = [replace(step(f"s{n}"), limits=(Limit("p/s", f"app-{n}", 2),)) for n in range(4)]
    limits = Limits.of(steps)
    assert [one.id for one in limits.allowed(steps, (), ())] == ["p/s0", "p/s1"]
    assert [one.id for one in limits.allowed(steps[1:], {"p/s0"}, ())] == ["p/s1"]
    assert [one.id for one in limits.allowed(steps[1:], {"p/s0"}, {"p/s0"})] == ["p/s1", "p/s2"]


def test_a_plan_over_many_hosts_stays_small_and_is_read_back_the_same(tmp_path: Path) -> None:
    steps = "steps:\n" + "".join(
        f"  - {{id: s{n}, action: ssh, run: 'do {{{{ host.name }}}}', for_each: app-*, at_most: 10"
        f"{f', needs: [s{n - 1}]' if n else ''}}}\n"
        for n in range(10)
    )
    estate = farm(100)
    plan = planned(written(tmp_path, outer=steps), estate=estate)
    text = plan.to_json()
    assert len(plan.steps) == 1000
    assert len(plan.by_id["p/s9@app-7"].needs) == 100
    assert len(text) < 900_000
    assert Plan.from_json(text) == plan
    assert any("after 901 to 1000" in line or "after 801 to 900" in line for line in render_plan(plan))
