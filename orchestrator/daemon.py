"""`twinsite controller`: assemble one site's controller, start or find its keeper, and run until told to end.

A clean stop gives nothing up: the keeper lives on and says until when, so that the controller can be
restarted or replaced.
"""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import structlog
from aiohttp import web

from orchestrator.api.server import LocalApi
from orchestrator.assembly import (
    load_ground,
    lock_directory,
    make_drivers,
    open_store,
    open_transport,
    set_up_logging,
)
from orchestrator.clock import boottime_ns
from orchestrator.controller import Controller
from orchestrator.core.keeper_view import KeeperView
from orchestrator.core.messages import Ask, Reply
from orchestrator.core.records import (
    OBSERVATIONS,
    RUNS,
    RecordUnreadable,
    RunRecord,
    decode,
)
from orchestrator.errors import OrchestratorTrouble
from orchestrator.eyes import Eyes
from orchestrator.journal import SqliteJournal
from orchestrator.link import KeeperGone, KeeperLink
from orchestrator.metrics import render
from orchestrator.mover import Mover, Tools
from orchestrator.observing import follow, publish, taking_observations
from orchestrator.orders import Orders
from orchestrator.ownership_actions import KeeperDesk, with_ownership
from orchestrator.paths import controller_socket, journal_path, keeper_socket
from orchestrator.readings import Tally
from orchestrator.readings_of import readings
from orchestrator.store.base import KeyValue, StoreError
from orchestrator.store.etcd import EtcdStore
from probes.catalogue import SETTINGS as PROBE_SETTINGS
from probes.catalogue import faults as probe_faults
from probes.catalogue import make_probe, sites_probed
from probes.model import Observation, ProbeResult
from probes.patrol import Patrol
from probes.place import ProbeContext
from probes.trial import PatrolEntry
from runbooks.actions import shipped_actions
from runbooks.library import Library
from runbooks.probing import ServiceProbes
from runbooks.sql import PostgresSql
from sites.model import Estate
from sites.replication.postgres.config import PostgresSettings

log = structlog.get_logger(__name__)

RUNS_KEPT = 500
KEEPER_AGAIN_SECONDS = 0.2
STORE_STATUS_EVERY_SECONDS = 10.0


def run_controller(estate_path: Path, site: str) -> int:
    """Run the controller of `site` until told to end."""
    set_up_logging("controller", site)
    return asyncio.run(_Daemon(estate_path, site).run())


class MetricsAddressTaken(OrchestratorTrouble):
    """Something else listens where `/metrics` is to be."""


@dataclass(slots=True)
class _Picture:
    """The keeper's latest picture, and the condition that tells of a new one."""

    view: KeeperView | None
    changed: asyncio.Condition


class _Daemon:
    """The process."""

    def __init__(self, estate_path: Path, site: str) -> None:
        self._estate_path = estate_path
        self._site = site
        self._ended = asyncio.Event()
        self._wake = asyncio.Event()
        self._tally = Tally()
        self._observations: dict[tuple[str, str, str], Observation] = {}

    async def run(self) -> int:
        ground = load_ground(
            self._estate_path, self._site, probe_settings=PROBE_SETTINGS, probe_faults=probe_faults
        )
        for warning in ground.loaded.warnings:
            log.warning("estate", warning=warning.render().splitlines()[0])
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._ended.set)
        async with contextlib.AsyncExitStack() as stack:
            stack.enter_context(lock_directory(ground.directory, "controller"))
            store = open_store(ground)
            stack.push_async_callback(store.aclose)
            transport = open_transport(ground)
            stack.push_async_callback(transport.aclose)
            drivers = make_drivers(ground, transport)
            for driver in drivers.values():
                stack.push_async_callback(driver.aclose)
            journal = await SqliteJournal.open(journal_path(ground.directory))
            stack.push_async_callback(journal.aclose)
            picture = _Picture(None, asyncio.Condition())
            link = KeeperLink(keeper_socket(ground.directory), self._on_view(picture))
            eyes = Eyes(ground.estate, drivers, watch_losses_at=self._site, on_change=self._wake.set)

            async def ask(what: Ask, timeout_seconds: float) -> Reply:
                return await link.ask(what, timeout_seconds=timeout_seconds)

            desk = KeeperDesk(ask, lambda: picture.view, picture.changed)
            catalogue = with_ownership(shipped_actions(), desk)

            def lost(service: str, at_site: str) -> None:
                eyes.nudge(service, at_site)
                patrol.nudge(service, at_site)

            context = ProbeContext(transport, drivers, ground.base, on_lost=lost)
            probes = {
                name: ServiceProbes(ground.estate, service, context)
                for name, service in ground.estate.services.items()
            }
            for tried in probes.values():
                stack.push_async_callback(tried.aclose)
            tools = Tools(
                estate=ground.estate,
                site=self._site,
                library=Library(catalogue, tuple(ground.base / f for f in ground.estate.runbook_path)),
                catalogue=catalogue,
                drivers=drivers,
                transport=transport,
                journal=journal,
                store=store,
                probes=dict(probes),
                sql=_sql_of(ground.estate),
            )
            mover = Mover(tools, desk, self._tally, lambda service: None)
            mover.preload()
            controller = Controller(
                ground.estate,
                self._site,
                eyes=eyes,
                drivers=drivers,
                link=link,
                desk=desk,
                mover=mover,
                journal=journal,
                tally=self._tally,
                wake=self._wake,
            )
            patrol = Patrol(_entries(ground.estate, context), on_observation=self._on_observation)
            page = _MetricsPage()
            controller.on_turn = lambda view: page.take(readings(controller, view, tuple(self._seen())))
            api = LocalApi(controller, Orders(controller), lambda: tuple(self._seen()))
            await stack.enter_async_context(api.serving(controller_socket(ground.directory)))
            if ground.site.metrics:
                await stack.enter_async_context(page.serving(ground.site.metrics))
            log.info("controller-started", services=sorted(drivers))
            tasks = [
                asyncio.create_task(self._keep_keeper(link, picture)),
                asyncio.create_task(eyes.run()),
                asyncio.create_task(patrol.run()),
                asyncio.create_task(controller.run()),
                asyncio.create_task(controller.follow_policy()),
                asyncio.create_task(controller.watch_settings()),
                asyncio.create_task(_watch_store(store, controller)),
                asyncio.create_task(publish(store, self._site, eyes.observation)),
                asyncio.create_task(
                    follow(store, OBSERVATIONS, taking_observations(self._site, eyes.take_outside))
                ),
                asyncio.create_task(follow(store, RUNS, self._taking_runs(controller))),
            ]
            code = await self._until_ended(tasks)
            self._say_what_is_left(picture)
        return code

    async def _until_ended(self, tasks: "list[asyncio.Task[None]]") -> int:
        ended = asyncio.create_task(self._ended.wait())
        await asyncio.wait([*tasks, ended], return_when=asyncio.FIRST_COMPLETED)
        for task in [*tasks, ended]:
            task.cancel()
        results = await asyncio.gather(*tasks, ended, return_exceptions=True)
        faults = [found for found in results if isinstance(found, Exception)]
        for fault in faults:
            log.error("controller-task-failed", exc_info=fault)
        return 1 if faults else 0

    # --- the keeper ----------------------------------------------------------------------------------

    def _on_view(self, picture: _Picture):  # type: ignore[no-untyped-def]
        def take(view: KeeperView) -> None:
            worth_a_turn = view.differs(picture.view)
            picture.view = view
            if worth_a_turn:
                self._wake.set()
                self._notify(picture)

        return take

    def _notify(self, picture: _Picture) -> None:
        async def tell() -> None:
            async with picture.changed:
                picture.changed.notify_all()

        task = asyncio.create_task(tell())
        task.add_done_callback(lambda done: done.exception() if not done.cancelled() else None)

    async def _keep_keeper(self, link: KeeperLink, picture: _Picture) -> None:
        """Connect to the keeper, starting one where none runs; again whenever it goes away."""
        started: subprocess.Popen[bytes] | None = None
        while True:
            try:
                await link.serve()
            except KeeperGone as gone:
                picture.view = None
                self._wake.set()
                if started is None or started.poll() is not None:
                    log.info("keeper-starting", reason=str(gone))
                    started = _start_keeper(self._estate_path, self._site)
            await asyncio.sleep(KEEPER_AGAIN_SECONDS)

    def _say_what_is_left(self, picture: _Picture) -> None:
        view = picture.view
        if view is None:
            log.warning("controller-ended", left="no keeper was there")
            return
        serving = [held.service for held in view.services if held.entitled]
        left_seconds = max(0, view.deadline_ns - boottime_ns()) / 1e9
        log.warning(
            "controller-ended",
            still_served_here=serving,
            lease_left_seconds=round(left_seconds, 2),
            what_now="nothing was given up; the keeper stays, renews no more without a controller, and cuts "
            "automatic services off here when the lease ends; start a controller before that to go on",
        )

    # --- what arrives --------------------------------------------------------------------------------

    def _on_observation(self, observation: Observation, result: ProbeResult) -> None:
        key = (observation.service, observation.site, observation.probe)
        self._observations[key] = observation

    def _seen(self) -> list[Observation]:
        return list(self._observations.values())

    def _taking_runs(self, controller: Controller):  # type: ignore[no-untyped-def]
        def take(item: KeyValue) -> None:
            try:
                record = decode(RunRecord, item.value)
            except RecordUnreadable as fault:
                log.warning("record-unreadable", key=item.key, problem=str(fault))
                return
            records = controller.run_records
            records[record.run] = record
            if len(records) > RUNS_KEPT:
                oldest = min(records.values(), key=lambda run: run.started_unix_seconds)
                del records[oldest.run]
            self._wake.set()

        return take


class _MetricsPage:
    """`/metrics`, rendered at each scrape from the last turn's readings: no network, no waiting."""

    def __init__(self) -> None:
        self._readings = None

    def take(self, fresh) -> None:  # type: ignore[no-untyped-def]
        self._readings = fresh

    @contextlib.asynccontextmanager
    async def serving(self, where: str) -> AsyncIterator[None]:
        address, _, port = where.rpartition(":")

        async def show(request: web.Request) -> web.Response:
            if self._readings is None:
                return web.Response(status=503, text="no turn has been completed yet\n")
            body = render(self._readings, now_ns=boottime_ns())
            return web.Response(
                body=body, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
            )

        app = web.Application()
        app.add_routes([web.get("/metrics", show)])
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        try:
            try:
                await web.TCPSite(runner, address, int(port)).start()
            except OSError as fault:
                raise MetricsAddressTaken(
                    f"/metrics cannot be served at {where}: {fault.strerror}; name another address"
                ) from fault
            yield
        finally:
            await runner.cleanup()


async def _watch_store(store: EtcdStore, controller: Controller) -> None:
    """How each member is, now and then: for metrics and warnings, never for a decision."""
    while True:
        try:
            controller.store_status = await store.status()
        except StoreError as fault:
            log.debug("store-status-unknown", problem=str(fault))
        await asyncio.sleep(STORE_STATUS_EVERY_SECONDS)


def _start_keeper(estate_path: Path, site: str) -> "subprocess.Popen[bytes]":
    """A keeper of its own session: it outlives this controller on purpose."""
    command = [sys.executable, "-P", sys.argv[0], "--config", str(estate_path), "keeper", "--site", site]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True, env=dict(os.environ))


def _sql_of(estate: Estate) -> dict[str, PostgresSql]:
    return {
        name: PostgresSql(estate, PostgresSettings.model_validate(service.replication.settings))
        for name, service in estate.services.items()
        if service.replication is not None and service.replication.driver == "postgres"
    }


def _entries(estate: Estate, context: ProbeContext) -> list[PatrolEntry]:
    entries = []
    for service in estate.services.values():
        for spec in service.probes:
            k, n = spec.fails_after_counts
            for site in sites_probed(spec, service):
                probe = make_probe(
                    spec, service=service, site=estate.sites[site], estate=estate, context=context
                )
                entries.append(
                    PatrolEntry(
                        probe=probe,
                        name=spec.name,
                        service=service.name,
                        site=site,
                        kind=spec.kind,
                        every_seconds=spec.every_seconds,
                        timeout_seconds=spec.timeout_seconds,
                        k=k,
                        n=n,
                    )
                )
    return entries
