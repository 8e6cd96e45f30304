"""What to do about a diagnosis: hold and say why, act, refuse with a code, or ask a person.

An ordered table: number, diagnosis, condition, outcome, one line of why; the first row that fits decides.
The line is what the log, `explain` and the page of decisions show. Pure.
"""

from orchestrator.core.decision_instances import INSTANCES
from orchestrator.core.decision_moves import MOVES
from orchestrator.core.diagnosis import Diagnosis
from orchestrator.core.gates import Gate, Wish, first_closed, gates
from orchestrator.core.rules import ACTS_ON_THE_WORLD, Act, Decision, Rule
from orchestrator.core.view import ServiceView, View

TABLE: tuple[Rule, ...] = MOVES + INSTANCES


def decide(view: View, service: ServiceView, diagnosis: Diagnosis) -> Decision:
    """The first rule of this diagnosis whose condition holds, its gates examined where it is gated."""
    answers: tuple[Gate, ...] = ()
    for rule in TABLE:
        if rule.diagnosis not in (None, diagnosis) or not rule.when.holds(view, service):
            continue
        answers = ()
        if rule.gated or rule.opens:
            answers = gates(view, service, wish_of(rule.act, view, service))
        if not rule.opens or opens_all(rule, answers):
            break
    closed = first_closed(answers) if rule.gated else None
    if closed is not None:
        return Decision(rule.row, Act.REFUSE, closed.code, f"{closed.name}: {closed.evidence}", answers)
    return Decision(rule.row, rule.act, rule.code, rule.why, answers)


def opens_all(rule: Rule, answers: tuple[Gate, ...]) -> bool:
    """A gate is closed, and the rule's act may open every one that is."""
    some = False
    for gate in answers:
        if not gate.open and gate.number not in rule.opens:
            return False
        some = some or not gate.open
    return some


def wish_of(act: Act, view: View, service: ServiceView) -> Wish:
    """The promotion that an act leads to: at the other site for a hand-over, else here."""
    if act is Act.HAND_OVER:
        return Wish(to_site=view.peer, from_site=view.site, planned=True, automatic=True)
    return automatic_wish(view, service)


def automatic_wish(view: View, service: ServiceView) -> Wish:
    """An unplanned promotion here, wanted by the controller itself."""
    record = service.record
    from_site = record.primary or record.previous if record is not None else view.peer
    return Wish(to_site=view.site, from_site=from_site, planned=False, automatic=True)


__all__ = [
    "ACTS_ON_THE_WORLD",
    "TABLE",
    "Act",
    "Decision",
    "Rule",
    "automatic_wish",
    "decide",
    "opens_all",
    "wish_of",
]
