"""The desk at which guards reach their keeper, over real TLS on loopback."""

import asyncio
import contextlib
import json
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator import guard_desk
from orchestrator.guard_desk import LONGEST_LINE_BYTES, GuardDesk, Hello
from orchestrator.tls_door import DoorTaken
from sites.identity import (
    CertificateFiles,
    CertificateMisuse,
    client_context,
    controller_identity,
    guard_identity,
)
from tests.orchestrator.pki import HOST, Pki

SITE = "durham"
LIMIT = 10.0


class Heard:
    """What the desk told, in its order."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []
        self.hellos: list[Hello] = []

    def on_connected(self, service: str, hello: Hello) -> None:
        self.told.append(("connected", service))
        self.hellos.append(hello)

    def on_gone(self, service: str) -> None:
        self.told.append(("gone", service))

    def on_question(
        self, service: str, nonce: str, open_: bool, incarnation: int, epoch: int, certified: bool
    ) -> None:
        self.told.append(("question", service, nonce, open_, incarnation, epoch, certified))

    def on_acknowledged(
        self, service: str, number: int, fenced: bool, incarnation: int, evidence: str
    ) -> None:
        self.told.append(("acknowledged", service, number, fenced, incarnation, evidence))

    def on_refused(self, service: str, code: str, evidence: str) -> None:
        self.told.append(("refused", service, code, evidence))


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("desk"))


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
async def desk(pki: Pki, heard: Heard) -> AsyncIterator[GuardDesk]:
    async with serving(pki.controller(SITE), heard) as made:
        yield made


def made_for(files: CertificateFiles, heard: Heard, port: int = 0) -> GuardDesk:
    return GuardDesk(HOST, port, files, SITE, ["crm", "ebs"], heard, guard_every_seconds=0.15)


@contextlib.asynccontextmanager
async def serving(files: CertificateFiles, heard: Heard) -> AsyncIterator[GuardDesk]:
    desk = made_for(files, heard)
    await desk.start()
    try:
        yield desk
    finally:
        await desk.aclose()


class Guard:
    """A guard's end of the wire."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def connect(cls, desk: GuardDesk, files: CertificateFiles) -> "Guard":
        context = client_context(files, lambda identity: identity == controller_identity(SITE))
        return cls(*await asyncio.open_connection(HOST, desk.port, ssl=context))

    @classmethod
    async def introduced(
        cls, desk: GuardDesk, heard: Heard, files: CertificateFiles, service: str
    ) -> "Guard":
        guard = await cls.connect(desk, files)
        before = len(heard.hellos)
        guard.say(hello(service))
        await until(lambda: len(heard.hellos) > before)
        return guard

    def say(self, message: dict[str, Any]) -> None:
        self.writer.write(json.dumps(message).encode() + b"\n")

    async def hears(self) -> Any:
        async with asyncio.timeout(LIMIT):
            return json.loads(await self.reader.readline())

    async def is_cut(self) -> None:
        """Wait for the desk's end of the connection."""
        async with asyncio.timeout(LIMIT):
            try:
                while await self.reader.read(65536):
                    pass
            except OSError:
                pass
        self.close()

    def close(self) -> None:
        self.writer.transport.abort()


def hello(service: str, site: str = SITE) -> dict[str, Any]:
    return {
        "hello": 1,
        "site": site,
        "service": service,
        "host": "db1",
        "protects": ["stop", "proxy"],
        "lacks": ["a host pause"],
    }


def question(nonce: str) -> dict[str, Any]:
    return {"question": nonce, "open": False, "incarnation": 3, "epoch": 7}


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(LIMIT):
        while not condition():
            await asyncio.sleep(0.005)


async def test_a_guard_asks_and_is_answered(desk: GuardDesk, heard: Heard, pki: Pki) -> None:
    guard = await Guard.introduced(desk, heard, pki.guard(SITE, "crm"), "crm")
    guard.say(question("abc"))
    await until(lambda: len(heard.told) == 2)
    assert heard.told[1] == ("question", "crm", "abc", False, 3, 7, False)
    desk.answer("crm", "abc", 3, 8, 2_000_000_000, False)
    assert await guard.hears() == {
        "answer": "abc",
        "service": "crm",
        "incarnation": 3,
        "epoch": 8,
        "remaining_ns": 2_000_000_000,
        "manual": False,
    }
    guard.close()
    await until(lambda: heard.told[-1] == ("gone", "crm"))


async def test_an_order_reaches_the_guard_and_its_acknowledgement_the_keeper(
    desk: GuardDesk, heard: Heard, pki: Pki
) -> None:
    assert desk.order("crm", 1, "fence", 3, "lease") is False
    guard = await Guard.introduced(desk, heard, pki.guard(SITE, "crm"), "crm")
    assert desk.order("crm", 2, "fence", 3, "lease") is True
    assert desk.order("ebs", 3, "fence", 3, "lease") is False
    assert await guard.hears() == {
        "order": 2,
        "kind": "fence",
        "service": "crm",
        "incarnation": 3,
        "why": "lease",
    }
    guard.say({"acknowledged": 2, "fenced": True, "incarnation": 3, "evidence": "no process is left"})
    guard.say({"refused": "older-epoch", "evidence": "6 < 7"})
    await until(lambda: len(heard.told) == 3)
    assert heard.told[1:] == [
        ("acknowledged", "crm", 2, True, 3, "no process is left"),
        ("refused", "crm", "older-epoch", "6 < 7"),
    ]
    guard.close()


async def test_what_a_guard_protects_and_lacks_is_kept_with_its_certificates_end(
    desk: GuardDesk, heard: Heard, pki: Pki
) -> None:
    guard = await Guard.introduced(desk, heard, pki.guard(SITE, "crm"), "crm")
    found = desk.connected["crm"]
    assert (found.host, found.protects, found.lacks) == ("db1", ("stop", "proxy"), ("a host pause",))
    assert found.certificate_ends_unix_seconds > 0
    guard.close()


async def test_a_newer_connection_replaces_the_older(desk: GuardDesk, heard: Heard, pki: Pki) -> None:
    files = pki.guard(SITE, "crm")
    older = await Guard.introduced(desk, heard, files, "crm")
    older.say(question("old"))
    await until(lambda: len(heard.told) == 2)
    newer = await Guard.introduced(desk, heard, files, "crm")
    assert heard.told[2:] == [("gone", "crm"), ("connected", "crm")]
    await older.is_cut()
    desk.answer("crm", "old", 1, 1, 1, False)  # asked over the connection that is no more
    assert desk.order("crm", 9, "learn", 4, "") is True
    assert (await newer.hears())["order"] == 9
    assert heard.told[-1] == ("connected", "crm")
    assert desk.statistics().lost == {"replaced": 1}
    newer.close()


async def test_two_services_do_not_disturb_each_other(desk: GuardDesk, heard: Heard, pki: Pki) -> None:
    crm = await Guard.introduced(desk, heard, pki.guard(SITE, "crm"), "crm")
    ebs = await Guard.introduced(desk, heard, pki.guard(SITE, "ebs"), "ebs")
    crm.writer.write(b"babble\n")
    await crm.is_cut()
    assert desk.order("ebs", 1, "ask", 1, "") is True
    assert (await ebs.hears())["kind"] == "ask"
    assert set(desk.connected) == {"ebs"}
    ebs.close()


# --- who is not let in ---------------------------------------------------------------------------------


async def stays_out(desk: GuardDesk, files: CertificateFiles, code: str) -> None:
    before = desk.statistics().not_let_in.get(code, 0)
    try:
        guard = await Guard.connect(desk, files)
    except OSError:
        pass
    else:
        guard.say(hello("crm"))
        await guard.is_cut()
    await until(lambda: desk.statistics().not_let_in.get(code, 0) == before + 1)


@pytest.mark.parametrize(
    ("identity", "begins", "ends", "code"),
    [
        (guard_identity(SITE, "crm"), -60, -1, "certificate-expired"),
        (guard_identity(SITE, "crm"), 1, 60, "certificate-not-yet-valid"),
        (guard_identity("morpeth", "crm"), -1, 60, "identity-wrong"),
        (guard_identity(SITE, "unknown"), -1, 60, "identity-wrong"),
        (controller_identity(SITE), -1, 60, "identity-wrong"),
        ("twinsite:operator/jo", -1, 60, "identity-wrong"),
        ("https://elsewhere.example/guard", -1, 60, "identity-wrong"),
    ],
    ids=["expired", "not yet", "other site", "unknown service", "controller", "operator", "no identity"],
)
async def test_a_certificate_that_is_not_a_guards_of_this_site_stays_out(
    desk: GuardDesk, heard: Heard, tmp_path: Path, pki: Pki, identity: str, begins: int, ends: int, code: str
) -> None:
    name = f"bad-{tmp_path.name}"
    await stays_out(desk, pki.dated(identity, name, begins_days=begins, ends_days=ends), code)
    assert heard.told == []


async def test_a_certificate_of_another_authority_stays_out(
    desk: GuardDesk, heard: Heard, tmp_path: Path, pki: Pki
) -> None:
    stranger = Pki(tmp_path).guard(SITE, "crm")
    trusting = CertificateFiles(pki.authority.ca_file, stranger.certificate, stranger.key)
    await stays_out(desk, trusting, "certificate-foreign")
    assert heard.told == []


async def test_one_without_a_certificate_stays_out(desk: GuardDesk, heard: Heard, pki: Pki) -> None:
    context = ssl.create_default_context(cafile=str(pki.authority.ca_file))
    await cut(desk, context)
    await until(lambda: desk.statistics().not_let_in == {"certificate-missing": 1})
    assert heard.told == []


async def test_an_older_tls_stays_out(desk: GuardDesk, heard: Heard, pki: Pki) -> None:
    files = pki.guard(SITE, "crm")
    context = files.client_context()
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    await cut(desk, context)
    await until(lambda: desk.statistics().not_let_in == {"tls-too-old": 1})
    assert heard.told == []


async def cut(desk: GuardDesk, context: ssl.SSLContext) -> None:
    try:
        guard = Guard(*await asyncio.open_connection(HOST, desk.port, ssl=context))
    except OSError:
        return
    guard.say(hello("crm"))
    await guard.is_cut()


async def test_plain_tcp_stays_out(desk: GuardDesk, heard: Heard, pki: Pki) -> None:
    guard = Guard(*await asyncio.open_connection(HOST, desk.port))
    guard.say(hello("crm"))
    await guard.is_cut()
    await until(lambda: desk.statistics().not_let_in == {"not-tls": 1})
    assert heard.told == []


async def test_a_silent_caller_does_not_keep_guards_out(
    desk: GuardDesk, heard: Heard, pki: Pki, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.tls_door.MOST_HANDSHAKES", 2)
    silent = [socket.create_connection((HOST, desk.port)) for _ in range(3)]
    guard = await Guard.introduced(desk, heard, pki.guard(SITE, "crm"), "crm")
    assert desk.statistics().not_let_in["handshake-slow"] >= 1
    guard.close()
    for each in silent:
        each.close()


async def test_a_guard_does_not_speak_to_the_other_sites_keeper(pki: Pki, heard: Heard) -> None:
    async with serving(pki.controller("morpeth"), heard) as elsewhere:
        with pytest.raises(ssl.SSLCertVerificationError, match="controller/morpeth"):
            await Guard.connect(elsewhere, pki.guard(SITE, "crm"))
    assert heard.told == []


async def test_a_guard_does_not_speak_to_a_keeper_at_a_wrong_host(pki: Pki, heard: Heard) -> None:
    async with serving(pki.controller(SITE, "keeper.example"), heard) as elsewhere:
        with pytest.raises(ssl.SSLCertVerificationError, match="IP address mismatch"):
            await Guard.connect(elsewhere, pki.guard(SITE, "crm"))


# --- what is not understood ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        b"babble\n",
        b"[1, 2]\n",
        b"{}\n",
        b"[" * 10_000 + b"\n",
        b'{"question": "a", "open": 1, "incarnation": 1, "epoch": 1}\n',
        b'{"question": "a", "open": true, "incarnation": true, "epoch": 1}\n',
        b'{"question": "a", "open": true, "incarnation": -1, "epoch": 1}\n',
        b'{"question": "a", "open": true, "incarnation": 1, "epoch": 99999999999999999999999}\n',
        b'{"question": "a", "open": true, "incarnation": 1, "epoch": ' + b"9" * 5000 + b"}\n",
        b'{"question": "", "open": true, "incarnation": 1, "epoch": 1}\n',
        b'{"question": 7, "open": true, "incarnation": 1, "epoch": 1}\n',
        b'{"acknowledged": 1, "fenced": "yes", "incarnation": 1, "evidence": ""}\n',
        b'{"acknowledged": 1, "fenced": true, "incarnation": 1}\n',
        b'{"unheard": "of"}\n',
        b"\xff\xfe\n",
        b"\n",
    ],
)
async def test_one_that_babbles_loses_its_connection_and_nothing_else(
    desk: GuardDesk, heard: Heard, pki: Pki, line: bytes
) -> None:
    guard = await Guard.introduced(desk, heard, pki.guard(SITE, "crm"), "crm")
    guard.writer.write(line)
    await guard.is_cut()
    assert heard.told == [("connected", "crm"), ("gone", "crm")]
    assert desk.statistics().lost == {"not-understood": 1}
    again = await Guard.introduced(desk, heard, pki.guard(SITE, "crm"), "crm")
    again.close()


async def test_half_a_line_is_no_message(desk: GuardDesk, heard: Heard, pki: Pki) -> None:
    guard = await Guard.introduced(desk, heard, pki.guard(SITE, "crm"), "crm")
    whole = json.dumps(question("abc")).encode() + b"\n"
    guard.writer.write(whole[:20])
    await guard.writer.drain()
    guard.writer.write(whole[20:] + whole[:-1])
    await until(lambda: len(heard.told) == 2)
    guard.close()
    await until(lambda: len(heard.told) == 3)
    assert heard.told[1:] == [("question", "crm", "abc", False, 3, 7, False), ("gone", "crm")]


async def test_a_line_of_a_megabyte_is_not_read_to_its_end(desk: GuardDesk, heard: Heard, pki: Pki) -> None:
    guard = await Guard.introduced(desk, heard, pki.guard(SITE, "crm"), "crm")
    guard.writer.write(b'{"question": "' + b"x" * 1_000_000)
    await guard.is_cut()
    assert desk.statistics().lost == {"too-much-said": 1}


async def test_one_that_says_too_much_is_cut(desk: GuardDesk, heard: Heard, pki: Pki) -> None:
    guard = await Guard.introduced(desk, heard, pki.guard(SITE, "crm"), "crm")
    guard.writer.write((json.dumps(question("n")).encode() + b"\n") * 1000)
    await guard.is_cut()
    assert desk.statistics().lost == {"too-much-said": 1}
    assert len(heard.told) <= guard_desk.LINES_A_SECOND + 3


async def test_one_that_reads_nothing_is_cut(desk: GuardDesk, heard: Heard, pki: Pki) -> None:
    guard = await Guard.introduced(desk, heard, pki.guard(SITE, "crm"), "crm")
    guard.writer.transport.pause_reading()
    why = "x" * LONGEST_LINE_BYTES
    while desk.order("crm", 1, "learn", 1, why):
        await asyncio.sleep(0)
    assert desk.statistics().lost == {"reads-too-slowly": 1}
    assert heard.told[-1] == ("gone", "crm")
    guard.close()


async def test_a_guard_whose_host_went_without_a_word_is_gone(
    desk: GuardDesk, heard: Heard, pki: Pki, monkeypatch: pytest.MonkeyPatch
) -> None:
    guard = await Guard.introduced(desk, heard, pki.guard(SITE, "crm"), "crm")
    stranger = await Guard.connect(desk, pki.guard(SITE, "ebs"))
    monkeypatch.setattr(guard_desk, "HELLO_WITHIN_SECONDS", -1.0)
    monkeypatch.setattr(desk, "_silence_seconds", -1.0)
    await until(lambda: desk.statistics().lost == {"silent": 1, "no-hello": 1})
    assert heard.told[-1] == ("gone", "crm")
    await guard.is_cut()
    await stranger.is_cut()


@pytest.mark.parametrize("said", [hello("ebs"), hello("crm", site="morpeth")], ids=["service", "site"])
async def test_a_guard_that_says_it_is_another_is_cut(
    desk: GuardDesk, heard: Heard, pki: Pki, said: dict[str, Any]
) -> None:
    guard = await Guard.connect(desk, pki.guard(SITE, "crm"))
    guard.say(said)
    await guard.is_cut()
    assert heard.told == []
    assert desk.statistics().lost == {"hello-of-another": 1}


@pytest.mark.parametrize(
    "said", [question("early"), hello("crm") | {"hello": 2}, hello("crm") | {"lacks": "all"}]
)
async def test_nothing_counts_before_a_hello(
    desk: GuardDesk, heard: Heard, pki: Pki, said: dict[str, Any]
) -> None:
    guard = await Guard.connect(desk, pki.guard(SITE, "crm"))
    guard.say(said)
    await guard.is_cut()
    assert heard.told == []


# --- certificates renewed, the end ---------------------------------------------------------------------


async def test_a_renewed_certificate_counts_without_a_restart(tmp_path: Path, heard: Heard) -> None:
    pki = Pki(tmp_path)
    files = pki.dated(controller_identity(SITE), "keeper", begins_days=-60, ends_days=-1, hosts=(HOST,))
    async with serving(files, heard) as desk:
        guard = pki.guard(SITE, "crm")
        with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
            await Guard.connect(desk, guard)
        pki.issue(controller_identity(SITE), "keeper", (HOST,))
        await desk.reload()
        connected = await Guard.introduced(desk, heard, guard, "crm")
        await desk.reload()
        assert desk.order("crm", 1, "ask", 1, "") is True  # who is there stays
        assert (await connected.hears())["order"] == 1
        connected.close()


async def test_certificates_half_renewed_leave_the_old_ones_in_force(tmp_path: Path, heard: Heard) -> None:
    pki = Pki(tmp_path)
    files = pki.controller(SITE)
    async with serving(files, heard) as desk:
        other = pki.controller(SITE, "127.0.0.2")
        files.certificate.write_bytes(other.certificate.read_bytes())  # its key has not been copied yet
        with pytest.raises(CertificateMisuse, match="they must be of one issue"):
            await desk.reload()
        guard = await Guard.introduced(desk, heard, pki.guard(SITE, "crm"), "crm")
        guard.close()


async def test_a_desk_without_certificates_or_address_says_what_to_do(
    pki: Pki, desk: GuardDesk, heard: Heard
) -> None:
    with pytest.raises(CertificateMisuse, match=r"not-there\.pem: cannot be read: .*certs issue"):
        await made_for(pki.authority.files("not-there"), heard).start()
    where = f"{HOST}:{desk.port}"
    with pytest.raises(DoorTaken, match=f"guards: cannot listen at {where}: Address already in use"):
        await made_for(pki.controller(SITE), heard, desk.port).start()


async def test_the_end_of_the_desk_is_told_for_every_guard(pki: Pki, heard: Heard) -> None:
    async with serving(pki.controller(SITE), heard) as desk:
        guard = await Guard.introduced(desk, heard, pki.guard(SITE, "crm"), "crm")
    await guard.is_cut()
    assert heard.told == [("connected", "crm"), ("gone", "crm")]
    with pytest.raises(OSError):
        await Guard.connect(desk, pki.guard(SITE, "crm"))
