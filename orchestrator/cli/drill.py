"""Verbs for drills: what there is, when it is due, begin one, end one before its end."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import click

from orchestrator.cli.connect import controller, estate_for_asking
from orchestrator.cli.failures import FAILED, Failure, wrong
from orchestrator.cli.options import NameType, Settings, json_option, pass_settings, reason_option
from orchestrator.cli.output import say, say_json

if TYPE_CHECKING:
    from orchestrator.api.drill_shapes import DrillCalendar

MONTHS_DEFAULT = 12
DAYS_IN_A_MONTH = 30.44
DRILL = NameType("drill")


@click.group()
def drill() -> None:
    """See when drills are due, begin them, abandon them.

    \b
    Examples:
      twinsite drill list
      twinsite drill calendar
      twinsite drill run "ebs quarterly" --reason "before the upgrade"
    """


@drill.command("list")
@json_option
@pass_settings
def list_(settings: Settings, as_json: bool) -> None:
    """Show every drill: when it is due, how it ended last, and why it was refused.

    Each drill is carried out by the controller of the site where its service is primary; the other one shows
    the same of it.

    \b
    Example:
      twinsite drill list
    """
    from orchestrator.cli.drill_views import list_lines

    with controller(settings) as asked:
        found = asked.drills()
    if as_json:
        say_json(found)
        return
    say(list_lines(found))


@drill.command()
@click.option(
    "--months",
    type=click.IntRange(1, 60),
    metavar="N",
    default=MONTHS_DEFAULT,
    show_default=True,
    help="How far to look.",
)
@click.option("--drill", "only", type=DRILL, metavar="NAME", help="Only this one.")
@json_option
@pass_settings
def calendar(settings: Settings, months: int, only: str | None, as_json: bool) -> None:
    """Show when drills are due in the next twelve months, by what stands in sites.yaml.

    Times are those of each drill's own time zone. One that falls into a blackout is shown with it, and with
    the time at which it is made up for, where it says `if_missed: next`. Asks no controller: what was missed
    is shown by `twinsite drill list`.

    \b
    Examples:
      twinsite drill calendar
      twinsite drill calendar --months 3 --json
    """
    from orchestrator.cli.drill_views import calendar_lines

    shown = _calendar(settings, timedelta(days=months * DAYS_IN_A_MONTH), only)
    if as_json:
        say_json(shown)
        return
    say(calendar_lines(shown))


def _calendar(settings: Settings, ahead: timedelta, only: str | None) -> "DrillCalendar":
    from orchestrator.api.drill_shapes import CalendarEntry, DrillCalendar
    from orchestrator.drills.blackouts import Blackouts, read_files
    from orchestrator.drills.calendar import entries

    estate, path = estate_for_asking(settings)
    drills = [each for each in estate.drills if only in (None, each.name)]
    if only is not None and not drills:
        known = ", ".join(each.name for each in estate.drills) or "none"
        raise wrong(f"There is no drill {only!r} in {path}; there is {known}.")
    begins = datetime.now(UTC)
    blackouts = Blackouts(estate.blackouts, read_files(estate.blackouts, path.absolute().parent))
    found = entries(drills, blackouts, begins, begins + ahead)
    zones = {each.name: ZoneInfo(each.timezone) for each in drills}
    return DrillCalendar(
        begins=begins.isoformat(timespec="seconds"),
        ends=(begins + ahead).isoformat(timespec="seconds"),
        entries=[
            CalendarEntry(
                drill=one.drill,
                service=one.service,
                kind=one.kind,
                at=one.at.astimezone(zones[one.drill]).isoformat(),
                timezone=zones[one.drill].key,
                blackout=str(one.barred) if one.barred is not None else None,
                instead=one.instead.astimezone(zones[one.drill]).isoformat() if one.instead else None,
            )
            for one in found
        ],
        without_schedule=[each.name for each in drills if each.schedule is None],
    )


@drill.command()
@click.argument("name", type=DRILL)
@reason_option("Why; it stands in the run's record. Needed.")
@click.option("--no-follow", is_flag=True, help="Begin it and do not wait for its end.")
@pass_settings
def run(settings: Settings, name: str, reason: str, no_follow: bool) -> None:
    """Begin the drill NAME now, and follow it to its end.

    Blackouts and the time since the last one do not hold it up: a person may know better. Everything that
    speaks of danger does: an incident, a run or another drill under way, a standby that is behind or missing,
    a pause. The controller of the site where the service is primary carries it out; it may be ordered at
    either site.

    A drill is a run like any other: `twinsite runs` shows it, and pauses, aborts and answers it.

    Ends with 0 when the drill was done, its cleaning up included; 1 when it failed; 3 when it was refused.

    \b
    Example:
      twinsite drill run "ebs quarterly" --reason "before the upgrade"
    """
    from orchestrator.api.drill_shapes import DrillOrder

    if not reason:
        raise wrong("A drill that is begun by hand needs --reason: whoever reads its report asks why.")
    with controller(settings) as asked:
        given = asked.run_drill(DrillOrder(name=name, reason=reason))
        say([f"{given.message}."])
        if no_follow:
            return
        from orchestrator.cli.follow import follow

        ended = follow(asked, given.run)
        if ended.state != "done":
            raise Failure(f"The drill does not count. See: twinsite runs show {given.run}", FAILED)


@drill.command()
@click.argument("name", type=DRILL)
@reason_option("Why; it stands in the run's record. Needed.")
@pass_settings
def abandon(settings: Settings, name: str, reason: str) -> None:
    """End the drill NAME before its end, and clean up after it.

    What works on the copy is ended at once; the copy is removed. The drill does not count. It may be ordered
    at either site.

    \b
    Example:
      twinsite drill abandon "ebs quarterly" --reason "the database is slow"
    """
    from orchestrator.api.drill_shapes import DrillOrder
    from orchestrator.cli.follow import follow

    if not reason:
        raise wrong("Abandoning a drill needs --reason: whoever reads its report asks why.")
    with controller(settings) as asked:
        given = asked.abandon_drill(DrillOrder(name=name, reason=reason))
        say([f"{given.message}; it is cleaned up after."])
        follow(asked, given.run)


@drill.command()
@click.argument("name", type=DRILL)
@json_option
@pass_settings
def report(settings: Settings, name: str, as_json: bool) -> None:
    """Show the last run of the drill NAME, step by step.

    \b
    Example:
      twinsite drill report "ebs quarterly"
    """
    from orchestrator.cli import views

    with controller(settings) as asked:
        found = next((each for each in asked.drills().drills if each.name == name), None)
        if found is None:
            raise wrong(f"There is no drill {name!r}. See: twinsite drill list")
        last = found.run or found.last_run
        if not last:
            raise Failure(f"The drill {name!r} has never been carried out.", FAILED)
        detail = asked.run(last)
    if as_json:
        say_json(detail)
        return
    say(views.run_detail(detail))


COMMANDS: tuple[click.Command, ...] = (drill,)
