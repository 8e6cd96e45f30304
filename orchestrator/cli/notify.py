"""Verbs about messages to people: who is told of what, what waits, and a test to every receiver."""

from typing import TYPE_CHECKING

import click

from orchestrator.cli.connect import controller, estate_path
from orchestrator.cli.failures import FAILED, Failure, wrong
from orchestrator.cli.options import Settings, json_option, pass_settings
from orchestrator.cli.output import age, duration, heading, local_time, say, say_json, wrapped

if TYPE_CHECKING:
    from orchestrator.api.paging_shapes import PageState, PagingState, ReceiverState, TriedReceivers

MARGIN_SECONDS = 20.0


@click.group()
def notify() -> None:
    """Messages to people: who is told of what, and a test.

    \b
    Examples:
      twinsite notify test
      twinsite notify list
    """


@notify.command("test")
@click.option("--to", "names", metavar="NAME", multiple=True, help="Only this receiver; may be given again.")
@click.option("--here", is_flag=True, help="Send from this command, with no controller: before there is one.")
@json_option
@pass_settings
def send_test(settings: Settings, names: tuple[str, ...], here: bool, as_json: bool) -> None:
    """Send a test message to every receiver, and say what came of each.

    The controller sends it, past whatever waits, by the same way as all the others: with its secrets, from
    its machine, through its network. Ends with 1 if any of them did not take it.

    \b
    Examples:
      twinsite notify test
      twinsite --site morpeth notify test --to on-call
    """
    tested = _sent_here(settings, names) if here else _sent_there(settings, names)
    if as_json:
        say_json(tested)
    for one in tested.results if not as_json else ():
        said = "ok" if one.ok else f"FAILED: {one.words}"
        say(wrapped(f"{one.receiver}: {one.address}: {said}", then="    "))
    failed = sum(not one.ok for one in tested.results)
    if failed:
        raise Failure(f"{failed} of {len(tested.results)} did not take it.", FAILED)


def _sent_there(settings: Settings, names: tuple[str, ...]) -> "TriedReceivers":
    from orchestrator.api.paging_shapes import TryRequest
    from orchestrator.cli.connect import estate_for_asking

    estate, _ = estate_for_asking(settings)
    longest = max((spec.timeout_seconds for spec in estate.receivers.values()), default=0.0)
    with controller(settings) as asked:
        request = TryRequest(receivers=list(names))
        return asked.test_paging(request, within_seconds=longest + MARGIN_SECONDS)


def _sent_here(settings: Settings, names: tuple[str, ...]) -> "TriedReceivers":
    import asyncio

    from orchestrator.api.paging_shapes import TriedAddress, TriedReceivers
    from orchestrator.cli.setup import load_checked
    from orchestrator.paging.testing import send_tests

    path = estate_path(settings)
    estate = load_checked(path, None).estate
    unknown = [name for name in names if name not in estate.receivers]
    if unknown or not estate.receivers:
        known = ", ".join(estate.receivers) or "none: `notify` names no receiver"
        raise wrong(
            f"There is no receiver {unknown[0]!r}; there is {known}" if unknown else f"{path}: {known}"
        )
    site = settings.site or estate.data_sites[0]
    results = asyncio.run(send_tests(estate, site, path.absolute().parent, names))
    return TriedReceivers(
        results=[
            TriedAddress(receiver=name, address=one.address, ok=one.tried.ok, words=one.tried.words)
            for name, found in results.items()
            for one in found
        ]
    )


@notify.command("list")
@json_option
@pass_settings
def list_all(settings: Settings, as_json: bool) -> None:
    """Show who is told of what, and what goes on that people are told of.

    \b
    Example:
      twinsite notify list
    """
    with controller(settings) as asked:
        state = asked.paging()
    if as_json:
        say_json(state)
        return
    say([heading("Receivers")])
    for receiver in state.receivers:
        say(wrapped(_receiver(receiver), first="  ", then="      "))
    if not state.receivers:
        say(["  none: `notify` in the estate file names nobody, so nobody is told of anything"])
    say(["", heading("What people are told of" if state.pages else "What people are told of: nothing")])
    for page in state.pages:
        say(wrapped(_page(page), first="  ", then="      "))
    if state.problems:
        say(["", heading("Problems")])
    for problem in state.problems:
        say(wrapped(problem, first="  ", then="      "))


def _receiver(one: "ReceiverState") -> str:
    when = ", ".join(one.when) or "only what is escalated to it"
    least = f", {one.severity} and worse" if one.severity != "info" else ""
    told = f"{one.receiver} ({', '.join(one.addresses)}): told of {when}{least}"
    if one.next:
        told += f"; after {duration(one.escalate_after_seconds)} without an answer {one.next}"
    if one.quiet_until:
        told += f"; QUIET until {local_time(one.quiet_until)}"
    told += f"; last sent {local_time(one.last_sent)}" if one.last_sent else "; nothing was ever sent"
    if one.waiting:
        told += f"; {one.waiting} WAITING"
    return f"{told}; FAILING since {local_time(one.trouble_since)}: {one.trouble}" if one.trouble else told


def _page(one: "PageState") -> str:
    told = ", ".join(f"{each.receiver}: {each.state}" for each in one.told) or "nobody yet"
    by = f" by {one.by}" if one.by else ""
    taken = f"taken on by {one.acknowledged}" if one.acknowledged else "NOT acknowledged"
    return f"{one.severity}: {one.headline}; since {local_time(one.since)}; told{by}: {told}; {taken}"


@notify.command()
@json_option
@pass_settings
def outbox(settings: Settings, as_json: bool) -> None:
    """Show the messages that have not got out yet, the oldest first.

    They stand on this controller's disk, and are sent in their order as soon as their receiver takes them.

    \b
    Example:
      twinsite notify outbox
    """
    with controller(settings) as asked:
        state = asked.paging()
    if as_json:
        say_json(state)
        return
    say(_waiting(state) or ["Nothing waits."])


def _waiting(state: "PagingState") -> list[str]:
    trouble = {one.receiver: one.trouble for one in state.receivers if one.trouble}
    lines: list[str] = []
    for one in state.waiting:
        why = f": {trouble[one.receiver]}" if one.receiver in trouble else ""
        told = f"{one.receiver}: {one.title} ({one.reason}, {age(one.age_seconds)}, {one.tries} tries{why})"
        lines += wrapped(told, then="    ")
    return lines


@notify.command()
@click.argument("part", type=click.Choice(["title", "body"]))
def template(part: str) -> None:
    """Print the usual template of a message's title or body, to begin your own with.

    \b
    Example:
      twinsite notify template body > templates/body.txt.j2
    """
    from orchestrator.paging.message import usual_template

    click.echo(usual_template(part), nl=False)


COMMANDS: tuple[click.Command, ...] = (notify,)
