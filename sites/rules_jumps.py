"""What must hold of the hosts through which others are reached. Pure."""

from collections.abc import Callable, Iterable, Iterator

from sites.draft import Draft, unknown_name
from sites.jumps import LONGEST_CHAIN, named_jump, split
from sites.marks import Finding, Trail
from sites.model import NO_JUMP


def jumps_lead_somewhere(draft: Draft) -> Iterator[Finding]:
    """A jump names another host of the estate, and the way through it comes to an end."""
    sites = draft.estate.sites
    for name, site in sites.items():
        written: list[tuple[Trail, str | None, str | None]] = [(("sites", name, "jump"), site.jump, None)]
        written += [
            (("sites", name, "hosts", role, "jump"), host.jump, role) for role, host in site.hosts.items()
        ]
        for trail, text, role in written:
            if text is None or (role is not None and text == NO_JUMP) or not draft.sound(*trail):
                continue
            at, jump = split(text, name)
            known = [host for host in draft.names("sites", at, "hosts") if (at, host) != (name, role)]
            if at not in draft.names("sites"):
                yield unknown_name(trail, at, "the name of a site before the /", draft.names("sites"))
            elif jump not in known:
                yield unknown_name(trail, jump, f"another host of {at}", known)
            else:
                yield from _elsewhere(name, trail, at, jump)
        for role in site.hosts:
            yield from _ring(draft, name, role)


def _elsewhere(site: str, trail: Trail, at: str, jump: str) -> Iterator[Finding]:
    """Not wrong, but somebody must know it before the night."""
    if at != site:
        sentence = (
            f"the jump host {jump} of another site: while {at} is lost, nothing at {site} is reached through "
            f"it; a jump host at {site} does not have that fault"
        )
        yield Finding(trail, found=sentence, warning=True)


def _ring(draft: Draft, site: str, role: str) -> Iterator[Finding]:
    """Told where the host's own jump is written, once for each host of the ring."""
    sites, trail = draft.estate.sites, ("sites", site, "hosts", role, "jump")
    if sites[site].hosts[role].jump is None or not draft.sound(*trail):
        return
    way, at = [(site, role)], (site, role)
    while (following := named_jump(sites, *at)) is not None:
        if following[0] not in sites or following[1] not in sites[following[0]].hosts:
            return
        if following == (site, role) and len(way) == 1:
            return  # it names itself, which has been told
        if following == (site, role):
            shown = " through ".join("/".join(place) for place in (*way, following))
            yield Finding(trail, "a way that comes to an end", f"a ring: {shown}")
            return
        if following in way:
            return  # the ring is another host's, and told there
        way.append(following)
        at = following
    if len(way) - 1 > LONGEST_CHAIN:
        yield Finding(trail, f"at most {LONGEST_CHAIN} hosts on the way", f"{len(way) - 1} of them")


JUMP_RULES: tuple[Callable[[Draft], Iterable[Finding]], ...] = (jumps_lead_somewhere,)
