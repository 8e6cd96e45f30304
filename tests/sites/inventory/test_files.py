"""One file per fault, and one per warning: the file is the case, its message stands in `said.txt`.

REWRITE=1 writes `said.txt` anew; commit the difference only when each message still helps.
"""

import os
from pathlib import Path

import pytest

from sites.inventory import EstateInvalid, Fault
from tests.sites.inventory.catalogue import HERE, load

INVALID = sorted(HERE.glob("invalid-*.yaml"))
WARNED = sorted(HERE.glob("warns-*.yaml"))
SAID = HERE / "said.txt"
DIVIDER = "=== "


def faults_of(path: Path) -> tuple[Fault, ...]:
    with pytest.raises(EstateInvalid) as caught:
        load(path)
    return caught.value.faults


def shown(faults: tuple[Fault, ...]) -> str:
    # The name alone: where the tests lie is nobody's business.
    return "\n".join(fault.render().replace(f"{HERE}/", "") for fault in faults)


@pytest.fixture(scope="module")
def said() -> dict[str, str]:
    """What `said.txt` holds, by file name."""
    if os.environ.get("REWRITE"):
        rewrite()
    parts = SAID.read_text(encoding="utf-8").split(DIVIDER)[1:]
    return {name: text.strip("\n") for name, _, text in (part.partition("\n") for part in parts)}


def rewrite() -> None:
    parts = [(path.name, shown(faults_of(path))) for path in INVALID]
    parts += [(path.name, shown(load(path).warnings)) for path in WARNED]
    SAID.write_text("".join(f"{DIVIDER}{name}\n{text}\n\n" for name, text in parts), encoding="utf-8")


@pytest.mark.parametrize("path", INVALID, ids=lambda path: path.stem)
def test_each_fault_is_told_with_its_place_and_what_to_write_instead(
    path: Path, said: dict[str, str]
) -> None:
    faults = faults_of(path)
    assert shown(faults) == said[path.name]
    assert len(faults) == 1, "one fault must never be reported as several"


@pytest.mark.parametrize("path", WARNED, ids=lambda path: path.stem)
def test_each_warning_is_one_sentence_and_the_estate_loads(path: Path, said: dict[str, str]) -> None:
    assert shown(load(path).warnings) == said[path.name]


def test_every_message_on_file_belongs_to_a_file(said: dict[str, str]) -> None:
    assert set(said) == {path.name for path in (*INVALID, *WARNED)}


def test_an_estate_without_faults_has_nothing_said_about_it() -> None:
    assert load(HERE / "valid.yaml").warnings == ()
