"""Reports that are no list of credentials: those are filters of that list."""

from typing import Any
from uuid import UUID

from flask import Response
from flask_smorest import Blueprint

from api import documents, outgoing
from api.auth import READS_CREDENTIALS, allow, authenticate
from api.commanding import reach_position
from api.incoming import StrictParser, now, services
from api.organisations import existing as existing_organisation
from api.schemas import PageQuery
from api.schemas.reports import OwnerPage
from projections.credential_list import VIEW
from projections.reports import list_owners

blueprint = Blueprint(
    "Reports",
    __name__,
    url_prefix="/v1/organisations/<uuid:organisation_id>/reports",
    description="What wants attention; what is due, unused or without an owner is a filter of the list of credentials.",
)
blueprint.ARGUMENTS_PARSER = StrictParser()
blueprint.before_request(authenticate)


@blueprint.route("/owners")
@blueprint.doc(operationId="listOwners", parameters=["Keyledger-At-Least"])
@blueprint.arguments(PageQuery(), location="query")
@blueprint.response(200, OwnerPage)
def owners(query: dict[str, Any], organisation_id: UUID) -> Response:
    """List who answers for an organisation's credentials.

    By email: for how many that are good, for how many that are overdue, and when the next is due. The list may be
    milliseconds behind: send `Keyledger-At-Least` to be sure of your own write.
    """
    allow(READS_CREDENTIALS, organisation_id)
    existing_organisation(organisation_id)
    reach_position(VIEW.name)
    rotation_days = services().settings.rotation_days
    found = list_owners(
        services().store,
        organisation_id,
        now=now(),
        rotation_days=rotation_days,
        cursor=query.get("cursor"),
        limit=query["limit"],
    )
    return outgoing.page((documents.owner(row, rotation_days) for row in found.rows), found.cursor)
