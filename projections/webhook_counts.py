"""What came of sending webhooks, for the metrics: counted by whoever sends, kept in the database, told by any process.

Sending is one process's work and a scrape reaches another one, so what is counted is added to a table now and then. A
crash loses a second of it.
"""

import threading
from collections import Counter
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NamedTuple

import psycopg

from ledger.store.datastore import LedgerDatastore


class Outcome(StrEnum):
    """What may come of sending."""

    DELIVERED = "delivered"
    RETRIED = "retried"  # an attempt failed, and there will be another
    FAILED = "failed"  # the last one failed too
    DISABLED = "disabled"  # an endpoint was, as it answered 410


_ADD = (
    "INSERT INTO webhook_count AS c (outcome, happened) VALUES (%s, %s) "
    "ON CONFLICT (outcome) DO UPDATE SET happened = c.happened + EXCLUDED.happened"
)
_OLDEST = (
    "SELECT extract(epoch FROM now() - min(d.queued_at))::float8 AS seconds FROM webhook_endpoint_status e "
    "CROSS JOIN LATERAL (SELECT min(w.queued_at) AS queued_at FROM webhook_delivery w "
    "WHERE w.endpoint_id = e.endpoint_id AND w.finished_at IS NULL) d "
    "WHERE e.removed_at IS NULL AND e.disabled_at IS NULL"
)


class WebhookCounts:
    """Counts in one process. `add` may be called by many threads, `write` by one."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._waiting: Counter[Outcome] = Counter()

    def add(self, outcome: Outcome) -> None:
        """Count one."""
        with self._mutex:
            self._waiting[outcome] += 1

    def write(self, connection: psycopg.Connection[Any]) -> None:
        """Add what was counted to the table. What fails is kept for the next time."""
        with self._mutex:
            counted, self._waiting = self._waiting, Counter()
        if not counted:
            return
        try:
            with connection.transaction(), connection.cursor() as curs:
                curs.executemany(_ADD, sorted(counted.items()))
        except BaseException:
            with self._mutex:
                self._waiting += counted
            raise


class WebhookFigures(NamedTuple):
    """How often each outcome came since the ledger began, and how long the oldest message waits; 0.0 for none."""

    outcomes: Mapping[Outcome, int]
    oldest_seconds: float


def webhook_figures(store: LedgerDatastore) -> WebhookFigures:
    """The figures as they are now. What waits for an endpoint that is disabled does not count."""
    happened = {row["outcome"]: row["happened"] for row in store.rows("SELECT * FROM webhook_count")}
    oldest = store.row(_OLDEST)
    return WebhookFigures(
        {outcome: happened.get(outcome, 0) for outcome in Outcome}, (oldest and oldest["seconds"]) or 0.0
    )
