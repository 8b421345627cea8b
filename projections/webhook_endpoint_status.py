"""Webhook endpoints, as they are read and listed. Inline: whoever registered one finds it at once.

Of its signing secrets only that there are some, and until when: what they are stays sealed in the log.
"""

from typing import Any
from uuid import UUID

from ledger.errors import TooManyWebhookEndpoints
from ledger.store.datastore import LedgerDatastore
from ledger.store.recorder import InlineTable, Row
from ledger.webhook_endpoint import WebhookEndpoint, evolve
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

ENDPOINTS_MAX = 50  # each multiplies what is sent; more receivers than that are for a broker of their own

STATUS = InlineTable(
    "webhook_endpoint_status",
    key=("endpoint_id",),
    columns=(
        "endpoint_id",
        "organisation_id",
        "url",
        "description",
        "event_types",
        "secrets",
        "registered_at",
        "disabled_at",
        "disabled_reason",
        "removed_at",
        "version",
    ),
)


def rows_of(endpoint: WebhookEndpoint) -> dict[InlineTable, list[Row]]:
    """The row that stands for an endpoint as it is."""
    return {STATUS: [status_row(endpoint)]}


def status_row(endpoint: WebhookEndpoint) -> Row:
    """An endpoint as it is read."""
    return {
        "endpoint_id": endpoint.id,
        "organisation_id": endpoint.organisation_id,
        "url": endpoint.url,
        "description": endpoint.description,
        "event_types": endpoint.event_types,
        "secrets": [
            {"version": s.version, "created_at": s.created_at, "expires_at": s.expires_at} for s in endpoint.secrets
        ],
        "registered_at": endpoint.registered_at,
        "disabled_at": endpoint.disabled_at,
        "disabled_reason": endpoint.disabled_reason,
        "removed_at": endpoint.removed_at,
        "version": endpoint.version,
    }


VIEW: StateView[WebhookEndpoint] = StateView(
    name="webhook_endpoint_status",
    aggregate="webhook_endpoint",
    inline=True,
    evolve=evolve,
    tables=(STATUS,),
    rows_of=rows_of,
    handles=OF_WEBHOOK_ENDPOINTS,
    ignores=(
        *OF_ORGANISATIONS,
        *OF_CATALOGUES,
        *OF_OPERATORS,
        *OF_ACCOUNTS,
        *OF_APPLICATIONS,
        *OF_CREDENTIALS,
        *OF_BULK_REVOCATIONS,
        *OF_SIGNING_KEYS,
        *OF_EXPORTS,
        *OF_SEALED_LOG,
    ),
)


def find_webhook_endpoint(store: LedgerDatastore, organisation_id: UUID, endpoint_id: UUID) -> dict[str, Any] | None:
    """One endpoint's row, removed or not; None where the organisation has no such one."""
    return store.row(
        "SELECT * FROM webhook_endpoint_status WHERE endpoint_id = %s AND organisation_id = %s",
        (endpoint_id, organisation_id),
    )


def list_webhook_endpoints(
    store: LedgerDatastore, organisation_id: UUID, after: UUID | None, limit: int
) -> list[dict[str, Any]]:
    """An organisation's endpoints after an id, in the order in which they were registered; without removed ones."""
    return store.rows(
        "SELECT * FROM webhook_endpoint_status WHERE organisation_id = %(organisation)s AND removed_at IS NULL "
        "AND (%(after)s::uuid IS NULL OR endpoint_id > %(after)s) ORDER BY endpoint_id LIMIT %(limit)s",
        {"organisation": organisation_id, "after": after, "limit": limit},
    )


def refuse_too_many(store: LedgerDatastore, organisation_id: UUID) -> None:
    """Raises `TooManyWebhookEndpoints` where an organisation has as many as it may.

    Of two registered at the same moment both may find room: nothing depends on the exact number.
    """
    if len(list_webhook_endpoints(store, organisation_id, None, ENDPOINTS_MAX)) >= ENDPOINTS_MAX:
        raise TooManyWebhookEndpoints(f"the organisation has {ENDPOINTS_MAX} webhook endpoints: remove one first")
