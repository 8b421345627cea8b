"""`keyledger activity`: who did what in an organisation, or in all of them."""

from collections.abc import Iterator
from datetime import datetime
from functools import partial
from itertools import islice
from typing import Any
from uuid import UUID

import click

from api import documents
from api.cli import listing, options
from api.cli.output import print_json_list, print_table, tell
from api.cli.session import Session, open_ledger
from ledger.service import ORGANISATION
from ledger.values import Name, parse_address
from projections.activity import TOPICS, VIEW, ActivityFilters, list_activity
from projections.pages import LIMIT_MAX
from projections.readings import Shown

ROWS = 200  # some screens


@click.command()
@click.option("--organisation", type=click.UUID, help="Whose; the whole installation's where left out.")
@click.option("--about", type=click.UUID, help="What it happened to: a credential, an account, an operator.")
@click.option("--operator", type=click.UUID, help="The operator who did it.")
@click.option("--actor", help="Who did it, as events name them: command_line:ada, holder, system.")
@click.option("--topic", type=click.Choice(sorted(TOPICS)), metavar="TOPIC", help="What kind of event.")
@click.option("--address", help="The address it came from.")
@click.option("--since", type=options.Moment(), help="From this time on.")
@click.option("--until", type=options.Moment(), help="Before this time.")
@click.option("--limit", type=click.IntRange(min=1), default=ROWS, show_default=True, help="At most so many.")
@options.as_json
def activity(
    organisation: UUID | None,
    about: UUID | None,
    operator: UUID | None,
    actor: str | None,
    address: str | None,
    limit: int,
    json: bool,
    **filters: Any,
) -> None:
    """Tell who did what, newest first: what happened to anything, without personal values."""
    if operator is not None and actor is not None:
        raise click.UsageError("--operator and --actor exclude each other")
    asked = ActivityFilters(
        aggregate_id=about,
        actor=f"operator:{operator}" if operator else actor and Name(actor, "actor"),
        address=address and str(parse_address(address, "address")),
        **filters,
    )
    with open_ledger() as session:
        if organisation is not None:
            session.services.ledger.load(ORGANISATION, organisation)  # an empty list of none would mislead
        session.shows(Shown.ACTIVITY, of=organisation, about=about)
        listing.catch_up(session, VIEW)
        rows = _rows(session, organisation, asked)
        if json:
            print_json_list(documents.activity(row) for row in islice(rows, limit))
            return
        print_table(
            ("at", "event", "about", "by", "through", "from", "why"),
            [_line(row) for row in islice(rows, limit)],
        )
        if next(rows, None) is not None:
            tell(f"These are the newest {limit}; there are more (--limit, --until).")


def _rows(session: Session, organisation: UUID | None, asked: ActivityFilters) -> Iterator[dict[str, Any]]:
    return listing.rows(partial(list_activity, session.services.store, organisation, asked, limit=LIMIT_MAX))


def _line(row: dict[str, Any]) -> tuple[datetime, str, UUID, str, str, str, str]:
    names = ("at", "topic", "aggregate_id", "actor", "via", "address", "reason")
    at, topic, about, actor, via, address, reason = (row[name] for name in names)
    return at, topic, about, actor, via, address, reason
