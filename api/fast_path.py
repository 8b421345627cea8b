"""Verification before the application: the plain request, answered in a fraction of the time.

What gateways send thousands of times a second is always alike: a small JSON object, or a few headers. Such a request is
read, settled and answered here. Whatever is not plain (another media type, a wrong field, a token that is not good, a
database that is away) goes to the application as if nobody had looked, which then says what is wrong; so there is no
error that is told in two places. Both settle and answer by `api/verifying.py`.
"""

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from io import BytesIO
from typing import Annotated, Any
from urllib.parse import parse_qsl

import msgspec

from api import verifying
from api.incoming import check_distinct, client_address, safe_request_id
from api.observability import Noted, note_request
from api.outgoing import FINISHING_HEADERS
from api.verifying import Answer, Asked, UnknownToken
from api.wiring import Services
from ledger.errors import LedgerError, TooManyAttempts, Unavailable
from ledger.secret_format import well_formed
from ledger.secrets import SECRET_CHARS_MAX
from ledger.values import SCOPES_MAX, AnyAddress, Channel, Mode, parse_address
from ledger.verification import Verdict
from projections.operator_status import Caller

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]

# A longer body or query is not what a gateway sends; the application reads it, up to its own bounds.
BODY_BYTES_MAX = 8_192
QUERY_CHARS_MAX = 512
_LENGTH_DIGITS_MAX = 7

logger = logging.getLogger("keyledger.fast_path")

_REASONS = {200: "200 OK", 401: "401 UNAUTHORIZED", 403: "403 FORBIDDEN"}


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

    def __init__(self, application: Application, services: Services) -> None:
        self._application = application
        self._services = services
        self._body_bytes_max = min(BODY_BYTES_MAX, services.settings.body_bytes_max)
        self._routes = {
            ("POST", "/v1/verify"): ("Verification.verify", self._verify),
            ("GET", "/v1/authorize"): ("Verification.authorize", self._authorize),
        }

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a plain verification; hand on everything else."""
        route = self._routes.get((environ["REQUEST_METHOD"], environ["PATH_INFO"]))
        if route is None:
            return self._application(environ, start_response)
        begun = time.perf_counter()
        operation, answer_to = route
        request_id = safe_request_id(environ.get("HTTP_X_REQUEST_ID", ""))
        try:
            gateway, verdict, answer = answer_to(environ, request_id)
        except (Unavailable, TooManyAttempts) as error:
            environ[verifying.REFUSED] = error
            return self._application(environ, start_response)
        except (_NotPlainError, UnknownToken, LedgerError):
            return self._application(environ, start_response)
        except Exception:  # a fault of ours is told, counted and logged there, if it shows again
            logger.exception("the fast path failed", extra={"request_id": request_id})
            return self._application(environ, start_response)
        headers = [*answer.headers.items(), *FINISHING_HEADERS, ("X-Request-Id", request_id)]
        start_response(_REASONS[answer.status], [*headers, ("Content-Length", str(len(answer.body)))])
        noted = Noted(environ["REQUEST_METHOD"], environ["PATH_INFO"], operation, answer.status, request_id)
        note_request(noted, time.perf_counter() - begun, gateway.operator_id, verdict.code)
        return (answer.body,)

    def _verify(self, environ: Environ, request_id: str) -> tuple[Caller, Verdict, Answer]:
        scheme, _, token = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        if scheme != "Bearer":
            raise _NotPlainError
        digests = self._digests(token)
        body = _read(environ, self._body_bytes_max)
        asked = Asked(
            body.secret,
            body.public_id or None,
            parse_address(body.client_ip) if body.client_ip else None,
            body.mode,
            body.channel,
            body.scopes,
            body.api,
        )
        gateway, verdict = verifying.settle(self._services, digests, asked, datetime.now(UTC))
        return gateway, verdict, verifying.told(verdict, request_id)

    def _authorize(self, environ: Environ, request_id: str) -> tuple[Caller, Verdict, Answer]:
        digests = self._digests(environ.get("HTTP_X_GATEWAY_TOKEN", ""))
        presented = verifying.presented(environ.get("HTTP_X_API_KEY"), environ.get("HTTP_AUTHORIZATION"))
        if presented is None:
            raise _NotPlainError
        secret, public_id = presented
        query = environ.get("QUERY_STRING", "")
        if len(query) > QUERY_CHARS_MAX:
            raise _NotPlainError
        required = _required(query)
        if "client_address" not in required:
            required = {**required, "client_address": self._address(environ)}
        asked = Asked(secret, public_id, **required)
        gateway, verdict = verifying.settle(self._services, digests, asked, datetime.now(UTC))
        return gateway, verdict, verifying.directed(verdict, request_id)

    def _digests(self, token: str) -> Sequence[str]:
        """Before anything is read for it, the token is one that can have been issued."""
        if not well_formed(token):
            raise _NotPlainError
        return self._services.keyring.digests.candidates(token)

    def _address(self, environ: Environ) -> AnyAddress | None:
        given = environ.get("HTTP_X_REAL_IP")
        if not given:
            trusted = self._services.settings.trusted_proxies
            given = client_address(environ.get("REMOTE_ADDR", ""), environ.get("HTTP_X_FORWARDED_FOR", ""), trusted)
        return verifying.readable_address(given)


@lru_cache(maxsize=1_000)  # a proxy's configuration has one for each place that it guards; some megabyte
def _required(query: str) -> dict[str, Any]:
    return verifying.required(parse_qsl(query, keep_blank_values=True))


def _read(environ: Environ, bytes_max: int) -> _Body:
    """The body, if it is plain. The application still finds all of it where it stood."""
    length = environ.get("CONTENT_LENGTH", "")
    if (
        environ.get("CONTENT_TYPE") != "application/json"
        or "HTTP_CONTENT_ENCODING" in environ
        or not (length.isascii() and length.isdecimal())
        or len(length) > _LENGTH_DIGITS_MAX
        or int(length) > bytes_max
    ):
        raise _NotPlainError
    content = environ["wsgi.input"].read(int(length))
    environ["wsgi.input"] = BytesIO(content)
    if len(content) != int(length):
        raise _NotPlainError
    try:
        check_distinct(content.decode())  # the only one of the two that sees a name twice
        return _decode(content)
    except (ValueError, RecursionError):  # msgspec's errors among them
        raise _NotPlainError from None


_decode = msgspec.json.Decoder(_Body).decode
