"""Organisations: the tenants."""

from typing import Any
from uuid import UUID

from flask import Response
from flask.views import MethodView
from flask_smorest import Blueprint
from uuid_utils.compat import uuid7

from api import documents, outgoing
from api.auth import MANAGES_OPERATORS, READS_CREDENTIALS, allow, authenticate, caller
from api.commanding import BEGINNING, COMMAND_ON_A_VERSION, CREATED, READ, WRITTEN, carry_out, expected_version
from api.incoming import StrictParser, context, services
from api.schemas import PageQuery
from api.schemas.organisations import OrganisationIn, OrganisationOut, OrganisationPage
from ledger.commands import RegisterOrganisation, RenameOrganisation
from ledger.errors import NotFound
from ledger.values import Name
from projections.organisation_status import find_organisation, list_organisations, status_row
from projections.pages import decode_cursor, encode_cursor

blueprint = Blueprint("Organisations", __name__, url_prefix="/v1/organisations", description="The tenants.")
blueprint.ARGUMENTS_PARSER = StrictParser()
blueprint.before_request(authenticate)


def represent(state: Any) -> dict[str, Any]:
    """The organisation that a command left."""
    return documents.organisation(status_row(state))


@blueprint.route("")
class Organisations(MethodView):
    """All of them that the caller may see."""

    @blueprint.doc(operationId="listOrganisations")
    @blueprint.arguments(PageQuery(), location="query")
    @blueprint.response(200, OrganisationPage)
    def get(self, query: dict[str, Any]) -> Response:
        """List organisations.

        Oldest first; for an operator of one organisation, that one.
        """
        found = caller()
        allow(READS_CREDENTIALS, found.organisation_id)
        of = ("organisations", found.organisation_id)
        after = decode_cursor(query["cursor"], UUID, of) if "cursor" in query else None
        rows = list_organisations(services().store, found.organisation_id, after, query["limit"] + 1)
        shown = rows[: query["limit"]]
        cursor = encode_cursor(shown[-1]["organisation_id"], of) if len(rows) > len(shown) else None
        return outgoing.page(map(documents.organisation, shown), cursor)

    @blueprint.doc(operationId="registerOrganisation", **BEGINNING)
    @blueprint.arguments(OrganisationIn())
    @blueprint.response(201, OrganisationOut, headers=CREATED)
    def post(self, body: dict[str, Any]) -> Response:
        """Register an organisation.

        Takes an administrator of all organisations.
        """
        allow(MANAGES_OPERATORS)

        def make() -> tuple[RegisterOrganisation, None]:
            name = Name(body["name"])
            return RegisterOrganisation(context=context(body.get("reason")), organisation_id=uuid7(), name=name), None

        return carry_out(make, represent, status=201, location=lambda state: f"/v1/organisations/{state.id}")


@blueprint.route("/<uuid:organisation_id>")
class Organisation(MethodView):
    """One of them."""

    @blueprint.doc(operationId="getOrganisation")
    @blueprint.response(200, OrganisationOut, headers=READ)
    def get(self, organisation_id: UUID) -> Response:
        """Read an organisation.

        Its `ETag` is what If-Match takes.
        """
        allow(READS_CREDENTIALS, organisation_id)
        row = existing(organisation_id)
        return outgoing.answer(documents.organisation(row), headers={"ETag": outgoing.etag(row["version"])})

    @blueprint.doc(operationId="renameOrganisation", **COMMAND_ON_A_VERSION)
    @blueprint.arguments(OrganisationIn())
    @blueprint.response(200, OrganisationOut, headers=WRITTEN)
    def patch(self, body: dict[str, Any], organisation_id: UUID) -> Response:
        """Rename an organisation.

        If-Match must name the version that was read.
        """
        allow(MANAGES_OPERATORS, organisation_id)
        row = existing(organisation_id)

        def make() -> tuple[RenameOrganisation, None]:
            return RenameOrganisation(
                context=context(body.get("reason")),
                expected_version=expected_version(row["version"]),
                organisation_id=organisation_id,
                name=Name(body["name"]),
            ), None

        return carry_out(make, represent)


def existing(organisation_id: UUID) -> dict[str, Any]:
    """The organisation's row; 404 where there is none."""
    row = find_organisation(services().store, organisation_id)
    if row is None:
        raise NotFound("organisation")
    return row
