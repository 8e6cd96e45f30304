"""Every shell that this machine has runs the same tests."""

from pathlib import Path

import pytest

from tests.sites.wrapper.shells import Box, make_box


@pytest.fixture(params=["sh", "bash", "busybox", "sh-bare"])
def box(request: pytest.FixtureRequest, tmp_path: Path) -> Box:
    """A shell with its tools; `-bare` has neither flock nor setsid."""
    made = make_box(request.param, tmp_path)
    if isinstance(made, str):
        pytest.skip(made)
    return made


@pytest.fixture
def sh(tmp_path: Path) -> Box:
    """The system's own shell, for what does not depend on it."""
    made = make_box("sh", tmp_path)
    assert isinstance(made, Box)
    return made
