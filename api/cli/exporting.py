"""Files for other tools: `keyledger audit export --format`, and `keyledger audit review`. Beside each, its manifest."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from uuid import UUID

import click
import orjson
from uuid_utils.compat import uuid7

from api import documents
from api.cli import listing, options
from api.cli.output import print_json, print_json_list, print_table, progress_bar, task, tell
from api.cli.session import Session, open_ledger
from api.documents import Document
from api.exporting.files import EventFormat, EventsFile, ReviewFormat, check_can_write, review_file
from api.exporting.manifests import Tally, manifest
from ledger.access_review import AccessReview
from ledger.commands import RequestAccessReview
from ledger.export import Export
from ledger.service import ORGANISATION
from projections.activity import VIEW as ACTIVITY
from projections.export_list import Listed, list_exports
from projections.export_progress import ExportProgress
from projections.pages import LIMIT_MAX
from projections.readings import Shown
from projections.sealed.exporting import Reached, SealedExport

MANIFEST_SUFFIX = ".manifest.json"
ROWS = 200  # some screens

output_file = click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="Where to write; other formats than the bundle have their manifest beside it.",
)


def refuse_existing(output: Path) -> None:
    """Raises `UsageError` where there is something already: what was handed to somebody is not written over."""
    if output.exists():
        raise click.UsageError(f"{output} is there already")


@contextmanager
def watched(session: Session, sealed: SealedExport, form: str) -> Iterator[Reached]:
    """Shows how far an export has come, here and to whoever asks the service."""
    with progress_bar() as shown:
        export_id, size = UUID(sealed.manifest.export), sealed.manifest.size
        progress = ExportProgress(session.services.store, export_id, form, size, task(shown, "Exporting"))
        yield progress.reached
        progress.finished()


def write_events(session: Session, state: Export, sealed: SealedExport, form: EventFormat, output: Path) -> Document:
    """Write an export's events and their manifest; returns the manifest."""
    tally, made_at = Tally(), datetime.now(UTC)
    file = EventsFile(session.services.log, state, sealed, form)
    with watched(session, sealed, form) as reached:
        write_whole(output, file.pieces(file.tag(), tally, reached))
    return _write_manifest(output, documents.export_asked(state, file.leaves), form, made_at, tally)


@click.command()
@click.option("--organisation", "organisation_id", type=click.UUID, help="Whose.")
@click.option("--installation", is_flag=True, help="Those of what concerns no organisation.")
@click.option("--limit", type=click.IntRange(min=1), default=ROWS, show_default=True, help="At most so many.")
@options.as_json
def exports(organisation_id: UUID | None, installation: bool, limit: int, json: bool) -> None:
    """List the exports that were asked for, newest first: by whom, why, and how far each file of them has come."""
    if installation == (organisation_id is not None):
        raise click.UsageError("give either --organisation or --installation")
    with open_ledger() as session:
        if organisation_id is not None:
            session.services.ledger.load(ORGANISATION, organisation_id)  # an empty list of none would mislead
        listing.catch_up(session, ACTIVITY)
        listed = _listed(session, organisation_id)
        shown = [documents.export(*one) for one in islice(listed, limit)]
        if json:
            print_json_list(shown)
            return
        print_table(
            ("id", "asked for", "by", "why", "status", "files"),
            [
                (one["id"], one["requested_at"], one["requested_by"], one["reason"], one["status"], _files_of(one))
                for one in shown
            ],
        )
        if next(listed, None) is not None:
            tell(f"These are the newest {limit}; there are more (--limit).")


def _listed(session: Session, organisation_id: UUID | None) -> Iterator[Listed]:
    cursor = None
    while True:
        page = list_exports(session.services.log, organisation_id, cursor=cursor, limit=LIMIT_MAX)
        yield from page.exports
        if (cursor := page.cursor) is None:
            return


def _files_of(export: Document) -> list[str]:
    return [
        f"{one['format']} ready" if one["finished_at"] else f"{one['format']} {one['leaves_done']} of {one['leaves']}"
        for one in export["downloads"]
    ]


@click.command()
@click.option("--organisation", "organisation_id", type=click.UUID, required=True, help="Whose credentials.")
@options.as_of
@click.option(
    "--format",
    "form",
    type=options.OneOf(ReviewFormat),
    default=ReviewFormat.CSV,
    show_default=True,
    help="A table for tools, or a page to print.",
)
@options.reason
@output_file
@options.as_json
def review(
    organisation_id: UUID, as_of: datetime | None, form: ReviewFormat, reason: str, output: Path, json: bool
) -> None:
    """Write who had what: every credential as it was, with its owner, its age, its access and its last use.

    The last use is what is known now, also in a review of the past: earlier ones are not kept.
    """
    check_can_write(form)
    refuse_existing(output)
    with open_ledger() as session:
        asking = session.context(reason)
        command = RequestAccessReview(
            context=asking, access_review_id=uuid7(), organisation_id=organisation_id, as_of=as_of or asking.at
        )
        state: AccessReview = session.services.ledger.handle(command).state
        session.shows(Shown.EXPORT, of=organisation_id, about=state.id)
        listing.catch_up(session)
        tally, made_at = Tally(), datetime.now(UTC)
        write_whole(output, review_file(session.services.log, state, form, made_at, tally))
        made = _write_manifest(output, documents.access_review(state), form, made_at, tally)
    if json:
        print_json(made)
    else:
        click.echo(f"{output}: {made['rows']} credentials.")


def write_whole(output: Path, pieces: Iterator[bytes]) -> None:
    """Write a file that is there whole or not at all."""
    begun = output.with_name(f"{output.name}.part")
    try:
        with begun.open("wb") as file:
            file.writelines(pieces)
    except BaseException:  # an erasure may be why, and half of a file would keep what was erased
        begun.unlink(missing_ok=True)
        raise
    begun.rename(output)


def _write_manifest(output: Path, asked: Document, form: str, made_at: datetime, tally: Tally) -> Document:
    made = manifest(asked, form, {"made_at": made_at, **tally.written()._asdict()})
    text = orjson.dumps(made, option=orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE)
    output.with_name(output.name + MANIFEST_SUFFIX).write_bytes(text)
    return made
