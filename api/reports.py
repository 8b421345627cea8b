"""Reports that are no list of credentials: those are filters of that list."""

from typing import Any
from uuid import UUID

from flask import Response
from flask_smorest import Blueprint

from api import documents, outgoing
from api.auditing import shows
from api.auth import READS_CREDENTIALS, READS_HISTORY, allow, authenticate
from api.commanding import reach_position
from api.incoming import StrictParser, now, services
from api.moments import past_time
from api.organisations import existing as existing_organisation
from api.schemas.reports import OwnerPage, OwnerQuery
from projections.credential_list import VIEW
from projections.credentials_as_of import list_owners_as_of
from projections.readings import Shown
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
@blueprint.arguments(OwnerQuery(), location="query")
@blueprint.response(200, OwnerPage)
def owners(query: dict[str, Any], organisation_id: UUID) -> Response:
    """List who answers for an organisation's credentials.

    By email: for how many that are good, for how many that are overdue, and when the next is due. The list may be
    milliseconds behind: send `Keyledger-At-Least` to be sure of your own write.

    With `as_of` it is read from histories, of five thousand credentials at most; what was erased since counts for
    nobody.
    """
    allow(READS_HISTORY if "as_of" in query else READS_CREDENTIALS, organisation_id)
    existing_organisation(organisation_id)
    reach_position(VIEW.name)
    rotation_days = services().settings.rotation_days
    of_page = {"cursor": query.get("cursor"), "limit": query["limit"]}
    if "as_of" in query:
        shows(Shown.PAST)
        at = past_time(query["as_of"], "as_of", now())
        found = list_owners_as_of(services().log, organisation_id, at, **of_page)
    else:
        found = list_owners(services().store, organisation_id, now=now(), rotation_days=rotation_days, **of_page)
    return outgoing.page((documents.owner(row, rotation_days) for row in found.rows), found.cursor)
