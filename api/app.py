"""The Flask application: all blueprints over the services of one process."""

from flask import Flask, Response

from api import (
    accounts,
    credentials,
    docs,
    health,
    history,
    observability,
    openapi,
    operators,
    organisations,
    problems,
    verify,
)
from api.incoming import request_id
from api.wiring import Services

BLUEPRINTS = (
    organisations.blueprint,
    accounts.blueprint,
    credentials.blueprint,
    history.blueprint,
    operators.blueprint,
    verify.blueprint,
    health.blueprint,
)


def create_app(services: Services) -> Flask:
    """The application on these services. Build both after a fork."""
    app = Flask("keyledger", static_folder=None)
    app.extensions["keyledger"] = services
    app.config.update(openapi.CONFIG, MAX_CONTENT_LENGTH=services.settings.body_bytes_max)
    app.after_request(_finish)
    observability.register(app)
    problems.register(app)
    api = problems.ProblemApi(app)
    openapi.prepare(api)
    for blueprint in BLUEPRINTS:
        api.register_blueprint(blueprint)
    docs.register(app, openapi.document(api))
    return app


def _finish(response: Response) -> Response:
    headers = response.headers
    headers["X-Request-Id"] = request_id()
    headers["X-Content-Type-Options"] = "nosniff"
    headers.setdefault("Cache-Control", "no-store")
    # An answer is data: where a browser shows one as a page, that page may load and run nothing.
    headers.setdefault("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
    headers.setdefault("Referrer-Policy", "no-referrer")
    return response
