"""From a line of the estate to a probe: every fault at once, in the operator's words."""

from typing import Any

import pytest

from probes.catalogue import KINDS, SETTINGS, faults, make_probe, sites_probed
from probes.errors import KindUnknown, SettingsInvalid
from sites.model import ProbeSpec
from tests.probes.worlds import context, estate, probe, service_of, spec

HOSTS = {"crm-db": "10.20.1.10", "crm-app": "10.20.1.20"}
WORLD = estate(controller="https://dc.example:8300", **HOSTS)

EXAMPLES: dict[str, dict[str, Any]] = {
    "dns": {"address": "10.20.1.53:53", "lookup": "crm.example"},
    "http": {"url": "https://crm.example/login"},
    "peer": {},
    "replication": {},
    "sql": {"host": "crm-db", "database": "crm", "user": "probe"},
    "ssh": {"host": "crm-db", "run": "true"},
    "tcp": {"host": "crm-db", "port": 5432},
    "tls": {"host": "crm-app"},
}


def found(given: ProbeSpec) -> list[tuple[tuple[str | int, ...], str]]:
    return [(fault.where, fault.message) for fault in faults(given, service=service_of(WORLD), estate=WORLD)]


@pytest.mark.parametrize("kind", sorted(KINDS))
async def test_every_kind_is_made_from_its_settings(kind: str) -> None:
    assert found(spec(kind, **EXAMPLES[kind])) == []
    made = probe(kind, world=WORLD, **EXAMPLES[kind])
    await made.aclose()


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_refuses_keys_it_does_not_know(kind: str) -> None:
    faulty = found(spec(kind, **EXAMPLES[kind], colour="red"))
    assert [where for where, _ in faulty] == [("colour",)]


@pytest.mark.parametrize("kind", sorted(SETTINGS))
def test_every_kind_has_a_schema_for_editors_and_frozen_settings(kind: str) -> None:
    schema = SETTINGS[kind].model_json_schema()
    assert schema["additionalProperties"] is False
    assert SETTINGS[kind].model_config["frozen"] is True


def test_all_faults_of_a_probe_are_found_at_once() -> None:
    where = [place for place, _ in found(spec("tcp", host="crm-web", port=70000, expect="(", colour="red"))]
    assert where == [("port",), ("expect",), ("colour",)]


@pytest.mark.parametrize(
    ("given", "where", "says"),
    [
        (
            spec("pop3"),
            ("kind",),
            "no kind 'pop3' of probe (there is: dns, http, peer, replication, sql, ssh, tcp, tls)",
        ),
        (spec("ssh", host="crm-web", run="true", site="durham"), ("host",), "no host 'crm-web'"),
        (
            spec("http", url={"durham": "https://d.example", "leeds": "https://l.example"}, site="durham"),
            ("url", "leeds"),
            "no site 'leeds'",
        ),
        (spec("http", url={"durham": "https://d.example"}), ("url",), "no value for site morpeth"),
        (spec("http", url="https://[::1"), ("url",), "such as https://"),
        (spec("http", url="ftp://d.example"), ("url",), "such as https://"),
        (spec("http", url="https://d.example", method="HEAD", contains="x"), (), "HEAD has no text"),
        (spec("http", url="https://d.example", status="2xy"), ("status", 0), "pattern"),
        (spec("http", url="https://10.0.0.1/", host="crm-app"), (), "the name that users see"),
        (spec("sql", host="crm-db", user="probe"), ("database",), "required"),
        (spec("ssh", host="crm-db", run="true", exit_status=300), ("exit_status", 0), "255"),
        (spec("tcp", host="crm-db"), (), "`port` is missing"),
        (spec("tls", host="crm-app", days_left=-1), ("days_left",), "greater than or equal to 0"),
        (spec("dns", **EXAMPLES["dns"], expect="durham/crm-web"), ("expect",), "no host 'crm-web'"),
        (spec("dns", **EXAMPLES["dns"], expect="10.20.1.5/24"), ("expect",), "neither a network nor"),
        (spec("dns", **EXAMPLES["dns"], expect=[]), ("expect",), "at least 1"),
        (spec("dns", **EXAMPLES["dns"], type="PTR"), ("type",), "'A', 'AAAA' or 'CNAME'"),
    ],
)
def test_each_fault_names_its_place_and_what_is_expected(
    given: ProbeSpec, where: tuple[str | int, ...], says: str
) -> None:
    faulty = [(place, message) for place, message in found(given) if place == where]
    assert faulty, found(given)
    assert says in faulty[0][1]


def test_a_probe_concerns_both_data_sites_unless_it_names_one() -> None:
    service = service_of(WORLD)
    assert sites_probed(spec("replication"), service) == ("durham", "morpeth")
    assert sites_probed(spec("replication", site="morpeth"), service) == ("morpeth",)


def test_making_a_probe_of_a_faulty_line_names_the_probe_and_every_fault() -> None:
    with pytest.raises(SettingsInvalid, match=r"probe 'under test' of crm: port: .*; expect: "):
        probe("tcp", host="crm-db", port=0, expect="(")
    with pytest.raises(SettingsInvalid, match=r"probe 'under test' of crm at durham: .*crm-web"):
        probe("tcp", world=WORLD, host="crm-web", port=1)
    with pytest.raises(KindUnknown, match="probe 'under test' of crm: there is no kind 'pop3'"):
        make_probe(
            spec("pop3"),
            service=service_of(WORLD),
            site=WORLD.sites["durham"],
            estate=WORLD,
            context=context(),
        )


def test_what_only_the_estate_can_tell_is_said_once_for_all_sites() -> None:
    nowhere = estate(**HOSTS)
    faulty = faults(spec("peer"), service=service_of(nowhere), estate=nowhere)
    assert [fault.where for fault in faulty] == [(), ()]
    assert "add `controller: https://…` to `sites.durham`" in faulty[0].message
    with pytest.raises(SettingsInvalid, match="does not say where its controller is"):
        probe("peer", world=nowhere)
    same = faults(
        spec("dns", **EXAMPLES["dns"], expect="10.20.1.5/24"), service=service_of(WORLD), estate=WORLD
    )
    assert len(same) == 1


def test_secrets_are_not_shown_by_the_settings_that_hold_them() -> None:
    sql = SETTINGS["sql"].model_validate(EXAMPLES["sql"] | {"password": "s3cret"})
    http = SETTINGS["http"].model_validate(EXAMPLES["http"] | {"headers": {"Authorization": "s3cret"}})
    assert "s3cret" not in repr(sql) + repr(http)
