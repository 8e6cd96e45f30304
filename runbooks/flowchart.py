"""A runbook drawn as a Mermaid flowchart: the steps, what each needs, and what belongs to some kinds of run.

What matters is said in words and in the shape of a line, never by colour, so that it can be printed. The same
runbook gives the same text. Pure.
"""

import re
from collections.abc import Iterator
from itertools import pairwise

from runbooks.catalogue import ActionCatalogue
from runbooks.expand import Leaf, laid_out
from runbooks.graph import in_order, longest_chain
from runbooks.model import Kind, Runbook
from runbooks.wording import LEGEND, place_in_words, text_in_words, times_of_leaf, title_of_leaf
from sites.quantities import format_duration

_UNSAFE = re.compile(r"[^\w .,:;!?/()+'=@~%-]")
_WRAP_CHARACTERS = 40


def flowchart(runbook: Runbook, catalogue: ActionCatalogue, kind: Kind | None = None) -> list[str]:
    """The lines of the chart: of the steps of one kind of run, or of all."""
    leaves, _ = laid_out(runbook, kind, catalogue)
    needs = {leaf.id: leaf.needs for leaf in leaves}
    numbers = {step_id: number for number, step_id in enumerate(in_order(needs), start=1)}
    by_id = {leaf.id: leaf for leaf in leaves}
    chain = longest_chain(needs, {step_id: leaf.step.timeout_seconds for step_id, leaf in by_id.items()})
    linked = set(pairwise(chain))
    title = _plain(text_in_words(runbook.title, runbook.parameters))
    lines = [
        f"%% {_plain(runbook.name)}: {title}, {kind or 'every kind of run'}",
        f"%% {LEGEND}",
        "flowchart TD",
    ]
    if not leaves:
        return [*lines, f'    none["No step belongs to {kind}"]']
    boxes = {step_id: _box(catalogue, by_id[step_id], numbers[step_id], chain, kind) for step_id in numbers}
    lines += [f"    {_node(step_id)}{box}" for step_id, box in boxes.items()]
    for step_id in numbers:
        for need in sorted(needs[step_id], key=numbers.__getitem__):
            arrow = "==>" if (need, step_id) in linked else "-->"
            lines.append(f"    {_node(need)} {arrow} {_node(step_id)}")
    lines += _classes("only", [step_id for step_id in numbers if by_id[step_id].step.during and kind is None])
    lines += _classes("longest", chain if len(chain) > 1 else [])
    return lines


def _node(step_id: str) -> str:
    """An id that is none of Mermaid's words, whatever the step is called. A step's own has no underscore."""
    return "step_" + step_id.replace("-", "_").replace("/", "__")


def _box(
    catalogue: ActionCatalogue,
    leaf: Leaf,
    number: int,
    chain: list[str],
    kind: Kind | None,
) -> str:
    """A rectangle for what changes something, a rounded one for what only looks, waits or tells."""
    step = leaf.step
    place = place_in_words(step, catalogue)
    where = f" at {place}" if place.startswith("the ") else f" on {place}" if place else ""
    said = [
        *_wrapped(f"{number}: {title_of_leaf(leaf)}"),  # "1. " would be read as a list
        *_wrapped(f"{step.action}{where}"),
        f"at most {format_duration(step.timeout_seconds)}",
        *(_wrapped(times) if (times := times_of_leaf(leaf)) else ()),
    ]
    if step.during and kind is None:
        said.append(f"only in {' and '.join(step.during)}")
    if len(chain) > 1 and leaf.id in chain:
        said.append("on the longest chain")
    text = "<br/>".join(escaped(line) for line in said)
    return f'["{text}"]' if catalogue[step.action].changes_with(step.arguments) else f'(["{text}"])'


def _wrapped(text: str) -> Iterator[str]:
    line = ""
    for word in text.split():
        if line and len(line) + 1 + len(word) > _WRAP_CHARACTERS:
            yield line
            line = ""
        line = f"{line} {word}" if line else word
    yield line


def escaped(text: str) -> str:
    """A text that Mermaid shows as it is: everything that it could read otherwise becomes a number."""
    return _UNSAFE.sub(lambda match: f"#{ord(match[0])};", text)


def _plain(text: str) -> str:
    """For a comment: on one line, and without what begins a directive."""
    return re.sub(r"[{}%]", "", " ".join(text.split()))


def _classes(name: str, step_ids: list[str]) -> Iterator[str]:
    look = {"only": "stroke-dasharray: 6 4", "longest": "stroke-width: 3px"}
    if step_ids:
        yield f"    classDef {name} {look[name]}"
        yield f"    class {','.join(_node(step_id) for step_id in step_ids)} {name}"
