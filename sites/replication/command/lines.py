"""Values in a command line of the estate file: `{{ site }}` becomes one quoted word of the shell.

A value may stand only where the shell reads plain words, so that it stays data whatever it holds: a position
comes from a host's own output. Everything else of the line is the author's and is left as it is. Pure.
"""

import re
from collections.abc import Iterator, Mapping

from sites.shelltext import ShellState

NAMES: Mapping[str, str] = {
    "service": "the service's name",
    "site": "the site where the command runs",
    "address": "the address of the host where it runs",
    "peer_site": "the other site of the service",
    "peer_address": "the address of the service's host there",
    "role": "for `start`: primary or standby",
    "position": "for `promote`: where the standby was when it was asked just before",
    "primary_site": "for `rejoin` and `rebuild`: the site to follow",
    "primary_address": "for `rejoin` and `rebuild`: the address of the service's host there",
}
# Names that only some words can fill in; the others stand in every line.
ONLY_FOR: Mapping[str, frozenset[str]] = {
    "role": frozenset({"start"}),
    "position": frozenset({"promote"}),
    "primary_site": frozenset({"rejoin", "rebuild"}),
    "primary_address": frozenset({"rejoin", "rebuild"}),
}

_VALUE = re.compile(r"\{\{\s*([^{}]*?)\s*\}\}")


def faults(line: str, word: str) -> Iterator[str]:
    """What is wrong with the values of a command line of that word, one sentence each."""
    state, end = ShellState(), 0
    for found in _VALUE.finditer(line):
        state, end = state.after_text(line[end : found.start()]), found.end()
        name = found[1]
        if name not in NAMES:
            yield f"the unknown value {{{{ {name} }}}}; there are {', '.join(NAMES)}"
        elif word not in ONLY_FOR.get(name, frozenset({word})):
            yield f"{{{{ {name} }}}} in `{word}`; it is known to {' and '.join(sorted(ONLY_FOR[name]))} only"
        if state.unsafe is not None:
            yield f"{{{{ {name} }}}} {state.unsafe}; write it as a word of its own, it is quoted by itself"
        state = state.after_value()
    rest = _VALUE.sub("", line)
    if "{{" in rest:
        yield "{{ that is not closed; write a value as {{ site }}"
    if "\0" in line:
        yield "a zero byte, which no command line can hold"


def filled(line: str, values: Mapping[str, str]) -> str:
    """The line with its values, each one quoted word. Raises KeyError for a line that was not checked."""
    return _VALUE.sub(lambda found: quoted(values[found[1]]), line)


def quoted(word: str) -> str:
    """One word of the shell, whatever it holds; a zero byte, which none can hold, is left out."""
    return "'" + word.replace("\0", "").replace("'", "'\\''") + "'"
