"""Downloads of exports: they go on where they were cut off, and others can read how far they have come.

A file is made anew each time it is fetched. As long as its tag is the same so are its bytes, and the rest of it can be
sent to whoever has its beginning (RFC 9110 section 14).

Whatever fails while a file is on its way, or changes what the tag stands for, must not leave half of it looking whole.
Chunks that end early look like that, as servers end them in good order; so the length is told before the first byte,
and a file that was never written is written to nowhere to know it. A bundle tells by itself that its end is missing.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import partial
from uuid import UUID

from flask import Response, request
from werkzeug.exceptions import PreconditionRequired

from api.exporting.files import BUNDLE, KINDS, EventsFile, bundle_tag, unless_overtaken
from api.exporting.manifests import Tally
from api.files import Part, asked_part, refuse_another
from api.wiring import Services
from ledger.errors import InvalidValue
from projections.export_progress import ExportProgress
from projections.exported_files import find_length, keep_written
from projections.sealed.exporting import SealedExport, write_bundle

BUNDLE_MEDIA_TYPE = "application/x-ndjson"


def bundle(found: Services, export_id: UUID, sealed: SealedExport, first: int) -> Response:
    """A bundle from a leaf on: from another than the first only for whoever has the beginning of this very one.

    An export ends elsewhere after a key was rotated or a restore declared, and an erasure empties what it shows. The
    parts of two that were joined would look tampered with. Raises `InvalidValue` for a leaf that there is not.
    """
    tag = bundle_tag(found.log, sealed)
    refuse_another(tag)
    if first and "If-Match" not in request.headers:
        raise PreconditionRequired("send If-Match with the ETag of the bundle whose beginning you have")
    if first > sealed.manifest.size:
        raise InvalidValue("from", f"the export has {sealed.manifest.size} leaves", "out_of_range")
    headers = {
        "Content-Disposition": f'attachment; filename="keyledger-{export_id}.ndjson"',
        "ETag": f'"{tag}"',
    }
    return Response(_lines(found, export_id, sealed, first, tag), mimetype=BUNDLE_MEDIA_TYPE, headers=headers)


def _lines(found: Services, export_id: UUID, sealed: SealedExport, first: int, tag: str) -> Iterator[bytes]:
    progress = _progress(found, export_id, BUNDLE, sealed.manifest.size)
    asked_for = write_bundle(found.log, sealed, first, reached=progress.reached)
    # The seal digests what was sent before, so nothing can overtake a bundle but where its beginning is made once more.
    newest = partial(bundle_tag, found.log, sealed)
    yield from unless_overtaken(tag, newest, asked_for) if first else asked_for
    progress.finished()


def events_file(found: Services, file: EventsFile, made_at: datetime) -> Response:
    """An export's events in another format: the whole file, or the part that a Range asks for."""
    tag, kind = file.tag(), KINDS[file.form]
    refuse_another(tag)  # before all of it is written to know its length
    length = find_length(found.store, file.export.id, file.form, tag)
    if length is None:
        length = _measured(found, file, tag, made_at)
    part = asked_part(tag, length)
    headers = {"Content-Disposition": f'attachment; filename="keyledger-{file.export.id}.{kind.suffix}"'}
    body = _sent(found, file, tag, part)
    return Response(body, part.status, headers | part.headers, content_type=kind.media_type)


def _measured(found: Services, file: EventsFile, tag: str, made_at: datetime) -> int:
    """The length of a file that nobody asked for yet, which is written once to nowhere; its manifest comes with it."""
    progress, tally = _progress(found, file.export.id, file.form, file.leaves, preparing=True), Tally()
    for _ in file.pieces(tag, tally, progress.reached):
        pass
    written = tally.written()
    keep_written(found.store, file.export.id, file.form, made_at, written, tag)
    return written.bytes


def _sent(found: Services, file: EventsFile, tag: str, part: Part) -> Iterator[bytes]:
    progress = _progress(found, file.export.id, file.form, file.leaves)
    pieces = _within(part, file.pieces(tag, Tally(), progress.reached))
    # Of a part that ends before the file does, the file's own end, where it looks at its tag again, is never reached.
    yield from unless_overtaken(tag, file.tag, pieces)
    progress.finished()


def _within(part: Part, pieces: Iterable[bytes]) -> Iterator[bytes]:
    at = 0
    for piece in pieces:
        if some := piece[max(0, part.first - at) : part.end - at]:
            yield some
        at += len(piece)
        if at >= part.end:
            return


def _progress(found: Services, export_id: UUID, form: str, leaves: int, *, preparing: bool = False) -> ExportProgress:
    return ExportProgress(found.store, export_id, form, leaves, preparing=preparing)
