"""Which databases nothing may start by itself, by the estate in the repository and by small ones."""

from pathlib import Path

from orchestrator.databases_of import databases_of
from sites.inventory import load_estate
from sites.restarters import Database

ROOT = Path(__file__).parents[2]


def test_the_councils_databases_are_named_as_debians_tools_call_them() -> None:
    estate = load_estate(ROOT / "sites.yaml", resolve_secrets=False).estate
    data = "/var/lib/postgresql/16/main"
    assert databases_of(estate) == {
        (site, "revenues-db"): [Database("revenues", data, "16-main", "postgres")]
        for site in ("durham", "morpeth")
    }


def test_a_gate_before_it_and_a_guard_s_own_words_count(tmp_path: Path) -> None:
    estate = load_estate(ROOT / "sites.yaml", resolve_secrets=False).estate
    revenues = estate.services["revenues"]
    assert revenues.guard is not None
    nftables = {"nftables": {"ports": [5432]}}
    gated = revenues.model_copy(update={"guard": revenues.guard.model_validate(nftables)})
    said = {"hosts": {"durham": "ebs-db", "morpeth": "ebs-db"}, "data": {"durham": "/u01", "morpeth": "/u02"}}
    oracle = estate.services["ebs"].model_copy(update={"guard": revenues.guard.model_validate(said)})
    estate = estate.model_copy(update={"services": {"revenues": gated, "ebs": oracle}})
    found = databases_of(estate)
    assert [each.gated for each in found["durham", "revenues-db"]] == [True]
    assert found["morpeth", "ebs-db"] == [Database("ebs", "/u02")]
