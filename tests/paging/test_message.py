"""What a message says, and templates of one's own."""

import pytest

from orchestrator.paging.book import Reason
from orchestrator.paging.message import (
    BODY,
    TITLE,
    Envelope,
    TemplateWrong,
    link_to,
    rendered,
    template_faults,
    usual_template,
)
from sites.notify import Severity, Topic
from tests.paging.world import event

DOWN = event(
    "down:crm",
    topic=Topic.DOWN,
    severity=Severity.CRITICAL,
    headline="Payroll (crm) is down: primary dead",
    what="its database here is positively not running",
    where="durham; the other site is morpeth",
    loss="at most 1.2 s",
    command="twinsite failover crm",
    page="first-failover.md#4-do-it",
    since="2027-01-15T08:00:00Z",
)


def envelope(reason: Reason = Reason.FIRST, **fields: str) -> Envelope:
    said = {"receiver": "on-call", "site": "morpeth", "site_title": "Morpeth", "at": "2027-01-15T08:01:00Z"}
    return Envelope(reason=reason, **(said | fields))  # type: ignore[arg-type]


def test_the_usual_message_says_all_that_somebody_needs_who_was_just_woken() -> None:
    letter = rendered(envelope(docs_url="https://wiki.example/twinsite/"), (DOWN,), {})
    assert letter.title == "CRITICAL: Payroll (crm) is down: primary dead"
    assert letter.body.splitlines() == [
        "CRITICAL: Payroll (crm) is down: primary dead",
        "  What:     its database here is positively not running",
        "  Where:    durham; the other site is morpeth",
        "  Since:    2027-01-15T08:00:00Z",
        "  If moved now, loss: at most 1.2 s",
        "  Type:     twinsite failover crm",
        "  Take on:  twinsite acknowledge crm --reason …",
        "  Read:     https://wiki.example/twinsite/first-failover.md#4-do-it",
        "",
        "Sent to on-call by Morpeth's controller at 2027-01-15T08:01:00Z.",
    ]


@pytest.mark.parametrize(
    ("reason", "title", "first"),
    [
        (Reason.OVER, "Over: Payroll", "This is over; nothing"),
        (Reason.ESCALATED, "Nobody answered: Payroll", "first-line was told of this and nobody"),
        (Reason.CHANGED, "CRITICAL: Payroll", "This goes on from"),
        (Reason.TEST, "Test: Payroll", "CRITICAL: Payroll"),
    ],
)
def test_why_it_is_sent_stands_first(reason: Reason, title: str, first: str) -> None:
    letter = rendered(envelope(reason, after="first-line"), (DOWN,), {})
    assert letter.title.startswith(title)
    assert letter.body.startswith(first)


def test_what_is_over_asks_for_nothing() -> None:
    body = rendered(envelope(Reason.OVER), (DOWN,), {}).body
    assert "Type:" not in body
    assert "loss" not in body


def test_two_hundred_events_make_one_message_of_a_bounded_length() -> None:
    many = tuple(event(f"down:s{n}", headline=f"s{n} is down", what="x" * 200) for n in range(200))
    letter = rendered(envelope(), many, {})
    assert letter.title == "WARNING: s0 is down, and 199 more"
    assert letter.body.count("  What:") == 10
    assert "s199 is down" in letter.body


def test_a_message_of_odd_characters_stays_one_header() -> None:
    odd = event("down:x", headline="two\r\nBcc: everybody@example.com\x00 and ✓ ü")
    letter = rendered(envelope(), (odd,), {})
    assert letter.title == "WARNING: two Bcc: everybody@example.com and ✓ ü"
    assert "\x00" not in letter.body
    assert "\r" not in letter.body


def test_a_text_that_looks_like_a_template_stays_text() -> None:
    letter = rendered(envelope(), (event(what="{{ 7 * 7 }} {% raw %}"),), {})
    assert "{{ 7 * 7 }} {% raw %}" in letter.body


def test_a_template_of_ones_own() -> None:
    templates = {TITLE: "{{ site }}: {{ events[0].service }}", BODY: "{{ events[0].link }}"}
    letter = rendered(envelope(), (DOWN,), templates)
    assert (letter.title, letter.body) == ("morpeth: crm", "docs/first-failover.md#4-do-it")


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{{ evnts }}", "'evnts' is undefined"),
        ("{% for e in events %}", "line 1"),
        ("{{ events[0].nothing }}", "no attribute 'nothing'"),
        ("{{ events.__class__ }}", "unsafe"),
        ("{{ events[0].headline | no_such_filter }}", "no_such_filter"),
        ("{% if reason == 'over' %}{{ only_then }}{% endif %}x", "'only_then' is undefined"),
        ("{{ 1 / 0 }}", "division by zero"),
    ],
)
def test_a_template_that_is_wrong_in_any_kind_of_message_is_found(template: str, said: str) -> None:
    [fault] = template_faults(BODY, template)
    assert said in fault


def test_a_title_must_not_be_empty() -> None:
    assert list(template_faults(TITLE, "  {# nothing #} ")) == ["the title is empty"]
    with pytest.raises(TemplateWrong):
        rendered(envelope(), (DOWN,), {TITLE: " "})


def test_the_usual_templates_have_no_faults() -> None:
    for part in (TITLE, BODY):
        assert list(template_faults(part, usual_template(part))) == []


def test_links_without_an_address_name_the_page() -> None:
    assert link_to("store.md", None) == "docs/store.md"
    assert link_to("", "https://x.example") == ""
