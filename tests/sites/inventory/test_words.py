"""How a fault reads, whatever model it comes from: other files have models of their own."""

from datetime import date
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from probes.catalogue import SETTINGS as PROBES
from probes.catalogue import faults as probe_faults
from sites.faults import Fault, findings_of, sorted_faults, unknown_key
from sites.inventory import EstateInvalid, load_estate
from sites.marks import read_document
from tests.sites.inventory.catalogue import HERE


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Circle(Strict):
    shape: Literal["circle"]
    radius: float = Field(gt=0, lt=10)


class Square(Strict):
    shape: Literal["square"]
    side: int = Field(le=9)


class Drawing(Strict):
    shapes: list[Annotated[Circle | Square, Field(discriminator="shape")]] = []
    size: int | Circle = 1
    day: date = date(2026, 1, 1)
    pair: tuple[int, int] = (1, 2)
    names: list[Annotated[str, Field(min_length=2, max_length=3, pattern="^[a-z]+$")]] = Field(
        [], max_length=3
    )
    ratio: float = 0.5
    done: bool = False


def said(text: str) -> list[str]:
    document = read_document(text)
    with pytest.raises(ValidationError) as caught:
        Drawing.model_validate(document.data)
    faults = sorted_faults(findings_of(caught.value, document, Drawing), document, "drawing.yaml")
    return [fault.render().splitlines()[0].removeprefix("drawing.yaml:") for fault in faults]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("size: big", "1:7: size: found 'big'; expected a whole number, or keys with values"),
        (
            "shapes: [{shape: circle, radius: 11}]",
            "1:34: shapes[0].radius: found '11'; expected less than 10",
        ),
        ("shapes: [{shape: circle, radius: 0}]", "1:34: shapes[0].radius: found '0'; expected more than 0"),
        (
            "shapes: [{shape: square, sides: 1, side: 1}]",
            "1:26: shapes[0].sides: found the unknown key 'sides'; expected perhaps 'side'",
        ),
        ("shapes: [{shape: square}]", "1:10: shapes[0].side: found no 'side'; expected this key"),
        ("day: soon", "1:6: day: found 'soon'; expected a valid date or datetime, input is too short"),
        ("pair: 3", "1:7: pair: found '3'; expected a list"),
        ("names: [a]", "1:9: names[0]: found 'a'; expected text of at least 2 characters"),
        ("names: [abcd]", "1:9: names[0]: found 'abcd'; expected text of at most 3 characters"),
        ("names: [A1]", "1:9: names[0]: found 'A1'; expected text that matches ^[a-z]+$"),
        ("names: [ab, ab, ab, ab]", "1:8: names: found a list; expected a list of at most 3"),
        ("ratio: half", "1:8: ratio: found 'half'; expected a number"),
        ("done: later", "1:7: done: found 'later'; expected true or false"),
    ],
)
def test_what_is_wrong_is_said_in_plain_words(text: str, expected: str) -> None:
    assert said(text) == [expected]


def test_a_key_that_nothing_resembles_where_nothing_is_known() -> None:
    finding = unknown_key(("a", "b"), [])
    assert (finding.found, finding.expected) == ("the unknown key 'b'", "no such key")


def test_the_same_thing_is_said_once() -> None:
    document = read_document("a: 1")
    assert len(sorted_faults([unknown_key(("a",), [])] * 2, document, "f")) == 1


def test_a_fault_of_a_whole_file_has_no_line() -> None:
    fault = Fault("sites.yaml", 0, 0, "", "no such file", "one", "")
    assert fault.render() == "sites.yaml: found no such file; expected one"


def test_the_kinds_of_probe_say_which_hosts_they_miss() -> None:
    with pytest.raises(EstateInvalid) as caught:
        load_estate(
            HERE / "invalid-probe-unknown-host.yaml", probe_settings=PROBES, probe_faults=probe_faults
        )
    assert {fault.where for fault in caught.value.faults} == {"services.crm.probes[0].host"}
    assert "durham" in str(caught.value)
    assert "app" in str(caught.value)


def test_a_column_counts_characters_not_bytes() -> None:
    document = read_document('"é😀": {x: 1}')
    assert document.place(("é😀", "x")).column == 11
    assert document.place(("é😀", "x"), at_key=True).column == 8


def test_a_caret_stands_under_its_column_behind_tabs() -> None:
    document = read_document("a:\t[1,\t2]")
    line, caret = document.excerpt(document.place(("a", 1))).splitlines()
    assert caret == "  \t   \t^"
    assert line[caret.index("^")] == "2"


def test_a_secret_over_several_lines_is_starred_out() -> None:
    document = read_document('a:\n  token: "first\n    second"\n  b: 1\n')
    assert document.lines == ("a:", "  token: ******", "***********", "  b: 1")
