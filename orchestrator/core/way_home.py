"""The way home after a failover, from its first minute on: five stages, which of them are done, which is
next, and what that one waits for. Pure, and only words: nothing is ordered or begun by it.

The first four are gone by themselves, as soon as the home site answers. The last, the planned move, never is:
a person orders it. What is not known is said to be unknown, above all while the home site does not answer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from orchestrator.core.diagnosis import follows
from orchestrator.core.gates import Gate
from orchestrator.core.records import RUN_WITHOUT_SUCCESS, RunRecord
from orchestrator.core.view import ServiceView, View
from sites.quantities import format_size
from sites.replication.words import Copying, Role

UNDER_WAY = ("running", "waiting")


class Stage(StrEnum):
    """The stages, in their order."""

    ANSWERS = "answers"
    SAVED = "saved"
    REJOINED = "rejoined"
    IN_SYNC = "in-sync"
    MOVED = "moved"


class State(StrEnum):
    """How far a stage is. `NEXT`: the first one that is neither done nor going on."""

    DONE = "done"
    GOING_ON = "going-on"
    NEXT = "next"
    LATER = "later"


@dataclass(frozen=True, slots=True)
class Expected:
    """How long a stage took before: the median, the third quartile, and of how many."""

    likely_seconds: float
    cautious_seconds: float
    times: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known beside the view. `statement`: what the failover said would be lost; `rejoin`: the latest
    run that makes the home site a standby again, at the present epoch; `rejoin_words`: how the driver goes
    about it; `gates`: of the planned move home; `expected`: by stages that were ever timed."""

    statement: str = ""
    rejoin: RunRecord | None = None
    rejoin_words: str = ""
    gates: Sequence[Gate] = ()
    expected: Mapping[Stage, Expected] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class StageOnTheWay:
    """One stage. `words`: what is known of it; `waits_for`: what it lacks, of one that is next."""

    number: int
    stage: Stage
    state: State
    title: str
    words: str
    waits_for: tuple[str, ...] = ()
    expected: Expected | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """What was found of one stage, whatever came of those before it."""

    title: str
    words: str
    done: bool = False
    going_on: bool = False
    waits_for: tuple[str, ...] = ()


def way_home(view: View, service: ServiceView, facts: Facts) -> tuple[StageOnTheWay, ...]:
    """The stages of a service whose primary is at the other site than its home. Raises ValueError for one
    that is at home, or nobody's."""
    record, home = service.record, service.service.home
    if record is None or record.primary in (None, home):
        raise ValueError(f"{service.service.name} is not away from home")
    walk = _Walk(view, service, facts, home, record.primary or "")
    found = {
        Stage.ANSWERS: walk.answers(),
        Stage.SAVED: walk.saved(),
        Stage.REJOINED: walk.rejoined(),
        Stage.IN_SYNC: walk.in_sync(),
        Stage.MOVED: walk.moved(),
    }
    stages: list[StageOnTheWay] = []
    before_done = True
    for number, (stage, one) in enumerate(found.items(), 1):
        state = _state(one, before_done=before_done, before=stages)
        before_done = before_done and one.done
        stages.append(
            StageOnTheWay(
                number=number,
                stage=stage,
                state=state,
                title=one.title,
                words=one.words,
                waits_for=one.waits_for if state is State.NEXT else (),
                expected=facts.expected.get(stage),
            )
        )
    return tuple(stages)


def _state(found: _Found, *, before_done: bool, before: list[StageOnTheWay]) -> State:
    """A later stage is never done before an earlier one: what was true of it may not be any more."""
    if found.done and before_done:
        return State.DONE
    # A rejoin saves and brings back in one go: both are under way then.
    if found.going_on and all(one.state in (State.DONE, State.GOING_ON) for one in before):
        return State.GOING_ON
    return State.NEXT if before_done else State.LATER


class _Walk:
    """The look at each stage."""

    def __init__(self, view: View, service: ServiceView, facts: Facts, home: str, primary: str) -> None:
        self._view = view
        self._service = service
        self._facts = facts
        self._home = home
        self._primary = primary
        self._name = service.service.name
        sample = service.samples.get(home)
        self._reason = sample.reason if sample is not None else ""
        self._receives = sample is not None and follows(sample, service.final_primary_history)
        self._rejoin = facts.rejoin
        self._values: Mapping[str, Any] = self._rejoin.values.get("rejoined", {}) if self._rejoin else {}

    # --- 1 --------------------------------------------------------------------------------------------

    def answers(self) -> _Found:
        """The controller there and the database's host."""
        role = self._service.role_at(self._home)
        missing = []
        if self._home == self._view.peer and self._view.peer_is_silent:
            missing.append(f"{self._home}'s controller: {self._silence()}")
        if role is Role.UNKNOWN:
            why = f": {self._reason}" if self._reason else ", and nothing was heard of it lately"
            missing.append(f"{self._name}'s database at {self._home}: it does not answer from here{why}")
        down = f" and says that it is not running: {self._reason}" if role is Role.DOWN else ""
        words = (
            f"its controller and its database's host answer{down}"
            if not missing
            else "not all of it does yet"
        )
        return _Found(
            title=f"{self._home} answers again", words=words, done=not missing, waits_for=tuple(missing)
        )

    def _silence(self) -> str:
        silent = self._view.peer_silent_seconds
        if silent is None:
            return "not heard of since this controller started"
        over = ", and its lease is over" if self._view.peer_lease_over else ""
        return f"not heard of for {_lasting(silent)}{over}"

    # --- 2 --------------------------------------------------------------------------------------------

    def saved(self) -> _Found:
        """What the home site alone had accepted."""
        known, kept = self._values.get("divergent_bytes"), self._values.get("saved_at")
        if kept is not None:
            size = "how much is not known" if known is None else format_size(int(known))
            words = f"{size}, which {self._primary} never received, is kept at {kept} on its host"
        elif self._values and known == 0:
            words = f"it had nothing that {self._primary} has not"
        elif self._values:
            words = "what it had alone is not known"
        elif self._receives:
            words = (
                f"it receives from {self._primary}, so nothing stands apart any more; what was kept, if "
                f"anything: `twinsite history {self._name} --kind accepted`"
            )
        else:
            said = f"; the failover said: {self._facts.statement}" if self._facts.statement else ""
            words = f"how much it has alone is unknown before it answers{said}"
        if self._values and not self._receives and self._rejoin is not None:
            words = f"as run {self._rejoin.run} found it: {words}"
        return _Found(
            title=f"what {self._home} alone had accepted is saved",
            words=words,
            done=bool(self._values) or self._receives,
            going_on=self._under_way(),
            waits_for=self._rejoin_lacks(),
        )

    # --- 3 --------------------------------------------------------------------------------------------

    def rejoined(self) -> _Found:
        """The rejoin, by whatever way it goes."""
        way = self._facts.rejoin_words or "its driver does not say how"
        role = self._service.role_at(self._home)
        if self._receives:
            method = f" ({self._values['method']})" if self._values.get("method") else ""
            words = f"it is a standby again{method}, and receives from {self._primary}"
        elif self._under_way() and self._rejoin is not None:
            words = f"run {self._rejoin.run} is at it{self._step()}{self._copied()}; {way}"
        elif role is Role.PRIMARY:
            words = f"its instance runs as a primary; its own controller cuts it off first; then: {way}"
        else:
            words = f"which way shows when it answers: {way}"
        return _Found(
            title=f"{self._home} is made a standby of {self._primary} again",
            words=words,
            done=self._receives,
            going_on=self._under_way(),
            waits_for=self._rejoin_lacks(),
        )

    def _under_way(self) -> bool:
        return not self._receives and self._rejoin is not None and self._rejoin.state in UNDER_WAY

    def _step(self) -> str:
        assert self._rejoin is not None
        waits = [f", and waits for a person: {wait.words}" for wait in self._rejoin.waits]
        running = [f", step {step.step}" for step in self._rejoin.steps if step.state == "running"]
        return "".join([*running[:1], *waits[:1]])

    def _copied(self) -> str:
        sample = self._service.samples.get(self._primary)
        copying = sample.copying if sample is not None else None
        return f"; a full copy is under way: {_share(copying)}" if copying is not None else ""

    def _rejoin_lacks(self) -> tuple[str, ...]:
        """Why it has not begun, or what it came to."""
        run = self._rejoin
        if run is not None and run.state in RUN_WITHOUT_SUCCESS:
            why = f": {run.outcome}" if run.outcome else ""
            again = (
                f"it is tried again by itself; `twinsite --site {self._home} explain {self._name}` says when"
            )
            return (f"run {run.run} {run.state}{why}; {again}",)
        ask = f"`twinsite --site {self._home} explain {self._name}`"
        return (f"{self._home}'s controller, which begins it by itself; if it does not, {ask} says why",)

    # --- 4 --------------------------------------------------------------------------------------------

    def in_sync(self) -> _Found:
        """What is written at the primary is there soon enough."""
        limit, lag = self._service.service.objectives.rpo_seconds, self._service.lag_seconds
        lacks: tuple[str, ...] = ()
        within = f"at most {_lasting(limit)} behind (its `objectives.rpo`)"
        if not self._receives:
            words = f"until it is {within}; how far behind it will be is unknown"
        elif lag is None:
            words = "how far behind it is is unknown"
            lacks = (f"a lag that is known, and {within}",)
        elif lag > limit:
            words = f"it is {_lasting(lag)} behind, and receives"
            lacks = (f"the standby to be {within}",)
        else:
            words = f"it is {_lasting(lag)} behind, {within}"
        return _Found(
            title=f"{self._home} is in sync with {self._primary}",
            words=words,
            done=self._receives and lag is not None and lag <= limit,
            going_on=self._receives and lag is not None and lag > limit,
            waits_for=lacks,
        )

    # --- 5 --------------------------------------------------------------------------------------------

    def moved(self) -> _Found:
        """The planned move."""
        closed = tuple(
            f"{gate.name} ({gate.code}): {gate.evidence}" for gate in self._facts.gates if not gate.open
        )
        order = f"a person's order, which nothing replaces: `twinsite failback {self._name}`"
        return _Found(
            title=f"{self._name} is moved home to {self._home}, in order",
            words="nothing is lost by it; it never happens by itself",
            waits_for=closed or (order,),
        )


def _share(copying: Copying) -> str:
    """How much of a copy has been sent."""
    sent = format_size(copying.sent_bytes)
    if not copying.of_bytes:
        return f"{sent} sent, of how much is unknown"
    # What is written meanwhile is sent too, so it may come to more than was reckoned with.
    share = min(100, copying.sent_bytes * 100 // copying.of_bytes)
    return f"{sent} of {format_size(copying.of_bytes)} sent ({share} %)"


def _lasting(seconds: float) -> str:
    """A stretch of time, for people."""
    if seconds < 120:
        return f"{seconds:.1f} s" if seconds < 20 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7_200 else f"{seconds / 3_600:.1f} h"
