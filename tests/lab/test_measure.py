"""What an event cost, worked out from acknowledged commits: examples, and properties of any history."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.lab.measure import (
    NS,
    Acknowledged,
    Broken,
    Window,
    figures_of,
    lost,
    lost_span_seconds,
    margin_seconds,
    outage_seconds,
    two_writable_seconds,
    writable_spans,
)

MS = 1_000_000


def row(n: int, site: str, sent_ms: float, acknowledged_ms: float) -> Acknowledged:
    return Acknowledged(n, site, int(sent_ms * MS), int(acknowledged_ms * MS))


WINDOW = Window(0, 10_000 * MS)
STEADY = [row(n, "morpeth", n * 5, n * 5 + 2) for n in range(200)]  # until 0.997 s
AFTER = [row(200 + n, "durham", 4000 + n * 5, 4002 + n * 5) for n in range(1200)]  # from 4.002 s on


def test_the_outage_is_the_longest_time_without_an_acknowledged_commit() -> None:
    assert outage_seconds(STEADY + AFTER, WINDOW) == pytest.approx(4.002 - 0.997)


def test_a_service_that_never_came_back_was_out_until_the_end_of_the_window() -> None:
    assert outage_seconds(STEADY, WINDOW) == pytest.approx(10 - 0.997)


def test_a_service_without_any_commit_was_out_for_the_whole_window() -> None:
    assert outage_seconds([], WINDOW) == 10.0


def test_commits_outside_the_window_do_not_count() -> None:
    records = [row(1, "durham", 1, 2), *AFTER]
    assert outage_seconds(records, Window(5_000 * MS, 6_000 * MS)) == pytest.approx(0.005, abs=0.005)


def test_two_sites_one_after_the_other_were_never_writable_together() -> None:
    assert two_writable_seconds(STEADY + AFTER, WINDOW) == 0.0


def test_two_sites_that_overlap_were_writable_together_for_as_long_as_they_overlap() -> None:
    late = row(9999, "morpeth", 4500, 4600)
    assert two_writable_seconds([*STEADY, late, *AFTER], WINDOW) == pytest.approx(0.6)


def test_a_move_there_and_back_is_no_overlap() -> None:
    back = [row(3000 + n, "morpeth", 15_000 + n * 5, 15_002 + n * 5) for n in range(200)]
    there_again = [row(4000 + n, "durham", 20_000 + n * 5, 20_002 + n * 5) for n in range(200)]
    everything = [*STEADY, *AFTER, *back, *there_again]
    assert two_writable_seconds(everything, Window(0, 30_000 * MS)) == 0.0


def test_a_site_that_comes_back_while_the_other_goes_on_was_never_away() -> None:
    """Nobody can tell whether it would have accepted something in its silence."""
    back = [row(3000 + n, "morpeth", 9_000 + n * 5, 9_002 + n * 5) for n in range(100)]
    assert two_writable_seconds([*STEADY, *AFTER, *back], WINDOW) == pytest.approx(9.497 - 4.0)


def test_a_row_that_was_sent_before_the_other_site_had_ended_counts_from_its_sending() -> None:
    records = [row(1, "morpeth", 0, 100), row(2, "durham", 90, 300)]
    assert two_writable_seconds(records, WINDOW) == pytest.approx(0.01)


def test_one_site_alone_is_never_two() -> None:
    assert two_writable_seconds(STEADY, WINDOW) == 0.0
    assert two_writable_seconds([], WINDOW) == 0.0


def test_an_acknowledged_row_that_is_gone_is_lost_and_the_span_says_how_much_time_that_is() -> None:
    found = {record.n for record in STEADY + AFTER} - {197, 198, 199}
    missing = lost(STEADY + AFTER, found)
    assert [record.n for record in missing] == [197, 198, 199]
    assert lost_span_seconds(missing) == pytest.approx(0.012)


def test_nothing_lost_spans_no_time() -> None:
    assert lost_span_seconds([]) == 0.0


def test_rows_that_were_never_acknowledged_may_be_there_and_are_no_loss() -> None:
    assert lost(STEADY, range(100_000)) == []


def test_the_figures_of_an_event_carry_every_key_that_the_proving_commands_print() -> None:
    figures = figures_of("site-loss", "ebs", STEADY + AFTER, WINDOW, STEADY[-2:], 0.5).to_json()
    assert figures == {
        "event": "site-loss",
        "service": "ebs",
        "outage_seconds": 3.005,
        "acknowledged_rows": 1400,
        "lost_rows": 2,
        "lost_span_seconds": 0.007,
        "reported_loss_seconds": 0.5,
        "two_writable_seconds": 0.0,
    }


rows = st.builds(
    lambda n, site, sent, took: Acknowledged(n, site, sent, sent + took),
    st.integers(0, 10_000),
    st.sampled_from(["durham", "morpeth"]),
    st.integers(0, 20 * NS),
    st.integers(1, NS),
)
histories = st.lists(rows, max_size=60, unique_by=lambda record: record.n)


@given(histories)
def test_an_outage_is_never_longer_than_its_window_and_never_negative(records: list[Acknowledged]) -> None:
    assert 0 <= outage_seconds(records, WINDOW) <= 10


@given(histories, rows)
def test_one_more_commit_never_makes_an_outage_longer(
    records: list[Acknowledged], more: Acknowledged
) -> None:
    assert outage_seconds([*records, more], WINDOW) <= outage_seconds(records, WINDOW)


@given(histories)
def test_the_order_of_the_records_and_the_names_of_the_sites_do_not_matter(
    records: list[Acknowledged],
) -> None:
    other = {"durham": "morpeth", "morpeth": "durham"}
    swapped = [dataclasses.replace(record, site=other[record.site]) for record in reversed(records)]
    assert two_writable_seconds(records, WINDOW) == two_writable_seconds(swapped, WINDOW)
    assert outage_seconds(records, WINDOW) == outage_seconds(swapped, WINDOW)


@given(histories, st.integers(0, 10 * NS))
def test_sites_that_take_turns_at_an_instant_never_overlap(records: list[Acknowledged], turn_ns: int) -> None:
    before = [dataclasses.replace(r, site="morpeth") for r in records if r.acknowledged_ns <= turn_ns]
    after = [dataclasses.replace(r, site="durham") for r in records if r.sent_ns >= turn_ns]
    assert two_writable_seconds(before + after, WINDOW) == 0.0


@given(histories, st.sets(st.integers(0, 10_000)))
def test_every_acknowledged_row_is_either_found_or_lost(records: list[Acknowledged], found: set[int]) -> None:
    missing = {record.n for record in lost(records, found)}
    assert missing | {record.n for record in records if record.n in found} == {r.n for r in records}
    assert missing.isdisjoint(found)


def broken(site: str, sent_ms: float, at_ms: float, detail: str = "ConnectionResetError: gone") -> Broken:
    return Broken(site, int(sent_ms * MS), int(at_ms * MS), 199, detail)


def test_a_site_was_writable_from_a_row_sent_to_the_last_acknowledged_without_a_gap() -> None:
    again = [row(500 + n, "morpeth", 6000 + n * 5, 6002 + n * 5) for n in range(10)]
    spans = writable_spans([*AFTER, *again, *STEADY], 500 * MS)
    assert spans["morpeth"] == [(0, 997 * MS), (6000 * MS, 6047 * MS)]
    assert spans["durham"] == [(4000 * MS, 9997 * MS)]


def test_clients_inside_count_for_two_sites_writable_and_not_for_the_outage() -> None:
    within = [row(10**12, "morpeth", 4100, 4102)]
    figures = figures_of("cut", "ebs", STEADY + AFTER, WINDOW, [], 0.0, within)
    assert figures.two_writable_seconds == pytest.approx(0.102)
    assert figures.outage_seconds == pytest.approx(4.002 - 0.997)
    assert figures_of("cut", "ebs", STEADY + AFTER, WINDOW, [], 0.0).two_writable_seconds == 0


def test_the_margin_is_from_the_proof_that_one_was_cut_off_to_the_first_row_of_the_other() -> None:
    ends = [broken("morpeth", 3000, 3001), broken("morpeth", 3100, 3101), broken("durham", 1, 2)]
    assert margin_seconds(STEADY + AFTER, ends, WINDOW, "morpeth", "durham") == pytest.approx(0.999)
    late = [broken("morpeth", 5000, 5001)]
    assert margin_seconds(STEADY + AFTER, late, WINDOW, "morpeth", "durham") == pytest.approx(-1.001)


def test_a_failure_before_the_last_row_taken_proves_nothing() -> None:
    early = [broken("morpeth", 500, 501)]
    assert margin_seconds(STEADY + AFTER, early, WINDOW, "morpeth", "durham") is None
    assert margin_seconds(STEADY, [broken("morpeth", 3000, 3001)], WINDOW, "morpeth", "durham") is None


def test_a_row_that_was_never_answered_proves_it_from_its_sending() -> None:
    ends = [broken("morpeth", 3000, 5000, "TimeoutError: ")]
    assert margin_seconds(STEADY + AFTER, ends, WINDOW, "morpeth", "durham") == pytest.approx(1.0)
