"""`keyledger report`: what wants somebody's attention, of one organisation or of all.

A table shows as much as people read; CSV and JSON hold everything, written as it is read, so that a report of a million
credentials takes no more memory than one of ten.
"""

import csv as csv_format
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any
from uuid import UUID

import click

from api import documents
from api.cli import listing, options
from api.cli.output import print_json_list, print_table, tell
from api.cli.session import Session, open_ledger
from api.exporting.csv_files import harmless
from ledger.service import ORGANISATION
from projections.credential_list import CredentialFilters
from projections.credentials_as_of import owners_as_of
from projections.reports import DUE_DAYS, EXPIRING_DAYS, UNUSED_DAYS

TABLE_ROWS = 200  # some screens; whoever wants more says so or takes CSV

Document = dict[str, Any]
Documents = Callable[[Session, Document, datetime], Iterator[Document]]
"""The lines of a report about one organisation, whose row is given, at a moment."""


@dataclass(frozen=True, slots=True)
class _Output:
    """Whose report, and how it is written."""

    organisation: UUID | None
    limit: int | None
    json: bool
    csv: bool


def _reporting(command: options.Decorated) -> options.Decorated:
    """The options that every report has."""
    for option in (
        options.as_json,
        click.option("--csv", is_flag=True, help="Print CSV (RFC 4180), everything in it."),
        click.option("--limit", type=click.IntRange(min=1), help=f"At most so many; a table has {TABLE_ROWS}."),
        click.option("--organisation", type=click.UUID, help="Whose; everybody's where left out."),
    ):
        command = option(command)
    return command


@click.group()
def report() -> None:
    """Tell what wants attention: secrets to rotate, credentials that nobody uses or answers for, and who answers."""


@report.command()
@click.option(
    "--within", type=options.Duration(), default=f"{DUE_DAYS}d", show_default=True, help="How far ahead to look."
)
@options.as_of
@_reporting
def due(within: timedelta, **output: Any) -> None:
    """Secrets whose rotation falls due soon, with those that are overdue already."""
    _credentials(lambda now: CredentialFilters(due_before=now + within), "rotation_due_at", **output)


@report.command()
@options.as_of
@_reporting
def overdue(**output: Any) -> None:
    """Secrets that are older than the rotation period (KEYLEDGER_ROTATION_DAYS, 90 by default)."""
    _credentials(lambda _: CredentialFilters(overdue=True), "rotation_due_at", **output)


@report.command()
@click.option(
    "--for", "period", type=options.Duration(), default=f"{UNUSED_DAYS}d", show_default=True, help="For how long."
)
@_reporting
def unused(period: timedelta, **output: Any) -> None:
    """Good credentials that were not used for some time, and are older than that."""
    _credentials(lambda now: CredentialFilters(unused_since=now - period), "last_used_at", **output)


@report.command()
@click.option(
    "--within", type=options.Duration(), default=f"{EXPIRING_DAYS}d", show_default=True, help="How far ahead to look."
)
@options.as_of
@_reporting
def expiring(within: timedelta, **output: Any) -> None:
    """Good credentials that end by themselves soon."""
    _credentials(lambda now: CredentialFilters(expiring_before=now + within), "expires_at", **output)


@report.command("without-owner")
@options.as_of
@_reporting
def without_owner(**output: Any) -> None:
    """Good credentials for which nobody's email is known."""
    _credentials(lambda _: CredentialFilters(without_owner=True), "created_at", **output)


@report.command("by-owner")
@options.as_of
@_reporting
def by_owner(as_of: datetime | None, **output: Any) -> None:
    """Who answers for how many good credentials, and for how many that are overdue."""
    columns = ("contact_email", "credentials", "overdue", "next_rotation_due_at")
    _write(_owners_of_then if as_of else _owners, columns, columns, as_of, **output)


_OF_CREDENTIALS = (
    "id",
    "name",
    "status",
    "kind",
    "public_id",
    "mode",
    "environment",
    "contact_email",
    "created_at",
    "rotation_due_at",
    "expires_at",
    "last_used_at",
)


def _credentials(
    filters_at: Callable[[datetime], CredentialFilters], about: str, as_of: datetime | None = None, **output: Any
) -> None:
    """A report of credentials; `about` is the moment for which they are in it, the table's last column."""
    listed = listing.credentials_of_then if as_of else listing.credentials

    def documents(session: Session, organisation: Document, now: datetime) -> Iterator[Document]:
        for row in listed(session, organisation["organisation_id"], filters_at(now), now):
            document = session.document(row, now)
            uses = [secret["last_used_at"] for secret in document["secrets"] if secret["last_used_at"]]
            yield document | {"last_used_at": max(uses, default=None)}

    shown = ("id", "name", "status", "kind", "public_id", "mode", "contact_email", about)
    _write(documents, _OF_CREDENTIALS, shown, as_of, **output)


def _owners(session: Session, organisation: Document, now: datetime) -> Iterator[Document]:
    rotation_days = session.services.settings.rotation_days
    for row in listing.owners(session, organisation["organisation_id"], now):
        yield documents.owner(row, rotation_days)


def _owners_of_then(session: Session, organisation: Document, at: datetime) -> Iterator[Document]:
    rotation_days = session.services.settings.rotation_days
    for row in owners_as_of(session.services.log, organisation["organisation_id"], at):
        yield documents.owner(row, rotation_days)


# --- writing ---------------------------------------------------------------------------------------------------------


def _write(
    documents: Documents,
    columns: Sequence[str],
    shown: Sequence[str],
    as_of: datetime | None = None,
    **output: Any,
) -> None:
    """Write a report: `columns` in CSV, those `shown` in a table, the whole documents in JSON."""
    to = _Output(**output)
    if to.json and to.csv:
        raise click.UsageError("--json and --csv exclude each other")
    with open_ledger() as session:
        now = options.moment_asked(as_of)
        if to.organisation is not None:
            session.services.ledger.load(ORGANISATION, to.organisation)  # an empty report of none would mislead
        hints = to.json and columns is _OF_CREDENTIALS
        session.shows(*listing.shown(hints=hints, past=as_of is not None), of=to.organisation)
        listing.catch_up(session)
        lines = (
            (organisation["name"], document)
            for organisation in listing.organisations(session, to.organisation)
            for document in documents(session, organisation, now)
        )
        if to.json:
            print_json_list(document for _, document in islice(lines, to.limit))
        elif to.csv:
            _print_csv(columns, islice(lines, to.limit))
        else:
            _print_table(shown, lines, to.limit or TABLE_ROWS, of_one=to.organisation is not None)


def _print_table(columns: Sequence[str], lines: Iterator[tuple[str, Document]], limit: int, *, of_one: bool) -> None:
    first = list(islice(lines, limit))
    whose: tuple[str, ...] = () if of_one else ("organisation",)
    titles = [_TITLES.get(column, column.removesuffix("_at").replace("_", " ")) for column in columns]
    print_table(
        (titles[0], *whose, *titles[1:]),
        [
            (document[columns[0]], *(() if of_one else (name,)), *(document[column] for column in columns[1:]))
            for name, document in first
        ],
    )
    if next(lines, None) is not None:
        tell(f"These are the first {limit}; there are more (--limit, --csv or --json).")


_TITLES = {"contact_email": "contact", "public_id": "public id or login"}


def _print_csv(columns: Sequence[str], lines: Iterable[tuple[str, Document]]) -> None:
    writer = csv_format.writer(sys.stdout)
    writer.writerow(("organisation_id", "organisation", *columns))
    for name, document in lines:
        cells = (document["organisation_id"], name, *(document[column] for column in columns))
        writer.writerow(map(_csv_cell, cells))


def _csv_cell(value: object) -> str:
    """A value in CSV: moments in RFC 3339, to the second as people read them."""
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    return harmless("" if value is None else str(value))
