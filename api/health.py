"""Whether the process lives, and whether it can do its work."""

from typing import Any

from flask import Response
from flask_smorest import Blueprint

from api import outgoing
from api.incoming import services
from api.observability import CONTENT_TYPE, exposition
from ledger.errors import StoreUnavailable
from ledger.store.migrate import MigrationError, pending
from projections.runner import lag

RETRY_AFTER_SECONDS = 5  # a migration or a view that catches up takes seconds at least

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
    store, settings = services().store, services().settings
    try:
        with store.cursor_of_tuples() as curs:
            missing = [f"{step.version:04}_{step.name}" for step in pending(curs.connection)]
        behind = {} if missing else lag(store)
    except StoreUnavailable as error:
        return _not_ready({"status": "unavailable", "database": str(error)}, error.retry_after_seconds)
    except MigrationError as error:  # a newer version, or one that was changed, was here
        return _not_ready({"status": "unavailable", "database": "ok", "migrations": str(error)})
    if missing:
        return _not_ready({"status": "unavailable", "database": "ok", "migrations": f"missing {', '.join(missing)}"})
    late = [name for name, one in behind.items() if one.seconds_behind > settings.projection_lag_max]
    body = {
        "status": "behind" if late else "ready",
        "database": "ok",
        "migrations": "ok",
        "projections": {
            name: {"position": one.position, "head": one.head, "seconds_behind": round(one.seconds_behind, 3)}
            for name, one in behind.items()
        },
    }
    return _not_ready(body) if late else outgoing.answer(body)


def _not_ready(body: dict[str, Any], retry_after_seconds: int = RETRY_AFTER_SECONDS) -> Response:
    return outgoing.answer(body, 503, {"Retry-After": str(retry_after_seconds)})


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
