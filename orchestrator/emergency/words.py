"""What steps may do when no controller is left: the words that ship, one that hands a certificate to a guard,
and questions in place of what only a controller, or somebody through one, could say.
"""

import asyncio
import shlex
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, fields, replace
from typing import Any

from orchestrator.certified import Certificate
from orchestrator.ownership_actions import NoArguments
from runbooks.actions import shipped_actions
from runbooks.catalogue import ActionCatalogue, ActionSpec
from runbooks.context import ActionContext, Call, Result
from runbooks.errors import StepFailed
from runbooks.planned import PlannedStep
from sites.model import Estate, Host
from sites.replication.words import Word

OPEN_WORD = "emergency.open"
OWNERSHIP = "ownership."
PEOPLE = ("person", "approve")
GUARD_SECONDS = 30.0

# What a keeper would do there, as a question to the person who does it by hand.
_OFF = "{from_site} is off, or cut off from every client of {service}, and stays so"
QUESTIONS = {
    "ownership.take-over": f"No lease can be waited for without a controller. Is it true that {_OFF}?",
    "ownership.break-glass": f"Is it true that {_OFF}?",
    "ownership.give-up": "Nobody closes {service} at {from_site} for you. Have you closed it there yourself, "
    "so that no client can write, and has everything been sent?",
    "ownership.claim": "Has {to_site} everything that {from_site} wrote, as far as anybody can say?",
    "ownership.settle": "",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What the person said: yes or no, and what is to stand in the record."""

    yes: bool
    words: str = ""


Ask = Callable[[PlannedStep, str], Awaitable[Answer]]
"""Asks the person at the terminal a question about a step."""


@dataclass(frozen=True, slots=True)
class Means:
    """What the words of an emergency work with."""

    estate: Estate
    ask: Ask
    certificate: Certificate | None = None


def opens(spec: ActionSpec | None, step: PlannedStep) -> bool:
    """Whether a step may make a site primary, so that it needs the certificate."""
    if step.action in ("ownership.take-over", "ownership.break-glass", "ownership.claim"):
        return True
    if spec is not None and Word.PROMOTE in spec.needs_words:
        return True
    return step.action == "replication.start" and step.arguments.get("role") == "primary"


def emergency_words(means: Means) -> ActionCatalogue:
    """The catalogue."""
    specs = dict(shipped_actions().specs)

    async def open_guard(context: ActionContext, call: Call) -> Result:
        return await _open(means, context, call)

    specs[OPEN_WORD] = ActionSpec(
        OPEN_WORD, NoArguments, open_guard, "hand the certificate to the guard", idempotent=True
    )
    for word, question in QUESTIONS.items():
        specs[word] = ActionSpec(
            word, NoArguments, _asking(means, question), "ask the person at the terminal", idempotent=True
        )
    for word in PEOPLE:
        if word in specs:
            specs[word] = _by_word_of_mouth(means, specs[word])
    return ActionCatalogue(specs)


def _by_word_of_mouth(means: Means, spec: ActionSpec) -> ActionSpec:
    """A step for people, asked at this terminal in place of through a controller."""

    async def act(context: ActionContext, call: Call) -> Result:
        given = {key: value for key, value in call.step.arguments.items() if value}
        told = "; ".join(f"{key}: {value}" for key, value in given.items())
        answer = await means.ask(call.step, f"{told or call.step.title}. Has it been done?")
        return _said(answer)

    here: dict[str, Any] = {"act": act, "settle": None}
    if "waits_for_people" in {each.name for each in fields(spec)}:
        here["waits_for_people"] = False
    return replace(spec, **here)


def _asking(means: Means, question: str) -> Callable[[ActionContext, Call], Awaitable[Result]]:
    async def act(context: ActionContext, call: Call) -> Result:
        if not question:
            return Result("nothing to do without a store")
        plan = call.plan
        asked = question.format(service=plan.service, from_site=plan.from_site, to_site=plan.to_site)
        return _said(await means.ask(call.step, asked))

    return act


def _said(answer: Answer) -> Result:
    if not answer.yes:
        raise StepFailed(f"the answer was no{f': {answer.words}' if answer.words else ''}")
    return Result(f"answered yes{f': {answer.words}' if answer.words else ''}")


# -- the guard --------------------------------------------------------------------------------------

HAND_OVER = r"""
set -u
umask 077
inbox=$state/inbox
if command -v flock > /dev/null 2>&1 && flock -n "$state/lock" true 2> /dev/null; then
  echo "no guard runs with the state $state; start it, and try again" >&2
  exit 4
fi
name=hand-$(od -An -N8 -tx1 /dev/urandom | tr -d ' \n')
cat > "$inbox/$name.tmp" && mv "$inbox/$name.tmp" "$inbox/$name.json" || exit 4
turns=0
while [ "$turns" -lt 200 ]; do
  if [ -r "$inbox/$name.said" ]; then
    cat "$inbox/$name.said"
    rm -f "$inbox/$name.said"
    exit 0
  fi
  turns=$((turns + 1))
  sleep 0.1 2> /dev/null || sleep 1
done
rm -f "$inbox/$name.json"
if [ -e "$inbox/$name.said" ]; then
  echo "the guard has answered, and this login may not read it: log in as the user the guard runs as" >&2
  exit 4
fi
echo "the guard has not taken it in 20 s; look at its log" >&2
exit 4
"""


def hand_over_command(state: str, owner: str | None) -> str:
    """The command line that hands the certificate on its standard input to the guard of that state folder: as
    ourselves where that may be, else as the data's owner, else as root."""
    script = shlex.quote(f"state={shlex.quote(state)}\n{HAND_OVER}")
    inbox = shlex.quote(f"{state}/inbox")
    other = (
        f"elif sudo -n -u {owner} test -w {inbox} 2> /dev/null; then exec sudo -n -u {owner} sh -c {script}; "
    )
    return (
        f"if [ -w {inbox} ]; then exec sh -c {script}; "
        f"{other if owner else ''}"
        f"elif sudo -n test -w {inbox} 2> /dev/null; then exec sudo -n sh -c {script}; "
        f"else echo 'cannot write in '{inbox}': no guard has run there, or this login may not (sudo)' >&2; "
        "exit 4; fi"
    )


async def _open(means: Means, context: ActionContext, call: Call) -> Result:
    certificate, service = means.certificate, context.service
    if certificate is None:
        raise StepFailed("there is no certificate to hand over")
    if service.guard is None:
        return Result(f"{service.name} has no guard: the certificate is on file, and opens nothing by itself")
    host = guard_host(means.estate, service.name, call.plan.to_site)
    owner = None
    if service.replication is not None:
        instance = service.replication.settings.get("instances", {}).get(call.plan.to_site, {})
        owner = instance.get("owner") if isinstance(instance, dict) else None
    state = f"{service.guard.state}/{call.plan.to_site}/{service.name}"
    done = await context.transport.run(
        host,
        hand_over_command(state, owner),
        timeout_seconds=min(GUARD_SECONDS, call.timeout_seconds),
        stdin=certificate.text(),
    )
    said = (done.stdout.strip() or done.stderr.strip())[:2000] or "it said nothing"
    if done.exit_status != 0 or not said.startswith("accepted"):
        raise StepFailed(f"the guard of {service.name} on {host.site}/{host.name}: {said}", done.exit_status)
    await asyncio.sleep(0)
    return Result(f"the guard of {service.name} on {host.site}/{host.name} has opened: {said}", 0)


def guard_host(estate: Estate, service: str, site: str) -> Host:
    """Where the guard of a service runs. Raises StepFailed where the estate does not say."""
    from sites.hosts_of import database_hosts_of

    for role in database_hosts_of(estate, service, site):
        return estate.sites[site].hosts[role]
    raise StepFailed(f"the estate does not say on which host of {site} the guard of {service} runs")
