"""The driver's part of `sites.yaml`."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from sites.errors import DriverMissing, WordUnknown
from sites.model import Estate, Service
from sites.replication.catalogue import SETTINGS, make_driver
from sites.replication.postgres.config import (
    PostgresSettings,
    conninfo,
    password_line,
    setting_line,
)
from sites.replication.postgres.server import SLOT_NAME_LIMIT, slot_name
from tests.support.local_transport import LocalTransport

INSTANCE = {"host": "db", "data": "/var/lib/data", "bin": "/usr/lib/bin"}
GOOD: dict[str, Any] = {
    "password": "one",
    "replication_password": "two",
    "instances": {"durham": {**INSTANCE, "port": 5432}, "morpeth": {**INSTANCE, "port": 5433}},
}


def estate(**instances: Any) -> tuple[Estate, Service, PostgresSettings]:
    """Durham and Morpeth, each with a host `db`, and settings with other instances."""
    settings = {**GOOD, "instances": {**GOOD["instances"], **instances}}
    settings["instances"] = {site: value for site, value in settings["instances"].items() if value}
    made = Estate.model_validate(
        {
            "store": {"endpoints": ["http://127.0.0.1:1"]},
            "sites": {
                "durham": {"hosts": {"db": {"address": "10.1.1.1"}}},
                "morpeth": {"hosts": {"db": {"address": "10.1.1.1"}}},
                "derwentside": {"witness": True},
            },
            "services": {"crm": {"name": "crm", "home": "durham", "standby": "morpeth"}},
        }
    )
    return made, made.services["crm"], PostgresSettings.model_validate(settings)


def found(**instances: Any) -> list[tuple[tuple[str, ...], str, str]]:
    """What `check` says."""
    made, service, settings = estate(**instances)
    return list(settings.check(made, service))


def test_a_file_that_fits_its_estate_has_no_findings() -> None:
    assert found() == []


def test_an_instance_is_wanted_at_each_of_the_service_s_sites() -> None:
    ((path, said, expected),) = found(morpeth=None)
    assert (path, said) == (("instances",), "no instance at morpeth")
    assert expected == "one instance at each of durham and morpeth"
    ((path, said, _),) = found(derwentside=INSTANCE)
    assert (path, said) == (("instances", "derwentside"), "an instance at derwentside")


def test_a_host_that_the_site_does_not_have_is_found() -> None:
    ((path, said, expected),) = found(durham={**INSTANCE, "host": "crm-db"})
    assert (path, said) == (("instances", "durham", "host"), "crm-db")
    assert expected == "a host of durham (it has: db)"


def test_one_server_named_twice_is_found() -> None:
    ((path, said, expected),) = found(morpeth={**INSTANCE, "port": 5432})
    assert path == ("instances", "morpeth", "port")
    assert "also the instance at durham" in said
    assert expected == "two different servers"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("password", "two\nlines"),
        ("password", ""),
        ("close_within", 5),
        ("tls", "perhaps"),
        ("slots", True),
    ],
)
def test_a_value_that_cannot_work_is_refused(key: str, value: object) -> None:
    with pytest.raises(ValidationError) as caught:
        PostgresSettings.model_validate({**GOOD, key: value})
    assert caught.value.errors()[0]["loc"][0] == key


@pytest.mark.parametrize("path", ["data", "/", "/var/lib/", "/var//lib", "/var/\nlib", ""])
def test_a_path_that_could_mean_another_place_is_refused(path: str) -> None:
    with pytest.raises(ValidationError):
        PostgresSettings.model_validate({**GOOD, "instances": {"durham": {**INSTANCE, "data": path}}})


def test_a_secret_is_not_shown_by_its_settings() -> None:
    assert "one" not in repr(PostgresSettings.model_validate(GOOD)).replace("None", "")


def test_the_catalogue_makes_the_driver_that_the_file_names_and_no_other() -> None:
    assert SETTINGS["postgres"] is PostgresSettings
    made, service, _ = estate()
    with pytest.raises(DriverMissing, match="watched only") as caught:
        make_driver(service, made, LocalTransport())
    assert caught.value.code == "driver-missing"
    other = service.model_copy(
        update={
            "replication": Service.model_validate(
                {"home": "durham", "standby": "morpeth", "replication": {"driver": "dataguard"}}
            ).replication
        }
    )
    with pytest.raises(DriverMissing, match="dataguard"):
        make_driver(other, made, LocalTransport())
    assert not issubclass(DriverMissing, WordUnknown)


def test_names_of_slots_are_names_that_postgresql_takes() -> None:
    assert slot_name("crm", "durham") == "twinsite_crm_durham"
    long = {slot_name("a" * 63, "b" * 60 + end) for end in ("c", "d")}
    assert len(long) == 2
    assert all(len(name) <= SLOT_NAME_LIMIT for name in long)


TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF, exclude_characters="\x7f"), min_size=1)


@given(TEXT, TEXT)
def test_a_connection_string_gives_its_values_back(one: str, other: str) -> None:
    assert unquoted(conninfo(user=one, passfile=other)) == {"user": one, "passfile": other}


def unquoted(text: str) -> dict[str, str]:
    """A connection string as libpq reads it."""
    values, place = {}, 0
    while place < len(text):
        key, _, _ = text[place:].partition("='")
        place += len(key) + 2
        value = ""
        while text[place] != "'":
            place += text[place] == "\\"
            value += text[place]
            place += 1
        values[key.strip()] = value
        place += 1
    return values


@given(TEXT)
def test_a_line_of_settings_ends_where_it_ends(value: str) -> None:
    line = setting_line("primary_conninfo", value)
    inner = line.removeprefix("primary_conninfo = '").removesuffix("'")
    assert inner.replace("''", "'").replace("\\\\", "\\") == value or "\\" in value
    assert "'" not in inner.replace("''", "")


def test_a_line_of_a_password_file_keeps_colons_and_backslashes_apart() -> None:
    assert password_line("h", 1, "*", "me", "a:b\\c") == "h:1:*:me:a\\:b\\\\c"


SHELL = Path("sites/replication/postgres/shell")


@pytest.mark.parametrize(
    "script", sorted((Path(__file__).parents[3] / SHELL).glob("*.sh")), ids=lambda p: p.name
)
def test_every_script_is_a_shell_script(script: Path) -> None:
    done = subprocess.run(["/bin/sh", "-n", str(script)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
