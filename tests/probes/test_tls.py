"""The tls probe against real TLS servers on the loopback interface."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from probes.model import ProbeResult
from tests.probes.certificates import Authority
from tests.probes.worlds import closed_port, context, estate, hang, hang_up, listening, probe, summary, tried

NAME = "crm.example"


async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Until the other side hangs up."""
    await reader.read()


async def asked(port: int, base: Path, **keys: Any) -> ProbeResult:
    keys = {"server_name": NAME, "ca": "ca.pem"} | keys
    return await tried("tls", using=context(base=base), address=f"127.0.0.1:{port}", **keys)


async def test_a_certificate_that_is_trusted_and_lasts_is_up_and_its_days_left_are_the_measure(
    tmp_path: Path,
) -> None:
    async with listening(wait, tls=Authority(tmp_path, days=400).server(NAME, days=90)) as port:
        result = await asked(port, tmp_path)
    assert summary(result) == ("up", "answered")
    assert result.measure == pytest.approx(90, abs=0.1)
    assert result.tried == f"TLS handshake with 127.0.0.1:{port} as crm.example"
    assert "for CN=crm.example by CN=Test CA; 90.0 days left" in result.answered
    assert result.answered.startswith("TLSv1.")


async def test_one_that_ends_soon_is_down_before_it_has_ended(tmp_path: Path) -> None:
    async with listening(wait, tls=Authority(tmp_path, days=400).server(NAME, days=13)) as port:
        soon = await asked(port, tmp_path)
        good_enough = await asked(port, tmp_path, days_left=7)
    assert summary(soon) == ("down", "certificate-expiring")
    assert soon.measure == pytest.approx(13, abs=0.1)
    assert "13.0 days left; at least 14 expected" in soon.answered
    assert summary(good_enough) == ("up", "answered")


async def test_an_authority_that_ends_first_counts_and_is_named(tmp_path: Path) -> None:
    root = Authority(tmp_path, days=3000)
    between = Authority(tmp_path, above=root, days=5)
    async with listening(wait, tls=between.server(NAME, days=300)) as port:
        result = await asked(port, tmp_path)
    assert summary(result) == ("down", "certificate-expiring")
    assert result.measure == pytest.approx(5, abs=0.1)
    assert "(the one above it, CN=Test intermediate CA)" in result.answered


@pytest.mark.parametrize(
    ("days", "keys", "says"),
    [
        (-2, {}, "ended 2.0 days ago"),
        (90, {"server_name": "ebs.example"}, "ebs.example"),
        (90, {"ca": "other/ca.pem"}, "for CN=crm.example by CN=Test CA; 90.0 days left"),
    ],
    ids=["it has ended", "it is another's", "an authority that is not trusted signed it"],
)
async def test_a_bad_certificate_is_down_and_what_it_is_is_told(
    tmp_path: Path, days: int, keys: dict[str, str], says: str
) -> None:
    (tmp_path / "other").mkdir()
    Authority(tmp_path / "other")
    async with listening(wait, tls=Authority(tmp_path, days=400).server(NAME, days=days)) as port:
        result = await asked(port, tmp_path, **keys)
    assert summary(result) == ("down", "certificate-bad")
    assert says in result.answered
    assert result.measure == pytest.approx(days, abs=0.1)


async def test_a_host_of_the_site_and_the_systems_authorities_are_the_defaults() -> None:
    async with listening(hang_up) as port:
        result = await tried("tls", world=estate(**{"crm-app": "127.0.0.1"}), host="crm-app", port=port)
    assert result.tried == f"TLS handshake with 127.0.0.1:{port}"
    assert summary(result) in {("down", "reset"), ("down", "tls-failed")}


async def test_a_server_that_speaks_something_else_is_no_tls(tmp_path: Path) -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ready\r\n")
        await writer.drain()
        await reader.read()

    Authority(tmp_path)
    async with listening(plain) as port:
        result = await asked(port, tmp_path)
    assert summary(result) == ("down", "tls-failed")


async def test_a_port_nobody_listens_on_is_refused(tmp_path: Path) -> None:
    Authority(tmp_path)
    assert summary(await asked(closed_port(), tmp_path)) == ("down", "refused")


async def test_a_server_that_hangs_in_the_handshake_is_cut_off_at_the_timeout(tmp_path: Path) -> None:
    Authority(tmp_path)
    async with listening(hang) as port:
        made = probe("tls", using=context(base=tmp_path), address=f"127.0.0.1:{port}", ca="ca.pem")
        result = await made.try_once(timeout_seconds=0.3)
    assert summary(result) == ("down", "timed-out")
    assert "connected, in the handshake" in result.answered


async def test_an_authority_file_that_is_missing_says_nothing_about_the_server(tmp_path: Path) -> None:
    result = await asked(closed_port(), tmp_path, ca="no-such.pem")
    assert summary(result) == ("unknown", "own-side")
    assert "no-such.pem" in result.answered


async def test_an_authority_renewed_meanwhile_needs_no_restart(tmp_path: Path) -> None:
    old = Authority(tmp_path, days=400)
    new = Authority(tmp_path, days=400)
    old.write()
    async with listening(wait, tls=new.server(NAME, days=90)) as port:
        made = probe(
            "tls", using=context(base=tmp_path), address=f"127.0.0.1:{port}", server_name=NAME, ca="ca.pem"
        )
        before = await made.try_once(timeout_seconds=30)
        new.write()
        after = await made.try_once(timeout_seconds=30)
    assert summary(before) == ("down", "certificate-bad")
    assert summary(after) == ("up", "answered")
