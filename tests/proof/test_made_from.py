"""Whether exactly today's plan was tested, and what has changed since."""

from typing import Any

import pytest

from orchestrator.made_from import MOST_NAMED, Success, changes, made_from, named
from orchestrator.made_from import tested as how_tested
from orchestrator.rehearsed import DAY_SECONDS, Rehearsal
from runbooks.actions import shipped_actions
from runbooks.library import Library
from runbooks.model import Kind
from runbooks.plan import Facts, bind, compose
from runbooks.planned import Plan
from runbooks.scope import RunRef, scope_of
from sites.model import Estate

RUNBOOK = """\
runbook: promote
title: {title}
for: crm
steps:
  - id: start
    title: Start it
    action: script
    file: start.sh
    host: "{{{{ to_site.hosts['crm-db'] }}}}"
    verify: {{run: "true"}}
    timeout: 1m
"""


def estate(**differs: Any) -> Estate:
    hosts = {"crm-db": {"address": "10.0.0.1", "user": "t"}, "ebs-db": {"address": "10.0.0.2", "user": "t"}}
    service = {
        "name": "crm",
        "title": "CRM",
        "home": "durham",
        "standby": "morpeth",
        "replication": {"driver": "postgres", "durham": {"host": "crm-db"}, "morpeth": {"host": "crm-db"}},
        "probes": [{"name": "login", "kind": "tcp", "address": "10.0.0.1:80"}],
        **differs.pop("service", {}),
    }
    sites = {
        name: {"name": name, "title": name, "hosts": differs.get("hosts", hosts)}
        for name in ("durham", "morpeth")
    }
    return Estate.model_validate(
        {
            "lab": True,
            "store": {"endpoints": ["http://127.0.0.1:1"]},
            "sites": {**sites, "derwentside": {"name": "derwentside", "witness": True}},
            "services": {"crm": service},
        }
    )


def plan(folder: Any, of: Estate, *, title: str = "Make it primary", script: str = "exit 0\n") -> Plan:
    folder.mkdir(exist_ok=True)
    (folder / "promote.yaml").write_text(RUNBOOK.format(title=title))
    (folder / "start.sh").write_text(script)
    catalogue = shipped_actions()
    runbook = Library(catalogue, (folder.parent,)).load(f"{folder.name}/promote")
    scope = scope_of(of, "crm", from_site="durham", to_site="morpeth", run=RunRef("r", Kind.FAILOVER, 4))
    part = bind(runbook, scope, Facts(), catalogue)
    return compose(
        part, run_id="r", kind=Kind.FAILOVER, service="crm", from_site="durham", to_site="morpeth", epoch=4
    )


def made(tmp_path: Any, of: Estate | None = None, **how: Any) -> dict[str, str]:
    versions = how.pop("databases", {"morpeth": "17.2"})
    of = of or estate()
    return made_from(plan(tmp_path / "crm", of, **how), of, version="0.1.0", databases=versions)


def test_the_same_is_made_from_the_same(tmp_path: Any) -> None:
    found = made(tmp_path)
    assert changes(found, made(tmp_path)) == ()
    assert {name for name in found if name.startswith(("runbook ", "script "))} == {
        "runbook crm/promote",
        "script crm/promote: start.sh",
    }


@pytest.mark.parametrize(
    ("differs", "changed"),
    [
        ({"title": "Make it the primary"}, ("runbook crm/promote",)),
        ({"script": "exit 1\n"}, ("script crm/promote: start.sh",)),
        ({"databases": {"morpeth": "18.0"}}, ("database at morpeth 17.2 -> 18.0",)),
        ({"databases": {}}, ()),
        ({"databases": {"morpeth": "17.2", "durham": "17.2"}}, ()),
    ],
)
def test_what_changed_is_named(tmp_path: Any, differs: dict[str, Any], changed: tuple[str, ...]) -> None:
    before = made(tmp_path)
    assert changes(before, made(tmp_path, **differs)) == changed


def test_the_service_and_its_hosts_count_key_by_key_and_other_hosts_do_not(tmp_path: Any) -> None:
    before = made(tmp_path)
    fenced = estate(service={"fence": "confirm"})
    assert changes(before, made(tmp_path, fenced)) == ("sites.yaml services.crm.fence (new)",)
    assert changes(made(tmp_path, fenced), made(tmp_path)) == ("sites.yaml services.crm.fence (gone)",)
    renamed = estate(service={"title": "Customers", "rank": 3, "objectives": {"rto": "1m", "rpo": "1s"}})
    assert changes(before, made(tmp_path, renamed)) == (), "what it is called does not change what is done"
    moved = {
        "crm-db": {"address": "10.9.9.9", "user": "t"},
        "ebs-db": {"address": "10.9.9.8", "user": "t"},
    }
    assert changes(before, made(tmp_path, estate(hosts=moved))) == (
        "sites.yaml sites.durham.hosts.crm-db",
        "sites.yaml sites.morpeth.hosts.crm-db",
    )


def success(run: str, ended: float, made_from: dict[str, str], kind: str = "drill") -> Success:
    return Success(run=run, kind=kind, ended_unix_seconds=ended, seconds=252.0, made_from=made_from)


def test_the_newest_success_that_used_everything_counts() -> None:
    today = {"plan": "p", "runbook a": "1", "runbook b": "1"}
    whole, half = success("whole", 100.0, today), success("half", 200.0, {"plan": "q", "runbook a": "1"})
    found = how_tested(today, (half, whole))
    assert found is not None
    assert (found.success.run, found.exactly) == ("whole", True)
    alone = how_tested(today, (half,))
    assert alone is not None
    assert alone.changed == ("runbook b (it was not part of it)",)
    assert how_tested(today, ()) is None
    assert how_tested(today, (success("old", 1.0, {}),)) is None, "of which nothing was written down"


def test_it_is_said_as_people_say_it() -> None:
    today = {"plan": "p", "runbook a": "2", "twinsite": "0.2"}
    before = {"plan": "p", "runbook a": "2", "twinsite": "0.2"}
    now = 23.5 * DAY_SECONDS
    fine = Rehearsal(known=True, tested=how_tested(today, (success("d", 0.0, before),)))
    assert (fine.exactly, fine.words(now)) == (True, "drilled 23 days ago in 4 m 12 s")
    other = Rehearsal(
        known=True, tested=how_tested(today, (success("d", 0.0, {**before, "runbook a": "1"}),))
    )
    assert other.exactly is False
    assert other.words(now) == "drilled 23 days ago in 4 m 12 s, changed since: runbook a"
    assert Rehearsal(known=True).words(now) == "never drilled"
    assert Rehearsal(known=True).exactly is False
    assert (Rehearsal(known=False).exactly, Rehearsal(known=False).words(now)) == (
        None,
        "unknown whether it was drilled",
    )


def test_not_too_many_changes_are_named() -> None:
    assert named([f"c{number}" for number in range(MOST_NAMED + 3)]).endswith(" and 3 more")
