"""What the other site's keeper says of its store, asked when a person looks at it or accepts one (P33).

One request over a connection of its own, with certificates on both sides; what goes wrong is a word for
people, never an error. Used by the controller, which asks rarely and holds no lease.
"""

import asyncio
from dataclasses import dataclass

import aiohttp

from orchestrator.core.restored import SiteWord
from orchestrator.keeper_store import decoded
from orchestrator.peer_link import STORE
from sites.identity import CertificateFiles, CertificateMisuse, client_context, controller_identity

WITHIN_SECONDS = 5.0
LARGEST_WORD_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class PeerWord:
    """Its word, or None and why."""

    word: SiteWord | None
    problem: str = ""


class PeerStore:
    """The way to it. `url` None: the estate names no controller there."""

    def __init__(self, url: str | None, files: CertificateFiles | None, peer: str) -> None:
        self._url = url
        self._files = files
        self._peer = peer

    async def ask(self) -> PeerWord:
        """Ask once. Never raises."""
        if self._url is None or self._files is None:
            return PeerWord(None, f"{self._peer} cannot be asked: its controller or our `tls` is not set")
        identity = controller_identity(self._peer)
        try:
            async with asyncio.timeout(WITHIN_SECONDS):
                context = await asyncio.to_thread(
                    client_context, self._files, lambda found: found == identity
                )
                raw = await self._get(self._url.rstrip("/") + STORE, aiohttp.TCPConnector(ssl=context))
            word = decoded(raw)
        except TimeoutError:
            return PeerWord(None, f"{self._peer} did not answer within {WITHIN_SECONDS:g} s")
        except (aiohttp.ClientError, OSError, CertificateMisuse, ValueError) as fault:
            return PeerWord(None, f"{self._peer} was not heard: {' '.join(str(fault).split())[:300]}")
        if word.site != self._peer:
            return PeerWord(None, f"{word.site} answers in place of {self._peer}")
        return PeerWord(word)

    async def _get(self, url: str, connector: aiohttp.TCPConnector) -> bytes:
        async with (
            aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session,
            session.get(url, allow_redirects=False) as response,
        ):
            raw = bytearray()
            async for chunk in response.content.iter_any():
                raw += chunk
                if len(raw) > LARGEST_WORD_BYTES:
                    raise ValueError(f"more than {LARGEST_WORD_BYTES} bytes")
            if response.status != 200:
                raise ValueError(f"HTTP {response.status}")
        return bytes(raw)
