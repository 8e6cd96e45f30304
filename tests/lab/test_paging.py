"""Who is told, with real processes: real etcd with its users and roles, two controllers, a web hook. One site
is lost, and comes back.
"""

import asyncio
from pathlib import Path

import pytest
from rich.console import Console

from orchestrator.lab import acts
from orchestrator.lab.places import DATA_SITES, HOME
from orchestrator.lab.run import running_lab
from orchestrator.lab.stage import Stage
from tests.support.receivers import WebHook

pytest.importorskip("apprise", reason="the extra `notify` is not installed")
pytestmark = pytest.mark.slow
PATIENCE_SECONDS = 120.0
NOTIFY = """
notify:
  - name: on-call
    when: [failover, down, site-dark, unprotected, store]
    to: {url}
"""


async def told(hook: WebHook, *words: str) -> str:
    """The first message that says all of this, as soon as it is there."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            for given in hook.given:
                if all(word in f"{given['title']}\n{given['message']}" for word in words):
                    return f"{given['title']}\n{given['message']}"
            hook.arrived.clear()
            await hook.arrived.wait()


async def named(stage: Stage, hook: WebHook) -> None:
    """Both controllers know whom to tell: they read the estate file when they are forked."""
    await acts.everything_steady(stage)
    estate = stage.sites.layout.estate
    estate.write_text(estate.read_text(encoding="utf-8") + NOTIFY.format(url=hook.url), encoding="utf-8")
    for site in DATA_SITES:
        stage.sites.faults.kill(site, "controller")
    await acts.everything_steady(stage)


async def test_of_a_lost_site_the_other_one_tells_once_what_to_know_and_to_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    lost, survivor = HOME[acts.MOVED], acts.other(HOME[acts.MOVED])
    async with WebHook().serving() as hook, running_lab(Console(highlight=False)) as stage:
        await named(stage, hook)
        hook.given.clear()
        before = await acts.begin(stage)
        stage.sites.kill_site(lost)
        await acts.taken_over(stage, acts.MOVED, survivor, before)
        letter = await told(hook, "failover", lost)
        assert "twinsite " in letter, "the command to type"
        code, said = await stage.sites.order(
            survivor, "acknowledge", "--site", lost, "--reason", "power cut, electricians are on their way"
        )
        assert code == 0, said
        stage.sites.heal_site(lost)
        await acts.everything_steady(stage)
        titles = [given["title"] for given in hook.given]
        assert len(titles) == len(set(titles)), "each event is told of once, by one of the two"
