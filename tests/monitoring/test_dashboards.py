"""The dashboards: as generated, whole by the SDK's own shapes, asking only for what there is, and legible."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from orchestrator.alerts_table import RECORDINGS
from orchestrator.metrics_table import METRICS
from tests.monitoring.test_rules import metric_names
from tools.grafana import kit
from tools.grafana.boards import files

GRAFANA = Path(__file__).parents[2] / "grafana"
MADE = files()
BOARDS = {name: json.loads(text) for name, text in MADE.items()}
# What Grafana's Prometheus data source reads of an annotation, and the SDK's shape does not know.
BESIDE_THE_MODEL = {"titleFormat", "step"}

register_default_plugins()


def panels(board: Any) -> Iterator[Any]:
    """Every panel that shows something."""
    for panel in board["panels"]:
        if panel["type"] == "row":
            yield from panel.get("panels", ())
        else:
            yield panel


def expressions(board: Any) -> Iterator[str]:
    for panel in panels(board):
        yield from (target["expr"] for target in panel["targets"])
    yield from (annotation["expr"] for annotation in board["annotations"]["list"])


EVERY_PANEL = [(name, panel) for name, board in BOARDS.items() for panel in panels(board)]


@pytest.mark.parametrize("name", MADE)
def test_what_is_checked_in_is_what_the_code_makes(name: str) -> None:
    assert (GRAFANA / "dashboards" / name).read_text(encoding="utf-8") == MADE[name], "run tools/dashboards"


def test_no_other_dashboard_lies_there() -> None:
    assert {path.name for path in (GRAFANA / "dashboards").iterdir()} == set(MADE)


def without(value: Any, names: set[str]) -> Any:
    if isinstance(value, dict):
        return {key: without(inner, names) for key, inner in value.items() if key not in names}
    return [without(inner, names) for inner in value] if isinstance(value, list) else value


@pytest.mark.parametrize("name", MADE)
def test_every_key_is_one_that_the_sdks_model_knows(name: str) -> None:
    read = json.loads(json.dumps(Dashboard.from_json(BOARDS[name]), cls=JSONEncoder))
    board = BOARDS[name]
    plain = {**board, "annotations": without(board["annotations"], BESIDE_THE_MODEL)}
    assert read == plain


@pytest.mark.parametrize("name", MADE)
def test_identities_stand_once_and_no_panel_lies_over_another(name: str) -> None:
    board = BOARDS[name]
    everything = board["panels"]
    assert len({panel["id"] for panel in everything}) == len(everything)
    taken: set[tuple[int, int]] = set()
    for panel in everything:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= kit.WIDTH
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells


def test_dashboards_are_told_apart_and_link_to_each_other() -> None:
    assert len({board["uid"] for board in BOARDS.values()}) == len({b["title"] for b in BOARDS.values()}) == 5
    assert all(board["links"][0]["tags"] == ["twinsite"] == board["tags"] for board in BOARDS.values())


@pytest.mark.parametrize(("name", "panel"), EVERY_PANEL, ids=[f"{n}-{p['title']}" for n, p in EVERY_PANEL])
def test_a_panel_says_what_it_shows_and_names_its_series(name: str, panel: Any) -> None:
    assert panel["description"].endswith(".")
    assert panel["targets"]
    for target in panel["targets"]:
        assert target["legendFormat"]
        assert target["datasource"]["uid"] == "${datasource}"
    defaults = panel["fieldConfig"]["defaults"]
    assert defaults.get("unit") or defaults.get("mappings")


@pytest.mark.parametrize(("name", "panel"), EVERY_PANEL, ids=[f"{n}-{p['title']}" for n, p in EVERY_PANEL])
def test_a_legend_asks_for_labels_that_its_query_leaves(name: str, panel: Any) -> None:
    known = {row.name: {*row.labels, "observer"} for row in METRICS}
    for target in panel["targets"]:
        expr, wanted = target["expr"], set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
        grouped = [set(re.split(r",\s*", names)) for names in re.findall(r"by \(([\w, ]+)\)", expr)]
        joined = {name for names in re.findall(r"group_left \((\w+)\)", expr) for name in [names]}
        plain = [known[name] for name in re.findall(r"(?<!:)\btwinsite_\w+", expr) if name in known]
        recorded = [set(re.split("_", level)) for level in re.findall(r"\b([a-z_]+):twinsite_\w+:", expr)]
        levels = grouped or recorded or plain
        assert wanted <= set().union(*levels, joined), expr


@pytest.mark.parametrize("name", MADE)
def test_queries_ask_for_metrics_and_recordings_that_there_are(name: str) -> None:
    known = metric_names() | {recording.name for recording in RECORDINGS}
    for expr in expressions(BOARDS[name]):
        assert set(re.findall(r"[\w:]*twinsite_[\w:]+", expr)) <= known, expr


@pytest.mark.parametrize("name", MADE)
def test_a_query_uses_the_choices_that_its_dashboard_offers(name: str) -> None:
    board = BOARDS[name]
    offered = {each["name"] for each in board["templating"]["list"]} | {"__rate_interval"}
    text = json.dumps(board)
    used = set(re.findall(r"\$\{?(\w+)", text)) - {"__all"}
    assert used <= offered
    assert offered - used <= {"__rate_interval"}


def luminance(color: str) -> float:
    red, green, blue = (int(color[at : at + 2], 16) / 255 for at in (1, 3, 5))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_good_middling_and_bad_are_told_apart_in_black_and_white() -> None:
    good, middling, bad = (luminance(color) for color in (kit.GOOD, kit.MIDDLING, kit.BAD))
    assert good > middling > bad
    assert min(good - middling, middling - bad) > 0.1


@pytest.mark.parametrize("name", MADE)
def test_a_state_is_always_a_word_and_the_second_direction_dashed(name: str) -> None:
    for panel in panels(BOARDS[name]):
        if panel["type"] == "state-timeline":
            assert panel["fieldConfig"]["defaults"]["mappings"]
            assert panel["options"]["showValue"] == "always"
        for override in panel["fieldConfig"].get("overrides", ()):
            ids = {each["id"] for each in override["properties"]}
            assert "custom.transform" not in ids or "custom.lineStyle" in ids


@pytest.mark.parametrize("path", sorted(GRAFANA.rglob("*.yml")), ids=lambda path: path.parent.name)
def test_provisioning_files_are_ones_that_grafana_reads(path: Path) -> None:
    found = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert found["apiVersion"] == 1
    (only,) = found["datasources" if path.parent.name == "datasources" else "providers"]
    assert only["type"] in ("prometheus", "file")
