"""API Keys: the channels of a master or sub-account, each with credentials that are good on it alone."""

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from flask import Blueprint, Response, request
from marshmallow import fields, validate

from api import credential_commands, documents, outgoing
from api.accounts import existing
from api.auth import WRITES_CREDENTIALS, allow
from api.console import creating
from api.console.credentials import allowlist_of, overlaps, save_allowlist
from api.console.forms import Form, attempt, carry_out, show_secret
from api.console.rendering import go_to, render
from api.credentials import writable
from api.incoming import services
from api.schemas.credentials import RotationIn
from ledger.errors import NotFound
from ledger.values import PASSWORD_BYTES_MAX, AccountKind, Channel, Kind
from projections.credential_status import find_credential

pages = Blueprint("channels", __name__, url_prefix="/organisations/<uuid:organisation_id>/accounts/<uuid:account_id>")

Row = Mapping[str, Any]

CHANNELS: Mapping[Channel, str] = {
    Channel.FTP: "Files, by login and password",
    Channel.REST: "JSON over HTTP, by a key; several at a time",
    Channel.HTTP: "Plain HTTP requests, by login and password",
    Channel.WEB_SERVICE: "SOAP, by login and password",
    Channel.EMAIL: "Submission by mail, by login and password",
}
"""The channels in the order in which they are offered, and what each is for."""

OWN, GENERATED = "own", "generated"
_CHOSEN = fields.String(required=True, validate=validate.Length(max=PASSWORD_BYTES_MAX))


class ChannelKeyIn(creating.KeyIn):
    """What "Create API Key" asks."""

    channel = fields.String(required=True, validate=validate.OneOf(list(Channel)))


class OwnChannelKeyIn(ChannelKeyIn):
    """The same with credentials of one's own."""

    login = fields.String(required=True, validate=validate.Length(max=100))
    secret = _CHOSEN


class OwnChangeIn(RotationIn):
    """Other credentials, of one's own; without a login it stays as it is."""

    secret = _CHOSEN


@pages.get("/api-keys")
def listing(organisation_id: UUID, account_id: UUID) -> Response | str:
    """The channels on which a key of the account is good now."""
    row = existing(organisation_id, account_id)
    if row["kind"] == AccountKind.MERCHANT:
        return _to_the_merchant(row)
    account = documents.account(row)
    # One look-up each: an account has a handful of them (`channel_keys_max`).
    found = (find_credential(services().store, organisation_id, one["credential_id"]) for one in account["channels"])
    return render(
        "console/channels/listing.html",
        account=account,
        keys=[outgoing.credential(key) for key in found if key is not None],
    )


@pages.route("/api-keys/create", methods=["GET", "POST"])
def create(organisation_id: UUID, account_id: UUID) -> Response | str:
    """The dialog "Create API Key"."""
    allow(WRITES_CREDENTIALS, organisation_id)
    row = existing(organisation_id, account_id)
    if row["kind"] == AccountKind.MERCHANT:
        return _to_the_merchant(row)

    def show(form: Form) -> str:
        template = "console/channels/create.html"
        account = documents.account(row)
        return creating.show_with_presets(template, organisation_id, form, account=account, channels=CHANNELS)

    def act(form: Form) -> Response:
        rest = form.typed.get("channel") == Channel.REST
        given = {"kind": str(Kind.API_KEY if rest else Kind.CHANNEL_LOGIN), "account_id": str(account_id)}
        own = form.choice("credentials", (OWN, GENERATED)) == OWN
        schema, more = (OwnChannelKeyIn(), ("channel", "login", "secret")) if own else (ChannelKeyIn(), ("channel",))
        return creating.create_with_presets(organisation_id, form, schema, "API key created", more, **given)

    begun = Form.with_typed(preset="full_access", credentials=GENERATED)
    return show(begun) if request.method == "GET" else attempt(show, act)


@pages.route("/api-keys/<uuid:credential_id>/change", methods=["GET", "POST"])
def change(organisation_id: UUID, account_id: UUID, credential_id: UUID) -> Response | str:
    """Other credentials for a channel: generated, or one's own."""

    def act(row: Row, form: Form) -> Response:
        own = form.choice("credentials", (OWN, GENERATED)) == OWN
        names = ("reason", "login", "secret") if own else ("reason",)
        schema = OwnChangeIn() if own else RotationIn()
        body = form.load(schema, names, overlap_seconds=form.number("overlap_seconds"))
        carried = carry_out(form, lambda: credential_commands.rotate(row, body, None))
        return show_secret(carried, form, done="rotated")

    def begin(_: Row) -> Form:
        return Form.with_typed(credentials=GENERATED, overlap_seconds=0)

    template = "console/channels/change.html"
    return _change(organisation_id, account_id, credential_id, template, begin, act, overlaps=overlaps)


@pages.route("/api-keys/<uuid:credential_id>/whitelist", methods=["GET", "POST"])
def whitelist(organisation_id: UUID, account_id: UUID, credential_id: UUID) -> Response | str:
    """Where a channel's key may be used from."""

    def act(row: Row, form: Form) -> Response:
        save_allowlist(row, form)
        ids = {"organisation_id": organisation_id, "account_id": account_id}
        return go_to("console.channels.listing", **ids, done="restricted")

    template = "console/channels/whitelist.html"
    return _change(organisation_id, account_id, credential_id, template, allowlist_of, act)


def _change(
    organisation_id: UUID,
    account_id: UUID,
    credential_id: UUID,
    template: str,
    begin: Callable[[Row], Form],
    act: Callable[[Row, Form], Response],
    **values: Any,
) -> Response | str:
    """A form about one key of the account: shown as it begins, or done as it asks."""
    row = writable(organisation_id, credential_id)
    if row["account_id"] != account_id or row["channel"] is None:
        raise NotFound("channel key")
    account = documents.account(existing(organisation_id, account_id))

    def show(form: Form) -> str:
        return render(template, account=account, credential=outgoing.credential(row), form=form, **values)

    return show(begin(row)) if request.method == "GET" else attempt(show, lambda form: act(row, form))


def _to_the_merchant(row: Row) -> Response:
    """A merchant's keys are on its own page."""
    ids = {"organisation_id": row["organisation_id"], "account_id": row["account_id"]}
    return go_to("console.merchants.developers", **ids)
