"""What a request brings: its id, the address it came from, its body, and the context of what it asks for."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any

import orjson
from flask import Request, current_app, g, request
from uuid_utils.compat import uuid7
from webargs.flaskparser import FlaskParser
from werkzeug.exceptions import BadRequest, UnsupportedMediaType

from api.wiring import Services
from ledger.events import Context
from ledger.values import AnyNetwork, Reason, Via

# What may stand in a log line and a header, and no longer than a trace id with some prefix.
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")


def services() -> Services:
    """The services of this process."""
    found: Services = current_app.extensions["keyledger"]
    return found


def request_id() -> str:
    """The caller's X-Request-Id where it is harmless, or a fresh one."""
    if "request_id" not in g:
        given = request.headers.get("X-Request-Id", "")
        g.request_id = given if _REQUEST_ID.fullmatch(given) else str(uuid7())
    found: str = g.request_id
    return found


def now() -> datetime:
    """The moment of this request, one for all it does."""
    if "now" not in g:
        g.now = datetime.now(UTC)
    moment: datetime = g.now
    return moment


def context(reason: str | None = None) -> Context:
    """The context of the event that this request leads to."""
    return Context(
        at=now(),
        actor=g.caller.actor,
        via=Via.API,
        request_id=request_id(),
        reason=Reason(reason or ""),
        address=client_address(request, services().settings.trusted_proxies),
    )


def client_address(incoming: Request, trusted: Sequence[AnyNetwork]) -> str:
    """The address that the request came from.

    X-Forwarded-For is believed only as far as trusted proxies wrote it: from the right, the first address that is not
    a trusted proxy's is the client's. Empty where the server knows none (a local socket).
    """
    address = incoming.remote_addr or ""
    hops = [hop.strip() for hop in incoming.headers.get("X-Forwarded-For", "").split(",")]
    while _trusted(address, trusted) and hops:
        hop = hops.pop()
        try:
            address = str(ip_address(hop))
        except ValueError:
            break
    return address


def _trusted(address: str, trusted: Sequence[AnyNetwork]) -> bool:
    try:
        return any(ip_address(address) in network for network in trusted)
    except ValueError:
        return False


class StrictParser(FlaskParser):
    """Reads arguments the strict way: JSON only where JSON is said, an object only, and nothing unknown, ever."""

    DEFAULT_UNKNOWN_BY_LOCATION: dict[str, str | None] = dict.fromkeys(("json", "query", "path"), "raise")

    def load_json(self, req: Any, schema: Any) -> Any:  # noqa: ARG002 - the library's signature
        """The body's object. 415 for another media type, 400 for what is not one JSON object."""
        body = req.get_data(cache=True)
        if not body:
            return {}
        if req.mimetype != "application/json":
            raise UnsupportedMediaType("the body must be application/json")
        try:
            found = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise BadRequest(f"the body is not JSON: {error}") from None
        if not isinstance(found, dict):
            raise BadRequest("the body must be a JSON object")
        return found
