"""What an export holds, event by event, for formats that people's and companies' tools read.

The same events as the bundle of the same export (`projections/sealed/exporting.py`), which alone proves itself: from
the leaves of the organisation's tree up to where the export ends. In memory that does not grow.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple
from uuid import UUID

from ledger.events import Event, Recorded
from ledger.export import Export
from ledger.store.codec import decode
from ledger.store.datastore import LedgerDatastore
from ledger.store.log import EventLog, Stored
from ledger.tlog.bundle import Filter
from ledger.tlog.tiles import WIDTH
from projections.history import shown_fields
from projections.reading_ahead import read_ahead
from projections.sealed.exporting import CHUNK_LEAVES, Reached, SealedExport, erasures_shown, takes, unwatched
from projections.sealed.trees import fetch

COUNTS_CHUNK = 10_000  # a megabyte


class Personal(StrEnum):
    """What became of an event's personal fields in an export: there are none, or they were not asked for, or they are
    in clear, or they were asked for and their key was destroyed.

    Where they were not asked for, it makes no difference whether they are still there: no erasure changes that file.
    """

    NONE = "none"
    WITHHELD = "withheld"
    SHOWN = "shown"
    ERASED = "erased"


class ExportedEvent(NamedTuple):
    """An event in its place, ids as texts, and of its own fields what is shown: nothing that verifies a secret."""

    position: int
    aggregate_id: str
    aggregate_version: int
    organisation_id: str | None
    event: Event
    data: dict[str, Any]
    personal: Personal
    stored_bytes: int
    """How long it is as it is stored, for those who hold several at once: some are hundreds of kilobytes."""


class VerificationCount(NamedTuple):
    """How often one code was answered about a credential on one day (UTC)."""

    organisation_id: UUID
    credential_id: UUID
    day: date
    code: str
    verifications: int


def exported_events(log: EventLog, export: SealedExport, reached: Reached = unwatched) -> Iterator[ExportedEvent]:
    """The events that an export takes, in the order of the log. However slowly they are taken, no connection waits for
    their taker.

    Raises `LookupError` where one that was sealed is not there any more: rows tell of no gap by themselves.
    """
    exported = _in_clear if export.manifest.personal else _withheld
    for part in read_ahead(_parts(log, export)):
        yield from map(exported, part.found)
        reached(part.leaves_done)


class _Part(NamedTuple):
    """Some events that are taken, as they were read, and how many leaves are done with them."""

    found: Sequence[Any]
    leaves_done: int


def _parts(log: EventLog, export: SealedExport) -> Iterator[_Part]:
    in_clear = export.manifest.personal
    read: Callable[[Sequence[int]], Sequence[Any]] = log.first_recorded_at if in_clear else log.first_stored_at
    asked, size = export.manifest.filter, export.manifest.size
    for begin in range(0, size, CHUNK_LEAVES):
        end = min(size, begin + CHUNK_LEAVES)
        with log.datastore.cursor_of_tuples() as curs:
            rows = fetch(
                curs.connection,
                f"SELECT position{'' if asked == Filter() else ', entry'} FROM sealed_leaf "  # noqa: S608
                "WHERE tree = %s AND leaf_index >= %s AND leaf_index < %s ORDER BY leaf_index",
                (export.tree, begin, end),
            )
        taken = sorted(position for position, *entry in rows if not entry or takes(asked, *entry))
        at = 0
        while at < len(taken):
            found = read(taken[at : at + WIDTH])
            last = (found[-1][0].position if in_clear else found[-1].position) if found else 0
            # Those that were too many come next; any other that is not there is gone.
            after = bisect_right(taken, last, at)
            if not found or after - at != len(found):
                raise LookupError("events that were sealed are not in the log any more: see `keyledger audit check`")
            at = after
            yield _Part(found, begin if at < len(taken) else end)
        if not taken:
            yield _Part((), end)


def _withheld(stored: Stored) -> ExportedEvent:
    """An event without its personal fields, which nobody has to decrypt."""
    position, aggregate_id, version, organisation_id, topic, state = stored
    event = decode(topic, state)
    return _exported(position, aggregate_id, version, organisation_id, event, Personal.WITHHELD, len(state))


def _in_clear(found: tuple[Recorded, bool, int]) -> ExportedEvent:
    """An event with personal fields in clear, unless their key was destroyed."""
    (aggregate_id, version, organisation_id, event, position), has_key, stored_bytes = found
    whose = None if organisation_id is None else str(organisation_id)
    personal = Personal.SHOWN if has_key else Personal.ERASED
    return _exported(position, str(aggregate_id), version, whose, event, personal, stored_bytes)


def _exported(
    position: int,
    aggregate_id: str,
    version: int,
    organisation_id: str | None,
    event: Event,
    personal: Personal,
    stored_bytes: int,
) -> ExportedEvent:
    """The event, of whose personal fields this became if it has any."""
    data = shown_fields(event)
    if not event.PERSONAL:
        personal = Personal.NONE
    elif personal is not Personal.SHOWN:
        for name in event.PERSONAL:
            data.pop(name, None)
    return ExportedEvent(position, aggregate_id, version, organisation_id, event, data, personal, stored_bytes)


def exported_verifications(
    store: LedgerDatastore, organisation_id: UUID | None, asked: Filter, requested_at: datetime
) -> Iterator[VerificationCount]:
    """How an organisation's credentials were verified, by credential, day and code.

    Only whole days of the period that were over when the export was asked for, as far back as counts are kept. No
    event tells of these, so nothing proves them. None where kinds of events were asked for.
    """
    if asked.topics or organisation_id is None:
        return
    parameters = _counted(organisation_id, asked, requested_at) | {"limit": COUNTS_CHUNK}
    after: tuple[UUID, date, str] = (UUID(int=0), date.min, "")
    while True:
        rows = store.rows(
            f"SELECT v.credential_id, v.day, v.code, v.verifications FROM {_COUNTED} "  # noqa: S608
            "AND (v.credential_id, v.day, v.code) > (%(id)s, %(day)s, %(code)s) "
            "ORDER BY v.credential_id, v.day, v.code LIMIT %(limit)s",
            parameters | dict(zip(("id", "day", "code"), after, strict=True)),
        )
        for row in rows:
            yield VerificationCount(organisation_id, **row)
        if len(rows) < COUNTS_CHUNK:
            return
        after = rows[-1]["credential_id"], rows[-1]["day"], rows[-1]["code"]


def state_of_what_changes(store: LedgerDatastore, export: Export, sealed: SealedExport, *, verifications: bool) -> str:
    """What is other when an export's events, or with them the `verifications`, would be told otherwise than before.

    Events stay as they are, but an erasure empties fields of theirs; counts are added to, and go when they are old.
    """
    asked, counted = sealed.manifest.filter, None
    if verifications and not asked.topics and export.organisation_id is not None:
        counted = store.row(
            "SELECT count(*) AS counts, coalesce(sum(hashtextextended("  # noqa: S608
            f"(v.credential_id, v.day, v.code, v.verifications)::text, 0)::numeric), 0) AS digest FROM {_COUNTED}",
            _counted(export.organisation_id, asked, export.requested.at),
        )
    return f"{erasures_shown(store, sealed)} {counted and (counted['counts'], str(counted['digest']))}"


_COUNTED = (
    "verification_count v JOIN credential_list c ON c.credential_id = v.credential_id "
    "WHERE c.organisation_id = %(organisation)s AND v.day >= %(first)s AND v.day < %(end)s "
    "AND (%(only)s::uuid[] IS NULL OR v.credential_id = ANY(%(only)s))"
)


def _counted(organisation_id: UUID, asked: Filter, requested_at: datetime) -> dict[str, Any]:
    """The parameters of `_COUNTED`."""
    return {
        "organisation": organisation_id,
        "first": date.min if not asked.begin else _day_after(datetime.fromisoformat(asked.begin)),
        "end": min(requested_at, datetime.fromisoformat(asked.end) if asked.end else requested_at).date(),
        "only": [UUID(each) for each in asked.aggregates] or None,
    }


def _day_after(begin: datetime) -> date:
    """The first day that lies in a period from its beginning to its end; the last there is, for one that has none."""
    midnight = begin.time() == datetime.min.time()
    return begin.date() if midnight or begin.date() == date.max else begin.date() + timedelta(days=1)
