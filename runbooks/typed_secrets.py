"""Secrets that were typed into a runbook: where they stand, and its lines with stars in their place.

By what secrets look like, so it can err on both sides; it errs towards silence where a value is plainly none:
a variable, a command's output, a template, a path, a word such as `true`. Never gives a secret away:
what it says names the kind only. Pure.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from sites.marks import Document, Place

_WORDS_OF_NO_SECRET = frozenset(
    ("true", "false", "yes", "no", "on", "off", "none", "null", "0", "1", "required", "optional", "prompt")
)
# What begins so is filled in elsewhere (a variable, a command, a template, a placeholder), or is a path.
_NOT_TYPED = re.compile(r"^[\"']?(?:\$|`|\{\{|<|%|/|~|\./|@|=|!|\*+$|x{3,}$|X{3,}$|\.{3}|…)")

_PASSWORD = r"[\w-]*(?:password|passwd|passphrase)"
_TOKEN = r"[\w-]*(?:secret|token|api[_-]?key|access[_-]?key)"
_VALUE = r"(?P<secret>\"[^\"]*\"|'[^']*'|[^\s\"'&;|)]+)"

_PATTERNS: tuple[tuple[str, re.Pattern[str], int], ...] = tuple(
    (kind, re.compile(pattern), least)
    for kind, pattern, least in (
        ("a private key", r"(?P<secret>-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----.*)", 1),
        ("an access key of AWS", r"\b(?P<secret>(?:AKIA|ASIA)[0-9A-Z]{16})\b", 1),
        ("a token of GitHub", r"\b(?P<secret>gh[pousr]_[A-Za-z0-9]{36,})\b", 1),
        ("a token of Slack", r"\b(?P<secret>xox[abprs]-[A-Za-z0-9-]{10,})", 1),
        ("a signed token", r"\b(?P<secret>eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{8,})", 1),
        ("a password in a URL", r"(?i)\b[a-z][a-z0-9+.-]*://[^\s/:@\"']*:(?P<secret>[^\s/@\"']+)@", 1),
        ("a token in a header", r"(?i)authorization:\s*(?:bearer|basic)\s+(?P<secret>[\w.~+/=-]{8,})", 1),
        ("a password", rf"(?i)(?<![\w-]){_PASSWORD}=(?!=){_VALUE}", 1),
        ("a password", rf"(?i)(?<![\w-])--{_PASSWORD}\s+(?!-){_VALUE}", 1),
        ("a password", r"(?i)\bidentified\s+by\s+(?!values\b)" + _VALUE, 1),
        ("a password", r"(?i)\bpassword\s+(?P<secret>'[^']+')", 1),
        ("a token", rf"(?i)(?<![\w-]){_TOKEN}=(?!=){_VALUE}", 8),
        ("a token", rf"(?i)(?<![\w-])--{_TOKEN}\s+(?!-){_VALUE}", 8),
    )
)


@dataclass(frozen=True, slots=True)
class Spot:
    """A secret in plain text: where it stands, how long it is, and what kind it seems to be."""

    place: Place
    length: int
    kind: str


def spots_in(lines: Sequence[str]) -> tuple[Spot, ...]:
    """Every secret that the lines seem to hold, in order; of several at one place, the surest."""
    return tuple(spot for number, line in enumerate(lines, start=1) for spot in _in_line(number, line))


def hidden(document: Document) -> Document:
    """The document with stars instead of secrets in its lines, so that no message shows one. Columns stay."""
    lines = list(document.lines)
    for spot in spots_in(lines):
        line, start = lines[spot.place.line - 1], spot.place.column - 1
        lines[spot.place.line - 1] = line[:start] + "*" * spot.length + line[start + spot.length :]
    if tuple(lines) == document.lines:
        return document
    texts = {
        trail: "a text with a secret" if spots_in((text,)) else text for trail, text in document.texts.items()
    }
    return replace(document, lines=tuple(lines), texts=texts)


def _in_line(number: int, line: str) -> list[Spot]:
    found: dict[int, Spot] = {}
    taken: set[int] = set()
    for kind, pattern, least in _PATTERNS:
        for start, end in _matches(pattern, line, least):
            if taken.isdisjoint(range(start, end)):
                found[start] = Spot(Place(number, start + 1), end - start, kind)
                taken.update(range(start, end))
    return [found[start] for start in sorted(found)]


def _matches(pattern: re.Pattern[str], line: str, least: int) -> Iterator[tuple[int, int]]:
    for match in pattern.finditer(line):
        secret = match["secret"]
        bare = secret.strip("\"'")
        if len(bare) >= least and not _NOT_TYPED.match(secret) and bare.lower() not in _WORDS_OF_NO_SECRET:
            yield match.span("secret")
