"""Put everything a controller knows at one instant into one immutable View. Names and decides nothing."""

import math
import time
from collections.abc import Mapping
from dataclasses import replace

from orchestrator.clock import boottime_ns
from orchestrator.core.capacity import Hosting, Owned
from orchestrator.core.clients import ENOUGH_OBSERVERS, OutsideProbe, cut_off_by
from orchestrator.core.clocks import ClockWord
from orchestrator.core.gates import flap_left_seconds
from orchestrator.core.keeper_view import KeeperView
from orchestrator.core.reach import FRESH_WORD_SECONDS, Reach
from orchestrator.core.records import RUN_WITHOUT_SUCCESS, Mode, Movement, Pause, RunRecord, ServiceRecord
from orchestrator.core.view import ServiceView, View
from orchestrator.devices import Devices
from orchestrator.eyes import Eyes
from orchestrator.link import KeeperLink
from orchestrator.mind import ServiceMind
from orchestrator.ownership_actions import KeeperDesk
from runbooks.model import Kind
from sites.model import Estate, FailoverPolicy, Service
from sites.replication.words import ReplicationDriver

HANDED_OVER_SECONDS = 600.0  # a hand-over that came to nothing is not tried again at once
RESTART_WINDOW_SECONDS = 3600.0
OPEN_FAILURES_SECONDS = 300.0


class Sight:
    """What one site's controller sees. `minds` and `run_records` are the controller's own."""

    def __init__(
        self,
        estate: Estate,
        site: str,
        *,
        eyes: Eyes,
        drivers: Mapping[str, ReplicationDriver],
        link: KeeperLink,
        desk: KeeperDesk,
        minds: Mapping[str, ServiceMind],
        run_records: Mapping[str, RunRecord],
        devices: Devices,
    ) -> None:
        self._estate = estate
        self._site = site
        self._peer = estate.other_data_site(site)
        self._eyes = eyes
        self._drivers = drivers
        self._link = link
        self._desk = desk
        self._minds = minds
        self._run_records = run_records
        self._devices = devices
        self._capacities = {
            name: site.capacity for name, site in estate.sites.items() if site.capacity is not None
        }

    def view(self) -> View:
        """Everything as it is known now."""
        now_ns = boottime_ns()
        keeper = self._desk.view() if self._link.connected else None
        services = tuple(self._service_view(name, keeper, now_ns) for name in self._estate.services)
        services = self._with_rooms(services, keeper, now_ns)
        services = tuple(self._with_devices(service, services, keeper) for service in services)
        reach = Reach(self._eyes.reach(self._site, now_ns), self._alive(keeper, now_ns))
        return View(
            site=self._site,
            peer=self._peer,
            now_ns=now_ns,
            keeper=keeper,
            services=services,
            lab=self._estate.lab,
            clocks=self._eyes.clocks(self._site, guard_clocks(self._site, keeper), now_ns),
            clock_drift=self._estate.ownership.clock_drift,
            peer_reached=reach.said(self._site, self._peer),
            reach=reach,
        )

    def _with_devices(
        self, service: ServiceView, everything: tuple[ServiceView, ...], keeper: KeeperView | None
    ) -> ServiceView:
        """The devices of a service, and who would go off with it."""
        name = service.service.name
        beside = self._devices.beside(name) if self._devices.equipped(name) else ()
        along = tuple(
            other.service.name
            for other in everything
            if other.service.name in beside and _may_serve_there(other, self._peer, keeper)
        )
        return replace(service, power=self._devices.power(name, along))

    def _with_rooms(
        self, services: tuple[ServiceView, ...], keeper: KeeperView | None, now_ns: int
    ) -> tuple[ServiceView, ...]:
        """Each with how it would fit at the sites; as it is where none states its capacity."""
        if not self._capacities:
            return services
        over_ns = keeper.peer_lease_over_ns if keeper is not None else None
        lost = self._peer if over_ns is not None and now_ns > over_ns else None
        owned = [Owned(service.service, service.record) for service in services]
        hosting = Hosting(owned, self._capacities, lost=lost)
        return tuple(
            replace(service, rooms=hosting.rooms(one)) for service, one in zip(services, owned, strict=True)
        )

    def beside(self, view: View, service: ServiceView, coming: Mapping[str, str]) -> ServiceView:
        """The service with how it would fit once others have come to where they have been ordered."""
        if not self._capacities:
            return service
        owned = [Owned(one.service, one.record, coming.get(one.service.name)) for one in view.services]
        lost = view.peer if view.peer_lease_over else None
        hosting = Hosting(owned, self._capacities, lost=lost)
        return replace(service, rooms=hosting.rooms(Owned(service.service, service.record)))

    def _alive(self, keeper: KeeperView | None, now_ns: int) -> dict[str, bool | None]:
        """Signs of life through the store: a renewed lease, a published observation. While the store does not
        answer us, nobody's silence says anything."""
        heard = self._eyes.heard(now_ns)
        store_answers = keeper is not None and not keeper.store_problem
        alive: dict[str, bool | None] = {}
        for site in self._estate.sites:
            publishes = heard.get(site, math.inf) <= FRESH_WORD_SECONDS
            if site == self._site or publishes or (site == self._peer and _renews(keeper, now_ns)):
                alive[site] = True
            else:
                alive[site] = False if store_answers and (site == self._peer or site in heard) else None
        return alive

    def _service_view(self, name: str, keeper: KeeperView | None, now_ns: int) -> ServiceView:
        service = self._estate.services[name]
        held = keeper.service(name) if keeper is not None else None
        if name not in self._drivers:
            return ServiceView(service=service, held=held)
        mind = self._minds[name]
        record = held.record if held is not None and held.known else None
        primary = (record.primary or record.previous) if record is not None else service.home
        primary = primary or service.home
        standby = service.peer_of(primary)
        lag = self._eyes.lag(name, primary, standby, now_ns)
        self._note_nobody(mind, record, now_ns)
        clients = self._client_probes(mind, record, name, now_ns)
        found = ServiceView(
            service=service,
            held=held,
            samples=self._eyes.fresh_samples(name, now_ns),
            dead_here=self._eyes.dead(name, self._site),
            lag_seconds=lag.seconds,
            lag_bytes=lag.bytes,
            lag_age_seconds=lag.age_seconds,
            safe_until_ns=self._eyes.safe_until_ns(name, primary, standby),
            still=self._eyes.still(name, primary),
            final_primary_history=self._eyes.primary_history(name),
            outside=self._eyes.outside(name, now_ns),
            run_here="" if mind.run_waits and mind.run_kind == Kind.SWITCHOVER else mind.run,
            run_failed=self._run_failed(record),
            run_waits=self._run_waits(mind, record),
            run_in_doubt=record is not None and bool(record.run) and mind.run_in_doubt == record.run,
            pause_left_seconds=self._pause_left(mind, record, now_ns),
            pause_words=_pause_words(record.pause) if record is not None and record.pause else "",
            flap_left_seconds=flap_left_seconds(service, record, time.time()),
            open_failures=sum(
                1 for at in mind.open_failures_ns if now_ns - at <= OPEN_FAILURES_SECONDS * 1e9
            ),
            restarts_left=self._restarts_left(service, mind, now_ns),
            fence_confirmed=mind.fence_confirmed,
            nobody_for_seconds=(now_ns - mind.nobody_since_ns) / 1e9 if mind.nobody_since_ns else 0.0,
            not_a_standby_for_seconds=self._eyes.not_streaming_seconds(name, self._site, now_ns),
            rejoin_wait_seconds=max(0, mind.rejoin_again_at_ns - now_ns) / 1e9,
            guarded=is_guarded(self._estate, service),
            client_probes=clients,
            cut_off_for_seconds=(now_ns - mind.cut_off_since_ns) / 1e9 if mind.cut_off_since_ns else 0.0,
            handed_over_lately=mind.handed_over_at_ns is not None
            and now_ns - mind.handed_over_at_ns <= HANDED_OVER_SECONDS * 1e9,
        )
        settled = record is not None and record.primary == self._peer and record.movement is Movement.STEADY
        if settled and found.writable_at(self._peer) is True:
            mind.handed_over_at_ns = None  # it has worked; what becomes of it here later is something else
        return found

    def _client_probes(
        self, mind: ServiceMind, record: ServiceRecord | None, name: str, now_ns: int
    ) -> tuple[OutsideProbe, ...]:
        """What the others' probes say, and whether each has been up since the present primary became that."""
        words = self._eyes.outside_probes(name, now_ns)
        primary = record.primary if record is not None else None
        epoch = record.epoch if record is not None else -1
        if epoch != mind.ways_epoch:
            mind.ways_epoch, mind.ways_seen_up = epoch, set()
        mind.ways_seen_up |= {
            (word.observer, word.probe) for word in words if word.site == primary and word.verdict == "up"
        }
        judged = tuple(
            replace(word, was_up=word.site == primary and (word.observer, word.probe) in mind.ways_seen_up)
            for word in words
        )
        if primary is None or len(cut_off_by(judged, primary)) < ENOUGH_OBSERVERS:
            mind.cut_off_since_ns = None
        elif mind.cut_off_since_ns is None:
            mind.cut_off_since_ns = now_ns
        return judged

    def _note_nobody(self, mind: ServiceMind, record: ServiceRecord | None, now_ns: int) -> None:
        nobody = record is not None and record.primary is None
        if not nobody:
            mind.nobody_since_ns = None
        elif mind.nobody_since_ns is None:
            mind.nobody_since_ns = now_ns

    def _run_failed(self, record: ServiceRecord | None) -> bool:
        run = self._run_records.get(record.run) if record is not None and record.run else None
        return run is not None and run.state in RUN_WITHOUT_SUCCESS

    def _run_waits(self, mind: ServiceMind, record: ServiceRecord | None) -> bool:
        """The run that holds the service waits for a person, wherever it is carried out."""
        if mind.run or (record is not None and record.target == self._site):
            return (
                mind.run_waits
            )  # one that is this site's to carry out waits only once it is under way again
        run = self._run_records.get(record.run) if record is not None and record.run else None
        return run is not None and run.state == "waiting"

    def _pause_left(self, mind: ServiceMind, record: ServiceRecord | None, now_ns: int) -> float | None:
        """Counted on this clock from when this pause was first read here; None when there is none."""
        if record is None:
            return None  # whether there is one is not known; one that was is not forgotten for that
        pause = record.pause
        if pause is None:
            mind.pause_id = ""
            return None
        if pause.pause_id != mind.pause_id:
            mind.pause_id = pause.pause_id
            mind.pause_ends_ns = now_ns + int(pause.seconds * 1e9)
        left = (mind.pause_ends_ns - now_ns) / 1e9
        return left if left > 0 else None

    def _restarts_left(self, service: Service, mind: ServiceMind, now_ns: int) -> int:
        window_ns = int(RESTART_WINDOW_SECONDS * 1e9)
        lately = sum(1 for at in mind.restarts_ns if now_ns - at <= window_ns)
        return max(0, service.local_restarts - lately)


def _may_serve_there(service: ServiceView, peer: str, keeper: KeeperView | None) -> bool:
    """It may be serving at the other site by a right that does not end with that site's lease, or nobody
    knows. What is ours, or was given up, or is automatic there, is not: that is fenced by now (P7)."""
    record, policy = service.record, service.service.failover
    broke_glass = keeper is not None and keeper.peer is not None and keeper.peer.break_glass
    if record is None or service.service.watch_only or policy is FailoverPolicy.FOLLOWED or broke_glass:
        return True
    paused = service.pause_left_seconds is not None
    return record.primary == peer and (record.mode is Mode.MANUAL or paused)


def guard_clocks(site: str, keeper: KeeperView | None) -> tuple[ClockWord, ...]:
    """How the clocks of this site's guards run, as its keeper hears them."""
    if keeper is None:
        return ()
    return tuple(
        ClockWord(observer=site, about=f"guard/{name}", rate=rate) for name, rate in keeper.guard_clock_rates
    )


def _renews(keeper: KeeperView | None, now_ns: int) -> bool:
    """The peer's key has moved within half a lease."""
    if keeper is None or keeper.peer is None or keeper.peer.revoked:
        return False
    return now_ns - keeper.peer_seen_ns <= keeper.peer.lease_duration_ns / 2


def _pause_words(pause: Pause) -> str:
    return f"paused by {pause.who} at {pause.since} for {pause.seconds:g} s: {pause.reason}"


def is_guarded(estate: Estate, service: Service) -> bool:
    """The estate sets a guard up for it, and both its sites can hear theirs."""
    places = [estate.sites[site] for site in service.sites]
    return service.guard is not None and all(place.guards and place.tls for place in places)
