"""Access reviews: who had what in an organisation at a time, as a table or a page. docs/exports.md has the columns."""

from typing import Any
from uuid import UUID

from flask import Response
from flask.views import MethodView
from flask_smorest import Blueprint

from api import access_review_commands, documents, files, outgoing
from api.auditing import shows
from api.auth import TAKES_OUT, allow, authenticate
from api.commanding import BEGINNING, CREATED, READ, carry_out, reach_position
from api.exporting.files import ReviewFormat, review_file
from api.exporting.manifests import Tally
from api.incoming import StrictParser, now, services
from api.organisations import existing as existing_organisation
from api.schemas import PageQuery
from api.schemas.access_reviews import (
    ASKING,
    AccessReviewIn,
    AccessReviewManifestOut,
    AccessReviewOut,
    AccessReviewPage,
    ReviewQuery,
)
from ledger.access_review import AccessReview as AccessReviewState
from ledger.errors import NotFound
from ledger.service import ACCESS_REVIEW
from projections.access_review_list import list_access_reviews
from projections.activity import VIEW as ACTIVITY
from projections.readings import Shown

blueprint = Blueprint(
    "Access reviews",
    __name__,
    url_prefix="/v1/organisations/<uuid:organisation_id>/access-reviews",
    description="For compliance: every credential as it was at a time, with its owner, its age and its access.",
)
blueprint.ARGUMENTS_PARSER = StrictParser()
blueprint.before_request(authenticate)

Body = dict[str, Any]


@blueprint.route("")
class AccessReviews(MethodView):
    """An organisation's access reviews."""

    @blueprint.doc(operationId="listAccessReviews", parameters=["Keyledger-At-Least"])
    @blueprint.arguments(PageQuery(), location="query")
    @blueprint.response(200, AccessReviewPage)
    def get(self, query: Body, organisation_id: UUID) -> Response:
        """List an organisation's access reviews: who asked, as of when and why.

        Newest first. The list may be milliseconds behind: send `Keyledger-At-Least` to be sure of your own request.
        """
        allow(TAKES_OUT, organisation_id)
        existing_organisation(organisation_id)
        reach_position(ACTIVITY.name)
        page = list_access_reviews(services().log, organisation_id, cursor=query.get("cursor"), limit=query["limit"])
        return outgoing.page(map(documents.access_review, page.reviews), page.cursor)

    @blueprint.doc(operationId="requestAccessReview", **BEGINNING)
    @blueprint.arguments(AccessReviewIn(), examples=ASKING)
    @blueprint.response(201, AccessReviewOut, headers=CREATED)
    def post(self, body: Body, organisation_id: UUID) -> Response:
        """Ask who had what.

        The asking is recorded, with its reason. The review can be fetched at once.
        """
        allow(TAKES_OUT, organisation_id)
        existing_organisation(organisation_id)
        return carry_out(
            lambda: access_review_commands.request(organisation_id, body),
            documents.access_review,
            status=201,
            location=lambda state: f"/v1/organisations/{organisation_id}/access-reviews/{state.id}",
        )


@blueprint.route("/<uuid:access_review_id>")
class AccessReview(MethodView):
    """One of them."""

    @blueprint.doc(operationId="getAccessReview")
    @blueprint.response(200, AccessReviewOut, headers=READ)
    def get(self, organisation_id: UUID, access_review_id: UUID) -> Response:
        """Read an access review: as of when it is, who asked for it and why."""
        state = existing(organisation_id, access_review_id)
        return outgoing.answer(documents.access_review(state), headers={"ETag": outgoing.etag(state.version)})


@blueprint.route("/<uuid:access_review_id>/content")
class Content(MethodView):
    """What is in one of them."""

    @blueprint.doc(operationId="fetchAccessReview", **files.documented("The file.", ReviewFormat))
    @blueprint.arguments(ReviewQuery(), location="query")
    def get(self, query: Body, organisation_id: UUID, access_review_id: UUID) -> Response:
        """Fetch an access review.

        It is made anew from the histories each time, so what was erased since is gone from it. The last use is what is
        known now, also in a review of the past. A download that was cut off goes on by a `Range` of bytes and
        `If-Range`, as long as nothing of that has changed; a page tells when it was made, and begins anew.
        """
        return file_of(existing(organisation_id, access_review_id), ReviewFormat(query["format"]))


@blueprint.route("/<uuid:access_review_id>/manifest")
class Manifest(MethodView):
    """What is known of its file."""

    @blueprint.doc(operationId="getAccessReviewManifest")
    @blueprint.arguments(ReviewQuery(), location="query")
    @blueprint.response(200, AccessReviewManifestOut)
    def get(self, query: Body, organisation_id: UUID, access_review_id: UUID) -> Response:
        """Read the manifest of the file that was fetched last.

        How many credentials of each status it has, its SHA-256, who asked for it and why. 404 until it was asked for.
        """
        state = existing(organisation_id, access_review_id)
        return files.manifest_of(services(), documents.access_review(state), query["format"])


def file_of(state: AccessReviewState, form: ReviewFormat) -> Response:
    """The review as a file, made anew."""
    shows(Shown.EXPORT)
    found, made_at, tally = services(), now(), Tally()
    return files.written(found, state.id, form, made_at, review_file(found.log, state, form, made_at, tally), tally)


def existing(organisation_id: UUID, access_review_id: UUID) -> AccessReviewState:
    """The access review, for whoever may take things out; 404 where this organisation has no such one."""
    allow(TAKES_OUT, organisation_id)
    state: AccessReviewState = services().ledger.load(ACCESS_REVIEW, access_review_id)
    if state.organisation_id != organisation_id:
        raise NotFound("access review")
    return state
