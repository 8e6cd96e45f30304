"""A letter by a receiver's own templates, and what is wrong with those. Reads their files, in a thread."""

from collections.abc import Iterator
from pathlib import Path

import structlog

from orchestrator.paging.event import Event
from orchestrator.paging.message import (
    BODY,
    TEMPLATE_BYTES,
    TITLE,
    Envelope,
    Letter,
    TemplateWrong,
    rendered,
    template_faults,
)
from orchestrator.paging.ways import address_fault
from sites.notify import NotifySpec, scheme_of
from sites.secrets import is_reference

log = structlog.get_logger(__name__)


def letter_of(
    spec: NotifySpec, base: Path, envelope: Envelope, events: tuple[Event, ...]
) -> tuple[Letter, str]:
    """The letter, and why it is not by the receiver's own templates ("" when it is)."""
    try:
        return rendered(envelope, events, read_templates(spec, base)), ""
    except (OSError, ValueError, TemplateWrong) as fault:
        log.error("template-not-used", receiver=envelope.receiver, problem=str(fault))
        problem = f"{envelope.receiver}'s template is not used, the usual one is: {fault}"
        return rendered(envelope, events, {}), problem


def _files(spec: NotifySpec) -> Iterator[tuple[str, str]]:
    for part, name in ((TITLE, spec.templates.title), (BODY, spec.templates.body)):
        if name is not None:
            yield part, name


def read_templates(spec: NotifySpec, base: Path) -> dict[str, str]:
    """The templates that a receiver has of its own. Raises OSError, and ValueError for what is no text or is
    too much."""
    return {part: _read(base / name) for part, name in _files(spec)}


def _read(path: Path) -> str:
    with path.open("rb") as file:
        content = file.read(TEMPLATE_BYTES + 1)
    if len(content) > TEMPLATE_BYTES:
        raise ValueError(f"{path.name}: more than {TEMPLATE_BYTES // 1024} KiB")
    return content.decode("utf-8")


def receiver_faults(spec: NotifySpec, base: Path) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """What is wrong with a receiver's addresses and templates: the way to it beneath the receiver, and a
    sentence. Of an address that is a secret nothing is said here, nor of any where apprise is missing."""
    listed = not isinstance(spec.to, str)
    for number, address in enumerate(spec.addresses):
        if not is_reference(address) and scheme_of(address) and (wrong := address_fault(address)):
            yield ("to", number) if listed else ("to",), f"{scheme_of(address)}://…: {wrong}"
    for part, name in _files(spec):
        at = ("templates", part)
        try:
            text = _read(base / name)
        except FileNotFoundError:
            yield (
                at,
                f"there is no template {name} beside this file; `twinsite notify template {part}` prints one",
            )
        except OSError as fault:
            yield at, f"the template {name} cannot be read: {fault.strerror}"
        except ValueError as fault:
            yield at, f"the template {name} is no text in UTF-8, or too much: {fault}"
        else:
            for found in template_faults(part, text):
                yield at, f"the template {name} is wrong: {found}"
