"""`keyledger account`: what an organisation's credentials belong to."""

from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import click

from api import documents
from api.cli import options
from api.cli.output import print_facts, print_json, print_secret, print_table, tell
from api.cli.session import Session, open_ledger
from ledger.account import Account
from ledger.commands import CloseAccount, Command, DescribeAccount
from ledger.errors import NotFound
from ledger.opening import issue_account
from ledger.service import ORGANISATION
from ledger.values import AccountKind, Name, Reference
from projections import credential_status
from projections.account_status import AccountFilters, find_account, list_accounts
from projections.pages import LIMIT_MAX

_ACCOUNT = click.argument("account_id", type=click.UUID, metavar="ACCOUNT")


@click.group()
def account() -> None:
    """Open, list, show, describe and close accounts, and tell their history."""


@account.command("open")
@click.option("--organisation", type=click.UUID, required=True, help="Whose it will be.")
@click.option("--kind", type=options.OneOf(AccountKind), required=True)
@click.option("--name", required=True)
@click.option("--parent", "parent_id", type=click.UUID, help="A sub-account's master.")
@click.option("--reference", help="Your own number or key for it.")
@click.option("--opened-on", type=options.Day(), help="Since when it exists; today where left out.")
@options.reason
@options.as_json
def open_(
    organisation: UUID,
    kind: str,
    name: str,
    parent_id: UUID | None,
    reference: str | None,
    opened_on: date | None,
    reason: str,
    json: bool,
) -> None:
    """Open an account and print its id.

    A master of before the cut-off day begins with a login on each default channel, whose secret is printed this once.
    """
    with open_ledger() as session:
        services = session.services
        opening = issue_account(
            services.keyring.digests,
            services.catalogues.current(organisation),
            session.context(reason),
            services.settings,
            organisation,
            kind=kind,
            name=name,
            parent_id=parent_id,
            reference=reference,
            opened_on=opened_on,
        )
        opened, *logins = (receipt.state for receipt in services.ledger.handle_all(opening.commands))
        shown = list(zip(logins, (secret.plaintext for _, secret in opening.logins), strict=True))
        if json:
            now = datetime.now(UTC)
            credentials = [
                {**session.document(credential_status.status_row(login), now), "secret": secret}
                for login, secret in shown
            ]
            print_json(_document(session, opened) | {"credentials": credentials})
            return
        tell(f"Opened {opened.kind} account {opened.name}. Its id:")
        click.echo(str(opened.id))
        for login, secret in shown:
            tell(f"Channel {login.channel}, login {login.public_id}.")
            print_secret(secret, "secret")


@account.command("list")
@click.option("--organisation", type=click.UUID, required=True, help="Whose.")
@click.option("--kind", type=options.OneOf(AccountKind))
@click.option("--parent", type=click.UUID, help="Sub-accounts of this master.")
@click.option("--open/--closed", "is_open", default=None, help="Only these.")
@click.option("--search", "q", metavar="TEXT", help="A part of the name or of the reference.")
@click.option("--limit", type=click.IntRange(min=1), default=200, show_default=True, help="At most so many.")
@options.as_json
def list_(
    organisation: UUID,
    kind: AccountKind | None,
    parent: UUID | None,
    is_open: bool | None,
    q: str | None,
    limit: int,
    json: bool,
) -> None:
    """List an organisation's accounts, in the order in which they were entered."""
    filters = AccountFilters(kind=kind, parent=parent, closed=None if is_open is None else not is_open, q=q)
    with open_ledger() as session:
        session.services.ledger.load(ORGANISATION, organisation)  # an empty list of no organisation would mislead
        rows, more = _listed(session, organisation, filters, limit)
    found = [documents.account(row) for row in rows]
    if json:
        print_json({"data": found, "pagination": {"has_more": more}})
        return
    columns = ("id", "name", "kind", "status", "reference", "opened on", "channels")
    print_table(
        columns,
        [
            (
                a["id"],
                a["name"],
                a["kind"],
                a["status"],
                a["reference"],
                a["opened_on"],
                [one["channel"] for one in a["channels"]],
            )
            for a in found
        ],
    )
    if more:
        tell(f"These are the first {limit}; there are more (--limit).")


@account.command()
@_ACCOUNT
@options.as_json
def show(account_id: UUID, json: bool) -> None:
    """Show one account, with the channels on which a key of its own is good."""
    with open_ledger() as session:
        found = _document(session, session.account(account_id))
    if json:
        print_json(found)
    else:
        print_facts(account_facts(found))


@account.command()
@_ACCOUNT
@click.option("--name")
@click.option("--reference", help="Empty to clear it.")
@options.reason
@options.expected_version
@options.as_json
def describe(
    account_id: UUID,
    name: str | None,
    reference: str | None,
    reason: str,
    expected_version: int | None,
    json: bool,
) -> None:
    """Change an account's name or reference. What is left out stays."""
    with open_ledger() as session:
        command = DescribeAccount(
            context=session.context(reason),
            expected_version=expected_version,
            account_id=account_id,
            name=None if name is None else Name(name),
            reference=None if reference is None else Reference(reference),
        )
        _carry_out(session, command, "Described.", json)


@account.command()
@_ACCOUNT
@click.option("--reason", required=True, metavar="TEXT", help="Why you do this; kept in every history that this ends.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@options.expected_version
@options.as_json
def close(account_id: UUID, reason: str, yes: bool, expected_version: int | None, json: bool) -> None:
    """Close an account for good. Its credentials, and a master's sub-accounts, are refused at once."""
    with open_ledger() as session:
        if not yes:
            name = session.account(account_id).name
            click.confirm(f"Refuse every credential of {name} from now on, for good?", abort=True, err=True)
        command = CloseAccount(
            context=session.context(reason), expected_version=expected_version, account_id=account_id
        )
        _carry_out(session, command, "Closed. What hangs on it is refused from now on.", json)


def account_facts(found: documents.Document) -> list[tuple[str, object]]:
    """An account as people read it, from its document; of the past without channels, which its events do not tell."""
    return [
        ("id", found["id"]),
        ("organisation", found["organisation_id"]),
        ("name", found["name"]),
        ("kind", found["kind"]),
        ("status", found["status"]),
        ("master", found["parent_id"]),
        ("reference", found["reference"]),
        ("opened on", found["opened_on"]),
        *([("active channels", _channels(found))] if "channels" in found else []),
        ("closed", found["closed_at"]),
        ("closed by", found["closed_by"]),
        ("closed because", found["closed_reason"]),
        ("version", found["version"]),
    ]


def _channels(found: documents.Document) -> list[str]:
    return [f"{one['channel']} ({one['public_id']})" for one in found["channels"]]


def _listed(
    session: Session, organisation_id: UUID, filters: AccountFilters, limit: int
) -> tuple[list[dict[str, Any]], bool]:
    """At most `limit` rows, page by page, and whether there are more."""
    rows: list[dict[str, Any]] = []
    cursor = None
    while len(rows) < limit:
        page = list_accounts(
            session.services.store,
            organisation_id,
            filters,
            now=datetime.now(UTC),
            cursor=cursor,
            limit=min(LIMIT_MAX, limit - len(rows)),
        )
        rows.extend(page.rows)
        cursor = page.cursor
        if cursor is None:
            return rows, False
    return rows, True


def _carry_out(session: Session, command: Command, said: str, json: bool) -> None:
    receipt = session.services.ledger.handle(command)
    if json:
        print_json(_document(session, receipt.state))
    else:
        click.echo(f"Account {receipt.id}: {said} (version {receipt.version})")


def _document(session: Session, found: Account) -> documents.Document:
    row = find_account(session.services.store, found.organisation_id, found.id, now=datetime.now(UTC))
    if row is None:
        raise NotFound("account")
    return documents.account(row)
