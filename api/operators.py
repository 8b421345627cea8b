"""Operators: people and gateways with a token."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from flask import Response
from flask.views import MethodView
from flask_smorest import Blueprint

from api import documents, outgoing
from api.auth import MANAGES_OPERATORS, READS_OPERATORS, allow, authenticate, caller
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
from api.incoming import StrictParser, context, services
from api.organisations import existing as existing_organisation
from api.schemas import Why
from api.schemas.operators import (
    ENROLLING,
    OperatorIn,
    OperatorOut,
    OperatorPage,
    OperatorQuery,
    RolesIn,
    TokenRotationIn,
)
from ledger.commands import ChangeOperatorRoles, EndTokenOverlap, EnrolOperator, RemoveOperator, RotateOperatorToken
from ledger.errors import Forbidden, LastAdministrator, NotFound
from ledger.issuing import issue_operator, issue_operator_rotation, parse_roles
from ledger.values import Role
from projections.operator_status import find_operator, is_last_administrator, list_operators, status_row
from projections.pages import decode_cursor, encode_cursor

blueprint = Blueprint(
    "Operators", __name__, url_prefix="/v1/operators", description="People and gateways who use the service."
)
blueprint.ARGUMENTS_PARSER = StrictParser()
blueprint.before_request(authenticate)


def represent(state: Any) -> dict[str, Any]:
    """The operator that a command left."""
    return documents.operator(status_row(state))


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
        of = ("operators", organisation_id)
        after = decode_cursor(query["cursor"], UUID, of) if "cursor" in query else None
        rows = list_operators(services().store, organisation_id, after, query["limit"] + 1)
        shown = rows[: query["limit"]]
        cursor = encode_cursor(shown[-1]["operator_id"], of) if len(rows) > len(shown) else None
        return outgoing.page(map(documents.operator, shown), cursor)

    @blueprint.doc(operationId="enrolOperator", **BEGINNING)
    @blueprint.arguments(OperatorIn(), examples=ENROLLING)
    @blueprint.response(201, OperatorOut, headers=CREATED)
    def post(self, body: dict[str, Any]) -> Response:
        """Enrol an operator.

        Its token is `secret` in this answer and never again. One for all organisations takes an administrator of all;
        the grant for production takes having it.
        """
        allow(MANAGES_OPERATORS, body["organisation_id"])
        _refuse_to_give_production(body["production"])

        def make() -> tuple[EnrolOperator, str]:
            wanted = {name: value for name, value in body.items() if name != "reason"}
            command, token = issue_operator(services().keyring.digests, context(body.get("reason")), **wanted)
            return command, token.plaintext

        return carry_out(make, represent, status=201, location=lambda state: f"/v1/operators/{state.id}")


@blueprint.route("/<uuid:operator_id>")
class Operator(MethodView):
    """One of them."""

    @blueprint.doc(operationId="getOperator")
    @blueprint.response(200, OperatorOut, headers=READ)
    def get(self, operator_id: UUID) -> Response:
        """Read an operator.

        Everyone may read themselves.
        """
        row = _seen(operator_id)
        if caller().operator_id != operator_id:
            allow(READS_OPERATORS, row["organisation_id"])
        return outgoing.answer(documents.operator(row), headers={"ETag": outgoing.etag(row["version"])})

    @blueprint.doc(operationId="removeOperator", **COMMAND)
    @blueprint.arguments(Why(), required=False)
    @blueprint.response(200, OperatorOut, headers=WRITTEN)
    def delete(self, body: dict[str, Any], operator_id: UUID) -> Response:
        """Remove an operator.

        Its tokens are refused from now on.
        """
        row = _seen(operator_id)
        allow(MANAGES_OPERATORS, row["organisation_id"])

        def make() -> tuple[RemoveOperator, None]:
            _refuse_to_lose_the_last_administrator(row)
            return RemoveOperator(
                context=context(body.get("reason")),
                expected_version=expected_version(row["version"]),
                operator_id=operator_id,
            ), None

        return carry_out(make, represent)


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
        row = _seen(operator_id)
        allow(MANAGES_OPERATORS, row["organisation_id"])
        _refuse_to_give_production(body["production"] and not row["production"])

        def make() -> tuple[ChangeOperatorRoles, None]:
            if Role.ADMINISTRATOR not in body["roles"]:
                _refuse_to_lose_the_last_administrator(row)
            return ChangeOperatorRoles(
                context=context(body.get("reason")),
                expected_version=expected_version(row["version"]),
                operator_id=operator_id,
                roles=parse_roles(body["roles"]),
                production=body["production"],
            ), None

        return carry_out(make, represent)


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
        row = _seen(operator_id)
        if caller().operator_id != operator_id:
            allow(MANAGES_OPERATORS, row["organisation_id"])
            # Whoever rotates a token holds the new one.
            _refuse_to_give_production(row["production"])

        def make() -> tuple[RotateOperatorToken, str]:
            command, token = issue_operator_rotation(
                services().keyring.digests,
                context(body.get("reason")),
                operator_id,
                overlap=timedelta(seconds=body["overlap_seconds"]),
                expected_version=expected_version(row["version"]),
            )
            return command, token.plaintext

        return carry_out(make, represent)


@blueprint.route("/<uuid:operator_id>/end-overlap", methods=["POST"])
@blueprint.doc(operationId="endOperatorTokenOverlap", **COMMAND)
@blueprint.arguments(Why(), required=False)
@blueprint.response(200, OperatorOut, headers=WRITTEN)
def end_overlap(body: dict[str, Any], operator_id: UUID) -> Response:
    """Retire the older of an operator's two live tokens.

    Everyone may do so with their own.
    """
    row = _seen(operator_id)
    if caller().operator_id != operator_id:
        allow(MANAGES_OPERATORS, row["organisation_id"])

    def make() -> tuple[EndTokenOverlap, None]:
        return EndTokenOverlap(
            context=context(body.get("reason")),
            expected_version=expected_version(row["version"]),
            operator_id=operator_id,
        ), None

    return carry_out(make, represent)


def _seen(operator_id: UUID) -> dict[str, Any]:
    """The operator's row where the caller may know that it exists; 404 otherwise."""
    found = caller()
    row = find_operator(services().store, operator_id)
    if row is None or found.organisation_id not in (None, row["organisation_id"]):
        raise NotFound("operator")
    return row


def _refuse_to_give_production(given: bool) -> None:
    """Nobody gives a grant that they do not have."""
    if given and not caller().production:
        raise Forbidden("giving the grant for production takes having it")


def _refuse_to_lose_the_last_administrator(row: dict[str, Any]) -> None:
    """Of all organisations: whoever removes it over HTTP could not enrol another one over HTTP.

    Two who remove each other at the same moment are not prevented; the command line enrols a new one.
    """
    if is_last_administrator(services().store, row["operator_id"]):
        raise LastAdministrator("this is the last administrator of all organisations: enrol another first")
