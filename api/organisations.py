"""Organisations: the tenants."""

from typing import Any
from uuid import UUID

from flask import Response
from flask.views import MethodView
from flask_smorest import Blueprint
from uuid_utils.compat import uuid7

from api import outgoing
from api.auth import MANAGES_OPERATORS, READS_CREDENTIALS, allow, caller
from api.commanding import carry_out, expected_version
from api.incoming import StrictParser, context, services
from api.paging import decode_cursor, encode_cursor
from api.schemas import PageQuery
from api.schemas.organisations import OrganisationIn, OrganisationOut, OrganisationPage
from ledger.commands import RegisterOrganisation, RenameOrganisation
from ledger.errors import NotFound
from ledger.values import Name
from projections.organisation_status import find_organisation, list_organisations, status_row

blueprint = Blueprint("Organisations", __name__, url_prefix="/v1/organisations", description="The tenants.")
blueprint.ARGUMENTS_PARSER = StrictParser()


def represent(state: Any) -> dict[str, Any]:
    """The organisation that a command left."""
    return outgoing.organisation(status_row(state))


@blueprint.route("")
class Organisations(MethodView):
    """All of them that the caller may see."""

    @blueprint.doc(operationId="listOrganisations")
    @blueprint.arguments(PageQuery, location="query")
    @blueprint.response(200, OrganisationPage)
    def get(self, query: dict[str, Any]) -> Response:
        """List organisations, oldest first."""
        found = caller()
        allow(READS_CREDENTIALS, found.organisation_id)
        after = decode_cursor(query.get("cursor"))
        rows = list_organisations(services().store, found.organisation_id, after, query["limit"] + 1)
        cursor = encode_cursor(rows, query["limit"], "organisation_id")
        return outgoing.answer(outgoing.page(map(outgoing.organisation, rows[: query["limit"]]), cursor))

    @blueprint.doc(operationId="registerOrganisation")
    @blueprint.arguments(OrganisationIn)
    @blueprint.response(201, OrganisationOut)
    def post(self, body: dict[str, Any]) -> Response:
        """Register an organisation."""
        allow(MANAGES_OPERATORS)

        def make() -> tuple[RegisterOrganisation, None]:
            name = Name(body["name"])
            return RegisterOrganisation(context=context(body.get("reason")), organisation_id=uuid7(), name=name), None

        return carry_out(make, represent, status=201, location=lambda state: f"/v1/organisations/{state.id}")


@blueprint.route("/<uuid:organisation_id>")
class Organisation(MethodView):
    """One of them."""

    @blueprint.doc(operationId="getOrganisation")
    @blueprint.response(200, OrganisationOut)
    def get(self, organisation_id: UUID) -> Response:
        """Read an organisation."""
        allow(READS_CREDENTIALS, organisation_id)
        row = existing(organisation_id)
        return outgoing.answer(outgoing.organisation(row), headers={"ETag": outgoing.etag(row["version"])})

    @blueprint.doc(operationId="renameOrganisation")
    @blueprint.arguments(OrganisationIn)
    @blueprint.response(200, OrganisationOut)
    def patch(self, body: dict[str, Any], organisation_id: UUID) -> Response:
        """Rename an organisation. Takes If-Match."""
        allow(MANAGES_OPERATORS, organisation_id)

        def make() -> tuple[RenameOrganisation, None]:
            return RenameOrganisation(
                context=context(body.get("reason")),
                expected_version=expected_version(required=True),
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
