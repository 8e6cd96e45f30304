"""The estate file that a lab writes: loadable, free of faults, and an example for people."""

from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest

from orchestrator.lab.certs import CertificateFiles
from orchestrator.lab.estate import Layout, estate_text, write_secrets
from orchestrator.lab.places import SITES, Network, claim_network
from probes.catalogue import SETTINGS
from sites.fencing.config import guard_settings
from sites.inventory import load_estate
from sites.model import Estate, FailoverPolicy
from sites.replication.postgres.config import PostgresSettings


@pytest.fixture
def network() -> Network:
    found = claim_network()
    found.claim.close()
    return found


@pytest.fixture
def written(tmp_path: Path, network: Network) -> Path:
    return write(tmp_path, network)


def write(tmp_path: Path, network: Network) -> Path:
    layout = Layout(tmp_path)
    write_secrets(layout)
    certificates = {
        site: CertificateFiles(
            tmp_path / "certs/ca.pem", tmp_path / f"certs/{site}.pem", tmp_path / f"certs/{site}.key"
        )
        for site in SITES
    }
    layout.estate.write_text(estate_text(network, layout, Path("/opt/postgresql/bin"), certificates))
    return layout.estate


def load(path: Path) -> Estate:
    loaded = load_estate(
        path, probe_settings=SETTINGS, driver_settings=MappingProxyType({"postgres": PostgresSettings})
    )
    assert [fault.message for fault in loaded.warnings] == []
    return loaded.estate


def test_the_estate_file_of_a_lab_has_neither_faults_nor_warnings(written: Path) -> None:
    estate = load(written)
    assert estate.lab
    assert estate.data_sites == ("durham", "morpeth")
    assert estate.witness == "derwentside"


def test_with_gates_clients_come_to_the_known_ports_and_the_databases_are_behind_them(
    tmp_path: Path, network: Network
) -> None:
    estate = load(write(tmp_path, replace(network, gates=True)))
    for service, behind in (("crm", "crm-db"), ("ebs", "ebs-db")):
        for site in ("durham", "morpeth"):
            kinds = guard_settings(estate, service, site, tmp_path)
            assert kinds["proxy"]["listen"] == network.place(site, service)
            assert kinds["proxy"]["to"] == network.place(site, behind)
            assert "stop" in kinds
            replication = estate.services[service].replication
            assert replication is not None
            instances = PostgresSettings.model_validate(replication.settings).instances
            assert instances[site].port == network.port(behind)
        seen = [probe.settings["address"] for probe in estate.services[service].probes if probe.kind == "tcp"]
        assert seen == [{site: network.place(site, service) for site in ("durham", "morpeth")}]


def test_without_gates_clients_come_to_the_databases_themselves(written: Path, network: Network) -> None:
    estate = load(written)
    assert "proxy" not in guard_settings(estate, "ebs", "morpeth", written.parent)
    assert network.instance_port("ebs") == network.port("ebs")


def test_both_services_move_by_themselves_and_are_each_others_mirror(written: Path) -> None:
    services = load(written).services
    assert (services["crm"].home, services["crm"].standby) == ("durham", "morpeth")
    assert (services["ebs"].home, services["ebs"].standby) == ("morpeth", "durham")
    for service in services.values():
        assert service.failover is FailoverPolicy.AUTOMATIC
        assert (service.hold_down_seconds, service.min_time_between_failovers_seconds) == (0, 0)


def test_every_site_signs_on_to_the_store_with_a_password_of_its_own(written: Path) -> None:
    stores = {name: site.store for name, site in load(written).sites.items()}
    assert {store.user for store in stores.values() if store} == set(SITES)
    assert len({store.password for store in stores.values() if store}) == 3


def test_no_password_stands_in_the_file_and_only_its_owner_may_read_one(written: Path) -> None:
    for secret in (written.parent / "secrets").iterdir():
        assert secret.stat().st_mode & 0o077 == 0
        assert secret.read_text().strip() not in written.read_text()


def test_two_labs_never_share_a_network() -> None:
    one = claim_network()
    other = claim_network()
    try:
        assert one.cidr != other.cidr
        assert one.address("durham") != other.address("durham")
    finally:
        one.claim.close()
        other.claim.close()
