"""A plan: a runbook bound to a service, its hosts and what is known, with nothing left open.

Values only. What `twinsite plan` prints and what the engine carries out is this same object; it can be
written as JSON and read back, and its hash says whether two plans would do the same. Pure.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from typing import Annotated, Any

from pydantic import (
    BeforeValidator,
    SerializerFunctionWrapHandler,
    TypeAdapter,
    ValidationError,
    WrapSerializer,
)

from runbooks.errors import RunbooksMisuse
from runbooks.model import IfUnreachable, InDoubt, Kind, OnFailure

PLAN_VERSION = 1


class PlanUnreadable(RunbooksMisuse):
    """The text is no plan, or one of a newer version."""


_ASKED = {
    "run": "`{}` at {}",
    "probe": "probe “{}” of {}",
    "sql": "“{}” at {}",
    "role": "{} at {}",
    "http": "{} answers as expected",
}


@dataclass(frozen=True, slots=True)
class PlannedCondition:
    """A question with everything filled in. `kind` is run, probe, sql, role or http; `text` what is asked,
    `details` what else belongs to it (of an address: the status that is expected and the like)."""

    kind: str
    text: str
    site: str
    host: str = ""
    within_seconds: float | None = None
    details: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        place = self.host if self.kind == "run" else self.site
        return _ASKED[self.kind].format(self.text, place)


@dataclass(frozen=True, slots=True)
class Limit:
    """One of several lanes (hosts) of a group of steps, of which at most so many are under way at a time."""

    group: str
    lane: str
    at_most: int


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """One step, ready to be carried out. `host` is `site/role`, empty for a step that needs none."""

    id: str
    part: str
    number: int
    title: str
    action: str
    site: str
    host: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    timeout_seconds: float = 60.0
    retries: int = 0
    backoff_seconds: float = 1.0
    unless: PlannedCondition | None = None
    verify: PlannedCondition | None = None
    if_unreachable: IfUnreachable = IfUnreachable.FAIL
    on_failure: OnFailure = OnFailure.ABORT
    in_doubt: InDoubt = InDoubt.ASK
    undo: Mapping[str, Any] | None = None
    limits: tuple[Limit, ...] = ()

    @property
    def place(self) -> str:
        """Where the step acts, for people."""
        return self.host or self.site


@dataclass(frozen=True, slots=True)
class Part:
    """One runbook's share of a plan. `source_sha256` is that of the file it was read from, `includes` those
    of the nested runbooks and of the files shipped along, by name; `files` the texts of these, by SHA-256."""

    name: str
    runbook: str
    title: str
    steps: tuple[PlannedStep, ...]
    source_sha256: str = ""
    includes: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)

    @property
    def first(self) -> tuple[str, ...]:
        """Steps that need none of this part."""
        own = {step.id for step in self.steps}
        return tuple(step.id for step in self.steps if not own.intersection(step.needs))

    @property
    def last(self) -> tuple[str, ...]:
        """Steps that none of this part needs."""
        needed = {need for step in self.steps for need in step.needs}
        return tuple(step.id for step in self.steps if step.id not in needed)


_LONG = 8
_AS = "as "


def _shortened(parts: tuple[Part, ...], handler: SerializerFunctionWrapHandler) -> Any:
    """Steps that need the same long list write it once: a hundred steps that each need a hundred would else
    be ten thousand ids, and a plan must fit into one record of the store."""
    written = handler(parts)
    first: dict[tuple[str, ...], str] = {}
    for part in written:
        for step in part["steps"]:
            needs = tuple(step["needs"])
            if len(needs) > _LONG and first.setdefault(needs, step["id"]) != step["id"]:
                step["needs"] = _AS + first[needs]
    return written


def _expanded(parts: Any) -> Any:
    """What `_shortened` wrote, at full length."""
    needs: dict[str, Any] = {}
    for part in parts if isinstance(parts, list) else ():
        for step in part.get("steps", ()) if isinstance(part, dict) else ():
            wanted = step.get("needs") if isinstance(step, dict) else None
            if isinstance(wanted, str) and wanted.startswith(_AS):
                step["needs"] = needs.get(wanted.removeprefix(_AS), wanted)
            elif isinstance(step, dict):
                needs[str(step.get("id"))] = wanted
    return parts


@dataclass(frozen=True, slots=True)
class Known:
    """One thing known when the plan was drawn up, for people: `lag` is `1.2 s, measured 0.4 s ago`."""

    label: str
    value: str


@dataclass(frozen=True)
class Plan:
    """Ordered parts, bound. `id` is the run's; `epoch` the one it acts under."""

    id: str
    kind: Kind
    service: str
    from_site: str
    to_site: str
    epoch: int
    parts: Annotated[tuple[Part, ...], BeforeValidator(_expanded), WrapSerializer(_shortened)]
    reason: str = ""
    known: tuple[Known, ...] = ()
    version: int = PLAN_VERSION

    @cached_property
    def steps(self) -> tuple[PlannedStep, ...]:
        """Every step, in the order of its number."""
        return tuple(sorted((s for part in self.parts for s in part.steps), key=lambda step: step.number))

    @cached_property
    def by_id(self) -> Mapping[str, PlannedStep]:
        """Step id to step."""
        return {step.id: step for step in self.steps}

    def file(self, sha256: str) -> str | None:
        """The text of a file that was shipped along, or None."""
        return next((part.files[sha256] for part in self.parts if sha256 in part.files), None)

    @cached_property
    def hash(self) -> str:
        """The same for two plans that would do the same: whatever their run, epoch, reason and facts."""
        bare = replace(self, id="", epoch=0, reason="", known=())
        return hashlib.sha256(_canonical(bare)).hexdigest()

    def to_json(self) -> str:
        """As JSON, for the journal, `--json` and the store."""
        return _adapter().dump_json(self).decode()

    @staticmethod
    def from_json(text: str | bytes) -> "Plan":
        """The plan that `to_json` wrote. Raises PlanUnreadable."""
        try:
            version = json.loads(text).get("version")
            if isinstance(version, int) and version > PLAN_VERSION:
                raise PlanUnreadable(
                    f"this plan has format {version}, this twinsite knows up to {PLAN_VERSION}; "
                    "use the newer version"
                )
            return _adapter().validate_json(text)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            raise PlanUnreadable(f"this is no plan: {where}: {first['msg']}") from error
        except (ValueError, AttributeError) as error:
            raise PlanUnreadable(f"this is no plan: {error}") from error


@cache
def _adapter() -> TypeAdapter[Plan]:
    return TypeAdapter(Plan)


def _canonical(plan: Plan) -> bytes:
    return json.dumps(
        _adapter().dump_python(plan, mode="json"), sort_keys=True, separators=(",", ":")
    ).encode()
