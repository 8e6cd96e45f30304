"""Panels that stand on more than one dashboard. `where`: the labels that choose the services."""

from tools.grafana.kit import BAD, GOOD, MIDDLING, PLAIN, Panel, Query, figures, lines, states

CHOSEN = 'service=~"$service"'


def served_at(where: str = "") -> Panel:
    """The primary of each service, by name."""
    return figures(
        "Served at",
        "The site that the store names as primary.",
        Query(f"service_site:twinsite_owner:max{{{where}}} == 1", "{{service}}: {{site}}"),
        name_only=True,
        none="nobody knows",
    )


def lag_both_ways(where: str = "") -> Panel:
    """Both directions of replication on one picture."""
    more = f"{where}, " if where else ""
    lag = "max by (service, {0}) (twinsite_replication_lag_seconds{{{1}{2}}})"
    return lines(
        "Lag out of $site (above), and into it (below, dashed)",
        "Age of the oldest change that the standby has not replayed: of services whose primary is at $site "
        "above the line, of those whose standby is there below it.",
        Query(lag.format("to_site", more, 'from_site="$site"'), "{{service}} to {{to_site}}"),
        Query(lag.format("from_site", more, 'to_site="$site"'), "{{service}} from {{from_site}}"),
        mirrored=["B"],
    )


def accepts_writes() -> Panel:
    """Where the chosen services take writes."""
    return states(
        "Accepts writes",
        "By the instance's own word; never at both sites. The gap of a move is its outage.",
        Query(f"max by (service, site) (twinsite_writable{{{CHOSEN}}})", "{{service}} at {{site}}"),
        words={1: ("writable", MIDDLING), 0: ("no", GOOD)},
    )


def roles() -> Panel:
    """What the instances of the chosen services are."""
    return states(
        "Role of each instance",
        "By the instance's own word.",
        Query(f"max by (service, site) (twinsite_role{{{CHOSEN}}})", "{{service}} at {{site}}"),
        words={1: ("primary", MIDDLING), 0: ("standby", GOOD), -1: ("DOWN", BAD)},
    )


def primaries_by_controller() -> Panel:
    """Where the controllers do not agree is seen here."""
    return states(
        "Who is primary, by each controller",
        "What the store says as each controller knows it; where they differ, one is behind.",
        Query(f"twinsite_owner{{{CHOSEN}}} == 1", "{{observer}}: {{service}} at {{site}}"),
        words={1: ("primary", PLAIN)},
    )


def diagnoses(where: str = "") -> Panel:
    """What the situation is called."""
    return states(
        "What its situation is called",
        "The diagnosis, by each controller.",
        Query(f"twinsite_diagnosis{{{where}}}", "{{observer}}: {{service}} {{diagnosis}}"),
        words={1: ("so", PLAIN)},
    )


def since_last_drill(where: str = "") -> Panel:
    """How long ago it was rehearsed."""
    age = f"time() - max by (service) (twinsite_drill_last_success_timestamp_seconds{{{where}}})"
    return figures(
        "Since the last drill",
        "How long ago each service was last drilled with success.",
        Query(age, "{{service}}"),
        unit="s",
        steps=[(None, GOOD), (120 * 86400, BAD)],
        none="never",
    )


def runs_so_far(by: str, legend: str) -> Panel:
    """How many there were, and how they ended."""
    return lines(
        "Runs so far",
        "By what they were for and how they ended, as the controllers that carried them out counted them.",
        Query(f"sum by ({by}) (twinsite_run_duration_seconds_count{{{CHOSEN}}})", legend),
        unit="short",
        least=0,
    )
