"""Guards a Flask application by scope: what to copy into your own.

`requires` and `public` say of a view who may call it. Every request is looked at before it reaches its view, and a view
of which nothing was said is closed, so that one that somebody forgot does not stand open.
"""

import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from flask import Flask, Response, abort, current_app, g, request

from keyledger_client import Client, KeyledgerError, Verification, presented, refusal

View = TypeVar("View", bound=Callable[..., Any])

logger = logging.getLogger(__name__)

keyledger = Client(
    os.environ["KEYLEDGER_URL"], Path(os.environ["KEYLEDGER_GATEWAY_TOKEN_FILE"]).read_text(encoding="utf-8").strip()
)


def requires(*scopes: str) -> Callable[[View], View]:
    """The view is for live credentials that have all these scopes; `g.credential` then says whose."""

    def marked(view: View) -> View:
        view.required_scopes = scopes  # type: ignore[attr-defined]
        return view

    return marked


def public(view: View) -> View:
    """The view is for everybody."""
    view.required_scopes = None  # type: ignore[attr-defined]
    return view


def guard(app: Flask) -> None:
    """Have every request to the application looked at."""
    app.before_request(_look)


def _look() -> Response | None:
    if request.endpoint is None:
        return None  # there is no such route: Flask says so
    view = current_app.view_functions[request.endpoint]
    if not hasattr(view, "required_scopes"):
        logger.error("%s is closed: nothing says who may call it", request.endpoint)
        abort(403)
    if view.required_scopes is None:
        return None
    outcome = _ask(view.required_scopes)
    refused = refusal(outcome, view.required_scopes)
    if refused is None:
        g.credential = outcome
        return None
    logger.info("refused %s: %s", request.endpoint, outcome.code if isinstance(outcome, Verification) else outcome)
    return Response(refused.body, refused.status, refused.headers)


def _ask(scopes: Sequence[str]) -> Verification | KeyledgerError | None:
    """The verdict on what the client presents, the error that came instead, or None for nothing presented.

    The address is that of the connection. Behind a proxy of yours, `werkzeug.middleware.proxy_fix` makes it the
    client's.
    """
    credential = presented(request.headers.get("Authorization"), request.headers.get("X-API-Key"))
    if credential is None:
        return None
    try:
        return keyledger.verify(
            credential.secret,
            public_id=credential.public_id,
            client_ip=request.remote_addr,
            mode="live",
            scopes=scopes,
        )
    except KeyledgerError as error:
        return error
