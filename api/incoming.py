"""What a request brings: its id, the address it came from, its body, and the context of what it asks for."""

import json
import re
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any

import orjson
from flask import current_app, g, request
from uuid_utils import uuid7
from webargs.flaskparser import FlaskParser
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge, UnsupportedMediaType

from api.wiring import Services
from ledger.errors import InvalidValue
from ledger.events import Context
from ledger.secret_format import SECRET_PATTERN
from ledger.values import AnyNetwork, Reason, Via, parse_address

# What may stand in a log line and a header, and no longer than a trace id with some prefix.
_SECRET = re.compile(SECRET_PATTERN)
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")


def services() -> Services:
    """The services of this process."""
    found: Services = current_app.extensions["keyledger"]
    return found


def request_id() -> str:
    """The caller's X-Request-Id where it is harmless, or a fresh one.

    It goes into logs and events for good, so one that holds a secret of ours is not taken.
    """
    found: str | None = g.get("request_id")
    if found is None:
        found = g.request_id = safe_request_id(request.headers.get("X-Request-Id", ""))
    return found


def safe_request_id(given: str) -> str:
    """See `request_id`."""
    harmless = given and _REQUEST_ID.fullmatch(given) and not _SECRET.search(given)
    return given if harmless else str(uuid7())


def now() -> datetime:
    """The moment of this request, one for all it does."""
    moment: datetime | None = g.get("now")
    if moment is None:
        moment = g.now = datetime.now(UTC)
    return moment


def context(reason: str | None = None, actor: str | None = None) -> Context:
    """The context of the event that this request leads to. The actor is the caller, if nobody else is named; the
    console says in `g.via` that it came through there.
    """
    return Context(
        at=now(),
        actor=g.caller.actor if actor is None else actor,
        via=g.get("via", Via.API),
        request_id=request_id(),
        reason=Reason(reason or ""),
        address=address(),
    )


def address() -> str:
    """The address that the request came from, as `client_address` has it."""
    return client_address(
        request.remote_addr or "", request.headers.get("X-Forwarded-For"), services().settings.trusted_proxies
    )


def client_address(remote: str, forwarded_for: str | None, trusted: Sequence[AnyNetwork]) -> str:
    """The address that the request came from.

    X-Forwarded-For is believed only as far as trusted proxies wrote it: from the right, the first address that is not
    a trusted proxy's is the client's. An IPv4-mapped address, as a socket for both families gives it, is its IPv4 one.
    Empty where the server knows none (a local socket), and where what a trusted proxy handed on cannot be read: a
    client that writes nonsense there must not be taken for the proxy.
    """
    address = _plain(remote) or remote
    hops = [] if forwarded_for is None else [hop.strip() for hop in forwarded_for.split(",")]
    while _trusted(address, trusted) and hops:
        hop = _plain(hops.pop())
        if hop is None:
            return ""
        address = hop
    return address


def _plain(text: str) -> str | None:
    """An address as it is written; None for what is none."""
    try:
        return str(parse_address(text))
    except InvalidValue:
        return None


def _trusted(address: str, trusted: Sequence[AnyNetwork]) -> bool:
    try:
        return any(ip_address(address) in network for network in trusted)
    except ValueError:
        return False


def whole_body(req: Any) -> bytes:
    """The request's body; 413 where it is longer than is taken."""
    body: bytes = req.get_data(cache=True)
    # Of a body that does not say its length werkzeug reads as much as is allowed, and says nothing of the rest.
    if req.content_length is None and len(body) >= current_app.config["MAX_CONTENT_LENGTH"]:
        raise RequestEntityTooLarge
    return body


class StrictParser(FlaskParser):
    """Reads arguments the strict way: JSON only where JSON is said, one object, nothing unknown and nothing twice."""

    DEFAULT_UNKNOWN_BY_LOCATION: dict[str, str | None] = dict.fromkeys(("json", "query", "path"), "raise")

    def load_json(self, req: Any, schema: Any) -> Any:  # noqa: ARG002 - the library's signature
        """The body's object. 415 for another media type, 413 for too large a body, 400 for what is not one JSON object.

        Raises `InvalidValue` for a name that an object has twice: parsers differ in which of the two they take, so a
        proxy may have allowed the other one (RFC 8259 section 4).
        """
        body = whole_body(req)
        if not body:
            return {}
        if req.mimetype != "application/json":
            raise UnsupportedMediaType("the body must be application/json")
        if "Content-Encoding" in req.headers:
            raise UnsupportedMediaType("the body must not be compressed")
        try:
            found = orjson.loads(body)  # which refuses what the standard library takes: NaN, infinity, half a surrogate
            check_distinct(body.decode())  # the only one of the two that sees a name twice
        except (ValueError, RecursionError) as error:
            raise BadRequest(f"the body is not JSON: {error}") from None
        if not isinstance(found, dict):
            raise BadRequest("the body must be a JSON object")
        return found

    def load_querystring(self, req: Any, schema: Any) -> Any:
        """The query's parameters. Raises `InvalidValue` for one that is there twice."""
        for name, values in req.args.lists():
            if len(values) > 1:
                raise InvalidValue(name, "is there twice", "duplicate_field")
        return super().load_querystring(req, schema)


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        raise InvalidValue(twice, "is there twice", "duplicate_field")
    return found


check_distinct = json.JSONDecoder(object_pairs_hook=_distinct).decode
"""Reads JSON. Raises `InvalidValue` for a name that an object has twice."""
