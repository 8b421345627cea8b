"""The exports of an organisation: what was asked for, newest first, and which of it can be fetched."""

from dataclasses import replace
from typing import Any, NamedTuple
from uuid import UUID

from ledger.events import ExportRequested
from ledger.export import Export, evolve
from ledger.store.log import EventLog
from projections.activity import ActivityFilters, list_activity
from projections.export_progress import list_progress
from projections.pages import LIMIT_DEFAULT
from projections.sealed.exporting import sealed_sizes

ASKED_FOR = ActivityFilters(topic=ExportRequested.TOPIC)


class Listed(NamedTuple):
    """An export; `size` is how many leaves it has, None while its end is not sealed. `progress` is how far the newest
    download in each format has come.
    """

    export: Export
    size: int | None
    progress: list[dict[str, Any]]


class ExportPage(NamedTuple):
    """Some exports, and the cursor of the next page; None on the last."""

    exports: list[Listed]
    cursor: str | None


def list_exports(
    log: EventLog, organisation_id: UUID | None, *, cursor: str | None = None, limit: int = LIMIT_DEFAULT
) -> ExportPage:
    """A page of what was asked for of an organisation, or for None of what concerns none; from the feed of activity, so
    it may be as far behind as that is.

    Raises `InvalidValue` for a limit out of bounds and a cursor that is none or of another list.
    """
    asked_for = ASKED_FOR if organisation_id is not None else replace(ASKED_FOR, installation=True)
    page = list_activity(log.datastore, organisation_id, asked_for, cursor=cursor, limit=limit)
    found = {one.position: evolve(None, one) for one, _ in log.recorded_at([row["position"] for row in page.rows])}
    exports = [found[row["position"]] for row in page.rows]
    with log.datastore.cursor_of_tuples() as curs:
        sizes = sealed_sizes(log, curs.connection, exports)
    progress = list_progress(log.datastore, [export.id for export in exports])
    listed = [Listed(export, sizes.get(export.id), progress.get(export.id, [])) for export in exports]
    return ExportPage(listed, page.cursor)
