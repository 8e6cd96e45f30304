"""What is asked and told about moving a whole site."""

from typing import Literal

from pydantic import Field

from orchestrator.api.shapes import MoveOrder, MovePlan, Refusal, Shape


class SiteMoveRequest(Shape):
    """What is asked: every service whose primary is at `site` moves to the other one; with the verb failback,
    every service that is at home at `site` and primary elsewhere moves there."""

    verb: Literal["switchover", "failover", "failback"]
    site: str
    certify_down: str | None = None
    accept_loss_seconds: float | None = Field(None, ge=0)
    over_capacity: bool = False
    reason: str = ""


class SitePart(Shape):
    """One service's part: its plan, or why there is none. `needs`: those that are moved before it."""

    service: str
    rank: int
    needs: list[str]
    plan: MovePlan | None
    refusal: Refusal | None


class SiteMovePlan(Shape):
    """A plan that may be ordered. `parts` are in the order in which they would go one after another;
    `critical_path` is the chain of needs that decides how long the whole takes, `critical_seconds` how long
    that is by their last moves; None: not known. `unowned`: services of which nobody is primary, so that they
    are not in it."""

    run: str
    verb: str
    site: str
    parts: list[SitePart]
    critical_path: list[str]
    critical_seconds: float | None
    unowned: list[str] = []


class SiteMoveOrder(Shape):
    """Order a plan of a whole site that was given out: those of its parts that are named."""

    run: str
    orders: list[MoveOrder]
    reason: str = ""
