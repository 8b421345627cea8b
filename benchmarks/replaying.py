"""Reading everything back: the log decoded in order, and a view rebuilt; against COPY and the library's own ways.

The library's ways read the same rows of the same table: its recorder selects notifications page by page and its JSON
transcoder decodes them; its projection runner applies one event a transaction.
"""

import statistics
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

from eventsourcing.persistence import JSONTranscoder, Tracking
from eventsourcing.postgres import PostgresTrackingRecorder

from api.wiring import Services
from projections.rebuild import rebuild

LIBRARY_PAGE = 1_000  # a generous page: its own default section is ten
LIBRARY_PROJECTION_EVENTS = 2_000  # it applies about a thousand a second; more only takes longer


def measure(services: Services, *, rounds: int = 3) -> dict[str, Any]:
    """Events a second of each (medians of the rounds) over all of this ledger's events, and their ratios."""
    events = services.log.head()
    ways: dict[str, Callable[[], int]] = {
        "copy": lambda: _copy(services, events),
        "replay": lambda: _replay(services),
        "library_replay": lambda: _library_replay(services, events),
        "rebuild": lambda: _rebuild(services, events),
        "library_projection": lambda: _library_projection(services),
    }
    turns: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            started = time.perf_counter()
            done = way()
            turns[name].append(done / (time.perf_counter() - started))
    per_second = {name: statistics.median(found) for name, found in turns.items()}
    return {
        "events": events,
        "rounds": rounds,
        "per_second": per_second,
        "ratios": {
            "replay/copy": per_second["replay"] / per_second["copy"],
            "replay/library": per_second["replay"] / per_second["library_replay"],
            "rebuild/library": per_second["rebuild"] / per_second["library_projection"],
        },
    }


def _copy(services: Services, events: int) -> int:
    """The limit: the same columns in the same order, binary, undecoded."""
    with (
        services.store.connect() as connection,
        connection.cursor() as curs,
        curs.copy(
            "COPY (SELECT originator_id, originator_version, organisation_id, topic, state, notification_id "
            "FROM ledger_events ORDER BY notification_id) TO STDOUT (FORMAT binary)"
        ) as copy,
    ):
        for _ in copy:
            pass
    return events


def _replay(services: Services) -> int:
    with services.log.snapshot() as snapshot:
        return sum(1 for _ in snapshot.events())


def _library_replay(services: Services, events: int) -> int:
    recorder, transcoder = services.log.recorder, JSONTranscoder()
    position = 0
    while position < events:
        page = recorder.select_notifications(position, LIBRARY_PAGE, inclusive_of_start=False)
        for notification in page:
            transcoder.decode(notification.state)
        position = page[-1].id
    return events


def _rebuild(services: Services, events: int) -> int:
    rebuild(services.log, "credential_list", lambda *_: None)
    return events


class _LibraryView(PostgresTrackingRecorder):
    """A view as the library's documentation has it: a row and its tracking in one transaction, an event at a time."""

    def apply(self, notification_id: int, credential_id: UUID, state: bytes) -> None:
        """One event."""
        with self.datastore.transaction(commit=True) as curs:
            self._insert_tracking(curs, Tracking("bench", notification_id))
            curs.execute(
                "INSERT INTO bench_library_view VALUES (%s, %s) ON CONFLICT (id) DO UPDATE SET state = EXCLUDED.state",
                (credential_id, state.decode()),
            )


def _library_projection(services: Services) -> int:
    """Its own tracking recorder, one transaction an event, on the newest events of the log."""
    with services.store.connect() as connection:
        connection.execute("DROP TABLE IF EXISTS bench_library_view, bench_tracking")
        connection.execute("CREATE TABLE bench_library_view (id uuid PRIMARY KEY, state json)")
    view = _LibraryView(services.store, tracking_table_name="bench_tracking")
    view.create_table()
    transcoder = JSONTranscoder()
    done = position = 0
    while done < LIBRARY_PROJECTION_EVENTS:
        page = services.log.recorder.select_notifications(position, 100, inclusive_of_start=False)
        for notification in page:
            transcoder.decode(notification.state)
            view.apply(notification.id, notification.originator_id, notification.state)
        done += len(page)
        position = page[-1].id
    return done
