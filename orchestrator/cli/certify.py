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
@click.option(
    "--offline",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Ask no controller: write a break-glass certificate there, for `twinsite emergency` or a guard.",
)
@click.option("--service", type=SERVICE, metavar="NAME", help="With --offline: the service that it opens.")
@click.option(
    "--epoch",
    type=click.IntRange(1),
    metavar="N",
    help="With --offline: above every epoch that the service has had.",
)
@click.option(
    "--second-person",
    metavar="NAME",
    default="",
    help="With --offline: who agreed, where the estate asks for a second person.",
)
@click.option("--yes", is_flag=True, help=_YES)
@pass_settings
def certify(
    settings: Settings,
    words: tuple[str, ...],
    down: bool,
    reason: str,
    accept_broken_glass: bool,
    key: Path | None,
    offline: Path | None,
    service: str | None,
    epoch: int | None,
    second_person: str,
    yes: bool,
) -> None:
    """Certify that the other site is off; or agree to a certificate.

    A site whose lease was broken, or that starts cold, opens nothing before the other one has said that no
    glass was broken there. When the other one is gone, a person says it in its place: certify SITE --down.
    If that is not true, two sites have accepted writes, and one side's are lost.

    Where the estate asks for a second person (access.approvals), whoever ordered it waits, and somebody else
    agrees from their own login: certify approve ID.

    When no controller is left at all, --offline FILE makes the certificate that `twinsite emergency` and the
    guard of SERVICE's other site need, wherever the operator's key is. It is asked of nobody.

    \b
    Examples:
      twinsite certify morpeth --down --reason "the building is without power, seen by J. Bell"
      twinsite certify morpeth --down --service ebs --epoch 6 --offline ebs.json \\
          --key operator-jo.key --reason "both controller hosts are lost, Morpeth is under water"
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
    if offline is not None:
        if service is None or epoch is None or accept_broken_glass:
            raise wrong("--offline needs --service and --epoch, and goes without --accept-broken-glass")
        _certify_offline(settings, words[0], service, epoch, reason, key, offline, second_person, yes=yes)
        return
    if service is not None or epoch is not None or second_person:
        raise wrong("--service, --epoch and --second-person belong to --offline FILE")
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


def _certify_offline(
    settings: Settings,
    down: str,
    service: str,
    epoch: int,
    reason: str,
    key: Path | None,
    file: Path,
    second_person: str,
    *,
    yes: bool,
) -> None:
    import getpass
    import os
    import socket

    from orchestrator.cli.certifying import Signer
    from orchestrator.cli.connect import estate_for_asking, site_in
    from orchestrator.cli.moving import confirm
    from orchestrator.cli.output import heading, wrapped
    from orchestrator.emergency.certificate import made, signed_with

    estate, _ = estate_for_asking(settings)
    if service not in estate.services:
        raise wrong(f"There is no service {service!r}; there are: {', '.join(estate.services)}")
    if site_in(estate, down) not in estate.services[service].sites:
        raise wrong(
            f"{service} is not at {down}; its sites are {' and '.join(estate.services[service].sites)}"
        )
    if file.exists():
        raise wrong(f"{file}: is there already; name a new file")
    here = estate.services[service].peer_of(down)
    who = f"{getpass.getuser()}@{socket.gethostname()}"
    if estate.access.approvals.break_glass.second_person and second_person.strip() in ("", who):
        raise wrong("The estate asks for a second person: say who agreed with --second-person NAME")
    draft = made(
        estate,
        service=service,
        site=here,
        down=down,
        epoch=epoch,
        reason=reason,
        who=who,
        second_person=second_person,
    )
    say([heading(f"BROKEN GLASS: you certify ({draft.id})")])
    for state in draft.states:
        say(wrapped(f"- {state}", first="  ", then="    "))
    say(wrapped(f"Reason: {reason}", first="  ", then="    "))
    say(["", heading("What that means")])
    means = (
        f"{service} may be opened at {here} on your word alone. Nothing else keeps {down} from accepting "
        "writes too: if it is not off, both sites write, and one side's are thrown away."
    )
    say(wrapped(means, first="  ", then="  "))
    signer = Signer(key)
    if estate.access.operators and key is None:
        raise wrong("The estate names operators: sign with --key FILE, the private key of one of them")
    certificate = signed_with(draft, signer.key()) if key is not None else draft
    confirm(down, yes=yes, what="certificate")
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "w", encoding="ascii") as written:
        written.write(certificate.text())
    say(wrapped(f"{file}: written. Use it with `twinsite emergency RUNBOOK … --certificate {file}`."))


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
