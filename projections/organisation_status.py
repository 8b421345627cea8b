"""Organisations, as they are listed. Inline: one that was just registered can be used at once."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from ledger.organisation import Organisation, evolve
from ledger.store.datastore import LedgerDatastore
from ledger.store.recorder import InlineTable, Row
from projections.pages import rows_of_page
from projections.view import (
    OF_ACCOUNTS,
    OF_APPLICATIONS,
    OF_BULK_REVOCATIONS,
    OF_CATALOGUES,
    OF_CREDENTIALS,
    OF_EXPORTS,
    OF_OPERATORS,
    OF_ORGANISATIONS,
    OF_SEALED_LOG,
    OF_SIGNING_KEYS,
    OF_WEBHOOK_ENDPOINTS,
    StateView,
)
from projections.words import SEARCH_WALK_ROWS, as_query, asked_words, distinct_words

STATUS = InlineTable(
    "organisation_status",
    key=("organisation_id",),
    columns=("organisation_id", "name", "registered_at", "version", "retention_days", "search"),
)


def rows_of(organisation: Organisation) -> dict[InlineTable, list[Row]]:
    """The row that stands for an organisation as it is."""
    return {STATUS: [{**status_row(organisation), "search": " ".join(distinct_words(organisation.name))}]}


def status_row(organisation: Organisation) -> Row:
    """An organisation as it is read."""
    return {
        "organisation_id": organisation.id,
        "name": organisation.name,
        "registered_at": organisation.registered_at,
        "version": organisation.version,
        "retention_days": organisation.retention_days,
    }


VIEW: StateView[Organisation] = StateView(
    name="organisation_status",
    aggregate="organisation",
    inline=True,
    evolve=evolve,
    tables=(STATUS,),
    rows_of=rows_of,
    handles=OF_ORGANISATIONS,
    ignores=(
        *OF_CATALOGUES,
        *OF_OPERATORS,
        *OF_ACCOUNTS,
        *OF_APPLICATIONS,
        *OF_CREDENTIALS,
        *OF_BULK_REVOCATIONS,
        *OF_WEBHOOK_ENDPOINTS,
        *OF_SIGNING_KEYS,
        *OF_EXPORTS,
        *OF_SEALED_LOG,
    ),
)


def find_organisation(store: LedgerDatastore, organisation_id: UUID) -> dict[str, Any] | None:
    """One organisation's row."""
    return store.row("SELECT * FROM organisation_status WHERE organisation_id = %s", (organisation_id,))


def find_organisations(store: LedgerDatastore, organisation_ids: Sequence[UUID]) -> list[dict[str, Any]]:
    """The rows of these organisations."""
    return store.rows("SELECT * FROM organisation_status WHERE organisation_id = ANY(%s)", (list(organisation_ids),))


def list_organisations(
    store: LedgerDatastore, only: UUID | None, after: UUID | None, limit: int, q: str | None = None
) -> list[dict[str, Any]]:
    """Organisations after an id, in the order of their ids, which is that of their registration. `q` are words of the
    name, the last of which may be cut; raises `InvalidValue` where it has none.
    """
    queries, parameters = list_queries(only, after, limit, q)
    rows: list[dict[str, Any]] = []
    for query in queries:
        rows = rows_of_page(store, query, parameters)
        if len(rows) == limit:
            break
    return rows


def list_queries(only: UUID | None, after: UUID | None, limit: int, q: str | None) -> tuple[list[str], dict[str, Any]]:
    """The statements of a page and their parameters; the first that fills it is enough (`projections/words.py`)."""
    parameters: dict[str, Any] = {"only": only, "after": after, "limit": limit}
    conditions = ["organisation_id = %(only)s"] if only is not None else []
    conditions += ["organisation_id > %(after)s"] if after is not None else []
    where, order = " AND ".join(["true", *conditions]), "ORDER BY organisation_id"
    select = f"SELECT * FROM {{source}} o WHERE {{where}} {order} LIMIT %(limit)s"  # noqa: S608
    if q is None:
        return [select.format(source="organisation_status", where=where)], parameters
    parameters |= {"q": as_query(asked_words(q)), "search_walk": SEARCH_WALK_ROWS}
    next_rows = f"(SELECT * FROM organisation_status WHERE {where} {order} LIMIT %(search_walk)s)"  # noqa: S608
    # OFFSET 0 keeps the planner from walking the list instead.
    found = "(SELECT * FROM organisation_status WHERE search @@ %(q)s::tsquery OFFSET 0)"
    return [
        select.format(source=next_rows, where="search @@ %(q)s::tsquery"),
        select.format(source=found, where=where),
    ], parameters
