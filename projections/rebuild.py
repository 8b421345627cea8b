"""Building a view anew from the log while the service runs, and putting it in the place of the old one.

Into tables of their own (`<table>__rebuild`, without indexes): a snapshot of the log is folded aggregate by aggregate
and copied in; indexes are built; what happened since is applied in batches, as the projector does. The swap then holds
the log's head, so that nobody writes for some milliseconds, applies the last events and renames. Whoever reads sees the
old view or the new one, whole. A rebuild that dies leaves tables that the next one of that view removes.
"""

import gc
import multiprocessing
import os
import queue
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from operator import itemgetter
from typing import Any
from uuid import UUID

import msgspec
import psycopg
from psycopg import sql

from ledger.errors import InvalidValue, RebuildFailed, RebuildRunning, StoreUnavailable
from ledger.events import Recorded
from ledger.settings import Settings
from ledger.store.datastore import unavailable_as_such
from ledger.store.interrupts import interrupts_held
from ledger.store.keys import Keyring
from ledger.store.log import EventLog, Snapshot
from ledger.store.recorder import InlineTable, Row
from projections import PROJECTIONS
from projections.runner import BATCH_EVENTS_MAX, advisory_key, begin_tracking
from projections.view import EventView, Rows, StateView, View, rows_after, write

SUFFIX = "__rebuild"
CHUNK_ROWS = 2_000  # some megabytes of lines: enough for a COPY to be worth its statement
CHUNKS_WAITING_MAX = 4  # bounds the memory where folding is faster than copying
MAINTENANCE_MEMORY = "128MB"  # sorts an index of a million rows without a file
INDEXES_AT_ONCE = 2  # a small machine's cores; more would take them from those who are served
# Shorter than PostgreSQL's deadlock_timeout of a second: where the swap and a reader wait for each other, the swap
# gives way and tries again. It is also the longest that a try keeps writers waiting for a reader.
SWAP_LOCK_TIMEOUT_MS = 250
SWAP_ATTEMPTS_MAX = 100
SWAP_PAUSE_SECONDS = 0.5
# Below this a process has hardly started when the work is done; above it each takes another core.
SPLIT_EVENTS = 50_000
PROCESSES_MAX = 4  # PostgreSQL needs the others, to read and to store what these fold
GARBAGE_OBJECTS = 50_000  # some ten megabytes, were they all in cycles
PROGRESS_SECONDS = 0.1  # as often as a progress bar is worth drawing

Progress = Callable[[int, int], None]
"""Called with the events folded so far and those there are, ten times a second at most."""


def rebuild(log: EventLog, view_name: str, progress: Progress | None = None) -> int:
    """Rebuild a view while the service runs; returns the log's position that it was swapped in at.

    Raises `InvalidValue` for an unknown view, `RebuildRunning`, and `StoreUnavailable` where PostgreSQL went away or a
    long-running reader kept the view's tables locked; the old view is then still in place.
    """
    view = next((view for view in PROJECTIONS if view.name == view_name), None)
    if view is None:
        raise InvalidValue("view", f"is not one of {', '.join(view.name for view in PROJECTIONS)}")
    with unavailable_as_such(), log.datastore.connect() as connection, _alone(log, connection, view):
        # Bounded by the log's length, not by a request's patience.
        connection.execute("SET statement_timeout TO 0")
        shadows = [_create_shadow(connection, table) for table in view.tables]
        position = _fill(log, view, shadows, progress or (lambda *_: None))
        if isinstance(view, StateView) and view.beside is not None:
            connection.execute(sql.SQL(view.beside.statement).format(table=shadows[0].name))
        _build_indexes(log, connection, shadows)
        return _swap(log, connection, view, shadows, position)


@contextmanager
def _alone(log: EventLog, connection: psycopg.Connection[Any], view: View) -> Iterator[None]:
    """With nobody else rebuilding the view, and nothing left of a rebuild before or after."""
    key = advisory_key(log.datastore.schema, f"rebuild {view.name}")
    row = connection.execute("SELECT pg_try_advisory_lock(%s)", (key,)).fetchone()
    if row is None or not row[0]:
        raise RebuildRunning(f"{view.name} is being rebuilt already")
    _drop_shadows(connection, view)
    try:
        yield
    finally:
        if not connection.broken:
            _drop_shadows(connection, view)
            # Closing the connection frees the lock too, but only when its server process has noticed.
            connection.execute("SELECT pg_advisory_unlock(%s)", (key,))


# --- shadow tables ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Index:
    """An index of a live table: what stands behind its name in its definition, and whether it is the primary key."""

    name: str
    unique: bool
    definition: str
    primary: bool


@dataclass(frozen=True, slots=True)
class _Shadow:
    """A table as it will be, beside the live one. `types` are its columns' in the order of `table.columns`."""

    table: InlineTable
    types: tuple[str, ...]
    indexes: tuple[_Index, ...]

    @property
    def name(self) -> sql.Identifier:
        return sql.Identifier(self.table.name + SUFFIX)


def _drop_shadows(connection: psycopg.Connection[Any], view: View) -> None:
    for table in view.tables:
        connection.execute("SET client_min_messages TO warning")
        connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(sql.Identifier(table.name + SUFFIX)))


def _create_shadow(connection: psycopg.Connection[Any], table: InlineTable) -> _Shadow:
    """An empty table like the live one, with its storage parameters and without its indexes."""
    columns = connection.execute(
        "SELECT attname, format_type(atttypid, NULL) FROM pg_attribute "
        "WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped",
        (table.name,),
    )
    types = dict(columns.fetchall())
    indexes = tuple(
        _Index(name, unique, definition.partition(" USING ")[2], primary)
        for name, unique, definition, primary in connection.execute(
            "SELECT c.relname, i.indisunique, pg_get_indexdef(i.indexrelid), i.indisprimary "
            "FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = %s::regclass "
            "ORDER BY i.indisprimary DESC, c.relname",
            (table.name,),
        )
    )
    shadow = _Shadow(table, tuple(types[column] for column in table.columns), indexes)
    connection.execute(
        sql.SQL("CREATE TABLE {} (LIKE {} INCLUDING ALL EXCLUDING INDEXES)").format(
            shadow.name, sql.Identifier(table.name)
        )
    )
    row = connection.execute(
        "SELECT array_to_string(reloptions, ', ') FROM pg_class WHERE oid = %s::regclass", (table.name,)
    ).fetchone()
    if row is not None and row[0]:
        connection.execute(sql.SQL("ALTER TABLE {} SET ({})").format(shadow.name, sql.SQL(row[0])))
    return shadow


def _build_indexes(log: EventLog, connection: psycopg.Connection[Any], shadows: Sequence[_Shadow]) -> None:
    """The indexes, some at a time on connections of their own; then what the planner needs to know."""
    with ThreadPoolExecutor(INDEXES_AT_ONCE, "rebuild index") as pool:
        built = [pool.submit(_build_index, log, shadow, index) for shadow in shadows for index in shadow.indexes]
        for one in built:
            one.result()
    for shadow in shadows:
        for index in shadow.indexes:
            if index.primary:
                name = sql.Identifier(index.name + SUFFIX)
                connection.execute(
                    sql.SQL("ALTER TABLE {} ADD CONSTRAINT {} PRIMARY KEY USING INDEX {}").format(
                        shadow.name, name, name
                    )
                )
        connection.execute(sql.SQL("ANALYZE {}").format(shadow.name))


def _build_index(log: EventLog, shadow: _Shadow, index: _Index) -> None:
    with log.datastore.connect() as connection:
        connection.execute("SET statement_timeout TO 0")
        connection.execute(f"SET maintenance_work_mem TO '{MAINTENANCE_MEMORY}'")
        connection.execute(
            sql.SQL("CREATE {} INDEX {} ON {} USING {}").format(
                sql.SQL("UNIQUE" if index.unique else ""),
                sql.Identifier(index.name + SUFFIX),
                shadow.name,
                sql.SQL(index.definition),
            )
        )


# --- filling ---------------------------------------------------------------------------------------------------------


def _fill(log: EventLog, view: View, shadows: Sequence[_Shadow], progress: Progress) -> int:
    """Copy in the rows of a snapshot of the log; returns its position."""
    types = {shadow.table: shadow.types for shadow in shadows}
    with log.snapshot() as snapshot:
        progress(0, snapshot.position)
        boundaries: list[UUID] = []
        if isinstance(view, StateView) and snapshot.position >= SPLIT_EVENTS:
            boundaries = snapshot.split(f"{view.aggregate}.", min(PROCESSES_MAX, len(os.sched_getaffinity(0))))
        if boundaries:
            _fill_in_parts(log, view, types, snapshot, boundaries, progress)
        else:
            total = snapshot.position
            _copy_rows(log, view, types, _events(view, snapshot), lambda done: progress(done, total))
        progress(snapshot.position, snapshot.position)
        return snapshot.position


Types = Mapping[InlineTable, tuple[str, ...]]
"""The types of a table's columns in PostgreSQL, in their order."""


def _copy_rows(
    log: EventLog, view: View, types: Types, events: Iterable[Recorded], done: Callable[[int], None]
) -> None:
    """Copy into the shadow tables the rows of some events; `done` is told how many of them, now and then."""
    lines: dict[InlineTable, list[bytes]] = {table: [] for table in types}
    to_line = {table: line_encoder(table.columns, kinds) for table, kinds in types.items()}
    with _copying(log) as copy, collecting_rarely():
        for rows in _rows(view, events, done):
            for table, some in rows.items():
                chunk = lines[table]
                chunk.extend(map(to_line[table], some))
                if len(chunk) >= CHUNK_ROWS:
                    copy(table, chunk)
                    lines[table] = []
        for table, chunk in lines.items():
            copy(table, chunk)


# --- in several processes --------------------------------------------------------------------------------------------


def _fill_in_parts(
    log: EventLog, view: View, types: Types, snapshot: Snapshot, boundaries: Sequence[UUID], progress: Progress
) -> None:
    """The same for a long log, each part of the aggregates in a process of its own: folding is one core's work."""
    spawning = multiprocessing.get_context("spawn")  # a fork would share our connections
    folded = spawning.Value("q", 0)
    ends = [None, *boundaries, None]
    with ProcessPoolExecutor(len(boundaries) + 1, spawning, _begin_part, (folded,)) as pool:
        with interrupts_held():  # an interrupt ends this process, which ends those
            parts = [
                pool.submit(
                    _fill_part, log.datastore.conninfo, log.settings, view.name, types, snapshot.export(), first, end
                )
                for first, end in pairwise(ends)
            ]
        try:
            waiting: set[Future[None]] = set(parts)
            while waiting:
                done, waiting = wait(waiting, PROGRESS_SECONDS, FIRST_EXCEPTION)
                for part in done:
                    part.result()
                progress(min(folded.value, snapshot.position), snapshot.position)
        except BrokenProcessPool:
            raise RebuildFailed(
                "a process that rebuilt a part of the view is gone: the system may lack memory"
            ) from None
        except BaseException:
            folded.value = _GIVEN_UP
            raise


_GIVEN_UP = -(2**62)  # no count of events makes up for it
_folded: Any = None  # of a process that folds a part: how many events all of them have folded


def _begin_part(folded: Any) -> None:
    """End with the process that asked, however that ends: nobody else would stop what this one copies."""
    global _folded  # noqa: PLW0603 - a pool hands it to a new process in no other way
    _folded = folded
    threading.Thread(target=_end_with_parent, name="end with parent", daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _fill_part(
    conninfo: str,
    settings: Settings,
    view_name: str,
    types: Types,
    exported: str,
    first: UUID | None,
    end: UUID | None,
) -> None:
    view = next(view for view in PROJECTIONS if view.name == view_name)
    told = 0

    def tell(done: int) -> None:
        nonlocal told
        with _folded.get_lock():
            _folded.value += done - told
            if _folded.value < 0:
                raise InterruptedError("another part failed")
        told = done

    with (
        EventLog(conninfo, settings, Keyring.from_settings(settings)) as log,
        log.snapshot(exported) as snapshot,
    ):
        _copy_rows(log, view, types, _events(view, snapshot, first, end), tell)


@contextmanager
def collecting_rarely() -> Iterator[None]:
    """Folding makes many objects that soon go and no cycles: looking for them each 700 takes an eighth of it."""
    threshold = gc.get_threshold()
    gc.set_threshold(GARBAGE_OBJECTS, *threshold[1:])
    try:
        yield
    finally:
        gc.set_threshold(*threshold)


def _events(view: View, snapshot: Snapshot, first: UUID | None = None, end: UUID | None = None) -> Iterator[Recorded]:
    """What a view is made of: single events, or those of its aggregates with ids between two."""
    if isinstance(view, EventView):
        return snapshot.events()
    return snapshot.by_aggregate(f"{view.aggregate}.", first, end)


def _rows(view: View, events: Iterable[Recorded], done: Callable[[int], None]) -> Iterator[Rows]:
    """The rows of some events, telling now and then how many of them are done."""
    count, next_report = 0, 0.0
    state: Any = None
    for count, recorded in enumerate(events, 1):
        if count % 1_000 == 0 and time.monotonic() > next_report:
            done(count)
            next_report = time.monotonic() + PROGRESS_SECONDS
        if isinstance(view, EventView):
            if type(recorded.event) in view.handles:
                yield {view.table: [view.row_of(recorded)]}
            continue
        if recorded.aggregate_version == 1 and state is not None:
            yield view.rows_of(state)
            state = None
        state = view.evolve(state, recorded)
    if state is not None and not isinstance(view, EventView):
        yield view.rows_of(state)
    done(count)


Copy = Callable[[InlineTable, Sequence[bytes]], None]


@contextmanager
def _copying(log: EventLog) -> Iterator[Copy]:
    """Gives a function that copies lines into a shadow table, on a thread and a connection of their own.

    So PostgreSQL stores one chunk while the next is folded. All of it is stored when the context is left.
    """
    chunks: queue.Queue[tuple[InlineTable, Sequence[bytes]] | None] = queue.Queue(CHUNKS_WAITING_MAX)
    failed: list[BaseException] = []

    def store() -> None:
        try:
            with log.datastore.connect() as connection:
                connection.execute("SET statement_timeout TO 0")
                while (chunk := chunks.get()) is not None:
                    table, lines = chunk
                    columns = sql.SQL(", ").join(map(sql.Identifier, table.columns))
                    into = sql.SQL("COPY {} ({}) FROM STDIN WITH ({})").format(
                        sql.Identifier(table.name + SUFFIX), columns, sql.SQL(_CSV)
                    )
                    with connection.cursor() as curs, curs.copy(into) as copying:
                        copying.write(b"".join(lines))
        except BaseException as error:  # noqa: BLE001 - raised again where the rebuild runs
            failed.append(error)
            while chunks.get() is not None:  # the folding side must not wait for a place in the queue
                pass

    def copy(table: InlineTable, lines: Sequence[bytes]) -> None:
        if failed:
            raise failed[0]
        if lines:
            chunks.put((table, lines))

    thread = threading.Thread(target=store, name="rebuild copy", daemon=True)
    thread.start()
    try:
        yield copy
    finally:
        chunks.put(None)
        thread.join()
    if failed:
        raise failed[0]


# --- rows as lines for COPY ------------------------------------------------------------------------------------------

# A JSON array is a line of CSV if the quote is " and the escape \, except for control characters, which CSV has as
# they are. So one call of a C encoder makes a line: twenty values cost what the driver needs for three.
_CSV = "FORMAT csv, NULL 'null', QUOTE '\"', ESCAPE '\\'"

_to_json = msgspec.json.Encoder(enc_hook=str).encode
_ESCAPED_CONTROL = re.compile(rb'\\[^"\\]')
_ESCAPED = re.compile(rb"\\(?:u[0-9a-fA-F]{4}|.)")


def line_encoder(columns: Sequence[str], types: Sequence[str]) -> Callable[[Row], bytes]:
    """Turns a row into a line for COPY with the options above; `types` are the columns' in PostgreSQL."""
    values_of = itemgetter(*columns)
    nested = [(place, kind) for place, kind in enumerate(types) if kind in ("jsonb", "text[]")]

    def line(row: Row) -> bytes:
        values = list(values_of(row))
        for place, kind in nested:
            text = _to_json(values[place]).decode()
            # An array's literal quotes as JSON does; no element of ours holds a control character.
            values[place] = text if kind == "jsonb" else f"{{{text[1:-1]}}}"
        encoded = _to_json(values)[1:-1]
        if _ESCAPED_CONTROL.search(encoded):
            encoded = _ESCAPED.sub(_as_it_is, encoded)
        return encoded + b"\n"

    return line


def _as_it_is(escaped: re.Match[bytes]) -> bytes:
    """A control character for its escape in JSON; a quote and a backslash stay escaped."""
    text = escaped.group()
    return text if text in (b'\\"', b"\\\\") else msgspec.json.decode(b'"%b"' % text, type=str).encode()


# --- catching up and swapping ----------------------------------------------------------------------------------------


def _catch_up(log: EventLog, connection: psycopg.Connection[Any], view: View, position: int, *, leave: int) -> int:
    """Apply to the shadow tables what came after a position, until at most `leave` events are left; returns where."""
    while True:
        events = log.read(position, BATCH_EVENTS_MAX, sealed=isinstance(view, EventView), connection=connection)
        if len(events) <= leave:
            return position
        end = events[-1].position
        with connection.transaction():
            write(connection, rows_after(view, events, partial(_histories, log, connection, end)), SUFFIX)
        position = end


def _histories(
    log: EventLog, connection: psycopg.Connection[Any], end: int, aggregate_ids: Sequence[UUID]
) -> Mapping[UUID, Sequence[Recorded]]:
    return log.histories(aggregate_ids, end, connection=connection)


def _swap(
    log: EventLog, connection: psycopg.Connection[Any], view: View, shadows: Sequence[_Shadow], position: int
) -> int:
    """Put the shadow tables in the place of the live ones, once everything is in them."""
    if not view.inline:
        begin_tracking(connection, view.name)
    for _ in range(SWAP_ATTEMPTS_MAX):
        position = _catch_up(log, connection, view, position, leave=BATCH_EVENTS_MAX - 1)
        try:
            with connection.transaction():
                return _swap_once(log, connection, view, shadows, position)
        except psycopg.errors.LockNotAvailable:
            time.sleep(SWAP_PAUSE_SECONDS)
    raise StoreUnavailable(f"{view.name} was not swapped in: a long-running query kept its tables locked")


def _swap_once(
    log: EventLog, connection: psycopg.Connection[Any], view: View, shadows: Sequence[_Shadow], position: int
) -> int:
    # In the order in which writers and the projector lock: head, position, tables.
    connection.execute(f"SET LOCAL lock_timeout TO '{SWAP_LOCK_TIMEOUT_MS}ms'")
    connection.execute("SELECT position FROM ledger_head FOR UPDATE")
    if not view.inline:
        connection.execute("SELECT position FROM projection_tracking WHERE name = %s FOR UPDATE", (view.name,))
    live = sql.SQL(", ").join(sql.Identifier(table.name) for table in view.tables)
    connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(live))
    position = _catch_up(log, connection, view, position, leave=0)
    for shadow in shadows:
        canonical = sql.Identifier(shadow.table.name)
        connection.execute(sql.SQL("DROP TABLE {}").format(canonical))
        connection.execute(sql.SQL("ALTER TABLE {} RENAME TO {}").format(shadow.name, canonical))
        for index in shadow.indexes:
            connection.execute(
                sql.SQL("ALTER INDEX {} RENAME TO {}").format(
                    sql.Identifier(index.name + SUFFIX), sql.Identifier(index.name)
                )
            )
    if not view.inline:
        connection.execute(
            "UPDATE projection_tracking SET position = %s, updated_at = now() WHERE name = %s", (position, view.name)
        )
    return position
