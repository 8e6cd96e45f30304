"""A store client whose certificate is renewed goes on with the new one, without a restart."""

import asyncio
import ssl
from pathlib import Path

import pytest
from aiohttp import web

from orchestrator.certificates import renewal
from orchestrator.store.base import StoreError
from orchestrator.store.etcd import EtcdStore
from sites.identity import controller_identity
from sites.model import StoreSpec, TlsFiles
from tests.orchestrator.pki import HOST, Pki
from tests.store.test_gateway import GOOD, Impostor

IDENTITY = controller_identity("durham")


async def test_a_renewed_certificate_is_shown_to_the_store_without_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renewal, "LOOK_EVERY_SECONDS", 0.01)
    pki = Pki(tmp_path)
    pki.dated(IDENTITY, "durham", begins_days=-60, ends_days=-1)
    member = pki.issue("twinsite:etcd/member", "member", (HOST,))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(member.ca))
    context.load_cert_chain(member.certificate, member.key)
    context.verify_mode = ssl.CERT_REQUIRED
    runner = web.ServerRunner(web.Server(Impostor(dict(GOOD)).handle))  # type: ignore[arg-type]
    await runner.setup()
    await web.TCPSite(runner, HOST, 0, ssl_context=context).start()
    spec = StoreSpec(
        endpoints=[f"https://{HOST}:{runner.addresses[0][1]}"],
        tls=TlsFiles(ca="ca/ca.pem", cert="ca/durham.pem", key="ca/durham.key"),
    )
    store = EtcdStore.from_spec(spec, tmp_path)
    try:
        with pytest.raises(StoreError):
            await store.read("", timeout_seconds=1)
        pki.issue(IDENTITY, "durham")
        async with asyncio.timeout(20):
            while True:
                try:
                    found = await store.read("", timeout_seconds=1)
                    break
                except StoreError:
                    await asyncio.sleep(0.02)
        assert found.revision == 7
    finally:
        await store.aclose()
        await runner.cleanup()
