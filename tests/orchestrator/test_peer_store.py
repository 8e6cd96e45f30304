"""What the other site's keeper says of its store: asked with certificates, and never an error (P33)."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from orchestrator.core.restored import SiteWord, Word
from orchestrator.keeper_store import decoded, encoded
from orchestrator.peer_link import STORE, PeerServer
from orchestrator.peer_store import PeerStore
from sites.identity import CertificateFiles, client_context
from tests.orchestrator.pki import HOST, Pki

WORD = SiteWord(
    site="durham",
    cluster_id="14841639068965178418",
    revision=120,
    trusted=False,
    services=(
        Word(service="crm", known=True, owner="durham", epoch=3, revision=90, highest=5, serves=True),
        Word(service="ebs", known=True, owner=None, epoch=2, revision=80, highest=2),
    ),
)


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("peer-store"))


@contextlib.asynccontextmanager
async def durham(files: CertificateFiles, word: bytes | None = None) -> AsyncIterator[str]:
    """Durham's keeper; its address."""
    server = PeerServer(
        HOST, 0, files, "durham", "morpeth", "derwentside", lambda *asked: None, answer_within_seconds=0.2
    )
    if word is not None:
        server.store_word = lambda: word
    await server.start()
    try:
        yield f"https://{HOST}:{server.port}"
    finally:
        await server.aclose()


def test_a_word_arrives_as_it_was_sent() -> None:
    assert decoded(encoded(WORD)) == WORD


async def test_the_peer_is_told(pki: Pki) -> None:
    async with durham(pki.controller("durham"), encoded(WORD)) as url:
        answer = await PeerStore(url, pki.controller("morpeth"), "durham").ask()
    assert answer.word == WORD
    assert answer.problem == ""


@pytest.mark.parametrize("who", ["witness", "itself"])
async def test_nobody_else_is_told(pki: Pki, who: str) -> None:
    files = pki.witness("derwentside") if who == "witness" else pki.controller("durham")
    async with durham(pki.controller("durham"), encoded(WORD)) as url:
        context = client_context(files, lambda found: True)
        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session,
            session.get(url + STORE) as response,
        ):
            assert response.status == 404


@pytest.mark.parametrize("said", [b"", b"[]", b'{"site": "durham"}', b"\xff" * 100, b"[" * 100_000])
async def test_what_is_not_understood_is_no_word(pki: Pki, said: bytes) -> None:
    async with durham(pki.controller("durham"), said) as url:
        answer = await PeerStore(url, pki.controller("morpeth"), "durham").ask()
    assert answer.word is None
    assert answer.problem.startswith("durham was not heard")


async def test_another_site_s_word_is_none(pki: Pki) -> None:
    async with durham(pki.controller("morpeth"), encoded(WORD)) as url:
        answer = await PeerStore(url, pki.controller("durham"), "morpeth").ask()
    assert answer.word is None


async def test_a_foreign_keeper_is_not_believed(pki: Pki, tmp_path: Path) -> None:
    async with durham(Pki(tmp_path, "foreign").controller("durham"), encoded(WORD)) as url:
        answer = await PeerStore(url, pki.controller("morpeth"), "durham").ask()
    assert answer.word is None
    assert "was not heard" in answer.problem


async def test_nobody_there_and_nothing_set_up_are_said(pki: Pki) -> None:
    nobody = await PeerStore(f"https://{HOST}:1", pki.controller("morpeth"), "durham").ask()
    assert "was not heard" in nobody.problem
    assert "cannot be asked" in (await PeerStore(None, None, "durham").ask()).problem
