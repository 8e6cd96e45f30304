"""Faults of a file: what is said, where, and how it reads.

Pure: turns findings, and pydantic's validation errors, into `Fault` values in plain words. It never
decides that something is a fault; it only says it well. Values are named by what the file says, never
by what a secret turned out to be.

    sites.yaml:10:20: services.ebs.max_data_loss: found 'five'; expected a duration with its unit, …
        max_data_loss: five
                       ^
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel, ValidationError

from sites.errors import SitesMisuse
from sites.marks import KEYS_WITH_VALUES, Document, Finding, Trail, nearest, quoted
from sites.model import NAME_PATTERN
from sites.shape import file_keys, model_at

MISSING_KEY, UNKNOWN_KEY, WRONG_VALUE = "missing-key", "unknown-key", "wrong-value"


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault or warning of a file. Line 0: the file as a whole. `code`: as in `Finding`."""

    file: str
    line: int
    column: int
    where: str
    found: str
    expected: str
    excerpt: str
    code: str = ""

    @property
    def message(self) -> str:
        """What is the matter, without the place: a sentence, or "found …; expected …"."""
        return f"found {self.found}; expected {self.expected}" if self.expected else self.found

    def render(self) -> str:
        """For people: place, path and message on one line, then the source line and a caret."""
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        parts = [place, *([self.where] if self.where else []), self.message]
        head = ": ".join(parts)
        return head + "".join(f"\n    {line}" for line in self.excerpt.splitlines())


class EstateInvalid(SitesMisuse):
    """The estate file has faults; every one of them is in `faults`, in the order of the file.

    `warnings` holds what else was noticed. `str()` is the whole list as people should read it.
    """

    def __init__(self, faults: Sequence[Fault], warnings: Sequence[Fault] = ()) -> None:
        self.faults = tuple(faults)
        self.warnings = tuple(warnings)
        super().__init__("\n".join(fault.render() for fault in self.faults))


def fault_of(finding: Finding, document: Document, file: str) -> Fault:
    """The finding with its place in the file."""
    place = finding.place or document.place(finding.trail, at_key=finding.at_key)
    return Fault(
        file=file,
        line=place.line,
        column=place.column,
        where=dotted(finding.trail),
        found=document.found(finding.trail) if finding.found is None else finding.found,
        expected=finding.expected,
        excerpt=document.excerpt(place),
        code=finding.code,
    )


def sorted_faults(findings: Iterable[Finding], document: Document, file: str) -> tuple[Fault, ...]:
    """The findings as faults, in the order of the file; the same thing said twice is said once. That is also
    what is said of one place of the file which several others take over by its anchor."""
    faults: dict[tuple[object, ...], Fault] = {}
    for finding in findings:
        fault = fault_of(finding, document, file)
        where = "" if fault.line else fault.where
        faults.setdefault((fault.line, fault.column, where, fault.found, fault.expected), fault)
    return tuple(sorted(faults.values(), key=lambda fault: (fault.line, fault.column, fault.where)))


def dotted(trail: Trail) -> str:
    """A way to a value as people write it: `services.ebs.probes[0].timeout`."""
    text = ""
    for part in trail:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def findings_of(
    error: ValidationError,
    document: Document,
    model: type[BaseModel],
    *,
    at: Trail = (),
    also_known: Iterable[str] = (),
) -> list[Finding]:
    """A validation error of `model`, whose values stand at `at`, as findings.

    `also_known` are keys that are allowed at `at` although `model` does not have them.
    """
    found: dict[tuple[Trail, bool, str | None], Finding] = {}
    for detail in error.errors(include_url=False):
        one = _finding(detail, document, model, at, tuple(also_known))
        same = (one.trail, one.at_key, one.found)
        if same in found and one.expected not in found[same].expected:
            # The arms of a union each say what they would have taken.
            expected = f"{found[same].expected}, or {one.expected}"
            one = replace(one, expected=expected)
        found[same] = one
    return list(found.values())


def _finding(
    detail: Mapping[str, Any], document: Document, model: type[BaseModel], at: Trail, also: tuple[str, ...]
) -> Finding:
    kind, loc = detail["type"], tuple(detail["loc"])
    if loc and loc[-1] == "[key]":
        trail = (*at, *loc[:-1])
        return Finding(
            trail, _expected(detail), f"the name {quoted(str(loc[-2]))}", at_key=True, code=WRONG_VALUE
        )
    if kind == "missing":
        parent = document.settle((*at, *loc[:-1]))
        key = str(loc[-1])
        return Finding(
            (*parent, key), _missing(model, loc), f"no {quoted(key)}", at_key=True, code=MISSING_KEY
        )
    if kind == "extra_forbidden":
        trail = document.settle((*at, *loc))
        return unknown_key(trail, _known(model, loc, also))
    trail = document.settle((*at, *loc))
    if kind in ("value_error", "assertion_error"):
        said = str(detail.get("ctx", {}).get("error", detail["msg"]))
        if not said.startswith("expected "):
            return Finding(trail, found=said, code=WRONG_VALUE)
        found = "these keys" if document.found(trail) == KEYS_WITH_VALUES else None
        return Finding(trail, said.removeprefix("expected "), found, code=WRONG_VALUE)
    expected = _expected(detail)
    if kind in ("enum", "literal_error") and isinstance(detail["input"], str):
        # The choices come as one text, each in quotes.
        guess = nearest(detail["input"], re.findall(r"'([^']*)'", expected))
        expected += f", perhaps {quoted(guess)}" if guess else ""
    return Finding(trail, expected, code=WRONG_VALUE)


def unknown_key(trail: Trail, known: Sequence[str]) -> Finding:
    """A key that nobody knows, with the nearest one that is known."""
    key = str(trail[-1])
    guess = nearest(key, list(known))
    if guess:
        expected = f"perhaps {quoted(guess)}"
    elif known:
        expected = "one of " + ", ".join(known)
    else:
        expected = "no such key"
    return Finding(trail, expected, f"the unknown key {quoted(key)}", at_key=True, code=UNKNOWN_KEY)


def _known(model: type[BaseModel], loc: Trail, also: tuple[str, ...]) -> list[str]:
    parent = model_at(model, loc[:-1])
    return [*(file_keys(parent) if parent else ()), *(also if len(loc) == 1 else ())]


def _missing(model: type[BaseModel], loc: Trail) -> str:
    parent = model_at(model, loc[:-1])
    info = file_keys(parent).get(str(loc[-1])) if parent else None
    return f"this key: {info.description}" if info and info.description else "this key"


def _expected(detail: Mapping[str, Any]) -> str:
    """What pydantic would have taken, in words for somebody who knows neither Python nor patterns."""
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "string_type" and detail["input"] is None:
        return "text"
    if kind in _WORDS:
        return _WORDS[kind]
    if kind == "string_pattern_mismatch" and context["pattern"] == NAME_PATTERN:
        return "lower-case letters, digits and hyphens, a letter first, at most 63 in all"
    if kind in _WORDS_WITH:
        template, key = _WORDS_WITH[kind]
        limit = context[key]
        return template.format(f"{limit:g}" if isinstance(limit, float) else limit)
    words: str = detail["msg"]
    return words.removeprefix("Input should be ").removeprefix("Value should be ")


_WORDS = {
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_parsing": "a number",
    "float_type": "a number",
    "finite_number": "a number",
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "string_type": "text (numbers, true and false, yes and no need quotes to be text)",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": KEYS_WITH_VALUES,
    "model_type": KEYS_WITH_VALUES,
    "model_attributes_type": KEYS_WITH_VALUES,
    "dataclass_type": KEYS_WITH_VALUES,
}
_WORDS_WITH = {
    "enum": ("{}", "expected"),
    "literal_error": ("{}", "expected"),
    "greater_than": ("more than {}", "gt"),
    "greater_than_equal": ("at least {}", "ge"),
    "less_than": ("less than {}", "lt"),
    "less_than_equal": ("at most {}", "le"),
    "too_short": ("a list of at least {}", "min_length"),
    "too_long": ("a list of at most {}", "max_length"),
    "string_too_short": ("text of at least {} characters", "min_length"),
    "string_too_long": ("text of at most {} characters", "max_length"),
    "string_pattern_mismatch": ("text that matches {}", "pattern"),
}
