"""`keyledger credential revoke-all`: many credentials at once, after a look at which."""

import re
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import click

from api import bulk_revoking, documents
from api.bulk_revoking import DryRun
from api.cli import listing, options
from api.cli.output import print_facts, print_json, print_table, progress_bar, task, tell
from api.cli.session import Session, open_ledger
from ledger.bulk_revocation import BulkRevocation, Selection
from ledger.errors import NothingChanged, Unavailable
from ledger.service import BULK_REVOCATION, ORGANISATION
from ledger.values import (
    Channel,
    EmailAddress,
    Environment,
    Kind,
    LabelKey,
    LabelValue,
    Mode,
    PublicId,
    RevocationReason,
)
from projections.bulk_revocation_status import rows_of_credentials, status_row

SHOWN_MAX = 20  # of a table to read before one says yes; the count and the digest are of all
OTHERS_SECONDS = 0.1  # between looks at a run that somebody else is at
STUCK_SECONDS_MAX = 30.0  # whoever is at it takes a second for a step

# With its hyphens: without them it may be the public id of something imported.
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


@click.command("revoke-all")
@click.option("--organisation", type=click.UUID, help="Whose.")
@click.option("--contact-email", help="Those that this address answers for.")
@click.option("--account", "account_id", type=click.UUID, help="Those of an account.")
@click.option("--application", "application_id", type=click.UUID, help="Those of an application.")
@click.option("--label", type=options.KeyValue(), metavar="NAME=VALUE", help="Those with this label.")
@click.option("--kind", type=options.OneOf(Kind))
@click.option("--mode", type=options.OneOf(Mode))
@click.option("--environment", type=options.OneOf(Environment))
@click.option("--channel", type=options.OneOf(Channel))
@click.option("--created-before", type=options.Moment(), help="Those that were created before that time.")
@click.option(
    "--ids-file",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
    help="Those whose ids, or public ids and logins, stand in a file, one a line; - for standard input.",
)
@click.option(
    "--because",
    type=options.OneOf(RevocationReason),
    default=RevocationReason.UNSPECIFIED,
    show_default=True,
    help="The typed reason; --reason is for your own words.",
)
@options.reason
@click.option("--dry-run", is_flag=True, help="Look, and touch nothing.")
@click.option("--digest", help="Do not ask: revoke if it is still what a dry run with this digest showed.")
@click.option("--yes", is_flag=True, help="Do not ask: revoke whatever it covers now.")
@click.option("--resume", type=click.UUID, metavar="RUN", help="Go on with a run that was cut off.")
@options.as_json
def revoke_all(
    organisation: UUID | None,
    because: RevocationReason,
    reason: str,
    dry_run: bool,
    digest: str | None,
    yes: bool,
    resume: UUID | None,
    json: bool,
    **chosen: Any,
) -> None:
    """Revoke every credential that all of the options hold for, after a look at which.

    Shows them first and asks. What is created meanwhile is none of them, and what changed between look and yes is
    refused (exit code 5). Each gets a revocation of its own in its history. Where this is cut off, a running service
    goes on with it, and so does --resume.
    """
    if resume is not None:
        if organisation is not None or any(value is not None for value in chosen.values()):
            raise click.UsageError("--resume takes the run alone: what it covers was confirmed")
        with open_ledger() as session:
            _carry_out(session, resume, json)
        return
    if organisation is None:
        raise click.UsageError("say whose: --organisation")
    if sum((dry_run, digest is not None, yes)) > 1:
        raise click.UsageError("--dry-run, --digest and --yes exclude each other")
    selection = _selection(chosen)
    with open_ledger() as session:
        session.services.ledger.load(ORGANISATION, organisation)
        looked = _look(session, organisation, selection, because)
        if dry_run:
            session.shows(*listing.shown(hints=json, past=False), of=organisation)
            _print_looked(session, looked, json)
            return
        if not looked.credential_ids:
            raise NothingChanged("no open credential is covered")
        if digest is None and not yes:
            _print_looked(session, looked, json=False)
            click.confirm(
                f"Refuse all that is covered, {len(looked.credential_ids)} in number, for good?", abort=True, err=True
            )
        # What was shown is a moment old by now. Asked for by digest or after a question, it must still be the same.
        now = _look(session, organisation, selection, because)
        agreed = now.digest if yes else digest or looked.digest
        command = bulk_revoking.confirmed(now, agreed, session.context(reason))
        _carry_out(session, session.services.ledger.handle(command).id, json)


def _selection(chosen: dict[str, Any]) -> Selection:
    values = {name: value for name, value in chosen.items() if name not in ("label", "ids_file")}
    if values["contact_email"] is not None:
        values["contact_email"] = EmailAddress(values["contact_email"])
    if chosen["label"] is not None:
        name, value = chosen["label"]
        values["label"] = (LabelKey(name), LabelValue(value))
    if chosen["ids_file"] is not None:
        values["ids"], values["public_ids"] = _named(chosen["ids_file"])
    return Selection(**values)


def _named(file: Path) -> tuple[tuple[UUID, ...] | None, tuple[PublicId, ...] | None]:
    """The ids in a file, or the public ids and logins: one sort of them."""
    ids, public_ids = dict[UUID, None](), dict[PublicId, None]()
    for number, line in enumerate(options.read_lines(file), 1):
        name = line.strip()
        if _UUID.fullmatch(name):
            ids[UUID(name)] = None
        elif name:
            public_ids[PublicId(name, f"line {number}")] = None
    if ids and public_ids:
        raise click.UsageError(f"{file} holds ids and public ids: make two runs of them")
    if not ids and not public_ids:
        raise click.UsageError(f"{file} names nothing")
    return tuple(ids) or None, tuple(public_ids) or None


def _look(session: Session, organisation: UUID, selection: Selection, because: RevocationReason) -> DryRun:
    return bulk_revoking.dry_run(session.services, organisation, selection, because, datetime.now(UTC))


def _print_looked(session: Session, looked: DryRun, json: bool) -> None:
    now, count = datetime.now(UTC), len(looked.credential_ids)
    shown: Sequence[documents.Row] = rows_of_credentials(session.services.store, looked.credential_ids[:SHOWN_MAX])
    if json:
        print_json(
            {
                "count": count,
                "digest": looked.digest,
                "credentials": [session.document(row, now) for row in shown],
                "truncated": count > len(shown),
            }
        )
        return
    columns = ("credential_id", "name", "kind", "public_id", "mode", "contact_email")
    print_table(
        ("id", "name", "kind", "public id or login", "mode", "contact"),
        [tuple(row[column] for column in columns) for row in shown],
    )
    if count > len(shown):
        tell(f"These are the first {len(shown)}.")
    print_facts((("covered", count), ("digest", looked.digest)))


def _carry_out(session: Session, run_id: UUID, json: bool) -> None:
    """Step by step, together with whatever service is at it too, until nothing is left."""
    run = _run(session, run_id)
    moved_at = time.monotonic()
    try:
        with progress_bar() as progress:
            show = task(progress, "Revoking")
            while run.finished_at is None:
                show(run.total - len(run.left), run.total)
                before = run.version
                if not bulk_revoking.advance(session.services, run_id):
                    time.sleep(OTHERS_SECONDS)
                run = _run(session, run_id)
                if run.version != before:
                    moved_at = time.monotonic()
                elif time.monotonic() - moved_at > STUCK_SECONDS_MAX:
                    raise Unavailable("the run does not move on")
    except BaseException:
        tell(f"Run {run_id} is not finished: a running service goes on with it, and so does --resume {run_id}.")
        raise
    if json:
        print_json(documents.bulk_revocation(status_row(run)))
    else:
        tell(f"Revoked {run.revoked} of {run.total}; {run.skipped} had been revoked already. The run was {run_id}.")


def _run(session: Session, run_id: UUID) -> BulkRevocation:
    found: BulkRevocation = session.services.ledger.load(BULK_REVOCATION, run_id)
    return found
