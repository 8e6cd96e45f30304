"""The `script` action: a file that stands beside the runbook, copied to a host and run there.

The host gets what the plan holds, through the same wrapper as a command (P26), and looks before it runs it
whether it is that, byte for byte. Arguments and variables are data: every one is quoted here.
"""

import re
import shlex
from typing import Annotated

from pydantic import AfterValidator, Field

from runbooks.catalogue import FileText, OnHost
from runbooks.context import ActionContext, Call, Result
from runbooks.errors import ActionMisused, StepFailed
from runbooks.remote import Ended, name_on_host, run_on_host
from runbooks.shipped import SHA256, sha256_of
from runbooks.templates import Manner
from sites.errors import CommandRefused

REFUSED_STATUS = 76
WORDS_LIMIT_BYTES = 32 * 1024
_REFUSAL = re.compile(r"^twinsite-script: refused ([a-z-]+): (.*)$", re.MULTILINE)
_VARIABLE = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*$")

_COMMAND = """\
twinsite_folder=$HOME/.twinsite/scripts
twinsite_file=$twinsite_folder/{name}
refuse() {{
  rm -f "$twinsite_file"
  printf 'twinsite-script: refused %s: %s\\n' "$1" "$2" >&2
  exit {refused}
}}
(umask 077; mkdir -p "$twinsite_folder" && cat > "$twinsite_file") ||
  refuse unwritable "cannot write $twinsite_file; is the disk full, the folder another user's?"
find "$twinsite_folder" -type f -mtime +1 -exec rm -f {{}} + 2> /dev/null
if command -v sha256sum > /dev/null 2>&1; then twinsite_sum=$(sha256sum < "$twinsite_file")
elif command -v shasum > /dev/null 2>&1; then twinsite_sum=$(shasum -a 256 < "$twinsite_file")
elif command -v openssl > /dev/null 2>&1; then twinsite_sum=$(openssl dgst -sha256 -r < "$twinsite_file")
else refuse no-hash "neither sha256sum, shasum nor openssl is on this host; install one of them"
fi
twinsite_sum=${{twinsite_sum%% *}}
[ "$twinsite_sum" = {sha256} ] || refuse differs "$twinsite_sum"
chmod 700 "$twinsite_file"
{variables}{interpreter}"$twinsite_file"{words} < /dev/null
twinsite_status=$?
rm -f "$twinsite_file"
exit "$twinsite_status"
"""


def _variables(given: dict[str, str]) -> dict[str, str]:
    for name, value in given.items():
        if not _VARIABLE.match(name) or name.startswith("twinsite_"):
            raise ValueError(f"expected names of variables, such as DAYS_KEPT; {name!r} cannot be one")
        if "\0" in value:
            raise ValueError(f"expected a value without a zero byte in {name}")
    return given


def _words(given: list[str]) -> list[str]:
    if any("\0" in word for word in given):
        raise ValueError("expected arguments without a zero byte")
    if sum(len(word.encode()) for word in given) > WORDS_LIMIT_BYTES:
        raise ValueError(f"expected at most {WORDS_LIMIT_BYTES} bytes of arguments")
    return given


def _interpreter(text: str | None) -> str | None:
    if text is not None and not re.match(r"^[A-Za-z0-9_./-]+( -[A-Za-z0-9_.=-]+)*$", text):
        raise ValueError("expected a program and its options, such as python3 -u")
    return text


class ScriptArguments(OnHost):
    """Arguments of `script`."""

    file: FileText = Field(description="the script, its path relative to the runbook")
    arguments: Annotated[list[str], AfterValidator(_words)] = Field(
        default_factory=list, description="what it is given, one word each, whatever they hold"
    )
    environment: Annotated[dict[str, str], AfterValidator(_variables)] = Field(
        default_factory=dict, description="variables that it is given"
    )
    interpreter: Annotated[str | None, Manner.VERBATIM, AfterValidator(_interpreter)] = Field(
        None, description="what runs it; without it, its own #! line, else sh"
    )
    sha256: str = Field("", alias=SHA256)


async def run_script(context: ActionContext, call: Call) -> Result:
    """The action `script`. Raises StepFailed, Overtaken, CommandRefused when the host has another text than
    the plan, or an error of `sites.errors`."""
    asked: ScriptArguments = call.arguments
    text = call.plan.file(asked.sha256)
    if text is None or sha256_of(text) != asked.sha256:
        raise ActionMisused(
            f"the plan of run {call.plan.id} does not hold {asked.file} as it was planned "
            f"({asked.sha256[:12]}); order the move again"
        )
    done = await run_on_host(context, call, _command(call, asked, text), stdin=text)
    _raise_refusal(call, asked, done)
    if done.exit_status != 0:
        raise StepFailed(f"{asked.file}: exit {done.exit_status}: {done.said}", done.exit_status)
    return Result(f"{asked.file} ({asked.sha256[:12]}): {done.said}", 0)


def _command(call: Call, asked: ScriptArguments, text: str) -> str:
    plan = call.plan
    given = {
        "TWINSITE_SERVICE": plan.service,
        "TWINSITE_FROM_SITE": plan.from_site,
        "TWINSITE_TO_SITE": plan.to_site,
        "TWINSITE_RUN": plan.id,
        "TWINSITE_KIND": str(plan.kind),
        **asked.environment,
    }
    interpreter = asked.interpreter or ("" if text.startswith("#!") else "sh")
    return _COMMAND.format(
        name=shlex.quote(f"{plan.id}@{name_on_host(call.step.id)}"),
        refused=REFUSED_STATUS,
        sha256=asked.sha256,
        variables="".join(f"{name}={shlex.quote(value)} " for name, value in given.items()),
        interpreter=f"{interpreter} " if interpreter else "",
        words="".join(f" {shlex.quote(word)}" for word in asked.arguments),
    )


def _raise_refusal(call: Call, asked: ScriptArguments, done: Ended) -> None:
    refusal = _REFUSAL.search(done.stderr) if done.exit_status == REFUSED_STATUS else None
    if refusal is None:
        return
    why = refusal[2]
    if refusal[1] == "differs":
        why = (
            f"what arrived is not what was planned: SHA-256 {refusal[2]} there, {asked.sha256} in the plan. "
            f"See whether the disk of {call.step.host} is full and who writes in ~/.twinsite/scripts there, "
            "then order the step again"
        )
    raise CommandRefused(f"{call.step.host}: {asked.file} was not run, {why}", code=refusal[1])
