"""What the commands must print, and what is understood by it. Pure and strict.

`key: value` lines on standard output, each key once, in any order; empty lines are passed over. Whatever does
not keep to that is no answer: what is missing is never guessed, and what is not known is not passed over.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sites.errors import DriverTrouble
from sites.replication.words import Position, Role

LONGEST_ANSWER = 16 * 1024
LONGEST_VALUE = 256
LONGEST_SHOWN = 120
MOST_SECONDS = 10 * 365 * 86400.0
MOST_BYTES = 1 << 62

# Which keys each reading word may print; `look` prints all of them.
KEYS: Mapping[str, tuple[str, ...]] = {
    "role": ("role", "writable", "streaming", "reason"),
    "position": ("history", "offset", "position", "replayed"),
    "lag": ("lag", "lag-age"),
    "identity": ("system-id",),
}
ALL_KEYS = tuple(key for keys in KEYS.values() for key in keys)
REJOINED_KEYS = ("method", "divergent", "saved-at")
METHODS = ("follow", "rewind", "rebuild")

_LINE = re.compile(r"([a-z][a-z-]*):[ \t]+(\S.*)")
_WHOLE = re.compile(r"\d{1,19}")
_SECONDS = re.compile(r"\d{1,12}(\.\d{1,9})?")


class BadAnswer(DriverTrouble):
    """A command printed something that is no answer. Nothing is known by it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one look said. `position` is the offset as text, or a text without order; empty: not printed."""

    role: Role
    writable: bool
    history: str = ""
    offset: int | None = None
    position: str = ""
    replayed: str = ""
    streaming: bool | None = None
    system_id: str = ""
    behind_seconds: float | None = None
    reason: str = ""

    @property
    def placed(self) -> bool:
        """It said how far its history reaches."""
        return bool(self.position)

    def reached(self) -> Position | None:
        """Its position; without one its history alone, None without either."""
        return Position(self.position, self.history, self.offset) if self.history else None

    def applied(self) -> Position | None:
        """What a standby has replayed."""
        if not self.replayed:
            return None
        return Position(self.replayed, self.history, None if self.offset is None else int(self.replayed))


def read_lines(text: str, keys: Collection[str], *, truncated: bool = False) -> dict[str, str]:
    """The keys and values of an output. Raises BadAnswer with what is wrong."""
    if truncated or len(text) > LONGEST_ANSWER:
        size = "more than can be held" if truncated else f"{len(text)} characters"
        raise BadAnswer(f"printed {size}; at most {LONGEST_ANSWER} are an answer")
    if "\ufffd" in text:
        raise BadAnswer("printed bytes that are no UTF-8")
    found: dict[str, str] = {}
    for line in text.split("\n"):
        if not line.strip(" \t"):
            continue
        match = _LINE.fullmatch(line.rstrip(" \t"))
        if match is None or not line.isprintable():
            raise BadAnswer(f"printed {_shown(line)}, which is no line of `key: value`")
        key, value = match[1], match[2]
        if key not in keys:
            raise BadAnswer(f"printed the key {_shown(key)}; its keys are {', '.join(keys)}")
        if key in found:
            raise BadAnswer(f"printed the key {key} twice")
        if len(value) > LONGEST_VALUE:
            raise BadAnswer(f"printed {len(value)} characters for {key}; at most {LONGEST_VALUE} are read")
        found[key] = value
    return found


def understand(said: Mapping[str, str]) -> Answer:
    """The answer in all that one look printed. Raises BadAnswer with what is missing or contradicts."""
    role = _one_of(said, "role", ("primary", "standby", "down"))
    if role == "down":
        return _down(said)
    for key in ("writable", "history"):
        _need(said, key, role)
    if "offset" in said and "position" in said:
        raise BadAnswer("printed offset and position; one of them, a number that grows or a text")
    offset = _whole(said, "offset") if "offset" in said else None
    answer = {
        "writable": _yes(said, "writable"),
        "history": said["history"],
        "offset": offset,
        "position": said.get("position", "" if offset is None else str(offset)),
        "system_id": said.get("system-id", ""),
    }
    if role == "primary":
        _refuse(said, ("replayed", "streaming", "lag", "lag-age", "reason"), role)
        return Answer(Role.PRIMARY, **answer)  # type: ignore[arg-type]  # each value was read as its field's
    _refuse(said, ("reason",), role)
    _need(said, "streaming", role)
    if answer["position"]:
        _need(said, "replayed", "standby with a position")
    elif "replayed" in said:
        raise BadAnswer("printed replayed without offset or position")
    replayed = said.get("replayed", "")
    if offset is not None:
        replayed = str(_whole(said, "replayed"))
    return Answer(
        Role.STANDBY,
        **answer,  # type: ignore[arg-type]
        replayed=replayed,
        streaming=_yes(said, "streaming"),
        behind_seconds=_behind(said),
    )


def _down(said: Mapping[str, str]) -> Answer:
    """Positively not running. A position may be read from its data: where it ended."""
    _refuse(said, ("replayed", "streaming", "lag", "lag-age"), "down")
    if "writable" in said and _yes(said, "writable"):
        raise BadAnswer("printed role: down and writable: yes, which contradict each other")
    if "offset" in said and "position" in said:
        raise BadAnswer("printed offset and position; one of them, a number that grows or a text")
    if ("offset" in said or "position" in said) and "history" not in said:
        raise BadAnswer("printed a position without its history")
    offset = _whole(said, "offset") if "offset" in said else None
    return Answer(
        Role.DOWN,
        writable=False,
        history=said.get("history", ""),
        offset=offset,
        position=said.get("position", "" if offset is None else str(offset)),
        system_id=said.get("system-id", ""),
        reason=said.get("reason", ""),
    )


@dataclass(frozen=True, slots=True)
class RejoinedAnswer:
    """What `rejoin` or `rebuild` printed."""

    method: str
    divergent_bytes: int
    saved_at: str | None


def understand_rejoined(said: Mapping[str, str]) -> RejoinedAnswer:
    """How it became a standby. Raises BadAnswer: what only this side had must be counted and kept."""
    method = _one_of(said, "method", METHODS)
    _need(said, "divergent", "rejoined instance")
    divergent_bytes = _whole(said, "divergent")
    saved_at = said.get("saved-at")
    if divergent_bytes and saved_at is None:
        raise BadAnswer(f"printed divergent: {divergent_bytes} without saved-at, where that is kept")
    return RejoinedAnswer(method, divergent_bytes, saved_at)


def _behind(said: Mapping[str, str]) -> float | None:
    """The lag when it was measured, and how long ago that was: together, what may be missing now."""
    if "lag" not in said:
        if "lag-age" in said:
            raise BadAnswer("printed lag-age without lag")
        return None
    return _seconds(said, "lag") + (_seconds(said, "lag-age") if "lag-age" in said else 0.0)


def _need(said: Mapping[str, str], key: str, role: str) -> None:
    if key not in said:
        raise BadAnswer(f"did not print {key}, which a {role} must say")


def _refuse(said: Mapping[str, str], keys: Collection[str], role: str) -> None:
    for key in keys:
        if key in said:
            raise BadAnswer(f"printed {key} beside role: {role}, where it means nothing")


def _one_of(said: Mapping[str, str], key: str, choices: tuple[str, ...]) -> str:
    value = said.get(key)
    if value is None:
        raise BadAnswer(f"did not print {key} ({', '.join(choices)})")
    if value not in choices:
        raise BadAnswer(f"printed {key}: {_shown(value)}; it is one of {', '.join(choices)}")
    return value


def _yes(said: Mapping[str, str], key: str) -> bool:
    return _one_of(said, key, ("yes", "no")) == "yes"


def _whole(said: Mapping[str, str], key: str) -> int:
    value = said[key]
    if not (value.isascii() and _WHOLE.fullmatch(value)) or int(value) > MOST_BYTES:
        raise BadAnswer(f"printed {key}: {_shown(value)}; expected a whole number from 0 to {MOST_BYTES}")
    return int(value)


def _seconds(said: Mapping[str, str], key: str) -> float:
    value = said[key]
    if not (value.isascii() and _SECONDS.fullmatch(value)) or float(value) > MOST_SECONDS:
        raise BadAnswer(f"printed {key}: {_shown(value)}; expected seconds, such as 0.8 or 140")
    return float(value)


def _shown(text: str) -> str:
    return repr(text if len(text) <= LONGEST_SHOWN else text[:LONGEST_SHOWN] + "…")
