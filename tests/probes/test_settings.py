"""The building blocks of settings: values per site, addresses, patterns."""

from typing import Any, ClassVar

import pytest
from pydantic import TypeAdapter, ValidationError

from probes.errors import SettingsInvalid
from probes.settings import Endpoint, Pattern, PerSite, ProbeSettings, Reach, parse_endpoint
from tests.probes.worlds import estate


class Example(ProbeSettings):
    """Settings with one of each."""

    url: PerSite[str]
    port: PerSite[int] | None = None
    pattern: Pattern | None = None


def test_one_value_holds_for_every_site() -> None:
    settings = Example.model_validate({"url": "x", "port": 0})
    assert (settings.url.at("durham"), settings.url.at("morpeth")) == ("x", "x")
    assert settings.port is not None
    assert settings.port.at("durham") == 0


def test_values_per_site_are_each_site_s_own_and_a_missing_one_is_named() -> None:
    settings = Example.model_validate({"url": {"durham": "d", "morpeth": "m"}})
    assert (settings.url.at("durham"), settings.url.at("morpeth")) == ("d", "m")
    with pytest.raises(
        SettingsInvalid, match=r"no value for site derwentside \(given for: durham, morpeth\)"
    ):
        settings.url.at("derwentside")


@pytest.mark.parametrize(
    ("given", "places"),
    [
        ({"url": 5}, [("url",)]),
        ({"url": {"durham": 5, "morpeth": "m"}}, [("url", "durham")]),
        ({"url": {"Durham": "d"}}, [("url", "Durham", "[key]")]),
        ({"url": "x", "port": {"durham": "five"}, "pattern": "("}, [("port", "durham"), ("pattern",)]),
        ({"url": "x", "colour": "red"}, [("colour",)]),
        ({}, [("url",)]),
    ],
)
def test_a_fault_names_the_place_inside_the_setting(given: dict[str, Any], places: list[tuple[str]]) -> None:
    with pytest.raises(ValidationError) as caught:
        Example.model_validate(given)
    assert [error["loc"] for error in caught.value.errors()] == places


def test_the_schema_for_editors_offers_both_spellings() -> None:
    schema = Example.model_json_schema()["properties"]["url"]
    assert [option["type"] for option in schema["anyOf"]] == ["string", "object"]


def test_settings_survive_being_written_and_read_again() -> None:
    given = {"url": {"durham": "d", "morpeth": "m"}, "port": 1, "pattern": None}
    settings = Example.model_validate(given)
    assert settings.model_dump(mode="json") == given
    assert Example.model_validate(settings.model_dump()) == settings
    assert hash(settings) == hash(Example.model_validate(given))


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("10.20.1.10:5432", Endpoint("10.20.1.10", 5432)),
        ("db.example:1521", Endpoint("db.example", 1521)),
        ("[::1]:80", Endpoint("::1", 80)),
    ],
)
def test_an_address_has_host_and_port(text: str, endpoint: Endpoint) -> None:
    assert parse_endpoint(text) == endpoint
    assert str(endpoint) == text


@pytest.mark.parametrize("text", ["", "db", "db:", ":80", "::1:80", "db:0", "db:65536", "db:http", "[]:80"])
def test_anything_else_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        parse_endpoint(text)


class Usual(Reach):
    """A kind whose targets have a usual port."""

    default_port: ClassVar[int | None] = 5432


def test_a_target_is_an_address_or_a_host_of_the_site_with_a_port() -> None:
    site = estate(**{"crm-db": "10.20.1.10"}).sites["durham"]
    assert Reach.model_validate({"address": "a:1"}).endpoint(site) == Endpoint("a", 1)
    assert Reach.model_validate({"host": "crm-db", "port": 7}).endpoint(site) == Endpoint("10.20.1.10", 7)
    assert Usual.model_validate({"host": "crm-db"}).endpoint(site) == Endpoint("10.20.1.10", 5432)
    for wrong in (
        {},
        {"host": "crm-db"},
        {"address": "a:1", "host": "crm-db"},
        {"address": "a:1", "port": 2},
    ):
        with pytest.raises(ValidationError):
            Reach.model_validate(wrong)


def test_a_pattern_that_does_not_compile_says_why() -> None:
    with pytest.raises(ValidationError, match=r"expected a regular expression: .*position 0"):
        TypeAdapter(Pattern).validate_python("(")
