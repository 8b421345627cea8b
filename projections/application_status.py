"""Applications, as they are listed and as verification reads them. Inline: an archived one admits nobody at once."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from ledger.application import Application, evolve
from ledger.catalogue import FIRST_VERSION
from ledger.store.datastore import LedgerDatastore
from ledger.store.pipeline import UUID_OID, Statement
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
    "application_status",
    key=("application_id",),
    columns=(
        "application_id",
        "organisation_id",
        "account_id",
        "title",
        "description",
        "apis",
        "created_at",
        "archived_at",
        "archived_by",
        "archived_reason",
        "archived_request_id",
        "version",
    ),
)


def rows_of(application: Application) -> dict[InlineTable, list[Row]]:
    """The row that stands for an application as it is."""
    return {STATUS: [status_row(application)]}


def status_row(application: Application) -> Row:
    """An application as it is read."""
    archived = application.archived
    return {
        "application_id": application.id,
        "organisation_id": application.organisation_id,
        "account_id": application.account_id,
        "title": application.title,
        "description": application.description,
        "apis": application.apis,
        "created_at": application.created_at,
        "archived_at": archived and archived.at,
        "archived_by": archived and archived.actor,
        "archived_reason": archived and archived.reason,
        "archived_request_id": archived and archived.request_id,
        "version": application.version,
    }


VIEW: StateView[Application] = StateView(
    name="application_status",
    aggregate="application",
    inline=True,
    evolve=evolve,
    tables=(STATUS,),
    rows_of=rows_of,
    handles=OF_APPLICATIONS,
    ignores=(
        *OF_ORGANISATIONS,
        *OF_CATALOGUES,
        *OF_OPERATORS,
        *OF_ACCOUNTS,
        *OF_CREDENTIALS,
        *OF_BULK_REVOCATIONS,
        *OF_WEBHOOK_ENDPOINTS,
        *OF_SIGNING_KEYS,
        *OF_EXPORTS,
        *OF_SEALED_LOG,
    ),
)


# --- queries ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ApplicationFilters:
    """Which applications; None takes all. `q` stands anywhere in the title, the description or the App ID."""

    q: str | None = None
    archived: bool | None = None
    account: UUID | None = None


def find_application(store: LedgerDatastore, organisation_id: UUID, application_id: UUID) -> dict[str, Any] | None:
    """One application's row, or None where the organisation has no such one."""
    return store.row(
        "SELECT * FROM application_status WHERE application_id = %s AND organisation_id = %s",
        (application_id, organisation_id),
    )


def list_applications(
    store: LedgerDatastore,
    organisation_id: UUID,
    filters: ApplicationFilters,
    *,
    cursor: str | None = None,
    limit: int = LIMIT_DEFAULT,
) -> Page:
    """An organisation's applications, newest first: their ids are in the order of their registration."""
    of = ("applications", organisation_id, asdict(filters))
    rows = rows_of_page(
        store,
        f"SELECT * FROM application_status WHERE organisation_id = %(organisation)s {_where(filters)}"  # noqa: S608
        " AND (%(after)s::uuid IS NULL OR application_id < %(after)s) ORDER BY application_id DESC LIMIT %(limit)s",
        {
            "organisation": organisation_id,
            "after": None if cursor is None else decode_cursor(cursor, UUID, of),
            "limit": checked_limit(limit) + 1,
            **asdict(filters),
        },
    )
    shown = rows[:limit]
    return Page(shown, encode_cursor(shown[-1]["application_id"], of) if len(rows) > limit else None)


# An organisation has applications by the hundred, so a search that looks at each of them is quick enough.
_CONDITIONS: Mapping[str, str] = {
    "q": "AND strpos(lower(concat_ws(chr(10), title, description, application_id)), lower(%(q)s)) > 0",
    "archived": "AND (archived_at IS NOT NULL) = %(archived)s",
    "account": "AND account_id = %(account)s",
}


def _where(filters: ApplicationFilters) -> str:
    return " ".join(_CONDITIONS[name] for name, value in asdict(filters).items() if value is not None)


@dataclass(frozen=True, slots=True)
class GroundsFound:
    """The catalogue's version, the application's account and APIs; its id is None where there is no such one."""

    catalogue_version: int
    application_id: UUID | None
    account_id: UUID | None
    apis: list[str] | None
    archived_at: datetime | None


_read_grounds = msgspec.json.Decoder(GroundsFound).decode

_GROUNDS = Statement(
    b"grounds",
    (
        f"SELECT row_to_json(g) FROM (SELECT coalesce(c.version, {FIRST_VERSION}) AS catalogue_version, "  # noqa: S608
        "a.application_id, a.account_id, a.apis, a.archived_at FROM (SELECT $1::uuid AS organisation_id) o "
        "LEFT JOIN catalogue_status c USING (organisation_id) "
        "LEFT JOIN application_status a ON a.organisation_id = o.organisation_id AND a.application_id = $2::uuid) g"
    ).encode(),
    (UUID_OID, UUID_OID),
)


def find_grounds(store: LedgerDatastore, organisation_id: UUID, application_id: UUID | None) -> GroundsFound:
    """What a new credential stands on, in one round trip."""
    result = store.look_up(_GROUNDS, [organisation_id.bytes, None if application_id is None else application_id.bytes])
    found = result.get_value(0, 0)
    assert found is not None  # noqa: S101 - the left side of the joins is one row
    return _read_grounds(found)


def has_live_credentials(store: LedgerDatastore, application_id: UUID) -> bool:
    """Whether the application has a credential for live data that is not revoked."""
    found = store.row(
        "SELECT EXISTS (SELECT FROM credential_status c WHERE c.application_id = %s AND c.mode = 'live' "
        "AND coalesce(c.revoked_at, 'infinity'::timestamptz) > now()) AS found",
        (application_id,),
    )
    return bool(found and found["found"])


def list_credentials_of_archived(store: LedgerDatastore, limit: int) -> list[dict[str, Any]]:
    """Credentials of archived applications that are not revoked themselves yet, with how the application ended."""
    return store.rows(
        "SELECT c.credential_id, a.archived_by, a.archived_reason, a.archived_request_id FROM application_status a "
        # One look at an index for each archived one: OFFSET 0 keeps the planner from reading all credentials instead.
        "CROSS JOIN LATERAL (SELECT credential_id, changed_at, revoked_at FROM credential_status s "
        "WHERE s.application_id = a.application_id AND coalesce(s.revoked_at, 'infinity'::timestamptz) > now() "
        # By our clock it is not revoked yet; by that of whoever revoked it, it may be.
        "OFFSET 0) c WHERE a.archived_at IS NOT NULL "
        "AND coalesce(c.revoked_at, 'infinity'::timestamptz) > c.changed_at LIMIT %s",
        (limit,),
    )
