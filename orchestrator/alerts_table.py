"""The one table of what Prometheus is to record and to alert on: when, how bad, whose it is, what to do.

The rule files under `prometheus/` and the reference page are made from it by `orchestrator.alert_rules`.

Both controllers export the same facts, told apart by `observer`; a rule takes them together. What a
controller says that has not completed a turn lately does not count, so that one which stands still cannot
keep an old fact alive. Lengths of time stand as `<<seconds>>`, so that the lab can play hours in minutes.
"""

from dataclasses import dataclass
from enum import StrEnum

AWAKE = "observer:twinsite_turn_age_seconds:awake"
BURN_WINDOWS = {"5m": 300, "30m": 1800, "1h": 3600, "6h": 21600}
BUDGET = 0.001  # of the time the lag may be above its objective


class Severity(StrEnum):
    """What Alertmanager routes by."""

    CRITICAL = "critical"  # somebody is woken
    WARNING = "warning"  # somebody looks in working hours


class Owner(StrEnum):
    """Who acts on it."""

    ON_CALL = "on-call"
    DATABASES = "databases"
    PLATFORM = "platform"  # the controllers, the store, the network between the sites
    CONTINUITY = "continuity"  # the joint project team that plans drills


@dataclass(frozen=True, slots=True)
class Recording:
    """A series that is recorded, under the name that dashboards and alerts use."""

    name: str
    expr: str
    text: str


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert. `holds_seconds`: how long `expr` must hold. `summary` is what is sent, with Prometheus'
    templates; `meaning` and `todo` are sentences; `page` is where docs/ says more."""

    name: str
    severity: Severity
    owner: Owner
    expr: str
    holds_seconds: int
    summary: str
    meaning: str
    todo: str
    page: str


@dataclass(frozen=True, slots=True)
class AlertGroup:
    """Alerts that belong together, under a heading of the reference page."""

    name: str
    title: str
    alerts: tuple[Alert, ...]


def _awake(selector: str) -> str:
    """Only by the word of controllers that complete their turns."""
    return f"({selector} and on (observer) {AWAKE})"


def _renamed(expr: str, new: str, old: str) -> str:
    return f'label_replace({expr}, "{new}", "$1", "{old}", "(.+)")'


def _burns(rate: float, short: str, long: str) -> str:
    name = "service:twinsite_rpo_burn_rate:of"
    return f"{name}{short} > {rate:g} and on (service) {name}{long} > {rate:g}"


DARK = "site:twinsite_dark:max"
_DOWN = _renamed(_awake('twinsite_reach_finding{finding="site down"}'), "site", "about")
_OWN = _renamed("twinsite_turn_age_seconds", "site", "observer")
# A site's lease by the word of the other one, which hears the store; what a site says of itself is no proof.
_OVER = (
    f"(({_awake('twinsite_lease_remaining_seconds')} == 0) unless on (site, observer) {_OWN})"
    " and on (observer) (twinsite_store_answer_age_seconds < <<15>>)"
)
_DATA = 'max by (site) (twinsite_site_info{kind="data"})'
_WITNESS = 'max by (site) (twinsite_site_info{kind="witness"})'
_REACHED = f"max by (site) ({_renamed(_awake('twinsite_reachable'), 'site', 'to_site')}) == 1"
_HEARD = (
    "min by (site) ("
    + _renamed(_awake('twinsite_reachable_age_seconds{from_site!=""}'), "site", "from_site")
    + ") < <<30>>"
)
_WITNESS_LOST = f"({_WITNESS} unless on (site) ({_REACHED})) or ({_WITNESS} unless on (site) ({_HEARD}))"
_BOUND = "service:twinsite_replication_lag_bound_seconds:min"

RECORDINGS: tuple[Recording, ...] = (
    Recording(AWAKE, "twinsite_turn_age_seconds < <<15>>", "controllers that complete their turns"),
    Recording(
        DARK,
        f"clamp_max(count by (site) (({_DOWN}) or ({_OVER})), 1)",
        "1 for a site that nobody reaches, or whose right to act has run out by the other one's word; absent "
        "for one that is not dark",
    ),
    Recording(
        _BOUND,
        f"min by (service, from_site, to_site) ("
        f"(({_awake('twinsite_replication_lag_seconds')} + twinsite_replication_sample_age_seconds)"
        f" or {_awake('twinsite_replication_sample_age_seconds')}))",
        "what would be lost at the most by moving now: lag and the age of its sample, by the best informed "
        "controller",
    ),
    Recording(
        "service:twinsite_protected:max",
        f"max by (service) ({_awake('twinsite_protected')})",
        "whether any controller knows of a standby that could take the service over",
    ),
    Recording(
        "service_site:twinsite_writable:max",
        f"max by (service, site) ({_awake('twinsite_writable')})",
        "where the service accepts writes, by anybody's word",
    ),
    Recording(
        "service_site:twinsite_owner:max",
        f"max by (service, site) ({_awake('twinsite_owner')})",
        "which site the store names as primary, by anybody's word",
    ),
    Recording(
        "service:twinsite_rpo_exceeded:bool",
        f"max by (service) ({_BOUND} > bool on (service) group_left ()"
        " max by (service) (twinsite_objective_rpo_seconds))"
        " and on (service) (service:twinsite_protected:max == 1)",
        "1 while more than the objective would be lost; only while there is a standby at all",
    ),
    *(
        Recording(
            f"service:twinsite_rpo_burn_rate:of{window}",
            # Of the whole window, be it filled yet or not: how often is sampled is seen by the last five
            # minutes.
            f"sum_over_time(service:twinsite_rpo_exceeded:bool[<<{seconds}>>s]) / on (service)"
            f" ({seconds // 300 * BUDGET:g} * count_over_time(service:twinsite_protected:max[<<300>>s]))",
            f"how many times too fast the error budget of the recovery point was used in the last {window}",
        )
        for window, seconds in BURN_WINDOWS.items()
    ),
)

_REPLICATION = AlertGroup(
    "twinsite-replication",
    "Replication and protection",
    (
        Alert(
            "TwinsiteReplicationLagBurnsFast",
            Severity.CRITICAL,
            Owner.DATABASES,
            _burns(14.4, "5m", "1h"),
            0,
            "The standby of {{ $labels.service }} is behind by more than its recovery point objective",
            "The lag, with the age of its sample, was above the objective for so much of the last hour and "
            "of the last five minutes that a month's allowance (0.1 % of the time) would be gone in two "
            "days.",
            "Type `twinsite lag`; look for what writes so much at the primary, or slows the standby or the "
            "link down.",
            "how-it-works.md#data-loss",
        ),
        Alert(
            "TwinsiteReplicationLagBurnsSlowly",
            Severity.WARNING,
            Owner.DATABASES,
            _burns(6, "30m", "6h"),
            0,
            "The standby of {{ $labels.service }} is behind by more than its objective again and again",
            "The same over six hours and thirty minutes: a month's allowance would be gone in five days.",
            "Type `twinsite lag` at the hours in which it happens, and give the standby or the link more "
            "room.",
            "how-it-works.md#data-loss",
        ),
        Alert(
            "TwinsiteReplicationSampleStale",
            Severity.WARNING,
            Owner.DATABASES,
            "min by (service, from_site, to_site) ("
            + _awake("twinsite_replication_sample_age_seconds")
            + f") > <<60>> unless on () ({DARK})",
            60,
            "Nobody knows how far {{ $labels.to_site }} is behind for {{ $labels.service }}",
            "No controller has measured the lag for over a minute. A move now would be refused "
            "(`lag-unknown`) unless somebody accepts the loss.",
            "Type `twinsite explain SERVICE` to see who cannot ask which instance, and why.",
            "first-failover.md#2-why-has-it-not-moved-by-itself",
        ),
        Alert(
            "TwinsiteUnprotected",
            Severity.CRITICAL,
            Owner.DATABASES,
            "service:twinsite_protected:max == 0",
            300,
            "{{ $labels.service }} has no standby that could take it over",
            "No controller has known of a standby that could take the service over for five minutes. If its "
            "site is lost now, it is down until that site is back.",
            "Type `twinsite explain SERVICE`; get the standby to follow again, or wait for its site.",
            "first-failover.md#5-afterwards",
        ),
        Alert(
            "TwinsiteCapacityShort",
            Severity.WARNING,
            Owner.CONTINUITY,
            "min by (from_site, to_site) (twinsite_capacity_headroom_cpu_cores) < 0"
            " or min by (from_site, to_site) (twinsite_capacity_headroom_memory_bytes) < 0",
            900,
            "{{ $labels.to_site }} has no room for everything of {{ $labels.from_site }}",
            "If the one site is lost now, not everything of it fits at the other unless something is shed.",
            "Type `twinsite plan failover --site SITE` to see what would be shed or refused.",
            "whole-sites.md#does-it-fit",
        ),
    ),
)

_SITES = AlertGroup(
    "twinsite-sites",
    "Sites, links and the witness",
    (
        Alert(
            "TwinsiteSiteDark",
            Severity.CRITICAL,
            Owner.ON_CALL,
            f"{DARK} and on (site) {_DATA}",
            30,
            "{{ $labels.site }} is dark: its right to act has run out, or nobody reaches it",
            "It has not renewed its lease, by the word of the other site, which hears the store; or neither "
            "that one nor the witness reaches it. Its automatic services move by themselves; the others wait "
            "for a person.",
            "Type `twinsite status` at the other site, and follow your first failover.",
            "first-failover.md",
        ),
        Alert(
            "TwinsiteWitnessLost",
            Severity.CRITICAL,
            Owner.PLATFORM,
            _WITNESS_LOST,
            60,
            "The witness at {{ $labels.site }} is lost",
            "No data site reaches the witness, or nothing has been heard of what it sees. Both sites go on, "
            "but the next loss is no longer told from a cut link.",
            "Bring its machine, its `twinsite witness` and its member of the store back before anything else "
            "goes.",
            "how-it-works.md#hold-when-a-second-loss-would-darken-everything",
        ),
        Alert(
            "TwinsiteLinkDown",
            Severity.WARNING,
            Owner.PLATFORM,
            "max by (about, finding) ("
            + _awake('twinsite_reach_finding{finding=~"link down|one way only|cut off"}')
            + ")",
            60,
            "{{ $labels.finding }}: {{ $labels.about }}",
            "Sites that live do not reach each other. Nothing is moved for that; a standby may fall behind.",
            "Type `twinsite status` for who reaches whom, and give the network's people both addresses.",
            "how-it-works.md#who-reaches-whom",
        ),
        Alert(
            "TwinsiteObserversDisagree",
            Severity.WARNING,
            Owner.PLATFORM,
            f"max by (service, site) ({_awake('twinsite_observers_disagree')}) == 1",
            300,
            "Observers see different things of {{ $labels.service }} at {{ $labels.site }}",
            "The sites and the witness have not agreed for five minutes on what the instance is or, with no "
            "service, on whether the site is reached.",
            "Type `twinsite explain SERVICE`: it shows side by side what each of them sees.",
            "first-failover.md#2-why-has-it-not-moved-by-itself",
        ),
        Alert(
            "TwinsiteControllersDisagree",
            Severity.CRITICAL,
            Owner.ON_CALL,
            "count by (service) (service_site:twinsite_owner:max == 1) > 1",
            60,
            "The controllers name different primaries for {{ $labels.service }}",
            "One controller's view of the store says another primary than the other's, for a minute.",
            "Type `twinsite status` at both sites; the one that does not reach the store knows less.",
            "store.md#what-is-measured-and-what-to-be-woken-for",
        ),
    ),
)

_SERVICES = AlertGroup(
    "twinsite-services",
    "Services and runs",
    (
        Alert(
            "TwinsiteTwoSitesWritable",
            Severity.CRITICAL,
            Owner.ON_CALL,
            "count by (service) (service_site:twinsite_writable:max == 1) > 1",
            30,
            "{{ $labels.service }} accepts writes at both sites",
            "Two instances say that they accept writes. That must never be; somebody opened one by hand, or "
            "a command driver says what is not so.",
            "Stop the clients of the site that `twinsite status` does not name as primary, then type "
            "`twinsite explain SERVICE`.",
            "what-happens-when.md",
        ),
        Alert(
            "TwinsiteServiceNotServed",
            Severity.CRITICAL,
            Owner.ON_CALL,
            'max by (service) (twinsite_service_info{failover!="watched"})'
            " unless on (service) (service_site:twinsite_writable:max == 1)",
            60,
            "{{ $labels.service }} is served nowhere",
            "No site's instance is known to accept writes.",
            "Type `twinsite explain SERVICE`: it says what would have to change, and what to type.",
            "first-failover.md",
        ),
        Alert(
            "TwinsiteProbeFailing",
            Severity.WARNING,
            Owner.ON_CALL,
            f"max by (service, site, probe, kind) ({_awake('twinsite_probe_up')}) == 0"
            " and on (service, site) (service_site:twinsite_owner:max == 1)",
            120,
            "Probe {{ $labels.probe }} of {{ $labels.service }} fails at its primary, {{ $labels.site }}",
            "Every controller finds the probe failing at the site that serves the service.",
            "Type `twinsite explain SERVICE` for the probe's reason, and look it up.",
            "probes.md#reasons",
        ),
        Alert(
            "TwinsiteRunWaitsForPerson",
            Severity.CRITICAL,
            Owner.ON_CALL,
            f"max by (service) ({_awake('twinsite_run_waiting')}) == 1",
            60,
            "A run of {{ $labels.service }} waits for a person",
            "A run does not go on until somebody has said how.",
            "Type `twinsite runs` and then `twinsite runs show ID`: it prints what may be typed.",
            "steering-a-run.md#a-run-that-waits",
        ),
        Alert(
            "TwinsiteMoveBeyondObjective",
            Severity.CRITICAL,
            Owner.ON_CALL,
            f"min by (service, kind) ({_awake('twinsite_run_projected_within_rto')}) == 0",
            15,
            "The {{ $labels.kind }} of {{ $labels.service }} will take longer than its objective allows",
            "By how long its steps have taken before, the move under way is not expected to end within the "
            "recovery time objective, counted from when the loss was detected.",
            "Type `twinsite runs show ID --follow`; tell whoever waits for the service.",
            "steering-a-run.md",
        ),
        Alert(
            "TwinsiteRunSlow",
            Severity.WARNING,
            Owner.ON_CALL,
            f"max by (service, kind) ({_awake('twinsite_run_stalled')}) == 1",
            60,
            "A step of the {{ $labels.kind }} of {{ $labels.service }} takes far longer than ever",
            "It takes more than twice as long as three times out of four before, for a minute.",
            "Type `twinsite runs show ID --follow` to see what its commands say.",
            "steering-a-run.md",
        ),
        Alert(
            "TwinsiteRunStalled",
            Severity.CRITICAL,
            Owner.ON_CALL,
            f"min by (service, kind) ({_awake('twinsite_run_change_age_seconds')}) > <<900>>"
            f" unless on (service) (max by (service) ({_awake('twinsite_run_waiting')}) == 1)",
            0,
            "The {{ $labels.kind }} of {{ $labels.service }} has not got on for fifteen minutes",
            "A run is not over, waits for nobody, and no step of it has changed for fifteen minutes: a step "
            "hangs, or the controller that carried it out is gone.",
            "Type `twinsite runs show ID`; where its controller is gone, `twinsite runs adopt ID` at the "
            "other site goes on with it.",
            "steering-a-run.md#when-a-controller-dies",
        ),
        Alert(
            "TwinsitePausedLong",
            Severity.WARNING,
            Owner.ON_CALL,
            f"max by (service) ({_awake('twinsite_paused')}) == 1",
            28800,
            "Automatic moves of {{ $labels.service }} have been paused for eight hours",
            "While the pause lasts, nobody but a person moves the service when its site is lost.",
            "Type `twinsite resume SERVICE` if the work is done; it ends by itself at its time.",
            "first-failover.md#quiet-please",
        ),
        Alert(
            "TwinsiteUnderBrokenGlass",
            Severity.WARNING,
            Owner.ON_CALL,
            f"max by (service, site) ({_awake('twinsite_break_glass')}) == 1",
            0,
            "{{ $labels.service }} is served at {{ $labels.site }} by an operator's certificate",
            "The service is served outside the store. That lasts until somebody reconciles it.",
            "When a majority is back, type `twinsite reconcile SERVICE`.",
            "broken-glass.md#afterwards-reconcile",
        ),
    ),
)

_CONTROLLERS = AlertGroup(
    "twinsite-controllers",
    "Controllers and their leases",
    (
        Alert(
            "TwinsiteControllerAbsent",
            Severity.CRITICAL,
            Owner.PLATFORM,
            f"({_DATA} unless on (site) max by (site) ("
            + _renamed("twinsite_turn_age_seconds", "site", "observer")
            + f")) unless on (site) ({DARK})",
            60,
            "The controller at {{ $labels.site }} exports nothing",
            "The other controller knows of the site, and Prometheus gets nothing from its controller: it has "
            "ended, its `/metrics` is not reached, or it is not among the targets.",
            "Look at the service manager there and start it again: the keeper lets go after half a lease.",
            "what-happens-when.md",
        ),
        Alert(
            "TwinsiteNoController",
            Severity.CRITICAL,
            Owner.ON_CALL,
            "absent(twinsite_build_info)",
            60,
            "No controller exports anything",
            "Prometheus gets nothing from any controller. Nobody watches, and no alert below this one works.",
            "If both are gone, work by hand as the page says; if not, look at Prometheus' targets.",
            "both-controllers-gone.md",
        ),
        Alert(
            "TwinsiteControllerStandsStill",
            Severity.CRITICAL,
            Owner.PLATFORM,
            "max by (observer) (twinsite_turn_age_seconds) > <<15>>",
            30,
            "The controller at {{ $labels.observer }} does not complete its turns",
            "It still answers Prometheus, and has decided nothing for fifteen seconds. Its keeper lets the "
            "lease run out.",
            "Keep its log, then restart that controller in seconds.",
            "what-happens-when.md",
        ),
        Alert(
            "TwinsiteLeaseRenewalsLate",
            Severity.WARNING,
            Owner.PLATFORM,
            "min by (site) (twinsite_lease_remaining_lowest_seconds / on (observer) group_left ()"
            " twinsite_lease_duration_seconds) < 0.4",
            120,
            "{{ $labels.site }} renews its lease late",
            "More than once in two minutes less than two fifths of the lease were left. A little later, and "
            "the site cuts its services off.",
            "Look at the store's round trip, and at what keeps the machine busy; lengthen the lease if it "
            "must be so.",
            "how-it-works.md#the-lease",
        ),
        Alert(
            "TwinsiteEventLoopSlow",
            Severity.WARNING,
            Owner.PLATFORM,
            "max by (observer) (twinsite_event_loop_delay_seconds) > 0.5",
            300,
            "The controller at {{ $labels.observer }} is late with its work",
            "For five minutes, work that was ready waited for over half a second at least once a minute.",
            "Look at what else runs on that machine, and at its disk.",
            "monitoring.md#the-controller-itself",
        ),
        Alert(
            "TwinsiteClocksApart",
            Severity.WARNING,
            Owner.PLATFORM,
            "max by (observer, site) (abs(twinsite_clock_divergence_seconds)) > 10",
            300,
            "The clocks at {{ $labels.observer }} and {{ $labels.site }} show different times",
            "The times of day differ by more than ten seconds. Above a minute planned moves are refused.",
            "Mend time synchronisation at the site whose clock is wrong.",
            "how-it-works.md#clocks",
        ),
        Alert(
            "TwinsiteCertificateExpiresSoon",
            Severity.WARNING,
            Owner.PLATFORM,
            "min by (identity) (twinsite_certificate_expires_timestamp_seconds) - time() < 21 * 86400",
            300,
            "The certificate of {{ $labels.identity }} runs out in {{ $value | humanizeDuration }}",
            "It has less than three weeks left.",
            "Type `twinsite certs renew` and copy the files; they count without a restart.",
            "certificates.md#before-they-run-out",
        ),
        Alert(
            "TwinsiteCertificateExpires",
            Severity.CRITICAL,
            Owner.PLATFORM,
            "min by (identity) (twinsite_certificate_expires_timestamp_seconds) - time() < 3 * 86400",
            0,
            "The certificate of {{ $labels.identity }} runs out in {{ $value | humanizeDuration }}",
            "It has less than three days left. Without it a guard, a controller or a store member is not let "
            "in any more.",
            "Renew it today: `twinsite certs renew`.",
            "certificates.md#before-they-run-out",
        ),
        Alert(
            "TwinsiteReceiverFailing",
            Severity.WARNING,
            Owner.PLATFORM,
            "max by (receiver) (twinsite_receiver_failing) == 1",
            600,
            "No message gets out to {{ $labels.receiver }}",
            "Whoever is reached there is told of nothing. What waits is sent later, or by the other site.",
            "Type `twinsite notify outbox`: it says why; then `twinsite notify test`.",
            "paging.md#when-a-receiver-does-not-answer",
        ),
    ),
)

_STORE = AlertGroup(
    "twinsite-store",
    "The store",
    (
        Alert(
            "TwinsiteStoreUnreachable",
            Severity.CRITICAL,
            Owner.PLATFORM,
            f"min by (observer) ({_awake('twinsite_store_answer_age_seconds')}) > <<15>>",
            30,
            "{{ $labels.observer }} gets no answer from the store",
            "The site goes on by the other one's promise, or by hold. Nothing can be taken over meanwhile.",
            "Type `twinsite store status`: it says which members answer.",
            "store.md#a-member-is-lost",
        ),
        Alert(
            "TwinsiteStoreMemberLost",
            Severity.WARNING,
            Owner.PLATFORM,
            "(max by (site) ("
            + _renamed(_awake("twinsite_store_member_reachable"), "site", "member")
            + f") == 0) unless on (site) ({DARK})"
            + f" unless on (site) ({_WITNESS_LOST})",
            60,
            "The store's member at {{ $labels.site }} is lost",
            "Nobody reaches it. The others go on; losing one more ends automatic moves.",
            "Replace it before the next one goes.",
            "store.md#a-member-is-lost",
        ),
        Alert(
            "TwinsiteStoreNotTrusted",
            Severity.CRITICAL,
            Owner.PLATFORM,
            "min by (observer) (twinsite_store_trusted) == 0",
            0,
            "{{ $labels.observer }} does not trust the store",
            "The store went back in time or is another one: it was restored, wiped or replaced. Nothing is "
            "promoted, renewed or written until a person accepts it.",
            "Type `twinsite store status`, and accept it step by step.",
            "store.md#accepting-it-step-by-step",
        ),
        Alert(
            "TwinsiteStoreFilling",
            Severity.WARNING,
            Owner.PLATFORM,
            "max by (observer) (twinsite_store_size_bytes / twinsite_store_quota_bytes) > 0.7",
            300,
            "The store is at {{ $value | humanizePercentage }} of its quota",
            "When it is full it takes no writes, and is as out of reach.",
            "Make room as the page says.",
            "store.md#what-is-measured-and-what-to-be-woken-for",
        ),
    ),
)

_DRILLS = AlertGroup(
    "twinsite-drills",
    "Drills",
    (
        Alert(
            "TwinsiteDrillOverdue",
            Severity.WARNING,
            Owner.CONTINUITY,
            f"max by (service, drill, kind) ({_awake('twinsite_drill_overdue')}) == 1",
            300,
            "The drill {{ $labels.drill }} of {{ $labels.service }} is overdue",
            "Its last success is longer ago than the estate's file allows, or there was none.",
            "Type `twinsite drill calendar` to see what kept it from being done; do it in the next window.",
            "monitoring.md#drills",
        ),
        Alert(
            "TwinsiteDrillMissed",
            Severity.WARNING,
            Owner.CONTINUITY,
            "max by (service, drill, kind) (increase(twinsite_drills_missed_total[<<3600>>s])) > 0",
            0,
            "The drill {{ $labels.drill }} of {{ $labels.service }} was due and nobody began it",
            "No controller was there to begin it, or none could, within the last hour.",
            "Find out where the controllers were; the drill is made up for where its calendar says so.",
            "monitoring.md#drills",
        ),
        Alert(
            "TwinsiteDrillLeftBehind",
            Severity.WARNING,
            Owner.DATABASES,
            f"max by (service, drill, kind) ({_awake('twinsite_drill_left_behind')}) == 1"
            f" unless on (service, drill, kind) ({_awake('twinsite_drill_running')} == 1)",
            900,
            "A copy that the drill {{ $labels.drill }} of {{ $labels.service }} made is still there",
            "It was not removed for fifteen minutes after the drill: it takes room, and the drill does not "
            "count.",
            "Type `twinsite drill list`; what is left, and where, is on file with the drill.",
            "monitoring.md#drills",
        ),
        Alert(
            "TwinsiteDrilledPlanChanged",
            Severity.WARNING,
            Owner.CONTINUITY,
            "max by (service) (twinsite_drill_of_todays_plan) == 0",
            900,
            "What would be carried out for {{ $labels.service }} was changed since its last drill",
            "The last successful drill was of another plan: a runbook or the estate was changed since, so "
            "what a failover would do today was never rehearsed.",
            "Plan a drill of it.",
            "monitoring.md#drills",
        ),
    ),
)

GROUPS = (_REPLICATION, _SITES, _SERVICES, _CONTROLLERS, _STORE, _DRILLS)
ALERTS: tuple[Alert, ...] = tuple(alert for group in GROUPS for alert in group.alerts)
