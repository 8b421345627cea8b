"""Retention over HTTP: what the policy will erase, and when; and an organisation's own policy."""

from typing import Any
from uuid import UUID

from flask import Response
from flask.views import MethodView
from flask_smorest import Blueprint

from api import documents, outgoing
from api.auth import MANAGES_RETENTION, READS_HISTORY, allow, allow_mode, authenticate
from api.commanding import COMMAND_ON_A_VERSION, WRITTEN, carry_out, expected_version, reach_position
from api.incoming import StrictParser, context, now, services
from api.organisation_commands import represent
from api.organisations import existing as existing_organisation
from api.retaining import retention_days_of
from api.schemas.organisations import OrganisationOut
from api.schemas.retention import RetentionIn, RetentionOut, RetentionQuery
from ledger.commands import SetRetention
from ledger.values import Mode
from projections.credential_list import VIEW
from projections.retention import list_to_erase

blueprint = Blueprint(
    "Retention",
    __name__,
    url_prefix="/v1/organisations/<uuid:organisation_id>/retention",
    description="When personal data is erased by itself.",
)
blueprint.ARGUMENTS_PARSER = StrictParser()
blueprint.before_request(authenticate)


@blueprint.route("")
class Retention(MethodView):
    """The policy of one organisation."""

    @blueprint.doc(operationId="getRetention", parameters=["Keyledger-At-Least"])
    @blueprint.arguments(RetentionQuery(), location="query")
    @blueprint.response(200, RetentionOut)
    def get(self, query: dict[str, Any], organisation_id: UUID) -> Response:
        """Tell what the retention policy erases, and when.

        Of credentials that ended or will end, the earliest first. With `days` it is a dry run of another policy;
        nothing is erased by asking.
        """
        allow(READS_HISTORY, organisation_id)
        row = existing_organisation(organisation_id)
        reach_position(VIEW.name)
        days = query.get("days", retention_days_of(row, services().settings))
        found = list_to_erase(services().store, organisation_id, days, cursor=query.get("cursor"), limit=query["limit"])
        return outgoing.answer(
            {
                "days": days,
                "data": [documents.to_erase(row, now()) for row in found.rows],
                "pagination": {"cursor": found.cursor, "has_more": found.cursor is not None},
            }
        )

    @blueprint.doc(operationId="setRetention", **COMMAND_ON_A_VERSION)
    @blueprint.arguments(RetentionIn())
    @blueprint.response(200, OrganisationOut, headers=WRITTEN)
    def put(self, body: dict[str, Any], organisation_id: UUID) -> Response:
        """Set the organisation's own retention policy.

        If-Match must name the organisation's version. What is due by it is erased within seconds, and does not come
        back: look first at what that is, with `days`. It takes the grant for production.
        """
        allow(MANAGES_RETENTION, organisation_id)
        allow_mode(Mode.LIVE)
        row = existing_organisation(organisation_id)

        def make() -> tuple[SetRetention, None]:
            return SetRetention(
                context=context(body.get("reason")),
                expected_version=expected_version(row["version"]),
                organisation_id=organisation_id,
                days=body["days"],
            ), None

        return carry_out(make, represent)
