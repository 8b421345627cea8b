"""Merchants, and the API keys of one: Merchants > a merchant account > Developers > Add API key."""

from uuid import UUID

from flask import Blueprint, Response, request

from api import documents, outgoing
from api.accounts import existing
from api.auth import WRITES_CREDENTIALS, allow
from api.console import creating
from api.console.accounts import Row, open_account, show_list, show_one
from api.console.forms import Form, attempt
from api.console.rendering import go_to, render
from api.incoming import now, services
from ledger.values import AccountKind, Kind
from projections.credential_list import CredentialFilters, list_credentials

pages = Blueprint("merchants", __name__, url_prefix="/organisations/<uuid:organisation_id>/merchants")


@pages.get("")
def listing(organisation_id: UUID) -> Response:
    """The merchants' accounts."""
    return show_list(organisation_id, "console/merchants/listing.html", kind=AccountKind.MERCHANT)


@pages.route("/open", methods=["GET", "POST"])
def open_merchant(organisation_id: UUID) -> Response | str:
    """A new merchant account."""
    return open_account(organisation_id, "Add a merchant account", kind=AccountKind.MERCHANT)


@pages.get("/<uuid:account_id>")
def detail(organisation_id: UUID, account_id: UUID) -> Response | str:
    """One merchant's account; one of another kind is among the accounts."""
    row = existing(organisation_id, account_id)
    return show_one(row) if _is_merchant(row) else _elsewhere()


@pages.get("/<uuid:account_id>/developers")
def developers(organisation_id: UUID, account_id: UUID) -> Response | str:
    """A merchant's API keys, or that there are none."""
    row = existing(organisation_id, account_id)
    if not _is_merchant(row):
        return _elsewhere()
    found = list_credentials(
        services().store,
        organisation_id,
        CredentialFilters(account=account_id, kind=Kind.API_KEY),
        now=now(),
        rotation_days=services().settings.rotation_days,
        cursor=request.args.get("cursor"),
    )
    return render(
        "console/merchants/developers.html",
        account=documents.account(row),
        credentials=[outgoing.credential(one) for one in found.rows],
        cursor=found.cursor,
    )


@pages.route("/<uuid:account_id>/developers/create", methods=["GET", "POST"])
def add_key(organisation_id: UUID, account_id: UUID) -> Response | str:
    """The dialog "Add API key"."""
    allow(WRITES_CREDENTIALS, organisation_id)
    row = existing(organisation_id, account_id)
    if not _is_merchant(row):
        return _elsewhere()

    def show(form: Form) -> str:
        template = "console/merchants/add_key.html"
        return creating.show_with_presets(template, organisation_id, form, account=documents.account(row))

    def act(form: Form) -> Response:
        schema = creating.KeyIn()
        of_account = {"kind": Kind.API_KEY.value, "account_id": str(account_id)}
        return creating.create_with_presets(organisation_id, form, schema, "API key created", **of_account)

    return show(Form()) if request.method == "GET" else attempt(show, act)


def _is_merchant(row: Row) -> bool:
    return bool(row["kind"] == AccountKind.MERCHANT)


def _elsewhere() -> Response:
    return go_to("console.accounts.detail", **request.view_args or {})
