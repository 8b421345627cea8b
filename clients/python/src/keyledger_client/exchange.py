"""What both clients have in common: what is sent, how answers are read, when to ask again. Nothing here does I/O."""

import json
import random
import ssl
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import httpcore

from keyledger_client.errors import (
    DeadlineExceeded,
    FieldError,
    InvalidQuestion,
    KeyledgerError,
    TokenRefused,
    TooManyAttempts,
    Unavailable,
    UnexpectedAnswer,
)
from keyledger_client.verification import QUESTIONS_MAX, Question, Verification

TIMEOUT_SECONDS = 2.0  # verification takes milliseconds, and somebody waits for it
RETRIES = 2
# More threads or tasks wait for one another, within their timeout. Each is in use for a millisecond or two, and
# httpcore looks at all that are idle before every question: with a hundred that alone took tens of milliseconds.
CONNECTIONS_MAX = 10
# Keyledger ends a connection that was idle for ten seconds, proxies after a minute or more: ours are gone before.
IDLE_SECONDS_MAX = 5.0

# A hundred verdicts with five hundred scopes of a hundred letters each are less; nothing else is as long.
_ANSWER_BYTES_MAX = 8 * 1024 * 1024

_PAUSE_SECONDS = 0.05  # before the first repetition; twice as long before each further one
_PAUSE_SECONDS_MAX = 1.0

# A broken proxy can name a time beyond all numbers; nobody waits for longer than a day.
_RETRY_AFTER_SECONDS_MAX = 86_400.0

Headers = Sequence[tuple[bytes, bytes]]


class Deadline:
    """When a call must be over."""

    def __init__(self, seconds: float) -> None:
        self._at = time.monotonic() + seconds

    def remaining(self) -> float:
        """The seconds that are left; none or fewer once it is over."""
        return self._at - time.monotonic()


@dataclass(frozen=True, slots=True)
class Failed:
    """A try that brought no verdict, and whether asking again may."""

    error: KeyledgerError
    again: bool = False


@dataclass(frozen=True, slots=True)
class Terms:
    """How is asked: where, as whom, for how long."""

    url: str
    token: str = field(repr=False)
    timeout_seconds: float
    retries: int

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:  # others cannot be read
            raise ValueError("the URL must begin with http:// or https:// and a host")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError("the URL must have no user, query or fragment")
        # What a header cannot hold would be shown by the error of whoever refuses it.
        if not self.token or not self.token.isascii() or not self.token.isprintable() or " " in self.token:
            raise ValueError("the token is empty or has a character that no token has")
        if not self.timeout_seconds > 0:
            raise ValueError("the timeout must be more than zero seconds")
        if self.retries < 0:
            raise ValueError("retries must not be negative")

    def address(self, path: str) -> str:
        """The URL of an operation."""
        return self.url.rstrip("/") + path

    def headers(self) -> Headers:
        """What goes with every question."""
        return [
            (b"Authorization", b"Bearer " + self.token.encode("ascii")),
            (b"Content-Type", b"application/json"),
            (b"Accept", b"application/json, application/problem+json"),
            (b"User-Agent", b"keyledger-client"),
        ]

    def timeouts(self, attempt: int, deadline: Deadline) -> dict[str, float]:
        """How long to wait for what, as httpcore takes it.

        Each attempt to connect that may still come gets an equal share of what is left, and so does the answer: where
        nobody accepts, there is time to try again.
        """
        remaining = max(deadline.remaining(), 0.0)
        return {"pool": remaining, "connect": remaining / (self.retries - attempt + 2)}

    def pause(self, attempt: int, failed: Failed, deadline: Deadline) -> float:
        """How many seconds to wait before the next attempt; raises the error where there is to be none.

        The pauses double and are drawn at random up to that, so that clients that failed together do not come back
        together; a `Retry-After` is waited for besides. Where the call would be over by then, it is over now.
        """
        drawn = random.uniform(0, min(_PAUSE_SECONDS * 2**attempt, _PAUSE_SECONDS_MAX))  # noqa: S311 - spreads load
        pause = drawn + (failed.error.retry_after_seconds or 0)
        if not failed.again or attempt >= self.retries or pause >= deadline.remaining():
            raise failed.error
        return pause


def trusting(url: str, ssl_context: ssl.SSLContext | None) -> ssl.SSLContext | None:
    """Whom to believe: what was given, or else whoever the system believes. Read once, as it takes a call's time."""
    if ssl_context is None and url.startswith("https:"):
        return ssl.create_default_context()
    return ssl_context


def deadline_exceeded(seconds: float) -> DeadlineExceeded:
    """The error for a call that took too long."""
    return DeadlineExceeded(f"Keyledger did not answer within {seconds:g} seconds")


# --- Questions -------------------------------------------------------------------------------------------------------


def one(question: Question) -> bytes:
    """The body of `POST /v1/verify`."""
    return json.dumps(question.as_json()).encode()


def batch(questions: Iterable[Question]) -> bytes:
    """The body of `POST /v1/verify/batch`; raises `ValueError` for more than it takes."""
    asked = [question.as_json() for question in questions]
    if len(asked) > QUESTIONS_MAX:
        raise ValueError(f"{QUESTIONS_MAX} questions at most are asked at once, not {len(asked)}")
    return json.dumps({"questions": asked}).encode()


# --- Answers ---------------------------------------------------------------------------------------------------------


def verdict(told: Mapping[str, Any]) -> Verification:
    """The verdict of an answer. Raises `UnexpectedAnswer`."""
    try:
        return Verification.from_json(told)
    except (KeyError, TypeError, ValueError):
        pass  # raised below: the error's own text could quote the answer
    raise UnexpectedAnswer("what answered is not a verdict of Keyledger's")


def verdicts(told: Mapping[str, Any], count: int) -> list[Verification]:
    """The verdicts of a batch, one for each question. Raises `UnexpectedAnswer`."""
    found = told.get("verdicts")
    if not isinstance(found, list) or len(found) != count:
        raise UnexpectedAnswer("what answered does not hold one verdict for each question")
    return [verdict(one_of_them) for one_of_them in found]


class Body:
    """The answer's body, piece by piece, up to what an answer may have."""

    def __init__(self) -> None:
        self._read = bytearray()

    def add(self, piece: bytes) -> None:
        """Raises `UnexpectedAnswer` for one that is too long."""
        self._read += piece
        if len(self._read) > _ANSWER_BYTES_MAX:
            raise UnexpectedAnswer("what answered is longer than any verdict")

    def json(self) -> Mapping[str, Any] | None:
        """The object that it is; None where it is none."""
        try:
            read = json.loads(self._read)
        except (ValueError, RecursionError):
            return None
        return read if isinstance(read, dict) else None


def read(status: int, headers: Headers, body: Body) -> Mapping[str, Any] | Failed:
    """What an answer says: the object of a 200, or why there is none."""
    told = body.json()
    if status == 200:
        return told if told is not None else Failed(UnexpectedAnswer("what answered is not JSON"))
    problem = told or {}
    code, request_id = _text_of(problem, "code"), _text_of(problem, "request_id")
    wait = _retry_after(headers)
    match status:
        case 401 | 403:
            return Failed(TokenRefused(f"the gateway's token was refused: {status}", code=code, request_id=request_id))
        case 400 | 413 | 422 if code:
            errors = _field_errors(problem)
            message = "; ".join(f"{e.field}: {e.reason}" for e in errors) or f"the question was refused: {code}"
            return Failed(InvalidQuestion(message, errors=errors, code=code, request_id=request_id))
        case 429:
            message = "too many attempts from this address or for this public id"
            return Failed(TooManyAttempts(message, code=code, request_id=request_id, retry_after_seconds=wait))
        case 502 | 503 | 504:  # also of a proxy before it that found nobody
            message = f"Keyledger cannot answer now: {status}"
            error = Unavailable(message, code=code, request_id=request_id, retry_after_seconds=wait)
            return Failed(error, again=True)
        case 500:
            return Failed(Unavailable("something went wrong in Keyledger: 500", code=code, request_id=request_id))
        case _:
            return Failed(UnexpectedAnswer(f"what answered is not Keyledger: {status}", request_id=request_id))


def broken(error: Exception, timeout_seconds: float) -> Failed:
    """What became of a try whose connection failed.

    Verification changes nothing, so it is asked again wherever the connection broke. An answer that is slow is not
    waited for twice: on a server that is behind that would only double the load.
    """
    match error:
        case httpcore.ConnectTimeout():
            return Failed(Unavailable("Keyledger does not accept a connection"), again=True)
        case httpcore.TimeoutException():
            return Failed(deadline_exceeded(timeout_seconds))
        case httpcore.NetworkError():  # its text is the operating system's
            return Failed(Unavailable(f"Keyledger cannot be reached: {error}"), again=True)
        case _:  # a text about the protocol could quote what went over the line
            return Failed(Unavailable("Keyledger's answer was cut off or is not HTTP"), again=True)


BROKEN = (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError)
"""What httpcore raises where a connection fails."""


def _text_of(problem: Mapping[str, Any], name: str) -> str | None:
    value = problem.get(name)
    return value if isinstance(value, str) else None


def _field_errors(problem: Mapping[str, Any]) -> tuple[FieldError, ...]:
    failed = problem.get("errors")
    return tuple(
        FieldError(str(one.get("field")), str(one.get("code")), str(one.get("reason")))
        for one in (failed if isinstance(failed, list) else [])
        if isinstance(one, dict)
    )


def _retry_after(headers: Headers) -> float | None:
    """The seconds of `Retry-After`, which is a number or a date (RFC 9110 section 10.2.3); None for anything else."""
    for name, value in headers:
        if name.lower() == b"retry-after":
            text = value.decode("latin-1").strip()
            if text.isascii() and text.isdigit():
                return min(float(text), _RETRY_AFTER_SECONDS_MAX)
            try:
                at = parsedate_to_datetime(text)
            except (ValueError, OverflowError):
                return None
            # A date without a zone is one of GMT, in which HTTP writes all of them.
            at = at if at.tzinfo else at.replace(tzinfo=UTC)
            return min(max((at - datetime.now(UTC)).total_seconds(), 0.0), _RETRY_AFTER_SECONDS_MAX)
    return None
