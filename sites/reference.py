"""The reference page of `sites.yaml`, made from the same models as the loader and the schema.

Pure: text out. Every model of the file has its heading here; a test says so when one is forgotten.
"""

import json
from collections.abc import Iterator
from typing import Any

from sites.draft import PLANNED_DRIVERS, Catalogue, one_of
from sites.rules import RULES
from sites.schema import is_duration, is_size, json_schema

# In the order of the file: heading, the model's name.
SECTIONS = (
    ("ownership", "Timing"),
    ("store", "StoreSpec"),
    ("tls", "TlsFiles"),
    ("ssh", "SshSpec"),
    ("sites", "Site"),
    ("hosts", "Host"),
    ("fence", "FenceDevice"),
    ("capacity and load", "Capacity"),
    ("services", "Service"),
    ("guard", "GuardSpec"),
    ("guard proxy", "GuardProxy"),
    ("guard nftables", "GuardNftables"),
    ("guard command", "GuardCommand"),
    ("objectives", "Objectives"),
    ("replication", "ReplicationSpec"),
    ("probes", "ProbeSpec"),
    ("drills", "DrillSpec"),
    ("checks of a drill", "DrillCheck"),
    ("block", "DrillBlock"),
    ("blackouts", "Blackout"),
    ("notify", "NotifySpec"),
    ("quiet hours", "QuietHours"),
    ("message templates", "MessageTemplates"),
    ("access", "Access"),
    ("roles", "AccessRole"),
    ("approvals", "Approvals"),
    ("approval", "Approval"),
)

_HEAD = """\
# sites.yaml, key by key

<!-- Made from the models by tools/docs; do not edit by hand. -->

`twinsite config check` names every fault of the file at once, with its line and column, and
`twinsite config schema` prints the JSON Schema. An unknown key is a fault, and so is a key written twice.

- **Durations** carry their unit: `500ms`, `10s`, `5m`, `2h`, `1d`. **Sizes** too: `64MiB`, `1.5TiB`.
- **Names** of sites, hosts and services are lower-case letters, digits and hyphens, a letter first.
- **Secrets** are never in the file: `!env NAME` takes a variable, `!file PATH` the text of a file, relative
  to this one, without its last line break. The controller does not start while one is missing; those of
  `notify` are looked up only when something is sent.
- **Anchors** (`&name`) and aliases (`*name`) save repetition; merge keys (`<<`) are refused.
- **Editors** with a YAML language server check while you type, if the first line is
  `# yaml-language-server: $schema=docs/sites.schema.json`. Tell the server about the tags once:
  `"yaml.customTags": ["!env scalar", "!file scalar"]`.
"""


def render_reference(probes: Catalogue | None = None, drivers: Catalogue | None = None) -> str:
    """The page, in Markdown; with the catalogues, each kind of probe and each driver has its own table."""
    schema = json_schema(probes, drivers)
    definitions = schema["$defs"]
    parts = [_HEAD, "## The whole file\n", _table(schema, definitions)]
    for heading, model in SECTIONS:
        parts += [f"## {heading}\n", definitions[model]["description"] + "\n"]
        parts.append(_table(definitions[model], definitions))
        parts += _choices(definitions[model], definitions)
        if heading == "replication":
            parts += _planned(drivers)
    parts += ["## What is checked between values\n", _rules()]
    return "\n".join(parts)


def _planned(drivers: Catalogue | None) -> Iterator[str]:
    planned = [f"`{name}`" for name in PLANNED_DRIVERS if name not in (drivers or {})]
    if planned:
        yield (
            f"The drivers {one_of(planned, 'and')} are accepted and do not exist yet: such a\n"
            "service is *watch only*. Its probes run, and every move is refused with `driver-missing`.\n"
        )


def _rules() -> str:
    lines = []
    for rule in RULES:
        name = rule.__name__.replace("_", " ").capitalize()
        why = " ".join((rule.__doc__ or "").split())
        lines.append(f"- **{name}.** {why}")
    return "\n".join(lines) + "\n"


def _choices(definition: dict[str, Any], definitions: dict[str, Any]) -> Iterator[str]:
    """One table for each kind or driver that brings keys of its own."""
    for choice in definition.get("allOf", ()):
        ((key, wanted),) = choice["if"]["properties"].items()
        yield f"### {key}: {wanted['const']}\n"
        if choice["then"].get("description"):
            yield choice["then"]["description"] + "\n"
        yield _table(choice["then"], definitions) if choice["then"]["properties"] else "No keys of its own.\n"
        for name in _beneath(choice["then"]["properties"], definitions):
            yield f"#### {name}\n"
            yield definitions[name].get("description", "") + "\n"
            yield _table(definitions[name], definitions)


def _beneath(node: Any, definitions: dict[str, Any]) -> list[str]:
    """The models that a kind or driver has of its own, in the order of the keys that lead to them."""
    if isinstance(node, list):
        return [name for item in node for name in _beneath(item, definitions)]
    if not isinstance(node, dict):
        return []
    found = [name for value in node.values() for name in _beneath(value, definitions)]
    if "$ref" in node:
        name = node["$ref"].rpartition("/")[2]
        found += (
            [name, *_beneath(definitions[name], definitions)] if "properties" in definitions[name] else []
        )
    return list(dict.fromkeys(found))


def _table(node: dict[str, Any], definitions: dict[str, Any]) -> str:
    rows = ["| key | takes | default | meaning |", "| --- | --- | --- | --- |"]
    required = node.get("required", ())
    for key, value in node["properties"].items():
        default = "**required**" if key in required else _default(value)
        meaning = value.get("description", "").replace("|", "\\|")
        rows.append(f"| `{key}` | {_takes(value, definitions)} | {default} | {meaning} |")
    return "\n".join(rows) + "\n"


def _default(value: dict[str, Any]) -> str:
    default = value.get("default")
    if default in (None, "", [], {}):
        return ""
    return f"`{default if isinstance(default, str) else json.dumps(default)}`"


def _takes(value: dict[str, Any], definitions: dict[str, Any]) -> str:
    """What a key takes, in a few words."""
    if "$ref" in value:
        return _reference(value["$ref"].rpartition("/")[2], definitions)
    if "anyOf" in value or "oneOf" in value:
        arms = list(dict.fromkeys(_takes(arm, definitions) for arm in value.get("anyOf") or value["oneOf"]))
        if len(arms) == 2 and arms[1] == f"names, each with {arms[0]}":
            return f"{arms[0]}; or one for each site, by its name"
        return " or ".join(arms)
    if "const" in value or "enum" in value:
        return one_of(f"`{_plain(choice)}`" for choice in value.get("enum", [value.get("const")]))
    if is_duration(value):
        return "duration"
    if is_size(value):
        return "size"
    return _by_type(value, definitions)


def _by_type(value: dict[str, Any], definitions: dict[str, Any]) -> str:
    kind = value.get("type")
    if kind == "array":
        items = value.get("items", {})
        return f"list of {_takes(items, definitions)}" if items else "list"
    if kind == "object":
        named = [*value.get("patternProperties", {}).values(), value.get("additionalProperties")]
        inner = next((item for item in named if isinstance(item, dict)), None)
        return f"names, each with {_takes(inner, definitions)}" if inner else "keys with values"
    if kind in ("integer", "number"):
        return ("whole number" if kind == "integer" else "number") + _bounds(value)
    if kind == "boolean":
        return "`true` or `false`"
    examples = ", ".join(f"`{example}`" for example in value.get("examples", ()))
    return f"text such as {examples}" if examples else "text"


def _bounds(value: dict[str, Any]) -> str:
    bounds = [
        f"{word} {value[key]}"
        for key, word in (
            ("minimum", "from"),
            ("exclusiveMinimum", "above"),
            ("maximum", "to"),
            ("exclusiveMaximum", "below"),
        )
        if key in value
    ]
    return f" {' '.join(bounds)}" if bounds else ""


def _reference(name: str, definitions: dict[str, Any]) -> str:
    heading = next((heading for heading, model in SECTIONS if model == name), None)
    if heading:
        return f"[{heading}](#{heading.replace(' ', '-')})"
    definition = definitions[name]
    return f"[{name}](#{name.lower()})" if "properties" in definition else _takes(definition, definitions)


def _plain(choice: Any) -> str:
    return choice if isinstance(choice, str) else json.dumps(choice)
