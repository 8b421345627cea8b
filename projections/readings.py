"""Who read what: histories, the past, addresses of use and the hints of secrets, by operators. Not events: reading
changes nothing, and there is more of it than of what people did.

Noted in memory and written together every few seconds, so that reading waits for no write. A crash loses at most one
interval.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple
from uuid import UUID

from ledger.store.datastore import LedgerDatastore
from projections.flushing import Flusher
from projections.pages import LIMIT_DEFAULT, Page, checked_limit, decode_cursor, encode_cursor, rows_of_page

# Some 50 MB: minutes of reading at full load while the database is away. Beyond it what is new is counted as dropped.
READINGS_MAX = 50_000
BATCH = 1_000  # a transaction of some ten milliseconds

_INSERT = (
    "INSERT INTO reading (organisation_id, aggregate_id, at, actor, roles, via, what, route, request_id, address) "
    "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
)

logger = logging.getLogger("keyledger.readings")


class Shown(StrEnum):
    """What a reader was shown."""

    HISTORY = "history"  # what happened to one thing
    PAST = "past"  # things as they were, and what changed since
    ACTIVITY = "activity"  # what happened in an organisation
    USAGE = "usage"  # from where a credential was used
    HINT = "hint"  # the last characters of secrets
    PROOF = "proof"  # that something happened to a thing and when: entries of the provable log, and their proofs
    EXPORT = "export"  # the file of an export or of an access review
    READINGS = "readings"  # who read what


class Reading(NamedTuple):
    """That somebody read something.

    `what` are the kinds of things that were shown, `aggregate_id` whose they were where it was one thing's, `route` the
    path that was asked without its ids and its query, or the command.
    """

    organisation_id: UUID | None
    aggregate_id: UUID | None
    at: datetime
    actor: str
    roles: Sequence[str]
    via: str
    what: Sequence[Shown]
    route: str
    request_id: str
    address: str


class ReadingRecorder:
    """Notes the readings that one process answers. Build it after a fork; `start` it, and `stop` it to write what is
    left.
    """

    def __init__(self, store: LedgerDatastore, flush_seconds: float, readings_max: int = READINGS_MAX) -> None:
        self._store = store
        self._readings_max = readings_max
        self._readings: list[Reading] = []
        self._mutex = threading.Lock()
        self._flusher = Flusher(self.flush, flush_seconds, "readings", logger)
        self.start, self.stop = self._flusher.start, self._flusher.stop
        self.dropped = 0
        """How many were not noted because the bound was reached, for the metrics."""

    def note(self, reading: Reading) -> None:
        """Note one. Never waits for the database."""
        with self._mutex:
            if len(self._readings) < self._readings_max:
                self._readings.append(reading)
            else:
                self.dropped += 1

    def flush(self) -> int:
        """Write what was noted; returns how many. Raises `StoreUnavailable` with what is not written kept."""
        with self._mutex:
            left, self._readings = self._readings, []
        written = 0
        try:
            while written < len(left):
                batch = left[written : written + BATCH]
                keep_readings(self._store, batch)
                written += len(batch)
        except BaseException:
            with self._mutex:
                kept = left[written:] + self._readings
                self.dropped += max(0, len(kept) - self._readings_max)
                self._readings = kept[: self._readings_max]
            raise
        return written


def keep_readings(store: LedgerDatastore, readings: Sequence[Reading]) -> None:
    """Write some of them, all or none."""
    with store.cursor_of_tuples() as curs, curs.connection.transaction():
        curs.executemany(_INSERT, [(*r[:4], list(r.roles), r.via, list(r.what), *r[7:]) for r in readings])


# --- queries ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ReadingFilters:
    """Which readings to list: those for which everything that is given holds.

    `actor` is who read, as events name them (`operator:<id>`), `aggregate_id` whose history or hint it was; `since` is
    inclusive, `until` is not. `installation` says whether only what concerns no organisation is meant, or only what
    concerns one.
    """

    actor: str | None = None
    aggregate_id: UUID | None = None
    since: datetime | None = None
    until: datetime | None = None
    installation: bool | None = None


EVERYTHING = ReadingFilters()

_CONDITIONS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "actor": ("actor = %(actor)s", str),
    "aggregate_id": ("aggregate_id = %(aggregate_id)s", lambda value: value),
    "since": ("at >= %(since)s", lambda value: value),
    "until": ("at < %(until)s", lambda value: value),
    "installation": ("(organisation_id IS NULL) = %(installation)s", bool),
}


def list_readings(
    store: LedgerDatastore,
    organisation_id: UUID | None,
    filters: ReadingFilters = EVERYTHING,
    *,
    cursor: str | None = None,
    limit: int = LIMIT_DEFAULT,
) -> Page:
    """A page of who read what of an organisation, or of the whole installation for None; newest first.

    Raises `InvalidValue` for a limit out of bounds and a cursor that is none or of another list.
    """
    of = ("readings", organisation_id, filters)
    parameters: dict[str, Any] = {"limit": checked_limit(limit) + 1}
    conditions = ["true"]
    if organisation_id is not None:
        parameters["organisation"] = organisation_id
        conditions.append("organisation_id = %(organisation)s")
    for name, (condition, as_parameter) in _CONDITIONS.items():
        if (value := getattr(filters, name)) is not None:
            parameters[name] = as_parameter(value)
            conditions.append(condition)
    if cursor is not None:
        parameters["at"], parameters["id"] = decode_cursor(cursor, tuple[datetime, int], of)
        conditions.append("(at, reading_id) < (%(at)s, %(id)s)")
    query = (
        f"SELECT * FROM reading WHERE {' AND '.join(conditions)} "  # noqa: S608
        "ORDER BY at DESC, reading_id DESC LIMIT %(limit)s"
    )
    rows = rows_of_page(store, query, parameters)
    if len(rows) <= limit:
        return Page(rows, None)
    rows.pop()
    return Page(rows, encode_cursor((rows[-1]["at"], rows[-1]["reading_id"]), of))
