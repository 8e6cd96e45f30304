"""Settings of the command driver: shape, fit, and values in command lines that stay what they are."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from sites.inventory import EstateInvalid, Loaded, load_estate
from sites.replication.catalogue import SETTINGS
from sites.replication.command.config import CommandSettings
from sites.replication.command.lines import faults, filled
from sites.replication.words import Word
from tests.sites.command.ledgers import estate_of

LOOK = {"run": "tree look {{ site }}"}
GOOD: dict[str, Any] = {"hosts": {"durham": "tree", "morpeth": "tree"}, "look": LOOK}


def said(service: dict[str, Any] | None = None, **settings: Any) -> list[tuple[tuple[str, ...], str, str]]:
    """What does not fit the estate."""
    estate = estate_of(GOOD, **(service or {}))
    model = CommandSettings.model_validate({**GOOD, **settings})
    return list(model.check(estate, estate.services["tree"]))


def test_it_is_in_the_catalogue() -> None:
    assert SETTINGS["command"] is CommandSettings


def test_good_settings_have_nothing_said_about_them() -> None:
    assert said() == []


@pytest.mark.parametrize(
    ("settings", "wrong"),
    [
        ({"look": None}, "expected `look`, or `role` with `position`"),
        ({"role": LOOK, "lag": LOOK}, "`look` prints everything; leave out role, lag"),
        ({"answer_within": "2.5s"}, "are 3.5s together; expected at most 3s"),
        ({"look_every": "100ms"}, "from 200ms to 2s"),
        ({"misses": 1}, "greater than or equal to 2"),
        ({"look": {"run": ""}}, "at least 1 character"),
        ({"look": {"run": "x", "timeout": "0s"}}, "above zero"),
        ({"look": {"run": "x", "shell": "bash"}}, "Extra inputs"),
        ({"demote": LOOK}, "Extra inputs"),
    ],
)
def test_what_can_never_work_is_refused(settings: dict[str, Any], wrong: str) -> None:
    with pytest.raises(ValidationError, match=wrong):
        CommandSettings.model_validate({**GOOD, **settings})


def test_the_hosts_are_hosts_of_both_sites() -> None:
    assert said(hosts={"durham": "tree"}) == [
        (("hosts",), "no host at morpeth", "one host at each of durham and morpeth")
    ]
    ((where, found, expected),) = said(hosts={"durham": "three", "morpeth": "tree"})
    assert (where, found, expected) == (("hosts", "durham"), "three", "a host of durham (it has: tree)")


def test_an_automatic_service_can_be_fenced_and_promoted() -> None:
    found = [fault for _, fault, _ in said({"failover": "automatic"})]
    assert found == [
        "no `fence` for a service with `failover: automatic`",
        "no `promote` for a service with `failover: automatic`",
    ]


def test_a_guard_says_where_its_permit_lies() -> None:
    assert [found for _, found, _ in said({"guard": {}})] == ["a guard without `data`"]


@pytest.mark.parametrize(
    ("line", "word", "wrong"),
    [
        ("look {{ sight }}", "look", "the unknown value {{ sight }}; there are service, site, "),
        ("look '{{ site }}'", "look", "{{ site }} inside single quotes; write it as a word of its own"),
        ('look "{{ site }}"', "look", "{{ site }} inside double quotes"),
        ("look $(({{ site }}))", "look", "{{ site }} inside ((…))"),
        ("look # {{ site }}", "look", "{{ site }} inside a comment"),
        ("look {{ role }}", "look", "{{ role }} in `look`; it is known to start only"),
        ("look {{ position }}", "rejoin", "known to promote only"),
        ("look {{ primary_site }}", "promote", "known to rebuild and rejoin only"),
        ("look {{ site", "look", "{{ that is not closed"),
    ],
)
def test_a_value_stands_where_it_stays_data(line: str, word: str, wrong: str) -> None:
    assert wrong in " ".join(faults(line, word))
    ((where, found, _),) = said(
        **{"look": None, "role": LOOK, word: {"run": line}} if word != "look" else {"look": {"run": line}}
    )
    assert (where, wrong in found) == ((word, "run"), True)


@pytest.mark.parametrize(
    "line",
    ["a{b,c} ${d}", "awk '{print $1}' {{site}}", "x=$(look {{ site }})", "look --at={{ peer_address }}"],
)
def test_everything_else_is_the_authors(line: str) -> None:
    assert list(faults(line, "look")) == []


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",))))
def test_whatever_a_value_holds_it_is_one_word(value: str) -> None:
    line = filled("printf '%s' {{ site }}", {"site": value})
    done = subprocess.run(["/bin/sh", "-c", line], capture_output=True, check=True)
    assert done.stdout.decode() == value


def test_words_are_unknown_without_their_commands() -> None:
    model = CommandSettings.model_validate({**GOOD, "fence": LOOK, "rejoin": LOOK})
    assert model.unknown_words == {Word.CLOSE, Word.PROMOTE, Word.START, Word.REBUILD}
    parts = {"hosts": GOOD["hosts"], "role": LOOK, "close": LOOK, "fence": LOOK, "promote": LOOK}
    # Without a position nobody could say where it was closed, and without an identity nothing is verified.
    assert CommandSettings.model_validate(parts).unknown_words >= {Word.CLOSE, Word.VERIFY}


def test_each_command_has_its_own_time_or_its_words_usual_one() -> None:
    model = CommandSettings.model_validate({**GOOD, "close": {"run": "x", "timeout": "40s"}, "fence": LOOK})
    assert [model.limit_seconds(word) for word in ("close", "fence", "look")] == [40.0, 2.0, 2.0]


ESTATE = """\
version: 1
store: {{endpoints: ["https://127.0.0.1:2379"]}}
sites:
  durham: {{hosts: {{tree: {{address: 10.0.1.1}}}}}}
  morpeth: {{hosts: {{tree: {{address: 10.0.2.1}}}}}}
  derwentside: {{witness: true}}
services:
  tree:
    home: durham
    standby: morpeth
    replication:
      driver: command
      hosts: {{durham: tree, morpeth: tree}}
      look: {{run: "{look}"}}
{more}"""


def loaded(tmp_path: Path, look: str = "tree look {{ site }}", more: str = "") -> Loaded:
    """The estate file with a service by commands."""
    path = tmp_path / "sites.yaml"
    path.write_text(ESTATE.format(look=look, more=more))
    return load_estate(path, driver_settings=SETTINGS)


def test_a_service_by_commands_can_be_moved(tmp_path: Path) -> None:
    assert not loaded(tmp_path).estate.services["tree"].watch_only


def test_a_fault_of_a_command_is_told_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(EstateInvalid) as caught:
        loaded(tmp_path, look="tree look '{{ site }}'")
    (fault,) = caught.value.faults
    assert (fault.line, fault.where) == (14, "services.tree.replication.look.run")
    assert "inside single quotes; write it as a word of its own" in fault.found


def test_it_cannot_promise_that_nothing_is_lost(tmp_path: Path) -> None:
    with pytest.raises(EstateInvalid) as caught:
        loaded(tmp_path, more="    max_data_loss: 0s\n")
    assert [fault.where for fault in caught.value.faults] == ["services.tree.max_data_loss"]
