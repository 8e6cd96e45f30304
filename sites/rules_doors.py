"""What must hold of the places at which a site's keeper is reached: by its guards, and by the other site.

Pure. Without certificates a keeper opens neither door, and there is neither a guard nor a promise.
"""

from collections.abc import Callable, Iterable, Iterator
from urllib.parse import urlsplit

from sites.draft import Draft, one_of
from sites.marks import Finding, Trail

_CONTROLLER = "https://host:port, such as https://dc.durham.example:8300"


def controllers_are_reached_by_https(draft: Draft) -> Iterator[Finding]:
    """The whole of it is host and port; what else stands there would be left out without a word."""
    for name, site in draft.estate.sites.items():
        trail: Trail = ("sites", name, "controller")
        if site.controller is not None and draft.sound(*trail) and not is_controller(site.controller):
            yield Finding(trail, _CONTROLLER)


def is_controller(text: str) -> bool:
    """Whether a text names a controller: https, host and port, nothing else."""
    try:
        parts = urlsplit(text)
        named = parts.scheme == "https" and bool(parts.hostname) and parts.port is not None
    except ValueError:
        return False
    return named and not (parts.path.strip("/") or parts.query or parts.fragment or parts.username)


def guards_are_heard_at_an_address(draft: Draft) -> Iterator[Finding]:
    """Host and port, and not the door at which the other site asks."""
    for name, site in draft.estate.sites.items():
        trail: Trail = ("sites", name, "guards")
        if site.guards is None or not draft.sound(*trail):
            continue
        place = place_of(site.guards)
        if place is None:
            yield Finding(trail, "host:port, such as dc.durham.example:8301")
        elif site.controller is not None and is_controller(site.controller):
            parts = urlsplit(site.controller)
            if place == (parts.hostname, parts.port):
                yield Finding(trail, "another port than the controller's", f"{site.guards}, the controller's")


def place_of(text: str) -> tuple[str, int] | None:
    """Host and port of `host:port`; an IPv6 address stands in brackets."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or not 1 <= int(port) <= 65535:
        return None
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not bare or any(letter in bare for letter in "[]/@ ") or (":" in bare and bare == host):
        return None
    return bare, int(port)


def doors_have_certificates(draft: Draft) -> Iterator[Finding]:
    """An address without certificates looks as if there were a door."""
    bare = [
        name
        for name, site in draft.estate.sites.items()
        if not site.witness and site.controller is not None and site.tls is None and not draft.estate.lab
    ]
    if bare and all(draft.sound("sites", name) and draft.sound("sites", name, "tls") for name in bare):
        sentence = (
            f"no `tls` beside it (here for {one_of(bare, 'and')}), so the other site cannot be asked for a "
            "promise when the store is out of reach; `twinsite certs init` and `issue` make certificates"
        )
        yield Finding(("sites", bare[0], "controller"), found=sentence, warning=True)


DOOR_RULES: tuple[Callable[[Draft], Iterable[Finding]], ...] = (
    controllers_are_reached_by_https,
    guards_are_heard_at_an_address,
    doors_have_certificates,
)
