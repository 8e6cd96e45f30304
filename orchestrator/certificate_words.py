"""What certificates state, and what it means to put one's name to them: the sentences. Pure.

Two lists each: what is stated goes into the certificate and is signed; what it means is shown beside it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

Covers = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Words:
    """The two lists."""

    states: tuple[str, ...]
    means: tuple[str, ...]


def listed(covers: Covers) -> str:
    """The hosts by service."""
    named = {name: ", ".join(hosts) if hosts else "every host of it" for name, hosts in covers.items()}
    return "; ".join(f"{name}: {hosts}" for name, hosts in named.items())


def of_down(*, service: str, down: str, covers: Covers, holds: bool, manual: bool) -> Words:
    """P28: a site is down, and the store answers."""
    means = []
    if holds:
        states = (
            f"every host of every service that {down} is primary for is off, or cut off from every client"
        )
        means.append(
            f"{down} holds: when it last could, it said that it would go on serving without any contact. So "
            "its silence proves nothing, and nothing there ends by itself. If a single one of these hosts "
            "still serves a client, two sites accept writes."
        )
    else:
        states = f"{down} is off, or its hosts are cut off from every client"
    if manual:
        means.append(
            f"{service} is manual: nothing at {down} cuts it off when its lease ends, so its silence proves "
            "nothing."
        )
    stays = f"they stay so until {down}'s keeper runs and has heard from the store what was taken over"
    return Words((f"{states}: {listed(covers)}", stays), tuple(means))


def of_glass(
    *,
    service: str,
    site: str,
    down: str,
    epoch: int,
    covers: Covers,
    why_no_quorum: str,
    heard: str,
    holds: bool,
    last_known: str,
    loss: str,
) -> Words:
    """P31: a site is down and stays down, and there is no store to ask."""
    hosts = listed(covers)
    states = (
        f"{down} is off, or every one of these hosts of it is cut off from every client: {hosts}",
        f"{down} stays so until {service} is reconciled",
        f"{service} is served at {site} by this certificate alone, at epoch {epoch}",
    )
    breaking = (
        f"To break the glass means: {service} opens at {site} on your word alone. Nothing else keeps {down} "
        "from accepting writes too. If it is not off, both sites write, and one side's are thrown away."
    )
    staying = (
        f"{down} must stay off, or cut off from its clients, until `twinsite reconcile {service}`. When it "
        f"starts again it opens nothing before it has heard from {site}; nobody there may certify {site} off."
    )
    alone = (
        f"There is no quorum here: the store does not answer {site} ({why_no_quorum}). {down} was last heard "
        f"through it {heard}."
    )
    holding = f"{down} holds: it said that it goes on serving without any contact to anybody."
    return Words(
        states,
        (
            alone,
            *((holding,) if holds else ()),
            breaking,
            staying,
            f"Last known of {service}: {last_known}.",
            f"{loss}.",
        ),
    )


def of_peer(*, site: str, peer: str, own: tuple[str, ...], broke_glass: bool) -> Words:
    """P32: the other site is off and has broken no glass."""
    off = f"{peer} is off, or cut off from every client, and stays so until it is heard again"
    glass = (
        f"what {peer} has accepted since it broke the glass is given up"
        if broke_glass
        else f"no glass was broken at {peer}: nobody certified {site} as off there"
    )
    danger = (
        f"If somebody has certified {site} as off at {peer}, and opened these services there without the "
        "store, two sites have accepted writes, and one side's are thrown away."
    )
    opens = f"{site} opens what the store says is its own: {', '.join(own) or 'nothing at present'}."
    return Words((off, glass), (opens, danger))


def of_reopened(*, service: str, site: str, peer: str) -> str:
    """What is lost when a service is opened again where it was."""
    return (
        f"{service} loses nothing that {site} has acknowledged: it was its primary itself. What {peer} has "
        f"accepted since, if it took {service} over meanwhile, is not here"
    )
