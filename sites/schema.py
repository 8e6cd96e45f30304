"""The JSON Schema of `sites.yaml`, for editors: completion, descriptions and a first check while typing.

Pure; made from the models, so it cannot say anything else than the loader does. Rules between values
are beyond a schema: they are the loader's.
"""

import json
from typing import Any

from pydantic import BaseModel

from sites.draft import PLANNED_DRIVERS, Catalogue
from sites.model import Estate, ProbeSpec, ReplicationSpec
from sites.quantities import DURATION_PATTERN, SIZE_PATTERN, format_duration
from sites.shape import is_filled_in

# What a YAML language server must be told, as it knows no tags of its own accord.
CUSTOM_TAGS = ("!env scalar", "!file scalar")

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_TITLE = "twinsite estate"


def json_schema(probes: Catalogue | None = None, drivers: Catalogue | None = None) -> dict[str, Any]:
    """The schema, keyed as the file is. With the catalogues of probes' and drivers' settings it also knows
    the keys of each kind and driver."""
    schema = Estate.model_json_schema(by_alias=True)
    definitions: dict[str, Any] = schema.pop("$defs")
    for kind, model in (probes or {}).items():
        _add_choice(definitions, ProbeSpec, "kind", kind, model)
    for driver, model in (drivers or {}).items():
        _add_choice(definitions, ReplicationSpec, "driver", driver, model)
    _name_choices(definitions, probes, drivers)
    for node in (schema, *definitions.values()):
        _tidy(node)
    return {
        "$schema": _DIALECT,
        **schema,
        "title": _TITLE,
        "$comment": "made by `twinsite config schema`; !env and !file stand for text",
        "x-yaml-custom-tags": list(CUSTOM_TAGS),
        "$defs": dict(sorted(definitions.items())),
    }


def render_schema(probes: Catalogue | None = None, drivers: Catalogue | None = None) -> str:
    """The schema as the text that `twinsite config schema` prints and the documentation keeps."""
    return json.dumps(json_schema(probes, drivers), indent=2, ensure_ascii=False) + "\n"


def _add_choice(
    definitions: dict[str, Any], spec: type[BaseModel], key: str, value: str, model: type[BaseModel]
) -> None:
    """Beneath a spec that says `key: value`, the keys of `model` are known and its needed ones needed."""
    settings = model.model_json_schema(by_alias=True, ref_template="#/$defs/{model}")
    definitions.update(settings.pop("$defs", {}))
    then: dict[str, Any] = {"properties": settings.get("properties", {})}
    if "description" in settings:
        then["description"] = settings["description"]
    if "required" in settings:
        then["required"] = settings["required"]
    if not settings.get("additionalProperties", True):
        # Only here do both halves of the mapping's keys meet.
        own = definitions[spec.__name__]["properties"]
        then["propertyNames"] = {"enum": sorted({*own, *then["properties"]})}
    condition = {"properties": {key: {"const": value}}, "required": [key]}
    definitions[spec.__name__].setdefault("allOf", []).append({"if": condition, "then": then})


def _name_choices(definitions: dict[str, Any], probes: Catalogue | None, drivers: Catalogue | None) -> None:
    if probes is not None:
        definitions[ProbeSpec.__name__]["properties"]["kind"]["enum"] = sorted(probes)
    if drivers is not None:
        known = sorted({*drivers, *PLANNED_DRIVERS})
        definitions[ReplicationSpec.__name__]["properties"]["driver"]["enum"] = known


def _tidy(node: Any) -> None:
    """Fields that the loader fills in go; titles that only repeat the key go; defaults read as written."""
    if isinstance(node, list):
        for item in node:
            _tidy(item)
    if not isinstance(node, dict):
        return
    properties = node.get("properties")
    if isinstance(properties, dict):
        for key in [key for key in properties if is_filled_in(key)]:
            del properties[key]
        for value in properties.values():
            if isinstance(value, dict):
                value.pop("title", None)
                _leave_out_nothing(value)
                _spell_default(value)
    if "patternProperties" in node:
        node.setdefault("additionalProperties", False)  # a name that does not fit the pattern is a fault
    for value in node.values():
        _tidy(value)


def _leave_out_nothing(value: dict[str, Any]) -> None:
    """A key that may be left out need not be written with nothing; and of one arm less, an editor can say
    what is wrong within it."""
    if value.get("default", ...) is None:
        del value["default"]
    arms = [arm for arm in value.get("anyOf", ()) if arm.get("type") != "null"]
    if len(arms) == 1:
        del value["anyOf"]
        value.update({**arms[0], **value})
    elif arms:
        value["anyOf"] = arms


def _spell_default(value: dict[str, Any]) -> None:
    default = value.get("default")
    if is_duration(value) and isinstance(default, (int, float)):
        value["default"] = format_duration(default)
    elif is_size(value) and isinstance(default, int):
        value["default"] = f"{default}B"


def is_duration(value: dict[str, Any]) -> bool:
    """Whether a property is a duration with its unit."""
    return value.get("pattern") == DURATION_PATTERN


def is_size(value: dict[str, Any]) -> bool:
    """Whether a property is a size with its unit."""
    return value.get("pattern") == SIZE_PATTERN
