"""Verbs about the store itself: how it is, and to accept one that is not the one known (P33).

`accept` shows what would be certified, asks for the site's name, and orders exactly that. What may be is the
controller's to say; at the witness, which owns nothing and has no controller, it is the witness's own memory
that is told.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.cli.certify import KEY_OPTION
from orchestrator.cli.connect import controller, estate_for_asking
from orchestrator.cli.failures import DONE, REFUSED, wrong
from orchestrator.cli.options import Settings, json_option, pass_settings, reason_option
from orchestrator.cli.output import say, say_json, wrapped

if TYPE_CHECKING:
    from orchestrator.api.store_shapes import StoreState


@click.group()
def store() -> None:
    """Look at the store, and accept one that was restored.

    \b
    Examples:
      twinsite store status
      twinsite store accept --reason "restored from the backup of 02:00"
    """


@store.command("status")
@json_option
@pass_settings
def show_status(settings: Settings, as_json: bool) -> None:
    """Show the store's members, and whether it is the store this site has known all along.

    Members with leader, revision and size against quota; the cluster that is known and the one that is
    found; and for every service who owns it: by the store, and as either site last knew it.

    \b
    Example:
      twinsite store status
    """
    from orchestrator.cli import store_views

    found = _state(settings)
    if as_json:
        say_json(found)
    else:
        say(store_views.state(found))
    click.get_current_context().exit(DONE if found.trusted is not False else REFUSED)


def _state(settings: Settings) -> "StoreState":
    if (witness := _witness(settings)) is not None:
        from orchestrator.store_offline import witness_state

        return witness_state(*witness)
    with controller(settings) as asked:
        return asked.store()


def _witness(settings: Settings) -> tuple[Path, str] | None:
    """Estate file and site, if the witness was asked for by name."""
    if settings.site is None:
        return None
    estate, path = estate_for_asking(settings)
    site = estate.sites.get(settings.site)
    return (path, settings.site) if site is not None and site.witness else None


@store.command()
@click.option(
    "--owner",
    "owners",
    multiple=True,
    metavar="SERVICE=SITE",
    help="Who owns SERVICE, where nobody who answers knows it. Without it: whoever was last known to.",
)
@reason_option("What became of the store, and how you know who owns what; kept on file. Needed.")
@KEY_OPTION
@click.option("--yes", is_flag=True, help="Answer the question about the site's name.")
@pass_settings
def accept(settings: Settings, owners: tuple[str, ...], reason: str, key: Path | None, yes: bool) -> None:
    """Certify who owns what in a store that was restored, and trust it from then on.

    Shows for every service what the store says, what this site and the other one last knew, and what would be
    certified: the last owner known, at an epoch above every one that anybody has ever seen. Nothing is moved
    by it. Every site accepts for itself; the witness too: twinsite --site WITNESS store accept.

    \b
    Examples:
      twinsite store accept --reason "restored from the backup of 02:00 after the array failed"
      twinsite store accept --owner crm=durham --reason "store lost whole; crm was written to in Durham"
    """
    if not reason:
        raise wrong("store accept needs --reason: it is kept on file.")
    named = _named(owners)
    if (witness := _witness(settings)) is not None:
        _accept_at_witness(*witness, named, reason, yes=yes)
        return
    _accept(settings, named, reason, key, yes=yes)


def _named(owners: tuple[str, ...]) -> dict[str, str]:
    named: dict[str, str] = {}
    for each in owners:
        service, separator, site = each.partition("=")
        if not separator or not service or not site or service in named:
            raise wrong(f"--owner {each}: write SERVICE=SITE, each service once, such as --owner crm=durham")
        named[service] = site
    return named


def _accept(settings: Settings, named: dict[str, str], reason: str, key: Path | None, *, yes: bool) -> None:
    from orchestrator.api.store_shapes import StoreOrder, StorePlanRequest
    from orchestrator.cli import store_views
    from orchestrator.cli.certificate_views import certificate
    from orchestrator.cli.certifying import Signer, agreed
    from orchestrator.cli.moving import confirm

    with controller(settings) as asked:
        plan = asked.plan_store(StorePlanRequest(owners=named, reason=reason))
        say(store_views.plan(plan))
        draft = plan.certificate
        if draft is None:
            click.get_current_context().exit(REFUSED)
        say(["", *certificate(draft)])
        signer = Signer(key)
        signer.check(draft)
        confirm(plan.confirm_site, yes=yes, what="acceptance")
        final = agreed(asked, [draft])[draft.id]
        order = StoreOrder(
            certificate=final.id, confirmed_site=plan.confirm_site, signature=signer.signature(final)
        )
        say(["", *(part for line in asked.accept_store(order).lines for part in wrapped(line))])


def _accept_at_witness(path: Path, site: str, named: dict[str, str], reason: str, *, yes: bool) -> None:
    from orchestrator.cli import store_views
    from orchestrator.cli.moving import confirm
    from orchestrator.store_offline import accept_at_witness, witness_state

    if named:
        raise wrong("The witness certifies no owners; say --owner at a datacentre's controller.")
    found = witness_state(path, site)
    say([*store_views.state(found), ""])
    confirm(site, yes=yes, what="acceptance")
    say(wrapped(accept_at_witness(path, site, found, reason)))


COMMANDS: tuple[click.Command, ...] = (store,)
