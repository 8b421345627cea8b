"""History: what happened to a credential, an account or an application, and everything in an organisation."""

from typing import Any
from uuid import UUID

from flask import Response
from flask_smorest import Blueprint

from api import documents, outgoing
from api.accounts import existing as existing_account
from api.applications import existing as existing_application
from api.auth import READS_HISTORY, allow, authenticate, sees_hints
from api.commanding import reach_position
from api.credentials import existing
from api.incoming import StrictParser, services
from api.organisations import existing as existing_organisation
from api.schemas.history import ActivityPage, ActivityQuery, HistoryPage, HistoryQuery
from api.webhooks import existing as existing_endpoint
from ledger.values import Name, parse_address, utc
from projections.activity import VIEW, ActivityFilters, list_activity
from projections.history import history_of
from projections.pages import decode_cursor, encode_cursor

blueprint = Blueprint(
    "History",
    __name__,
    url_prefix="/v1/organisations/<uuid:organisation_id>",
    description="What happened, step by step: who did it, when, why, through what and from where.",
)
blueprint.ARGUMENTS_PARSER = StrictParser()
blueprint.before_request(authenticate)


@blueprint.route("/credentials/<uuid:credential_id>/events")
@blueprint.doc(operationId="listCredentialEvents")
@blueprint.arguments(HistoryQuery(), location="query")
@blueprint.response(200, HistoryPage)
def credential_events(query: dict[str, Any], organisation_id: UUID, credential_id: UUID) -> Response:
    """List what happened to a credential.

    Oldest first, read from the log itself, so it ends with the newest event. Personal values are empty once the
    credential's personal data was destroyed; what verifies a secret is never shown.
    """
    allow(READS_HISTORY, organisation_id)
    row = existing(organisation_id, credential_id)
    return _page_of_history(query, organisation_id, credential_id, hints=sees_hints(row["mode"]))


@blueprint.route("/accounts/<uuid:account_id>/events")
@blueprint.doc(operationId="listAccountEvents")
@blueprint.arguments(HistoryQuery(), location="query")
@blueprint.response(200, HistoryPage)
def account_events(query: dict[str, Any], organisation_id: UUID, account_id: UUID) -> Response:
    """List what happened to an account.

    Oldest first, read from the log itself, so it ends with the newest event.
    """
    allow(READS_HISTORY, organisation_id)
    existing_account(organisation_id, account_id)
    return _page_of_history(query, organisation_id, account_id)


@blueprint.route("/applications/<uuid:application_id>/events")
@blueprint.doc(operationId="listApplicationEvents")
@blueprint.arguments(HistoryQuery(), location="query")
@blueprint.response(200, HistoryPage)
def application_events(query: dict[str, Any], organisation_id: UUID, application_id: UUID) -> Response:
    """List what happened to an application.

    Oldest first, read from the log itself, so it ends with the newest event.
    """
    allow(READS_HISTORY, organisation_id)
    existing_application(organisation_id, application_id)
    return _page_of_history(query, organisation_id, application_id)


@blueprint.route("/webhooks/<uuid:endpoint_id>/events")
@blueprint.doc(operationId="listWebhookEndpointEvents")
@blueprint.arguments(HistoryQuery(), location="query")
@blueprint.response(200, HistoryPage)
def webhook_endpoint_events(query: dict[str, Any], organisation_id: UUID, endpoint_id: UUID) -> Response:
    """List what happened to a webhook endpoint.

    Oldest first, read from the log itself, so it ends with the newest event. What was sent to it is in its deliveries.
    """
    allow(READS_HISTORY, organisation_id)
    existing_endpoint(organisation_id, endpoint_id)
    return _page_of_history(query, organisation_id, endpoint_id)


def _page_of_history(
    query: dict[str, Any], organisation_id: UUID, aggregate_id: UUID, *, hints: bool = True
) -> Response:
    """The part of a thing's history that was asked for."""
    entries = history_of(services().log, organisation_id, aggregate_id, up_to_version=query.get("up_to_version"))
    of = (aggregate_id, query.get("up_to_version"))
    after = decode_cursor(query["cursor"], tuple[int], of)[0] if "cursor" in query else 0
    left = [entry for entry in entries or () if entry.version > after]
    shown = left[: query["limit"]]
    cursor = encode_cursor((shown[-1].version,), of) if len(left) > len(shown) else None
    return outgoing.page((documents.entry(one, hints=hints) for one in shown), cursor)


@blueprint.route("/events")
@blueprint.doc(operationId="listEvents", parameters=["Keyledger-At-Least"])
@blueprint.arguments(ActivityQuery(), location="query")
@blueprint.response(200, ActivityPage)
def events(query: dict[str, Any], organisation_id: UUID) -> Response:
    """List what happened in an organisation.

    Newest first. The list may be milliseconds behind: send `Keyledger-At-Least` to be sure of your own write. It holds
    nothing personal: a credential's own events have that, while it exists.
    """
    allow(READS_HISTORY, organisation_id)
    existing_organisation(organisation_id)
    filters = ActivityFilters(
        aggregate_id=query.get("aggregate_id"),
        actor=Name(query["actor"], "actor") if "actor" in query else None,
        topic=query.get("topic"),
        address=str(parse_address(query["address"], "address")) if "address" in query else None,
        since=utc(query["since"], "since") if "since" in query else None,
        until=utc(query["until"], "until") if "until" in query else None,
    )
    reach_position(VIEW.name)
    found = list_activity(services().store, organisation_id, filters, cursor=query.get("cursor"), limit=query["limit"])
    return outgoing.page(map(documents.activity, found.rows), found.cursor)
