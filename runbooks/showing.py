"""An action's own keys as people read them, in a plan and on a page. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

from sites.secrets import is_reference

HASH_CHARACTERS = 12


def argument_lines(arguments: Mapping[str, Any], hidden: frozenset[str]) -> Iterator[tuple[str, str]]:
    """Key and text of each that is shown; a list of things that are more than words has a line for each."""
    for key, value in arguments.items():
        if key in hidden:
            continue
        name = key.strip("<>")
        if isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
            yield from ((name, in_words(item)) for item in value)
        elif name != key:
            yield name, str(value)[:HASH_CHARACTERS]
        else:
            yield name, in_words(value)


def in_words(value: Any) -> str:
    """A value on as few lines as it has itself; a secret as it was named."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_inner(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_inner(item) for item in value)
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    return text[1:-1] if is_reference(text) else text


def _inner(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"{{{in_words(value)}}}"
    return f"[{in_words(value)}]" if isinstance(value, list | tuple) else in_words(value)


def hosts_at_a_time(at_most: int) -> str:
    """How many hosts are under way together."""
    return "one host at a time" if at_most == 1 else f"at most {at_most} hosts at a time"


def numbers_in_words(numbers: list[int]) -> str:
    """`1, 2` and `4 to 103`: a long row of numbers as its ends."""
    rows: list[list[int]] = []
    for number in sorted(numbers):
        if rows and number == rows[-1][-1] + 1:
            rows[-1].append(number)
        else:
            rows.append([number])
    shown = ([f"{row[0]} to {row[-1]}"] if len(row) > 3 else [str(number) for number in row] for row in rows)
    return ", ".join(text for row in shown for text in row)
