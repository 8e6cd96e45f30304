"""Which hosts a step is carried out for: `for_each`, by names and patterns. Pure."""

from collections.abc import Iterator
from fnmatch import fnmatchcase

from runbooks.errors import Problem
from runbooks.model import Each, Side
from runbooks.scope import HostRef, Scope
from runbooks.templates import TemplateFault, plain_value

_PATTERN = frozenset("*?[")


class NobodyChosen(Exception):
    """The selection names what there is not, or leaves nobody. `problem` says where and what there is."""

    def __init__(self, key: str, found: str, expected: str) -> None:
        self.problem = Problem(key, found, expected)
        super().__init__(self.problem.render())


def hosts_of(each: Each, scope: Scope) -> tuple[HostRef, ...]:
    """The hosts, each once, in the order of the selection and, for a pattern, of the estate.

    Raises NobodyChosen.
    """
    site = scope.from_site if each.at is Side.FROM else scope.to_site
    listed = ", ".join(site.hosts) or "none"
    chosen: dict[str, HostRef] = {}
    for wanted in _names(each.hosts, "for_each", scope):
        found = [host for name, host in site.hosts.items() if _fits(name, wanted)]
        if not found:
            raise NobodyChosen("for_each", f"no host called {wanted!r}", f"hosts of {site.name}: {listed}")
        chosen.update({host.name: host for host in found})
    unwanted = list(_names(each.except_hosts, "for_each", scope))
    left = [host for name, host in chosen.items() if not any(_fits(name, one) for one in unwanted)]
    if not left:
        raise NobodyChosen("for_each", "no host at all", f"at least one of {site.name}: {listed}")
    return tuple(left)


def _names(written: list[str], key: str, scope: Scope) -> Iterator[str]:
    for text in written:
        try:
            value = plain_value(text, scope)
        except TemplateFault as fault:
            raise NobodyChosen(key, fault.found, fault.expected) from fault
        yield from (str(item) for item in value) if isinstance(value, list) else (str(value),)


def _fits(name: str, wanted: str) -> bool:
    return fnmatchcase(name, wanted) if _PATTERN.intersection(wanted) else name == wanted
