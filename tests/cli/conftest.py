"""An estate file, a controller that answers at Durham, and the command as a person calls it."""

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from orchestrator.cli.group import cli
from tests.cli import canned
from tests.cli.fake_controller import FakeController

Command = Callable[..., Result]


@pytest.fixture
def estate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An estate file in a folder with a path short enough for sockets."""
    for name in ("TWINSITE_CONFIG", "TWINSITE_SITE", "TWINSITE_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    with tempfile.TemporaryDirectory(prefix="tws-") as folder:
        path = Path(folder) / "sites.yaml"
        path.write_text(canned.ESTATE)
        yield path
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def durham(estate: Path) -> Iterator[FakeController]:
    """Durham's controller, of a steady estate."""
    with FakeController(estate.parent / "durham" / "controller.sock") as controller:
        controller.says("GET", "/v1/status", canned.steady())
        yield controller


@pytest.fixture
def twinsite(estate: Path) -> Command:
    """The command with this estate; standard output and error are apart."""

    def call(*arguments: str) -> Result:
        return CliRunner().invoke(cli, ["--config", str(estate), *arguments], prog_name="twinsite")

    return call
