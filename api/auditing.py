"""Noting who read what: whoever shows a history, the past, addresses of use or a secret's hint marks the request, and
once it is answered it is noted (`projections/readings.py`).
"""

import re
from uuid import UUID

from flask import Flask, Response, g, request

from api.incoming import address, now, request_id, services
from ledger.values import Via
from projections.readings import Reading, Shown

_PARAMETER = re.compile(r"<(?:\w+:)?(\w+)>")


def shows(what: Shown, of: UUID | None = None) -> None:
    """Mark the request as one that shows this; `of` is whose it is, where the path names no organisation."""
    if "shown" not in g:
        g.shown = set()
    g.shown.add(what)
    if of is not None:
        g.shown_of = of


def reads_only() -> None:
    """Mark the request as one that changes nothing although it is no GET, so that no event tells of it."""
    g.reads_only = True


def register(app: Flask) -> None:
    """Note the marked requests that only read; what writes is told by its event."""
    app.after_request(_note)


def _note(response: Response) -> Response:
    recorder = services().readings
    reads = request.method == "GET" or "reads_only" in g
    if recorder is not None and "shown" in g and reads and response.status_code < 400:
        path = {name: value for name, value in (request.view_args or {}).items() if isinstance(value, UUID)}
        organisation_id = path.pop("organisation_id", None) or g.get("shown_of")
        recorder.note(
            Reading(
                organisation_id,
                next(iter(path.values()), None),
                now(),
                g.caller.actor,
                sorted(g.caller.roles),
                g.get("via", Via.API),
                sorted(g.shown),
                _PARAMETER.sub(r"{\1}", request.url_rule.rule if request.url_rule else ""),
                request_id(),
                address(),
            )
        )
    return response
