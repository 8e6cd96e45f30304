"""Whether an order about a run may be followed: a judgement over the run's progress, and nothing else. Pure.

An order says up to which earlier order its giver knew. One that was given without knowing of another is
refused, and its giver is told of that one: of two people who steer at once, one wins, and both know who.
"""

from dataclasses import dataclass, replace

from runbooks.context import bounded
from runbooks.model import APPROVE, BY_PEOPLE, OWNERSHIP, PERSON
from runbooks.planned import PlannedStep
from runbooks.progress import Progress, StepState
from runbooks.standing import FAILED, StepProgress
from runbooks.steered import OF_A_STEP, ORDERS_LIMIT, Order, Verb, login_of

TEXT_LIMIT_CHARACTERS = 1000


@dataclass(frozen=True, slots=True)
class Refused:
    """The order is not followed: a stable code, and words for whoever gave it."""

    code: str
    message: str


def judge(progress: Progress, order: Order) -> Order | Refused:
    """The order with its number, or why it is not followed."""
    refused = (
        _of_the_run(progress, order)
        or _unseen(progress, order)
        or (_of_a_step(progress, order) if order.verb in OF_A_STEP else _of_the_whole(progress, order))
    )
    if refused is not None:
        return refused
    return replace(
        order,
        number=progress.last_order + 1,
        reason=bounded(order.reason, TEXT_LIMIT_CHARACTERS),
        evidence=bounded(order.evidence, TEXT_LIMIT_CHARACTERS),
    )


def _of_the_run(progress: Progress, order: Order) -> Refused | None:
    if progress.ended is not None and progress.final:
        return Refused("run-ended", f"the run has ended: {progress.outcome}: {progress.ended.summary}")
    if progress.aborted is not None:
        return Refused("run-ending", f"it is ending already: {progress.aborted}")
    if progress.undo_wanted and order.verb in (Verb.PAUSE, Verb.UNDO):
        by = f": {progress.undo_ordered}" if progress.undo_ordered is not None else ""
        return Refused("run-ending", f"what was done is being taken back already{by}")
    # There is always room for the order that ends it.
    if len(progress.orders) >= ORDERS_LIMIT and order.verb is not Verb.ABORT:
        return Refused("too-many-orders", f"{ORDERS_LIMIT} orders were given; all that is left is abort")
    if not order.reason.strip():
        return Refused("reason-missing", f"{order.verb} needs a reason: it stands in the record")
    return None


def _unseen(progress: Progress, order: Order) -> Refused | None:
    """Agreeing and saying what one did go together; everything else is based on what was seen."""
    side_by_side = (Verb.APPROVE, Verb.DONE)
    for other in progress.orders:
        if other.number <= order.seen:
            continue
        together = order.verb in side_by_side and other.verb in side_by_side
        if together and (other.step != order.step or order.verb is Verb.APPROVE):
            continue
        return Refused(
            "steered-meanwhile",
            f"{other.who} was first: order {other.number}, {other}. Look again, and order anew if it is "
            f"still "
            "wanted",
        )
    return None


def _of_the_whole(progress: Progress, order: Order) -> Refused | None:
    if order.step:
        return Refused("wrong-request", f"{order.verb} is of the whole run, not of step {order.step}")
    if order.verb is Verb.PAUSE and progress.paused is not None:
        return Refused("run-paused", f"it is paused already: {progress.paused}")
    if order.verb is Verb.RESUME and progress.paused is None:
        return Refused("run-not-paused", "it is not paused, so there is nothing to resume")
    return None


def _of_a_step(progress: Progress, order: Order) -> Refused | None:
    step = progress.step(order.step)
    if step is None:
        known = ", ".join(each.id for each in progress.all_steps)
        return Refused("unknown-step", f"no step {order.step!r}; there is {known}")
    state = progress.steps[step.id]
    if step.action.startswith(OWNERSHIP) and order.verb is not Verb.RETRY:
        return Refused(
            "step-decides-ownership",
            f"step {step.number} decides who may be primary: no word stands in for it; abort, or undo",
        )
    if progress.halted(step):
        return Refused("run-ending", "what was done is being taken back: nothing of the plan is carried out")
    judges = {Verb.RETRY: _retry, Verb.SKIP: _skip, Verb.DONE: _done, Verb.APPROVE: _approve}
    return judges[order.verb](progress, step, state, order)


def _said(step: PlannedStep, state: StepProgress) -> str:
    return f"step {step.number}, {step.title}, is {str(state.state).replace('-', ' ')}"


def _retry(progress: Progress, step: PlannedStep, state: StepProgress, order: Order) -> Refused | None:
    if state.state in FAILED or state.state is StepState.IN_DOUBT:
        return None
    if state.state is StepState.STARTED:
        return Refused("step-running", f"{_said(step, state)}: it is under way")
    if state.state is StepState.WAITING:
        return Refused("step-not-failed", f"{_said(step, state)}: its turn comes by itself")
    return Refused("step-ended-well", f"{_said(step, state)}: what ended well is not carried out twice")


def _skip(progress: Progress, step: PlannedStep, state: StepProgress, order: Order) -> Refused | None:
    if step.action == APPROVE:
        return Refused("approval-needed", f"step {step.number} asks for approval, which nobody can skip")
    if state.state is StepState.STARTED and step.action != PERSON:
        return Refused("step-running", f"{_said(step, state)}: it is under way; pause, and wait for its end")
    if state.state in (StepState.WAITING, StepState.STARTED, StepState.IN_DOUBT) or state.state in FAILED:
        return None
    return Refused("step-ended-well", f"{_said(step, state)}: there is nothing left to skip")


def _done(progress: Progress, step: PlannedStep, state: StepProgress, order: Order) -> Refused | None:
    if step.action == APPROVE:
        return Refused("approval-needed", f"step {step.number} asks for approval: `runs approve`")
    if state.state is StepState.STARTED and step.action not in BY_PEOPLE:
        return Refused("step-running", f"{_said(step, state)}: it is under way")
    if state.state is StepState.WAITING:
        return Refused("step-not-failed", f"{_said(step, state)}: its turn has not come")
    if state.state not in FAILED and state.state not in (StepState.STARTED, StepState.IN_DOUBT):
        return Refused("step-ended-well", f"{_said(step, state)} already")
    if state.word is not None and state.state is StepState.STARTED:
        return Refused("step-ended-well", f"{state.word.who} said so already: {state.word}")
    wanted = str(step.arguments.get("evidence", "")) if step.action == PERSON else "what you saw there"
    if wanted and not order.evidence.strip():
        return Refused("evidence-missing", f"step {step.number} asks for evidence: {wanted}")
    role = str(step.arguments.get("role", "")) if step.action == PERSON else ""
    if role and role not in order.roles:
        return Refused("role-missing", f"step {step.number} is for the role {role}; {_roles(order)}")
    return None


def _approve(progress: Progress, step: PlannedStep, state: StepProgress, order: Order) -> Refused | None:
    if step.action != APPROVE:
        return Refused("nothing-to-approve", f"step {step.number} asks for no approval")
    if state.state is not StepState.STARTED:
        return Refused("nothing-to-approve", f"{_said(step, state)}: it waits for nobody now")
    if login_of(order.who) == login_of(progress.who):
        return Refused("approve-own", f"the run was ordered by {progress.who}: somebody else approves it")
    if any(login_of(order.who) == login_of(given.who) for given in state.approvals):
        return Refused("approved-already", f"{order.who} has approved it already; another person is needed")
    role, owner = str(step.arguments.get("role", "")), str(step.arguments.get("owner", ""))
    if role and role not in order.roles:
        return Refused("role-missing", f"step {step.number} is for the role {role}; {_roles(order)}")
    if owner and owner != order.owner:
        of = order.owner or "nobody known here"
        return Refused(
            "owner-wrong", f"step {step.number} is for the staff of {owner}; {order.who} is of {of}"
        )
    return None


def _roles(order: Order) -> str:
    return f"{order.who} has {', '.join(order.roles) or 'no role'} (`access.roles` in sites.yaml)"
