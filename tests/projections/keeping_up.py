"""Bringing the views to the head of the log without a projector's threads, and looking at all they hold."""

from typing import Any

from psycopg import sql

from api.wiring import Services
from projections import ASYNCHRONOUS, PROJECTIONS
from projections.runner import apply_batch, begin_tracking
from projections.view import View


def catch_up(services: Services, batch: int = 500) -> None:
    """Apply everything to every asynchronous view."""
    with services.store.connect() as connection:
        for view in ASYNCHRONOUS:
            begin_tracking(connection, view.name)
            while apply_batch(services.log, connection, view, batch):
                pass


def rows_of(services: Services, view: View) -> dict[str, list[Any]]:
    """Every row of a view as JSON text, whole: also the columns that no query shows.

    But for when a credential was seen, which does not follow from the log: it moves once a day, a rebuild knows more.
    """
    query = sql.SQL("SELECT (to_jsonb(t) - 'seen_at')::text FROM {} t ORDER BY 1")
    with services.store.connect() as connection:
        return {
            table.name: connection.execute(query.format(sql.Identifier(table.name))).fetchall() for table in view.tables
        }


def all_rows(services: Services) -> dict[str, dict[str, list[Any]]]:
    """Every row of every view."""
    return {view.name: rows_of(services, view) for view in PROJECTIONS}
