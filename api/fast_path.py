"""Verification and access tokens before the application: the plain request, answered in a fraction of the time.

What gateways and clients send thousands of times a second is always alike: a small JSON object, a few headers, or a
form of two fields. Such a request is read, settled and answered here. Whatever is not plain (another media type, a
wrong field, a gateway's token that is not good, a database that is away) goes to the application as if nobody had
looked, which then says what is wrong; so there is no error that is told in two places. Both settle and answer by
`api/verifying.py`, and about access tokens by `api/oauth_server.py`.
"""

import logging
import re
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import lru_cache, partial
from hashlib import sha256
from http import HTTPStatus
from io import BytesIO
from typing import Annotated, Any, NamedTuple
from urllib.parse import parse_qsl
from uuid import UUID

import msgspec
from authlib.oauth2.rfc6749 import InvalidRequestError

from api import verifying
from api.incoming import check_distinct, client_address, safe_request_id
from api.oauth_server import FORM, FormRequest, Server
from api.observability import BEGUN, Noted, note_request
from api.outgoing import FINISHING_HEADERS
from api.verifying import Answer, Asked, UnknownToken
from api.wiring import Services
from ledger.errors import LedgerError, TooManyAttempts, Unavailable
from ledger.secret_format import well_formed
from ledger.secrets import SECRET_CHARS_MAX
from ledger.values import SCOPES_MAX, Channel, Mode, parse_address

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]

# A longer body or query is not what a gateway sends; the application reads it, up to its own bounds.
BODY_BYTES_MAX = 8_192
QUERY_CHARS_MAX = 512
_LENGTH_DIGITS_MAX = 7
TOKENS_MAX = 1_000  # gateways' tokens, of which an installation has some dozen; strangers can make no more of them last

logger = logging.getLogger("keyledger.fast_path")

_REASONS = {int(status): f"{int(status)} {status.phrase.upper()}" for status in HTTPStatus}
_FINISHING_HEADERS = dict(FINISHING_HEADERS)


class _Settled(NamedTuple):
    """An answer, and what is logged of it."""

    answer: Answer
    operator_id: UUID | None
    code: str | None


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a verification as `VerifyIn` describes it."""

    secret: Annotated[str, msgspec.Meta(min_length=1, max_length=SECRET_CHARS_MAX)]
    public_id: Annotated[str, msgspec.Meta(max_length=200)] | None = None
    client_ip: Annotated[str, msgspec.Meta(max_length=50)] | None = None
    mode: Mode | None = None
    channel: Channel | None = None
    scopes: Annotated[list[Annotated[str, msgspec.Meta(max_length=100)]], msgspec.Meta(max_length=SCOPES_MAX)] = []
    api: Annotated[str, msgspec.Meta(max_length=200)] | None = None


class _NotPlainError(Exception):
    """The application is to answer this."""


class FastPath:
    """A WSGI application in front of another one, for the services of one process."""

    def __init__(self, application: Application, services: Services, authorization_server: Server) -> None:
        self._application = application
        self._services = services
        self._authorization_server = authorization_server
        self._body_bytes_max = min(BODY_BYTES_MAX, services.settings.body_bytes_max)
        self._tokens: dict[bytes, Sequence[str]] = {}
        self._routes: dict[tuple[str, str], tuple[str, Callable[[Environ, str], _Settled]]] = {
            ("POST", "/v1/verify"): ("Verification.verify", self._verify),
            ("GET", "/v1/authorize"): ("Verification.authorize", self._authorize),
            ("POST", "/oauth2/token"): ("OAuth 2.issue_token", partial(self._about_tokens, "token")),
            ("POST", "/oauth2/introspect"): (
                "OAuth 2.introspect_token",
                partial(self._about_tokens, "introspection"),
            ),
        }

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a plain request of those kinds; hand on everything else."""
        route = self._routes.get((environ["REQUEST_METHOD"], environ["PATH_INFO"]))
        if route is None:
            return self._application(environ, start_response)
        begun = environ[BEGUN] = time.perf_counter()
        environ.pop("HTTP_UPGRADE", None)  # of a WebSocket that a proxy asks about: Flask would look for one of ours
        operation, answer_to = route
        request_id = environ["HTTP_X_REQUEST_ID"] = safe_request_id(environ.get("HTTP_X_REQUEST_ID", ""))
        try:
            answer, operator_id, code = answer_to(environ, request_id)
        except (Unavailable, TooManyAttempts) as error:
            environ[verifying.REFUSED] = error
            return self._application(environ, start_response)
        except (_NotPlainError, UnknownToken, InvalidRequestError, LedgerError):
            return self._application(environ, start_response)
        except Exception:  # a fault of ours is told, counted and logged there, if it shows again
            logger.exception("the fast path failed", extra={"request_id": request_id})
            return self._application(environ, start_response)
        headers = {**_FINISHING_HEADERS, **answer.headers, "X-Request-Id": request_id}
        headers["Content-Length"] = str(len(answer.body))
        start_response(_REASONS[answer.status], list(headers.items()))
        noted = Noted(environ["REQUEST_METHOD"], environ["PATH_INFO"], operation, answer.status, request_id)
        note_request(noted, time.perf_counter() - begun, operator_id, code)
        return [answer.body]  # granian takes a list at once, and anything else piece by piece

    def _verify(self, environ: Environ, request_id: str) -> _Settled:
        scheme, _, token = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        if scheme != "Bearer":
            raise _NotPlainError
        digests = self._digests(token)
        body = _read(_body(environ, "application/json", self._body_bytes_max))
        asked = Asked(
            body.secret,
            body.public_id or None,
            parse_address(body.client_ip) if body.client_ip else None,
            body.mode,
            body.channel,
            body.scopes,
            body.api,
            address_told=bool(body.client_ip),
        )
        gateway, verdict = verifying.settle(self._services, digests, asked, _now())
        return _Settled(verifying.told(verdict, request_id), gateway.operator_id, verdict.code)

    def _authorize(self, environ: Environ, request_id: str) -> _Settled:
        digests = self._digests(environ.get("HTTP_X_GATEWAY_TOKEN", ""))
        presented = verifying.presented(environ.get("HTTP_X_API_KEY"), environ.get("HTTP_AUTHORIZATION"))
        if presented is None:
            raise _NotPlainError
        query = environ.get("QUERY_STRING", "")
        if len(query) > QUERY_CHARS_MAX:
            raise _NotPlainError
        required = _required(query)
        if "client_address" not in required:
            given = environ.get("HTTP_X_REAL_IP")
            address = verifying.readable_address(self._address(environ) if given is None else given)
            required = {**required, "client_address": address, "address_told": given is not None}
        asked = Asked(presented.secret, presented.public_id, bearer=presented.bearer, **required)
        gateway, verdict = verifying.settle(self._services, digests, asked, _now())
        return _Settled(verifying.directed(verdict, request_id, asked), gateway.operator_id, verdict.code)

    def _about_tokens(self, endpoint: str, environ: Environ, _request_id: str) -> _Settled:
        body = _body(environ, FORM, self._body_bytes_max)
        asked = FormRequest(body, environ.get("HTTP_AUTHORIZATION"), self._address(environ), _now())
        try:
            answer = self._authorization_server.respond(endpoint, asked)
        except Exception as error:  # an assertion is good once, so nobody can look at it a second time
            environ[verifying.REFUSED] = error
            raise
        return _Settled(answer, None if asked.caller is None else asked.caller.operator_id, asked.code)

    def _digests(self, token: str) -> Sequence[str]:
        """Before anything is read for it, the token is one that can have been issued.

        A gateway comes with the same one each time, which is remembered by its SHA-256: it cannot be told from that.
        """
        fingerprint = sha256(token.encode()).digest()
        known = self._tokens.get(fingerprint)
        if known is not None:
            return known
        if not well_formed(token):
            raise _NotPlainError
        if len(self._tokens) >= TOKENS_MAX:
            self._tokens.clear()
        found = self._tokens[fingerprint] = tuple(self._services.keyring.digests.candidates(token))
        return found

    def _address(self, environ: Environ) -> str:
        trusted = self._services.settings.trusted_proxies
        return client_address(environ.get("REMOTE_ADDR", ""), environ.get("HTTP_X_FORWARDED_FOR"), trusted)


def _now() -> datetime:
    return datetime.now(UTC)


@lru_cache(maxsize=1_000)  # a proxy's configuration has one for each place that it guards; some megabyte
def _required(query: str) -> dict[str, Any]:
    return verifying.required(parse_qsl(query, keep_blank_values=True))


def _body(environ: Environ, content_type: str, bytes_max: int) -> bytes:
    """The body, if it is plain. The application still finds all of it where it stood."""
    length = environ.get("CONTENT_LENGTH", "")
    if (
        environ.get("CONTENT_TYPE") != content_type
        or "HTTP_CONTENT_ENCODING" in environ
        or not (length.isascii() and length.isdecimal())
        or len(length) > _LENGTH_DIGITS_MAX
        or int(length) > bytes_max
    ):
        raise _NotPlainError
    content: bytes = environ["wsgi.input"].read(int(length))
    environ["wsgi.input"] = BytesIO(content)
    if len(content) != int(length):
        raise _NotPlainError
    return content


def _read(content: bytes) -> _Body:
    """The question that a body is."""
    try:
        body = _decode(content)
        if not _plainly_distinct(content):
            check_distinct(content.decode())
    except (ValueError, RecursionError):  # msgspec's errors among them
        raise _NotPlainError from None
    return body


_decode = msgspec.json.Decoder(_Body).decode
_find_names = re.compile(rb'"(?:%s)"' % "|".join(_Body.__struct_fields__).encode()).findall


def _plainly_distinct(content: bytes) -> bool:
    """Whether it is plain that no name is in the object twice, which msgspec would not say.

    A third of the work of reading it once more. Where nothing is escaped, what is there twice is written twice.
    """
    names = _find_names(content)
    return b"\\" not in content and len(set(names)) == len(names)
