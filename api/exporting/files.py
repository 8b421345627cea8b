"""The files of an export and of an access review, in every format, as pieces of bytes."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from importlib.metadata import version
from itertools import chain
from operator import attrgetter
from typing import NamedTuple

from api.exporting import csv_files, ocsf, pages, parquet_files, tables
from api.exporting.csv_files import write_csv
from api.exporting.manifests import Tally
from api.exporting.ocsf import write_ocsf
from api.exporting.pages import write_page
from api.exporting.parquet_files import check_installed, write_parquet
from ledger.access_review import AccessReview
from ledger.errors import ExportOvertaken
from ledger.export import Export
from ledger.organisation import Organisation
from ledger.store.log import EventLog
from ledger.tlog.bundle import encode_manifest
from projections.access_review import access_review
from projections.exported import exported_events, exported_verifications, state_of_what_changes
from projections.history import Moment, life_of
from projections.sealed.exporting import Reached, SealedExport, erasures_shown, unwatched

BUNDLE = "bundle"
"""The format of an export that proves itself (`ledger/tlog/bundle.py`)."""


class EventFormat(StrEnum):
    """How the events of an export can be written, besides the bundle that proves itself."""

    CSV = "csv"
    PARQUET = "parquet"
    OCSF = "ocsf"


class ReviewFormat(StrEnum):
    """How an access review can be written."""

    CSV = "csv"
    PARQUET = "parquet"
    HTML = "html"


TAG_CHARS = 32  # 128 bits: nobody chooses what goes into one, so this keeps them apart


class Kind(NamedTuple):
    """What a file is called at its end, and its media type."""

    suffix: str
    media_type: str


KINDS = {
    "csv": Kind("csv", csv_files.MEDIA_TYPE),
    "parquet": Kind("parquet", parquet_files.MEDIA_TYPE),
    "ocsf": Kind("ocsf.ndjson", ocsf.MEDIA_TYPE),
    "html": Kind("html", pages.MEDIA_TYPE),
}


def check_can_write(form: EventFormat | ReviewFormat) -> None:
    """Raises `InvalidValue` for a format that this installation cannot write."""
    if form == "parquet":
        check_installed()


@dataclass(frozen=True, slots=True)
class EventsFile:
    """An export's events in one format."""

    log: EventLog
    export: Export
    sealed: SealedExport
    form: EventFormat

    @property
    def leaves(self) -> int:
        """How many leaves are looked at for it."""
        return self.sealed.manifest.size

    def pieces(self, tag: str, tally: Tally, reached: Reached = unwatched) -> Iterator[bytes]:
        """What is in it: the last of it only if its tag is this one to the end.

        Raises `InvalidValue` at once where `check_can_write` does, and `ExportOvertaken` in place of the last piece
        where the tag is another by then.
        """
        return tally.digested(unless_overtaken(tag, self.tag, self._pieces(tally, reached)))

    def _pieces(self, tally: Tally, reached: Reached) -> Iterator[bytes]:
        export, manifest = self.export, self.sealed.manifest
        events = tally.counted(exported_events(self.log, self.sealed, reached), lambda one: one.event.TOPIC)
        match self.form:
            case EventFormat.CSV:
                return write_csv(tables.EVENTS, events, attrgetter("stored_bytes"))
            case EventFormat.PARQUET:
                about = {"keyledger.export": str(export.id), "keyledger.origin": manifest.origin}
                return write_parquet(tables.EVENTS, events, about, attrgetter("stored_bytes"))
            case EventFormat.OCSF:
                verified = exported_verifications(
                    self.log.datastore, export.organisation_id, manifest.filter, export.requested.at
                )
                counts = tally.counted(verified, lambda _: "verification")
                return write_ocsf(chain(map(ocsf.of_event, events), map(ocsf.of_verifications, counts)))

    def tag(self) -> str:
        """What is another as soon as the file is another: what it is made of, and the versions of what makes it."""
        writers = [version("keyledger"), *([version("pyarrow")] if self.form is EventFormat.PARQUET else [])]
        changes = state_of_what_changes(
            self.log.datastore,
            self.export,
            self.sealed,
            verifications=self.form is EventFormat.OCSF,
        )
        return _tag(str(self.export.id), str(self.form), self.sealed.checkpoint, *writers, changes)


def bundle_tag(log: EventLog, sealed: SealedExport) -> str:
    """What is another as soon as a bundle has other lines up to its last leaf: what comes after is made by what stands
    before it.
    """
    return _tag(encode_manifest(sealed.manifest).decode(), erasures_shown(log.datastore, sealed))


def unless_overtaken(tag: str, newest: Callable[[], str], pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The same pieces; in place of the last of them `ExportOvertaken` is raised where the newest tag is another."""
    held = b""
    for piece in pieces:
        if held:
            yield held
        held = piece
    if newest() != tag:
        raise ExportOvertaken("what is exported was erased meanwhile: fetch it again, from its beginning")
    yield held


def _tag(*made_of: str) -> str:
    return sha256("\n".join(made_of).encode()).hexdigest()[:TAG_CHARS]


def review_file(
    log: EventLog, review: AccessReview, form: ReviewFormat, made_at: datetime, tally: Tally
) -> Iterator[bytes]:
    """An access review. Raises `InvalidValue` as an `EventsFile` does, and `ViewBehind`, at once."""
    lines = tally.counted(access_review(log, review.organisation_id, review.as_of), lambda one: str(one.status))
    match form:
        case ReviewFormat.CSV:
            pieces = write_csv(tables.ACCESS_REVIEW, lines)
        case ReviewFormat.PARQUET:
            about = {"keyledger.access_review": str(review.id), "keyledger.as_of": review.as_of.isoformat()}
            pieces = write_parquet(tables.ACCESS_REVIEW, lines, about)
        case ReviewFormat.HTML:
            pieces = write_page(review, _name_then(log, review), lines, made_at)
    return tally.digested(pieces)


def _name_then(log: EventLog, review: AccessReview) -> str:
    """What the organisation was called at the review's time; what it is called now, for a time before it was there."""
    life = life_of(log, review.organisation_id, review.organisation_id)
    if life is None:
        return ""
    organisation: Organisation = life.state(Moment(time=review.as_of)) or life.state()
    return organisation.name
