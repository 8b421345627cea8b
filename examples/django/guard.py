"""Guards a Django project by scope: what to copy into your own.

`requires` and `public` say of a view who may call it. Every request is looked at before it reaches its view, and a view
of which nothing was said is closed, so that one that somebody forgot does not stand open. Put `guard.Guard` into
`MIDDLEWARE`; a class-based view is marked as `requires("customer:view")(Customers.as_view())`.
"""

import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse

from keyledger_client import Client, KeyledgerError, Verification, presented, refusal

View = TypeVar("View", bound=Callable[..., Any])

logger = logging.getLogger(__name__)

keyledger = Client(
    os.environ["KEYLEDGER_URL"], Path(os.environ["KEYLEDGER_GATEWAY_TOKEN_FILE"]).read_text(encoding="utf-8").strip()
)


def requires(*scopes: str) -> Callable[[View], View]:
    """The view is for live credentials that have all these scopes; `request.credential` then says whose."""

    def marked(view: View) -> View:
        view.required_scopes = scopes  # type: ignore[attr-defined]
        return view

    return marked


def public(view: View) -> View:
    """The view is for everybody."""
    view.required_scopes = None  # type: ignore[attr-defined]
    return view


class Guard:
    """The middleware."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Go on: what is asked for is known in `process_view` first."""
        return self._get_response(request)

    def process_view(self, request: HttpRequest, view: Any, _arguments: object, _named: object) -> HttpResponse | None:
        """The refusal of a request, or None to let it through."""
        if not hasattr(view, "required_scopes"):
            logger.error("%s is closed: nothing says who may call it", request.resolver_match)
            raise PermissionDenied
        if view.required_scopes is None:
            return None
        outcome = _ask(request, view.required_scopes)
        refused = refusal(outcome, view.required_scopes)
        if refused is None:
            request.credential = outcome
            return None
        logger.info("refused %r: %s", request.path, outcome.code if isinstance(outcome, Verification) else outcome)
        return HttpResponse(refused.body, status=refused.status, headers=refused.headers)


def _ask(request: HttpRequest, scopes: Sequence[str]) -> Verification | KeyledgerError | None:
    """The verdict on what the client presents, the error that came instead, or None for nothing presented.

    The address is that of the connection. Behind a proxy that is the proxy's: take the header that yours sets, and has
    dropped as the client sent it.
    """
    credential = presented(request.headers.get("Authorization"), request.headers.get("X-API-Key"))
    if credential is None:
        return None
    try:
        return keyledger.verify(
            credential.secret,
            public_id=credential.public_id,
            client_ip=request.META.get("REMOTE_ADDR") or None,
            mode="live",
            scopes=scopes,
        )
    except KeyledgerError as error:
        return error
