"""Another runbook in the place of a step: bound flat, with its own parameters, and never in a circle."""

from pathlib import Path

import pytest

from runbooks.changed import changed_on_disk
from runbooks.errors import PlanRefused
from runbooks.flowchart import flowchart
from runbooks.model import Kind
from runbooks.page import page_of
from runbooks.page_text import render_page
from runbooks.planned import Plan
from runbooks.render import render_plan
from tests.runbooks.kinds.folders import codes, faults, needs, planned, written
from tests.runbooks.worlds import World

NOTE = "  - {{id: {}, action: notify, message: '{}'{}}}\n"
OUTER = (
    "parameters: {size: {default: ['1', '2']}}\nsteps:\n"
    "  - {id: before, action: notify, message: m}\n"
    "  - {id: storage, title: 'Storage at {{ to_site.title }}', action: runbook, runbook: kept/storage,\n"
    "     needs: [before], parameters: {volumes: '{{ parameters.size }}'}}\n"
    "  - {id: after, action: notify, message: m, needs: [storage]}\n"
)
STORAGE = (
    "parameters: {volumes: {}}\nsteps:\n"
    "  - {id: mount, action: ssh, host: morpeth/crm-db, run: 'mount {{ parameters.volumes }}'}\n"
    "  - {id: look, action: notify, message: m}\n"
    "  - {id: tell, action: notify, message: m, needs: [mount], during: failover}\n"
)


def test_its_steps_stand_in_its_place_and_what_needs_it_needs_all_of_its_last_ones(tmp_path: Path) -> None:
    plan = planned(written(tmp_path, outer=OUTER, kept__storage=STORAGE))
    assert needs(plan) == {
        "before": (),
        "storage/mount": ("before",),
        "storage/look": ("before",),
        "storage/tell": ("storage/mount",),
        "after": ("storage/look", "storage/tell"),
    }
    assert plan.by_id["p/storage/mount"].arguments["run"] == "mount '1' '2'"
    assert plan.by_id["p/storage/mount"].title == "Storage at Morpeth: mount"
    assert {step.action for step in plan.steps} == {"notify", "ssh"}


def test_a_kind_of_run_counts_for_the_inner_steps_too_and_an_empty_one_is_stepped_over(
    tmp_path: Path,
) -> None:
    only = STORAGE.replace("id: mount,", "id: mount, during: failover,").replace(
        "id: look,", "id: look, during: failover,"
    )
    plan = planned(written(tmp_path, outer=OUTER, kept__storage=only), kind=Kind.SWITCHOVER)
    assert needs(plan) == {"before": (), "after": ("before",)}


def test_the_plan_holds_what_was_read_and_its_hash_changes_with_the_inner_runbook(tmp_path: Path) -> None:
    library = written(tmp_path, outer=OUTER, kept__storage=STORAGE)
    first = planned(library)
    assert list(first.parts[0].includes) == ["kept/storage"]
    assert Plan.from_json(first.to_json()) == first
    again = planned(written(tmp_path, kept__storage=STORAGE + "# a comment\n"))
    assert again.parts[0].includes != first.parts[0].includes
    assert again.hash != first.hash


def test_a_circle_is_refused_with_the_whole_chain(tmp_path: Path) -> None:
    step = "steps:\n  - {{id: a, action: runbook, runbook: {}}}\n"
    library = written(tmp_path, outer=step.format("b"), b=step.format("c"), c=step.format("b"))
    assert codes(library) == ["runbook-circle"]
    assert faults(library)[0].found == "a circle: b → c → b"
    assert codes(written(tmp_path, itself=step.format("itself")), "itself") == ["runbook-circle"]


def test_runbooks_stand_at_most_five_deep(tmp_path: Path) -> None:
    step = "steps:\n  - {{id: a, action: runbook, runbook: r{}}}\n"
    last = "steps:\n  - {id: a, action: notify, message: m}\n"
    chain = {f"r{number}": step.format(number + 1) for number in range(5)}
    library = written(tmp_path, **chain, r5=last)
    assert [one.id for one in planned(library, "r0").steps] == ["p/a/a/a/a/a/a"]
    library = written(tmp_path, r5=step.format(6), r6=last)
    assert codes(library, "r0") == ["nested-too-deep"]
    assert "r0 → r1" in faults(library, "r0")[0].found


@pytest.mark.parametrize(
    ("keys", "code"),
    [
        ("runbook: none/such", "unknown-runbook"),
        ("runbook: broken", "nested-fault"),
        ("runbook: inner, timeout: 5m", "nested-key"),
        ("runbook: inner, verify: {role: primary, at: to_site}", "nested-key"),
        ("runbook: inner, on_failure: continue", "nested-key"),
        ("runbook: '{{ service.name }}'", "template"),
        ("runbook: inner, parameters: {a: !env SECRET}", "secret-named"),
    ],
)
def test_what_cannot_stand_there_is_refused_where_it_stands(tmp_path: Path, keys: str, code: str) -> None:
    library = written(
        tmp_path,
        outer=f"steps:\n  - {{id: a, action: runbook, {keys}}}\n",
        inner="steps:\n  - {id: a, action: notify, message: m}\n",
        broken="steps:\n  - {id: a, action: notify}\n",
    )
    assert codes(library) == [code]
    assert faults(library)[0].line == 4


def test_parameters_must_be_those_that_the_inner_runbook_has(tmp_path: Path) -> None:
    library = written(tmp_path, outer=OUTER.replace("volumes:", "sizes:"), kept__storage=STORAGE)
    with pytest.raises(PlanRefused) as caught:
        planned(library)
    said = str(caught.value)
    assert "step storage: parameters: the unknown parameter sizes; expected one of volumes" in said
    assert "no value for volumes" in said


def test_what_is_wrong_inside_says_in_which_step_of_which_runbook(tmp_path: Path) -> None:
    inner = STORAGE.replace("morpeth/crm-db", "morpeth/none")
    with pytest.raises(PlanRefused, match="step storage/mount: host: the host 'morpeth/none'"):
        planned(written(tmp_path, outer=OUTER, kept__storage=inner))


async def test_a_run_goes_through_the_inner_steps_like_any_others(tmp_path: Path) -> None:
    world = World()
    outcome = await world.carry_out(planned(written(tmp_path, outer=OUTER, kept__storage=STORAGE)))
    assert outcome.done
    assert world.transport.ran[0][0] == "morpeth/crm-db"
    assert "p:storage:mount" in world.transport.ran[0][1]


def test_the_plan_prints_the_inner_steps_with_their_numbers(tmp_path: Path) -> None:
    lines = render_plan(planned(written(tmp_path, outer=OUTER, kept__storage=STORAGE)))
    assert "   2. Storage at Morpeth: mount  after 1" in lines


def test_a_run_can_say_what_was_changed_on_the_disk_since_it_was_planned(tmp_path: Path) -> None:
    shipping = OUTER + "  - {id: ship, action: script, host: morpeth/crm-app, file: tools/do.sh}\n"
    (tmp_path / "tools").mkdir()
    script = tmp_path / "tools" / "do.sh"
    script.write_text("echo 1")
    library = written(tmp_path, outer=shipping, kept__storage=STORAGE)
    plan = Plan.from_json(planned(library).to_json())
    assert changed_on_disk(plan, library) == ()
    script.write_text("echo 2")
    written(tmp_path, kept__storage=STORAGE + "# more\n")
    assert changed_on_disk(plan, library) == ("kept/storage", "outer: tools/do.sh")
    (tmp_path / "outer.yaml").unlink()
    assert changed_on_disk(plan, library)[0] == "outer (gone, or not readable)"


def test_it_is_drawn_and_printed_with_its_steps_in_their_places(tmp_path: Path) -> None:
    library = written(tmp_path, outer=OUTER, kept__storage=STORAGE)
    runbook = library.load("outer")
    chart = flowchart(runbook, library.catalogue)
    assert "    step_before --> step_storage__mount" in chart or (
        "    step_before ==> step_storage__mount" in chart
    )
    assert any("2: Storage at the new site: mount" in line for line in chart)
    page = "\n".join(render_page(page_of(runbook, library.catalogue)))
    assert "[ ]  2. Storage at the new site: mount" in page


def test_a_step_for_each_host_is_one_step_where_the_hosts_are_not_known(tmp_path: Path) -> None:
    text = (
        "steps:\n  - {id: stop, title: 'Stop {{ host.name }}', action: ssh, for_each: 'app-*', at_most: 5,\n"
        "     run: 'stop {{ host.name }}'}\n"
    )
    library = written(tmp_path, outer=text)
    runbook = library.load("outer")
    assert any("1: Stop each host" in line for line in flowchart(runbook, library.catalogue))
    page = "\n".join(render_page(page_of(runbook, library.catalogue)))
    assert "how often   once for each of app-* at the new site, at most 5 hosts at" in page
    assert "where       each of app-* at the new site" in page
