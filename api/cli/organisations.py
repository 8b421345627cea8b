"""`keyledger organisation`: the tenants."""

from uuid import UUID

import click
from uuid_utils.compat import uuid7

from api import documents
from api.cli import listing, options
from api.cli.output import print_json, print_table, tell
from api.cli.session import open_ledger
from ledger.commands import RegisterOrganisation, RenameOrganisation
from ledger.values import Name
from projections.organisation_status import status_row


@click.group()
def organisation() -> None:
    """Register, rename and list organisations."""


@organisation.command()
@click.argument("name")
@options.reason
@options.as_json
def register(name: str, reason: str, json: bool) -> None:
    """Register an organisation and print its id."""
    with open_ledger() as session:
        receipt = session.services.ledger.handle(
            RegisterOrganisation(context=session.context(reason), organisation_id=uuid7(), name=Name(name))
        )
    if json:
        print_json(documents.organisation(status_row(receipt.state)))
    else:
        tell(f"Registered organisation {receipt.state.name}. Its id:")
        click.echo(str(receipt.id))


@organisation.command()
@click.argument("organisation_id", type=click.UUID, metavar="ORGANISATION")
@click.argument("name")
@options.reason
@options.expected_version
@options.as_json
def rename(organisation_id: UUID, name: str, reason: str, expected_version: int | None, json: bool) -> None:
    """Give an organisation another name."""
    with open_ledger() as session:
        receipt = session.services.ledger.handle(
            RenameOrganisation(
                context=session.context(reason),
                expected_version=expected_version,
                organisation_id=organisation_id,
                name=Name(name),
            )
        )
    if json:
        print_json(documents.organisation(status_row(receipt.state)))
    else:
        click.echo(f"Organisation {receipt.id} is now called {receipt.state.name} (version {receipt.version}).")


@organisation.command("list")
@options.as_json
def list_(json: bool) -> None:
    """List the organisations, in the order of their registration."""
    with open_ledger() as session:
        rows = list(listing.organisations(session))
    if json:
        print_json({"data": [documents.organisation(row) for row in rows]})
    else:
        print_table(("id", "name", "registered"), [(r["organisation_id"], r["name"], r["registered_at"]) for r in rows])
