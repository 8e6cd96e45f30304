"""From a certificate that was drawn up to one that may count: a second person's word, and a signature.

Nothing is certified here: the controller puts it on file, or refuses. The private key never leaves this
process.
"""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.api.shapes import CertificateStatus, Refusal
from orchestrator.cli.failures import INTERRUPTED, Failure, refused, wrong
from orchestrator.cli.output import say, wrapped

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

    from orchestrator.api.blocking import Controller

ASK_AGAIN_SECONDS = 1.0


class Signer:
    """An operator's key, read once and asked for its passphrase once. `path` None: there is none."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._key: EllipticCurvePrivateKey | None = None

    def check(self, certificate: CertificateStatus) -> None:
        """Before anything is asked of anybody: what must be signed can be. Ends the command if it cannot."""
        if certificate.needs_signature and self._path is None:
            raise refused(
                Refusal(code="signature-missing", message=f"{certificate.id} must be signed, with --key FILE")
            )
        if certificate.needs_signature:
            self._loaded()

    def signature(self, certificate: CertificateStatus) -> str:
        """The signature, or "" where none is asked for."""
        if not certificate.needs_signature:
            return ""
        from orchestrator.signing import signed

        return signed(certificate.body, self._loaded())

    def key(self) -> "EllipticCurvePrivateKey":
        """The key, its passphrase asked for if need be. There is one."""
        return self._loaded()

    def _loaded(self) -> "EllipticCurvePrivateKey":
        from orchestrator.signing import PassphraseNeeded, signing_key

        assert self._path is not None
        if self._key is None:
            try:
                self._key = signing_key(self._path)
            except PassphraseNeeded:
                self._key = signing_key(self._path, self._passphrase())
        return self._key

    def _passphrase(self) -> str:
        if not sys.stdin.isatty():
            raise wrong(f"{self._path}: asks for its passphrase, and there is no terminal to type it on")
        typed: str = click.prompt(f"Passphrase of {self._path}", hide_input=True, default="")
        return typed


def agreed(asked: "Controller", drafts: list[CertificateStatus]) -> dict[str, CertificateStatus]:
    """The certificates by id as they are once a second person has agreed to all that need one. Ends the
    command when that takes too long, or on Ctrl-C."""
    found = {each.id: each for each in drafts}
    waiting = [each.id for each in drafts if each.needs_second and not each.second_person]
    if not waiting:
        return found
    try:
        say(["", *wrapped("A second person must agree, from their own login, within 15 minutes:")])
        say([f"  twinsite certify approve {' '.join(waiting)}"])
        while waiting:
            time.sleep(ASK_AGAIN_SECONDS)
            for name in list(waiting):
                found[name] = asked.certificate(name)
                if found[name].second_person:
                    say(wrapped(f"{found[name].second_person} has agreed to {name}."))
                    waiting.remove(name)
                elif found[name].expires_in_seconds == 0:
                    raise refused(
                        Refusal(code="second-person-missing", message=f"nobody has agreed to {name} in time")
                    )
    except KeyboardInterrupt as stop:
        raise Failure("\nNothing was done: it counts only when this command goes on.", INTERRUPTED) from stop
    return found
