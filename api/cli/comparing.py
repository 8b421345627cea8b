"""`keyledger diff`: what changed of a thing between two moments."""

from datetime import UTC, datetime
from uuid import UUID

import click

from api import moments
from api.cli import options
from api.cli.history import existing, print_timeline, shown_of
from api.cli.output import print_json, print_table, tell
from api.cli.session import open_ledger
from api.documents import Document
from api.telling import moment
from projections.history import PRESENT
from projections.readings import Shown


@click.command()
@click.argument("aggregate_id", type=click.UUID, metavar="CREDENTIAL")
@click.option("--from", "since", required=True, metavar="MOMENT", help="A version, or a time with its zone.")
@click.option("--to", "until", metavar="MOMENT", help="The same; now where left out.")
@options.as_json
def diff(aggregate_id: UUID, since: str, until: str | None, json: bool) -> None:
    """Tell what changed of a credential, or of any other thing, between two moments, and through what."""
    with open_ledger() as session:
        now = datetime.now(UTC)
        life = existing(session, aggregate_id)
        first = moments.parse_moment(since, "from", now)
        last = PRESENT if until is None else moments.parse_moment(until, "to", now)
        shown_of(session, life, Shown.PAST)
        found = moments.difference(session.services, life, first, last, now)
        if json:
            print_json(found)
            return
        before, after = found["from"], found["to"]
        if not found["changes"]:
            tell("Nothing changed.")
        else:
            print_table(
                ("field", _title(before), _title(after)),
                [(name.replace("_", " "), c["before"], c["after"]) for name, c in found["changes"].items()],
            )
        print_timeline(session, life, life.recorded[before["version"] : after["version"]])


def _title(of: Document) -> str:
    return f"version {of['version']}, {moment(of['at'])}"
