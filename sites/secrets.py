"""Secrets that the estate file only names: `!env NAME` from a variable, `!file PATH` from a file.

The one place that reads them. A value goes into the data and nowhere else: never into a message, a
log or an excerpt.
"""

import copy
import os
import re
from pathlib import Path
from typing import Any

from sites.errors import SitesMisuse
from sites.marks import Document, Finding, Secret, Trail

MOST_BYTES = 64 * 1024
_REFERENCE = re.compile(r"^<!(env|file) (.+)>$")  # as `sites.marks.placeholder` writes it


class SecretMissing(SitesMisuse):
    """A secret that was named cannot be had here; the message says why, without its value."""


def is_reference(text: str) -> bool:
    """Whether a text stands for a secret that was not looked up."""
    return _REFERENCE.match(text) is not None


def looked_up(text: str, base: Path) -> str:
    """The secret that a placeholder stands for; any other text as it is. Raises SecretMissing."""
    if (match := _REFERENCE.match(text)) is None:
        return text
    try:
        return _fetch(Secret((), match[1], match[2]), base)
    except _NotThere as error:
        raise SecretMissing(f"!{match[1]} {match[2]}: {error}") from error


def resolve(
    document: Document, base: Path, *, look_up: bool, site: str | None = None
) -> tuple[Any, list[Finding]]:
    """The document's data with its secrets, and what is wrong with them.

    With `look_up` a secret that is not there is a fault. Without, every secret stays a placeholder, and
    one that is not there is a warning: this may be a machine that was never meant to have it.
    Those of `notify` always stay placeholders, and one that is not there is a warning: they are looked up
    when something is sent, and a site must not stand still because nobody could be told of it.
    With `site`, those that are not its own stay placeholders without a word: no site holds another's. Its
    own are those beneath it, but for the devices that switch its hosts off, which the other site uses.
    `base` is the folder where relative paths start.
    """
    data = copy.deepcopy(document.data)
    findings = [_typed(trail) for trail in document.typed_secrets]
    for secret in document.secrets:
        if site is not None and not _is_for(secret.trail, site, document.data):
            continue
        try:
            value = _fetch(secret, base)
        except _NotThere as error:
            found = f"{secret.text}, {error}"
            if secret.trail[:1] == ("notify",):
                findings.append(Finding(secret.trail, found=f"{found}; {_NOBODY_TOLD}", warning=True))
            elif look_up:
                findings.append(Finding(secret.trail, _WANTED[secret.source], found))
            else:
                sentence = f"{found}; the controller will refuse to start without it"
                findings.append(Finding(secret.trail, found=sentence, warning=True))
            continue
        if look_up and secret.trail[:1] != ("notify",):
            _put(data, secret.trail, value)
    return data, findings


def _is_for(trail: Trail, site: str, data: Any) -> bool:
    if trail[:1] != ("sites",):
        return True
    if not _is_of_a_device(trail):
        return trail[1:2] == (site,)
    own = data["sites"].get(site)
    return trail[1:2] != (site,) and isinstance(own, dict) and not own.get("witness")


def _is_of_a_device(trail: Trail) -> bool:
    return trail[:1] == ("sites",) and trail[2:3] == ("hosts",) and trail[4:5] == ("fence",)


def _typed(trail: Trail) -> Finding:
    """Who has the secret of a device can switch a host off: that is no matter for a warning."""
    if _is_of_a_device(trail):
        return Finding(trail, "!env NAME or !file PATH, and another secret in the device")
    return Finding(trail, found=_TYPED, warning=True)


_TYPED = "a secret stands here in plain text; write !env NAME or !file PATH and change the secret"
_NOBODY_TOLD = "without it this receiver is told of nothing"
_WANTED = {"env": "a variable that is set and not empty", "file": "a text file that can be read here"}


class _NotThere(Exception):
    """The secret cannot be had; the message says why, without its value."""


def _fetch(secret: Secret, base: Path) -> str:
    if secret.source == "env":
        value = os.environ.get(secret.argument, "")
        if not value:
            raise _NotThere("a variable that is not set here")
        return value
    path = base / secret.argument
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise _NotThere(f"a file of more than {MOST_BYTES} bytes")
        value = content.decode().rstrip("\r\n")
    except OSError as error:
        raise _NotThere(f"a file that cannot be read here ({error.strerror or error})") from error
    except UnicodeDecodeError as error:
        raise _NotThere("a file that is not UTF-8 text") from error
    if not value:
        raise _NotThere("an empty file")
    return value


def _put(data: Any, trail: Trail, value: str) -> None:
    for part in trail[:-1]:
        data = data[part]
    data[trail[-1]] = value
