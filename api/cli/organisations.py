"""`keyledger organisation`: the tenants."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import click
from uuid_utils.compat import uuid7

from api import documents
from api.cli import options
from api.cli.output import print_json, print_table, tell
from api.cli.session import Session, open_ledger
from ledger.commands import RegisterOrganisation, RenameOrganisation
from ledger.values import Name
from projections.organisation_status import list_organisations, status_row

PAGE_ROWS = 500  # a round trip each; a page is about a hundred kilobytes


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
        rows = list(_all(session))
    if json:
        print_json({"data": [documents.organisation(row) for row in rows]})
    else:
        print_table(("id", "name", "registered"), [(r["organisation_id"], r["name"], r["registered_at"]) for r in rows])


def _all(session: Session) -> Iterator[dict[str, Any]]:
    after = None
    while rows := list_organisations(session.services.store, None, after, PAGE_ROWS):
        yield from rows
        after = rows[-1]["organisation_id"]
