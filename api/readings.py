"""Readings over HTTP: who read what of an organisation, and of what concerns none."""

from typing import Any
from uuid import UUID

from flask import Response
from flask_smorest import Blueprint

from api import documents, outgoing
from api.auditing import shows
from api.auth import READS_READINGS, allow, authenticate
from api.incoming import StrictParser, services
from api.organisations import existing as existing_organisation
from api.schemas.readings import ReadingPage, ReadingQuery
from ledger.values import Name, utc
from projections.readings import ReadingFilters, Shown, list_readings

blueprint = Blueprint(
    "Readings",
    __name__,
    url_prefix="/v1",
    description="Who read histories, the past, addresses of use and the hints of secrets.",
)
blueprint.ARGUMENTS_PARSER = StrictParser()
blueprint.before_request(authenticate)


@blueprint.route("/organisations/<uuid:organisation_id>/readings")
@blueprint.doc(operationId="listReadings")
@blueprint.arguments(ReadingQuery(), location="query")
@blueprint.response(200, ReadingPage)
def readings(query: dict[str, Any], organisation_id: UUID) -> Response:
    """List who read what of an organisation.

    Newest first; what was read a moment ago shows within seconds. This list is one of the things whose reading is told.
    """
    allow(READS_READINGS, organisation_id)
    existing_organisation(organisation_id)
    return _listed(query, organisation_id)


@blueprint.route("/installation/readings")
@blueprint.doc(operationId="listInstallationReadings")
@blueprint.arguments(ReadingQuery(), location="query")
@blueprint.response(200, ReadingPage)
def installation_readings(query: dict[str, Any]) -> Response:
    """List who read what of that which concerns no organisation.

    For operators of all organisations: who looked at such operators, at the installation's log, at this list.
    """
    allow(READS_READINGS)
    return _listed(query, None)


def _listed(query: dict[str, Any], organisation_id: UUID | None) -> Response:
    shows(Shown.READINGS)
    filters = ReadingFilters(
        actor=Name(query["actor"], "actor") if "actor" in query else None,
        aggregate_id=query.get("aggregate_id"),
        since=utc(query["since"], "since") if "since" in query else None,
        until=utc(query["until"], "until") if "until" in query else None,
        installation=organisation_id is None,
    )
    found = list_readings(services().store, organisation_id, filters, cursor=query.get("cursor"), limit=query["limit"])
    return outgoing.page(map(documents.reading, found.rows), found.cursor)
