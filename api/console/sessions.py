"""Sessions of the console: a random id in a cookie, what PostgreSQL knows under its digest, and the token of forms.

A cookie comes with whatever request a browser makes, whoever's page made it. So each form of ours holds a token that
only a page of the same session can know, and the browser's own word on where a request comes from is asked too.
"""

import hashlib
import hmac
import secrets
from datetime import timedelta
from typing import TypedDict
from urllib.parse import urlsplit
from uuid import UUID

from flask import Request, request
from werkzeug.wrappers import Response

from api.incoming import services
from projections import console_sessions
from projections.console_sessions import Bounds, Session

CSRF_FIELD = "csrf"
_ID_BYTES = 32  # nobody guesses 256 bits
_ID_CHARS_MAX = 64  # of such an id in base64; a longer cookie is none of ours


class CookieAttributes(TypedDict):
    """See `cookie_attributes`."""

    path: str
    httponly: bool
    samesite: str
    secure: bool


def cookie_name(name: str = "keyledger") -> str:
    """`__Host-` binds a cookie to this host and to TLS (RFC 6265bis section 4.1.3.2); plain HTTP cannot have it."""
    return f"__Host-{name}" if _behind_tls() else name


def open_session(response: Response, token_digests: list[str]) -> bool:
    """Sign in whoever's token has one of these digests; whether there is such an operator."""
    session_id = secrets.token_urlsafe(_ID_BYTES)
    opened = console_sessions.open_session(services().store, _digest(session_id), token_digests, bounds())
    return opened and _give(response, session_id)


def open_identified(response: Response, operator_id: UUID) -> bool:
    """Sign in an operator whom the identity provider vouched for; False for one who was removed since."""
    session_id = secrets.token_urlsafe(_ID_BYTES)
    opened = console_sessions.open_identified(services().store, _digest(session_id), operator_id, bounds())
    return opened and _give(response, session_id)


def find_session() -> Session | None:
    """Who is signed in, if anyone; asking keeps the session alive."""
    session_id = _session_id()
    return (
        None if session_id is None else console_sessions.find_session(services().store, _digest(session_id), bounds())
    )


def end_session(response: Response) -> None:
    """Sign out."""
    _forget()
    response.delete_cookie(cookie_name(), **cookie_attributes())


def csrf_token() -> str:
    """What the forms of this session hold. It tells nothing of the session's id."""
    session_id = _session_id() or ""
    return hmac.digest(session_id.encode(), CSRF_FIELD.encode(), "sha256").hex()


def form_is_of_this_session() -> bool:
    """Whether the form that was sent is one that this session was given."""
    return hmac.compare_digest(csrf_token().encode(), request.form.get(CSRF_FIELD, "").encode())


def comes_from_here(asked: Request) -> bool:
    """Whether the browser says that a page of ours made this request (Fetch Metadata, and RFC 6454 without it)."""
    site = asked.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site == "same-origin"
    try:
        origin = urlsplit(asked.headers.get("Origin", "")).netloc
    except ValueError:  # no address at all, such as `http://[`
        return False
    return origin in (asked.host, urlsplit(services().settings.issuer_url).netloc)


def bounds() -> Bounds:
    """How long sessions live here."""
    settings = services().settings
    return Bounds(
        idle=timedelta(seconds=settings.session_idle_seconds),
        longest=timedelta(seconds=settings.session_seconds),
        identified=timedelta(seconds=settings.oidc_session_seconds),
    )


def cookie_attributes() -> CookieAttributes:
    """What holds for each of our cookies: no script reads it, and no other site's form or picture sends it."""
    return {"path": "/", "httponly": True, "samesite": "Lax", "secure": _behind_tls()}


def _give(response: Response, session_id: str) -> bool:
    _forget()  # whoever was signed in here before is not any more
    response.set_cookie(cookie_name(), session_id, **cookie_attributes())
    return True


def _forget() -> None:
    session_id = _session_id()
    if session_id is not None:
        console_sessions.end_session(services().store, _digest(session_id))


def _behind_tls() -> bool:
    return request.is_secure or services().settings.issuer_url.startswith("https://")


def _session_id() -> str | None:
    given = request.cookies.get(cookie_name(), "")
    return given if 0 < len(given) <= _ID_CHARS_MAX else None


def _digest(session_id: str) -> bytes:
    return hashlib.sha256(session_id.encode()).digest()
