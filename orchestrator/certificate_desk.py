"""Where certificates are made: drafted and shown, agreed to by a second person, signed, and put on file.

On file is before the deed, always: in the journal, and as a file of its own. What cannot be put on file is
refused. Nothing is carried out here.
"""

import asyncio
import os
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from orchestrator.api.shapes import CertificateStatus
from orchestrator.cabinet import Cabinet
from orchestrator.certified import Certificate, CertificateKind
from orchestrator.clock import boottime_ns
from orchestrator.journal import SqliteJournal
from orchestrator.refusing import OrderRefused
from runbooks.errors import RunbooksError
from sites.model import Access

log = structlog.get_logger(__name__)

APPROVAL_SECONDS = 15 * 60.0
DRAFTS_KEPT = 50
CERTIFICATE_EVENT = "certificate"
APPROVED_EVENT = "certificate-approved"


@dataclass(slots=True)
class Draft:
    """A certificate that nobody has used yet. `means`: what it means, for whoever is about to put a name to
    it. `made_at_ns`: CLOCK_BOOTTIME. `asked_for`: somebody waits for it, and did not only look at a plan."""

    certificate: Certificate
    means: tuple[str, ...]
    made_at_ns: int
    asked_for: bool = False


def login_of(who: str) -> str:
    """The person behind `login@site`: the same login at another site is no second person."""
    return who.partition("@")[0]


class CertificateDesk:
    """The drafts of one controller, and its way to the files."""

    def __init__(
        self,
        site: str,
        journal: SqliteJournal,
        cabinet: Cabinet,
        access: Access,
        base: Path,
        now_ns: Callable[[], int] = boottime_ns,
    ) -> None:
        """`base`: where relative paths of public keys start."""
        self.cabinet = cabinet
        self._site = site
        self._journal = journal
        self._access = access
        self._base = base
        self._now_ns = now_ns
        self._drafts: OrderedDict[str, Draft] = OrderedDict()

    # --- drafts --------------------------------------------------------------------------------------

    def draft(self, certificate: Certificate, means: tuple[str, ...] = ()) -> CertificateStatus:
        """Keep a draft for as long as it may be used, and say what it needs."""
        self._drafts[certificate.id] = Draft(certificate, means, self._now_ns())
        while len(self._drafts) > DRAFTS_KEPT:
            self._drafts.popitem(last=False)
        return self.status(certificate.id)

    def needs_second(self, kind: CertificateKind) -> bool:
        """Whether the estate asks for a second person."""
        approvals = self._access.approvals
        return (
            approvals.certify_down if kind is CertificateKind.DOWN else approvals.break_glass
        ).second_person

    @property
    def needs_signature(self) -> bool:
        """Whether the estate names operators who sign."""
        return bool(self._access.operators)

    def unreadable_keys(self) -> list[str]:
        """Public keys that cannot be read here, in words: what their operators sign would be refused."""
        return [
            f"access.operators.{name}: {path} cannot be read here, so what {name} signs would be refused"
            for name, path in self._access.operators.items()
            if not os.access(self._base / path, os.R_OK)
        ]

    def waiting(self) -> list[CertificateStatus]:
        """Drafts for which somebody waits for a second person now, newest first."""
        open_ = [
            name for name, draft in self._drafts.items() if draft.asked_for and self._left_seconds(name) > 0
        ]
        found = [self.status(name) for name in reversed(open_)]
        return [each for each in found if each.needs_second and not each.second_person]

    def asked_for(self, name: str) -> CertificateStatus:
        """As `status`, for somebody who asks for it by its name. Raises OrderRefused."""
        if name in self._drafts:
            self._drafts[name].asked_for = True
        return self.status(name)

    def status(self, name: str) -> CertificateStatus:
        """A draft, or a certificate on file. Raises OrderRefused."""
        draft = self._drafts.get(name)
        if draft is not None:
            left_seconds = self._left_seconds(name)
            return self._shown(draft.certificate, draft.means, expires_in_seconds=left_seconds)
        kept = self.cabinet.read(name)
        if kept is None:
            raise OrderRefused("certificate-unknown", f"no certificate {name!r} is known at {self._site}")
        return self._shown(kept, (), expires_in_seconds=None)

    def _shown(
        self, of: Certificate, means: tuple[str, ...], *, expires_in_seconds: float | None
    ) -> CertificateStatus:
        return CertificateStatus(
            id=of.id,
            kind=of.kind.value,
            site=of.site,
            down=of.down,
            service=of.service,
            epoch=of.epoch,
            states=list(of.states),
            means=list(means),
            reason=of.reason,
            who=of.who,
            when=of.when,
            second_person=of.second_person,
            needs_second=self.needs_second(of.kind),
            needs_signature=self.needs_signature,
            expires_in_seconds=expires_in_seconds,
            kept_at=str(self.cabinet.place(of.id)),
            body=of.body,
        )

    def _left_seconds(self, name: str) -> float:
        passed_seconds = (self._now_ns() - self._drafts[name].made_at_ns) / 1e9
        return max(0.0, APPROVAL_SECONDS - passed_seconds)

    def _draft(self, name: str) -> Draft:
        draft = self._drafts.get(name)
        if draft is None:
            raise OrderRefused("certificate-unknown", f"no certificate {name!r} waits at {self._site}")
        if self._left_seconds(name) <= 0:
            raise OrderRefused(
                "certificate-expired",
                f"{name} was drawn up more than {APPROVAL_SECONDS / 60:.0f} min ago, and what it states may "
                "not be so any more",
            )
        return draft

    # --- a second person -----------------------------------------------------------------------------

    async def approve(self, name: str, confirmed_site: str, who: str) -> CertificateStatus:
        """A second person agrees. Raises OrderRefused."""
        draft = self._draft(name)
        found = draft.certificate
        if not self.needs_second(found.kind):
            raise OrderRefused("nothing-to-approve", f"{name} needs no second person here")
        if login_of(who) == login_of(found.who):
            raise OrderRefused(
                "second-person-same", f"{name} was drawn up by {found.who}: the second person is another one"
            )
        named = found.down or found.site  # who owns what (P33) is certified of no site that is off
        if confirmed_site != named:
            raise OrderRefused(
                "not-confirmed", f"typed {confirmed_site!r}, expected {named!r}; nothing was done"
            )
        if found.second_person:
            return self.status(name)
        agreed = replace(found, second_person=who)
        await self._journaled(APPROVED_EVENT, agreed)
        draft.certificate = agreed
        log.warning("certificate-approved", certificate=name, by=who)
        return self.status(name)

    # --- the end of a draft --------------------------------------------------------------------------

    async def put_on_file(self, name: str, who: str, signature: str) -> Certificate:
        """Check everything a certificate needs, and put it on file; it counts from then on, once.

        Raises OrderRefused; then nothing is on file.
        """
        found = self._draft(name).certificate
        if who != found.who:
            raise OrderRefused("certificate-of-another", f"{name} was drawn up by {found.who}, not by {who}")
        if self.needs_second(found.kind) and not found.second_person:
            raise OrderRefused(
                "second-person-missing",
                f"nobody has agreed to {name} yet: `twinsite certify approve {name}`, by another person",
            )
        signer = self._signer(found, signature)
        final = replace(found, signature=signature if signer else "")
        try:
            await asyncio.to_thread(self.cabinet.keep, final)
        except (OSError, ValueError) as fault:
            told = (fault.strerror if isinstance(fault, OSError) else None) or str(fault)
            raise OrderRefused(
                "not-on-file", f"{self.cabinet.place(name)}: {told}; nothing was done"
            ) from fault
        try:
            await self._journaled(CERTIFICATE_EVENT, final, signer=signer)
        except OrderRefused:
            await asyncio.to_thread(self.cabinet.withdraw, name)
            raise
        self._drafts.pop(name, None)
        log.warning("certified", certificate=name, kind=str(final.kind), down=final.down, by=who)
        return final

    def _signer(self, found: Certificate, signature: str) -> str:
        """The operator who signed; "" where nobody has to."""
        if not self.needs_signature:
            return ""
        if not signature:
            raise OrderRefused(
                "signature-missing",
                f"{found.id} must be signed by one of: {', '.join(self._access.operators)}",
            )
        from orchestrator.signing import signer_of

        keys = [(name, self._base / path) for name, path in self._access.operators.items()]
        signer = signer_of(found.body, signature, keys)
        if signer is None:
            raise OrderRefused(
                "signature-unknown",
                f"the signature of {found.id} was made by nobody known here; known are: "
                f"{', '.join(self._access.operators)}",
                [f"{path}: cannot be read" for _, path in keys if not path.is_file()],
            )
        return signer

    async def _journaled(self, kind: str, certificate: Certificate, **more: str) -> None:
        data: Mapping[str, object] = {"certificate": certificate.body, **more}
        try:
            await self._journal.append_event(kind, certificate.service, data)
        except RunbooksError as fault:
            raise OrderRefused("not-on-file", f"{fault}; nothing was done") from fault
