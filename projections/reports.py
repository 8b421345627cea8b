"""Reports: filters of the list of credentials that people come back to, how many each finds, and who answers for what.

How many is counted once in a while over all organisations, for the metrics, by one of the processes that keep up the
views. The figures are no view of the log: they are kept with the time of their counting, and lost without harm.
"""

import logging
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql

from ledger.errors import StoreUnavailable
from ledger.store.datastore import LedgerDatastore, unavailable_as_such
from projections.credential_list import DUE, LIVE, CredentialFilters, conditions_of, set_before
from projections.pages import LIMIT_DEFAULT, Page, checked_limit, decode_cursor, encode_cursor, rows_of_page
from projections.runner import advisory_key

# How far ahead or back a report looks where nobody says else: a sprint to rotate in, a quarter without use, a month's
# notice of an end.
DUE_DAYS = 14
UNUSED_DAYS = 90
EXPIRING_DAYS = 30

REPORTS: Mapping[str, Callable[[datetime], CredentialFilters]] = {
    "overdue": lambda _: CredentialFilters(overdue=True),
    "due": lambda now: CredentialFilters(due_before=now + timedelta(days=DUE_DAYS)),
    "unused": lambda now: CredentialFilters(unused_since=now - timedelta(days=UNUSED_DAYS)),
    "expiring": lambda now: CredentialFilters(expiring_before=now + timedelta(days=EXPIRING_DAYS)),
    "without_owner": lambda _: CredentialFilters(without_owner=True),
}
"""What each report lists at a moment, by its name in the metrics."""


# --- who answers for what --------------------------------------------------------------------------------------------

# Read in the order of the index of emails, so that a page ends after its owners and not after the organisation.
_OWNERS = (
    "SELECT c.organisation_id, lower(c.contact_email) AS contact_email, count(*) AS credentials, "  # noqa: S608
    f"count(*) FILTER (WHERE {DUE}) AS overdue, "
    "min(c.secret_set_at) FILTER (WHERE c.suspended_at IS NULL) AS oldest_secret_at "
    "FROM credential_list c WHERE c.organisation_id = %(organisation)s AND c.contact_email <> '' "
    f"AND lower(c.contact_email) > %(after)s AND {LIVE} "
    "GROUP BY c.organisation_id, lower(c.contact_email) ORDER BY lower(c.contact_email) LIMIT %(limit)s"
)


def list_owners(
    store: LedgerDatastore,
    organisation_id: UUID,
    *,
    now: datetime,
    rotation_days: int,
    cursor: str | None = None,
    limit: int = LIMIT_DEFAULT,
) -> Page:
    """Who answers for an organisation's good credentials: emails in lower case and in order.

    For each how many there are, how many of those are overdue, and since when the oldest secret among those that are
    not suspended is good. Raises `InvalidValue` for a limit out of bounds and a cursor that is none or of another list.
    """
    of = ("owners", organisation_id)
    rows = rows_of_page(
        store,
        _OWNERS,
        {
            "organisation": organisation_id,
            "now": now,
            "set_before": set_before(now, rotation_days),
            "after": decode_cursor(cursor, tuple[str], of)[0] if cursor is not None else "",
            "limit": checked_limit(limit) + 1,
        },
    )
    if len(rows) <= limit:
        return Page(rows, None)
    rows.pop()
    return Page(rows, encode_cursor((rows[-1]["contact_email"],), of))


# --- how many --------------------------------------------------------------------------------------------------------

COUNT_SECONDS_MAX = 60.0  # tens of millions of credentials; a count that takes longer disturbs others
STOP_SECONDS_MAX = 2.0  # a count that takes longer is left alone: it only reads, and nobody waits for it

_FRESH = "SELECT report FROM report_count WHERE counted_at > %s"
_KEEP = (
    "INSERT INTO report_count (report, credentials, counted_at) "
    "SELECT %(report)s, count(*), %(now)s FROM credential_list c WHERE {where} "
    "ON CONFLICT (report) DO UPDATE SET credentials = EXCLUDED.credentials, counted_at = EXCLUDED.counted_at"
)

logger = logging.getLogger("keyledger.reports")


def report_counts(store: LedgerDatastore) -> list[dict[str, Any]]:
    """How many credentials each report held and when they were counted: `report`, `credentials`, `counted_at`."""
    return store.rows("SELECT * FROM report_count WHERE report = ANY(%s) ORDER BY report", (list(REPORTS),))


class ReportCounter:
    """Counts what each report holds, on a thread of its own. Of several processes one counts at a time."""

    def __init__(self, store: LedgerDatastore, rotation_days: int, interval_seconds: float) -> None:
        self._store = store
        self._rotation_days = rotation_days
        self._interval_seconds = interval_seconds
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reports", daemon=True)

    def start(self) -> None:
        """Begin with what was not counted for an interval."""
        self._thread.start()

    def stop(self) -> None:
        """Begin no other count, and end."""
        self._stopping.set()
        self._thread.join(STOP_SECONDS_MAX)

    def count(self) -> set[str]:
        """Count the reports that were not counted for an interval, and return which.

        None where another process is at it. Raises `StoreUnavailable`, also for a count that takes too long; what was
        counted before then stays.
        """
        with unavailable_as_such(), self._store.connect() as connection:
            key = advisory_key(self._store.schema, "reports")
            row = connection.execute("SELECT pg_try_advisory_lock(%s)", (key,)).fetchone()
            if row is None or not row[0]:
                return set()
            connection.execute(
                sql.SQL("SET statement_timeout TO {}").format(sql.Literal(int(COUNT_SECONDS_MAX * 1000)))
            )
            since = datetime.now(UTC) - timedelta(seconds=self._interval_seconds)
            fresh = {row[0] for row in connection.execute(_FRESH, (since,))}
            counted = set()
            for report in REPORTS.keys() - fresh:
                if self._stopping.is_set():
                    break
                self._count_one(connection, report)
                counted.add(report)
            return counted

    def _count_one(self, connection: psycopg.Connection[Any], report: str) -> None:
        now = datetime.now(UTC)
        conditions, parameters = conditions_of(REPORTS[report](now), now=now, rotation_days=self._rotation_days)
        connection.execute(_KEEP.format(where=" AND ".join(conditions)).encode(), parameters | {"report": report})

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self.count()
            except StoreUnavailable as error:
                logger.warning("reports were not counted (%s): the figures of before stay", error)
            except Exception:
                logger.exception("reports were not counted: the figures of before stay")
            self._stopping.wait(self._interval_seconds)
