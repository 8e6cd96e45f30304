"""Where in a shell command line a value may stand, in runbooks and in commands of the estate file.

Values are put into `run`, `unless` and their like as single-quoted words. That is safe exactly where the
shell reads plain words: inside quotes, back-ticks, arithmetic, `${…}`, a comment or a here-document our
quotes would themselves be text, and a `$(…)` in the value would run. This module reads the author's text
round the values and says whether the next value stands at a safe place. It never renders, and what it
cannot follow with certainty (a `case` inside `$(…)`, quotes inside `${…}`) is unsafe from there on. Pure.
"""

from dataclasses import dataclass, replace

# Characters before which a word has ended: a `#` after one of them starts a comment.
WORD_BREAKS = " \t\n;&|()"
_IN_WORD = "w"

# Frames that are taken to last until the end of the text: following them exactly is not worth a mistake.
_LASTING = "`<?"

_WHY = {
    '"': "inside double quotes",
    "'": "inside single quotes",
    "{": "inside ${…}",
    "+": "inside ((…))",
    "#": "inside a comment",
    "`": "in or after back-ticks",
    "<": "in or after a here-document",
    "?": "after quotes inside ${…} or $((…)), after $'…', or after a case inside $(…)",
    "$": "straight after a $",
    "\\": "straight after a backslash",
}


@dataclass(frozen=True, slots=True)
class ShellState:
    """How far a reader of the text has come: the open constructs, outermost first, and the last character.

    `frames` holds `"`, `'`, `(` for `$(`, `{` for `${`, `+` for `$((` and `((`, `#` for a comment,
    `` ` ``, `<` for a here-document and `?` for what cannot be followed.
    """

    frames: str = ""
    last: str = "\n"

    @property
    def unsafe(self) -> str | None:
        """Why a value must not stand here, or None where it may."""
        for frame in self.frames:
            if frame != "(":
                return _WHY[frame]
        return _WHY.get(self.last)

    def after_value(self) -> "ShellState":
        """The state after a quoted value at this place."""
        return replace(self, last=_IN_WORD)

    def after_text(self, text: str) -> "ShellState":
        """The state after the author's own `text`."""
        state, position = self, 0
        while position < len(text):
            state, position = _advance(state, text, position)
        return state

    def _opened(self, frame: str, last: str = _IN_WORD) -> "ShellState":
        return ShellState(self.frames + frame, last)

    def _closed(self, last: str) -> "ShellState":
        return ShellState(self.frames[:-1], last)


def _advance(state: ShellState, text: str, position: int) -> tuple[ShellState, int]:
    """Read one token of `text` at `position`; the new state and where to read on."""
    character, top = text[position], state.frames[-1:]
    if top and top in _LASTING:
        return state, len(text)
    if top == "#":
        return (state._closed("\n") if character == "\n" else state), position + 1
    if top == "'":
        return (state._closed(_IN_WORD) if character == "'" else state), position + 1
    if state.last == "\\":
        return replace(state, last=_IN_WORD), position + 1
    if character == "\\":
        return replace(state, last="\\"), position + 1
    for opening, frame in (("$((", "+"), ("$(", "("), ("${", "{")):
        if text.startswith(opening, position):
            return state._opened(frame, opening[-1]), position + len(opening)
    if character == "`":
        return state._opened("`"), position + 1
    if top == '"':
        return (state._closed(_IN_WORD) if character == '"' else replace(state, last=character)), position + 1
    if top and top in "{+":
        return _in_expansion(state, text, position)
    return _among_words(state, text, position)


def _in_expansion(state: ShellState, text: str, position: int) -> tuple[ShellState, int]:
    """One character inside `${…}` or `$((…))`."""
    character, top = text[position], state.frames[-1]
    if character in "\"'":
        return state._opened("?"), position + 1
    if top == "+" and text.startswith("))", position):
        return state._closed(_IN_WORD), position + 2
    if top == "{" and character == "}":
        return state._closed(_IN_WORD), position + 1
    return replace(state, last=character), position + 1


def _among_words(state: ShellState, text: str, position: int) -> tuple[ShellState, int]:
    """One character where the shell reads words: at the top, or inside `$(…)`."""
    character, in_command = text[position], state.frames.endswith("(")
    if text.startswith("<<", position):
        return state._opened("<"), position + 2
    if text.startswith("((", position):
        return state._opened("+", "("), position + 2
    if character in "\"'":
        return state._opened("?" if state.last == "$" else character), position + 1
    if character == "#" and state.last in WORD_BREAKS:
        return state._opened("#"), position + 1
    if in_command:
        if character == "(":
            return state._opened("(", "("), position + 1
        if character == ")":
            return state._closed(")"), position + 1
        if state.last in WORD_BREAKS and text.startswith("case", position):
            return state._opened("?"), position + 1
    return replace(state, last=character), position + 1
