"""Exports: an organisation's events as a bundle that proves itself, for auditors. docs/auditing.md tells the format."""

from typing import Any
from uuid import UUID

from flask import Response
from flask.views import MethodView
from flask_smorest import Blueprint

from api import documents, downloads, export_commands, files, outgoing
from api.auditing import shows
from api.auth import TAKES_OUT, allow, authenticate, may_see_hints
from api.commanding import BEGINNING, CREATED, READ, carry_out, reach_position
from api.downloads import BUNDLE_MEDIA_TYPE
from api.exporting.files import BUNDLE, EventFormat, EventsFile, check_can_write
from api.incoming import StrictParser, now, services
from api.organisations import existing as existing_organisation
from api.schemas import PageQuery
from api.schemas.exports import (
    ASKING,
    ContentQuery,
    ExportIn,
    ExportManifestOut,
    ExportOut,
    ExportPage,
    ManifestQuery,
)
from api.wiring import Services
from ledger.errors import Forbidden, InvalidValue, NotFound, NotSealedYet
from ledger.export import Export as ExportState
from ledger.service import EXPORT
from ledger.values import Mode
from projections.activity import VIEW as ACTIVITY
from projections.export_list import list_exports
from projections.export_progress import list_progress
from projections.readings import Shown
from projections.sealed.exporting import SealedExport, find_sealed

CONTENT = "The bundle, one JSON object a line, or the file."

blueprint = Blueprint(
    "Exports",
    __name__,
    url_prefix="/v1/organisations/<uuid:organisation_id>/exports",
    description="For auditors: events as a file that proves itself, and is verified without this service.",
)
blueprint.ARGUMENTS_PARSER = StrictParser()
blueprint.before_request(authenticate)

Body = dict[str, Any]


@blueprint.route("")
class Exports(MethodView):
    """An organisation's exports."""

    @blueprint.doc(operationId="listExports", parameters=["Keyledger-At-Least"])
    @blueprint.arguments(PageQuery(), location="query")
    @blueprint.response(200, ExportPage)
    def get(self, query: Body, organisation_id: UUID) -> Response:
        """List an organisation's exports: who asked for what, and why.

        Newest first. The list may be milliseconds behind: send `Keyledger-At-Least` to be sure of your own request.
        """
        allow_exports(organisation_id)
        existing_organisation(organisation_id)
        reach_position(ACTIVITY.name)
        page = list_exports(services().log, organisation_id, cursor=query.get("cursor"), limit=query["limit"])
        return outgoing.page((documents.export(*listed) for listed in page.exports), page.cursor)

    @blueprint.doc(operationId="requestExport", **BEGINNING)
    @blueprint.arguments(ExportIn(), examples=ASKING)
    @blueprint.response(201, ExportOut, headers=CREATED)
    def post(self, body: Body, organisation_id: UUID) -> Response:
        """Ask for an export.

        The asking is recorded, with its reason, and is an event of the export itself. A second or so later, when it is
        sealed, the content can be fetched.
        """
        allow_exports(organisation_id)
        existing_organisation(organisation_id)
        return carry_out(
            lambda: export_commands.request(organisation_id, body),
            documents.export,
            status=201,
            location=lambda state: f"/v1/organisations/{organisation_id}/exports/{state.id}",
        )


@blueprint.route("/<uuid:export_id>")
class Export(MethodView):
    """One of them."""

    @blueprint.doc(operationId="getExport")
    @blueprint.response(200, ExportOut, headers=READ)
    def get(self, organisation_id: UUID, export_id: UUID) -> Response:
        """Read an export: what was asked for, by whom and why, and whether it can be fetched."""
        allow_exports(organisation_id)
        body = read(existing(services(), organisation_id, export_id))
        return outgoing.answer(body, headers={"ETag": outgoing.etag(body["version"])})


@blueprint.route("/<uuid:export_id>/content")
class Content(MethodView):
    """What is in one of them."""

    @blueprint.doc(operationId="fetchExport", **files.documented(CONTENT, EventFormat, BUNDLE_MEDIA_TYPE))
    @blueprint.arguments(ContentQuery(), location="query")
    def get(self, query: Body, organisation_id: UUID, export_id: UUID) -> Response:
        """Fetch an export.

        It is the same whenever it is fetched, so a download that was cut off goes on `from` the first leaf that it
        lacks, for as long as its `ETag` is the same: send it as `If-Match`. 503 `not_sealed_yet` until it is ready.
        Verify what you got: `keyledger audit verify`. Other formats have the same events, and prove nothing: compare
        them with their manifest. They go on by a `Range` of bytes, and `If-Range`.
        """
        allow_exports(organisation_id)
        return content(existing(services(), organisation_id, export_id), query["format"], query["first"])


@blueprint.route("/<uuid:export_id>/manifest")
class Manifest(MethodView):
    """What is known of one of its files."""

    @blueprint.doc(operationId="getExportManifest")
    @blueprint.arguments(ManifestQuery(), location="query")
    @blueprint.response(200, ExportManifestOut)
    def get(self, query: Body, organisation_id: UUID, export_id: UUID) -> Response:
        """Read the manifest of the file that was fetched last.

        How many events of each kind it has, its SHA-256, who asked for it and why. 404 until it was asked for. A bundle
        has its own within.
        """
        allow_exports(organisation_id)
        state = existing(services(), organisation_id, export_id)
        sealed = _sealed(services(), state)
        asked = documents.export_asked(state, None if sealed is None else sealed.manifest.size)
        return files.manifest_of(services(), asked, query["format"])


def existing(found: Services, organisation_id: UUID, export_id: UUID) -> ExportState:
    """The export; 404 where this organisation has no such one."""
    state: ExportState = found.ledger.load(EXPORT, export_id)
    if state.organisation_id != organisation_id:
        raise NotFound("export")
    return state


def read(state: ExportState) -> documents.Document:
    """An export as it reads now."""
    sealed = _sealed(services(), state)
    progress = list_progress(services().store, [state.id]).get(state.id, [])
    return documents.export(state, None if sealed is None else sealed.manifest.size, progress)


def content(state: ExportState, form: str, first: int = 0) -> Response:
    """What is in an export, in a format; of a bundle from a leaf on. Raises `NotSealedYet`, and `InvalidValue` for a
    format that this installation cannot write and a leaf that there is not.
    """
    sealed = _sealed(services(), state)
    if sealed is None:
        raise NotSealedYet("the request for this export is not in a signed checkpoint yet")
    shows(Shown.EXPORT)
    if form != BUNDLE:
        return _file(state, sealed, EventFormat(form), first)
    return downloads.bundle(services(), state.id, sealed, first)


def allow_exports(organisation_id: UUID) -> None:
    """Stored events have the last characters of secrets, so whoever may not see those takes none out."""
    allow(TAKES_OUT, organisation_id)
    if not may_see_hints(Mode.LIVE):
        raise Forbidden("exports have the last characters of live secrets: they take the grant for production")


def _sealed(found: Services, state: ExportState) -> SealedExport | None:
    with found.store.cursor_of_tuples() as curs:
        return find_sealed(found.log, curs.connection, state)


def _file(state: ExportState, sealed: SealedExport, form: EventFormat, first: int) -> Response:
    """An export's events in another format than the bundle's."""
    if first:
        raise InvalidValue("from", "is of the bundle alone: other formats go on by a Range of bytes", "contradiction")
    check_can_write(form)
    return downloads.events_file(services(), EventsFile(services().log, state, sealed, form), now())
