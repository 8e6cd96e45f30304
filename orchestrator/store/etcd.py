"""The store on etcd: linearizable reads, compare-and-set transactions, watches. No put, no delete (P13).

Says what the product says to its store and nothing else; how it reaches the members is client.py's, how a
watch stays whole watch.py's.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from orchestrator.certificates.renewal import follow_renewals
from orchestrator.store.base import Compare, Put, Snapshot, StoreMisuse, TransactionResult, WatchEvent
from orchestrator.store.client import HEDGE_AFTER_SECONDS, EtcdClient
from orchestrator.store.rules import check_transaction, check_watch
from orchestrator.store.status import ClusterIdentity, StoreStatus, ask_status
from orchestrator.store.watch import MergedWatch
from orchestrator.store.wire import Wire
from sites.identity import CertificateFiles, CertificateMisuse
from sites.model import StoreSpec, TlsFiles

NAMESPACE = "twinsite/"
WATCH_SILENCE_SECONDS = 1.0


class EtcdStore:
    """Keeps the Store protocol over all members of one etcd cluster."""

    def __init__(
        self,
        endpoints: Sequence[str],
        *,
        tls: ssl.SSLContext | None,
        user: str | None,
        password: str | None,
        hedge_after_seconds: float = HEDGE_AFTER_SECONDS,
        namespace: str = NAMESPACE,
        watch_silence_seconds: float = WATCH_SILENCE_SECONDS,
        allow_unsafe_versions: bool = False,
        cluster_id: str = "",
    ) -> None:
        """`hedge_after_seconds`: how long one member may take before the next is asked too.
        `watch_silence_seconds`: how long a watch's stream may be silent before it is checked.
        `allow_unsafe_versions`: speak to releases of etcd known to lose writes (for a lab that has no other).
        `cluster_id`: the only cluster whose answers count; "" takes the first that answers.
        Raises StoreMisuse.
        """
        self._client = EtcdClient(
            endpoints,
            tls=tls,
            user=user,
            password=password,
            hedge_after_seconds=hedge_after_seconds,
            allow_unsafe_versions=allow_unsafe_versions,
            cluster_id=cluster_id,
        )
        self._wire = Wire(namespace)
        self._files: tuple[TlsFiles, Path] | None = None
        self._renewals: asyncio.Task[None] | None = None
        self._watch_silence_seconds = watch_silence_seconds
        self._watches: set[MergedWatch] = set()

    @classmethod
    def from_spec(cls, spec: StoreSpec, base: Path, *, allow_unsafe_versions: bool = False) -> "EtcdStore":
        """The store as the estate file describes it; `base` is that file's folder. Raises StoreMisuse.

        Certificates that are renewed meanwhile count without a restart.
        """
        store = cls(
            spec.endpoints,
            tls=client_tls(spec.tls, base) if spec.tls else None,
            user=spec.user,
            password=spec.password,
            allow_unsafe_versions=allow_unsafe_versions,
        )
        store._files = (spec.tls, base) if spec.tls else None
        return store

    def pin(self, cluster_id: str) -> None:
        """As `Store.pin`."""
        self._client.pin(cluster_id)

    async def read(self, prefix: str, *, timeout_seconds: float, exact: bool = False) -> Snapshot:
        """As `Store.read`."""
        self._look_at_certificates()
        answer = await self._client.call(
            "/v3/kv/range",
            self._wire.read(prefix, exact=exact),
            what=f"read {prefix}",
            timeout_seconds=timeout_seconds,
        )
        return self._wire.snapshot(answer)

    async def transact(
        self,
        compares: Sequence[Compare],
        puts: Sequence[Put],
        reads: Sequence[str],
        *,
        timeout_seconds: float,
    ) -> TransactionResult:
        """As `Store.transact`. Raises StoreMisuse for what `rules.check_transaction` forbids."""
        self._look_at_certificates()
        check_transaction(compares, puts, reads)
        written = ", ".join(put.key for put in puts) or "nothing"
        answer = await self._client.call(
            "/v3/kv/txn",
            self._wire.transaction(compares, puts, reads),
            what=f"write {written}",
            timeout_seconds=timeout_seconds,
            applied_once=bool(puts),
        )
        return self._wire.result(answer, len(reads))

    async def watch(self, prefix: str, *, from_revision: int) -> AsyncIterator[WatchEvent]:
        """As `Store.watch`. A key deleted by other means shows as StoreCompacted, too: only a fresh read
        tells what is left."""
        check_watch(from_revision)
        merged = MergedWatch(
            self._client,
            self._wire,
            prefix,
            from_revision=from_revision,
            silence_seconds=self._watch_silence_seconds,
        )
        self._watches.add(merged)
        merged.start()
        try:
            while True:
                for item in await merged.next():
                    yield WatchEvent(item)
        finally:
            self._watches.discard(merged)
            await merged.aclose()

    async def status(self, *, timeout_seconds: float = 2.0) -> StoreStatus:
        """Every member's state, for metrics and people. A member that does not answer raises nothing."""
        return await ask_status(self._client, timeout_seconds=timeout_seconds)

    async def cluster_identity(self, *, timeout_seconds: float = 5.0) -> ClusterIdentity:
        """Which cluster this is and its revision, by a linearizable read (P33)."""
        snapshot = await self.read("", exact=True, timeout_seconds=timeout_seconds)
        return ClusterIdentity(snapshot.cluster_id, snapshot.revision)

    def _look_at_certificates(self) -> None:
        """Now and then, from the first request on."""
        if self._files is not None and self._renewals is None:
            files = CertificateFiles.of(*self._files)
            self._renewals = asyncio.create_task(follow_renewals(files, self._renew))

    async def _renew(self) -> None:
        assert self._files is not None
        try:
            self._client.use_tls(await asyncio.to_thread(client_tls, *self._files))
        except StoreMisuse as fault:
            raise CertificateMisuse(str(fault)) from fault

    async def aclose(self) -> None:
        """Ends the watches and closes the connections."""
        if self._renewals is not None:
            self._renewals.cancel()
            await asyncio.gather(self._renewals, return_exceptions=True)
        for merged in list(self._watches):
            await merged.aclose()
        await self._client.aclose()


def client_tls(files: TlsFiles, base: Path) -> ssl.SSLContext:
    """The context to show our certificate and check the members'. Raises StoreMisuse."""
    ca, certificate, key = (base / name for name in (files.ca, files.cert, files.key))
    for path in (ca, certificate, key):
        try:
            path.open("rb").close()
        except OSError as error:
            raise StoreMisuse(
                f"{path}: cannot be read: {error.strerror}; the store's `tls` names it"
            ) from error
    try:
        context = ssl.create_default_context(cafile=str(ca))
    except ssl.SSLError as error:
        raise StoreMisuse(
            f"{ca}: not a PEM certificate ({error.reason}); it is the store's `tls.ca`"
        ) from error
    try:
        context.load_cert_chain(certificate, key)
    except ssl.SSLError as error:
        raise StoreMisuse(
            f"{certificate} with {key}: not a PEM certificate with its own unencrypted key ({error.reason})"
        ) from error
    return context
