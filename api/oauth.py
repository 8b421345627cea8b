"""OAuth 2: access tokens for credentials of the kind `oauth_client`, and what others need to check them."""

from http import HTTPStatus
from typing import Any

from authlib.oauth2.rfc6749 import InvalidRequestError
from flask import Flask, Response, current_app, g, request
from flask_smorest import Blueprint
from marshmallow import Schema

from api import outgoing, verifying
from api.access_tokens import AccessTokens
from api.incoming import address, now, whole_body
from api.oauth_server import FORM, FormRequest, Server
from api.schemas.oauth import (
    AccessTokenOut,
    IntrospectionIn,
    IntrospectionOut,
    KeySetOut,
    OAuthErrorOut,
    RevokedOut,
    RevokeTokenIn,
    ServerMetadataOut,
    TokenIn,
)
from api.signing import CACHED_SECONDS
from api.wiring import Services

CACHED = {"Cache-Control": f"public, max-age={CACHED_SECONDS}"}

blueprint = Blueprint("OAuth 2", __name__, description="For clients that get access tokens, and those who check them.")


def register(app: Flask, services: Services, tokens: AccessTokens) -> Server:
    """Give the application its authorization server."""
    found = app.extensions["keyledger.oauth"] = Server(services, tokens)
    return found


def _server() -> Server:
    found: Server = current_app.extensions["keyledger.oauth"]
    return found


def _respond(endpoint: str) -> Response:
    """The server's answer to the request at hand."""
    if refused := request.environ.get(verifying.REFUSED):
        raise refused
    server = _server()
    try:
        if request.mimetype != FORM:
            raise InvalidRequestError(f"the body must be {FORM}")
        asked = FormRequest(whole_body(request), request.headers.get("Authorization"), address(), now())
    except InvalidRequestError as error:
        answer = server.refuse(error)
    else:
        answer = server.respond(endpoint, asked)
        g.caller, g.code = asked.caller, asked.code
    return Response(answer.body, answer.status, answer.headers)


def _form(schema: type[Schema]) -> dict[str, Any]:
    """How the document describes a body."""
    return {"required": True, "content": {FORM: {"schema": schema}}}


_BUSY = {status: {"$ref": f"#/components/responses/{HTTPStatus(int(status)).name}"} for status in ("429", "503")}
_AS_CLIENT: list[dict[str, Any]] = [{"clientBasic": []}, {}]
_AS_CLIENT_OR_GATEWAY: list[dict[str, Any]] = [{"operatorToken": []}, *_AS_CLIENT]


@blueprint.route("/oauth2/token", methods=["POST"])
@blueprint.doc(
    operationId="issueToken",
    security=_AS_CLIENT,
    requestBody=_form(TokenIn),
    responses=_BUSY,
)
@blueprint.response(200, AccessTokenOut)
@blueprint.alt_response(400, schema=OAuthErrorOut, description="What is asked for is not to be had.")
@blueprint.alt_response(401, schema=OAuthErrorOut, description="The client is not good.")
def issue_token() -> Response:
    """Issue an access token.

    The client-credentials grant (RFC 6749 section 4.4): a credential of the kind `oauth_client` signs in with its
    public id and its secret, with Basic or in the body, and gets a signed JWT (RFC 9068).
    """
    return _respond("token")


@blueprint.route("/oauth2/introspect", methods=["POST"])
@blueprint.doc(
    operationId="introspectToken",
    security=_AS_CLIENT_OR_GATEWAY,
    requestBody=_form(IntrospectionIn),
    responses=_BUSY,
)
@blueprint.response(200, IntrospectionOut)
@blueprint.alt_response(400, schema=OAuthErrorOut, description="The request cannot be read.")
@blueprint.alt_response(401, schema=OAuthErrorOut, description="Whoever asks is not good.")
@blueprint.alt_response(403, schema=OAuthErrorOut, description="Whoever asks is no gateway.")
def introspect_token() -> Response:
    """Tell whether an access token is good, now.

    RFC 7662, for gateways, who sign in with their token as Bearer or as the password of Basic, and for the client that
    the token was issued to. A token is as good as its credential: revoked, suspended or expired ones have none.
    """
    return _respond("introspection")


@blueprint.route("/oauth2/revoke", methods=["POST"])
@blueprint.doc(
    operationId="revokeToken",
    security=_AS_CLIENT,
    requestBody=_form(RevokeTokenIn),
    responses=_BUSY,
)
@blueprint.response(200, RevokedOut)
@blueprint.alt_response(400, schema=OAuthErrorOut, description="The request cannot be read, or is another client's.")
@blueprint.alt_response(401, schema=OAuthErrorOut, description="The client is not good.")
def revoke_token() -> Response:
    """Revoke an access token of one's own.

    RFC 7009. From then on introspection refuses it; whoever checks the signature alone takes it until it expires.
    """
    return _respond("revocation")


@blueprint.route("/.well-known/jwks.json")
@blueprint.doc(operationId="getSigningKeys", security=[])
@blueprint.response(200, KeySetOut)
def signing_keys() -> Response:
    """List the public keys that access tokens are signed with.

    After a rotation the key before stays here until no token of it is good.
    """
    return outgoing.answer(_server().tokens.signer.published(), headers=CACHED)


@blueprint.route("/.well-known/oauth-authorization-server")
@blueprint.doc(operationId="getServerMetadata", security=[])
@blueprint.response(200, ServerMetadataOut)
def server_metadata() -> Response:
    """Tell OAuth 2 clients where the endpoints are and what they take."""
    return outgoing.answer(_server().metadata(), headers=CACHED)
