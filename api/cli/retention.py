"""`keyledger retention`: whose personal data the retention policy erases, and when; and erasing what is due now."""

from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID

import click

from api import documents
from api.cli import listing, options
from api.cli.output import print_json_list, print_table, tell
from api.cli.session import open_ledger
from api.retaining import retention_days_of, sweep_retention
from ledger.values import RETENTION_DAYS_MAX
from projections.credential_list import VIEW
from projections.pages import LIMIT_MAX
from projections.retention import list_to_erase


@click.command()
@click.option("--dry-run", is_flag=True, help="Show what would be erased, and when; erase nothing.")
@click.option("--organisation", type=click.UUID, help="Whose to show; all of them where left out.")
@click.option(
    "--days",
    type=click.IntRange(1, RETENTION_DAYS_MAX),
    help="Show a policy of so many days rather than the one that holds.",
)
@options.as_json
def retention(dry_run: bool, organisation: UUID | None, days: int | None, json: bool) -> None:
    """Erase the personal data that is due by the retention policy, as the sweeper does; or show what would be."""
    if not dry_run and (organisation or days or json):
        raise click.UsageError("--organisation, --days and --json are for a --dry-run")
    with open_ledger() as session:
        services, now = session.services, datetime.now(UTC)

        def policy_of(one: dict[str, Any]) -> int:
            return retention_days_of(one, services.settings) if days is None else days

        if not any(map(policy_of, listing.organisations(session, organisation))):
            tell("There is no retention policy: KEYLEDGER_RETENTION_DAYS is 0 (--dry-run --days shows one).")
        listing.catch_up(session, VIEW)
        if not dry_run:
            erased = 0
            while count := sweep_retention(services):
                erased += count
                listing.catch_up(session, VIEW)
            click.echo(f"Erased the personal data of {erased} credentials.")
            return
        rows = (
            documents.to_erase(row, now)
            for one in listing.organisations(session, organisation)
            for row in listing.rows(
                partial(list_to_erase, services.store, one["organisation_id"], policy_of(one), limit=LIMIT_MAX)
            )
        )
        if json:
            print_json_list(rows)
        else:
            columns = ("credential_id", "name", "kind", "mode", "ended_at", "erase_at", "due")
            print_table(
                ("credential", "name", "kind", "mode", "ended", "erased from", "due"),
                [tuple(row[column] for column in columns) for row in rows],
            )
