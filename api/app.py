"""The Flask application: all blueprints over the services of one process."""

from flask import Flask, Response

from api import credentials, docs, health, history, observability, openapi, operators, organisations, problems, verify
from api.fast_path import FastPath
from api.incoming import request_id
from api.outgoing import FINISHING_HEADERS
from api.wiring import Services

BLUEPRINTS = (
    organisations.blueprint,
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
    app.wsgi_app = FastPath(app.wsgi_app, services)  # type: ignore[method-assign]  # Flask's documented place for it
    return app


def _finish(response: Response) -> Response:
    response.headers["X-Request-Id"] = request_id()
    for name, value in FINISHING_HEADERS:
        response.headers.setdefault(name, value)
    return response
