"""The Flask application: all blueprints over the services of one process."""

from collections.abc import Callable
from typing import Any

from flask import Flask, Response

from api import (
    accounts,
    applications,
    bulk_revocations,
    catalogues,
    credentials,
    docs,
    health,
    history,
    oauth,
    observability,
    openapi,
    operators,
    organisations,
    problems,
    reports,
    revocations,
    secret_pattern,
    verify,
    webhooks,
)
from api.fast_path import FastPath
from api.incoming import request_id
from api.outgoing import FINISHING_HEADERS
from api.wiring import Services

BLUEPRINTS = (
    organisations.blueprint,
    accounts.blueprint,
    catalogues.blueprint,
    applications.blueprint,
    credentials.blueprint,
    bulk_revocations.blueprint,
    reports.blueprint,
    history.blueprint,
    operators.blueprint,
    verify.blueprint,
    oauth.blueprint,
    revocations.blueprint,
    webhooks.blueprint,
    secret_pattern.blueprint,
    health.blueprint,
)


def create_app(services: Services) -> Flask:
    """The application on these services. Build both after a fork."""
    app = _Application("keyledger", static_folder=None)
    app.extensions["keyledger"] = services
    app.config.update(openapi.CONFIG, MAX_CONTENT_LENGTH=services.settings.body_bytes_max)
    app.after_request(_finish)
    observability.register(app)
    problems.register(app)
    revocations.register(app, services.settings)
    oauth.register(app, services)
    api = problems.ProblemApi(app)
    openapi.prepare(api)
    for blueprint in BLUEPRINTS:
        api.register_blueprint(blueprint)
    docs.register(app, openapi.document(api))
    app.wsgi_app = FastPath(app.wsgi_app, services)  # type: ignore[method-assign]  # Flask's documented place for it
    return app


class _Application(Flask):
    """Flask without asking of every function, at every request, whether it is a coroutine: none of ours is."""

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """See the class."""
        return func


def _finish(response: Response) -> Response:
    there = {name.lower() for name, _ in response.headers}
    for name, value in FINISHING_HEADERS:
        if name.lower() not in there:
            response.headers.add(name, value)
    response.headers.add("X-Request-Id", request_id())
    return response
