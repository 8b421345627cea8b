"""What guards an HTTP service of any framework: reads what a client presents, and writes what it is refused with.

The examples for Flask, Django and ASGI are what is left to do for each of them.
"""

import base64
import binascii
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from keyledger_client.errors import KeyledgerError, TooManyAttempts
from keyledger_client.verification import TOO_MANY_ATTEMPTS, Verification

# What is longer was never issued, and a client's nonsense must not look like a gateway's mistake.
_SECRET_CHARS_MAX = 1024
_PUBLIC_ID_CHARS_MAX = 200

_RETRY_AFTER_SECONDS = 1.0  # where nobody said


@dataclass(frozen=True, slots=True)
class Presented:
    """A secret, and the public id or login that came with it."""

    secret: str = field(repr=False)
    public_id: str | None = None


def presented(authorization: str | None, api_key: str | None) -> Presented | None:
    """What a client presents in `Authorization` (Bearer, RFC 6750, or Basic, RFC 7617) or in `X-API-Key`.

    None where that is nothing, nothing that could be a credential, or both headers: which of them is meant is not to be
    guessed.
    """
    if authorization is not None and api_key is not None:
        return None
    found = Presented(api_key.strip()) if api_key is not None else _of_authorization(authorization or "")
    if found is None or not 0 < len(found.secret) <= _SECRET_CHARS_MAX or not _is_text(found.secret):
        return None
    return found if len(found.public_id or "") <= _PUBLIC_ID_CHARS_MAX else None


def _is_text(presented: str) -> bool:
    """Whether it can be asked about: some frameworks hand on bytes that are no UTF-8 as halves of surrogate pairs
    (PEP 383), as aiohttp does.
    """
    return not any("\ud800" <= char <= "\udfff" for char in presented)


def _of_authorization(value: str) -> Presented | None:
    scheme, _, rest = value.partition(" ")
    match scheme.lower():
        case "bearer":
            return Presented(rest.strip())
        case "basic":
            try:
                public_id, colon, secret = base64.b64decode(rest.strip(), validate=True).decode().partition(":")
            except (binascii.Error, ValueError):
                return None
            return Presented(secret, public_id or None) if colon else None
        case _:
            return None


@dataclass(frozen=True, slots=True)
class Refusal:
    """The answer to a client that does not get in: a problem document (RFC 9457), with its headers."""

    status: int
    headers: dict[str, str]
    body: bytes


def refusal(outcome: Verification | KeyledgerError | None, scopes: Sequence[str] = ()) -> Refusal | None:
    """What a client is answered for a verdict, for the error that came instead, or for nothing presented: None lets it
    in. `scopes` are those that were required.

    A client is told no more than that its credential is not good (401), not good for this (403), that it guesses (429)
    or that nobody can tell now (503). The code of the verdict, and the error, are for your log.
    """
    match outcome:
        case Verification(valid=True):
            return None
        case Verification(credential_is_good=True, code=code):
            challenge = {"WWW-Authenticate": _lacks(scopes)} if code == "INSUFFICIENT_SCOPE" and scopes else {}
            return _refused(403, "The credential does not allow this", challenge)
        case Verification(code=code) if code == TOO_MANY_ATTEMPTS:
            return _refused(429, "Too many attempts", {"Retry-After": _seconds(None)})
        case Verification():
            return _refused(
                401, "The credential is not good", {"WWW-Authenticate": _challenge(', error="invalid_token"')}
            )
        case None:
            return _refused(401, "Present a credential", {"WWW-Authenticate": _challenge()})
        case TooManyAttempts():
            return _refused(429, "Too many attempts", _retry_after(outcome))
        case KeyledgerError():
            return _refused(503, "Credentials cannot be checked now", _retry_after(outcome))
    raise TypeError("neither a verdict, nor an error, nor nothing")


def _challenge(of_bearer: str = "") -> str:
    return f'Bearer realm="api"{of_bearer}, Basic realm="api", charset="UTF-8"'


def _lacks(scopes: Sequence[str]) -> str:
    return f'Bearer realm="api", error="insufficient_scope", scope="{" ".join(scopes)}"'


def _retry_after(error: KeyledgerError) -> dict[str, str]:
    return {"Retry-After": _seconds(error.retry_after_seconds)}


def _seconds(told: float | None) -> str:
    return str(math.ceil(told or _RETRY_AFTER_SECONDS))


def _refused(status: int, title: str, headers: dict[str, str]) -> Refusal:
    body = json.dumps({"title": title, "status": status}).encode()
    return Refusal(status, {**headers, "Content-Type": "application/problem+json", "Cache-Control": "no-store"}, body)
