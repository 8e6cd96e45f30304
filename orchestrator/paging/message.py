"""What a message says: a subject line and a text, by Jinja templates that a user may replace.

Pure; a template comes in as text. One that is wrong is told of at `config check`; should it go wrong at night
all the same, the usual one takes its place, for a message that is late is worth less than a plain one.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

from orchestrator.paging.book import Reason
from orchestrator.paging.event import Event
from sites.notify import Severity, Topic

MOST_IN_FULL = 10
TITLE_CHARACTERS = 200
BODY_CHARACTERS = 16_000
TEMPLATE_BYTES = 64 * 1024
TITLE, BODY = "title", "body"
USUAL = Path(__file__).parent / "templates"

# A stage in which something has happened already: what it says of loss is no "if".
_BY_STAGE = ("begun", "done", "failed", "ended")


class TemplateWrong(ValueError):
    """A template cannot be used; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A message as it is sent. `late`: what is put before it when it could not be sent for long."""

    title: str
    body: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """What a message is about beside its events."""

    receiver: str
    reason: Reason
    site: str
    site_title: str
    at: str
    after: str = ""
    alone: bool = False
    docs_url: str | None = None


@cache
def _environment() -> ImmutableSandboxedEnvironment:
    return ImmutableSandboxedEnvironment(
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False
    )


def usual_template(part: str) -> str:
    """The template that is shipped."""
    return (USUAL / f"{part}.txt.j2").read_text(encoding="utf-8")


def link_to(page: str, docs_url: str | None) -> str:
    """Where somebody reads on: under the address that the estate names, or the page's name alone."""
    if not page:
        return ""
    return f"{docs_url.rstrip('/')}/{page}" if docs_url else f"docs/{page}"


def acknowledge_command(event: Event) -> str:
    """What ends the escalation of an event."""
    if event.severity is Severity.INFO:
        return ""
    if event.service:
        return f"twinsite acknowledge {event.service} --reason …"
    return f"twinsite acknowledge {f'--site {event.site}' if event.site else '--all'} --reason …"


def worst(events: tuple[Event, ...]) -> Severity:
    """Of all of them."""
    return max((event.severity for event in events), key=lambda one: one.rank)


def context_of(envelope: Envelope, events: tuple[Event, ...]) -> dict[str, Any]:
    """Every name that a template may use."""
    return {
        **{key: value for key, value in asdict(envelope).items() if key != "docs_url"},
        "reason": str(envelope.reason),
        "severity": str(worst(events)),
        "most": MOST_IN_FULL,
        "events": [_shown(event, envelope.docs_url) for event in events],
    }


def _shown(event: Event, docs_url: str | None) -> dict[str, str]:
    names = ("key", "topic", "severity", "stage", "headline", "what", "where", "service", "site", "loss",
             "command", "since")  # fmt: skip
    shown = {name: str(getattr(event, name)) for name in names}
    shown["link"] = link_to(event.page, docs_url)
    shown["acknowledge"] = acknowledge_command(event)
    return shown


def rendered(envelope: Envelope, events: tuple[Event, ...], templates: Mapping[str, str]) -> Letter:
    """The letter by these templates, the usual one for a part that is not given. Raises TemplateWrong."""
    names = context_of(envelope, events)
    texts = {part: templates.get(part) or usual_template(part) for part in (TITLE, BODY)}
    title = " ".join(_filled_in(texts[TITLE], names).split())  # on one line: it becomes a header
    if not title:
        raise TemplateWrong("the title is empty")
    return Letter(
        title=_cut(title, TITLE_CHARACTERS), body=_cut(_filled_in(texts[BODY], names), BODY_CHARACTERS)
    )


def _filled_in(template: str, names: Mapping[str, Any]) -> str:
    try:
        return _environment().from_string(template).render(names)
    except jinja2.TemplateSyntaxError as fault:
        raise TemplateWrong(f"line {fault.lineno}: {fault.message}") from fault
    except (jinja2.TemplateError, ArithmeticError, LookupError, TypeError, ValueError) as fault:
        raise TemplateWrong(str(fault) or type(fault).__name__) from fault


def _cut(text: str, most: int) -> str:
    plain = "".join(letter for letter in text if letter in "\n\t" or letter.isprintable())
    return plain if len(plain) <= most else f"{plain[: most - 2]} …"


def template_faults(part: str, template: str) -> Iterator[str]:
    """What is wrong with a template, by writing every kind of message with it."""
    event = Event(
        key="example:crm", topic=Topic.DOWN, severity=Severity.CRITICAL, headline="An example", what="what",
        where="where", service="crm", loss="at most 1.0 s", command="twinsite status", page="paging.md",
        since="2027-01-15T08:00:00Z",
    )  # fmt: skip
    for reason in Reason:
        envelope = Envelope(
            receiver="on-call", reason=reason, site="durham", site_title="Durham", at="2027-01-15T08:00:00Z",
            after="on-call" if reason is Reason.ESCALATED else "",
        )  # fmt: skip
        for events in ((event,), (event,) * (MOST_IN_FULL + 2)):
            try:
                rendered(envelope, events, {part: template})
            except TemplateWrong as wrong:
                yield str(wrong)
                return


def late_words(held_up_seconds: float, written_at: str) -> str:
    """What is said first of a message that could not be sent for long."""
    minutes = held_up_seconds / 60
    how_long = f"{minutes / 60:.0f} hours" if minutes >= 120 else f"{minutes:.0f} minutes"
    return f"LATE: this was written at {written_at} and could not be sent for {how_long}.\n\n"
