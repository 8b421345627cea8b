"""`keyledger webhook`: where the events of an organisation's credentials are sent to, and what was delivered."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import click

from api import documents
from api.cli import options
from api.cli.output import print_facts, print_json, print_secret, print_table, tell
from api.cli.session import Session, open_ledger
from api.telling import moment
from ledger.commands import Command, DisableWebhookEndpoint, EnableWebhookEndpoint, RemoveWebhookEndpoint
from ledger.errors import NotFound, WebhookEndpointRemoved
from ledger.service import ORGANISATION, WEBHOOK_ENDPOINT
from ledger.webhook_endpoint import WebhookEndpoint, refuse_to_test
from ledger.webhooks import EVENT_TYPES, describe_webhook_endpoint, issue_webhook_endpoint, issue_webhook_secret
from projections.pages import LIMIT_MAX
from projections.webhook_delivery import STATUSES, find_delivery, list_deliveries, queue_test, replay
from projections.webhook_endpoint_status import list_webhook_endpoints, refuse_too_many, status_row

PAGE_ROWS = 500  # a round trip each

_ENDPOINT = click.argument("endpoint_id", type=click.UUID, metavar="ENDPOINT")
_DELIVERY = click.argument("delivery_id", type=click.UUID, metavar="DELIVERY")
_TYPES = click.option(
    "--type", "event_types", type=click.Choice(EVENT_TYPES), multiple=True, help="Only these; may be given repeatedly."
)


@click.group()
def webhook() -> None:
    """Register, list, change, disable and remove webhook endpoints, and look into what was delivered."""


@webhook.command()
@click.option("--organisation", type=click.UUID, required=True, help="Whose credentials' events.")
@click.option("--url", required=True, help="Where messages are posted to.")
@click.option("--description", help="What it is for.")
@_TYPES
@options.reason
@options.as_json
def register(
    organisation: UUID, url: str, description: str | None, event_types: Sequence[str], reason: str, json: bool
) -> None:
    """Register an endpoint and print the secret that its messages are signed with, this once."""
    with open_ledger() as session:
        refuse_too_many(session.services.store, organisation)
        command, secret = issue_webhook_endpoint(
            session.context(reason),
            organisation,
            session.services.settings.webhook_private_addresses,
            url=url,
            description=description,
            event_types=event_types,
        )
        receipt = session.services.ledger.handle(command)
    if json:
        print_json({**_document(receipt.state), "secret": secret})
        return
    tell(f"Registered webhook endpoint {receipt.id}.")
    print_secret(secret, "signing secret")


@webhook.command("list")
@click.option("--organisation", type=click.UUID, required=True, help="Whose.")
@options.as_json
def list_(organisation: UUID, json: bool) -> None:
    """List an organisation's endpoints, in the order in which they were registered, without removed ones."""
    with open_ledger() as session:
        session.services.ledger.load(ORGANISATION, organisation)  # an empty list of no organisation would mislead
        found, after = list[documents.Document](), None
        while rows := list_webhook_endpoints(session.services.store, organisation, after, PAGE_ROWS):
            found += map(documents.webhook_endpoint, rows)
            after = rows[-1]["endpoint_id"]
    if json:
        print_json({"data": found})
        return
    print_table(
        ("id", "url", "status", "types", "description"),
        [(e["id"], e["url"], e["status"], e["event_types"] or "all", e["description"]) for e in found],
    )


@webhook.command()
@_ENDPOINT
@options.as_json
def show(endpoint_id: UUID, json: bool) -> None:
    """Show one endpoint."""
    with open_ledger() as session:
        found = _document(_endpoint(session, endpoint_id))
    if json:
        print_json(found)
    else:
        print_facts(endpoint_facts(found))


@webhook.command()
@_ENDPOINT
@click.option("--url")
@click.option("--description", help="Empty to clear it.")
@_TYPES
@click.option("--all-types", is_flag=True, help="Send it every type.")
@options.reason
@options.expected_version
@options.as_json
def describe(
    endpoint_id: UUID,
    url: str | None,
    description: str | None,
    event_types: Sequence[str],
    all_types: bool,
    reason: str,
    expected_version: int | None,
    json: bool,
) -> None:
    """Change an endpoint's URL, its description or what it is sent. What is left out stays."""
    if all_types and event_types:
        raise click.UsageError("--type and --all-types exclude each other")
    _carry_out(
        endpoint_id,
        "Described.",
        json,
        lambda session: describe_webhook_endpoint(
            session.context(reason),
            endpoint_id,
            session.services.settings.webhook_private_addresses,
            url=url,
            description=description,
            event_types=event_types if event_types or all_types else None,
            expected_version=expected_version,
        ),
    )


@webhook.command()
@_ENDPOINT
@options.reason
@options.as_json
def disable(endpoint_id: UUID, reason: str, json: bool) -> None:
    """Send nothing more to an endpoint until it is enabled."""
    _carry_out(
        endpoint_id,
        "Disabled: nothing is sent to it.",
        json,
        lambda session: DisableWebhookEndpoint(context=session.context(reason), endpoint_id=endpoint_id),
    )


@webhook.command()
@_ENDPOINT
@options.reason
@options.as_json
def enable(endpoint_id: UUID, reason: str, json: bool) -> None:
    """Send to an endpoint again: what was left, and what happens from now on."""
    _carry_out(
        endpoint_id,
        "Enabled.",
        json,
        lambda session: EnableWebhookEndpoint(context=session.context(reason), endpoint_id=endpoint_id),
    )


@webhook.command("rotate-secret")
@_ENDPOINT
@options.overlap
@options.reason
@options.expected_version
@options.as_json
def rotate_secret(endpoint_id: UUID, overlap: timedelta, reason: str, expected_version: int | None, json: bool) -> None:
    """Give an endpoint a new signing secret and print it, this once."""
    with open_ledger() as session:
        command, secret = issue_webhook_secret(
            session.context(reason), endpoint_id, overlap=overlap, expected_version=expected_version
        )
        receipt = session.services.ledger.handle(command)
    if json:
        print_json({**_document(receipt.state), "secret": secret})
        return
    tell(f"Rotated the signing secret of webhook endpoint {receipt.id} (version {receipt.version}).")
    print_secret(secret, "new signing secret")


@webhook.command()
@_ENDPOINT
@options.reason
@options.as_json
def remove(endpoint_id: UUID, reason: str, json: bool) -> None:
    """Remove an endpoint, for good, and destroy its signing secret."""
    _carry_out(
        endpoint_id,
        "Removed.",
        json,
        lambda session: RemoveWebhookEndpoint(context=session.context(reason), endpoint_id=endpoint_id),
    )


@webhook.command()
@_ENDPOINT
@click.option("--status", type=click.Choice(list(STATUSES)), help="Only these.")
@click.option("--limit", type=click.IntRange(1, LIMIT_MAX), default=50, show_default=True, help="At most so many.")
@options.as_json
def deliveries(endpoint_id: UUID, status: str | None, limit: int, json: bool) -> None:
    """List what was queued for an endpoint, newest first, with what came of each last attempt."""
    with open_ledger() as session:
        _endpoint(session, endpoint_id)
        page = list_deliveries(session.services.store, endpoint_id, status, limit=limit)
    found = [documents.webhook_delivery(row) for row in page.rows]
    if json:
        print_json({"data": found, "pagination": {"has_more": page.cursor is not None}})
        return
    print_table(
        ("id", "type", "credential", "status", "attempts", "last answer", "queued", "next attempt"),
        [
            (
                d["id"],
                d["type"],
                d["credential_id"],
                d["status"],
                d["attempts"],
                d["last_status"] or d["last_error"],
                d["queued_at"],
                d["next_attempt_at"],
            )
            for d in found
        ],
    )
    if page.cursor is not None:
        tell(f"These are the newest {limit}; there are more (--limit).")


@webhook.command()
@_ENDPOINT
@_DELIVERY
@options.as_json
def delivery(endpoint_id: UUID, delivery_id: UUID, json: bool) -> None:
    """Show one delivery: the message, and every attempt to send it."""
    with open_ledger() as session:
        found = _delivery(session, endpoint_id, delivery_id)
    if json:
        print_json(found)
        return
    print_facts(_delivery_facts(found))


@webhook.command("test")
@_ENDPOINT
@options.as_json
def test_(endpoint_id: UUID, json: bool) -> None:
    """Send a message to try an endpoint with: once, without retries."""
    with open_ledger() as session:
        endpoint = _endpoint(session, endpoint_id)
        refuse_to_test(removed_at=endpoint.removed_at, disabled_at=endpoint.disabled_at)
        delivery_id = queue_test(session.services.store, endpoint.organisation_id, endpoint_id, datetime.now(UTC))
        found = _delivery(session, endpoint_id, delivery_id)
    if json:
        print_json(found)
    else:
        click.echo(f"Delivery {delivery_id}: to be sent.")


@webhook.command("replay")
@_ENDPOINT
@_DELIVERY
@options.as_json
def replay_(endpoint_id: UUID, delivery_id: UUID, json: bool) -> None:
    """Send a message again, whatever came of it before."""
    with open_ledger() as session:
        if _endpoint(session, endpoint_id).removed_at is not None:
            raise WebhookEndpointRemoved("the webhook endpoint was removed: register another")
        replay(session.services.store, endpoint_id, delivery_id)
        found = _delivery(session, endpoint_id, delivery_id)
    if json:
        print_json(found)
    else:
        click.echo(f"Delivery {delivery_id}: to be sent again.")


def endpoint_facts(found: documents.Document) -> list[tuple[str, object]]:
    """An endpoint as people read it, from its document."""
    return [
        ("id", found["id"]),
        ("organisation", found["organisation_id"]),
        ("url", found["url"]),
        ("description", found["description"]),
        ("types", found["event_types"] or "all"),
        ("status", found["status"]),
        ("registered", found["registered_at"]),
        ("disabled", found["disabled_at"]),
        ("disabled because", found["disabled_reason"]),
        ("removed", found["removed_at"]),
        ("signing secrets", [f"version {secret['version']}" for secret in found["signing_secrets"]]),
        ("version", found["version"]),
    ]


def _delivery_facts(found: documents.Document) -> list[tuple[str, object]]:
    return [
        ("id", found["id"]),
        ("type", found["type"]),
        ("credential", found["credential_id"]),
        ("message id", found["message_id"]),
        ("status", found["status"]),
        ("queued", found["queued_at"]),
        ("next attempt", found["next_attempt_at"]),
        *(
            (
                f"attempt {one['attempt']}",
                f"{moment(one['at'])}: {one['status'] or one['error']}, {one['milliseconds']} ms",
            )
            for one in found["log"]
        ),
        ("body", found["body"]),
    ]


def _carry_out(endpoint_id: UUID, said: str, json: bool, make: Callable[[Session], Command]) -> None:
    with open_ledger() as session:
        receipt = session.services.ledger.handle(make(session))
    if json:
        print_json(_document(receipt.state))
    else:
        click.echo(f"Webhook endpoint {endpoint_id}: {said} (version {receipt.version})")


def _endpoint(session: Session, endpoint_id: UUID) -> WebhookEndpoint:
    found: WebhookEndpoint = session.services.ledger.load(WEBHOOK_ENDPOINT, endpoint_id)
    return found


def _delivery(session: Session, endpoint_id: UUID, delivery_id: UUID) -> documents.Document:
    row = find_delivery(session.services.store, endpoint_id, delivery_id)
    if row is None:
        raise NotFound("delivery")
    return documents.webhook_delivery_log(row)


def _document(state: WebhookEndpoint) -> documents.Document:
    return documents.webhook_endpoint(status_row(state))
