"""Every refusal as `application/problem+json` (RFC 9457), with a stable type of its own and the fields that failed.

The only place that knows HTTP status codes for the ledger's errors. A problem's `type` is `/problems/<code>`, which the
service answers with what the code means.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import orjson
from flask import Flask, Response
from flask_smorest import Api
from werkzeug.exceptions import HTTPException

from api.incoming import request_id
from api.schemas import ProblemSchema
from ledger import errors

logger = logging.getLogger("keyledger.api")

MEDIA_TYPE = "application/problem+json"
FAILED_MAX = 50  # more wrong fields than this help nobody, and an answer must not outgrow its question

# The nearest class in an error's ancestry decides.
STATUS: Mapping[type[errors.LedgerError], int] = {
    errors.InvalidValue: 422,
    errors.NotFound: 404,
    errors.Forbidden: 403,
    errors.NotAllowedNow: 409,
    errors.TooManyAttempts: 429,
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
    411: "length_required",
    412: "stale_version",
    413: "body_too_large",
    414: "uri_too_long",
    415: "unsupported_media_type",
    416: "range_not_satisfiable",
    422: "invalid_value",
    428: "precondition_required",
    429: "too_many_requests",
    431: "headers_too_large",
    500: "internal_error",
    503: "unavailable",
}

# What each code means and what to do about it, as `GET /problems/<code>` and the documentation page tell it.
MEANINGS: Mapping[str, str] = {
    # The request is not what the documentation says. Nothing was recorded; change it before sending it again.
    "invalid_value": "A value is not one that the ledger takes, or several values are wrong in different ways.",
    "malformed_request": "The request cannot be read: its body is not one JSON object in UTF-8, or it is cut off.",
    "unknown_field": "The body or the query has a field that this operation does not know. Most likely a typing error.",
    "missing_field": "A field that this operation needs is not there.",
    "duplicate_field": "A field is there twice, so what was meant cannot be told.",
    "wrong_type": "A field is of another type or form than documented, such as a number where a text belongs.",
    "invalid_choice": "A field takes one of a few values, and this is none of them.",
    "invalid_length": "A text is too long or too short, or a list has too many or too few entries.",
    "out_of_range": "A number or a duration lies outside its bounds.",
    "forbidden_characters": "A text holds control or invisible characters, which could forge a log line or hide.",
    "holds_secret": "A text holds a secret of ours, which would stay in the history for good. Have that one revoked.",
    "invalid_email": "This is not the address of a mailbox.",
    "invalid_network": "This is neither an IP address nor a network in CIDR form, or the network has host bits set.",
    "invalid_address": "This is not an IP address.",
    "invalid_login": "A login holds letters, digits and . _ - @ + only, and begins with a letter or a digit.",
    "invalid_scope": "A scope has the form entity:action.",
    "unknown_account": "The organisation has no account with this id.",
    "unknown_scope": "The catalogue does not hold this scope.",
    "retired_scope": "The catalogue no longer holds this scope: it was retired.",
    "excluded_scope": "Signing in to the scan app, configuring events, entrance plans and permissions internal to "
    "operations are not for credentials: no catalogue offers them and no credential holds them.",
    "wrong_mode_scope": "The catalogue has this scope for credentials of the other mode only.",
    "beyond_ceiling": "The APIs that the application is connected to do not take this scope. Connect another, or leave "
    "it out.",
    "unknown_api": "The catalogue does not list this API.",
    "unknown_application": "The organisation has no application with this App ID.",
    "unknown_topic": "There is no kind of event, and nothing that has events, of this name.",
    "invalid_name": "A name holds small letters, digits, _ and dots only, and begins with a letter.",
    "selection_too_large": "More credentials are covered than one bulk revocation takes. Narrow the filter.",
    "invalid_tile": "This is not the path of a tile (C2SP tlog-tiles).",
    "invalid_time": "A time has no zone, lies outside the calendar, or is too far away.",
    "past_time": "A time that must still come lies in the past.",
    "format_not_installed": "This installation cannot write that format. Install its extra, or ask for another one.",
    "future_time": "A time that must be over lies in the future.",
    "malformed_secret": "This was never issued here: it has the prefix of our secrets, but not their form or a wrong "
    "checksum.",
    "weak_password": "The chosen password is too easily guessed. Leave it out to have a secret generated.",
    "invalid_url": "Messages are not sent to such a URL: it is not absolute, not https, or at an address that this "
    "installation does not send to.",
    "too_many_credentials": "So many credentials cannot be looked at in one request. Take a file, or the command line.",
    "contradiction": "Two values of the request exclude each other.",
    "invalid_cursor": "The cursor is not one of this list with these filters. Begin again without a cursor.",
    "invalid_position": "The log has not reached this position, so no list can have. Send one that a command answered.",
    "invalid_header": "A header of the request is not of the form that it must have.",
    "not_acceptable": "The answer cannot be given in a form that the request accepts.",
    "request_timeout": "The request took too long to arrive.",
    "length_required": "The request must say how long its body is.",
    "body_too_large": "The body is larger than this installation reads.",
    "uri_too_long": "The path or the query is longer than the server reads.",
    "headers_too_large": "The headers are larger than the server reads.",
    "range_not_satisfiable": "The file ends before the first byte that the Range asks for: it is there whole already.",
    "unsupported_media_type": "The body must be application/json, not compressed.",
    "method_not_allowed": "This path does not take this method; `Allow` names those that it takes.",
    # Who asks, and what about.
    "unauthorised": "There is no token, or it is not good: unknown, expired, or its operator was removed.",
    "forbidden": "The operator is known, but its role or its grants do not allow this.",
    "not_found": "There is no such thing, or it belongs to another organisation: the two look alike.",
    # The state of the thing forbids it.
    "not_allowed_now": "The request is well formed, but the state of what it is about forbids it.",
    "credential_revoked": "The credential is revoked. Revocation is final: create another one.",
    "credential_erased": "The credential's personal data was destroyed. Only its history is left.",
    "credential_not_revoked": "Only a revoked credential can be erased: what still admits someone cannot be.",
    "credential_expired": "The credential has expired by itself. Create a successor.",
    "credential_already_suspended": "The credential is suspended already.",
    "credential_not_suspended": "There is no suspension to lift.",
    "two_secrets_live": "A rotation is under way: end its overlap first, or rotate without one.",
    "no_overlap": "There is no older secret left to retire.",
    "scopes_already_fixed": "Scopes are fixed at creation. Create a successor with other scopes.",
    "nothing_changed": "It is so already: the command would record an event that says nothing.",
    "operator_removed": "The operator was removed. Enrol another one.",
    "operator_not_removed": "Only a removed operator can be erased: who still has access cannot be.",
    "operator_erased": "The operator's name and email were destroyed. Only its history is left.",
    "account_closed": "The account is closed, or the master account above it is. Closing is final: open another one.",
    "channel_key_exists": "The account has as many live keys on this channel as it may have. Rotate one, or revoke it "
    "first.",
    "selection_changed": "What was confirmed is not what would be revoked now: look at it again, and confirm that.",
    "too_many_attempts": "Too many secrets that are not good came from this address or for this public id. Retry-After "
    "says when the next one is looked at.",
    "rebuild_running": "The view is being rebuilt already.",
    "rebuild_failed": "A process that rebuilt a part of the view is gone; the old view is still in place.",
    "signs_in_elsewhere": "The operator signs in at an identity provider, and has no token that could be rotated.",
    "last_administrator": "The installation would be left without an administrator.",
    "application_archived": "The application is archived, which is final. Register another one.",
    "name_already_claimed": "Somebody else has this name, public identifier or secret.",
    "login_already_claimed": "The login is taken on its channel. Logins are unique across the installation.",
    "already_exists": "A thing with this id exists.",
    "webhook_endpoint_already_disabled": "The webhook endpoint is disabled already.",
    "webhook_endpoint_not_disabled": "The webhook endpoint is not disabled: it is sent messages.",
    "webhook_endpoint_disabled": "The webhook endpoint is disabled, so nothing is sent to it. Enable it first.",
    "webhook_endpoint_removed": "The webhook endpoint was removed, which is final. Register another.",
    "too_many_webhook_endpoints": "The organisation has as many webhook endpoints as it may have. Remove one first.",
    # Versions and retries.
    "stale_version": "The thing has changed since the version in If-Match was read. Read it again and decide anew.",
    "precondition_required": "This needs If-Match with the ETag last read, so that nothing is overwritten or joined "
    "that is not what was read.",
    "idempotency_key_reused": "This Idempotency-Key was used with another request. Take a fresh one for each request.",
    "idempotency_answer_expired": "The request was carried out, and its answer is no longer kept. `resource_id` names "
    "what it was about: read that instead.",
    "command_in_flight": "The first request with this Idempotency-Key is still being carried out. Send it again soon.",
    # Nothing is wrong with the request: try again after `Retry-After`.
    "unavailable": "The service cannot answer now. Nothing was recorded.",
    "queue_full": "More commands wait than the service takes. Nothing was recorded.",
    "store_unavailable": "PostgreSQL cannot be reached or cannot write. Nothing was recorded.",
    "outcome_unknown": "The connection broke at the commit, so the command may or may not have been recorded. Send it "
    "again with the same Idempotency-Key: it is recorded at most once.",
    "not_sealed_yet": "What happened is not in a signed checkpoint yet; that takes a second or so.",
    "export_overtaken": "What is exported was erased while it was written. Fetch it again, from its beginning.",
    "sealing_behind": "Events have not been sealed for longer than allowed; see docs/provable-log.md. Revoking works.",
    "view_behind": "The list has not caught up with the position in Keyledger-At-Least yet.",
    "too_many_requests": "Requests come faster than they are taken.",
    "internal_error": "Something went wrong on our side. The log line with this request's id tells what.",
}


def problem(
    status: int,
    code: str,
    detail: str,
    failed: Sequence[Mapping[str, str]] | None = None,
    headers: Mapping[str, str] | None = None,
    **more: str,
) -> Response:
    """The answer that says what went wrong, and with which fields; `more` are members of this type of problem alone."""
    extra: dict[str, Any] = {**more, "errors": failed} if failed else {**more}
    media_type, body = problem_document(status, code, detail, request_id(), **extra)
    return Response(body, status, headers, mimetype=media_type)


def problem_document(status: int, code: str, detail: str, request_id: str, **more: Any) -> tuple[str, bytes]:
    """The media type and the body of a problem."""
    body = {
        "type": f"/problems/{code}",
        "title": title(code),
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": request_id,
        **more,
    }
    return MEDIA_TYPE, orjson.dumps(body)


def title(code: str) -> str:
    """A code as people read it."""
    return code.replace("_", " ").capitalize()


class ProblemApi(Api):
    """flask-smorest's Api, answering errors as problems and keeping the headers that belong to them."""

    # Every status that an operation can answer is documented with it. A default would let an undocumented one pass.
    DEFAULT_ERROR_RESPONSE_NAME = None

    def _register_responses(self) -> None:
        """None of flask-smorest's own, which say application/json: `api/openapi.py` documents ours."""
        self.spec.components.schema("Problem", schema=ProblemSchema)

    def _register_etag_headers(self) -> None:
        """None of flask-smorest's own."""

    def _register_pagination_header(self) -> None:
        """None of flask-smorest's own: pages go by cursor, in the body."""

    def handle_http_exception(self, error: HTTPException) -> Response:
        """Any HTTP error: of routing, of parsing, or raised by a view."""
        status = error.code or 500
        validation = getattr(error, "data", {}).get("messages")
        if status == 422 and validation is not None:
            failed = list(islice(failed_fields(validation), FAILED_MAX))
            codes = {one["code"] for one in failed}
            code = codes.pop() if len(codes) == 1 else "invalid_value"
            return problem(422, code, "; ".join(f"{f['field']}: {f['reason']}" for f in failed), failed)
        kept = ("Allow", "Content-Range", "Retry-After", "WWW-Authenticate")
        headers = {name: value for name, value in error.get_headers() if name in kept}
        detail = "something went wrong on our side" if status >= 500 else (error.description or error.name)
        return problem(status, HTTP_CODES.get(status, "malformed_request"), detail, headers=headers)


def register(app: Flask) -> None:
    """Have the ledger's own errors answered as problems."""
    app.register_error_handler(errors.LedgerError, _of_the_ledger)


def _of_the_ledger(error: errors.LedgerError) -> Response:
    status = status_of(error)
    match error:
        case errors.InvalidValue():
            failed = [{"field": error.field, "reason": error.reason, "code": error.code}]
            return problem(status, error.code, str(error), failed)
        case errors.IdempotencyAnswerExpired():
            return problem(status, error.code, str(error), resource_id=str(error.resource_id))
        case errors.TooManyAttempts():
            return problem(status, error.code, str(error), headers={"Retry-After": str(error.retry_after_seconds)})
        case errors.Unavailable():
            logger.warning("unavailable", extra={"code": error.code, "detail": str(error)})
            headers = {"Retry-After": str(error.retry_after_seconds)}
            return problem(status, error.code, str(error), headers=headers)
    return problem(status, error.code, str(error))


def status_of(error: errors.LedgerError) -> int:
    """The HTTP status that an error of the ledger is answered with."""
    return next(STATUS[cls] for cls in type(error).__mro__ if cls in STATUS)


def failed_fields(messages: Any, path: str = "") -> Iterator[dict[str, str]]:
    """marshmallow's nested messages as a flat list of fields, each with a reason and a code."""
    if isinstance(messages, Mapping):
        for key, nested in messages.items():
            outermost = not path and key in ("json", "query", "path", "headers")
            named = path if outermost or key == "_schema" else f"{path}.{key}" if path else str(key)
            yield from failed_fields(nested, named)
        return
    for reason in messages if isinstance(messages, list) else [messages]:
        yield {"field": path or "body", "reason": str(reason), "code": _code_of(str(reason))}


# marshmallow tells kinds of failure apart by their words alone; tests/api/test_problems.py holds each of them.
_CODES_BY_WORDS = (
    ("Was never issued", "malformed_secret"),
    ("Unknown field", "unknown_field"),
    ("Missing data", "missing_field"),
    ("Not a valid", "wrong_type"),
    ("Invalid ", "wrong_type"),
    ("may not be null", "wrong_type"),
    ("Must be one of", "invalid_choice"),
    ("Must be greater", "out_of_range"),
    ("Must be less", "out_of_range"),
    ("Longer than", "invalid_length"),
    ("Shorter than", "invalid_length"),
    ("Length must be", "invalid_length"),
)


def _code_of(reason: str) -> str:
    return next((code for words, code in _CODES_BY_WORDS if words in reason), "invalid_value")
