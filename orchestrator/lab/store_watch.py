"""How long the store answers nobody while something is done to its members: asked by the product's own client
of it, as a keeper asks, all the time.

Every answer counts that a majority has confirmed (linearizable reads), and a request that a lost member keeps
waiting goes to the next one, as it does for a keeper.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from orchestrator.clock import boottime_ns
from orchestrator.lab.estate import Layout
from orchestrator.lab.measure import EventFigures, Window, silence_seconds
from orchestrator.lab.places import SITES, WITNESS, Network
from orchestrator.store.base import StoreError
from orchestrator.store.etcd import EtcdStore, client_tls
from sites.model import TlsFiles

ASK_EVERY_SECONDS = 0.01
ANSWER_WITHIN_SECONDS = 5.0
READER = "reader"
STORE = "store"  # in the place of a service's name


@dataclass(slots=True)
class StoreWatch:
    """What was answered since it began."""

    started_ns: int = field(default_factory=boottime_ns)
    answered_ns: list[int] = field(default_factory=list)

    def figures(self, event: str) -> EventFigures:
        """The longest silence of the store so far, as an event of its own."""
        window = Window(self.started_ns, boottime_ns())
        return EventFigures(
            event=event,
            service=STORE,
            outage_seconds=round(silence_seconds(self.answered_ns, window), 3),
            acknowledged_rows=len(self.answered_ns),
            lost_rows=0,
            lost_span_seconds=0.0,
            reported_loss_seconds=None,
            two_writable_seconds=0.0,
        )


def open_store(layout: Layout, network: Network, first: str = WITNESS) -> EtcdStore:
    """The lab's store, for somebody who may only read. `first`: the site whose member is asked first."""
    order = [first, *(site for site in SITES if site != first)]
    certificate = TlsFiles(ca="certs/ca.pem", cert=f"certs/{WITNESS}.pem", key=f"certs/{WITNESS}.key")
    return EtcdStore(
        [f"https://{network.place(site, 'etcd')}" for site in order],
        tls=client_tls(certificate, layout.directory),
        user=READER,
        password=layout.secret("etcd-reader").read_text(encoding="ascii").strip(),
        allow_unsafe_versions=True,
    )


@asynccontextmanager
async def watched(store: EtcdStore) -> AsyncIterator[StoreWatch]:
    """Ask the store until the block ends; it is closed then."""
    watch = StoreWatch()
    asking = asyncio.create_task(_ask(store, watch))
    try:
        yield watch
    finally:
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        await store.aclose()


async def _ask(store: EtcdStore, watch: StoreWatch) -> None:
    while True:
        try:
            await store.read("services/", timeout_seconds=ANSWER_WITHIN_SECONDS)
            watch.answered_ns.append(boottime_ns())
        except StoreError:
            pass  # the silence says it
        await asyncio.sleep(ASK_EVERY_SECONDS)


async def leading_site(store: EtcdStore, network: Network) -> str | None:
    """The site of the member that leads; None: nobody knows of one."""
    status = await store.status()
    sites = {f"https://{network.place(site, 'etcd')}": site for site in SITES}
    return sites.get(status.leader or "")
