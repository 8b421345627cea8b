"""Verification: gateways ask whether a presented secret is good."""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from flask import Response, g, request
from flask_smorest import Blueprint

from api import outgoing
from api.auth import VERIFIES, Caller, bearer_token, token_digests, unauthorised
from api.incoming import StrictParser, client_address, now, request_id, services
from api.observability import VERIFICATIONS
from api.problems import problem
from api.schemas.verification import VerifyIn, VerifyOut
from ledger.errors import Forbidden, InvalidValue
from ledger.secrets import claims_our_format, malformed
from ledger.values import AnyAddress, Channel, Kind, Mode, one_of, parse_address
from ledger.verification import Code, Question, Verdict, decide, login_of
from projections.credential_status import find_for_verification

# What the client of a forward-auth proxy may present. In one header, as nginx before 1.23 hands on no more than one of
# several, and written out, as a realm is always quoted (RFC 9110 sections 11.5 and 11.6.1).
_CHALLENGES = 'Bearer realm="api", Basic realm="api", charset="UTF-8"'

blueprint = Blueprint("Verification", __name__, url_prefix="/v1", description="For gateways.")
blueprint.ARGUMENTS_PARSER = StrictParser()


@blueprint.route("/verify", methods=["POST"])
@blueprint.doc(operationId="verify")
@blueprint.arguments(VerifyIn())
@blueprint.response(200, VerifyOut)
def verify(body: dict[str, Any]) -> Response:
    """Verify a presented secret. Answers 200 with `valid` and a `code`, whatever the verdict."""
    asked = _question(
        body["secret"],
        public_id=body.get("public_id"),
        client_address=parse_address(body["client_ip"]) if body.get("client_ip") else None,
        mode=body.get("mode"),
        channel=body.get("channel"),
        scopes=body["scopes"],
        api=body.get("api"),
    )
    verdict = _verdict(token_digests(bearer_token()), asked)
    return outgoing.answer(_represent(verdict))


@blueprint.route("/authorize", methods=["GET"])
@blueprint.doc(
    operationId="authorize",
    parameters=[
        {"in": "header", "name": "X-Gateway-Token", "required": True, "schema": {"type": "string"}},
        *(
            {"in": "query", "name": name, "required": False, "schema": {"type": "string"}}
            for name in ("mode", "channel", "scopes", "api")
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

    The client's own credentials stand in Authorization (Bearer or Basic) or X-API-Key, its address in X-Real-IP (as
    the proxy that holds the gateway token sets it), what is required in the query, the gateway's token in
    X-Gateway-Token.
    """
    digests = token_digests(request.headers.get("X-Gateway-Token", "").strip())
    _check_parameters()
    presented = _presented()
    if presented is None:
        return _challenge("present a credential")
    secret, public_id = presented
    asked = _question(
        secret,
        public_id=public_id,
        client_address=_real_address(),
        mode=request.args.get("mode"),
        channel=request.args.get("channel"),
        scopes=request.args.get("scopes", "").replace(",", " ").split(),
        api=request.args.get("api"),
    )
    verdict = _verdict(digests, asked)
    match verdict.code:
        case Code.VALID:
            return _let_through(verdict)
        case Code.NOT_FOUND | Code.MALFORMED | Code.REVOKED | Code.EXPIRED | Code.SUSPENDED:
            return _challenge("the credential is not good", verdict.code)
        case _:
            return problem(403, "forbidden", "the credential does not allow this", headers={"X-Code": verdict.code})


def _question(
    secret: str,
    *,
    public_id: str | None,
    client_address: AnyAddress | None,
    mode: str | None,
    channel: str | None,
    scopes: Sequence[str],
    api: str | None,
) -> Question:
    """The question in the domain's values; without digests where the secret cannot have been issued here."""
    return Question(
        secret=secret,
        digests=() if malformed(secret) else services().keyring.digests.candidates(secret),
        at=now(),
        public_id=public_id,
        client_ip=client_address,
        # An empty one is refused: a proxy's variable that was not set must not mean that nothing is required.
        mode=None if mode is None else one_of(Mode, mode, "mode"),
        channel=None if channel is None else one_of(Channel, channel, "channel"),
        scopes=scopes,
        api=api,
    )


def _verdict(caller_digests: Sequence[str], asked: Question) -> Verdict:
    """Who asks and what they ask about, read in one round trip, and the decision; counted, and the use noted."""
    found, candidates = find_for_verification(services().store, caller_digests, asked.digests, login_of(asked))
    if found is None:
        raise unauthorised("the token is not good")
    gateway = Caller(found.operator_id, found.organisation_id, frozenset(found.roles), found.production)
    g.caller = gateway
    if not VERIFIES & gateway.roles:
        raise Forbidden("this takes the role verifier")
    if _lacks_public_id(asked):
        verdict = Verdict(Code.MALFORMED)
    else:
        verdict = decide(replace(asked, organisation_id=gateway.organisation_id), candidates)
    g.code = verdict.code
    VERIFICATIONS.labels(verdict.code).inc()
    usage = services().usage
    if verdict.valid and verdict.candidate is not None and usage is not None:
        usage.note(verdict.candidate.credential_id, verdict.candidate.secret_version, asked.at)
    return verdict


def _lacks_public_id(asked: Question) -> bool:
    """A secret of our format says its kind: all but API keys go with a public identifier."""
    ours = claims_our_format(asked.secret)
    return ours and asked.public_id is None and not asked.secret.startswith(f"kl_{Kind.API_KEY}_")


def _represent(verdict: Verdict) -> dict[str, Any]:
    c = verdict.candidate
    return {
        "valid": verdict.valid,
        "code": verdict.code,
        "credential_id": c and c.credential_id,
        "organisation_id": c and c.organisation_id,
        "application_id": c and c.application_id,
        "kind": c and c.kind,
        "public_id": c and c.public_id,
        "mode": c and c.mode,
        "environment": c and c.environment,
        "channel": c and c.channel,
        "scopes": c.scopes if c else [],
        "expires_at": c and c.expires_at,
        "request_id": request_id(),
    }


def _check_parameters() -> None:
    """Refuse a requirement that would otherwise go unheard: one of another name, and the second of two."""
    for name, values in request.args.lists():
        if name not in ("mode", "channel", "scopes", "api"):
            raise InvalidValue(name, "is not a parameter of this")
        if len(values) > 1:
            raise InvalidValue(name, "is there twice", "duplicate_field")


def _presented() -> tuple[str, str | None] | None:
    """The client's secret and public identifier: X-API-Key, Bearer, or Basic (RFC 7617); None for none or several."""
    key = request.headers.get("X-API-Key")
    authorization = request.headers.get("Authorization")
    if key is not None and authorization is not None:
        return None  # which of the two is meant is not for us to guess
    if key is not None:
        return key.strip(), None
    if authorization is None:
        return None
    scheme, _, rest = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return rest.strip(), None
    if scheme.lower() == "basic":
        try:
            public_id, colon, secret = base64.b64decode(rest.strip(), validate=True).decode().partition(":")
        except (binascii.Error, ValueError):
            return None
        return (secret, public_id or None) if colon else None
    return None


def _real_address() -> AnyAddress | None:
    """The client's address as the gateway gives it; a gateway holds a token, so its word counts.

    None for one that cannot be read (nginx says `unix:` of a local socket): to an allowlist that is no address, which
    refuses; a 422 would be for the gateway's operator, who is not there to read it.
    """
    given = request.headers.get("X-Real-IP") or client_address(request, services().settings.trusted_proxies)
    try:
        return parse_address(given)
    except InvalidValue:
        return None


def _challenge(detail: str, code: Code | None = None) -> Response:
    headers = {"WWW-Authenticate": _CHALLENGES}
    return problem(401, "unauthorised", detail, headers=headers | ({"X-Code": code} if code else {}))


def _let_through(verdict: Verdict) -> Response:
    c = verdict.candidate
    if c is None:  # cannot be: a valid verdict is about a credential
        raise AssertionError("a valid verdict without a credential")
    headers = {
        "X-Credential-Id": str(c.credential_id),
        "X-Organisation-Id": str(c.organisation_id),
        "X-Application-Id": str(c.application_id or ""),
        "X-Public-Id": c.public_id,
        "X-Mode": c.mode,
        "X-Scopes": " ".join(c.scopes),
        "Cache-Control": "no-store",
    }
    return Response(b"", 200, headers)
