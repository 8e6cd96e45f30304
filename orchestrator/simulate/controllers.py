"""The controller in the simulation: an eager one, that asks its keeper for whatever might pass.

It is less careful than the product's: no gate, no hold-down, no patience. Safety must not depend on it.
"""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from orchestrator.core import messages as m
from orchestrator.core.gates import Wish
from orchestrator.core.records import Mode, Movement, RunRecord
from orchestrator.core.restored import CERTIFIED
from orchestrator.core.state import Phase
from orchestrator.core.statement import lease_counted_ns
from orchestrator.core.view import View
from orchestrator.simulate.eyes import Eyes
from orchestrator.simulate.hosts import Host
from orchestrator.simulate.losses import Said
from orchestrator.simulate.rejoins import diverged, rejoin

if TYPE_CHECKING:
    from orchestrator.simulate.keepers import KeeperNode
    from orchestrator.simulate.world import World


class ControllerNode:
    """One site's controller: it turns, opens what its site owns, claims what nobody owns, takes what is
    silent, and says that its moves are over."""

    def __init__(self, world: "World", site: str) -> None:
        self.world = world
        self.site = site
        self.peer = world.other(site)
        self.alive = True
        self.stalls = 0
        self.lives = 0
        self.takes = True
        self.claims = True
        self.reconciles = True
        self.asked_of: KeeperNode | None = None
        self.busy: set[tuple[str, str]] = set()
        self.opened: dict[str, int] = {}
        self.eyes = self.fresh_eyes()

    def fresh_eyes(self) -> Eyes:
        """What a controller that starts has seen: nothing."""
        return Eyes(self.world, self.site)

    def start(self) -> None:
        """The first turn."""
        self.lives += 1
        self.eyes = self.fresh_eyes()
        self.busy.clear()
        self.turn(self.lives)

    def turn(self, life: int) -> None:
        """One turn, and the next."""
        if life != self.lives or not self.alive:
            return
        world = self.world
        keeper = world.keeper(self.site)
        if not self.stalls and keeper is not None and keeper.running:
            keeper.tell(m.TurnCompleted())
            self._look(keeper)
        world.after(world.turn_ns, self.turn, life)

    def look_now(self) -> None:
        """Something was seen: it does not wait for its turn."""
        keeper = self.world.keeper(self.site)
        if self.alive and not self.stalls and keeper is not None and keeper.running:
            self._look(keeper)

    def ask(self, what: m.Ask, hear: Callable[[m.Reply], None] | None = None) -> None:
        """Put an ask to the keeper."""
        keeper = self.world.keeper(self.site)
        if keeper is None or not keeper.running:
            return
        number = self.world.number()
        if hear is not None:
            keeper.replies[number] = hear
        keeper.tell(m.Asked(number, what))

    def _once(self, kind: str, service: str, what: m.Ask) -> None:
        """Put an ask unless the same one is on its way."""
        if (kind, service) in self.busy:
            return
        self.busy.add((kind, service))
        life = self.lives

        def hear(reply: m.Reply) -> None:
            if life == self.lives:
                self.busy.discard((kind, service))

        self.ask(what, hear)

    # --- one turn ------------------------------------------------------------------------------------

    def _look(self, keeper: "KeeperNode") -> None:
        state = keeper.state
        shown = keeper.now()
        if keeper is not self.asked_of:
            self.asked_of = keeper
            self.busy.clear()
        for name in self.world.services:
            held = state.services[name]
            if name in state.glass:
                self._under_glass(keeper, name)
                continue
            if not held.known:
                continue
            if held.item is None:
                if name in state.home_services:
                    self._once("claim", name, self.claim(name))
                continue
            record = held.item.record
            self.eyes.note_nobody(name, shown if record.primary is None else None)
            host = self.world.hosts[self.site, name]
            if record.primary == self.site:
                if not state.entitled(name, shown):
                    continue
                wanted = self.world.services[name].mode
                if record.kind == CERTIFIED and record.mode is not wanted:
                    self._once("mode", name, m.SetMode(service=name, mode=wanted))
                if self.opened.get(name) != record.epoch or not host.writable():
                    self.open(name, record.epoch)
                elif (
                    record.movement is Movement.MOVING
                    and not record.asked_to_give_up
                    and record.target in (None, self.site)
                ):
                    self._once("settle", name, m.Settle(service=name, run=record.run, why="done"))
            elif record.primary is None:
                if self.claims and (record.target in (None, self.site) or self.world.random.random() < 0.2):
                    self._once("claim", name, self.claim(name))
            else:
                if self._strays(host) and self.world.random.random() < 0.3:
                    self._step(host, record.epoch, partial(rejoin, self.world, host))
                silent = shown - state.peer_seen_ns > state.timing.lease_duration_ns // 2
                if self.takes and state.peer_item and silent and record.mode is Mode.AUTOMATIC:
                    self._once("take", name, self.take_over((name,)))

    def _strays(self, host: Host) -> bool:
        """It should be a standby, and is not."""
        world = self.world
        if world.setting.eager or host.rejoins:
            return False
        return host.promoted or diverged(host, world.hosts[self.peer, host.service])

    def _under_glass(self, keeper: "KeeperNode", name: str) -> None:
        """P31: served by a certificate: opened by it, and reconciled as soon as the store answers."""
        state, shown = keeper.state, keeper.now()
        glass = state.under_glass(name)
        host = self.world.hosts[self.site, name]
        if glass is not None and not host.writable() and state.entitled(name, shown):
            self.open(name, glass.epoch)
        if state.phase is Phase.ACTIVE and self.reconciles:
            self._once("reconcile", name, m.Reconcile(service=name, who="operator", why="the store is back"))

    def open(self, name: str, epoch: int) -> None:
        """P26: asked immediately before, then the instance is opened, then the keeper knows."""
        host = self.world.hosts[self.site, name]
        if not host.running:
            return

        def may(reply: m.Reply) -> None:
            if reply.done:
                self.ask(m.InstanceOpened(service=name), noted)

        def noted(reply: m.Reply) -> None:
            if reply.done:
                self.opened[name] = epoch
                self._step(host, epoch, host.open)

        self.ask(m.MayAct(service=name, epoch=epoch), may)

    def _step(self, host: Host, epoch: int, work: Callable[[], None]) -> None:
        """A step of a run, started on a host by its wrapper (P26)."""
        token = (epoch, self.world.number())
        self.world.after(self.world.step_takes(), host.step, token, work)

    # --- what it asks --------------------------------------------------------------------------------

    def claim(self, name: str, *, accept_loss: bool = False) -> m.Claim:
        """A claim as a run would make it."""
        host = self.world.hosts[self.site, name]
        run, keeper = f"claim-{self.world.number()}", self.world.keeper(self.site)
        held = keeper.state.services[name].item if keeper is not None else None
        if accept_loss:
            self.world.checks.losses.said[run] = Said("any loss was accepted by name", unknown=True)
        else:
            wish = Wish(to_site=self.site, from_site=self.peer, planned=False, automatic=True)
            self._state(name, run, wish)
        return m.Claim(
            service=name,
            run=run,
            epoch=held.record.epoch + 1 if held is not None else 1,
            record=None,
            received=host.said(),
            accept_loss=accept_loss,
            mode_if_new=self.world.services[name].mode,
            who=self.site,
            why="nobody owns it",
        )

    def take_over(
        self,
        services: tuple[str, ...],
        *,
        ordered: bool = False,
        certified: bool = False,
        covers: tuple[str, ...] | None = None,
        hold_down_ns: int = 0,
    ) -> m.TakeOver:
        """A takeover. `covers` None: the certificate says that everything of the other site is off."""
        keeper = self.world.keeper(self.site)
        shown = keeper.now() if keeper is not None else 0
        records = tuple(self.run_record(name, "failover") for name in services)
        wish = Wish(
            to_site=self.site,
            from_site=self.peer,
            planned=False,
            automatic=not ordered,
            certified_down=certified,
        )
        loss_until_ns = 0
        for record in records:
            view = self._state(record.service, record.run, wish)
            if view is not None:
                loss_until_ns = lease_counted_ns(view, wish)
        return m.TakeOver(
            services=services,
            records=records,
            ordered_by_operator=ordered,
            hold_down_ns=hold_down_ns,
            who=self.site,
            why="silent",
            certified_down=certified,
            covers=tuple(self.world.services) if covers is None else covers,
            wait_until_ns=shown + 4 * self.world.timing.lease_duration_ns,
            loss_until_ns=loss_until_ns,
        )

    def _state(self, name: str, run: str, wish: Wish) -> View | None:
        """What this run would lose is said when it is decided (invariant 3)."""
        keeper = self.world.keeper(self.site)
        if keeper is None or self.world.setting.eager:
            return None
        self.world.checks.losses.said[run], view = self.eyes.state_loss(keeper, name, wish)
        return view

    def run_record(self, name: str, kind: str, *, to_site: str = "") -> RunRecord:
        """A run as it would be published."""
        to = to_site or self.site
        return RunRecord(
            run=f"{kind}-{self.world.number()}",
            kind=kind,
            service=name,
            from_site=self.world.other(to),
            to_site=to,
            executor_site=self.site,
            executor=1,
            state="running",
            plan={},
            statement="",
            who=self.site,
            why="",
            started="",
            started_unix_seconds=self.world.now_ns / 1e9,
        )

    def switch_over(self, name: str, to_site: str, kind: str = "switchover") -> None:
        """P26, P23: start a run, then have the holder asked to give up."""
        keeper = self.world.keeper(self.site)
        held = keeper.state.services[name] if keeper is not None else None
        if held is None or held.item is None:
            return
        record = self.run_record(name, kind, to_site=to_site)
        self._state(
            name,
            record.run,
            Wish(
                to_site=to_site,
                from_site=self.world.other(to_site),
                planned=kind != "failover",
                automatic=False,
                holder_lives=kind == "failover",
            ),
        )

        def started(reply: m.Reply) -> None:
            if reply.done:
                self.ask(m.RequestGiveUp(service=name, run=record.run))

        self.ask(
            m.StartRun(
                service=name, record=record, revision=held.item.revision, who="operator", why="planned"
            ),
            started,
        )
