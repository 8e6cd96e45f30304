"""Verbs for a service's replication driver: try it for real before anybody relies on it."""

import asyncio
import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from orchestrator.cli.connect import estate_path
from orchestrator.cli.failures import DONE, FAILED, INTERRUPTED, Failure, refused, wrong
from orchestrator.cli.options import SERVICE, SITE, Settings, json_option, pass_settings
from orchestrator.cli.output import say, say_json, wrapped

if TYPE_CHECKING:
    from orchestrator.driver_check import DriverCheck, Wanted
    from orchestrator.driver_report import DriverReport
    from sites.inventory import Loaded
    from sites.model import Service

WORDS = ("sample", "verify", "prepare", "close", "fence", "promote", "start", "rejoin", "rebuild")
ACTING = WORDS[2:]


@click.group()
def driver() -> None:
    """Try the replication driver of a service.

    \b
    Example:
      twinsite driver check crm
    """


@driver.command()
@click.argument("service", type=SERVICE)
@click.option("--site", "at", type=SITE, metavar="SITE", help="Only there. Without it: at both its sites.")
@click.option(
    "--word",
    type=click.Choice(WORDS),
    help="Carry this word out as well, at --site. All but sample and verify change something.",
)
@click.option(
    "--role",
    type=click.Choice(["primary", "standby"]),
    default="standby",
    show_default=True,
    help="As what `--word start` starts it.",
)
@json_option
@pass_settings
def check(
    settings: Settings, service: str, at: str | None, word: str | None, role: str, as_json: bool
) -> None:
    """Try the driver of SERVICE for real, as a controller would, from this machine.

    Asks the instances at both sites what they are: over SSH for the `command` driver, over its own connection
    for `postgres`. Shows each command that was run, what it printed, how that was understood and how long
    it took, then which words are missing and what will be refused for that. A line begins with ok, look
    (works, but somebody should look) or FAULT (does not keep to the contract).

    It changes nothing, unless --word names a word that acts. Such a word goes past the lease and past every
    rule that keeps a service at one site: no controller is asked, none may be running for this service.
    It is asked for by the name of the site, typed in. Use it on a pair that nobody works with yet.

    Ends with 0 when nothing is at fault, 1 when something is, 2 when nothing could be tried, 3 when a word
    is refused.

    \b
    Examples:
      twinsite driver check documents
      twinsite driver check documents --site morpeth --json
      twinsite driver check documents --site durham --word fence
    """
    loaded, noun = _loaded(settings, service)
    if at is not None and at not in noun.sites:
        raise wrong(f"{service} is at {' and '.join(noun.sites)}, not at {at!r}")
    if word in ACTING and at is None:
        raise wrong(f"At which site? Add --site {noun.home} or --site {noun.standby} to --word {word}.")
    acts = word if word in ACTING else None
    with _quiet_log():
        report = asyncio.run(_checked(loaded, noun, at, acts, role, as_json=as_json))
    if as_json:
        say_json(report)
    code = DONE if report.ok else FAILED
    if code:
        raise Failure("" if as_json else f"{service}: something is at fault, see above.", code)


def _loaded(settings: Settings, service: str) -> "tuple[Loaded, Service]":
    """The estate, with its secrets only where this driver needs any: those of the sites are left alone."""
    from orchestrator.cli.setup import load_checked

    path = estate_path(settings)
    loaded = load_checked(path, None)
    noun = _service(loaded, service)
    if noun.replication is not None and noun.replication.driver != "command":
        loaded = load_checked(path, settings.site or "")
        noun = loaded.estate.services[service]
    return loaded, noun


def _service(loaded: "Loaded", name: str) -> "Service":
    services = loaded.estate.services
    if name not in services:
        raise wrong(f"There is no service {name!r}; there are: {', '.join(services)}")
    found = services[name]
    if found.watch_only:
        from orchestrator.api.shapes import Refusal
        from sites.errors import DriverMissing

        given = found.replication.driver if found.replication is not None else None
        missing = DriverMissing(name, given)
        raise refused(Refusal(code=missing.code, message=str(missing)))
    return found


async def _checked(
    loaded: "Loaded", service: "Service", at: str | None, acts: str | None, role: str, *, as_json: bool
) -> "DriverReport":
    from orchestrator.driver_check import DriverCheck, Wanted
    from orchestrator.driver_report import act_lines, report_lines, with_act
    from sites.replication.words import Role, Word
    from sites.ssh import SshTransport

    base = loaded.path.absolute().parent
    transport = SshTransport(loaded.estate.ssh, base)
    checking = DriverCheck(loaded.estate, service.name, transport, base)
    try:
        report = await checking.read([at] if at is not None else list(service.sites))
        if not as_json:
            _tell(report_lines(report))
        if acts is None or at is None:
            return report
        wanted = Wanted(Word(acts), at, Role(role))
        await _confirmed(checking, wanted, as_json=as_json)
        done = await checking.act(wanted)
        if not as_json:
            _tell(act_lines(done))
        return with_act(report, done)
    finally:
        await checking.aclose()
        await transport.aclose()


async def _confirmed(checking: "DriverCheck", wanted: "Wanted", *, as_json: bool) -> None:
    """Asked for by a person who typed the site's name. Ends the command otherwise, with nothing done."""
    from orchestrator.refusing import OrderRefused

    try:
        await checking.check_safe(wanted)
    except OrderRefused as no:
        raise refused(no.refusal) from no
    name = checking.service.name
    told = (
        f"`{wanted.word}` of {name} is carried out at {wanted.site} now, past the lease and past every "
        "controller. "
        f"Whoever works with {name} may be cut off. To go on, type the name of the site: {wanted.site}"
    )
    click.echo("\n" + "\n".join(wrapped(told)), err=True)
    try:
        typed = click.prompt("Site", default="", show_default=False, err=True)
    except click.Abort as stop:
        raise Failure("\nNothing was done.", INTERRUPTED) from stop
    if typed.strip() != wanted.site:
        raise wrong(f"That is not {wanted.site}. Nothing was done.")
    if not as_json:
        click.echo("")


@contextmanager
def _quiet_log() -> Iterator[None]:
    """What drivers and SSH log for a daemon's log is told here line by line, and would stand amid it."""
    import structlog

    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        yield
    finally:
        structlog.configure(**before)


def _tell(lines: Iterable[str]) -> None:
    for line in lines:
        say(wrapped(line, then="      "))


COMMANDS: tuple[click.Command, ...] = (driver,)
