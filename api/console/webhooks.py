"""Settings > Webhooks: where events are sent to, and what came of sending them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from flask import Blueprint, Response, request, url_for
from marshmallow import ValidationError

from api import documents, webhook_commands
from api.auth import MANAGES_WEBHOOKS, allow
from api.console.credentials import DAY, overlaps
from api.console.forms import Form, attempt, carry_out, forget_secret, show_secret
from api.console.rendering import go_to, render
from api.incoming import services
from api.schemas import Why
from api.schemas.webhooks import (
    DeliveryQuery,
    SigningSecretRotationIn,
    WebhookEndpointDescriptionIn,
    WebhookEndpointIn,
)
from api.webhook_commands import represent
from api.webhooks import existing
from ledger.commands import Command, DisableWebhookEndpoint, EnableWebhookEndpoint, RemoveWebhookEndpoint
from ledger.errors import InvalidValue, NotFound
from ledger.webhooks import EVENT_TYPES
from projections.pages import LIMIT_DEFAULT, Page, decode_cursor, encode_cursor
from projections.webhook_delivery import STATUSES, find_delivery, list_deliveries
from projections.webhook_endpoint_status import list_webhook_endpoints

pages = Blueprint("webhooks", __name__, url_prefix="/organisations/<uuid:organisation_id>/settings/webhooks")

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Simple:
    """A command that takes nothing but the reason why, and how it is asked for."""

    command: Callable[..., Command]
    title: str
    explanation: str
    done: str
    danger: bool = False


SIMPLE: Mapping[str, Simple] = {
    "disable": Simple(
        DisableWebhookEndpoint,
        "Disable endpoint",
        "Nothing more is sent to it until you enable it. What happens meanwhile is not queued for it.",
        "endpoint_disabled",
    ),
    "enable": Simple(
        EnableWebhookEndpoint,
        "Enable endpoint",
        "It is sent what was left when it was disabled, and what happens from now on.",
        "endpoint_enabled",
    ),
    "remove": Simple(
        RemoveWebhookEndpoint,
        "Remove endpoint",
        "For good: nothing more is sent to it, what was left included, and its signing secret is destroyed.",
        "endpoint_removed",
        danger=True,
    ),
}


# --- reading ---------------------------------------------------------------------------------------------------------


@pages.get("")
def listing(organisation_id: UUID) -> str:
    """The organisation's endpoints, in the order in which they were registered."""
    of = ("webhooks", organisation_id)
    cursor = request.args.get("cursor")
    after = decode_cursor(cursor, UUID, of) if cursor else None
    rows = list_webhook_endpoints(services().store, organisation_id, after, LIMIT_DEFAULT + 1)
    shown = rows[:LIMIT_DEFAULT]
    return render(
        "console/webhooks/listing.html",
        endpoints=[documents.webhook_endpoint(row) for row in shown],
        cursor=encode_cursor(shown[-1]["endpoint_id"], of) if len(rows) > len(shown) else None,
    )


@pages.get("/<uuid:endpoint_id>")
def detail(organisation_id: UUID, endpoint_id: UUID) -> Response:
    """One endpoint and its deliveries, newest first."""
    row = existing(organisation_id, endpoint_id)
    form = Form(request.args)
    found, status = Page([], None), 200
    try:
        query = DeliveryQuery().load({n: value for n, value in request.args.items() if value and n != "done"})
        found = list_deliveries(
            services().store, endpoint_id, query.get("status"), cursor=query.get("cursor"), limit=query["limit"]
        )
    except (InvalidValue, ValidationError) as error:
        status = form.refuse(error)
    page = render(
        "console/webhooks/detail.html",
        form=form,
        endpoint=documents.webhook_endpoint(row),
        deliveries=[documents.webhook_delivery(one) for one in found.rows],
        statuses=STATUSES,
        cursor=found.cursor,
    )
    return Response(page, status, mimetype="text/html")


@pages.get("/<uuid:endpoint_id>/deliveries/<uuid:delivery_id>")
def delivery(organisation_id: UUID, endpoint_id: UUID, delivery_id: UUID) -> str:
    """One delivery: its message, and what came of every attempt."""
    endpoint = existing(organisation_id, endpoint_id)
    row = find_delivery(services().store, endpoint_id, delivery_id)
    if row is None:
        raise NotFound("delivery")
    return render(
        "console/webhooks/delivery.html",
        endpoint=documents.webhook_endpoint(endpoint),
        delivery=documents.webhook_delivery_log(row),
    )


# --- changing --------------------------------------------------------------------------------------------------------


@pages.route("/register", methods=["GET", "POST"])
def register(organisation_id: UUID) -> Response | str:
    """A new endpoint, and what its messages are signed with, this once."""
    allow(MANAGES_WEBHOOKS, organisation_id)

    def act(form: Form) -> Response:
        types = form.typed.getlist("event_types")
        body = form.load(WebhookEndpointIn(), ("url", "description", "reason"), event_types=types)
        carried = carry_out(form, lambda: webhook_commands.register(organisation_id, body), represent)
        return _show_signing_secret(carried, form, "endpoint_registered")

    def show(form: Form) -> str:
        return render("console/webhooks/register.html", form=form, event_types=EVENT_TYPES)

    return show(Form()) if request.method == "GET" else attempt(show, act)


def _change(
    organisation_id: UUID,
    endpoint_id: UUID,
    template: str,
    begin: Callable[[Row], Form],
    act: Callable[[Row, Form], Response],
    **values: Any,
) -> Response | str:
    """A form about one endpoint: shown as it begins, or done as it asks."""
    allow(MANAGES_WEBHOOKS, organisation_id)
    row = existing(organisation_id, endpoint_id)

    def show(form: Form) -> str:
        return render(template, form=form, endpoint=documents.webhook_endpoint(row), **values)

    return show(begin(row)) if request.method == "GET" else attempt(show, lambda form: act(row, form))


@pages.route("/<uuid:endpoint_id>/edit", methods=["GET", "POST"])
def edit(organisation_id: UUID, endpoint_id: UUID) -> Response | str:
    """Its URL, its description and what it is sent."""

    def begin(row: Row) -> Form:
        form = Form.with_typed(url=row["url"], description=row["description"])
        form.typed.setlist("event_types", list(row["event_types"]))
        return form

    def act(row: Row, form: Form) -> Response:
        more = {
            "description": form.typed.get("description", ""),
            "event_types": form.typed.getlist("event_types"),
        }
        body = form.load(WebhookEndpointDescriptionIn(), ("url", "reason"), **more)
        carry_out(form, lambda: webhook_commands.describe(row, body, form.version(row["version"])), represent)
        return _to(row, "described")

    template = "console/webhooks/edit.html"
    return _change(organisation_id, endpoint_id, template, begin, act, event_types=EVENT_TYPES)


@pages.route("/<uuid:endpoint_id>/rotate-secret", methods=["GET", "POST"])
def rotate_secret(organisation_id: UUID, endpoint_id: UUID) -> Response | str:
    """Its next signing secret, this once."""

    def act(row: Row, form: Form) -> Response:
        body = form.load(SigningSecretRotationIn(), ("reason",), overlap_seconds=form.number("overlap_seconds"))
        carried = carry_out(form, lambda: webhook_commands.rotate_secret(row, body, None), represent)
        return _show_signing_secret(carried, form, "endpoint_rotated")

    return _change(
        organisation_id,
        endpoint_id,
        "console/webhooks/rotate_secret.html",
        lambda _: Form.with_typed(overlap_seconds=DAY),
        act,
        overlaps=overlaps,
    )


def _simple(what: str) -> Callable[[UUID, UUID], Response | str]:
    """The page of a command that takes nothing but the reason why."""
    asked = SIMPLE[what]

    def page(organisation_id: UUID, endpoint_id: UUID) -> Response | str:
        def act(row: Row, form: Form) -> Response:
            body = form.load(Why(), ("reason",))
            carry_out(form, lambda: webhook_commands.simple(asked.command, row, body, None), represent)
            return _to(row, asked.done)

        template = "console/webhooks/simple.html"
        return _change(organisation_id, endpoint_id, template, lambda _: Form(), act, asked=asked)

    return page


for _name in SIMPLE:
    pages.add_url_rule(f"/<uuid:endpoint_id>/{_name}", _name, _simple(_name), methods=["GET", "POST"])


@pages.post("/<uuid:endpoint_id>/test")
def test(organisation_id: UUID, endpoint_id: UUID) -> Response:
    """Have a message sent that tries the endpoint, once for each page that asks, and look at what comes of it."""
    allow(MANAGES_WEBHOOKS, organisation_id)
    delivery_id = webhook_commands.test(existing(organisation_id, endpoint_id), key=Form(request.form).key())
    ids = {"organisation_id": organisation_id, "endpoint_id": endpoint_id, "delivery_id": delivery_id}
    return go_to("console.webhooks.delivery", **ids, done="test_sent")


@pages.post("/<uuid:endpoint_id>/deliveries/<uuid:delivery_id>/replay")
def replay(organisation_id: UUID, endpoint_id: UUID, delivery_id: UUID) -> Response:
    """Have the message sent again, unless it was since the page was made that asks."""
    allow(MANAGES_WEBHOOKS, organisation_id)
    seen = Form(request.form).number("attempts")
    replayed = webhook_commands.replay(existing(organisation_id, endpoint_id), delivery_id, seen)
    ids = {"organisation_id": organisation_id, "endpoint_id": endpoint_id, "delivery_id": delivery_id}
    return go_to("console.webhooks.delivery", **ids, done="replayed" if replayed else "replayed_meanwhile")


@pages.post("/<uuid:endpoint_id>/stored")
def stored(organisation_id: UUID, endpoint_id: UUID) -> Response:
    """Back to the endpoint once its new signing secret is stored."""
    row = existing(organisation_id, endpoint_id)
    form = Form(request.form)
    forget_secret(form)
    return _to(row, form.typed.get("done", ""))


def _show_signing_secret(carried: Any, form: Form, done: str) -> Response:
    made = carried.body
    address = url_for("console.webhooks.stored", organisation_id=made["organisation_id"], endpoint_id=made["id"])
    words = ("", "Signing secret")
    return show_secret(carried, form, heading="Signing secret", words=words, stored=address, done=done)


def _to(row: Row, done: str) -> Response:
    ids = {"organisation_id": row["organisation_id"], "endpoint_id": row["endpoint_id"]}
    return go_to("console.webhooks.detail", **ids, done=done)
