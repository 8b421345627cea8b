"""The OAuth 2 authorization server, on Authlib: who a client is, and what it gets.

Authlib knows the protocol's requests, their order and their errors. What is allowed is decided by `ledger.verification`
as at every other door: a client is a credential, and its access token is good as long as that credential is.

Nothing here knows Flask. What a request holds is read by its caller, which is a route or the fast path before them.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qsl, unquote_plus

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
from joserfc import jwt
from joserfc.errors import JoseError
from uuid_utils.compat import uuid7

from api.access_tokens import AccessTokens
from api.attempts import Presenter
from api.auth import VERIFIES
from api.client_keys import EVERY_ALGORITHM, algorithms_of, registered_key
from api.observability import verifications_like
from api.outgoing import to_json
from api.signing import Algorithms, Claims
from api.verifying import Answer, find_gateway, find_secret, readable_address
from api.wiring import Services
from ledger.errors import InvalidValue
from ledger.secret_format import OPERATOR_PREFIX, well_formed
from ledger.secrets import PUBLIC_JWK, malformed
from ledger.values import Channel, Kind, Mode, PublicId, one_of
from ledger.verification import Candidate, Code, Question, Verdict, judge, matching
from projections.credential_status import find_client
from projections.oauth import is_new_assertion
from projections.operator_status import Caller

FORM = "application/x-www-form-urlencoded"
GRANT = "client_credentials"
FIELDS_MAX = 100  # a request has fewer than ten
METHODS = ["client_secret_basic", "client_secret_post", "private_key_jwt"]
PATHS = {"token": "/oauth2/token", "introspection": "/oauth2/introspect", "revocation": "/oauth2/revoke"}
# An assertion is remembered for as long as it is good, so that it is good once; for the server's clock and the client's
# to differ by.
ASSERTION_SECONDS_MAX = 3_600
LEEWAY_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Client:
    """A credential that signed in with one of its secrets, and the question that was answered with yes."""

    candidate: Candidate
    question: Question

    def check_grant_type(self, grant_type: str) -> bool:
        """Clients have the one grant there is."""
        return grant_type == GRANT


class NotTheClient(InvalidClientError):
    """The client is unknown, or not good: the two look alike. With challenges (RFC 7617 section 2; RFC 6750 section 3)
    for those who sign in either way.
    """

    status_code = 401

    def get_headers(self) -> list[tuple[str, str]]:
        """Authlib's, with a challenge that names a realm."""
        headers = [header for header in super().get_headers() if header[0] != "WWW-Authenticate"]
        return [*headers, ("WWW-Authenticate", 'Basic realm="keyledger", charset="UTF-8", Bearer realm="keyledger"')]


class InvalidTarget(OAuth2Error):
    """The resource is none that the client may have a token for (RFC 8707 section 2)."""

    error = "invalid_target"


class _UnknownGrant(UnsupportedGrantTypeError):
    """Authlib's own repeats what was sent, whatever is in it."""

    def get_error_description(self) -> str:
        return "the grant type is client_credentials"


class FormRequest(OAuth2Request):
    """A request as Authlib reads it: its parameters are those of the body, each of them once.

    `address` is where it came from, as far as that is known, and `at` when. `caller` and `code` are what there is to
    log of it, once it was answered.
    """

    def __init__(self, body: bytes, authorization: str | None, address: str, at: datetime) -> None:
        """Raises `InvalidRequestError` for a body that cannot be read, and a parameter that is there twice."""
        # Whether TLS was used is seen to where it ends: in front of this process.
        headers = {} if authorization is None else {"Authorization": authorization}
        super().__init__("POST", "https://localhost/oauth2", headers=headers)
        parameters = _read(body)
        # RFC 6749 section 3.2: a parameter without a value is as if it were not there.
        self._form = {name: value for name, value in parameters.items() if value}
        self.empty = parameters.keys() - self._form.keys()
        self.payload = BasicOAuth2Payload(self._form)
        self.address = readable_address(address)
        self.at = at
        self.caller: Caller | None = None
        self.code: Code | None = None

    @property
    def form(self) -> Mapping[str, str]:
        return self._form


def _read(body: bytes) -> Mapping[str, str]:
    try:
        parameters = parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=FIELDS_MAX)
    except ValueError:
        raise InvalidRequestError("the body cannot be read") from None
    form: dict[str, str] = {}
    for name, value in parameters:
        if name in form:
            raise InvalidRequestError("a parameter is there twice")
        form[name] = value
    return form


# --- the server ------------------------------------------------------------------------------------------------------


class Server(AuthorizationServer):
    """Answers the token, introspection and revocation endpoints for the services of one process."""

    def __init__(self, services: Services, tokens: AccessTokens) -> None:
        super().__init__()
        self.services = services
        self.tokens = tokens
        self.issuer = tokens.issuer
        self.register_grant(_ClientCredentials)
        self.register_endpoint(_Introspection)
        self.register_endpoint(_Revocation)

    def respond(self, endpoint: str, asked: FormRequest) -> Answer:
        """The answer to a request, which is one to `token` or to one of Authlib's named endpoints."""
        answer: Answer
        try:
            if endpoint != "token":
                answer = self.create_endpoint_response(endpoint, asked)
            elif asked.payload.grant_type is None:
                raise InvalidRequestError("grant_type is missing")
            else:
                answer = self.create_token_response(asked)
        except OAuth2Error as error:
            answer = self.refuse(error)
        return answer

    def refuse(self, error: OAuth2Error) -> Answer:
        """The answer to a request that could not be read."""
        refused: Answer = self.handle_error_response(None, error)
        return refused

    def metadata(self) -> dict[str, Any]:
        """What this server can (RFC 8414)."""
        return {
            "issuer": self.issuer,
            **{f"{name}_endpoint": f"{self.issuer}{path}" for name, path in PATHS.items()},
            "jwks_uri": f"{self.issuer}/.well-known/jwks.json",
            **{f"{name}_endpoint_auth_signing_alg_values_supported": EVERY_ALGORITHM for name in PATHS},
            "response_types_supported": [],  # it must be there, and there is no authorization endpoint
            "grant_types_supported": [GRANT],
            "token_endpoint_auth_methods_supported": METHODS,
            "introspection_endpoint_auth_methods_supported": [*METHODS, "Bearer"],
            "revocation_endpoint_auth_methods_supported": METHODS,
        }

    # What Authlib asks of a framework.

    def create_oauth2_request(self, request: FormRequest) -> FormRequest:
        """The request as it was read already."""
        return request

    def handle_response(self, status: int, body: Any, headers: Sequence[tuple[str, str]]) -> Answer:
        """The answer with Authlib's headers: nobody keeps it."""
        return Answer(status, {"Content-Type": "application/json", **dict(headers)}, to_json(body))

    def send_signal(self, name: str, *args: Any, **kwargs: Any) -> None:
        """Nobody listens: what happened is counted and logged with the request."""

    def get_token_grant(self, request: FormRequest) -> Any:
        """The one grant there is."""
        try:
            return super().get_token_grant(request)
        except UnsupportedGrantTypeError as error:
            raise _UnknownGrant(error.grant_type) from None

    # --- who asks ----------------------------------------------------------------------------------------------------

    def authenticate_client(
        self,
        request: FormRequest,
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
            return self._asserted(request, endpoint)
        if header is None:
            if "client_id" not in form or "client_secret" not in form:
                raise NotTheClient("the client does not sign in")
            return self._client(request, (form["client_id"], form["client_secret"]))
        scheme, _, given = header.partition(" ")
        if scheme.lower() == "bearer" and endpoint == _Introspection.ENDPOINT_NAME:
            return self._gateway(request, given.strip())
        written = _basic(scheme, given)
        client_id, secret = (unquote_plus(part) for part in written)
        if secret.startswith(OPERATOR_PREFIX) and endpoint == _Introspection.ENDPOINT_NAME:
            return self._gateway(request, secret)
        if form.get("client_id", client_id) != client_id:
            raise InvalidRequestError("client_id is another one than the client that signs in")
        # RFC 6749 section 2.3.1 has them form-encoded, which many clients leave out.
        return self._client(request, (client_id, secret), written)

    def _client(self, request: FormRequest, *readings: tuple[str, str]) -> Client:
        """The client with this identifier and secret, as one of the readings has them, where it is good and may be used
        from there.
        """
        where, attempts = request.address, self.services.attempts
        if attempts is not None:
            attempts.admit(Presenter(where))
        code = Code.MALFORMED
        for client_id, secret in dict.fromkeys(readings):
            if malformed(secret):
                continue
            code = Code.NOT_FOUND
            digests = self.services.keyring.digests.candidates(secret)
            question = Question(secret, digests, request.at, public_id=client_id, client_ip=where)
            candidates = find_secret(self.services, digests)
            found = matching(question, [c for c in candidates if c.kind == Kind.OAUTH_CLIENT])
            if found is not None:
                return self._admitted(request, question, found)
        if attempts is not None:
            attempts.note(Presenter(where), code)
        raise _refusal(request, code)

    def _asserted(self, request: FormRequest, endpoint: str) -> Client:
        """The client whose registered key signed the assertion (RFC 7523 section 3). However it is wrong, it is told in
        the same way.
        """
        where, attempts = request.address, self.services.attempts
        if attempts is not None:
            attempts.admit(Presenter(where))
        try:
            asserting: _Asserting | None = _PrivateKeyJwt(self, endpoint, request.at)(self.query_client, request)
        except (InvalidClientError, JoseError, ValueError, TypeError, KeyError, RecursionError, OverflowError):
            asserting = None
        if asserting is None or asserting.signed is None:
            if attempts is not None:
                attempts.note(Presenter(where), Code.NOT_FOUND)
            verifications_like(Code.NOT_FOUND).inc()
            request.code = Code.NOT_FOUND
            raise NotTheClient("the assertion is not good")
        found = asserting.signed
        if request.form.get("client_id", found.public_id) != found.public_id:
            raise InvalidRequestError("client_id is another one than the client that signs in")
        question = Question("", (), request.at, public_id=found.public_id, client_ip=where)
        return self._admitted(request, question, found)

    def query_client(self, client_id: str) -> "_Asserting | None":
        """The client that an assertion speaks for, with the keys that it has registered."""
        try:
            candidates = find_client(self.services.store, PublicId(client_id))
        except InvalidValue:
            return None  # nobody can have it
        return _Asserting([c for c in candidates if c.algorithm == PUBLIC_JWK])

    def _admitted(self, request: FormRequest, question: Question, found: Candidate) -> Client:
        # Through which channel the token will come is known where it is presented, and asked there.
        question = replace(question, channel=None if found.channel is None else Channel(found.channel))
        verdict = judge(question, found)
        self.note(question, verdict)
        if not verdict.valid:
            raise _refusal(request, verdict.code)
        verifications_like(verdict.code).inc()
        return Client(found, question)

    def _gateway(self, request: FormRequest, token: str) -> Caller:
        caller = None
        if well_formed(token):
            caller = find_gateway(self.services, self.services.keyring.digests.candidates(token))
        if caller is None:
            raise NotTheClient("the token is not good")
        if not VERIFIES & caller.roles:
            raise UnauthorizedClientError("this takes the role verifier", status_code=403)
        request.caller = caller
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
            "access_token": self.tokens.signer.sign(claims),
            "token_type": "Bearer",
            "expires_in": int(lifetime),
            "scope": scope,
        }

    def note(self, question: Question, verdict: Verdict) -> None:
        """Remember what was answered about a credential, and that it was of use."""
        c, usage = verdict.candidate, self.services.usage
        if c is not None and usage is not None:
            usage.note(c.credential_id, c.secret_version, question.at, question.client_ip, verdict.code)


@dataclass(slots=True)
class _Asserting:
    """A client whose assertion is being read: the keys it may have signed with, and the one it did."""

    keys: Sequence[Candidate]
    signed: Candidate | None = None


class _PrivateKeyJwt(JWTBearerClientAssertion):
    """Signing in with a signed assertion, each of which is good once (RFC 7523 sections 2.2 and 3)."""

    CLIENT_AUTH_METHOD = "private_key_jwt"

    def __init__(self, server: Server, endpoint: str, at: datetime) -> None:
        super().__init__(leeway=LEEWAY_SECONDS)
        self._server = server
        self._endpoint = endpoint
        self._at = at

    def get_audiences(self) -> list[str]:
        """This server, as its clients may name it: by the endpoint that they ask too, as Authlib's do."""
        issuer = self._server.issuer
        return [issuer, f"{issuer}{PATHS['token']}", f"{issuer}{PATHS[self._endpoint]}"]

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
        if not isinstance(jti, str) or not expires - self._at.timestamp() <= ASSERTION_SECONDS_MAX + LEEWAY_SECONDS:
            return False
        digest = sha256(f"{claims['sub']}\n{jti}".encode(errors="surrogatepass")).hexdigest()
        return is_new_assertion(self._server.services.store, digest, expires + LEEWAY_SECONDS)

    def authenticate_client(self, client: _Asserting) -> _Asserting:
        """Whether it may be used is decided where a secret's holder is."""
        return client


def _refusal(request: FormRequest, code: Code) -> OAuth2Error:
    verifications_like(code).inc()
    request.code = code
    if code is Code.IP_NOT_ALLOWED:
        return UnauthorizedClientError("the client may not be used from this address")
    return NotTheClient("the client is not good")


def _basic(scheme: str, given: str) -> tuple[str, str]:
    """The client's identifier and secret as they are written."""
    if scheme.lower() != "basic":
        raise NotTheClient("sign in with Basic")
    try:
        client_id, colon, secret = base64.b64decode(given.strip(), validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        raise NotTheClient("the Authorization header cannot be read") from None
    if not colon:
        raise NotTheClient("the Authorization header cannot be read")
    return client_id, secret


# --- what it answers -------------------------------------------------------------------------------------------------


class _ClientCredentials(ClientCredentialsGrant):
    """RFC 6749 section 4.4, with the scopes and the resource narrowed as the client asks."""

    TOKEN_ENDPOINT_AUTH_METHODS = METHODS

    def validate_requested_scope(self) -> None:
        """What is asked for must be granted: all of it, to an API that the client's application is connected to."""
        server: Server = self.server
        client: Client = self.request.client
        c, form = client.candidate, self.request.form
        self.audience = form.get("resource", server.tokens.audience(c.organisation_id, None))
        try:
            api = server.tokens.api_of(c.organisation_id, self.audience)
        except InvalidValue:
            raise InvalidTarget("the resource is none of this client") from None
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

    def authenticate_token(self, request: FormRequest, asker: Client | Caller) -> dict[str, Any] | None:
        """What there is to say of a good token."""
        server: Server = self.server
        question = asker.question if isinstance(asker, Client) else _asked_by_gateway(request)
        found = server.tokens.find(_token_of(request), request.at)
        if found is None:
            return None
        claims, c = found
        if isinstance(asker, Client):
            if c.credential_id != asker.candidate.credential_id:
                return None
        elif not asker.sees(c.organisation_id):
            return None
        verdict = server.tokens.judge(question, claims, c)
        verifications_like(verdict.code).inc()
        request.code = verdict.code
        server.note(question, verdict)
        if not verdict.valid:
            return None
        return {
            **{name: claims[name] for name in ("iss", "sub", "aud", "client_id", "iat", "exp", "jti")},
            "scope": " ".join(verdict.scopes),
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

    def authenticate_token(self, request: FormRequest, client: Client) -> Claims | None:
        """The token, where it is the client's own."""
        server: Server = self.server
        found = server.tokens.find(_token_of(request), request.at)
        if found is None:
            return None
        claims, c = found
        if c.credential_id != client.candidate.credential_id:
            raise InvalidGrantError("the token is another client's")
        return claims

    def revoke_token(self, token: Claims, _request: FormRequest) -> None:
        """Remember it for as long as it would have been good."""
        server: Server = self.server
        server.tokens.revoke(token)


def _token_of(request: FormRequest) -> str:
    if "token" not in request.form:
        raise InvalidRequestError("token is missing")
    token: str = request.form["token"]
    return token


def _asked_by_gateway(request: FormRequest) -> Question:
    """What the gateway tells of where the token was presented, as at `/v1/verify`.

    Raises `InvalidRequestError` for what would otherwise go unheard: a proxy's variable that was not set must not mean
    that nothing is required.
    """
    form = request.form
    if unset := request.empty & {"mode", "channel", "client_ip"}:
        raise InvalidRequestError(f"{min(unset)} is empty: leave it out where nothing is required")
    if unheard := form.keys() & {"api", "scopes"}:
        raise InvalidRequestError(f"{min(unheard)} is not asked about here: see aud and scope of the answer")
    try:
        return Question(
            "",
            (),
            request.at,
            client_ip=readable_address(form["client_ip"]) if "client_ip" in form else None,
            mode=one_of(Mode, form["mode"], "mode") if "mode" in form else None,
            channel=one_of(Channel, form["channel"], "channel") if "channel" in form else None,
        )
    except InvalidValue as error:
        raise InvalidRequestError(str(error)) from None
