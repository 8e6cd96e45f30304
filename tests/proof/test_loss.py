"""What a move lost in fact, beside what was said."""

import pytest

from orchestrator.core.records import RunRecord
from orchestrator.loss import Loss, loss_of
from tests.proof.records import BEGAN, rejoin, run


def lost(*others: RunRecord, **differs: object) -> Loss:
    move = run(**differs)
    found = loss_of(move, (move, *others))
    assert found is not None
    return found


def test_what_was_said_and_what_was_lost_stand_side_by_side() -> None:
    found = lost(
        rejoin(
            divergent_bytes=12288,
            divergent_transactions=3,
            divergent_seconds=0.4,
            saved_at="/srv/crm.divergent",
        )
    )
    assert found.words == "said at most 38 s, lost 0.4 s / 12.0 KiB (3 transactions)"
    assert (found.known, found.final, found.more_than_said) == (True, True, False)
    assert (found.kept_at, found.by) == ("/srv/crm.divergent", "crm-rejoin-1")


def test_log_without_a_transaction_in_it_is_no_loss() -> None:
    found = lost(rejoin(divergent_bytes=168, divergent_transactions=0))
    assert found.words == "said at most 38 s, lost nothing: 168 B of log without a transaction"
    assert found.seconds == 0.0


def test_until_the_old_primary_rejoins_it_is_unknown() -> None:
    found = lost()
    assert (found.known, found.final) == (False, False)
    assert "unknown until durham rejoins" in found.words


def test_a_rejoin_that_nobody_looked_before_leaves_it_unknown() -> None:
    found = lost(rejoin(divergent_bytes=None, method="rebuild"))
    assert (found.known, found.final) == (False, True)
    assert "unknown: rebuild did not tell" in found.words
    assert not lost(rejoin()).known, "a run whose values did not get through"


def test_the_next_move_makes_it_unknown_for_good() -> None:
    later = run("crm-switchover-2", kind="switchover", epoch=5, began=BEGAN + 900)
    found = lost(later)
    assert (found.known, found.final) == (False, True)
    assert "did not rejoin before crm-switchover-2" in found.words


def test_only_the_rejoin_after_exactly_this_move_counts_and_of_two_the_first() -> None:
    first = rejoin(divergent_bytes=512)
    assert lost(rejoin("crm-rejoin-0", epoch=3, divergent_bytes=9), first).bytes == 512
    again = rejoin("crm-rejoin-2", began=BEGAN + 600, divergent_bytes=0)
    assert lost(again, first).bytes == 512


@pytest.mark.parametrize(
    ("bound", "values", "more"),
    [
        (1.0, {"divergent_bytes": 9000, "divergent_transactions": 5, "divergent_seconds": 2.5}, True),
        (3.0, {"divergent_bytes": 9000, "divergent_transactions": 5, "divergent_seconds": 2.5}, False),
        (0.0, {"divergent_bytes": 9000, "divergent_transactions": 1}, True),
        (0.0, {"divergent_bytes": 9000}, False),  # it may be log without a transaction: nobody counted
        (None, {"divergent_bytes": 9000, "divergent_transactions": 1, "divergent_seconds": 9.0}, False),
    ],
)
def test_a_statement_that_was_wrong_is_called_so(
    bound: float | None, values: dict[str, object], more: bool
) -> None:
    found = lost(rejoin(**values), loss_bound_seconds=bound)
    assert found.more_than_said is more
    assert ("MORE THAN WAS SAID" in found.words) is more


def test_a_planned_move_lost_nothing_and_a_failed_one_has_nothing_to_reconcile() -> None:
    assert lost(kind="switchover").seconds == 0.0
    assert loss_of(run(state="failed"), ()) is None
    assert loss_of(rejoin(divergent_bytes=1), ()) is None
