"""What a secret looks like, published for whoever scans for leaked ones."""

from flask import Response
from flask_smorest import Blueprint

from api import outgoing
from api.docs import CACHED
from api.schemas.revocations import SECRETS_MAX, SecretPatternOut
from ledger.secret_format import ALPHABET, CHECKSUM_CHARS, RANDOM_CHARS, SECRET_PATTERN, SECRET_PREFIX

PATTERN = {
    "pattern": SECRET_PATTERN,
    "prefix": SECRET_PREFIX,
    "checksum": {
        "algorithm": "CRC-32/ISO-HDLC, as a number in base 62, padded with the lowest digit",
        "characters": CHECKSUM_CHARS,
        "of_characters": RANDOM_CHARS,
        "alphabet": ALPHABET,
    },
    "report": {"method": "POST", "path": "/v1/revocations", "secrets_max": SECRETS_MAX},
}

blueprint = Blueprint("Secret pattern", __name__, url_prefix="/v1", description="For secret scanners.")


@blueprint.route("/secret-pattern")
@blueprint.doc(operationId="getSecretPattern", security=[])
@blueprint.response(200, SecretPatternOut)
def secret_pattern() -> Response:
    """Tell what a secret looks like.

    For secret scanners: a regular expression, the checksum that rules out what only looks like one, and where to
    report one.
    """
    return outgoing.answer(PATTERN, headers={"Cache-Control": CACHED})
