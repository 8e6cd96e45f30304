"""Verbs that hurt a lab and heal it. What they do and print is `orchestrator.lab`'s; here only arguments."""

from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from orchestrator.cli.failures import wrong
from orchestrator.cli.options import DURATION, Settings, pass_settings

DIRECTORY = click.option(
    "--directory",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="The lab's folder, if there are several.",
)


class LabName(click.ParamType[str]):
    """A name of something in a lab. Labs have all the same names, so a shell can complete them."""

    def __init__(self, kind: str) -> None:
        self.name = kind

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """As it is; whether it exists is said with the names that do."""
        return str(value)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """The names that begin so; the processes are those of the site already typed."""
        names = _names(self.name, str(ctx.params.get("site") or ""))
        return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def _names(kind: str, site: str) -> tuple[str, ...]:
    from orchestrator.lab.faults import all_process_names, process_names
    from orchestrator.lab.places import PLACES, SITES

    if kind == "process":
        return process_names(site) if site in SITES else all_process_names()
    return PLACES if kind == "place" else SITES


class Share(click.ParamType[float]):
    """A share of packets, such as 1%; becomes a number from 0 to 1."""

    name = "share"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """From 0 to 1."""
        if isinstance(value, float):
            return value
        try:
            found = float(str(value).removesuffix("%")) / 100
        except ValueError:
            found = -1.0
        if not str(value).endswith("%") or not 0.0 <= found <= 1.0:
            self.fail(f"{value!r}: expected a share of packets, such as 1% or 0.5%", param, ctx)
        return found


class Offset(click.ParamType[float]):
    """A duration with its sign, such as +90s or -5m; becomes seconds."""

    name = "offset"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds."""
        from sites.quantities import parse_duration

        text = str(value)
        try:
            return parse_duration(text.lstrip("+-")) * (-1 if text.startswith("-") else 1)
        except ValueError as fault:
            self.fail(f"{value!r}: {fault}, with + or - before it", param, ctx)


PLACE, LAB_SITE, PROCESS = LabName("place"), LabName("site"), LabName("process")


def which_lab(settings: Settings, directory: Path | None) -> Path:
    """The lab that is meant: the folder named, that of the estate file named, or the only one there is.
    Never a guess between several: one of them may be somebody else's evening."""
    from orchestrator.lab.places import labs

    if directory is not None:
        return directory
    if settings.config is not None:
        return settings.config.absolute().parent
    found = labs()
    kept = [one for one in found if one.kept] or found
    if not kept:
        raise wrong("No lab is running; `twinsite lab --keep` starts one and leaves it running.")
    if len(kept) > 1:
        folders = "\n".join(f"  --directory {one.directory}" for one in kept)
        raise wrong(f"Several labs are running; say which:\n{folders}")
    return Path(kept[0].directory)


def _end(code: int) -> None:
    click.get_current_context().exit(code)


@click.command()
@click.argument("site", type=LAB_SITE)
@click.argument("process", type=PROCESS, required=False)
@click.option("--with-parent", is_flag=True, help="Of controller or keeper: also the parent that forks it.")
@DIRECTORY
@pass_settings
def kill(
    settings: Settings, site: str, process: str | None, with_parent: bool, directory: Path | None
) -> None:
    """Kill a site, or one process of it.

    A site dies as by a power cut: every process of it at once. A process is killed with SIGKILL; what an init
    looks after (controller, witness, guards, etcd, sshd) is started again in a fifth of a second, a database
    is not. Controller and keeper have a parent that starts them again in milliseconds: `--with-parent` kills
    that one, too. The processes of a data site are controller, keeper, etcd, sshd, postgres-crm, postgres-ebs
    and, where there are guards, guard-crm and guard-ebs; those of the witness are witness and etcd.

    \b
    Examples:
      twinsite lab kill morpeth
      twinsite lab kill morpeth postgres-ebs
    """
    from orchestrator.lab.fault_commands import kill_command

    _end(kill_command(site, process, with_parent=with_parent, directory=which_lab(settings, directory)))


@click.command()
@click.argument("site", type=LAB_SITE)
@click.argument("process", type=PROCESS)
@DIRECTORY
@pass_settings
def stop(settings: Settings, site: str, process: str, directory: Path | None) -> None:
    """Let a process stand still (SIGSTOP).

    It does nothing any more, and its connections stay open: the hardest kind of failure to notice. Which
    processes there are is said by `twinsite lab kill --help`.

    \b
    Examples:
      twinsite lab stop morpeth keeper
      twinsite lab stop derwentside etcd
    """
    from orchestrator.lab.fault_commands import stop_command

    _end(stop_command(site, process, directory=which_lab(settings, directory)))


@click.command()
@click.argument("site", type=LAB_SITE)
@click.argument("process", type=PROCESS, required=False)
@DIRECTORY
@pass_settings
def go(settings: Settings, site: str, process: str | None, directory: Path | None) -> None:
    """Let a process go on that stands still, or all of a site's.

    \b
    Examples:
      twinsite lab go morpeth keeper
      twinsite lab go morpeth
    """
    from orchestrator.lab.fault_commands import go_command

    _end(go_command(site, process, directory=which_lab(settings, directory)))


@click.command()
@click.argument("one", metavar="A", type=PLACE)
@click.argument("other", metavar="B", type=PLACE)
@click.option("--one-way", is_flag=True, help="Only packets from A to B; those from B to A pass.")
@click.option("--store-only", is_flag=True, help="Only the store's packets, on etcd's two ports.")
@DIRECTORY
@pass_settings
def cut(
    settings: Settings, one: str, other: str, one_way: bool, store_only: bool, directory: Path | None
) -> None:
    """Cut a link: packets between two places are dropped.

    Nobody is told: connections hang, as they do when a line is dug up. The places are durham, morpeth,
    derwentside and users, where the clients are. Needs a lab in network namespaces (`lab --netns --keep`).

    \b
    Examples:
      twinsite lab cut durham morpeth
      twinsite lab cut morpeth derwentside --one-way
      twinsite lab cut users morpeth
    """
    from orchestrator.lab.fault_commands import cut_command

    lab = which_lab(settings, directory)
    _end(cut_command(one, other, one_way=one_way, store_only=store_only, directory=lab))


@click.command()
@click.argument("places", metavar="[A B]", type=PLACE, nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Every link of the lab.")
@DIRECTORY
@pass_settings
def mend(settings: Settings, places: tuple[str, ...], everything: bool, directory: Path | None) -> None:
    """Mend a link: no cut, no delay, no loss, in both directions.

    \b
    Examples:
      twinsite lab mend durham morpeth
      twinsite lab mend --all
    """
    from orchestrator.lab.fault_commands import mend_command

    _end(mend_command(places, everything=everything, directory=which_lab(settings, directory)))


@click.command()
@click.argument("one", metavar="A", type=PLACE)
@click.argument("other", metavar="B", type=PLACE)
@click.argument("delay_seconds", metavar="DELAY", type=DURATION)
@click.option("--jitter", type=DURATION, default="0s", metavar="TIME", help="Up to so much more, at random.")
@click.option("--loss", type=Share(), default="0%", metavar="SHARE", help="Packets that get lost, e.g. 1%.")
@click.option("--one-way", is_flag=True, help="Only packets from A to B.")
@DIRECTORY
@pass_settings
def delay(
    settings: Settings,
    one: str,
    other: str,
    delay_seconds: float,
    jitter: float,
    loss: float,
    one_way: bool,
    directory: Path | None,
) -> None:
    """Make a link slow: every packet takes so long, each way.

    An answer takes twice the delay. Packets never overtake each other. `lab mend` makes it quick again.

    \b
    Examples:
      twinsite lab delay durham morpeth 20ms
      twinsite lab delay durham morpeth 10ms --jitter 5ms --loss 1%
    """
    from orchestrator.lab.fault_commands import delay_command

    lab = which_lab(settings, directory)
    _end(
        delay_command(
            one, other, delay_seconds, jitter_seconds=jitter, loss=loss, one_way=one_way, directory=lab
        )
    )


@click.command()
@DIRECTORY
@pass_settings
def links(settings: Settings, directory: Path | None) -> None:
    """Show every link, each way: its fault, and what became of packets.

    \b
    Example:
      twinsite lab links
    """
    from orchestrator.lab.fault_commands import links_command

    _end(links_command(directory=which_lab(settings, directory)))


@click.command()
@click.argument("site", type=LAB_SITE)
@DIRECTORY
@pass_settings
def freeze(settings: Settings, site: str, directory: Path | None) -> None:
    """Pause a site: every process of its hosts, and its network.

    What a pause of its virtual machines looks like from outside. From inside it is not quite the same: the
    clocks of a paused machine may stand still too, those of a lab never do.

    \b
    Example:
      twinsite lab freeze morpeth
    """
    from orchestrator.lab.fault_commands import freeze_command

    _end(freeze_command(site, directory=which_lab(settings, directory)))


@click.command()
@click.argument("site", type=LAB_SITE)
@DIRECTORY
@pass_settings
def thaw(settings: Settings, site: str, directory: Path | None) -> None:
    """Let a paused site go on where it was.

    \b
    Example:
      twinsite lab thaw morpeth
    """
    from orchestrator.lab.fault_commands import thaw_command

    _end(thaw_command(site, directory=which_lab(settings, directory)))


@click.command()
@click.argument("site", type=LAB_SITE)
@DIRECTORY
@pass_settings
def fill(settings: Settings, site: str, directory: Path | None) -> None:
    """Fill the disk on which a site's controller keeps its state.

    Journal, notes and sockets are on a small disk of their own in a lab in network namespaces; not one byte
    more can be written on it. Databases and the store have other disks. `lab heal` makes room.

    \b
    Example:
      twinsite lab fill morpeth
    """
    from orchestrator.lab.fault_commands import fill_command

    _end(fill_command(site, directory=which_lab(settings, directory)))


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("site", type=LAB_SITE)
@click.argument("offset", type=Offset())
@DIRECTORY
@pass_settings
def clock(settings: Settings, site: str, offset: float, directory: Path | None) -> None:
    """Let the wall clock of a site's twinsite processes jump.

    OFFSET is how far it is off from now on, such as +90s, -5m or +0s. Time since boot goes on as before.
    Needs libfaketime when the lab starts; `tools/fetch-faketime` gets it. etcd and PostgreSQL see no jump.

    \b
    Examples:
      twinsite lab clock morpeth +90s
      twinsite lab clock morpeth +0s
    """
    from orchestrator.lab.fault_commands import clock_command

    _end(clock_command(site, offset, directory=which_lab(settings, directory)))


@click.command()
@click.argument("site", type=LAB_SITE, required=False)
@DIRECTORY
@pass_settings
def heal(settings: Settings, site: str | None, directory: Path | None) -> None:
    """Undo every fault, of one site or of all.

    A dead site's machines start as after a power cut, what stands still goes on, links are mended, disks have
    room, clocks are right.

    \b
    Examples:
      twinsite lab heal morpeth
      twinsite lab heal
    """
    from orchestrator.lab.fault_commands import heal_command

    _end(heal_command(site, directory=which_lab(settings, directory)))


@click.command()
@DIRECTORY
@pass_settings
def down(settings: Settings, directory: Path | None) -> None:
    """End a kept lab and take its files away.

    Also sweeps away what labs in network namespaces have left whose every process was killed.

    \b
    Example:
      twinsite lab down
    """
    from orchestrator.lab.places import labs
    from orchestrator.lab.run import down_command, sweep_command

    swept = directory is None and settings.config is None and sweep_command() > 0
    if not (swept and not labs()):
        _end(down_command(directory=which_lab(settings, directory)))


COMMANDS: tuple[click.Command, ...] = (
    kill, stop, go, freeze, thaw, cut, delay, mend, links, fill, clock, heal, down,
)  # fmt: skip
