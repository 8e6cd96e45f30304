"""The witness's own memory of the store: looked at, and told by a person that another one counts (P33).

The witness owns nothing, certifies nothing and has no controller to ask. So the command reads its file and
asks the store itself; and it leaves a person's word beside that file, which the witness takes up.
"""

import asyncio
import getpass
import json
import secrets
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import structlog

from orchestrator.api.store_shapes import MemberState, ServiceOwners, StoreAcceptance, StoreDoubt, StoreState
from orchestrator.api.store_words import owner_known
from orchestrator.assembly import load_ground, open_store
from orchestrator.clock import wall_text
from orchestrator.core.records import SERVICES
from orchestrator.core.restored import Word, found_in, word_of
from orchestrator.errors import OrchestratorTrouble
from orchestrator.store.base import KeyValue, StoreError
from orchestrator.store.continuity import Acceptance, Seen
from orchestrator.store.etcd import EtcdStore
from orchestrator.store.known import KnownStore
from orchestrator.store.seen_file import NAME, SeenFile, seen_in
from sites.model import Estate

log = structlog.get_logger(__name__)

ACCEPTED_NAME = "store-accepted.json"
LOOK_SECONDS = 5.0
LOOK_EVERY_SECONDS = 1.0


class AcceptanceNotKept(OrchestratorTrouble):
    """The witness could not be told."""


def witness_state(estate_path: Path, site: str) -> StoreState:
    """What the witness knows of the store, and what the store says now. Raises EstateInvalid, StoreMisuse."""
    ground = load_ground(estate_path, site)
    seen = seen_in(SeenFile(ground.directory / NAME))
    return asyncio.run(_state(ground.estate, site, seen, open_store(ground)))


async def _state(estate: Estate, site: str, seen: Seen, store: EtcdStore) -> StoreState:
    items: dict[str, KeyValue] = {}
    cluster_id, revision, problem = "", 0, ""
    try:
        members = (await store.status(timeout_seconds=LOOK_SECONDS)).members
        try:
            snapshot = await store.read(SERVICES, timeout_seconds=LOOK_SECONDS)
            items = {item.key.removeprefix(SERVICES): item for item in snapshot.items}
            cluster_id, revision = snapshot.cluster_id, snapshot.revision
        except StoreError as fault:
            problem = str(fault)
    finally:
        await store.aclose()
    doubt = seen.broken
    return StoreState(
        site=site,
        trusted=doubt is None,
        doubt=StoreDoubt(
            code=doubt.code,
            message=doubt.message,
            cluster_id=cluster_id or doubt.cluster_id,
            revision=revision or doubt.revision,
            at=doubt.at,
        )
        if doubt is not None
        else None,
        known_cluster_id=seen.cluster_id,
        known_revision=seen.revision,
        members=[MemberState.model_validate(member, from_attributes=True) for member in members],
        last_accepted=StoreAcceptance.model_validate(seen.accepted[-1], from_attributes=True)
        if seen.accepted
        else None,
        disk_problem="",
        peer="",
        peer_trusts=None,
        peer_problem="",
        services=[
            _owners(name, items.get(name), word_of(seen, name, serves=False))
            for name, service in estate.services.items()
            if not service.watch_only
        ],
        problem=problem,
    )


def _owners(name: str, item: KeyValue | None, here: Word) -> ServiceOwners:
    record = found_in(item)
    return ServiceOwners(
        service=name,
        in_store=item is not None,
        store_owner=record.primary if record is not None else None,
        store_epoch=record.epoch if record is not None else None,
        here=owner_known(here),
        there=None,
    )


def accept_at_witness(estate_path: Path, site: str, found: StoreState, reason: str) -> str:
    """Leave a person's word for the witness; what was done, in words. Raises AcceptanceNotKept."""
    if found.doubt is None:
        return f"{site} trusts its store; there is nothing to accept."
    directory = load_ground(estate_path, site).directory
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    acceptance = Acceptance(
        certificate=f"witness-{stamp}-{secrets.token_hex(3)}",
        cluster_id=found.doubt.cluster_id,
        revision=found.doubt.revision,
        who=f"{getpass.getuser()}@{site}",
        reason=reason,
        at=wall_text(),
    )
    place = directory / ACCEPTED_NAME
    fresh = place.with_suffix(".new")
    try:
        fresh.write_text(json.dumps(asdict(acceptance)), encoding="utf-8")
        fresh.replace(place)
    except OSError as fault:
        raise AcceptanceNotKept(f"{place}: {fault.strerror}; nothing was done") from fault
    return (
        f"{site} takes cluster {acceptance.cluster_id} for its store from now on, or when its witness is "
        f"started ({acceptance.certificate})."
    )


async def take_acceptances(store: KnownStore, directory: Path) -> None:
    """In the witness: look for a person's word while the store is not trusted, until cancelled."""
    place = directory / ACCEPTED_NAME
    while True:
        if store.broken is not None and place.exists():
            await _take(store, place)
        await asyncio.sleep(LOOK_EVERY_SECONDS)


async def _take(store: KnownStore, place: Path) -> None:
    try:
        said = await asyncio.to_thread(place.read_text, encoding="utf-8")
        acceptance = Acceptance(**json.loads(said))
        found = await store.look(SERVICES, timeout_seconds=LOOK_SECONDS)
        if found.cluster_id != acceptance.cluster_id:
            log.error("acceptance-of-another", accepted=acceptance.cluster_id, found=found.cluster_id)
        else:
            await store.accept(acceptance, found.items)
        await asyncio.to_thread(place.unlink)
    except StoreError as fault:
        log.warning("store-not-accepted-yet", problem=str(fault))
    except (OSError, ValueError, TypeError) as fault:
        log.error("acceptance-not-taken", path=str(place), problem=str(fault))
