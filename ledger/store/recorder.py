"""Appending to the log: positions without gaps, in commit order, with everything that belongs to a command recorded in
the same transaction or not at all.

One transaction carries the commands of many callers. It locks the head row first; under that lock it finds which
versions, names and idempotency keys are taken, leaves out just the commands that lost, and inserts the rest with
positions counted on from the head. The library's own path takes an exclusive table lock and a sequence, which leaves
gaps and commits one command at a time; its `insert_events` leads here, so that its readers, its interface and its own
tests hold for this recorder too. docs/decisions/0004 tells why it is so.
"""

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
from eventsourcing.persistence import DataError, IntegrityError, OperationalError, StoredEvent
from eventsourcing.postgres import PostgresApplicationRecorder

from ledger.errors import (
    AlreadyExists,
    CommandInFlight,
    InvalidValue,
    LedgerError,
    LoginAlreadyClaimed,
    NameAlreadyClaimed,
    OutcomeUnknown,
    StaleVersion,
    StoreUnavailable,
    Unavailable,
)
from ledger.settings import Settings
from ledger.store.append import (
    CLAIMS,
    IDEMPOTENCY,
    Append,
    Claim,
    IdempotencyEntry,
    InlineTable,
    Packed,
    Row,
    merged,
    pack,
    writes,
)
from ledger.store.datastore import IDLE_IN_TRANSACTION_SECONDS, UNAVAILABLE, LedgerDatastore, Unconfirmed
from ledger.store.group_commit import GroupCommit
from ledger.store.pipeline import BEGIN, COMMIT, ROLLBACK, UUID_OID, Call, Pipeline, Statement, array, bigint, element

__all__ = [
    "Append",
    "BatchStatistics",
    "Claim",
    "IdempotencyEntry",
    "InlineTable",
    "LedgerRecorder",
    "Positions",
    "Row",
]

EVENTS_TABLE = "ledger_events"
CHANNEL = "ledger_events"

# How long to look for the outcome of a commit whose connection broke. Where the network fell silent, the server ends
# the lost transaction, and with it the lock on the head, after its idle timeout; a restart or failover takes seconds.
RESOLVE_SECONDS = IDLE_IN_TRANSACTION_SECONDS + 5.0

Positions = Sequence[int]
# What is recorded together or not at all: mostly one command's events, of one aggregate.
Unit = Sequence[Packed]
Outcome = Sequence[Positions] | Exception

_LOCK_HEAD = Statement(b"lock_head", b"SELECT position FROM ledger_head FOR UPDATE")
# One row for each asked, in their order. As scalar subqueries, since those stay index look-ups whatever the planner
# believes about the tables' sizes.
_NEWEST = Statement(
    b"newest",
    b"SELECT (SELECT max(originator_version) FROM ledger_events e WHERE e.originator_id = w.id) "
    b"FROM unnest($1) WITH ORDINALITY AS w (id, place) ORDER BY place",
    (2951,),
)
_CLAIMED = Statement(
    b"claimed",
    b"SELECT (SELECT c.aggregate_id FROM ledger_claims c WHERE c.claim = w.claim AND c.name = w.name) "
    b"FROM unnest($1, $2) WITH ORDINALITY AS w (claim, name, place) ORDER BY place",
    CLAIMS.oids[:2],
)
_KEYS_USED = Statement(
    b"keys_used",
    b"SELECT (SELECT 1 FROM ledger_idempotency i WHERE i.actor = w.actor AND i.key = w.key) "
    b"FROM unnest($1, $2) WITH ORDINALITY AS w (actor, key, place) ORDER BY place",
    IDEMPOTENCY.oids[:2],
)
_MOVE_HEAD = Statement(
    b"move_head",
    b"WITH moved AS (UPDATE ledger_head SET position = $1 RETURNING position) "
    b"SELECT pg_notify($2, position::text) FROM moved",
    (20, 25),
)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BatchStatistics:
    """What one commit carried, for the metrics."""

    commands: int
    events: int
    refused: int
    seconds: float


@dataclass(slots=True)
class Taken:
    """What a batch finds under the head's lock, and what it takes of it: the position, each aggregate's newest version
    (None where it has no events), who holds the names it asks for, and which of its idempotency keys are used.
    """

    position: int
    newest: dict[UUID, int | None]
    holders: dict[tuple[str, str], UUID]
    keys: set[tuple[str, str]]


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
        self.channel_name = self.notify_channel  # where the library's subscriptions listen
        self.group: GroupCommit[Unit, Sequence[Positions]] = GroupCommit(
            self._commit_batch,
            batch_max=settings.commit_batch_max,
            queue_max=settings.commit_queue_max,
            # A batch is bounded by its statements' timeouts; two of them is longer than any that still works.
            wait_seconds_max=2 * settings.statement_timeout,
        )

    def append(self, append: Append) -> Positions:
        """Record a command's events and return their positions, once they are durable.

        Raises `StaleVersion`, `AlreadyExists`, `NameAlreadyClaimed`, `CommandInFlight` (its Idempotency-Key is taken),
        `InvalidValue` (PostgreSQL cannot hold it), `QueueFull` and `StoreUnavailable` with nothing recorded, and
        `OutcomeUnknown`.
        """
        (positions,) = self.append_all([append])
        return positions

    def append_all(self, appends: Sequence[Append]) -> Sequence[Positions]:
        """The same for several commands, of an aggregate each, which are recorded in one transaction or not at all."""
        return self.group.submit([pack(append) for append in appends])

    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> Sequence[int] | None:
        """The library's own way in, for the events of one aggregate: the same, with the library's errors."""
        if not stored_events:
            return []
        try:
            return list(self.append(Append(stored_events, **kwargs)))
        except (StaleVersion, AlreadyExists, NameAlreadyClaimed, CommandInFlight) as error:
            raise IntegrityError(str(error)) from error
        except InvalidValue as error:
            raise DataError(str(error)) from error
        except Unavailable as error:
            raise OperationalError(str(error)) from error

    @property
    def notify_channel(self) -> str:
        """The channel that tells of new events; its payload is the head's position. A hint only: it may get lost."""
        return f"{self._store.schema}_{CHANNEL}"

    # --- one batch ---------------------------------------------------------------------------------------------------

    def _commit_batch(self, batch: Sequence[Unit]) -> Sequence[Outcome]:
        started = time.perf_counter()
        outcomes = self._commit_or_isolate(batch)
        if self._observe is not None:
            recorded = sum(len(positions) for o in outcomes if not isinstance(o, Exception) for positions in o)
            refused = sum(isinstance(o, Exception) for o in outcomes)
            try:
                self._observe(BatchStatistics(len(batch), recorded, refused, time.perf_counter() - started))
            except Exception:  # noqa: BLE001 - whatever it is, what was recorded stays recorded
                _log.exception("the observer of commits failed")
        return outcomes

    def _commit_or_isolate(self, batch: Sequence[Unit]) -> Sequence[Outcome]:
        """Commit the batch; where the server refuses it as a whole, halve it until the commands that it is about are
        alone, so that one bad command costs its company a few commits and nothing else.
        """
        try:
            return self._commit(batch)
        except StoreUnavailable as error:
            return [StoreUnavailable(str(error)) for _ in batch]  # one each: threads must not share what they raise
        except psycopg.Error as error:
            if _cannot_serve(error):
                return [_unavailable(error) for _ in batch]
            if len(batch) == 1:
                return [_explained(error)]
        middle = len(batch) // 2
        return [*self._commit_or_isolate(batch[:middle]), *self._commit_or_isolate(batch[middle:])]

    def _commit(self, batch: Sequence[Unit]) -> Sequence[Outcome]:
        """One transaction in two round trips: look, under the head's lock; then write and commit.

        Two, so that a commit is only ever sent by who holds the lock: then whoever gets it next knows the outcome.
        """
        writer, taken = self._look_or_reconnect(batch)
        outcomes = _place(batch, taken)
        accepted = [
            (packed, positions)
            for unit, outcome in zip(batch, outcomes, strict=True)
            if not isinstance(outcome, Exception)
            for packed, positions in zip(unit, outcome, strict=True)
        ]
        if not accepted:
            self._roll_back(writer)
            return outcomes
        positions = [position for _, given in accepted for position in given]
        moved = (_MOVE_HEAD, (bigint(positions[-1]), self.notify_channel.encode()))
        self._store.unconfirmed.told = False
        try:
            writer.run([*writes([p for p, _ in accepted], positions), moved, (COMMIT, ())])
        except psycopg.Error:
            if writer.broken:  # perhaps between the commit and its answer
                lost = self._resolve(*accepted[0])
                if lost is None:
                    return outcomes
                return [o if isinstance(o, Exception) else type(lost)(str(lost)) for o in outcomes]
            self._roll_back(writer)  # the server said what was wrong
            raise
        if self._store.unconfirmed.told:
            return [o if isinstance(o, Exception) else _unconfirmed() for o in outcomes]
        return outcomes

    def _look_or_reconnect(self, batch: Sequence[Unit]) -> tuple[Pipeline, Taken]:
        """What the batch finds, and the connection that now holds the head's lock.

        A connection may have died since its last use, which shows only now. Nothing was written, so another is opened,
        once.
        """
        for attempt in (1, 2):
            writer = self._store.writer()
            try:
                return writer, _look(writer, [packed for unit in batch for packed in unit])
            except psycopg.Error as error:
                if not writer.broken:
                    self._roll_back(writer)
                    raise
                if attempt == 2:
                    raise _unavailable(error) from error
        raise AssertionError("the second attempt returns or raises")

    def _roll_back(self, writer: Pipeline) -> None:
        if not writer.in_transaction:
            return
        try:
            writer.run([(ROLLBACK, ())])
        except psycopg.Error:
            self._store.drop_writer()  # which rolls back too

    # --- a connection that broke at the commit -----------------------------------------------------------------------

    def _resolve(self, packed: Packed, positions: Positions) -> Exception | None:
        """Find out whether a batch was committed whose answer never came: None where it was, else what to tell.

        It held the head's lock, so waiting for that lock waits for its end; then its first event is at its position or
        is not. It is ours if its bytes are: these hold the request's id, its time and random nonces.
        """
        deadline = time.monotonic() + RESOLVE_SECONDS
        while time.monotonic() < deadline:
            with suppress(psycopg.Error, StoreUnavailable), self._store.connect() as connection:
                unconfirmed = Unconfirmed()
                connection.add_notice_handler(unconfirmed.notice)
                # The lock is a write, so this commit waits for the standbys too, and confirms what lies before it.
                with connection.transaction():
                    connection.execute("SELECT position FROM ledger_head FOR UPDATE")
                    row = connection.execute(
                        "SELECT state FROM ledger_events "
                        "WHERE originator_id = %s AND originator_version = %s AND notification_id = %s",
                        (packed.aggregate_id, packed.first, positions[0]),
                    ).fetchone()
                if row is None or bytes(row[0]) != packed.first_state:
                    return StoreUnavailable("PostgreSQL went away before the command was recorded")
                return _unconfirmed() if unconfirmed.told else None
            time.sleep(0.1)  # as often as a server that starts again should be asked
        return OutcomeUnknown("PostgreSQL went away while the command was being recorded")


def _look(writer: Pipeline, batch: Sequence[Packed]) -> Taken:
    """Lock the head and see what is taken, in one round trip. Each statement sees what was committed before it began,
    and those after the first begin under the lock.
    """
    ids = b"".join([element(packed.aggregate_id.bytes) for packed in batch])
    calls: list[Call] = [(BEGIN, ()), (_LOCK_HEAD, ()), (_NEWEST, (array(UUID_OID, len(batch), ids),))]
    names = [(claim.claim, claim.name) for packed in batch for claim in packed.claims]
    if names:
        calls.append((_CLAIMED, merged(_CLAIMED, [p.parts[CLAIMS] for p in batch if CLAIMS in p.parts])))
    keys = [packed.idempotency for packed in batch if packed.idempotency is not None]
    if keys:
        calls.append((_KEYS_USED, merged(_KEYS_USED, [p.parts[IDEMPOTENCY] for p in batch if IDEMPOTENCY in p.parts])))
    _, head, newest, *others = writer.run(calls)
    if head.ntuples != 1:
        raise StoreUnavailable("the ledger's head row is missing: restore the database from a backup")
    answers = iter(others)
    holders = _found(next(answers), names) if names else {}
    return Taken(
        _bigint(head.get_value(0, 0)) or 0,
        {packed.aggregate_id: _bigint(newest.get_value(place, 0)) for place, packed in enumerate(batch)},
        {name: UUID(bytes=holder) for name, holder in holders.items()},
        set(_found(next(answers), keys)) if keys else set(),
    )


def _found(result: Any, asked: Sequence[tuple[str, str]]) -> dict[tuple[str, str], bytes]:
    """What there is of what was asked, in the same order."""
    values = ((one, result.get_value(place, 0)) for place, one in enumerate(asked))
    return {one: value for one, value in values if value is not None}


def _bigint(value: bytes | None) -> int | None:
    return None if value is None else int.from_bytes(value, "big", signed=True)


def _place(batch: Sequence[Unit], taken: Taken) -> list[Outcome]:
    """For each unit its positions, or why it lost. In a batch, as in the log, the first comes first."""
    outcomes: list[Outcome] = []
    for unit in batch:
        try:
            outcomes.append(_place_unit(unit, taken))
        except LedgerError as lost:
            outcomes.append(lost)
    return outcomes


def _place_unit(unit: Unit, taken: Taken) -> Sequence[Positions]:
    """The positions of each command's events; raises where the unit loses, and then leaves all as it was."""
    head, placed = taken.position, list[Positions]()
    newest: dict[UUID, int | None] = {}
    holders: dict[tuple[str, str], UUID] = {}
    for packed in unit:
        current = newest.get(packed.aggregate_id, taken.newest[packed.aggregate_id])
        if packed.idempotency is not None and packed.idempotency in taken.keys:
            raise CommandInFlight("a command with this Idempotency-Key was recorded just now")
        if not _follows(packed.first, current):
            raise StaleVersion(packed.first - 1, current or 0)
        for claim in packed.claims:
            name = (claim.claim, claim.name)
            holder = holders.get(name) or taken.holders.get(name)
            if holder is not None and holder != claim.over:
                raise _claimed(claim.claim)
            holders[name] = packed.aggregate_id
        newest[packed.aggregate_id] = packed.last
        placed.append(range(head + 1, head + 1 + packed.events))
        head += packed.events
    taken.position = head
    taken.newest.update(newest)
    taken.holders.update(holders)
    taken.keys.update(packed.idempotency for packed in unit if packed.idempotency is not None)
    return placed


def _follows(version: int, newest: int | None) -> bool:
    """Whether a version is the next. The library lets a history begin at 0 or 1; the ledger's own begin at 1."""
    return version in (0, 1) if newest is None else version == newest + 1


# --- what errors mean ------------------------------------------------------------------------------------------------


def _cannot_serve(error: psycopg.Error) -> bool:
    """Whether it is the server's state that forbids it now. Class 54 is about the command itself, which is too large or
    too complex for any server.
    """
    return isinstance(error, UNAVAILABLE) and not (error.sqlstate or "").startswith("54")


def _unavailable(error: psycopg.Error) -> StoreUnavailable:
    unavailable = StoreUnavailable(f"PostgreSQL cannot serve now ({type(error).__name__})")
    unavailable.__cause__ = error
    return unavailable


def _unconfirmed() -> OutcomeUnknown:
    return OutcomeUnknown("the command was recorded here, but the synchronous standby did not confirm it")


def _claimed(claim: str) -> NameAlreadyClaimed:
    return LoginAlreadyClaimed("login") if claim == "login" else NameAlreadyClaimed(claim)


def _explained(error: psycopg.Error) -> Exception:
    """What the server's refusal tells about a single command; anything else as it is, for the log."""
    constraint, state = error.diag.constraint_name or "", error.sqlstate or ""
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
        case _ if state.startswith(("22", "54")):
            # The class alone: the server's own sentence may quote the value.
            explained = InvalidValue(error.diag.column_name or "value", f"cannot be stored ({type(error).__name__})")
        case _:
            return error
    explained.__cause__ = error
    return explained
