"""Revocation by possession, for whoever found a secret: no sign-in, one answer for all, and few requests at a time."""

from http import HTTPStatus
from math import ceil
from typing import Any

from flask import Flask, Response, current_app
from flask_smorest import Blueprint
from werkzeug.exceptions import TooManyRequests

from api import outgoing
from api.incoming import StrictParser, address, context, services
from api.possession import REASON, end_presented
from api.rate_limits import AddressLimiter
from api.schemas.revocations import PRESENTING, PresentedIn, PresentedOut
from ledger.errors import InvalidValue
from ledger.secret_format import without_secrets
from ledger.settings import Settings

HOLDER = "holder"  # how events name somebody of whom nothing is known but that they held the secret

blueprint = Blueprint("Leaked secrets", __name__, url_prefix="/v1", description="For whoever finds one.")
blueprint.ARGUMENTS_PARSER = StrictParser()


def register(app: Flask, settings: Settings) -> None:
    """Give the application what it counts requests with."""
    app.extensions["keyledger.revocations"] = AddressLimiter(settings.revocations_per_minute)


@blueprint.before_request
def limit() -> None:
    """Refuse an address that asks too often, before its body is read."""
    limiter: AddressLimiter = current_app.extensions["keyledger.revocations"]
    if seconds := limiter.take(address()):
        raise TooManyRequests("this address, or all together, present secrets too often", retry_after=ceil(seconds))


@blueprint.route("/revocations", methods=["POST"])
@blueprint.doc(
    operationId="revokePresented",
    security=[],
    responses={status: {"$ref": f"#/components/responses/{HTTPStatus(int(status)).name}"} for status in ("429", "503")},
)
@blueprint.arguments(PresentedIn(), examples=PRESENTING)
@blueprint.response(202, PresentedOut)
def revoke_presented(body: dict[str, Any]) -> Response:
    """Revoke leaked secrets by presenting them.

    Takes no sign-in: whoever holds a secret may end it. Once this has answered, each credential and operator whose live
    secret was presented is revoked. The answer is the same for secrets that opened nothing. Sending it again does no
    harm. Passwords that people chose are not revoked this way.
    """
    # Whoever found a secret may well quote it, or another one: that keeps nobody from ending it, and is not kept.
    why = context(without_secrets(body.get("reason") or REASON), actor=HOLDER)
    secrets = _presented(body)
    for secret in secrets:
        end_presented(services(), why, secret, body.get("public_id"))
    return outgoing.answer({"accepted": len(secrets)}, status=202)


def _presented(body: dict[str, Any]) -> list[str]:
    """The secrets of a body, each once."""
    match body:
        case {"secret": _, "secrets": _}:
            raise InvalidValue("secrets", "and a secret exclude each other", "contradiction")
        case {"public_id": str(), "secrets": _}:
            raise InvalidValue("public_id", "belongs to a single secret", "contradiction")
        case {"secrets": secrets}:
            return list(dict.fromkeys(secrets))
        case {"secret": secret}:
            return [secret]
    raise InvalidValue("secret", "is required, or secrets", "missing_field")
