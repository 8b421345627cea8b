"""How credentials are used: from where, and with which answers."""

from uuid import UUID

from flask import Response
from flask_smorest import Blueprint

from api import documents, outgoing
from api.auditing import shows
from api.auth import READS_HISTORY, allow, authenticate
from api.credentials import existing
from api.incoming import StrictParser, services
from api.schemas.usage import UsageOut
from projections.readings import Shown
from projections.usage import find_usage

blueprint = Blueprint(
    "Usage",
    __name__,
    url_prefix="/v1/organisations/<uuid:organisation_id>/credentials/<uuid:credential_id>",
    description="What gateways saw of a credential.",
)
blueprint.ARGUMENTS_PARSER = StrictParser()
blueprint.before_request(authenticate)


@blueprint.route("/usage")
@blueprint.doc(operationId="getCredentialUsage")
@blueprint.response(200, UsageOut)
def usage(organisation_id: UUID, credential_id: UUID) -> Response:
    """Read how a credential is used.

    From which addresses each of its secrets was used, and how often each code was answered about it on each day (UTC).
    The newest uses show within seconds. Addresses are a person's data: they are gone once the credential is erased.
    """
    allow(READS_HISTORY, organisation_id)
    existing(organisation_id, credential_id)
    shows(Shown.USAGE)
    return outgoing.answer(documents.usage(find_usage(services().store, credential_id)))
