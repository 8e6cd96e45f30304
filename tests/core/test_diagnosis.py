"""Every name a service's state can get, each from the smallest picture that earns it."""

import pytest

from orchestrator.core.diagnosis import TABLE, Diagnosis, Row, diagnose
from tests.core.views import (
    DOWN,
    GIVEN_AWAY,
    GIVEN_UP,
    HANDED,
    HEALTHY,
    LOST,
    MUTE,
    NO_CLIENTS,
    PRIMARY,
    STANDBY,
    STRAY,
    THEIRS,
    Instance,
    Scene,
    at,
    probe,
)

D = Diagnosis
PAST_THE_FORK = Instance(position=at(5000, "cluster/0"))

CASES: dict[str, tuple[Diagnosis, Scene]] = {
    "a service without a driver is only watched, whatever else is known": (
        D.WATCH_ONLY,
        HEALTHY.but(watch_only=True, keeper=False),
    ),
    "a service under a certificate is named by that, without a lease": (
        D.BREAK_GLASS,
        HEALTHY.but(under_glass=True, lease_left_seconds=0.0),
    ),
    "a site that started cold says whose word is missing": (
        D.WORD_MISSING,
        HEALTHY.but(word_needed=True, here=STANDBY),
    ),
    "without a keeper nobody here knows who owns it": (D.UNKNOWN, HEALTHY.but(keeper=False)),
    "a view that was dropped is not known": (D.UNKNOWN, HEALTHY.but(known=False)),
    "a site whose lease is over is isolated, whoever owns the service": (
        D.ISOLATED,
        HEALTHY.but(lease_left_seconds=0.0),
    ),
    "a site whose lease is over is isolated even when the other one is lost": (
        D.ISOLATED,
        LOST.but(lease_left_seconds=-5.0),
    ),
    "a service that nobody ever owned is unclaimed": (D.UNCLAIMED, HEALTHY.but(claimed=False)),
    "an instance that accepts writes while the other site owns it has no right to": (
        D.WRITABLE_WITHOUT_RIGHT,
        THEIRS.but(here=PRIMARY),
    ),
    "an instance that accepts writes after its give-up has no right to": (
        D.WRITABLE_WITHOUT_RIGHT,
        GIVEN_AWAY.but(here=Instance(role=PRIMARY.role, age_seconds=0.1), nobody_for_seconds=0.5),
    ),
    "what was seen before the give-up says nothing about the time after it": (
        D.HANDED_OVER,
        GIVEN_AWAY.but(here=Instance(role=PRIMARY.role, age_seconds=0.8), nobody_for_seconds=0.5),
    ),
    "an instance that a run here is opening is no intruder": (
        D.HEALTHY,
        THEIRS.but(here=PRIMARY, there=STANDBY, owner="x", run_here="run-1"),
    ),
    "a run here may have opened it before its claim is seen": (
        D.HANDED_OVER,
        HANDED.but(here=PRIMARY, run_here="run-1", nobody_for_seconds=5.0),
    ),
    "given up and not claimed is handed over": (D.HANDED_OVER, GIVEN_UP),
    "handed over goes before the silence of the site that gave it up": (
        D.HANDED_OVER,
        GIVEN_UP.but(peer_lease_over=True, peer_silent_seconds=60.0),
    ),
    "a silent owner whose lease is over is dark": (D.SITE_DARK, LOST),
    "a lost site's service is dark even while a run holds it": (
        D.SITE_DARK,
        LOST.but(moving=True, target="x"),
    ),
    "our own service is not dark because the other site is": (
        D.UNPROTECTED,
        HEALTHY.but(peer_lease_over=True, peer_silent_seconds=60.0, there=None),
    ),
    "a run that holds it is moving it": (D.MOVING, HEALTHY.but(moving=True, target="y")),
    "what we cut off ourselves is ours again when the lease is back": (
        D.CUT_OFF_BY_US,
        HEALTHY.but(shut=True, here=DOWN, dead_here="fenced"),
    ),
    "what we cut off and somebody opened by hand must be known to the keeper again": (
        D.CUT_OFF_BY_US,
        HEALTHY.but(shut=True),
    ),
    "a broken connection and nobody listening is a dead database": (
        D.PRIMARY_DEAD,
        HEALTHY.but(dead_here="connection refused", here=MUTE),
    ),
    "a database that says that it is down is dead": (D.PRIMARY_DEAD, HEALTHY.but(here=DOWN)),
    "a database that came up as a standby though we own it is closed": (
        D.PRIMARY_CLOSED,
        HEALTHY.but(here=STANDBY),
    ),
    "a database that does not answer may be alive": (D.PRIMARY_UNKNOWN, HEALTHY.but(here=MUTE)),
    "a database that was not seen lately may be alive": (D.PRIMARY_UNKNOWN, HEALTHY.but(here=None)),
    "an owner that is silent for half a lease is silent, not lost": (
        D.PEER_SILENT,
        THEIRS.but(peer_silent_seconds=5.1),
    ),
    "an owner never seen is silent, not lost": (D.PEER_SILENT, THEIRS.but(peer_seen=False)),
    "the owner's dead database is the owner's business": (D.PRIMARY_DEAD, THEIRS.but(there=DOWN)),
    "the owner's closed database is the owner's business": (D.PRIMARY_CLOSED, THEIRS.but(there=STANDBY)),
    "a standby that connects, and has gone past where the primary's history began, is none": (
        D.NOT_A_STANDBY,
        THEIRS.but(here=PAST_THE_FORK, not_a_standby_for_seconds=3.0),
    ),
    "for a moment after a promotion it may not have followed yet": (
        D.UNPROTECTED,
        THEIRS.but(here=PAST_THE_FORK, not_a_standby_for_seconds=1.0),
    ),
    "nor does it protect what is ours": (D.UNPROTECTED, HEALTHY.but(there=PAST_THE_FORK)),
    "an owner that renews and cannot be reached is behind a broken link": (
        D.LINK_DOWN,
        THEIRS.but(there=MUTE, peer_reached=False),
    ),
    "a standby that cannot be reached while its site renews is behind a broken link": (
        D.LINK_DOWN,
        HEALTHY.but(there=None, peer_reached=False),
    ),
    "a standby that cannot be reached while its site is silent is no sign of a broken link": (
        D.UNPROTECTED,
        HEALTHY.but(there=None, peer_reached=False, peer_silent_seconds=6.0),
    ),
    "an instance that is well, and that two observers find no way to, is cut off from its clients": (
        D.CUT_OFF_FROM_CLIENTS,
        NO_CLIENTS,
    ),
    "the other site's too, seen from here": (
        D.CUT_OFF_FROM_CLIENTS,
        THEIRS.but(client_probes=(probe("x", "y"), probe("w", "y"))),
    ),
    "one observer alone may be cut off itself": (D.HEALTHY, HEALTHY.but(client_probes=(probe("y"),))),
    "two probes of one observer are one observer": (
        D.HEALTHY,
        HEALTHY.but(client_probes=(probe("y"), probe("y", name="port"))),
    ),
    "an observer that finds one way finds that clients get through": (
        D.HEALTHY,
        HEALTHY.but(client_probes=(probe("y"), probe("w"), probe("w", name="port", verdict="up"))),
    ),
    "a probe that never worked from there says nothing": (
        D.HEALTHY,
        HEALTHY.but(client_probes=(probe("y"), probe("w", was_up=False))),
    ),
    "a probe that was not tried lately says nothing": (
        D.HEALTHY,
        HEALTHY.but(client_probes=(probe("y"), probe("w", age_seconds=15.1))),
    ),
    "a probe that could not be tried says nothing": (
        D.HEALTHY,
        HEALTHY.but(client_probes=(probe("y"), probe("w", verdict="unknown"))),
    ),
    "a certificate that ends soon keeps nobody out": (
        D.HEALTHY,
        HEALTHY.but(client_probes=(probe("y"), probe("w", kind="tls"))),
    ),
    "what its own site's probes say is not said from outside": (
        D.HEALTHY,
        HEALTHY.but(client_probes=(probe("y"), probe("x"))),
    ),
    "an instance that does not find itself well is called by that": (
        D.PRIMARY_DEAD,
        NO_CLIENTS.but(here=DOWN),
    ),
    "an instance that stands by for nobody, for a while, is not a standby": (
        D.NOT_A_STANDBY,
        THEIRS.but(here=STRAY, not_a_standby_for_seconds=3.0),
    ),
    "a stopped instance is not a standby": (
        D.NOT_A_STANDBY,
        THEIRS.but(here=DOWN, not_a_standby_for_seconds=9.0),
    ),
    "a standby that lost its stream a moment ago is given a moment": (
        D.UNPROTECTED,
        THEIRS.but(here=STRAY, not_a_standby_for_seconds=2.9),
    ),
    "without a streaming standby a service is unprotected": (D.UNPROTECTED, HEALTHY.but(there=STRAY)),
    "a standby that was not seen lately protects nothing": (D.UNPROTECTED, HEALTHY.but(there=None)),
    "a standby further behind than the objective is lagging": (D.LAGGING, HEALTHY.but(lag_seconds=60.1)),
    "an unknown lag counts as lagging": (D.LAGGING, HEALTHY.but(lag_seconds=None)),
    "a standby exactly at the objective is good enough": (D.HEALTHY, HEALTHY.but(lag_seconds=60.0)),
    "primary and standby as they should be are healthy": (D.HEALTHY, HEALTHY),
    "the other site's service is healthy too, seen from here": (D.HEALTHY, THEIRS),
}


def _named(scene: Scene) -> Row:
    view, service = scene.see()
    return diagnose(view, service)


@pytest.mark.parametrize("sentence", CASES)
def test_a_state_gets_the_name_it_deserves(sentence: str) -> None:
    diagnosis, scene = CASES[sentence]
    assert _named(scene).diagnosis is diagnosis


def test_every_row_of_the_table_is_covered_by_a_case() -> None:
    reached = {id(_named(scene)) for _, scene in CASES.values()}
    assert [row.why for row in TABLE if id(row) not in reached] == []


def test_every_name_stands_in_the_table() -> None:
    assert {row.diagnosis for row in TABLE} == set(Diagnosis)


def test_the_last_row_fits_whatever_is_left() -> None:
    view, service = Scene(keeper=False, known=False, here=None, there=None).see()
    assert TABLE[-1].fits(view, service)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row.diagnosis}: {row.why}")
def test_every_row_says_why_in_words_that_can_begin_or_go_on_a_sentence(row: Row) -> None:
    assert row.why[0].islower()
    assert not row.why.endswith(".")
