"""`twinsite store`: what is shown, what is asked, and exactly what is ordered."""

import json
from pathlib import Path

import pytest

from orchestrator.api.shapes import Acted, CertificateStatus, Refusal
from orchestrator.api.store_shapes import (
    MemberState,
    OwnerKnown,
    ServiceCertified,
    ServiceOwners,
    StoreAcceptance,
    StoreDoubt,
    StorePlan,
    StoreState,
)
from orchestrator.store.continuity import Break, BreakCode, Seen
from orchestrator.store.seen_file import NAME, SeenFile
from tests.cli.conftest import Command
from tests.cli.fake_controller import FakeController

DOUBT = StoreDoubt(
    code="store-restored",
    message="the store went back in time: it is at revision 90, and was at 120",
    cluster_id="77",
    revision=90,
    at="2026-11-23T03:12:07.000Z",
)


def flat(text: str) -> str:
    """As it was before it was wrapped."""
    return " ".join(text.split())


def owners(service: str, owner: str, epoch: int) -> ServiceOwners:
    known = OwnerKnown(known=True, owner=owner, epoch=epoch, highest_epoch=epoch + 2, serves=True)
    return ServiceOwners(
        service=service,
        in_store=True,
        store_owner="durham",
        store_epoch=1,
        here=known,
        there=OwnerKnown(known=False, owner=None, epoch=0, highest_epoch=0, serves=False),
    )


def state(**given: object) -> StoreState:
    told = {
        "site": "durham",
        "trusted": True,
        "doubt": None,
        "known_cluster_id": "77",
        "known_revision": 120,
        "members": [
            MemberState(
                endpoint="https://127.0.0.1:2379",
                reachable=True,
                leader=True,
                version="3.4.23",
                revision=120,
                database_bytes=1024 * 1024,
                quota_bytes=2 * 1024**3,
                cluster_id="77",
                problem="",
            ),
            MemberState(
                endpoint="https://127.0.0.2:2379",
                reachable=False,
                leader=None,
                version="",
                revision=None,
                database_bytes=None,
                quota_bytes=None,
                cluster_id="",
                problem="no answer in 2 s",
            ),
        ],
        "last_accepted": None,
        "disk_problem": "",
        "peer": "morpeth",
        "peer_trusts": True,
        "peer_problem": "",
        "services": [owners("crm", "morpeth", 3)],
        "problem": "",
    }
    return StoreState.model_validate(told | given)


def draft() -> CertificateStatus:
    return CertificateStatus(
        id="owner-1",
        kind="owner",
        site="durham",
        down="",
        service="",
        epoch=0,
        states=["morpeth owns crm, at epoch 6."],
        means=["Nothing is moved."],
        reason="restored",
        who="ann@durham",
        when="2026-11-23T03:12:07.000Z",
        second_person="",
        needs_second=False,
        needs_signature=False,
        expires_in_seconds=900.0,
        kept_at="/var/lib/twinsite/durham/certificates/owner-1.json",
        body={},
    )


def plan(refusal: Refusal | None = None) -> StorePlan:
    return StorePlan(
        site="durham",
        confirm_site="durham",
        cluster_id="77",
        revision=90,
        state=state(trusted=False, doubt=DOUBT, peer_trusts=None, peer_problem="morpeth did not answer"),
        services=[
            ServiceCertified(
                service="crm",
                owner="morpeth",
                epoch=6,
                writes=True,
                notes=["epoch 5 was seen, and nobody who answers knows whose it was"],
                refusal=refusal,
            )
        ],
        refusal=refusal,
        certificate=None if refusal is not None else draft(),
    )


def test_status_shows_members_identity_and_who_owns_what(durham: FakeController, twinsite: Command) -> None:
    durham.says("GET", "/v1/store", state())
    answer = twinsite("store", "status")
    assert answer.exit_code == 0
    for words in (
        "the one known all along: cluster 77, revision 120",
        "https://127.0.0.1:2379, leads, etcd 3.4.23, revision 120, 1.0 MiB of 2.0 GiB",
        "https://127.0.0.2:2379, DOES NOT COUNT: no answer in 2 s",
        "crm: the store says durham, epoch 1",
        "durham last knew morpeth, epoch 3; epoch 5 was seen; it may be open there now",
        "morpeth last knew nothing",
    ):
        assert words in flat(answer.stdout), answer.stdout


def test_status_of_a_store_in_doubt_says_what_is_known_and_found_and_what_to_do(
    durham: FakeController, twinsite: Command
) -> None:
    durham.says("GET", "/v1/store", state(trusted=False, doubt=DOUBT))
    answer = twinsite("store", "status")
    assert answer.exit_code == 3
    for words in (
        "NOT TRUSTED (store-restored): the store went back in time",
        "known: cluster 77, revision 120",
        "found: cluster 77, revision 90",
        "`twinsite store accept`",
    ):
        assert words in flat(answer.stdout), answer.stdout


def test_status_for_programs_is_the_shape_itself(durham: FakeController, twinsite: Command) -> None:
    accepted = StoreAcceptance(
        certificate="owner-0", cluster_id="77", revision=5, who="ann@durham", reason="r", at=""
    )
    durham.says("GET", "/v1/store", state(last_accepted=accepted))
    told = json.loads(twinsite("store", "status", "--json").stdout)
    assert StoreState.model_validate(told) == state(last_accepted=accepted)


def test_accepting_shows_the_plan_and_orders_exactly_that(durham: FakeController, twinsite: Command) -> None:
    durham.says("POST", "/v1/store/plan", plan())
    durham.says("POST", "/v1/store/accept", Acted(lines=["durham trusts the store from now on (owner-1)"]))
    answer = twinsite("store", "accept", "--owner", "crm=morpeth", "--reason", "restored", "--yes")
    assert answer.exit_code == 0, answer.output
    assert durham.bodies("/v1/store/plan") == [{"owners": {"crm": "morpeth"}, "reason": "restored"}]
    assert durham.bodies("/v1/store/accept") == [
        {"certificate": "owner-1", "confirmed_site": "durham", "signature": ""}
    ]
    for words in (
        "crm: morpeth, at epoch 6",
        "note: epoch 5 was seen",
        "morpeth was not heard: morpeth did not answer",
        "morpeth owns crm, at epoch 6.",
        "Nothing is moved.",
        "durham trusts the store from now on",
    ):
        assert words in flat(answer.stdout), answer.stdout


def test_without_a_yes_and_without_a_terminal_nothing_is_ordered(
    durham: FakeController, twinsite: Command
) -> None:
    durham.says("POST", "/v1/store/plan", plan())
    answer = twinsite("store", "accept", "--reason", "restored")
    assert answer.exit_code == 2
    assert "Add --yes to answer for the site durham" in answer.stderr
    assert durham.bodies("/v1/store/accept") == []


def test_a_plan_that_is_refused_ends_with_its_code_and_nothing_is_ordered(
    durham: FakeController, twinsite: Command
) -> None:
    refusal = Refusal(code="owner-unknown", message="crm: nobody who answers knows its owner; name it")
    durham.says("POST", "/v1/store/plan", plan(refusal))
    answer = twinsite("store", "accept", "--reason", "restored", "--yes")
    assert answer.exit_code == 3
    assert "Refused (owner-unknown)" in answer.stdout
    assert "--owner SERVICE=SITE" in answer.stdout
    assert durham.bodies("/v1/store/accept") == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--yes"], "needs --reason"),
        (["--reason", "x", "--owner", "crm"], "write SERVICE=SITE"),
        (["--reason", "x", "--owner", "crm=durham", "--owner", "crm=morpeth"], "each service once"),
    ],
)
def test_what_is_missing_is_said_before_anybody_is_asked(
    durham: FakeController, twinsite: Command, arguments: list[str], said: str
) -> None:
    answer = twinsite("store", "accept", *arguments)
    assert answer.exit_code == 2
    assert said in answer.stderr
    assert durham.asked == []


def test_the_witness_is_looked_at_in_its_own_memory_for_it_has_no_controller(
    estate: Path, twinsite: Command
) -> None:
    folder = estate.parent / "derwentside"
    folder.mkdir()
    broken = Break(code=BreakCode.RESTORED, message="the store went back in time")
    SeenFile(folder / NAME)._replace(Seen(cluster_id="77", revision=120, broken=broken))
    text = estate.read_text().replace("https://127.0.0.1:2379", "http://127.0.0.1:1")
    estate.write_text(text)
    answer = twinsite("--site", "derwentside", "store", "status")
    assert answer.exit_code == 3, answer.output
    assert "NOT TRUSTED (store-restored)" in flat(answer.stdout)
    assert "known: cluster 77, revision 120" in flat(answer.stdout)
    assert "it cannot be read: store, read services/: no good answer" in flat(answer.stdout)
    owners = twinsite("--site", "derwentside", "store", "accept", "--reason", "x", "--owner", "crm=durham")
    assert owners.exit_code == 2
    assert "The witness certifies no owners" in owners.stderr
