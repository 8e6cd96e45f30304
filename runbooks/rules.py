"""Everything that `runbook check` can find: a table of codes, each with what it means, why, and the remedy.

A *fault* has the runbook refused, by whoever reads it or by the plan. A *warning* does not: the runbook would
be carried out as it is, and not as whoever wrote it would like on the day. Codes are stable: none is ever
renamed or given another meaning. The reference page is made from this table. Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """Whether a finding has the runbook refused."""

    FAULT = "fault"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Rule:
    """One kind of finding, for people."""

    code: str
    severity: Severity
    what: str
    why: str
    remedy: str


@dataclass(frozen=True, slots=True)
class RuleGroup:
    """Rules that are read together."""

    title: str
    rules: tuple[Rule, ...]


def _fault(code: str, what: str, why: str, remedy: str) -> Rule:
    return Rule(code, Severity.FAULT, what, why, remedy)


def _warning(code: str, what: str, why: str, remedy: str) -> Rule:
    return Rule(code, Severity.WARNING, what, why, remedy)


GROUPS: tuple[RuleGroup, ...] = (
    RuleGroup(
        "The file",
        (
            _fault(
                "unreadable",
                "The file is not there, may not be read, is too large, or is no text.",
                "A run would find that out when it needs it.",
                "Check the path and its rights; save the file as UTF-8.",
            ),
            _fault(
                "broken-yaml",
                "The text is no YAML, or says a key twice, or holds a tag that has no place here.",
                "Two people could read it in two ways.",
                "Mend the place that is named; a value may need quotes.",
            ),
            _fault(
                "missing-key",
                "A key is not there that must be.",
                "Without it there is nothing to carry out.",
                "Add the key; docs/writing-a-runbook.md says what each means.",
            ),
            _fault(
                "unknown-key",
                "A key stands there that nobody knows.",
                "A misspelt `timeout` would else be no timeout, without a word.",
                "Write it as the message guesses, or take it out.",
            ),
            _fault(
                "wrong-value",
                "A key has a value that it cannot have.",
                "It would fail in the middle of a move.",
                "Write what the message expects; durations carry their unit.",
            ),
            _fault(
                "secret-named",
                "A value is `!env NAME` or `!file PATH`, elsewhere than in the `headers` of a request.",
                "A plan is printed, kept and sent to the other site with all its values.",
                "Let the command fetch it on its host, from a file that only its user may read.",
            ),
            _warning(
                "secret",
                "Something that looks like a password, a token or a private key stands in plain text.",
                "A runbook is read by many, and its plan is printed, kept and sent to the other site.",
                "Let the command fetch it on its host, and change the secret: it has been seen.",
            ),
        ),
    ),
    RuleGroup(
        "Names",
        (
            _fault(
                "id-twice",
                "Two steps have one id.",
                "`needs` and the journal could mean either.",
                "Give each step an id of its own.",
            ),
            _fault(
                "unknown-step",
                "`needs` names a step that there is not.",
                "The order that was meant would not be kept.",
                "Write the id of a step of this file.",
            ),
            _fault(
                "circle",
                "Steps need each other in a circle.",
                "None of them would ever have its turn.",
                "Take one of the needs out, the one that is no real need.",
            ),
            _fault(
                "unknown-action",
                "`action` is a word that there is not.",
                "There is nothing to carry out.",
                "Write one of the actions of docs/writing-a-runbook.md.",
            ),
            _fault(
                "unknown-name",
                "`{{ … }}` has a name, an attribute or a parameter that there is not.",
                "It would be an empty text in the middle of a command.",
                "Write one of the names that the message lists, or declare the parameter.",
            ),
            _fault(
                "template",
                "`{{ … }}` or `{% … %}` is not closed, or does what a runbook may not.",
                "What it becomes could not be known before the run.",
                "Write a name, a filter, `{% if %}` or `{% for %}`.",
            ),
            _fault(
                "unsafe-value",
                "A value stands inside quotes or at another place of a command where the shell could run it.",
                "A title with a quote in it would become a command.",
                'Leave the quotes out, or assign it first: v={{ … }}; then "$v".',
            ),
            _fault(
                "question",
                "The keys of `unless`, `verify` or `undo` do not go together.",
                "Nobody could say where, or for how long, is to be asked.",
                "Name the host, or leave the key out that does not fit.",
            ),
            _fault(
                "unknown-host",
                "`host` is neither a name of a template nor a site and a host.",
                "No plan can find it.",
                "Write \"{{ to_site.hosts['crm-app'] }}\", so that it works in both directions.",
            ),
            _fault(
                "unknown-inverse",
                "`inverse` names a runbook that there is not.",
                "The way back would be missing when it is needed.",
                "Write that runbook, or the right name.",
            ),
            _fault(
                "script-missing",
                "An action names a file that is not there.",
                "The step would fail on the day.",
                "Put the file beside the runbook, or write its right path.",
            ),
            _fault(
                "script-unusable",
                "A file that is to be shipped along is no text in UTF-8, empty, too large, or has lines that"
                " end as on Windows; or its path leads out of the runbook's folder.",
                "No shell on the host would run it.",
                "Save it as a text with lines that end in LF, below the runbook's folder.",
            ),
            _fault(
                "unknown-runbook",
                "A step names a runbook that there is not.",
                "Its steps would be missing.",
                "Write that runbook, or the right name.",
            ),
            _fault(
                "nested-fault",
                "A step names a runbook that has faults of its own.",
                "Its steps cannot be bound into the plan.",
                "Mend that runbook: `twinsite runbook check NAME` lists everything.",
            ),
            _fault(
                "runbook-circle",
                "Runbooks name each other in a circle; the message has the whole chain.",
                "A plan of them would have no end.",
                "Take the step out that leads back.",
            ),
            _fault(
                "nested-too-deep",
                "Runbooks stand one in another more than five deep.",
                "Nobody could find a step again by its name.",
                "Name the inner runbooks from the outer one.",
            ),
            _fault(
                "nested-key",
                "A step that stands for a whole runbook has a key such as `timeout` or `verify`.",
                "There is no one attempt that it could be said of.",
                "Write it at the steps of that runbook.",
            ),
            _fault(
                "nested-parameter",
                "A nested runbook is given a parameter that it does not have, or lacks one that it needs.",
                "What it would do with its default is not what was meant.",
                "Write the parameters that it declares.",
            ),
            _fault(
                "cannot-be-planned",
                "A service of the estate uses the runbook, and no plan can be drawn up for it: a host, a"
                " probe or a parameter is missing, in one direction or in both.",
                "The move would be refused when it is needed.",
                "Add to sites.yaml what is missing, or write what there is.",
            ),
        ),
    ),
    RuleGroup(
        "What would go wrong on the day",
        (
            _warning(
                "no-timeout",
                "A step that changes something has no `timeout` of its own.",
                "It is ended after 60 seconds: too soon for many a start, too late for a host that is gone.",
                "Give it the time that it takes on a bad day, and no more.",
            ),
            _warning(
                "no-verify",
                "A step that changes something has neither `verify` nor `unless`.",
                "That a command said yes is not that users can log in; and after a crash nothing can tell"
                " whether it was done, so a person is asked.",
                "Add `verify`, a question about what it was to bring about; or `unless`.",
            ),
            _warning(
                "no-inverse",
                "The runbook names no `inverse`.",
                "The way home is needed sooner than one thinks.",
                "Write the runbook of the way back and name it.",
            ),
            _warning(
                "needs-lost-site",
                "A failover acts or asks at `from_site` or at a site by name, and ends if that is silent.",
                "In a failover that site is usually the one that is gone.",
                "Add `if_unreachable: continue` and a short timeout; or `during: switchover`.",
            ),
            _warning(
                "never-carried-out",
                "`during` names only kinds of run for which this runbook is not used.",
                "The step looks as if it were done, and never is.",
                "Name a kind for which the runbook is used, or take the step out.",
            ),
            _warning(
                "need-never-counts",
                "A step needs one that never belongs to the same run, by the `during` of both.",
                "The order that it promises is kept in no run.",
                "Take the need out, or let both belong to one kind of run.",
            ),
            _warning(
                "parameter-unused",
                "A parameter is declared and used nowhere.",
                "Whoever gives it a value believes that it does something.",
                "Use it as {{ parameters.NAME }}, or take it out. Handing it to a nested runbook that does"
                " not use it is no use either.",
            ),
            _warning(
                "undo-of-nothing",
                "A step says `on_failure: undo`, and no step that may come before it has an `undo`.",
                "The run would end as undone with everything left as it is.",
                "Give the steps before it an `undo`, or let the failure `abort` or `ask`.",
            ),
            _warning(
                "people-in-failover",
                "A step of a failover waits for a person.",
                "Users are down while somebody is being found, and the database is not restarted meanwhile.",
                "Put it behind everything that users wait for, or out of failovers with `during: "
                "switchover`.",
            ),
            _warning(
                "anybody-approves",
                "A step asks for approval and names neither `role` nor `owner`.",
                "Any second person with a login on either controller counts.",
                "Name the role of `access.roles` or the owner whose word is wanted.",
            ),
        ),
    ),
    RuleGroup(
        "Comments that allow",
        (
            _warning(
                "allow-without-reason",
                "A comment allows a warning and gives no reason, so it does not count.",
                "Whoever reads it in a year could not tell whether it still holds.",
                "Write `# twinsite: allow CODE because …`.",
            ),
            _warning(
                "allow-without-effect",
                "A comment allows what is not found there, what nobody knows, or a fault.",
                "It would hide the next finding of that kind, or it says what is not so.",
                "Take it out, or put it on the line above what it is about. Faults cannot be allowed.",
            ),
        ),
    ),
)
RULES: Mapping[str, Rule] = {rule.code: rule for group in GROUPS for rule in group.rules}
ABOUT_ALLOWING = frozenset(rule.code for rule in GROUPS[-1].rules)


def severity_of(code: str) -> Severity:
    """Of a finding with that code. One that nobody gave a code is a fault: it stopped the reading."""
    rule = RULES.get(code)
    return rule.severity if rule is not None else Severity.FAULT
