"""Bulk revocations, as they are listed and gone on with. Inline: a run that was just confirmed can be asked about."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from ledger.bulk_revocation import BulkRevocation, evolve
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
    StateView,
)

STATUS = InlineTable(
    "bulk_revocation_status",
    key=("run_id",),
    columns=(
        "run_id",
        "organisation_id",
        "contact_email",
        "selection",
        "revocation_reason",
        "reason",
        "digest",
        "total",
        "revoked",
        "skipped",
        "started_by",
        "started_at",
        "finished_at",
        "version",
    ),
)


def rows_of(run: BulkRevocation) -> dict[InlineTable, list[Row]]:
    """The row that stands for a run as it is."""
    return {STATUS: [status_row(run)]}


def status_row(run: BulkRevocation) -> Row:
    """A run as it is read; the ids it is about stay in its history."""
    return {
        "run_id": run.id,
        "organisation_id": run.organisation_id,
        "contact_email": run.contact_email,
        "selection": run.selection,
        "revocation_reason": run.revocation_reason,
        "reason": run.started.reason,
        "digest": run.digest,
        "total": run.total,
        "revoked": run.revoked,
        "skipped": run.skipped,
        "started_by": run.started.actor,
        "started_at": run.started.at,
        "finished_at": run.finished_at,
        "version": run.version,
    }


VIEW: StateView[BulkRevocation] = StateView(
    name="bulk_revocation_status",
    aggregate="bulk_revocation",
    inline=True,
    evolve=evolve,
    tables=(STATUS,),
    rows_of=rows_of,
    handles=OF_BULK_REVOCATIONS,
    ignores=(*OF_ORGANISATIONS, *OF_CATALOGUES, *OF_OPERATORS, *OF_ACCOUNTS, *OF_APPLICATIONS, *OF_CREDENTIALS, *OF_SIGNING_KEYS),
)


def find_bulk_revocation(store: LedgerDatastore, organisation_id: UUID, run_id: UUID) -> dict[str, Any] | None:
    """One run's row, or None where the organisation has no such one."""
    return store.row(
        "SELECT * FROM bulk_revocation_status WHERE run_id = %s AND organisation_id = %s", (run_id, organisation_id)
    )


def list_bulk_revocations(
    store: LedgerDatastore, organisation_id: UUID, before: UUID | None, limit: int
) -> list[dict[str, Any]]:
    """An organisation's runs before an id, newest first."""
    return store.rows(
        "SELECT * FROM bulk_revocation_status WHERE organisation_id = %(organisation)s "
        "AND (%(before)s::uuid IS NULL OR run_id < %(before)s) ORDER BY run_id DESC LIMIT %(limit)s",
        {"organisation": organisation_id, "before": before, "limit": limit},
    )


def list_unfinished(store: LedgerDatastore, limit: int) -> list[UUID]:
    """The runs of all organisations that are to be gone on with, oldest first."""
    rows = store.rows(
        "SELECT run_id FROM bulk_revocation_status WHERE finished_at IS NULL ORDER BY run_id LIMIT %s", (limit,)
    )
    return [row["run_id"] for row in rows]


def still_open(store: LedgerDatastore, credential_ids: Sequence[UUID], at: datetime) -> list[UUID]:
    """Those of some credentials that are not revoked at that moment, in their order."""
    rows = store.rows(
        "SELECT credential_id FROM credential_status WHERE credential_id = ANY(%s) "
        "AND (revoked_at IS NULL OR revoked_at > greatest(%s, changed_at))",
        (list(credential_ids), at),
    )
    found = {row["credential_id"] for row in rows}
    return [credential_id for credential_id in credential_ids if credential_id in found]
