"""The schema of the ledger, brought up to date: numbered SQL files, applied once, in order, in one transaction each.

Migrations run under an advisory lock, so that processes which start together apply each once, and under short lock and
statement timeouts, so that a migration which cannot get its lock gives up instead of stopping the service. Each must
work with the previous release of the code still running: add first, remove a release later.
"""

import hashlib
from dataclasses import dataclass
from importlib import resources
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import tuple_row

from ledger.store.datastore import unavailable_as_such
from ledger.store.keys import Keyring, WrongMasterKey, same_check_value

SERVER_VERSION_MIN = 150_000  # PostgreSQL 15
LOCK_TIMEOUT_SECONDS = 5  # longer, and every writer queues behind the migration
STATEMENT_TIMEOUT_SECONDS = 300  # an index over tens of millions of rows


class MigrationError(Exception):
    """The schema cannot be brought to what this version needs; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One step: `version` from the file's number, and the digest by which an edited file is noticed."""

    version: int
    name: str
    statements: str

    @property
    def digest(self) -> str:
        """SHA-256 of the file."""
        return hashlib.sha256(self.statements.encode()).hexdigest()


def migrations() -> list[Migration]:
    """Every step there is, in order."""
    found = []
    for file in resources.files("ledger.store.migrations").iterdir():
        if file.name.endswith(".sql"):
            number, _, name = file.name.removesuffix(".sql").partition("_")
            found.append(Migration(int(number), name, file.read_text(encoding="utf-8")))
    return sorted(found, key=lambda migration: migration.version)


def migrate(conninfo: str, schema: str) -> list[Migration]:
    """Apply what is missing and return it. Running it twice, or twice at once, does no more.

    Raises `MigrationError`, and `StoreUnavailable` where PostgreSQL cannot be reached or a lock is not to be had.
    """
    with (
        unavailable_as_such(),
        psycopg.connect(conninfo, autocommit=True, application_name="keyledger migrate") as connection,
    ):
        if connection.info.server_version < SERVER_VERSION_MIN:
            raise MigrationError(f"PostgreSQL {connection.info.server_version // 10_000} is too old: 15 is the first")
        key = int.from_bytes(hashlib.sha256(f"keyledger migrate {schema}".encode()).digest()[:8], signed=True)
        connection.execute("SET client_min_messages TO warning")
        connection.execute("SELECT pg_advisory_lock(%s)", (key,))
        try:
            _set_up(connection, schema)
            applied = _applied(connection)
            missing = [step for step in _checked(applied) if step.version not in applied]
            for step in missing:
                _apply(connection, step)
        finally:
            connection.execute("SELECT pg_advisory_unlock(%s)", (key,))
    return missing


def pending(connection: psycopg.Connection[Any]) -> list[Migration]:
    """What `migrate` would apply, for a connection whose search path is the ledger's schema.

    Raises `MigrationError` where a newer version, or one whose migrations were changed, was at work.
    """
    row = connection.cursor(row_factory=tuple_row).execute("SELECT to_regclass('schema_migration') IS NULL").fetchone()
    if row is None or row[0]:
        return migrations()
    applied = _applied(connection)
    return [step for step in _checked(applied) if step.version not in applied]


def register_master_keys(connection: psycopg.Connection[tuple[object, ...]], keyring: Keyring) -> None:
    """Check the master keys against those that the ledger was written with, and note new ones.

    Raises `WrongMasterKey` before anything is written where the ring has none of the known keys, where a known id has
    another check value, or where a known key is missing (what it sealed could not be read).
    """
    with connection.transaction():
        connection.execute("LOCK TABLE ledger_master_keys IN EXCLUSIVE MODE")
        known = {
            str(name): bytes(value)  # type: ignore[call-overload]  # rows are untyped
            for name, value in connection.execute("SELECT key_id, check_value FROM ledger_master_keys")
        }
        held = keyring.check_values()
        for name, value in known.items():
            if name not in held or not same_check_value(held[name], value):
                raise WrongMasterKey(
                    f"this ledger was written with master key {name}, which is not among the keys given: "
                    "restore the right master key (retired ones stay in the ring, after the current one)"
                )
        for name, value in held.items():
            if name not in known:
                connection.execute("INSERT INTO ledger_master_keys VALUES (%s, %s)", (name, value))


def _set_up(connection: psycopg.Connection[tuple[object, ...]], schema: str) -> None:
    name = sql.Identifier(schema)
    try:
        # Asked first: creating one "if not exists" needs the right to create even where it exists.
        if connection.execute("SELECT FROM pg_namespace WHERE nspname = %s", (schema,)).fetchone() is None:
            connection.execute(sql.SQL("CREATE SCHEMA {}").format(name))
        connection.execute(sql.SQL("SET search_path TO {}").format(name))
        connection.execute(
            "CREATE TABLE IF NOT EXISTS schema_migration (version integer PRIMARY KEY, name text NOT NULL, "
            "digest text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
        )
    except psycopg.errors.InsufficientPrivilege as error:
        raise MigrationError(
            f"the database's user may not create what the ledger needs ({error.diag.message_primary}): "
            f"let its owner run CREATE SCHEMA {schema} AUTHORIZATION {connection.info.user}"
        ) from None


def _applied(connection: psycopg.Connection[Any]) -> dict[int, str]:
    return dict(connection.cursor(row_factory=tuple_row).execute("SELECT version, digest FROM schema_migration"))


def _checked(applied: dict[int, str]) -> list[Migration]:
    """Every step, after making sure that the applied ones are the ones we have."""
    steps = {step.version: step for step in migrations()}
    for version, digest in applied.items():
        if version not in steps:
            raise MigrationError(f"the database is newer than this version: it has migration {version}")
        if steps[version].digest != digest:
            raise MigrationError(f"migration {version} was changed after it was applied here")
    return list(steps.values())


def _apply(connection: psycopg.Connection[tuple[object, ...]], step: Migration) -> None:
    with connection.transaction():
        connection.execute(f"SET LOCAL lock_timeout TO '{LOCK_TIMEOUT_SECONDS}s'")
        connection.execute(f"SET LOCAL statement_timeout TO '{STATEMENT_TIMEOUT_SECONDS}s'")
        connection.execute(step.statements)
        connection.execute(
            "INSERT INTO schema_migration (version, name, digest) VALUES (%s, %s, %s)",
            (step.version, step.name, step.digest),
        )
