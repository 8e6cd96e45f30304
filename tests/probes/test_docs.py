"""The manual's page on probes says everything there is, and its examples are good."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from probes.catalogue import SETTINGS, faults
from probes.reasons import Reason
from sites.model import ProbeSpec
from tests.probes.worlds import estate, service_of

PAGE = (Path(__file__).parents[2] / "docs" / "probes.md").read_text()
SECTIONS = {
    part.partition("\n")[0].strip("` "): part.partition("\n")[2]
    for part in re.split(r"^## ", PAGE, flags=re.MULTILINE)
}
WORLD = estate(
    controller="https://dc.example:8300",
    **{"crm-db": "10.20.1.10", "crm-app": "10.20.1.20", "ebs-db": "10.20.1.30"},
)


class Secrets(yaml.SafeLoader):
    """Reads `!env NAME` as a text."""


Secrets.add_constructor("!env", lambda loader, node: f"value of {loader.construct_scalar(node)}")


def rows(section: str) -> dict[str, list[str]]:
    """The cells of a section's tables by the word in backticks that begins the row."""
    lines = re.findall(r"^\| `([^`]+)` \|(.*)\|$", SECTIONS[section], flags=re.MULTILINE)
    return {word: [cell.strip() for cell in rest.split(" | ")] for word, rest in lines}


def examples() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for kind in SETTINGS:
        for block in re.findall(r"```yaml\n(.*?)```", SECTIONS[kind], flags=re.DOTALL):
            found += yaml.load(block, Secrets)
    return found


@pytest.mark.parametrize("kind", sorted(SETTINGS))
def test_every_kind_has_a_section_with_each_of_its_settings_and_no_other(kind: str) -> None:
    assert sorted(rows(kind)) == sorted(SETTINGS[kind].model_fields)


@pytest.mark.parametrize("kind", sorted(SETTINGS))
def test_every_setting_is_described_for_editors_too(kind: str) -> None:
    for name, field in SETTINGS[kind].model_fields.items():
        assert field.description, f"{kind}: {name}"


def test_every_key_that_all_probes_have_is_there() -> None:
    keys = {field.alias or name for name, field in ProbeSpec.model_fields.items()}
    assert set(rows("Keys of every probe")) == keys


def test_every_reason_is_explained_with_its_verdict_and_no_other() -> None:
    table = rows("Reasons")
    assert list(table) == [reason.value for reason in Reason]
    assert {cells[0] for cells in table.values()} == {"up", "down", "unknown"}


@pytest.mark.parametrize("kind", sorted(SETTINGS))
def test_the_reasons_named_for_a_kind_exist_and_stand_with_their_verdict(kind: str) -> None:
    (line,) = re.findall(
        r"^Reasons: (.*?)\n(?:\n|\Z)", SECTIONS[kind] + "\n\n", flags=re.MULTILINE | re.DOTALL
    )
    up, down, unknown = re.split(r"· (?:down|unknown):", line)
    table = rows("Reasons")
    for verdict, part in (("up", up), ("down", down), ("unknown", unknown)):
        named = re.findall(r"`([a-z-]+)`", part)
        assert named
        assert {table[reason][0] for reason in named} == {verdict}


@pytest.mark.parametrize("example", examples(), ids=lambda example: f"{example['kind']}-{example['name']}")
def test_every_example_is_without_fault(example: dict[str, Any]) -> None:
    spec = ProbeSpec.model_validate(example)
    assert faults(spec, service=service_of(WORLD), estate=WORLD) == ()


def test_every_kind_has_an_example() -> None:
    assert {example["kind"] for example in examples()} == set(SETTINGS)
