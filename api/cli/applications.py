"""`keyledger application`: what integrators register, connect to APIs and hold credentials for."""

from typing import Any, cast
from uuid import UUID

import click
from uuid_utils.compat import uuid7

from api import documents
from api.cli import options
from api.cli.output import print_facts, print_json, print_secret, print_table, tell
from api.cli.session import Session, open_ledger
from api.granting import connectable, key_pair
from ledger.application import Application
from ledger.catalogue import PRESETS
from ledger.commands import ArchiveApplication, Command, ConnectApis, DescribeApplication, RegisterApplication
from ledger.issuing import Wanted
from ledger.service import APPLICATION, ORGANISATION
from ledger.values import Description, Environment, Mode, Name, optional
from projections import credential_status
from projections.application_status import ApplicationFilters, list_applications, status_row
from projections.pages import LIMIT_MAX

_APPLICATION = click.argument("application_id", type=click.UUID, metavar="APPLICATION")


@click.group()
def application() -> None:
    """Register, list, show, describe, connect and archive applications, and tell their history."""


@application.command()
@click.argument("title")
@click.option("--organisation", type=click.UUID, required=True, help="Whose it will be.")
@click.option("--description")
@click.option("--account", type=click.UUID, help="The account that it belongs to.")
@click.option("--api", "apis", multiple=True, help="An API to connect it to; may be given repeatedly.")
@click.option(
    "--generate", type=options.OneOf(Environment), help="Generate its first key pair too, for this environment."
)
@click.option("--mode", type=options.OneOf(Mode), help="Generate one for this mode, where no environment tells it.")
@click.option("--name", help="What people call the key pair.")
@click.option("--contact-email", help="Who answers for the key pair.")
@click.option(
    "--preset", type=click.Choice(list(PRESETS)), help="All that the APIs take, where none and no scope is named."
)
@click.option("--scope", "scopes", multiple=True, help="Of the key pair: entity:action; may be given repeatedly.")
@options.reason
@options.as_json
def register(
    title: str,
    organisation: UUID,
    description: str | None,
    account: UUID | None,
    apis: tuple[str, ...],
    generate: str | None,
    mode: str | None,
    scopes: tuple[str, ...],
    reason: str,
    json: bool,
    **described: str | None,
) -> None:
    """Register an application and print its App ID.

    With --generate or --mode its first key pair is made in the same commit, and what is printed is its secret key, this
    once.
    """
    generates = generate is not None or mode is not None
    if not generates and (scopes or any(described.values())):
        raise click.UsageError("--name, --contact-email, --preset and --scope are the key pair's: --generate it too")
    with open_ledger() as session:
        session.services.ledger.load(ORGANISATION, organisation)
        catalogue = session.services.catalogues.current(organisation)
        command = RegisterApplication(
            context=session.context(reason),
            application_id=uuid7(),
            organisation_id=organisation,
            account_id=account,
            title=Name(title, "title"),
            description=optional(Description, description),
            apis=connectable(catalogue, apis),
        )
        if not generates:
            state = session.services.ledger.handle(command).state
            if json:
                print_json(_document(state))
            else:
                tell(f"Registered application {state.title}. Its App ID:")
                click.echo(str(state.id))
            return
        wanted = cast("Wanted", {"environment": generate, "mode": mode, "scopes": scopes or None, **described})
        create, secret = key_pair(session.services, catalogue, command, wanted)
        registered, created = session.services.ledger.handle_all([command, create])
        if json:
            row = credential_status.status_row(created.state)
            print_json(
                _document(registered.state)
                | {"credential": session.document(row, command.context.at), "secret": secret.plaintext}
            )
        else:
            tell(f"Registered application {registered.state.title}, App ID {registered.id}.")
            tell(f"Credential {created.id}, shared key {created.state.public_id}.")
            print_secret(secret.plaintext, "secret key")


@application.command("list")
@click.option("--organisation", type=click.UUID, required=True, help="Whose.")
@click.option("--search", "q", metavar="TEXT", help="Stands in the title, the description or the App ID.")
@click.option("--archived/--not-archived", default=None, help="Only those; all where neither is given.")
@click.option("--account", type=click.UUID)
@click.option("--limit", type=click.IntRange(min=1), default=200, show_default=True, help="At most so many.")
@options.as_json
def list_(organisation: UUID, limit: int, json: bool, **filters: Any) -> None:
    """List an organisation's applications, newest first."""
    with open_ledger() as session:
        session.services.ledger.load(ORGANISATION, organisation)  # an empty list of no organisation would mislead
        rows, more = _listed(session, organisation, ApplicationFilters(**filters), limit)
    if json:
        print_json({"data": [documents.application(row) for row in rows], "pagination": {"has_more": more}})
        return
    print_table(
        ("id", "title", "description", "apis", "archived", "created"),
        [
            (r["application_id"], r["title"], r["description"], r["apis"], r["archived_at"], r["created_at"])
            for r in rows
        ],
    )
    if more:
        tell(f"These are the newest {limit}; there are more (--limit).")


@application.command()
@_APPLICATION
@options.as_json
def show(application_id: UUID, json: bool) -> None:
    """Show one application."""
    with open_ledger() as session:
        found = _existing(session, application_id)
        if json:
            apis = documents.connected_apis(found.apis, session.services.catalogues.current(found.organisation_id))
            print_json(_document(found) | {"connected_apis": apis})
        else:
            print_facts(application_facts(found))


@application.command()
@_APPLICATION
@click.option("--title")
@click.option("--description", help="Empty to clear it.")
@options.reason
@options.expected_version
@options.as_json
def describe(
    application_id: UUID,
    title: str | None,
    description: str | None,
    reason: str,
    expected_version: int | None,
    json: bool,
) -> None:
    """Change an application's title or description. What is left out stays."""
    with open_ledger() as session:
        command = DescribeApplication(
            context=session.context(reason),
            expected_version=expected_version,
            application_id=application_id,
            title=None if title is None else Name(title, "title"),
            description=None if description is None else Description(description),
        )
        _carry_out(session, command, "Described.", json)


@application.command()
@_APPLICATION
@click.argument("api", nargs=-1)
@click.option("--none", is_flag=True, help="Connect it to none.")
@options.reason
@options.expected_version
@options.as_json
def connect(
    application_id: UUID, api: tuple[str, ...], none: bool, reason: str, expected_version: int | None, json: bool
) -> None:
    """Set the APIs, whole, that an application is connected to. A narrower set acts at once."""
    if none == bool(api):
        raise click.UsageError("name the APIs, or say --none")
    with open_ledger() as session:
        found = _existing(session, application_id)
        command = ConnectApis(
            context=session.context(reason),
            expected_version=expected_version,
            application_id=application_id,
            apis=connectable(session.services.catalogues.current(found.organisation_id), api),
        )
        _carry_out(session, command, "Connected to none." if none else "Connected.", json)


@application.command()
@_APPLICATION
@click.option("--yes", is_flag=True, help="Do not ask.")
@options.reason
@options.expected_version
@options.as_json
def archive(application_id: UUID, yes: bool, reason: str, expected_version: int | None, json: bool) -> None:
    """Archive an application: its credentials are refused from now on. There is no way back."""
    if not yes:
        click.confirm(f"Refuse all credentials of application {application_id} for good?", abort=True, err=True)
    with open_ledger() as session:
        command = ArchiveApplication(
            context=session.context(reason), expected_version=expected_version, application_id=application_id
        )
        _carry_out(session, command, "Archived. Its credentials are refused from now on.", json)


def application_facts(found: Application) -> list[tuple[str, object]]:
    """An application as people read it."""
    return [
        ("App ID", found.id),
        ("organisation", found.organisation_id),
        ("account", found.account_id),
        ("title", found.title),
        ("description", found.description),
        ("connected APIs", found.apis),
        ("created", found.created_at),
        ("archived", found.archived and found.archived.at),
        ("version", found.version),
    ]


def _existing(session: Session, application_id: UUID) -> Application:
    found: Application = session.services.ledger.load(APPLICATION, application_id)
    return found


def _document(found: Application) -> documents.Document:
    return documents.application(status_row(found))


def _carry_out(session: Session, command: Command, done: str, json: bool) -> None:
    state = session.services.ledger.handle(command).state
    if json:
        print_json(_document(state))
    else:
        click.echo(done)


def _listed(
    session: Session, organisation_id: UUID, filters: ApplicationFilters, limit: int
) -> tuple[list[dict[str, Any]], bool]:
    """At most `limit` rows, page by page, and whether there are more."""
    rows: list[dict[str, Any]] = []
    cursor = None
    while len(rows) < limit:
        page = list_applications(
            session.services.store, organisation_id, filters, cursor=cursor, limit=min(LIMIT_MAX, limit - len(rows))
        )
        rows.extend(page.rows)
        cursor = page.cursor
        if cursor is None:
            return rows, False
    return rows, True
