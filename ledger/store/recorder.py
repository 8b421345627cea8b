"""Appending to the log: positions without gaps, in commit order, with everything that belongs to a command recorded in
the same transaction or not at all.

One transaction carries the commands of many callers. It locks the head row first; under that lock it finds which
versions, names and idempotency keys are taken, leaves out just the commands that lost, and inserts the rest with
positions counted on from the head. The library's own path takes an exclusive table lock and a sequence, which leaves
gaps and commits one command at a time; its `insert_events` leads here, so that its readers, its interface and its own
tests hold for this recorder too.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import msgspec
import psycopg
from eventsourcing.persistence import IntegrityError, OperationalError, StoredEvent
from eventsourcing.postgres import PostgresApplicationRecorder
from psycopg import sql
from psycopg.rows import TupleRow, tuple_row

from ledger.errors import (
    AlreadyExists,
    CommandInFlight,
    LedgerError,
    LoginAlreadyClaimed,
    NameAlreadyClaimed,
    OutcomeUnknown,
    StaleVersion,
    StoreUnavailable,
)
from ledger.settings import Settings
from ledger.store.datastore import UNAVAILABLE, LedgerDatastore
from ledger.store.group_commit import GroupCommit
from ledger.store.keys import WrappedKey

EVENTS_TABLE = "ledger_events"
CHANNEL = "ledger_events"

# How long to look for the outcome of a commit whose connection broke: a failover takes seconds, a client's patience
# ends about here.
RESOLVE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class IdempotencyEntry:
    """What is remembered of a request under its Idempotency-Key: whose, what was asked, and the sealed answer."""

    actor: str
    key: str
    fingerprint: bytes
    answer: bytes | None


@dataclass(frozen=True, slots=True)
class InlineTable:
    """A table that is written in the events' own transaction: whole rows, inserted or replaced by their key."""

    name: str
    key: tuple[str, ...]
    columns: tuple[str, ...]

    def upsert(self) -> sql.Composed:
        """Rows from one JSON array. The server parses it, which costs the client one call however many there are."""
        columns = sql.SQL(", ").join(map(sql.Identifier, self.columns))
        others = [column for column in self.columns if column not in self.key]
        return sql.SQL(
            "INSERT INTO {table} ({columns}) "
            "SELECT {columns} FROM json_populate_recordset(NULL::{table}, %s::json) "
            "ON CONFLICT ({key}) DO UPDATE SET {changes}"
        ).format(
            table=sql.Identifier(self.name),
            columns=columns,
            key=sql.SQL(", ").join(map(sql.Identifier, self.key)),
            changes=sql.SQL(", ").join(sql.SQL("{0} = EXCLUDED.{0}").format(sql.Identifier(c)) for c in others),
        )


Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Append:
    """All that one command wants recorded: all of it, or none."""

    events: Sequence[StoredEvent]
    organisation_id: UUID | None = None
    claims: Sequence[tuple[str, str]] = ()
    releases_claims: bool = False
    data_key: WrappedKey | None = None
    destroys_data_key: bool = False
    idempotency: IdempotencyEntry | None = None
    rows: Mapping[InlineTable, Sequence[Row]] = field(default_factory=dict)

    @property
    def aggregate_id(self) -> UUID:
        """The aggregate whose events these are."""
        return self.events[0].originator_id  # type: ignore[return-value]  # this datastore's ids are UUIDs


Positions = Sequence[int]
Outcome = Positions | Exception


@dataclass(frozen=True, slots=True)
class BatchStatistics:
    """What one commit carried, for the metrics."""

    commands: int
    events: int
    refused: int
    seconds: float


class LedgerRecorder(PostgresApplicationRecorder):
    """The eventsourcing library's application recorder, with group commit and positions from the head row."""

    def __init__(
        self,
        datastore: LedgerDatastore,
        settings: Settings,
        observe: Callable[[BatchStatistics], None] | None = None,
    ) -> None:
        super().__init__(datastore, events_table_name=EVENTS_TABLE)
        self._store = datastore
        self._observe = observe
        self._warned_not_durable = False
        datastore.on_notice = self._on_notice
        self._upserts: dict[InlineTable, sql.Composed] = {}
        self.group: GroupCommit[Append, Positions] = GroupCommit(
            self._commit_batch,
            batch_max=settings.commit_batch_max,
            queue_max=settings.commit_queue_max,
            # A batch is bounded by its statements' timeouts; two of them is longer than any that still works.
            wait_seconds_max=2 * settings.statement_timeout,
        )

    def append(self, append: Append) -> Positions:
        """Record a command's events and return their positions, once they are durable.

        Raises `StaleVersion`, `AlreadyExists`, `NameAlreadyClaimed`, `CommandInFlight` (its Idempotency-Key is taken),
        `QueueFull` and `StoreUnavailable` with nothing recorded, and `OutcomeUnknown`.
        """
        return self.group.submit(append)

    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> Sequence[int] | None:
        """The library's own way in: the same, with the library's errors."""
        if not stored_events:
            return []
        try:
            return self.append(Append(stored_events, **kwargs))
        except (StaleVersion, AlreadyExists, NameAlreadyClaimed) as error:
            raise IntegrityError(str(error)) from error
        except StoreUnavailable as error:
            raise OperationalError(str(error)) from error

    # --- one batch ---------------------------------------------------------------------------------------------------

    def _commit_batch(self, batch: Sequence[Append]) -> Sequence[Outcome]:
        started = time.perf_counter()
        outcomes = self._commit_or_isolate(batch)
        if self._observe is not None:
            recorded = sum(len(o) for o in outcomes if not isinstance(o, Exception))
            refused = sum(isinstance(o, Exception) for o in outcomes)
            self._observe(BatchStatistics(len(batch), recorded, refused, time.perf_counter() - started))
        return outcomes

    def _commit_or_isolate(self, batch: Sequence[Append]) -> Sequence[Outcome]:
        """Commit the batch; where the server refuses it as a whole, commit each command alone to find which it was."""
        try:
            return self._commit(batch)
        except UNAVAILABLE as error:
            return [StoreUnavailable(f"PostgreSQL cannot serve now ({type(error).__name__})")] * len(batch)
        except psycopg.Error as error:
            if len(batch) > 1:
                return [outcome for append in batch for outcome in self._commit_or_isolate([append])]
            return [_explained(error)]

    def _commit(self, batch: Sequence[Append], *, again: bool = True) -> Sequence[Outcome]:
        """One transaction in two round trips: look, under the head's lock; then write and commit.

        A pooled connection that turns out to be dead before anything was written is replaced, once (`again`).
        """
        self._store.pool.open()
        accepted: list[tuple[Append, Positions]] = []
        outcomes: list[Outcome] = []
        committing = False
        try:
            with (
                self._store.pool.connection() as connection,
                connection.pipeline(),
                connection.transaction(),
                connection.cursor(row_factory=tuple_row) as curs,
            ):
                outcomes = self._place(batch, *self._look(curs, batch))
                accepted = [(a, o) for a, o in zip(batch, outcomes, strict=True) if not isinstance(o, Exception)]
                committing = bool(accepted)
                if accepted:
                    self._write(curs, accepted)
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            if not _broke_the_connection(error):
                raise  # the server said what was wrong, and rolled back
            if committing:  # perhaps between the commit and its answer
                return self._resolve(batch, outcomes)
            if not again:
                raise
            self._store.pool.check()
            return self._commit(batch, again=False)
        if self._warned_not_durable:
            self._warned_not_durable = False
            return [o if isinstance(o, Exception) else _not_durable() for o in outcomes]
        return outcomes

    def _look(
        self, curs: psycopg.Cursor[TupleRow], batch: Sequence[Append]
    ) -> tuple[int, set[tuple[UUID, int]], set[tuple[str, str]], set[tuple[str, str]]]:
        """The head's position, locked, and which versions, names and idempotency keys are taken."""
        first = [a.events[0] for a in batch]
        claims = [c for a in batch for c in a.claims]
        entries = [a.idempotency for a in batch if a.idempotency is not None]
        curs.execute("SELECT position FROM ledger_head FOR UPDATE")
        # The version before the first must be there and the first must not: the newest version tells both.
        curs_versions = curs.connection.cursor(row_factory=tuple_row)
        curs_versions.execute(
            "SELECT w.id, coalesce((SELECT max(originator_version) FROM ledger_events WHERE originator_id = w.id), 0) "
            "FROM unnest(%b::uuid[]) AS w (id)",
            (list({e.originator_id for e in first}),),
            prepare=True,
        )
        curs_claims = curs.connection.cursor(row_factory=tuple_row)
        if claims:
            curs_claims.execute(
                "SELECT claim, name FROM ledger_claims "
                "WHERE (claim, name) IN (SELECT * FROM unnest(%s::text[], %s::text[]))",
                ([c for c, _ in claims], [n for _, n in claims]),
            )
        curs_keys = curs.connection.cursor(row_factory=tuple_row)
        if entries:
            curs_keys.execute(
                "SELECT actor, key FROM ledger_idempotency "
                "WHERE (actor, key) IN (SELECT * FROM unnest(%s::text[], %s::text[]))",
                ([e.actor for e in entries], [e.key for e in entries]),
            )
        head = curs.fetchone()
        if head is None:
            raise StoreUnavailable("the ledger's head row is missing: restore the database from a backup")
        return (
            head[0],
            {(row[0], row[1]) for row in curs_versions.fetchall()},
            {(row[0], row[1]) for row in curs_claims.fetchall()} if claims else set(),
            {(row[0], row[1]) for row in curs_keys.fetchall()} if entries else set(),
        )

    @staticmethod
    def _place(
        batch: Sequence[Append],
        head: int,
        newest: set[tuple[UUID, int]],
        names: set[tuple[str, str]],
        keys: set[tuple[str, str]],
    ) -> list[Outcome]:
        """For each command its positions, or why it lost. In a batch, as in the log, the first comes first."""
        versions = dict(newest)
        names, keys = set(names), set(keys)
        outcomes: list[Outcome] = []
        for append in batch:
            entry = append.idempotency
            if entry is not None and (entry.actor, entry.key) in keys:
                outcomes.append(CommandInFlight("a command with this Idempotency-Key was recorded just now"))
                continue
            aggregate_id, expected = append.aggregate_id, append.events[0].originator_version - 1
            if versions[aggregate_id] != expected:
                outcomes.append(StaleVersion(expected, versions[aggregate_id]))
                continue
            taken = [claim for claim in append.claims if claim in names]
            if taken:
                outcomes.append(_claimed(taken[0][0]))
                continue
            names.update(append.claims)
            if entry is not None:
                keys.add((entry.actor, entry.key))
            versions[aggregate_id] = append.events[-1].originator_version
            outcomes.append(range(head + 1, head + 1 + len(append.events)))
            head += len(append.events)
        return outcomes

    def _write(self, curs: psycopg.Cursor[TupleRow], accepted: Sequence[tuple[Append, Positions]]) -> None:
        """Everything that was accepted. Nothing is fetched, so all of it travels with the commit."""
        events = [(e, a.organisation_id, p) for a, ps in accepted for e, p in zip(a.events, ps, strict=True)]
        curs.execute(
            "INSERT INTO ledger_events "
            "(originator_id, originator_version, topic, state, notification_id, organisation_id) "
            "SELECT * FROM unnest(%b::uuid[], %b::bigint[], %b::text[], %b::bytea[], %b::bigint[], %b::uuid[])",
            (
                [e.originator_id for e, _, _ in events],
                [e.originator_version for e, _, _ in events],
                [e.topic for e, _, _ in events],
                [e.state for e, _, _ in events],
                [p for _, _, p in events],
                [o for _, o, _ in events],
            ),
            prepare=True,
        )
        head = events[-1][2]
        curs.execute("UPDATE ledger_head SET position = %s", (head,), prepare=True)
        self._write_keys_and_claims(curs, [a for a, _ in accepted])
        self._write_rows(curs, [a for a, _ in accepted])
        curs.execute("SELECT pg_notify(%s, %s)", (self.notify_channel, str(head)), prepare=True)

    @property
    def notify_channel(self) -> str:
        """The channel that tells of new events; its payload is the head's position. A hint only: it may get lost."""
        return f"{self._store.schema}_{CHANNEL}"

    @staticmethod
    def _write_keys_and_claims(curs: psycopg.Cursor[TupleRow], accepted: Sequence[Append]) -> None:
        claims = [(c, n, a.aggregate_id) for a in accepted for c, n in a.claims]
        if claims:
            curs.execute(
                "INSERT INTO ledger_claims SELECT * FROM unnest(%b::text[], %b::text[], %b::uuid[])",
                ([c for c, _, _ in claims], [n for _, n, _ in claims], [i for _, _, i in claims]),
                prepare=True,
            )
        data_keys = [a.data_key for a in accepted if a.data_key is not None]
        if data_keys:
            curs.execute(
                "INSERT INTO ledger_data_keys SELECT * FROM unnest(%b::uuid[], %b::text[], %b::bytea[])",
                (
                    [k.aggregate_id for k in data_keys],
                    [k.master_key_id for k in data_keys],
                    [k.wrapped for k in data_keys],
                ),
                prepare=True,
            )
        entries = [(a.idempotency, a.aggregate_id) for a in accepted if a.idempotency is not None]
        if entries:
            curs.execute(
                "INSERT INTO ledger_idempotency (actor, key, fingerprint, aggregate_id, answer) "
                "SELECT * FROM unnest(%b::text[], %b::text[], %b::bytea[], %b::uuid[], %b::bytea[])",
                (
                    [e.actor for e, _ in entries],
                    [e.key for e, _ in entries],
                    [e.fingerprint for e, _ in entries],
                    [i for _, i in entries],
                    [e.answer for e, _ in entries],
                ),
                prepare=True,
            )
        for table, ids in (
            ("ledger_claims", [a.aggregate_id for a in accepted if a.releases_claims]),
            ("ledger_data_keys", [a.aggregate_id for a in accepted if a.destroys_data_key]),
        ):
            if ids:
                curs.execute(
                    sql.SQL("DELETE FROM {} WHERE aggregate_id = ANY(%s)").format(sql.Identifier(table)),
                    (ids,),
                )

    def _write_rows(self, curs: psycopg.Cursor[TupleRow], accepted: Sequence[Append]) -> None:
        """The inline views. Of several rows with one key in a batch only the last counts."""
        by_table: dict[InlineTable, dict[tuple[Any, ...], Row]] = {}
        for append in accepted:
            for table, rows in append.rows.items():
                merged = by_table.setdefault(table, {})
                for row in rows:
                    merged[tuple(row[column] for column in table.key)] = row
        for table, merged in by_table.items():
            if table not in self._upserts:
                self._upserts[table] = table.upsert()
            curs.execute(
                self._upserts[table],
                (msgspec.json.encode(list(merged.values()), enc_hook=str).decode(),),
                prepare=True,
            )

    # --- a connection that broke at the commit -----------------------------------------------------------------------

    def _resolve(self, batch: Sequence[Append], outcomes: Sequence[Outcome]) -> Sequence[Outcome]:
        """Find out whether a batch was committed whose answer never came.

        Waiting for the head's lock waits for the lost transaction to end; then its events are there or they are not.
        They are ours if their bytes are: these hold the request's id, its time and random nonces.
        """
        deadline = time.monotonic() + RESOLVE_SECONDS
        ours = next(a.events[0] for a, o in zip(batch, outcomes, strict=True) if not isinstance(o, Exception))
        while time.monotonic() < deadline:
            with suppress(*UNAVAILABLE, StoreUnavailable), self._store.connect() as connection:
                with connection.transaction():
                    connection.execute("SELECT position FROM ledger_head FOR UPDATE")
                    row = connection.execute(
                        "SELECT state FROM ledger_events WHERE originator_id = %s AND originator_version = %s",
                        (ours.originator_id, ours.originator_version),
                    ).fetchone()
                if row is not None and bytes(row[0]) == ours.state:
                    return outcomes
                lost = StoreUnavailable("PostgreSQL went away before the command was recorded")
                return [o if isinstance(o, Exception) else lost for o in outcomes]
            time.sleep(0.1)
        unknown = OutcomeUnknown("PostgreSQL went away while the command was being recorded")
        return [o if isinstance(o, Exception) else unknown for o in outcomes]

    def _on_notice(self, diagnostic: psycopg.errors.Diagnostic) -> None:
        """Notice a commit that returned although its synchronous standby did not confirm it.

        PostgreSQL reports that as a warning (01000), not as an error.
        """
        if diagnostic.sqlstate == "01000" and "synchronous replication" in (diagnostic.message_primary or ""):
            self._warned_not_durable = True


def _broke_the_connection(error: psycopg.Error) -> bool:
    """Whether it was the connection that failed: no SQLSTATE, class 08, or the server shutting down."""
    state = error.sqlstate
    return state is None or state.startswith("08") or state in ("57P01", "57P02", "57P03")


def _not_durable() -> OutcomeUnknown:
    return OutcomeUnknown("the command was recorded here, but the synchronous standby did not confirm it")


def _claimed(claim: str) -> NameAlreadyClaimed:
    return LoginAlreadyClaimed("login") if claim == "login" else NameAlreadyClaimed(claim)


def _explained(error: psycopg.Error) -> Exception:
    """What a constraint of the database tells about a single command; anything else as it is, for the log."""
    constraint = error.diag.constraint_name or ""
    explained: LedgerError
    match constraint:
        case "ledger_events_pkey" | "ledger_data_keys_pkey":
            explained = AlreadyExists("someone else recorded this first")
        case "ledger_claims_pkey":
            explained = NameAlreadyClaimed("name")
        case "credential_status_login":
            explained = LoginAlreadyClaimed("login")
        case "credential_status_public_id":
            explained = NameAlreadyClaimed("public_id")
        case "credential_secret_digest" | "operator_token_pkey":
            explained = NameAlreadyClaimed("secret")
        case "ledger_idempotency_pkey":
            explained = CommandInFlight("a command with this Idempotency-Key was recorded just now")
        case _:
            return error
    explained.__cause__ = error
    return explained
