"""Carrying out a command for a request: the version the caller saw, the key of a retry, and the answer."""

import hashlib
import re
from collections.abc import Callable, Mapping
from typing import Any

import orjson
from flask import Response, request
from werkzeug.exceptions import BadRequest, PreconditionRequired

from api.auth import caller
from api.incoming import services
from api.outgoing import answer, etag, to_json
from ledger.commands import Command
from ledger.errors import CommandInFlight, InvalidValue, StaleVersion
from ledger.service import Idempotency
from ledger.store.idempotency import find_answer

POSITION_HEADER = "Keyledger-Position"
REPLAYED_HEADER = "Idempotency-Replayed"

_KEY = re.compile(r"[\x21-\x7e]{1,255}")


def expected_version(*, required: bool = False) -> int | None:
    """The version that If-Match names: None for an absent header or `*`.

    Raises 428 where the header is required and absent, and `StaleVersion` for tags that are not ours, which cannot
    match (RFC 9110 section 13.1.1).
    """
    if "If-Match" not in request.headers:
        if required:
            raise PreconditionRequired("send If-Match with the ETag that you last read")
        return None
    tags = request.if_match
    if tags.star_tag:
        return None
    strong = [tag for tag in tags.as_set() if tag.isdecimal() and len(tag) < 19]
    if len(strong) != 1 or strong[0] not in tags:
        raise StaleVersion(0)
    return int(strong[0])


def carry_out(
    make: Callable[[], tuple[Command, str | None]],
    represent: Callable[[Any], dict[str, Any]],
    *,
    status: int = 200,
    location: Callable[[Any], str] | None = None,
) -> Response:
    """Handle the command that `make` gives, with its secret if it has one, and answer with what it left.

    A retry under the same Idempotency-Key gets the first answer again, secret included, and nothing is made.
    """
    entry = _idempotency_key()
    if entry is not None and (replayed := _replay(*entry)) is not None:
        return replayed
    command, secret = make()

    def described(state: Any) -> dict[str, Any]:
        body = represent(state)
        if secret is not None:
            body["secret"] = secret
        headers = {"ETag": etag(state.version)}
        if location is not None:
            headers["Location"] = location(state)
        return {"status": status, "headers": headers, "body": body}

    idempotency = None
    if entry is not None:
        idempotency = Idempotency(caller().actor, *entry, answer=lambda state: to_json(described(state)))
    try:
        receipt = services().ledger.handle(command, idempotency)
    except CommandInFlight:
        # Recorded between our look and ours: the winner's answer is there now, or this is not the same request.
        replayed = None if entry is None else _replay(*entry)
        if replayed is None:
            raise
        return replayed
    response = _answer(described(receipt.state))
    response.headers[POSITION_HEADER] = str(receipt.position)
    return response


def _idempotency_key() -> tuple[str, bytes] | None:
    """The request's Idempotency-Key and the fingerprint of what it asks."""
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return None
    if not _KEY.fullmatch(key):
        raise InvalidValue("Idempotency-Key", "must be 1 to 255 printable ASCII characters without spaces")
    asked = f"{request.method}\n{request.path}\n{request.headers.get('If-Match', '')}\n".encode()
    return key, hashlib.sha256(asked + request.get_data(cache=True)).digest()


def _replay(key: str, fingerprint: bytes) -> Response | None:
    kept = find_answer(services().log, caller().actor, key, fingerprint)
    if kept is None:
        return None
    response = _answer(orjson.loads(kept))
    response.headers[REPLAYED_HEADER] = "true"
    return response


def _answer(described: Mapping[str, Any]) -> Response:
    return answer(described["body"], described["status"], described["headers"])


def at_least_position() -> int | None:
    """The position that the caller wants a list to have reached (`Keyledger-At-Least`), from a receipt."""
    given = request.headers.get("Keyledger-At-Least")
    if given is None:
        return None
    if not given.isascii() or not given.isdecimal() or len(given) > 18:
        raise BadRequest("Keyledger-At-Least must be a position: a whole number")
    return int(given)
