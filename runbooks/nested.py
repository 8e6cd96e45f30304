"""The `runbook` action: another runbook's steps in the place of this one.

It is bound in place when a plan is drawn up (`runbooks.expand`), so nothing is ever carried out here: a plan
holds plain steps only.
"""

from pydantic import Field

from runbooks.catalogue import Arguments, RunbookText
from runbooks.context import ActionContext, Call, Result
from runbooks.errors import ActionMisused
from runbooks.model import ParameterName

OWN_KEYS = frozenset({"id", "title", "action", "needs", "during", "for_each", "at_most"})
"""The keys of every step that mean something where a whole runbook stands."""


class RunbookArguments(Arguments):
    """Arguments of `runbook`."""

    runbook: RunbookText = Field(description="its name, a path below one of the folders, without .yaml")
    parameters: dict[ParameterName, str | int | float | bool | list[str]] = Field(
        default_factory=dict, description="values for its parameters"
    )


async def never_carried_out(context: ActionContext, call: Call) -> Result:
    """A plan in which this stands was not made by `runbooks.plan`."""
    raise ActionMisused(f"step {call.step.id} names a runbook that was not bound into the plan")
