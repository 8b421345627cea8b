"""Verification: gateways ask whether a presented secret is good.

Plain requests are answered before they get here, by `api/fast_path.py`; these operations document all of them and
answer the others.
"""

from collections.abc import Mapping
from typing import Any

from flask import Response, g, request
from flask_smorest import Blueprint

from api import verifying
from api.auth import bearer_token, token_digests, unauthorised
from api.incoming import StrictParser, address, now, request_id, services
from api.schemas.verification import VerifyBatchIn, VerifyBatchOut, VerifyIn, VerifyOut
from api.verifying import Answer, Asked, UnknownToken
from ledger.errors import InvalidValue, TooManyAttempts
from ledger.values import AnyAddress, Channel, Mode, parse_address
from ledger.verification import Verdict

blueprint = Blueprint("Verification", __name__, url_prefix="/v1", description="For gateways.")
blueprint.ARGUMENTS_PARSER = StrictParser()


@blueprint.route("/verify", methods=["POST"])
@blueprint.doc(operationId="verify", responses={"429": {"$ref": "#/components/responses/TOO_MANY_REQUESTS"}})
@blueprint.arguments(VerifyIn())
@blueprint.response(200, VerifyOut)
def verify(body: dict[str, Any]) -> Response:
    """Verify a presented secret. Answers 200 with `valid` and a `code`, whatever the verdict."""
    return _response(verifying.told(_settled(bearer_token(), _asked(body)), request_id()))


@blueprint.route("/verify/batch", methods=["POST"])
@blueprint.doc(operationId="verifyBatch")
@blueprint.arguments(VerifyBatchIn())
@blueprint.response(200, VerifyBatchOut)
def verify_batch(body: dict[str, Any]) -> Response:
    """Verify up to a hundred presented secrets.

    The verdicts come in the order of the questions. Passwords that people chose are asked about one at a time, as each
    takes a check that is slow on purpose. Where one question has a wrong field, none is answered. A question of one who
    failed too often is answered TOO_MANY_ATTEMPTS, and the others as if it were not there.
    """
    digests = token_digests(bearer_token())
    asked = [_asked(question, f"questions.{number}.") for number, question in enumerate(body["questions"])]
    for number, one in enumerate(asked):
        if verifying.takes_a_password_check(one):
            raise InvalidValue(f"questions.{number}.secret", "is a chosen password: ask about those one at a time")
    try:
        g.caller, verdicts = verifying.settle_all(services(), digests, asked, now())
    except UnknownToken:
        raise unauthorised("the token is not good") from None
    g.code = verdicts[-1].code
    return _response(verifying.told_all(verdicts, request_id()))


@blueprint.route("/authorize", methods=["GET"])
@blueprint.doc(
    operationId="authorize",
    parameters=[
        {"in": "header", "name": "X-Gateway-Token", "required": True, "schema": {"type": "string"}},
        *(
            {"in": "query", "name": name, "required": False, "schema": {"type": "string", **choices}}
            for name, choices in (
                ("mode", {"enum": list(Mode)}),
                ("channel", {"enum": list(Channel)}),
                ("scopes", {}),
                ("api", {}),
                ("client_ip", {}),
            )
        ),
    ],
    security=[{"gatewayToken": []}],
    responses={
        "200": {"description": "Let it through; who it is stands in the headers."},
        "401": {"$ref": "#/components/responses/UNAUTHORIZED"},
        "403": {"$ref": "#/components/responses/FORBIDDEN"},
    },
)
def authorize() -> Response:
    """Answer a proxy's forward-auth subrequest: 200, 401 or 403.

    The client's own credentials stand in Authorization (Bearer or Basic) or X-API-Key, what is required in the query,
    the gateway's token in X-Gateway-Token. The client's address is `client_ip` of the query, or X-Real-IP as the proxy
    sets it, which must then drop the client's own `X_Real_IP`.
    """
    token = request.headers.get("X-Gateway-Token", "").strip()
    token_digests(token)  # a 401 before anything is said about the rest
    required: Mapping[str, Any] = verifying.required(request.args.items(multi=True))
    presented = verifying.presented(request.headers.get("X-API-Key"), request.headers.get("Authorization"))
    if presented is None:
        return _response(verifying.challenged("present a credential", request_id()))
    if "client_address" not in required:
        told = "X-Real-IP" in request.headers  # any other may be the gateway's own
        required = {**required, "client_address": _client_address(), "address_told": told}
    asked = Asked(presented.secret, presented.public_id, bearer=presented.bearer, **required)
    try:
        verdict = _settled(token, asked)
    except TooManyAttempts as error:  # nginx takes no 429 from a subrequest
        return _response(verifying.challenged(str(error), request_id(), error.code.upper()))
    return _response(verifying.directed(verdict, request_id(), asked))


def _asked(body: Mapping[str, Any], prefix: str = "") -> Asked:
    """A question in the domain's values; `prefix` leads to it in the body."""
    return Asked(
        body["secret"],
        public_id=body.get("public_id") or None,  # an empty one is none, as of Basic
        client_address=parse_address(body["client_ip"], f"{prefix}client_ip") if body.get("client_ip") else None,
        mode=Mode(body["mode"]) if body.get("mode") else None,
        channel=Channel(body["channel"]) if body.get("channel") else None,
        scopes=body["scopes"],
        api=body.get("api"),
        address_told=bool(body.get("client_ip")),
    )


def _settled(token: str, asked: Asked) -> Verdict:
    """The verdict, and the request's caller and code for the log; 401 where the gateway's token is not good."""
    if refused := request.environ.get(verifying.REFUSED):
        raise refused
    try:
        gateway, verdict = verifying.settle(services(), token_digests(token), asked, now())
    except UnknownToken:
        raise unauthorised("the token is not good") from None
    g.caller = gateway
    g.code = verdict.code
    return verdict


def _response(answer: Answer) -> Response:
    response = Response(answer.body, answer.status, answer.headers)
    if "Content-Type" not in answer.headers:
        del response.headers["Content-Type"]  # Flask's default; an empty body has none
    return response


def _client_address() -> AnyAddress | None:
    """The client's address as the gateway gives it in a header; a gateway holds a token, so its word counts."""
    given = request.headers.get("X-Real-IP")
    return verifying.readable_address(address() if given is None else given)
