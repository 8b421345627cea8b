"""Operators: people and gateways with a token."""

from typing import Any
from uuid import UUID

from flask import Response
from flask.views import MethodView
from flask_smorest import Blueprint

from api import documents, operator_commands, outgoing, past
from api.auth import MANAGES_OPERATORS, READS_OPERATORS, allow, authenticate, caller, sees_hints_of_tokens
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
from api.operator_commands import represent, seen
from api.organisations import existing as existing_organisation
from api.schemas import AsOfQuery, Why
from api.schemas.history import DifferenceOut, DifferenceQuery, HistoryPage, HistoryQuery
from api.schemas.operators import (
    ENROLLING,
    OperatorIn,
    OperatorOut,
    OperatorPage,
    OperatorQuery,
    RolesIn,
    TokenRotationIn,
)
from ledger.values import Name
from projections.operator_status import list_operators
from projections.pages import Page, decode_cursor, encode_cursor

blueprint = Blueprint(
    "Operators", __name__, url_prefix="/v1/operators", description="People and gateways who use the service."
)
blueprint.ARGUMENTS_PARSER = StrictParser()
blueprint.before_request(authenticate)


def found_for(query: dict[str, Any], organisation_id: UUID | None) -> Page:
    """The page that a query asks for, as `OperatorQuery` reads it: of one organisation's operators, or of all."""
    q, limit = Name(query["q"], "q") if "q" in query else None, query["limit"]
    of = ("operators", organisation_id, q)
    after = decode_cursor(query["cursor"], UUID, of) if "cursor" in query else None
    rows = list_operators(services().store, organisation_id, after, limit + 1, q)
    shown = rows[:limit]
    return Page(shown, encode_cursor(shown[-1]["operator_id"], of) if len(rows) > limit else None)


@blueprint.route("")
class Operators(MethodView):
    """All of them that the caller may see."""

    @blueprint.doc(operationId="listOperators")
    @blueprint.arguments(OperatorQuery(), location="query")
    @blueprint.response(200, OperatorPage)
    def get(self, query: dict[str, Any]) -> Response:
        """List operators.

        Oldest first. For an operator of one organisation, those of that one.
        """
        organisation_id = query.get("organisation_id", caller().organisation_id)
        allow(READS_OPERATORS, organisation_id)
        if organisation_id is not None:
            existing_organisation(organisation_id)
        page = found_for(query, organisation_id)
        sees_hints_of_tokens(organisation_id)
        return outgoing.page(map(documents.operator, page.rows), page.cursor)

    @blueprint.doc(operationId="enrolOperator", **BEGINNING)
    @blueprint.arguments(OperatorIn(), examples=ENROLLING)
    @blueprint.response(201, OperatorOut, headers=CREATED)
    def post(self, body: dict[str, Any]) -> Response:
        """Enrol an operator.

        Its token is `secret` in this answer and never again. One for all organisations takes an administrator of all;
        the grant for production takes having it.
        """
        allow(MANAGES_OPERATORS, body["organisation_id"])
        return carry_out(
            lambda: operator_commands.enrol(body),
            represent,
            status=201,
            location=lambda state: f"/v1/operators/{state.id}",
        )


@blueprint.route("/<uuid:operator_id>")
class Operator(MethodView):
    """One of them."""

    @blueprint.doc(operationId="getOperator")
    @blueprint.arguments(AsOfQuery(), location="query")
    @blueprint.response(200, OperatorOut, headers=READ)
    def get(self, query: dict[str, Any], operator_id: UUID) -> Response:
        """Read an operator.

        Everyone may read themselves, as they are. As it was at a time or a version an operator is for those who read
        operators; the past has no `ETag`.
        """
        row = seen(operator_id)
        if query:
            allow(READS_OPERATORS, row["organisation_id"])
            return past.as_it_was(query, row["organisation_id"], operator_id, "operator")
        if caller().operator_id != operator_id:
            allow(READS_OPERATORS, row["organisation_id"])
            sees_hints_of_tokens(row["organisation_id"])
        return outgoing.answer(documents.operator(row), headers={"ETag": outgoing.etag(row["version"])})

    @blueprint.doc(operationId="removeOperator", **COMMAND)
    @blueprint.arguments(Why(), required=False)
    @blueprint.response(200, OperatorOut, headers=WRITTEN)
    def delete(self, body: dict[str, Any], operator_id: UUID) -> Response:
        """Remove an operator.

        Its tokens are refused from now on.
        """
        row = seen(operator_id)
        allow(MANAGES_OPERATORS, row["organisation_id"])

        return carry_out(lambda: operator_commands.remove(row, body, expected_version(row["version"])), represent)


@blueprint.route("/<uuid:operator_id>/roles")
class OperatorRoles(MethodView):
    """What an operator may do."""

    @blueprint.doc(operationId="changeOperatorRoles", **COMMAND_ON_A_VERSION)
    @blueprint.arguments(RolesIn())
    @blueprint.response(200, OperatorOut, headers=WRITTEN)
    def put(self, body: dict[str, Any], operator_id: UUID) -> Response:
        """Change an operator's roles.

        If-Match must name the version that was read: roles are replaced whole.
        """
        row = seen(operator_id)
        allow(MANAGES_OPERATORS, row["organisation_id"])

        return carry_out(lambda: operator_commands.change_roles(row, body, expected_version(row["version"])), represent)


@blueprint.route("/<uuid:operator_id>/events")
@blueprint.doc(operationId="listOperatorEvents")
@blueprint.arguments(HistoryQuery(), location="query")
@blueprint.response(200, HistoryPage)
def events(query: dict[str, Any], operator_id: UUID) -> Response:
    """List what happened to an operator.

    Oldest first, read from the log itself, so it ends with the newest event. What an operator did is in the events of
    the organisations.
    """
    row = seen(operator_id)
    allow(READS_OPERATORS, row["organisation_id"])
    return past.history(query, row["organisation_id"], operator_id, "operator")


@blueprint.route("/<uuid:operator_id>/difference")
@blueprint.doc(operationId="compareOperator")
@blueprint.arguments(DifferenceQuery(), location="query")
@blueprint.response(200, DifferenceOut)
def difference(query: dict[str, Any], operator_id: UUID) -> Response:
    """Tell what changed of an operator between two moments.

    Each moment is a version or a time. The fields that differ, before and after, and the events between.
    """
    row = seen(operator_id)
    allow(READS_OPERATORS, row["organisation_id"])
    return past.difference(query, row["organisation_id"], operator_id, "operator")


@blueprint.route("/<uuid:operator_id>/rotate-token")
class OperatorToken(MethodView):
    """An operator's token."""

    @blueprint.doc(operationId="rotateOperatorToken", **COMMAND)
    @blueprint.arguments(TokenRotationIn(), required=False)
    @blueprint.response(200, OperatorOut, headers=WRITTEN)
    def post(self, body: dict[str, Any], operator_id: UUID) -> Response:
        """Rotate an operator's token.

        Everyone may rotate their own. Without an overlap the old token ends at once, so that a retry with it is
        refused: give one where the answer could get lost.
        """
        row = seen(operator_id)
        operator_commands.allow_rotation(row)

        return carry_out(lambda: operator_commands.rotate_token(row, body, expected_version(row["version"])), represent)


@blueprint.route("/<uuid:operator_id>/end-overlap", methods=["POST"])
@blueprint.doc(operationId="endOperatorTokenOverlap", **COMMAND)
@blueprint.arguments(Why(), required=False)
@blueprint.response(200, OperatorOut, headers=WRITTEN)
def end_overlap(body: dict[str, Any], operator_id: UUID) -> Response:
    """Retire the older of an operator's two live tokens.

    Everyone may do so with their own.
    """
    row = seen(operator_id)
    if caller().operator_id != operator_id:
        allow(MANAGES_OPERATORS, row["organisation_id"])

    return carry_out(lambda: operator_commands.end_overlap(row, body, expected_version(row["version"])), represent)


@blueprint.route("/<uuid:operator_id>/erase", methods=["POST"])
@blueprint.doc(operationId="eraseOperator", **COMMAND)
@blueprint.arguments(Why(), required=False)
@blueprint.response(200, OperatorOut, headers=WRITTEN)
def erase(body: dict[str, Any], operator_id: UUID) -> Response:
    """Erase an operator's name and email.

    Only of a removed operator, and for good. What it did stays in every history, under its id.
    """
    row = seen(operator_id)
    allow(MANAGES_OPERATORS, row["organisation_id"])
    return carry_out(lambda: operator_commands.erase(row, body, expected_version(row["version"])), represent)
