"""How the command ends when it does not end well: exit codes, and one clear message for each kind of error.

    0  done
    1  failed
    2  wrong usage or configuration
    3  refused, with the reason's code
    4  nobody answered
    130  stopped with Ctrl-C

Never a traceback: an error that nothing else has a name for says one sentence and where its details are.
"""

import os
import sys
import tempfile
import traceback
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from orchestrator.api.client import NobodyAnswers
    from orchestrator.api.shapes import Refusal

DONE, FAILED, WRONG, REFUSED, SILENT, INTERRUPTED = 0, 1, 2, 3, 4, 130

NOTHING_TO_DO = "Nothing to do."

EXIT_CODES = (
    (DONE, "done", "What was asked for has been done or shown."),
    (FAILED, "failed", "It was begun and did not succeed; the message says how far it got."),
    (WRONG, "wrong usage or configuration", "Nothing was done; the message says what to write instead."),
    (REFUSED, "refused", "twinsite said no, with a code of the table below; nothing was done."),
    (SILENT, "nobody answered", "No controller answered; the message names every socket that was tried."),
    (INTERRUPTED, "stopped with Ctrl-C", "The command has ended; a run that it had ordered goes on."),
)


class Failure(click.ClickException):
    """Ends the command with `exit_code`, and the message on standard error as it is."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc]  # click reads it from the instance

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the message, if there is one."""
        if self.message:
            click.echo(self.message, file=file or sys.stderr)


def wrong(message: str) -> Failure:
    """Wrong usage or configuration."""
    return Failure(message, WRONG)


def refused(refusal: "Refusal") -> Failure:
    """The refusal as people read it: code, message, evidence, and what to do."""
    return Failure("\n".join(refusal_lines(refusal)), REFUSED)


def refusal_lines(refusal: "Refusal", *, service: str = "SERVICE") -> list[str]:
    """`refused`'s text, line by line; `service` is the one it is about, where that is known."""
    from orchestrator.cli.output import wrapped
    from orchestrator.core.reasons import reason_of

    lines = wrapped(f"Refused ({refusal.code}): {refusal.message}")
    for evidence in refusal.evidence:
        lines += wrapped(evidence, first="  seen: ", then="        ")
    reason = reason_of(refusal.code)
    if reason is not None:
        lines += wrapped(reason.meaning, first="  this means: ", then="    ")
        if reason.remedy != NOTHING_TO_DO:
            remedy = reason.remedy.replace("SERVICE", service)
            lines += wrapped(remedy, first="  what to do: ", then="    ")
    return lines


def silent(fault: "NobodyAnswers") -> Failure:
    """Nobody answered at one socket, found out when asking."""
    return silence([("", fault.socket, fault.reason)], sent=fault.sent)


def silence(tried: list[tuple[str, Path, str]], *, sent: bool = False) -> Failure:
    """Nobody answered. `tried`: site, socket and what happened there; `sent`: the request may have
    arrived all the same."""
    lines = ["Nobody answered."]
    for site, socket, reason in tried:
        lines.append(f"  {site + ': ' if site else ''}{socket}: {reason}")
    if sent:
        lines.append(
            "The request may have arrived all the same: look with `twinsite runs` before asking again."
        )
    sites = next((site for site, _, _ in tried if site), "SITE")
    lines += [
        "What to do:",
        f"  - is the controller running on this host? It is started with: twinsite controller --site {sites}",
        "  - ask the other site's controller: on its host, or with --site before the verb if it is here",
    ]
    if any("may not use" in reason for _, _, reason in tried):
        lines.append("  - this user may not ask: try again with sudo")
    return Failure("\n".join(lines), SILENT)


def ended_by(fault: Exception) -> Failure:
    """How the command ends because of `fault`, which nobody has handled."""
    from orchestrator.errors import OrchestratorError, OrchestratorMisuse, OrchestratorTrouble
    from orchestrator.store.base import StoreError, StoreMisuse
    from probes.errors import ProbesError, ProbesMisuse
    from runbooks.errors import RunbooksError, RunbooksMisuse
    from sites.errors import SitesError, SitesMisuse

    while isinstance(fault, ExceptionGroup) and len(fault.exceptions) == 1:
        fault = fault.exceptions[0]  # of a group of tasks, the one that failed
    if isinstance(fault, OrchestratorError) and (failure := _ended_by_controller(fault)):
        return failure
    if isinstance(fault, SitesMisuse | ProbesMisuse | RunbooksMisuse | OrchestratorMisuse | StoreMisuse):
        return Failure(str(fault), WRONG)
    if isinstance(
        fault, SitesError | ProbesError | RunbooksError | OrchestratorTrouble | OrchestratorError | StoreError
    ):
        return Failure(f"Failed: {fault}", FAILED)
    return unexpected(fault)


def _ended_by_controller(fault: Exception) -> Failure | None:
    from orchestrator.api.client import NobodyAnswers, Refused, WrongRequest

    if isinstance(fault, NobodyAnswers):
        return silent(fault)
    if isinstance(fault, Refused):
        return refused(fault.refusal)
    if isinstance(fault, WrongRequest):
        lines = [fault.refusal.message, *(f"  {line}" for line in fault.refusal.evidence)]
        return Failure("\n".join(lines), WRONG)
    return None


def unexpected(fault: BaseException) -> Failure:
    """The last resort: one sentence, and where the details are."""
    if os.environ.get("TWINSITE_DEBUG"):
        traceback.print_exception(fault, file=sys.stderr)
    place = _details_kept(fault)
    told = f"the details are in {place}" if place else "TWINSITE_DEBUG=1 shows the details"
    said = " ".join(str(fault).split())[:200]
    return Failure(
        f"Failed: something that twinsite has no name for ({type(fault).__name__}: {said}); {told}.", 1
    )


def _details_kept(fault: BaseException) -> Path | None:
    """Write the last such error down, the one before it being overwritten; None if that is not possible."""
    home = os.environ.get("XDG_STATE_HOME")
    for folder in (Path(home) if home else Path.home() / ".local" / "state", Path(tempfile.gettempdir())):
        place = folder / "twinsite" / "last-error.txt"
        try:
            place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            text = "".join(traceback.format_exception(fault))
            with open(
                os.open(place, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "w"
            ) as file:
                file.write(f"twinsite {' '.join(sys.argv[1:])}\n{text}")
        except (OSError, RuntimeError):
            continue
        return place
    return None
