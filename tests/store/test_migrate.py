"""The schema, brought up to date once, by whoever comes first; and the master keys that a ledger knows."""

import base64
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from psycopg import sql

from ledger.errors import StoreUnavailable
from ledger.store.keys import Keyring, WrongMasterKey
from ledger.store.migrate import MigrationError, migrate, migrations, pending, register_master_keys

OLD, NEW, OTHER = b"o" * 32, b"n" * 32, b"x" * 32

Connection = psycopg.Connection[tuple[object, ...]]


@pytest.fixture
def connection(postgres: str, schema: str) -> Iterator[Connection]:
    """A connection to a migrated schema, which is first in its search path."""
    migrate(postgres, schema)
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(sql.SQL("SET search_path TO {}").format(sql.Identifier(schema)))
        yield connection


def known_keys(connection: Connection) -> set[object]:
    """The names of the master keys that the ledger knows."""
    return {name for (name,) in connection.execute("SELECT key_id FROM ledger_master_keys")}


def test_migrations_are_numbered_from_one_without_gaps() -> None:
    assert [step.version for step in migrations()] == list(range(1, len(migrations()) + 1))


def test_migrating_applies_every_step_once(postgres: str, schema: str) -> None:
    assert migrate(postgres, schema) == migrations()
    assert migrate(postgres, schema) == []


def test_processes_that_start_together_apply_each_step_once(postgres: str, schema: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        applied = list(pool.map(lambda _: migrate(postgres, schema), range(4)))
    assert sorted(map(len, applied)) == [0, 0, 0, len(migrations())]


def test_what_is_pending_is_what_migrating_would_apply(postgres: str, schema: str, connection: Connection) -> None:
    assert pending(connection) == []
    connection.execute("DELETE FROM schema_migration WHERE version = 1")
    assert [step.version for step in pending(connection)] == [1]
    connection.execute("DROP TABLE schema_migration")
    assert pending(connection) == migrations()


def test_a_step_that_was_edited_after_it_was_applied_is_noticed(
    postgres: str, schema: str, connection: Connection
) -> None:
    connection.execute("UPDATE schema_migration SET digest = 'another' WHERE version = 1")
    with pytest.raises(MigrationError, match="migration 1 was changed after it was applied"):
        migrate(postgres, schema)


def test_a_database_of_a_newer_version_is_left_alone(postgres: str, schema: str, connection: Connection) -> None:
    connection.execute("INSERT INTO schema_migration (version, name, digest) VALUES (9999, 'coming', '')")
    with pytest.raises(MigrationError, match="newer than this version: it has migration 9999"):
        migrate(postgres, schema)


def test_a_step_that_fails_leaves_nothing(postgres: str, schema: str) -> None:
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))
        in_the_way = sql.Identifier(schema, "credential_secret")
        connection.execute(sql.SQL("CREATE TABLE {} ()").format(in_the_way))
        with pytest.raises(psycopg.errors.DuplicateTable):
            migrate(postgres, schema)
        connection.execute(sql.SQL("DROP TABLE {}").format(in_the_way))
    assert migrate(postgres, schema) == migrations()


@pytest.fixture
def plain_user(postgres: str, schema: str) -> Iterator[str]:
    """The conninfo of a user who may not create schemas in the database."""
    name = f"{schema}_user"
    role = sql.Identifier(name)
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE ROLE {}").format(role))
        connection.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(role))
        try:
            yield psycopg.conninfo.make_conninfo(postgres, options=f"-c role={name}")
        finally:
            connection.execute("SET client_min_messages TO warning")
            connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(schema)))
            connection.execute(sql.SQL("DROP ROLE {}").format(role))


def test_a_user_who_may_not_create_the_schema_is_told_what_to_ask_for(plain_user: str, schema: str) -> None:
    with pytest.raises(MigrationError, match=f"let its owner run CREATE SCHEMA {schema} AUTHORIZATION"):
        migrate(plain_user, schema)


def test_a_schema_that_was_made_for_the_user_is_enough(postgres: str, plain_user: str, schema: str) -> None:
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE SCHEMA {} AUTHORIZATION {}").format(
                sql.Identifier(schema), sql.Identifier(f"{schema}_user")
            )
        )
    assert migrate(plain_user, schema) == migrations()


def test_a_server_that_does_not_answer_is_unavailable() -> None:
    with pytest.raises(StoreUnavailable):
        migrate("host=127.0.0.1 port=1 connect_timeout=2", "keyledger")


# --- master keys -----------------------------------------------------------------------------------------------------


def test_the_first_keys_of_a_ledger_are_noted_without_telling_what_they_are(connection: Connection) -> None:
    register_master_keys(connection, Keyring([OLD]))
    [(name, value)] = connection.execute("SELECT key_id, check_value FROM ledger_master_keys").fetchall()
    assert name == Keyring([OLD]).current
    assert isinstance(value, bytes)
    for hidden in (OLD, OLD[:16], base64.b64encode(OLD)):
        assert hidden not in value
    register_master_keys(connection, Keyring([OLD]))


def test_a_ring_with_a_new_key_first_and_the_retired_one_after_it_is_taken(connection: Connection) -> None:
    register_master_keys(connection, Keyring([OLD]))
    register_master_keys(connection, Keyring([NEW, OLD]))
    assert known_keys(connection) == set(Keyring([NEW, OLD]).check_values())
    register_master_keys(connection, Keyring([OLD, NEW]))


@pytest.mark.parametrize("ring", [[OTHER], [OTHER, NEW]], ids=["wrong", "retired key missing"])
def test_a_ring_that_lacks_a_known_key_is_refused_and_nothing_is_written(
    ring: list[bytes], connection: Connection
) -> None:
    register_master_keys(connection, Keyring([NEW, OLD]))
    with pytest.raises(WrongMasterKey, match="restore the right master key"):
        register_master_keys(connection, Keyring(ring))
    assert known_keys(connection) == set(Keyring([NEW, OLD]).check_values())


def test_a_key_of_the_same_name_with_another_check_value_is_refused(connection: Connection) -> None:
    register_master_keys(connection, Keyring([OLD]))
    connection.execute("UPDATE ledger_master_keys SET check_value = '\\x00'")
    with pytest.raises(WrongMasterKey):
        register_master_keys(connection, Keyring([OLD]))
