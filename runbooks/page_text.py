"""The page to hang on the wall as plain text of 80 columns, with a box to tick at every step.

Pure: a page in, lines out. The same page gives the same lines.
"""

import textwrap
from collections.abc import Iterator

from runbooks.page import Around, Page, PageStep
from runbooks.showing import numbers_in_words

COLUMNS = 80
_LABEL = 12
_INDENT = " " * 6


def render_page(page: Page) -> list[str]:
    """The page line by line; no line of ours is longer than COLUMNS, only words that cannot be broken."""
    lines = [*_filled(page.title, ""), "=" * min(len(page.title), COLUMNS)]
    lines += _head(page)
    before = [one for one in page.around if not page.steps or one.number < page.steps[0].number]
    after = [one for one in page.around if one not in before]
    lines += [line for one in before for line in _around(one)]
    if not page.steps:
        lines += ["", f"No step belongs to a {page.kind}: there is nothing to do."]
    for step in page.steps:
        lines += _step(step)
    return [*lines, *(line for one in after for line in _around(one))]


def _head(page: Page) -> Iterator[str]:
    if page.service:
        move = f"{page.kind.capitalize()} of {page.service} from {page.from_site} to {page.to_site}"
    else:
        move = page.kind.capitalize() or "Every kind of run"
    yield from _filled(f"{move}. Runbook {page.runbook}, text {page.sha256[:12]}.", "")
    yield from _filled(f"Way back: {page.inverse or 'none is written'}.", "")
    for note in page.notes:
        yield from ("", *_filled(note, ""))


def _around(step: Around) -> Iterator[str]:
    whose = "done by twinsite itself" if step.of == "built in" else f"of {step.of}"
    yield ""
    yield from _filled(f"{step.number:>2}. ({step.title}; {whose})", _INDENT + "  ", first="    ")


def _step(step: PageStep) -> Iterator[str]:
    yield ""
    yield from _filled(f"{step.number:>2}. {step.title}", _INDENT + "  ", first="[ ] ")
    for label, text in _rows(step):
        yield from _row(label, text)


def _rows(step: PageStep) -> Iterator[tuple[str, str]]:
    if step.only_in:
        yield "only in", " and ".join(step.only_in)
    if step.who:
        yield "who", step.who
    yield "where", step.where or "nowhere in particular"
    yield "what", f"{step.action}: {step.does}" if step.does else step.action
    yield from step.arguments.items()
    if step.times:
        yield "how often", step.times
    numbers = numbers_in_words(list(step.needs))
    yield "needs", f"step{'s' if len(step.needs) > 1 else ''} {numbers}" if step.needs else "nothing"
    if step.unless:
        yield "not if", step.unless
    if step.verify or step.changes:
        yield "then check", step.verify or "nothing is checked"
    yield "time", f"at most {step.timeout} an attempt"
    yield "attempts", step.attempts
    if step.where:
        yield "no answer", step.if_unreachable
    yield "if it fails", step.on_failure
    if step.changes:
        yield "in doubt", step.in_doubt
    if step.undo:
        yield "take back", f"{step.undo} (when the run is undone)"


def _row(label: str, text: str) -> Iterator[str]:
    """A label and its text. A script keeps its lines: somebody may have to type them."""
    lead = f"{_INDENT}{label:<{_LABEL}}"
    rest = " " * len(lead)
    for number, line in enumerate(text.splitlines() or [""]):
        yield from _filled(line, rest, first=lead if number == 0 else rest)


def _filled(text: str, indent: str, *, first: str | None = None) -> list[str]:
    return textwrap.wrap(
        text,
        COLUMNS,
        initial_indent=indent if first is None else first,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    ) or [first or indent]
