"""A real pair of ledgers, one per test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.sites.command.ledgers import Ledgers, made_ledgers


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Ledgers]:
    """Durham's is the primary."""
    async with made_ledgers(tmp_path) as made:
        yield made
