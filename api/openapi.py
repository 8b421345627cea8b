"""The OpenAPI document: what the blueprints say of themselves, completed with what holds for every operation alike.

Each rule is written once, here, so that no operation can forget it: who may be refused and how, what the parameters in
a path are, which headers come with every answer.
"""

from collections.abc import Iterator
from http import HTTPStatus
from importlib.metadata import version
from typing import Any

from flask_smorest import Api

from api.problems import MEDIA_TYPE

Document = dict[str, Any]

DESCRIPTION = """
Issues and manages API credentials, answers whether a presented secret is good, and keeps every action as an immutable
event.

Every error is an `application/problem+json` (RFC 9457) with a stable `code`. Send `Idempotency-Key` with a command to
be able to retry it: the first answer comes again, and nothing is done twice. `If-Match` takes the `ETag` you last read.
The `Keyledger-Position` of a command's answer can be sent as `Keyledger-At-Least` with a list, to read your own write.
"""

OPTIONS: Document = {
    "info": {
        "description": DESCRIPTION,
        "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        "contact": {"name": "Whoever runs this installation"},
    },
    "servers": [{"url": "/", "description": "This installation"}],
    "security": [{"operatorToken": []}],
}

CONFIG: Document = {
    "API_TITLE": "Keyledger",
    "API_VERSION": version("keyledger"),
    "OPENAPI_VERSION": "3.1.0",
    "API_SPEC_OPTIONS": OPTIONS,
}

SECURITY_SCHEMES: Document = {
    "clientBasic": {
        "type": "http",
        "scheme": "basic",
        "description": "The public id and the secret of a credential of the kind `oauth_client`.",
    },
    "operatorToken": {"type": "http", "scheme": "bearer", "description": "An operator's token, `kl_operator_...`."},
    "gatewayToken": {
        "type": "apiKey",
        "in": "header",
        "name": "X-Gateway-Token",
        "description": "The token of an operator with the role `verifier`.",
    },
}

_IF_MATCH = {
    "name": "If-Match",
    "schema": {"type": "string"},
    "example": '"3"',
}
# Parameters that several operations share, by the names under which views refer to them.
PARAMETERS: Document = {
    "Idempotency-Key": {
        "name": "Idempotency-Key",
        "description": "A fresh value for each command, the same for its retries. The first answer comes again for ten "
        "minutes, its secret included; after that, for a day, `idempotency_answer_expired` names what it was about.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
        "example": "6f3ae6b6-0b0e-4d0c-8a3c-4a3d6c1f7a52",
    },
    "If-Match": _IF_MATCH
    | {"description": "The `ETag` last read, to be refused with 412 where something changed since; `*` for any."},
    "If-Match-Required": _IF_MATCH
    | {
        "required": True,
        "description": "The `ETag` last read: 412 where something changed since, 428 without the header; `*` for any.",
    },
    "If-Match-Begun": {
        "name": "If-Match",
        "description": "The `ETag` of the file whose beginning is there: 412 where it is another by now. Of a bundle "
        "it is needed with `from`: 428 without the header.",
        "schema": {"type": "string"},
        "example": '"9f2c4a1b6d3e8f70a5c2b4d6e8f01234"',
    },
    "If-Match-File": {
        "name": "If-Match",
        "description": "The `ETag` of the file whose beginning is there: 412 where it is another by now.",
        "schema": {"type": "string"},
        "example": '"9f2c4a1b6d3e8f70a5c2b4d6e8f01234"',
    },
    "Range": {
        "name": "Range",
        "description": "From which byte on, and up to which, of any format but the bundle. What is more than one part "
        "or cannot be read is passed over.",
        "schema": {"type": "string"},
        "example": "bytes=1048576-",
    },
    "If-Range": {
        "name": "If-Range",
        "description": "The `ETag` of the file whose beginning is there: where it is another by now, all of it comes.",
        "schema": {"type": "string"},
        "example": '"9f2c4a1b6d3e8f70a5c2b4d6e8f01234"',
    },
    "Keyledger-At-Least": {
        "name": "Keyledger-At-Least",
        "description": "The `Keyledger-Position` of a command's answer: the list waits until it holds that command.",
        "schema": {"type": "string", "pattern": "^[0-9]{1,18}$"},
        "example": "1234",
    },
}

# What a parameter is, where the operation itself does not say it.
MEANINGS_OF_PARAMETERS = {
    "organisation_id": "The organisation's id.",
    "account_id": "The account's id.",
    "credential_id": "The credential's id.",
    "run_id": "The bulk revocation's id.",
    "export_id": "An export.",
    "access_review_id": "The access review's id.",
    "operator_id": "The operator's id.",
    "endpoint_id": "The webhook endpoint's id.",
    "delivery_id": "The id of the delivery of a message to an endpoint.",
    "application_id": "The application's id: its App ID.",
    "X-Gateway-Token": "The token of an operator with the role `verifier`.",
    "mode": "The mode that the credential must have: live or test.",
    "channel": "The channel that the credential must be good for.",
    "scopes": "The scopes that the credential must have, separated by spaces or commas.",
    "client_ip": "The address that the client came from. A proxy writes it here, where no client can reach.",
    "api": "The API that the credential's application must be connected to.",
}

HEADERS: Document = {
    "ETag": {"description": "The thing's version, for If-Match.", "schema": {"type": "string"}, "example": '"3"'},
    "Content-Range": {
        "description": "Which bytes these are, of how many.",
        "schema": {"type": "string"},
        "example": "bytes 1048576-2097151/2097152",
    },
    "Location": {"description": "Where it can be read.", "schema": {"type": "string", "format": "uri-reference"}},
    "Keyledger-Position": {
        "description": "Where the command stands in the log, for Keyledger-At-Least.",
        "schema": {"type": "integer"},
        "example": 1234,
    },
    "Idempotency-Replayed": {
        "description": "`true` where the answer is a kept one; absent otherwise.",
        "schema": {"type": "string", "const": "true"},
    },
    "X-Request-Id": {
        "description": "The request's id: yours where you sent one, and in every log line and event that came of it.",
        "schema": {"type": "string"},
    },
    "Retry-After": {"description": "After how many seconds to try again.", "schema": {"type": "integer"}},
    "WWW-Authenticate": {"description": "How to sign in.", "schema": {"type": "string"}, "example": "Bearer"},
}

# What each refusal means, whatever the operation; the problem's `code` tells more.
REFUSALS = {
    400: "The request cannot be read.",
    401: "No token, or one that is not good.",
    403: "The operator's role or grants do not allow this.",
    404: "No such thing, or one of another organisation.",
    409: "The state of the thing forbids this, or an Idempotency-Key's answer is gone.",
    412: "The thing changed since what If-Match names.",
    413: "The body is larger than this installation reads.",
    415: "The body is not application/json.",
    416: "The file ends before the first byte that is asked for.",
    422: "A field is wrong: `errors` names each.",
    428: "If-Match is missing.",
    429: "Requests come faster than they are taken.",
    503: "The service cannot answer now: nothing is wrong with the request.",
}
_HEADERS_OF_REFUSALS = {
    401: ("WWW-Authenticate",),
    416: ("Content-Range",),
    429: ("Retry-After",),
    503: ("Retry-After",),
}


def prepare(api: Api) -> None:
    """Register what views refer to by name. Before the blueprints are registered."""
    components = api.spec.components
    for name, scheme in SECURITY_SCHEMES.items():
        components.security_scheme(name, scheme)
    for name, parameter in PARAMETERS.items():
        components.parameter(name, "header", parameter)
    for name, header in HEADERS.items():
        components.header(name, header)


def document(api: Api) -> Document:
    """The whole document. After the blueprints were registered."""
    whole: Document = api.spec.to_dict()
    whole["components"]["responses"] = {_name(status): _refusal(status) for status in REFUSALS}
    for path, item in whole["paths"].items():
        for method, operation in operations(item):
            for parameter in [*item.get("parameters", ()), *operation.get("parameters", ())]:
                if "$ref" not in parameter and "description" not in parameter:
                    parameter["description"] = MEANINGS_OF_PARAMETERS[parameter["name"]]
            _complete(path, method, operation, signed_in=_takes_our_token(operation.get("security", whole["security"])))
    return whole


def operations(item: Document) -> Iterator[tuple[str, Document]]:
    """The operations of a path, by method."""
    return ((method, operation) for method, operation in item.items() if method != "parameters")


def _complete(path: str, method: str, operation: Document, *, signed_in: bool) -> None:
    operation["summary"] = operation["summary"].rstrip(".")  # a docstring's sentence is a heading here
    operation.setdefault("description", f"{operation['summary']}.")  # where the summary says it all
    responses = operation["responses"]
    for status in _refusals(path, method, operation, signed_in=signed_in):
        responses.setdefault(str(status), {"$ref": f"#/components/responses/{_name(status)}"})
    operation["responses"] = dict(sorted(responses.items()))
    for response in responses.values():
        if "$ref" not in response:
            response.setdefault("headers", {})["X-Request-Id"] = {"$ref": "#/components/headers/X-Request-Id"}


def _takes_our_token(security: Any) -> bool:
    """Whether an operator signs in; OAuth's clients are refused in OAuth's own words."""
    return any("operatorToken" in way or "gatewayToken" in way for way in security)


def _refusals(path: str, method: str, operation: Document, *, signed_in: bool) -> set[int]:
    """By what an operation is, how it can be refused."""
    refusals = set()
    if signed_in:
        refusals |= {401, 403, 422, 503}
    names = {parameter.get("name") for parameter in operation.get("parameters", ())}
    if "{" in path or names & {"organisation_id", "witnessed", "aggregate_id"}:
        refusals.add(404)
    if "requestBody" in operation:
        refusals |= {400, 404, 413, 415, 422}
    shared = {parameter.get("$ref", "").rpartition("/")[2] for parameter in operation.get("parameters", ())}
    if "Idempotency-Key" in shared:
        refusals |= {409, 412}
    if "Range" in shared:
        refusals.add(416)
    if "If-Match-Begun" in shared:
        refusals |= {412, 428}
    if "If-Match-File" in shared:
        refusals.add(412)
    if method in ("put", "patch"):
        refusals.add(428)
    return refusals


def _name(status: int) -> str:
    return HTTPStatus(status).name


def _refusal(status: int) -> Document:
    headers = ("X-Request-Id", *_HEADERS_OF_REFUSALS.get(status, ()))
    return {
        "description": REFUSALS[status],
        "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in headers},
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
