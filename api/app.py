"""The Flask application: all blueprints over the services of one process."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from flask import Flask, Response

from api import (
    access_reviews,
    accounts,
    applications,
    auditing,
    bulk_revocations,
    catalogues,
    credentials,
    docs,
    exports,
    health,
    history,
    oauth,
    observability,
    openapi,
    operators,
    organisations,
    problems,
    readings,
    reports,
    retention,
    revocations,
    sealed_log,
    secret_pattern,
    usage,
    verify,
    webhooks,
)
from api.access_tokens import AccessTokens
from api.console import register as register_console
from api.fast_path import FastPath
from api.incoming import request_id
from api.outgoing import FINISHING_HEADERS
from api.wiring import Services

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

BLUEPRINTS = (
    organisations.blueprint,
    accounts.blueprint,
    catalogues.blueprint,
    applications.blueprint,
    credentials.blueprint,
    bulk_revocations.blueprint,
    reports.blueprint,
    retention.blueprint,
    readings.blueprint,
    history.blueprint,
    exports.blueprint,
    access_reviews.blueprint,
    sealed_log.blueprint,
    usage.blueprint,
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
    tokens = AccessTokens(services.log, services.ledger, services.settings.issuer_url, services.cache)
    services = replace(services, tokens=tokens)
    app = _Application("keyledger", static_folder=None)
    app.extensions["keyledger"] = services
    app.config.update(
        openapi.CONFIG,
        MAX_CONTENT_LENGTH=services.settings.body_bytes_max,
        # A proxy that hands on its client's method would take Flask's own 200 for one of /v1/authorize.
        PROVIDE_AUTOMATIC_OPTIONS=False,
    )
    app.after_request(_finish)
    observability.register(app)
    auditing.register(app)
    problems.register(app)
    revocations.register(app, services.settings)
    authorization_server = oauth.register(app, services, tokens)
    sealed_log.register(app)
    api = problems.ProblemApi(app)
    openapi.prepare(api)
    for blueprint in BLUEPRINTS:
        api.register_blueprint(blueprint)
    docs.register(app, openapi.document(api))
    register_console(app, services.settings)
    app.wsgi_app = FastPath(app.wsgi_app, services, authorization_server)  # type: ignore[method-assign]  # Flask's documented place for it
    return app


class _Answer(Response):
    """A response whose body, unless it is a stream, goes to the server as a whole: granian then takes it with one call,
    and any other iterable piece by piece, for each of which the thread gives up Python's lock and waits for it again.
    """

    def get_app_iter(self, environ: "WSGIEnvironment") -> Iterable[bytes]:
        """See the class."""
        body = super().get_app_iter(environ)
        if self.is_streamed:
            return body
        whole = list(body)
        self.close()
        return whole


class _Application(Flask):
    """Flask without asking of every function, at every request, whether it is a coroutine: none of ours is."""

    response_class = _Answer

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
