"""Every refusal as `application/problem+json` (RFC 9457), with a stable type of its own and the fields that failed.

The only place that knows HTTP status codes for the ledger's errors. A problem's `type` is `/problems/<code>`, which the
service answers with what the code means.
"""

import logging
from collections.abc import Iterator, Mapping
from typing import Any

import orjson
from flask import Flask, Response
from flask_smorest import Api
from werkzeug.exceptions import HTTPException

from api.incoming import request_id
from ledger import errors

logger = logging.getLogger("keyledger.api")

MEDIA_TYPE = "application/problem+json"

# The nearest class in an error's ancestry decides.
STATUS: Mapping[type[errors.LedgerError], int] = {
    errors.InvalidValue: 422,
    errors.NotFound: 404,
    errors.Forbidden: 403,
    errors.NotAllowedNow: 409,
    errors.StaleVersion: 412,
    errors.IdempotencyKeyReused: 422,
    errors.IdempotencyAnswerExpired: 409,
    errors.CommandInFlight: 409,
    errors.Unavailable: 503,
}

# Codes for what HTTP itself refuses, by status.
HTTP_CODES: Mapping[int, str] = {
    400: "malformed_request",
    401: "unauthorised",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    408: "request_timeout",
    412: "stale_version",
    413: "body_too_large",
    415: "unsupported_media_type",
    422: "invalid_value",
    428: "precondition_required",
    429: "too_many_requests",
    500: "internal_error",
    503: "unavailable",
}


def problem(
    status: int,
    code: str,
    detail: str,
    failed: list[dict[str, str]] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The answer that says what went wrong, and with which fields."""
    body: dict[str, Any] = {
        "type": f"/problems/{code}",
        "title": code.replace("_", " ").capitalize(),
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": request_id(),
    }
    if failed:
        body["errors"] = failed
    return Response(orjson.dumps(body), status, headers, mimetype=MEDIA_TYPE)


class ProblemApi(Api):
    """flask-smorest's Api, answering errors as problems and keeping the headers that belong to them."""

    def handle_http_exception(self, error: HTTPException) -> Response:
        """Any HTTP error: of routing, of parsing, or raised by a view."""
        status = error.code or 500
        validation = getattr(error, "data", {}).get("messages")
        if status == 422 and validation is not None:
            failed = list(_failed(validation))
            codes = {one["code"] for one in failed}
            code = codes.pop() if len(codes) == 1 else "invalid_value"
            return problem(422, code, "; ".join(f"{f['field']}: {f['reason']}" for f in failed), failed)
        kept = ("Allow", "Retry-After", "WWW-Authenticate")
        headers = {name: value for name, value in error.get_headers() if name in kept}
        detail = "something went wrong on our side" if status == 500 else (error.description or error.name)
        return problem(status, HTTP_CODES.get(status, "error"), detail, headers=headers)


def register(app: Flask) -> None:
    """Have the ledger's own errors answered as problems."""
    app.register_error_handler(errors.LedgerError, _of_the_ledger)


def _of_the_ledger(error: errors.LedgerError) -> Response:
    status = next(STATUS[cls] for cls in type(error).__mro__ if cls in STATUS)
    failed = None
    headers: dict[str, str] = {}
    if isinstance(error, errors.InvalidValue):
        failed = [{"field": error.field, "reason": error.reason, "code": error.code}]
    if isinstance(error, errors.Unavailable):
        headers["Retry-After"] = str(error.retry_after_seconds)
        logger.warning("unavailable", extra={"code": error.code, "detail": str(error)})
    return problem(status, error.code, str(error), failed, headers)


def _failed(messages: Any, path: str = "") -> Iterator[dict[str, str]]:
    """marshmallow's nested messages as a flat list of fields, each with a reason and a code."""
    if isinstance(messages, Mapping):
        for key, nested in messages.items():
            outermost = not path and key in ("json", "query", "path", "headers")
            named = path if outermost or key == "_schema" else f"{path}.{key}" if path else str(key)
            yield from _failed(nested, named)
        return
    for reason in messages if isinstance(messages, list) else [messages]:
        yield {"field": path or "body", "reason": str(reason), "code": _code_of(str(reason))}


# marshmallow tells kinds of failure apart by their words alone.
_CODES_BY_WORDS = (
    ("Unknown field", "unknown_field"),
    ("Missing data", "missing_field"),
    ("Not a valid", "wrong_type"),
    ("Invalid input type", "wrong_type"),
    ("may not be null", "wrong_type"),
    ("Longer than", "value_too_long"),
    ("Length must be", "value_too_long"),
)


def _code_of(reason: str) -> str:
    return next((code for words, code in _CODES_BY_WORDS if words in reason), "invalid_value")
