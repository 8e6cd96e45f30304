"""What the two keepers say to each other about promises, and which of it counts.

A request is carried out once: a nonce seen before, or a number below the highest of that keeper, is refused.
A reply counts only for the request that waits for it, by number and nonce.
"""

import json
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import aiohttp

LARGEST_BODY_BYTES = 16 * 1024
MOST_KEEPERS = 16
MOST_NONCES = 64
MOST_INCARNATIONS = 64
LONGEST_TEXT = 500
LARGEST_NUMBER = 1 << 62


@dataclass(frozen=True, slots=True)
class PromiseReply:
    """What came of a request. Not granted carries the peer's code, or a code of this module for why there was
    no answer that counts."""

    granted: bool
    code: str = ""
    message: str = ""


class RequestsSeen:
    """Which requests were seen before: a recorded one, sent again by whoever, must not bind us (P14)."""

    def __init__(self) -> None:
        self._keepers: OrderedDict[str, tuple[int, set[str]]] = OrderedDict()

    def is_new(self, keeper: str, number: int, nonce: str) -> bool:
        """Whether it is; from now on it is not. The same number with another nonce is the asker's second try
        over a new connection."""
        highest, nonces = self._keepers.get(keeper, (-1, set()))
        if number < highest:
            return False
        if number > highest:
            nonces = set()
        elif nonce in nonces or len(nonces) >= MOST_NONCES:
            return False
        nonces.add(nonce)
        self._keepers[keeper] = (number, nonces)
        self._keepers.move_to_end(keeper)
        if len(self._keepers) > MOST_KEEPERS:
            self._keepers.popitem(last=False)
        return True


class NotAnAnswer(Exception):
    """Something came back that does not count as an answer."""

    def __init__(self, code: str, finding: str) -> None:
        super().__init__(finding)
        self.code = code


@dataclass(frozen=True, slots=True)
class PromiseRequest:
    """P14: the site asks not to be taken over. `keeper` names the asking process, `number` the request within
    it, `nonce` this one sending of it; `incarnations` are those under which the site may be registered."""

    site: str
    number: int
    nonce: str
    keeper: str
    incarnations: tuple[int, ...]
    lease_duration_ns: int

    def body(self) -> bytes:
        """As it is sent."""
        said = {
            "site": self.site,
            "number": self.number,
            "nonce": self.nonce,
            "keeper": self.keeper,
            "incarnations": list(self.incarnations),
            "lease_duration_ns": self.lease_duration_ns,
        }
        return json.dumps(said).encode()

    @classmethod
    def of(cls, raw: bytes) -> "PromiseRequest":
        """As it arrived. Raises ValueError."""
        try:
            parsed = json.loads(raw)
        except RecursionError as fault:
            raise ValueError("not JSON of ours") from fault
        if not isinstance(parsed, dict):
            raise ValueError("not a JSON object")
        incarnations = parsed.get("incarnations")
        if not isinstance(incarnations, list) or len(incarnations) > MOST_INCARNATIONS:
            raise ValueError("incarnations: not a list of ours")
        return cls(
            _text(parsed.get("site")),
            _number(parsed.get("number")),
            _text(parsed.get("nonce")),
            _text(parsed.get("keeper")),
            tuple(_number(each) for each in incarnations),
            _number(parsed.get("lease_duration_ns")),
        )


def _text(found: Any) -> str:
    if not isinstance(found, str) or not 0 < len(found) <= LONGEST_TEXT:
        raise ValueError("not a text of ours")
    return found.encode(errors="replace").decode()


def _number(found: Any) -> int:
    if type(found) is not int or not 0 <= found <= LARGEST_NUMBER:
        raise ValueError("not a whole number of ours")
    return found


def reply_body(asked: PromiseRequest, reply: PromiseReply) -> dict[str, Any]:
    """The reply to this request, as it is sent."""
    return {
        "number": asked.number,
        "nonce": asked.nonce,
        "granted": reply.granted,
        "code": reply.code,
        "message": reply.message,
    }


def read_reply(asked: PromiseRequest, status: int, raw: bytes) -> PromiseReply:
    """The reply to exactly this request. Raises NotAnAnswer."""
    try:
        said = json.loads(raw)
    except (ValueError, RecursionError) as fault:
        raise NotAnAnswer("not-understood", f"HTTP {status}, and not JSON") from fault
    if not isinstance(said, dict) or not isinstance(said.get("granted"), bool):
        raise NotAnAnswer("not-understood", f"HTTP {status}, and not an answer of twinsite")
    code, message = (str(said.get(key) or "")[:LONGEST_TEXT] for key in ("code", "message"))
    if "number" not in said and not said["granted"]:
        # Refused before it was looked at. Its code must not pass for one of a reply: those have effects.
        raise NotAnAnswer("refused", f"HTTP {status}: refused ({code or 'without a reason'})")
    if said.get("number") != asked.number or said.get("nonce") != asked.nonce:
        # A grant of another time would let us act on a lease that nobody promised.
        raise NotAnAnswer(
            "reply-of-another", f"an answer to another request, number {said.get('number')!r:.40}"
        )
    if status != 200:
        return PromiseReply(False, code or "refused", message)
    return PromiseReply(said["granted"], code, message)


def read_greeting(raw: bytes) -> float | None:
    """When the certificate of whoever greets runs out, in Unix time; None if it does not know. Raises
    NotAnAnswer."""
    try:
        ends = json.loads(raw)["certificate_ends_unix_seconds"]
        return None if ends is None else float(ends)
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as fault:
        raise NotAnAnswer("not-understood", "not a greeting of twinsite") from fault


async def bounded(content: aiohttp.StreamReader) -> bytes:
    """A body of at most LARGEST_BODY_BYTES. Raises ValueError for a larger one."""
    raw = bytearray()
    async for chunk in content.iter_any():
        raw += chunk
        if len(raw) > LARGEST_BODY_BYTES:
            raise ValueError(f"more than {LARGEST_BODY_BYTES} bytes")
    return bytes(raw)
