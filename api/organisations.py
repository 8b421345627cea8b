"""Organisations: the tenants."""

from typing import Any
from uuid import UUID

from flask import Response
from flask.views import MethodView
from flask_smorest import Blueprint

from api import documents, organisation_commands, outgoing, past
from api.auth import MANAGES_OPERATORS, READS_CREDENTIALS, READS_HISTORY, allow, authenticate, caller
from api.commanding import BEGINNING, COMMAND_ON_A_VERSION, CREATED, READ, WRITTEN, carry_out, expected_version
from api.incoming import StrictParser, services
from api.organisation_commands import represent
from api.schemas import AsOfQuery
from api.schemas.organisations import OrganisationIn, OrganisationOut, OrganisationPage, OrganisationQuery
from ledger.errors import NotFound
from ledger.values import Name
from projections.organisation_status import find_organisation, list_organisations
from projections.pages import Page, decode_cursor, encode_cursor

blueprint = Blueprint("Organisations", __name__, url_prefix="/v1/organisations", description="The tenants.")
blueprint.ARGUMENTS_PARSER = StrictParser()
blueprint.before_request(authenticate)


def found_for(query: dict[str, Any], only: UUID | None) -> Page:
    """The page that a query asks for, as `OrganisationQuery` reads it; of `only` that one, of all for None."""
    q, limit = Name(query["q"], "q") if "q" in query else None, query["limit"]
    of = ("organisations", only, q)
    after = decode_cursor(query["cursor"], UUID, of) if "cursor" in query else None
    rows = list_organisations(services().store, only, after, limit + 1, q)
    shown = rows[:limit]
    return Page(shown, encode_cursor(shown[-1]["organisation_id"], of) if len(rows) > limit else None)


@blueprint.route("")
class Organisations(MethodView):
    """All of them that the caller may see."""

    @blueprint.doc(operationId="listOrganisations")
    @blueprint.arguments(OrganisationQuery(), location="query")
    @blueprint.response(200, OrganisationPage)
    def get(self, query: dict[str, Any]) -> Response:
        """List organisations.

        Oldest first; for an operator of one organisation, that one.
        """
        found = caller()
        allow(READS_CREDENTIALS, found.organisation_id)
        page = found_for(query, found.organisation_id)
        return outgoing.page(map(documents.organisation, page.rows), page.cursor)

    @blueprint.doc(operationId="registerOrganisation", **BEGINNING)
    @blueprint.arguments(OrganisationIn())
    @blueprint.response(201, OrganisationOut, headers=CREATED)
    def post(self, body: dict[str, Any]) -> Response:
        """Register an organisation.

        Takes an administrator of all organisations.
        """
        allow(MANAGES_OPERATORS)
        return carry_out(
            lambda: organisation_commands.register(body),
            represent,
            status=201,
            location=lambda state: f"/v1/organisations/{state.id}",
        )


@blueprint.route("/<uuid:organisation_id>")
class Organisation(MethodView):
    """One of them."""

    @blueprint.doc(operationId="getOrganisation")
    @blueprint.arguments(AsOfQuery(), location="query")
    @blueprint.response(200, OrganisationOut, headers=READ)
    def get(self, query: dict[str, Any], organisation_id: UUID) -> Response:
        """Read an organisation.

        Its `ETag` is what If-Match takes. As it was at a time or a version it takes a role that reads history, and has
        none.
        """
        if query:
            allow(READS_HISTORY, organisation_id)
            existing(organisation_id)
            return past.as_it_was(query, organisation_id, organisation_id, "organisation")
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

        return carry_out(lambda: organisation_commands.rename(row, body, expected_version(row["version"])), represent)


def existing(organisation_id: UUID) -> dict[str, Any]:
    """The organisation's row; 404 where there is none."""
    row = find_organisation(services().store, organisation_id)
    if row is None:
        raise NotFound("organisation")
    return row
