"""A thing that knows nothing but the age of its last complete copy, such as a file tree by rsync: what can be
proven of it, and what is refused because it cannot."""

from pathlib import Path
from typing import Any

import pytest

from orchestrator.core.gates import Wish, gates
from orchestrator.core.view import ServiceView, View
from orchestrator.eyes import Eyes
from sites.errors import DriverTrouble
from sites.replication.command.driver import CommandDriver
from sites.replication.deadline import boottime_ns
from sites.replication.words import Role
from tests.sites.command.ledgers import DURHAM, MORPETH, driver_of, estate_of
from tests.support.local_transport import LocalTransport

LIMITED = {"max_data_loss": "3m"}


def tree(tmp_path: Path, **more: Any) -> CommandDriver:
    """What each site prints stands in a file; `close` and `fence` leave Durham's read-only."""
    (tmp_path / DURHAM).write_text("role: primary\nwritable: yes\nhistory: g1\n")
    (tmp_path / MORPETH).write_text("role: standby\nwritable: no\nhistory: g1\nstreaming: yes\nlag: 140\n")
    return driver_of(settings(tmp_path) | more, LocalTransport())


def settings(tmp_path: Path) -> dict[str, Any]:
    shut = f"sed -i 's/writable: yes/writable: no/' {tmp_path}/{{{{ site }}}}"
    return {
        "hosts": {DURHAM: "tree", MORPETH: "tree"},
        "look": {"run": f"cat {tmp_path}/{{{{ site }}}}"},
        "look_every": "200ms",
        "close": {"run": shut},
        "fence": {"run": shut},
    }


async def seen(tmp_path: Path, wish: Wish) -> tuple[ServiceView, dict[int, tuple[bool | None, str]]]:
    """What Morpeth's controller makes of it, and what gates 3 and 4 say to a wish."""
    driver = (
        tree(tmp_path)
        if not (tmp_path / DURHAM).exists()
        else driver_of(settings(tmp_path), LocalTransport())
    )
    estate = estate_of(settings(tmp_path), **LIMITED)
    eyes = Eyes(estate, {"tree": driver}, watch_losses_at=None, on_change=lambda: None)
    for site in (DURHAM, MORPETH):
        await eyes.look("tree", site)
    now_ns = boottime_ns()
    lag = eyes.lag("tree", DURHAM, MORPETH, now_ns)
    service = ServiceView(
        service=estate.services["tree"],
        held=None,
        samples=eyes.fresh_samples("tree", now_ns),
        lag_seconds=lag.seconds,
        lag_bytes=lag.bytes,
        lag_age_seconds=lag.age_seconds,
        safe_until_ns=eyes.safe_until_ns("tree", DURHAM, MORPETH),
        final_primary_history=eyes.primary_history("tree"),
    )
    view = View(site=MORPETH, peer=DURHAM, now_ns=now_ns, keeper=None, services=(service,))
    answers = {gate.number: (gate.ok, gate.code) for gate in gates(view, service, wish)}
    return service, answers


LOST = Wish(to_site=MORPETH, from_site=DURHAM, planned=False, automatic=False, certified_down=True)
PLANNED = Wish(to_site=MORPETH, from_site=DURHAM, planned=True, automatic=False)


async def test_its_lag_is_the_age_of_the_last_complete_copy(tmp_path: Path) -> None:
    service, answers = await seen(tmp_path, LOST)
    assert (service.lag_seconds, service.lag_bytes) == (140.0, None)
    assert service.safe_until_ns is not None
    # Gate 3: at most 140 s and a moment, within 3 min; gate 4: the copy is of the primary's own history.
    assert (answers[3], answers[4]) == ((True, ""), (True, ""))


async def test_a_copy_older_than_the_limit_is_refused(tmp_path: Path) -> None:
    tree(tmp_path)
    (tmp_path / MORPETH).write_text("role: standby\nwritable: no\nhistory: g1\nstreaming: yes\nlag: 200\n")
    _, answers = await seen(tmp_path, LOST)
    assert answers[3] == (False, "lag-above-limit")


async def test_a_copy_of_another_history_bounds_nothing(tmp_path: Path) -> None:
    tree(tmp_path)
    (tmp_path / MORPETH).write_text("role: standby\nwritable: no\nhistory: g0\nstreaming: yes\nlag: 1\n")
    service, answers = await seen(tmp_path, LOST)
    assert (service.lag_seconds, service.safe_until_ns) == (None, None)
    assert (answers[3][1], answers[4][1]) == ("lag-unknown", "history-diverged")


async def test_without_an_age_nothing_is_known(tmp_path: Path) -> None:
    tree(tmp_path)
    (tmp_path / MORPETH).write_text("role: standby\nwritable: no\nhistory: g1\nstreaming: yes\n")
    _, answers = await seen(tmp_path, LOST)
    assert answers[3] == (None, "lag-unknown")


async def test_a_planned_move_of_it_is_refused_before_anything_is_closed(tmp_path: Path) -> None:
    _, answers = await seen(tmp_path, PLANNED)
    assert answers[3] == (None, "lag-unknown")
    driver = tree(tmp_path)
    with pytest.raises(
        DriverTrouble, match="nobody could say when everything is at the other site; nothing was closed"
    ):
        await driver.close(DURHAM, within_seconds=5)
    assert (await driver.sample(DURHAM)).writable


async def test_with_a_checksum_it_is_moved_when_both_are_the_very_same(tmp_path: Path) -> None:
    """P24 without an order: the final position is reached where the same text is seen, and not before."""
    driver = tree(tmp_path)
    (tmp_path / DURHAM).write_text("role: primary\nwritable: yes\nhistory: g1\nposition: 3f1a\n")
    standby = "role: standby\nwritable: no\nhistory: g1\nstreaming: yes\nlag: 140\n"
    (tmp_path / MORPETH).write_text(standby + "position: 77c0\nreplayed: 77c0\n")
    _, answers = await seen(tmp_path, PLANNED)
    assert answers[3] == (True, "")
    closed = await driver.close(DURHAM, within_seconds=5)
    assert closed.final_position is not None
    assert not await driver.caught_up(MORPETH, closed.final_position, timeout_seconds=0.5)
    (tmp_path / MORPETH).write_text(standby + "position: 3f1a\nreplayed: 3f1a\n")
    assert await driver.caught_up(MORPETH, closed.final_position, timeout_seconds=5)


async def test_a_standby_that_accepts_writes_is_shown_as_it_says(tmp_path: Path) -> None:
    driver = tree(tmp_path)
    (tmp_path / MORPETH).write_text("role: standby\nwritable: yes\nhistory: g1\nstreaming: no\n")
    sample = await driver.sample(MORPETH)
    assert (sample.role, sample.writable, sample.streaming) == (Role.STANDBY, True, False)
