"""No controller is left: a standby behind its guard is made primary by hand, and only with a certificate."""

import asyncio
import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.cli.emergency_session import Session
from orchestrator.emergency.certificate import CertificateUnfit
from orchestrator.emergency.drawing import CertificateMissing
from orchestrator.emergency.terminal import Verb, Verdict
from sites.model import Access, Estate, GuardSpec, SshSpec
from sites.replication.words import Role
from sites.ssh.by_hand import ByHand
from tests.emergency.worlds import DURHAM, MORPETH, Scripted, certificate, operator, order
from tests.orchestrator.pki import Pki
from tests.sites.fencing.bench import Host as GuardHost
from tests.sites.postgres.conftest import (  # noqa: F401  (fixtures)
    any_pair,
    copies,
    newest,
    newest_template,
    templates,
    whom,
)
from tests.sites.postgres.pairs import Pair, estate_of
from tests.sites.ssh.servers import lab_process

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="commands run as the database's user, which needs root"),
]


@pytest.fixture
def guard(tmp_path: Path, any_pair: Pair) -> Iterator[GuardHost]:  # noqa: F811
    """The guard of the database at Morpeth."""
    folder = tmp_path / "guard"
    folder.mkdir()
    host = GuardHost(folder, Pki(tmp_path))
    host.settings["site"] = MORPETH
    host.settings["host"] = "db"
    host.data = any_pair.data(MORPETH)
    host.state = any_pair.base / "guards" / MORPETH / "crm"
    host.settings |= {
        "data": str(host.data),
        "state": str(host.state),
        "stop": {"names": ["postgres", "postmaster"], "postgres": True},
    }
    yield host
    host.end()


def standing_by(pair: Pair, port: int, key: str, base: Path) -> Estate:
    """The pair's estate, its database host reached at that port, with a guard and an operator."""
    estate = estate_of(pair, {DURHAM: {}, MORPETH: {}}, {})
    spec = GuardSpec.model_validate({"state": str(pair.base / "guards")})
    service = estate.services["crm"].model_copy(update={"guard": spec})
    sites = {}
    for name, site in estate.sites.items():
        hosts = {
            role: host.model_copy(update={"port": port, "user": "root"}) for role, host in site.hosts.items()
        }
        sites[name] = site.model_copy(update={"hosts": hosts})
    return estate.model_copy(
        update={
            "services": {"crm": service},
            "sites": sites,
            "access": Access.model_validate({"operators": {"jo": key}}),
            "ssh": SshSpec.model_validate({"keys": ["client_key"], "connect_timeout": "3s"}),
        }
    )


async def until(condition: Callable[[], object], tries: int = 400) -> None:
    """A bound on the looks, not on the time."""
    for _ in range(tries):
        if condition():
            return
        await asyncio.sleep(0.05)
    raise AssertionError("it never came to that")


async def alone(guard: GuardHost, pair: Pair) -> None:
    """Start the guard, which no keeper answers; the login may use its inbox, as if both were one user."""
    guard.start_only()
    inbox = guard.state / "inbox"
    await until(inbox.exists)
    for folder in (guard.state.parent.parent, guard.state.parent, guard.state):
        folder.chmod(0o711)
    owner = pair.whom.uid or 65534, pair.whom.gid or 65534
    os.chown(inbox, *owner)

    async def give() -> None:
        while True:
            for answer in inbox.glob("*.said"):
                with contextlib.suppress(FileNotFoundError):
                    os.chown(answer, *owner)
            await asyncio.sleep(0.02)

    pair.tasks.append(asyncio.create_task(give()))


async def test_only_a_certificate_opens_the_guard_and_lets_the_standby_be_promoted(
    any_pair: Pair,  # noqa: F811
    guard: GuardHost,
    tmp_path: Path,
) -> None:
    key, public = operator(tmp_path)
    other, _ = operator(tmp_path, "eve")
    guard.settings["operators"] = [public]
    with lab_process(tmp_path, "--run-as", "nobody") as (place, _):
        estate = standing_by(any_pair, place.host.port, public, tmp_path)
        person = Scripted()
        session = Session(estate, tmp_path, person, lambda of, base: ByHand(of.ssh, base, own=False))
        any_pair.kill_all(DURHAM)
        await alone(guard, any_pair)
        wanted = order("postgres/promote", from_site=DURHAM, to_site=MORPETH)

        # Without a certificate the plan is shown, and the run is refused with the way to one.
        drawn = await asyncio.to_thread(session.draw, wanted)
        with pytest.raises(CertificateMissing, match=r"certify durham --down --service crm"):
            drawn.check()

        # One that nobody known has signed does not get as far as the host.
        file = tmp_path / "crm.json"
        file.write_text(certificate(estate, other, site=MORPETH).text())
        with pytest.raises(CertificateUnfit, match="signed by none of the operators"):
            await asyncio.to_thread(session.draw, replace(wanted, certificate=file))
        assert (await any_pair.driver.sample(MORPETH)).role is Role.STANDBY

        file.write_text(certificate(estate, key, site=MORPETH, epoch=7).text())
        certified = replace(wanted, certificate=file)
        drawn = await asyncio.to_thread(session.draw, certified)
        drawn.check()
        assert drawn.signer == "jo"
        journal = tmp_path / "journal.sqlite"
        outcome = await asyncio.to_thread(session.carry_out, drawn, journal, certified)
        assert outcome.done, person.said
        assert "accepted: jo@laptop certifies durham down: fire (epoch 7)" in person.said
        assert guard.permit.read_text().split()[0] == "manual"
        assert (await any_pair.driver.sample(MORPETH)).role is Role.PRIMARY
        await any_pair.run(MORPETH, "insert into rows values (1)")


async def test_a_guard_that_refuses_the_certificate_is_heard_and_nothing_is_promoted(
    any_pair: Pair,  # noqa: F811
    guard: GuardHost,
    tmp_path: Path,
) -> None:
    key, public = operator(tmp_path)
    _, unknown = operator(tmp_path, "ann")
    guard.settings["operators"] = [unknown]  # it was never told of jo
    with lab_process(tmp_path, "--run-as", "nobody") as (place, _):
        estate = standing_by(any_pair, place.host.port, public, tmp_path)
        person = Scripted(verdicts=[Verdict(Verb.ABORT)])
        session = Session(estate, tmp_path, person, lambda of, base: ByHand(of.ssh, base, own=False))
        any_pair.kill_all(DURHAM)
        await alone(guard, any_pair)
        file = tmp_path / "crm.json"
        file.write_text(certificate(estate, key, site=MORPETH).text())
        wanted = order("postgres/promote", from_site=DURHAM, to_site=MORPETH, certificate=file)
        drawn = await asyncio.to_thread(session.draw, wanted)
        outcome = await asyncio.to_thread(session.carry_out, drawn, tmp_path / "j.sqlite", wanted)
        assert not outcome.done
        assert "no operator known here has signed it" in person.asked[0]
        assert (await any_pair.driver.sample(MORPETH)).role is Role.STANDBY
        assert not guard.permit.exists()
