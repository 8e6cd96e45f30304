"""Verbs for certificates: a small private authority, and everybody's certificate in the estate."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from orchestrator.cli.connect import estate_path, site_in
from orchestrator.cli.failures import FAILED, Failure, wrong
from orchestrator.cli.options import Settings, json_option, pass_settings
from orchestrator.cli.output import NARROWEST_TABLE, console, on_terminal, say, say_json, width, wrapped

if TYPE_CHECKING:
    from datetime import datetime

    from orchestrator.certificates.authority import Authority
    from orchestrator.certificates.upkeep import Done, Seen
    from orchestrator.certificates.wanted import Wanted

Function = TypeVar("Function", bound=Callable[..., Any])
PATH = click.Path(path_type=Path, file_okay=False)
CERTIFICATE_DAYS = 825
OPERATOR_DAYS = 3650
AUTHORITY_DAYS = 3650


@dataclass(frozen=True, slots=True)
class Place:
    """The authority's folder, and what the estate needs; with --site, what that site needs."""

    folder: Path
    needed: "list[Wanted]"

    def chosen(self, names: tuple[str, ...]) -> "list[Wanted]":
        """Those that are named, or all. Ends the command for a name that is none."""
        unknown = [name for name in names if not any(each.is_called(name) for each in self.needed)]
        if unknown:
            known = "\n".join(f"  {_short(each.identity)}" for each in self.needed)
            raise wrong(f"{unknown[0]}: the estate needs no such certificate; it needs these:\n{known}")
        if not names:
            return self.needed
        return [each for each in self.needed if any(each.is_called(name) for name in names)]


def _place(settings: Settings, folder: Path | None) -> Place:
    from orchestrator.certificates.wanted import default_folder, wanted
    from sites.inventory import load_estate

    path = estate_path(settings)
    estate = load_estate(path, resolve_secrets=False).estate
    base = path.absolute().parent
    where = folder.absolute() if folder is not None else default_folder(estate, base)
    needed = wanted(estate, base, where)
    if settings.site is not None:
        site = site_in(estate, settings.site)
        needed = [each for each in needed if each.site in (site, None)]
    return Place(where, needed)


def _folder_option(function: Function) -> Function:
    return click.option(
        "--folder",
        type=PATH,
        metavar="PATH",
        help="The authority's folder. Without it: where sites.yaml names ca.pem, else certs/ beside it.",
    )(function)


def _days_option(default: int) -> Callable[[Function], Function]:
    return click.option(
        "--days",
        type=click.IntRange(1, 36500),
        default=default,
        show_default=True,
        metavar="N",
        help="How long they count.",
    )


def _shown(path: Path) -> str:
    """The path as one would type it here."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _short(identity: str) -> str:
    return identity.partition(":")[2] or identity


def _now() -> "datetime":
    from datetime import UTC, datetime

    return datetime.now(UTC)


@click.group()
def certs() -> None:
    """Make, renew and look after certificates.

    Controllers, guards and the witness know each other by certificates of one small private authority.
    Its key, ca.key, signs for everybody: keep it on one machine, off the sites' own hosts, and backed up.
    Each certificate says for whom it is, as a URI such as twinsite:guard/durham/crm, and nobody is
    believed beyond that.

    \b
    For a new installation, beside sites.yaml:
      twinsite certs init               the authority: certs/ca.pem and certs/ca.key
      twinsite certs issue              a certificate and a key for everybody in sites.yaml
      twinsite certs operator jo        a key for a person who may sign a certificate of death
      twinsite certs show               who has what, and how long it lasts
    Then copy each .pem and .key to its host, and ca.pem to every host.

    \b
    Now and then (status and metrics say when):
      twinsite certs renew              what has less than a third of its life left; keys stay
    """


@certs.command()
@click.option(
    "--title",
    metavar="TEXT",
    default="twinsite",
    show_default=True,
    help="Whose authority it is, as its certificate says.",
)
@_days_option(AUTHORITY_DAYS)
@_folder_option
@pass_settings
def init(settings: Settings, title: str, days: int, folder: Path | None) -> None:
    """Make the private authority.

    That is ca.pem, for everybody, and ca.key, for nobody but you. One that is there is left as it is.

    \b
    Examples:
      twinsite certs init
      twinsite certs init --title "Durham and Northumberland" --folder /media/stick/certs
    """
    from orchestrator.certificates.authority import CA_CERTIFICATE, CA_KEY, create_authority, open_authority
    from orchestrator.certificates.reading import days_between

    place = _place(settings, folder).folder
    if (place / CA_KEY).exists():
        ends = open_authority(place).certificate.not_valid_after_utc
        left = days_between(_now(), ends)
        told = f"it counts until {ends:%Y-%m-%d}, {left:.0f} days"
        say(wrapped(f"{_shown(place)}: an authority is here already; {told}."))
        return
    authority = create_authority(place, title=title, valid_days=days)
    ends = authority.certificate.not_valid_after_utc
    ca, key = _shown(place / CA_CERTIFICATE), _shown(place / CA_KEY)
    say(wrapped(f"{ca}: made; it counts until {ends:%Y-%m-%d}. Copy it to every host."))
    say(wrapped(f"{key}: made. It signs for everybody: keep it here, copy it to no host, back it up."))
    say(wrapped("Next: `twinsite certs issue`"))


@certs.command("issue")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@_days_option(CERTIFICATE_DAYS)
@_folder_option
@pass_settings
def issue_(settings: Settings, names: tuple[str, ...], days: int, folder: Path | None) -> None:
    """Make the certificates that are missing.

    All that sites.yaml needs, or those named. A NAME is an identity or a file: guard/durham/crm, or
    guard-durham-crm. With --site before the verb, only that site's. One that is there and right is kept. One
    whose addresses have changed in sites.yaml is made anew, for the same key. A certificate of another
    authority is left alone and told of.

    \b
    Examples:
      twinsite certs issue
      twinsite certs issue guard/durham/crm
    """
    from orchestrator.certificates.authority import open_authority
    from orchestrator.certificates.upkeep import issue

    place = _place(settings, folder)
    chosen = place.chosen(names)
    authority = open_authority(place.folder)
    _tell([issue(authority, each, valid_days=days, now=_now()) for each in chosen])


@certs.command("renew")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--all", "every", is_flag=True, help="Also those that have most of their life left.")
@click.option("--new-keys", is_flag=True, help="With new keys: copy both files to the host, key first.")
@click.option("--authority", "of_authority", is_flag=True, help="The authority's own certificate, instead.")
@_days_option(CERTIFICATE_DAYS)
@_folder_option
@pass_settings
def renew_(
    settings: Settings,
    names: tuple[str, ...],
    every: bool,
    new_keys: bool,
    of_authority: bool,
    days: int,
    folder: Path | None,
) -> None:
    """Renew what has less than a third of its life left.

    With --all every one; with NAMEs those, whatever is left of them. Keys stay as they are, so that only the
    new .pem is to be copied to its host; the key need not be here.
    What runs there notices the new file within seconds, and needs no restart.

    \b
    Examples:
      twinsite certs renew
      twinsite certs renew guard/durham/crm
      twinsite certs renew --authority
    """
    from orchestrator.certificates.authority import open_authority
    from orchestrator.certificates.upkeep import renew

    place = _place(settings, folder)
    chosen = place.chosen(names)
    authority = open_authority(place.folder)
    if of_authority:
        _renew_authority(authority, names)
        return
    now = _now()
    every = every or bool(names)
    present = [each for each in chosen if names or each.files.certificate.exists()]
    _tell(
        [renew(authority, each, valid_days=days, now=now, every=every, new_keys=new_keys) for each in present]
    )


def _renew_authority(authority: "Authority", names: tuple[str, ...]) -> None:
    if names:
        raise wrong("--authority renews the authority's own certificate, and takes no NAME")
    ends = authority.renewed(valid_days=AUTHORITY_DAYS).certificate.not_valid_after_utc
    say(
        wrapped(
            f"{_shown(authority.ca_file)}: renewed for the same key; it counts until {ends:%Y-%m-%d}. Copy "
            "it to every host; what it has signed stays good."
        )
    )


def _tell(done: "list[Done]") -> None:
    """A line for each, and how it ends."""
    for each in done:
        line = f"{each.did}: {_short(each.identity)}: {_shown(each.file)}"
        if each.key_file is not None:
            line += f", with a new key, {each.key_file.name}"
        if each.finding:
            line += f" ({each.finding})"
        say(wrapped(line))
    left = [each for each in done if each.did == "left"]
    if left:
        count = f"{len(left)} of {len(done)} certificates"
        raise Failure(f"{count} could not be seen to; see the lines above that begin with `left`.", FAILED)
    if not done:
        say(wrapped("No certificate is here yet: `twinsite certs issue`"))
    elif any(each.did != "kept" for each in done):
        say(
            wrapped(
                "Copy the new files to their hosts, keys readable by their owner alone; ca.key stays here."
            )
        )


@certs.command()
@click.argument("name")
@click.option(
    "--no-passphrase", is_flag=True, help="Leave the key without one: for a safe, not for a laptop."
)
@_days_option(OPERATOR_DAYS)
@_folder_option
@pass_settings
def operator(settings: Settings, name: str, no_passphrase: bool, days: int, folder: Path | None) -> None:
    """Make a key pair for NAME, a person who may sign.

    What is signed is that a site is down for good, or that a service may open without a quorum. The private
    key (.key) goes to that person and is asked for then. The public key (.pub) is named in sites.yaml under
    `access: operators:`, so that controllers and guards know the signature; nobody else's counts.
    A key that is there is never replaced.

    \b
    Examples:
      twinsite certs operator jo.smith
      twinsite certs operator --no-passphrase safe-1
    """
    from orchestrator.certificates.authority import open_authority
    from orchestrator.certificates.operators import create_operator, is_operator_name

    if not is_operator_name(name):
        raise wrong(f"{name}: not a name for files; use letters, digits, dots and hyphens, such as jo.smith")
    place = _place(settings, folder).folder
    authority = open_authority(place)
    files = create_operator(
        authority, name, passphrase="" if no_passphrase else _passphrase(), valid_days=days
    )
    say(wrapped(f"{_shown(files.key)}: made; give it to {name}, and keep no copy."))
    say(
        wrapped(
            f"{_shown(files.public)}: made; name it in sites.yaml, `access: {{operators: {{{name}: …}}}}`."
        )
    )
    say(wrapped(f"{_shown(files.certificate)}: made; it says whose key that is."))


def _passphrase() -> str:
    if not _is_typed():
        raise wrong(
            "A passphrase is asked for on a terminal, and standard input is none; run this by hand, or say "
            "--no-passphrase"
        )
    typed: str = click.prompt("Passphrase of the new key", hide_input=True, confirmation_prompt="Once more")
    return typed


def _is_typed() -> bool:
    return sys.stdin.isatty()


@certs.command()
@json_option
@_folder_option
@pass_settings
def show(settings: Settings, as_json: bool, folder: Path | None) -> None:
    """Show every certificate: where, and until when.

    Those that sites.yaml needs, the authority's own and the operators'. Ends with 1 if one has run out, is
    another authority's, or is not what it should be. One that is not here is only said to be so: it may be
    on its host. With --site before the verb, only that site's.

    \b
    Examples:
      twinsite certs show
      twinsite --site durham certs show --json
    """
    from orchestrator.certificates.authority import CA_CERTIFICATE
    from orchestrator.certificates.operators import operators_in
    from orchestrator.certificates.upkeep import FAULTS, look_at, look_at_authority

    place = _place(settings, folder)
    now = _now()
    found = look_at_authority(place.folder / CA_CERTIFICATE, now)
    found += [look_at(each, now) for each in [*place.needed, *operators_in(place.folder)]]
    if as_json:
        _show_json(found)
    elif on_terminal() and width() >= NARROWEST_TABLE:
        _show_table(found)
    else:
        for each in found:
            say(wrapped(_line(each)))
    bad = [each for each in found if each.state in FAULTS]
    if bad:
        raise Failure(
            f"{len(bad)} of {len(found)} certificates will not do; `twinsite certs renew` makes new ones of "
            "those that have run out, the others have to be looked at.",
            FAILED,
        )


def _cells(seen: "Seen") -> tuple[str, str, str, str, str, str]:
    ends = f"{seen.ends:%Y-%m-%d}" if seen.ends is not None else "-"
    left = f"{int(seen.days_left // 1)}" if seen.days_left is not None else "-"
    signed = {True: "yes", False: "NO", None: "-"}[seen.issuer_ok]
    bad = seen.state.value.replace("-", " ")
    return _short(seen.identity), _shown(seen.file), ends, left, signed, bad


def _line(seen: "Seen") -> str:
    who, file, ends, left, signed, state = _cells(seen)
    line = f"{who}: {state}; {file}"
    if seen.ends is not None:
        line += f"; until {ends}, {left} days; signed by our authority: {signed}"
    return f"{line}; {seen.finding}" if seen.finding else line


def _show_table(found: "list[Seen]") -> None:
    from rich import box
    from rich.table import Table

    from orchestrator.certificates.upkeep import FAULTS

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False, header_style="bold")
    for header in ("Who", "File", "Until", "Days", "Ours", "State"):
        table.add_column(header, overflow="fold", justify="right" if header == "Days" else "left")
    for seen in found:
        *cells, state = _cells(seen)
        told = f"{state}: {seen.finding}" if seen.finding else state
        table.add_row(*cells, told, style="bold red" if seen.state in FAULTS else None)
    console().print(table)


def _show_json(found: "list[Seen]") -> None:
    from orchestrator.certificates.shapes import CertificateList, CertificateStatus

    say_json(
        CertificateList(
            certificates=[
                CertificateStatus(
                    identity=seen.identity,
                    site=seen.site,
                    file=str(seen.file),
                    state=seen.state.value,
                    not_after=seen.ends.isoformat().replace("+00:00", "Z") if seen.ends is not None else None,
                    days_left=round(seen.days_left, 2) if seen.days_left is not None else None,
                    issuer_ok=seen.issuer_ok,
                    key_here=seen.key_here,
                    finding=seen.finding,
                )
                for seen in found
            ]
        )
    )


COMMANDS: tuple[click.Command, ...] = (certs,)
