"""`keyledger organisation`: the tenants."""

from uuid import UUID

import click
from uuid_utils.compat import uuid7

from api import documents
from api.cli import listing, options
from api.cli.output import print_json, print_table, tell
from api.cli.session import open_ledger
from api.telling import retention
from ledger.commands import RegisterOrganisation, RenameOrganisation, SetRetention
from ledger.values import RETENTION_DAYS_MAX, Name
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


@organisation.command("set-retention")
@click.argument("organisation_id", type=click.UUID, metavar="ORGANISATION")
@click.option("--days", type=click.IntRange(0, RETENTION_DAYS_MAX), help="After so many days; 0 for never.")
@click.option("--installation", is_flag=True, help="As KEYLEDGER_RETENTION_DAYS says.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@options.reason
@options.expected_version
@options.as_json
def set_retention(
    organisation_id: UUID,
    days: int | None,
    installation: bool,
    yes: bool,
    reason: str,
    expected_version: int | None,
    json: bool,
) -> None:
    """Say after how many days personal data of an organisation's ended credentials is erased by itself.

    What is due by that goes within seconds and does not come back. `keyledger retention --dry-run --days` shows it.
    """
    if (days is None) != installation:
        raise click.UsageError("say either --days or --installation")
    with open_ledger() as session:
        if not yes:
            click.confirm("Erase for good what is due by this, now and from now on?", abort=True, err=True)
        receipt = session.services.ledger.handle(
            SetRetention(
                context=session.context(reason),
                expected_version=expected_version,
                organisation_id=organisation_id,
                days=days,
            )
        )
    if json:
        print_json(documents.organisation(status_row(receipt.state)))
    else:
        click.echo(f"Personal data of {receipt.state.name} is erased {retention(days)} (version {receipt.version}).")


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
