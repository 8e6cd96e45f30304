"""What the dashboards are made of: panels, queries, variables, annotations, in one manner.

They must be readable without colour, on paper and by everybody: what is good is light and what is bad is
dark, every state is a word, the second direction of a picture is dashed and below the line, and legends carry
values.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    dashboard,
    prometheus,
    stat,
    statetimeline,
    timeseries,
)
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common as kinds
from grafana_foundation_sdk.models import dashboard as shapes

GOOD, MIDDLING, BAD = "#a6dba0", "#f0a830", "#7f1d1d"
PLAIN = "#c0c0c0"
SOURCE = shapes.DataSourceRef(type_val="prometheus", uid="${datasource}")
WIDTH = 24
Panel = timeseries.Panel | stat.Panel | statetimeline.Panel | bargauge.Panel


@dataclass(frozen=True, slots=True)
class Query:
    """One query of a panel, and what its series are called."""

    expr: str
    legend: str


@dataclass(frozen=True, slots=True)
class Placed:
    """A panel and its size in Grafana's grid of 24 columns."""

    panel: Panel
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Heading:
    """A row's title."""

    title: str


Words = Mapping[int, tuple[str, str]]
YES_NO: Words = {1: ("yes", GOOD), 0: ("no", BAD)}


def _common(panel: Any, title: str, why: str, queries: Sequence[Query]) -> Any:
    panel.title(title).description(why).datasource(SOURCE)
    for letter, query in zip("ABCDEFGH", queries, strict=False):
        target = prometheus.Dataquery().expr(query.expr).legend_format(query.legend).ref_id(letter)
        panel.with_target(target.datasource(SOURCE).range())
    return panel


def _mappings(words: Words) -> list[shapes.ValueMapping]:
    """Values that are words. The order keeps the JSON the same at every run."""
    options = {
        str(value): shapes.ValueMappingResult(text=text, color=color, index=index)
        for index, (value, (text, color)) in enumerate(words.items())
    }
    return [shapes.ValueMap(options=options)]


def _thresholds(steps: Sequence[tuple[float | None, str]]) -> dashboard.ThresholdsConfig:
    found = [shapes.Threshold(value=value, color=color) for value, color in steps]
    return dashboard.ThresholdsConfig().mode(shapes.ThresholdsMode.ABSOLUTE).steps(found)


def lines(
    title: str,
    why: str,
    *queries: Query,
    unit: str = "s",
    mirrored: Sequence[str] = (),
    dashed: Sequence[str] = (),
    stacked: bool = False,
    least: float | None = None,
) -> Panel:
    """Curves. `mirrored`, `dashed`: letters of the queries that are drawn below the line, or dashed."""
    panel: timeseries.Panel = _common(timeseries.Panel(), title, why, queries)
    panel.unit(unit).line_width(2).fill_opacity(60 if stacked else 0).show_points(kinds.VisibilityMode.NEVER)
    panel.legend(
        common.VizLegendOptions()
        .display_mode(kinds.LegendDisplayMode.TABLE)
        .placement(kinds.LegendPlacement.BOTTOM)
        .show_legend(True)
        .calcs(["lastNotNull", "max"])
    )
    panel.tooltip(common.VizTooltipOptions().mode(kinds.TooltipDisplayMode.MULTI))
    if stacked:
        panel.stacking(common.StackingConfig().mode(kinds.StackingMode.NORMAL).group("A"))
    if least is not None:
        panel.min(least)
    for letter in dict.fromkeys([*mirrored, *dashed]):
        style = shapes.DynamicConfigValue(id_val="custom.lineStyle", value={"fill": "dash", "dash": [8, 6]})
        flip = shapes.DynamicConfigValue(id_val="custom.transform", value="negative-Y")
        panel.override_by_query(letter, [style, flip] if letter in mirrored else [style])
    return panel


def states(title: str, why: str, *queries: Query, words: Words = YES_NO) -> Panel:
    """What was so when, in words."""
    panel: statetimeline.Panel = _common(statetimeline.Panel(), title, why, queries)
    panel.mappings(_mappings(words)).thresholds(_thresholds([(None, PLAIN)]))
    panel.show_value(kinds.VisibilityMode.ALWAYS).row_height(0.85).fill_opacity(85).line_width(1)
    panel.legend(
        common.VizLegendOptions()
        .display_mode(kinds.LegendDisplayMode.LIST)
        .placement(kinds.LegendPlacement.BOTTOM)
        .show_legend(False)
    )
    return panel


def figures(
    title: str,
    why: str,
    *queries: Query,
    unit: str = "short",
    words: Words | None = None,
    steps: Sequence[tuple[float | None, str]] = ((None, PLAIN),),
    name_only: bool = False,
    decimals: int | None = None,
    none: str = "none",
) -> Panel:
    """Large figures of now. `name_only`: the series' names are what is told; `none`: said without any."""
    panel: stat.Panel = _common(stat.Panel(), title, why, queries)
    panel.unit(unit).thresholds(_thresholds(steps)).no_value(none)
    if words is not None:
        panel.mappings(_mappings(words))
    if decimals is not None:
        panel.decimals(decimals)
    mode = kinds.BigValueTextMode.NAME if name_only else kinds.BigValueTextMode.VALUE_AND_NAME
    panel.text_mode(mode).color_mode(kinds.BigValueColorMode.BACKGROUND_SOLID)
    panel.graph_mode(kinds.BigValueGraphMode.NONE).justify_mode(kinds.BigValueJustifyMode.CENTER)
    panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False).fields(""))
    return panel


def bars(
    title: str,
    why: str,
    *queries: Query,
    unit: str,
    steps: Sequence[tuple[float | None, str]],
    least: float | None = None,
    most: float | None = None,
) -> Panel:
    """Figures of now beside each other, as bars."""
    panel: bargauge.Panel = _common(bargauge.Panel(), title, why, queries)
    panel.unit(unit).thresholds(_thresholds(steps)).orientation(kinds.VizOrientation.HORIZONTAL)
    panel.display_mode(kinds.BarGaugeDisplayMode.BASIC).no_value("none")
    panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False).fields(""))
    if least is not None:
        panel.min(least)
    if most is not None:
        panel.max(most)
    return panel


def variable(name: str, label: str, query: str, *, every: bool = True) -> dashboard.QueryVariable:
    """A choice that is read from the series. `every`: all at once may be chosen, and are at first."""
    found = dashboard.QueryVariable(name).label(label).datasource(SOURCE).query(query)
    found.refresh(shapes.VariableRefresh.ON_TIME_RANGE_CHANGED).sort(shapes.VariableSort.ALPHABETICAL_ASC)
    if every:
        found.multi(True).include_all(True).all_value(".*")
        found.current(shapes.VariableOption(selected=True, text="All", value="$__all"))
    return found


SERVICE = variable("service", "Service", "label_values(twinsite_service_info, service)")
SITE = variable(
    "site", "Above the line: out of", 'label_values(twinsite_site_info{kind="data"}, site)', every=False
)


class Annotation(shapes.AnnotationQuery):
    """With the words that the Prometheus data source adds and the SDK's shape does not know."""

    def __init__(self, name: str, expr: str, title: str, color: str) -> None:
        super().__init__(name=name, datasource=SOURCE, enable=True, icon_color=color, expr=expr)
        self.title = title

    def to_json(self) -> dict[str, object]:
        """The SDK's, and how an annotation is titled."""
        return {**super().to_json(), "titleFormat": self.title, "step": "5s"}


class _Ready(Builder[shapes.AnnotationQuery]):
    """Something that is made already, where the SDK wants what makes it."""

    def __init__(self, made: shapes.AnnotationQuery) -> None:
        self._made = made

    def build(self) -> shapes.AnnotationQuery:
        """It."""
        return self._made


def _runs(kind: str) -> str:
    """Runs under way, and those that ended within the last minute: most are over before anybody scrapes."""
    active = f"max by (service, kind) (twinsite_run_active{{kind{kind}}})"
    ended = f"sum by (service, kind) (twinsite_run_duration_seconds_count{{kind{kind}}}"
    now, before = f"{ended})", f"{ended} offset 1m)"
    scraped_before = "on () (count(twinsite_build_info offset 1m))"
    return f"{active} or ({now} > {before}) or (({now} unless {before}) and {scraped_before})"


def _annotations() -> list[Annotation]:
    return [
        Annotation("Failovers", _runs('="failover"'), "failover of {{service}}", BAD),
        Annotation("Runs", _runs('!~"failover|drill"'), "{{kind}} of {{service}}", MIDDLING),
        Annotation(
            "Drills",
            "max by (service, drill, kind) (twinsite_drill_running) == 1",
            "{{kind}} drill {{drill}} of {{service}}",
            GOOD,
        ),
    ]


def board(
    uid: str,
    title: str,
    why: str,
    parts: Sequence[Placed | Heading],
    *,
    variables: Sequence[dashboard.QueryVariable] = (SERVICE,),
    since: str = "now-6h",
    refresh: str = "15s",
) -> shapes.Dashboard:
    """The dashboard with its panels laid out from left to right, row after row."""
    made = dashboard.Dashboard(title).uid(uid).description(why).tags(["twinsite"]).timezone("browser")
    made.time(since, "now").refresh(refresh).readonly().tooltip(shapes.DashboardCursorSync.CROSSHAIR)
    made.link(
        dashboard.DashboardLink("twinsite")
        .type(shapes.DashboardLinkType.DASHBOARDS)
        .tags(["twinsite"])
        .as_dropdown(True)
        .keep_time(True)
        .include_vars(True)
    )
    made.with_variable(dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
    for each in variables:
        made.with_variable(each)
    for annotation in _annotations():
        made.annotation(_Ready(annotation))
    x = y = row_height = 0
    for number, part in enumerate(parts, start=1):
        if isinstance(part, Heading):
            y, x, row_height = y + row_height, 0, 0
            place = shapes.GridPos(x=0, y=y, w=WIDTH, h=1)
            made.with_row(dashboard.Row(part.title).id(number).grid_pos(place))
            y += 1
            continue
        if x + part.width > WIDTH:
            y, x, row_height = y + row_height, 0, 0
        part.panel.id(number).grid_pos(shapes.GridPos(x=x, y=y, w=part.width, h=part.height))
        made.with_panel(part.panel)
        x, row_height = x + part.width, max(row_height, part.height)
    return made.build()
