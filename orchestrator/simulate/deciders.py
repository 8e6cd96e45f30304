"""A controller that decides by the product's own tables: what is the matter, what is done about it, and the
gates before any promotion. It carries that out as the product's deeds do, one at a time for each service."""

from functools import partial
from typing import TYPE_CHECKING

from orchestrator.core import messages as m
from orchestrator.core.decision import ACTS_ON_THE_WORLD, Act, Decision, automatic_wish, decide
from orchestrator.core.diagnosis import diagnose
from orchestrator.core.gates import Wish, first_closed, gates
from orchestrator.core.records import Movement, ServiceRecord
from orchestrator.core.state import Phase
from orchestrator.core.view import ServiceView, View
from orchestrator.simulate.clocks import MS, SECOND
from orchestrator.simulate.controllers import ControllerNode
from orchestrator.simulate.outside import Outside
from orchestrator.simulate.rejoins import rejoin
from orchestrator.simulate.runs import Run
from orchestrator.simulate.sight import Mind, Sight
from sites.replication.words import Role

if TYPE_CHECKING:
    from orchestrator.simulate.keepers import KeeperNode
    from orchestrator.simulate.world import World

REJOIN_AGAIN_NS = 5 * SECOND
OPEN_LOOK_NS = 500 * MS
BUSY_NS = 10 * SECOND


class Decider(ControllerNode):
    """One site's. `decided`: what was last decided of each service."""

    eyes: Sight

    def __init__(self, world: "World", site: str) -> None:
        super().__init__(world, site)
        self.turns = 0
        self.runs: dict[str, Run] = {}
        self.decided: dict[str, Decision] = {}

    @property
    def outside(self) -> Outside:
        """What is passed on through the store."""
        outside = self.world.outside
        assert outside is not None
        return outside

    def fresh_eyes(self) -> Sight:
        """What a controller that starts has seen: nothing."""
        self.runs = {}
        return Sight(self.world, self.site)

    def _look(self, keeper: "KeeperNode") -> None:
        if keeper is not self.asked_of:
            self.asked_of = keeper
            self.busy.clear()
            for mind in self.eyes.minds.values():
                mind.busy = False
        self.turns += 1
        if self.turns % 2:
            self.eyes.look_at_clocks()
        shown = keeper.now()
        for name, held in keeper.state.services.items():
            nobody = held.known and held.item is not None and held.item.record.primary is None
            self.eyes.note_nobody(name, shown if nobody else None)
            if name in keeper.state.glass and keeper.state.phase is Phase.ACTIVE and self.reconciles:
                reconcile = m.Reconcile(service=name, who="operator", why="the store is back")
                self._once("reconcile", name, reconcile)
        view = self.eyes.view(keeper, *self.world.services)
        for service in view.services:
            self._consider(view, service)

    def _consider(self, view: View, service: ServiceView) -> None:
        name = service.service.name
        row = diagnose(view, service)
        decision = decide(view, service, row.diagnosis)
        before = self.decided.get(name)
        if self.world.story is not None and (before is None or before.row != decision.row):
            what = f"{name}: {row.diagnosis}: {decision.act} ({decision.code}: {decision.why})"
            self.world.story.say(f"controller {self.site}", what)
        self.decided[name] = decision
        run = self.runs.get(name)
        if run is not None:
            run.go_on(view, service)
        elif decision.act in ACTS_ON_THE_WORLD:
            self._begin(view, service, decision)

    # --- deeds ---------------------------------------------------------------------------------------

    def _begin(self, view: View, service: ServiceView, decision: Decision) -> None:
        name = service.service.name
        mind, record = self.eyes.minds[name], service.record
        if view.now_ns < mind.act_again_ns or (mind.busy and view.now_ns < mind.begun_ns + BUSY_NS):
            return  # a step may have been lost, and nobody says so
        mind.begun_ns = view.now_ns
        mind.act_again_ns = view.now_ns + SECOND
        match decision.act:
            case Act.FIRST_CLAIM:
                self._ask_once(mind, self.claim(name))
            case Act.REOPEN:
                self.open_here(name)
            case Act.RESTART:
                mind.restarts += 1
                self.open_here(name)
            case Act.GIVE_UP:
                self._ask_once(mind, m.GiveUpDead(service=name, why=service.dead_here or "it is dead"))
            case Act.FENCE:
                self._ask_once(mind, m.FenceHere(service=name, why="writable without a right to it"))
            case Act.TAKE_OVER:
                self._take(view, service, ordered=False)
            case Act.CLAIM:
                self.begin_run(view, service, automatic_wish(view, service), "failover", automatic=True)
            case Act.REJOIN:
                mind.rejoin_again_ns = view.now_ns + REJOIN_AGAIN_NS
                host = self.world.hosts[self.site, name]
                self._step(host, record.epoch if record else 0, partial(rejoin, self.world, host))
            case Act.CLAIM_BACK if record is not None:
                self._claim_back(name, mind, record)
            case Act.RELEASE if record is not None:
                self._ask_once(mind, m.Settle(service=name, run=record.run, why="nobody carries it out"))
            case Act.CARRY_OUT if record is not None:
                automatic = record.run in self.outside.by_itself
                self.runs[name] = Run(
                    self, name, record.run, record.kind, epoch=record.epoch + 1, automatic=automatic
                )
            case Act.HAND_OVER if record is not None:
                mind.handed_over = True
                self._start(view, service, self.peer, "switchover", by_itself=True)
            case _:
                pass

    def _ask_once(self, mind: Mind, what: m.Ask) -> None:
        mind.busy = True
        life = self.lives

        def heard(reply: m.Reply) -> None:
            if life == self.lives:
                mind.busy = False

        self.ask(what, heard)

    def _claim_back(self, name: str, mind: Mind, record: ServiceRecord) -> None:
        back = m.Claim(
            service=name,
            run=record.run,
            epoch=record.epoch + 1,
            record=None,
            received=record.final_position,
            accept_loss=False,
            mode_if_new=record.mode,
            who=self.site,
            why="nobody came for it",
        )
        self._ask_once(mind, back)

    def open_here(self, name: str) -> None:
        """P6, P26: with the right to it; the keeper knows first (P7), and once more when it is open."""
        host, mind = self.world.hosts[self.site, name], self.eyes.minds[name]
        mind.busy = True
        life = self.lives

        def may(reply: m.Reply) -> None:
            if life != self.lives:
                return
            mind.busy = reply.done
            if reply.done:
                keeper = self.world.keeper(self.site)
                epoch = keeper.state.epoch(name) if keeper is not None else 0
                self._step(host, epoch, opened)

        def opened() -> None:
            host.open()
            watched(8)

        def watched(left: int) -> None:
            """Until it is open: its guard may take a moment."""
            if life != self.lives:
                return
            self.eyes.look(name)
            if host.writable():
                mind.busy = False
                mind.open_failures_ns.clear()
                self._opened(name)
            elif left and not host.dead:
                self.world.after(OPEN_LOOK_NS, watched, left - 1)
            else:
                mind.busy = False
                mind.open_failures_ns.append(self.eyes.now())

        self.ask(m.InstanceOpened(service=name), may)

    def _opened(self, name: str) -> None:
        """P7: what took long to open may have outlasted the lease: then it is cut off."""

        def heard(reply: m.Reply) -> None:
            if not reply.done:
                self.ask(m.FenceHere(service=name, why="it opened too late"))

        self.ask(m.InstanceOpened(service=name), heard)

    # --- moves ---------------------------------------------------------------------------------------

    def _take(self, view: View, service: ServiceView, *, ordered: bool, certified: bool = False) -> None:
        name = service.service.name
        ask = self.take_over((name,), ordered=ordered, certified=certified)
        if ordered:
            self.world.checks.ordered.add(ask.records[0].run)
        epoch = _next_epoch(service)
        run = Run(self, name, ask.records[0].run, "failover", epoch=epoch, asked=True)
        self.runs[name] = run
        self.ask(ask, run.answered)

    def begin_run(
        self, view: View, service: ServiceView, wish: Wish, kind: str, *, automatic: bool = False
    ) -> None:
        """A run that claims what was given up."""
        name = service.service.name
        record = self.run_record(name, kind)
        if not wish.automatic:
            self.world.checks.ordered.add(record.run)
        self._state(name, record.run, wish)
        self.runs[name] = Run(
            self, name, record.run, kind, epoch=_next_epoch(service), record=record, automatic=automatic
        )

    def _start(
        self, view: View, service: ServiceView, to_site: str, kind: str, *, by_itself: bool = False
    ) -> None:
        """P26: from steady to a run, which the site that is to have it carries out."""
        name, held = service.service.name, service.held
        if held is None or held.record is None:
            return
        record = self.run_record(name, kind, to_site=to_site)
        wish = Wish(
            to_site=to_site,
            from_site=self.world.other(to_site),
            planned=kind == "switchover",
            automatic=False,
            holder_lives=kind == "failover",
        )
        self._state(name, record.run, wish)
        (self.outside.by_itself if by_itself else self.world.checks.ordered).add(record.run)
        self.ask(
            m.StartRun(service=name, record=record, revision=held.revision, who="operator", why="ordered")
        )

    # --- what people order ---------------------------------------------------------------------------

    def switch_over(self, name: str, to_site: str, kind: str = "switchover") -> None:
        """A person orders a move here; every gate is looked at first."""
        found = self._seen(name)
        if found is None:
            return
        view, service = found
        record = service.record
        if record is None or record.movement is not Movement.STEADY or name in self.runs:
            return
        if kind == "failover" and record.primary in (self.peer, None):
            self._order_failover(view, service, record)
        elif kind == "switchover" and record.primary == self.world.other(to_site):
            wish = Wish(to_site=to_site, from_site=record.primary, planned=True, automatic=False)
            if first_closed(gates(view, service, wish)) is None:
                self._start(view, service, to_site, kind)

    def certify(self, name: str) -> None:
        """P28: a person orders a failover and certifies, truthfully, that the other site is off."""
        found = self._seen(name)
        if found is not None and found[1].record is not None and name not in self.runs:
            self._order_failover(*found, found[1].record, certified=True)

    def _seen(self, name: str) -> tuple[View, ServiceView] | None:
        keeper = self.world.keeper(self.site)
        if not self.alive or self.stalls or keeper is None or not keeper.running:
            return None
        view = self.eyes.view(keeper, name)
        return view, view.services[0]

    def _order_failover(
        self, view: View, service: ServiceView, record: ServiceRecord, *, certified: bool = False
    ) -> None:
        lives = record.primary == self.peer and not view.peer_lease_over
        lives = lives and service.role_at(self.peer) in (Role.DOWN, Role.STANDBY) and not certified
        wish = Wish(
            to_site=self.site,
            from_site=record.primary or record.previous,
            planned=False,
            automatic=False,
            certified_down=certified,
            holder_lives=lives,
        )
        if first_closed(gates(view, service, wish)) is not None:
            return
        if record.primary is None:
            self.begin_run(view, service, wish, "failover")
        elif lives:
            self._start(view, service, self.site, "failover")
        else:
            self._take(view, service, ordered=True, certified=certified)


def _next_epoch(service: ServiceView) -> int:
    """The epoch that a move brings which is decided on this picture."""
    return service.record.epoch + 1 if service.record is not None else 1
