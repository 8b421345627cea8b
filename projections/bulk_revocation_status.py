"""Bulk revocations, as they are listed and gone on with. Inline: a run that was just confirmed can be asked about."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any
from uuid import UUID

from ledger.bulk_revocation import CREDENTIALS_MAX, BulkRevocation, Selection, evolve
from ledger.store.datastore import LedgerDatastore
from ledger.store.recorder import InlineTable, Row
from projections.pages import LIMIT_DEFAULT, Page, checked_limit, decode_cursor, encode_cursor, rows_of_page
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
    ignores=(
        *OF_ORGANISATIONS,
        *OF_CATALOGUES,
        *OF_OPERATORS,
        *OF_ACCOUNTS,
        *OF_APPLICATIONS,
        *OF_CREDENTIALS,
        *OF_WEBHOOK_ENDPOINTS,
        *OF_SIGNING_KEYS,
        *OF_EXPORTS,
        *OF_SEALED_LOG,
    ),
)


def find_bulk_revocation(store: LedgerDatastore, organisation_id: UUID, run_id: UUID) -> dict[str, Any] | None:
    """One run's row, or None where the organisation has no such one."""
    return store.row(
        "SELECT * FROM bulk_revocation_status WHERE run_id = %s AND organisation_id = %s", (run_id, organisation_id)
    )


def list_bulk_revocations(
    store: LedgerDatastore, organisation_id: UUID, *, cursor: str | None = None, limit: int = LIMIT_DEFAULT
) -> Page:
    """An organisation's runs, newest first."""
    of = ("bulk revocations", organisation_id)
    rows = rows_of_page(
        store,
        "SELECT * FROM bulk_revocation_status WHERE organisation_id = %(organisation)s "
        "AND (%(after)s::uuid IS NULL OR run_id < %(after)s) ORDER BY run_id DESC LIMIT %(limit)s",
        {
            "organisation": organisation_id,
            "after": None if cursor is None else decode_cursor(cursor, UUID, of),
            "limit": checked_limit(limit) + 1,
        },
    )
    shown = rows[:limit]
    return Page(shown, encode_cursor(shown[-1]["run_id"], of) if len(rows) > limit else None)


def list_naming(store: LedgerDatastore, organisation_id: UUID, emails: Iterable[str]) -> list[UUID]:
    """An organisation's runs whose credentials were chosen by one of these emails, in any letter case, oldest first."""
    rows = store.rows(
        "SELECT run_id FROM bulk_revocation_status WHERE organisation_id = %s AND contact_email <> '' "
        "AND lower(contact_email) = ANY(%s) ORDER BY run_id",
        (organisation_id, [email.lower() for email in emails]),
    )
    return [row["run_id"] for row in rows]


def list_unfinished(store: LedgerDatastore, limit: int) -> list[UUID]:
    """The runs of all organisations that are to be gone on with, oldest first."""
    rows = store.rows(
        "SELECT run_id FROM bulk_revocation_status WHERE finished_at IS NULL ORDER BY run_id LIMIT %s", (limit,)
    )
    return [row["run_id"] for row in rows]


# How each part of a selection is looked for. Ids, accounts and applications have an index; the others read the table
# once, a second for a million credentials: this is asked when something has gone wrong, and not by the second.
_CONDITIONS: Mapping[str, str] = {
    "contact_email": "lower(contact_email) = lower(%(contact_email)s)",
    "account_id": "account_id = %(account_id)s",
    "application_id": "application_id = %(application_id)s",
    "label": "labels @> jsonb_build_object(%(label_name)s::text, %(label_value)s::text)",
    "ids": "credential_id = ANY(%(ids)s)",
    # A login is the same in any letter case.
    "public_ids": "(public_id = ANY(%(public_ids)s) OR kind = 'channel_login' AND lower(public_id) = ANY(%(logins)s))",
    "kind": "kind = %(kind)s",
    "mode": "mode = %(mode)s",
    "environment": "environment = %(environment)s",
    "channel": "channel = %(channel)s",
    "created_before": "created_at < %(created_before)s",
}


def select_open(
    store: LedgerDatastore, organisation_id: UUID, selection: Selection, at: datetime
) -> list[dict[str, Any]]:
    """The organisation's credentials that a selection covers and that are not revoked at that moment, in the order of
    their ids: `credential_id` and `mode` of each, at most one more than a run takes. From the inline view, so exactly.
    """
    given = {field.name: getattr(selection, field.name) for field in fields(selection)}
    conditions = "".join(f" AND {_CONDITIONS[name]}" for name, value in given.items() if value not in (None, ()))
    label_name, label_value = selection.label or (None, None)
    return rows_of_page(
        store,
        "SELECT credential_id, mode FROM credential_status WHERE organisation_id = %(organisation)s "  # noqa: S608
        f"AND {_OPEN}{conditions} ORDER BY credential_id LIMIT %(limit)s",
        {
            **{name: list(value) if isinstance(value, tuple) else value for name, value in given.items()},
            "logins": [name.lower() for name in selection.public_ids or ()],
            "label_name": label_name,
            "label_value": label_value,
            "organisation": organisation_id,
            "at": at,
            "limit": CREDENTIALS_MAX + 1,
        },
    )


def rows_of_credentials(store: LedgerDatastore, credential_ids: Sequence[UUID]) -> list[dict[str, Any]]:
    """The rows of some credentials, in the order of their ids."""
    return store.rows(
        "SELECT * FROM credential_status WHERE credential_id = ANY(%s) ORDER BY credential_id", (list(credential_ids),)
    )


# By our clock it is not revoked yet; by that of whoever revoked it, it may be.
_OPEN = "(revoked_at IS NULL OR revoked_at > greatest(%(at)s, changed_at))"


def still_open(store: LedgerDatastore, credential_ids: Sequence[UUID], at: datetime) -> list[UUID]:
    """Those of some credentials that are not revoked at that moment, in their order."""
    rows = store.rows(
        f"SELECT credential_id FROM credential_status WHERE credential_id = ANY(%(ids)s) AND {_OPEN}",  # noqa: S608
        {"ids": list(credential_ids), "at": at},
    )
    found = {row["credential_id"] for row in rows}
    return [credential_id for credential_id in credential_ids if credential_id in found]
