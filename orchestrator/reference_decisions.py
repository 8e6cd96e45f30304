"""The reference page of decisions, made from the very tables that decide. `tools/docs` writes it."""

from collections.abc import Iterator

from orchestrator.core.decision import TABLE as RULES
from orchestrator.core.decision import Act, Rule
from orchestrator.core.diagnosis import TABLE as DIAGNOSES
from orchestrator.core.diagnosis import Diagnosis
from orchestrator.core.gates import CHECKS
from orchestrator.core.rules import ACT_WORDS

# What `tests/core/test_exhaustive.py` goes through; it fails when these are not its own figures.
CHECKED_INPUTS = 63
CHECKED_COMBINATIONS = 2_692_572_175_765_579_235_328_000

_TOP = """\
Several times a second, and at once when something changes, a controller names what is the matter with each
service and decides what to do about it. Both are tables, and in both **the first row that fits counts**.
`twinsite explain SERVICE` and the journal give the diagnosis, the row's number, the code and the gates that
were looked at; this page says what they mean. What to do about a code stands in
[Exit codes and reasons](exit-codes-and-reasons.md).

*Here* is the site of the controller that decides; *the other site* is the one it is paired with. Each site
decides for itself, so at one moment the two may name different things.

## What is the matter

The name is given whether or not anything may be done about it.

| diagnosis | when |
| --- | --- |
"""

_DONE = """\
## What is done about it

| word | what the controller does |
| --- | --- |
"""

_GATED = """\
Rows marked with *gates* promote an instance; they act only if every one of the [gates](#the-gates) is open,
and otherwise refuse with the code of the first that is not. A number that is missing was never used, or is
no longer; none is ever given to another row.
"""

_GATES = """\
## The gates

Looked at before any promotion, by the controller as well as for a person's order; each answer is kept with
its evidence. **Not known counts as closed.** Rows that open an instance again at the site that owns it move
nothing, and pass no gates. There is no gate 5 yet: it is kept for room at the site that takes over.

| gate | name | opens when | refuses with |
| --- | --- | --- | --- |
"""

_CHECKED = """\
## What is checked of it

Both tables and all gates are tried with **every combination** of the values that matter: {inputs} inputs
(leases and silences against their bounds, what each instance says, lag and loss against their limits, policy,
pause, runs and so on), {combinations} combinations. The suite does so each time it runs:
`tests/core/test_exhaustive.py`. None is left undecided; each is decided by the first row that fits; every row
is reached by some; none leads to a promotion without a right to it, through a closed gate, or against policy,
pause or guard; and every refusal has its reason. It can be done in seconds because a decision reads only part
of its input: what is not read cannot change it, and all its values are covered at once.
"""

_OUTCOMES = {Act.HOLD: "hold", Act.ASK: "**ask**", Act.REFUSE: "**refuse**"}


def decisions_page(made: str) -> list[str]:
    """The page's lines; `made` says whence it comes."""
    lines = ["# Decisions", "", made, "", *_TOP.splitlines()]
    lines += [f"| {_link(row.diagnosis)} | {_sentence(row.why)} |" for row in DIAGNOSES]
    lines += ["", *_DONE.splitlines()]
    lines += [f"| {_OUTCOMES.get(act, f'**{act}**')} | {_sentence(ACT_WORDS[act])} |" for act in Act]
    lines += ["", *_GATED.splitlines(), "", "### Whatever the diagnosis", ""]
    lines += _rows([rule for rule in RULES if rule.diagnosis is None])
    for diagnosis in dict.fromkeys(row.diagnosis for row in DIAGNOSES):
        lines += _section(diagnosis)
    lines += _GATES.splitlines()
    for check in CHECKS:
        codes = ", ".join(f"`{code}`" for code in check.codes)
        lines.append(f"| {check.number} | {check.name} | {_sentence(check.opens)} | {codes} |")
    return [*lines, "", *_CHECKED.format(inputs=CHECKED_INPUTS, combinations=_spaced()).splitlines()]


def _spaced() -> str:
    return f"{CHECKED_COMBINATIONS:,}".replace(",", " ")


def _section(diagnosis: Diagnosis) -> Iterator[str]:
    whys = [_sentence(row.why) for row in DIAGNOSES if row.diagnosis is diagnosis]
    yield from (f"### {diagnosis}", "", " Or: ".join(whys), "")
    yield from _rows([rule for rule in RULES if rule.diagnosis is diagnosis])


def _rows(rules: list[Rule]) -> Iterator[str]:
    yield from ("| row | when | outcome | code | why |", "| --- | --- | --- | --- | --- |")
    for rule in rules:
        when = rule.when.words or ("always" if len(rules) == 1 else "otherwise")
        if rule.opens:
            only = " and ".join(str(number) for number in sorted(rule.opens))
            when = f"no gate but {only} is closed, and one of these is; {when}"
        outcome = _OUTCOMES.get(rule.act, f"**{rule.act}**") + (", *gates*" if rule.gated else "")
        yield f"| {rule.row} | {_sentence(when)} | {outcome} | `{rule.code}` | {_sentence(rule.why)} |"
    yield ""


def _link(diagnosis: Diagnosis) -> str:
    return f"[`{diagnosis}`](#{diagnosis})"


def _sentence(words: str) -> str:
    """A table's words as a sentence of a page."""
    return f"{words[0].upper()}{words[1:]}."
