"""The OAuth 2 authorization server, on Authlib: who a client is, and what it gets.

Authlib knows the protocol's requests, their order and their errors. What is allowed is decided by `ledger.verification`
as at every other door: a client is a credential, and its access token is good as long as that credential is.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256
from typing import Any, NoReturn
from urllib.parse import unquote_plus

from authlib.oauth2.rfc6749 import (
    AuthorizationServer,
    ClientCredentialsGrant,
    InvalidClientError,
    InvalidGrantError,
    InvalidRequestError,
    InvalidScopeError,
    OAuth2Error,
    OAuth2Request,
    UnauthorizedClientError,
    UnsupportedGrantTypeError,
)
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7523 import JWTBearerClientAssertion
from authlib.oauth2.rfc7662 import IntrospectionEndpoint
from flask import Response, g, request
from joserfc import jwt
from joserfc.errors import JoseError
from uuid_utils.compat import uuid7

from api.auth import VERIFIES
from api.client_keys import EVERY_ALGORITHM, algorithms_of, registered_key
from api.incoming import address, now
from api.observability import verifications_like
from api.outgoing import answer
from api.signing import Algorithms, Claims, Signer
from api.verifying import readable_address
from api.wiring import Services
from ledger.errors import InvalidValue
from ledger.secret_format import OPERATOR_PREFIX, well_formed
from ledger.secrets import PUBLIC_JWK, malformed
from ledger.values import Channel, Kind, Mode, PublicId, one_of
from ledger.verification import Candidate, Code, Question, judge, matching
from projections.credential_status import find_client, find_for_verification
from projections.oauth import is_new_assertion, revoke_token
from projections.operator_status import Caller, find_caller

FORM = "application/x-www-form-urlencoded"
GRANT = "client_credentials"
TOKEN_PATH = "/oauth2/token"  # noqa: S105 - a path
METHODS = ["client_secret_basic", "client_secret_post", "private_key_jwt"]
_ENDPOINTS = ("token", "introspection", "revocation")
# An assertion is remembered for as long as it is good, so that it is good once; for the server's clock and the client's
# to differ by.
ASSERTION_SECONDS_MAX = 3_600
LEEWAY_SECONDS = 60
# Longer is no token of ours: the longest scopes there can be fill some fifty kilobytes.
TOKEN_CHARS_MAX = 65_536


@dataclass(frozen=True, slots=True)
class Client:
    """A credential that signed in with one of its secrets, and the question that was answered with yes."""

    candidate: Candidate
    question: Question

    def check_grant_type(self, grant_type: str) -> bool:
        """Clients have the one grant there is."""
        return grant_type == GRANT


class NotTheClient(InvalidClientError):
    """The client is unknown, or not good: the two look alike. With a challenge (RFC 7617 section 2)."""

    status_code = 401

    def get_headers(self) -> list[tuple[str, str]]:
        """Authlib's, with a challenge that names a realm."""
        headers = [header for header in super().get_headers() if header[0] != "WWW-Authenticate"]
        return [*headers, ("WWW-Authenticate", 'Basic realm="keyledger", charset="UTF-8"')]


class InvalidTarget(OAuth2Error):
    """The resource is none that the client may have a token for (RFC 8707 section 2)."""

    error = "invalid_target"


class _UnknownGrant(UnsupportedGrantTypeError):
    """Authlib's own repeats what was sent, whatever is in it."""

    def get_error_description(self) -> str:
        return "the grant type is client_credentials"


class _FormRequest(OAuth2Request):
    """A request as Authlib reads it: its parameters are those of the body, each of them once."""

    def __init__(self, form: Mapping[str, str], headers: Any) -> None:
        # Whether TLS was used is seen to where it ends: in front of this process.
        super().__init__("POST", f"https://localhost{TOKEN_PATH}", headers=headers)
        self._form = form
        self.payload = BasicOAuth2Payload(form)

    @property
    def form(self) -> Mapping[str, str]:
        return self._form


def _form_of_request() -> Mapping[str, str]:
    """The parameters of the body. Raises `InvalidRequestError` for another media type and what is there twice."""
    if request.mimetype != FORM:
        raise InvalidRequestError(f"the body must be {FORM}")
    form: dict[str, str] = {}
    for name, values in request.form.lists():
        if len(values) > 1:
            raise InvalidRequestError("a parameter is there twice")
        if values[0]:  # RFC 6749 section 3.2: a parameter without a value is as if it were not there
            form[name] = values[0]
    return form


# --- the server ------------------------------------------------------------------------------------------------------


class Server(AuthorizationServer):
    """Answers the token, introspection and revocation endpoints for the services of one process."""

    def __init__(self, services: Services) -> None:
        super().__init__()
        self.services = services
        self.signer = Signer(services.log, services.ledger)
        self.issuer = services.settings.issuer_url
        self.register_grant(_ClientCredentials)
        self.register_endpoint(_Introspection)
        self.register_endpoint(_Revocation)

    def respond(self, endpoint: str) -> Response:
        """The answer to the request at hand, which is one to `token` or to one of Authlib's named endpoints."""
        response: Response
        try:
            asked = _FormRequest(_form_of_request(), request.headers)
            if endpoint != "token":
                response = self.create_endpoint_response(endpoint, asked)
            elif asked.payload.grant_type is None:
                raise InvalidRequestError("grant_type is missing")
            else:
                response = self.create_token_response(asked)
        except OAuth2Error as error:
            response = self.handle_error_response(None, error)
        return response

    def metadata(self) -> dict[str, Any]:
        """What this server can (RFC 8414)."""
        return {
            "issuer": self.issuer,
            "token_endpoint": f"{self.issuer}{TOKEN_PATH}",
            "introspection_endpoint": f"{self.issuer}/oauth2/introspect",
            "revocation_endpoint": f"{self.issuer}/oauth2/revoke",
            "jwks_uri": f"{self.issuer}/.well-known/jwks.json",
            **{f"{name}_endpoint_auth_signing_alg_values_supported": EVERY_ALGORITHM for name in _ENDPOINTS},
            "response_types_supported": [],  # it must be there, and there is no authorization endpoint
            "grant_types_supported": [GRANT],
            "token_endpoint_auth_methods_supported": METHODS,
            "introspection_endpoint_auth_methods_supported": [*METHODS, "bearer"],
            "revocation_endpoint_auth_methods_supported": METHODS,
        }

    # What Authlib asks of a framework.

    def create_oauth2_request(self, request: _FormRequest) -> _FormRequest:
        """The request as it was read already."""
        return request

    def handle_response(self, status: int, body: Any, headers: Sequence[tuple[str, str]]) -> Response:
        """The answer with Authlib's headers: nobody keeps it."""
        response = answer(body, status)
        for name, value in headers:
            response.headers[name] = value
        return response

    def send_signal(self, name: str, *args: Any, **kwargs: Any) -> None:
        """Nobody listens: what happened is counted and logged with the request."""

    def get_token_grant(self, request: _FormRequest) -> Any:
        """The one grant there is."""
        try:
            return super().get_token_grant(request)
        except UnsupportedGrantTypeError as error:
            raise _UnknownGrant(error.grant_type) from None

    # --- who asks ----------------------------------------------------------------------------------------------------

    def authenticate_client(
        self,
        request: _FormRequest,
        methods: Sequence[str],  # noqa: ARG002 - Authlib's signature; all of them, at every endpoint
        endpoint: str = "token",
    ) -> Any:
        """The client, or at introspection the gateway, that signs in with the request.

        Raises `InvalidRequestError` for several ways at once (RFC 6749 section 2.3) and `InvalidClientError`.
        """
        header, form = request.headers.get("Authorization"), request.form
        if sum((header is not None, "client_secret" in form, "client_assertion" in form)) > 1:
            raise InvalidRequestError("the client signs in twice")
        if "client_assertion" in form:
            return self._asserted(request)
        if header is None:
            if "client_id" not in form or "client_secret" not in form:
                raise NotTheClient("the client does not sign in")
            return self._client(form["client_id"], form["client_secret"])
        scheme, _, given = header.partition(" ")
        if scheme.lower() == "bearer" and endpoint == _Introspection.ENDPOINT_NAME:
            return self._gateway(given.strip())
        client_id, secret = _basic(scheme, given)
        if secret.startswith(OPERATOR_PREFIX) and endpoint == _Introspection.ENDPOINT_NAME:
            return self._gateway(secret)
        if form.get("client_id", client_id) != client_id:
            raise InvalidRequestError("client_id is another one than the client that signs in")
        return self._client(client_id, secret)

    def _client(self, client_id: str, secret: str) -> Client:
        """The client with this secret, where it is good and may be used from there."""
        where, attempts = readable_address(address()), self.services.attempts
        if attempts is not None:
            attempts.admit(where, client_id)
        found = None
        digests = () if malformed(secret) else self.services.keyring.digests.candidates(secret)
        question = Question(secret, digests, now(), public_id=client_id, client_ip=where)
        if digests:
            _, candidates = find_for_verification(self.services.store, (), digests, None)
            found = matching(question, [c for c in candidates if c.kind == Kind.OAUTH_CLIENT])
        if found is None:
            code = Code.NOT_FOUND if digests else Code.MALFORMED
            if attempts is not None:
                attempts.note(where, client_id, code)
            _refused(code)
        return self._admitted(question, found)

    def _asserted(self, request: _FormRequest) -> Client:
        """The client whose registered key signed the assertion (RFC 7523 section 3). However it is wrong, it is told in
        the same way.
        """
        try:
            asserting: _Asserting | None = _PrivateKeyJwt(self)(self.query_client, request)
        except (InvalidClientError, JoseError, ValueError, TypeError, KeyError, RecursionError):
            asserting = None
        if asserting is None or asserting.signed is None:
            raise NotTheClient("the assertion is not good")
        found = asserting.signed
        if request.form.get("client_id", found.public_id) != found.public_id:
            raise InvalidRequestError("client_id is another one than the client that signs in")
        question = Question("", (), now(), public_id=found.public_id, client_ip=readable_address(address()))
        return self._admitted(question, found)

    def query_client(self, client_id: str) -> "_Asserting | None":
        """The client that an assertion speaks for, with the keys that it has registered."""
        try:
            candidates = find_client(self.services.store, PublicId(client_id))
        except InvalidValue:
            return None  # nobody can have it
        return _Asserting([c for c in candidates if c.algorithm == PUBLIC_JWK])

    def _admitted(self, question: Question, found: Candidate) -> Client:
        # Through which channel the token will come is known where it is presented, and asked there.
        question = replace(question, channel=None if found.channel is None else Channel(found.channel))
        verdict = judge(question, found)
        if not verdict.valid:
            _refused(verdict.code)
        verifications_like(verdict.code).inc()
        self.note_use(found, question.at)
        return Client(found, question)

    def _gateway(self, token: str) -> Caller:
        caller = None
        if well_formed(token):
            caller = find_caller(self.services.store, self.services.keyring.digests.candidates(token))
        if caller is None:
            raise NotTheClient("the token is not good")
        if not VERIFIES & caller.roles:
            raise UnauthorizedClientError("this takes the role verifier", status_code=403)
        g.caller = caller
        return caller

    # --- tokens ------------------------------------------------------------------------------------------------------

    def issue(self, client: Client, scopes: Sequence[str], audience: str) -> dict[str, Any]:
        """An access token for these scopes there (RFC 9068), good no longer than what it was issued for."""
        c, at = client.candidate, client.question.at
        lifetime = float(self.services.settings.access_token_seconds)
        for end in (c.expires_at, c.secret_expires_at):
            if end is not None:
                lifetime = min(lifetime, (end - c.moment(at)).total_seconds())
        issued_at = int(at.timestamp())
        scope = " ".join(scopes)
        claims = {
            "iss": self.issuer,
            "sub": c.public_id,
            "aud": audience,
            "client_id": c.public_id,
            "iat": issued_at,
            "exp": issued_at + int(lifetime),
            "jti": str(uuid7()),
            "scope": scope,
            "organisation_id": str(c.organisation_id),
            "mode": c.mode,
            "secret_version": c.secret_version,
        }
        return {
            "access_token": self.signer.sign(claims),
            "token_type": "Bearer",
            "expires_in": int(lifetime),
            "scope": scope,
        }

    def find_token(self, token: str, at: datetime) -> tuple[Claims, Candidate] | None:
        """What a token says and the credential it was issued for, as it is now; None where the token is not good.

        A token goes with the secret it was issued for: one that a rotation ended at once ends its tokens.
        """
        signed = self.signer.read(token) if len(token) <= TOKEN_CHARS_MAX else None
        if signed is None or signed.claims["exp"] <= at.timestamp() or signed.claims["iss"] != self.issuer:
            return None
        claims = signed.claims
        for candidate in find_client(self.services.store, claims["client_id"], claims["jti"], signed.kid):
            if candidate.secret_version == claims["secret_version"]:
                return claims, candidate
        return None

    def note_use(self, c: Candidate, at: datetime) -> None:
        """Remember that the credential was of use."""
        if self.services.usage is not None:
            self.services.usage.note(c.credential_id, c.secret_version, at)

    def audience(self, c: Candidate, api: str | None) -> str:
        """Who a token is for: an API of the organisation's catalogue, or whatever of the organisation's takes it.

        With the organisation in it, so that no other one's API takes it for its own.
        """
        organisation = f"{self.issuer}/organisations/{c.organisation_id}"
        return organisation if api is None else f"{organisation}/apis/{api}"

    def api_of(self, c: Candidate, audience: str) -> str | None:
        """The API that an audience names; None for the organisation as a whole. Raises `InvalidTarget`."""
        organisation, _, api = audience.partition("/apis/")
        if organisation != self.audience(c, None) or (api == "" and organisation != audience):
            raise InvalidTarget("the resource is none of this client")
        return api or None


@dataclass(slots=True)
class _Asserting:
    """A client whose assertion is being read: the keys it may have signed with, and the one it did."""

    keys: Sequence[Candidate]
    signed: Candidate | None = None


class _PrivateKeyJwt(JWTBearerClientAssertion):
    """Signing in with a signed assertion, each of which is good once (RFC 7523 sections 2.2 and 3)."""

    CLIENT_AUTH_METHOD = "private_key_jwt"

    def __init__(self, server: Server) -> None:
        super().__init__(leeway=LEEWAY_SECONDS)
        self._server = server

    def get_audiences(self) -> list[str]:
        """This server, as its clients may name it."""
        return [self._server.issuer, f"{self._server.issuer}{TOKEN_PATH}"]

    def resolve_client_public_key(self, client: _Asserting) -> _Asserting:
        """The client's keys, of which the signature tells the one."""
        return client

    def process_assertion_claims(self, assertion: str, client: _Asserting) -> None:
        """Find the key that signed it, and hold its claims to the standard."""
        for candidate in client.keys:
            key = registered_key(candidate.digest)
            try:
                claims = jwt.decode(assertion, key, registry=Algorithms(algorithms=algorithms_of(key))).claims
            except JoseError:
                continue
            self.verify_claims(claims)
            client.signed = candidate
            return

    def validate_jti(self, claims: Claims, jti: object) -> bool:
        """Whether it is the first time. One that is good for longer than that is remembered is refused."""
        expires = claims["exp"]
        if not isinstance(jti, str) or not expires - now().timestamp() <= ASSERTION_SECONDS_MAX + LEEWAY_SECONDS:
            return False
        digest = sha256(f"{claims['sub']}\n{jti}".encode(errors="surrogatepass")).hexdigest()
        return is_new_assertion(self._server.services.store, digest, expires + LEEWAY_SECONDS)

    def authenticate_client(self, client: _Asserting) -> _Asserting:
        """Whether it may be used is decided where a secret's holder is."""
        return client


def _refused(code: Code) -> NoReturn:
    verifications_like(code).inc()
    g.code = code
    if code is Code.IP_NOT_ALLOWED:
        raise UnauthorizedClientError("the client may not be used from this address")
    raise NotTheClient("the client is not good")


def _basic(scheme: str, given: str) -> tuple[str, str]:
    """The client's identifier and secret, each of them form-encoded (RFC 6749 section 2.3.1)."""
    if scheme.lower() != "basic":
        raise NotTheClient("sign in with Basic")
    try:
        client_id, colon, secret = base64.b64decode(given.strip(), validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        raise NotTheClient("the Authorization header cannot be read") from None
    if not colon:
        raise NotTheClient("the Authorization header cannot be read")
    return unquote_plus(client_id), unquote_plus(secret)


# --- what it answers -------------------------------------------------------------------------------------------------


class _ClientCredentials(ClientCredentialsGrant):
    """RFC 6749 section 4.4, with the scopes and the resource narrowed as the client asks."""

    TOKEN_ENDPOINT_AUTH_METHODS = METHODS

    def validate_requested_scope(self) -> None:
        """What is asked for must be granted: all of it, to an API that the client's application is connected to."""
        server: Server = self.server
        client: Client = self.request.client
        c, form = client.candidate, self.request.form
        self.audience = form.get("resource", server.audience(c, None))
        api = server.api_of(c, self.audience)
        asked = sorted(set(form.get("scope", "").split()))
        verdict = judge(replace(client.question, scopes=asked, api=api), c)
        if verdict.code is Code.API_NOT_CONNECTED:
            raise InvalidTarget("the client has no access to this API")
        reached = verdict.scopes if api is None or c.connected is None else set(verdict.scopes) & {*c.connected[api]}
        self.scopes = asked or sorted(reached)
        if not verdict.valid or not self.scopes:
            raise InvalidScopeError("the client has not all of these scopes, or none")

    def generate_token(self, *_args: Any, **_more: Any) -> dict[str, Any]:
        """The token that the client gets."""
        server: Server = self.server
        return server.issue(self.request.client, self.scopes, self.audience)

    def save_token(self, token: Mapping[str, Any]) -> None:
        """Nothing is kept: the token says all there is."""


class _Introspection(IntrospectionEndpoint):
    """RFC 7662, for gateways and for the client itself. Any way in which a token is not good looks the same."""

    def authenticate_token(self, request: _FormRequest, asker: Client | Caller) -> dict[str, Any] | None:
        """What there is to say of a good token."""
        server: Server = self.server
        question = asker.question if isinstance(asker, Client) else _asked_by_gateway(request.form)
        found = server.find_token(_token_of(request), now())
        if found is None:
            return None
        claims, c = found
        if isinstance(asker, Client):
            if c.credential_id != asker.candidate.credential_id:
                return None
        elif not asker.sees(c.organisation_id):
            return None
        api = server.api_of(c, claims["aud"])
        verdict = judge(replace(question, api=api), c)
        verifications_like(verdict.code).inc()
        g.code = verdict.code
        if not verdict.valid:
            return None
        server.note_use(c, question.at)
        still = set(verdict.scopes)
        return {
            **{name: claims[name] for name in ("iss", "sub", "aud", "client_id", "iat", "exp", "jti")},
            "scope": " ".join(scope for scope in claims["scope"].split() if scope in still),
            "token_type": "Bearer",
            "credential_id": c.credential_id,
            "organisation_id": c.organisation_id,
            "application_id": c.application_id,
            "mode": c.mode,
            "environment": c.environment,
            "channel": c.channel,
        }

    def create_introspection_payload(self, token: dict[str, Any] | None) -> dict[str, Any]:
        """All of it, or that the token is not good and nothing else (RFC 7662 section 2.2)."""
        return {"active": False} if token is None else {"active": True, **token}


class _Revocation(RevocationEndpoint):
    """RFC 7009: a client gives up one of its tokens. One that is not good any more is revoked already."""

    def authenticate_token(self, request: _FormRequest, client: Client) -> Claims | None:
        """The token, where it is the client's own."""
        server: Server = self.server
        found = server.find_token(_token_of(request), now())
        if found is None:
            return None
        claims, c = found
        if c.credential_id != client.candidate.credential_id:
            raise InvalidGrantError("the token is another client's")
        return claims

    def revoke_token(self, token: Claims, _request: _FormRequest) -> None:
        """Remember it for as long as it would have been good."""
        server: Server = self.server
        revoke_token(server.services.store, token["jti"], token["exp"])


def _token_of(request: _FormRequest) -> str:
    if "token" not in request.form:
        raise InvalidRequestError("token is missing")
    token: str = request.form["token"]
    return token


def _asked_by_gateway(form: Mapping[str, str]) -> Question:
    """What the gateway tells of where the token was presented, as at `/v1/verify`."""
    try:
        return Question(
            "",
            (),
            now(),
            client_ip=readable_address(form["client_ip"]) if "client_ip" in form else None,
            mode=one_of(Mode, form["mode"], "mode") if "mode" in form else None,
            channel=one_of(Channel, form["channel"], "channel") if "channel" in form else None,
        )
    except InvalidValue as error:
        raise InvalidRequestError(str(error)) from None
