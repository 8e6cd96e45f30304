"""Through which hosts a host is reached: from the estate's `jump` keys to a chain. Pure.

The nearest host to us stands first. A chain that leads nowhere, or to itself again, ends there; saying so is
the check of the estate file's.
"""

from collections.abc import Mapping

from sites.model import NO_JUMP, Host, Site

LONGEST_CHAIN = 4


def chain_of(sites: Mapping[str, Site], site: str, role: str) -> tuple[Host, ...]:
    """The jump hosts of a host, the nearest to us first; none where it is reached directly."""
    chain: list[Host] = []
    seen = {(site, role)}
    at = (site, role)
    while (named := named_jump(sites, *at)) is not None and named not in seen:
        host = sites[named[0]].hosts[named[1]] if has(sites, named) else None
        if host is None or len(chain) == LONGEST_CHAIN:
            break
        chain.insert(0, host.model_copy(update={"name": named[1], "site": named[0]}))
        seen.add(named)
        at = named
    return tuple(_each_with_its_own(chain))


def _each_with_its_own(chain: list[Host]) -> list[Host]:
    """Each jump host is itself reached through those before it."""
    done: list[Host] = []
    for host in chain:
        done.append(host.model_copy(update={"via": tuple(done)}))
    return done


def named_jump(sites: Mapping[str, Site], site: str, role: str) -> tuple[str, str] | None:
    """Site and role of the host that this one's next jump names, whether or not there is such a host; None
    where it is reached directly. A site's jump host is not reached through itself."""
    own = sites[site].hosts[role].jump
    text = own if own is not None else sites[site].jump
    if text is None or text == NO_JUMP:
        return None
    found = split(text, site)
    return None if own is None and found == (site, role) else found


def split(text: str, site: str) -> tuple[str, str]:
    """Site and role of a reference written at `site`."""
    first, slash, second = text.partition("/")
    return (first, second) if slash else (site, first)


def has(sites: Mapping[str, Site], place: tuple[str, str]) -> bool:
    """Whether there is such a host."""
    return place[0] in sites and place[1] in sites[place[0]].hosts
