"""An estate that is well, as series, and for each alert what makes it fire. Written for `promtool test
rules`: values are its notation, time begins at 0.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

LENGTH = 2000  # samples, fifteen seconds apart
DAY = 86400


def always(value: float) -> str:
    return f"{value:g}+0x{LENGTH}"


def until(value: float, samples: int, then: str) -> str:
    """So many samples of a value, then something else: `_` is nothing, another value, or a slope."""
    return f"{value:g}+0x{samples - 1} {then}x{LENGTH - samples}"


def s(name: str, **labels: str) -> str:
    inside = ",".join(f'{key}="{text}"' for key, text in labels.items())
    return f"twinsite_{name}{{{inside}}}"


D, M, W = "durham", "morpeth", "derwentside"
HOMES = {"crm": (D, M), "ebs": (M, D)}


def well() -> dict[str, str]:
    """Two controllers that see the same healthy estate."""
    found: dict[str, str] = {}
    for observer in (D, M):
        found |= _of(observer)
    return found


def _of(observer: str) -> dict[str, str]:
    by = {"observer": observer}
    here = {
        s("build_info", version="twinsite 0.1.0", **by): 1,
        s("turn_age_seconds", **by): 0.2,
        s("event_loop_delay_seconds", **by): 0.01,
        s("lease_duration_seconds", **by): 10,
        s("lease_remaining_lowest_seconds", site=observer, **by): 8.2,
        s("store_answer_age_seconds", **by): 0.4,
        s("store_trusted", **by): 1,
        s("store_size_bytes", **by): 1e6,
        s("store_quota_bytes", **by): 2e9,
        s("clock_divergence_seconds", site=M if observer == D else D, **by): 0.1,
        s("certificate_expires_timestamp_seconds", identity=f"twinsite:controller/{observer}", **by): 90
        * DAY,
        s("capacity_headroom_cpu_cores", from_site=D, to_site=M, **by): 8,
        s("capacity_headroom_cpu_cores", from_site=M, to_site=D, **by): 8,
        s("capacity_headroom_memory_bytes", from_site=D, to_site=M, **by): 1e9,
        s("capacity_headroom_memory_bytes", from_site=M, to_site=D, **by): 1e9,
    }
    for site in (D, M, W):
        here[s("site_info", site=site, kind="witness" if site == W else "data", **by)] = 1
        if site != W:
            here[s("lease_remaining_seconds", site=site, **by)] = 8
        here[s("store_member_reachable", from_site=observer, member=site, **by)] = 1
        here[s("observers_disagree", service="", site=site, **by)] = 0
        for other in {D, M, W} - {site}:
            here[s("reachable", from_site=site, to_site=other, **by)] = 1
            here[s("reachable_age_seconds", from_site=site, to_site=other, **by)] = 1.5
    for service, (home, standby) in HOMES.items():
        ways = {"service": service, "from_site": home, "to_site": standby, **by}
        about = {"service": service, **by}
        here |= {
            s("service_info", service=service, home=home, standby=standby, failover="automatic", **by): 1,
            s("replication_lag_seconds", **ways): 0.1,
            s("replication_sample_age_seconds", **ways): 0.5,
            s("objective_rpo_seconds", **about): 60,
            s("protected", **about): 1,
            s("run_waiting", **about): 0,
            s("paused", **about): 0,
            s("drill_overdue", drill="quarterly", kind="isolated", **about): 0,
            s("drill_running", drill="quarterly", kind="isolated", **about): 0,
            s("drill_left_behind", drill="quarterly", kind="isolated", **about): 0,
            s("drills_missed_total", drill="quarterly", kind="isolated", **about): 2,
            s("drill_of_todays_plan", **about): 1,
        }
        for site in (home, standby):
            at = {"service": service, "site": site, **by}
            here |= {
                s("writable", **at): site == home,
                s("owner", **at): site == home,
                s("break_glass", **at): 0,
                s("observers_disagree", **at): 0,
                s("probe_up", service=service, site=site, probe="port", kind="tcp", **by): site == home,
            }
    return {name: always(value) for name, value in here.items()}


@dataclass(frozen=True)
class Case:
    """What makes an alert fire: `changes` to what is well (None takes a series away). It does not fire yet at
    `quiet_at` and does at `fires_at`, both in seconds. `labels` beside severity and owner; `also`: alerts
    that fire then as well, rightly, by name and labels. `value`: what the summary's templates make of it."""

    alert: str
    changes: Mapping[str, str | None]
    quiet_at: int
    fires_at: int
    labels: Mapping[str, str]
    also: tuple[tuple[str, Mapping[str, str]], ...] = ()
    value: Mapping[str, str] = field(default_factory=dict)


def both(name: str, value: str | None, **labels: str) -> dict[str, str | None]:
    """The same by the word of both controllers."""
    return {s(name, **labels, observer=observer): value for observer in (D, M)}


def gone(observer: str) -> dict[str, str | None]:
    """Everything that a controller exports ends after ten samples."""
    series = well()
    return {
        name: f"{values.split('+')[0]}+0x9 stale"
        for name, values in series.items()
        if f'observer="{observer}"' in name
    }


EBS = {"service": "ebs", "from_site": M, "to_site": D}
DRILL = {"service": "ebs", "drill": "quarterly", "kind": "isolated"}
DOWN = s("reach_finding", finding="site down", about=M, observer=D)

CASES: tuple[Case, ...] = (
    Case(
        "TwinsiteReplicationLagBurnsFast",
        both("replication_lag_seconds", until(0.1, 1440, "90+0"), **EBS),
        21600,
        21690,
        {"service": "ebs"},
    ),
    Case(
        "TwinsiteReplicationLagBurnsSlowly",
        both("replication_lag_seconds", f"0.1+0x1399 90+0x15 0.1+0x{LENGTH}", **EBS),
        20900,
        21600,
        {"service": "ebs"},
    ),
    Case(
        "TwinsiteReplicationSampleStale",
        both("replication_sample_age_seconds", until(0.5, 10, "0.5+15"), **EBS)
        | both("replication_lag_seconds", until(0.1, 10, "_"), **EBS)
        | both("objective_rpo_seconds", always(1e9), service="ebs"),
        180,
        360,
        EBS,
    ),
    Case(
        "TwinsiteUnprotected",
        both("protected", until(1, 10, "0+0"), service="ebs"),
        420,
        480,
        {"service": "ebs"},
    ),
    Case(
        "TwinsiteCapacityShort",
        both("capacity_headroom_cpu_cores", until(8, 10, "-4+0"), from_site=D, to_site=M),
        900,
        1200,
        {"from_site": D, "to_site": M},
    ),
    Case(
        "TwinsiteSiteDark",
        gone(M)
        | {
            DOWN: until(0, 10, "1+0").replace("0+0x9", "_x10"),
            s("reachable", from_site=D, to_site=M, observer=D): until(1, 10, "0+0"),
            s("store_member_reachable", from_site=D, member=M, observer=D): until(1, 10, "0+0"),
        },
        165,
        240,
        {"site": M},
    ),
    Case(
        "TwinsiteSiteDark",
        gone(M) | {s("lease_remaining_seconds", site=M, observer=D): until(8, 10, "0+0")},
        165,
        240,
        {"site": M},
    ),
    Case(
        "TwinsiteWitnessLost",
        both("reachable", until(1, 10, "0+0"), from_site=D, to_site=W)
        | both("reachable", until(1, 10, "0+0"), from_site=M, to_site=W),
        180,
        300,
        {"site": W},
    ),
    Case(
        "TwinsiteWitnessLost",
        both("reachable_age_seconds", until(1.5, 10, "1.5+15"), from_site=W, to_site=D)
        | both("reachable_age_seconds", until(1.5, 10, "1.5+15"), from_site=W, to_site=M),
        180,
        300,
        {"site": W},
    ),
    # Its machine still answers, with a refusal: with all of it gone, one alert is enough.
    Case(
        "TwinsiteWitnessLost",
        both("reachable_age_seconds", until(1.5, 10, "1.5+15"), from_site=W, to_site=D)
        | both("reachable_age_seconds", until(1.5, 10, "1.5+15"), from_site=W, to_site=M)
        | both("store_member_reachable", until(1, 10, "0+0"), from_site=D, member=W)
        | both("store_member_reachable", until(1, 10, "0+0"), from_site=M, member=W),
        180,
        420,
        {"site": W},
    ),
    Case(
        "TwinsiteLinkDown",
        {s("reach_finding", finding="link down", about="durham-morpeth", observer=D): f"_x10 1+0x{LENGTH}"},
        165,
        300,
        {"finding": "link down", "about": "durham-morpeth"},
    ),
    Case(
        "TwinsiteObserversDisagree",
        {s("observers_disagree", service="ebs", site=M, observer=D): until(0, 10, "1+0")},
        420,
        480,
        {"service": "ebs", "site": M},
    ),
    Case(
        "TwinsiteControllersDisagree",
        {s("owner", service="ebs", site=D, observer=D): until(0, 10, "1+0")},
        180,
        240,
        {"service": "ebs"},
    ),
    Case(
        "TwinsiteTwoSitesWritable",
        {s("writable", service="ebs", site=D, observer=D): until(0, 10, "1+0")},
        165,
        240,
        {"service": "ebs"},
    ),
    Case(
        "TwinsiteServiceNotServed",
        {
            s("writable", service="ebs", site=M, observer=D): until(1, 10, "0+0"),
            s("writable", service="ebs", site=M, observer=M): "1+0x9 stale",
        },
        180,
        240,
        {"service": "ebs"},
    ),
    Case(
        "TwinsiteProbeFailing",
        both("probe_up", until(1, 10, "0+0"), service="ebs", site=M, probe="port", kind="tcp"),
        240,
        300,
        {"service": "ebs", "site": M, "probe": "port", "kind": "tcp"},
    ),
    Case(
        "TwinsiteRunWaitsForPerson",
        {s("run_waiting", service="ebs", observer=D): until(0, 10, "1+0")},
        180,
        240,
        {"service": "ebs"},
    ),
    Case(
        "TwinsiteMoveBeyondObjective",
        both("run_projected_within_rto", f"_x10 0+0x{LENGTH}", service="ebs", kind="failover"),
        150,
        180,
        {"service": "ebs", "kind": "failover"},
    ),
    Case(
        "TwinsiteRunSlow",
        both("run_stalled", f"_x10 1+0x{LENGTH}", service="ebs", kind="failover"),
        195,
        225,
        {"service": "ebs", "kind": "failover"},
    ),
    Case(
        "TwinsiteRunStalled",
        both("run_change_age_seconds", f"_x10 0+15x{LENGTH}", service="ebs", kind="switchover"),
        900,
        1200,
        {"service": "ebs", "kind": "switchover"},
    ),
    Case(
        "TwinsitePausedLong",
        both("paused", always(1), service="ebs"),
        26000,
        28890,
        {"service": "ebs"},
    ),
    Case(
        "TwinsiteUnderBrokenGlass",
        {s("break_glass", service="ebs", site=D, observer=D): until(0, 10, "1+0")},
        120,
        165,
        {"service": "ebs", "site": D},
    ),
    Case("TwinsiteControllerAbsent", gone(M), 180, 300, {"site": M}),
    Case("TwinsiteNoController", gone(M) | gone(D), 180, 300, {}),
    Case(
        "TwinsiteControllerStandsStill",
        {s("turn_age_seconds", observer=M): until(0.2, 10, "0.2+15")},
        165,
        300,
        {"observer": M},
    ),
    Case(
        "TwinsiteLeaseRenewalsLate",
        {s("lease_remaining_lowest_seconds", site=M, observer=M): until(8, 10, "3+0")},
        240,
        300,
        {"site": M},
    ),
    Case(
        "TwinsiteEventLoopSlow",
        {s("event_loop_delay_seconds", observer=M): until(0.01, 10, "0.9+0")},
        420,
        480,
        {"observer": M},
    ),
    Case(
        "TwinsiteClocksApart",
        {s("clock_divergence_seconds", site=M, observer=D): until(0.1, 10, "-30+0")},
        420,
        480,
        {"observer": D, "site": M},
    ),
    Case(
        "TwinsiteCertificateExpiresSoon",
        {
            s(
                "certificate_expires_timestamp_seconds", identity=f"twinsite:controller/{M}", observer=M
            ): always(20 * DAY + 600)
        },
        240,
        600,
        {"identity": f"twinsite:controller/{M}"},
        value={"humanizeDuration": "20d 0h 0m 0s"},
    ),
    Case(
        "TwinsiteCertificateExpires",
        {
            s(
                "certificate_expires_timestamp_seconds", identity=f"twinsite:controller/{M}", observer=M
            ): until(30 * DAY, 10, f"{2 * DAY + 600:g}+0")
        },
        120,
        600,
        {"identity": f"twinsite:controller/{M}"},
        also=(("TwinsiteCertificateExpiresSoon", {"identity": f"twinsite:controller/{M}"}),),
        value={"humanizeDuration": "2d 0h 0m 0s"},
    ),
    Case(
        "TwinsiteReceiverFailing",
        {s("receiver_failing", receiver="on-call", observer=D): until(0, 10, "1+0")},
        720,
        810,
        {"receiver": "on-call"},
    ),
    Case(
        "TwinsiteStoreUnreachable",
        {
            s("store_answer_age_seconds", observer=D): until(0.4, 10, "0.4+15"),
            # What it knows of the other site is as old, and proves nothing.
            s("lease_remaining_seconds", site=M, observer=D): until(8, 10, "0+0"),
        },
        165,
        300,
        {"observer": D},
    ),
    Case(
        "TwinsiteStoreMemberLost",
        both("store_member_reachable", until(1, 10, "0+0"), from_site=D, member=W)
        | both("store_member_reachable", until(1, 10, "0+0"), from_site=M, member=W),
        180,
        300,
        {"site": W},
    ),
    Case(
        "TwinsiteStoreNotTrusted",
        {s("store_trusted", observer=D): until(1, 10, "0+0")},
        120,
        165,
        {"observer": D},
    ),
    Case(
        "TwinsiteStoreFilling",
        {s("store_size_bytes", observer=D): until(1e6, 10, "1.8e9+0")},
        420,
        480,
        {"observer": D},
        value={"humanizePercentage": "90%"},
    ),
    Case("TwinsiteDrillOverdue", both("drill_overdue", until(0, 10, "1+0"), **DRILL), 420, 480, DRILL),
    Case("TwinsiteDrillMissed", both("drills_missed_total", until(2, 10, "3+0"), **DRILL), 120, 300, DRILL),
    Case(
        "TwinsiteDrillLeftBehind", both("drill_left_behind", until(0, 10, "1+0"), **DRILL), 900, 1200, DRILL
    ),
    Case(
        "TwinsiteDrilledPlanChanged",
        both("drill_of_todays_plan", until(1, 10, "0+0"), service="ebs"),
        900,
        1200,
        {"service": "ebs"},
    ),
)
