"""How many hosts of a group of steps are under way at a time: `at_most`. Pure.

A host is under way from the start of its first step of the group until its last one has ended, so that five
hosts at a time are five hosts, also where each of them has several steps.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from runbooks.planned import PlannedStep


@dataclass(slots=True)
class Limits:
    """The groups of one plan that have a limit, and the steps of each of their lanes."""

    lanes: Mapping[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)

    @staticmethod
    def of(steps: Iterable[PlannedStep]) -> "Limits":
        """The limits of these steps."""
        lanes: dict[tuple[str, str], list[str]] = {}
        for step in steps:
            for limit in step.limits:
                lanes.setdefault((limit.group, limit.lane), []).append(step.id)
        return Limits({lane: tuple(ids) for lane, ids in lanes.items()})

    def allowed(
        self, ready: Iterable[PlannedStep], begun: Collection[str], ended: Collection[str]
    ) -> Iterator[PlannedStep]:
        """Those of the ready steps that may begin now, in their order, each that is given out counted in.

        `begun` are the steps that are under way or have ended, `ended` those that have ended.
        """
        if not self.lanes:
            yield from ready
            return
        under_way: dict[str, set[str]] = {}
        for (group, lane), ids in self.lanes.items():
            if any(one in begun for one in ids) and not all(one in ended for one in ids):
                under_way.setdefault(group, set()).add(lane)
        for step in ready:
            if all(self._room(under_way, step)):
                for limit in step.limits:
                    under_way.setdefault(limit.group, set()).add(limit.lane)
                yield step

    @staticmethod
    def _room(under_way: Mapping[str, set[str]], step: PlannedStep) -> Iterator[bool]:
        for limit in step.limits:
            lanes = under_way.get(limit.group, set())
            yield limit.lane in lanes or len(lanes) < limit.at_most
