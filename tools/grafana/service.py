"""One service: where it is, how well it is replicated, what its probes say, what was decided and why."""

from grafana_foundation_sdk.models.dashboard import Dashboard

from tools.grafana.kit import (
    BAD,
    GOOD,
    MIDDLING,
    SERVICE,
    SITE,
    Heading,
    Placed,
    Query,
    board,
    figures,
    lines,
    states,
)
from tools.grafana.shared import CHOSEN as S
from tools.grafana.shared import (
    accepts_writes,
    diagnoses,
    lag_both_ways,
    primaries_by_controller,
    roles,
    served_at,
)


def service() -> Dashboard:
    """The dashboard."""
    return board(
        "twinsite-service",
        "twinsite: one service",
        "Where it is, how well it is replicated, what its probes say, what was decided and why.",
        [
            Heading("Where it is"),
            Placed(
                served_at(S),
                6,
                5,
            ),
            Placed(
                figures(
                    "Epoch",
                    "Grows by one at each change of primary.",
                    Query(f"max by (service) (twinsite_epoch{{{S}}})", "{{service}}"),
                ),
                4,
                5,
            ),
            Placed(
                figures(
                    "Last move: outage, and loss at the most",
                    "As the controllers saw it, and by what was stated of the move.",
                    Query(
                        f"max by (service) (twinsite_last_move_outage_seconds{{{S}}})", "{{service}} outage"
                    ),
                    Query(
                        f"max by (service) (twinsite_last_move_data_loss_bound_seconds{{{S}}})",
                        "{{service}} loss",
                    ),
                    unit="s",
                    none="no move known",
                ),
                8,
                5,
            ),
            Placed(
                figures(
                    "Paused for",
                    "How long automatic moves are still paused; zero while they are not.",
                    Query(f"max by (service) (twinsite_pause_remaining_seconds{{{S}}})", "{{service}}"),
                    unit="s",
                    steps=[(None, GOOD), (0.001, MIDDLING)],
                ),
                6,
                5,
            ),
            Placed(
                roles(),
                12,
                7,
            ),
            Placed(
                accepts_writes(),
                12,
                7,
            ),
            Placed(
                primaries_by_controller(),
                12,
                7,
            ),
            Placed(
                diagnoses(S),
                12,
                7,
            ),
            Heading("Replication"),
            Placed(
                lag_both_ways(S),
                12,
                8,
            ),
            Placed(
                lines(
                    "What would be lost at the most, and the objective (dashed)",
                    "Lag and the age of its sample, by the controller that knows best.",
                    Query(
                        f"max by (service) (service:twinsite_replication_lag_bound_seconds:min{{{S}}})",
                        "{{service}}",
                    ),
                    Query(
                        f"max by (service) (twinsite_objective_rpo_seconds{{{S}}})", "{{service}} objective"
                    ),
                    dashed=["B"],
                ),
                12,
                8,
            ),
            Placed(
                lines(
                    "Not replayed yet",
                    "Where the product counts in bytes.",
                    Query(
                        f"max by (service, to_site) (twinsite_replication_lag_bytes{{{S}}})",
                        "{{service}} to {{to_site}}",
                    ),
                    unit="bytes",
                ),
                8,
                7,
            ),
            Placed(
                lines(
                    "Age of the lag's last sample",
                    "By each controller. It goes on growing while nobody can measure.",
                    Query(
                        f"twinsite_replication_sample_age_seconds{{{S}}}",
                        "{{observer}}: {{service}} to {{to_site}}",
                    ),
                ),
                8,
                7,
            ),
            Placed(
                lines(
                    "Error budget: how many times too fast it burns",
                    "One: the month's allowance lasts a month. Over an hour, and over six (dashed).",
                    Query(f"service:twinsite_rpo_burn_rate:of1h{{{S}}}", "{{service}} 1 h"),
                    Query(f"service:twinsite_rpo_burn_rate:of6h{{{S}}}", "{{service}} 6 h"),
                    unit="none",
                    dashed=["B"],
                ),
                8,
                7,
            ),
            Heading("Probes and decisions"),
            Placed(
                states(
                    "Probes",
                    "The verdict over the last results, by either controller.",
                    Query(
                        f"max by (service, site, probe) (twinsite_probe_up{{{S}}})",
                        "{{service}} {{probe}} at {{site}}",
                    ),
                    words={1: ("up", GOOD), 0: ("DOWN", BAD)},
                ),
                12,
                9,
            ),
            Placed(
                lines(
                    "How long probes take",
                    "The last try of each.",
                    Query(
                        f"max by (service, site, probe) (twinsite_probe_duration_seconds{{{S}}})",
                        "{{service}} {{probe}} at {{site}}",
                    ),
                ),
                12,
                9,
            ),
            Placed(
                lines(
                    "Decisions so far",
                    "Changes of mind, by what was decided and the reason's code.",
                    Query(
                        f"sum by (service, decision, code) (twinsite_decisions_total{{{S}}})",
                        "{{service}}: {{decision}}, {{code}}",
                    ),
                    unit="short",
                    least=0,
                ),
                12,
                8,
            ),
            Placed(
                lines(
                    "Refused so far",
                    "Moves that were refused, by the reason's code.",
                    Query(
                        f"sum by (service, code) (twinsite_refusals_total{{{S}}})"
                        f" or 0 * max by (service) (twinsite_service_info{{{S}}})",
                        "{{service}}: {{code}}",
                    ),
                    unit="short",
                    least=0,
                ),
                12,
                8,
            ),
        ],
        variables=[SERVICE, SITE],
    )
