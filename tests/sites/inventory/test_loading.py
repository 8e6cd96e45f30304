"""What a loaded estate holds: names, secrets, watch only; and what is said of a file that is none."""

from pathlib import Path

import pytest

from sites.addresses import no_address
from sites.inventory import EstateInvalid, Fault, load_estate
from tests.sites.inventory.catalogue import HERE, Pair, load

VALID = (HERE / "valid.yaml").read_text(encoding="utf-8")


def written(folder: Path, text: str) -> Path:
    path = folder / "sites.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def with_password(text: str) -> str:
    """The valid file with a password for the store."""
    return VALID.replace("store:\n", f"store:\n  user: durham\n  password: {text}\n")


def only_fault(path: Path, **options: object) -> Fault:
    with pytest.raises(EstateInvalid) as caught:
        load(path, **options)
    (fault,) = caught.value.faults
    return fault


def test_everything_knows_its_own_name_and_place() -> None:
    estate = load(HERE / "valid.yaml").estate
    assert [(name, site.name) for name, site in estate.sites.items()] == [
        (name, name) for name in ("durham", "morpeth", "derwentside")
    ]
    host = estate.sites["morpeth"].hosts["db"]
    assert (host.name, host.site, host.address) == ("db", "morpeth", "10.0.2.1")
    assert estate.services["crm"].name == "crm"


def test_a_service_with_a_driver_can_be_moved_and_others_are_watch_only() -> None:
    def watch_only(name: str) -> bool:
        return load(HERE / name).estate.services["crm"].watch_only

    assert not watch_only("valid.yaml")
    assert watch_only("warns-driver-to-come.yaml")
    assert watch_only("warns-no-replication.yaml")


def test_a_driver_that_has_come_is_no_longer_watch_only() -> None:
    path = HERE / "warns-driver-to-come.yaml"
    with pytest.raises(EstateInvalid) as caught:
        load_estate(path, driver_settings={"pair": Pair, "dataguard": Pair})
    # Its settings are checked now.
    assert [fault.where for fault in caught.value.faults] == [
        "services.crm.replication.host",
        "services.crm.replication.anything",
    ]


def test_without_catalogues_drivers_and_kinds_are_taken_as_they_are(tmp_path: Path) -> None:
    path = written(
        tmp_path, VALID.replace("kind: tcp", "kind: seance").replace("driver: pair", "driver: quill")
    )
    loaded = load_estate(path)
    assert loaded.warnings == ()
    assert not loaded.estate.services["crm"].watch_only


def test_the_files_keys_become_values_with_units() -> None:
    estate = load(HERE / "valid.yaml").estate
    probe = estate.services["crm"].probes[0]
    assert (probe.every_seconds, probe.timeout_seconds, probe.fails_after_counts) == (5.0, 1.0, (3, 5))
    assert probe.settings == {"host": "db", "port": 5432}


def test_secrets_come_from_variables_and_files_beside_the_estate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TWINSITE_TEST_PASSWORD", "from a variable")
    path = written(tmp_path, with_password("!env TWINSITE_TEST_PASSWORD"))
    assert load(path).estate.store.password == "from a variable"

    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "etcd").write_text("from a file\n", encoding="utf-8")
    path = written(tmp_path, with_password("!file secrets/etcd"))
    assert load(path).estate.store.password == "from a file"


def test_a_missing_secret_is_a_fault_for_a_controller_and_a_warning_for_everybody_else(
    tmp_path: Path,
) -> None:
    path = written(tmp_path, with_password("!file secrets/etcd"))
    assert only_fault(path).where == "store.password"

    loaded = load(path, resolve_secrets=False)
    assert [warning.where for warning in loaded.warnings] == ["store.password"]
    assert "the controller will refuse to start without it" in loaded.warnings[0].message


def test_secrets_stay_where_they_are_when_nobody_asks_for_them(tmp_path: Path) -> None:
    (tmp_path / "etcd").write_text("hunter2\n", encoding="utf-8")
    loaded = load(written(tmp_path, with_password("!file etcd")), resolve_secrets=False)
    assert loaded.warnings == ()
    assert loaded.estate.store.password == "<!file etcd>"


def test_a_controller_needs_no_secret_of_another_site(tmp_path: Path) -> None:
    (tmp_path / "etcd-durham").write_text("hunter2", encoding="utf-8")
    own = "store: {endpoints: [https://a.example:2379], user: me, password: !file etcd-%s}, "
    text = VALID
    for site in ("durham", "morpeth"):
        text = text.replace(f"{site}: {{", f"{site}: {{{own % site}", 1)
    path = written(tmp_path, text)

    stores = {name: site.store for name, site in load(path, site="durham").estate.sites.items() if site.store}
    passwords = {name: store.password for name, store in stores.items()}
    assert passwords == {"durham": "hunter2", "morpeth": "<!file etcd-morpeth>"}
    assert only_fault(path, site="morpeth").where == "sites.morpeth.store.password"


@pytest.mark.parametrize(
    ("content", "found"),
    [(b"", "an empty file"), (b"caf\xe9", "not UTF-8"), (b"x" * 70_000, "more than 65536 bytes")],
)
def test_a_file_that_holds_no_secret_is_a_fault(tmp_path: Path, content: bytes, found: str) -> None:
    (tmp_path / "etcd").write_bytes(content)
    assert found in only_fault(written(tmp_path, with_password("!file etcd"))).found


def test_a_secret_is_never_shown_whatever_else_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TWINSITE_TEST_PASSWORD", "correct horse")
    text = with_password('"battery staple"').replace(
        "driver: pair", "driver: pair, host: !env TWINSITE_TEST_PASSWORD"
    )
    text = text.replace("host: db}", "port: 5}", 1).replace("  user: durham\n", "  user: 5\n")
    path = written(
        tmp_path, text.replace("driver: pair,", "driver: pair, token: 'open sesame', colour: red,")
    )
    with pytest.raises(EstateInvalid) as caught:
        load(path)
    everything = str(caught.value) + "".join(warning.render() for warning in caught.value.warnings)
    assert "colour" in everything
    for secret in ("correct horse", "battery", "staple", "sesame"):
        assert secret not in everything


def test_the_password_is_not_in_the_estates_own_description(tmp_path: Path) -> None:
    assert "hunter2" not in repr(load(written(tmp_path, with_password("hunter2"))).estate)


def test_anchors_save_repetition(tmp_path: Path) -> None:
    text = VALID.replace("durham: {hosts: {db:", "durham: {hosts: &machines {db:").replace(
        "morpeth: {hosts: {db: {address: 10.0.2.1}}}", "morpeth: {hosts: *machines}"
    )
    estate = load(written(tmp_path, text)).estate
    assert estate.sites["morpeth"].hosts["db"].address == "10.0.1.1"
    assert estate.sites["morpeth"].hosts["db"].site == "morpeth"


def test_words_that_yaml_would_turn_into_other_things_stay_as_written(tmp_path: Path) -> None:
    text = (
        VALID.replace("port: 5432", "port: 010").replace("  crm:", "  on:")
        + "blackouts: {elections: {dates: [2026-11-23]}}\n"
        + "notify: [{to: 'json://localhost', when: [all], quiet: {from: 22:30, to: 07:00}}]\n"
    )
    estate = load(written(tmp_path, text)).estate
    assert estate.services["on"].probes[0].settings["port"] == "010"
    assert [str(day) for day in estate.blackouts["elections"].dates] == ["2026-11-23"]
    quiet = estate.notify[0].quiet
    assert quiet is not None
    assert (quiet.from_time, quiet.to_time) == ("22:30", "07:00")


def test_a_file_that_is_not_there_is_a_fault_of_the_whole_file(tmp_path: Path) -> None:
    fault = only_fault(tmp_path / "sites.yaml")
    assert (
        fault.render() == f"{tmp_path}/sites.yaml: found no such file; expected the estate file at this path"
    )


def test_a_folder_is_no_estate_file(tmp_path: Path) -> None:
    assert "cannot be read" in only_fault(tmp_path).message


def test_a_file_far_too_large_is_not_read(tmp_path: Path) -> None:
    assert "more than 1024 KiB" in only_fault(written(tmp_path, "#" * 2_000_000)).message


def test_warnings_are_told_beside_faults() -> None:
    with pytest.raises(EstateInvalid) as caught:
        load(HERE / "invalid-nothing-may-be-lost-by-nobody.yaml")
    assert [warning.where for warning in caught.value.warnings] == ["services.crm.replication.driver"]


def test_synchronous_replication_may_promise_to_lose_nothing(tmp_path: Path) -> None:
    text = VALID.replace("host: db}", "host: db, synchronous: true}", 1)
    text = text.replace("    home:", "    max_data_loss: 0s\n    home:")
    assert load(written(tmp_path, text)).estate.services["crm"].max_data_loss_seconds == 0


def test_a_lab_moves_services_without_a_guard(tmp_path: Path) -> None:
    text = VALID.replace("version: 1", "version: 1\nlab: true").replace("10.0.", "127.0.")
    text = (
        text.replace("a.example", "127.0.0.1")
        .replace("b.example", "127.0.0.2")
        .replace("c.example", "localhost")
    )
    loaded = load(written(tmp_path, text.replace("    home:", "    failover: automatic\n    home:")))
    assert loaded.warnings == ()


def test_a_long_line_is_shown_around_the_fault(tmp_path: Path) -> None:
    text = VALID.replace("kind: tcp", f"kind: tcp, {'x' * 500}: 1, timeout: 1, {'y' * 500}: 2").replace(
        ", timeout: 1s}", "}"
    )
    path = written(tmp_path, text)
    with pytest.raises(EstateInvalid) as caught:
        load(path)
    fault = next(fault for fault in caught.value.faults if fault.where.endswith("timeout"))
    line, caret = fault.excerpt.splitlines()
    assert len(line) <= 160
    assert line[caret.index("^") :].startswith("1, y")


@pytest.mark.parametrize(("lease", "holds"), [("8.65s", False), ("8.651s", True), ("8650.1ms", True)])
def test_the_lease_must_be_longer_than_the_sum_not_as_long(tmp_path: Path, lease: str, holds: bool) -> None:
    path = written(
        tmp_path, VALID.replace("store:\n", f"ownership: {{lease_duration: {lease}}}\nstore:\n", 1)
    )
    if holds:
        assert load(path).warnings == ()
    else:
        assert only_fault(path).where == "ownership.lease_duration"


def test_the_usual_timings_and_the_labs_keep_the_rule(tmp_path: Path) -> None:
    lab = (
        "ownership: {lease_duration: 3s, renew_every: 0.3s, fence_within: 0.4s,"
        " guard_every: 0.15s, stall: 0.6s}\n"
        "store:\n  election_timeout: 0.5s\n  round_trip: 10ms\n"
    )
    assert load(written(tmp_path, VALID.replace("store:\n", lab, 1))).warnings == ()


@pytest.mark.parametrize(
    ("place", "text", "wrong"),
    [
        ("sites.durham.hosts.db.address", "{hosts: {db: {address: 10.20.1.600}}}", "10.20.1.600"),
        ("sites.durham.hosts.db.address", "{hosts: {db: {address: 10.20.1}}}", "10.20.1"),
        ("sites.durham.hosts.db.address", '{hosts: {db: {address: "fe80:::1"}}}', "fe80:::1"),
        (
            "sites.durham.metrics",
            '{metrics: "127.0.0.9999:1", hosts: {db: {address: a.example}}}',
            "127.0.0.9999",
        ),
        ("sites.durham.guards", "{guards: 10.0.1.256:8301, hosts: {db: {address: a.example}}}", "10.0.1.256"),
        (
            "sites.durham.controller",
            "{controller: 'https://10.0.1.999:8300', hosts: {db: {address: a.example}}}",
            "10.0.1.999",
        ),
        (
            "sites.durham.store.endpoints[0]",
            "{store: {endpoints: ['https://10.0.1.999:2379']}, hosts: {db: {address: a.example}}}",
            "10.0.1.999",
        ),
    ],
)
def test_what_looks_like_an_ip_address_and_is_none_is_a_fault(
    tmp_path: Path, place: str, text: str, wrong: str
) -> None:
    path = written(tmp_path, VALID.replace("durham: {hosts: {db: {address: 10.0.1.1}}}", f"durham: {text}"))
    fault = only_fault(path)
    assert (fault.where, fault.found) == (place, f"{wrong}, which is neither")
    assert fault.expected == "an IP address or a name"


def test_addresses_and_names_are_told_from_what_is_neither() -> None:
    for good in (
        "10.20.1.60",
        "::1",
        "[fe80::1]",
        "db",
        "db.example",
        "db1.example.",
        "3com.example",
        "a.b4",
    ):
        assert not no_address(good), good
    for bad in ("10.20.1.600", "127.0.0.9999", "1.2.3", "10.1.2.3.4", "300", "01.2.3.4", "fe80:::1", "a:b"):
        assert no_address(bad), bad


def test_a_fault_in_what_an_anchor_repeats_is_told_once(tmp_path: Path) -> None:
    text = VALID.replace(
        "endpoints: [https://a.example:2379,", "endpoints: &etcd [https://a.example,"
    ).replace("derwentside: {witness: true}", "derwentside: {witness: true, store: {endpoints: *etcd}}")
    fault = only_fault(written(tmp_path, text))
    assert fault.where == "store.endpoints[0]"


def test_the_secret_of_a_device_is_the_other_sites_who_uses_it(tmp_path: Path) -> None:
    """Neither the site whose host it switches off needs it, nor the witness, which moves nothing."""
    (tmp_path / "bmc-durham").write_text("hunter2", encoding="utf-8")
    device = "fence: [{agent: fence_ipmilan, from: %s, options: {ip: 10.9.0.%d, password: !file bmc-%s}}]"
    text = VALID.replace("10.0.1.1}", "10.0.1.1, " + device % ("morpeth", 1, "durham") + "}")
    text = text.replace("10.0.2.1}", "10.0.2.1, " + device % ("durham", 2, "morpeth") + "}")
    path = written(tmp_path, text)

    def passwords(site: str) -> list[str]:
        sites = load(path, site=site).estate.sites
        hosts = [sites[name].hosts["db"] for name in ("durham", "morpeth")]
        return [host.fence[0].options["password"] for host in hosts]

    assert passwords("morpeth") == ["hunter2", "<!file bmc-morpeth>"]
    assert passwords("derwentside") == ["<!file bmc-durham>", "<!file bmc-morpeth>"]
    assert only_fault(path, site="durham").where == "sites.morpeth.hosts.db.fence[0].options.password"
    assert "hunter2" not in repr(load(path, site="morpeth").estate)
