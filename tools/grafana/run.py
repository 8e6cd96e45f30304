"""A run as it goes: which, how far, how long still, what it waits for, and what users see of it meanwhile."""

from grafana_foundation_sdk.models.dashboard import Dashboard

from tools.grafana.kit import BAD, GOOD, SERVICE, SITE, Heading, Placed, Query, bars, board, figures, lines
from tools.grafana.shared import CHOSEN as S
from tools.grafana.shared import accepts_writes, lag_both_ways, primaries_by_controller, roles, runs_so_far


def run() -> Dashboard:
    """The dashboard."""
    return board(
        "twinsite-run",
        "twinsite: a run as it goes",
        "Which run is under way, how far it is, how long it will still take, and what users see of it.",
        [
            Placed(
                figures(
                    "Under way",
                    "The newest run of each service, while it is not over.",
                    Query(f"max by (service, kind) (twinsite_run_active{{{S}}})", "{{kind}} of {{service}}"),
                    name_only=True,
                    none="nothing is under way",
                ),
                6,
                5,
            ),
            Placed(
                figures(
                    "For",
                    "Since it was started.",
                    Query(
                        f"time() - max by (service, kind) (twinsite_run_started_timestamp_seconds{{{S}}})",
                        "{{kind}} of {{service}}",
                    ),
                    unit="s",
                    none="-",
                ),
                6,
                5,
            ),
            Placed(
                figures(
                    "Likely to end in",
                    "From how long its steps have taken before; nothing where one of them never has, or it "
                    "waits for a person.",
                    Query(
                        "max by (service, kind) (twinsite_run_projected_finish_timestamp_seconds"
                        f"{{{S}}}) - time()",
                        "{{kind}} of {{service}}",
                    ),
                    unit="s",
                    none="not known",
                ),
                6,
                5,
            ),
            Placed(
                bars(
                    "Used of the time that was promised",
                    "By the move under way, from detection on; 100 % is all that the recovery time objective "
                    "allows.",
                    Query(
                        f"max by (service) (twinsite_run_rto_used_seconds{{{S}}})"
                        " / on (service) max by (service) (twinsite_objective_rto_seconds)",
                        "{{service}}",
                    ),
                    unit="percentunit",
                    steps=[(None, GOOD), (1, BAD)],
                    least=0,
                    most=1,
                ),
                6,
                5,
            ),
            Placed(
                figures(
                    "Waits for a person",
                    "It goes on when somebody has said how: `twinsite runs show ID`.",
                    Query(f"max by (service) (twinsite_run_waiting{{{S}}})", "{{service}}"),
                    words={0: ("no", GOOD), 1: ("WAITS", BAD)},
                ),
                6,
                5,
            ),
            Placed(
                lines(
                    "Steps",
                    "How many steps of the run are in which state.",
                    Query(
                        f"max by (service, kind, state) (twinsite_run_steps{{{S}}})",
                        "{{kind}} of {{service}}: {{state}}",
                    ),
                    unit="short",
                    stacked=True,
                    least=0,
                ),
                12,
                8,
            ),
            Placed(
                lines(
                    "Since anything of it changed",
                    "A step that hangs, or a controller that is gone, lets this grow.",
                    Query(
                        f"min by (service, kind) (twinsite_run_change_age_seconds{{{S}}})",
                        "{{kind}} of {{service}}",
                    ),
                    least=0,
                ),
                12,
                8,
            ),
            Heading("What users see of it"),
            Placed(
                accepts_writes(),
                12,
                7,
            ),
            Placed(
                roles(),
                12,
                7,
            ),
            Placed(
                lag_both_ways(S),
                12,
                8,
            ),
            Placed(
                primaries_by_controller(),
                12,
                8,
            ),
            Heading("Runs before this one"),
            Placed(
                runs_so_far("service, kind, outcome", "{{kind}} of {{service}}: {{outcome}}"),
                12,
                8,
            ),
            Placed(
                lines(
                    "How long steps take on the average",
                    "Of all that were carried out: which step is worth making quicker.",
                    Query(
                        f"sum by (service, step) (twinsite_step_duration_seconds_sum{{{S}}})"
                        f" / sum by (service, step) (twinsite_step_duration_seconds_count{{{S}}})",
                        "{{service}}: {{step}}",
                    ),
                    least=0,
                ),
                12,
                8,
            ),
        ],
        variables=[SERVICE, SITE],
        since="now-15m",
        refresh="5s",
    )
