"""Keeps what the engine logs out of the way of what tests say."""

from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs


@pytest.fixture(autouse=True)
def logs() -> Iterator[list]:
    """What was logged during the test."""
    with capture_logs() as captured:
        yield captured
