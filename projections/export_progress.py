"""How far exports have come that somebody is fetching: so many of so many leaves, for whoever waits for them."""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from ledger.store.datastore import LedgerDatastore

WRITTEN_SECONDS = 1.0  # between two notes of one download: nobody watches more closely


class ExportProgress:
    """Notes how far one download has come, about once a second. The newest download in each format is what is told.

    `leaves` is how many there are; `watch` is called with how many are done and how many there are. One that is
    `preparing` finds out how long the file is, before its first byte is sent.
    """

    def __init__(
        self,
        store: LedgerDatastore,
        export_id: UUID,
        form: str,
        leaves: int,
        watch: Callable[[int, int], None] | None = None,
        *,
        preparing: bool = False,
    ) -> None:
        self._store = store
        self._of = (export_id, form)
        self._leaves = leaves
        self._watch = watch
        self._preparing = preparing
        self._started_at = datetime.now(UTC)
        self._written = time.monotonic()
        self._note(0)

    def reached(self, leaves_done: int) -> None:
        """So many leaves are done."""
        if self._watch is not None:
            self._watch(leaves_done, self._leaves)
        if time.monotonic() - self._written >= WRITTEN_SECONDS:
            self._note(leaves_done)
            self._written = time.monotonic()

    def finished(self) -> None:
        """It was handed out to its end."""
        self._note(self._leaves, finished=True)

    def _note(self, leaves_done: int, *, finished: bool = False) -> None:
        now = datetime.now(UTC)
        values = (self._preparing, self._started_at, now, leaves_done, self._leaves, now if finished else None)
        with self._store.cursor_of_tuples() as curs:
            curs.execute(
                "INSERT INTO export_progress AS p "
                "(export_id, format, preparing, started_at, reached_at, leaves_done, leaves, finished_at) "
                "VALUES (%s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (export_id, format) DO UPDATE SET "
                "preparing = EXCLUDED.preparing, started_at = EXCLUDED.started_at, reached_at = EXCLUDED.reached_at, "
                "leaves_done = EXCLUDED.leaves_done, leaves = EXCLUDED.leaves, finished_at = EXCLUDED.finished_at "
                "WHERE p.started_at <= EXCLUDED.started_at",
                (*self._of, *values),
            )


def list_progress(store: LedgerDatastore, export_ids: Sequence[UUID]) -> dict[UUID, list[dict[str, Any]]]:
    """How far the newest download of each export in each format has come, by the export's id."""
    rows = store.rows(
        "SELECT export_id, format, preparing, started_at, reached_at, leaves_done, leaves, finished_at "
        "FROM export_progress WHERE export_id = ANY(%s) ORDER BY export_id, format",
        (list(export_ids),),
    )
    found: dict[UUID, list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(row.pop("export_id"), []).append(row)
    return found
