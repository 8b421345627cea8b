"""Whether the process lives, and whether it can do its work."""

from flask import Response
from flask_smorest import Blueprint

from api import outgoing
from api.incoming import services
from ledger.errors import StoreUnavailable

blueprint = Blueprint("Running it", __name__, description="For whoever runs the service.")


@blueprint.route("/healthz")
@blueprint.doc(operationId="health", security=[], responses={"200": {"description": "The process answers."}})
def healthz() -> Response:
    """Whether the process answers at all; says nothing of the database."""
    return outgoing.answer({"status": "ok"})


@blueprint.route("/readyz")
@blueprint.doc(
    operationId="readiness",
    security=[],
    responses={"200": {"description": "Ready."}, "503": {"description": "Not ready, and why."}},
)
def readyz() -> Response:
    """Whether commands and queries can be answered, and how far the views are behind."""
    from projections.runner import lag

    settings = services().settings
    try:
        behind = lag(services().store)
    except StoreUnavailable as error:
        return outgoing.answer(
            {"status": "unavailable", "database": str(error)}, 503, {"Retry-After": str(error.retry_after_seconds)}
        )
    late = [name for name, one in behind.items() if one.seconds_behind > settings.projection_lag_max]
    body = {
        "status": "behind" if late else "ready",
        "database": "ok",
        "projections": {
            name: {"position": one.position, "head": one.head, "seconds_behind": round(one.seconds_behind, 3)}
            for name, one in behind.items()
        },
    }
    return outgoing.answer(body, 503 if late else 200, {"Retry-After": "5"} if late else None)
