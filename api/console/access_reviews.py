"""Audit > Access reviews: who had what as of a date, as a table to look through, to take along and to print."""

from typing import Any
from uuid import UUID

from flask import Blueprint, Response, request

from api import access_review_commands, documents
from api.access_reviews import existing, file_of
from api.auditing import shows
from api.auth import TAKES_OUT, allow
from api.console.credentials import FILTERS
from api.console.forms import Form, attempt, carry_out, chosen, filtered, in_utc, listed
from api.console.organisations import names_of
from api.console.rendering import go_to, render
from api.credentials import filters_of
from api.exporting.files import ReviewFormat
from api.exporting.parquet_files import is_installed
from api.incoming import services
from api.schemas.access_reviews import AccessReviewIn
from api.schemas.credentials import CredentialQuery
from projections.access_review import access_review_lines
from projections.access_review_list import list_access_reviews
from projections.pages import Page
from projections.readings import Shown

pages = Blueprint("access_reviews", __name__, url_prefix="/organisations/<uuid:organisation_id>/access-reviews")


@pages.get("")
def listing(organisation_id: UUID) -> str:
    """The reviews that were asked for, newest first."""
    allow(TAKES_OUT, organisation_id)
    found = list_access_reviews(services().log, organisation_id, cursor=request.args.get("cursor"))
    return render(
        "console/access_reviews/listing.html",
        reviews=[documents.access_review(review) for review in found.reviews],
        names=names_of(review.requested.actor for review in found.reviews),
        cursor=found.cursor,
    )


@pages.route("/ask", methods=["GET", "POST"])
def ask(organisation_id: UUID) -> Response | str:
    """Ask for one: as of when, and why."""
    allow(TAKES_OUT, organisation_id)

    def act(form: Form) -> Response:
        as_of = form.typed.get("as_of", "").strip()
        body = form.load(AccessReviewIn(), ("reason",), **({"as_of": in_utc(as_of)} if as_of else {}))
        carried = carry_out(
            form, lambda: access_review_commands.request(organisation_id, body), documents.access_review
        )
        ids = {"organisation_id": organisation_id, "access_review_id": carried.body["id"]}
        return go_to("console.access_reviews.detail", **ids, done="review_requested")

    def show(form: Form) -> str:
        return render("console/access_reviews/ask.html", form=form)

    return show(Form()) if request.method == "GET" else attempt(show, act)


@pages.get("/<uuid:access_review_id>")
def detail(organisation_id: UUID, access_review_id: UUID) -> Response:
    """One review: who had what, filtered by what the address says, and its files, which hold all of it."""
    review = existing(organisation_id, access_review_id)
    shows(Shown.PAST)

    def read(asked: dict[str, str]) -> Page:
        query: dict[str, Any] = CredentialQuery(exclude=("as_of", "unused_since")).load(asked)
        filters = filters_of(query)
        found = access_review_lines(services().log, organisation_id, review.as_of, filters, cursor=query.get("cursor"))
        return Page([line._asdict() for line in found.lines], found.cursor)

    form, found, status = listed(read)
    page = render(
        "console/access_reviews/detail.html",
        form=form,
        review=documents.access_review(review),
        names=names_of([review.requested.actor]),
        filters=FILTERS,
        filtered=filtered(),
        lines=found.rows,
        cursor=found.cursor,
        parquet=is_installed(),
    )
    return Response(page, status, mimetype="text/html")


@pages.get("/<uuid:access_review_id>/file")
def file(organisation_id: UUID, access_review_id: UUID) -> Response:
    """The whole review as a file."""
    review = existing(organisation_id, access_review_id)
    return file_of(review, chosen(ReviewFormat, "format", ReviewFormat.CSV))


@pages.get("/<uuid:access_review_id>/print")
def printed(organisation_id: UUID, access_review_id: UUID) -> Response:
    """The whole review as a page to print and sign, under a policy of its own: it brings its style along."""
    answer = file_of(existing(organisation_id, access_review_id), ReviewFormat.HTML)
    del answer.headers["Content-Disposition"]
    return answer
