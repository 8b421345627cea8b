"""Commands on operators, from what a body or a form asked, and who may give what: the same for the API and the console.

A body has been through its schema of `api/schemas/operators.py`; a row is an operator as `find_operator` reads it. Each
comes with the token to give away, where there is one. `expected_version` is the version to decide on, None for
whichever it is at.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from api import documents
from api.auth import MANAGES_OPERATORS, allow, caller
from api.incoming import context, services
from ledger.commands import (
    ChangeOperatorRoles,
    EndTokenOverlap,
    EnrolOperator,
    EraseOperator,
    RemoveOperator,
    RotateOperatorToken,
)
from ledger.errors import Forbidden, LastAdministrator, NotFound
from ledger.issuing import issue_operator, issue_operator_rotation, parse_roles
from ledger.values import Role
from projections.operator_status import find_operator, is_last_administrator, status_row

Body = Mapping[str, Any]
Row = Mapping[str, Any]


def represent(state: Any) -> documents.Document:
    """The operator that a command left."""
    return documents.operator(status_row(state))


def seen(operator_id: UUID) -> dict[str, Any]:
    """The operator's row where the caller may know that it exists; 404 otherwise."""
    found = caller()
    row = find_operator(services().store, operator_id)
    if row is None or found.organisation_id not in (None, row["organisation_id"]):
        raise NotFound("operator")
    return row


def enrol(body: Body) -> tuple[EnrolOperator, str]:
    """A new operator, as `OperatorIn` describes it."""
    allow(MANAGES_OPERATORS, body["organisation_id"])
    _refuse_to_give_production(body["production"])
    wanted = {name: value for name, value in body.items() if name != "reason"}
    command, token = issue_operator(services().keyring.digests, context(body.get("reason")), **wanted)
    return command, token.plaintext


def change_roles(row: Row, body: Body, expected_version: int | None) -> tuple[ChangeOperatorRoles, None]:
    """What it may do, as `RolesIn` says."""
    allow(MANAGES_OPERATORS, row["organisation_id"])
    _refuse_to_give_production(body["production"] and not row["production"])
    if Role.ADMINISTRATOR not in body["roles"]:
        _refuse_to_lose_the_last_administrator(row)
    return ChangeOperatorRoles(
        context=context(body.get("reason")),
        expected_version=expected_version,
        operator_id=row["operator_id"],
        roles=parse_roles(body["roles"]),
        production=body["production"],
    ), None


def allow_rotation(row: Row) -> None:
    """Everyone may rotate their own token. Whoever rotates another's holds the new one."""
    if caller().operator_id != row["operator_id"]:
        allow(MANAGES_OPERATORS, row["organisation_id"])
        _refuse_to_give_production(row["production"])


def rotate_token(row: Row, body: Body, expected_version: int | None) -> tuple[RotateOperatorToken, str]:
    """Its next token, as `TokenRotationIn` describes it."""
    allow_rotation(row)
    command, token = issue_operator_rotation(
        services().keyring.digests,
        context(body.get("reason")),
        row["operator_id"],
        overlap=timedelta(seconds=body["overlap_seconds"]),
        expected_version=expected_version,
    )
    return command, token.plaintext


def end_overlap(row: Row, body: Body, expected_version: int | None) -> tuple[EndTokenOverlap, None]:
    """The end of the older of two live tokens. Everyone may end their own."""
    if caller().operator_id != row["operator_id"]:
        allow(MANAGES_OPERATORS, row["organisation_id"])
    return EndTokenOverlap(
        context=context(body.get("reason")),
        expected_version=expected_version,
        operator_id=row["operator_id"],
    ), None


def remove(row: Row, body: Body, expected_version: int | None) -> tuple[RemoveOperator, None]:
    """Its end."""
    allow(MANAGES_OPERATORS, row["organisation_id"])
    _refuse_to_lose_the_last_administrator(row)
    return RemoveOperator(
        context=context(body.get("reason")),
        expected_version=expected_version,
        operator_id=row["operator_id"],
    ), None


def erase(row: Row, body: Body, expected_version: int | None) -> tuple[EraseOperator, None]:
    """The end of its name and email."""
    allow(MANAGES_OPERATORS, row["organisation_id"])
    return EraseOperator(
        context=context(body.get("reason")),
        expected_version=expected_version,
        operator_id=row["operator_id"],
    ), None


def _refuse_to_give_production(given: bool) -> None:
    """Nobody gives a grant that they do not have."""
    if given and not caller().production:
        raise Forbidden("giving the grant for production takes having it")


def _refuse_to_lose_the_last_administrator(row: Row) -> None:
    """Of all organisations: whoever removes it over HTTP could not enrol another one over HTTP.

    Two who remove each other at the same moment are not prevented; the command line enrols a new one.
    """
    if is_last_administrator(services().store, row["operator_id"]):
        raise LastAdministrator("this is the last administrator of all organisations: enrol another first")
