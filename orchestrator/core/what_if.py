"""What would have to change for a controller to act about a service by itself: read off the very tables by
which it decided, so that the answer cannot be another than the decision. Pure.
"""

from orchestrator.core.conditions import ALWAYS
from orchestrator.core.decision import ACTS_ON_THE_WORLD, TABLE, Decision, Rule, wish_of
from orchestrator.core.diagnosis import Diagnosis
from orchestrator.core.gates import gates
from orchestrator.core.view import ServiceView, View

# Diagnoses under which nothing is ever done by itself: what would have to be the matter instead.
OTHERWISE = {
    Diagnosis.WATCH_ONLY: "it would need a replication driver that twinsite has",
    Diagnosis.UNKNOWN: "the keeper would have to reach the store and register there",
    Diagnosis.WORD_MISSING: "the other site's controller would have to answer, or a person certify that site",
    Diagnosis.ISOLATED: "this site would have to get its lease back: store or other site must answer",
    Diagnosis.PRIMARY_UNKNOWN: "its database would have to answer, or be positively not running",
    Diagnosis.PEER_SILENT: "its site would have to stay silent until its lease is over",
    Diagnosis.LINK_DOWN: "its site would have to be down as well: silent until its lease is over",
    Diagnosis.UNPROTECTED: "its database would have to die, or its site be lost",
    Diagnosis.LAGGING: "its database would have to die, its site be lost, or its clients be cut off from it",
    Diagnosis.HEALTHY: "its database would have to die, its site be lost, or its clients be cut off from it",
}


def would_have_to_change(
    view: View, service: ServiceView, diagnosis: Diagnosis, decision: Decision
) -> tuple[str, ...]:
    """A line for each thing that stands in the way; nothing for a decision to act."""
    if decision.act in ACTS_ON_THE_WORLD:
        return ()
    # Rows that only open a gate come on the way to the one behind them.
    rules = [rule for rule in TABLE if rule.diagnosis in (None, diagnosis) and not rule.opens]
    ahead = [rule for rule in rules if rule.row >= decision.row and rule.when.holds(view, service)]
    acting = next((rule for rule in ahead if rule.act in ACTS_ON_THE_WORLD), None)
    if acting is not None:
        lines = [_must_end(rule) for rule in ahead if rule.row < acting.row]
        return (*lines, *_closed_gates(view, service, acting))
    if diagnosis in OTHERWISE:
        return (OTHERWISE[diagnosis],)
    instead = [
        f"it would have to be so: {rule.when.words}"
        for rule in rules
        if rule.act in ACTS_ON_THE_WORLD and not rule.when.holds(view, service)
    ]
    if len(instead) > 1:
        return ("one of these would have to be so:", *(line.partition(": ")[2] for line in instead))
    return tuple(instead)


def _must_end(rule: Rule) -> str:
    words = rule.when.words if rule.when is not ALWAYS else rule.why
    return f"this would have to end: {words}"


def _closed_gates(view: View, service: ServiceView, rule: Rule) -> tuple[str, ...]:
    if not rule.gated:
        return ()
    return tuple(
        f"gate {gate.number}, {gate.name}, would have to open: {gate.evidence}"
        for gate in gates(view, service, wish_of(rule.act, view, service))
        if not gate.open
    )
