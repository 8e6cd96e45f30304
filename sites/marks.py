"""A YAML text as plain values, with the line and column of every key and every value.

Pure: text in, `Document` out. It finds what only the text can show (broken YAML, a key written twice,
an unknown tag, a nesting or a size out of all proportion) and notes where secrets are asked for. It
never opens a file, never looks a secret up and never judges what a key means.

Stricter than YAML 1.1 where that bites: `022` is not octal, `1:30` is not ninety, a date stays text, a
key is always the text as written (`on`, `no`), and merge keys (`<<`) are refused.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

import yaml

Part = str | int
Trail = tuple[Part, ...]  # the way to a value: ("services", "ebs", "probes", 0, "timeout")

MAX_NESTING = 50
MAX_VALUES = 100_000
MAX_EXCERPT = 160
KEYS_WITH_VALUES = "keys with values"
SECRET_TAGS = {"!env": "env", "!file": "file"}

_YAML = "tag:yaml.org,2002:"
_TEXT_TAGS = {_YAML + kind for kind in ("str", "timestamp", "value")}
_WHOLE = re.compile(r"^[-+]?(0|[1-9][0-9]{0,17})$")
_IN_URL = re.compile(r"^[a-z][a-z0-9+.-]*://[^/\s@]*:[^/\s@]+@", re.IGNORECASE)
# Receivers whose addresses say where, and hold no token; those of most others are nothing but a secret.
_NO_TOKEN = re.compile(r"^(alertmanagers?|mailtos?|jsons?|xmls?|forms?|syslog|dbus)://", re.IGNORECASE)
_SECRET_KEY = re.compile(
    r"(^|[_-])(password|passwd|passphrase|secret|secret[_-]key|api[_-]?key|(api)?token|authorization)$",
    re.IGNORECASE,
)
_TROUBLE_SPOTS = "a value may need quotes, a list its commas, and each level the same indentation"


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where something stands, counted from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Finding:
    """Something to say about one place of a file.

    With `expected` it reads "found …; expected …"; without, `found` is a whole sentence. A `found` of
    None is filled in with what the file says there. `at_key` points at the key instead of the value.
    `code` is stable, where the kind of file has a table of its findings; empty elsewhere.
    """

    trail: Trail
    expected: str = ""
    found: str | None = None
    at_key: bool = False
    warning: bool = False
    place: Place | None = None  # when the trail alone does not say where
    code: str = ""


@dataclass(frozen=True, slots=True)
class Secret:
    """A value to be fetched elsewhere: from a variable (`env`) or from a file (`file`)."""

    trail: Trail
    source: str
    argument: str

    @property
    def text(self) -> str:
        """As written."""
        return f"!{self.source} {self.argument}"


@dataclass(frozen=True, slots=True)
class Document:
    """A file that was read: plain values, the places of its keys and values, and what is wrong with it."""

    data: Any = None
    keys: Mapping[Trail, Place] = field(default_factory=dict)
    values: Mapping[Trail, Place] = field(default_factory=dict)
    texts: Mapping[Trail, str] = field(default_factory=dict)
    lines: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    secrets: tuple[Secret, ...] = ()
    typed_secrets: tuple[Trail, ...] = ()

    def settle(self, trail: Trail) -> Trail:
        """The longest way into the document that follows `trail`, leaving out parts that are not there
        (the tags and types with which pydantic names the arms of a union)."""
        here: Trail = ()
        for part in trail:
            if (*here, part) in self.values:
                here = (*here, part)
        return here

    def place(self, trail: Trail, *, at_key: bool = False) -> Place:
        """Where the value (or its key) stands; of something missing, where its parent does."""
        here = self.settle(trail)
        missing = len(here) < len(trail)
        if (at_key or missing) and here in self.keys:
            return self.keys[here]
        return self.values.get(here, Place(1, 1))

    def found(self, trail: Trail) -> str:
        """What stands there, in words short enough for a message; never a secret."""
        return self.texts.get(self.settle(trail), "nothing")

    def excerpt(self, place: Place) -> str:
        """The source line and a caret under the column. Secrets typed in the file are shown as stars."""
        if not 1 <= place.line <= len(self.lines):
            return ""
        line = self.lines[place.line - 1]
        start = max(0, place.column - 1 - MAX_EXCERPT // 2) if len(line) > MAX_EXCERPT else 0
        lead = "".join("\t" if mark == "\t" else " " for mark in line[start : place.column - 1])
        return f"{line[start : start + MAX_EXCERPT]}\n{lead}^"


def quoted(text: str, limit: int = 60) -> str:
    """A scalar for a message: on one line, in quotes, cut at `limit`."""
    flat = " ".join(text.split())
    return f"'{flat}'" if len(flat) <= limit else f"'{flat[:limit]}…'"


def nearest(name: str, known: list[str]) -> str | None:
    """The known name that `name` was most likely meant to be."""
    return next(iter(get_close_matches(name, known, n=1, cutoff=0.65)), None)


def read_document(text: str) -> Document:
    """The document of a YAML text. Never raises for what the text says: that is in `findings`."""
    lines = tuple(text.splitlines())
    try:
        _refuse_deep_nesting(text)
        root = yaml.compose(text, Loader=yaml.CSafeLoader)
    except _TooDeep as error:
        return Document(lines=lines, findings=(error.finding,))
    except yaml.YAMLError as error:
        return Document(lines=lines, findings=(_broken_yaml(error, text),))
    if root is None:
        return Document(lines=lines)
    walk = _Walk()
    data = walk.value(root, ())
    return Document(
        data=data,
        keys=walk.keys,
        values=walk.values,
        texts=walk.texts,
        lines=_starred(lines, walk.secret_spans),
        findings=tuple(walk.findings),
        secrets=tuple(walk.secrets),
        typed_secrets=tuple(walk.typed_secrets),
    )


class _TooDeep(Exception):
    """The text nests deeper than MAX_NESTING."""

    def __init__(self, place: Place) -> None:
        super().__init__("nested too deeply")
        found = f"more than {MAX_NESTING} levels of nesting"
        self.finding = Finding((), f"at most {MAX_NESTING} levels", found, place=place)


def _refuse_deep_nesting(text: str) -> None:
    # The composer calls itself once per level and would end the process with a full stack; the parser
    # keeps a list, so it can be asked first.
    depth = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_NESTING:
                raise _TooDeep(_at(event.start_mark))
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _at(mark: Any) -> Place:
    return Place(mark.line + 1, mark.column + 1)


def _broken_yaml(error: yaml.YAMLError, text: str) -> Finding:
    if isinstance(error, yaml.reader.ReaderError):
        before = (text.encode()[: error.position].decode(errors="ignore") + "?").splitlines()
        place = Place(len(before), len(before[-1]))
        return Finding((), "printable text", f"the character U+{error.character:04X}", place=place)
    if not isinstance(error, yaml.MarkedYAMLError):
        return Finding((), "YAML", str(error), place=Place(1, 1))
    mark = error.problem_mark or error.context_mark
    place = _at(mark) if mark else Place(1, 1)
    problem = error.problem or "not readable"
    if "another document" in problem:
        return Finding((), "one document in the file", "a second document (`---`)", place=place)
    if _is_tab(text.splitlines(), place):
        return Finding((), "spaces", "a tab before a key or value", place=place)
    if error.context and error.context_mark:
        problem += f", {error.context} that begins on line {error.context_mark.line + 1}"
    return Finding((), found=f"broken YAML ({problem}): {_TROUBLE_SPOTS}", place=place)


def _is_tab(lines: list[str], place: Place) -> bool:
    return place.line <= len(lines) and lines[place.line - 1][place.column - 1 : place.column] == "\t"


@dataclass(slots=True)
class _Walk:
    """One pass over the composed nodes; collects places and findings, returns plain values."""

    keys: dict[Trail, Place] = field(default_factory=dict)
    values: dict[Trail, Place] = field(default_factory=dict)
    texts: dict[Trail, str] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    secrets: list[Secret] = field(default_factory=list)
    typed_secrets: list[Trail] = field(default_factory=list)
    secret_spans: list[yaml.Node] = field(default_factory=list)

    def value(self, node: yaml.Node, trail: Trail) -> Any:
        """The plain value of `node`, noted under `trail`."""
        if len(trail) > MAX_NESTING or len(self.values) >= MAX_VALUES:
            # An alias within itself, or aliases of aliases: short to write, endless to read.
            if not any(finding.trail == () for finding in self.findings):
                self._say((), "a file written out", "aliases that repeat without end", node)
            return None
        self.values[trail] = _at(node.start_mark)
        if node.tag in SECRET_TAGS:
            return self._secret(node, trail)
        if isinstance(node, yaml.MappingNode) and node.tag == _YAML + "map":
            self.texts[trail] = KEYS_WITH_VALUES
            return dict(self._entries(node, trail))
        if isinstance(node, yaml.SequenceNode) and node.tag == _YAML + "seq":
            self.texts[trail] = "a list" if node.value else "an empty list"
            return [self.value(item, (*trail, index)) for index, item in enumerate(node.value)]
        return self._scalar(node, trail)

    def _entries(self, node: yaml.MappingNode, trail: Trail) -> Iterator[tuple[str, Any]]:
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag == _YAML + "merge":
                self._say(trail, "every key written out as a word", "a merge or compound key", key_node)
                continue
            key = key_node.value
            here = (*trail, key)
            if here in self.keys:
                first = self.keys[here].line
                self._say(
                    here, "each key once", f"the key {quoted(key)} again (first on line {first})", key_node
                )
                continue
            self.keys[here] = _at(key_node.start_mark)
            yield key, self.value(value_node, here)

    def _scalar(self, node: yaml.Node, trail: Trail) -> Any:
        plain = _plain(node)
        if plain is _NOT_PLAIN:
            self.texts[trail] = f"the tag {node.tag.replace(_YAML, '!!')}"
            self._say(trail, "a plain value, !env NAME or !file PATH", self.texts[trail], node)
            return None
        self.texts[trail] = "nothing" if plain is None else quoted(str(node.value))
        if plain not in (None, "") and _is_secret(trail, str(plain)):
            self.texts[trail] = "a secret in plain text"
            self.typed_secrets.append(trail)
            self.secret_spans.append(node)
        return plain

    def _secret(self, node: yaml.Node, trail: Trail) -> str:
        source = SECRET_TAGS[node.tag]
        argument = node.value.strip() if isinstance(node, yaml.ScalarNode) else ""
        secret = Secret(trail, source, argument)
        self.texts[trail] = secret.text.strip()
        if argument:
            self.secrets.append(secret)
        else:
            wanted = "!env NAME" if source == "env" else "!file PATH"
            self._say(trail, wanted, f"{node.tag} without a name", node)
        return placeholder(secret)

    def _say(self, trail: Trail, expected: str, found: str, node: yaml.Node) -> None:
        self.findings.append(Finding(trail, expected, found, place=_at(node.start_mark)))


def _is_secret(trail: Trail, text: str) -> bool:
    """Whether what stands there is a secret, by its key or, of a receiver's address, by what it holds."""
    if not trail:
        return False
    if trail[0] == "notify" and "to" in trail:
        return "://" in text and (_IN_URL.match(text) is not None or not _NO_TOKEN.match(text))
    return isinstance(trail[-1], str) and _SECRET_KEY.search(trail[-1]) is not None


def placeholder(secret: Secret) -> str:
    """What stands for a secret that was not looked up."""
    return f"<{secret.text}>"


_NOT_PLAIN = object()


def _plain(node: yaml.Node) -> Any:
    """The value of a scalar by its resolved tag, or _NOT_PLAIN for a tag that has no place here."""
    if not isinstance(node, yaml.ScalarNode):
        return _NOT_PLAIN
    text: str = node.value
    if node.tag == _YAML + "null":
        return None
    if node.tag == _YAML + "bool":
        return text.lower() in ("true", "yes", "on")
    if node.tag == _YAML + "int":
        return int(text) if _WHOLE.match(text) else text
    if node.tag == _YAML + "float":
        return _decimal(text)
    return text if node.tag in _TEXT_TAGS else _NOT_PLAIN


def _decimal(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:  # .inf, .nan and sexagesimal spellings: no number of ours is written so
        return text


def _starred(lines: tuple[str, ...], spans: list[yaml.Node]) -> tuple[str, ...]:
    """The lines with the given values replaced by stars of the same width, so that columns still fit."""
    shown = list(lines)
    for node in spans:
        start, end = node.start_mark, node.end_mark
        for number in range(start.line, min(end.line, len(shown) - 1) + 1):
            left = start.column if number == start.line else 0
            right = end.column if number == end.line else len(shown[number])
            shown[number] = shown[number][:left] + "*" * (right - left) + shown[number][right:]
    return tuple(shown)
