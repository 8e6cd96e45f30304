"""The page about runbooks keeps up with the product: every action, every key, every example."""

import re
from pathlib import Path

import pytest

from runbooks.actions import shipped_actions
from runbooks.library import Library
from runbooks.model import Condition, Kind, Runbook, Step, Undo
from runbooks.scope import RunRef, ServiceRef, SiteRef
from sites.shape import file_keys
from tests.runbooks.worlds import bound

PAGE = (Path(__file__).parents[2] / "docs" / "writing-a-runbook.md").read_text()
SECTIONS = {part.split("\n", 1)[0].strip(): part for part in re.split(r"^#{2,3} ", PAGE, flags=re.MULTILINE)}


@pytest.mark.parametrize("word", shipped_actions().words)
def test_every_action_has_its_heading_and_every_key_of_it_is_explained(word: str) -> None:
    section = SECTIONS[word]
    for key in file_keys(shipped_actions()[word].arguments):
        assert f"`{key}`" in section


def test_no_action_is_explained_that_does_not_exist() -> None:
    actions = PAGE.split("## Actions")[1].split("\n## ")[0]
    assert sorted(re.findall(r"^### (.+)$", actions, flags=re.MULTILINE)) == sorted(shipped_actions().words)


@pytest.mark.parametrize(
    ("section", "keys"),
    [
        ("The keys of the file", file_keys(Runbook)),
        ("The keys of every step", file_keys(Step)),
        ("The keys of every step", file_keys(Undo)),
        ("Questions: unless and verify", [key for key in file_keys(Condition) if key != "host"]),
        ("Questions: unless and verify", ["host"]),
        ("The keys of every step", [kind.value for kind in Kind]),
    ],
)
def test_every_key_is_explained_where_it_belongs(section: str, keys: list[str]) -> None:
    for key in keys:
        assert re.search(rf"`{key}`|`{key}:|{{{key}:|\b{key}:", SECTIONS[section]), key


def test_every_name_that_templates_may_use_is_listed() -> None:
    section = SECTIONS["Names and values"]
    for name, kind in (
        ("service", ServiceRef),
        ("from_site", SiteRef),
        ("to_site", SiteRef),
        ("run", RunRef),
    ):
        for attribute in kind.__dataclass_fields__:
            assert f"{name}.{attribute}" in section


@pytest.mark.parametrize("example", re.findall(r"```yaml\n(runbook:.*?)```", PAGE, flags=re.DOTALL))
def test_every_example_is_a_sound_runbook_that_can_be_planned(example: str) -> None:
    Library(shipped_actions()).parse(example, file="example.yaml", name="example")
    assert bound(example).steps


def test_every_link_within_the_page_leads_somewhere() -> None:
    headings = {re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-") for title in SECTIONS}
    for target in re.findall(r"\]\(#([^)]+)\)", PAGE):
        assert target in headings
