"""Commands on webhook endpoints, from what a body or a form asked: the same for the API and for the console.

A body has been through its schema of `api/schemas/webhooks.py`; a row is an endpoint as `find_webhook_endpoint` reads
it. Each comes with the signing secret to give away, where there is one. `expected_version` is the version to decide on,
None for whichever it is at.
"""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from api import documents
from api.incoming import context, now, services
from ledger.commands import Command
from ledger.errors import NotFound, WebhookEndpointRemoved
from ledger.webhook_endpoint import WebhookEndpoint, refuse_to_test
from ledger.webhooks import describe_webhook_endpoint, issue_webhook_endpoint, issue_webhook_secret
from projections import webhook_delivery
from projections.webhook_endpoint_status import refuse_too_many, status_row

Body = Mapping[str, Any]
Row = Mapping[str, Any]


def represent(state: WebhookEndpoint) -> documents.Document:
    """The endpoint that a command left."""
    return documents.webhook_endpoint(status_row(state))


def register(organisation_id: UUID, body: Body) -> tuple[Command, str]:
    """A new endpoint, as `WebhookEndpointIn` describes it."""
    refuse_too_many(services().store, organisation_id)
    return issue_webhook_endpoint(
        context(body.get("reason")),
        organisation_id,
        services().settings.webhook_private_addresses,
        url=body["url"],
        description=body.get("description"),
        event_types=body.get("event_types", ()),
    )


def describe(row: Row, body: Body, expected_version: int | None) -> tuple[Command, None]:
    """Another URL, description or choice of messages, as `WebhookEndpointDescriptionIn` says."""
    return describe_webhook_endpoint(
        context(body.get("reason")),
        row["endpoint_id"],
        services().settings.webhook_private_addresses,
        url=body.get("url"),
        description=(body["description"] or "") if "description" in body else None,
        event_types=body.get("event_types"),
        expected_version=expected_version,
    ), None


def rotate_secret(row: Row, body: Body, expected_version: int | None) -> tuple[Command, str]:
    """Its next signing secret, as `SigningSecretRotationIn` describes it."""
    return issue_webhook_secret(
        context(body.get("reason")),
        row["endpoint_id"],
        overlap=timedelta(seconds=body["overlap_seconds"]),
        expected_version=expected_version,
    )


def simple(command: Callable[..., Command], row: Row, body: Body, expected_version: int | None) -> tuple[Command, None]:
    """A command that says nothing but which endpoint, and why."""
    return command(
        context=context(body.get("reason")), expected_version=expected_version, endpoint_id=row["endpoint_id"]
    ), None


def test(row: Row, *, key: str | None) -> UUID:
    """Have a message sent that tries the endpoint, once for each `key` unless it is None; returns its delivery's id.

    Raises `WebhookEndpointRemoved` and `WebhookEndpointDisabled`.
    """
    refuse_to_test(removed_at=row["removed_at"], disabled_at=row["disabled_at"])
    return webhook_delivery.queue_test(services().store, row["organisation_id"], row["endpoint_id"], now(), key)


def replay(row: Row, delivery_id: UUID, attempts: int | None = None) -> bool:
    """Have a message sent again. False where that was done already, by the `attempts` that whoever asks has seen.

    Raises `WebhookEndpointRemoved`, and `NotFound` for a delivery that is not there.
    """
    if row["removed_at"] is not None:
        raise WebhookEndpointRemoved("the webhook endpoint was removed: register another")
    replayed = webhook_delivery.replay(services().store, row["endpoint_id"], delivery_id, attempts)
    if not replayed and webhook_delivery.find_delivery(services().store, row["endpoint_id"], delivery_id) is None:
        raise NotFound("delivery")
    return replayed
