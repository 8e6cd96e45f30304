"""P33: what is proposed to whoever certifies, what is refused, and the transaction that puts all right."""

from dataclasses import replace

import pytest

from orchestrator.core.reasons import REASONS
from orchestrator.core.records import Mode, Movement, ServiceRecord, SiteRecord, decode, encode
from orchestrator.core.restored import (
    AcceptStore,
    Certified,
    Proposal,
    SiteWord,
    Word,
    Writer,
    certification,
    propose,
    word_of,
)
from orchestrator.store.base import Compare, KeyValue
from orchestrator.store.continuity import KeySeen, Seen
from orchestrator.store.table import Table

SITES = ("durham", "morpeth")
S = 10**9


def record(primary: str | None, epoch: int, **given: object) -> ServiceRecord:
    told = ServiceRecord(
        primary=primary, epoch=epoch, mode=Mode.AUTOMATIC, movement=Movement.STEADY, writer="w"
    )
    return replace(told, **given)  # type: ignore[arg-type]


def item(primary: str | None, epoch: int, revision: int, **given: object) -> KeyValue:
    return KeyValue("services/crm", encode(record(primary, epoch, **given)), revision)


def word(owner: str | None, epoch: int, revision: int = 50, **given: object) -> Word:
    told = Word(service="crm", known=True, owner=owner, epoch=epoch, revision=revision, highest=epoch)
    return replace(told, **given)  # type: ignore[arg-type]


NOTHING = Word(service="crm")


def peers(of: Word, *, trusted: bool = False) -> SiteWord:
    return SiteWord(site="morpeth", cluster_id="c", revision=1, trusted=trusted, services=(of,))


def proposed(
    found: KeyValue | None, here: Word, there: SiteWord | None = None, named: str | None = None
) -> Proposal:
    answer = propose("crm", sites=SITES, site="durham", item=found, here=here, there=there, named=named)
    assert answer.refusal is None or answer.refusal.code in REASONS
    return answer


def code(answer: Proposal) -> str:
    return answer.refusal.code if answer.refusal is not None else ""


def test_the_owner_last_known_here_is_proposed_above_every_epoch() -> None:
    answer = proposed(item("durham", 3, 20), word("morpeth", 4))
    assert (answer.owner, answer.epoch, answer.writes, code(answer)) == ("morpeth", 5, True, "")


def test_the_other_site_may_know_better() -> None:
    answer = proposed(item("durham", 3, 20), word("durham", 3), peers(word("morpeth", 6)))
    assert (answer.owner, answer.epoch) == ("morpeth", 7)


def test_a_guard_that_has_seen_more_than_any_record_raises_the_epoch_and_is_told_of() -> None:
    answer = proposed(item("durham", 3, 20), word("durham", 4, highest=9))
    assert (answer.owner, answer.epoch) == ("durham", 10)
    assert any("epoch 9 was seen" in note for note in answer.notes)


def test_of_two_records_of_one_epoch_the_later_one_counts() -> None:
    """Given up and not claimed yet: the epoch is the same, nobody is the owner."""
    answer = proposed(item("durham", 3, 20), word(None, 3, 60))
    assert code(answer) == "owner-unknown"
    assert proposed(item("durham", 3, 20), word(None, 3, 60), None, "durham").owner == "durham"


def test_a_site_that_knows_nothing_goes_by_the_store_and_by_the_other_one() -> None:
    assert proposed(item("morpeth", 3, 20), NOTHING).owner == "morpeth"
    answer = proposed(None, NOTHING, peers(word("morpeth", 6)))
    assert (answer.owner, answer.epoch) == ("morpeth", 7)


def test_a_service_that_nobody_ever_owned_is_left_for_its_home_to_claim() -> None:
    answer = proposed(None, NOTHING, peers(NOTHING))
    assert (answer.owner, answer.writes, code(answer)) == (None, False, "")


def test_a_guard_alone_that_knows_an_epoch_keeps_a_wiped_store_from_a_first_claim() -> None:
    answer = proposed(None, Word(service="crm", highest=4))
    assert (answer.epoch, code(answer)) == (5, "owner-unknown")


def test_a_record_that_cannot_be_read_is_replaced_and_told_of() -> None:
    answer = proposed(KeyValue("services/crm", b"{}", 20), word("durham", 3))
    assert (answer.owner, answer.epoch, answer.found_revision) == ("durham", 4, 20)
    assert any("cannot be read" in note for note in answer.notes)


@pytest.mark.parametrize(
    ("here", "there", "named", "refusal"),
    [
        (word("durham", 3, serves=True), None, "morpeth", "owner-serves"),
        (word("morpeth", 3), peers(word("morpeth", 3, serves=True)), "durham", "owner-serves"),
        (word("durham", 3, serves=True), peers(word("morpeth", 4, serves=True)), None, "owner-serves"),
        (word("morpeth", 3), None, "durham", "not-the-last-owner"),
        (word("morpeth", 3), peers(word("morpeth", 3)), "durham", "not-the-last-owner"),
        (word("morpeth", 3, serves=True), None, None, "owner-serves"),
        (word("morpeth", 3, serves=True), None, "durham", ""),
        (word("morpeth", 3, serves=True), peers(word("morpeth", 3)), "durham", ""),
        (word("morpeth", 3, serves=True), peers(word("morpeth", 3, serves=True)), "durham", "owner-serves"),
        (word("durham", 3), None, "derwentside", "unknown-site"),
        (
            word("durham", 3),
            peers(word("durham", 3, serves=True, glass=True)),
            "morpeth",
            "glass-broken-there",
        ),
        (word("durham", 3), peers(word("durham", 3, serves=True, glass=True)), None, "glass-broken-there"),
        (word("durham", 3, serves=True, glass=True), peers(word("durham", 3)), "durham", ""),
        (word("durham", 3), None, "morpeth", ""),
        (word(None, 3), peers(word(None, 3)), "morpeth", ""),
    ],
)
def test_who_may_be_named(here: Word, there: SiteWord | None, named: str | None, refusal: str) -> None:
    answer = proposed(item("durham", 2, 10), here, there, named)
    assert code(answer) == refusal
    if not refusal:
        assert (answer.owner, answer.epoch) == (named, 4)


def test_what_the_other_site_has_put_right_stays_and_cannot_be_certified_differently() -> None:
    found = item("morpeth", 5, 70, kind="certified")
    trusting = peers(word("morpeth", 5), trusted=True)
    answer = proposed(found, word("durham", 3), trusting)
    assert (answer.owner, answer.epoch, answer.writes, code(answer)) == ("morpeth", 5, False, "")
    assert code(proposed(found, word("durham", 3), trusting, "durham")) == "owner-certified"


def test_glass_that_the_other_site_has_ended_by_accepting_stands_in_nobody_s_way() -> None:
    """P31: its certificate is in the store, and its disk knew of that before."""
    found = item("morpeth", 6, 70, kind="certified")
    ended = peers(word("morpeth", 6, serves=True, glass=True), trusted=True)
    answer = proposed(found, word("durham", 3), ended)
    assert (answer.owner, answer.writes, code(answer)) == ("morpeth", False, "")


def test_what_the_other_site_certified_too_low_is_certified_again_with_its_owner() -> None:
    """It did not hear of the epoch that a guard here has seen."""
    found = item("morpeth", 5, 70, kind="certified")
    answer = proposed(found, word("morpeth", 3, highest=8), peers(word("morpeth", 5), trusted=True))
    assert (answer.owner, answer.epoch, answer.writes) == ("morpeth", 9, True)


def test_a_certificate_whose_end_was_not_heard_stands_when_it_is_found_committed() -> None:
    found = item("durham", 5, 70, kind="certified")
    assert not proposed(found, word("durham", 4)).writes
    assert not proposed(found, word("durham", 4), peers(word("morpeth", 3, highest=5))).writes
    assert proposed(found, word("durham", 4), peers(word("morpeth", 3, highest=6))).writes


def test_a_record_older_than_what_a_site_that_has_not_found_out_yet_knows_is_certified_anew() -> None:
    """It trusts its store because it does not reach it, and has put nothing right."""
    found = item("morpeth", 5, 70)
    assert proposed(found, word("durham", 3), peers(word("morpeth", 6), trusted=True)).writes
    assert not proposed(found, word("durham", 3), peers(word("morpeth", 5), trusted=True)).writes


def test_a_record_that_only_looks_newer_is_no_certificate() -> None:
    """This site was behind when the store was put back: it is certified all the same."""
    answer = proposed(item("morpeth", 5, 70), word("durham", 3))
    assert (answer.owner, answer.epoch, answer.writes) == ("morpeth", 6, True)


def test_a_site_s_word_is_what_it_has_seen() -> None:
    seen = Seen(
        keys={"services/crm": KeySeen(50, encode(record("durham", 4)).decode())}, epochs={"crm": 6, "ebs": 2}
    )
    assert word_of(seen, "crm", serves=True) == word("durham", 4, highest=6, serves=True)
    assert word_of(seen, "ebs", serves=False) == Word(service="ebs", highest=2)
    damaged = Seen(keys={"services/crm": KeySeen(50, "{}")}, epochs={"crm": 6})
    assert word_of(damaged, "crm", serves=False) == Word(service="crm", highest=6)


# --- the transaction -------------------------------------------------------------------------------------


def site_record(incarnation: int, **given: object) -> SiteRecord:
    told = SiteRecord(incarnation=incarnation, beat=7, keeper="k", lease_duration_ns=10 * S)
    return replace(told, **given)  # type: ignore[arg-type]


def site_item(name: str, incarnation: int, revision: int, **given: object) -> KeyValue:
    return KeyValue(f"sites/{name}", encode(site_record(incarnation, **given)), revision)


WRITER = Writer(
    site="durham",
    peer="morpeth",
    incarnation=12,
    lease_duration_ns=10 * S,
    holds=False,
    hold_is_over=True,
)


def asked(*owners: Certified, peer_trusts: bool = False) -> AcceptStore:
    return AcceptStore(
        certificate="owner-1",
        cluster_id="c",
        owners=owners,
        peer_trusts=peer_trusts,
        who="ann@durham",
        why="restored",
        at="2026-11-23T03:00:00.000Z",
    )


CRM = Certified(service="crm", owner="morpeth", epoch=5, found_revision=20)


def written(
    ask: AcceptStore, writer: Writer = WRITER, **given: object
) -> tuple[set[Compare], dict[str, bytes]]:
    told: dict[str, object] = {
        "found": {"crm": item("durham", 3, 20)},
        "keys": {"durham": site_item("durham", 7, 30), "morpeth": site_item("morpeth", 8, 31)},
        "last": {},
    }
    compares, puts = certification(ask, writer, **(told | given))  # type: ignore[arg-type]
    return set(compares), {put.key: put.value for put in puts}


def test_it_compares_every_record_as_shown_and_both_sites_keys() -> None:
    """P12."""
    compares, puts = written(asked(CRM))
    assert compares == {
        Compare("sites/durham", 30),
        Compare("sites/morpeth", 31),
        Compare("services/crm", 20),
    }
    assert set(puts) == {"services/crm", "sites/morpeth"}


def test_a_certified_service_is_steady_manual_and_says_by_whom() -> None:
    """P27: its holder makes it automatic again. No run of the former store goes on."""
    pause = record("durham", 4, movement=Movement.MOVING, run="crm-failover-1", last_move=None)
    last = {"services/crm": KeySeen(90, encode(pause).decode())}
    _, puts = written(asked(CRM), last=last)
    made = decode(ServiceRecord, puts["services/crm"])
    assert (made.primary, made.epoch, made.mode) == ("morpeth", 5, Mode.MANUAL)
    assert (made.movement, made.run, made.kind) == (Movement.STEADY, "", "certified")
    assert "owner-1" in made.why
    assert made.who == "ann@durham"


def test_the_other_site_s_key_holds_until_it_has_accepted_for_itself() -> None:
    """P29: the restored key may have lost the mark, and takeovers wait for nothing but silence."""
    _, puts = written(asked(CRM))
    marked = decode(SiteRecord, puts["sites/morpeth"])
    assert marked == site_record(8, hold=True)
    trusting = decode(SiteRecord, written(asked(CRM, peer_trusts=True))[1]["sites/morpeth"])
    assert trusting == marked, "it may not have found out yet; if it has accepted, it renews over it"
    keys = {"durham": site_item("durham", 7, 30), "morpeth": site_item("morpeth", 8, 31, hold=True)}
    assert "sites/morpeth" not in written(asked(CRM), keys=keys)[1]


def test_the_other_site_s_key_comes_back_as_it_was_last_known_so_that_promises_go_on() -> None:
    """P15: it is promised something by the incarnation that it has now, not by the restored one."""
    last = {"sites/morpeth": KeySeen(90, encode(site_record(9, keeper="newer")).decode())}
    for keys in ({"morpeth": site_item("morpeth", 8, 31)}, {}):
        marked = decode(SiteRecord, written(asked(CRM), keys=keys, last=last)[1]["sites/morpeth"])
        assert marked == site_record(9, keeper="newer", hold=True)
    older = {"sites/morpeth": KeySeen(20, encode(site_record(7)).decode())}
    marked = decode(SiteRecord, written(asked(CRM), last=older)[1]["sites/morpeth"])
    assert marked == site_record(8, hold=True)


def test_a_key_that_was_revoked_when_last_seen_stays_so() -> None:
    """P13: only its own keeper clears that."""
    last = {"sites/morpeth": KeySeen(90, encode(site_record(9, revoked=True)).decode())}
    marked = decode(SiteRecord, written(asked(CRM), last=last)[1]["sites/morpeth"])
    assert (marked.revoked, marked.hold) == (True, True)


def test_a_key_that_is_gone_comes_back_as_one_that_holds_so_that_it_can_be_certified_down() -> None:
    compares, puts = written(asked(CRM), keys={})
    assert {Compare("sites/durham", 0), Compare("sites/morpeth", 0)} <= compares
    made = decode(SiteRecord, puts["sites/morpeth"])
    assert (made.hold, made.keeper, made.lease_duration_ns) == (True, "", 10 * S)
    assert "sites/durham" not in puts, "its keeper takes it"


@pytest.mark.parametrize(
    ("stored", "holds", "hold_is_over", "becomes"),
    [
        (False, False, True, None),
        (False, True, True, True),  # P30: what guards were told on hold must not be outlived
        (True, False, True, False),  # marked by the other site's acceptance, and nobody relies on it
        (True, False, False, None),  # P21, P30: a guard may still go by it
        (True, True, True, None),
    ],
)
def test_one_s_own_key_says_of_hold_what_is_so(
    stored: bool, holds: bool, hold_is_over: bool, becomes: bool | None
) -> None:
    keys = {"durham": site_item("durham", 7, 30, hold=stored), "morpeth": site_item("morpeth", 8, 31)}
    _, puts = written(asked(CRM), replace(WRITER, holds=holds, hold_is_over=hold_is_over), keys=keys)
    own = decode(SiteRecord, puts["sites/durham"]).hold if "sites/durham" in puts else None
    assert own is becomes


def test_a_site_that_holds_says_so_in_a_wiped_store_too() -> None:
    _, puts = written(asked(CRM), replace(WRITER, holds=True), keys={})
    assert decode(SiteRecord, puts["sites/durham"]).incarnation == 12


def test_a_store_that_moved_on_meanwhile_refuses_it() -> None:
    table = Table()
    table.transact([Compare("services/crm", 0)], [], [])
    compares, puts = certification(asked(replace(CRM, found_revision=0)), WRITER, found={}, keys={}, last={})
    assert table.transact(compares, puts, []).succeeded
    assert not table.transact(compares, puts, []).succeeded
