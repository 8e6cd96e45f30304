"""Probe kind `dns`: ask a named DNS server for a name, and look at where the answer sends users. The only
file that knows dnspython.

The question goes to that server and to no other: not this machine's resolver, nothing remembered. By UDP, and
by TCP when the answer does not fit; a datagram may be lost, so it is asked again within the same try.
"""

import ipaddress
import socket
from collections.abc import Callable, Iterator
from typing import Annotated, Any, ClassVar, Literal

import dns.asyncbackend
import dns.asyncquery
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
from pydantic import AfterValidator, BeforeValidator, Field

from probes.errors import SettingsInvalid
from probes.model import ProbeResult
from probes.names import Names, is_address
from probes.place import Place
from probes.reasons import Reason
from probes.settings import Endpoint, PerSite, Reach, one_or_many
from probes.trying import Outcome, Trail, attempt, down, unknown, up
from sites.model import Estate, Site

TRIES = 3  # questions within one try
MOST_SHOWN = 10

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _checked_name(text: str) -> str:
    try:
        dns.name.from_text(text)
    except (dns.exception.DNSException, UnicodeError) as error:
        raise ValueError(f"expected a name such as crm.example: {error}") from error
    return text


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Expected = Annotated[
    tuple[Annotated[str, Field(min_length=1)], ...],
    Field(min_length=1),
    BeforeValidator(_as_list),
    one_or_many({"type": "string", "minLength": 1}),
]


class DnsSettings(Reach):
    """Settings of a `dns` probe beside the common ones. `address`, or `host`, is the server that is asked."""

    default_port: ClassVar[int | None] = 53

    lookup: PerSite[Annotated[str, AfterValidator(_checked_name)]] = Field(description="the name to look up")
    type: Literal["A", "AAAA", "CNAME"] = Field("A", description="what to look up about it")
    expect: PerSite[Expected] | None = Field(
        None,
        description="where it must lead: addresses, networks, names, a site (the addresses of its hosts), or "
        "a site's host as site/host; one or a list; without it, any answer will do",
    )


class Places:
    """What answers are expected to be: every answer must be one of these."""

    def __init__(self, words: tuple[str, ...], estate: Estate) -> None:
        """Raises SettingsInvalid for a site whose hosts have no addresses to compare."""
        self.words = words
        self._networks: list[_Network] = []
        self._names: set[dns.name.Name] = set()
        for word in words:
            networks = _networks(word, estate)
            self._networks += networks
            if not networks:
                self._names.add(_name_of(word))

    def has(self, answer: str) -> bool:
        """Whether this answer is one of those expected."""
        if is_address(answer):
            return any(ipaddress.ip_address(answer) in network for network in self._networks)
        return _name_of(answer) in self._names


def _networks(word: str, estate: Estate) -> list[_Network]:
    """The addresses that a word stands for; none for a name. Raises SettingsInvalid."""
    site, _, host = word.partition("/")
    if site in estate.sites:
        hosts = estate.sites[site].hosts
        if host and host not in hosts:
            known = ", ".join(sorted(hosts)) or "none"
            raise SettingsInvalid(f"site {site} has no host {host!r} (it has: {known})")
        found = [hosts[host]] if host else list(hosts.values())
        addresses = [one.address for one in found if is_address(one.address)]
        if not addresses:
            of = f"host {host} of site {site}" if host else f"the hosts of site {site}"
            raise SettingsInvalid(
                f"{of} cannot be compared with an answer, having no IP address; give the addresses expected"
            )
        return [ipaddress.ip_network(address) for address in addresses]
    try:
        return [ipaddress.ip_network(word)]
    except ValueError as error:
        if "/" in word:
            raise SettingsInvalid(
                f"{word!r} is neither a network nor site/host: {error} (sites: {', '.join(estate.sites)})"
            ) from error
        return []


def _name_of(text: str) -> dns.name.Name:
    try:
        return dns.name.from_text(text).canonicalize()
    except (dns.exception.DNSException, UnicodeError) as error:
        raise SettingsInvalid(f"expected an address or a name, not {text!r}: {error}") from error


class DnsProbe:
    """Watches one name at one DNS server."""

    def __init__(
        self,
        settings: DnsSettings,
        server: Endpoint,
        lookup: str,
        expected: Places | None,
        *,
        names: Names,
        now_ns: Callable[[], int],
    ) -> None:
        self._settings = settings
        self._server = server
        self._lookup = lookup
        self._expected = expected
        self._names = names
        self._now_ns = now_ns

    async def try_once(self, *, timeout_seconds: float) -> ProbeResult:
        """Ask once; again, while there is time, if the question or the answer got lost."""

        async def body(trail: Trail) -> Outcome:
            return await self._ask(trail, timeout_seconds)

        return await attempt(
            f"DNS {self._settings.type} {self._lookup} at {self._server}",
            body,
            timeout_seconds=timeout_seconds,
            now_ns=self._now_ns,
        )

    async def _ask(self, trail: Trail, timeout_seconds: float) -> Outcome:
        addresses = await self._names.addresses(self._server.host, timeout_seconds=timeout_seconds)
        try:
            answer, by = await self._answer(addresses[0], trail, timeout_seconds)
        except dns.exception.DNSException as error:
            return down(Reason.WRONG_ANSWER, f"what came back is not DNS: {error or type(error).__name__}")
        code = answer.rcode()
        said = f"{dns.rcode.to_text(code)} by {by}"
        match code:
            case dns.rcode.NOERROR:
                return self._judge(answer, said)
            case dns.rcode.NXDOMAIN:
                return down(Reason.WRONG_ANSWER, f"{said}: there is no such name")
            case dns.rcode.REFUSED:
                return unknown(Reason.NOT_PERMITTED, f"{said}: it does not answer us")
            case _:
                return down(Reason.QUERY_FAILED, said)

    async def _answer(
        self, address: str, trail: Trail, timeout_seconds: float
    ) -> tuple[dns.message.Message, str]:
        question = dns.message.make_query(self._lookup, self._settings.type)
        share = timeout_seconds / TRIES
        for number in range(1, TRIES + 1):
            trail.reached = f"question {number} sent to {address}"
            try:
                answer = await self._by_udp(question, address, share if number < TRIES else timeout_seconds)
            except dns.exception.Timeout:
                continue
            if not answer.flags & dns.flags.TC:
                return answer, "UDP"
            break
        trail.reached = f"asking {address} by TCP, the answer did not fit a datagram"
        answer = await dns.asyncquery.tcp(question, address, port=self._server.port)
        return answer, "TCP"

    async def _by_udp(
        self, question: dns.message.Message, address: str, timeout_seconds: float
    ) -> dns.message.Message:
        """One question and its answer. From a connected socket: it alone hears that nobody listens."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        asking = dns.asyncbackend.get_default_backend()
        there = (address, self._server.port)
        sock = await asking.make_socket(family, socket.SOCK_DGRAM, destination=there)  # type: ignore[no-untyped-call]
        async with sock:
            return await dns.asyncquery.udp(
                question,
                address,
                timeout=timeout_seconds,
                port=self._server.port,
                sock=sock,
                ignore_unexpected=True,  # an answer that is not to our question is somebody else's
                ignore_errors=True,
            )

    def _judge(self, answer: dns.message.Message, said: str) -> Outcome:
        found = list(_records(answer, dns.rdatatype.from_text(self._settings.type)))
        if not found:
            return down(Reason.WRONG_ANSWER, f"{said}: the name has no {self._settings.type} record")
        texts = sorted({text for text, _ in found})
        ttl_seconds = min(ttl for _, ttl in found)
        shown = ", ".join(texts[:MOST_SHOWN]) + (", …" if len(texts) > MOST_SHOWN else "")
        words = f"{said}: {shown}; to be kept for {ttl_seconds} s"
        if self._expected is not None:
            strange = [text for text in texts if not self._expected.has(text)]
            if strange:
                wanted = " or ".join(self._expected.words)
                return down(Reason.WRONG_ANSWER, f"{words}; expected {wanted}", float(ttl_seconds))
        return up(Reason.ANSWERED, words, float(ttl_seconds))

    async def aclose(self) -> None:
        """Nothing is kept."""


def _records(answer: dns.message.Message, wanted: dns.rdatatype.RdataType) -> Iterator[tuple[str, int]]:
    """The records of the wanted type, with how long each may be kept. A chain of aliases leads to them; the
    shortest-lived link of it decides how long the whole may be kept."""
    aliases = [each.ttl for each in answer.answer if each.rdtype == dns.rdatatype.CNAME]
    for each in answer.answer:
        if each.rdtype == wanted:
            for record in each:
                yield record.to_text().rstrip("."), min([each.ttl, *aliases])


def expected_at(settings: DnsSettings, site: Site, estate: Estate) -> Places | None:
    """What is expected at a site; None: anything. Raises SettingsInvalid."""
    return None if settings.expect is None else Places(settings.expect.at(site.name), estate)


def build(settings: DnsSettings, place: Place) -> DnsProbe:
    """The probe of one place. Raises SettingsInvalid."""
    return DnsProbe(
        settings,
        settings.endpoint(place.site),
        settings.lookup.at(place.site.name),
        expected_at(settings, place.site, place.estate),
        names=place.context.names,
        now_ns=place.context.now_ns,
    )
