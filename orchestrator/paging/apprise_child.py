"""Sends one message by apprise, in a process of its own: started by file, told on its standard input what to
send, and answering on its standard output. A receiver that hangs is ended with it.

Uses nothing of twinsite's. The address comes on standard input, since anybody can list arguments.
"""

import json
import logging
import re
import sys
from urllib.parse import unquote, urlsplit

CHARACTERS = 300


def main() -> int:
    """Send; 0 whatever came of it, for the answer says that."""
    asked = json.load(sys.stdin)
    json.dump(_send(asked), sys.stdout)
    return 0


def _send(asked: dict[str, str]) -> dict[str, str]:
    try:
        import apprise
    except ImportError:
        return {"outcome": "missing", "words": "apprise is not installed here"}
    heard = _Heard()
    logging.getLogger("apprise").addHandler(heard)
    logging.getLogger("apprise").setLevel(logging.DEBUG)
    receiver = apprise.Apprise.instantiate(asked["url"], suppress_exceptions=True)
    if receiver is None:
        return {"outcome": "wrong-address", "words": "apprise makes nothing of this address"}
    if asked.get("only") == "check":
        return {"outcome": "sent", "words": receiver.service_name or ""}
    sender = apprise.Apprise()
    sender.add(receiver)
    done = sender.notify(
        body=asked["body"],
        title=asked["title"],
        notify_type=asked["type"],
        body_format=apprise.NotifyFormat.TEXT,
        interpret_escapes=False,
    )
    words = _without_secrets(heard.last, asked["url"])
    return {"outcome": "sent" if done else "failed", "words": words if not done else ""}


class _Heard(logging.Handler):
    """The last things that apprise said of its trouble."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self._lines: list[tuple[int, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self._lines = [*self._lines[-40:], (record.levelno, record.getMessage())]

    @property
    def last(self) -> str:
        """Warnings first, then what they left to the details, such as why a mail server did not answer."""
        warned = [text for level, text in self._lines if level >= logging.WARNING]
        details = [text for _, text in self._lines if re.search(r"exception|error", text, re.IGNORECASE)]
        said = dict.fromkeys([*warned, *details[-2:]])
        return "; ".join(" ".join(text.split()) for text in said)[:CHARACTERS]


def _without_secrets(words: str, url: str) -> str:
    """Whatever of the address may be a secret does not get into a log."""
    parts = urlsplit(url)
    secrets = {parts.password or "", *parts.path.split("/"), *re.split(r"[&=]", parts.query)}
    if not parts.password:
        secrets.add(parts.username or "")
    for secret in sorted((text for text in secrets if len(text) >= 6), key=len, reverse=True):
        words = words.replace(secret, "***").replace(unquote(secret), "***")
    return words


if __name__ == "__main__":
    sys.exit(main())
