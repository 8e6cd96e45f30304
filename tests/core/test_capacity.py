"""Gate 5: what fits at a site, what is shed so that it does, and in which order."""

from typing import Any

import pytest

from orchestrator.core.capacity import Headroom, Hosting, Owned, Room, headroom
from orchestrator.core.records import Mode, Movement, ServiceRecord
from sites.model import Capacity, Service

TEN = {"y": Capacity.model_validate({"cpu": 10, "memory": "64GiB"})}


def owned(name: str, at: str | None, cpu: float = 0, *, rank: int = 100, **fields: Any) -> Owned:
    """A service that takes so many cores where it is primary."""
    noun = {"name": name, "home": "x", "standby": "y", "rank": rank, "failover": "automatic", **fields}
    if cpu:
        noun["load"] = {"cpu": cpu}
    record = ServiceRecord(primary=at, epoch=1, mode=Mode.AUTOMATIC, movement=Movement.STEADY, writer="w")
    return Owned(Service.model_validate(noun), record)


def room(service: Owned, *others: Owned, lost: str | None = None) -> Room:
    """How it would fit at y."""
    return Hosting([service, *others], TEN, lost=lost).rooms(service)["y"]


SHED = {"runbooks": {"shed": "test/shed"}}


def test_a_service_fits_beside_what_is_there_up_to_the_last_core() -> None:
    assert room(owned("s", "x", 4), owned("there", "y", 6)).fits
    short = room(owned("s", "x", 5), owned("there", "y", 6))
    assert (short.fits, short.shed) == (False, ())
    assert "short of 1 cores" in short.words


def test_memory_is_counted_as_cores_are() -> None:
    wide = owned("s", "x", load={"memory": "65GiB"})
    assert "short of 1.0 GiB" in room(wide).words
    assert room(owned("s", "x", load={"memory": "64GiB"})).fits


def test_what_states_no_load_takes_nothing_and_a_site_without_capacity_has_no_bound() -> None:
    assert room(owned("s", "x"), owned("there", "y", 10)).fits
    assert Hosting([], {}, lost=None).rooms(owned("s", "x", 1000)) == {}
    only_memory = {"y": Capacity.model_validate({"memory": "1GiB"})}
    assert Hosting([], only_memory, lost=None).rooms(owned("s", "x", 1000))["y"].fits


def test_a_service_that_is_there_already_is_not_counted_twice() -> None:
    assert room(owned("s", "y", 6)).fits


def test_what_is_on_its_way_there_counts_there() -> None:
    moving = ServiceRecord(
        primary="x", epoch=1, mode=Mode.AUTOMATIC, movement=Movement.MOVING, target="y", run="r", writer="w"
    )
    on_its_way = Owned(owned("other", "x", 6).service, moving)
    assert not room(owned("s", "x", 5), on_its_way).fits
    ordered = Owned(owned("other", "x", 6).service, owned("other", "x").record, coming_to="y")
    assert not room(owned("s", "x", 5), ordered).fits


def test_the_last_in_rank_is_shed_first_and_only_until_the_rest_fits() -> None:
    first = owned("first", "y", 4, rank=2, **SHED)
    last = owned("last", "y", 4, rank=3, **SHED)
    found = room(owned("s", "x", 4, rank=1), first, last)
    assert (found.fits, found.shed) == (True, ("last",))
    found = room(owned("s", "x", 9, rank=1), first, last)
    assert (found.fits, found.shed) == (True, ("last", "first"))


def test_nothing_is_shed_for_a_service_of_lower_rank_nor_without_a_runbook() -> None:
    assert room(owned("s", "x", 4, rank=9), owned("there", "y", 8, rank=1, **SHED)) == Room(
        False, "12 cores and 0 B of 10 cores and 64.0 GiB at y: short of 2 cores", ()
    )
    assert not room(owned("s", "x", 4, rank=1), owned("there", "y", 8, rank=9)).fits


def test_what_does_not_help_is_not_shed() -> None:
    hungry = owned("hungry", "y", load={"memory": "60GiB"}, rank=9, **SHED)
    assert not room(owned("s", "x", 11, rank=1), hungry).shed


def test_from_a_lost_site_those_of_higher_rank_are_counted_before() -> None:
    big = owned("big", "x", 8, rank=1)
    small = owned("small", "x", 4, rank=2)
    assert not room(small, big, lost="x").fits
    assert room(big, small, lost="x").fits
    assert room(small, big, lost=None).fits, "nothing else moves there while the site lives"
    by_hand = owned("big", "x", 8, rank=1, failover="manual")
    assert room(small, by_hand, lost="x").fits, "what waits for a person may never come"


def test_what_was_shed_before_is_not_shed_again_for_the_next() -> None:
    """The owners alone tell what is shed: here the second service finds the room that the first one made."""
    low = owned("low", "y", 6, rank=9, **SHED)
    first, second = owned("first", "y", 6, rank=1), owned("second", "x", 4, rank=2)
    assert room(second, first, low).shed == ()
    assert room(second, first, low).fits


@pytest.mark.parametrize("count", [200])
def test_two_hundred_services_each_fit_by_the_sums_alone(count: int) -> None:
    services = [owned(f"s{number}", "x", 0.04, rank=number + 1) for number in range(count)]
    hosting = Hosting(services, TEN, lost="x")
    assert all(hosting.rooms(one)["y"].fits for one in services)


def test_headroom_is_what_is_left_with_everything_of_the_other_site() -> None:
    there, comes = owned("there", "y", 3), owned("comes", "x", load={"cpu": 4, "memory": "16GiB"})
    assert headroom([there, comes], TEN, "x", "y") == Headroom("x", "y", 3.0, 48 * 2**30)
    assert headroom([there, comes, owned("more", "x", 5)], TEN, "x", "y").cpu == -2.0


def test_headroom_is_unknown_without_a_capacity_or_with_an_owner_that_is_not_known() -> None:
    assert headroom([owned("s", "x", 1)], TEN, "y", "x") == Headroom("y", "x", None, None)
    lost = Owned(owned("s", "x", 1).service, None)
    assert headroom([lost], TEN, "x", "y").cpu is None
    without_load = Owned(owned("s", "x").service, None)
    assert headroom([without_load], TEN, "x", "y").cpu == 10.0
