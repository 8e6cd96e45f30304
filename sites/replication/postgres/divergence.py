"""What a stopped server's log has that its new primary's has not, and how that is kept.

`compare` finds it, `save` keeps it beside the data directory; nothing of the data is ever changed here.
"""

from dataclasses import dataclass
from datetime import datetime

from sites.errors import SitesTrouble
from sites.replication.deadline import Deadline
from sites.replication.postgres import sql
from sites.replication.postgres.control import Control
from sites.replication.postgres.lsn import (
    Fork,
    Leg,
    Line,
    fork_of,
    format_lsn,
    parse_history,
    parse_lsn,
    segment_name,
)
from sites.replication.postgres.server import Server

LISTING_LIMIT_BYTES = 64 << 20
HISTORY_LIMIT_BYTES = 1 << 20
PAGE_BYTES = 8192
RECORD_HEADER_BYTES = 24
ASK_SECONDS = 10.0

NOTE = """\
What only this server had, saved before its data were brought back onto the line of the new primary.

service      {service}
site         {site}
data         {data}
cluster      {system_id}
parted       at {fork} on timeline {timeline}, from the server at {primary}
transactions {commits}
bytes        {size}

The files named in hexadecimal are segments of the write-ahead log; `segments` lists them. `records.txt`,
where it is there, lists every record in readable form (pg_waldump); "desc: COMMIT" is a transaction that
clients may have been told was done. To look at the rows themselves, restore a backup of this server that is
older than the fork, give it these segments, and recover it to its end.
Nothing here is needed by a running server. Delete the directory when its owner has decided what becomes of
it.
"""


@dataclass(frozen=True, slots=True)
class Tail:
    """One stretch of log that only one side has, with its last record; `committed`: when the first and the
    last transaction in it ended, by that server's clock."""

    leg: Leg
    records: int
    commits: int
    end_bytes: int
    last_segment: str
    committed: tuple[datetime, ...] = ()


@dataclass(frozen=True, slots=True)
class Divergence:
    """What only this side has. `rewindable` is False where two promotions took the same timeline number:
    pg_rewind takes them for one. `span_seconds`: from its first transaction to its last."""

    at_bytes: int
    timeline: int
    tails: tuple[Tail, ...]
    bytes: int
    commits: int | None
    rewindable: bool = True
    span_seconds: float | None = None

    @property
    def text(self) -> str:
        """For people."""
        parted = f"parted at {format_lsn(self.at_bytes)} on timeline {self.timeline}"
        if self.commits is None:
            return f"{parted}; what only this side has was not counted, since pg_waldump is missing"
        return f"{parted}, {self.bytes} bytes and {self.commits} transactions only here"


async def line_of(primary: Server, timeline: int) -> Line:
    """The line of history of a running primary. Raises SitesTrouble or ValueError."""
    text = ""
    if timeline > 1:
        row = await primary.link.ask(
            sql.WAL_FILE, f"{timeline:08X}.history", 0, HISTORY_LIMIT_BYTES, timeout_seconds=ASK_SECONDS
        )
        text = (row["content"] or b"").decode(errors="replace")
    return parse_history(timeline, text)


async def compare(
    server: Server, control: Control, history: str, primary: Server, theirs: Line, deadline: Deadline
) -> Divergence | None:
    """What the stopped `server` has that is not in `theirs`; None when its history is an ancestor's.

    Raises SitesTrouble, and ValueError for a history file that cannot be read.
    """
    ours = parse_history(control.newest_timeline, history)
    fork = fork_of(ours, theirs)
    rewindable = True
    shared = ours.timeline if fork is None else fork.timeline
    begins = _beginning(ours, shared)
    if begins and not await _same_bytes(server, primary, shared, begins, control.segment_bytes):
        # Both sides called their promotion by the same number, and wrote different things under it.
        legs = [leg for leg in (fork.legs if fork else (Leg(shared, begins),)) if leg.timeline != shared]
        fork = Fork(shared, begins, (Leg(shared, begins), *legs))
        rewindable = False
    if fork is None:
        return None
    tails = await _tails(server, control, fork, deadline)
    if tails is None:
        return _from_control(control, fork, rewindable)
    ahead = _ahead(control, fork)
    if not tails and not ahead:
        return None
    size = sum(tail.end_bytes - tail.leg.from_bytes for tail in tails) or max(1, ahead)
    return Divergence(
        at_bytes=fork.at_bytes,
        timeline=fork.timeline,
        tails=tuple(tails),
        bytes=size,
        commits=sum(tail.commits for tail in tails),
        rewindable=rewindable,
        span_seconds=_span_seconds(tails),
    )


def _span_seconds(tails: list[Tail]) -> float | None:
    times = [time for tail in tails for time in tail.committed]
    return (max(times) - min(times)).total_seconds() if times else None


async def save(
    server: Server, primary: Server, service: str, control: Control, found: Divergence, deadline: Deadline
) -> str | None:
    """Keep it on the host, owned by the owner of the data, mode 0600; where. Raises NoRoom, DriverTrouble."""
    spans = []
    for tail in found.tails:
        first = segment_name(tail.leg.timeline, tail.leg.from_bytes, control.segment_bytes)
        spans.append(f"{first}-{tail.last_segment}")
    if not spans:
        return None
    note = NOTE.format(
        service=service,
        site=server.site,
        data=server.instance.data,
        system_id=control.system_id,
        fork=format_lsn(found.at_bytes),
        timeline=found.timeline,
        primary=primary.site,
        commits="not counted: pg_waldump is missing" if found.commits is None else found.commits,
        size=found.bytes,
    )
    identity = f"{control.system_id} {found.timeline} {found.at_bytes} {found.bytes}"
    given: dict[str, str | int] = {
        "spans": " ".join(spans),
        "identity": identity,
        "note": note,
        "segment_bytes": control.segment_bytes,
    }
    said = await server.host.run("tail_save", given, timeout_seconds=deadline.left())
    return said.get("saved") or None


async def _tails(server: Server, control: Control, fork: Fork, deadline: Deadline) -> list[Tail] | None:
    """Each leg's records, as pg_waldump reads them; None where there is no pg_waldump."""
    legs = [_words(leg) for leg in fork.legs]
    given: dict[str, str | int] = {"legs": " ".join(legs), "most": LISTING_LIMIT_BYTES}
    said = await server.host.run("tail_list", given, timeout_seconds=deadline.left())
    if not said.yes("tool"):
        return None
    tails = []
    lines = zip(fork.legs, said.get("leg").split("\n"), said.get("when").split("\n"), strict=True)
    for leg, line, when in lines:
        _, records, commits, last, total = line.split(":")
        if records != "0":
            end = parse_lsn(last) + int(total)
            name = segment_name(leg.timeline, end - 1, control.segment_bytes)
            tails.append(Tail(leg, int(records), int(commits), end, name, _times(when)))
    return tails


def _times(when: str) -> tuple[datetime, ...]:
    """`first|last`; none where there is no transaction, or its time cannot be read."""
    try:
        return tuple(datetime.fromisoformat(f"{time}+00:00") for time in when.split("|") if time)
    except ValueError:
        return ()


def _words(leg: Leg) -> str:
    end = "" if leg.to_bytes is None else format_lsn(leg.to_bytes)
    return f"{leg.timeline}:{format_lsn(leg.from_bytes)}:{end}"


def _ahead(control: Control, fork: Fork) -> int:
    """By how many bytes the control file alone says that this side went beyond the fork."""
    if control.newest_timeline > fork.timeline:
        return max(1, control.checkpoint_bytes - fork.at_bytes)
    if control.timeline != fork.timeline:
        return 0
    checkpoint = control.checkpoint_bytes + 1 - fork.at_bytes  # it begins where they parted: one side's only
    return max(0, checkpoint, control.recovery_end_bytes - fork.at_bytes)


def _from_control(control: Control, fork: Fork, rewindable: bool) -> Divergence | None:
    """Without pg_waldump: only a server that was stopped in order before the fork is known not to differ."""
    ahead = _ahead(control, fork)
    if control.clean and not ahead:
        return None
    last = "F" * 16
    tails = tuple(
        Tail(leg, 0, 0, leg.from_bytes + max(1, ahead), f"{leg.timeline:08X}{last}") for leg in fork.legs
    )
    return Divergence(fork.at_bytes, fork.timeline, tails, max(1, ahead), None, rewindable)


def _beginning(line: Line, timeline: int) -> int:
    """Where a timeline of this line began; 0 for the first."""
    begin = 0
    for ancestor in line.ancestors:
        if ancestor.timeline == timeline:
            return begin
        begin = ancestor.until_bytes
    return begin


async def _same_bytes(
    server: Server, primary: Server, timeline: int, begins: int, segment_bytes: int
) -> bool:
    """Whether both sides hold the same first record of that timeline, by its header and checksum; True
    where either has it no more, or not yet."""
    start = begins
    if start % PAGE_BYTES == 0:
        start += 40 if start % segment_bytes == 0 else 24
    if PAGE_BYTES - start % PAGE_BYTES < RECORD_HEADER_BYTES:
        return True
    segment = segment_name(timeline, start, segment_bytes)
    offset = start % segment_bytes
    given: dict[str, str | int] = {"segment": segment, "offset": offset, "count": RECORD_HEADER_BYTES}
    said = await server.host.run("bytes", given, timeout_seconds=ASK_SECONDS)
    try:
        row = await primary.link.ask(
            sql.WAL_FILE, segment, offset, RECORD_HEADER_BYTES, timeout_seconds=ASK_SECONDS
        )
    except SitesTrouble:
        return True
    theirs, ours = (row["content"] or b"").hex(), said.get("bytes")
    if len(ours) < 2 * RECORD_HEADER_BYTES or len(theirs) < 2 * RECORD_HEADER_BYTES or not int(ours, 16):
        return True
    return ours == theirs
