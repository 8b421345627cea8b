"""Organisations, as they are listed. Inline: one that was just registered can be used at once."""

from typing import Any
from uuid import UUID

from ledger.organisation import Organisation, evolve
from ledger.store.datastore import LedgerDatastore
from ledger.store.recorder import InlineTable, Row
from projections.view import (
    OF_ACCOUNTS,
    OF_APPLICATIONS,
    OF_BULK_REVOCATIONS,
    OF_CATALOGUES,
    OF_CREDENTIALS,
    OF_OPERATORS,
    OF_ORGANISATIONS,
    OF_SIGNING_KEYS,
    OF_WEBHOOK_ENDPOINTS,
    StateView,
)

STATUS = InlineTable(
    "organisation_status",
    key=("organisation_id",),
    columns=("organisation_id", "name", "registered_at", "version"),
)


def rows_of(organisation: Organisation) -> dict[InlineTable, list[Row]]:
    """The row that stands for an organisation as it is."""
    return {STATUS: [status_row(organisation)]}


def status_row(organisation: Organisation) -> Row:
    """An organisation as it is read."""
    return {
        "organisation_id": organisation.id,
        "name": organisation.name,
        "registered_at": organisation.registered_at,
        "version": organisation.version,
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
    ),
)


def find_organisation(store: LedgerDatastore, organisation_id: UUID) -> dict[str, Any] | None:
    """One organisation's row."""
    return store.row("SELECT * FROM organisation_status WHERE organisation_id = %s", (organisation_id,))


def list_organisations(
    store: LedgerDatastore, only: UUID | None, after: UUID | None, limit: int
) -> list[dict[str, Any]]:
    """Organisations after an id, in the order of their ids, which is that of their registration."""
    return store.rows(
        "SELECT * FROM organisation_status WHERE (%(only)s::uuid IS NULL OR organisation_id = %(only)s) "
        "AND (%(after)s::uuid IS NULL OR organisation_id > %(after)s) ORDER BY organisation_id LIMIT %(limit)s",
        {"only": only, "after": after, "limit": limit},
    )
