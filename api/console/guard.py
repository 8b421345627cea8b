"""What holds for every page of the console: who may see it, what a browser may do with it, and how a refusal reads."""

from typing import Any

from flask import Blueprint, Response, g, redirect, request, url_for
from werkzeug.exceptions import HTTPException, NotFound
from werkzeug.wrappers import Response as AnyResponse

from api.auth import READS_CREDENTIALS, allow
from api.console import sessions
from api.console.forms import is_shown_again, kept
from api.console.rendering import ABOVE_THE_PAGE, from_htmx, in_dialog, render, render_notice
from api.organisations import existing
from api.problems import status_of, title
from ledger.errors import LedgerError
from ledger.values import Via

# Pages for whoever is not signed in.
OPEN = frozenset(
    {
        "console.static",
        "console.signing_in.form",
        "console.signing_in.sign_in",
        "console.provider.begin",
        "console.provider.answer",
        "console.provider.sign_out",
    }
)

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
# Without a referrer a browser says of its own forms that they come from nowhere, and we could not tell where they do.
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
ASSET_SECONDS = 31_536_000  # their address changes with their content


def protect(console: Blueprint) -> None:
    """Put every page of the console under these rules."""
    console.before_request(_admit)
    console.after_request(_finish)
    console.register_error_handler(LedgerError, _of_the_ledger)
    console.register_error_handler(HTTPException, _of_http)
    console.add_url_rule("/<path:nowhere>", "nowhere", _nowhere)


def _admit() -> AnyResponse | None:
    """Let through who is signed in, for an organisation that they may see, from a form of ours."""
    g.via = Via.CONSOLE
    unsafe = request.method not in ("GET", "HEAD", "OPTIONS")
    if unsafe and not sessions.comes_from_here(request):
        return Response(render("console/refused.html", message="This form was sent by another site."), 403)
    if request.endpoint in OPEN:
        return None
    session = sessions.find_session()
    if session is None:
        return _signed_out(unsafe)
    g.session, g.caller = session, session.caller
    if unsafe and not sessions.form_is_of_this_session() and (from_htmx() or not is_shown_again()):
        return _stale_form()
    organisation_id = (request.view_args or {}).get("organisation_id")
    if organisation_id is not None:
        allow(READS_CREDENTIALS, organisation_id)
        g.organisation = existing(organisation_id)
    return None


def _signed_out(unsafe: bool) -> AnyResponse:
    """To the sign-in page and back again. A form that htmx sent stays as it is, with a notice beside what was typed;
    one that a browser sent by itself is kept by the page that says so.
    """
    sign_in = url_for("console.signing_in.form", next=None if unsafe else request.full_path.rstrip("?"))
    if (request.endpoint or "").endswith(".stored"):  # nothing was to be recorded: the secret was shown, and is good
        again = "with the new token" if request.endpoint == "console.operators.stored" else "again to go on"
        message = f"Stored. Sign in {again}."
        return Response(render("console/refused.html", heading="Signed out", message=message, sign_in=sign_in), 401)
    if unsafe:
        ended, nothing = "Your session has ended", "Nothing was recorded."
        if from_htmx():
            return render_notice("console/notices/signed_out.html", 401, message=f"{ended}. {nothing}", sign_in=sign_in)
        return _refused(401, ended, nothing, sign_in=sign_in)
    if in_dialog():  # which is not open yet, so nothing is typed into it
        return Response(status=204, headers={"HX-Redirect": sign_in})
    if from_htmx():
        return render_notice("console/notices/ended.html", 401, ABOVE_THE_PAGE, sign_in=sign_in)
    return redirect(sign_in, 303)


def _stale_form() -> AnyResponse:
    """The page is older than the session. The page behind the notice takes the new token and keeps what was typed."""
    message = "You signed in anew since this page was opened. Nothing was recorded."
    if from_htmx():
        return render_notice("console/notices/stale_form.html", 403, message=message, token=sessions.csrf_token())
    return Response(render("console/refused.html", message=message), 403)


def _finish(response: Response) -> Response:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)  # a page to print has a policy of its own
    if request.endpoint == "console.static":
        response.headers["Cache-Control"] = f"public, max-age={ASSET_SECONDS}, immutable"
    else:
        response.headers["Cache-Control"] = "no-store"
        response.headers["Vary"] = "HX-Request, Cookie"
    return response


def _nowhere(**_: Any) -> Response:
    raise NotFound


def _of_the_ledger(error: LedgerError) -> Response:
    """A refusal that no form shows beside its fields."""
    return _refusal(status_of(error), title(error.code), str(error))


def _of_http(error: HTTPException) -> Response:
    if error.code is None or error.code < 400:
        return error.get_response(request.environ)  # type: ignore[return-value]  # a redirect of the router's
    if error.code >= 500:
        return _refusal(error.code, "Something went wrong", "Something went wrong on our side; it was logged.")
    if error.code == 404:
        return _refusal(404, "Not here", "There is no such page.")
    if error.code == 413:
        return _refusal(413, "Too large", "This is too large to be read.", "shorten it and send it again")
    explained = error.description or error.name
    return _refusal(error.code, error.name, explained)


def _refusal(status: int, heading: str, message: str, remedy: str = "") -> Response:
    """A page that says so. Where sending the form once more can help, a notice beside what was typed into it."""
    sentence = message[:1].upper() + message[1:]
    remedy = remedy or ("try again" if status >= 500 else "")
    if remedy and from_htmx() and request.method == "POST":
        return render_notice("console/notices/failed.html", status, message=sentence, remedy=remedy)
    if from_htmx() and request.method == "GET" and not in_dialog():
        return render_notice("console/notices/refused.html", status, ABOVE_THE_PAGE, message=sentence)
    if status >= 500:
        return _refused(status, heading, sentence)
    return Response(render("console/refused.html", heading=heading, message=sentence), status)


def _refused(status: int, heading: str, message: str, **values: str) -> Response:
    """A page that says so, and from which a form that was sent can be sent once more. It goes with the token that it
    came with: to a session that was opened since it is another's, and so it is shown again before anything is done.
    """
    fields = kept()
    template = "console/refused.html" if fields is None else "console/kept.html"
    return Response(render(template, heading=heading, message=message, fields=fields, **values), status)
