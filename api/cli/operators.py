"""`keyledger operator`: the people and gateways who use the service with a token."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import click

from api import documents
from api.cli import listing, options
from api.cli.output import print_facts, print_json, print_secret, print_table, tell
from api.cli.session import Session, open_ledger
from api.telling import moment
from ledger.commands import ChangeOperatorRoles, EndTokenOverlap, EraseOperator, RemoveOperator
from ledger.issuing import issue_operator, issue_operator_rotation, parse_roles
from ledger.operator import Operator
from ledger.values import Role
from projections.operator_status import administrators_exist, list_operators, status_row
from projections.readings import Shown

PAGE_ROWS = 500  # a round trip each

_ROLES = click.option(
    "--role", "roles", type=options.OneOf(Role), multiple=True, required=True, help="May be given repeatedly."
)
_OPERATOR = click.argument("operator_id", type=click.UUID, metavar="OPERATOR")


@click.group()
def operator() -> None:
    """Enrol people and gateways, change their roles, rotate their tokens, remove them."""


@operator.command()
@click.option("--name", required=True, help="Who it is.")
@click.option("--email", help="Where to reach them.")
@_ROLES
@click.option("--organisation", type=click.UUID, help="The one organisation it may see; all where left out.")
@click.option("--production/--no-production", default=False, help="Whether it may issue and change live credentials.")
@options.reason
@options.as_json
def enrol(
    name: str,
    email: str | None,
    roles: tuple[str, ...],
    organisation: UUID | None,
    production: bool,
    reason: str,
    json: bool,
) -> None:
    """Enrol an operator and print its token, this once."""
    with open_ledger() as session:
        command, token = issue_operator(
            session.services.keyring.digests,
            session.context(reason),
            name=name,
            email=email,
            roles=roles,
            organisation_id=organisation,
            production=production,
        )
        receipt = session.services.ledger.handle(command)
    if json:
        print_json({**documents.operator(status_row(receipt.state)), "token": token.plaintext})
    else:
        tell(f"Enrolled operator {receipt.state.name}, id {receipt.id}.")
        print_secret(token.plaintext, "operator's token")


@operator.command("list")
@click.option("--organisation", type=click.UUID, help="Only those of one organisation.")
@options.as_json
def list_(organisation: UUID | None, json: bool) -> None:
    """List the operators, in the order of their enrolment."""
    with open_ledger() as session:
        rows = list(_all(session, organisation))
        session.shows(*listing.shown(hints=json, past=False), of=organisation)
    if json:
        print_json({"data": [documents.operator(row) for row in rows]})
        return
    print_table(
        ("id", "name", "roles", "organisation", "production", "enrolled", "removed"),
        [
            (
                row["operator_id"],
                row["name"],
                row["roles"],
                row["organisation_id"] or "all",
                row["production"],
                row["enrolled_at"],
                row["removed_at"],
            )
            for row in rows
        ],
    )


@operator.command()
@_OPERATOR
@options.as_json
def show(operator_id: UUID, json: bool) -> None:
    """Show one operator."""
    with open_ledger() as session:
        found = session.operator(operator_id)
        session.shows(Shown.HINT, of=found.organisation_id, about=operator_id)
    if json:
        print_json(documents.operator(status_row(found)))
    else:
        print_facts(operator_facts(found))


@operator.command()
@_OPERATOR
@_ROLES
@click.option(
    "--production/--no-production",
    default=None,
    help="Whether it may issue and change live credentials; kept as it is.",
)
@options.reason
@options.expected_version
@options.as_json
def roles(
    operator_id: UUID,
    roles: tuple[str, ...],
    production: bool | None,
    reason: str,
    expected_version: int | None,
    json: bool,
) -> None:
    """Set an operator's roles, whole, and its grant for production."""
    with open_ledger() as session:
        if production is None:
            found = session.operator(operator_id)
            production, expected_version = found.production, expected_version or found.version
        receipt = session.services.ledger.handle(
            ChangeOperatorRoles(
                context=session.context(reason),
                expected_version=expected_version,
                operator_id=operator_id,
                roles=parse_roles(roles),
                production=production,
            )
        )
        _warn_without_administrator(session)
    if json:
        print_json(documents.operator(status_row(receipt.state)))
    else:
        click.echo(f"Operator {receipt.id} now has {', '.join(receipt.state.roles)} (version {receipt.version}).")


@operator.command("rotate-token")
@_OPERATOR
@options.overlap
@options.reason
@options.expected_version
@options.as_json
def rotate_token(operator_id: UUID, overlap: timedelta, reason: str, expected_version: int | None, json: bool) -> None:
    """Give an operator a new token and print it, this once."""
    with open_ledger() as session:
        command, token = issue_operator_rotation(
            session.services.keyring.digests,
            session.context(reason),
            operator_id,
            overlap=overlap,
            expected_version=expected_version,
        )
        receipt = session.services.ledger.handle(command)
    if json:
        print_json({**documents.operator(status_row(receipt.state)), "token": token.plaintext})
    else:
        tell(f"Rotated the token of operator {receipt.id} (version {receipt.version}).")
        print_secret(token.plaintext, "operator's new token")


@operator.command("end-overlap")
@_OPERATOR
@options.reason
@options.expected_version
@options.as_json
def end_overlap(operator_id: UUID, reason: str, expected_version: int | None, json: bool) -> None:
    """Retire the older of an operator's two live tokens."""
    with open_ledger() as session:
        receipt = session.services.ledger.handle(
            EndTokenOverlap(context=session.context(reason), expected_version=expected_version, operator_id=operator_id)
        )
    if json:
        print_json(documents.operator(status_row(receipt.state)))
    else:
        click.echo(f"Retired the older token of operator {receipt.id} (version {receipt.version}).")


@operator.command()
@_OPERATOR
@options.reason
@options.expected_version
@options.as_json
def remove(operator_id: UUID, reason: str, expected_version: int | None, json: bool) -> None:
    """Refuse an operator's tokens from now on."""
    with open_ledger() as session:
        receipt = session.services.ledger.handle(
            RemoveOperator(context=session.context(reason), expected_version=expected_version, operator_id=operator_id)
        )
        _warn_without_administrator(session)
    if json:
        print_json(documents.operator(status_row(receipt.state)))
    else:
        click.echo(f"Removed operator {receipt.id}: its tokens are refused.")


@operator.command()
@_OPERATOR
@click.option("--yes", is_flag=True, help="Do not ask.")
@options.reason
@options.expected_version
@options.as_json
def erase(operator_id: UUID, yes: bool, reason: str, expected_version: int | None, json: bool) -> None:
    """Destroy the name and the email of a removed operator. There is no way back; what it did stays."""
    if not yes:
        click.confirm(f"Destroy the name and email of operator {operator_id} for good?", abort=True, err=True)
    with open_ledger() as session:
        receipt = session.services.ledger.handle(
            EraseOperator(context=session.context(reason), expected_version=expected_version, operator_id=operator_id)
        )
    if json:
        print_json(documents.operator(status_row(receipt.state)))
    else:
        click.echo(f"Operator {receipt.id}: its name and email are destroyed (version {receipt.version}).")


def _warn_without_administrator(session: Session) -> None:
    """Allowed here, unlike over the API: whoever has this command line can always enrol another."""
    if not administrators_exist(session.services.store):
        tell("warning: no administrator of all organisations is left; `keyledger operator enrol` makes one")


def _all(session: Session, organisation_id: UUID | None) -> Iterator[dict[str, Any]]:
    after = None
    while rows := list_operators(session.services.store, organisation_id, after, PAGE_ROWS):
        yield from rows
        after = rows[-1]["operator_id"]


def operator_facts(found: Operator) -> list[tuple[str, object]]:
    """An operator as people read it. What was erased is not told as if it had been empty."""
    erased = "(erased)" if found.erased_at else ""
    return [
        ("id", found.id),
        ("name", found.name or erased),
        ("email", found.email or erased),
        ("roles", found.roles),
        ("organisation", found.organisation_id or "all"),
        ("production", found.production),
        ("enrolled", found.enrolled_at),
        ("removed", found.removed_at),
        ("erased", found.erased_at),
        *(
            (
                f"token {secret.version}",
                f"…{secret.hint}, since {moment(secret.created_at)}" + _until(secret.expires_at),
            )
            for secret in found.secrets
        ),
        ("version", found.version),
    ]


def _until(at: Any) -> str:
    return "" if at is None else f", until {moment(at)}"
