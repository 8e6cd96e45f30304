"""What the local API answers and takes about the store itself (P33): the shapes behind `twinsite store`.

GET  /v1/store             StoreState
POST /v1/store/plan        StorePlanRequest -> StorePlan       (changes nothing)
POST /v1/store/accept      StoreOrder -> Acted
"""

from orchestrator.api.shapes import CertificateStatus, Refusal, Shape


class MemberState(Shape):
    """One member of the store. What is None is unknown."""

    endpoint: str
    reachable: bool
    leader: bool | None
    version: str
    revision: int | None
    database_bytes: int | None
    quota_bytes: int | None
    cluster_id: str
    problem: str


class StoreDoubt(Shape):
    """Why the store is not trusted, and what was found in place of the one that was known."""

    code: str
    message: str
    cluster_id: str
    revision: int
    at: str


class StoreAcceptance(Shape):
    """A person's word by which a store was accepted."""

    certificate: str
    cluster_id: str
    revision: int
    who: str
    reason: str
    at: str


class OwnerKnown(Shape):
    """What one site last knew of a service. `epoch` is that of `owner`, `highest_epoch` of anything ever
    heard of; `serves`: it may be open there now."""

    known: bool
    owner: str | None
    epoch: int
    highest_epoch: int
    serves: bool


class ServiceOwners(Shape):
    """One service: what stands in the store, and what either site last knew. `there` None: not heard."""

    service: str
    in_store: bool
    store_owner: str | None
    store_epoch: int | None
    here: OwnerKnown
    there: OwnerKnown | None


class StoreState(Shape):
    """Everything `twinsite store status` shows. `known_*`: of the store this site goes by."""

    site: str
    trusted: bool | None
    doubt: StoreDoubt | None
    known_cluster_id: str
    known_revision: int
    members: list[MemberState]
    last_accepted: StoreAcceptance | None
    disk_problem: str
    peer: str
    peer_trusts: bool | None
    peer_problem: str
    services: list[ServiceOwners]
    problem: str


class StorePlanRequest(Shape):
    """What is to be certified. `owners`: those that are named, by service."""

    owners: dict[str, str] = {}
    reason: str


class ServiceCertified(Shape):
    """One service as it would be certified. `writes` False: what stands in the store stays."""

    service: str
    owner: str | None
    epoch: int
    writes: bool
    notes: list[str]
    refusal: Refusal | None


class StorePlan(Shape):
    """What would be accepted and certified. `certificate` None: it would be refused."""

    site: str
    confirm_site: str
    cluster_id: str
    revision: int
    state: StoreState
    services: list[ServiceCertified]
    refusal: Refusal | None
    certificate: CertificateStatus | None


class StoreOrder(Shape):
    """Accept exactly what a plan showed: the certificate says which one."""

    certificate: str
    confirmed_site: str
    signature: str = ""
