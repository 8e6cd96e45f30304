"""What `pip install twinsite` would bring: exactly four packages, with their runbooks and scripts."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import orchestrator
import probes
import runbooks
import sites

ROOT = Path(__file__).parents[2]
PACKAGES = {"orchestrator", "probes", "runbooks", "sites"}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-P", "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = folder.glob("twinsite-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_the_wheel_holds_the_four_packages_and_nothing_else(names: set[str]) -> None:
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == PACKAGES


def test_runbooks_and_host_scripts_ride_along(names: set[str]) -> None:
    shipped = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for pattern in ("**/*.yaml", "**/*.sh", "**/*.py")
        for path in (ROOT / package).glob(pattern)
    }
    assert shipped - names == set()


def test_every_package_states_the_same_product() -> None:
    assert {orchestrator.PRODUCT, probes.PRODUCT, runbooks.PRODUCT, sites.PRODUCT} == {"twinsite 0.1.0"}
