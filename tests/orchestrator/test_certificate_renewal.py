"""Renewed certificates are noticed, half-renewed ones are waited for."""

import asyncio
from pathlib import Path

import pytest

from orchestrator.certificates import renewal
from orchestrator.certificates.renewal import follow_renewals
from sites.identity import CertificateMisuse
from tests.orchestrator.pki import Pki

LIMIT = 10.0


async def test_a_replaced_file_is_read_again_and_an_unusable_one_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renewal, "LOOK_EVERY_SECONDS", 0.001)
    files = Pki(tmp_path).controller("durham")
    before = files.certificate.read_bytes()
    read: list[bytes] = []
    tried = 0

    async def reload() -> None:
        nonlocal tried
        tried += 1
        found = files.certificate.read_bytes()
        if found == b"half":
            raise CertificateMisuse("not of one issue")
        read.append(found)

    async def until(count: int) -> None:
        async with asyncio.timeout(LIMIT):
            while len(read) < count:
                await asyncio.sleep(0)

    following = asyncio.create_task(follow_renewals(files, reload))
    await until(1)
    files.certificate.write_bytes(b"half")
    async with asyncio.timeout(LIMIT):
        while tried < 4:
            await asyncio.sleep(0)
    files.certificate.unlink()
    files.certificate.write_bytes(b"whole")
    await until(2)
    following.cancel()
    assert read == [before, b"whole"]
