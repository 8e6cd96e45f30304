"""Checks: what must hold, said in the runbook's own words when it does not."""

from pathlib import Path

import pytest

from runbooks.check import compare
from runbooks.context import Rows
from runbooks.errors import PlanRefused, StepFailed
from runbooks.planned import Plan
from runbooks.render import render_plan
from sites.replication.words import Role
from sites.transport import Completed
from tests.runbooks.kinds.folders import codes, planned, written
from tests.runbooks.worlds import FakeTransport, World

STEP = "steps:\n  - id: a\n    action: check\n    timeout: 2s\n    explain: Free some space first\n{}"


def plan_of(folder: Path, *lines: str) -> Plan:
    return planned(written(folder, outer=STEP.format("".join(f"    {line}\n" for line in lines))))


def world() -> World:
    made = World(
        transport=FakeTransport(
            {"df": Completed(1, "97% used", "", 0.0), "free": Completed(0, "42\n", "", 0.0)}
        )
    )
    made.driver.roles["morpeth"] = Role.STANDBY
    made.healthy[("login page", "morpeth")] = True
    made.rows = {
        "select true": Rows(("?",), (("true",),)),
        "select count(*) from orders": Rows(("count",), (("120",),)),
        "select 119": Rows(("?",), (("119",),)),
    }
    return made


async def said(folder: Path, *lines: str, here: World | None = None) -> tuple[bool, str]:
    outcome = await (here or world()).carry_out(plan_of(folder, *lines))
    return outcome.done, outcome.progress.steps["p/a"].evidence


async def test_everything_that_must_hold_is_asked_and_kept_as_evidence(tmp_path: Path) -> None:
    good, evidence = await said(
        tmp_path,
        "all:",
        "  - role: standby",
        "  - {role: primary, at: from_site}",
        "  - probe: login page",
        "  - sql: select true",
        "  - {run: free, host: morpeth/crm-db}",
    )
    assert good
    assert evidence.splitlines()[:2] == [
        "holds: morpeth is standby, streaming",
        "holds: durham is primary, writable",
    ]
    assert len(evidence.splitlines()) == 5


async def test_what_does_not_hold_is_explained_first_and_then_what_was_found(tmp_path: Path) -> None:
    good, evidence = await said(
        tmp_path, "host: morpeth/crm-db", "all:", "  - role: standby", "  - df /u01", "  - role: primary"
    )
    assert not good
    assert evidence.splitlines() == [
        "Free some space first",
        "does not hold: `df /u01` at morpeth/crm-db: exit 1: 97% used",
        "does not hold: morpeth is standby, streaming",
    ]


async def test_one_of_several_is_enough_where_it_says_so(tmp_path: Path) -> None:
    assert (await said(tmp_path, "any:", "  - role: primary", "  - role: standby"))[0]
    assert not (await said(tmp_path, "any:", "  - role: primary"))[0]


@pytest.mark.parametrize(
    ("comparison", "good"),
    [
        ("{sql: select count(*) from orders}, at_least: {sql: select 119, at: from_site}", True),
        ("{sql: select count(*) from orders}, equals: 120", True),
        ("{sql: select count(*) from orders}, equals: '120.0'", True),
        ("{sql: select count(*) from orders}, less_than: 120", False),
        ("{run: free, host: morpeth/crm-db}, at_most: 42", True),
        ("{run: free, host: morpeth/crm-db}, more_than: 42", False),
        ("{sample: system_id}, equals: {sample: system_id, at: from_site}", True),
        ("{sample: role}, differs_from: {sample: role, at: from_site}", True),
        ("{sample: role}, equals: primary", False),
        ("{sample: streaming}, equals: true", True),
    ],
)
async def test_facts_are_compared_with_each_other_and_with_what_stands_there(
    tmp_path: Path, comparison: str, good: bool
) -> None:
    assert (await said(tmp_path, "all:", f"  - {{compare: {comparison}}}"))[0] is good


async def test_what_an_earlier_step_left_can_be_compared(tmp_path: Path) -> None:
    text = STEP.format("    all:\n      - {compare: {value: rejoined.divergent_bytes}, at_most: 100}\n")
    text = text.replace("id: a\n", "id: a\n    needs: [b]\n") + "  - {id: b, action: replication.rejoin}\n"
    outcome = await world().carry_out(planned(written(tmp_path, outer=text)))
    assert not outcome.done
    assert "512 (the run's rejoined.divergent_bytes) must be at most 100" in (
        outcome.progress.steps["p/a"].evidence
    )
    none = "{compare: {value: nothing.such}, at_most: 1}"
    assert "no earlier step of this run left nothing.such" in (await said(tmp_path, "all:", f"  - {none}"))[1]


async def test_what_cannot_be_told_is_said_to_be_so_and_does_not_hold(tmp_path: Path) -> None:
    for asked in (
        "{compare: {sample: system_id, at: from_site}, equals: '7000'}",
        "{compare: {sample: behind_seconds}, at_most: 30}",
        "{compare: {run: df, host: morpeth/crm-db}, at_most: 90}",
        "{compare: {sample: role}, at_most: 3}",
    ):
        here = world()
        here.driver.roles["durham"] = Role.UNKNOWN
        good, evidence = await said(tmp_path, "all:", f"  - {asked}", here=here)
        assert not good
        assert "does not hold: could not be told" in evidence, evidence


def test_numbers_compare_as_numbers_and_texts_are_only_equal_or_not() -> None:
    assert compare("equals", "10", "1e1")
    assert compare("more_than", "10", "9")
    assert compare("equals", "abc", "abc")
    assert not compare("equals", "abc", "10")
    with pytest.raises(StepFailed, match="'abc' is no number"):
        compare("at_least", "abc", "10")
    with pytest.raises(StepFailed):
        compare("at_least", "nan", "10")


async def test_it_goes_on_asking_as_long_as_it_says(tmp_path: Path) -> None:
    here = world()

    lines = ("within: 5s", "all:", "  - {role: standby, at: from_site}")
    here.driver.streaming = False
    good, _ = await said(tmp_path, *lines, here=here)
    assert not good
    here = world()
    here.driver.roles["durham"] = Role.DOWN
    asked = iter(range(10))
    sample = here.driver.sample

    async def later(site: str):
        if next(asked) == 3:
            here.driver.roles["durham"] = Role.STANDBY
        return await sample(site)

    here.driver.sample = later
    assert (await said(tmp_path, *lines, here=here))[0]


def test_its_commands_are_quoted_and_its_hosts_and_probes_must_exist(tmp_path: Path) -> None:
    plan = plan_of(
        tmp_path,
        "host: morpeth/crm-db",
        "all:",
        "  - grep {{ service.title }} /etc/x",
        "  - {run: 'x {{ service.title }}'}",
    )
    assert [one["run"] for one in plan.steps[0].arguments["all"]] == [
        "grep 'Customer records' /etc/x",
        "x 'Customer records'",
    ]
    for lines, found in (
        (("all: [{run: x}]",), "a command without a host"),
        (("all: [{run: x, host: morpeth/none}]",), "the host 'morpeth/none'"),
        (("all: [{probe: none}]",), "the probe 'none'"),
        (("all: [{compare: {run: x, host: durham/none}, equals: 1}]",), "the host 'durham/none'"),
    ):
        with pytest.raises(PlanRefused, match=found):
            plan_of(tmp_path, *lines)


@pytest.mark.parametrize(
    "lines",
    [
        ("all: []",),
        ("within: 3s",),
        ("all: [{role: primary}]", "any: [{role: primary}]"),
        ("all: [{role: primary, probe: x}]",),
        ("all: [{compare: {sql: x}}]",),
        ("all: [{equals: 3}]",),
        ("all: [{compare: {sql: x}, equals: 3, at_most: 4}]",),
        ("all: [{compare: {sql: x, run: y}, equals: 3}]",),
        ("all: [{role: primary, within: 3s}]",),
        ("all: [{compare: {sample: colour}, equals: 3}]",),
    ],
)
def test_what_does_not_go_together_is_a_fault(tmp_path: Path, lines: tuple[str, ...]) -> None:
    text = STEP.format("".join(f"    {line}\n" for line in lines))
    assert set(codes(written(tmp_path, outer=text))) == {"wrong-value"}


def test_a_value_inside_quotes_of_a_command_is_found_there(tmp_path: Path) -> None:
    text = STEP.format("    all:\n      - {run: 'x \"{{ service.title }}\"', host: morpeth/crm-db}\n")
    assert codes(written(tmp_path, outer=text)) == ["unsafe-value"]


def test_the_plan_prints_a_line_for_each_thing_that_must_hold(tmp_path: Path) -> None:
    lines = [
        line.strip()
        for line in render_plan(
            plan_of(
                tmp_path,
                "all:",
                "  - role: standby",
                "  - {compare: {sql: select 119}, at_most: {sql: select true, at: from_site}}",
            )
        )
    ]
    assert "explain: Free some space first" in lines
    assert "all: role: standby" in lines
    assert "all: compare: {sql: select 119}, at_most: {sql: select true, at: from_site}" in lines
