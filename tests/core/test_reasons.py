"""The table of reasons: complete, written for people, each code once."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.core.reasons import GROUPS, REASONS
from runbooks.rules import RULES

ROOT = Path(__file__).parents[2]
# Where each of these takes its code.
PLACES = {"Refuse": 0, "OrderRefused": 0, "_wait_or": 2, "Reply": 2, "Gate": 3, "Rule": 4, "_problem": 4}


def codes_in(path: Path) -> Iterator[tuple[str, int]]:
    """Every code that is written out in a file, with its line."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        given = list(node.args[PLACES[name] : PLACES[name] + 1]) if name in PLACES else []
        given += [keyword.value for keyword in node.keywords if keyword.arg == "code"]
        for one in given:
            if isinstance(one, ast.Constant) and isinstance(one.value, str) and one.value:
                yield one.value, one.lineno


def test_every_code_that_is_given_out_stands_in_the_table() -> None:
    files = [*(ROOT / "orchestrator").rglob("*.py"), *(ROOT / "runbooks").rglob("*.py")]
    missing = [
        f"{path.relative_to(ROOT)}:{line}: {code}"
        for path in files
        for code, line in codes_in(path)
        if code not in REASONS and not (code in RULES and path.parent.name == "runbooks")
    ]
    assert missing == []


def test_the_search_for_codes_finds_them() -> None:
    found = {code for code, _ in codes_in(ROOT / "orchestrator/core/gates.py")}
    assert {"old-primary-writable", "lag-above-limit", "fence-not-confirmed"} <= found
    assert {"take-over", "hold-down"} <= {
        code for code, _ in codes_in(ROOT / "orchestrator/core/decision_moves.py")
    }
    assert "below-final-position" in {code for code, _ in codes_in(ROOT / "orchestrator/core/asks.py")}


def test_the_codes_that_were_promised_are_there() -> None:
    promised = {
        "lag-above-limit", "lease-still-held", "no-quorum", "paused", "flap-damped", "old-primary-writable",
        "guard-missing", "driver-missing", "not-drilled-since-change", "capacity-short",
    }  # fmt: skip
    assert promised <= set(REASONS)


def test_no_code_stands_there_twice() -> None:
    codes = [reason.code for group in GROUPS for reason in group.reasons]
    assert sorted(codes) == sorted(set(codes))


@pytest.mark.parametrize("code", REASONS)
def test_every_reason_is_a_sentence_and_says_what_to_do(code: str) -> None:
    reason = REASONS[code]
    for text in (reason.meaning, reason.remedy):
        assert text[0] == "`" or text[0].isupper()
        assert text.endswith(".")
