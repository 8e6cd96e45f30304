"""What a pair of servers must be set up like for this driver's words to be quick and safe, and why.

A table of settings, each with its reason; the judging is pure. Asked of the servers themselves, since a
file that says it is no evidence that the server runs with it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sites.errors import SitesTrouble
from sites.replication.postgres.config import PostgresSettings
from sites.replication.postgres.server import Server, application_name
from sites.restarters import Looked

MOST_RETRY_MILLISECONDS = 100
LOOK_SECONDS = 10.0
PRIVILEGES = (
    "pg_promote(boolean, integer)",
    "pg_ls_dir(text, boolean, boolean)",
    "pg_stat_file(text, boolean)",
    "pg_read_binary_file(text)",
    "pg_read_binary_file(text, bigint, bigint, boolean)",
    "pg_ls_waldir()",
)
# Needed by `synchronous: true` alone, which sets and clears synchronous_standby_names.
SYNCHRONOUS_PRIVILEGES = ("pg_reload_conf()",)
# A standby refuses to start, or to go on, when one of these is lower than at its primary.
NOT_LOWER = (
    "max_connections",
    "max_worker_processes",
    "max_wal_senders",
    "max_prepared_transactions",
    "max_locks_per_transaction",
)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it should be. `must`: a move can fail or be slow by it; else advice."""

    site: str
    what: str
    found: str
    expected: str
    why: str
    must: bool = True


@dataclass(frozen=True, slots=True)
class Requirement:
    """A rule about one setting, in the units of `pg_settings`."""

    setting: str
    holds: Callable[[Mapping[str, str]], bool]
    expected: str
    why: str
    must: bool = True


def _is(name: str, *values: str) -> Callable[[Mapping[str, str]], bool]:
    return lambda settings: settings.get(name) in values


def _number(name: str, holds: Callable[[float], bool]) -> Callable[[Mapping[str, str]], bool]:
    return lambda settings: name in settings and holds(float(settings[name]))


def _rewindable(settings: Mapping[str, str]) -> bool:
    return "on" in (settings.get("wal_log_hints"), settings.get("data_checksums"))


REQUIREMENTS: tuple[Requirement, ...] = (
    Requirement(
        "restart_after_crash",
        _is("restart_after_crash", "off"),
        "off",
        "with it on, a crash of one backend reads standby.signal again and the primary comes back read-only",
    ),
    Requirement(
        "wal_retrieve_retry_interval",
        _number("wal_retrieve_retry_interval", lambda ms: ms <= MOST_RETRY_MILLISECONDS),
        "100ms or less",
        "a promotion waits for a receiver that is in its retry pause, by default for up to 5 s",
    ),
    Requirement(
        "wal_log_hints",
        _rewindable,
        "on, or data checksums",
        "without either, pg_rewind cannot bring an old primary back and a full copy is needed",
    ),
    Requirement(
        "full_page_writes", _is("full_page_writes", "on"), "on", "pg_rewind reads the pages that it copies"
    ),
    Requirement(
        "max_slot_wal_keep_size",
        _number("max_slot_wal_keep_size", lambda mb: mb >= 0),
        "a size well below the disk's",
        "the slot of a standby that is away keeps the log until the primary's disk is full",
    ),
    Requirement("hot_standby", _is("hot_standby", "on"), "on", "a standby must answer questions"),
    Requirement(
        "wal_level", _is("wal_level", "replica", "logical"), "replica or logical", "nothing to stream else"
    ),
    Requirement(
        "max_wal_senders",
        _number("max_wal_senders", lambda count: count >= 3),
        "3 or more",
        "a standby, and the two connections of a full copy",
    ),
    Requirement(
        "max_replication_slots",
        _number("max_replication_slots", lambda count: count >= 2),
        "2 or more",
        "the standby's slot, and the temporary one of a full copy",
    ),
    Requirement(
        "recovery_target_timeline",
        _is("recovery_target_timeline", "latest"),
        "latest",
        "a standby must follow a promotion",
    ),
    Requirement(
        "recovery_min_apply_delay",
        _number("recovery_min_apply_delay", lambda ms: ms == 0),
        "0",
        "a delayed standby takes as long to be promoted",
    ),
    Requirement("fsync", _is("fsync", "on"), "on", "a power cut would ruin the data", must=False),
    Requirement(
        "synchronous_commit",
        _is("synchronous_commit", "on", "remote_write", "remote_apply", "local"),
        "on",
        "a commit acknowledged before it is written can be lost without any report saying so",
        must=False,
    ),
)

SETTINGS = """
select name, setting from pg_settings where name = any($1::text[])
"""
MAY = """
select name, has_function_privilege(name, 'execute') as may from unnest($1::text[]) name
"""
ROLE = """
select rolsuper or rolreplication as replication,
       rolsuper or exists (select 1 from pg_roles r where r.rolname = 'pg_checkpoint'
                              and pg_has_role(current_user, r.oid, 'usage')) as checkpoint
  from pg_roles where rolname = current_user
"""


def judge(site: str, settings: Mapping[str, str]) -> list[Finding]:
    """The rules that these settings break. Pure."""
    return [
        Finding(
            site,
            rule.setting,
            settings.get(rule.setting, "not known to the server"),
            rule.expected,
            rule.why,
            rule.must,
        )
        for rule in REQUIREMENTS
        if not rule.holds(settings)
    ]


def judge_pair(site: str, ours: Mapping[str, str], theirs: Mapping[str, str]) -> list[Finding]:
    """Settings that may not be lower here than at the other site. Pure."""
    return [
        Finding(
            site,
            name,
            ours[name],
            f"{theirs[name]} or more, as at the other site",
            "a standby stops when one of these is lower than at its primary",
        )
        for name in NOT_LOWER
        if name in ours and name in theirs and int(ours[name]) < int(theirs[name])
    ]


async def findings_of(
    server: Server, peer: Server, settings: PostgresSettings, service: str
) -> list[Finding]:
    """Everything that is not as it should be at one instance and its host, worst first.

    Raises SitesTrouble when the instance or its host does not answer; the peer may be away.
    """
    ours = await _settings_of(server)
    found = judge(server.site, ours)
    try:
        found += judge_pair(server.site, ours, await _settings_of(peer))
    except SitesTrouble:
        pass  # the comparison is made when both answer
    found += await _privileges(server, settings)
    found += await _host(server)
    found += judge_restarters(
        server.site,
        await server.host.restarters(timeout_seconds=LOOK_SECONDS),
        gated=server.host.database.gated,
    )
    expected = application_name(service, peer.site)
    names = ours.get("synchronous_standby_names", "")
    if settings.synchronous and not await _in_recovery(server) and expected not in names:
        found.append(
            Finding(
                server.site,
                "synchronous_standby_names",
                names or "empty",
                f'"{expected}"',
                "synchronous: true is asked for, and a commit does not wait for the standby",
            )
        )
    return sorted(found, key=lambda finding: not finding.must)


def judge_restarters(site: str, looked: Looked, *, gated: bool) -> list[Finding]:
    """P7: what starts the server by itself. Behind a gate it opens nothing. `start.conf` is the host's own
    question, and told there. Pure."""
    found = [
        Finding(
            site,
            "restarters",
            f"{each.what}: {each.how}",
            "nothing that starts the server by itself",
            f"a fence that ends it would be undone; {each.remedy}",
            must=each.revives and not gated,
        )
        for each in looked.found
        if not each.what.endswith("/start.conf")
    ]
    if looked.unknown:
        why = "what could not be looked at may start the server by itself"
        expected = "all that starts programs there, to be looked at"
        found.append(
            Finding(site, "restarters", f"not known: {'; '.join(looked.unknown)}", expected, why, must=False)
        )
    return found


async def _settings_of(server: Server) -> dict[str, str]:
    names = [rule.setting for rule in REQUIREMENTS]
    names += [*NOT_LOWER, "data_checksums", "synchronous_standby_names"]
    rows = await server.link.ask_all(SETTINGS, names, timeout_seconds=LOOK_SECONDS)
    return {row["name"]: row["setting"] for row in rows}


async def _in_recovery(server: Server) -> bool:
    row = await server.link.ask("select pg_is_in_recovery() as yes", timeout_seconds=LOOK_SECONDS)
    return bool(row["yes"])


async def _privileges(server: Server, settings: PostgresSettings) -> list[Finding]:
    wanted = PRIVILEGES + (SYNCHRONOUS_PRIVILEGES if settings.synchronous else ())
    rows = await server.link.ask_all(MAY, list(wanted), timeout_seconds=LOOK_SECONDS)
    lacking = [f"use {row['name']}" for row in rows if not row["may"]]
    role = await server.link.ask(ROLE, timeout_seconds=LOOK_SECONDS)
    if not role["replication"]:
        lacking.append("make replication slots (attribute REPLICATION)")
    if not role["checkpoint"]:
        lacking.append("checkpoint (role pg_checkpoint, or superuser before PostgreSQL 15)")
    why = f"the role {settings.user} measures, promotes and rewinds; docs/postgres.md has the grants"
    return [
        Finding(server.site, "rights of the role", f"may not {what}", "the right to", why) for what in lacking
    ]


async def _host(server: Server) -> list[Finding]:
    said = await server.host.run("look", timeout_seconds=LOOK_SECONDS)
    site, data = server.site, server.instance.data
    found = [
        Finding(site, "programs", f"{path} is missing", "the program", "fences and rejoins are made of it")
        for path in said.get("missing").split("\n")
        if path
    ]
    if said.get("beside") == "no":
        why = "passwords for replication, divergent history and old copies are kept beside the data"
        found.append(Finding(site, "directory", f"{data}/.. is not writable", "writable by the owner", why))
    if said.yes("running") and not said.yes("signal"):
        why = "a server that starts by itself after a failover would accept writes"
        found.append(Finding(site, "standby.signal", f"not in {data}", "always there", why))
    if said.get("autostart") == "auto":
        why = "two servers must never open because two machines were switched on"
        found.append(Finding(site, "start.conf", "auto", "manual", why))
    if said.yes("rewinding"):
        why = "its files are partly those of the other server"
        found.append(Finding(site, "data", f"{data} is half rewound", "a rebuild", why))
    if said.get("kept").strip():
        why = "old copies and saved history take room until somebody removes them"
        found.append(Finding(site, "kept", said.get("kept").strip(), "nothing", why, must=False))
    return found
