"""Lay a report out: evidence in, one HTML file out, which needs nothing else. Asks nobody."""

import json
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from orchestrator.report_file import PLACE

if TYPE_CHECKING:
    from jinja2 import Template

BESIDE = ("timeline",)
"""What the data in the file do not repeat: the picture is made from them."""


@cache
def _template() -> "Template":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("orchestrator", "templates")
    made = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True)
    made.filters["when"] = when
    return made.get_template("report.html.j2")


def when(stamp: str) -> str:
    """A time of day as people read it; the file itself cannot know in which zone."""
    if not stamp:
        return "not yet"
    return stamp.replace("T", " ", 1).removesuffix("Z") + " UTC" if stamp.endswith("Z") else stamp


def page(evidence: Mapping[str, Any]) -> str:
    """The file without its signatures: PLACE stands where they will be."""
    from markupsafe import Markup

    kept = {key: value for key, value in evidence.items() if key not in BESIDE}
    # Nothing in a script element may look like its end.
    data = json.dumps(kept, sort_keys=True, separators=(",", ":")).replace("<", "\\u003c")
    return _template().render(
        e=evidence,
        timeline=Markup(evidence["timeline"]),
        place=Markup(PLACE),
        data=Markup(data),
    )
