"""Carrying out a command for a request: the version the caller saw, the key of a retry, and the answer."""

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import orjson
from flask import Response, request
from werkzeug.exceptions import PreconditionFailed, PreconditionRequired

from api.auth import caller
from api.incoming import services
from api.outgoing import answer, etag, to_json
from ledger.commands import Command
from ledger.errors import CommandInFlight, InvalidValue, ViewBehind
from ledger.service import Idempotency
from ledger.store.idempotency import find_answer, position_of
from projections.runner import wait_for

POSITION_HEADER = "Keyledger-Position"
REPLAYED_HEADER = "Idempotency-Replayed"
AT_LEAST_HEADER = "Keyledger-At-Least"

# How long a list waits for what its caller wrote. Views are milliseconds behind; a thread that waits longer than this
# is one that others need.
AT_LEAST_SECONDS_MAX = 2.0

_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_POSITION_DIGITS_MAX = 18  # of a bigint

# How the OpenAPI document describes a command and what its answer carries; `api/openapi.py` holds what they refer to.
COMMAND: dict[str, Any] = {"parameters": ["Idempotency-Key", "If-Match"]}
COMMAND_ON_A_VERSION: dict[str, Any] = {"parameters": ["Idempotency-Key", "If-Match-Required"]}
BEGINNING: dict[str, Any] = {"parameters": ["Idempotency-Key"]}
READ = {"ETag": "ETag"}
WRITTEN = {**READ, POSITION_HEADER: POSITION_HEADER, REPLAYED_HEADER: REPLAYED_HEADER}
CREATED = {**WRITTEN, "Location": "Location"}


# Commands to record in one commit, and what makes an answer of the states that they leave, one an argument.
Commands = tuple[Sequence[Command], Callable[..., dict[str, Any]]]


def expected_version(current: int) -> int | None:
    """The version to decide on, as If-Match names it; None for an absent header or `*`. `current` is the thing's own.

    What replaces values (PUT, PATCH) must say which ones it saw: 428 without the header. A command that is right
    whatever else changed (revoke, suspend) may leave it out. Weak tags never match, and of a list one must (RFC 9110
    section 13.1.1); 412 where none does. The ledger checks again under its lock.
    """
    if "If-Match" not in request.headers:
        if request.method in ("PUT", "PATCH"):
            raise PreconditionRequired("send If-Match with the ETag that you last read")
        return None
    tags = request.if_match
    if tags.star_tag:
        return None
    if not tags.contains(str(current)):
        raise PreconditionFailed(f"If-Match does not name version {current}, at which it is: read it again")
    return current


def carry_out(
    make: Callable[[], tuple[Command, str | None]],
    represent: Callable[[Any], dict[str, Any]],
    *,
    status: int = 200,
    location: Callable[[Any], str] | None = None,
) -> Response:
    """Handle the command that `make` gives, with its secret if it has one, and answer with what it left."""
    return carry_out_all(one(make, represent), status=status, location=location)


def one(
    make: Callable[[], tuple[Command, str | None]], represent: Callable[[Any], dict[str, Any]]
) -> Callable[[], Commands]:
    """What `carry_out_all` takes, for a single command whose secret, if it has one, is told beside what it left."""

    def make_one() -> Commands:
        command, secret = make()
        return [command], lambda state: represent(state) | ({} if secret is None else {"secret": secret})

    return make_one


def carry_out_all(
    make: Callable[[], Commands],
    *,
    status: int = 200,
    location: Callable[[Any], str] | None = None,
) -> Response:
    """Handle the commands that `make` gives, in one commit, and answer with what its function makes of the states that
    they leave, one an argument. `location` is of the first, and `ETag` the version that the answer reads.
    """
    if location is not None and "If-Match" in request.headers:
        raise PreconditionFailed("what is created has no version that If-Match could name")
    carried = carry_out_once(_idempotency_key(), make, status=status, location=location)
    response = answer(carried.body, carried.status, carried.headers)
    response.headers[POSITION_HEADER] = str(carried.position)
    if carried.replayed:
        response.headers[REPLAYED_HEADER] = "true"
    return response


@dataclass(frozen=True, slots=True)
class CarriedOut:
    """What is answered to commands. `position` is the last one's; `replayed` tells that this is an answer of before."""

    status: int
    headers: dict[str, str]
    body: dict[str, Any] = field(repr=False)
    position: int
    replayed: bool


def carry_out_once(
    entry: tuple[str, bytes] | None,
    make: Callable[[], Commands],
    *,
    status: int = 200,
    location: Callable[[Any], str] | None = None,
) -> CarriedOut:
    """See `carry_out_all`. `entry` is the request's idempotency key and the fingerprint of what it asks.

    A retry under the same key gets the first answer again, secret included, and nothing is made. Of two at once one is
    recorded; the other waits for that commit and gets its answer.
    """
    if entry is not None and (replayed := _replay(*entry)) is not None:
        return replayed
    represent: Callable[..., dict[str, Any]]

    def described(*states: Any) -> dict[str, Any]:
        first, last = states[0], states[-1]
        body = represent(*states)
        headers = {"ETag": etag(body["version"])}
        if location is not None:
            headers["Location"] = location(first)
        return {
            "status": status,
            "last": {"id": last.id, "version": last.version},
            "headers": headers,
            "body": body,
        }

    idempotency = None
    if entry is not None:
        idempotency = Idempotency(caller().actor, *entry, answer=lambda *states: to_json(described(*states)))
    try:
        commands, represent = make()
        receipts = services().ledger.handle_all(commands, idempotency)
    except (CommandInFlight, PreconditionFailed):
        # Recorded between our look and ours: the winner's answer is there now, if it was the same request.
        replayed = None if entry is None else _replay(*entry)
        if replayed is None:
            raise
        return replayed
    given = described(*(receipt.state for receipt in receipts))
    return CarriedOut(given["status"], given["headers"], given["body"], receipts[-1].position, replayed=False)


def _idempotency_key() -> tuple[str, bytes] | None:
    """The request's Idempotency-Key and the fingerprint of what it asks."""
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return None
    if not _KEY.fullmatch(key):
        reason = "must be 1 to 255 printable ASCII characters without spaces"
        raise InvalidValue("Idempotency-Key", reason, "invalid_header")
    asked = f"{request.method}\n{request.path}\n{request.headers.get('If-Match', '')}\n".encode()
    return key, hashlib.sha256(asked + request.get_data(cache=True)).digest()


def _replay(key: str, fingerprint: bytes) -> CarriedOut | None:
    log = services().log
    kept = find_answer(log, caller().actor, key, fingerprint)
    if kept is None:
        return None
    given = orjson.loads(kept.answer)
    last = given["last"]
    position = position_of(log, UUID(last["id"]), last["version"])
    return CarriedOut(given["status"], given["headers"], given["body"], position, replayed=True)


def reach_position(view: str) -> None:
    """Wait until a view has reached the position in Keyledger-At-Least, so that its caller reads their own write.

    Raises `InvalidValue` for what is no position of this log, and `ViewBehind` where the view does not get there in
    time.
    """
    given = request.headers.get(AT_LEAST_HEADER)
    if given is None:
        return
    if not given.isascii() or not given.isdecimal() or len(given) > _POSITION_DIGITS_MAX:
        raise InvalidValue(AT_LEAST_HEADER, "must be a position: a whole number", "invalid_header")
    position = int(given)
    if wait_for(services().store, view, position, timeout=0):
        return
    if position > services().log.head():
        raise InvalidValue(AT_LEAST_HEADER, "is beyond the end of the log", "invalid_position")
    if not wait_for(services().store, view, position, AT_LEAST_SECONDS_MAX):
        raise ViewBehind(f"the list has not reached position {position} yet")
