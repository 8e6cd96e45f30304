"""The real guard, as a process of its own, at the real desk: what one says the other understands."""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from orchestrator.guard_desk import GuardDesk, Hello
from sites.identity import controller_identity, guard_identity
from tests.orchestrator.pki import HOST, Pki
from tests.sites.fencing.bench import EVERY_SECONDS, Host

LIMIT = 30.0
EPOCH = 4


class Allowing:
    """A keeper that lets the guard open for as long as `remaining_ns` says."""

    def __init__(self) -> None:
        self.desk: GuardDesk | None = None
        self.remaining_ns = 5_000_000_000
        self.told: list[tuple[object, ...]] = []
        self.open = False
        self.hello: Hello | None = None

    def on_connected(self, service: str, hello: Hello) -> None:
        self.told.append(("connected", service))
        self.hello = hello

    def on_gone(self, service: str) -> None:
        self.told.append(("gone", service))

    def on_question(
        self, service: str, nonce: str, open_: bool, incarnation: int, epoch: int, certified: bool
    ) -> None:
        assert self.desk is not None
        self.open = open_
        self.desk.answer(service, nonce, 1, EPOCH, self.remaining_ns, False)

    def on_acknowledged(
        self, service: str, number: int, fenced: bool, incarnation: int, evidence: str
    ) -> None:
        self.told.append(("acknowledged", number, fenced))

    def on_refused(self, service: str, code: str, evidence: str) -> None:
        self.told.append(("refused", code))


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("guard-at-desk"))


@pytest.fixture
def keeper() -> Allowing:
    return Allowing()


@contextlib.asynccontextmanager
async def desk_for(pki: Pki, keeper: Allowing) -> AsyncIterator[GuardDesk]:
    desk = GuardDesk(
        HOST, 0, pki.controller("durham"), "durham", ["crm"], keeper, guard_every_seconds=EVERY_SECONDS
    )
    keeper.desk = desk
    await desk.start()
    try:
        yield desk
    finally:
        await desk.aclose()


@contextlib.contextmanager
def guarding(host: Host, desk: GuardDesk) -> Iterator[None]:
    host.settings["controllers"] = [f"{HOST}:{desk.port}"]
    host.start_only()
    try:
        yield
    finally:
        host.end()


async def until(condition: Callable[[], object], host: Host) -> None:
    try:
        async with asyncio.timeout(LIMIT):
            while not condition():
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(host.said()) from None


async def test_a_guard_opens_on_an_answer_and_closes_on_an_order(
    tmp_path: Path, pki: Pki, keeper: Allowing
) -> None:
    host = Host(tmp_path, pki)
    async with desk_for(pki, keeper) as desk:
        with guarding(host, desk):
            await until(lambda: host.permit.exists() and keeper.open, host)
            assert keeper.hello is not None
            assert keeper.hello.host == "crm-db"
            assert len(keeper.hello.protects) > 0
            keeper.remaining_ns = 0
            assert desk.order("crm", 7, "fence", 1, "the lease ends")
            await until(lambda: ("acknowledged", 7, True) in keeper.told, host)
            assert not host.permit.exists()
            assert desk.order("crm", 8, "learn", 2, "a new incarnation")
            await until(lambda: ("acknowledged", 8, True) in keeper.told, host)
            await until(lambda: ("refused", "older-incarnation") in keeper.told, host)


async def test_a_guard_whose_certificate_has_run_out_stays_closed_until_it_is_renewed(
    tmp_path: Path, keeper: Allowing
) -> None:
    pki = Pki(tmp_path)
    host = Host(tmp_path, pki)
    old = pki.dated(guard_identity("durham", "crm"), "old-guard", begins_days=-60, ends_days=-1)
    host.settings["tls"] |= {"cert": str(old.certificate), "key": str(old.key)}
    async with desk_for(pki, keeper) as desk:
        with guarding(host, desk):
            await until(lambda: desk.statistics().not_let_in.get("certificate-expired", 0) >= 2, host)
            assert keeper.told == []
            assert not host.permit.exists()
            shutil.copy(pki.authority.files("guard-durham-crm").key, old.key)
            shutil.copy(pki.authority.files("guard-durham-crm").certificate, old.certificate)
            await until(host.permit.exists, host)
            assert keeper.told == [("connected", "crm")]


@pytest.mark.parametrize(
    "identity", [controller_identity("morpeth"), guard_identity("durham", "crm")], ids=["peer", "guard"]
)
async def test_a_guard_takes_nothing_from_a_keeper_that_is_not_its_sites(
    tmp_path: Path, pki: Pki, keeper: Allowing, identity: str
) -> None:
    host = Host(tmp_path, pki)
    name = f"other-{tmp_path.name}"
    files = pki.issue(identity, name, (HOST,))
    desk = GuardDesk(HOST, 0, files, "durham", ["crm"], keeper, guard_every_seconds=EVERY_SECONDS)
    keeper.desk = desk
    await desk.start()
    try:
        with guarding(host, desk):
            await until(lambda: f"its certificate is of {identity}" in host.said(), host)
            assert keeper.told == []
            assert not host.permit.exists()
    finally:
        await desk.aclose()
