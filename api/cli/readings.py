"""`keyledger readings`: who read what of an organisation, or of all of them."""

from datetime import datetime
from functools import partial
from itertools import islice
from uuid import UUID

import click

from api import documents
from api.cli import listing, options
from api.cli.output import print_json_list, print_table, tell
from api.cli.session import open_ledger
from ledger.service import ORGANISATION
from ledger.values import Name
from projections.pages import LIMIT_MAX
from projections.readings import ReadingFilters, Shown, list_readings

ROWS = 200  # some screens


@click.command()
@click.option("--organisation", type=click.UUID, help="Of whose things; the whole installation's where left out.")
@click.option("--operator", type=click.UUID, help="The operator who read.")
@click.option("--actor", help="Who read, as events name them: command_line:ada.")
@click.option("--about", type=click.UUID, help="What was read: a credential, an account, an operator.")
@click.option("--since", type=options.Moment(), help="From this time on.")
@click.option("--until", type=options.Moment(), help="Before this time.")
@click.option("--limit", type=click.IntRange(min=1), default=ROWS, show_default=True, help="At most so many.")
@options.as_json
def readings(
    organisation: UUID | None,
    operator: UUID | None,
    actor: str | None,
    about: UUID | None,
    since: datetime | None,
    until: datetime | None,
    limit: int,
    json: bool,
) -> None:
    """Tell who read histories, the past, addresses of use, hints of secrets and files of exports, newest first."""
    if operator is not None and actor is not None:
        raise click.UsageError("--operator and --actor exclude each other")
    by = f"operator:{operator}" if operator else actor and Name(actor, "actor")
    asked = ReadingFilters(by, about, since, until)
    with open_ledger() as session:
        if organisation is not None:
            session.services.ledger.load(ORGANISATION, organisation)  # an empty list of none would mislead
        session.shows(Shown.READINGS, of=organisation, about=about)
        rows = listing.rows(partial(list_readings, session.services.store, organisation, asked, limit=LIMIT_MAX))
        shown = [documents.reading(row) for row in islice(rows, limit)]
        if json:
            print_json_list(shown)
            return
        print_table(
            ("at", "by", "as", "read", "about", "through", "from"),
            [
                (
                    one["at"],
                    one["actor"],
                    ", ".join(one["roles"]),
                    ", ".join(one["what"]),
                    one["aggregate_id"] or "",
                    one["via"],
                    one["address"],
                )
                for one in shown
            ],
        )
        if next(rows, None) is not None:
            tell(f"These are the newest {limit}; there are more (--limit, --until).")
