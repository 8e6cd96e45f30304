"""How the store's members are: one line each, for metrics and for people.

Asks every member by itself and never fails: a member that does not answer is a line that says so.
"""

import asyncio
import re
from dataclasses import dataclass

from orchestrator.store.base import StoreError
from orchestrator.store.client import EtcdClient
from orchestrator.store.gateway import Member, MemberTrouble
from orchestrator.store.wire import Json, cluster_of, revision_of

NO_LEADER = "sees no leader"
_ALARM = re.compile(r"memberID:(\d+)\s+alarm:(\w+)")
_QUOTA = re.compile(r"^etcd_server_quota_backend_bytes ([0-9.e+]+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class MemberStatus:
    """One member. What is None is unknown; `problem` says why, "" when it is well. One that answers as part
    of another cluster than ours is not reachable, and `cluster_id` says of which."""

    endpoint: str
    reachable: bool
    problem: str = ""
    member_id: str = ""
    leader: bool | None = None
    version: str = ""
    database_bytes: int | None = None
    database_in_use_bytes: int | None = None
    quota_bytes: int | None = None
    revision: int | None = None
    raft_term: int | None = None
    round_trip_seconds: float | None = None
    cluster_id: str = ""


@dataclass(frozen=True, slots=True)
class StoreStatus:
    """All members, in the order of the endpoints."""

    cluster_id: str
    members: tuple[MemberStatus, ...]

    @property
    def leader(self) -> str | None:
        """The leader's endpoint, by the newest term anybody knows."""
        leaders = [member for member in self.members if member.leader]
        return max(leaders, key=lambda member: member.raft_term or 0).endpoint if leaders else None


@dataclass(frozen=True, slots=True)
class Alarm:
    """An alarm that a member has raised, and which concerns the whole store, until a person disarms it.
    `endpoint`: the member's, None where none of those asked is it."""

    kind: str
    endpoint: str | None


def alarms(status: StoreStatus) -> tuple[Alarm, ...]:
    """Every member that answers tells of all alarms; each is told once."""
    by_id = {member.member_id: member.endpoint for member in status.members if member.member_id}
    found = [pair for member in status.members for pair in _ALARM.findall(member.problem)]
    return tuple(Alarm(kind, by_id.get(raised_by)) for raised_by, kind in dict.fromkeys(found))


def complaints(member: MemberStatus) -> str:
    """What a member complains of beside alarms and a missing leader; "" for nothing."""
    said = [part.strip() for part in member.problem.split("; ")]
    return "; ".join(part for part in said if part and "no leader" not in part and not _ALARM.search(part))


@dataclass(frozen=True, slots=True)
class ClusterIdentity:
    """Which store this is and how far it has come: kept on disk and compared at start (P33)."""

    cluster_id: str
    revision: int


async def ask_status(client: EtcdClient, *, timeout_seconds: float) -> StoreStatus:
    """Every member at once, each within `timeout_seconds`."""
    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(_ask_one(client, member, timeout_seconds)) for member in client.members]
    members = tuple(task.result() for task in asked)
    ids = [one.cluster_id for one in sorted(members, key=lambda one: not one.reachable)]
    return StoreStatus(next((found for found in ids if found), ""), members)


async def _ask_one(client: EtcdClient, member: Member, timeout_seconds: float) -> MemberStatus:
    try:
        async with asyncio.timeout(timeout_seconds):
            await client.page(member, "/version")  # a first request may need a connection; time the second
            loop = asyncio.get_running_loop()
            sent_at = loop.time()
            answer = await client.ask(member, "/v3/maintenance/status", {}, of_any_cluster=True)
            round_trip_seconds = loop.time() - sent_at
            if member.quota_bytes is None:
                member.quota_bytes = await _quota(client, member, answer)
    except TimeoutError:
        return MemberStatus(member.endpoint, reachable=False, problem=f"no answer in {timeout_seconds:g} s")
    except (MemberTrouble, StoreError) as error:
        return MemberStatus(member.endpoint, reachable=False, problem=str(error))
    foreign = client.foreign(cluster_of(answer))
    return _status(member, answer, round_trip_seconds, foreign)


def _status(member: Member, answer: Json, round_trip_seconds: float, foreign: str) -> MemberStatus:
    own, leader = str(answer.get("header", {}).get("member_id", "")), str(answer.get("leader", "0"))
    problems = [str(error) for error in answer.get("errors", ())]
    if leader == "0":
        problems.append(NO_LEADER)
    if foreign:
        problems.append(foreign)
    return MemberStatus(
        endpoint=member.endpoint,
        reachable=not foreign,
        problem="; ".join(problems),
        member_id=own,
        leader=own == leader,
        version=str(answer.get("version", "")),
        database_bytes=int(answer.get("dbSize", 0)),
        database_in_use_bytes=int(answer.get("dbSizeInUse", 0)),
        quota_bytes=member.quota_bytes,
        revision=revision_of(answer),
        raft_term=int(answer.get("raftTerm", 0)),
        round_trip_seconds=round_trip_seconds,
        cluster_id=cluster_of(answer),
    )


async def _quota(client: EtcdClient, member: Member, answer: Json) -> int | None:
    """The size limit: newer members say it in their status, older ones only among their metrics. It is asked
    once for as long as the member stays up, for that page is long."""
    if "dbSizeQuota" in answer:
        return int(answer["dbSizeQuota"])
    found = _QUOTA.search(await client.page(member, "/metrics"))
    return int(float(found[1])) if found else None
