"""The console as a client of an OpenID Connect provider: where people are sent, and whom it says they are.

OpenID Connect Core 1.0 with the code flow alone, PKCE (RFC 7636) and the provider's name in its answers (RFC 9207).
What the provider publishes about itself is asked for when it is needed and kept for a while. Everything that is fetched
is bounded in time and size, redirects are not followed, and nothing leaves this machine without TLS.
"""

import base64
import hmac
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar
from urllib.parse import quote_plus, urlencode, urlsplit

import orjson
import urllib3
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from urllib3.exceptions import HTTPError

from api.signing import Algorithms
from ledger.errors import InvalidValue
from ledger.settings import Settings
from ledger.values import Identity, Subject

CONNECT_SECONDS = 3.0
FETCH_SECONDS = 8.0  # somebody waits before a blank page, and holds a thread of ours
ANSWER_BYTES_MAX = 262_144  # keys and claims are a few kilobytes; groups can be many
KEPT_SECONDS = 600.0  # how long what the provider publishes is believed without asking again
FAILURE_SECONDS = 5.0  # how long a failure is: who asks in that time is not made to wait for the next one
NEW_KEYS_SECONDS = 30.0  # how often an unknown key is reason to ask: anyone could present one with every request
LEEWAY_SECONDS = 60  # by which clocks may differ
AGE_SECONDS_MAX = 600  # of an ID token: it was made for this answer, a moment ago

ERROR_CHARS_MAX = 50  # the longest that OpenID Connect Core 1.0 names has 26; ours is the log that it goes to

# What providers sign with. `none` is not among them, nor is anything that a shared secret could forge.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519")
_LOOPBACK = ("localhost", "127.0.0.1", "::1")

T = TypeVar("T")
Claims = Mapping[str, Any]


class ProviderUnavailable(Exception):
    """The provider does not answer, or not as one does. The message is for the log."""


class AnswerRefused(Exception):
    """What came back proves nothing: not this provider's, not for us, not for this sign-in, or no longer good."""


class NotThisAttempt(AnswerRefused):
    """What came back answers no question of this browser's, or an older one: its attempt is as good as before."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One sign-in under way: a random value that only this browser has, from which all that is secret about it follows.

    `state` binds the answer to the browser (RFC 6749 section 10.12), `nonce` the ID token to this sign-in, and the
    verifier the code to whoever asked for it. None of them tells another.
    """

    secret: str = field(repr=False)

    @property
    def state(self) -> str:
        """Goes through the browser's address bar, there and back."""
        return self._derived("state")

    @property
    def nonce(self) -> str:
        """Comes back inside the ID token."""
        return self._derived("nonce")

    @property
    def verifier(self) -> str:
        """Goes from here to the provider alone."""
        return self._derived("verifier")

    def _derived(self, purpose: str) -> str:
        return hmac.digest(self.secret.encode(), purpose.encode(), "sha256").hex()


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Who signed in at the provider, and what it says of them. `values` are those of the claim that roles go by."""

    identity: Identity
    claims: Claims = field(repr=False)
    values: Sequence[str]


class _Kept(Generic[T]):
    """Something that is fetched when it is needed and then kept for a while; so is that it could not be had.

    One thread fetches and the others wait for it.
    """

    def __init__(self, fetch: Callable[[], T]) -> None:
        self._fetch = fetch
        self._mutex = threading.Lock()
        self._value: T | None = None
        self._at = float("-inf")
        self._failed: tuple[float, ProviderUnavailable] | None = None

    def get(self, younger_than: float = KEPT_SECONDS) -> T:
        """What was fetched, no longer ago than this."""
        with self._mutex:
            now = time.monotonic()
            if self._value is not None and now - self._at < younger_than:
                return self._value
            if self._failed and now - self._failed[0] < FAILURE_SECONDS:
                raise ProviderUnavailable(str(self._failed[1]))
            try:
                self._value, self._at, self._failed = self._fetch(), time.monotonic(), None
            except ProviderUnavailable as error:
                self._failed = time.monotonic(), error
                raise
            return self._value


class Provider:
    """The provider that the settings name, for one process. `redirect_uri` is where it sends people back to."""

    def __init__(self, settings: Settings, redirect_uri: str) -> None:
        self.issuer = settings.oidc_issuer
        self.host = urlsplit(self.issuer).netloc
        self._settings = settings
        self._redirect_uri = redirect_uri
        # No retries: a code is good once, and whoever waits can click again.
        self._pool = urllib3.PoolManager(
            maxsize=settings.threads,
            retries=False,
            timeout=urllib3.Timeout(connect=CONNECT_SECONDS, total=FETCH_SECONDS),
        )
        self._metadata = _Kept(self._fetch_metadata)
        self._keys = _Kept(self._fetch_keys)

    def address_to_sign_in(self, attempt: Attempt) -> str:
        """Where to send the browser. Raises `ProviderUnavailable`."""
        address: str = prepare_grant_uri(
            self._endpoint("authorization_endpoint"),
            self._settings.oidc_client_id,
            "code",
            redirect_uri=self._redirect_uri,
            scope=self._settings.oidc_scopes,
            state=attempt.state,
            nonce=attempt.nonce,
            code_challenge=create_s256_code_challenge(attempt.verifier),
            code_challenge_method="S256",
        )
        return address

    def address_to_sign_out(self, back: str) -> str | None:
        """Where to end the provider's own session (OpenID Connect RP-Initiated Logout 1.0), if it has such a place."""
        if "end_session_endpoint" not in self._metadata.get():
            return None
        query = urlencode({"client_id": self._settings.oidc_client_id, "post_logout_redirect_uri": back})
        endpoint = self._endpoint("end_session_endpoint")
        return f"{endpoint}{'&' if urlsplit(endpoint).query else '?'}{query}"

    def who(self, attempt: Attempt, answer: Mapping[str, str]) -> SignedIn:
        """Whom the provider's answer to this attempt means. Raises `AnswerRefused` and `ProviderUnavailable`."""
        if not hmac.compare_digest(answer.get("state", "").encode(), attempt.state.encode()):
            raise NotThisAttempt("the answer is not to this browser's attempt")
        named = self._metadata.get().get("authorization_response_iss_parameter_supported") is True
        if answer.get("iss", "" if named else self.issuer) != self.issuer:
            raise AnswerRefused("the answer is another provider's")
        if "error" in answer or not answer.get("code"):
            raise AnswerRefused(f"the provider refused: {answer.get('error', 'no code')[:ERROR_CHARS_MAX]!r}")
        tokens = self._exchange(answer["code"], attempt)
        claims = self._read_id_token(tokens, attempt)
        try:
            identity = Identity(self.issuer, Subject(claims["sub"]))
        except (InvalidValue, TypeError) as error:
            raise AnswerRefused(str(error)) from None
        claim = self._settings.oidc_roles_claim
        if claim not in claims and "userinfo_endpoint" in self._metadata.get():
            claims = {**self._ask_for_claims(tokens, identity), **claims}
        given = claims.get(claim, [])
        values = [given] if isinstance(given, str) else given if isinstance(given, list) else []
        return SignedIn(identity, claims, [value for value in values if isinstance(value, str)])

    def _exchange(self, code: str, attempt: Attempt) -> Claims:
        """The tokens for the code (RFC 6749 section 4.1.3)."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._redirect_uri,
            "code_verifier": attempt.verifier,
        }
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        client_id, secret = self._settings.oidc_client_id, self._settings.oidc_client_secret
        methods = self._metadata.get().get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        if secret and "client_secret_basic" in methods:
            pair = f"{quote_plus(client_id)}:{quote_plus(secret)}"  # RFC 6749 section 2.3.1
            headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
        else:
            form |= {"client_id": client_id} | ({"client_secret": secret} if secret else {})
        status, tokens = self._ask("POST", self._endpoint("token_endpoint"), headers, urlencode(form).encode())
        if 400 <= status < 500:
            raise AnswerRefused(f"the provider refused the code: {str(tokens.get('error'))[:ERROR_CHARS_MAX]!r}")
        if status != 200 or not isinstance(tokens.get("id_token"), str):
            raise ProviderUnavailable(f"the token endpoint answered {status} without an ID token")
        return tokens

    def _read_id_token(self, tokens: Claims, attempt: Attempt) -> Claims:
        """What the ID token says, once all is checked that OpenID Connect Core 1.0, section 3.1.3.7 asks for."""
        client_id = self._settings.oidc_client_id
        try:
            token = self._decode(tokens["id_token"])
            params = {"nonce": attempt.nonce, "client_id": client_id, "access_token": tokens.get("access_token")}
            options = {
                "iss": {"essential": True, "value": self.issuer},
                "aud": {"essential": True, "value": client_id},
                "exp": {"essential": True},
            }
            claims = CodeIDToken(token.claims, token.header, options, params)
            claims.validate(leeway=LEEWAY_SECONDS)
            if datetime.now(UTC).timestamp() - claims["iat"] > AGE_SECONDS_MAX:
                raise AnswerRefused("the ID token is too old")
        except (JoseError, ValueError, TypeError) as error:
            raise AnswerRefused(f"the ID token is not good: {error}") from None
        return dict(claims)

    def _decode(self, id_token: str) -> jwt.Token:
        """The token, if one of the provider's keys signed it; they are asked for anew where none of those known did."""
        registry = Algorithms(algorithms=list(ALGORITHMS))
        try:
            return jwt.decode(id_token, self._keys.get(), registry=registry)
        except (JoseError, ValueError):
            return jwt.decode(id_token, self._keys.get(younger_than=NEW_KEYS_SECONDS), registry=registry)

    def _ask_for_claims(self, tokens: Claims, identity: Identity) -> Claims:
        """What the provider tells besides (OpenID Connect Core 1.0, section 5.3), of the same person."""
        headers = {"Authorization": f"Bearer {tokens.get('access_token', '')}"}
        status, claims = self._ask("GET", self._endpoint("userinfo_endpoint"), headers)
        if status != 200:
            raise ProviderUnavailable(f"the userinfo endpoint answered {status}")
        if claims.get("sub") != identity.subject:
            raise AnswerRefused("the userinfo endpoint tells of somebody else")
        return claims

    def _fetch_metadata(self) -> Claims:
        status, metadata = self._ask("GET", self.issuer.rstrip("/") + "/.well-known/openid-configuration", {})
        if status != 200 or metadata.get("issuer") != self.issuer:
            raise ProviderUnavailable(
                f"discovery answered {status}, for the issuer {str(metadata.get('issuer'))[:200]}"
            )
        return metadata

    def _fetch_keys(self) -> KeySet:
        status, keys = self._ask("GET", self._endpoint("jwks_uri"), {})
        try:
            # Providers publish keys of kinds that we do not know, and for encryption; they are not for us.
            usable = [key for key in keys["keys"] if key.get("kty") in ("RSA", "EC", "OKP") and key.get("use") != "enc"]
            return KeySet.import_key_set({"keys": usable})
        except (JoseError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise ProviderUnavailable(f"the keys cannot be read ({status}): {error}") from None

    def _endpoint(self, name: str) -> str:
        """An address that the provider publishes, if it can be gone to safely."""
        address = str(self._metadata.get().get(name, ""))
        parts = urlsplit(address)
        if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
            raise ProviderUnavailable(f"the provider's {name} is not an https address")
        return address

    def _ask(self, method: str, url: str, headers: Mapping[str, str], body: bytes = b"") -> tuple[int, Claims]:
        """Status and JSON object of an answer."""
        deadline = time.monotonic() + FETCH_SECONDS
        headers = {"Accept": "application/json", **headers}
        try:
            answer = self._pool.request(
                method, url, headers=headers, body=body or None, redirect=False, preload_content=False
            )
            try:
                read = b""
                while part := answer.read1(65_536):  # whatever came: a trickle must not hold us past the deadline
                    read += part
                    if len(read) > ANSWER_BYTES_MAX or time.monotonic() > deadline:
                        raise ProviderUnavailable(f"{url} answers too much or too slowly")
            finally:
                answer.close()
            found = orjson.loads(read)
        except (HTTPError, OSError, ValueError) as error:
            raise ProviderUnavailable(f"{url}: {type(error).__name__}: {error}"[:300]) from None
        if not isinstance(found, dict):
            raise ProviderUnavailable(f"{url} answers no JSON object")
        return answer.status, found
