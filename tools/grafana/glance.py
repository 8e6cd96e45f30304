"""Two sites at a glance, for the wall: who serves what, is it protected, what is the matter between them."""

from grafana_foundation_sdk.models.dashboard import Dashboard

from tools.grafana.kit import BAD, GOOD, MIDDLING, SITE, Placed, Query, bars, board, figures, states
from tools.grafana.shared import diagnoses, lag_both_ways, served_at, since_last_drill

PROTECTED = {1: ("protected", GOOD), 0: ("NOT PROTECTED", BAD)}


def glance() -> Dashboard:
    """The dashboard."""
    return board(
        "twinsite-glance",
        "twinsite: two sites at a glance",
        "Who serves what, whether the other site could take it over, what is the matter between the sites.",
        [
            Placed(
                figures(
                    "Alerts that fire",
                    "How many of twinsite's alerts fire now, critical ones and others.",
                    Query(
                        'count(ALERTS{alertname=~"Twinsite.+", alertstate="firing", severity="critical"})'
                        " or vector(0)",
                        "critical",
                    ),
                    Query(
                        'count(ALERTS{alertname=~"Twinsite.+", alertstate="firing", severity!="critical"})'
                        " or vector(0)",
                        "warning",
                    ),
                    steps=[(None, GOOD), (1, BAD)],
                ),
                6,
                5,
            ),
            Placed(
                served_at(),
                9,
                5,
            ),
            Placed(
                figures(
                    "If its site were lost now",
                    "Whether the other site could take the service over.",
                    Query("service:twinsite_protected:max", "{{service}}"),
                    words=PROTECTED,
                    none="not known",
                ),
                9,
                5,
            ),
            Placed(
                lag_both_ways(),
                12,
                9,
            ),
            Placed(
                bars(
                    "What would be lost, as a part of the objective",
                    "Lag and the age of its sample, over the recovery point objective: 100 % is all that may "
                    "be lost.",
                    Query(
                        "max by (service) (service:twinsite_replication_lag_bound_seconds:min)"
                        " / on (service) max by (service) (twinsite_objective_rpo_seconds)",
                        "{{service}}",
                    ),
                    unit="percentunit",
                    steps=[(None, GOOD), (0.5, MIDDLING), (1, BAD)],
                    least=0,
                    most=1,
                ),
                12,
                9,
            ),
            Placed(
                diagnoses(),
                12,
                8,
            ),
            Placed(
                states(
                    "Who reaches whom",
                    "By everybody's own word. Link down is not site down.",
                    Query("min by (from_site, to_site) (twinsite_reachable)", "{{from_site}} to {{to_site}}"),
                    words={1: ("reached", GOOD), 0: ("NOT REACHED", BAD)},
                ),
                12,
                8,
            ),
            Placed(
                figures(
                    "Left of each lease",
                    "How long each site's right to act lasts, by its own controller.",
                    Query("max by (site) (twinsite_lease_remaining_seconds)", "{{site}}"),
                    unit="s",
                    steps=[(None, BAD), (0.001, GOOD)],
                    decimals=1,
                ),
                6,
                5,
            ),
            Placed(
                figures(
                    "Disagreements",
                    "Of how many things observers see different things now, and how many services the "
                    "controllers name different primaries for.",
                    Query("sum(max by (service, site) (twinsite_observers_disagree))", "observers"),
                    Query(
                        "count(count by (service) (service_site:twinsite_owner:max == 1) > 1) or vector(0)",
                        "primaries",
                    ),
                    steps=[(None, GOOD), (1, BAD)],
                ),
                6,
                5,
            ),
            Placed(
                figures(
                    "Room for everything of the other site",
                    "Processor cores left if everything of one site came to the other; below zero it does "
                    "not fit.",
                    Query(
                        "min by (from_site, to_site) (twinsite_capacity_headroom_cpu_cores)",
                        "{{from_site}} to {{to_site}}",
                    ),
                    steps=[(None, BAD), (0, GOOD)],
                    none="no capacity stated",
                ),
                6,
                5,
            ),
            Placed(
                since_last_drill(),
                6,
                5,
            ),
        ],
        variables=[SITE],
        since="now-1h",
        refresh="10s",
    )
