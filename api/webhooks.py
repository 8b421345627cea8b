"""Webhook endpoints: registered, described, disabled, removed; and what was delivered to them."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from flask import Response
from flask.views import MethodView
from flask_smorest import Blueprint

from api import documents, outgoing, past, webhook_commands
from api.auth import MANAGES_WEBHOOKS, READS_CREDENTIALS, READS_HISTORY, allow, authenticate
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
from api.incoming import StrictParser, services
from api.organisations import existing as existing_organisation
from api.schemas import AsOfQuery, PageQuery, Why
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
from api.webhook_commands import represent
from ledger.commands import Command, DisableWebhookEndpoint, EnableWebhookEndpoint, RemoveWebhookEndpoint
from ledger.errors import NotFound
from projections.pages import decode_cursor, encode_cursor
from projections.webhook_delivery import find_delivery, list_deliveries
from projections.webhook_endpoint_status import (
    find_webhook_endpoint,
    list_webhook_endpoints,
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
        return carry_out(
            lambda: webhook_commands.register(organisation_id, body),
            represent,
            status=201,
            location=lambda s: f"/v1/organisations/{organisation_id}/webhooks/{s.id}",
        )


@blueprint.route("/<uuid:endpoint_id>")
class WebhookEndpoint(MethodView):
    """One of them."""

    @blueprint.doc(operationId="getWebhookEndpoint")
    @blueprint.arguments(AsOfQuery(), location="query")
    @blueprint.response(200, WebhookEndpointOut, headers=READ)
    def get(self, query: Body, organisation_id: UUID, endpoint_id: UUID) -> Response:
        """Read a webhook endpoint.

        Also one that was removed. Or as it was at a time or a version, which takes a role that reads history; the past
        has no `ETag`.
        """
        if query:
            allow(READS_HISTORY, organisation_id)
            existing(organisation_id, endpoint_id)
            return past.as_it_was(query, organisation_id, endpoint_id, "webhook_endpoint")
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

        return carry_out(lambda: webhook_commands.describe(row, body, expected_version(row["version"])), represent)

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

        return carry_out(lambda: webhook_commands.rotate_secret(row, body, expected_version(row["version"])), represent)


@blueprint.route("/<uuid:endpoint_id>/test")
class Trial(MethodView):
    """A message that tells of nothing but itself."""

    @blueprint.doc(operationId="testWebhookEndpoint")
    @blueprint.response(200, WebhookDeliveryLogOut)
    def post(self, organisation_id: UUID, endpoint_id: UUID) -> Response:
        """Try a webhook endpoint.

        It is sent a signed message of type `webhook.test`, whichever types it is sent otherwise; once, without retries.
        This is its delivery: read it again to see what came of it. While one waits to be sent, it is the one meant.
        """
        allow(MANAGES_WEBHOOKS, organisation_id)
        return _delivery(endpoint_id, webhook_commands.test(existing(organisation_id, endpoint_id), key=None))


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
        webhook_commands.replay(existing(organisation_id, endpoint_id), delivery_id)
        return _delivery(endpoint_id, delivery_id)


def _carry_out(make_command: Callable[..., Command], body: Body, organisation_id: UUID, endpoint_id: UUID) -> Response:
    """A command that says nothing but which endpoint, and why."""
    allow(MANAGES_WEBHOOKS, organisation_id)
    row = existing(organisation_id, endpoint_id)

    return carry_out(
        lambda: webhook_commands.simple(make_command, row, body, expected_version(row["version"])), represent
    )


def _delivery(endpoint_id: UUID, delivery_id: UUID) -> Response:
    row = find_delivery(services().store, endpoint_id, delivery_id)
    if row is None:
        raise NotFound("delivery")
    return outgoing.answer(documents.webhook_delivery_log(row))
