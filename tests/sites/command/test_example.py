"""The file tree of docs/command-driver.md: its own script and settings, with doubles of smbd, rsync, ssh."""

import re
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml

from sites.replication.catalogue import make_driver
from sites.replication.command.config import CommandSettings
from sites.replication.words import ReplicationDriver, Role
from tests.sites.command.ledgers import DURHAM, MORPETH, SITES, estate_of
from tests.support.local_transport import LocalTransport

PAGE = (Path(__file__).parents[3] / "docs" / "command-driver.md").read_text(encoding="utf-8")
DOUBLES = {
    "pgrep": '[ -e "$ROOT/smbd" ]',
    "systemctl": """\
case "$*" in
    "start smbd") : >"$ROOT/smbd" ;;
    *smbd) rm -f "$ROOT/smbd" ;;
    "start documents-copy.timer") : >"$ROOT/timer" ;;
    "start --no-block documents-copy.service") [ ! -e "$ROOT/timer" ] || sh "$ROOT/tree" copy ;;
    "stop documents-copy.timer"*) rm -f "$ROOT/timer" ;;
    "is-active --quiet documents-copy.timer") [ -e "$ROOT/timer" ] ;;
esac""",
    # The other host is the other folder.
    "ssh": 'shift; export ROOT="$PEER" PEER="$ROOT"; exec sh -c "$(echo "$*" | sed "s|$PEER/|$ROOT/|g")"',
    "rsync": """\
kept=
for word; do
    case $word in --backup-dir=*) kept=${word#*=} ;; documents@*) from=$PEER/${word#*"$ROOT/"} ;; esac
    to=$word
done
cd "$to"
find . -type f | while read -r file; do
    cmp -s "$file" "$from$file" && continue
    [ -z "$kept" ] || { mkdir -p "$kept" && cp -p "$file" "$kept/"; }
    rm "$file"
done
cp -pR "$from." .""",
}


def example(kind: str, mark: str) -> str:
    """The block of the page that has this mark in it."""
    return next(
        block
        for block in re.findall(rf"^```{kind}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
        if mark in block
    )


@pytest.fixture
async def driver(tmp_path: Path) -> AsyncIterator[ReplicationDriver]:
    """A driver with the page's settings, the paths being folders of this test."""
    script = example("sh", "documents/tree, the same at both sites")
    for site in SITES:
        root = tmp_path / site
        for folder in ("documents", "noted", "bin"):
            (root / folder).mkdir(parents=True)
        (root / "tree").write_text(script.replace("/srv/", f"{root}/"))
        for name, body in DOUBLES.items():
            (root / "bin" / name).write_text(f"#!/bin/sh\n{body}\n")
            (root / "bin" / name).chmod(0o755)
        noted = {"id": "documents-1", "history": "g1", "role": "primary" if site == DURHAM else "standby"}
        noted["began"] = str(int(time.time()) - 20)
        noted["source"] = "127.0.0.1"
        for name, text in noted.items():
            (root / "noted" / name).write_text(f"{text}\n")
    (tmp_path / DURHAM / "smbd").touch()
    (tmp_path / MORPETH / "timer").touch()
    settings = yaml.safe_load(example("yaml", "failover: manual"))
    given = settings["services"]["documents"]["replication"]
    given["hosts"] = dict.fromkeys(given["hosts"], "tree")
    for word in given.values():
        if isinstance(word, dict) and "run" in word:
            there = f"root={tmp_path}/{{{{ site }}}}; peer={tmp_path}/{{{{ peer_site }}}}; "
            there += 'export ROOT="$root" PEER="$peer" PATH="$root/bin:$PATH"; sh '
            word["run"] = there + word["run"].replace("/usr/local/lib/documents/tree", '"$root"/tree')
    given.pop("driver")
    given["look_every"] = "200ms"
    estate = estate_of(given)
    assert list(CommandSettings.model_validate(given).check(estate, estate.services["tree"])) == []
    made = make_driver(estate.services["tree"], estate, LocalTransport())
    yield made
    await made.aclose()


async def test_the_example_of_the_page_is_moved_lost_and_brought_back(
    driver: ReplicationDriver, tmp_path: Path
) -> None:
    durham, morpeth = tmp_path / DURHAM / "documents", tmp_path / MORPETH / "documents"
    (durham / "a minute.txt").write_text("first")
    primary, standby = await driver.sample(DURHAM), await driver.sample(MORPETH)
    assert (primary.role, primary.writable) == (Role.PRIMARY, True), primary.reason
    assert (standby.role, standby.writable, standby.streaming) == (Role.STANDBY, False, True), standby.reason
    assert standby.behind_seconds is not None
    assert 19 <= standby.behind_seconds <= 25

    closed = await driver.close(DURHAM, within_seconds=10)
    assert closed.final_position is not None, closed.evidence
    assert await driver.caught_up(MORPETH, closed.final_position, timeout_seconds=10)
    promoted = await driver.promote(MORPETH, timeout_seconds=10)
    assert promoted.position.history != "g1"
    assert (morpeth / "a minute.txt").read_text() == "first"
    done = await driver.rejoin(DURHAM, primary_site=MORPETH, timeout_seconds=10)
    assert (done.method, done.divergent_bytes) == ("follow", 0)

    (morpeth / "lost.txt").write_text("only here")
    assert (await driver.fence(MORPETH, within_seconds=5)).verified
    assert (await driver.sample(MORPETH)).role is Role.DOWN
    assert (await driver.close(MORPETH, within_seconds=5)).final_position is None
    await driver.promote(DURHAM, timeout_seconds=10)
    done = await driver.rejoin(MORPETH, primary_site=DURHAM, timeout_seconds=10)
    assert (done.method, done.divergent_bytes) == ("rewind", len("only here"))
    assert done.saved_at is not None
    assert (Path(done.saved_at) / "lost.txt").read_text() == "only here"
    assert not (morpeth / "lost.txt").exists()
    again = await driver.sample(MORPETH)
    assert (again.role, again.streaming) == (Role.STANDBY, True)
