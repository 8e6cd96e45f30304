"""Waiting for a service's probes by their name."""

import asyncio
from pathlib import Path

import pytest

from probes.model import Verdict
from runbooks.errors import ActionMisused
from runbooks.probing import ServiceProbes
from sites.model import ProbeSpec
from tests.probes.worlds import closed_port, context
from tests.runbooks.worlds import CRM, ESTATE


def probes(port: int, kind: str = "tcp", **keys: object) -> ServiceProbes:
    spec = ProbeSpec.model_validate(
        {"name": "door", "kind": kind, "timeout": "500ms", **(keys or {"address": f"127.0.0.1:{port}"})}
    )
    return ServiceProbes(ESTATE, CRM.model_copy(update={"probes": [spec]}), context())


async def test_it_says_up_as_soon_as_the_door_opens(tmp_path: Path) -> None:
    port = closed_port()
    door = probes(port)
    waiting = asyncio.create_task(door("door", "morpeth", timeout_seconds=30))
    await asyncio.sleep(0.3)
    assert not waiting.done()
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", port)
    async with server:
        assert (await waiting).verdict is Verdict.UP
    await door.aclose()


async def test_with_no_time_it_tries_once_and_says_what_it_saw() -> None:
    door = probes(closed_port())
    result = await door("door", "morpeth", timeout_seconds=0)
    assert result.verdict is Verdict.DOWN
    assert result.reason == "refused"
    await door.aclose()


async def test_a_probe_that_is_not_there_or_cannot_be_made_is_misuse() -> None:
    with pytest.raises(ActionMisused, match="no probe 'window'"):
        await probes(1)("window", "morpeth", timeout_seconds=0)
    with pytest.raises(ActionMisused, match="probe 'door'"):
        await probes(1, kind="teleport", nothing="x")("door", "morpeth", timeout_seconds=0)
