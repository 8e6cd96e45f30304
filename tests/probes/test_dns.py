"""The dns probe against real DNS servers on the loopback interface, by UDP and TCP."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from probes.model import ProbeResult
from sites.model import Estate
from tests.probes.worlds import closed_port, estate, listening, probe, summary, tried

NAME = "crm.example"
Respond = Callable[[dns.message.Message, str], dns.message.Message | bytes | None]


def records(*lines: str) -> Respond:
    """Answer every question with these records, written as in a zone file."""

    def respond(question: dns.message.Message, by: str) -> dns.message.Message:
        answer = dns.message.make_response(question)
        answer.answer = [dns.rrset.from_text(*_parts(line)) for line in lines]
        return answer

    return respond


def _parts(line: str) -> tuple[Any, ...]:
    name, ttl, kind, value = line.split()
    return f"{name}.", int(ttl), "IN", kind, value


def code(which: dns.rcode.Rcode) -> Respond:
    """Answer every question with this code and nothing else."""

    def respond(question: dns.message.Message, by: str) -> dns.message.Message:
        answer = dns.message.make_response(question)
        answer.set_rcode(which)
        return answer

    return respond


@asynccontextmanager
async def server(respond: Respond) -> AsyncIterator[int]:
    """A DNS server; `respond` is told how it was asked."""

    def answered(wire: bytes, by: str) -> bytes:
        said = respond(dns.message.from_wire(wire), by)
        return said if isinstance(said, bytes) else b"" if said is None else said.to_wire()

    class Datagrams(asyncio.DatagramProtocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = transport

        def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
            if wire := answered(data, "UDP"):
                self.transport.sendto(wire, address)  # type: ignore[attr-defined]

    async def stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        size = int.from_bytes(await reader.readexactly(2), "big")
        wire = answered(await reader.readexactly(size), "TCP")
        if wire:
            writer.write(len(wire).to_bytes(2, "big") + wire)
            await writer.drain()
        await reader.read()

    async with listening(stream) as port:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(Datagrams, local_addr=("127.0.0.1", port))
        try:
            yield port
        finally:
            transport.close()
            await asyncio.sleep(0)


async def asked(respond: Respond, *, world: Estate | None = None, **keys: Any) -> ProbeResult:
    async with server(respond) as port:
        return await tried("dns", world=world, address=f"127.0.0.1:{port}", **{"lookup": NAME} | keys)


async def test_a_name_that_resolves_is_up_and_how_long_it_may_be_kept_is_the_measure() -> None:
    result = await asked(records(f"{NAME} 60 A 10.20.1.20"))
    assert summary(result) == ("up", "answered")
    assert result.measure == 60
    assert result.answered == "NOERROR by UDP: 10.20.1.20; to be kept for 60 s"
    assert result.tried.startswith("DNS A crm.example at 127.0.0.1:")


async def test_what_leads_elsewhere_is_down_and_says_where() -> None:
    result = await asked(records(f"{NAME} 60 A 10.20.2.20"), expect="10.20.1.20")
    assert summary(result) == ("down", "wrong-answer")
    assert "10.20.2.20" in result.answered
    assert result.answered.endswith("expected 10.20.1.20")


@pytest.mark.parametrize(
    ("expect", "good"),
    [
        ("10.20.1.20", True),
        ("10.20.1.0/24", True),
        (["10.20.9.9", "10.20.1.20"], True),
        ("durham", True),
        ("durham/crm-app", True),
        ("durham/crm-db", False),
        ({"durham": "durham", "morpeth": "10.20.2.0/24"}, True),
        ("10.20.2.0/24", False),
        ("crm.durham.example", False),
    ],
)
async def test_addresses_networks_sites_and_their_hosts_may_be_expected(expect: Any, good: bool) -> None:
    world = estate(**{"crm-app": "10.20.1.20", "crm-db": "10.20.1.10"})
    result = await asked(records(f"{NAME} 60 A 10.20.1.20"), world=world, expect=expect)
    assert result.verdict.value == ("up" if good else "down")


async def test_one_stray_address_among_good_ones_is_down() -> None:
    both = records(f"{NAME} 60 A 10.20.1.20", f"{NAME} 60 A 10.20.7.7")
    result = await asked(both, expect="10.20.1.0/24")
    assert summary(result) == ("down", "wrong-answer")


async def test_an_alias_leads_to_addresses_and_its_shortest_link_decides() -> None:
    chain = records(f"{NAME} 5 CNAME web.example.", "web.example 600 A 10.20.1.20")
    result = await asked(chain, expect="10.20.1.20")
    assert summary(result) == ("up", "answered")
    assert result.measure == 5


async def test_where_an_alias_leads_is_compared_as_names_are() -> None:
    alias = records(f"{NAME} 30 CNAME CRM.durham.example.")
    assert summary(await asked(alias, type="CNAME", expect="crm.Durham.example")) == ("up", "answered")
    assert summary(await asked(alias, type="CNAME", expect="crm.morpeth.example"))[0] == "down"


async def test_addresses_of_the_newer_kind_are_asked_for_by_name() -> None:
    result = await asked(records(f"{NAME} 30 AAAA 2001:db8::1"), type="AAAA", expect="2001:db8::/32")
    assert summary(result) == ("up", "answered")


@pytest.mark.parametrize(
    ("which", "expected"),
    [
        (dns.rcode.NXDOMAIN, ("down", "wrong-answer")),
        (dns.rcode.SERVFAIL, ("down", "query-failed")),
        (dns.rcode.NOTIMP, ("down", "query-failed")),
        (dns.rcode.REFUSED, ("unknown", "not-permitted")),
    ],
)
async def test_each_refusal_of_the_server_has_its_reason(
    which: dns.rcode.Rcode, expected: tuple[str, str]
) -> None:
    result = await asked(code(which))
    assert summary(result) == expected
    assert dns.rcode.to_text(which) in result.answered


async def test_a_name_without_such_a_record_is_down() -> None:
    result = await asked(records(f"{NAME} 60 A 10.20.1.20"), type="AAAA")
    assert summary(result) == ("down", "wrong-answer")
    assert "no AAAA record" in result.answered


async def test_what_does_not_fit_a_datagram_is_asked_for_by_tcp() -> None:
    def long(question: dns.message.Message, by: str) -> dns.message.Message:
        answer = records(*(f"{NAME} 60 A 10.20.1.{last}" for last in range(1, 60)))(question, by)
        assert isinstance(answer, dns.message.Message)
        if by == "UDP":
            answer.answer = []
            answer.flags |= dns.flags.TC
        return answer

    result = await asked(long, expect="10.20.1.0/24")
    assert summary(result) == ("up", "answered")
    assert result.answered.startswith("NOERROR by TCP: 10.20.1.1, ")


async def test_a_datagram_that_got_lost_is_sent_again() -> None:
    lost = 2

    def lossy(question: dns.message.Message, by: str) -> dns.message.Message | bytes | None:
        nonlocal lost
        lost -= 1
        return None if lost >= 0 else records(f"{NAME} 60 A 10.20.1.20")(question, by)

    async with server(lossy) as port:
        made = probe("dns", address=f"127.0.0.1:{port}", lookup=NAME)
        result = await made.try_once(timeout_seconds=1.5)
    assert summary(result) == ("up", "answered")


async def test_an_answer_to_another_question_and_one_that_is_no_dns_are_not_believed() -> None:
    asked_before = 0

    def forged(question: dns.message.Message, by: str) -> dns.message.Message | bytes | None:
        nonlocal asked_before
        asked_before += 1
        if asked_before == 1:
            return b"HTTP/1.0 400 Bad Request\r\n\r\n"
        other = dns.message.make_query("ebs.example", "A")
        return records("ebs.example 60 A 10.20.9.9")(other, by)

    async with server(forged) as port:
        made = probe("dns", address=f"127.0.0.1:{port}", lookup=NAME)
        result = await made.try_once(timeout_seconds=0.5)
    assert summary(result) == ("down", "timed-out")


async def test_a_server_that_does_not_run_is_refused() -> None:
    assert summary(await tried("dns", address=f"127.0.0.1:{closed_port()}", lookup=NAME)) == (
        "down",
        "refused",
    )


async def test_a_server_that_hangs_is_cut_off_at_the_timeout_by_udp_and_by_tcp() -> None:
    def silent(question: dns.message.Message, by: str) -> None:
        return None

    async with server(silent) as port:
        made = probe("dns", address=f"127.0.0.1:{port}", lookup=NAME)
        udp = await made.try_once(timeout_seconds=0.3)
    assert summary(udp) == ("down", "timed-out")
    assert "question 3 sent to 127.0.0.1" in udp.answered

    def truncated(question: dns.message.Message, by: str) -> dns.message.Message | None:
        answer = dns.message.make_response(question)
        answer.flags |= dns.flags.TC
        return answer if by == "UDP" else None

    async with server(truncated) as port:
        made = probe("dns", address=f"127.0.0.1:{port}", lookup=NAME)
        tcp = await made.try_once(timeout_seconds=0.3)
    assert summary(tcp) == ("down", "timed-out")
    assert "by TCP" in tcp.answered


async def test_a_server_whose_own_name_nobody_knows_says_nothing_about_the_target() -> None:
    result = await tried("dns", address="no-such-server.invalid:53", lookup=NAME)
    assert result.verdict.value == "unknown"


async def test_a_host_of_the_site_may_be_the_server() -> None:
    async with server(records(f"{NAME} 60 A 10.20.1.20")) as port:
        result = await tried("dns", world=estate(ns="127.0.0.1"), host="ns", port=port, lookup=NAME)
    assert summary(result) == ("up", "answered")
