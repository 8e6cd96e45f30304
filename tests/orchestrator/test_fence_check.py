"""What `twinsite fence check` makes of what agents and hosts say."""

import pytest

from orchestrator.fence_check import judge_agent, judge_power
from sites.fencing.agents import FAILED, MISSING, PowerLook
from tests.sites.fencing.machines import host

AGENT = (
    '<resource-agent name="fence_x"><parameters><parameter name="action" required="1"/>'
    '<parameter name="ip" required="1"/><parameter name="status_file" required="0"/></parameters>'
    "</resource-agent>"
)


@pytest.mark.parametrize(
    ("given", "ok", "told"),
    [
        ({"ip"}, True, "options known"),
        ({"ip", "status-file"}, True, "options known"),
        ({"ip", "paswd"}, False, "unknown to the agent: paswd"),
        ({"status_file"}, False, "missing: ip"),
    ],
)
def test_options_that_the_agent_does_not_know_or_needs_are_told(given: set[str], ok: bool, told: str) -> None:
    found = judge_agent(AGENT, "fence_x", frozenset(given))
    assert (found.ok, found.detail) == (ok, told)


@pytest.mark.parametrize("described", [None, "<resource-agent", "<html/>"])
def test_an_agent_that_does_not_describe_itself_is_to_be_looked_at(described: str | None) -> None:
    assert judge_agent(described, "fence_x", frozenset({"ip"})).ok is None


@pytest.mark.parametrize(
    ("seen", "answers", "ok", "told"),
    [
        (PowerLook(True, "…"), True, True, "on"),
        (PowerLook(True, "…"), False, True, "on"),
        (PowerLook(False, "…"), False, None, "off"),
        (PowerLook(False, "…"), True, False, "it says off, while 127.0.0.1:22 answers"),
        (PowerLook(None, "login denied", FAILED), True, False, "device-failed"),
        (PowerLook(None, "no agent", MISSING), False, False, "device-agent-missing"),
    ],
)
def test_what_the_device_says_is_held_against_what_the_host_says(
    seen: PowerLook, answers: bool, ok: bool | None, told: str
) -> None:
    found = judge_power(seen, answers, host("crm-db"))
    assert found.ok is ok
    assert told in found.detail
    assert (found.remedy == "") is (ok is True)
