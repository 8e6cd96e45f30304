"""What starts a database by itself is found on its host, or said to be unknown (P7)."""

import os
import stat
import subprocess
from pathlib import Path

import pytest

from sites.restarters import Database, parsed, script, spoken

CRM = Database("crm", "/srv/crm/16/main", cluster="16-main", owner="postgres")

SYSTEMD = """\
Id=ssh.service
UnitFileState=enabled
Restart=on-failure
ActiveState=active
ExecStart={ path=/usr/sbin/sshd ; argv[]=/usr/sbin/sshd -D }
Environment=

Id=postgresql@16-main.service
UnitFileState=enabled-runtime
Restart=on-failure
ActiveState=active
ExecStart={ path=/usr/bin/pg_ctlcluster ; argv[]=pg_ctlcluster --skip-systemctl-redirect 16-main start }
Environment=

Id=postgresql@16-other.service
UnitFileState=enabled-runtime
Restart=always
ActiveState=active
ExecStart={ path=/usr/bin/pg_ctlcluster ; argv[]=pg_ctlcluster --skip-systemctl-redirect 16-other start }
Environment=

Id=pg-crm.service
UnitFileState=disabled
Restart=always
ActiveState=inactive
ExecStart={ path=/usr/lib/postgresql/16/bin/postgres ; argv[]=/usr/lib/postgresql/16/bin/postgres }
Environment=PGDATA=/srv/crm/16/main

Id=twinsite-guard-crm.service
UnitFileState=enabled
Restart=always
ActiveState=active
ExecStart={ path=/usr/bin/python3 ; argv[]=/usr/bin/python3 guard.py --data /srv/crm/16/main }
Environment=
"""


class FakeHost:
    """A host as far as the script looks: its files under a folder, its tools as little programs."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.tools = root / "tools"
        self.tools.mkdir()
        for name in ("ps", "sudo"):
            self.tool(name, "exit 1")

    def file(self, path: str, text: str = "") -> Path:
        """A file of the host."""
        place = self.root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
        return place

    def folder(self, path: str) -> Path:
        """A folder of it."""
        place = self.root / path.lstrip("/")
        place.mkdir(parents=True, exist_ok=True)
        return place

    def tool(self, name: str, body: str) -> None:
        """A program of it."""
        place = self.tools / name
        place.write_text(f"#!/bin/sh\n{body}\n")
        place.chmod(stat.S_IRWXU)

    def systemd(self, shown: str) -> None:
        """It runs systemd, with these units."""
        self.folder("/run/systemd/system")
        self.file("/shown", shown)
        self.tool("systemctl", f"cat {self.root}/shown")

    def look(self, database: Database = CRM) -> tuple[list[str], tuple[str, ...]]:
        """What the script says: what was found by its name, and what is unknown."""
        text = script(database)
        for place in ("/etc/", "/run/", "/var/", "/service/"):
            text = text.replace(f" {place}", f" {self.root}{place}").replace(
                f"={place}", f"={self.root}{place}"
            )
        path = f"{self.tools}:/usr/bin:/bin"
        done = subprocess.run(
            ["sh", "-c", text], env={"PATH": path}, capture_output=True, text=True, check=False, timeout=60
        )
        assert done.stderr == ""
        looked = parsed(done.stdout)
        found = [
            f"{each.what.replace(str(self.root), '')}{' (revives)' if each.revives else ''}"
            for each in looked.found
        ]
        return found, tuple(each.replace(str(self.root), "") for each in looked.unknown)


@pytest.fixture
def host(tmp_path: Path) -> FakeHost:
    """A host with systemd, on which nothing starts the database, and all can be looked at."""
    made = FakeHost(tmp_path)
    made.systemd("Id=ssh.service\nUnitFileState=enabled\nRestart=on-failure\nActiveState=active\n")
    made.file("/etc/postgresql/16/main/start.conf", "# a comment\nmanual\n")
    made.folder("/var/spool/cron/crontabs")
    made.tool("ps", "printf 'systemd\\nsshd\\npostgres\\n'")
    return made


def test_a_host_on_which_nothing_starts_it_is_said_to_be_so(host: FakeHost) -> None:
    assert host.look() == ([], ())


def test_units_that_restart_or_enable_this_database_are_found_and_no_others(host: FakeHost) -> None:
    host.systemd(SYSTEMD)
    found, unknown = host.look()
    assert found == [
        "systemd's postgresql@16-main.service (revives)",
        "systemd's postgresql@16-main.service",
        "systemd's pg-crm.service (revives)",
    ]
    assert unknown == ()


@pytest.mark.parametrize(
    ("text", "found"),
    [("auto\n", ["/etc/postgresql/16/main/start.conf"]), ("manual\n", []), ("disabled\n", [])],
)
def test_debians_start_conf_is_looked_at(host: FakeHost, text: str, found: list[str]) -> None:
    host.file("/etc/postgresql/16/main/start.conf", text)
    assert host.look() == (found, ())


def test_a_start_conf_that_is_missing_counts_as_auto(host: FakeHost) -> None:
    (host.root / "etc/postgresql/16/main/start.conf").unlink()
    assert host.look() == (["/etc/postgresql/16/main/start.conf"], ())


@pytest.mark.parametrize(
    ("path", "text", "found"),
    [
        ("/etc/supervisor/conf.d/crm.conf", "command=/usr/bin/postgres -D /srv/crm/16/main", " (revives)"),
        ("/etc/service/crm/run", "exec postgres -D /srv/crm/16/main", " (revives)"),
        ("/etc/monit.d/crm", "start program = 'pg_ctlcluster 16 main start'", " (revives)"),
        ("/etc/inittab", "pg:345:respawn:/usr/bin/postgres -D /srv/crm/16/main", " (revives)"),
        ("/etc/rc.local", "pg_ctlcluster 16-main start", ""),
        ("/etc/cron.d/crm", "@reboot postgres pg_ctl -D /srv/crm/16/main start", ""),
        ("/etc/crontab", "* * * * * postgres pg_ctl -D /srv/crm/16/main start", " (revives)"),
        ("/var/spool/cron/crontabs/postgres", "*/5 * * * * pg_ctl -D /srv/crm/16/main start", " (revives)"),
    ],
)
def test_other_supervisors_and_cron_are_looked_at(host: FakeHost, path: str, text: str, found: str) -> None:
    host.file(path, f"# {text}\n")
    assert host.look() == ([], ()), "a comment starts nothing"
    host.file(path, text + "\n")
    (told,), unknown = host.look()
    assert unknown == ()
    assert told.startswith(path)
    assert told.endswith("(revives)") is bool(found)


def test_managers_of_databases_are_found_by_their_processes(host: FakeHost) -> None:
    host.tool("ps", "printf 'sshd\\npatroni\\nohasd.bin\\n'")
    assert host.look() == (["ohasd.bin (revives)", "patroni (revives)"], ())


def test_oracles_table_is_read(host: FakeHost) -> None:
    host.file("/etc/oratab", "# EBS:/u01:Y\nEBS:/u01/app:Y\nTEST:/u01/app:N\n")
    (told,), _ = host.look()
    assert told.endswith("/etc/oratab")


def test_containers_that_are_restarted_with_its_data_are_found(host: FakeHost) -> None:
    host.tool(
        "docker",
        'case $1 in ps) echo a b;; inspect) [ "$4" = a ] && echo "/crm always /srv/crm/16/main"; '
        '[ "$4" = b ] && echo "/other always /srv/other"; exit 0;; esac',
    )
    assert host.look() == (["docker (revives)"], ())


def test_what_cannot_be_looked_at_is_unknown_and_never_nothing(host: FakeHost) -> None:
    host.tool("systemctl", "exit 1")
    host.tool("ps", "exit 1")
    host.tool("docker", "exit 1")
    found, unknown = host.look()
    assert found == []
    assert unknown == (
        "systemd does not answer",
        "processes cannot be listed",
        "docker does not answer: which containers it restarts is not known",
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_crontab_that_may_not_be_read_is_unknown(host: FakeHost) -> None:
    host.folder("/var/spool/cron/crontabs").chmod(0)
    assert host.look()[1]


def test_a_look_that_was_cut_short_says_so() -> None:
    assert parsed("found=manager|patroni|runs here\n").unknown == ("the look did not come to its end",)
    assert parsed("done=yes\n") == parsed("noise\ndone=yes\n")


def test_what_is_found_reads_as_a_sentence_with_a_remedy() -> None:
    looked = parsed("found=systemd-restart|pg.service|Restart=always\ndone=yes\n")
    assert spoken(looked.found) == (
        "systemd's pg.service: Restart=always: it starts the server again when that has died"
    )
    assert "Restart=no" in looked.found[0].remedy


def test_this_very_machine_can_be_looked_at() -> None:
    """Nobody starts a database in a folder that does not exist; what cannot be seen is said."""
    text = script(Database("none", "/nonexistent/twinsite/data"))
    done = subprocess.run(["sh", "-c", text], capture_output=True, text=True, check=False, timeout=120)
    looked = parsed(done.stdout)
    assert [each for each in looked.found if "/nonexistent" in each.how] == []
    assert "the look did not come to its end" not in looked.unknown
