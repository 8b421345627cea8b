"""History: what happened to a credential, an account or an application, and everything in an organisation."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from flask import Response
from flask_smorest import Blueprint

from api import documents, outgoing, past
from api.accounts import existing as existing_account
from api.applications import existing as existing_application
from api.auditing import shows
from api.auth import READS_HISTORY, allow, authenticate
from api.commanding import reach_position
from api.credentials import existing
from api.incoming import StrictParser, services
from api.organisations import existing as existing_organisation
from api.schemas.history import (
    ActivityPage,
    ActivityQuery,
    DifferenceOut,
    DifferenceQuery,
    HistoryPage,
    HistoryQuery,
)
from api.webhooks import existing as existing_endpoint
from ledger.values import Name, parse_address, utc
from projections.activity import VIEW, ActivityFilters, list_activity
from projections.readings import Shown

blueprint = Blueprint(
    "History",
    __name__,
    url_prefix="/v1/organisations/<uuid:organisation_id>",
    description="What happened, step by step: who did it, when, why, through what and from where.",
)
blueprint.ARGUMENTS_PARSER = StrictParser()
blueprint.before_request(authenticate)

Existing = Callable[..., dict[str, Any]]
"""Looks for an organisation's thing; 404 where there is none."""


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
    existing(organisation_id, credential_id)
    return past.history(query, organisation_id, credential_id, "credential")


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
    return past.history(query, organisation_id, account_id, "account")


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
    return past.history(query, organisation_id, application_id, "application")


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
    return past.history(query, organisation_id, endpoint_id, "webhook_endpoint")


def _differing(path: str, parameter: str, kind: str, existing: Existing) -> None:
    """The difference between two moments of one kind of thing."""
    name = kind.replace("_", " ")

    @blueprint.doc(
        operationId="compare" + kind.title().replace("_", ""),
        summary=f"Tell what changed of {'an' if name[0] in 'aeo' else 'a'} {name} between two moments.",
        description="Each moment is a version or a time. The fields that differ, before and after, and the events "
        "between. Status and due dates are as they read at each moment.",
    )
    @blueprint.arguments(DifferenceQuery(), location="query")
    @blueprint.response(200, DifferenceOut)
    def view(query: dict[str, Any], organisation_id: UUID, **thing: UUID) -> Response:
        allow(READS_HISTORY, organisation_id)
        existing(organisation_id, *thing.values())
        return past.difference(query, organisation_id, thing.get(parameter, organisation_id), kind)

    blueprint.add_url_rule(f"{path}/difference", f"compare_{kind}", view)


_differing("/credentials/<uuid:credential_id>", "credential_id", "credential", existing)
_differing("/accounts/<uuid:account_id>", "account_id", "account", existing_account)
_differing("/applications/<uuid:application_id>", "application_id", "application", existing_application)
_differing("/webhooks/<uuid:endpoint_id>", "endpoint_id", "webhook_endpoint", existing_endpoint)
_differing("", "organisation_id", "organisation", existing_organisation)


def activity_filters(query: dict[str, Any]) -> ActivityFilters:
    """The query in the domain's values."""
    return ActivityFilters(
        aggregate_id=query.get("aggregate_id"),
        actor=Name(query["actor"], "actor") if "actor" in query else None,
        topic=query.get("topic"),
        address=str(parse_address(query["address"], "address")) if "address" in query else None,
        since=utc(query["since"], "since") if "since" in query else None,
        until=utc(query["until"], "until") if "until" in query else None,
    )


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
    filters = activity_filters(query)
    reach_position(VIEW.name)
    shows(Shown.ACTIVITY)
    found = list_activity(services().store, organisation_id, filters, cursor=query.get("cursor"), limit=query["limit"])
    return outgoing.page(map(documents.activity, found.rows), found.cursor)
