"""The log of one ledger: what to append to it, and what it holds."""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple, Self
from uuid import UUID

import msgspec
import psycopg
from cryptography.exceptions import InvalidTag
from eventsourcing.persistence import StoredEvent
from psycopg import sql
from psycopg.rows import TupleRow, tuple_row

from ledger.events import Event, Recorded
from ledger.settings import Settings
from ledger.store.codec import UnknownTopic, decode, encode, unseal, unseal_in_place
from ledger.store.datastore import LedgerDatastore, Params, unavailable_as_such
from ledger.store.keys import DataKey, Keyring, WrappedKey, WrongMasterKey
from ledger.store.migrate import MigrationError, pending, register_master_keys
from ledger.store.recorder import Append, BatchStatistics, LedgerRecorder, Positions

_COLUMNS = "originator_id, originator_version, organisation_id, topic, state, notification_id"
_COLUMNS_OF_E = ", ".join(f"e.{column}" for column in _COLUMNS.split(", "))
_STORED_COLUMNS = "notification_id, originator_id::text, originator_version, organisation_id::text, topic, state"
_STORED = f"SELECT {_STORED_COLUMNS} FROM ledger_events"  # noqa: S608 - texts of ours
# The length of a long state is known without unpacking it. At least one is taken, however long it is.
_FIRST_AT = (
    "(SELECT f.* FROM (SELECT *, sum(octet_length(state)) OVER (ORDER BY notification_id) - octet_length(state) "
    "AS bytes_before FROM ledger_events WHERE notification_id = ANY(%s)) f WHERE f.bytes_before < %s) e"
)
_COLUMNS_WITH_KEY = (
    f"{_COLUMNS_OF_E}, k.master_key_id, k.wrapped FROM ledger_events e "
    "LEFT JOIN ledger_data_keys k ON k.aggregate_id = e.originator_id"
)

AnyConnection = psycopg.Connection[Any]

READ_BYTES_MAX = 2**22  # of events that are read at once by those who say so, for some are hundreds of kilobytes long


@dataclass(frozen=True, slots=True)
class History:
    """All that happened to one aggregate, in order, personal fields in clear; and its data key, if it still has one."""

    recorded: Sequence[Recorded]
    data_key: DataKey | None


class Change(NamedTuple):
    """That something happened, where in the log, and to what."""

    position: int
    aggregate_id: UUID
    organisation_id: UUID | None
    topic: str


class Stored(NamedTuple):
    """An event as the log holds it: the exact bytes, in their place, which ids tell as texts: so leaves have them."""

    position: int
    aggregate_id: str
    aggregate_version: int
    organisation_id: str | None
    topic: str
    state: bytes


class EventLog:
    """Reading and appending, for one process. Build it after a fork; close it when done."""

    def __init__(
        self,
        conninfo: str,
        settings: Settings,
        keyring: Keyring,
        observe: Callable[[BatchStatistics], None] | None = None,
    ) -> None:
        self.keyring = keyring
        self.settings = settings
        self.datastore = LedgerDatastore(conninfo, settings)
        try:
            with self.datastore.connect() as connection:
                if pending(connection):
                    raise MigrationError("the database lacks migrations: run `keyledger migrate` first")
                register_master_keys(connection, keyring)
            with unavailable_as_such():
                self.recorder = LedgerRecorder(self.datastore, settings, observe)
        except BaseException:
            self.datastore.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Answer the commands already taken, then let go of the database."""
        self.recorder.group.close()
        self.datastore.close()

    # --- appending ---------------------------------------------------------------------------------------------------

    def stored(self, recorded: Iterable[Recorded], data_key: DataKey | None) -> list[StoredEvent]:
        """The events as the recorder takes them, personal fields sealed under the aggregate's data key."""
        return [StoredEvent(r.aggregate_id, r.aggregate_version, *encode(r, data_key)) for r in recorded]

    def append(self, append: Append) -> Positions:
        """Record a command's events; see `LedgerRecorder.append`."""
        return self.recorder.append(append)

    def append_all(self, appends: Sequence[Append]) -> Sequence[Positions]:
        """Record several commands' events in one transaction; see `LedgerRecorder.append_all`."""
        return self.recorder.append_all(appends)

    # --- reading -----------------------------------------------------------------------------------------------------

    def history(
        self,
        aggregate_id: UUID,
        *,
        after_version: int = 0,
        up_to_version: int | None = None,
        limit: int | None = None,
    ) -> History:
        """One aggregate's events, with its data key, in one look. Empty where there is no such aggregate.

        Only those after a version and up to another, and at most `limit` of them, where these are given.
        """
        with self.datastore.cursor_of_tuples() as curs:
            curs.execute(
                f"SELECT {_COLUMNS_WITH_KEY} "
                "WHERE e.originator_id = %s AND e.originator_version > %s AND e.originator_version <= %s "
                "ORDER BY e.originator_version LIMIT %s",
                (aggregate_id, after_version, 2**62 if up_to_version is None else up_to_version, limit),
                prepare=True,
                binary=True,
            )
            rows = curs.fetchall()
        if not rows:
            return History([], None)
        data_key = self._unwrapped(aggregate_id, rows[0][6], rows[0][7])
        return History([unseal(_recorded(row), data_key) for row in rows], data_key)

    def histories_with_keys(self, aggregate_ids: Sequence[UUID]) -> dict[UUID, History]:
        """What `history` gives of several aggregates, in one look; without those that there are not."""
        if not aggregate_ids:
            return {}
        with self.datastore.cursor_of_tuples() as curs:
            curs.execute(
                f"SELECT {_COLUMNS_WITH_KEY} "
                "WHERE e.originator_id = ANY(%s) ORDER BY e.originator_id, e.originator_version",
                (list(aggregate_ids),),
                binary=True,
            )
            rows = curs.fetchall()
        found: dict[UUID, History] = {}
        for aggregate_id, of_one in groupby(rows, itemgetter(0)):
            events = list(of_one)
            data_key = self._unwrapped(aggregate_id, events[0][6], events[0][7])
            recorded = [_recorded(row) for row in events]
            for one in recorded:
                unseal_in_place(one, data_key)
            found[aggregate_id] = History(recorded, data_key)
        return found

    def head(self, *, connection: AnyConnection | None = None) -> int:
        """The position of the newest event; 0 for an empty log."""
        with self._cursor(connection) as curs:
            row = curs.execute("SELECT position FROM ledger_head").fetchone()
        return int(row[0]) if row else 0

    def changes(self, after: int, limit: int, *, connection: AnyConnection) -> tuple[int, list[Change]]:
        """The position of the newest event, and what was recorded after another position, in order, without what the
        events say; of that at most `limit`. Both in one look, for those who wait for it hold up a revocation.
        """
        rows = connection.execute(
            "SELECT h.position, e.notification_id, e.originator_id, e.organisation_id, e.topic FROM ledger_head h "
            "LEFT JOIN LATERAL (SELECT * FROM ledger_events "
            "WHERE notification_id > %s AND notification_id <= h.position ORDER BY notification_id LIMIT %s"
            ") e ON true ORDER BY e.notification_id",
            (after, limit),
            prepare=True,
        ).fetchall()
        return (int(rows[0][0]) if rows else 0), [Change(*row[1:]) for row in rows if row[1] is not None]

    def stored_after(self, after: int, limit: int, *, connection: AnyConnection | None = None) -> list[Stored]:
        """At most `limit` events after a position, in order, as they are stored."""
        with self._cursor(connection) as curs:
            curs.execute(
                f"{_STORED} WHERE notification_id > %s ORDER BY notification_id LIMIT %s",
                (after, limit),
                prepare=True,
                binary=True,
            )
            return list(map(Stored._make, curs.fetchall()))

    def read(
        self,
        after: int,
        limit: int,
        organisation_id: UUID | None = None,
        *,
        sealed: bool = False,
        connection: AnyConnection | None = None,
    ) -> list[Recorded]:
        """At most `limit` events after a position, in order, of one organisation or of all.

        Personal fields are in clear, unless they may stay `sealed`, which costs less. `connection` is one of the
        caller's, so that what is read belongs to its transaction.
        """
        where = "" if organisation_id is None else "AND e.organisation_id = %s"
        params: tuple[Any, ...] = (after,) if organisation_id is None else (after, organisation_id)
        with self._cursor(connection) as curs:
            curs.execute(
                f"SELECT {_COLUMNS_WITH_KEY} WHERE e.notification_id > %s {where} ORDER BY e.notification_id LIMIT %s",
                (*params, limit),
                prepare=True,
                binary=True,
            )
            rows = curs.fetchall()
        return [_recorded(row) if sealed else self._in_clear(row) for row in rows]

    def histories(
        self, aggregate_ids: Sequence[UUID], up_to_position: int, *, connection: AnyConnection | None = None
    ) -> dict[UUID, list[Recorded]]:
        """The whole histories of some aggregates as they stood at a position, in clear."""
        found: dict[UUID, list[Recorded]] = {}
        with self._cursor(connection) as curs:
            curs.execute(
                f"SELECT {_COLUMNS_WITH_KEY} "
                "WHERE e.originator_id = ANY(%s) AND e.notification_id <= %s "
                "ORDER BY e.originator_id, e.originator_version",
                (list(aggregate_ids), up_to_position),
                binary=True,
            )
            for row in curs:
                recorded = self._in_clear(row)
                found.setdefault(recorded.aggregate_id, []).append(recorded)
        return found

    def states_at(self, positions: Sequence[int], *, connection: AnyConnection | None = None) -> dict[int, bytes]:
        """The stored bytes of the events at these positions, as far as there are any, in order: of so many of them as
        make `READ_BYTES_MAX`. Who is missing some asks again, for those after the last.
        """
        with self._cursor(connection) as curs:
            curs.execute(
                f"SELECT notification_id, state FROM {_FIRST_AT} ORDER BY notification_id",  # noqa: S608 - texts of ours
                (list(positions), READ_BYTES_MAX),
                prepare=True,
                binary=True,
            )
            return dict(curs.fetchall())

    def first_stored_at(self, positions: Sequence[int]) -> list[Stored]:
        """The events at these positions, in order, as they are stored; so many of them as `states_at` gives."""
        with self.datastore.cursor_of_tuples() as curs:
            curs.execute(
                f"SELECT {_STORED_COLUMNS} FROM {_FIRST_AT} ORDER BY notification_id",  # noqa: S608 - texts of ours
                (list(positions), READ_BYTES_MAX),
                prepare=True,
                binary=True,
            )
            return list(map(Stored._make, curs.fetchall()))

    def first_recorded_at(self, positions: Sequence[int]) -> list[tuple[Recorded, bool, int]]:
        """What `recorded_at` gives, and how many bytes each is as it is stored; of so many events as `states_at`."""
        with self.datastore.cursor_of_tuples() as curs:
            curs.execute(
                f"SELECT {_COLUMNS_OF_E}, k.master_key_id, k.wrapped FROM {_FIRST_AT} "  # noqa: S608 - texts of ours
                "LEFT JOIN ledger_data_keys k ON k.aggregate_id = e.originator_id ORDER BY e.notification_id",
                (list(positions), READ_BYTES_MAX),
                prepare=True,
                binary=True,
            )
            rows = curs.fetchall()
        return [(self._in_clear(row), row[7] is not None, len(row[4])) for row in rows]

    def recorded_at(
        self, positions: Sequence[int], *, connection: AnyConnection | None = None
    ) -> list[tuple[Recorded, bool]]:
        """The events at these positions, in order, personal fields in clear, and whether the data key of each is
        there.
        """
        with self._cursor(connection) as curs:
            curs.execute(
                f"SELECT {_COLUMNS_WITH_KEY} WHERE e.notification_id = ANY(%s) ORDER BY e.notification_id",
                (list(positions),),
                prepare=True,
                binary=True,
            )
            rows = curs.fetchall()
        return [(self._in_clear(row), row[7] is not None) for row in rows]

    def personal_at(
        self, positions: Sequence[int], *, connection: AnyConnection | None = None
    ) -> Iterator[tuple[int, Event | None, bool]]:
        """The events at these positions that have personal fields, in clear, and whether their data key is there.

        None stands for one that cannot be read, whether its bytes or its key were tampered with.
        """
        with self._cursor(connection) as curs:
            curs.execute(
                f"SELECT {_COLUMNS_WITH_KEY} WHERE e.notification_id = ANY(%s)",
                (list(positions),),
                prepare=True,
                binary=True,
            )
            rows = curs.fetchall()
        for row in rows:
            try:
                recorded = _recorded(row)
                if recorded.event.PERSONAL:
                    yield recorded.position, self._in_clear(row).event, row[7] is not None
            except (UnknownTopic, WrongMasterKey, msgspec.MsgspecError, InvalidTag, ValueError):
                yield row[5], None, True

    @contextmanager
    def _cursor(self, connection: AnyConnection | None) -> Iterator[psycopg.Cursor[TupleRow]]:
        """A cursor of the caller's connection, or of a pooled one."""
        if connection is None:
            with self.datastore.cursor_of_tuples() as curs:
                yield curs
        else:
            with connection.cursor(row_factory=tuple_row) as curs:
                yield curs

    def _in_clear(self, row: Sequence[Any]) -> Recorded:
        """A row of `_COLUMNS_WITH_KEY` as an event in its place, unsealed."""
        recorded = _recorded(row)
        if not recorded.event.PERSONAL:
            return recorded
        return unseal(recorded, self._unwrapped(row[0], row[6], row[7]))

    @contextmanager
    def snapshot(self, exported: str | None = None) -> Iterator["Snapshot"]:
        """A read-only view of the log that stays as it is, on a connection of its own: for replays and rebuilds.

        `exported` names one that another process holds (`Snapshot.export`): then it is the same.
        """
        with self.datastore.connect() as connection:
            # Bounded by the log's length, not by a request's patience; and idle where what it holds is what others
            # read.
            connection.execute("SET statement_timeout TO 0")
            connection.execute("SET idle_in_transaction_session_timeout TO 0")
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            connection.read_only = True
            with connection.transaction():
                if exported is not None:
                    connection.execute(sql.SQL("SET TRANSACTION SNAPSHOT {}").format(sql.Literal(exported)))
                row = connection.execute("SELECT position FROM ledger_head").fetchone()
                snapshot = Snapshot(connection, self, int(row[0]) if row else 0)
                # A stream that was left half read holds the connection; ending it lets the transaction end.
                with closing(snapshot):
                    yield snapshot

    def _unwrapped(self, aggregate_id: UUID, master_key_id: str | None, wrapped: bytes | None) -> DataKey | None:
        if master_key_id is None or wrapped is None:
            return None
        return self.keyring.unwrap(WrappedKey(aggregate_id, master_key_id, wrapped))


class Snapshot:
    """Every event up to `position`, streamed with bounded memory: one stream at a time.

    The server sends on while rows are worked on, as far as the socket's buffer goes; no round trip waits.
    """

    SAMPLED_EVENTS = 20_000  # tell the middle to within a percent
    CHUNK_ROWS = 100  # the driver's price for a chunk is spread over these; some kilobytes

    def __init__(self, connection: psycopg.Connection[Any], log: EventLog, position: int) -> None:
        self.position = position
        self._connection = connection
        self._log = log
        self._stream: Generator[Any, None, None] | None = None

    def export(self) -> str:
        """The snapshot's name for other processes, for as long as this one lasts."""
        row = self._connection.execute("SELECT pg_export_snapshot()").fetchone()
        return str(row[0]) if row else ""

    def split(self, topic_prefix: str, parts: int) -> list[UUID]:
        """Ids that divide the aggregates of these topics into parts with about as many events each: one less than
        parts, or fewer where there are not enough events to tell.
        """
        share = min(100.0, 100.0 * self.SAMPLED_EVENTS / max(1, self.position))
        rows = self._connection.execute(
            "SELECT DISTINCT unnest(percentile_disc(%s::float8[]) WITHIN GROUP (ORDER BY originator_id)) AS id "
            "FROM ledger_events TABLESAMPLE SYSTEM (%s) WHERE starts_with(topic, %s) ORDER BY id",
            ([part / parts for part in range(1, parts)], share, topic_prefix),
        ).fetchall()
        return [row[0] for row in rows if row[0] is not None]

    def close(self) -> None:
        """End the stream, whether or not it was read to its end."""
        if self._stream is not None:
            self._stream.close()

    def events(self) -> Iterator[Recorded]:
        """In the log's order, decoded, personal fields still sealed."""
        for row in self._rows(f"SELECT {_COLUMNS} FROM ledger_events ORDER BY notification_id"):  # noqa: S608
            yield _recorded(row)

    def by_aggregate(self, topic_prefix: str, first: UUID | None = None, end: UUID | None = None) -> Iterator[Recorded]:
        """Aggregate by aggregate, each in its own order, unsealed; of the topics with this prefix.

        Of those whose id is not less than `first` and less than `end`, where these are given.
        """
        rows = self._rows(
            f"SELECT {_COLUMNS_WITH_KEY} WHERE starts_with(e.topic, %(prefix)s) "
            "AND (%(first)s::uuid IS NULL OR e.originator_id >= %(first)s) "
            "AND (%(end)s::uuid IS NULL OR e.originator_id < %(end)s) "
            "ORDER BY e.originator_id, e.originator_version",
            {"prefix": topic_prefix, "first": first, "end": end},
        )
        key_of: UUID | None = None
        data_key: DataKey | None = None
        for row in rows:
            recorded = _recorded(row)
            if recorded.event.PERSONAL:
                if recorded.aggregate_id != key_of:
                    key_of = recorded.aggregate_id
                    data_key = self._log._unwrapped(key_of, row[6], row[7])  # noqa: SLF001 - part of the log
                unseal_in_place(recorded, data_key)
            yield recorded

    def _rows(self, query: str, params: Params = ()) -> Iterator[tuple[Any, ...]]:
        with self._connection.cursor(row_factory=tuple_row) as curs:
            self._stream = _streamed(curs, query, params, self.CHUNK_ROWS)
            yield from self._stream


def _streamed(
    curs: psycopg.Cursor[TupleRow], query: str, params: Params, chunk_rows: int
) -> Generator[TupleRow, None, None]:
    yield from curs.stream(query, params, binary=True, size=chunk_rows)


def _recorded(row: Sequence[Any]) -> Recorded:
    """A row of `_COLUMNS` as an event in its place."""
    return Recorded(row[0], row[1], row[2], decode(row[3], row[4]), row[5])
