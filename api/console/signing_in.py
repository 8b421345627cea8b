"""Signing in with an operator's token, and signing out. `provider.py` is about doing so elsewhere."""

from urllib.parse import urlsplit

from flask import Blueprint, Response, g, redirect, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from api.attempts import Presenter
from api.auth import READS_CREDENTIALS
from api.console import sessions
from api.console.forms import Form
from api.console.rendering import led_here, render
from api.incoming import address, services
from api.verifying import readable_address
from ledger.errors import InvalidValue, TooManyAttempts
from ledger.secret_format import well_formed
from ledger.verification import Code
from projections.operator_status import find_caller

TOKEN_CHARS_MAX = 200  # a token has some fifty; what is longer is another thing, pasted by mistake
NOT_GOOD = "This token is not good: it was mistyped, rotated, or its operator was removed."
FOR_GATEWAYS = "This token is a gateway's: it verifies secrets and opens nothing here."

pages = Blueprint("signing_in", __name__)


@pages.get("/sign-in")
def form() -> str:
    """The page where one signs in."""
    return _shown(Form())


@pages.post("/sign-in")
def sign_in() -> AnyResponse:
    """Sign in. Whoever tries one token after another is slowed, as at verification."""
    given = Form(request.form)
    attempts, who = services().attempts, presenter()
    try:
        if attempts is not None:
            attempts.admit(who)
        digests = _digests(given.typed.get("token", "").strip())
        response = redirect(page_of_ours() or url_for("console.organisations.home"), 303)
        if not sessions.open_session(response, digests):
            raise InvalidValue("token", NOT_GOOD)
    except TooManyAttempts as error:
        given.refuse(error)
        return Response(_shown(given), 429, {"Retry-After": str(error.retry_after_seconds)})
    except InvalidValue as error:
        given.refuse(error)
        if attempts is not None:
            attempts.note(who, Code.NOT_FOUND)
        return Response(_shown(given), 422)
    return response


@pages.post("/sign-out")
def sign_out() -> AnyResponse:
    """Sign out: the session is gone, here and in every worker. The browser forgets what it kept of these pages."""
    elsewhere = 1 if g.session.identified else None
    response = redirect(url_for("console.signing_in.form", signed_out=1, elsewhere=elsewhere), 303)
    sessions.end_session(response)
    response.headers["Clear-Site-Data"] = '"cache", "storage"'
    return response


def _shown(given: Form) -> str:
    return render(
        "console/signing_in/sign_in.html",
        form=given,
        next=page_of_ours() or "",
        signed_out="signed_out" in request.args and led_here(),
        elsewhere="elsewhere" in request.args,
        provider=urlsplit(services().settings.oidc_issuer).netloc,
    )


def _digests(token: str) -> list[str]:
    """Under which digests the token could be kept, if it is an operator's who has any business here."""
    if not token:
        raise InvalidValue("token", "paste your operator token")
    if len(token) > TOKEN_CHARS_MAX or not well_formed(token):
        raise InvalidValue("token", NOT_GOOD)
    digests = list(services().keyring.digests.candidates(token))
    caller = find_caller(services().store, digests)
    if caller is not None and not READS_CREDENTIALS & caller.roles:
        raise InvalidValue("token", FOR_GATEWAYS)
    return digests


def page_of_ours(wanted: str | None = None) -> str | None:
    """Where to go afterwards, as the request says if it is not given: a page of this console, and nowhere else."""
    wanted = request.values.get("next", "") if wanted is None else wanted
    try:
        parts = urlsplit(wanted)
    except ValueError:  # no address at all, such as `//[`
        return None
    inside = parts.path.startswith("/console/") and not (parts.scheme or parts.netloc)
    return wanted if inside and "\\" not in wanted and wanted.isprintable() else None


def presenter() -> Presenter:
    """Whose attempts are counted together."""
    return Presenter(readable_address(address()))
