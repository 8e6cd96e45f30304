"""Verbs of last resort: certify the other site, agree to a certificate, reconcile what a certificate opened.

Each shows what is stated and what it means, and asks for a site's name. What may be is the controller's to
say.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.cli.connect import controller
from orchestrator.cli.failures import wrong
from orchestrator.cli.options import SERVICE, SITE, Settings, pass_settings, reason_option
from orchestrator.cli.output import say

if TYPE_CHECKING:
    from orchestrator.api.blocking import Controller

APPROVE = "approve"
_KEY = click.option(
    "--key",
    "key",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="TWINSITE_OPERATOR_KEY",
    metavar="FILE",
    help="Your private key, where certificates must be signed; its passphrase is asked for.",
)
_YES = "Answer the question about the site's name."


@click.command()
@click.argument("words", nargs=-1, required=True, type=SITE, metavar="SITE | approve ID...")
@click.option("--down", is_flag=True, help="What is certified: SITE is off and has broken no glass. Needed.")
@reason_option("How you know; kept on file. Needed with --down.")
@click.option(
    "--accept-broken-glass",
    is_flag=True,
    help="Go on though SITE broke the glass before it was lost: what it accepted since is given up.",
)
@_KEY
@click.option("--yes", is_flag=True, help=_YES)
@pass_settings
def certify(
    settings: Settings,
    words: tuple[str, ...],
    down: bool,
    reason: str,
    accept_broken_glass: bool,
    key: Path | None,
    yes: bool,
) -> None:
    """Certify that the other site is off; or agree to a certificate.

    A site whose lease was broken, or that starts cold, opens nothing before the other one has said that no
    glass was broken there. When the other one is gone, a person says it in its place: certify SITE --down.
    If that is not true, two sites have accepted writes, and one side's are lost.

    Where the estate asks for a second person (access.approvals), whoever ordered it waits, and somebody else
    agrees from their own login: certify approve ID.

    \b
    Examples:
      twinsite certify morpeth --down --reason "the building is without power, seen by J. Bell"
      twinsite certify approve break-glass-20261123-031207-5f0c21
    """
    if words[0] == APPROVE:
        if down or reason or accept_broken_glass or len(words) == 1:
            raise wrong("Say whose certificates: twinsite certify approve ID...")
        with controller(settings) as asked:
            _approve(asked, words[1:], yes=yes)
        return
    if len(words) != 1:
        raise wrong("Say one SITE, or: approve ID...")
    if not down:
        raise wrong(f"Say what is certified: twinsite certify {words[0]} --down --reason …")
    if not reason:
        raise wrong("certify needs --reason: how do you know that the site is off? It is kept on file.")
    with controller(settings, rather_not=words[0]) as asked:
        _certify_peer(asked, words[0], reason, accept_broken_glass, key, yes=yes)


def _approve(asked: "Controller", names: tuple[str, ...], *, yes: bool) -> None:
    from orchestrator.api.shapes import ApproveOrder
    from orchestrator.cli.certificate_views import certificate
    from orchestrator.cli.moving import confirm

    found = [asked.certificate(name) for name in names]
    for each in found:
        title = f"{each.who} certifies, and asks you to agree ({each.id})"
        say([*certificate(each, title=title), ""])
    for site in dict.fromkeys(each.down or each.site for each in found):
        confirm(site, yes=yes, what="agreement")
    for each in found:
        asked.approve(each.id, ApproveOrder(confirmed_site=each.down or each.site))
        say([f"You have agreed to {each.id}; {each.who} goes on."])


def _certify_peer(
    asked: "Controller", site: str, reason: str, accept_broken_glass: bool, key: Path | None, *, yes: bool
) -> None:
    from orchestrator.api.shapes import CertificateOrder, CertifyRequest
    from orchestrator.cli.certificate_views import certificate
    from orchestrator.cli.certifying import Signer, agreed
    from orchestrator.cli.moving import confirm

    request = CertifyRequest(site=site, reason=reason, accept_broken_glass=accept_broken_glass)
    draft = asked.certify(request)
    say(certificate(draft))
    signer = Signer(key)
    signer.check(draft)
    confirm(draft.down, yes=yes, what="certificate")
    final = agreed(asked, [draft])[draft.id]
    order = CertificateOrder(confirmed_site=final.down, signature=signer.signature(final))
    say(asked.use(final.id, order).lines)


@click.command()
@click.argument("service", type=SERVICE)
@reason_option("Why now; kept on file. Needed.")
@pass_settings
def reconcile(settings: Settings, service: str, reason: str) -> None:
    """Write to the store what a certificate made so.

    For a service that was opened by broken glass, once the store answers again. The other site must be off,
    or seen to be closed. From then on the store says again who owns the service; the other side becomes its
    standby by itself, and what only it had accepted is saved there first.

    \b
    Example:
      twinsite reconcile ebs --reason "the store is back, Morpeth starts again"
    """
    from orchestrator.api.shapes import ReconcileRequest
    from orchestrator.cli.output import wrapped

    if not reason:
        raise wrong("reconcile needs --reason: it is kept on file.")
    with controller(settings) as asked:
        lines = asked.reconcile(ReconcileRequest(service=service, reason=reason)).lines
    say(part for line in lines for part in wrapped(line))


COMMANDS: tuple[click.Command, ...] = (certify, reconcile)
KEY_OPTION = _KEY
