"""After a restore of the store: what each site last knew of a service's owner, what a person is proposed to
certify, and the one transaction that puts the store right before anybody trusts it (P33). Pure.

A certificate tells the store who owns what; it moves nothing. It names the owner that was last known, at an
epoch above every one that was ever seen, so that guards believe it and nothing older. Services are then moved
as always, past all gates. Everybody's mode becomes manual: the holder makes a service automatic again when
its guards say that they fence (P27). And the other site's key is marked as holding until that site has
accepted the store by itself: the restored key may have lost that mark, and a site that relies on it may be
serving without any contact (P29). One's own key says of hold what is so, for what is restored may not.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from orchestrator.core.guarding import told_no_more
from orchestrator.core.records import (
    SERVICES,
    SITES,
    Mode,
    Movement,
    RecordUnreadable,
    ServiceRecord,
    SiteRecord,
    decode,
    encode,
)
from orchestrator.core.state import OwnershipState
from orchestrator.core.verdicts import Refuse
from orchestrator.store.base import Compare, KeyValue, Put
from orchestrator.store.continuity import KeySeen, Seen

CERTIFIED = "certified"


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """What one site last knew of a service. `known` False: it never saw a record of it. `highest`: the
    highest epoch it ever heard of, from a guard or a certificate too. `serves`: it may be open there now.
    `glass`: a certificate has opened it there (P31), and that is not reconciled."""

    service: str
    known: bool = False
    owner: str | None = None
    epoch: int = 0
    revision: int = 0
    highest: int = 0
    serves: bool = False
    glass: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteWord:
    """What a site's keeper says of its store: which one it knew, whether it trusts it, and every service."""

    site: str
    cluster_id: str
    revision: int
    trusted: bool
    services: tuple[Word, ...]

    def of(self, service: str) -> Word:
        """Its word of one service."""
        return next((word for word in self.services if word.service == service), Word(service=service))


@dataclass(frozen=True, slots=True, kw_only=True)
class Certified:
    """One service as it is certified. `found_revision`: that of the record it replaces, 0 for none."""

    service: str
    owner: str
    epoch: int
    found_revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptStore:
    """A person accepts the store that answers, and certifies who owns what (P33). Whoever keeps the site's
    memory of the store carries it out; then the keeper starts anew in it (`accepting`)."""

    certificate: str
    cluster_id: str
    owners: tuple[Certified, ...]
    peer_trusts: bool
    who: str
    why: str
    at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Writer:
    """Who certifies. `holds`: it relies on hold, or its disk may still say so (P30); `hold_is_over`: no guard
    here may still go by it, by this keeper's word or by that of an older one (P21, P30)."""

    site: str
    peer: str
    incarnation: int
    lease_duration_ns: int
    holds: bool
    hold_is_over: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What would be certified of one service. `writes` False: what stands in the store may stay. `notes`:
    what whoever certifies must know."""

    service: str
    found: ServiceRecord | None
    found_revision: int
    here: Word
    there: Word | None
    owner: str | None
    epoch: int
    writes: bool
    refusal: Refuse | None = None
    notes: tuple[str, ...] = ()


def word_of(seen: Seen, service: str, *, serves: bool, glass: bool = False) -> Word:
    """What this site last knew, by its own memory."""
    key = seen.services().get(service)
    record = record_in(key)
    highest = max(seen.epochs.get(service, 0), record.epoch if record is not None else 0)
    if key is None or record is None:
        return Word(service=service, highest=highest, serves=serves, glass=glass)
    return Word(
        service=service,
        known=True,
        owner=record.primary,
        epoch=record.epoch,
        revision=key.revision,
        highest=highest,
        serves=serves,
        glass=glass,
    )


def may_serve(state: OwnershipState, name: str, now_ns: int) -> bool:
    """Whether it may be open to clients here, as far as anybody here can tell."""
    service = state.services[name]
    by_guard = service.guard is not None and service.guard.open
    return state.entitled(name, now_ns) or service.open_here or by_guard


def writer_of(state: OwnershipState, incarnation: int) -> Writer:
    """This keeper as one who certifies. `incarnation`: the highest that its site ever went by."""
    noted = any(note.hold_incarnation for note in state.notes_possible)
    return Writer(
        site=state.site,
        peer=state.peer,
        incarnation=incarnation,
        lease_duration_ns=state.timing.lease_duration_ns,
        holds=state.hold_relied or noted,
        hold_is_over=told_no_more(state),
    )


def record_in(key: KeySeen | None) -> ServiceRecord | None:
    """The record that is kept of a key; None for one that cannot be read."""
    try:
        return decode(ServiceRecord, key.value.encode()) if key is not None and key.value else None
    except RecordUnreadable:
        return None


def found_in(item: KeyValue | None) -> ServiceRecord | None:
    """The record in the store; None for none, and for one that cannot be read."""
    try:
        return decode(ServiceRecord, item.value) if item is not None else None
    except RecordUnreadable:
        return None


def propose(
    service: str,
    *,
    sites: tuple[str, str],
    site: str,
    item: KeyValue | None,
    here: Word,
    there: SiteWord | None,
    named: str | None,
) -> Proposal:
    """What this site's operator is to certify. `item`: the record in the store; `there`: the other site's
    word, None when it does not answer; `named`: the owner that the operator names."""
    other = there.of(service) if there is not None else None
    found = found_in(item)
    revision = item.mod_revision if item is not None else 0
    highest = max(here.highest, other.highest if other is not None else 0, found.epoch if found else 0)
    notes: list[str] = []
    if item is not None and found is None:
        notes.append("what stands in the store cannot be read and is replaced")
    stands = found is not None and _may_stay(found, here, there, other)
    last, epoch = _last_owner(found, revision, here, other)
    owner = found.primary if found is not None and stands else named or last
    if epoch < highest and not stands:
        notes.append(f"epoch {highest} was seen, and nobody who answers knows whose it was")
    if named is not None and named != last and not stands:
        notes.append(
            f"the last owner known was {last or 'nobody'}, at epoch {epoch}; {named} is named instead"
        )
    answer = Proposal(
        service=service,
        found=found,
        found_revision=revision,
        here=here,
        there=other,
        owner=owner,
        epoch=found.epoch if found is not None and stands else highest + 1,
        writes=not stands,
        notes=tuple(notes),
    )
    if highest == 0 and item is None:
        return replace(answer, owner=None, epoch=0, writes=False)  # P24: its home makes the first claim
    return replace(answer, refusal=_refusal(answer, sites, site, named, last, other))


def _may_stay(found: ServiceRecord, here: Word, there: SiteWord | None, other: Word | None) -> bool:
    """The other site has put this record right, or it was certified by an attempt whose end was not heard. A
    site that trusts its store may not have found out yet: what it knows of the service must not be newer."""
    if found.epoch <= here.highest or (other is not None and found.epoch < other.highest):
        return False
    return found.kind == CERTIFIED or (there is not None and there.trusted)


def _last_owner(
    found: ServiceRecord | None, revision: int, here: Word, other: Word | None
) -> tuple[str | None, int]:
    """Whoever was the owner by the newest record that anybody has: revisions of one history compare, and a
    restored store's are of it."""
    words = [word for word in (here, other) if word is not None and word.known]
    if found is not None:
        words.append(Word(service="", known=True, owner=found.primary, epoch=found.epoch, revision=revision))
    if not words:
        return None, 0
    last = max(words, key=lambda word: (word.epoch, word.revision))
    return last.owner, last.epoch


def _refusal(
    answer: Proposal,
    sites: tuple[str, str],
    site: str,
    named: str | None,
    last: str | None,
    other: Word | None,
) -> Refuse | None:
    service, owner = answer.service, answer.owner
    peer = next(name for name in sites if name != site)
    if named is not None and named not in sites:
        return Refuse("unknown-site", f"{service} runs at {sites[0]} or {sites[1]}, not at {named}")
    if not answer.writes:
        if named is not None and named != owner:
            return Refuse(
                "owner-certified", f"{service}: {owner or 'nobody'} stands in the store by certificate"
            )
        return None
    if other is not None and other.glass:
        # P31: it would end there though the disk there does not say so, and come back with its host.
        return Refuse(
            "glass-broken-there", f"{service} is served at {peer} by a certificate: accept there first"
        )
    if owner is None:
        return Refuse("owner-unknown", f"{service}: nobody who answers knows its owner; name it")
    serving = [
        name for name, word in ((site, answer.here), (peer, other)) if word is not None and word.serves
    ]
    if any(name != owner for name in serving):
        told = " and ".join(serving)
        return Refuse("owner-serves", f"{service} may be open at {told} now, and {owner} would be the owner")
    # What is the other one's, and open here nevertheless, is so by a certificate (P31), which decides.
    if owner == site and last == peer and not answer.here.serves:
        return Refuse("not-the-last-owner", f"{service}: {peer} was its last owner that is known here")
    return None


def certification(
    ask: AcceptStore,
    writer: Writer,
    *,
    found: Mapping[str, KeyValue],
    keys: Mapping[str, KeyValue],
    last: Mapping[str, KeySeen],
) -> tuple[tuple[Compare, ...], tuple[Put, ...]]:
    """The transaction. `found`: `services/` as they stand, by name; `keys`: `sites/`, by name; `last`: what
    this site last knew, by key.

    P12: it compares the writer's own key as well; every record must still be the one that was shown.
    """
    compares = [_still(SITES + writer.site, keys.get(writer.site))]
    puts: list[Put] = []
    for each in ask.owners:
        base = _newest(found.get(each.service), last.get(SERVICES + each.service))
        compares.append(Compare(SERVICES + each.service, each.found_revision))
        puts.append(Put(SERVICES + each.service, encode(_record(ask, each, writer.site, base))))
    own = _own_key(_site_in(keys.get(writer.site)), writer)
    if own is not None:
        puts.append(Put(SITES + writer.site, encode(own)))
    # Also where it trusts its store: it may not have found out yet. If it has accepted, and lives, its next
    # renewal takes the mark away again.
    peer = _peer_key(keys.get(writer.peer), last.get(SITES + writer.peer), writer)
    if peer is not None:
        compares.append(_still(SITES + writer.peer, keys.get(writer.peer)))
        puts.append(Put(SITES + writer.peer, encode(peer)))
    return tuple(compares), tuple(puts)


def _still(key: str, item: KeyValue | None) -> Compare:
    return Compare(key, item.mod_revision if item is not None else 0)


def _newest(found: KeyValue | None, last: KeySeen | None) -> ServiceRecord | None:
    stored, known = found_in(found), record_in(last)
    if stored is None or known is None:
        return known or stored
    return known if known.epoch >= stored.epoch else stored


def _record(ask: AcceptStore, each: Certified, site: str, base: ServiceRecord | None) -> ServiceRecord:
    return ServiceRecord(
        primary=each.owner,
        epoch=each.epoch,
        mode=Mode.MANUAL,
        movement=Movement.STEADY,
        writer=f"{site}/{ask.certificate}",
        kind=CERTIFIED,
        previous=base.primary if base is not None else None,
        since=ask.at,
        who=ask.who,
        why=f"{ask.why} (certificate {ask.certificate})",
        pause=base.pause if base is not None else None,
        last_move=base.last_move if base is not None else None,
    )


def _own_key(stored: SiteRecord | None, writer: Writer) -> SiteRecord | None:
    """The own key saying what is so of hold; None where it does. A mark that this site did not mean is taken
    away only when no guard here may still go by it (P21): this is no beat, and the other site does not begin
    to wait by it as it would by a renewal without the mark (P30)."""
    if stored is None:
        return _held(writer, writer.incarnation) if writer.holds else None
    if stored.hold is writer.holds or (stored.hold and not writer.hold_is_over):
        return None
    return replace(stored, hold=writer.holds)


def _peer_key(item: KeyValue | None, last: KeySeen | None, writer: Writer) -> SiteRecord | None:
    """The other site's key as it was last known, marked as holding; None where it stands so. It is the key
    by which that site is promised that nothing is taken from it (P15), as long as it has not accepted."""
    stored = _site_in(item)
    known = _decoded(last.value.encode()) if last is not None and last.value else None
    newest = stored
    if known is not None and (stored is None or _age(known) >= _age(stored)):
        newest = known
    marked = replace(newest, hold=True) if newest is not None else _held(writer, 0)
    return None if marked == stored else marked


def _held(writer: Writer, incarnation: int) -> SiteRecord:
    """A key that comes back where there is none, only to say that its site holds: a lease is its own keeper's
    to take."""
    return SiteRecord(
        incarnation=incarnation, beat=0, keeper="", lease_duration_ns=writer.lease_duration_ns, hold=True
    )


def _age(record: SiteRecord) -> tuple[int, int]:
    return record.incarnation, record.beat


def _site_in(item: KeyValue | None) -> SiteRecord | None:
    return _decoded(item.value) if item is not None else None


def _decoded(value: bytes) -> SiteRecord | None:
    try:
        return decode(SiteRecord, value)
    except RecordUnreadable:
        return None
