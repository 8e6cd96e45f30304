"""The peer probe and the keeper's own end of it agree."""

import asyncio
from pathlib import Path

import pytest

from orchestrator import PRODUCT
from orchestrator.peer_link import PeerServer
from sites.identity import CertificateFiles, controller_identity, guard_identity, witness_identity
from tests.probes.certificates import Authority
from tests.probes.worlds import context, estate, probe, summary


def issued(authority: Authority, name: str, identity: str) -> CertificateFiles:
    files = authority.files(name, host="127.0.0.1", uri=identity)
    return CertificateFiles(files.ca, files.cert, files.key)


@pytest.mark.parametrize(
    ("asks", "expected"),
    [
        (controller_identity("durham"), ("up", "answered")),
        (witness_identity("derwentside"), ("up", "answered")),
        (guard_identity("durham", "crm"), None),
    ],
)
async def test_a_keeper_greets_the_other_site_and_the_witness_and_nobody_else(
    tmp_path: Path, asks: str, expected: tuple[str, str] | None
) -> None:
    authority = Authority(tmp_path)
    server = PeerServer(
        "127.0.0.1",
        0,
        issued(authority, "morpeth", controller_identity("morpeth")),
        "morpeth",
        "durham",
        "derwentside",
        lambda *asked: None,
        answer_within_seconds=1.0,
    )
    await server.start()
    try:
        made = probe(
            "peer",
            world=estate(controller=f"https://127.0.0.1:{server.port}"),
            at="morpeth",
            using=context(own=issued(authority, "who asks", asks)),
        )
        result = await made.try_once(timeout_seconds=20)
    finally:
        await server.aclose()
        await asyncio.sleep(0)
    if expected is None:
        assert result.verdict.value != "up"
        return
    assert summary(result) == expected
    assert result.answered.startswith(f"controller of morpeth, {PRODUCT}; its certificate has ")
    assert result.measure == pytest.approx(30, abs=0.1)
