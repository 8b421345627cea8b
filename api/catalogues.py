"""Catalogues: what each organisation's credentials can be granted."""

from typing import Any
from uuid import UUID

from flask import Response
from flask.views import MethodView
from flask_smorest import Blueprint

from api import documents, outgoing
from api.auditing import shows
from api.auth import MANAGES_CATALOGUES, READS_CREDENTIALS, READS_HISTORY, allow, allow_mode, authenticate
from api.commanding import COMMAND, COMMAND_ON_A_VERSION, READ, WRITTEN, carry_out, expected_version
from api.granting import previewed
from api.incoming import StrictParser, context, services
from api.organisations import existing as existing_organisation
from api.schemas.catalogue import (
    PREVIEWING,
    RETIRING,
    SETTING,
    CatalogueHistoryOut,
    CatalogueIn,
    CatalogueOut,
    CatalogueQuery,
    PreviewIn,
    PreviewOut,
    RetirementIn,
)
from ledger.catalogue import FIRST_VERSION, Catalogue, OrganisationCatalogue
from ledger.commands import RetirePermissions, SetCatalogue
from ledger.permissions import apis_of, groups_of
from ledger.values import Mode, scopes
from projections.readings import Shown

blueprint = Blueprint(
    "Catalogues",
    __name__,
    url_prefix="/v1/organisations/<uuid:organisation_id>/catalogue",
    description="What an organisation's credentials can be granted, and the APIs that its applications connect to.",
)
blueprint.ARGUMENTS_PARSER = StrictParser()
blueprint.before_request(authenticate)

Body = dict[str, Any]


def represent(state: OrganisationCatalogue) -> Body:
    """The catalogue that a command left."""
    return documents.catalogue(state.organisation_id, state.catalogue)


@blueprint.route("")
class CatalogueOfOrganisation(MethodView):
    """The one that an organisation has."""

    @blueprint.doc(operationId="getCatalogue")
    @blueprint.arguments(CatalogueQuery(), location="query")
    @blueprint.response(200, CatalogueOut, headers=READ)
    def get(self, query: Body, organisation_id: UUID) -> Response:
        """Read an organisation's catalogue.

        As it is, or as it was at a version: a credential's labels are told by the version that it was created under.
        An older version has no `ETag`, as nothing can be decided on it.
        """
        allow(READS_CREDENTIALS, organisation_id)
        existing_organisation(organisation_id)
        catalogues = services().catalogues
        if "version" in query:
            return outgoing.answer(
                documents.catalogue(organisation_id, catalogues.version(organisation_id, query["version"]))
            )
        found = catalogues.current(organisation_id)
        return outgoing.answer(
            documents.catalogue(organisation_id, found), headers={"ETag": outgoing.etag(found.version)}
        )

    @blueprint.doc(operationId="setCatalogue", **COMMAND_ON_A_VERSION)
    @blueprint.arguments(CatalogueIn(), examples=SETTING)
    @blueprint.response(200, CatalogueOut, headers=WRITTEN)
    def put(self, body: Body, organisation_id: UUID) -> Response:
        """Set an organisation's catalogue.

        The whole of it; If-Match must name the version that was read. A scope that is left out is retired: credentials
        keep it on record, and it grants nothing from now on. Listed again, it does.
        """
        found = changeable(organisation_id)

        def make() -> tuple[SetCatalogue, None]:
            groups = groups_of(body["groups"])
            command = SetCatalogue(
                context=context(body.get("reason")),
                expected_version=_changes(found),
                organisation_id=organisation_id,
                groups=groups,
                apis=apis_of(body["apis"], groups),
            )
            _allow_change(found, Catalogue(found.version + 1, command.groups, command.apis))
            return command, None

        return carry_out(make, represent)


@blueprint.route("/retire", methods=["POST"])
@blueprint.doc(operationId="retirePermissions", **COMMAND)
@blueprint.arguments(RetirementIn(), examples=RETIRING)
@blueprint.response(200, CatalogueOut, headers=WRITTEN)
def retire(body: Body, organisation_id: UUID) -> Response:
    """Retire permissions.

    These scopes are taken out of the catalogue and of its APIs; the rest stays. They grant nothing from now on.
    """
    found = changeable(organisation_id)

    def make() -> tuple[RetirePermissions, None]:
        retired = scopes(body["scopes"])
        if any(Mode.LIVE in found.modes.get(scope, ()) for scope in retired):
            allow_mode(Mode.LIVE)
        return RetirePermissions(
            context=context(body.get("reason")),
            expected_version=_changes(found),
            organisation_id=organisation_id,
            scopes=retired,
        ), None

    return carry_out(make, represent)


@blueprint.route("/history")
@blueprint.doc(operationId="listCatalogueVersions")
@blueprint.response(200, CatalogueHistoryOut)
def history(organisation_id: UUID) -> Response:
    """List the versions of a catalogue.

    Newest first: who made each, when and why, and which scopes it added and removed. `GET .../catalogue?version=` reads
    one whole.
    """
    allow(READS_HISTORY, organisation_id)
    existing_organisation(organisation_id)
    shows(Shown.HISTORY)
    return outgoing.answer({"data": documents.catalogue_history(services().catalogues.history(organisation_id))})


@blueprint.route("/preview", methods=["POST"])
@blueprint.doc(operationId="previewGrant")
@blueprint.arguments(PreviewIn(), examples=PREVIEWING)
@blueprint.response(200, PreviewOut)
def preview(body: Body, organisation_id: UUID) -> Response:
    """Preview a grant.

    What a new credential would be granted, and what that is called, over all and for each group. Records nothing.
    """
    allow(READS_CREDENTIALS, organisation_id)
    existing_organisation(organisation_id)
    return outgoing.answer(previewed(services(), organisation_id, **body))


def changeable(organisation_id: UUID) -> Catalogue:
    """The organisation's catalogue, for a caller who may change it."""
    allow(MANAGES_CATALOGUES, organisation_id)
    existing_organisation(organisation_id)
    return services().catalogues.current(organisation_id)


def _changes(found: Catalogue) -> int:
    """The version to decide on, as the command counts: by the changes so far, of which the first catalogue had none.

    Always the one that was read, whatever If-Match allows: the grant for production was asked for what changes in that.
    """
    expected_version(found.version)
    return found.version - FIRST_VERSION


def _allow_change(before: Catalogue, after: Catalogue) -> None:
    """What changes what live credentials can do takes the grant for production."""
    if after.apis != before.apis or after.preset("full_access", Mode.LIVE) != before.preset("full_access", Mode.LIVE):
        allow_mode(Mode.LIVE)
