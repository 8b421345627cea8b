"""The Flask application: all blueprints over the services of one process."""

from importlib.metadata import version
from typing import Any

from flask import Flask, Response

from api import credentials, docs, health, operators, organisations, problems, verify
from api.incoming import request_id
from api.wiring import Services

DESCRIPTION = """
Issues and manages API credentials, answers whether a presented secret is good, and keeps every action as an immutable
event.

Every error is an `application/problem+json` (RFC 9457) with a stable `code`. Send `Idempotency-Key` with a command to
be able to retry it: the first answer comes again, and nothing is done twice. `If-Match` takes the `ETag` you last read.
The `Keyledger-Position` of a command's answer can be sent as `Keyledger-At-Least` with a list, to read your own write.
"""


def create_app(services: Services) -> Flask:
    """The application on these services. Build both after a fork."""
    app = Flask("keyledger", static_folder=None)
    app.extensions["keyledger"] = services
    app.config.update(
        API_TITLE="Keyledger",
        API_VERSION=version("keyledger"),
        OPENAPI_VERSION="3.1.0",
        API_SPEC_OPTIONS=_spec_options(),
        MAX_CONTENT_LENGTH=services.settings.body_bytes_max,
        TRAP_HTTP_EXCEPTIONS=False,
    )
    app.json.sort_keys = False  # type: ignore[attr-defined]  # Flask's default provider has it
    app.after_request(_finish)
    problems.register(app)
    api = problems.ProblemApi(app)
    for blueprint in (
        organisations.blueprint,
        credentials.blueprint,
        operators.blueprint,
        verify.blueprint,
        health.blueprint,
    ):
        api.register_blueprint(blueprint)
    docs.register(app, api)
    return app


def _spec_options() -> dict[str, Any]:
    return {
        "info": {
            "description": DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            "contact": {"name": "Whoever runs this installation"},
        },
        "servers": [{"url": "/", "description": "This installation"}],
        "security": [{"operatorToken": []}],
    }


def _finish(response: Response) -> Response:
    response.headers["X-Request-Id"] = request_id()
    response.headers.setdefault("Cache-Control", "no-store")
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response
