"""What `twinsite certs show --json` prints."""

from pydantic import BaseModel, ConfigDict


class CertificateStatus(BaseModel):
    """One certificate. `state` is a word of `upkeep.State`; what cannot be read is None. `days_left` is
    negative when it has run out."""

    model_config = ConfigDict(frozen=True)

    identity: str
    site: str | None
    file: str
    state: str
    not_after: str | None
    days_left: float | None
    issuer_ok: bool | None
    key_here: bool
    finding: str


class CertificateList(BaseModel):
    """All of them: the authority first, then what the estate needs, then the operators."""

    model_config = ConfigDict(frozen=True)

    certificates: list[CertificateStatus]
