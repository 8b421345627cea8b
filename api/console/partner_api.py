"""Settings > Organisation > Partner API: the OAuth clients by which external systems reach an organisation's data."""

from uuid import UUID

from flask import Blueprint, Response, request

from api import outgoing
from api.auth import WRITES_CREDENTIALS, allow
from api.console import creating
from api.console.forms import attempt
from api.console.rendering import render
from api.incoming import now, services
from ledger.values import Kind
from projections.credential_list import CredentialFilters, list_credentials

pages = Blueprint("partner_api", __name__, url_prefix="/organisations/<uuid:organisation_id>/settings/partner-api")


@pages.get("")
def listing(organisation_id: UUID) -> str:
    """The organisation's clients, or that there are none."""
    found = list_credentials(
        services().store,
        organisation_id,
        CredentialFilters(kind=Kind.OAUTH_CLIENT),
        now=now(),
        rotation_days=services().settings.rotation_days,
        cursor=request.args.get("cursor"),
    )
    credentials = [outgoing.credential(row) for row in found.rows]
    return render("console/partner_api/listing.html", credentials=credentials, cursor=found.cursor)


@pages.route("/create", methods=["GET", "POST"])
def create(organisation_id: UUID) -> Response | str:
    """The dialog "Create credentials"."""
    allow(WRITES_CREDENTIALS, organisation_id)
    if request.method == "GET":
        return creating.show(organisation_id, creating.blank())
    return attempt(
        lambda form: creating.show(organisation_id, form),
        lambda form: creating.create(organisation_id, form, kind=Kind.OAUTH_CLIENT.value),
    )
