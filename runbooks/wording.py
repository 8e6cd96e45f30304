"""A runbook that is bound to nothing, in words for people: `{{ to_site.title }}` is "the new site".

Used where a runbook is drawn or printed without a service. Only for reading: commands stay as they are
written, because somebody may have to type them. Pure.
"""

import re
from collections.abc import Mapping

from runbooks.catalogue import ActionCatalogue
from runbooks.lint import side_of
from runbooks.model import Condition, Parameter, Runbook, Side, Step
from runbooks.planned import PlannedCondition

SIDES: Mapping[Side, str] = {Side.FROM: "the old site", Side.TO: "the new site"}
LEGEND = (
    "The old site is the one that is left (in a rejoin, the one that comes back); "
    "the new site is the one that becomes, or is, primary."
)

_NAME = re.compile(r"\{\{\s*([a-z_]+)(?:\.([a-z_]+))?\s*\}\}")
_HOST = re.compile(
    r"^\s*\{\{\s*(from_site|to_site)\.hosts(?:\.([\w-]+)|\[\s*['\"]([^'\"]+)['\"]\s*\])\s*\}\}\s*$"
)


def text_in_words(text: str, parameters: Mapping[str, Parameter]) -> str:
    """A title or message with words for what is filled in later."""
    return _NAME.sub(lambda match: _word(match, parameters), text)


def _word(match: re.Match[str], parameters: Mapping[str, Parameter]) -> str:
    name, attribute = match[1], match[2] or ""
    if name in list(Side) and attribute in ("", "name", "title"):
        return SIDES[Side(name)]
    if name == "service" and attribute in ("", "name", "title"):
        return "the service"
    if name == "parameters" and attribute in parameters:
        declared = parameters[attribute]
        return f"<{attribute}>" if declared.required else str(declared.default)
    return match[0]


def host_in_words(host: str) -> str:
    """`crm-app at the new site`; anything less plain as it is written."""
    if (match := _HOST.match(host)) is None:
        return host
    return f"{match[2] or match[3]} at {SIDES[Side(match[1])]}"


def place_in_words(step: Step, catalogue: ActionCatalogue) -> str:
    """Where a step acts; empty for one that acts nowhere, such as `wait`."""
    host = step.arguments.get("host")
    if isinstance(host, str):
        return host_in_words(host)
    side = side_of(step, catalogue[step.action])
    return SIDES[side] if side is not None else ""


def title_in_words(runbook: Runbook, step: Step) -> str:
    """The step's title, or its id where it has none."""
    return text_in_words(step.title or step.id, runbook.parameters)


def question_in_words(question: Condition, place: str) -> str:
    """What is asked, and where; `place` is where the step acts."""
    kind = next(name for name in ("run", "probe", "sql", "role") if getattr(question, name) is not None)
    side = SIDES[question.at] if question.at is not None else place.rpartition(" at ")[2] or place
    if kind == "run":
        host = host_in_words(question.host) if question.host is not None else place
        return f"`{question.run}` on {host}"
    return str(PlannedCondition(kind, getattr(question, kind), side))
