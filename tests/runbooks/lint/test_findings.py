"""One file for each finding, with its line and column in the first line; and what is not found."""

import re
from pathlib import Path

import pytest

from runbooks.actions import shipped_actions
from runbooks.catalogue import ActionCatalogue
from runbooks.checking import Bound, Checked, check_file
from runbooks.library import Library
from runbooks.plan import facts_of
from runbooks.rules import GROUPS, RULES, Severity, severity_of
from sites.model import Estate
from tests.runbooks.worlds import ESTATE, FakeDriver

HERE = Path(__file__).parent
INVALID = sorted(HERE.glob("invalid-*.yaml"))
HEAD = "runbook: promote\ntitle: Open it\ninverse: postgres/demote\n"
STEP = (
    "  - id: start\n    action: ssh\n    host: \"{{ to_site.hosts['crm-app'] }}\"\n    timeout: 1m\n"
    "    unless: pgrep app\n"
)


def catalogue() -> ActionCatalogue:
    return shipped_actions()


def estate(runbook: str = "own/promote", role: str = "promote") -> Estate:
    """The councils' crm, which uses the runbook; one of its hosts is at Durham only."""
    durham, crm = ESTATE.sites["durham"], ESTATE.services["crm"]
    old = durham.hosts["crm-app"].model_copy(update={"name": "crm-old"})
    sites = {**ESTATE.sites, "durham": durham.model_copy(update={"hosts": {**durham.hosts, "crm-old": old}})}
    used = crm.model_copy(update={"runbooks": {role: runbook}})
    return ESTATE.model_copy(update={"sites": sites, "services": {"crm": used}})


def check(path: Path, *, bound: bool = False) -> Checked:
    library = Library(catalogue(), (path.parent,))
    if not bound:
        return check_file(path, path.stem, library)

    role = "shed" if path.stem.endswith("-shed") else "promote"
    used = Bound(estate(path.stem, role), library, lambda service: facts_of(service, FakeDriver()))
    return check_file(path, path.stem, library, used)


def codes(text: str, tmp_path: Path) -> list[str]:
    """The codes of what is found in a text."""
    path = tmp_path / "promote.yaml"
    path.write_text(text)
    return [one.code for one in check(path).findings]


def said(path: Path) -> list[str]:
    checked = check(path, bound="cannot-be-planned" in path.name)
    return [f"{one.code} {one.line}:{one.column}" for one in checked.findings]


@pytest.mark.parametrize("path", INVALID, ids=lambda path: path.stem.removeprefix("invalid-"))
def test_each_finding_has_its_code_line_and_column_and_nothing_else_is_found(path: Path) -> None:
    expected = re.findall(r"^# expect: (.+)$", path.read_text(errors="replace"), re.MULTILINE)
    assert said(path) == (expected or ["unreadable 0:0"])


@pytest.mark.parametrize("code", RULES)
def test_every_code_of_the_table_has_a_file_that_shows_it(code: str) -> None:
    shown = {line.split()[0] for path in INVALID for line in said(path)}
    assert code in shown


def test_no_code_stands_twice_in_the_table_and_every_rule_says_all_it_must() -> None:
    rules = [rule for group in GROUPS for rule in group.rules]
    assert len({rule.code for rule in rules}) == len(rules)
    for rule in rules:
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", rule.code)
        assert all(text.endswith(".") for text in (rule.what, rule.why, rule.remedy)), rule.code


@pytest.mark.parametrize("name", Library(catalogue()).names())
def test_every_runbook_that_ships_passes_without_a_warning(name: str) -> None:
    library = Library(catalogue())
    checked = check_file(library.find(name), name, library)
    assert checked.findings == ()
    assert all(one.because for one in checked.allowed)


def test_a_reason_that_names_two_directions_is_said_once_with_the_service() -> None:
    (both,) = check(HERE / "invalid-cannot-be-planned-host.yaml", bound=True).findings
    assert "for crm in both directions" in both.found
    (one,) = check(HERE / "invalid-cannot-be-planned-one-direction.yaml", bound=True).findings
    assert "for crm from durham to morpeth" in one.found


def test_without_an_estate_nothing_is_said_of_its_hosts_and_probes() -> None:
    for path in HERE.glob("invalid-cannot-be-planned-*.yaml"):
        assert check(path).findings == ()


def test_another_file_of_the_same_name_is_not_taken_for_the_one_that_the_service_uses(
    tmp_path: Path,
) -> None:
    (tmp_path / "own").mkdir()
    used, other = tmp_path / "own" / "promote.yaml", tmp_path / "promote.yaml"
    text = (HERE / "invalid-cannot-be-planned-host.yaml").read_text()
    used.write_text(text)
    other.write_text(text)
    library = Library(catalogue(), (tmp_path,))
    bound = Bound(estate(), library, lambda service: facts_of(service, FakeDriver()))
    assert check_file(used, "own/promote", library, bound).uses
    assert check_file(other, "promote", library, bound).uses == ()


# -- comments that allow ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "lines",
    [
        ["  # twinsite: allow no-timeout because it is quick", "  - id: a"],
        ["  - id: a  # twinsite: allow no-timeout because it is quick"],
        ["  # twinsite: allow no-timeout because it is quick", "  # a word on it", "  - id: a"],
    ],
    ids=["above", "beside", "above another comment"],
)
def test_a_comment_with_a_reason_silences_a_warning_of_its_step(lines: list[str], tmp_path: Path) -> None:
    path = tmp_path / "promote.yaml"
    rest = ["    action: replication.promote", "    verify: {role: primary}"]
    path.write_text(HEAD + "\n".join(["steps:", *lines, *rest]) + "\n")
    checked = check(path)
    assert checked.findings == ()
    (allowed,) = checked.allowed
    assert (allowed.code, allowed.because) == ("no-timeout", "it is quick")


def test_one_comment_can_allow_two_warnings_and_leaves_a_third(tmp_path: Path) -> None:
    comment = "  # twinsite: allow no-timeout, no-verify because it is only a note\n"
    steps = "  - {id: a, action: ssh, host: durham/crm-app, run: x, on_failure: undo, during: drill}\n"
    assert codes(HEAD + "steps:\n" + comment + steps, tmp_path) == ["undo-of-nothing"]


def test_a_comment_does_not_reach_the_next_step(tmp_path: Path) -> None:
    step = "  - {{id: {}, action: replication.promote, verify: {{role: primary}}}}\n"
    comment = "  # twinsite: allow no-timeout because it is quick\n"
    text = HEAD + "steps:\n" + comment + step.format("a") + step.format("b")
    assert codes(text, tmp_path) == ["no-timeout"]


def test_a_comment_at_the_end_of_the_step_before_does_not_count(tmp_path: Path) -> None:
    tell = (
        "  - {id: tell, action: notify, message: hello}  # twinsite: allow no-timeout because it is quick\n"
    )
    step = "  - {id: a, action: replication.promote, verify: {role: primary}}\n"
    assert codes(HEAD + "steps:\n" + tell + step, tmp_path) == ["allow-without-effect", "no-timeout"]


@pytest.mark.parametrize("reason", ["", " because", " because  …", " since it is quick"])
def test_without_a_reason_a_comment_does_not_count(reason: str, tmp_path: Path) -> None:
    step = "  - {id: a, action: replication.promote, verify: {role: primary}}\n"
    found = codes(f"{HEAD}steps:\n  # twinsite: allow no-timeout{reason}\n{step}", tmp_path)
    assert "no-timeout" in found
    assert len(found) == 2


# -- secrets ------------------------------------------------------------------------------------------

SECRETS = [
    "PGPASSWORD=hunter2 psql",
    "curl --password hunter2 https://x",
    "curl -H 'Authorization: Bearer abcdef0123456789' https://x",
    "curl https://anna:hunter2@x.example/",
    "echo AKIAIOSFODNN7EXAMPLE",
    "export API_TOKEN=abcdef0123456789",
    "echo '-----BEGIN OPENSSH PRIVATE KEY-----'",
    "sqlplus -c 'alter user crm identified by tiger'",
    "psql -c \"alter role crm password 'tiger'\"",
    "vault --token=s.abcdef0123456789",
    "gh auth ghp_" + "a1B2" * 9,
]
NO_SECRETS = [
    "PGPASSWORD=$(cat /run/secrets/pg) psql",
    'PGPASSWORD="$PW" psql',
    "PGPASSFILE=/etc/pgpass psql",
    "curl --password-file /etc/pw https://x",
    "curl --password /dev/stdin https://x",
    "curl https://x.example:8443/path@v2",
    "curl https://$USER:$PASSWORD@x.example/",
    "test $password = yes",
    "require_password=true start",
    "token=$(vault read) start",
    "reset-password anna",
    "start --workers 4 --color=blue",
    "echo '-----BEGIN CERTIFICATE-----'",
    "password=<ask the DBA> start",
    "setting password=******** start",
    "git checkout user@host:path",
    "monkey=banana start",
]


@pytest.mark.parametrize("command", SECRETS)
def test_a_secret_in_plain_text_is_found_and_never_shown(command: str, tmp_path: Path) -> None:
    path = tmp_path / "promote.yaml"
    path.write_text(HEAD + "steps:\n" + STEP + "    run: |\n      " + command + "\n")
    (found,) = check(path).findings
    assert (found.code, found.line) == ("secret", 11)
    shown = found.render()
    assert "*" in shown
    for secret in ("hunter2", "tiger", "abcdef", "AKIA", "a1B2"):
        assert secret not in shown


@pytest.mark.parametrize("command", NO_SECRETS)
def test_what_only_looks_like_a_secret_is_left_alone(command: str, tmp_path: Path) -> None:
    assert codes(HEAD + "steps:\n" + STEP + "    run: |\n      " + command + "\n", tmp_path) == []


def test_a_secret_is_found_and_hidden_in_a_file_with_faults_too(tmp_path: Path) -> None:
    path = tmp_path / "promote.yaml"
    path.write_text(HEAD + "steps:\n" + STEP + "    run: PGPASSWORD=hunter2 start\n    timout: 5m\n")
    findings = check(path).findings
    assert [one.code for one in findings] == ["secret", "unknown-key"]
    path.write_text(HEAD + "steps:\n" + STEP + "    run: [PGPASSWORD=hunter2]\n")
    assert all("hunter2" not in one.render() for one in check(path).findings)


# -- what is not found --------------------------------------------------------------------------------


def test_a_step_at_the_lost_site_is_in_order_where_the_run_goes_on_or_it_is_no_failover(
    tmp_path: Path,
) -> None:
    stop = STEP.replace("to_site", "from_site") + "    run: stop\n"
    for line in ("if_unreachable: continue", "on_failure: continue", "during: switchover"):
        assert codes(f"{HEAD}steps:\n{stop}    {line}\n", tmp_path) == []
    demote = HEAD.replace("runbook: promote", "runbook: demote")
    (tmp_path / "demote.yaml").write_text(demote + "steps:\n" + stop)
    assert check(tmp_path / "demote.yaml").findings == ()


def test_a_parameter_that_may_be_used_by_any_name_counts_as_used(tmp_path: Path) -> None:
    head = HEAD + "parameters: {workers: {default: 4}, title: {default: x}}\nsteps:\n" + STEP
    for use in (
        "run: start {{ parameters.workers }} {{ parameters['title'] }}",
        "run: |\n      {% for name in parameters %}start {{ name }}\n      {% endfor %}",
    ):
        assert codes(f"{head}    {use}\n", tmp_path) == []


def test_faults_are_what_has_a_runbook_refused_and_warnings_are_not() -> None:
    for path in INVALID:
        checked = check(path, bound="cannot-be-planned" in path.name)
        refused = any(severity_of(one.code) is Severity.FAULT for one in checked.findings)
        later = {"unknown-host", "cannot-be-planned", "nested-parameter"}
        known_later = any(one.code in later for one in checked.findings)
        assert (checked.runbook is None) == (refused and not known_later), path.name
