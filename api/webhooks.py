"""Webhook endpoints: registered, described, disabled, removed; and what was delivered to them."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

from flask import Response
from flask.views import MethodView
from flask_smorest import Blueprint

from api import documents, outgoing
from api.auth import MANAGES_WEBHOOKS, READS_CREDENTIALS, allow, authenticate
from api.commanding import (
    BEGINNING,
    COMMAND,
    COMMAND_ON_A_VERSION,
    CREATED,
    READ,
    WRITTEN,
    carry_out,
    expected_version,
)
from api.incoming import StrictParser, context, services
from api.organisations import existing as existing_organisation
from api.schemas import PageQuery, Why
from api.schemas.webhooks import (
    REGISTERING,
    ROTATING,
    DeliveryQuery,
    SigningSecretRotationIn,
    WebhookDeliveryLogOut,
    WebhookDeliveryPage,
    WebhookEndpointDescriptionIn,
    WebhookEndpointIn,
    WebhookEndpointOut,
    WebhookEndpointPage,
)
from ledger.commands import Command, DisableWebhookEndpoint, EnableWebhookEndpoint, RemoveWebhookEndpoint
from ledger.errors import NotFound, WebhookEndpointRemoved
from ledger.webhook_endpoint import WebhookEndpoint as WebhookEndpointState
from ledger.webhooks import describe_webhook_endpoint, issue_webhook_endpoint, issue_webhook_secret
from projections.pages import decode_cursor, encode_cursor
from projections.webhook_delivery import find_delivery, list_deliveries, replay
from projections.webhook_endpoint_status import (
    find_webhook_endpoint,
    list_webhook_endpoints,
    refuse_too_many,
    status_row,
)

blueprint = Blueprint(
    "Webhooks",
    __name__,
    url_prefix="/v1/organisations/<uuid:organisation_id>/webhooks",
    description="Where the events of an organisation's credentials are sent to, signed, and what was delivered.",
)
blueprint.ARGUMENTS_PARSER = StrictParser()
blueprint.before_request(authenticate)

Body = dict[str, Any]


def existing(organisation_id: UUID, endpoint_id: UUID) -> Body:
    """The endpoint's row, removed or not; 404 where this organisation has no such one."""
    row = find_webhook_endpoint(services().store, organisation_id, endpoint_id)
    if row is None:
        raise NotFound("webhook endpoint")
    return row


def represent(state: WebhookEndpointState) -> Body:
    """The endpoint that a command left."""
    return documents.webhook_endpoint(status_row(state))


@blueprint.route("")
class WebhookEndpoints(MethodView):
    """An organisation's endpoints."""

    @blueprint.doc(operationId="listWebhookEndpoints")
    @blueprint.arguments(PageQuery(), location="query")
    @blueprint.response(200, WebhookEndpointPage)
    def get(self, query: Body, organisation_id: UUID) -> Response:
        """List an organisation's webhook endpoints.

        In the order in which they were registered, without removed ones. The list holds your own write at once.
        """
        allow(READS_CREDENTIALS, organisation_id)
        existing_organisation(organisation_id)
        of = ("webhooks", organisation_id)
        after = decode_cursor(query["cursor"], UUID, of) if "cursor" in query else None
        rows = list_webhook_endpoints(services().store, organisation_id, after, query["limit"] + 1)
        shown = rows[: query["limit"]]
        cursor = encode_cursor(shown[-1]["endpoint_id"], of) if len(rows) > len(shown) else None
        return outgoing.page(map(documents.webhook_endpoint, shown), cursor)

    @blueprint.doc(operationId="registerWebhookEndpoint", **BEGINNING)
    @blueprint.arguments(WebhookEndpointIn(), examples=REGISTERING)
    @blueprint.response(201, WebhookEndpointOut, headers=CREATED)
    def post(self, body: Body, organisation_id: UUID) -> Response:
        """Register a webhook endpoint.

        It is sent what happens from now on. `secret` is what its messages are signed with, in this answer and never
        again: its receiver checks signatures with it.
        """
        allow(MANAGES_WEBHOOKS, organisation_id)

        def make() -> tuple[Command, str]:
            refuse_too_many(services().store, organisation_id)
            return issue_webhook_endpoint(
                context(body.get("reason")),
                organisation_id,
                services().settings.webhook_private_addresses,
                url=body["url"],
                description=body.get("description"),
                event_types=body.get("event_types", ()),
            )

        return carry_out(
            make, represent, status=201, location=lambda s: f"/v1/organisations/{organisation_id}/webhooks/{s.id}"
        )


@blueprint.route("/<uuid:endpoint_id>")
class WebhookEndpoint(MethodView):
    """One of them."""

    @blueprint.doc(operationId="getWebhookEndpoint")
    @blueprint.response(200, WebhookEndpointOut, headers=READ)
    def get(self, organisation_id: UUID, endpoint_id: UUID) -> Response:
        """Read a webhook endpoint.

        Also one that was removed.
        """
        allow(READS_CREDENTIALS, organisation_id)
        row = existing(organisation_id, endpoint_id)
        return outgoing.answer(documents.webhook_endpoint(row), headers={"ETag": outgoing.etag(row["version"])})

    @blueprint.doc(operationId="describeWebhookEndpoint", **COMMAND_ON_A_VERSION)
    @blueprint.arguments(WebhookEndpointDescriptionIn())
    @blueprint.response(200, WebhookEndpointOut, headers=WRITTEN)
    def patch(self, body: Body, organisation_id: UUID, endpoint_id: UUID) -> Response:
        """Change a webhook endpoint.

        Its URL, its description or what it is sent; what is left out stays. What is left to send goes to the new URL.
        If-Match must name the version that was read.
        """
        allow(MANAGES_WEBHOOKS, organisation_id)
        row = existing(organisation_id, endpoint_id)

        def make() -> tuple[Command, None]:
            return describe_webhook_endpoint(
                context(body.get("reason")),
                endpoint_id,
                services().settings.webhook_private_addresses,
                url=body.get("url"),
                description=(body["description"] or "") if "description" in body else None,
                event_types=body.get("event_types"),
                expected_version=expected_version(row["version"]),
            ), None

        return carry_out(make, represent)

    @blueprint.doc(operationId="removeWebhookEndpoint", **COMMAND)
    @blueprint.arguments(Why(), required=False)
    @blueprint.response(200, WebhookEndpointOut, headers=WRITTEN)
    def delete(self, body: Body, organisation_id: UUID, endpoint_id: UUID) -> Response:
        """Remove a webhook endpoint, for good.

        Nothing more is sent to it, what was left included, and its signing secret is destroyed.
        """
        return _carry_out(RemoveWebhookEndpoint, body, organisation_id, endpoint_id)


@blueprint.route("/<uuid:endpoint_id>/disable")
class Disabling(MethodView):
    """A pause."""

    @blueprint.doc(operationId="disableWebhookEndpoint", **COMMAND)
    @blueprint.arguments(Why(), required=False)
    @blueprint.response(200, WebhookEndpointOut, headers=WRITTEN)
    def post(self, body: Body, organisation_id: UUID, endpoint_id: UUID) -> Response:
        """Disable a webhook endpoint.

        Nothing more is sent to it until it is enabled. What happens meanwhile is not queued for it.
        """
        return _carry_out(DisableWebhookEndpoint, body, organisation_id, endpoint_id)


@blueprint.route("/<uuid:endpoint_id>/enable")
class Enabling(MethodView):
    """A pause's end."""

    @blueprint.doc(operationId="enableWebhookEndpoint", **COMMAND)
    @blueprint.arguments(Why(), required=False)
    @blueprint.response(200, WebhookEndpointOut, headers=WRITTEN)
    def post(self, body: Body, organisation_id: UUID, endpoint_id: UUID) -> Response:
        """Enable a webhook endpoint.

        It is sent what was left when it was disabled, and what happens from now on.
        """
        return _carry_out(EnableWebhookEndpoint, body, organisation_id, endpoint_id)


@blueprint.route("/<uuid:endpoint_id>/rotate-secret")
class SigningSecret(MethodView):
    """What messages are signed with."""

    @blueprint.doc(operationId="rotateWebhookEndpointSecret", **COMMAND)
    @blueprint.arguments(SigningSecretRotationIn(), required=False, examples=ROTATING)
    @blueprint.response(200, WebhookEndpointOut, headers=WRITTEN)
    def post(self, body: Body, organisation_id: UUID, endpoint_id: UUID) -> Response:
        """Rotate a webhook endpoint's signing secret.

        The new one is `secret` in this answer and never again. For the overlap each message carries a signature of
        both, so that its receiver can change over at any time.
        """
        allow(MANAGES_WEBHOOKS, organisation_id)
        row = existing(organisation_id, endpoint_id)

        def make() -> tuple[Command, str]:
            return issue_webhook_secret(
                context(body.get("reason")),
                endpoint_id,
                overlap=timedelta(seconds=body["overlap_seconds"]),
                expected_version=expected_version(row["version"]),
            )

        return carry_out(make, represent)


@blueprint.route("/<uuid:endpoint_id>/deliveries")
class Deliveries(MethodView):
    """What was queued for an endpoint."""

    @blueprint.doc(operationId="listWebhookDeliveries")
    @blueprint.arguments(DeliveryQuery(), location="query")
    @blueprint.response(200, WebhookDeliveryPage)
    def get(self, query: Body, organisation_id: UUID, endpoint_id: UUID) -> Response:
        """List a webhook endpoint's deliveries.

        Newest first, each with what came of its last attempt. They are kept for thirty days.
        """
        allow(READS_CREDENTIALS, organisation_id)
        existing(organisation_id, endpoint_id)
        found = list_deliveries(
            services().store, endpoint_id, query.get("status"), cursor=query.get("cursor"), limit=query["limit"]
        )
        return outgoing.page(map(documents.webhook_delivery, found.rows), found.cursor)


@blueprint.route("/<uuid:endpoint_id>/deliveries/<uuid:delivery_id>")
class Delivery(MethodView):
    """One of them."""

    @blueprint.doc(operationId="getWebhookDelivery")
    @blueprint.response(200, WebhookDeliveryLogOut)
    def get(self, organisation_id: UUID, endpoint_id: UUID, delivery_id: UUID) -> Response:
        """Read a delivery.

        With the message and what came of every attempt.
        """
        allow(READS_CREDENTIALS, organisation_id)
        existing(organisation_id, endpoint_id)
        return _delivery(endpoint_id, delivery_id)


@blueprint.route("/<uuid:endpoint_id>/deliveries/<uuid:delivery_id>/replay")
class Replay(MethodView):
    """Once more."""

    @blueprint.doc(operationId="replayWebhookDelivery")
    @blueprint.response(200, WebhookDeliveryLogOut)
    def post(self, organisation_id: UUID, endpoint_id: UUID, delivery_id: UUID) -> Response:
        """Send a message again.

        Whatever came of it before, and with all retries from the beginning; under its own id, so that a receiver who
        had it knows. One that is still to be sent is sent at once.
        """
        allow(MANAGES_WEBHOOKS, organisation_id)
        if existing(organisation_id, endpoint_id)["removed_at"] is not None:
            raise WebhookEndpointRemoved("the webhook endpoint was removed: register another")
        replay(services().store, endpoint_id, delivery_id)
        return _delivery(endpoint_id, delivery_id)


def _carry_out(make_command: Callable[..., Command], body: Body, organisation_id: UUID, endpoint_id: UUID) -> Response:
    """A command that says nothing but which endpoint, and why."""
    allow(MANAGES_WEBHOOKS, organisation_id)
    row = existing(organisation_id, endpoint_id)

    def make() -> tuple[Command, None]:
        return make_command(
            context=context(body.get("reason")),
            expected_version=expected_version(row["version"]),
            endpoint_id=endpoint_id,
        ), None

    return carry_out(make, represent)


def _delivery(endpoint_id: UUID, delivery_id: UUID) -> Response:
    row = find_delivery(services().store, endpoint_id, delivery_id)
    if row is None:
        raise NotFound("delivery")
    return outgoing.answer(documents.webhook_delivery_log(row))
