"""A runbook that is bound to nothing, in words for people: `{{ to_site.title }}` is "the new site".

Used where a runbook is drawn or printed without a service. Only for reading: commands stay as they are
written, because somebody may have to type them. Pure.
"""

import re
from collections.abc import Mapping

from runbooks.catalogue import ActionCatalogue
from runbooks.expand import Leaf
from runbooks.lint import side_of
from runbooks.model import Condition, Each, Parameter, Runbook, Side, Step
from runbooks.planned import PlannedCondition
from runbooks.showing import hosts_at_a_time
from sites.shape import file_keys

SIDES: Mapping[Side, str] = {Side.FROM: "the old site", Side.TO: "the new site"}
LEGEND = (
    "The old site is the one that is left (in a rejoin, the one that comes back); "
    "the new site is the one that becomes, or is, primary."
)

_NAME = re.compile(r"\{\{\s*([a-z_]+)(?:\.([a-z_]+))?\s*\}\}")
_HOST_OF_PARAMETER = re.compile(
    r"^\s*\{\{\s*(from_site|to_site)\.hosts\[\s*parameters\.([a-z0-9_]+)\s*\]\s*\}\}\s*$"
)
_EACH = re.compile(r"^\s*\{\{\s*host\s*\}\}\s*$")
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
    if name == "host" and attribute in ("", "name"):
        return "each host"
    if name == "service" and attribute in ("", "name", "title"):
        return "the service"
    if name == "parameters" and not parameters:
        return f"<{attribute}>"
    if name == "parameters" and attribute in parameters:
        declared = parameters[attribute]
        return f"<{attribute}>" if declared.required else str(declared.default)
    return match[0]


def host_in_words(host: str) -> str:
    """`crm-app at the new site`; anything less plain as it is written."""
    if (match := _HOST_OF_PARAMETER.match(host)) is not None:
        return f"<{match[2]}> at {SIDES[Side(match[1])]}"
    if (match := _HOST.match(host)) is None:
        return host
    return f"{match[2] or match[3]} at {SIDES[Side(match[1])]}"


def place_in_words(step: Step, catalogue: ActionCatalogue) -> str:
    """Where a step acts; empty for one that acts nowhere, such as `wait`."""
    host = step.arguments.get("host")
    each = each_in_words(step.for_each) if step.for_each is not None else ""
    if isinstance(host, str) and not (each and _EACH.match(host)):
        return host_in_words(host)
    spec = catalogue[step.action]
    if each and "host" in file_keys(spec.arguments):
        return f"each of {each}"
    side = side_of(step, spec)
    return SIDES[side] if side is not None else ""


def each_in_words(each: Each) -> str:
    """`app-* at the new site`."""
    chosen = ", ".join("all hosts" if one == "*" else text_in_words(one, {}) for one in each.hosts)
    left_out = f" except {', '.join(each.except_hosts)}" if each.except_hosts else ""
    return f"{chosen}{left_out} at {SIDES[each.at]}"


def times_in_words(step: Step) -> str:
    """How often the step is carried out, where that is more than once."""
    if step.for_each is None:
        return ""
    limit = f", {hosts_at_a_time(step.at_most)}" if step.at_most is not None else ""
    return f"once for each of {each_in_words(step.for_each)}{limit}"


def times_of_leaf(leaf: Leaf) -> str:
    """The same of a step of the flat graph: by its own word, and by that of the steps it stands in."""
    return "; ".join(said for step in (*leaf.outer, leaf.step) if (said := times_in_words(step)))


def title_in_words(runbook: Runbook, step: Step) -> str:
    """The step's title, or its id where it has none."""
    return text_in_words(step.title or step.id, runbook.parameters)


def title_of_leaf(leaf: Leaf) -> str:
    """The title of a step of the flat graph, with those of the steps it stands in."""
    outer = [text_in_words(title, {}) for title in leaf.titles]
    return ": ".join((*outer, title_in_words(leaf.runbook, leaf.step)))


def question_in_words(question: Condition, place: str) -> str:
    """What is asked, and where; `place` is where the step acts."""
    kind = question.kind
    side = SIDES[question.at] if question.at is not None else place.rpartition(" at ")[2] or place
    if kind == "run":
        host = host_in_words(question.host) if question.host is not None else place
        return f"`{question.run}` on {host}"
    if question.http is not None:
        return str(PlannedCondition(kind, question.http.url, side))
    return str(PlannedCondition(kind, getattr(question, kind), side))
