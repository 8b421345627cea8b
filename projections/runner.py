"""The projector: keeps the asynchronous views up with the log.

One thread a view. Whoever holds the view's advisory lock leads; other projectors wait to take over. The leader applies
the log in batches, each in one transaction with the view's position, and moves that position on only from where it
began: even a leader that lost its lock without knowing cannot apply an event twice. A notification is a hint to look
now; without any, the log is looked at every `projection_poll` seconds. What goes wrong in a view is logged, tried again
with growing pauses, shows as lag, and stops no other view.
"""

import hashlib
import logging
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from ledger.errors import StoreUnavailable
from ledger.store.codec import decode
from ledger.store.datastore import UNAVAILABLE, LedgerDatastore
from ledger.store.housekeeping import HOUSEKEEPING_SECONDS, keep_house
from ledger.store.log import EventLog
from projections import ASYNCHRONOUS
from projections.view import EventView, View, rows_after, write

BATCH_EVENTS_MAX = 500  # measured: larger batches gain nothing and hold their transaction longer
PAUSE_SECONDS_FIRST = 0.1
PAUSE_SECONDS_MAX = 10.0  # a database that came back is noticed within that time
STOP_CHECK_SECONDS = 0.25  # how long stopping may take an idle thread to notice
STOP_SECONDS_MAX = 30.0  # a batch is bounded by its statements' timeouts

logger = logging.getLogger("keyledger.projector")


class Fenced(Exception):
    """Another projector or a rebuild moved the view on: what was computed is out of date and was not written."""


class Projector:
    """Runs the asynchronous views of a log. Build it after a fork. `views` is for tests."""

    def __init__(self, log: EventLog, views: Sequence[View] = ASYNCHRONOUS) -> None:
        self._log = log
        self._views = views
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Begin, on threads of its own; where `stop` was called already, as by a signal on the way here, they end."""
        self._threads = [
            threading.Thread(target=self._keep_up, args=(view,), name=f"projector {view.name}", daemon=True)
            for view in self._views
        ]
        self._threads.append(threading.Thread(target=self._keep_house, name="housekeeping", daemon=True))
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Finish the batches under way and end. What is left will be applied by the next one to start."""
        self._stopping.set()
        deadline = time.monotonic() + STOP_SECONDS_MAX
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def run(self) -> None:
        """Begin, and return when `stop` was called, from a signal handler or another thread."""
        self.start()
        # Waiting in short steps lets Python run signal handlers.
        while not self._stopping.wait(STOP_CHECK_SECONDS):
            pass
        self.stop()

    # --- one view ----------------------------------------------------------------------------------------------------

    def _keep_up(self, view: View) -> None:
        """Lead or wait for the lead; after whatever goes wrong, begin again."""
        failures = 0
        while not self._stopping.is_set():
            try:
                with self._log.datastore.connect() as connection:
                    for applied in self._lead(connection, view, cautious=failures > 0):
                        failures = 0 if applied else failures
                continue  # stopping
            except (*UNAVAILABLE, StoreUnavailable) as error:
                logger.warning("projection %s lost PostgreSQL (%s): trying again", view.name, type(error).__name__)
            except Fenced:
                logger.warning("projection %s was moved on by another process: reading its position anew", view.name)
            except Exception:
                logger.exception("projection %s cannot apply an event: trying again", view.name)
            failures += 1
            self._stopping.wait(min(PAUSE_SECONDS_MAX, PAUSE_SECONDS_FIRST * 2 ** min(failures, 10)))

    def _lead(self, connection: psycopg.Connection[Any], view: View, *, cautious: bool) -> Iterator[int]:
        """Apply the log for as long as this process leads, yielding how many events each look at it applied.

        After a failure batches begin small, so that everything before an event at fault is applied.
        """
        if not take_lead(self._log, connection, f"projection {view.name}", self._stopping):
            return
        begin_tracking(connection, view.name)
        listen(self._log, connection)
        limit = 1 if cautious else BATCH_EVENTS_MAX
        while not self._stopping.is_set():
            applied = apply_batch(self._log, connection, view, limit)
            yield applied
            if applied < limit:
                await_hint(connection, self._log.settings.projection_poll, self._stopping)
            limit = min(BATCH_EVENTS_MAX, limit * 2)

    def _keep_house(self) -> None:
        while not self._stopping.wait(HOUSEKEEPING_SECONDS):
            try:
                settings = self._log.settings
                keep_house(self._log.datastore, settings.usage_days, settings.reading_days)
            except StoreUnavailable:
                logger.warning("housekeeping found no PostgreSQL: trying again in a minute")
            except Exception:
                logger.exception("housekeeping failed: trying again in a minute")


def take_lead(log: EventLog, connection: psycopg.Connection[Any], purpose: str, stopping: threading.Event) -> bool:
    """Wait until this session is the one that does this for the ledger; False where it is to stop before.

    Whoever takes over notices within `projection_poll` seconds that the one before is gone.
    """
    key = advisory_key(log.datastore.schema, purpose)
    while not stopping.is_set():
        row = connection.execute("SELECT pg_try_advisory_lock(%s)", (key,)).fetchone()
        if row is not None and row[0]:
            return True
        stopping.wait(log.settings.projection_poll)
    return False


def listen(log: EventLog, connection: psycopg.Connection[Any]) -> None:
    """Have this session told of what is recorded."""
    connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(log.recorder.notify_channel)))


def await_hint(connection: psycopg.Connection[Any], seconds_max: float, stopping: threading.Event) -> None:
    """Until a notification came, so many seconds are over, or whoever waits is to stop."""
    deadline = time.monotonic() + seconds_max
    while not stopping.is_set() and (left := deadline - time.monotonic()) > 0:
        if any(True for _ in connection.notifies(timeout=min(left, STOP_CHECK_SECONDS), stop_after=1)):
            return


def apply_batch(log: EventLog, connection: psycopg.Connection[Any], view: View, limit: int) -> int:
    """Apply at most `limit` events to a view and move its position on, in one transaction; returns how many.

    Raises `Fenced` where someone else moved it meanwhile; then nothing was written.
    """
    row = connection.execute(
        "SELECT t.position < h.position FROM projection_tracking t, ledger_head h WHERE t.name = %s", (view.name,)
    ).fetchone()
    if row is None or not row[0]:
        return 0
    with connection.transaction():
        # The lock keeps a rebuild from swapping the tables while rows are on their way into them.
        row = connection.execute(
            "SELECT position FROM projection_tracking WHERE name = %s FOR UPDATE", (view.name,)
        ).fetchone()
        if row is None:
            raise Fenced
        begin = int(row[0])
        events = log.read(begin, limit, sealed=isinstance(view, EventView), connection=connection)
        if not events:
            return 0
        end = events[-1].position
        try:
            write(connection, rows_after(view, events, lambda ids: log.histories(ids, end, connection=connection)))
        except Exception as error:
            error.add_note(f"projection {view.name}, events {begin + 1} to {end}")
            raise
        moved = connection.execute(
            "UPDATE projection_tracking SET position = %s, updated_at = now() WHERE name = %s AND position = %s",
            (end, view.name, begin),
        )
        if moved.rowcount != 1:
            raise Fenced
    return len(events)


def begin_tracking(connection: psycopg.Connection[Any], name: str) -> None:
    """Give a view that is new here its position before the first event."""
    connection.execute(
        "INSERT INTO projection_tracking (name, position) VALUES (%s, 0) ON CONFLICT DO NOTHING", (name,)
    )


def advisory_key(schema: str, purpose: str) -> int:
    """The key of an advisory lock. Those are one space for the whole database, which many ledgers may share."""
    return int.from_bytes(hashlib.sha256(f"keyledger {schema} {purpose}".encode()).digest()[:8], signed=True)


# --- how far they are ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Lag:
    """How far a view has come: its position and the log's, and for how many seconds it has been behind (0: it is not).

    The seconds are those since the oldest event not applied, or since the view last moved, whichever is shorter: events
    that carry an old date, as imported ones may, do not make it look late.
    """

    position: int
    head: int
    seconds_behind: float


_NAMES = [view.name for view in ASYNCHRONOUS]


def lag(store: LedgerDatastore, names: Sequence[str] = _NAMES) -> dict[str, Lag]:
    """The lag of these, which are every asynchronous view unless told otherwise, by name."""
    rows = store.rows(
        "SELECT v.name, h.position AS head, coalesce(t.position, 0) AS position, t.updated_at, now() AS now, "
        "e.topic, e.state FROM ledger_head h CROSS JOIN unnest(%s::text[]) AS v (name) "
        "LEFT JOIN projection_tracking t USING (name) "
        "LEFT JOIN ledger_events e ON e.notification_id = coalesce(t.position, 0) + 1",
        (list(names),),
    )
    return {row["name"]: Lag(row["position"], row["head"], _seconds_behind(row)) for row in rows}


def _seconds_behind(row: dict[str, Any]) -> float:
    if row["position"] >= row["head"]:
        return 0.0
    since = [row["updated_at"]] if row["updated_at"] else []
    # What cannot be decoded, or is not there, is what the view stopped at: its last move tells since when.
    with suppress(Exception):
        since.append(min(row["now"], decode(row["topic"], row["state"]).context.at))
    return max(0.0, (row["now"] - max(since)).total_seconds()) if since else float("inf")


WAIT_STEP_SECONDS = (0.002, 0.05)  # the first look comes soon, as a batch takes milliseconds; later ones are rarer


def wait_for(store: LedgerDatastore, name: str | None, position: int, timeout: float) -> bool:
    """Wait until a view, or all asynchronous ones for None, has applied the log up to a position.

    Returns False when it has not after `timeout` seconds.
    """
    names = [view.name for view in ASYNCHRONOUS] if name is None else [name]
    deadline = time.monotonic() + timeout
    step, step_max = WAIT_STEP_SECONDS
    while True:
        row = store.row(
            "SELECT count(*) AS reached FROM projection_tracking WHERE name = ANY(%s) AND position >= %s",
            (names, position),
        )
        if row is not None and row["reached"] == len(names):
            return True
        if time.monotonic() + step > deadline:
            return False
        time.sleep(step)
        step = min(step * 2, step_max)
