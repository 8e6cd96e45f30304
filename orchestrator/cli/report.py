"""The verb `report`: one file that tells a run to whoever was not there, and what proves it."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.cli.connect import controller, estate_path
from orchestrator.cli.failures import FAILED, Failure, wrong
from orchestrator.cli.options import RUN, Settings, pass_settings
from orchestrator.cli.output import note, say, wrapped

if TYPE_CHECKING:
    from cryptography import x509

    from orchestrator.report_file import ReportFile

LARGEST_FILE_BYTES = 64 << 20
FILE = click.Path(path_type=Path, dir_okay=False)


class _RunFirst(click.Group):
    """`report RUN` is `report draw RUN`: what people want most is said with the fewest words."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The subcommand, or `draw` where the first word is none."""
        if args and args[0] not in self.commands:
            return "draw", self.commands["draw"], args
        return super().resolve_command(ctx, args)


@click.group(cls=_RunFirst)
def report() -> None:
    """Write the report of a run or drill, and check one.

    `twinsite report RUN` is short for `twinsite report draw RUN`.

    \b
    Examples:
      twinsite report ebs-failover-7
      twinsite report verify ebs-failover-7.html
    """


@report.command()
@click.argument("run", metavar="RUN", type=RUN)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Where to write it; without it RUN.html in this folder, `-` for standard output.",
)
@pass_settings
def draw(settings: Settings, run: str, output: Path | None) -> None:
    """Write the report of RUN: one HTML file that needs no network, for a browser or a printer.

    It holds objectives against what came out, the timeline with its critical path, each step with what it
    said, decisions with their evidence, people, overrides, versions, the run before, and what is still to be
    seen to. The controller that is asked signs it; the other site's countersigns it when it is there. Ask the
    site that carried the run out: the journal that the report is chained to is there.

    \b
    Examples:
      twinsite report ebs-failover-7
      twinsite report draw ebs-failover-7 --output /srv/evidence/ebs.html
    """
    with controller(settings) as asked:
        found = asked.report(run)
    if str(output) == "-":
        click.echo(found.html, nl=False)
    else:
        place = output or Path(f"{run}.html")
        _write(place, found.html)
        say([f"Written: {place}"])
    told = "; ".join(f"signed by {site}" for site in found.signed_by) or "NOT SIGNED"
    note(f"{told}." + (f" {found.problem}." if found.problem else ""))


@report.command()
@click.argument("file", metavar="FILE", type=FILE)
@click.option(
    "--ca",
    type=FILE,
    metavar="FILE",
    help="The authority's certificate; without it the one that the estate file names.",
)
@click.option("--offline", is_flag=True, help="Do not ask a controller for its journal.")
@pass_settings
def verify(settings: Settings, file: Path, ca: Path | None, offline: bool) -> None:
    """Check that FILE is what was signed, by whom, and that the journal still holds what it tells.

    One changed byte is found, and in which section. Whose the signatures are is told by the authority's
    certificate. Where a controller answers here, its journal is compared link by link; it must be the one of
    the site that carried the run out. Ends with 1 when anything is wrong or cannot be proven.

    \b
    Examples:
      twinsite report verify ebs-failover-7.html
      twinsite report verify ebs-failover-7.html --ca ca.pem --offline
    """
    from orchestrator.report_verify import verdict

    found = _read(file)
    chain, why = (None, "--offline") if offline else _chain(settings, found)
    outcome = verdict(found, _authorities(settings, ca), chain, why)
    for kind, text in outcome.lines:
        say(wrapped(f"{kind}: {text}", then="    "))
    if not outcome.sound:
        raise Failure(f"{file}: NOT PROVEN: see what is WRONG above.", FAILED)
    say([f"{file}: sound."])


@report.command()
@click.argument("file", metavar="FILE", type=FILE)
@pass_settings
def countersign(settings: Settings, file: Path) -> None:
    """Have FILE signed by who has not signed it yet, and put that into the file.

    For a report that was drawn up while the other site's controller could not be reached. Nothing of what was
    signed changes.

    \b
    Example:
      twinsite report countersign ebs-failover-7.html
    """
    from orchestrator.api.report_shapes import CountersignRequest, SignatureStatus
    from orchestrator.core.records import Signature
    from orchestrator.report_file import changed_in, merged, with_signatures

    found = _read(file)
    if changed := changed_in(found):
        raise Failure(
            f"{file}: not what was signed; changed: {', '.join(changed)}. Nothing was done.", FAILED
        )
    given = [
        SignatureStatus(site=one.site, at=one.at, certificate=one.certificate, value=one.value)
        for one in found.seal.signatures
    ]
    with controller(settings) as asked:
        answer = asked.countersign(CountersignRequest(statement=found.seal.statement, signatures=given))
    new = tuple(
        Signature(site=one.site, at=one.at, certificate=one.certificate, value=one.value)
        for one in answer.signatures
    )
    seal = replace(found.seal, signatures=merged(found.seal.signatures, new))
    _write(file, with_signatures(found.body, seal))
    say([f"{file}: signed by {', '.join(one.site for one in seal.signatures)}."])
    if answer.problem:
        note(f"{answer.problem}.")


def _read(file: Path) -> "ReportFile":
    from orchestrator.report_file import NotAReport, taken_apart

    try:
        raw = file.read_bytes()
    except OSError as fault:
        raise wrong(f"{file}: cannot be read: {fault.strerror}") from fault
    if len(raw) > LARGEST_FILE_BYTES:
        raise wrong(f"{file}: longer than any report is")
    try:
        return taken_apart(raw.decode("utf-8"))
    except UnicodeDecodeError as fault:
        raise Failure(f"{file}: NOT PROVEN: byte {fault.start} is no text of a report.", FAILED) from fault
    except NotAReport as fault:
        raise Failure(f"{file}: NOT PROVEN: {fault}.", FAILED) from fault


def _write(place: Path, text: str) -> None:
    """Whole or not at all."""
    beside = place.with_name(f".{place.name}.part")
    try:
        beside.write_bytes(text.encode())
        beside.replace(place)
    except OSError as fault:
        beside.unlink(missing_ok=True)
        raise wrong(f"{place}: cannot be written: {fault.strerror}") from fault


def _chain(settings: Settings, found: "ReportFile") -> tuple[list[str] | None, str]:
    """The run's links as the journal has them now; None and why where nobody can be asked."""
    from orchestrator.api.client import NobodyAnswers, Refused, WrongRequest
    from orchestrator.report_verify import evidence_in

    told = evidence_in(found).get("journal") or {}
    if not told.get("links"):
        return None, "the report is not chained to one"
    site = str(told.get("site", ""))
    try:
        with controller(settings, rather_not=None) as asked:
            answer = asked.chain(str(found.statement.get("run", "")))
    except (NobodyAnswers, Refused, WrongRequest, click.ClickException) as fault:
        return None, " ".join(str(getattr(fault, "message", fault)).split())[:200]
    if answer.site != site:
        return None, f"{answer.site}'s controller answered, and the journal is at {site} (--site {site})"
    return answer.links, ""


def _authorities(settings: Settings, ca: Path | None) -> "list[x509.Certificate]":
    """From the file that was named, or from all that the estate file names."""
    from orchestrator.certificates.reading import read_certificates
    from sites.identity import CertificateMisuse

    if ca is not None:
        return read_certificates(ca)
    try:
        path = estate_path(settings)
    except click.ClickException:
        return []
    from orchestrator.cli.connect import salvaged

    estate = salvaged(path)
    found: list[x509.Certificate] = []
    named = {site.tls.ca for site in estate.sites.values() if site.tls is not None} if estate else set()
    for each in sorted(named):
        try:
            found += read_certificates(path.parent / each)
        except CertificateMisuse as fault:
            note(f"{fault}.")
    return found


COMMANDS: tuple[click.Command, ...] = (report,)
