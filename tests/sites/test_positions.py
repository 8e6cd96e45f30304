"""Lag from a history of positions, against a world whose truth is known."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from sites.replication.positions import (
    PositionHistory,
    Seen,
    bytes_short,
    lag,
    reached,
    received,
    replayed,
    safe_until_ns,
    same_line,
    told_lag,
    told_safe_until_ns,
    written,
)
from sites.replication.words import Position, Role, Sample

S = 1_000_000_000
LINE = "7/1"


def history_of(*notes: tuple[float, int], line: str = LINE, limit: int = 512) -> PositionHistory:
    history = PositionHistory(limit=limit)
    for at_seconds, offset in notes:
        history = history.add(Seen(line, int(at_seconds * S), offset))
    return history


def at(seconds: float, offset: int, line: str = LINE) -> Seen:
    return Seen(line, int(seconds * S), offset)


def test_an_idle_primary_shows_no_lag_however_long_it_has_been_idle() -> None:
    history = history_of(*((second, 100) for second in range(1, 400)))
    found = lag(history, at(399, 100), 399 * S, stale_after_seconds=5)
    assert (found.seconds, found.bytes, found.age_seconds) == (0.0, 0, 0.0)


def test_the_lag_is_the_age_of_the_oldest_change_that_is_missing() -> None:
    history = history_of((1, 100), (2, 100), (3, 150), (4, 170), (5, 190))
    found = lag(history, at(5, 150), 6 * S, stale_after_seconds=5)
    assert (found.seconds, found.bytes, found.age_seconds) == (2.0, 40, 1.0)


def test_a_standby_is_not_blamed_for_what_was_written_after_it_was_asked() -> None:
    history = history_of((1, 100), (2, 200))
    found = lag(history, at(1.5, 100), 2 * S, stale_after_seconds=5)
    assert (found.seconds, found.bytes, found.age_seconds) == (0.0, 0, 1.0)


def test_what_is_stale_is_unknown_and_never_zero() -> None:
    history = history_of((1, 100))
    found = lag(history, at(1, 100), 10 * S, stale_after_seconds=5)
    assert (found.seconds, found.bytes, found.age_seconds, found.reason) == (None, None, 9.0, "stale")


def test_what_was_not_seen_is_unknown_and_never_zero() -> None:
    nothing = PositionHistory()
    assert lag(nothing, at(1, 1), S, stale_after_seconds=5).reason == "no-primary-sample"
    assert lag(history_of((1, 1)), None, S, stale_after_seconds=5).reason == "no-standby-sample"
    early = lag(history_of((3, 1)), at(2, 1), 3 * S, stale_after_seconds=5)
    assert (early.seconds, early.reason) == (None, "no-primary-sample")
    other = lag(history_of((1, 1)), at(1, 1, "7/2"), S, stale_after_seconds=5)
    assert (other.seconds, other.bytes, other.reason) == (None, None, "other-history")


def test_a_lag_older_than_what_was_observed_says_how_long_it_is_at_least() -> None:
    found = lag(history_of((10, 500), (11, 600)), at(12, 400), 12 * S, stale_after_seconds=5)
    assert (found.seconds, found.at_least_seconds, found.bytes) == (None, 2.0, 200)
    assert found.reason == "older-than-history"


def test_another_line_of_history_or_a_position_that_fell_starts_afresh() -> None:
    history = history_of((1, 100), (2, 200))
    assert history.add(at(3, 50)).notes == (at(3, 50),)
    promoted = history.add(at(3, 300, "7/2"))
    assert (promoted.line, promoted.notes) == ("7/2", (at(3, 300, "7/2"),))
    assert history.add(at(2, 250)) == history, "an instant that is over is not written again"


def test_everything_before_the_safe_instant_is_here() -> None:
    history = history_of((1, 100), (2, 200), (3, 300))
    assert safe_until_ns(history, at(9, 250)) == 2 * S
    assert safe_until_ns(history, at(9, 300)) == 3 * S
    assert safe_until_ns(history, at(9, 99)) is None
    assert safe_until_ns(history, at(9, 300, "7/2")) is None
    assert safe_until_ns(history, None) is None


def test_samples_give_what_they_know_and_nothing_else() -> None:
    place = Position("0/64", LINE, 100)
    primary = Sample("crm", "durham", Role.PRIMARY, 5, position=place)
    standby = Sample("crm", "morpeth", Role.STANDBY, 6, position=place, replayed=place)
    unknown = Sample("crm", "morpeth", Role.UNKNOWN, 7)
    assert written(primary) == Seen(LINE, 5, 100)
    assert (received(primary), replayed(primary)) == (None, None)
    assert received(standby) == replayed(standby) == Seen(LINE, 6, 100)
    assert written(standby) is None
    assert written(unknown) is received(unknown) is replayed(unknown) is None
    assert same_line(place, place)
    assert not same_line(place, None)
    assert not same_line(place, Position("0/64", "7/2", 100))


@dataclass(frozen=True)
class World:
    """When each byte was written (nanoseconds), when the primary was asked, and what the standby had."""

    writes: tuple[int, ...]
    asked: tuple[int, ...]
    standby_at: int
    standby_bytes: int

    def written_by(self, at_ns: int) -> int:
        return sum(1 for write in self.writes if write <= at_ns)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    instants = st.integers(min_value=0, max_value=10_000)
    writes = tuple(sorted(draw(st.lists(instants, max_size=60))))
    asked = tuple(sorted(set(draw(st.lists(instants, min_size=1, max_size=60)))))
    standby_at = draw(instants)
    most = sum(1 for write in writes if write <= standby_at)
    return World(writes, asked, standby_at, draw(st.integers(min_value=0, max_value=most)))


def observed(world: World, limit: int) -> PositionHistory:
    history = PositionHistory(limit=limit)
    for at_ns in world.asked:
        history = history.add(Seen(LINE, at_ns, world.written_by(at_ns)))
    return history


@given(worlds(), st.integers(min_value=4, max_value=64))
def test_a_lag_is_never_lower_than_the_truth_at_the_instant_it_is_said_for(world: World, limit: int) -> None:
    history = observed(world, limit)
    standby = Seen(LINE, world.standby_at, world.standby_bytes)
    found = lag(history, standby, world.standby_at, stale_after_seconds=1000)
    if found.age_seconds is None or found.bytes is None:
        return
    as_of_ns = world.standby_at - round(found.age_seconds * S)
    missing = [
        write for n, write in enumerate(world.writes) if n >= world.standby_bytes and write <= as_of_ns
    ]
    oldest = (world.standby_at - min(missing)) / S if missing else 0.0
    if found.seconds is not None:
        assert found.seconds >= oldest
        assert (found.seconds == 0) >= (found.bytes == 0)
        assert found.bytes >= len(missing)
    else:
        assert found.at_least_seconds is not None
        assert found.at_least_seconds <= oldest


@given(worlds(), st.integers(min_value=4, max_value=64))
def test_nothing_written_before_the_safe_instant_is_missing(world: World, limit: int) -> None:
    safe = safe_until_ns(observed(world, limit), Seen(LINE, world.standby_at, world.standby_bytes))
    if safe is not None:
        assert world.written_by(safe) <= world.standby_bytes


@given(worlds(), st.integers(min_value=4, max_value=64))
def test_a_history_is_bounded_and_keeps_its_newest_and_oldest_notes(world: World, limit: int) -> None:
    history = observed(world, limit)
    assert len(history.notes) <= limit
    assert history.notes[0].at_ns == world.asked[0]
    assert history.notes[-1].at_ns == world.asked[-1]


def told(behind_seconds: float | None, history: str = LINE, role: Role = Role.STANDBY) -> Sample:
    """A standby at 100 s whose positions have no order, by its own word so far behind."""
    place = Position("", history, None)
    return Sample("tree", "morpeth", role, 100 * S, position=place, behind_seconds=behind_seconds)


def test_positions_with_an_order_compare_within_one_history_only() -> None:
    wanted = Position("500", LINE, 500)
    assert reached(Position("500", LINE, 500), wanted) is True
    assert reached(Position("499", LINE, 499), wanted) is False
    assert reached(Position("900", "7/2", 900), wanted) is None
    assert reached(None, wanted) is None
    assert (bytes_short(Position("499", LINE, 499), wanted), bytes_short(None, wanted)) == (1, 0)


def test_a_position_without_an_order_is_reached_where_it_is_the_very_same_and_else_unknown() -> None:
    wanted = Position("3f1a", LINE, None)
    assert reached(Position("3f1a", LINE, None), wanted) is True
    assert reached(Position("77c0", LINE, None), wanted) is None
    assert reached(Position("3f1a", "7/2", None), wanted) is None


def test_no_place_at_all_is_never_reached() -> None:
    nowhere = Position("", LINE, None)
    assert reached(nowhere, nowhere) is None


def test_a_position_without_an_order_gives_no_lag_of_its_own() -> None:
    sample = told(7.0)
    assert (replayed(sample), received(sample)) == (None, None)
    assert written(told(None, role=Role.PRIMARY)) is None


def test_what_a_standby_says_of_its_lag_counts_with_its_age_until_it_is_stale() -> None:
    found = told_lag(told(7.0), LINE, 102 * S, stale_after_seconds=3)
    assert (found.seconds, found.bytes, found.age_seconds) == (7.0, None, 2.0)
    stale = told_lag(told(7.0), LINE, 104 * S, stale_after_seconds=3)
    assert (stale.seconds, stale.reason) == (None, "stale")
    other = told_lag(told(7.0, "7/2"), LINE, 102 * S, stale_after_seconds=3)
    assert (other.seconds, other.reason) == (None, "other-history")
    assert told_lag(told(None), LINE, 102 * S, stale_after_seconds=3).seconds is None


def test_what_a_standby_says_of_its_lag_bounds_the_loss_only_in_the_primarys_own_history() -> None:
    assert told_safe_until_ns(told(7.0), LINE) == 93 * S
    assert told_safe_until_ns(told(7.0, "7/2"), LINE) is None
    assert told_safe_until_ns(told(7.0), "") is None
    assert told_safe_until_ns(told(None), LINE) is None
    assert told_safe_until_ns(told(7.0, role=Role.PRIMARY), LINE) is None
