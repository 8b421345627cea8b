"""Whether the process lives, and whether it can do its work."""

from flask import Response
from flask_smorest import Blueprint

from api import outgoing
from api.incoming import services
from api.observability import CONTENT_TYPE, exposition
from ledger.errors import StoreUnavailable
from projections.runner import lag

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


@blueprint.route("/metrics")
@blueprint.doc(
    operationId="metrics",
    security=[],
    responses={
        "200": {"description": "Prometheus's text format.", "content": {"text/plain": {"schema": {"type": "string"}}}}
    },
)
def metrics() -> Response:
    """Metrics of all workers for Prometheus.

    Names no organisation, credential or person. Anyone who reaches the port may read them: keep the path to the
    inside at the proxy in front, as deploy/nginx.conf does.
    """
    return Response(exposition(services()), content_type=CONTENT_TYPE)
