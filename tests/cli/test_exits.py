"""Exit codes and errors: stable, one line, no traceback, no secret."""

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from api.cli.exits import Exit, exit_code, one_line
from api.cli.options import Duration
from tests.cli.conftest import CommandLine, CreateCredential

WRONG_KEY = "MTExMTExMTExMTExMTExMTExMTExMTExMTExMTExMTE="


def test_version_and_help_are_there(keyledger: CommandLine) -> None:
    assert keyledger.ok("--version").out.startswith("keyledger, version ")
    assert "Exit codes" in keyledger.ok("--help").out


def test_the_codes_are_those_that_are_documented() -> None:
    documented = (Path(__file__).parents[2] / "docs" / "command-line.md").read_text()
    for code in Exit:
        assert f"| {int(code)} |" in documented, code


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (
            ("credential", "describe", "ID", "--contact-email", "nobody"),
            3,
            "contact_email: is not a valid email address",
        ),
        (
            ("credential", "allowlist", "ID", "10.0.0.1/8"),
            3,
            "allowlist.0: has host bits set: did you mean 10.0.0.0/8?",
        ),
        (("credential", "show", uuid4()), 4, "no such credential"),
        (("credential", "resume", "ID"), 5, "the credential is not suspended"),
        (
            ("credential", "suspend", "ID", "--expected-version", 9),
            6,
            "expected version 9, it is at 2: read it again and decide anew",
        ),
    ],
)
def test_each_refusal_is_one_line_with_its_own_code(
    keyledger: CommandLine, create: CreateCredential, arguments: tuple[object, ...], code: int, line: str
) -> None:
    created = create()
    ran = keyledger(*(created["id"] if argument == "ID" else argument for argument in arguments))
    assert (ran.exit_code, ran.err, ran.out) == (code, f"error: {line}\n", "")


@pytest.mark.parametrize(
    "arguments",
    [
        ("credential", "show", "not-an-id"),
        ("credential", "revoke", str(uuid4()), "--at", "2026-01-01T00:00:00"),
        ("credential", "rotate", str(uuid4()), "--overlap", "soon"),
        ("credential", "allowlist", str(uuid4())),
        ("credential", "create", "--organisation", str(uuid4()), "--kind", "magic"),
        ("rebuild",),
        ("rebuild", "no_such_view"),
        ("nonsense",),
    ],
)
def test_what_cannot_be_read_as_arguments_is_usage(keyledger: CommandLine, arguments: tuple[str, ...]) -> None:
    assert keyledger(*arguments).exit_code == 2


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"KEYLEDGER_PROT": "1"}, "KEYLEDGER_PROT is not a setting"),
        ({"KEYLEDGER_PORT": "many"}, "KEYLEDGER_PORT must be a whole number"),
        ({"KEYLEDGER_MASTER_KEY": ""}, "there is no master key"),
        ({"KEYLEDGER_MASTER_KEY": WRONG_KEY}, "this ledger was written with master key"),
        ({"KEYLEDGER_SCHEMA": "never_migrated"}, "run `keyledger migrate` first"),
        ({"KEYLEDGER_DATABASE_URL": "postgresql:hunter2"}, "is not a libpq URL"),
    ],
)
def test_a_wrong_configuration_says_what_is_wrong(
    keyledger: CommandLine, organisation: str, variables: dict[str, str], said: str
) -> None:
    ran = keyledger("organisation", "list", **variables)
    assert ran.exit_code == 8
    assert said in ran.err
    assert ran.err.count("\n") == 1
    assert "hunter2" not in ran.err


def test_a_command_in_the_wrong_directory_makes_no_database_there(keyledger: CommandLine, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    ran = keyledger(*("organisation", "list"), KEYLEDGER_DATABASE_URL="", KEYLEDGER_DATA_DIR=str(elsewhere))
    assert ran.exit_code == 8
    assert "there is no database in" in ran.err
    assert not elsewhere.exists()


def test_a_database_that_is_away_is_unavailable(keyledger: CommandLine) -> None:
    ran = keyledger("organisation", "list", KEYLEDGER_DATABASE_URL="postgresql://u:hunter2@127.0.0.1:1/x")
    assert (ran.exit_code, ran.err) == (7, "error: PostgreSQL cannot be reached: nothing listens there\n")


def test_parts_of_a_mistyped_url_are_not_repeated(keyledger: CommandLine) -> None:
    ran = keyledger("organisation", "list", KEYLEDGER_DATABASE_URL="postgresql://u:hun@ter2@/x")
    assert ran.exit_code == 7
    assert "ter2" not in ran.err


def test_a_fault_is_one_line_and_its_own_code() -> None:
    error = ValueError("kl_api_key_live_...")
    assert exit_code(error) is Exit.FAULT
    assert one_line(error) == "a fault in Keyledger (ValueError): KEYLEDGER_LOG_LEVEL=DEBUG shows where"
    assert exit_code(psycopg.errors.AdminShutdown()) is Exit.UNAVAILABLE
    assert exit_code(KeyboardInterrupt()) is Exit.INTERRUPTED


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("0", timedelta(0)),
        ("90s", timedelta(seconds=90)),
        ("15m", timedelta(minutes=15)),
        ("24h", timedelta(days=1)),
        ("7d", timedelta(days=7)),
        ("2w", timedelta(days=14)),
    ],
)
def test_lengths_of_time_have_units(text: str, length: timedelta) -> None:
    assert Duration().convert(text, None, None) == length


def test_a_shell_sees_the_code_the_line_and_no_traceback(environment: dict[str, str | None]) -> None:
    variables = {**os.environ, **{name: value for name, value in environment.items() if value is not None}}
    ran = subprocess.run(
        [sys.executable, "-m", "api.cli", "credential", "show", str(uuid4())],
        env=variables,
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (4, "", "error: no such credential\n")
