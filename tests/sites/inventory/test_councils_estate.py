"""The estate file in the repository: the councils' own, fit to be edited and to be loaded."""

import re
from pathlib import Path

import pytest

from probes.catalogue import SETTINGS as PROBES
from probes.catalogue import faults
from sites.inventory import Loaded, load_estate
from sites.replication.catalogue import SETTINGS as DRIVERS

SITES_YAML = Path(__file__).parents[3] / "sites.yaml"


@pytest.fixture(scope="module")
def loaded() -> Loaded:
    return load_estate(
        SITES_YAML,
        probe_settings=PROBES,
        driver_settings=DRIVERS,
        probe_faults=faults,
        resolve_secrets=False,
    )


def test_it_has_warnings_and_no_faults(loaded: Loaded) -> None:
    codes = {
        match[0]
        for warning in loaded.warnings
        if (match := re.search("driver-missing|refuse to start|not carried out", warning.message))
    }
    assert codes == {"driver-missing", "refuse to start", "not carried out"}


def test_each_service_is_at_home_where_the_councils_agreed(loaded: Loaded) -> None:
    homes = {name: service.home for name, service in loaded.estate.services.items()}
    assert homes == {
        "ebs": "morpeth",
        "crm": "durham",
        "smartstream": "durham",
        "revenues": "durham",
        "documents": "durham",
    }
    assert all({*service.sites} == {"durham", "morpeth"} for service in loaded.estate.services.values())


def test_derwentside_is_the_witness(loaded: Loaded) -> None:
    assert loaded.estate.witness == "derwentside"
    assert loaded.estate.data_sites == ("durham", "morpeth")


def test_services_whose_driver_is_to_come_are_watch_only(loaded: Loaded) -> None:
    watched = {name for name, service in loaded.estate.services.items() if service.watch_only}
    assert watched == {"ebs", "crm", "smartstream", "documents"}


def test_a_role_has_the_same_name_at_both_sites(loaded: Loaded) -> None:
    sites = loaded.estate.sites
    assert list(sites["durham"].hosts) == list(sites["morpeth"].hosts)


def test_no_secret_stands_in_it() -> None:
    text = SITES_YAML.read_text(encoding="utf-8")
    assert re.findall(r"password: (?!!file |!env )", text) == []
