"""One small, calm world for one case: two services, x's and y's, and whatever the case does to them."""

from collections.abc import Callable
from typing import Any

from orchestrator.core import messages as m
from orchestrator.core.records import Mode, ServiceRecord
from orchestrator.simulate.checks import Violation
from orchestrator.simulate.clocks import MS, SECOND
from orchestrator.simulate.deeds import DEEDS
from orchestrator.simulate.network import Weather
from orchestrator.simulate.scenario import timing_of
from orchestrator.simulate.world import ServiceSetting, Setting, World

T_NS = 4 * SECOND
LONG_NS = 100 * T_NS
CALM = Weather(1 * MS, 20 * MS, 20 * MS)


class Case:
    """`s` is at home at x, `t` at y; both are open, and everything is well for some leases."""

    def __init__(
        self,
        *,
        manual: tuple[str, ...] = (),
        gated: bool = True,
        rates: dict[str, int] | None = None,
        restores: bool = False,
        grains: dict[str, int] | None = None,
        fence_share: float = 0.5,
        eager: bool = False,
    ) -> None:
        services = {
            name: ServiceSetting(home, Mode.MANUAL if name in manual else Mode.AUTOMATIC)
            for name, home in (("s", "x"), ("t", "y"))
        }
        setting = Setting(
            timing=timing_of(T_NS, 0.005),
            services=services,
            weather=CALM,
            guard_every_ns=500 * MS,
            gated=frozenset(services) if gated else frozenset(),
            rates=rates or {},
            restores=restores,
            grains=grains or {},
            fence_share=fence_share,
            eager=eager,
        )
        self.world = World(setting, 7)
        self.world.settle_at_home()
        self.world.start()
        self.world.replicate()
        self.world.look_at_voters()
        self.run(4)
        assert self.open_at("s") == ["x"]
        assert self.open_at("t") == ["y"]

    def do(self, deed: str, *arguments: Any) -> None:
        """A deed of the simulation, now."""
        DEEDS[deed](self.world, *arguments)

    def run(self, leases: float) -> None:
        """Time passes; whatever must always hold, holds."""
        self.world.run(int(leases * T_NS))
        assert self.violations == []

    @property
    def violations(self) -> list[Violation]:
        """What did not hold."""
        return self.world.checks.violations

    def until(self, fits: Callable[[], bool], *, leases: float) -> float:
        """Run until it fits; how many leases that took."""
        begun_ns = self.world.now_ns
        while not fits():
            assert self.world.now_ns < begun_ns + leases * T_NS, "what was waited for did not come"
            self.run(1 / 200)
        return (self.world.now_ns - begun_ns) / T_NS

    def open_at(self, service: str) -> list[str]:
        """Where it accepts client writes, by the hosts, not by belief."""
        return [site for site in ("x", "y") if self.world.hosts[site, service].writable()]

    def must_not_be_cut(self, *services: str) -> None:
        """From now on it is a violation if one of them is cut off where it is open."""
        for service in services:
            for site in self.open_at(service):
                self.world.checks.healthy.add((site, service))

    def record(self, service: str) -> ServiceRecord:
        """`services/S`."""
        item = self.world.store.service(service)
        assert item is not None
        return item.record

    def holds(self, site: str) -> bool:
        """Whether that site's key carries hold."""
        item = self.world.store.site(site)
        return item is not None and item.record.hold

    def breaks_glass(self, site: str) -> bool:
        """Whether that site's key says that glass is broken there."""
        item = self.world.store.site(site)
        return item is not None and item.record.break_glass

    def ask(self, site: str, what: m.Ask) -> m.Reply | None:
        """An ask, and its reply once it has come."""
        replies: list[m.Reply] = []
        self.world.controllers[site].ask(what, replies.append)
        self.run(1)
        return replies[0] if replies else None

    def patient(self, *sites: str) -> None:
        """These sites' controllers take nothing over by themselves: a hold-down, or a pause."""
        for site in sites:
            self.world.controllers[site].takes = False
