"""The action words: what each asks of the world, what it leaves behind, and how it fails."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from runbooks.actions import FINAL_POSITION, dumped_position, shipped_actions
from runbooks.context import EVIDENCE_LIMIT_CHARACTERS, Result, Rows, bounded
from runbooks.errors import LostRight
from runbooks.journal import RunOutcome
from runbooks.model import Kind
from runbooks.plan import compose
from runbooks.planned import Plan
from runbooks.progress import StepState
from sites.errors import DriverTrouble
from sites.replication.words import Position, Role, Word
from sites.transport import Completed
from tests.runbooks.worlds import FakeDriver, World, bound, plan_of_steps, step
from tests.support.virtual_time import now_seconds, run


def plan(steps: str, kind: Kind = Kind.FAILOVER) -> Plan:
    """A plan of steps written as in a runbook."""
    part = bound(f"runbook: x\ntitle: X\nsteps:\n{steps}", kind)
    return compose(
        part, run_id="run-1", kind=kind, service="crm", from_site="durham", to_site="morpeth", epoch=7
    )


def carry_out(world: World, steps: str):
    return run(lambda: world.carry_out(plan(steps)))


def evidence(outcome: Any, name: str = "a") -> str:
    return outcome.progress.steps[f"x/{name}"].evidence


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ("action: replication.prepare", "prepare durham"),
        ("action: replication.promote", "promote morpeth"),
        ("action: replication.start, at: from_site, role: standby", "start durham as standby"),
        ("action: replication.rejoin", "rejoin durham to morpeth"),
        ("action: replication.rebuild", "rebuild durham from morpeth"),
        ("action: replication.rebuild, at: to_site", "rebuild morpeth from durham"),
    ],
)
def test_each_word_of_the_driver_acts_at_the_site_where_it_belongs(keys: str, said: str) -> None:
    world = World()
    assert carry_out(world, f"  - {{id: a, {keys}}}\n").done
    assert world.driver.said == [said]


class Shut(FakeDriver):
    """Its guard has cut it off, and gives no permit at the first so many tries."""

    refuses = 0

    async def start(self, site: str, *, role: Role, timeout_seconds: float) -> None:
        if self.refuses > 0:
            self.refuses -= 1
            raise DriverTrouble("crm at morpeth: its guard gives no permit")
        await super().start(site, role=role, timeout_seconds=timeout_seconds)


@pytest.mark.parametrize("refuses", [0, 3])
def test_a_promotion_starts_what_was_cut_off_while_nobody_had_the_right_to_it(refuses: int) -> None:
    """A controller that dies between its claim and its promotion finds the instance shut by its guard."""
    driver = Shut(roles={"durham": Role.DOWN, "morpeth": Role.DOWN})
    driver.refuses = refuses
    world = World(driver=driver)
    outcome = carry_out(world, "  - {id: a, action: replication.promote}\n")
    assert outcome.done
    assert world.driver.said == ["start morpeth as primary", "promote morpeth"]
    assert evidence(outcome) == "it did not run and was started; morpeth is writable"


def test_a_promotion_of_what_does_not_start_fails_with_its_words() -> None:
    driver = Shut(roles={"durham": Role.DOWN, "morpeth": Role.DOWN})
    driver.refuses = 10_000
    world = World(driver=driver)
    outcome = carry_out(world, "  - {id: a, action: replication.promote}\n")
    assert not outcome.done
    assert "gives no permit" in evidence(outcome)
    assert "promote morpeth" not in world.driver.said


def test_what_a_promotion_and_a_rejoin_came_to_is_handed_on() -> None:
    world = World()
    outcome = carry_out(
        world,
        "  - {id: a, action: replication.promote}\n  - {id: b, action: replication.rejoin, needs: [a]}\n",
    )
    assert outcome.progress.values["promoted_position"]["text"] == "0/10"
    assert outcome.progress.values["rejoined"] == {
        "method": "rewind",
        "divergent_bytes": 512,
        "saved_at": "/var/tmp/tail",
    }


def test_a_site_is_verified_by_its_role_and_by_what_it_is() -> None:
    world = World()
    assert carry_out(world, "  - {id: a, action: replication.verify, role: standby}\n").done
    failed = carry_out(World(), "  - {id: a, action: replication.verify, timeout: 3s}\n")
    assert failed.outcome is RunOutcome.FAILED
    assert "morpeth is standby" in evidence(failed)


def test_a_copy_of_another_cluster_is_no_standby() -> None:
    world = World()
    world.driver.system_ids["morpeth"] = "9999"
    outcome = carry_out(world, "  - {id: a, action: replication.verify, role: standby}\n")
    assert "not the same cluster" in evidence(outcome)


def test_a_standby_that_is_not_streaming_yet_is_waited_for() -> None:
    world = World()
    world.driver.streaming = False

    async def story() -> float:
        async def connect() -> None:
            await asyncio.sleep(30)
            world.driver.streaming = True

        connecting = asyncio.create_task(connect())
        assert (await world.carry_out(plan("  - {id: a, action: replication.verify, role: standby}\n"))).done
        await connecting
        return now_seconds()

    assert 30 <= run(story) < 35


def test_a_standby_has_caught_up_when_it_has_replayed_the_final_position() -> None:
    def outcome(replayed: int):
        world = World()
        world.driver.replayed_bytes = replayed
        position = dumped_position(Position("0/3E8", "7000/1", 1000))
        world.deeds.scripts["p/close"] = lambda call: Result("closed", values={FINAL_POSITION: position})
        caught_up = step("a", "close", action="replication.caught-up", arguments={"at": "to_site"})
        return run(lambda: world.carry_out(plan_of_steps(step("close"), caught_up)))

    assert outcome(1000).done
    behind = outcome(999)
    assert behind.outcome is RunOutcome.FAILED
    assert "0/3E8" in behind.summary


def test_without_a_final_position_nobody_can_say_that_a_standby_has_caught_up() -> None:
    outcome = carry_out(World(), "  - {id: a, action: replication.caught-up}\n")
    assert "no final position" in evidence(outcome)


def test_a_probe_is_waited_for_until_it_is_healthy() -> None:
    world = World()

    async def story() -> float:
        async def heal() -> None:
            await asyncio.sleep(12)
            world.healthy[("login page", "morpeth")] = True

        healing = asyncio.create_task(heal())
        assert (await world.carry_out(plan("  - {id: a, action: probe, probe: login page}\n"))).done
        await healing
        return now_seconds()

    assert 12 <= run(story) < 13


def test_a_probe_that_stays_down_fails_its_step_with_what_it_said() -> None:
    outcome = carry_out(World(), "  - {id: a, action: probe, probe: login page, timeout: 5s}\n")
    assert "not healthy within 5 s" in evidence(outcome)
    assert "refused" in evidence(outcome)


def test_rows_of_a_query_are_its_evidence() -> None:
    world = World(rows={"select 1": Rows(("n", "name"), (("1", "x"), (None, "y")), more=True)})
    outcome = carry_out(world, "  - {id: a, action: sql, statement: select 1}\n")
    assert evidence(outcome) == "n | name\n1 | x\n(null) | y\n…"


@pytest.mark.parametrize(
    ("rows", "holds"),
    [
        (Rows(("ok",), (("true",),)), True),
        (Rows(("ok",), (("false",),)), False),
        (Rows(("ok",), (("1",),)), True),
        (Rows(("ok",), ((None,),)), False),
        (Rows(("ok",), ()), False),
    ],
)
def test_a_question_in_sql_is_a_yes_only_when_it_says_true(rows: Rows, holds: bool) -> None:
    world = World(rows={"select ok": rows})
    verify = "{sql: select ok, at: to_site, within: 2s}"
    outcome = carry_out(world, f"  - {{id: a, action: notify, message: x, verify: {verify}}}\n")
    assert outcome.done is holds


def test_time_passes_and_people_are_told() -> None:
    world = World()

    async def story() -> float:
        text = "  - {id: a, action: wait, for: 2m}\n"
        text += "  - {id: b, action: notify, message: it moves, needs: [a]}\n"
        assert (await world.carry_out(plan(text))).done
        return now_seconds()

    assert run(story) == pytest.approx(120.0, abs=1)
    assert world.notices == ["it moves"]


def test_a_word_that_the_world_has_nothing_for_fails_its_step_and_says_so() -> None:
    class Bare(World):
        def context(self):
            return replace(super().context(), driver=None, wait_healthy=None, sql=None)

    for keys, said in (
        ("action: replication.promote", "no replication driver"),
        ("action: probe, probe: login page", "no probes"),
        ("action: sql, statement: select 1", "no database"),
        ("action: notify, message: x, verify: {role: primary, at: to_site}", "no replication driver"),
    ):
        outcome = carry_out(Bare(), f"  - {{id: a, {keys}}}\n")
        assert outcome.outcome is RunOutcome.FAILED
        assert said in evidence(outcome)


def test_a_driver_in_trouble_is_tried_again_since_its_words_are_idempotent() -> None:
    world = World()
    promote, left = world.driver.promote, [2]

    async def troubled(site: str, *, timeout_seconds: float):
        left[0] -= 1
        if left[0] >= 0:
            raise DriverTrouble("could not promote: still in recovery")
        return await promote(site, timeout_seconds=timeout_seconds)

    world.driver.promote = troubled
    assert carry_out(world, "  - {id: a, action: replication.promote, retries: 3}\n").done
    assert world.driver.roles["morpeth"] is Role.PRIMARY


# -- ssh --------------------------------------------------------------------------------------------

SSH = "  - {id: a, action: ssh, host: morpeth/crm-app, run: start-app}\n"


def test_a_command_goes_to_its_host_through_the_wrapper_with_the_runs_token() -> None:
    world = World()
    assert carry_out(world, SSH).done
    ((host, command),) = world.transport.ran
    assert host == "morpeth/crm-app"
    for word in ("crm", "7", "run-1", "x:a", "start-app"):
        assert f" {word} " in f"{command} "


def test_what_a_command_said_is_the_evidence_of_its_end() -> None:
    world = World()
    world.transport.answers["start-app"] = Completed(0, "started\n", "careful\n", 0.1)
    assert evidence(carry_out(world, SSH)) == "started\ncareful"
    world.transport.answers["start-app"] = Completed(3, "", "no licence\n", 0.1)
    world.journal = World().journal
    outcome = carry_out(world, SSH)
    assert "exit 3: no licence" in evidence(outcome)
    assert outcome.progress.steps["x/a"].exit_status == 3


def test_a_gigabyte_of_output_becomes_a_page_of_evidence() -> None:
    world = World()
    world.transport.answers["start-app"] = Completed(0, "begin " + "x" * 1_000_000 + " end\0", "", 0.1)
    said = evidence(carry_out(world, SSH))
    assert len(said) < EVIDENCE_LIMIT_CHARACTERS + 100
    assert said.startswith("begin")
    assert "left out" in said
    assert "\0" not in bounded("\0")


def test_a_host_that_was_overtaken_refuses_and_the_run_ends_here() -> None:
    world = World()
    refusal = "twinsite-step: refused older-executor: executor 1 of run run-1; executor 2 has taken it over\n"
    world.transport.answers["start-app"] = Completed(75, "", refusal, 0.1)
    outcome = carry_out(world, SSH)
    assert outcome.outcome is RunOutcome.LOST_RIGHT
    assert outcome.progress.state("x/a") is StepState.WAITING


def test_the_catalogue_grows_by_words_and_none_is_taken_twice() -> None:
    async def act(context, call):
        raise NotImplementedError

    catalogue = shipped_actions()
    spec = catalogue["wait"]
    larger = catalogue.with_action("ownership.claim", spec.arguments, act)
    assert "ownership.claim" in larger
    assert "ownership.claim" not in catalogue
    with pytest.raises(ValueError, match="exists already"):
        larger.with_action("ssh", spec.arguments, act)


def test_only_words_that_may_be_repeated_are_called_idempotent() -> None:
    repeatable = {spec.word for spec in shipped_actions() if spec.idempotent}
    assert {"ssh", "sql"} & repeatable == set()
    assert {spec.word for spec in shipped_actions() if spec.needs_words} <= repeatable
    assert shipped_actions()["replication.rebuild"].needs_words == {Word.SAMPLE, Word.REBUILD}


def test_what_hosts_say_cannot_play_with_the_terminal_it_is_shown_on() -> None:
    assert bounded("a\x1b[31mred\x07\r\nb\tc\ud800") == "a\ufffd[31mred\ufffd\nb\tc\ufffd"


def test_values_that_are_no_json_or_out_of_proportion_are_a_fault_of_the_action() -> None:
    for values in ({"x": object()}, {"x": float("nan")}, {"x": "y" * 100_000}):
        with pytest.raises((TypeError, ValueError)):
            Result("done", values=values)


def test_a_standby_whose_service_is_another_s_by_now_is_waited_for_no_longer() -> None:
    """Its primary died, and whoever is to take the service over waits for the end of this run."""
    world = World()
    world.driver.streaming = False

    def right() -> None:
        if now_seconds() > 30:
            raise LostRight("morpeth has given it up")

    world.right = right

    async def story() -> tuple[Any, float]:
        outcome = await world.carry_out(plan("  - {id: a, action: replication.verify, role: standby}\n"))
        return outcome, now_seconds()

    outcome, seconds = run(story)
    assert outcome.outcome is RunOutcome.LOST_RIGHT
    assert "morpeth has given it up; until then" in outcome.summary
    assert outcome.progress.state("x/a") is StepState.WAITING, "it has only looked, so nothing is in doubt"
    assert 30 < seconds < 35
