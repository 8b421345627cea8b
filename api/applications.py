"""Applications: what holds credentials and connects them to APIs."""

from typing import Any
from uuid import UUID

from flask import Response
from flask.views import MethodView
from flask_smorest import Blueprint

from api import application_commands, documents, outgoing, past
from api.application_commands import represent
from api.auth import READS_CREDENTIALS, READS_HISTORY, WRITES_CREDENTIALS, allow, allow_mode, authenticate
from api.commanding import (
    BEGINNING,
    COMMAND,
    COMMAND_ON_A_VERSION,
    CREATED,
    READ,
    WRITTEN,
    carry_out,
    carry_out_all,
    expected_version,
)
from api.incoming import StrictParser, services
from api.organisations import existing as existing_organisation
from api.schemas import AsOfQuery, Why
from api.schemas.applications import (
    CONNECTING,
    REGISTERING,
    ApisIn,
    ApplicationDescriptionIn,
    ApplicationDetailOut,
    ApplicationIn,
    ApplicationOut,
    ApplicationPage,
    ApplicationQuery,
    RegisteredOut,
)
from ledger.errors import NotFound
from ledger.values import Mode, Name
from projections.application_status import (
    ApplicationFilters,
    find_application,
    has_live_credentials,
    list_applications,
)
from projections.pages import Page

blueprint = Blueprint(
    "Applications",
    __name__,
    url_prefix="/v1/organisations/<uuid:organisation_id>/applications",
    description="What integrators register: each connects its credentials to some APIs, and to no others.",
)
blueprint.ARGUMENTS_PARSER = StrictParser()
blueprint.before_request(authenticate)

Body = dict[str, Any]


def existing(organisation_id: UUID, application_id: UUID) -> Body:
    """The application's row; 404 where this organisation has no such one."""
    row = find_application(services().store, organisation_id, application_id)
    if row is None:
        raise NotFound("application")
    return row


def found_for(organisation_id: UUID, query: Body) -> Page:
    """The page of an organisation's applications that a query asks for, as `ApplicationQuery` reads it."""
    q = Name(query["q"], "q") if "q" in query else None
    filters = ApplicationFilters(q, query.get("archived"), query.get("account"))
    return list_applications(
        services().store, organisation_id, filters, cursor=query.get("cursor"), limit=query["limit"]
    )


@blueprint.route("")
class Applications(MethodView):
    """An organisation's applications."""

    @blueprint.doc(operationId="listApplications")
    @blueprint.arguments(ApplicationQuery(), location="query")
    @blueprint.response(200, ApplicationPage)
    def get(self, query: Body, organisation_id: UUID) -> Response:
        """List an organisation's applications.

        Newest first; those for which all that is given holds. Never behind.
        """
        allow(READS_CREDENTIALS, organisation_id)
        existing_organisation(organisation_id)
        found = found_for(organisation_id, query)
        return outgoing.page(map(documents.application, found.rows), found.cursor)

    @blueprint.doc(operationId="registerApplication", **BEGINNING)
    @blueprint.arguments(ApplicationIn(), examples=REGISTERING)
    @blueprint.response(201, RegisteredOut, headers=CREATED)
    def post(self, body: Body, organisation_id: UUID) -> Response:
        """Register an application.

        With `generate` its first key pair is made in the same commit: both, or neither. The secret key is in this
        answer and never again.
        """
        allow(WRITES_CREDENTIALS, organisation_id)
        return carry_out_all(
            lambda: application_commands.register(organisation_id, body),
            status=201,
            location=lambda state: f"/v1/organisations/{organisation_id}/applications/{state.id}",
        )


@blueprint.route("/<uuid:application_id>")
class Application(MethodView):
    """One of them."""

    @blueprint.doc(operationId="getApplication")
    @blueprint.arguments(AsOfQuery(), location="query")
    @blueprint.response(200, ApplicationDetailOut, headers=READ)
    def get(self, query: Body, organisation_id: UUID, application_id: UUID) -> Response:
        """Read an application.

        Its credentials are listed by `GET .../credentials?application=`. Or as it was at a time or a version, which
        takes a role that reads history; the past has no `ETag` and no `connected_apis`.
        """
        if query:
            allow(READS_HISTORY, organisation_id)
            existing(organisation_id, application_id)
            return past.as_it_was(query, organisation_id, application_id, "application")
        allow(READS_CREDENTIALS, organisation_id)
        row = existing(organisation_id, application_id)
        apis = documents.connected_apis(row["apis"], services().catalogues.current(organisation_id))
        body = documents.application(row) | {"connected_apis": apis}
        return outgoing.answer(body, headers={"ETag": outgoing.etag(row["version"])})

    @blueprint.doc(operationId="describeApplication", **COMMAND_ON_A_VERSION)
    @blueprint.arguments(ApplicationDescriptionIn())
    @blueprint.response(200, ApplicationOut, headers=WRITTEN)
    def patch(self, body: Body, organisation_id: UUID, application_id: UUID) -> Response:
        """Change an application's title or description.

        What is left out stays. If-Match must name the version that was read.
        """
        allow(WRITES_CREDENTIALS, organisation_id)
        row = existing(organisation_id, application_id)

        return carry_out(lambda: application_commands.describe(row, body, expected_version(row["version"])), represent)


@blueprint.route("/<uuid:application_id>/apis")
class ConnectedApis(MethodView):
    """What an application is connected to."""

    @blueprint.doc(operationId="connectApis", **COMMAND_ON_A_VERSION)
    @blueprint.arguments(ApisIn(), examples=CONNECTING)
    @blueprint.response(200, ApplicationOut, headers=WRITTEN)
    def put(self, body: Body, organisation_id: UUID, application_id: UUID) -> Response:
        """Set the APIs that an application is connected to.

        The whole set. A narrower one acts at once: its credentials keep their scopes, and may use those within these
        APIs. If-Match must name the version that was read.
        """
        row = governable(organisation_id, application_id)

        return carry_out(lambda: application_commands.connect(row, body, expected_version(row["version"])), represent)


@blueprint.route("/<uuid:application_id>/archive", methods=["POST"])
@blueprint.doc(operationId="archiveApplication", **COMMAND)
@blueprint.arguments(Why(), required=False)
@blueprint.response(200, ApplicationOut, headers=WRITTEN)
def archive(body: Body, organisation_id: UUID, application_id: UUID) -> Response:
    """Archive an application for good.

    Its credentials are refused from now on, and it gets no new ones. That each of them is revoked stands in its own
    history soon after.
    """
    row = governable(organisation_id, application_id)

    return carry_out(lambda: application_commands.archive(row, body, expected_version(row["version"])), represent)


def governable(organisation_id: UUID, application_id: UUID) -> Body:
    """The row of an application whose credentials the caller may govern: live ones take the grant for production."""
    allow(WRITES_CREDENTIALS, organisation_id)
    row = existing(organisation_id, application_id)
    if has_live_credentials(services().store, application_id):
        allow_mode(Mode.LIVE)
    return row
