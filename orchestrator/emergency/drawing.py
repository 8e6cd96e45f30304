"""The plan of a run by hand: the runbook bound as any other, with the certificate's step before it.

Pure. It is the same object that a controller would carry out; only what nobody is there for is different: a
step that fails is asked about at the terminal, whatever the runbook says of failures.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from orchestrator.certified import Certificate
from orchestrator.emergency.words import OPEN_WORD, OWNERSHIP, opens
from orchestrator.errors import OrchestratorMisuse
from runbooks.catalogue import ActionCatalogue
from runbooks.errors import PlanRefused, Problem
from runbooks.model import InDoubt, Kind, OnFailure, Runbook
from runbooks.plan import Facts, bind, compose
from runbooks.planned import Known, Part, Plan, PlannedStep
from runbooks.scope import RunRef, scope_of
from sites.model import Estate, Host

OPEN_SECONDS = 60.0


class CertificateMissing(OrchestratorMisuse):
    """The runbook makes a site primary, and nobody has certified that the other one is down."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be run: everything but the epoch and the certificate."""

    runbook: Runbook
    service: str
    from_site: str
    to_site: str
    kind: Kind
    parameters: Mapping[str, Any]
    reason: str = ""


def draw(
    estate: Estate,
    wanted: Wanted,
    catalogue: ActionCatalogue,
    facts: Facts,
    *,
    run: str,
    epoch: int,
    certificate: Certificate | None,
    known: tuple[Known, ...] = (),
) -> Plan:
    """The plan. Raises PlanRefused."""
    scope = scope_of(
        estate,
        wanted.service,
        from_site=wanted.from_site,
        to_site=wanted.to_site,
        run=RunRef(run, wanted.kind, epoch),
        parameters=wanted.parameters,
    )
    part = bind(wanted.runbook, scope, facts, catalogue)
    asked = replace(part, steps=tuple(_asked_about(step) for step in part.steps))
    before = (_certificate_part(wanted.to_site, certificate),) if certificate is not None else ()
    return compose(
        *before,
        asked,
        run_id=run,
        kind=wanted.kind,
        service=wanted.service,
        from_site=wanted.from_site,
        to_site=wanted.to_site,
        epoch=epoch,
        reason=wanted.reason,
        known=known,
    )


def _asked_about(step: PlannedStep) -> PlannedStep:
    return step if step.on_failure is OnFailure.CONTINUE else replace(step, on_failure=OnFailure.ABORT)


def _certificate_part(to_site: str, certificate: Certificate) -> Part:
    step = PlannedStep(
        id="certificate/open",
        part="certificate",
        number=0,
        title=f"The guard opens by certificate {certificate.id}",
        action=OPEN_WORD,
        site=to_site,
        timeout_seconds=OPEN_SECONDS,
        retries=1,
        in_doubt=InDoubt.RERUN,  # the same certificate once more changes nothing
    )
    return Part("certificate", "built in", "The certificate", (step,))


def opening_steps(plan: Plan, catalogue: ActionCatalogue) -> list[PlannedStep]:
    """The steps that may make a site primary."""
    return [step for step in plan.steps if opens(catalogue.get(step.action), step)]


def check_certified(
    plan: Plan, catalogue: ActionCatalogue, certificate: Certificate | None, how: str
) -> None:
    """Raises CertificateMissing where a step may make a site primary and there is no certificate. `how`: the
    command that makes one."""
    steps = opening_steps(plan, catalogue)
    if certificate is not None or not steps:
        return
    named = ", ".join(f"{step.number} ({step.title})" for step in steps)
    raise CertificateMissing(
        f"step {named} makes {plan.service} primary at {plan.to_site}, and no controller is asked whether "
        f"{plan.from_site} still is. So somebody must certify that {plan.from_site} is off: have an operator "
        f"run\n  {how}\nwherever their key is, then order this again with --certificate FILE"
    )


def owned_elsewhere(plan: Plan) -> list[str]:
    """Sentences about steps that a controller would carry out, and a person is asked about here."""
    return [
        f"step {step.number} ({step.action}) is a keeper's: you are asked in its place"
        for step in plan.steps
        if step.action.startswith(OWNERSHIP)
    ]


def hosts_of_plan(estate: Estate, plan: Plan) -> dict[str, Host]:
    """The hosts on which steps run, by `site/role`."""
    names = {step.host for step in plan.steps if step.host}
    names |= {
        question.host
        for step in plan.steps
        for question in (step.unless, step.verify)
        if question is not None and question.host
    }
    return {
        name: estate.sites[name.partition("/")[0]].hosts[name.partition("/")[2]] for name in sorted(names)
    }


def jumps_at(estate: Estate, plan: Plan, site: str) -> list[str]:
    """Sentences about hosts elsewhere that are reached only through the failed site."""
    return [
        f"{name} is reached only through {jump.site}/{jump.name}, which stands at {site}"
        for name, host in hosts_of_plan(estate, plan).items()
        for jump in host.via
        if jump.site == site and host.site != site
    ]


def parsed_parameters(texts: tuple[str, ...], read: Callable[[str], Any]) -> dict[str, Any]:
    """`name=value` pairs; values are read as YAML is. Raises PlanRefused."""
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise PlanRefused("--set", [Problem(f"--set {text}", "no `=`", "NAME=VALUE, such as nodes=2")])
        found[name] = read(value)
    return found
