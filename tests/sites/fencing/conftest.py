"""Hosts with guards, ended with their test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.orchestrator.pki import Pki
from tests.sites.fencing.bench import Host


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    """One authority for all."""
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def host(tmp_path: Path, pki: Pki) -> Iterator[Host]:
    """A host that a test may set up before its guard is started."""
    made = Host(tmp_path, pki)
    yield made
    made.end()
