"""Lease arithmetic: a holder's right always ends strictly before a taker may take, whatever the two clocks
show, as long as their rates differ by no more than the bound, and however late anything is sent or arrives.

True time is in nanoseconds, exact fractions; a clock shows whole nanoseconds, rounded down, from any origin.
"""

from dataclasses import dataclass
from fractions import Fraction
from math import floor

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from orchestrator.core.lease import (
    SECOND_NS,
    LeaseTiming,
    earned_deadline,
    fence_at,
    has_passed,
    seconds,
    takeover_after,
    wait_of,
)
from sites.model import Timing

DAY_NS = 86_400 * SECOND_NS

durations_ns = st.integers(min_value=1, max_value=600 * SECOND_NS)
drifts = st.integers(min_value=0, max_value=99).map(lambda thousandths: f"0.{thousandths:03d}")
waits_ns = st.integers(min_value=0, max_value=DAY_NS)
offsets_ns = st.integers(min_value=0, max_value=DAY_NS)  # CLOCK_BOOTTIME is never negative
base_rates = st.integers(min_value=800_000, max_value=1_200_000).map(lambda parts: Fraction(parts, 1_000_000))


@dataclass(frozen=True)
class Clock:
    """Shows offset + rate x true time, rounded down."""

    rate: Fraction
    offset_ns: int

    def at(self, true_ns: Fraction) -> int:
        return self.offset_ns + floor(self.rate * true_ns)

    def first_showing(self, reading_ns: int) -> Fraction:
        """The earliest true time at which it shows this reading."""
        return (reading_ns - self.offset_ns) / self.rate


@st.composite
def clock_pairs(draw: st.DrawFn) -> tuple[Clock, Clock, float]:
    """A holder's and a taker's clock whose rates differ by at most the bound, and the bound."""
    drift = draw(drifts)
    slower = draw(base_rates)
    part = Fraction(draw(st.integers(min_value=0, max_value=1000)), 1000)
    faster = slower * (1 + Fraction(drift) * part)
    holder, taker = (slower, faster) if draw(st.booleans()) else (faster, slower)
    return Clock(holder, draw(offsets_ns)), Clock(taker, draw(offsets_ns)), float(drift)


@settings(max_examples=600, deadline=None, derandomize=True)
@given(
    pair=clock_pairs(),
    lease_ns=durations_ns,
    sent_at=waits_ns,
    commits_after=waits_ns,
    seen_after=waits_ns,
)
@example(
    pair=(Clock(Fraction(1), 0), Clock(Fraction(1005, 1000), 0), 0.005),
    lease_ns=10 * SECOND_NS,
    sent_at=0,
    commits_after=0,
    seen_after=0,
)
def test_a_right_has_ended_before_anybody_may_take_it(
    pair: tuple[Clock, Clock, float], lease_ns: int, sent_at: int, commits_after: int, seen_after: int
) -> None:
    holder, taker, drift = pair
    sent = Fraction(sent_at)
    seen = sent + commits_after + seen_after  # at the earliest when it was sent, at the latest ever
    deadline_ns = earned_deadline(holder.at(sent), lease_ns)
    right_ends = holder.first_showing(deadline_ns)  # P6: entitled while the clock shows less
    after_ns = takeover_after(taker.at(seen), lease_ns, drift)
    may_take = taker.first_showing(after_ns + 1)  # P9: "after" is strict
    assert has_passed(after_ns, taker.at(may_take))
    assert not has_passed(after_ns, after_ns)
    assert right_ends < may_take


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    pair=clock_pairs(),
    lease_ns=durations_ns,
    beats=st.lists(st.tuples(waits_ns, waits_ns, st.booleans()), min_size=1, max_size=12),
    seen_after=waits_ns,
)
def test_lost_and_late_renewals_earn_nothing_that_the_taker_does_not_wait_for(
    pair: tuple[Clock, Clock, float],
    lease_ns: int,
    beats: list[tuple[int, int, bool]],
    seen_after: int,
) -> None:
    """Beats are (time since the one before, time until it commits, whether it ever does). The taker has
    seen the newest revision there is, however late: P10 compares it."""
    holder, taker, drift = pair
    sent, commits, deadlines_ns = Fraction(0), [], []
    for gap_ns, commits_after, committed in beats:
        sent += gap_ns
        if committed:
            commits.append(sent + commits_after)
            deadlines_ns.append(earned_deadline(holder.at(sent), lease_ns))
    assume(commits)
    deadline_ns, last_commit = max(deadlines_ns), max(commits)
    after_ns = takeover_after(taker.at(last_commit + seen_after), lease_ns, drift)
    assert holder.first_showing(deadline_ns) < taker.first_showing(after_ns + 1)


def test_clocks_further_apart_than_the_bound_would_break_it_so_the_bound_is_no_margin() -> None:
    """The property above is about something: a little beyond the bound it fails."""
    holder, taker = Clock(Fraction(1), 0), Clock(Fraction(10_051, 10_000), 0)
    lease_ns = 10 * SECOND_NS
    after_ns = takeover_after(taker.at(Fraction(0)), lease_ns, 0.005)
    assert taker.first_showing(after_ns + 1) < holder.first_showing(earned_deadline(0, lease_ns))


@given(lease_ns=durations_ns, drift=drifts)
def test_the_wait_is_never_shorter_than_the_lease_and_the_bound_on_top(lease_ns: int, drift: str) -> None:
    exact = lease_ns * (1 + Fraction(drift))
    assert exact <= wait_of(lease_ns, float(drift)) < exact + 2


def test_the_takers_wait_counts_the_lease_that_was_seen_not_its_own() -> None:
    assert takeover_after(1_000, 3 * SECOND_NS, 0.0) == 1_000 + 3 * SECOND_NS
    assert takeover_after(1_000, 10 * SECOND_NS, 0.005) == 1_000 + 10 * SECOND_NS + SECOND_NS // 20


def test_fencing_starts_early_enough_to_be_done_by_the_deadline() -> None:
    timing = LeaseTiming(3 * SECOND_NS, SECOND_NS // 3, 400_000_000, 0.005)
    assert fence_at(earned_deadline(0, timing.lease_duration_ns), timing) == 2_600_000_000


@pytest.mark.parametrize(
    ("lease", "renew", "fence", "expected"),
    [
        ("10s", "1500ms", "2s", (10 * SECOND_NS, 1_500_000_000, 2 * SECOND_NS)),
        ("3s", "300ms", "400ms", (3 * SECOND_NS, 300_000_000, 400_000_000)),
    ],
)
def test_the_estates_figures_are_rounded_towards_safety(
    lease: str, renew: str, fence: str, expected: tuple[int, int, int]
) -> None:
    timing = LeaseTiming.from_timing(
        Timing.model_validate({"lease_duration": lease, "renew_every": renew, "fence_within": fence})
    )
    assert (timing.lease_duration_ns, timing.renew_every_ns, timing.fence_within_ns) == expected


def test_times_are_shown_to_people_in_seconds() -> None:
    assert seconds(1_500_000_000) == 1.5
