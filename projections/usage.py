"""When each secret was last used. Not events: one verification a millisecond would drown what people did.

Noted in memory, the newest time for each secret, and written together every few seconds by a thread. A crash loses at
most one interval; an error keeps what was noted for the next one.
"""

import logging
import threading
from datetime import datetime
from uuid import UUID

from ledger.errors import StoreUnavailable
from ledger.store.datastore import LedgerDatastore

NOTES_MAX = 200_000  # secrets, some 40 MB: a database that is away must not take the verifying process with it
BATCH_ROWS = 5_000  # a statement of some ten milliseconds

_WRITE = (
    "INSERT INTO secret_usage AS u (credential_id, version, last_used_at) "
    "SELECT * FROM unnest(%s::uuid[], %s::integer[], %s::timestamptz[]) "
    "ON CONFLICT (credential_id, version) DO UPDATE SET last_used_at = EXCLUDED.last_used_at "
    "WHERE u.last_used_at < EXCLUDED.last_used_at"
)

logger = logging.getLogger("keyledger.usage")


class UsageRecorder:
    """Keeps last-used times for one process. Build it after a fork; `start` it, and `stop` it to write what is left."""

    def __init__(self, store: LedgerDatastore, flush_seconds: float, notes_max: int = NOTES_MAX) -> None:
        self._store = store
        self._flush_seconds = flush_seconds
        self._notes_max = notes_max
        self._notes: dict[tuple[UUID, int], datetime] = {}
        self._mutex = threading.Lock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self.dropped = 0
        """How many uses were not noted because the bound was reached, for the metrics."""

    def note(self, credential_id: UUID, secret_version: int, at: datetime) -> None:
        """Note a use. Costs a dictionary's look-up and never waits for the database."""
        key = (credential_id, secret_version)
        with self._mutex:
            known = self._notes.get(key)
            if known is None and len(self._notes) >= self._notes_max:
                self.dropped += 1
            elif known is None or known < at:
                self._notes[key] = at

    def start(self) -> None:
        """Begin to write, every `flush_seconds`."""
        self._thread = threading.Thread(target=self._run, name="usage", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Write what is left and end."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
        self._try_to_flush()

    def flush(self) -> int:
        """Write what was noted; returns how many times. Raises `StoreUnavailable` with the notes kept."""
        with self._mutex:
            notes, self._notes = self._notes, {}
        # In the order of keys: two processes that write the same rows then wait for each other, and never in a circle.
        left = sorted(notes.items(), reverse=True)
        written = 0
        try:
            while left:
                batch = left[-BATCH_ROWS:][::-1]
                with self._store.cursor_of_tuples() as curs:
                    curs.execute(
                        _WRITE,
                        (
                            [credential_id for (credential_id, _), _ in batch],
                            [version for (_, version), _ in batch],
                            [at for _, at in batch],
                        ),
                    )
                del left[-BATCH_ROWS:]
                written += len(batch)
        except BaseException:
            for (credential_id, version), at in left:
                self.note(credential_id, version, at)
            raise
        return written

    def _run(self) -> None:
        while not self._stopping.wait(self._flush_seconds):
            self._try_to_flush()

    def _try_to_flush(self) -> None:
        try:
            self.flush()
        except StoreUnavailable:
            logger.warning("last-used times were not written: they are kept for the next time")
        except Exception:
            logger.exception("last-used times were not written: they are kept for the next time")
