"""Drills and evidence: was it rehearsed, in time, and did what was measured meet what was promised."""

from grafana_foundation_sdk.models.dashboard import Dashboard

from tools.grafana.kit import (
    BAD,
    GOOD,
    MIDDLING,
    Heading,
    Panel,
    Placed,
    Query,
    bars,
    board,
    figures,
    lines,
    states,
)
from tools.grafana.shared import CHOSEN as S
from tools.grafana.shared import runs_so_far, since_last_drill


def _against(title: str, measured: str, objective: str, promised: str) -> Panel:
    """What was measured, as a part of what was promised."""
    return bars(
        f"{title}, as a part of the objective",
        f"100 % is all that the {objective} allows.",
        Query(
            f"max by (service) ({measured}{{{S}}}) / on (service) max by (service) ({promised})",
            "{{service}}",
        ),
        unit="percentunit",
        steps=[(None, GOOD), (1, BAD)],
        least=0,
        most=1,
    )


def _rehearsed() -> list[Heading | Placed]:
    of_each = "max by (service, drill, kind)"
    named = "{{service}}: {{drill}} ({{kind}})"
    return [
        Heading("Rehearsed"),
        Placed(since_last_drill(S), 8, 6),
        Placed(
            figures(
                "Until the next one is due",
                "As far as blackouts go.",
                Query(f"{of_each} (twinsite_drill_next_due_timestamp_seconds{{{S}}}) - time()", named),
                unit="s",
                none="none planned",
            ),
            8,
            6,
        ),
        Placed(
            figures(
                "Of exactly today's plan",
                "Whether what would be carried out today is what was rehearsed.",
                Query(f"max by (service) (twinsite_drill_of_todays_plan{{{S}}})", "{{service}}"),
                words={1: ("yes", GOOD), 0: ("CHANGED SINCE", BAD)},
                none="never drilled",
            ),
            8,
            6,
        ),
        Placed(
            states(
                "Drills",
                "When a drill was under way.",
                Query(f"{of_each} (twinsite_drill_running{{{S}}})", named),
                words={1: ("drill", MIDDLING), 0: ("no", GOOD)},
            ),
            12,
            7,
        ),
        Placed(
            states(
                "Overdue, or not cleaned up",
                "Whether the last success is too long ago, and whether a copy is still to be removed.",
                Query(f"{of_each} (twinsite_drill_overdue{{{S}}})", f"{named} overdue"),
                Query(f"{of_each} (twinsite_drill_left_behind{{{S}}})", f"{named} left behind"),
                words={1: ("YES", BAD), 0: ("no", GOOD)},
            ),
            12,
            7,
        ),
        Placed(
            lines(
                "How long drills took",
                "Each drill's last success.",
                Query(f"{of_each} (twinsite_drill_success_duration_seconds{{{S}}})", named),
                least=0,
            ),
            12,
            7,
        ),
        Placed(
            lines(
                "Missed so far",
                "Times at which a drill was due and nobody began it.",
                Query(f"{of_each} (twinsite_drills_missed_total{{{S}}})", named),
                unit="short",
                least=0,
            ),
            12,
            7,
        ),
    ]


def _measured() -> list[Heading | Placed]:
    done = f'twinsite_run_duration_seconds_{{0}}{{{{{S}, outcome="done"}}}}'
    total, count = (f"sum by (service, kind) ({done.format(part)})" for part in ("sum", "count"))
    return [
        Heading("Measured against what was promised"),
        Placed(
            _against(
                "Outage of the last move",
                "twinsite_last_move_outage_seconds",
                "recovery time objective",
                "twinsite_objective_rto_seconds",
            ),
            8,
            7,
        ),
        Placed(
            _against(
                "Loss of the last move at the most",
                "twinsite_last_move_data_loss_bound_seconds",
                "recovery point objective",
                "twinsite_objective_rpo_seconds",
            ),
            8,
            7,
        ),
        Placed(
            figures(
                "Since the last move",
                "Planned or not; every move is evidence too.",
                Query(
                    f"time() - max by (service) (twinsite_last_move_timestamp_seconds{{{S}}})", "{{service}}"
                ),
                unit="s",
                none="no move known",
            ),
            8,
            7,
        ),
        Placed(runs_so_far("kind, outcome", "{{kind}}: {{outcome}}"), 12, 8),
        Placed(
            lines(
                "How long runs take on the average",
                "By what they were for, of those that were done.",
                Query(f"{total} / {count}", "{{kind}} of {{service}}"),
                least=0,
            ),
            12,
            8,
        ),
    ]


def drills() -> Dashboard:
    """The dashboard."""
    return board(
        "twinsite-drills",
        "twinsite: drills and evidence",
        "Whether it was rehearsed, in time, and whether what was measured met what was promised.",
        [*_rehearsed(), *_measured()],
        since="now-90d",
        refresh="5m",
    )
