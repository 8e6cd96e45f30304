"""Every input of the deciding core, by the abstract values that matter, without writing each of them down.

The number of all combinations has some twenty digits. But a decision reads only a part of its input before it
is made, and what it has not read cannot have changed it. So the input is made up while it is read: a value
is chosen when it is asked for, the decision is made, and afterwards the last choice is made otherwise, until
none is left. Each way through stands for all combinations of what it never read; together they are all.

The gates are looked at one by one: a decision sees of each only whether it is open, so it is made for every
way in which eight gates can be open, closed or not known; and each gate is asked with every input of its own.

What is read are doubles that behave as the real View, ServiceView and the records in them do (their own
methods and properties are used); a field that this file has no values for is an error, so that a new input of
the core must be added here. At the end of each way the same is decided for the real types.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from math import prod
from types import FunctionType
from typing import Any, cast

from orchestrator.core.capacity import Room
from orchestrator.core.clocks import ClockWord
from orchestrator.core.decision import Decision, decide
from orchestrator.core.devices import Device, Power
from orchestrator.core.diagnosis import Row, diagnose
from orchestrator.core.gates import CHECKS, Check, Gate, Wish
from orchestrator.core.keeper_view import KeeperView, ServiceHeld
from orchestrator.core.records import Mode, Movement, ServiceRecord, SiteRecord
from orchestrator.core.view import ServiceView, View
from sites.model import FailoverPolicy, FencePolicy, Objectives, Service
from sites.replication.words import Role, Sample
from tests.core.views import LEASE_NS, NOW_NS, SECOND_NS, Instance, Scene, at, probe, still, word

YES_NO: tuple[Any, ...] = (False, True)
ABSENT = "absent"

# Seconds stand on either side of each bound that the core compares them with.
VALUES: dict[str, tuple[Any, ...]] = {
    # the estate
    "home": ("x", "y"),
    "policy": tuple(FailoverPolicy),
    "watch_only": YES_NO,
    "fence": tuple(FencePolicy),
    "lab": YES_NO,
    "guarded": YES_NO,
    # the store, by the keeper
    "keeper": (True, False),
    "known": (True, False),
    "claimed": (True, False),
    "owner": ("x", "y", None),
    "previous": (None, "x", "y"),
    "final": (None, at(1000)),
    "moving": YES_NO,
    "target": (None, "x", "y"),
    "mode": tuple(Mode),
    "lease_left_seconds": (8.0, 0.0),
    "peer_seen": (True, False),
    "peer_silent_seconds": (0.5, 6.0, 12.0, 40.0),  # half a lease 5, a lease 10, hold-down 30
    "peer_lease_over": YES_NO,
    "peer_holds": YES_NO,
    "shut": YES_NO,
    "giving_up": YES_NO,
    "word_needed": YES_NO,
    "hold_relied": YES_NO,
    "under_glass": YES_NO,
    # the instances
    **{
        f"{place}.{name}": values
        for place in ("here", "there")
        for name, values in {
            "role": (Role.PRIMARY, Role.STANDBY, Role.DOWN, Role.UNKNOWN, ABSENT),
            "writable": (True, False),
            "streaming": (True, False),
            "position": (at(1000), at(5), at(5000, "cluster/2"), None),
            "age": (0.1, 2.0),  # before and after the give-up, where one was
        }.items()
    },
    "dead_here": ("", "refused"),
    "outside": (
        (),
        (word("w", "y"),),
        (word("w", "y", age_seconds=5.0),),
        (word("w", "y", age_seconds=60.0),),
        (word("y", "y"),),
    ),
    "client_probes": (
        (),
        (probe("y"), probe("x", "y")),
        (probe("y"), probe("w"), probe("x", "y"), probe("w", "y")),
    ),
    "cut_off_for_seconds": (0.0, 31.0),
    "handed_over_lately": YES_NO,
    "equipped": YES_NO,
    "takes_along": ((), ("t",)),
    "device": tuple(Device),
    # Not believed yet, and believed: after and before what was seen of the old primary.
    "cut_seconds_ago": (0.5, 3.5, 90.0),
    "peer_reached": (True, False, None),
    "clocks": (
        (),
        (ClockWord(observer="x", about="y", rate=0.004), ClockWord(observer="w", about="y", rate=None)),
        (ClockWord(observer="w", about="y", rate=-0.006),),
        (ClockWord(observer="w", about="y", rate=0.02, age_seconds=601.0),),
    ),
    "lag_seconds": (0.2, 61.0, None),  # objective 60, limit 60
    "safe_seconds_ago": (0.5, 90.0, None),
    "still": (  # whatever the word: the rest of what could be lost is within the limit
        None,
        still(85.0),
        still(85.0, seen_seconds_ago=6.1),
        still(85.0, behind_gate=True),
        still(85.0, given_up_epoch=7),
        still(85.0, given_up_epoch=6),
    ),
    "history_seen": ("cluster/1", "cluster/2", ""),
    # the controller's own
    "run_here": ("", "run-1"),
    "run_failed": YES_NO,
    "run_in_doubt": YES_NO,
    "run_waits": YES_NO,
    "paused": YES_NO,
    "flap_left_seconds": (None, 100.0),
    "restarts_left": (0, 1),
    "open_failures": (0, 3),
    "fence_confirmed": (None, False, True),
    "rooms": (
        {},
        {site: Room(True, "") for site in ("x", "y")},
        {site: Room(False, "short") for site in ("x", "y")},
    ),
    "nobody_for_seconds": (0.0, 1.0, 16.0),  # a proof is awaited for 3, taken back after 15
    "not_a_standby_for_seconds": (0.0, 3.0),
    "rejoin_wait_seconds": (0.0, 9.0),
}
INPUTS = prod(len(values) for values in VALUES.values())
_GATES = {f"gate {check.number}": (True, False, None) for check in CHECKS}
_ALL = {**VALUES, **_GATES}


class Choices:
    """The values chosen on one way, in the order in which they were asked for. `wanted`: which of the values
    of each; where it ends, the first."""

    def __init__(self, wanted: list[int]) -> None:
        self._wanted = wanted
        self.taken: list[tuple[str, int]] = []
        self.chosen: dict[str, Any] = {}

    def __call__(self, name: str) -> Any:
        """The value of this name, chosen now if it has not been."""
        if name not in self.chosen:
            number = len(self.taken)
            index = self._wanted[number] if number < len(self._wanted) else 0
            self.taken.append((name, index))
            self.chosen[name] = _ALL[name][index]
        return self.chosen[name]

    def combinations(self, of: int) -> int:
        """How many of so many combinations this way stands for: those of what it never asked for."""
        return of // prod(len(_ALL[name]) for name, _ in self.taken)

    def next(self) -> list[int] | None:
        """What the next way wants, this one's last choice being made otherwise; None: there is none left."""
        for number in reversed(range(len(self.taken))):
            name, index = self.taken[number]
            if index + 1 < len(_ALL[name]):
                return [*(before for _, before in self.taken[:number]), index + 1]
        return None


class Double:
    """Behaves as `real` does, its fields being made up when they are read."""

    def __init__(self, real: type, fields: dict[str, Callable[[], Any]]) -> None:
        self._real = real
        self._fields = fields

    def __getattr__(self, name: str) -> Any:
        fields = self.__dict__["_fields"]
        if name in fields:
            return fields[name]()
        own = self.__dict__["_real"].__dict__.get(name)
        if isinstance(own, property) and own.fget is not None:
            return own.fget(self)
        if isinstance(own, FunctionType):
            return partial(own, self)
        raise AssertionError(f"{self.__dict__['_real'].__name__}.{name} is read, and has no values here")


class Samples:
    """The mapping of fresh samples."""

    def __init__(self, pick: Choices) -> None:
        self._pick = pick
        self._made = {site: _sample(pick, site, place) for site, place in (("x", "here"), ("y", "there"))}

    def get(self, site: str) -> Any:
        """The sample at a site, if there is one."""
        place = "here" if site == "x" else "there"
        return None if self._pick(f"{place}.role") == ABSENT else self._made[site]

    def __getitem__(self, site: str) -> Any:
        found = self.get(site)
        if found is None:
            raise KeyError(site)
        return found


def _sample(pick: Choices, site: str, place: str) -> Double:
    def answers() -> bool:
        return pick(f"{place}.role") in (Role.PRIMARY, Role.STANDBY)

    return Double(
        Sample,
        {
            "role": lambda: pick(f"{place}.role"),
            "taken_at_ns": lambda: NOW_NS - int(pick(f"{place}.age") * SECOND_NS),
            "writable": lambda: pick(f"{place}.writable") if answers() else None,
            "position": lambda: pick(f"{place}.position") if answers() else None,
            "streaming": lambda: (
                pick(f"{place}.streaming") if pick(f"{place}.role") is Role.STANDBY else None
            ),
            "reason": lambda: "",
        },
    )


def _record(pick: Choices) -> Double:
    return Double(
        ServiceRecord,
        {
            "primary": lambda: pick("owner"),
            "epoch": lambda: 7,
            "mode": lambda: pick("mode"),
            "movement": lambda: Movement.MOVING if pick("moving") else Movement.STEADY,
            "previous": lambda: pick("previous"),
            "target": lambda: pick("target"),
            "final_position": lambda: pick("final"),
            "run": lambda: "run-1",
        },
    )


def _held(pick: Choices) -> Double:
    record = _record(pick)
    return Double(
        ServiceHeld,
        {
            "known": lambda: pick("known"),
            "record": lambda: record if pick("claimed") else None,
            "shut": lambda: pick("shut"),
            "giving_up": lambda: pick("giving_up"),
            "under_glass": lambda: "certificate-1" if pick("under_glass") else "",
        },
    )


def _noun(pick: Choices) -> Double:
    return Double(
        Service,
        {
            "name": lambda: "s",
            "home": lambda: pick("home"),
            "failover": lambda: pick("policy"),
            "watch_only": lambda: pick("watch_only"),
            "fence": lambda: pick("fence"),
            "hold_down_seconds": lambda: 30.0,
            "max_data_loss_seconds": lambda: 60.0,
            "objectives": lambda: Objectives.model_validate({"rto": "30m", "rpo": "60s"}),
        },
    )


def _keeper(pick: Choices) -> Double:
    peer = Double(SiteRecord, {"hold": lambda: pick("peer_holds"), "lease_duration_ns": lambda: LEASE_NS})
    return Double(
        KeeperView,
        {
            "phase": lambda: "active" if pick("known") else "registering",
            "deadline_ns": lambda: NOW_NS + int(pick("lease_left_seconds") * SECOND_NS),
            "peer": lambda: peer if pick("peer_seen") else None,
            "peer_seen_ns": lambda: NOW_NS - int(pick("peer_silent_seconds") * SECOND_NS),
            "peer_lease_over_ns": lambda: _peer_lease_over_ns(pick),
            "word_needed": lambda: pick("word_needed"),
            "hold_relied": lambda: pick("hold_relied"),
        },
    )


def _peer_lease_over_ns(pick: Choices) -> int | None:
    if not pick("peer_seen"):
        return None
    return NOW_NS - 1 if pick("peer_lease_over") else NOW_NS + SECOND_NS


def _power(pick: Choices) -> Double:
    return Double(
        Power,
        {
            "hosts": lambda: ("db",),
            "equipped": lambda: pick("equipped"),
            "takes_along": lambda: pick("takes_along"),
            "device": lambda: pick("device"),
            "words": lambda: "",
            "cut_at_ns": lambda: NOW_NS - int(pick("cut_seconds_ago") * SECOND_NS),
        },
    )


def doubles(pick: Choices) -> tuple[View, ServiceView]:
    """A View and a ServiceView whose values are chosen when they are read."""
    held, noun, keeper, samples = _held(pick), _noun(pick), _keeper(pick), Samples(pick)
    power = _power(pick)

    def picked(name: str) -> Callable[[], Any]:
        return lambda: pick(name)

    safe = "safe_seconds_ago"
    service = Double(
        ServiceView,
        {
            "service": lambda: noun,
            "held": lambda: held if pick("keeper") else None,
            "samples": lambda: samples,
            "safe_until_ns": lambda: None if pick(safe) is None else NOW_NS - int(pick(safe) * SECOND_NS),
            "final_primary_history": picked("history_seen"),
            "pause_left_seconds": lambda: 600.0 if pick("paused") else None,
            "pause_words": lambda: "paused by somebody",
            "power": lambda: power,
            **{
                name: picked(name)
                for name in (
                    "dead_here", "lag_seconds", "outside", "run_here", "run_failed", "run_in_doubt",
                    "run_waits", "flap_left_seconds", "restarts_left", "open_failures", "fence_confirmed",
                    "guarded",
                    "nobody_for_seconds", "not_a_standby_for_seconds", "rejoin_wait_seconds",
                    "client_probes", "cut_off_for_seconds", "handed_over_lately", "rooms", "still",
                )
            },
        },
    )  # fmt: skip
    view = Double(
        View,
        {
            "site": lambda: "x",
            "peer": lambda: "y",
            "now_ns": lambda: NOW_NS,
            "keeper": lambda: keeper if pick("keeper") else None,
            "lab": picked("lab"),
            "peer_reached": picked("peer_reached"),
            "clocks": picked("clocks"),
            "clock_drift": lambda: 0.005,
        },
    )
    view.__dict__["_pick"] = pick
    return cast(View, view), cast(ServiceView, service)


class GateDouble:
    """A gate of which only its answer is known, chosen when it is asked for."""

    def __init__(self, pick: Choices, check: Check) -> None:
        self._pick, self._check = pick, check
        self.number, self.name, self.code, self.evidence = check.number, check.name, check.codes[0], "chosen"

    @property
    def ok(self) -> bool | None:
        """Its answer."""
        return cast(bool | None, self._pick(f"gate {self.number}"))

    @property
    def open(self) -> bool:
        """As of a gate."""
        return self.ok is True


def chosen_gates(view: View, service: ServiceView, wish: Wish) -> tuple[Gate, ...]:
    """In place of `gates`: every answer there may be, whatever the picture."""
    pick = cast(Double, view).__dict__["_pick"]
    return tuple(cast(Gate, GateDouble(pick, check)) for check in CHECKS)


@dataclass(frozen=True, slots=True)
class Way:
    """One way through: what was chosen, and what was decided. `scene` makes the real types of it."""

    pick: Choices
    view: View
    service: ServiceView
    row: Row
    decision: Decision

    def scene(self, others: Callable[[str], int] = lambda name: 0) -> Scene:
        """As a scene of the real types; `others` says which value what was never read shall have."""
        chosen = {
            name: self.pick.chosen[name] if name in self.pick.chosen else values[others(name) % len(values)]
            for name, values in VALUES.items()
        }
        here, there = _instance(chosen, "here"), _instance(chosen, "there")
        plain = {name: value for name, value in chosen.items() if "." not in name}
        return Scene(here=here, there=there, **plain)


def _instance(chosen: dict[str, Any], place: str) -> Instance | None:
    said = {name: chosen[f"{place}.{name}"] for name in ("role", "writable", "streaming", "position")}
    if said["role"] == ABSENT:
        return None
    answers = said["role"] in (Role.PRIMARY, Role.STANDBY)
    said["writable"] = said["writable"] if answers else None
    return Instance(**said, age_seconds=chosen[f"{place}.age"])


def every_way() -> Iterator[Way]:
    """Every way through naming and deciding, its gates chosen. Whoever looks at one may read more of it: that
    makes more ways. `orchestrator.core.decision.gates` must be `chosen_gates` meanwhile."""
    for pick in every_choice():
        view, service = doubles(pick)
        row = diagnose(view, service)
        yield Way(pick, view, service, row, decide(view, service, row.diagnosis))


def every_choice() -> Iterator[Choices]:
    """Choices until every one has been made."""
    wanted: list[int] | None = []
    while wanted is not None:
        pick = Choices(wanted)
        yield pick
        wanted = pick.next()
