"""The JSON Schema says what the loader says, as far as a schema can, and the pages made from it are fresh."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from pydantic import BaseModel

from probes.catalogue import SETTINGS as PROBES
from sites.inventory import json_schema, render_reference, render_schema
from sites.model import Estate
from sites.reference import SECTIONS
from sites.replication.catalogue import SETTINGS as DRIVERS
from sites.schema import CUSTOM_TAGS
from sites.shape import file_keys
from tests.sites.inventory.catalogue import HERE, Pair, Tcp

ROOT = Path(__file__).parents[3]
FRESH = "run tools/docs, and commit what it writes"


class Loader(yaml.SafeLoader):
    """YAML as an editor sees it: a secret's tag stands for text."""


for tag in ("!env", "!file"):
    Loader.add_constructor(tag, lambda loader, node: str(node.value))


def data_of(path: Path) -> Any:
    return yaml.load(path.read_text(encoding="utf-8"), Loader)


def complaints(path: Path, schema: dict[str, Any]) -> list[str]:
    return [error.json_path for error in Draft202012Validator(schema).iter_errors(data_of(path))]


def test_it_is_a_schema() -> None:
    Draft202012Validator.check_schema(json_schema())
    Draft202012Validator.check_schema(json_schema({"tcp": Tcp}, {"pair": Pair}))


def test_the_councils_estate_and_every_estate_that_loads_fit_it() -> None:
    assert complaints(ROOT / "sites.yaml", json_schema(PROBES, DRIVERS)) == []
    for path in (HERE / "valid.yaml", *HERE.glob("warns-*.yaml")):
        assert complaints(path, json_schema({"tcp": Tcp}, {"pair": Pair})) == []


@pytest.mark.parametrize(
    ("name", "where"),
    [
        ("unknown-key", "$.services.crm"),
        ("unknown-section", "$"),
        ("attribute-name", "$.services.crm"),
        ("name-of-its-own", "$.sites.durham.hosts.db"),
        ("missing-home", "$.services.crm"),
        ("missing-address", "$.sites.durham.hosts.db"),
        ("no-unit", "$.services.crm.hold_down"),
        ("wrong-unit", "$.services.crm.max_data_loss"),
        ("wrong-size", "$.services.crm.load.memory"),
        ("wrong-choice", "$.services.crm.failover"),
        ("wrong-version", "$.version"),
        ("not-a-number", "$.services.crm.rank"),
        ("too-small", "$.services.crm.rank"),
        ("port-too-big", "$.sites.durham.hosts.db.port"),
        ("list-wanted", "$.services.crm.needs"),
        ("keys-wanted", "$.sites.durham.hosts.db"),
        ("bad-host-name", "$.sites.durham.hosts"),
        ("no-endpoints", "$.store.endpoints"),
        ("unknown-driver", "$.services.crm.replication.driver"),
        ("driver-unknown-key", "$.services.crm.replication"),
        ("driver-missing-key", "$.services.crm.replication"),
        ("probe-unknown-kind", "$.services.crm.probes[0].kind"),
        ("probe-unknown-key", "$.services.crm.probes[0]"),
        ("probe-missing-setting", "$.services.crm.probes[0]"),
    ],
)
def test_an_editor_shows_the_fault_while_it_is_typed(name: str, where: str) -> None:
    schema = json_schema({"tcp": Tcp}, {"pair": Pair})
    assert where in complaints(HERE / f"invalid-{name}.yaml", schema)


def test_defaults_read_as_they_would_be_written() -> None:
    timing = json_schema()["$defs"]["Timing"]["properties"]
    assert {key: value["default"] for key, value in timing.items()} == {
        "lease_duration": "10s",
        "renew_every": "1.5s",
        "fence_within": "2s",
        "guard_every": "500ms",
        "stall": "1s",
        "hold_clear": "60s",
        "clock_drift": 0.005,
    }


def test_every_default_in_the_schema_would_be_accepted() -> None:
    schema = json_schema({"tcp": Tcp}, {"pair": Pair})
    for definition in schema["$defs"].values():
        for value in definition.get("properties", {}).values():
            if value.get("default") is not None:
                Draft202012Validator({**value, "$defs": schema["$defs"]}).validate(value["default"])


def test_what_the_loader_fills_in_is_no_key_of_the_file() -> None:
    assert "<" not in "".join(
        key for node in json_schema()["$defs"].values() for key in node.get("properties", ())
    )


def test_every_key_has_its_meaning() -> None:
    schema = json_schema()
    for node in (schema, *schema["$defs"].values()):
        for key, value in node.get("properties", {}).items():
            assert value.get("description"), key


def test_editors_are_told_about_the_secrets_tags() -> None:
    assert json_schema()["x-yaml-custom-tags"] == list(CUSTOM_TAGS) == ["!env scalar", "!file scalar"]


def test_the_schema_in_the_documentation_is_fresh() -> None:
    assert (ROOT / "docs" / "sites.schema.json").read_text(encoding="utf-8") == render_schema(
        PROBES, DRIVERS
    ), FRESH


def test_the_reference_page_is_fresh() -> None:
    page = (ROOT / "docs" / "reference" / "sites-yaml.md").read_text(encoding="utf-8")
    assert page == render_reference(PROBES, DRIVERS), FRESH


def test_the_estate_file_names_the_schema_that_is_kept() -> None:
    first = (ROOT / "sites.yaml").read_text(encoding="utf-8").splitlines()[0]
    marker, _, path = first.partition("$schema=")
    assert marker == "# yaml-language-server: "
    assert (ROOT / path).is_file()


def models(schema: dict[str, Any]) -> set[str]:
    return {name for name, node in schema["$defs"].items() if "properties" in node}


def test_every_model_and_every_key_stands_in_the_reference() -> None:
    assert {model for _, model in SECTIONS} == models(json_schema())
    page = render_reference()
    for name in models(json_schema()):
        for key in json_schema()["$defs"][name]["properties"]:
            assert f"| `{key}` |" in page
    assert all(f"| `{key}` |" in page for key in file_keys(Estate))


def test_kinds_and_drivers_have_their_own_tables() -> None:
    page = render_reference({"tcp": Tcp}, {"pair": Pair, "files": Bare})
    assert "### kind: tcp\n\nSettings of the probe kind `tcp`.\n" in page
    assert "| `port` | whole number | **required** |  |" in page
    assert "### driver: pair" in page
    assert "### driver: files\n\nNothing to set.\n\nNo keys of its own.\n" in page
    assert "The drivers `mariadb`, `dataguard` and `sqlserver` are accepted" in page


class Bare(BaseModel):
    """Nothing to set."""


class Disc(BaseModel):
    """One disc."""

    path: str


class Mirror(BaseModel):
    """Settings with a model of their own."""

    discs: dict[str, Disc]


def test_what_a_driver_has_beneath_its_keys_has_a_table_too() -> None:
    page = render_reference(drivers={"files": Mirror})
    assert "| `discs` | names, each with [Disc](#disc) | **required** |  |" in page
    assert "#### Disc\n\nOne disc.\n" in page
    assert "| `path` | text | **required** |  |" in page
