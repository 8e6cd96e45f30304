"""k of the last n: when a verdict changes, and when it does not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.errors import ProbesMisuse
from probes.model import Observation, ProbeResult, Verdict
from probes.verdicts import begin, fold

LETTERS = {"U": Verdict.UP, "D": Verdict.DOWN, "?": Verdict.UNKNOWN}


def result(verdict: Verdict, at_ns: int) -> ProbeResult:
    return ProbeResult(verdict, "answered", "tried", "came back", at_ns, 0.001)


def walk(results: str, *, k: int, n: int) -> list[Observation]:
    """The observation after each result; result number i has the instant i + 1."""
    observation = begin(probe="p", service="crm", site="durham", kind="tcp", now_ns=0)
    seen = []
    for number, letter in enumerate(results):
        observation = fold(observation, result(LETTERS[letter], number + 1), k=k, n=n)
        seen.append(observation)
    return seen


def verdicts(results: str, *, k: int, n: int) -> str:
    letters = {verdict: letter for letter, verdict in LETTERS.items()}
    return "".join(letters[observation.verdict] for observation in walk(results, k=k, n=n))


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        ("UUU", "??U"),  # unknown until enough agree
        ("DDD", "??D"),
        ("UUUDDUUU", "??UUUUUU"),  # two failures of five change nothing
        ("UUUDDD", "??UUUD"),
        ("UUUDUDUD", "??UUUUUD"),  # three of five, not three in a row
        ("UUUDUUDUUDUU", "??UUUUUUUUUU"),  # a failure every third time is two of five at most
        ("DDDUUU", "??DDDU"),  # back up needs the same three
        ("DDDUDUDDU", "??DDDDDDD"),
        ("UUU??UUU?", "??UUUUUUU"),
        ("UUU???", "??UUU?"),  # not being able to try makes it unknown, not down
        ("UUU?D?D?", "??UUUUU?"),
        ("UUUDD?D", "??UUUUD"),  # an unknown neither helps nor hinders, it only takes its place
    ],
)
def test_three_of_five(results: str, expected: str) -> None:
    assert verdicts(results, k=3, n=5) == expected


def test_one_of_one_follows_every_result() -> None:
    assert verdicts("UDU?D", k=1, n=1) == "UDU?D"


def test_results_that_brought_one_change_about_do_not_count_for_the_next() -> None:
    # After going down by two of five, the successes from before would already be enough to go up.
    assert verdicts("UUUDDUDU", k=2, n=5) == "?UUUDDDU"


def test_since_is_the_result_that_changed_the_verdict() -> None:
    first, *_, last = walk("UUUUDDDD", k=3, n=5)
    assert (first.verdict, first.since_ns) == (Verdict.UNKNOWN, 0)
    assert (last.verdict, last.since_ns) == (Verdict.DOWN, 7)
    assert last.last is not None
    assert last.last.at_ns == 8


def test_recent_shows_the_last_n_oldest_first_whatever_the_verdict() -> None:
    last = walk("UUUDDDU", k=3, n=5)[-1]
    assert last.recent == (Verdict.UP, Verdict.DOWN, Verdict.DOWN, Verdict.DOWN, Verdict.UP)


@pytest.mark.parametrize(("k", "n"), [(0, 1), (0, 0), (3, 2), (1, 101), (-1, 5)])
def test_counts_that_can_never_change_anything_are_refused(k: int, n: int) -> None:
    with pytest.raises(ProbesMisuse, match="k of n"):
        walk("U", k=k, n=n)


@given(st.text("UD?", max_size=60), st.integers(1, 5), st.integers(0, 5))
def test_every_change_of_verdict_had_k_results_of_its_own(results: str, k: int, spare: int) -> None:
    n = k + spare
    changed_at = 0
    before = Verdict.UNKNOWN
    for number, observation in enumerate(walk(results, k=k, n=n), start=1):
        if observation.verdict is not before:
            window = results[max(changed_at, number - n) : number]
            assert LETTERS[window[-1]] is observation.verdict
            assert [LETTERS[letter] for letter in window].count(observation.verdict) >= k
            changed_at, before = number, observation.verdict
        assert len(observation.recent) <= n


@given(st.text("UD?", max_size=30), st.sampled_from("UD?"), st.integers(1, 5), st.integers(0, 5))
def test_whatever_was_before_n_equal_results_settle_it(past: str, now: str, k: int, spare: int) -> None:
    n = k + spare
    assert walk(past + now * n, k=k, n=n)[-1].verdict is LETTERS[now]
