"""Files over HTTP: sent with their length, and told of in a manifest afterwards."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from datetime import datetime
from tempfile import SpooledTemporaryFile
from typing import IO, Any, NamedTuple
from uuid import UUID

from flask import Response, request
from werkzeug.exceptions import PreconditionFailed, RequestedRangeNotSatisfiable

from api import documents, outgoing
from api.exporting.files import KINDS, TAG_CHARS
from api.exporting.manifests import Tally, manifest
from api.exporting.pages import CONTENT_SECURITY_POLICY
from api.wiring import Services
from ledger.errors import NotFound
from projections.exported_files import find_written, keep_written

IN_MEMORY_BYTES_MAX = 2**23  # a review of thirty thousand credentials; several of that size at once do no harm
SENT_BYTES = 2**16  # what a socket takes at once


def documented(description: str, forms: Iterable[str], *others: str) -> dict[str, Any]:
    """What the OpenAPI document says of a file: the media types of its formats, and others that it may have. But for
    these it goes on where it was cut off, by a Range of bytes.
    """
    whole = {"description": description, "content": _contents(forms, *others)}
    headers = {"Content-Range": {"$ref": "#/components/headers/Content-Range"}}
    part = {"description": "The part that `Range` asks for.", "content": _contents(forms), "headers": headers}
    parameters = ["Range", "If-Range", "If-Match-Begun" if others else "If-Match-File"]
    return {"responses": {"200": whole, "206": part}, "parameters": parameters}


def _contents(forms: Iterable[str], *others: str) -> dict[str, Any]:
    media_types = {KINDS[form].media_type.partition(";")[0] for form in forms} | set(others)
    return {media_type: {"schema": {"type": "string", "format": "binary"}} for media_type in sorted(media_types)}


def written(
    found: Services, export_id: UUID, form: str, made_at: datetime, pieces: Iterable[bytes], tally: Tally
) -> Response:
    """A file to be saved, whose pieces the tally sees, or the part of it that a Range asks for. They are all there
    before the first is sent: the length that is told then lets nobody take half of them for the whole, and their digest
    says whether it is the file whose beginning somebody has. Whoever asked for it can ask for its manifest.
    """
    kind = KINDS[form]
    headers = {"Content-Disposition": f'attachment; filename="keyledger-{export_id}.{kind.suffix}"'}
    if form == "html":
        headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    with ExitStack() as opened:
        file = opened.enter_context(SpooledTemporaryFile(IN_MEMORY_BYTES_MAX))  # on a disk it has no name
        file.writelines(pieces)
        whole = tally.written()
        part = asked_part(whole.sha256[:TAG_CHARS], whole.bytes)
        file.seek(part.first)
        keep_written(found.store, export_id, form, made_at, whole)
        left = opened.pop_all()
    body = _sent(file, part.end - part.first, left)
    response = Response(body, part.status, headers | part.headers, content_type=kind.media_type)
    response.call_on_close(left.close)  # which the generator does not where it was never begun
    return response


def _sent(file: IO[bytes], left: int, opened: ExitStack) -> Iterator[bytes]:
    with opened:
        while some := file.read(min(SENT_BYTES, left)):
            left -= len(some)
            yield some


class Part(NamedTuple):
    """What is sent of a file: from its byte `first` up to that before `end`, and how the answer says so."""

    first: int
    end: int
    status: int
    headers: dict[str, str]


def asked_part(tag: str, length: int) -> Part:
    """What a request asks for of the file with this tag and length: all of it, or the part that its Range names.

    Raises `PreconditionFailed` as `refuse_another` does, and `RequestedRangeNotSatisfiable`.
    """
    refuse_another(tag)
    headers = {"Accept-Ranges": "bytes", "ETag": f'"{tag}"'}
    asked = _range(tag)
    if asked is None:
        return Part(0, length, 200, headers | {"Content-Length": str(length)})
    first, end = asked[0], min(length, asked[1])
    if first >= length:
        raise RequestedRangeNotSatisfiable(length=length)
    told = {"Content-Length": str(end - first), "Content-Range": f"bytes {first}-{end - 1}/{length}"}
    return Part(first, end, 206, headers | told)


def refuse_another(tag: str) -> None:
    """Raises `PreconditionFailed` where If-Match names another file than the one with this tag (RFC 9110 section
    13.1.1): what follows would not fit to the beginning that is there.
    """
    if "If-Match" in request.headers and not request.if_match.contains(tag):
        raise PreconditionFailed("If-Match names another file than there is now: fetch it from its beginning")


def _range(tag: str) -> tuple[int, int] | None:
    """The first byte that is asked for and the one after the last, if this file is meant; None for the whole.

    A Range may always be passed over (RFC 9110 section 14.2): several at once are, and the last so many bytes.
    """
    asked = request.range
    if request.method != "GET" or asked is None or asked.units != "bytes" or len(asked.ranges) != 1:
        return None
    if "If-Range" in request.headers and request.if_range.etag != tag:
        return None
    first, end = asked.ranges[0]
    return None if first < 0 else (first, _NO_END if end is None else end)


_NO_END = 2**63


def manifest_of(found: Services, asked: documents.Document, form: str) -> Response:
    """The manifest of the newest file in a format; 404 where none was asked for."""
    written = find_written(found.store, asked["id"], form)
    if written is None:
        raise NotFound("manifest")
    return outgoing.answer(manifest(asked, form, written))
