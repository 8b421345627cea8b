"""Migrating, rebuilding, projecting and the doctor."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from api.wiring import Services
from ledger.service import CREDENTIAL
from projections.runner import wait_for
from tests import given
from tests.cli.conftest import CommandLine, CreateCredential, Ran


def verdicts(ran: Ran) -> dict[str, str]:
    return {check["check"]: check["verdict"] for check in ran.json["checks"]}


def test_migrating_twice_does_nothing_more(keyledger: CommandLine) -> None:
    assert keyledger.ok("migrate").out == "The database is up to date.\n"


@pytest.fixture
def empty_dir() -> Iterator[Path]:
    """A directory that PostgreSQL's user can reach, which pytest's own are not."""
    with tempfile.TemporaryDirectory(prefix="keyledger-cli-") as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


def test_a_new_installation_begins_with_migrate_init_and_keeps_what_it_is_told(
    keyledger: CommandLine, empty_dir: Path
) -> None:
    own = CommandLine(
        {
            **keyledger.environment,
            "KEYLEDGER_DATABASE_URL": None,
            "KEYLEDGER_MASTER_KEY": None,
            "KEYLEDGER_DATA_DIR": str(empty_dir / "data"),
            "KEYLEDGER_SCHEMA": None,
        }
    )
    assert own("organisation", "list").exit_code == 8
    assert own("doctor").exit_code == 1
    assert "Applied 0001_the_log." in own.ok("migrate", "--init").out
    assert (empty_dir / "data" / "master.key").stat().st_mode & 0o777 == 0o600
    organisation = own.ok("organisation", "register", "Acme").out.strip()
    assert organisation in own.ok("organisation", "list").out
    healthy = own.ok("doctor", "--json")
    assert verdicts(healthy)["master key file"] == "ok"
    (empty_dir / "data" / "master.key").chmod(0o644)
    assert verdicts(own("doctor", "--json"))["master key file"] == "fail"


def test_a_healthy_ledger_passes_and_every_line_has_its_verdict(keyledger: CommandLine, services: Services) -> None:
    given.an_operator(services)
    ran = keyledger.ok("doctor", "--json")
    assert ran.json["healthy"] is True
    assert set(verdicts(ran).values()) <= {"ok", "warn"}
    assert {"configuration", "master key", "connection", "server", "durability", "clock", "migrations", "log"} <= set(
        verdicts(ran)
    )
    assert all(line.split()[0] in ("ok", "warn", "->") for line in keyledger.ok("doctor").out.splitlines())


@pytest.mark.parametrize(
    ("variables", "check", "advice"),
    [
        ({"KEYLEDGER_PORT": "0"}, "configuration", "correct that variable"),
        ({"KEYLEDGER_MASTER_KEY": "short"}, "master key", "migrate --init"),
        ({"KEYLEDGER_SCHEMA": "never_migrated"}, "migrations", "run `keyledger migrate`"),
        ({"KEYLEDGER_DATABASE_URL": "postgresql://u:hunter2@127.0.0.1:1/x"}, "connection", "see that the server runs"),
        (
            {"KEYLEDGER_MASTER_KEY": "MTExMTExMTExMTExMTExMTExMTExMTExMTExMTExMTE="},
            "master key check",
            "restore the right master key",
        ),
    ],
)
def test_what_is_wrong_fails_with_what_to_do(
    keyledger: CommandLine, organisation: str, variables: dict[str, str], check: str, advice: str
) -> None:
    ran = keyledger("doctor", "--json", **variables)
    assert ran.exit_code == 1
    found = next(one for one in ran.json["checks"] if one["check"] == check)
    assert found["verdict"] == "fail"
    assert advice in found["advice"]
    assert "hunter2" not in ran.out + ran.err


def test_a_view_is_rebuilt_by_name_or_all_of_them(
    keyledger: CommandLine, create: CreateCredential, organisation: str
) -> None:
    created = create("--name", "Billing")
    assert keyledger.ok("rebuild", "credential_status").out == "Rebuilt credential_status.\n"
    assert keyledger.ok("rebuild", "--all").out.count("Rebuilt ") >= 5
    listed = keyledger.ok("credential", "list", "--organisation", organisation, "--json").json["data"]
    assert [one["id"] for one in listed] == [created["id"]]


def test_the_projector_and_the_sweeper_run_as_their_own_process_until_it_is_told_to_stop(
    environment: dict[str, str | None], services: Services, create: CreateCredential, organisation: str
) -> None:
    account = given.an_account(services, UUID(organisation))
    hanging = create("--account", account)["id"]
    given.a_closed_account(services, account)
    process = subprocess.Popen(
        [sys.executable, "-m", "api.cli", "project"],
        env={**os.environ, **{name: value for name, value in environment.items() if value is not None}},
        cwd=Path(__file__).parents[2],
        stderr=subprocess.DEVNULL,
    )
    try:
        create()
        assert wait_for(services.store, None, services.log.head(), 30)
        deadline = time.monotonic() + 30
        while services.ledger.load(CREDENTIAL, UUID(hanging)).revoked_at is None:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
