"""From the estate to the guard's own settings, and the verb that runs it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from orchestrator.cli.group import cli
from sites.fencing.config import GuardMisuse, guard_settings, kinds_of, settings_on_host
from sites.fencing.guard import Settings
from sites.inventory import load_estate
from sites.replication.catalogue import SETTINGS as DRIVERS

ESTATE = """\
version: 1
ownership: {fence_within: 1.5s, guard_every: 250ms}
store: {endpoints: ["https://a.example:2379", "https://b.example:2379", "https://c.example:2379"]}
sites:
  durham:
    guards: 10.0.1.9:8301
    tls: {ca: certs/ca.pem, cert: certs/durham.pem, key: certs/durham.key}
    hosts: {db: {address: 10.0.1.1}}
  morpeth: {hosts: {db: {address: 10.0.2.1}}}
  derwentside: {witness: true}
access: {operators: {vera: certs/operator-vera.pub}}
services:
  crm:
    home: durham
    standby: morpeth
    guard: GUARD
    replication:
      driver: postgres
      password: !env NOT_SET_HERE
      replication_password: !env NOT_SET_HERE
      instances:
        durham: {host: db, data: /srv/crm, bin: /usr/lib/postgresql/16/bin}
        morpeth: {host: db, data: /srv/crm, bin: /usr/lib/postgresql/16/bin}
  other: {home: durham, standby: morpeth}
"""
EVERYTHING = (
    "{proxy: {durham: {listen: '10.0.1.1:5432', to: '127.0.0.1:5433'},"
    " morpeth: {listen: '10.0.2.1:5432', to: '127.0.0.1:5433'}},"
    " nftables: {ports: [5433], always: [10.0.2.0/24]},"
    " command: {open: [a, b], close: [c], verify: [d]},"
    " watchdog: /dev/watchdog, processes: [postgres]}"
)


def written(folder: Path, guard: str) -> Path:
    path = folder / "sites.yaml"
    path.write_text(ESTATE.replace("GUARD", guard))
    return path


def settings_of(folder: Path, guard: str, service: str = "crm", site: str = "durham") -> dict[str, Any]:
    estate = load_estate(written(folder, guard), driver_settings=DRIVERS, resolve_secrets=False).estate
    return guard_settings(estate, service, site, folder)


def test_nothing_but_braces_is_a_guard_that_ends_the_servers_processes(tmp_path: Path) -> None:
    said = settings_of(tmp_path, "{}")
    assert said == {
        "service": "crm",
        "site": "durham",
        "host": "db",
        "controllers": ["10.0.1.9:8301"],
        "tls": {
            "ca": str(tmp_path / "certs/ca.pem"),
            "cert": str(tmp_path / "certs/guard-durham-crm.pem"),
            "key": str(tmp_path / "certs/guard-durham-crm.key"),
        },
        "state": "/var/lib/twinsite-guard/durham/crm",
        "fence_within_seconds": 1.5,
        "guard_every_seconds": 0.25,
        "operators": [str(tmp_path / "certs/operator-vera.pub")],
        "data": "/srv/crm",
        "stop": {"names": ["postgres", "postmaster"], "postgres": True},
    }
    assert Settings(said).guard_every_ns == 250_000_000


def test_everything_together_is_what_the_guard_takes(tmp_path: Path) -> None:
    settings = Settings(settings_of(tmp_path, EVERYTHING))
    assert {"nftables", "proxy", "command", "stop"} <= set(settings.said)
    assert settings.watchdog_seconds == 2
    there, files = settings_on_host(settings.said)
    Settings(there)
    assert there["tls"]["key"] == "/etc/twinsite/guard/guard-durham-crm.key"
    assert len(files) == 4


def test_the_ways_of_cutting_are_named(tmp_path: Path) -> None:
    estate = load_estate(written(tmp_path, EVERYTHING), driver_settings=DRIVERS, resolve_secrets=False).estate
    guard = estate.services["crm"].guard
    assert guard is not None
    assert kinds_of(guard) == ("stop", "proxy", "nftables", "command")


@pytest.mark.parametrize(
    ("service", "site", "told"),
    [
        ("crx", "durham", "there is no service 'crx'"),
        ("other", "durham", "other has no guard: write"),
        ("crm", "derwentside", "it is at durham and morpeth"),
        ("crm", "morpeth", "morpeth hears no guards"),
    ],
)
def test_what_is_missing_is_said_with_where_to_write_it(
    tmp_path: Path, service: str, site: str, told: str
) -> None:
    with pytest.raises(GuardMisuse, match=told):
        settings_of(tmp_path, "{}", service, site)


def run(folder: Path, *words: str, guard: str = "{}") -> Any:
    path = written(folder, guard)
    return CliRunner().invoke(cli, ["--config", str(path), "guard", *words])


def test_the_verb_prints_the_settings_that_the_file_takes(tmp_path: Path) -> None:
    done = run(tmp_path, "--service", "crm", "--site", "durham", "--settings")
    assert done.exit_code == 0, done.output
    Settings(json.loads(done.output))


def test_the_verb_makes_a_folder_for_a_host_without_twinsite(tmp_path: Path) -> None:
    folder = tmp_path / "for-crm-db"
    done = run(tmp_path, "--service", "crm", "--site", "durham", "--copy-to", str(folder))
    assert done.exit_code == 0, done.output
    assert "systemctl enable --now twinsite-guard-crm.service" in done.output
    assert sorted(path.name for path in folder.iterdir()) == [
        "crm.json",
        "guard.py",
        "twinsite-guard-crm.service",
    ]
    checked = subprocess.run(
        [sys.executable, "-I", str(folder / "guard.py"), "--config", str(folder / "crm.json"), "--check"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr
    again = run(tmp_path, "--service", "crm", "--site", "durham", "--copy-to", str(folder))
    assert again.exit_code == 2


def test_the_unit_runs_the_verb(tmp_path: Path) -> None:
    done = run(tmp_path, "--service", "crm", "--site", "durham", "--unit")
    assert f"--config {tmp_path}/sites.yaml guard --service crm --site durham" in done.output
    assert "WatchdogSec=5s" in done.output


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--service", "crm"], "--site SITE"),
        (["--service", "crm", "--site", "durhan"], "There is no site"),
        (["--service", "crm", "--site", "durham", "--unit", "--settings"], "one at a time"),
        (["--service", "other", "--site", "durham"], "has no guard"),
    ],
)
def test_wrong_usage_ends_with_a_sentence(tmp_path: Path, words: list[str], told: str) -> None:
    done = run(tmp_path, *words)
    assert done.exit_code == 2
    assert told in done.output


def test_a_corrupt_memory_is_repaired_by_the_verb(tmp_path: Path) -> None:
    guard = f"{{state: {tmp_path}/state}}"
    done = run(tmp_path, "--service", "crm", "--site", "durham", "--repair-memory", "7", "9", guard=guard)
    assert done.exit_code == 0, done.output
    assert '"epoch": 9' in (tmp_path / "state/durham/crm/memory").read_text()


PARTS = """\
    replication:
      driver: parts
      parts:
        - name: db
          driver: postgres
          password: !env NOT_SET_HERE
          replication_password: !env NOT_SET_HERE
          instances:
            durham: {host: db, data: /srv/crm, bin: /usr/lib/postgresql/16/bin}
            morpeth: {host: db, data: /srv/crm, bin: /usr/lib/postgresql/16/bin}
        - name: files
          driver: command
          hosts: {durham: db, morpeth: db}
          look: {run: tree look}
          fence: {run: tree fence}
          promote: {run: tree promote}
"""


def parts_settings(folder: Path, guard: str) -> dict[str, Any]:
    text = ESTATE.replace("GUARD", guard)
    begin, end = text.index("    replication:"), text.index("  other:")
    path = folder / "sites.yaml"
    path.write_text(text[:begin] + PARTS + text[end:])
    estate = load_estate(path, driver_settings=DRIVERS, resolve_secrets=False).estate
    return guard_settings(estate, "crm", "durham", folder)


FILES = "data: {durham: /srv/files, morpeth: /srv/files}, command: {open: [a], close: [c], verify: [d]}"


def test_the_guard_of_a_service_of_several_parts_ends_its_databases_and_closes_the_rest(
    tmp_path: Path,
) -> None:
    said = parts_settings(tmp_path, f"{{{FILES}}}")
    assert (said["host"], said["data"]) == ("db", "/srv/files")
    assert said["parts"] == [
        {"name": "db", "data": "/srv/crm", "names": ["postgres", "postmaster"], "postgres": True}
    ]
    assert said["command"] == {"open": ["a"], "close": ["c"], "verify": ["d"]}
    assert "stop" not in said
    taken = Settings(said)
    assert taken.places == ["/srv/files", "/srv/crm"], "beside each of them lies a permit"
    assert [type(kind).__name__ for kind in taken.kinds()] == ["Command", "Stops"]


def test_a_part_that_is_not_to_be_ended_has_a_permit_all_the_same(tmp_path: Path) -> None:
    said = parts_settings(tmp_path, f"{{stop: false, {FILES}}}")
    assert said["parts"] == [{"name": "db", "data": "/srv/crm"}]
    assert Settings(said).places == ["/srv/files", "/srv/crm"]
