"""Signing in at the identity provider: there, back again, and out. These pages are there where the settings name one.

What a sign-in needs to remember is in the browser alone, in a cookie that is good for this one answer, so that nobody
can fill a table by beginning sign-ins. They begin and end by links: a form's answer may lead to no other host
(`form-action` of the Content-Security-Policy).
"""

import logging
import secrets
from urllib.parse import quote, unquote

from flask import Blueprint, Flask, Response, current_app, redirect, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from api.console import sessions
from api.console.identified import admit
from api.console.rendering import render
from api.console.signing_in import page_of_ours, presenter
from api.incoming import services
from api.openid import AnswerRefused, Attempt, NotThisAttempt, Provider, ProviderUnavailable
from ledger.errors import NotFound, TooManyAttempts
from ledger.settings import Settings
from ledger.verification import Code

ATTEMPT_SECONDS = 600  # to find the phone with the second factor
_SECRET_BYTES = 32  # nobody guesses 256 bits
_COOKIE = "keyledger-signing-in"
_COOKIE_CHARS_MAX = 2_048  # with the address of the page to go to; browsers keep twice that
_EXTENSION = "keyledger.openid"

pages = Blueprint("provider", __name__)
log = logging.getLogger(__name__)


def prepare(app: Flask, settings: Settings) -> None:
    """Make the provider known to these pages."""
    app.extensions[_EXTENSION] = Provider(settings, f"{settings.issuer_url}/console/sign-in/provider/answer")


@pages.get("/sign-in/provider")
def begin() -> AnyResponse:
    """To the provider."""
    attempt = Attempt(secrets.token_urlsafe(_SECRET_BYTES))
    try:
        response = redirect(_provider().address_to_sign_in(attempt), 303)
    except ProviderUnavailable as error:
        return _unavailable(error)
    kept = f"{attempt.secret}.{quote(page_of_ours() or '')}"[:_COOKIE_CHARS_MAX]
    name = sessions.cookie_name(_COOKIE)
    response.set_cookie(name, kept, max_age=ATTEMPT_SECONDS, **sessions.cookie_attributes())
    return response


@pages.get("/sign-in/provider/answer")
def answer() -> AnyResponse:
    """Back from the provider. The answer is good once: whatever comes of it, the attempt is over. One to another
    question, as of a tab that was opened before, ends nothing.
    """
    try:
        response = _answered()
    except NotThisAttempt as error:
        return _not_believed(error)
    response.delete_cookie(sessions.cookie_name(_COOKIE), **sessions.cookie_attributes())
    return response


@pages.get("/sign-out/provider")
def sign_out() -> AnyResponse:
    """End the provider's session as well, where it offers that."""
    try:
        address = _provider().address_to_sign_out(f"{services().settings.issuer_url}/console/sign-in")
    except ProviderUnavailable as error:
        return _unavailable(error)
    if address is None:
        return _page(404, "Sign out there", f"{_provider().host} does not let you sign out from here: do so there.")
    return redirect(address, 303)


def _answered() -> AnyResponse:
    secret, _, wanted = request.cookies.get(sessions.cookie_name(_COOKIE), "").partition(".")
    if not secret:
        return _again("This sign-in took too long, or was begun in another browser.")
    attempts = services().attempts
    try:
        if attempts is not None:
            attempts.admit(presenter())
        signed_in = _provider().who(Attempt(secret), request.args)
        operator_id = admit(signed_in)
    except TooManyAttempts as error:
        return _page(429, "Try again later", str(error), {"Retry-After": str(error.retry_after_seconds)})
    except NotThisAttempt:
        raise
    except AnswerRefused as error:
        return _not_believed(error)
    except ProviderUnavailable as error:
        return _unavailable(error)
    except NotFound:
        log.error("KEYLEDGER_OIDC_ROLES gives roles in an organisation that there is not")  # noqa: TRY400 - no fault here
        operator_id = None
    response = redirect(page_of_ours(unquote(wanted)) or url_for("console.organisations.home"), 303)
    if operator_id is None or not sessions.open_identified(response, operator_id):
        return _page(
            403, "You have no role here", f"{_provider().host} knows you, but nothing it says gives you a role."
        )
    return response


def _not_believed(error: AnswerRefused) -> Response:
    attempts = services().attempts
    if attempts is not None:
        attempts.note(presenter(), Code.NOT_FOUND)
    log.warning("a sign-in was refused: %s", error)
    return _again(f"{_provider().host} did not confirm who you are.")


def _provider() -> Provider:
    found: Provider = current_app.extensions[_EXTENSION]
    return found


def _unavailable(error: ProviderUnavailable) -> Response:
    log.error("the identity provider cannot be used: %s", error)
    message = f"{_provider().host} cannot be reached at the moment. Try again a little later."
    return _page(503, "Signing in is not possible", message)


def _again(message: str) -> Response:
    return _page(400, "You are not signed in", f"{message} Begin again.")


def _page(status: int, heading: str, message: str, headers: dict[str, str] | None = None) -> Response:
    shown = render("console/signing_in/no_entry.html", heading=heading, message=message, known=status == 403)
    return Response(shown, status, headers)
