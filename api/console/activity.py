"""The activity feed: everything that was done in an organisation, filtered by what the address says."""

from typing import Any
from uuid import UUID

from flask import Blueprint, Response, request
from marshmallow import ValidationError

from api import documents
from api.auditing import shows
from api.auth import READS_HISTORY, allow
from api.console.forms import Form, of_days
from api.console.organisations import names_of
from api.console.rendering import render
from api.console.subjects import subjects_of
from api.history import activity_filters
from api.incoming import services
from api.schemas.history import ActivityQuery
from ledger.errors import InvalidValue
from projections.activity import TOPICS, list_activity
from projections.pages import Page
from projections.readings import Shown

pages = Blueprint("activity", __name__, url_prefix="/organisations/<uuid:organisation_id>/activity")


@pages.get("")
def feed(organisation_id: UUID) -> Response | str:
    """What happened, newest first."""
    allow(READS_HISTORY, organisation_id)
    shows(Shown.ACTIVITY)
    form = Form(request.args)
    found, status = Page([], None), 200
    try:
        asked = {name: value.strip() for name, value in request.args.items() if value.strip()}
        query: dict[str, Any] = ActivityQuery().load(of_days(asked, "since", "until"))
        found = list_activity(
            services().store,
            organisation_id,
            activity_filters(query),
            cursor=query.get("cursor"),
            limit=query["limit"],
        )
    except (InvalidValue, ValidationError) as error:
        status = form.refuse(error)
    page = render(
        "console/activity/feed.html",
        form=form,
        topics=sorted(TOPICS),
        events=[documents.activity(row) for row in found.rows],
        names=names_of(row["actor"] for row in found.rows),
        **subjects_of(found.rows),
        filtered=any(value for name, value in request.args.items() if name != "cursor"),
        cursor=found.cursor,
    )
    return Response(page, status, mimetype="text/html")
