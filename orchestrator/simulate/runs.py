"""A run of a deciding controller: ask for the ownership, promote, make sure, settle, as the product's do."""

from typing import TYPE_CHECKING

from orchestrator.core import messages as m
from orchestrator.core.records import Movement, RunRecord, ServiceRecord
from orchestrator.core.view import ServiceView, View
from orchestrator.simulate.clocks import SECOND
from sites.replication.positions import reached

if TYPE_CHECKING:
    from orchestrator.simulate.deciders import Decider

PATIENCE_NS = 12 * SECOND
PROMOTION_NS = 4 * SECOND


class Run:
    """One run, looked at in every turn. `epoch`: the one that it was planned to reach; `record`: of a claim
    that makes it public; `asked`: a takeover whose answer is still to come."""

    def __init__(
        self,
        decider: "Decider",
        name: str,
        run: str,
        kind: str,
        *,
        epoch: int,
        record: RunRecord | None = None,
        automatic: bool = False,
        asked: bool = False,
    ) -> None:
        self.decider = decider
        self.name = name
        self.run = run
        self.kind = kind
        self.epoch = epoch
        self.record = record
        self.automatic = automatic
        self.asked = asked
        self.waits = asked
        self.requested = False
        self.opening_ns: int | None = None
        self.begun_ns = decider.eyes.now()
        self.life = decider.lives
        decider.eyes.minds[name].run = run

    def answered(self, reply: m.Reply) -> None:
        """The keeper's answer to what was asked last."""
        if self.life != self.decider.lives or self.decider.runs.get(self.name) is not self:
            return
        self.waits = False
        if not reply.done:
            self._over(failed=not self.asked)

    def go_on(self, view: View, service: ServiceView) -> None:
        """The next step, if its turn has come."""
        record = service.record
        if self.waits:
            if view.now_ns > self.begun_ns + 4 * PATIENCE_NS:
                self._over(failed=True)
            return
        if record is None:
            return
        mine = record.run == self.run and record.movement is Movement.MOVING
        if record.primary == view.site and mine:
            self._promote(view, record)
        elif record.primary is None and (mine or self.record is not None):
            self._claim(view, record)
        elif record.primary == view.peer and mine and not record.refusal and not view.peer_lease_over:
            self._request(view)
        else:
            self._over(failed=True)

    def _ask(self, what: m.Ask) -> None:
        self.waits = True
        self.decider.ask(what, self.answered)

    def _request(self, view: View) -> None:
        if not self.requested:
            self.requested = True
            self._ask(m.RequestGiveUp(service=self.name, run=self.run))
        elif view.now_ns > self.begun_ns + PATIENCE_NS:
            self._over(failed=True)

    def _claim(self, view: View, record: ServiceRecord) -> None:
        said = self.decider.world.hosts[view.site, self.name].said()
        final = record.final_position
        if (
            final is not None
            and reached(said, final) is not True
            and view.now_ns < self.begun_ns + PATIENCE_NS
        ):
            return  # it is waited for
        if final is None and self.kind == "switchover":
            self._over(failed=True)  # cut off before everything was sent: a person decides
            return
        self._ask(
            m.Claim(
                service=self.name,
                run=self.run,
                epoch=self.epoch,
                record=self.record,
                received=said,
                accept_loss=False,
                mode_if_new=record.mode,
                who=view.site,
                why="given up",
                automatic=self.automatic,
                at_unix_seconds=self.decider.world.now_ns / 1e9,
            )
        )

    def _promote(self, view: View, record: ServiceRecord) -> None:
        host = self.decider.world.hosts[view.site, self.name]
        if self.opening_ns is None:
            self.opening_ns = view.now_ns
            self.decider.open(self.name, record.epoch)
        elif host.writable():
            self._settle("done")
            self._over(failed=False)
        elif view.now_ns > self.opening_ns + PROMOTION_NS:
            self._settle("its run failed")
            self._over(failed=True)

    def _settle(self, why: str) -> None:
        self.decider.ask(m.Settle(service=self.name, run=self.run, why=why))

    def _over(self, *, failed: bool) -> None:
        mind = self.decider.eyes.minds[self.name]
        mind.run = ""
        del self.decider.runs[self.name]
        outside = self.decider.world.outside
        if failed and outside is not None:
            outside.failed_runs.add(self.run)
        mind.failed_moves = mind.failed_moves + 1 if failed else 0
        mind.act_again_ns = self.decider.eyes.now() + SECOND * 2 ** min(mind.failed_moves, 5)
