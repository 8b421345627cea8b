"""Importing: once however often it runs, bad rows by line, and nothing lost when it is killed half-way."""

import csv
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from api.wiring import Services
from tests import given
from tests.cli.conftest import CommandLine, Ran


def digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def a_row(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "external_id": f"old-{number}",
        "name": f"Key {number}",
        "contact_email": f"dev{number}@example.com",
        "sha256": digest(f"old secret {number}"),
        "scopes": "customer:view customer:edit",
        "environment": "production",
        **changes,
    }


def write_csv(file: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    with file.open("w", newline="") as opened:
        writer = csv.DictWriter(opened, list(dict.fromkeys(name for row in rows for name in row)))
        writer.writeheader()
        writer.writerows(rows)
    return file


def write_ndjson(file: Path, rows: Sequence[object]) -> Path:
    file.write_text("".join(row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows))
    return file


@pytest.fixture
def run_import(keyledger: CommandLine, organisation: str) -> Any:
    def run_import(file: Path, *more: object) -> Ran:
        return keyledger("import", file, "--organisation", organisation, "--json", *more)

    return run_import


def counts(ran: Ran) -> tuple[int, int, int]:
    document = ran.json
    return document["imported"], document["already_there"], document["bad"]


def credentials(services: Services) -> int:
    row = services.store.row("SELECT count(*) AS n FROM credential_status")
    assert row is not None
    return int(row["n"])


def test_an_imported_secret_goes_on_working(keyledger: CommandLine, run_import: Any, tmp_path: Path) -> None:
    row = a_row(1, public_id="client-1", allowlist="192.0.2.0/24", hint="et-1", expires_at="2030-01-01T00:00:00Z")
    ran = run_import(write_csv(tmp_path / "old.csv", [row]), "--source", "old gateway")
    assert (ran.exit_code, counts(ran)) == (0, (1, 0, 0)), ran.err
    verified = keyledger.ok(
        *("verify", "--secret-file", "-", "--client-ip", "192.0.2.1", "--scope", "customer:edit", "--json"),
        stdin="old secret 1",
    ).json
    shown = keyledger.ok("credential", "show", verified["credential_id"], "--json").json
    assert (shown["public_id"], shown["imported_from"], shown["mode"]) == ("client-1", "old gateway", "live")
    assert shown["labels"] == {"external_id": "old-1"}
    assert shown["secrets"][0]["hint"] == "et-1"


def test_running_it_twice_imports_once(run_import: Any, services: Services, tmp_path: Path) -> None:
    file = write_csv(tmp_path / "old.csv", [a_row(number) for number in range(60)])
    assert counts(run_import(file, "--source", "old")) == (60, 0, 0)
    again = run_import(file, "--source", "old")
    assert (again.exit_code, counts(again)) == (0, (0, 60, 0))
    assert credentials(services) == 60


def test_without_an_external_id_the_digest_tells_them_apart(
    run_import: Any, services: Services, tmp_path: Path
) -> None:
    rows = [a_row(number, external_id="") for number in (1, 2, 1)]
    assert counts(run_import(write_csv(tmp_path / "old.csv", rows))) == (2, 1, 0)
    assert credentials(services) == 2


def test_bad_rows_are_told_by_line_field_and_reason_and_nothing_is_recorded(
    run_import: Any, services: Services, tmp_path: Path
) -> None:
    rows = [
        a_row(1),
        a_row(2, contact_email="nobody"),
        a_row(3, sha256="0123"),
        a_row(4, scopes="customer:fly"),
        a_row(5, allowlist="10.0.0.1/8"),
        a_row(6, expires_at="2001-01-01T00:00:00Z"),
        a_row(7, expires_at="tomorrow"),
        a_row(8, environment="moon"),
        a_row(9, kind="channel_login"),
        a_row(10, mode="test"),
    ]
    ran = run_import(write_csv(tmp_path / "old.csv", rows))
    assert (ran.exit_code, counts(ran)) == (3, (0, 0, 9))
    assert ran.err.splitlines() == [
        "error: line 3: contact_email: is not a valid email address",
        "error: line 4: sha256: is not 64 lower-case hexadecimal digits",
        "error: line 5: scopes: the catalogue does not hold customer:fly",
        "error: line 6: allowlist.0: has host bits set: did you mean 10.0.0.0/8?",
        "error: line 7: expires_at: lies in the past",
        "error: line 8: expires_at: is not a time with its zone, like 2026-05-31T12:00:00Z",
        "error: line 9: environment: is not one of development, staging, production",
        "error: line 10: channel: is required for a channel login",
        "error: line 11: environment: production is live, not test",
    ]
    assert ran.json["bad_rows"][0] == {
        "line": 3,
        "field": "contact_email",
        "reason": "is not a valid email address",
    }
    assert credentials(services) == 0


def test_a_row_takes_the_scopes_of_its_own_mode_alone(
    run_import: Any, services: Services, organisation: str, tmp_path: Path
) -> None:
    given.a_catalogue(services, UUID(organisation), {"order:view": ["live"], "trial:view": ["test"]}, {})
    rows = [
        a_row(1, scopes="order:view"),
        a_row(2, scopes="trial:view"),
        a_row(3, scopes="order:view", environment="staging"),
        a_row(4, scopes="trial:view", environment="staging"),
    ]
    ran = run_import(write_csv(tmp_path / "old.csv", rows))
    assert [row["line"] for row in ran.json["bad_rows"]] == [3, 4]
    assert {row["field"] for row in ran.json["bad_rows"]} == {"scopes"}
    assert credentials(services) == 0


def test_the_good_rows_go_on_if_asked_and_the_mended_file_adds_the_rest(
    run_import: Any, services: Services, tmp_path: Path
) -> None:
    rows = [a_row(number) for number in range(20)]
    bad = [*rows[:10], a_row(10, name="x" * 201), *rows[11:]]
    ran = run_import(write_csv(tmp_path / "old.csv", bad), "--keep-going")
    assert (ran.exit_code, counts(ran)) == (1, (19, 0, 1))
    assert counts(run_import(write_csv(tmp_path / "old.csv", rows))) == (1, 19, 0)
    assert credentials(services) == 20


def test_a_conflict_that_only_the_ledger_can_see_stops_it_or_is_told(run_import: Any, tmp_path: Path) -> None:
    assert counts(run_import(write_csv(tmp_path / "a.csv", [a_row(1, public_id="client-1")]))) == (1, 0, 0)
    rows = [a_row(2, public_id="client-1"), a_row(3, sha256=a_row(1)["sha256"]), a_row(1, sha256=digest("another"))]
    ran = run_import(write_csv(tmp_path / "b.csv", rows), "--keep-going")
    assert (ran.exit_code, counts(ran)) == (1, (0, 0, 3))
    assert ran.err.splitlines() == [
        "error: line 2: public_id: another credential has it already",
        "error: line 3: sha256: another credential has it already",
        "error: line 4: sha256: this external_id was imported with another one: rotate it instead",
    ]
    assert run_import(tmp_path / "b.csv").exit_code == 3


def test_a_dry_run_checks_and_records_nothing(run_import: Any, services: Services, tmp_path: Path) -> None:
    ran = run_import(write_csv(tmp_path / "old.csv", [a_row(1), a_row(2, contact_email="q")]), "--dry-run")
    assert (ran.exit_code, counts(ran)) == (3, (0, 0, 1))
    assert run_import(write_csv(tmp_path / "old.csv", [a_row(1)]), "--dry-run").exit_code == 0
    assert credentials(services) == 0


def test_ndjson_is_read_line_by_line_and_a_broken_line_is_one_bad_row(run_import: Any, tmp_path: Path) -> None:
    row = a_row(1, scopes=["customer:view"], labels={"team": "pay"})
    lines = [
        row,
        "{broken\n",
        "\n",
        [1],
        a_row(2, scopes="customer:view"),
        {"nmae": "x"},
        "x" * 70_000 + "\n",
        a_row(3, scopes=None, preset="read_only"),
        a_row(4, name=7),
    ]
    ran = run_import(write_ndjson(tmp_path / "old.ndjson", lines), "--keep-going")
    assert counts(ran) == (2, 0, 6)
    assert [(bad["line"], bad["field"]) for bad in ran.json["bad_rows"]] == [
        (2, "row"),
        (4, "row"),
        (5, "scopes"),
        (6, "row"),
        (7, "row"),
        (9, "name"),
    ]


def test_rows_that_say_nothing_take_what_the_options_say(
    keyledger: CommandLine, run_import: Any, organisation: str, tmp_path: Path
) -> None:
    rows = [{"sha256": digest("one")}]
    refused = run_import(write_csv(tmp_path / "old.csv", rows))
    assert refused.exit_code == 3
    assert run_import(tmp_path / "old.csv", "--mode", "test", "--preset", "write").exit_code == 0
    shown = keyledger.ok("credential", "list", "--organisation", organisation, "--json").json["data"]
    assert (shown[0]["mode"], shown[0]["preset"]) == ("test", "write")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"secret,name\nkl_api_key_live_x,me\n",
        b"name,name\na,b\n",
    ],
)
def test_a_header_that_is_not_understood_refuses_the_file_without_repeating_it(
    run_import: Any, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "old.csv").write_bytes(content)
    ran = run_import(tmp_path / "old.csv")
    assert ran.exit_code == 3
    assert ran.err.startswith("error: header: ")
    assert "kl_" not in ran.err


@pytest.mark.parametrize(
    "content",
    [
        b"sha256,name\n" + digest("a").encode() + b",\xff\xfe\n",
        b"sha256,name\n" + digest("a").encode() + b"\n",
        b"sha256,name\n" + digest("a").encode() + b',"never closed\n',
        b"sha256,name\n" + digest("a").encode() + b"," + b"x" * 70_000 + b"\n",
    ],
)
def test_bytes_that_are_not_a_row_are_a_bad_row(run_import: Any, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "old.csv").write_bytes(content)
    ran = run_import(tmp_path / "old.csv", "--mode", "live", "--full")
    assert (ran.exit_code, counts(ran)) == (3, (0, 0, 1))
    assert ran.err.startswith("error: line 2: ")


def test_what_is_imported_has_its_reason_and_source_in_its_history(
    keyledger: CommandLine, run_import: Any, tmp_path: Path
) -> None:
    run_import(write_csv(tmp_path / "old.csv", [a_row(1)]), "--reason", "migration", "--source", "old gateway")
    found = keyledger.ok("verify", "--secret-file", "-", "--json", stdin="old secret 1").json["credential_id"]
    told = keyledger.ok("history", found).out
    assert "why: migration" in told
    assert "imported from old gateway" in told


# So that some seconds of an import are left when its first rows are seen, however fast the one and busy the other is.
EACH_ROW_TAKES_ITS_TIME = """
CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.005); RETURN NEW; END';
CREATE TRIGGER slow BEFORE INSERT ON credential_status FOR EACH ROW EXECUTE FUNCTION slow()
"""


@pytest.mark.parametrize(("ending", "code"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)])
def test_an_import_that_ends_half_way_is_finished_by_the_next_run(
    run_import: Any,
    services: Services,
    environment: dict[str, str | None],
    organisation: str,
    tmp_path: Path,
    ending: signal.Signals,
    code: int,
) -> None:
    rows = 1_000
    file = write_csv(tmp_path / "old.csv", [a_row(number) for number in range(rows)])
    with services.store.connect() as connection:
        connection.execute(EACH_ROW_TAKES_ITS_TIME)
    process = subprocess.Popen(
        [sys.executable, "-m", "api.cli", "import", str(file), "--organisation", organisation],
        env={**os.environ, **{name: value for name, value in environment.items() if value is not None}},
        cwd=Path(__file__).parents[2],
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not credentials(services) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(ending)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (code, "" if ending is signal.SIGKILL else "error: interrupted\n")
    recorded = credentials(services)
    assert 0 < recorded < rows
    with services.store.connect() as connection:
        connection.execute("DROP TRIGGER slow ON credential_status")
    imported, already_there, bad = counts(run_import(file))
    # What was on its way to the commit when the process died may have arrived after we counted.
    assert already_there >= recorded
    assert (imported + already_there, bad, credentials(services)) == (rows, 0, rows)
