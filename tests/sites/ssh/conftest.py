"""Three kinds of host that keep one promise."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sites.ssh import SshTransport
from tests.sites.ssh.servers import Served, in_process, lab_process, openssh


@pytest.fixture(
    params=[
        "in-process",
        pytest.param("lab-process", marks=pytest.mark.slow),
        pytest.param("openssh", marks=pytest.mark.slow),
    ]
)
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Served]:
    """A real host: the lab's server in this process, in one of its own, and OpenSSH's."""
    if request.param == "in-process":
        async with in_process(tmp_path) as served:
            yield served
    elif request.param == "lab-process":
        with lab_process(tmp_path) as (served, _):
            yield served
    else:
        with openssh(tmp_path) as (served, _):
            yield served


@pytest.fixture
async def near(tmp_path: Path) -> AsyncIterator[Served]:
    """The quickest real host, for what does not depend on the server."""
    async with in_process(tmp_path) as served:
        yield served


@pytest.fixture
async def transport(place: Served) -> AsyncIterator[SshTransport]:
    """A transport to `place`, closed afterwards."""
    carrier = SshTransport(place.spec, place.base)
    yield carrier
    await carrier.aclose()
