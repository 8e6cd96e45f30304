"""What `status` says of the store's members: only where something is to be done, once, and what."""

from orchestrator.api.store_words import member_warnings
from orchestrator.store.status import Alarm, MemberStatus, StoreStatus, alarms

A, B, C = (f"https://etcd.{site}.example:2379" for site in ("durham", "morpeth", "derwentside"))
FULL = "memberID:17 alarm:NOSPACE "


def member(endpoint: str, problem: str = "", member_id: str = "", **given: object) -> MemberStatus:
    told = {"endpoint": endpoint, "reachable": True, "problem": problem, "member_id": member_id, **given}
    return MemberStatus(**told)  # type: ignore[arg-type]


def warnings(*members: MemberStatus) -> list[str]:
    return member_warnings(StoreStatus("1", members))


def test_nothing_is_said_of_members_that_are_well_or_not_asked_yet() -> None:
    assert warnings(member(A), member(B), member(C)) == []
    assert member_warnings(None) == []


def test_a_member_without_a_leader_is_said_with_what_to_look_at() -> None:
    (line,) = warnings(member(A), member(B, "etcdserver: no leader; sees no leader"), member(C))
    assert line.startswith(f"the store's member {B} sees no leader")
    assert "reach each other" in line


def test_a_full_store_is_said_once_by_whichever_members_tell_of_it_and_how_it_is_emptied() -> None:
    (line,) = warnings(member(A, FULL, "16"), member(B, FULL, "17"), member(C, FULL, "18"))
    assert line.startswith("the store is FULL")
    assert "etcdctl alarm disarm" in line
    assert f"raised by {B}" in line


def test_every_member_that_raised_an_alarm_is_named() -> None:
    told = f"{FULL}; memberID:16 alarm:CORRUPT "
    status = StoreStatus("1", (member(A, told, "16"), member(B, told, "17")))
    assert alarms(status) == (Alarm("NOSPACE", B), Alarm("CORRUPT", A))
    assert [line.partition(" (")[2] for line in member_warnings(status)] == [
        f"alarm NOSPACE, raised by {B})",
        f"alarm CORRUPT, raised by {A})",
    ]


def test_an_alarm_that_is_not_known_here_is_said_as_well() -> None:
    (line,) = warnings(member(A, "memberID:99 alarm:TEAPOT "))
    assert line == "look at it with `etcdctl alarm list` (alarm TEAPOT, raised by another member)"


def test_whatever_else_a_member_complains_of_is_shown_in_its_own_words() -> None:
    (line,) = warnings(member(A, "etcdserver: corrupt cluster"))
    assert line == f"the store's member {A} complains: etcdserver: corrupt cluster"


def test_a_member_that_does_not_answer_is_said_with_why_and_nothing_more() -> None:
    (line,) = warnings(member(A, "no answer in 1 s", reachable=False))
    assert line == f"the store's member {A} does not answer: no answer in 1 s"


def test_a_member_that_is_nearly_full_is_said_before_it_is_full() -> None:
    assert warnings(member(A, database_bytes=81, quota_bytes=100)) == [
        f"the store's member {A} is nearly full: compact and defragment it"
    ]
    assert warnings(member(A, database_bytes=80, quota_bytes=100)) == []
