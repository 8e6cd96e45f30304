"""A step that a second person must agree to, asked and answered over both controllers: who counts stands in
`access.roles` of the estate file, and who asks is known by the socket.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest

from orchestrator.api import server
from orchestrator.api.shapes import SteerRequest
from sites.model import Access
from tests.orchestrator.looking import refusal_of
from tests.orchestrator.test_steering_runs import books, state_of, steered_estate
from tests.orchestrator.two_sites import DURHAM, MORPETH, Site, TwoSites, estate, two_sites

PROMOTE = """
runbook: promote
title: Open it
steps:
  - id: agree
    action: approve
    ask: May it move?
    role: manager
    owner: northumberland
    expires: 1h
  - {id: open, action: replication.promote, needs: [agree]}
"""
ROLES = {
    "manager": {"logins": ["anna", "bert@morpeth", "carl"], "owner": "northumberland"},
    "dba": {"logins": ["dora"]},
}


class Person:
    """Who is at the keyboard."""

    def __init__(self, login: str) -> None:
        self.login = login

    def entry(self, uid: int) -> SimpleNamespace:
        """As `pwd.getpwuid`."""
        return SimpleNamespace(pw_name=self.login)


@asynccontextmanager
async def asked(
    monkeypatch: pytest.MonkeyPatch, roles: dict[str, object] = ROLES
) -> AsyncIterator[tuple[TwoSites, str, Person]]:
    """A switchover to Morpeth, ordered by anna, that waits for a manager of Northumberland."""
    person = Person("anna")
    monkeypatch.setattr(server.pwd, "getpwuid", person.entry)
    of = steered_estate().model_copy(update={"access": Access.model_validate({"roles": roles})})
    async with two_sites(of, prepare=books(PROMOTE, demote="")) as world:
        run = (await world.durham.move("switchover")).run
        await world.until(lambda: state_of(world, run) == "waiting")
        yield world, run, person


async def approve(site: Site, run: str) -> None:
    async with site.api() as client:
        await client.steer(run, SteerRequest(verb="approve", step="promote/agree", reason="seen"))


async def test_only_another_person_with_the_role_and_of_the_owner_counts_at_either_site(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with asked(monkeypatch) as (world, run, person):
        refusal = await refusal_of(approve(world.durham, run))
        assert (refusal.code, "anna@durham" in refusal.message) == ("approve-own", True)
        assert (await refusal_of(approve(world.morpeth, run))).code == "approve-own", "at the other site, too"
        person.login = "dora"
        refusal = await refusal_of(approve(world.morpeth, run))
        assert (refusal.code, "dora@morpeth has dba" in refusal.message) == ("role-missing", True)
        person.login = "bert"
        assert (await refusal_of(approve(world.durham, run))).code == "role-missing", "only at Morpeth"
        assert (state_of(world, run), world.open_at(MORPETH)) == ("waiting", False)
        await approve(world.morpeth, run)
        await world.until(lambda: state_of(world, run) == "done" and world.open_at(MORPETH))
        detail = next(step for step in (await world.detail(run, world.durham)).steps if "agree" in step.step)
        assert "bert@morpeth" in detail.detail


async def test_staff_of_another_owner_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    roles = {
        "manager": {"logins": ["bert"], "owner": "durham"},
        "director": {"logins": ["dora"], "owner": "northumberland"},
    }
    async with asked(monkeypatch, roles) as (world, run, person):
        person.login = "bert"
        refusal = await refusal_of(approve(world.morpeth, run))
        assert refusal.code == "owner-wrong"
        assert "northumberland; bert@morpeth is of durham" in refusal.message
        assert not world.open_at(MORPETH)


def test_who_has_which_role_and_answers_to_whom() -> None:
    of = estate().model_copy(update={"access": Access.model_validate({"roles": ROLES})})
    people = ("anna@durham", "bert@morpeth", "bert@durham", "eve@durham")
    assert [of.access.roles_of(who) for who in people] == [("manager",), ("manager",), (), ()]
    assert of.owner_of("bert@morpeth") == "northumberland"
    assert of.owner_of("dora@durham") == of.sites[DURHAM].owner, "by the site where nothing else says so"
    assert of.owner_of("eve@nowhere") == ""
