"""Bulk revocations: look at what a filter covers, confirm just that, and see how far it has come."""

from typing import Any
from uuid import UUID

from flask import Response
from flask.views import MethodView
from flask_smorest import Blueprint

from api import documents, outgoing
from api.auditing import reads_only
from api.auth import READS_CREDENTIALS, WRITES_CREDENTIALS, allow, allow_mode, authenticate
from api.bulk_revoking import DryRun, confirmed, dry_run
from api.commanding import BEGINNING, CREATED, READ, carry_out
from api.incoming import StrictParser, context, now, services
from api.organisations import existing as existing_organisation
from api.schemas import PageQuery
from api.schemas.bulk_revocations import (
    LOOKING,
    BulkRevocationIn,
    BulkRevocationOut,
    BulkRevocationPage,
    DryRunOut,
)
from ledger.bulk_revocation import Selection
from ledger.commands import StartBulkRevocation
from ledger.errors import InvalidValue, NotFound
from ledger.values import (
    Channel,
    EmailAddress,
    Environment,
    Kind,
    LabelKey,
    LabelValue,
    Mode,
    PublicId,
    RevocationReason,
    utc,
)
from projections.bulk_revocation_status import (
    find_bulk_revocation,
    list_bulk_revocations,
    rows_of_credentials,
    status_row,
)

SHOWN_MAX = 50  # a page; the count and the digest are of all

blueprint = Blueprint(
    "Bulk revocations",
    __name__,
    url_prefix="/v1/organisations/<uuid:organisation_id>/bulk-revocations",
    description="For the day when somebody leaves or a batch leaks: look first, then revoke just what was shown.",
)
blueprint.ARGUMENTS_PARSER = StrictParser()
blueprint.before_request(authenticate)

Body = dict[str, Any]


def represent(state: Any) -> Body:
    """The run that a command left."""
    return documents.bulk_revocation(status_row(state))


@blueprint.route("")
class BulkRevocations(MethodView):
    """An organisation's bulk revocations."""

    @blueprint.doc(operationId="listBulkRevocations")
    @blueprint.arguments(PageQuery(), location="query")
    @blueprint.response(200, BulkRevocationPage)
    def get(self, query: Body, organisation_id: UUID) -> Response:
        """List an organisation's bulk revocations.

        Newest first. Never behind.
        """
        allow(READS_CREDENTIALS, organisation_id)
        existing_organisation(organisation_id)
        found = list_bulk_revocations(
            services().store, organisation_id, cursor=query.get("cursor"), limit=query["limit"]
        )
        return outgoing.page(map(documents.bulk_revocation, found.rows), found.cursor)

    @blueprint.doc(operationId="revokeInBulk", **BEGINNING)
    @blueprint.arguments(BulkRevocationIn(), examples=LOOKING)
    @blueprint.alt_response(200, schema=DryRunOut, description="The dry run: nothing was touched.")
    @blueprint.response(201, BulkRevocationOut, headers=CREATED)
    def post(self, body: Body, organisation_id: UUID) -> Response:
        """Revoke many credentials.

        First with `dry_run`: the answer tells what would be revoked, and a digest. Then with that digest, everything
        else the same: if it is still exactly those, the run is recorded and begins; else 409 `selection_changed`, and
        nothing is. Each credential gets a revocation of its own, in the background, within seconds. A run that is cut
        off goes on by itself.
        """
        allow(WRITES_CREDENTIALS, organisation_id)
        existing_organisation(organisation_id)
        selection = selection_of(body["filter"])
        if body["dry_run"]:
            if "digest" in body:
                raise InvalidValue("digest", "and dry_run exclude each other", "contradiction")
            return _shown(looked_at(organisation_id, selection, body))
        if "digest" not in body:
            raise InvalidValue("digest", "is required: make a dry run, and confirm it with its digest", "missing_field")

        def make() -> tuple[StartBulkRevocation, None]:
            looked = looked_at(organisation_id, selection, body)
            return confirmed(looked, body["digest"], context(body.get("reason"))), None

        return carry_out(
            make,
            represent,
            status=201,
            location=lambda state: f"/v1/organisations/{organisation_id}/bulk-revocations/{state.id}",
        )


@blueprint.route("/<uuid:run_id>")
class BulkRevocation(MethodView):
    """One of them."""

    @blueprint.doc(operationId="getBulkRevocation")
    @blueprint.response(200, BulkRevocationOut, headers=READ)
    def get(self, organisation_id: UUID, run_id: UUID) -> Response:
        """Read a bulk revocation: how far it has come."""
        allow(READS_CREDENTIALS, organisation_id)
        row = find_bulk_revocation(services().store, organisation_id, run_id)
        if row is None:
            raise NotFound("bulk revocation")
        return outgoing.answer(documents.bulk_revocation(row), headers={"ETag": outgoing.etag(row["version"])})


def selection_of(given: Body) -> Selection:
    """A filter in the domain's values."""
    values = dict(given)
    for name, enum in (("kind", Kind), ("mode", Mode), ("environment", Environment), ("channel", Channel)):
        if name in values:
            values[name] = enum(values[name])
    if "ids" in values:
        values["ids"] = tuple(dict.fromkeys(values["ids"]))
    if "public_ids" in values:
        named = (PublicId(name, f"filter.public_ids.{index}") for index, name in enumerate(values["public_ids"]))
        values["public_ids"] = tuple(dict.fromkeys(named))
    if "contact_email" in values:
        values["contact_email"] = EmailAddress(values["contact_email"], "filter.contact_email")
    if "label" in values:
        name, value = values["label"]["name"], values["label"]["value"]
        values["label"] = (LabelKey(name, "filter.label.name"), LabelValue(value, "filter.label.value"))
    if "created_before" in values:
        values["created_before"] = utc(values["created_before"], "filter.created_before")
    return Selection(**values)


def looked_at(organisation_id: UUID, selection: Selection, body: Body) -> DryRun:
    looked = dry_run(services(), organisation_id, selection, RevocationReason(body["revocation_reason"]), now())
    if looked.live:
        allow_mode(Mode.LIVE)
    return looked


def _shown(looked: DryRun) -> Response:
    reads_only()
    rows = rows_of_credentials(services().store, looked.credential_ids[:SHOWN_MAX])
    return outgoing.answer(
        {
            "count": len(looked.credential_ids),
            "digest": looked.digest,
            "credentials": [outgoing.credential(row) for row in rows],
            "truncated": len(looked.credential_ids) > SHOWN_MAX,
        }
    )
