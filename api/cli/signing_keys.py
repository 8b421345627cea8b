"""`keyledger signing-key`: the key that access tokens are signed with."""

from datetime import UTC, datetime, timedelta

import click

from api.cli import options
from api.cli.output import print_json, print_table
from api.cli.session import open_ledger
from api.signing import CACHED_SECONDS, issue_signing_key, key_document, overlap_of
from api.telling import moment
from ledger.values import SigningAlgorithm
from projections.signing_key_status import list_signing_keys, published


@click.group("signing-key")
def signing_key() -> None:
    """Rotate and list the keys that access tokens are signed with."""


@signing_key.command()
@click.option("--algorithm", type=options.OneOf(SigningAlgorithm), default=SigningAlgorithm.EDDSA, show_default=True)
@click.option("--now", "at_once", is_flag=True, help="End every token that was signed before, as after a compromise.")
@options.reason
@options.as_json
def rotate(algorithm: str, at_once: bool, reason: str, json: bool) -> None:
    """Sign with a new key, once every copy of the keys has it. The one before stays until no token of it is good."""
    with open_ledger() as session:
        context = session.context(reason)
        overlap = timedelta(0) if at_once else overlap_of(session.services.settings.access_token_seconds)
        command = issue_signing_key(session.services.keyring, context, SigningAlgorithm(algorithm), overlap=overlap)
        receipt = session.services.ledger.handle(command)
    newest = published(receipt.state)[-1]
    if json:
        print_json(key_document(newest))
    elif at_once or newest.version == 1:
        click.echo(f"Tokens are signed with key {newest.kid} ({newest.algorithm}), and no other ones are good.")
    else:
        since, until = moment(context.at + timedelta(seconds=CACHED_SECONDS)), moment(context.at + overlap)
        click.echo(
            f"Tokens are signed with key {newest.kid} ({newest.algorithm}) from {since} on, when every copy of the "
            f"keys has it; the one before is good until {until}."
        )


@signing_key.command("list")
@click.option("--all", "every", is_flag=True, help="Those of which no token is good any more, too.")
@options.as_json
def list_(every: bool, json: bool) -> None:
    """List the keys whose tokens are good, the newest first."""
    with open_ledger() as session:
        keys = list_signing_keys(session.services.store, None if every else datetime.now(UTC))
    if json:
        print_json({"data": [key_document(key) for key in keys]})
    else:
        rows = [(key.kid, key.algorithm, key.created_at, key.expires_at) for key in keys]
        print_table(("key", "algorithm", "since", "until"), rows)
