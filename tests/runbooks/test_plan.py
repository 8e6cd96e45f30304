"""Plans: the dry run and the real run are one object, bound without loose ends, and the same each time."""

import dataclasses
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runbooks.errors import PlanRefused
from runbooks.graph import cycle_in, in_order, longest_chain
from runbooks.model import Kind
from runbooks.plan import Facts, compose
from runbooks.planned import Known, Part, Plan, PlanUnreadable
from runbooks.render import render_plan
from sites.replication.words import Word
from tests.runbooks.worlds import FACTS, bound, step

RUNBOOK = """\
runbook: promote
title: Make Customer records primary here
parameters: {nodes: {default: 2}}
steps:
  - id: stop-app
    title: Stop the application at {{ from_site.title }}
    action: ssh
    host: "{{ from_site.hosts['crm-app'] }}"
    run: stop-app --nodes {{ parameters.nodes }}
    timeout: 5m
    retries: 2
    if_unreachable: continue
  - id: drain
    title: Let users finish
    action: wait
    for: 2m
    during: switchover
  - id: database
    title: Make the database writable
    needs: [stop-app, drain]
    action: replication.promote
    timeout: 10m
    verify: {role: primary, within: 30s}
  - id: start-app
    title: Start the application at {{ to_site.title }}
    needs: [database]
    action: ssh
    host: "{{ to_site.hosts['crm-app'] }}"
    unless: pgrep -f {{ service.name }}
    run: |
      cd /opt/app
      ./start {{ service.title }}
    verify: {probe: login page}
    undo: {run: stop-app}
  - id: tell
    needs: [database]
    action: notify
    message: "{{ service.title }} moves to {{ to_site.title }}"
    on_failure: continue
"""


def parts(kind: Kind) -> tuple[Part, Part]:
    first = bound(
        "runbook: prepare\ntitle: Prepare\nsteps:\n  - {id: checkpoint, action: replication.prepare}\n", kind
    )
    return first, bound(RUNBOOK, kind)


def whole(kind: Kind = Kind.SWITCHOVER) -> Plan:
    return compose(
        *parts(kind),
        run_id="crm-20260101-1",
        kind=kind,
        service="crm",
        from_site="durham",
        to_site="morpeth",
        epoch=7,
        reason="planned work in Durham",
        known=(Known("lag", "0.2 s, measured 1 s ago"), Known("standby", "streaming")),
    )


GOLDEN = """\
Switchover of crm from durham to morpeth
  why: planned work in Durham
  lag:     0.2 s, measured 1 s ago
  standby: streaming

Prepare (test)
   1. checkpoint
      replication.prepare at durham, at most 60s

Make Customer records primary here (test)
   2. Stop the application at Durham  after 1
      ssh at durham/crm-app, at most 5m; up to 3 attempts; goes on if the host does not answer
      run: stop-app --nodes '2'
   3. Let users finish  after 1
      wait, at most 121s
      for: 2m
   4. Make the database writable  after 2, 3
      replication.promote at morpeth, at most 10m
      then it must hold: primary at morpeth
   5. Start the application at Morpeth  after 4
      ssh at morpeth/crm-app, at most 60s; can be undone
      run: cd /opt/app ⏎ ./start 'Customer records'
      not if already so: `pgrep -f 'crm'` at morpeth/crm-app
      then it must hold: probe “login page” of morpeth
   6. tell  after 4
      notify, at most 60s; goes on if it fails
      message: Customer records moves to Morpeth

6 steps; the longest chain by time limits is 1, 2, 4, 5, at most 17m for one attempt each."""


def test_the_dry_run_reads_as_people_expect() -> None:
    assert "\n".join(render_plan(whole())) == GOLDEN


def test_a_plan_read_back_from_json_is_the_same_plan() -> None:
    plan = whole()
    again = Plan.from_json(plan.to_json())
    assert again == plan
    assert again.hash == plan.hash
    assert render_plan(again) == render_plan(plan)


def test_what_is_no_plan_or_a_newer_one_is_said_so() -> None:
    for text in ("", "{}", "[]", "null", '{"version": 1}'):
        with pytest.raises(PlanUnreadable, match="no plan"):
            Plan.from_json(text)
    with pytest.raises(PlanUnreadable, match="newer"):
        Plan.from_json('{"version": 99, "steps": "in a way not known yet"}')


def test_the_hash_tells_whether_two_plans_would_do_the_same() -> None:
    plan = whole()
    assert whole().hash == plan.hash
    other = dataclasses.replace(plan, id="another", epoch=9, reason="another", known=())
    assert other.hash == plan.hash
    longer = bound(RUNBOOK.replace("10m", "11m"), Kind.SWITCHOVER)
    assert dataclasses.replace(plan, parts=(plan.parts[0], longer)).hash != plan.hash


def test_steps_that_belong_to_another_kind_of_run_are_left_out_and_their_order_is_kept() -> None:
    text = (
        "runbook: x\ntitle: X\nsteps:\n"
        "  - {id: a, action: notify, message: m}\n"
        "  - {id: b, action: notify, message: m, needs: [a], during: [switchover, drill]}\n"
        "  - {id: c, action: notify, message: m, needs: [b], during: drill}\n"
        "  - {id: d, action: notify, message: m, needs: [c]}\n"
    )
    assert [step.id for step in bound(text, Kind.FAILOVER).steps] == ["x/a", "x/d"]
    assert bound(text, Kind.FAILOVER).steps[1].needs == ("x/a",)
    assert bound(text, Kind.SWITCHOVER).steps[2].needs == ("x/b",)


def test_each_part_begins_when_the_one_before_has_ended() -> None:
    plan = whole()
    assert plan.by_id["promote/stop-app"].needs == ("prepare/checkpoint",)
    assert plan.by_id["promote/drain"].needs == ("prepare/checkpoint",)
    assert plan.by_id["promote/tell"].needs == ("promote/database",)


def test_a_part_without_steps_is_stepped_over() -> None:
    empty = bound("runbook: none\ntitle: N\nsteps:\n  - {id: a, action: notify, message: m, during: drill}\n")
    first = bound("runbook: first\ntitle: N\nsteps:\n  - {id: a, action: notify, message: m}\n")
    last = bound("runbook: last\ntitle: N\nsteps:\n  - {id: a, action: notify, message: m}\n")
    plan = compose(
        first, empty, last, run_id="r", kind=Kind.FAILOVER, service="crm", from_site="durham",
        to_site="morpeth", epoch=1,
    )  # fmt: skip
    assert plan.by_id["last/a"].needs == ("first/a",)
    assert "nothing to do" in "\n".join(render_plan(plan))


def test_two_parts_of_one_name_are_refused() -> None:
    part = bound(RUNBOOK)
    with pytest.raises(PlanRefused, match="two parts"):
        compose(
            part, part, run_id="r", kind=Kind.FAILOVER, service="crm", from_site="durham", to_site="morpeth",
            epoch=1,
        )  # fmt: skip


def problems(text: str, facts: Facts = FACTS, **parameters: object) -> str:
    with pytest.raises(PlanRefused) as caught:
        bound(text, facts=facts, **parameters)
    return str(caught.value)


STEP = "runbook: x\ntitle: X\nparameters: {{a: {{default: 1}}}}\nsteps:\n  - {{id: a, {}}}\n"


@pytest.mark.parametrize(
    ("keys", "found", "expected"),
    [
        ("action: ssh, run: x, host: \"{{ to_site.hosts['web'] }}\"", "web", "crm-db, crm-app"),
        ("action: ssh, run: x, host: morpeth/web", "'morpeth/web'", "morpeth/crm-db"),
        ("action: ssh, run: x, host: crm-db", "'crm-db'", "morpeth/crm-db"),
        ("action: probe, probe: home page", "'home page'", "login page"),
        ("action: replication.promote, verify: {probe: home page}", "'home page'", "login page"),
        ('action: wait, for: "{{ parameters.a }}"', "'1'", "500ms"),
        ("action: notify, message: x, verify: {role: primary}", "no place", "at:"),
    ],
)
def test_what_does_not_fit_this_service_is_refused_before_anything_is_done(
    keys: str, found: str, expected: str
) -> None:
    said = problems(STEP.format(keys))
    assert found in said
    assert expected in said


def test_every_problem_is_said_at_once() -> None:
    with pytest.raises(PlanRefused) as caught:
        bound(
            "runbook: x\ntitle: X\nsteps:\n"
            "  - {id: a, action: probe, probe: one}\n"
            "  - {id: b, action: probe, probe: two}\n"
        )
    assert len(caught.value.problems) == 2


def test_a_plan_that_needs_a_word_the_driver_does_not_know_is_refused() -> None:
    facts = Facts(unknown_words=frozenset({Word.REBUILD}))
    assert "rebuild" in problems(STEP.format("action: replication.rebuild"), facts)
    with pytest.raises(PlanRefused) as caught:
        bound(STEP.format("action: replication.rebuild"), facts=facts)
    assert caught.value.code == "word-missing"
    assert bound(STEP.format("action: replication.rejoin"), facts=facts)


def test_a_service_without_a_driver_is_refused_by_its_code() -> None:
    with pytest.raises(PlanRefused) as caught:
        bound(STEP.format("action: replication.promote"), facts=Facts(has_driver=False))
    assert caught.value.code == "driver-missing"


def test_parameters_are_given_or_have_a_default_and_no_others_exist() -> None:
    text = (
        "runbook: x\ntitle: X\nparameters: {a: {}}\n"
        "steps:\n  - {id: a, action: notify, message: '{{ parameters.a }}'}\n"
    )
    assert "no value for a" in problems(text)
    assert "unknown parameter b" in problems(text, a=1, b=2)
    assert bound(text, a="hello").steps[0].arguments == {"message": "hello"}


def test_a_step_that_waits_is_given_the_time_for_it() -> None:
    part = bound(STEP.format("action: wait, for: 10m, timeout: 5s"))
    assert part.steps[0].timeout_seconds > 600


def test_the_order_of_the_numbers_respects_every_need() -> None:
    plan = whole()
    assert [step.number for step in plan.steps] == list(range(1, 7))
    for planned in plan.steps:
        assert all(plan.by_id[need].number < planned.number for need in planned.needs)


# -- the graph --------------------------------------------------------------------------------------

GRAPHS = st.integers(0, 12).flatmap(
    lambda size: st.lists(
        st.lists(st.integers(0, max(0, size - 1)), max_size=3), min_size=size, max_size=size
    ).map(lambda needs: {str(step): [str(need) for need in wanted] for step, wanted in enumerate(needs)})
)


@settings(deadline=None, derandomize=True)
@given(GRAPHS)
def test_an_order_or_a_circle_but_never_neither(needs: dict[str, list[str]]) -> None:
    order, circle = in_order(needs), cycle_in(needs)
    assert (len(order) == len(needs)) == (circle == [])
    for position, step_id in enumerate(order):
        assert set(needs[step_id]) <= set(order[:position])
    for here, there in zip(circle, [*circle[1:], *circle[:1]], strict=True):
        assert there in needs[here]


@settings(deadline=None, derandomize=True)
@given(GRAPHS)
def test_the_longest_chain_is_a_chain_and_none_is_longer(needs: dict[str, list[str]]) -> None:
    acyclic = {
        step_id: [need for need in wanted if int(need) < int(step_id)] for step_id, wanted in needs.items()
    }
    weights = dict.fromkeys(acyclic, 1.0)
    chain = longest_chain(acyclic, weights)
    for before, after in pairwise(chain):
        assert before in acyclic[after]
    depth: dict[str, int] = {}
    for step_id in in_order(acyclic):
        depth[step_id] = 1 + max((depth[need] for need in acyclic[step_id]), default=0)
    assert len(chain) == max(depth.values(), default=0)


def test_a_plan_of_a_thousand_steps_over_a_hundred_hosts_is_drawn_up() -> None:
    lines = ["runbook: big", "title: Big", "steps:"]
    for host in range(100):
        for number in range(10):
            lines += [
                f"  - id: h{host}-s{number}",
                f"    title: Do {number} at {{{{ to_site.title }}}} {host}",
                "    action: ssh",
                "    host: \"{{ to_site.hosts['crm-app'] }}\"",
                f"    run: do {host} {number} {{{{ service }}}}",
                f"    needs: [{f'h{host}-s{number - 1}' if number else ''}]",
            ]
    part = bound("\n".join(lines))
    assert len(part.steps) == 1000
    assert part.steps[-1].arguments["run"] == "do 99 9 'crm'"
    assert len(part.first) == len(part.last) == 100


def test_steps_made_by_hand_compose_like_those_of_runbooks() -> None:
    made = Part("own", "built in", "Own", (step("a"), step("b", "a")))
    plan = compose(
        made, run_id="r", kind=Kind.FAILOVER, service="crm", from_site="durham", to_site="morpeth", epoch=1
    )
    assert [planned.number for planned in plan.steps] == [1, 2]
