"""Every rule of ownership has its entry in docs/ownership-rules.md, is kept in the modules named there, and a
test names it."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "ownership-rules.md").read_text(encoding="utf-8")
ENTRIES = {
    int(number): text
    for number, text in re.findall(r"^### P(\d+): (.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL)
}
RULES = range(1, 34)


def names(text: str) -> set[int]:
    """The rules that a text names: P9, test_p9_…, and every one of P14 to P17."""
    found = {int(number) for number in re.findall(r"(?<![A-Za-z0-9])[Pp](\d{1,2})(?![A-Za-z0-9])", text)}
    for first, last in re.findall(r"\bP(\d+) to P(\d+)\b", text):
        found.update(range(int(first), int(last) + 1))
    return found


def test_the_rules_are_those_that_the_page_has_in_their_order() -> None:
    assert list(ENTRIES) == list(RULES)


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_says_what_why_and_where_and_is_named_where_it_is_kept(rule: int) -> None:
    says, without, kept = (ENTRIES[rule].split(f"*{word}:*") for word in ("Says", "Without it", "Kept in"))
    assert [len(parts) for parts in (says, without, kept)] == [2, 2, 2]
    modules = re.findall(r"`([a-z_/]+\.py)`", kept[1])
    assert modules
    for module in modules:
        text = (ROOT / module).read_text(encoding="utf-8")
        assert rule in names(text), f"{module} does not name P{rule}"


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_is_named_by_a_test_that_shows_it_is_kept(rule: int) -> None:
    tests = (path for path in (ROOT / "tests").glob("**/test_*.py") if path != Path(__file__))
    assert any(rule in names(path.read_text(encoding="utf-8")) for path in tests)
