"""The controller itself: is it in time, does it hold its lease, how is its store, what runs out."""

from grafana_foundation_sdk.models.dashboard import Dashboard

from tools.grafana.kit import (
    BAD,
    GOOD,
    MIDDLING,
    PLAIN,
    Heading,
    Placed,
    Query,
    board,
    figures,
    lines,
    states,
    variable,
)

OBSERVER = variable("observer", "Controller", "label_values(twinsite_build_info, observer)")
CHOSEN = 'observer=~"$observer"'


def controller() -> Dashboard:
    """The dashboard."""
    return board(
        "twinsite-controller",
        "twinsite: the controller itself",
        "Whether the controllers are in time and hold their leases, how the store is, and what runs out.",
        [
            Placed(
                figures(
                    "Version",
                    "Of each controller.",
                    Query(f"twinsite_build_info{{{CHOSEN}}}", "{{observer}}: {{version}}"),
                    name_only=True,
                    none="no controller",
                ),
                8,
                5,
            ),
            Placed(
                figures(
                    "Up for",
                    "Since each controller was started.",
                    Query(
                        f"time() - max by (observer) (twinsite_start_timestamp_seconds{{{CHOSEN}}})",
                        "{{observer}}",
                    ),
                    unit="s",
                    none="no controller",
                ),
                8,
                5,
            ),
            Placed(
                figures(
                    "Trusts the store",
                    "No: it went back in time or is another one, and a person must accept it.",
                    Query(f"min by (observer) (twinsite_store_trusted{{{CHOSEN}}})", "{{observer}}"),
                    words={1: ("yes", GOOD), 0: ("NO", BAD)},
                    none="not known",
                ),
                8,
                5,
            ),
            Heading("In time"),
            Placed(
                lines(
                    "Since its last turn",
                    "Above fifteen seconds what it exports does not count any more.",
                    Query(f"twinsite_turn_age_seconds{{{CHOSEN}}}", "{{observer}}"),
                ),
                8,
                8,
            ),
            Placed(
                lines(
                    "Longest wait of ready work, in a minute",
                    "How busy the controller's loop is.",
                    Query(f"twinsite_event_loop_delay_seconds{{{CHOSEN}}}", "{{observer}}"),
                ),
                8,
                8,
            ),
            Placed(
                lines(
                    "Least that was left of its lease, in a minute; its length dashed",
                    "Near the length while renewals are in time.",
                    Query(f"twinsite_lease_remaining_lowest_seconds{{{CHOSEN}}}", "{{site}}"),
                    Query(f"twinsite_lease_duration_seconds{{{CHOSEN}}}", "{{observer}} length"),
                    dashed=["B"],
                    least=0,
                ),
                8,
                8,
            ),
            Placed(
                lines(
                    "How long scrapes take",
                    "By Prometheus' own clock; the page is rendered ahead.",
                    Query(
                        f"scrape_duration_seconds * on (instance, job) group_left (observer)"
                        f" twinsite_build_info{{{CHOSEN}}}",
                        "{{observer}}",
                    ),
                ),
                8,
                8,
            ),
            Placed(
                lines(
                    "Decisions a second",
                    "Changes of mind; many of them are a service that flaps.",
                    Query(
                        "sum by (observer, decision)"
                        f" (rate(twinsite_decisions_total{{{CHOSEN}}}[$__rate_interval]))",
                        "{{observer}}: {{decision}}",
                    ),
                    unit="short",
                    least=0,
                ),
                8,
                8,
            ),
            Placed(
                lines(
                    "Not accepted so far",
                    "Certificates, identities, messages and records that made no sense, by code.",
                    Query(
                        f"sum by (observer, code) (twinsite_not_accepted_total{{{CHOSEN}}})"
                        f" or 0 * max by (observer) (twinsite_build_info{{{CHOSEN}}})",
                        "{{observer}}: {{code}}",
                    ),
                    unit="short",
                    least=0,
                ),
                8,
                8,
            ),
            Heading("The store"),
            Placed(
                lines(
                    "Round trip",
                    "How long the store took to confirm its last answer.",
                    Query(f"twinsite_store_round_trip_seconds{{{CHOSEN}}}", "{{observer}}"),
                ),
                8,
                8,
            ),
            Placed(
                lines(
                    "Age of its last answer",
                    "Goes on growing while the store cannot be reached.",
                    Query(f"twinsite_store_answer_age_seconds{{{CHOSEN}}}", "{{observer}}"),
                ),
                8,
                8,
            ),
            Placed(
                lines(
                    "Size as a part of its quota",
                    "At 100 % the store takes no writes.",
                    Query(
                        f"twinsite_store_size_bytes{{{CHOSEN}}} / twinsite_store_quota_bytes{{{CHOSEN}}}",
                        "{{observer}}",
                    ),
                    unit="percentunit",
                ),
                8,
                8,
            ),
            Placed(
                states(
                    "Members",
                    "Whether each is reached, by each site's word.",
                    Query(
                        "min by (from_site, member) (twinsite_store_member_reachable)",
                        "{{from_site}} to {{member}}",
                    ),
                    words={1: ("reached", GOOD), 0: ("NOT REACHED", BAD)},
                ),
                12,
                8,
            ),
            Placed(
                states(
                    "Which member leads",
                    "By its own word.",
                    Query("max by (member) (twinsite_store_leader)", "{{member}}"),
                    words={1: ("leads", MIDDLING), 0: ("follows", PLAIN)},
                ),
                12,
                8,
            ),
            Heading("What runs out or apart"),
            Placed(
                lines(
                    "Left of each certificate",
                    "Own ones, the authority's, and those shown at the doors.",
                    Query(
                        "min by (identity) (twinsite_certificate_expires_timestamp_seconds) - time()",
                        "{{identity}}",
                    ),
                ),
                12,
                8,
            ),
            Placed(
                lines(
                    "Clocks: time of day ahead of the controller's",
                    "Nothing is decided by it; above a minute planned moves are refused.",
                    Query(f"twinsite_clock_divergence_seconds{{{CHOSEN}}}", "{{observer}}: {{site}}"),
                ),
                12,
                8,
            ),
            Placed(
                states(
                    "Hold",
                    "The site may serve without any contact, and is not taken over by itself.",
                    Query("max by (site) (twinsite_hold)", "{{site}}"),
                    words={1: ("holds", MIDDLING), 0: ("no", GOOD)},
                ),
                12,
                7,
            ),
            Placed(
                lines(
                    "Left of the promise not to take over",
                    "By which a site that loses the store goes on.",
                    Query(
                        "max by (observer, site) (twinsite_promise_remaining_seconds)",
                        "{{observer}} to {{site}}",
                    ),
                ),
                12,
                7,
            ),
        ],
        variables=[OBSERVER],
    )
